"""Calls that have ended: the list of an account's, or for operators of all, and the page of one with its arithmetic."""

from collections.abc import Sequence
from datetime import UTC, tzinfo
from urllib.parse import urlencode

from quart import Blueprint, Response, request

from ftgate.core.logged import OPERATOR, ROW, Listed, Logged, Recorded, Totals, Wanted
from ftgate.core.logged import shown as as_row
from ftgate.errors import NotFound
from ftgate.web.api.usage import FAILED, LIST, no_call, wanted_calls
from ftgate.web.asked import text
from ftgate.web.asking import Asker
from ftgate.web.pages import lists, zones
from ftgate.web.pages.desk import Desk, part
from ftgate.web.pages.forms import Form
from ftgate.web.pages.left import left
from ftgate.web.pages.one_call import told
from ftgate.web.pages.reasons import reason
from ftgate.web.pages.whose import Whose, nobodys, whose
from ftgate.web.paging import paged, paging
from ftgate.web.replies import reply

ROWS = 25
FILTERS = ("from", "to", "model", "key", "status", "mode", "request_id", "user", "channel")
STATUSES = (
    ("", "Any"), (FAILED, "Failed"), ("ok", "ok"), ("client_gone", "client gone"), ("error", "error"),
    ("timeout", "timeout"), ("refused", "refused"), ("operator", "stopped"),
    ("write_timeout", "caller stalled"), ("shutdown", "shutdown"), ("crashed", "crashed"),
)  # fmt: skip
MODES = (("", "Any"), ("standard", "Credits"), ("byok", "Own provider key"))
OWN, ALL = "/logs", "/admin/requests"


def add(routes: Blueprint, desk: Desk) -> None:
    services = desk.services

    @routes.get(OWN)
    async def calls() -> Response:
        asker = await desk.person()
        rows, _, _ = await services.keys.page(asker.account, status=None, after=None, skipped=0, size=100)
        keys = [(str(key["id"]), str(key["name"] or key["keyPrefix"])) for key in rows]
        return await listed(desk, asker, asker.account, keys)

    @routes.get(ALL)
    async def every_call() -> Response:
        asker = await desk.operator()
        return await listed(desk, asker, None, [])

    @routes.get(f"{OWN}/<id>")
    async def call(id: str) -> Response:
        asker = await desk.person()
        return await one(asker, await services.journal.call(id, asker.account), id, operator=False)

    @routes.get(f"{ALL}/<id>")
    async def any_call(id: str) -> Response:
        asker = await desk.operator()
        return await one(asker, await services.journal.call(id), id, operator=True)

    async def one(asker: Asker, found: Recorded | None, id: str, *, operator: bool) -> Response:
        if found is None:
            raise no_call(desk.guard, id)
        return desk.show(
            "calls/one.html", asker, call=told(found, desk.address(), operator=operator), row=found.row,
            operator=operator, list_path=ALL if operator else OWN, key_there=is_there(desk, found.row),
            left=await left(desk, found.row),
            owner=services.sessions.person(found.row.account).username if operator else "",
        )  # fmt: skip


async def listed(desk: Desk, asker: Asker, account: int | None, keys: Sequence[tuple[str, str]]) -> Response:
    """A page of the calls of an account, or of all: what is wrong with a filter stands above the list."""
    if tidy := desk.tidied():
        return tidy
    form = Form({name: [said] for name, said in request.args.items()})
    place: tzinfo = UTC
    wanted = Wanted(account=account)
    operator, kind, missing = account is None, "html", ""
    names = OPERATOR if operator else ROW
    rows: list[Logged] = []
    totals, total, following = None, 0, None
    with form.trying():
        place = zones.place()
        of = Whose(account) if account is not None else whose(desk)
        missing = of.missing
        wanted, kind = wanted_calls(of.account, place, channel=text("channel") if operator else None), lists.form()
        if kind == "csv" and missing:
            return lists.as_file(nobodys(LIST), "requests", kind)
        if kind == "csv":
            pieces = desk.services.journal.csv(wanted, names)
            return desk.services.exports.sent(asker.account, pieces, "text/csv; charset=utf-8", "requests.csv")
        asked = paging(LIST, 2, ROWS)
        after = None if asked.after is None else (asked.after[0], asked.after[1])
        found = Listed([], 0, None) if missing else await desk.services.journal.page(
            wanted, skipped=asked.skipped, size=asked.size, after=after, summed=True
        )  # fmt: skip
        rows, total, totals = found.rows, found.total, found.totals
        page = paged([as_row(row, names) for row in rows], asked, total, found.following, LIST)
        following = page["next"]
        if kind == "json":
            return reply(page)
    return desk.show(
        "calls/list.html", asker, form=form, rows=[shown(desk, row, operator=operator) for row in rows], total=total,
        next=following, totals=totals or sum_of(rows), whole=totals is not None, operator=operator, keys=keys,
        list_path=ALL if operator else OWN, statuses=with_one(STATUSES, text("status")),
        modes=with_one(MODES, text("mode")), tz=zones.name_of(place), starts=zones.local(wanted.from_us, place),
        ends=zones.local(wanted.to_us, place), csv=csv_path(place, ALL if operator else OWN),
        filtered=any(text(name) for name in FILTERS), names={"key": dict(keys)}, missing=missing,
    )  # fmt: skip


def shown(desk: Desk, row: Logged, *, operator: bool) -> dict[str, object]:
    """A row with what the list says beside it."""
    return {
        "row": row,
        "path": f"{ALL if operator else OWN}/{part(row.request_id)}",
        "why": reason(row.status, row.error_code, row.http_status, begun=row.first_token_ms is not None)[0],
        "owner": desk.services.sessions.person(row.account).username if operator else "",
    }


def is_there(desk: Desk, row: Logged) -> bool:
    """Whether the key of a call has not been deleted."""
    try:
        desk.services.keys.shown(row.key, row.account)
    except NotFound:
        return False
    return True


def sum_of(rows: Sequence[Logged]) -> Totals:
    """What the rows of this page come to."""
    return Totals(
        sum(row.prompt_tokens for row in rows), sum(row.cached_tokens for row in rows),
        sum(row.completion_tokens for row in rows), sum(row.cost for row in rows),
    )  # fmt: skip


def with_one(choices: Sequence[tuple[str, str]], said: str | None) -> list[tuple[str, str]]:
    """The choices of a filter, and the one that the address says though it is none of them."""
    return [*choices, *([(said, said)] if said is not None and said not in dict(choices) else [])]


def csv_path(place: tzinfo, path: str) -> str:
    """Where the same calls come as CSV: all of them."""
    said = {name: value for name in FILTERS if (value := text(name)) is not None}
    return f"{path}?{urlencode({**said, 'tz': zones.name_of(place), 'format': 'csv'})}"
