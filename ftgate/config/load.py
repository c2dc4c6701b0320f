"""From a TOML text to typed sections, with every fault on the way.

`Reading` walks the text along the declarations of settings.py and channel_settings.py. It never stops at a fault: a
value that cannot be used is noted with its line and its default is taken, so that one run names everything that is
wrong.

A value "env:NAME" is taken from the environment, "file:PATH" from a file; relative paths start at the working
directory, those that begin with CREDENTIALS at what systemd hands over. A pair of quotes around what stands there is
taken off.
"""

import re
import tomllib
import typing
from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import msgspec

from ftgate.config import settings, values
from ftgate.config.lines import Where, lines
from ftgate.config.note import Note
from ftgate.config.stamps import Stamp, stamp
from ftgate.core.secret import Secret
from ftgate.errors import ConfigFaults
from ftgate.providers import catalogue

S = TypeVar("S", bound=msgspec.Struct)
CREDENTIALS = "${CREDENTIALS_DIRECTORY}/"
"""How the path of a "file:" value begins that systemd hands over (systemd.exec(5), LoadCredential=)."""
LARGEST_FILE = 65_536
"""Bytes of a file that a "file:" value is read from: a key is short, and /dev/zero is long."""


class Missing(ValueError):
    """A value refers to something that is not there."""


@cache
def fields(struct: type[msgspec.Struct]) -> Mapping[str, tuple[Any, Note]]:
    """(type, Note) of each setting of a section, in the order of its declaration."""
    if struct in settings.BORROWED:
        notes = settings.BORROWED[struct]
        return MappingProxyType(
            {field.name: (field.type, notes[field.name]) for field in msgspec.structs.fields(struct)}
        )
    found = {}
    for name, hint in typing.get_type_hints(struct, include_extras=True).items():
        kind, note = typing.get_args(hint)
        found[name] = (kind, note)
    return MappingProxyType(found)


