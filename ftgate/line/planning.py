"""Where a call may go: its candidates in their order, and the limits of the models among them.

What falls out, and in which order: unknown or forbidden, of another kind, without an address that is spoken, unfit
(what is asked cannot be said in any dialect that it speaks), a context that is too short, resting after failures, a
limit that is reached. What
can be paid is the ledger's to say (pricing.hold_for). A plan is made as far as it is walked: behind "auto" may stand a
catalogue of hundreds.
"""

from collections.abc import Iterator
from enum import Enum
from functools import partial
from itertools import chain

import msgspec

from ftgate import dialects
from ftgate.core import complexity, limits, ranking, routing
from ftgate.core.affinity import Affinity, digest
from ftgate.core.ranking import Ranked
from ftgate.core.routing import SMALLEST_ROOM, Candidate, Model, Speech, Spot
from ftgate.dialects import gist
from ftgate.dialects.brought import FIELD
from ftgate.dialects.conversation import beginning_of, name_of
from ftgate.errors import Forbidden, GateError, InvalidRequest, NoHealthyProvider, NotServed
from ftgate.line.brought import ways_of
from ftgate.line.call import Exchange, Offered
from ftgate.line.charge import likely_tokens, prompt_of, quote
from ftgate.line.outlook import Outlook
from ftgate.line.standing import Standing
from ftgate.line.translation import fitting
from ftgate.line.words import too_many
from ftgate.ports import BYOK, Clock, Key, Ledger, Terms

NAMES_KEPT = 16
"""Names in a plan up to which it is made whole and remembered; a longer one is walked anew, as far as it is needed."""
PLANS_KEPT = 1000
"""Plans remembered, so that a call for a model with a single way need not make its own."""


class Why(Enum):
    """Why a candidate is passed over."""

    unfit = "unfit"
    short = "short"
    rests = "rests"
    limited = "limited"


class Out(msgspec.Struct, frozen=True):
    """A candidate that is passed over; `refused` by the limit of its model."""

    why: Why
    refused: limits.Refused | None = None


UNFIT, SHORT, RESTS = Out(Why.unfit), Out(Why.short), Out(Why.rests)


