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
from ftgate.core.money import format_usd_cents
from ftgate.core.pricing import times
from ftgate.core.routing import Candidate, Names, Routes, Spot
from ftgate.dialects.brought import in_header
from ftgate.dialects.fields import decode_object
from ftgate.dialects.talk import Dialect
from ftgate.errors import InvalidRequest, NotFound
from ftgate.line.beside import LARGE_BODY
from ftgate.line.call import Call, Exchange
from ftgate.line.charge import prompt_of, quote
from ftgate.line.outlook import Outlook
from ftgate.line.planning import Out, Why
from ftgate.line.translation import fit_all
from ftgate.ports import BYOK, Explained, Explanation, Headers, Key, LeftOut

if TYPE_CHECKING:
    from ftgate.line.gate import Gate

MOST_ROWS = 100
"""Candidates that are told, and as many that were left out: behind "auto" may stand hundreds."""


async def explain(
    gate: "Gate", key: Key, body: bytes, route: str | None = None, provider_key: bytes | None = None
) -> Explanation:
    """How a call with this body would be routed. `route`: the relay route it is for; by default the one whose body it
    looks like. `provider_key`: the value of the header that brings one. Raises GateError for what the call would be
    refused for before it is planned."""
    dialect = _dialect(gate.settings.routes, body, route)
    brought = None if provider_key is None else in_header(provider_key)
    call = Call(id="req_explained", dialect=dialect, secret=None, body=body, key=key, brought=brought)
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
    walk = _Walk(gate, x, key, await gate.ledger.available(key.account, key.id))
    walk.all()
    return Explanation(
        tuple(walk.data.values()), tuple(walk.left.values())[:MOST_ROWS], grade.name or None,
        grade.words if grade.name else "",
    )  # fmt: skip


class _Walk:
    """A plan that is walked to its end: what is told of each candidate, by its channel and its model. `available`:
    units that the call could set aside, None where nothing bounds it."""

    def __init__(self, gate: "Gate", x: Exchange, key: Key, available: int | None) -> None:
        self.gate = gate
        self.x = x
        self.key = key
        self.available = available
        self.view = Outlook(x, gate.standing.pace, gate.clock.now())
        self.reasons = {found.spot.place: found for found in gate.planner.reasons(x, key)}
        self.data: dict[tuple[str, str], Explained] = {}
        self.left: dict[tuple[str, str], LeftOut] = {}
        self.asked = self.too_poor = False

    def all(self) -> None:
        x, fits = self.x, False
        for way in x.ways:
            place = way.channel.name, way.model.name
            if place in self.data:
                continue
            fit, why = self._sifted(way)
            if fit is None:
                self.left.setdefault(place, LeftOut(place[1], place[0], why))
                continue
            fits = True
            self._offer(fit)
            if len(self.data) >= MOST_ROWS:
                break
        if not fits:
            self._last_resort()
        if self.too_poor and not self.asked:  # the call is refused: no fallback stands in for what cannot be paid
            for place, told in self.data.items():
                self.left[place] = LeftOut(told.model, told.channel, "none of the models asked for can be paid")
            self.data.clear()
        if x.mode != BYOK:
            for out in _never(x, self.key, self.gate.planner.all_names(x)):
                self.left.setdefault((out.channel or "", out.model), out)

    def _last_resort(self) -> None:
        """Where everybody rests one may be asked all the same (planning.Planner.offers)."""
        found = self.gate.standing.last_resort(self.x)
        if found is not None and self.gate.planner.at_limit(self.x, found[1].model) is None:
            self._offer(found[1], f"everybody rests, and it may be asked all the same after {max(found[0], 0.0):.1f} s")

    def _sifted(self, way: Candidate) -> tuple[Candidate | None, str]:
        """The candidate as it would be asked now, or None and why it would be passed over."""
        x, model = self.x, way.model
        x.unfit = None
        out = self.gate.planner.sift(x, way)
        if not isinstance(out, Out):
            return out, ""
        if out.why is Why.unfit:
            return None, f"it cannot be asked this: {x.unfit.message if x.unfit else 'no address fits'}"
        if out.why is Why.short:
            prompt = prompt_of(x, model).longest.likely
            return None, f"its context of {model.context} tokens is too short for about {prompt}"
        if out.refused is not None:
            return None, f"its model is at its limit for {out.refused.retry_after_s:.1f} s"
        if self.gate.standing.at_cap(way):
            return None, "its channel is at its monthly_cap"
        wait = x.resting[-1][0]
        return None, f"it rests for {wait:.1f} s after failures" if wait > 0 else "its key was refused"

    def _offer(self, way: Candidate, why: str = "") -> None:
        """What the ledger would say to it: a candidate that cannot be paid is left out."""
        x, place = self.x, (way.channel.name, way.model.name)
        asked = way.model.name not in x.fallback
        least = 0 if self.available is None else times(quote(x, way).least, x.multiplier)
        if self.available is not None and least > self.available:
            self.too_poor |= asked
            words = f"it needs ${format_usd_cents(least)} at the least, and ${format_usd_cents(self.available)} is left"
            self.left[place] = LeftOut(place[1], place[0], words)
            return
        self.asked |= asked
        self.left.pop(place, None)  # another credential of its channel does
        self.data[place] = self._told(way, why)

    def _told(self, way: Candidate, why: str) -> Explained:
        channel, name = way.channel, way.model.name
        if self.x.mode == BYOK:
            return Explained(name, channel.name, channel.provider, 1.0, 0, "it is asked with the key that you bring")
        cost = self.view.cost(Spot(name, channel, way.address, 0))
        if (found := self.reasons.get((channel.name, name))) is not None:
            return Explained(name, channel.name, channel.provider, found.score, cost, why or found.why)
        why = why or ("a fallback" if name in self.x.fallback else "in the order that was asked for")
        return Explained(name, channel.name, channel.provider, round(1 / (len(self.data) + 1), 3), cost, why)


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
            elif not channel.enabled:
                yield LeftOut(name, channel.name, "its channel is disabled by the operator")
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