class Reading:
    """One reading of one config. `origin` names it in faults; without lines (no file) a fault names no line."""

    def __init__(self, text: str, origin: str, environ: Mapping[str, str]) -> None:
        self.origin = origin
        self.environ = environ
        self.faults: list[tuple[int, str]] = []
        self.warned: list[tuple[int, str]] = []
        self.raw: dict[str, Any] = {}
        self.lines: dict[Where, int] = {}
        self.files: dict[Path, Stamp] = {}  # those that were read for it
        try:
            self.raw = tomllib.loads(text, parse_float=catalogue.decimal)
            self.lines = lines(text)
        except (ValueError, RecursionError) as problem:
            self._broken(text, problem)

    def _broken(self, text: str, problem: Exception) -> None:
        words = (
            str(problem)
            if isinstance(problem, tomllib.TOMLDecodeError)
            else "it is too deeply nested or holds an absurd number"
        )
        at = re.search(r" \(at line (\d+), column (\d+)\)$| \(at end of document\)$", words)
        line = int(at[1]) if at and at[1] else text.rstrip().count("\n") + 1
        said = words[: at.start()] if at else words
        self.faults.append(
            (
                line,
                f"this is no TOML: {said[:1].lower()}{said[1:]}. Texts need quotes, names with a dot, a colon or a "
                "slash too, and each key stands once.",
            )
        )

    # -- faults

    def line(self, where: Where) -> int:
        while where and where not in self.lines:
            where = where[:-1]
        return self.lines.get(where, 1)

    def fault(self, where: Where, words: str) -> None:
        self.faults.append((self.line(where), words))

    def warn(self, where: Where, words: str) -> None:
        self.warned.append((self.line(where), words))

    def at(self, where: Where, words: str) -> None:
        """A fault of one setting: `words` go on where its name ends."""
        self.fault(where, self.label(where) + words)

    def _written(self, found: list[tuple[int, str]]) -> list[str]:
        return [f"{self.origin}:{line}: {words}" for line, words in sorted(found, key=lambda one: one[0])]

    def warnings(self) -> list[str]:
        return self._written(self.warned)

    def raise_faults(self) -> None:
        if self.faults:
            raise ConfigFaults(self._written(self.faults), self.files)

    def noted(self, path: Path) -> Path:
        """A file that is about to be read."""
        self.files.setdefault(path, stamp(path))
        return path

    def label(self, where: Where) -> str:
        """A setting's name as a person looks for it: [timeouts] idle, [[channel]] "lab": keys."""
        if where[0] == "channel" and len(where) > 1:
            row = self.raw["channel"][where[1]] if isinstance(self.raw.get("channel"), list) else {}
            name = row.get("name") if isinstance(row, dict) else None
            head = (
                f'[[channel]] "{name}":'
                if isinstance(name, str) and values.shown(name) != "this value"
                else "[[channel]]"
            )
            rest = where[2:]
        elif len(where) > 1:
            head = f"[{dotted(where[:-1])}]"
            rest = where[-1:]
        else:
            return dotted(where)
        return f"{head} {dotted(rest)}" if rest else head

    def unknown(self, where: Where, name: str, known: Iterable[str]) -> None:
        # A key pasted where a name belongs must not be printed back.
        called = self.label((*where, name)) if len(name) <= 40 and not values.is_key_like(name) else "this"
        self.fault((*where, name), f"{called} is no setting. {nearest(name, known)}")

    # -- values

    def table(self, where: Where, raw: object) -> dict[str, Any]:
        """A table, or a fault and an empty one."""
        if isinstance(raw, dict):
            return raw
        self.at(
            where,
            f" is {values.name_of(raw)}, not a table. Write it with a [header] of its own, or like {{ name = … }}.",
        )
        return {}

    def named(self, where: Where, raw: object, known: Iterable[str] = ()) -> dict[str, Any]:
        """A table whose keys are names that somebody chose. TOML reads a name with a dot and no quotes as a table in a
        table: that is told here, and left out. `known` are the settings that a row may have; none where a name has a
        value instead of a table."""
        known = set(known)
        rows = {}
        for name, row in self.table(where, raw).items():
            parts = {
                key: part
                for key, part in (row.items() if isinstance(row, dict) else ())
                if not known or (isinstance(part, dict) and key not in known)
            }
            for key, part in parts.items():
                self._unquoted((*where, name, key), part, len(where), known)
            if not parts:
                rows[name] = row
            elif len(parts) < len(row):
                rows[name] = {key: part for key, part in row.items() if key not in parts}
        return rows

    def _unquoted(self, where: Where, part: object, above: int, known: set[str]) -> None:
        """The fault of a name that was written without quotes; `above` is how long the path of its table is."""
        deeper = {}
        if isinstance(part, dict):
            deeper = {k: p for k, p in part.items() if not known or (isinstance(p, dict) and k not in known)}
        for key, inner in deeper.items():
            self._unquoted((*where, key), inner, above, known)
        if not deeper:
            name = ".".join(map(str, where[above:]))
            if len(name) > 60 or not name.isprintable() or any(values.is_key_like(str(p)) for p in where[above:]):
                name = "this"
            place = f"{self.label(where[:above])}." if where[0] == "channel" else f"[{dotted(where[:above])}] "
            what = "is no setting" if known else "is a table in a table"
            quoted = "it so" if name == "this" else f'"{name}"'
            self.fault(where, f"{place}{name} {what}. A name with a dot needs quotes: write {quoted}.")

    def resolve(self, raw: object, kind: str) -> object:
        """What "env:NAME" and "file:PATH" stand for; other values are themselves. Raises Missing."""
        if not isinstance(raw, str) or not raw.startswith(("env:", "file:")):
            return raw
        source, _, name = raw.partition(":")
        if source == "env":
            if (
                not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or len(name) > 80
            ):  # perhaps a key: it must not be printed back
                raise ValueError(
                    ' names no environment variable after "env:". Write its name, like env:LAB_KEY, not its value.'
                )
            found = values.unquoted(self.environ.get(name, ""))
            if not found:
                state = "is empty" if name in self.environ else "is not set"
                raise Missing(f' = "{raw}" but {name} {state}. Export it, or write "file:/path".')
        else:
            path = self.noted(self._path(name))
            try:
                with path.open("rb") as file:
                    found = values.unquoted(file.read(LARGEST_FILE).decode())
            except (OSError, ValueError) as problem:
                why = getattr(problem, "strerror", None) or "it is no text"
                named = raw if raw.isprintable() and not values.is_key_like(name) else "file:…"
                raise Missing(
                    f' = "{named}" but the file cannot be read: {why}. Check the path and its rights.'
                ) from None
        return typed(found, kind)

    def _path(self, name: str) -> Path:
        """The file of a "file:" value. Raises Missing, ValueError."""
        if not name.startswith(CREDENTIALS):
            return values.expanded(name)
        if not (place := self.environ.get("CREDENTIALS_DIRECTORY")):
            raise Missing(
                f' = "file:{CREDENTIALS}…" but CREDENTIALS_DIRECTORY is not set. A systemd unit with LoadCredential='
                " sets it; in a shell it is /run/credentials/ftgate.service while that runs."
            )
        return Path(place) / name.removeprefix(CREDENTIALS)

    def value(self, where: Where, raw: object, kind: str, note: Note) -> tuple[bool, Any]:
        """(True, value), or (False, None) and a fault."""
        try:
            if kind == "keys":
                return True, self._keys(raw, note)
            if kind in {"texts", "networks", "origins"} and isinstance(raw, list):
                raw = [self.resolve(item, "text") for item in raw]
            elif kind in {"pairs", "headers"} and isinstance(raw, dict):
                raw = {name: self.resolve(item, "text") for name, item in raw.items()}
            else:
                raw = self.resolve(raw, kind)
            if kind in {"readable", "authorities"} and isinstance(raw, str):
                self.noted(values.expanded(raw))
            return True, values.READERS[kind](raw, note)
        except ValueError as problem:
            self.at(where, str(problem))
            return False, None

    def _keys(self, raw: object, note: Note) -> tuple[Secret, ...]:
        if isinstance(raw, str):
            raw = [raw]
        if not isinstance(raw, list) or not raw:
            raise ValueError(' is no list of keys. Write it like ["env:NAME"], or ["none"] where no key is needed.')
        if raw == ["none"]:
            return (Secret(""),)
        found = []
        for item in raw:
            if item == "none":
                raise ValueError(' names "none" beside a key. Leave "none" out.')
            key = values.secret(self.resolve(item, "secret"), note)
            if key in found:
                raise ValueError(" names one key twice. Leave one out.")
            found.append(key)
        return tuple(found)

    def given(
        self, where: Where, raw: object, struct: type[msgspec.Struct], also: Iterable[str] = ()
    ) -> dict[str, Any]:
        """The settings of a section that are written and good. `also` are names that the caller reads itself."""
        known = fields(struct)
        also = set(also)
        found = {}
        for name, item in self.table(where, raw).items():
            if name in also:
                continue
            if name not in known:
                self.unknown(where, name, [*known, *also])
                continue
            annotation, note = known[name]
            kind = values.kind_of(annotation, note)
            if kind == "section":
                found[name] = item
                continue
            good, value = self.value((*where, name), item, kind, note)
            if good:
                found[name] = value
        return found

    def section(self, where: Where, base: S, also: Iterable[str] = ()) -> S:
        """`base` with what the file says at `where` laid over it."""
        raw: Any = self.raw
        for part in where:
            raw = raw.get(part, {}) if isinstance(raw, dict) else {}
        return msgspec.structs.replace(base, **self.given(where, raw, type(base), also))


