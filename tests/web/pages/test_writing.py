"""Templates are compiled once for all processes, where that can be kept."""

import sys
from pathlib import Path

import pytest
from jinja2 import Environment

from ftgate.web.pages.writing import Compiled, environment


@pytest.fixture
def compiling(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """The templates that are compiled from their text."""
    names: list[str | None] = []
    parsed = Environment._parse

    def parse(made: Environment, source: str, name: str | None, filename: str | None) -> object:
        names.append(name)
        return parsed(made, source, name, filename)

    monkeypatch.setattr(Environment, "_parse", parse)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    return names


def shown(place: Path) -> str:
    """A template by an environment of its own."""
    made = environment.__wrapped__(Compiled(place))
    return made.get_template("connect/parts.html").render()


def test_a_template_is_compiled_once(tmp_path: Path, compiling: list[str | None]) -> None:
    first = shown(tmp_path)
    assert compiling == ["connect/parts.html"]
    assert shown(tmp_path) == first and len(compiling) == 1


@pytest.mark.parametrize("spoilt", [b"", b"nonsense", b"\x00" * 100])
def test_what_was_kept_and_cannot_be_read_is_made_anew(
    tmp_path: Path, compiling: list[str | None], spoilt: bytes
) -> None:
    first = shown(tmp_path)
    (kept,) = (tmp_path / "__pycache__").iterdir()
    whole = kept.read_bytes()
    for text in (spoilt, whole[:-10]):
        kept.write_bytes(text)
        assert shown(tmp_path) == first
        assert kept.read_bytes() == whole
    assert len(compiling) == 3


def test_nothing_is_kept_where_nothing_can_be(tmp_path: Path, compiling: list[str | None]) -> None:
    (tmp_path / "file").write_text("in the way")
    assert shown(tmp_path / "file") == shown(tmp_path / "file")
    assert len(compiling) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_nothing_is_kept_where_python_is_told_to_keep_nothing(
    tmp_path: Path, compiling: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    shown(tmp_path)
    assert len(compiling) == 1 and list(tmp_path.iterdir()) == []
