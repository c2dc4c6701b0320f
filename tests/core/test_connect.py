"""What tools are told of this server: every one names it, the key and the model where it has to, in the form that its
file has."""

import json
import tomllib
from typing import Any

import pytest

from ftgate.core import connect
from ftgate.core.connect import PLACEHOLDER, TOOLS, Chat, Piece, from_container, is_public, quoted, shell, written

BASE = "http://127.0.0.1:8400"
ODD = 'it\'s "odd" $(x) `y` \\ {model}'


@pytest.mark.parametrize("id", TOOLS)
def test_every_tool_is_told_where_the_server_is_and_the_key(id: str) -> None:
    tool = TOOLS[id]
    assert (tool.id, tool.group in connect.GROUPS) == (id, True)
    pieces = tool.pieces(BASE, PLACEHOLDER, "a-model")
    said = "\n".join(piece.shown for piece in pieces)
    assert PLACEHOLDER in said
    assert (from_container(BASE) if tool.contained else BASE) in said
    assert "a-model" in said or id in {"openai", "anthropic", "open-webui", "xcode"}
    assert pieces
    assert all(piece.where and bool(piece.text) != bool(piece.rows) for piece in pieces)


@pytest.mark.parametrize("id", TOOLS)
def test_odd_names_break_no_file(id: str) -> None:
    for piece in TOOLS[id].pieces(BASE, "k", ODD):
        if piece.where.endswith(".toml"):
            assert ODD in tomllib.loads(piece.text).values()
        elif ".json" in piece.where:
            assert ODD in _texts(json.loads(piece.text))
        elif piece.where == "Python":
            compile(piece.text, id, "exec")
            assert quoted(ODD) in piece.text
        elif ".yaml" in piece.where and "name" in piece.text:
            assert quoted(ODD) in piece.text


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [*value, *(text for inner in value.values() for text in _texts(inner))]
    return [text for inner in value for text in _texts(inner)] if isinstance(value, list) else [str(value)]


def test_the_settings_of_those_that_most_use() -> None:
    assert TOOLS["claude-code"].pieces(BASE, "k", "m")[0] == Piece(
        "environment",
        "export ANTHROPIC_BASE_URL=http://127.0.0.1:8400/anthropic\nexport ANTHROPIC_AUTH_TOKEN=k\n"
        "export ANTHROPIC_API_KEY=''\nexport ANTHROPIC_MODEL=m\n"
        "export ANTHROPIC_DEFAULT_HAIKU_MODEL=m",
    )
    (file, environment) = TOOLS["codex"].pieces(BASE, "k", "m")
    assert tomllib.loads(file.text)["model_providers"]["ftgate"] == {
        "name": "ftgate", "base_url": "http://127.0.0.1:8400/v1", "env_key": "FTGATE_API_KEY", "wire_api": "responses",
    }  # fmt: skip
    assert environment.text == "export FTGATE_API_KEY=k"


@pytest.mark.parametrize(
    ("base", "inside", "public"),
    [
        ("http://127.0.0.1:8400", "http://host.docker.internal:8400", False),
        ("http://localhost", "http://host.docker.internal", False),
        ("http://[::1]:8400", "http://host.docker.internal:8400", False),
        ("https://localhost:8443", "https://host.docker.internal:8443", False),
        ("http://192.168.1.7:8400", "http://192.168.1.7:8400", False),
        ("https://gate.example", "https://gate.example", True),
    ],
)
def test_where_a_container_finds_it(base: str, inside: str, public: bool) -> None:
    assert (from_container(base), is_public(base)) == (inside, public)


@pytest.mark.parametrize(
    ("text", "word"), [("plain-1.5", "plain-1.5"), ("", "''"), ("a b", "'a b'"), ("it's", "'it'\\''s'"), ("$x", "'$x'")]
)
def test_a_text_as_one_word_of_a_shell(text: str, word: str) -> None:
    assert shell(text) == word


def test_a_call_in_other_words() -> None:
    calls = dict(written(Chat("m", "it's", "Be short", 7, stream=False), BASE))
    body = {"model": "m", "messages": [{"role": "system", "content": "Be short"}, {"role": "user", "content": "it's"}]}
    assert f"-d {shell(json.dumps({**body, 'max_tokens': 7}))}" in calls["curl"]
    assert '    model="m",\n' in calls["Python"]
    assert "    max_tokens=7,\n" in calls["Python"]
    assert "stream" not in calls["Python"] + calls["JavaScript"]
    assert "  max_tokens: 7,\n" in calls["JavaScript"]
    assert "ANTHROPIC_MODEL=m claude -p 'it'\\''s'" in calls["Claude Code"]


def test_what_was_not_said_falls_out() -> None:
    calls = dict(written(Chat("m", "Hi"), BASE, "k"))
    assert all("max_tokens" not in text for text in calls.values())
    assert '"stream": true' in calls["curl"]
    assert "    stream=True,\n" in calls["Python"]
    assert "  stream: true,\n" in calls["JavaScript"]
    assert "Bearer k" in calls["curl"]


def test_odd_texts_stay_what_they_are() -> None:
    calls = dict(written(Chat(ODD, ODD), BASE))
    compile(calls["Python"], "call", "exec")
    assert f"model={quoted(ODD)}," in calls["Python"]
    assert f"claude -p {shell(ODD)}" in calls["Claude Code"]
