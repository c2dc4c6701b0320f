"""What is put into a program's own file leaves everything else in it as it was."""

import json
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftgate.core.adding import Unchangeable, added
from ftgate.core.connect import TOOLS

CODEX = TOOLS["codex"].pieces("http://h:1", "sk-ft_x", "auto")[0].text
CLAUDE = TOOLS["claude-code"].pieces("http://h:1", "sk-ft_x", "auto")[1].text
OWN = {"model": "auto", "model_provider": "ftgate"}
TABLE = {"name": "ftgate", "base_url": "http://h:1/v1", "env_key": "FTGATE_API_KEY", "wire_api": "responses"}


@pytest.mark.parametrize("empty", ["", "\n", "  \n"])
@pytest.mark.parametrize(("ending", "more"), [(".toml", CODEX), (".json", CLAUDE), (".yaml", "a: 1")])
def test_an_empty_file_becomes_what_is_said(empty: str, ending: str, more: str) -> None:
    assert added(ending, empty, more) == more + "\n"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ('# mine\nmodel = "gpt-5"\napproval = "never"\n', {"approval": "never"}),
        ('model="x"\n\n[tools]\nmodel = "y"\n[tools.b]\na = [1,\n 2]\n', {"tools": {"model": "y", "b": {"a": [1, 2]}}}),
        ("[model_providers.other]\nname = 'o'\n", {"model_providers": {"other": {"name": "o"}}}),
        ("[model_providers.ftgate]\nname = 'old'\nextra = 1\n[z]\na = 1\n", {"z": {"a": 1}}),
        ('[[profiles]]\nname = "a"\n[[profiles]]\nname = "b"\n', {"profiles": [{"name": "a"}, {"name": "b"}]}),
    ],
)  # fmt: skip
def test_toml_keeps_all_else_and_its_comments(text: str, kept: dict[str, object]) -> None:
    whole = added(".toml", text, CODEX)
    said = tomllib.loads(whole)
    assert said.pop("model_providers") == {**kept.pop("model_providers", {}), "ftgate": TABLE}  # type: ignore[dict-item]
    assert said == {**OWN, **kept}
    assert ("# mine" in whole) == ("# mine" in text)
    assert added(".toml", whole, CODEX) == whole  # a second time changes nothing


@pytest.mark.parametrize(
    "text",
    [
        "model = ", 'model = """\n[not a table]\n"""\n', 'a = """\nmodel = 1\n"""\n', "model_providers = 1\n",
        "model_providers = { ftgate = { name = 'x' } }\n",
    ],
)  # fmt: skip
def test_toml_that_cannot_be_kept_is_left(text: str) -> None:
    with pytest.raises(Unchangeable, match=r"TOML|kept"):
        added(".toml", text, CODEX)


NAMES = st.sampled_from(["model", "model_provider", "a", "b-c", "model_providers", "ftgate"])
VALUES = st.recursive(
    st.one_of(st.integers(-9, 9), st.booleans(), st.text(max_size=5)),
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=4,
)


@given(st.dictionaries(NAMES, VALUES, max_size=4), st.dictionaries(NAMES, VALUES, max_size=3))
def test_any_toml_is_kept_or_left(top: dict[str, object], table: dict[str, object]) -> None:
    lines = [f"{name} = {json.dumps(value)}" for name, value in top.items()]
    lines += ["[other]", *(f"{name} = {json.dumps(value)}" for name, value in table.items())]
    text = "\n".join(lines)
    try:
        before = tomllib.loads(text)
        whole = added(".toml", text, CODEX)
    except (tomllib.TOMLDecodeError, Unchangeable):
        return
    said = tomllib.loads(whole)
    assert said["model_providers"]["ftgate"] == TABLE and OWN.items() <= said.items()
    assert said["other"] == before["other"]
    assert {name: said[name] for name in before if name not in (*OWN, "model_providers")} == {
        name: value for name, value in before.items() if name not in (*OWN, "model_providers")
    }


def test_json_is_merged_by_its_names() -> None:
    text = '{"env": {"PATH_EXTRA": "é", "ANTHROPIC_MODEL": "old"}, "permissions": {"allow": ["a"]}}'
    said = json.loads(added(".json", text, CLAUDE))
    assert said["permissions"] == {"allow": ["a"]} and said["env"]["PATH_EXTRA"] == "é"
    assert said["env"]["ANTHROPIC_MODEL"] == "auto" and said["env"]["ANTHROPIC_AUTH_TOKEN"] == "sk-ft_x"


@pytest.mark.parametrize(
    ("ending", "text", "why"),
    [
        (".json", '{"a": 1 // mine\n}', "comments"), (".json", "[1]", "no JSON object"),
        (".json", '{"env": "x"}', "'env' is no object"), (".yaml", "a: 1", "only JSON and TOML"),
    ],
)  # fmt: skip
def test_what_cannot_be_changed_says_why(ending: str, text: str, why: str) -> None:
    with pytest.raises(Unchangeable, match=why):
        added(ending, text, CLAUDE)
