"""The words by which the tables of routes are written: JSON schemas, parameters, refusals, operations."""

from collections.abc import Mapping
from typing import Any

import msgspec

Schema = Mapping[str, Any]

CENTS = r"^-?[0-9]+(\.[0-9]+)?$"
KEY, TOKEN, SESSION, METRICS, STRIPE = "key", "token", "session", "metrics", "stripe"
OWN = (KEY, TOKEN, SESSION)
"""Credentials of an account."""
PERSON = (TOKEN, SESSION)
"""Those that manage it."""


def text(told: str = "", *, least: int = 0, most: int | None = None, pattern: str | None = None) -> Schema:
    said: dict[str, Any] = {"type": "string"}
    if least:
        said["minLength"] = least
    if most is not None:
        said["maxLength"] = most
    if pattern is not None:
        said["pattern"] = pattern
    return _told(said, told)


def whole(told: str = "", *, least: int | None = None, most: int | None = None) -> Schema:
    said: dict[str, Any] = {"type": "integer"}
    if least is not None:
        said["minimum"] = least
    if most is not None:
        said["maximum"] = most
    return _told(said, told)


def number(told: str = "") -> Schema:
    return _told({"type": "number"}, told)


def flag(told: str = "") -> Schema:
    return _told({"type": "boolean"}, told)


def choice(*choices: str, told: str = "") -> Schema:
    return _told({"type": "string", "enum": list(choices)}, told)


def moment(told: str = "") -> Schema:
    return _told({"type": "string", "format": "date-time"}, told)


def cents(told: str = "") -> Schema:
    """An exact amount in US cents, as text."""
    return _told({"type": "string", "pattern": CENTS}, told or "US cents, exact")


def dollars(told: str = "") -> Schema:
    """An exact amount in USD, as text."""
    return _told({"type": "string", "pattern": CENTS}, told or "USD, exact")


def id(told: str = "") -> Schema:
    return _told({"type": "string", "pattern": "^[0-9]+$"}, told)


def maybe(schema: Schema) -> Schema:
    """Or null."""
    if isinstance(schema.get("type"), str) and "enum" not in schema:
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def either(*schemas: Schema, told: str = "") -> Schema:
    return _told({"anyOf": list(schemas)}, told)


def listed(schema: Schema, told: str = "", *, most: int | None = None) -> Schema:
    said: dict[str, Any] = {"type": "array", "items": schema}
    if most is not None:
        said["maxItems"] = most
    return _told(said, told)


def record(fields: Mapping[str, Schema], told: str = "") -> Schema:
    """An object; a field whose name ends in ? may be left out. There may be more."""
    names = {name.rstrip("?"): schema for name, schema in fields.items()}
    needed = [name for name in fields if not name.endswith("?")]
    said: dict[str, Any] = {"type": "object", "properties": names}
    if needed:
        said["required"] = needed
    return _told(said, told)


def anything(told: str = "") -> Schema:
    return _told({"type": "object"}, told)


def named(name: str) -> Schema:
    """One of the schemas that have names (components)."""
    return {"$ref": f"#/components/schemas/{name}"}


def paged(row: Schema) -> Schema:
    return record({
        "data": listed(row), "page": whole(least=1), "page_size": whole(least=1, most=100), "total": whole(least=0),
        "next": maybe(text("the cursor of the next page")),
    })  # fmt: skip


def _told(said: dict[str, Any], told: str) -> Schema:
    return {**said, "description": told} if told else said


class Param(msgspec.Struct, frozen=True):
    """A parameter of the query, the path or the head."""

    name: str
    schema: Schema
    told: str = ""
    place: str = "query"


PAGES = (
    Param("page", whole(least=1), "from 1"),
    Param("page_size", whole(least=1), "1 to 100; more is taken as 100"),
    Param("cursor", text(), "`next` of the page before; it beats `page`"),
)

Refusals = Mapping[int, tuple[str, ...]]
"""Codes of errors by status."""


class Operation(msgspec.Struct, frozen=True):
    """One route with one method. `asks` are the credentials of which one is needed, none where it is open; `answers`
    are schemas by media type; `refused` stands beside what document.refusals adds; `wants_body`: it may not be left
    out."""

    method: str
    path: str
    summary: str
    asks: tuple[str, ...] = OWN
    params: tuple[Param, ...] = ()
    body: Schema | None = None
    answers: Mapping[str, Schema] = {}
    refused: Refusals = {}
    wants_body: bool = True
    head: Mapping[str, Schema] = {}


def json(schema: Schema) -> Mapping[str, Schema]:
    return {"application/json": schema}
