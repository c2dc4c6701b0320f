"""The document as people read it: for each route its rows, in a few words."""

from collections.abc import Iterator
from functools import cache
from itertools import groupby
from typing import Any

import msgspec

from ftgate.web.described.document import operations, refusals
from ftgate.web.described.words import Operation, Schema


class Read(msgspec.Struct, frozen=True):
    """One route; `rows` are names and what is said of them."""

    method: str
    path: str
    summary: str
    rows: list[tuple[str, str]]


class Group(msgspec.Struct, frozen=True):
    """Routes that belong together."""

    heading: str
    anchor: str
    routes: list[Read]


@cache
def groups() -> list[Group]:
    """All of them."""
    found = groupby(operations(), key=lambda one: one[0])
    return [Group(heading, _anchor(heading), [_read(one) for _, one in ones]) for heading, ones in found]


def _anchor(heading: str) -> str:
    return heading.lower().replace(" ", "-")


def _read(one: Operation) -> Read:
    rows = [("shown by", ", ".join(one.asks) or "nobody in particular")]
    rows += [(f"{param.place} {param.name}", f"{_kind(param.schema)} {param.told}") for param in one.params]
    rows += [("body", _kind(one.body))] if one.body is not None else []
    rows += list(_fields(one.body)) if one.body is not None else []
    rows += [(f"200 {media}", _kind(schema)) for media, schema in one.answers.items()]
    rows += [(str(status), ", ".join(codes)) for status, codes in refusals(one).items()]
    return Read(one.method, one.path, one.summary, rows)


def _fields(schema: Schema) -> Iterator[tuple[str, str]]:
    needed = schema.get("required", ())
    for name, inner in schema.get("properties", {}).items():
        yield f"· {name}", f"{_kind(inner)}{'' if name in needed else ', may be left out'}"


def _kind(schema: Schema) -> str:
    """A schema in a few words."""
    told = f": {schema['description']}" if "description" in schema else ""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"])) + told
    if "anyOf" in schema:
        return " or ".join(map(_kind, schema["anyOf"])) + told
    kind: Any = schema.get("type", "anything")
    words = " or ".join(kind) if isinstance(kind, list) else str(kind)
    return f"{words} of {_kind(schema['items'])}{told}" if "items" in schema else words + told
