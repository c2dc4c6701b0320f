"""Credits from outside, given and put right by operators."""

from quart import Blueprint, Response, request

from ftgate.core.accounts import MOST_REF, REF, REF_WORDS
from ftgate.web import fields
from ftgate.web.api.auth import MOST_USERNAME
from ftgate.web.asking import Guard, doer
from ftgate.web.replies import reply
from ftgate.web.services import Services

MOST_NOTE = 500
HEADER = "Idempotency-Key"


def add(routes: Blueprint, guard: Guard, services: Services) -> None:
    credits = services.credits

    @routes.post("/v1/admin/credits")
    async def grant() -> Response:
        asker = await guard.operator()
        said = await fields.read()
        units, note, ref = given(said)
        account = _account(services, said)
        return reply(await credits.granted(account, units, note=note, ref=ref, by=doer(asker)))

    @routes.post("/v1/admin/credits/correct")
    async def correct() -> Response:
        asker = await guard.operator()
        said = await fields.read()
        units, note, ref = put_right(said)
        account = _account(services, said)
        return reply(await credits.corrected(account, units, note=note, ref=ref, by=doer(asker)))


def given(said: fields.Fields) -> tuple[int, str, str | None]:
    """Of credits that are given: units, the note and the ref. Raises InvalidRequest."""
    units = said.usd("amount")
    if units is not None and units <= 0:
        said.fault(fields.wrong("amount", "`amount` must be more than 0: a correction takes credits back"))
    return said.needed("amount", units), said.line("note", least=0, most=MOST_NOTE) or "", _ref(said)


def put_right(said: fields.Fields) -> tuple[int, str, str | None]:
    """The same of a correction. Raises InvalidRequest."""
    units = said.usd("amount")
    if units == 0:
        said.fault(fields.wrong("amount", "`amount` must be another one than 0, of either sign"))
    return said.needed("amount", units), said.needed("note", said.line("note", most=MOST_NOTE)), _ref(said)


def _ref(said: fields.Fields) -> str | None:
    """What the caller calls it: the field, or the header. Raises InvalidRequest."""
    named, header = said.text("ref", most=MOST_REF), request.headers.get(HEADER)
    for where, ref in (("ref", named), (HEADER, header)):
        if ref is not None and not REF.fullmatch(ref):
            said.fault(fields.wrong(where, f"`{where}` must be {REF_WORDS}"))
    if named is not None and header is not None and named != header:
        raise fields.wrong("ref", f"`ref` and the header {HEADER} are two different ones")
    return named if named is not None else header


def _account(services: Services, said: fields.Fields) -> int:
    """Whose credits: by id or by name. Raises InvalidRequest, NotFound for a name that is unknown."""
    id, name = said.id("user"), said.text("username", most=MOST_USERNAME)
    if name is None:
        return said.needed("user", id)
    found = services.credits.account(name)
    if id not in {None, found}:
        raise fields.wrong("username", "`user` and `username` are two different accounts")
    return found
