"""What a program is told, put into the file that it already has: everything else in that file stays as it is.

JSON is merged by its names; TOML is changed as text, so that comments stay, and read again to prove that nothing else
became of it. Other formats are only written where there is no file yet.
"""

import json
import re
import tomllib
from typing import Any

_HEADER = re.compile(r"[ \t]*\[")
_NAME = re.compile(r"[ \t]*([A-Za-z0-9_-]+)[ \t]*=")


class Unchangeable(Exception):
    """A file that cannot be changed without a risk to what is in it, in one sentence."""


def added(ending: str, text: str, more: str) -> str:
    """The `text` of a file whose name has this ending (".json"), with `more` put into it. Raises Unchangeable."""
    if not text.strip():
        return more.rstrip("\n") + "\n"
    if ending == ".json":
        return _json_added(text, more)
    if ending == ".toml":
        return _toml_added(text, more)
    raise Unchangeable("there is something in it already, and only JSON and TOML are changed")


def _json_added(text: str, more: str) -> str:
    try:
        said = json.loads(text)
    except ValueError:
        raise Unchangeable("it is no plain JSON; perhaps there are comments in it, which would be lost") from None
    if not isinstance(said, dict):
        raise Unchangeable("it holds no JSON object")
    return json.dumps(_merged(said, json.loads(more)), ensure_ascii=False, indent=2) + "\n"


def _merged(said: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Both; where both say something, what comes is said. Raises Unchangeable where one has a table and one none."""
    found = dict(said)
    for name, value in more.items():
        before = found.get(name)
        if isinstance(value, dict) and before is not None:
            if not isinstance(before, dict):
                raise Unchangeable(f"its {name!r} is no object")
            value = _merged(before, value)
        found[name] = value
    return found


def _toml_added(text: str, more: str) -> str:
    """`more` is names with their values first, and then tables, each with its header."""
    try:
        before = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise Unchangeable(f"it is no TOML: {problem}") from None
    names, tables = _parts(more)
    wanted = tomllib.loads(more)
    kept = _without(text.splitlines(), {match[1] for line in names if (match := _NAME.match(line))}, _headers(tables))
    own, rest = _parts("\n".join(kept))
    pieces = [*_tidy(names), *_tidy(own)], _tidy(rest), _tidy(tables)
    whole = "\n\n".join("\n".join(piece) for piece in pieces if piece) + "\n"
    try:
        proven = tomllib.loads(whole) == _merged_tables(before, wanted, tables)
    except tomllib.TOMLDecodeError:
        proven = False
    if not proven:
        raise Unchangeable("what is in it is written in a way that could not be kept")
    return whole


def _parts(text: str) -> tuple[list[str], list[str]]:
    """The lines before the first table, and all from there on."""
    lines = text.splitlines()
    at = next((at for at, line in enumerate(lines) if _HEADER.match(line)), len(lines))
    return lines[:at], lines[at:]


def _tidy(lines: list[str]) -> list[str]:
    """Without empty lines at both ends."""
    return "\n".join(lines).strip("\n").splitlines()


def _headers(lines: list[str]) -> set[str]:
    return {line.strip() for line in lines if _HEADER.match(line)}


def _without(lines: list[str], names: set[str], headers: set[str]) -> list[str]:
    """The lines without these names above the first table, and without these tables."""
    kept, above, dropping = [], True, False
    for line in lines:
        if _HEADER.match(line):
            above, dropping = False, line.strip() in headers
        match = _NAME.match(line) if above else None
        if not dropping and not (match and match[1] in names):
            kept.append(line)
    return kept


def _merged_tables(before: dict[str, Any], wanted: dict[str, Any], tables: list[str]) -> dict[str, Any]:
    """What the whole has to say: all of before, with the names and the tables that come in the place of their like."""
    found = dict(before) | {name: value for name, value in wanted.items() if not isinstance(value, dict)}
    for header in _headers(tables):
        path = header.strip("[]").split(".")
        here, there = found, wanted
        for name in path[:-1]:
            here[name] = dict(here.get(name) or {})
            here, there = here[name], there[name]
        here[path[-1]] = there[path[-1]]
    return found