def typed(text: str, kind: str) -> object:
    """Text from outside as the TOML value its setting wants; left as it is when it is none, for the reader to
    refuse."""
    if kind == "flag":
        return {"true": True, "false": False}.get(text.lower(), text)
    if kind in {"whole", "seconds", "usd", "price", "multiplier"} and len(text) <= 40:
        if re.fullmatch(r"-?[0-9]+", text):
            return int(text)
        if re.fullmatch(r"-?[0-9]+\.[0-9]+", text):
            return Decimal(text)
    return text


def dotted(where: Where) -> str:
    """A path as TOML writes it, quoting what needs quotes; without a key that was pasted in a name's place."""
    parts = [
        str(part) if isinstance(part, int) or re.fullmatch(r"[A-Za-z0-9_-]+", part) else f'"{part[:60]}"'
        for part in where
    ]
    return ".".join(part if part.isprintable() and not values.is_key_like(part.strip('"')) else '"…"' for part in parts)


def nearest(name: str, known: Iterable[str]) -> str:
    """The hint after an unknown name."""
    from difflib import get_close_matches

    names = sorted(known)
    if close := get_close_matches(name, names, 1, 0.6):
        return f"Did you mean {close[0]}?"
    if len(names) <= 20:
        return f"Known: {', '.join(names)}."
    return "ftgate init writes every setting with its meaning."
