"""Who changed what, and when."""

from collections.abc import Mapping
from functools import partial

import msgspec
from quart import Blueprint, Response

from ftgate.ports.managing import Acts
from ftgate.web.asked import text
from ftgate.web.pages import lists
from ftgate.web.pages.desk import Desk
from ftgate.web.paging import page_of


def add(routes: Blueprint, desk: Desk) -> None:
    @routes.get("/admin/audit")
    async def audit() -> Response:
        asker = await desk.operator()
        if tidy := desk.tidied():
            return tidy
        actor = text("actor")
        by_id = actor is not None and actor.isascii() and actor.isdecimal() and len(actor) <= 18
        wanted = Acts(
            actor=int(actor) if actor is not None and by_id else None, actor_name=None if by_id else actor,
            action=text("what"), target=text("target"),
        )  # fmt: skip
        found = await page_of("audit", partial(desk.services.records.acts, wanted))
        rows = [{**row, "changes": changes(row)} for row in lists.rows_of(found)]
        if (form := lists.form()) != "html":
            flat = [{**row, **{of: _flat(row[of]) for of in ("before", "after")}} for row in lists.rows_of(found)]
            return lists.as_file(found if form == "json" else {**found, "data": flat}, "audit", form)
        return desk.show("operate/audit.html", asker, found=found, rows=rows)


def changes(row: Mapping[str, object]) -> list[tuple[str, str, str]]:
    """What a row says was changed: its name, what it was and what it is, "" where there was or is none."""
    before, after = (said if isinstance(said := row.get(of), dict) else {} for of in ("before", "after"))
    found = [(name, _said(before, name), _said(after, name)) for name in dict.fromkeys((*before, *after))]
    return [(name, was, now) for name, was, now in found if was or now]


def _said(said: Mapping[str, object], name: str) -> str:
    value = said.get(name)
    if value is None or value in ("", [], {}):
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _flat(said: object) -> str | None:
    return None if said is None else msgspec.json.encode(said).decode()