class Planner:
    """Makes plans. Built once by the gate."""

    def __init__(self, meters: limits.Limits, standing: Standing, clock: Clock, ledger: Ledger) -> None:
        self.limits = meters
        self.standing = standing
        self.clock = clock
        self.ledger = ledger
        # Plans that are the same at every turn, with the models among them that are fallbacks.
        self.planned: dict[tuple[object, ...], tuple[routing.Routes, tuple[Candidate, ...], frozenset[str]]] = {}
        # Of each served model: whose turn it is among its channels and their credentials.
        self.turns: dict[str, int] = {}
        self.affinity = Affinity()

    def forget(self) -> None:
        """The settings have changed: no plan of the old ones is kept."""
        self.planned.clear()

    def plan(self, x: Exchange, key: Key, *, turning: bool = True) -> Candidate:
        """Which candidates, in which order; the first of them. `turning`: the next call gets the next turn. Raises what
        the caller can mend: an unknown model, one that the key may not use."""
        routes, ask = x.settings.routes, x.ask
        terms = x.settings.terms(key.plan)
        x.multiplier = terms.multiplier
        if (FIELD in ask.fields or x.call.brought is not None) and (brought := ways_of(x, key, terms)):
            x.ways = brought
            return brought[0]
        grade = ""
        if "auto" in ask.names:
            grade = self.grade(x).name
        place = (ask.names, ask.routing, grade, key.models, terms.models, x.call.dialect.NAME)
        known = self.planned.get(place)
        if known is not None and known[0] is routes:
            _, x.ways, x.fallback = known
            return known[1][0]
        dialect = x.call.dialect
        names = self._names(x, _asked(x), key, terms, grade)
        leader = names.asked[0] if names.asked else ""
        turn = self.turns.get(leader, 0)
        speech = routing.Speech(dialect.KIND, dialects.translating(dialect))
        ways = routing.plan(self._spots(x, names, speech, turn))
        first = next(ways, None)
        if first is None:
            raise self._unserved(x, key, names)
        if turning:
            self.turns[leader] = turn + 1
        x.fallback = frozenset(names.fallback)
        x.ways = chain((first,), ways)
        if routes.affine and (said := self._known_by(x, first)):
            x.affine = digest(key.id, first.model.name, said)
            all_ways = tuple(x.ways)
            alike = self._alike(x, all_ways)
            x.ways = (*self.affinity.warm(x.affine, all_ways[:alike], self.clock.now()), *all_ways[alike:])
            first = x.ways[0]
        if (
            len(names.asked) + len(names.fallback) <= NAMES_KEPT
            and routing.is_fixed(routes, (*names.asked, *names.fallback))
            and not _is_ranked(routes, ask.routing, names)
        ):
            if len(self.planned) >= PLANS_KEPT:
                self.planned.clear()
            x.ways = tuple(x.ways)
            self.planned[place] = routes, x.ways, x.fallback
        return first

    def _spots(self, x: Exchange, names: routing.Names, speech: Speech, turn: int) -> Iterator[Spot]:
        """Where it may go, in order: what is not ranked is made one by one."""
        routes = x.settings.routes
        if not _is_ranked(routes, x.ask.routing, names):
            return routing.spots(routes, (*names.asked, *names.fallback), speech, turn)
        return (found.spot for found in self.ranked(x, names, speech, turn))

    def ranked(self, x: Exchange, names: routing.Names, speech: Speech, turn: int) -> Iterator[Ranked]:
        """Where it may go, in order and with the reasons, where cost or pace decide."""
        routes, view = x.settings.routes, Outlook(x, self.standing.pace, self.clock.now())
        if x.ask.routing in ranking.STRATEGIES:
            for part in (names.asked, names.fallback):
                yield from ranking.rank(x.ask.routing, [*routing.spots(routes, part, speech, turn)], view, turn)
            return
        # Of "auto" the models change places, each by the channel that comes first for it: among those of one model the
        # operator's order holds.
        free, rest = names.asked[: names.free], (*names.asked[names.free :], *names.fallback)
        leaders = [spot for name in free for spot in [*routing.spots(routes, (name,), speech, turn)][:1]]
        for found in ranking.rank("auto", leaders, view, turn, routes.first_token_target):
            for spot in routing.spots(routes, (found.spot.name,), speech, turn):
                yield Ranked(spot, found.score, found.why)
        for spot in routing.spots(routes, rest, speech, turn):
            yield Ranked(spot, 0.0, "after the models for this complexity")

    def reasons(self, x: Exchange, key: Key) -> Iterator[Ranked]:
        """Where cost or pace decide, in which order and why, for the turn that is next."""
        names = self._names(x, _asked(x), key, x.settings.terms(key.plan), self.grade(x).name)
        if _is_ranked(x.settings.routes, x.ask.routing, names):
            turn = self.turns.get(names.asked[0] if names.asked else "", 0)
            speech = routing.Speech(x.call.dialect.KIND, dialects.translating(x.call.dialect))
            yield from self.ranked(x, names, speech, turn)

    def all_names(self, x: Exchange) -> routing.Names:
        """What a call names, whoever asks."""
        return routing.names_for(x.settings.routes, _asked(x), self.grade(x).name, x.call.dialect.KIND)

    def _alike(self, x: Exchange, ways: tuple[Candidate, ...]) -> int:
        """How many of these candidates, from the first on, are as good for what the caller asked for: a warm cache is
        no reason to go where it costs more, or takes longer."""
        if x.ask.routing not in ranking.STRATEGIES:
            return len(ways)
        view, spots = (
            Outlook(x, self.standing.pace, self.clock.now()),
            [Spot(w.model.name, w.channel, w.address, 0) for w in ways],
        )
        by = view.cost if x.ask.routing == "cheapest" else view.seconds
        return next((at for at, spot in enumerate(spots) if by(spot) != by(spots[0])), len(spots))

    @staticmethod
    def _known_by(x: Exchange, first: Candidate) -> bytes:
        """What the conversation is known by at the channels that its model has; b"" where they do not care."""
        kinds = {channel.affinity for channel in x.settings.routes.serving(first.model.name)}
        said = name_of(x.ask.fields) if "key" in kinds else b""
        return said or (beginning_of(x.ask.fields) if "prefix" in kinds else b"")

    def answered(self, x: Exchange, way: Candidate) -> None:
        """It was answered there: its next turn goes there again, if its channel cares."""
        if x.affine and way.channel.affinity != "off":
            self.affinity.answered(x.affine, way, self.clock.now())

    @staticmethod
    def grade(x: Exchange) -> complexity.Grade:
        """How hard an "auto" call is; what is no chat is not told apart."""
        if x.grade is None:
            is_chat = x.call.dialect.KIND == "chat"
            x.grade = complexity.grade(gist.asked(x.ask)) if is_chat else complexity.Grade("", 0)
        return x.grade

    @staticmethod
    def _unserved(x: Exchange, key: Key, names: routing.Names) -> GateError:
        """Why no channel can take this call."""
        kind, routes = x.call.dialect.KIND, x.settings.routes
        found = [(name, c.models[name]) for name in names.asked for c in routes.serving(name) if c.weight > 0]
        speaking = set(dialects.translating(x.call.dialect))
        for name in names.asked:
            for c in routes.serving(name):
                if c.weight > 0 and not c.enabled and c.models[name].kind == kind and speaking & c.addresses.keys():
                    return NoHealthyProvider(f"every channel of {name} is disabled by the operator", retry_after_s=60)
        for name, model in found:
            if model.kind == kind:
                return NotServed(f"{name} is served by no channel that speaks {x.call.dialect.NAME} in this version")
        if found:
            name, model = found[0]
            words = f"{name} is a model for {model.kind}, and this route is for {kind}; GET /v1/models lists the models"
            return InvalidRequest(words, code="invalid_value", param="model")
        if "auto" in x.ask.names and key.models:
            return Forbidden(
                "None of the models this API key may use is served now", code="model_not_allowed", param="model"
            )
        unknown = ", ".join(repr(name) for name in x.ask.names)[:200]
        return InvalidRequest(
            f"Unknown model {unknown}; GET /v1/models lists the models", code="model_not_found", param="model"
        )

    @staticmethod
    def _names(x: Exchange, asked_names: tuple[str, ...], key: Key, terms: Terms, grade: str) -> routing.Names:
        """The served names to try, in order. Raises Forbidden for one that was asked for and may not be used."""
        routes = x.settings.routes
        for name in asked_names:
            if name != "auto" and not (routes.permits(key.models, name) and routes.permits(terms.models, name)):
                raise Forbidden(f"This API key may not use the model {name!r}", code="model_not_allowed", param="model")
        names = routing.names_for(routes, asked_names, grade, x.call.dialect.KIND)
        if not key.models and not terms.models:
            return names
        asked = {routes.resolve(name) for name in asked_names}

        def may(name: str) -> bool:
            return name in asked or (routes.permits(key.models, name) and routes.permits(terms.models, name))

        free = sum(map(may, names.asked[: names.free]))
        return routing.Names(tuple(filter(may, names.asked)), tuple(filter(may, names.fallback)), free)

    def offers(self, x: Exchange) -> Iterator[Offered]:
        """The candidates that can be asked now, in order: what is asked can be said to them, the prompt fits, they do
        not rest, and their model is not at its limit. Where none is left, one that rests and may be asked
        all the same."""
        quoting = partial(quote, x)
        for way in x.ways:
            fit = self.sift(x, way)
            if not isinstance(fit, Candidate):
                if fit.why is Why.short:
                    x.too_long_for.append(way.model)
                elif fit.refused is not None:
                    x.waits.append(fit.refused)
                continue
            x.offered.append(Offered(fit, quoting, asked=way.model.name not in x.fallback))
            yield x.offered[-1]
        if x.resting and not x.offered and (found := self.standing.last_resort(x)) is not None:
            rest_s, way = found
            if refused := self.at_limit(x, way.model):
                x.waits.append(refused)
            else:
                x.offered.append(Offered(way, quoting, asked=way.model.name not in x.fallback, rest_s=max(rest_s, 0.0)))
                yield x.offered[-1]

    def sift(self, x: Exchange, way: Candidate) -> Candidate | Out:
        """The candidate as it can be asked now, or why it is passed over. What rests is noted in x.resting."""
        model, standing = way.model, self.standing
        prompt = prompt_of(x, model).longest  # now: what is learned until it is asked changes no call
        fit = fitting(x, way)
        if fit is None:
            return UNFIT
        if model.context is not None and model.context - prompt.likely < (SMALLEST_ROOM if x.ask.answers else 0):
            return SHORT
        health = standing.health
        if (health.circuits or health.rests or fit.channel.monthly_cap is not None) and standing.passed_over(x, fit):
            return RESTS
        if model.name in x.settings.limited and (refused := self.at_limit(x, model)):
            return Out(Why.limited, refused)
        return fit

    def at_limit(self, x: Exchange, model: Model) -> limits.Refused | None:
        """Whether this model takes one call more now; nothing is counted yet."""
        if (
            x.mode is BYOK
            or model.name not in x.settings.limited
            or not (scopes := self.limits.scopes(("model", model.name)))
        ):
            return None  # of a model are limited the calls that use our keys
        now = self.clock.now()
        return limits.tokens_wait(scopes, now, likely_tokens(x, model)) or limits.requests_wait(scopes, now)

    def take_tokens(self, x: Exchange, model: Model) -> None:
        """Borrow the call's tokens of its key's and its account's token limits, until it ends."""
        if x.scopes:
            now, tokens = self.clock.now(), likely_tokens(x, model)
            if refused := limits.tokens_wait(x.scopes, now, tokens):
                raise too_many(refused)
            x.ticket.borrow(now, tokens)

    async def enter(self, x: Exchange, model: Model) -> limits.Refused | None:
        """Count the call at this model, and no longer at the one it tried before. Refused, it stays where it was.
        Raises DatabaseBusy, DatabaseFailed."""
        if x.entered == model.name or x.mode is BYOK:
            return None
        ticket = limits.NO_TICKET
        if model.name in x.settings.limited and (scopes := self.limits.scopes(("model", model.name))):
            now, tokens, ticket = self.clock.now(), likely_tokens(x, model), limits.Ticket()
            if refused := limits.tokens_wait(scopes, now, tokens) or limits.take_requests(scopes, now, ticket):
                return refused
            ticket.borrow(now, tokens)
            if not self.ledger.immediate and (refused := await self._entered(x, ticket)):
                return refused
        if x.model_ticket is not limits.NO_TICKET:
            x.model_ticket.release(self.clock.now(), 0)
        x.model_ticket, x.entered = ticket, model.name
        return None

    async def _entered(self, x: Exchange, ticket: limits.Ticket) -> limits.Refused | None:
        """Whether the others who keep the model's limits let the call in too."""
        try:
            return await self.ledger.enter(x.call.id, ticket)
        except BaseException:
            ticket.release(self.clock.now(), 0)
            raise


def _asked(x: Exchange) -> tuple[str, ...]:
    """The names that were asked for, without a prefix that they may have."""
    names = x.ask.names
    return tuple(map(x.settings.routes.bare, names)) if x.call.dialect.NAME in dialects.PREFIXED else names


def _is_ranked(routes: routing.Routes, strategy: str, names: routing.Names) -> bool:
    """Whether cost or pace decide the order of these names, so that it may be another for the next call."""
    if strategy in ranking.STRATEGIES:
        parts = names.asked, names.fallback
        return any(len(part) > 1 or any(len(routes.serving(name)) > 1 for name in part) for part in parts)
    return strategy == "auto" and names.free > 1
