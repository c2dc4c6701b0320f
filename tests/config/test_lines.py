"""Every key of a TOML text has its line."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftgate.config.lines import lines

TEXT = '''\
# [not.a.header]
top = "a # no comment" # [nor.this]
dotted.key = 1
[server]
port = 8400
"quoted.name" = { in_line = 1, deep = { two = 'x' } }
long = """
[inside]
key = "no key"
"""
raw = \'\'\'it's
[x]\'\'\'
[[channel]]
name = "one"
keys = [
  "env:A", # [[channel]]
  "env:B",
]
[channel.models."a.b"]
input = 1
[[channel]]
name = "two"
[channel.timeouts]
idle = 3
[ spaced . out ]
x = 1979-05-27T07:32:00Z
'''


@pytest.mark.parametrize(
    ("where", "line"),
    [
        (("top",), 2),
        (("dotted", "key"), 3),
        (("server",), 4),
        (("server", "port"), 5),
        (("server", "quoted.name", "in_line"), 6),
        (("server", "quoted.name", "deep", "two"), 6),
        (("server", "long"), 7),
        (("server", "raw"), 11),
        (("channel", 0), 13),
        (("channel", 0, "keys"), 15),
        (("channel", 0, "keys", 1), 17),
        (("channel", 0, "models", "a.b"), 19),
        (("channel", 0, "models", "a.b", "input"), 20),
        (("channel", 1), 21),
        (("channel", 1, "name"), 22),
        (("channel", 1, "timeouts", "idle"), 24),
        (("spaced", "out", "x"), 26),
    ],
)
def test_line_of(where: tuple[str | int, ...], line: int) -> None:
    assert lines(TEXT)[where] == line


def test_windows_line_ends() -> None:
    assert lines(TEXT.replace("\n", "\r\n")) == lines(TEXT)


def paths(value: Any, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    found = [at] if at else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found += paths(item, (*at, key))
    return found


KEYS = st.one_of(
    st.from_regex(r"[A-Za-z0-9_-]{1,4}", fullmatch=True), st.sampled_from(['"a b"', "'x.y'", '"\\u0041#"', '"q\\"t"'])
)
SCALARS = st.sampled_from(['"x"', "'y'", "1", "1.5", "true", '"""a\nb"""', "'''c\n''d'''", '"\\"]}"', "2020-01-01"])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: "[ " + ",\n ".join(items) + " # c\n ]"),
        st.dictionaries(KEYS, SCALARS, max_size=3).map(
            lambda rows: "{" + ", ".join(f"{k} = {v}" for k, v in rows.items()) + "}"
        ),
    ),
    max_leaves=4,
)
ROWS = st.one_of(
    st.tuples(KEYS, VALUES).map(lambda row: f"{row[0]} = {row[1]}"),
    st.tuples(KEYS, KEYS, VALUES).map(lambda row: f"{row[0]} . {row[1]}= {row[2]} # end"),
    st.lists(KEYS, min_size=1, max_size=3).map(lambda parts: f"[{'.'.join(parts)}]"),
    st.lists(KEYS, min_size=1, max_size=3).map(lambda parts: f"[[{' . '.join(parts)}]]"),
    st.just("# = ["),
)


@given(st.lists(ROWS, max_size=8))
def test_every_key_has_a_line(rows: list[str]) -> None:
    text = "\n".join(rows)
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    found = lines(text)
    assert [path for path in paths(raw) if path not in found] == []
    assert not [line for line in found.values() if not 1 <= line <= text.count("\n") + 1]
