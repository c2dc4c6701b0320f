"""The models that a key may use, as Anthropic's Models API lists them.

Source: the public API reference of Anthropic (List Models, Get a Model). Unlike there, a list without a `limit` is
whole: who asks for no page looks at no second one.
"""

from collections.abc import Mapping

from quart import request

from ftgate.core.moments import iso
from ftgate.core.routing import PREFIX, Channel, Model
from ftgate.errors import InvalidRequest
from ftgate.web.asked import text
from ftgate.web.paging import whole

CREATED = 1_767_225_600
"""What every model says of its making, in seconds since 1970: clients want a moment, and nobody knows it."""
MOST = 1_000_000
ACTIVE = "active"


def listed(found: Mapping[str, tuple[Channel, Model]], *, twice: bool) -> list[dict[str, object]]:
    """Each model; with `twice` once more with Anthropic's prefix, under which the pickers of some clients show it."""
    rows = []
    for name, (_, model) in found.items():
        rows.append(info(name, model))
        twin = PREFIX + name
        if twice and model.kind == "chat" and not name.startswith(PREFIX) and twin not in found:
            rows.append(info(twin, model))
    return rows


def info(name: str, model: Model) -> dict[str, object]:
    """One model under this name. What nobody stated is null."""
    return {
        "type": "model",
        "id": name,
        "display_name": name.removeprefix(PREFIX),
        "created_at": iso(CREATED * 1_000_000),
        "lifecycle": ACTIVE,
        "line": None,
        "deprecated_at": None,
        "retires_at": None,
        "max_input_tokens": model.context,
        "max_tokens": model.max_output,
        "capabilities": None,
    }


def page(rows: list[dict[str, object]]) -> dict[str, object]:
    """The page of `rows` that the query asks for. Raises InvalidRequest."""
    stages = [*request.args.getlist("lifecycle[]"), *request.args.getlist("lifecycle")]
    if stages and ACTIVE not in stages:
        rows = []
    most, after, before = whole("limit", MOST, MOST), text("after_id"), text("before_id")
    places = {row["id"]: place for place, row in enumerate(rows)}
    for name, cursor in (("after_id", after), ("before_id", before)):
        if cursor is not None and cursor not in places:
            raise InvalidRequest(f"`{name}` is no model of this list: {cursor[:200]}", param=name)
    if after is not None:
        rows = rows[places[after] + 1 :]
    elif before is not None:
        rows = rows[: places[before]]
    shown = rows[-most:] if before is not None and after is None else rows[:most]
    return {
        "data": shown,
        "has_more": len(shown) < len(rows),
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
    }
