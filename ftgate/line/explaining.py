"""A call's route in words, without the call: who would be asked in which order, who would not and why, and what it is
expected to cost.

It is planned as the call would be. Nothing is held, no limit counts it, no turn is taken, and nobody is called.
"""

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

import msgspec
import trio

from ftgate import dialects
from ftgate.core.complexity import Grade
from ftgate.core.ranking import Ranked
from ftgate.core.routing import Candidate, Names, Routes, Spot
from ftgate.dialects.fields import decode_object
from ftgate.dialects.talk import Dialect
from ftgate.errors import InvalidRequest, NotFound
from ftgate.line.beside import LARGE_BODY
from ftgate.line.call import Call, Exchange
from ftgate.line.charge import prompt_of
from ftgate.line.outlook import Outlook
from ftgate.line.planning import Out, Why
from ftgate.line.translation import fit_all
from ftgate.ports import BYOK, Explained, Explanation, Headers, Key, LeftOut

if TYPE_CHECKING:
    from ftgate.line.gate import Gate

MOST_ROWS = 100
"""Candidates that are told, and as many that were left out: behind "auto" may stand hundreds."""


async def explain(gate: "Gate", key: Key, body: bytes, route: str | None = None) -> Explanation:
    """How a call with this body would be routed. `route`: the relay route it is for; by default the one whose body it
    looks like. Raises GateError for what the call would be refused for before it is planned."""
    dialect = _dialect(gate.settings.routes, body, route)
    call = Call(id="req_explained", dialect=dialect, secret=None, body=body, key=key)
    x = Exchange(call, _Nobody(), gate.settings, gate.ratios, gate.clock.now(), gate.clock.wall_us())
    call.began_at = trio.current_time()
    x.key = key
    large = len(body) >= LARGE_BODY
    x.ask = await gate.beside.run(dialect.read_request, body) if large else dialect.read_request(body)
    grade = await gate.beside.run(gate.planner.grade, x) if large else gate.planner.grade(x)
    gate.planner.plan(x, key, turning=False)
    x.ways = tuple(islice(x.ways, 4 * MOST_ROWS))
    if large:
        await gate.beside.run(fit_all, x, x.ways)
    return _explained(gate, x, key, grade)


def _explained(gate: "Gate", x: Exchange, key: Key, grade: Grade) -> Explanation:
    planner = gate.planner
    view = Outlook(x, planner.pace, gate.clock.now())
    reasons = {found.spot.place: found for found in planner.reasons(x, key)}
    data: dict[tuple[str, str], Explained] = {}
    left: dict[tuple[str, str | None], LeftOut] = {}
    for way in x.ways:
        place = way.channel.name, way.model.name
        if place in data:
            continue
        if why := _against(gate, x, way):
            left.setdefault((place[1], place[0]), LeftOut(place[1], place[0], why))
        else:
            left.pop((place[1], place[0]), None)  # another credential of its channel does
            data[place] = _told(x, way, reasons.get(place), view, len(data))
        if len(data) >= MOST_ROWS or len(left) >= MOST_ROWS:
            break
    if x.mode != BYOK:
        for out in _never(x, key, planner.all_names(x)):
            if len(left) < MOST_ROWS:
                left.setdefault((out.model, out.channel), out)
    return Explanation(
        tuple(data.values()), tuple(left.values()), grade.name or None, grade.words if grade.name else ""
    )


def _told(x: Exchange, way: Candidate, found: Ranked | None, view: Outlook, nth: int) -> Explained:
    channel = way.channel
    if x.mode == BYOK:
        why = "it is asked with the key that you bring"
        return Explained(way.model.name, channel.name, channel.provider, 1.0, 0, why)
    spot = Spot(way.model.name, channel, way.address, 0)
    if found is not None:
        return Explained(way.model.name, channel.name, channel.provider, found.score, view.cost(spot), found.why)
    why = "a fallback" if way.model.name in x.fallback else "in the order that was asked for"
    return Explained(way.model.name, channel.name, channel.provider, round(1 / (nth + 1), 3), view.cost(spot), why)


def _against(gate: "Gate", x: Exchange, way: Candidate) -> str:
    """Why it would be passed over now; "" where it would not."""
    model = way.model
    x.unfit = None
    out = gate.planner.sift(x, way)
    if not isinstance(out, Out):
        return ""
    if out.why is Why.unfit:
        return f"it cannot be asked this: {x.unfit.message if x.unfit else 'no address fits'}"
    if out.why is Why.short:
        prompt = prompt_of(x, model).longest.likely
        return f"its context of {model.context} tokens is too short for about {prompt}"
    if out.refused is not None:
        return f"its model is at its limit for {out.refused.retry_after_s:.1f} s"
    if gate.standing.at_cap(way):
        return "its channel is at its monthly_cap"
    wait = x.resting[-1][0]
    return f"it rests for {wait:.1f} s after failures" if wait > 0 else "its key was refused"


def _never(x: Exchange, key: Key, names: Names) -> Iterator[LeftOut]:
    """Who does not come into a plan at all."""
    routes, terms, kind = x.settings.routes, x.settings.terms(key.plan), x.call.dialect.KIND
    spoken = dialects.translating(x.call.dialect)
    for name in (*names.asked, *names.fallback):
        if not (routes.permits(key.models, name) and routes.permits(terms.models, name)):
            yield LeftOut(name, None, "this key or its plan may not use it")
            continue
        if not routes.serving(name):
            yield LeftOut(name, None, "no channel serves it")
        for channel in routes.serving(name):
            if channel.weight <= 0:
                yield LeftOut(name, channel.name, "its channel has weight 0")
            elif channel.models[name].kind != kind:
                yield LeftOut(name, channel.name, f"it is a model for {channel.models[name].kind}")
            elif not any(dialect in channel.addresses for dialect in spoken):
                yield LeftOut(name, channel.name, f"{x.call.dialect.NAME} cannot be put into what its channel speaks")
            elif not channel.credentials:
                yield LeftOut(name, channel.name, "its channel has no key")


def _dialect(routes: Routes, body: bytes, route: str | None) -> Dialect:
    """Whose body it is. Raises NotFound for a route that is none, InvalidRequest."""
    if route is not None:
        if route not in dialects.ROUTES:
            raise NotFound(f"{route[:200]} is no relay route; they are {', '.join(dialects.ROUTES)}")
        return dialects.ROUTES[route]
    fields = decode_object(body)
    if "messages" in fields:
        return dialects.ALL["anthropic_messages" if "system" in fields else "openai_chat"]
    if "prompt" in fields:
        return dialects.ALL["openai_completions"]
    if "input" not in fields:
        raise InvalidRequest("`messages`, `input` or `prompt` is missing", code="missing_field", param="messages")
    try:
        name = msgspec.json.decode(fields.get("model", b'""'), type=str)
    except msgspec.DecodeError:
        name = ""
    kinds = {channel.models[served].kind for served in (routes.resolve(name),) for channel in routes.serving(served)}
    return dialects.ALL["openai_embeddings" if kinds == {"embeddings"} else "openai_responses"]


class _Nobody:
    """ports.Client of a call that is never answered."""

    immediate = True

    async def answer(self, status: int, headers: Headers, body: bytes) -> None:
        raise AssertionError("it is not answered")

    async def start(self, status: int, headers: Headers) -> None:
        raise AssertionError("it is not answered")

    def send_now(self, data: bytes) -> bool:
        raise AssertionError("it is not answered")

    async def send(self, data: bytes) -> None:
        raise AssertionError("it is not answered")

    async def end(self, data: bytes = b"") -> None:
        raise AssertionError("it is not answered")
