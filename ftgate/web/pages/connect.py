"""Connecting programs: for each what to write, and where, with this server's address (core.connect has the table)."""

from collections.abc import Mapping, Sequence
from typing import Any

from quart import Blueprint, Response

from ftgate.core.connect import GROUPS, PLACEHOLDER, TOOLS, from_container, is_public
from ftgate.errors import NotFound
from ftgate.web.api.models import served
from ftgate.web.asked import text, whole_id
from ftgate.web.asking import Asker
from ftgate.web.pages.desk import Desk

AUTO = "auto"
KEYS = 100
OWN_PREFIX = "sk-ft_"


def add(routes: Blueprint, desk: Desk) -> None:
    async def chosen(asker: Asker) -> dict[str, Any]:
        """What every page here is given: the model and the key that were chosen, and those to choose from."""
        keys = await _keys(desk, asker)
        id, models = whole_id("key"), _models(desk, asker)
        key = next((key for key in keys if key["id"] == str(id)), None) if id is not None else None
        if id is not None and key is None:
            raise NotFound(f"no API key with the id {str(id)!r}")
        shown = f"{key['keyPrefix']}…" if key is not None else PLACEHOLDER
        model = (text("model") or AUTO)[:200]
        return {
            "keys": keys, "key": key, "shown_key": shown, "models": models, "model": model, "tools": TOOLS.values(),
            "groups": GROUPS,
        }  # fmt: skip

    @routes.get("/connect")
    async def start() -> Response:
        asker = await desk.person()
        return desk.show("connect/list.html", asker, **await chosen(asker))

    @routes.get("/connect/<id>")
    async def one(id: str) -> Response:
        asker = await desk.person()
        tool, base = TOOLS.get(id), desk.address()
        if tool is None:
            raise NotFound(f"No program {id[:100]!r} is known here")
        said = await chosen(asker)
        return desk.show(
            "connect/one.html", asker, tool=tool, pieces=tool.pieces(base, said["shown_key"], said["model"]),
            inside=from_container(base) if tool.contained and from_container(base) != base else "",
            unreachable=tool.public and not is_public(base), **said,
        )  # fmt: skip


async def _keys(desk: Desk, asker: Asker) -> Sequence[Mapping[str, Any]]:
    """The account's keys that a program may show: the newest ones that work."""
    found, *_ = await desk.services.keys.page(asker.account, status="active", after=None, skipped=0, size=KEYS)
    return [key for key in found if str(key["keyPrefix"]).startswith(OWN_PREFIX)]


def _models(desk: Desk, asker: Asker) -> list[str]:
    settings = desk.guard.line.settings
    found = served(settings.routes, (), settings.terms(asker.person.plan))
    return sorted(name for name, (_, model) in found.items() if model.kind == "chat")
