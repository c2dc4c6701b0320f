"""Nothing that a caller wrote is anything but text on the operator's terminal."""

import io
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftgate.cli.output import as_json, line, table
from ftgate.core.redact import plain, shows

TEXTS = st.text(st.characters(), max_size=30)  # lone surrogates too


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, 全角　空白, émoji 😀, [/x], [bold]", "plain, 全角　空白, émoji 😀, [/x], [bold]"),
        ("a\x1b[2Jb", r"a\x1b[2Jb"),
        ("\x9b31m", r"\x9b31m"),  # the same in one character
        ("a\r\nb\tc", r"a\r\nb\tc"),
        ("gpt\u202e4-tpg", r"gpt\u202e4-tpg"),  # turns what follows
        ("a\u200bb\ufeff", r"a\u200bb\ufeff"),
        ("\udc9b", r"\udc9b"),  # what a byte that is no UTF-8 becomes
        ("\x00\x7f", r"\x00\x7f"),
    ],
)
def test_what_is_more_than_text_shows_as_an_escape(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_a_table_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    """In a pipe: a row a line, a column a tab, whatever stands in it."""
    rows = [
        {"a": "x\x1b[2J\ty\nz", "b": ["m\u202e", 2], "c": None, "d": 3},
        {"a": "[bold]", "b": [], "c": "", "d": False},
    ]
    table(rows, {"a": "A", "b": "B", "c": "C", "d": "D"})
    assert capsys.readouterr().out == "x\\x1b[2J\\ty\\nz\tm\\u202e, 2\t-\t3\n[bold]\t-\t\tFalse\n"


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("columns", "term", "shown"),
    [
        (80, "dumb", ["First column  Second column  Third", "12345678901   a              日本語", ""]),
        (16, "xterm", ["First column: 12345678901", "Second column: a", "Third: 日本語", "", ""]),
        (1, "xterm", ["First column: 12345678901", "Second column: a", "Third: 日本語", "", ""]),
    ],
)
def test_a_table_fits_its_terminal(monkeypatch: pytest.MonkeyPatch, columns: int, term: str, shown: list[str]) -> None:
    """Nothing is cut, however narrow it is; and where the terminal knows no escapes there are none."""
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr(sys, "stdout", screen := Screen())
    table([{"a": 12345678901, "b": "a", "c": "日本語"}], {"a": "First column", "b": "Second column", "c": "Third"})
    assert [line.rstrip() for line in screen.getvalue().split("\n")] == shown


def test_a_line_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    line("a\x1b[2J\nb", err=True)
    assert capsys.readouterr() == ("", "a\\x1b[2J\nb\n")


def test_line_ends_may_be_kept() -> None:
    assert plain("a\nb\x1b\n", keep="\n") == "a\nb\\x1b\n"


@given(TEXTS)
def test_nothing_else_is_left(text: str) -> None:
    assert all(map(shows, plain(text)))
    assert plain(plain(text)) == plain(text)


@given(TEXTS)
def test_json_is_the_same_value(text: str) -> None:
    said = as_json({"name": text, text: [1]})
    assert json.loads(said) == {"name": text, text: [1]}
    assert said and all(map(shows, said))
