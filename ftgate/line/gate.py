"""THE LINE: one call from its key to its settled money. All the ifs live here.

    authenticate -> rate limit -> plan the route -> size the hold -> HOLD { attempt, attempt, ... } SETTLE -> answer

The hold is an `async with`, and its exit is the only place that ends one: it posts what the meters say, or voids.
Whatever leaves the block (an answer, an error, a cancellation at any await) goes through it. A meter is filled before
its piece is sent on, so the amount is right wherever the cut falls. The pure decisions (routing.plan,
routing.next_step, pricing.hold_for, limits.take_requests, usage.judge) are made elsewhere and acted on here.

What a call is charged is the sum over its attempts. An attempt that failed before content is free; one that failed
after it pays the prompt and what was delivered; one whose client left pays the prompt and what was read, once the
request had gone up.
"""

import logging
import random
from collections.abc import Callable, Mapping
from types import TracebackType

import msgspec
import trio

from ftgate.core import estimate, limits, pricing, routing
from ftgate.core.money import format_usd, format_usd_cents
from ftgate.core.redact import redact
from ftgate.core.routing import Candidate, Model
from ftgate.dialects.talk import Ask, Dialect, error_headers
from ftgate.errors import (
    DatabaseBusy,
    DatabaseFailed,
    Forbidden,
    GateError,
    InternalError,
    InvalidRequest,
    NotAuthenticated,
    NotServed,
    PaymentRequired,
    ShuttingDown,
)  # fmt: skip
from ftgate.line.attempt import DURABLE_WAIT_S, Attempts
from ftgate.line.call import Call, Ended, Exchange, Tried
from ftgate.line.charge import charge, learn, likely_tokens, prompt_count, quote
from ftgate.line.words import (
    answer_headers,
    conceal,
    cut_error,
    joint_error,
    room_headers,
    row,
    status_of,
    too_many,
)  # fmt: skip
from ftgate.ports import (
    Client,
    Clock,
    GateSettings,
    HoldRequest,
    Key,
    Keys,
    Ledger,
    Poor,
    Terms,
    Upstream,
    nowhere,
)  # fmt: skip

log = logging.getLogger("ftgate.line.gate")

SETTLE_S = 5.0
"""Seconds the end of a hold may take with a ledger that must wait for its decision: it is shielded from every
cancellation, so it has a limit of its own. One that decides at once needs neither."""
LARGE_BODY = 262_144
"""Bytes from which a request is read in a thread: measuring megabytes of text would hold up everybody else."""

PLANS_KEPT = 1000
"""Plans remembered, so that a call for a model with a single way need not make its own."""


class Gate:
    """Owns every call in flight. Built once by app.py, shared by all doors."""

    def __init__(
        self, *, settings: GateSettings, keys: Keys, ledger: Ledger, upstream: Upstream, limits: limits.Limits,
        clock: Clock,
        dialects: Mapping[str, Dialect], jitter: Callable[[], float] = random.random,
        passing: Callable[[str], None] = nowhere,
    ) -> None:  # fmt: skip
        self.settings = settings
        self.keys = keys
        self.ledger = ledger
        self.limits = limits
        self.clock = clock
        self.jitter = jitter
        self.passing = passing  # called with the name of each place on the line, for tests that end the process there
        self.ratios = estimate.Ratios()
        self.readers = trio.CapacityLimiter(2)  # large bodies are read two at a time: more would only take turns
        self.attempts = Attempts(upstream=upstream, ledger=ledger, clock=clock, dialects=dialects, passing=passing)
        self.calls: set[Call] = set()
        self.closing = False
        self.planned: dict[
            tuple[object, ...], tuple[routing.Routes, tuple[Candidate, ...]]
        ] = {}  # plans that are the same at every turn
        self.turns: dict[
            str, int
        ] = {}  # of each served model: whose turn it is among its channels and their credentials

    # The line

    async def relay(self, call: Call, client: Client) -> None:
        """Take one call to its end: an answer or an error has gone to the client, its money is settled. Raises nothing
        of its own; a cancellation from outside passes through after settling."""
        x = Exchange(call, client, self.settings, self.ratios, self.clock.now(), self.clock.wall_us())
        call.ends_at = trio.current_time() + x.settings.total_s
        self.calls.add(call)
        error: GateError | None = None
        try:
            try:
                await self._line(x)
            except Ended:
                if call.left:
                    return
                error = cut_error(x)
            except GateError as raised:
                error = raised
            except Exception:  # a bug of ours must cost one call, not the process; the hold has been settled on the way
                log.exception("internal error in call %s", call.id)
                error = InternalError(f"internal error; tell the operator this id: {call.id}")
            # From here on the call can no longer be cut: what has been paid for is sent, to whoever still reads.
            if error is None:
                await self._answer(x)
            else:
                await self._send_error(x, error)
        finally:
            self.calls.discard(call)
            x.leave(self.clock.now())

    async def _line(self, x: Exchange) -> None:
        if self.closing:
            raise ShuttingDown("the gateway is shutting down", retry_after_s=5)
        x.key = x.call.key or await self.authenticate(x.call.secret)
        self._admit(x, x.key)
        self.passing("admitted")
        try:
            x.ask = (
                x.call.dialect.read_request(x.call.body) if len(x.call.body) < LARGE_BODY else await self._read(x.call)
            )
            x.plan = self._plan(x, x.key)
            if why := self.ledger.busy():
                raise DatabaseBusy(f"the ledger takes no new calls now: {why}", retry_after_s=2)
            self._take_tokens(x)
            self._enter_first(x)
            request = self._size(x, x.key)
        except GateError as refused:
            if not isinstance(refused, DatabaseBusy):  # a database that takes nothing must not be given more and more
                await self.ledger.note(row(x, "refused", refused, cost=0, now=self.clock.now()))
            raise
        async with _Holding(self, x, request):
            self.passing("held")
            await self._attempts(x)
            self.passing("finished")

    async def authenticate(self, secret: bytes | None) -> Key:
        if secret is None:
            raise NotAuthenticated("Missing API key: send `Authorization: Bearer sk-ft_...` or `x-api-key: sk-ft_...`")
        key = await self.keys.find(secret)
        if key is None:
            raise NotAuthenticated("Invalid API key")
        if not key.active:
            raise NotAuthenticated("This API key is disabled", code="key_disabled")
        if not key.account_active:
            raise NotAuthenticated("The account of this API key is disabled", code="key_disabled")
        if key.expires_at_us is not None and key.expires_at_us <= self.clock.wall_us():
            raise NotAuthenticated("This API key has expired", code="key_expired")
        return key

    def not_ready(self) -> str | None:
        """Why a call that came now would not be served; None when it would."""
        return "shutting down" if self.closing else self.ledger.busy()

    async def _read(self, call: Call) -> Ask:
        """A large request, checked and measured beside the loop."""
        return await trio.to_thread.run_sync(call.dialect.read_request, call.body, limiter=self.readers)

    def _admit(self, x: Exchange, key: Key) -> None:
        x.scopes = self.limits.scopes(("key", key.id), ("account", key.account))
        if x.scopes:
            now = self.clock.now()
            x.ticket = limits.Ticket()
            refused = limits.take_requests(x.scopes, now, x.ticket)
            x.room = limits.room(self.limits.meters("key", key.id), now)
            if refused is not None:
                raise too_many(refused)

    def _plan(self, x: Exchange, key: Key) -> tuple[Candidate, ...]:
        """Which candidates, in which order. Raises what the caller can mend: an unknown model, one that the key may not
        use."""
        routes, ask = x.settings.routes, x.ask
        terms = x.settings.terms(key.plan)
        x.multiplier = terms.multiplier
        grade = (
            ""
            if "auto" not in ask.names
            else routing.complexity(
                ask.prompt.likely, has_tools=ask.has_tools, has_media=bool(ask.images or ask.audios or ask.files)
            )
        )
        place = (ask.names, ask.routing, grade, key.models, terms.models, x.call.dialect.NAME)
        known = self.planned.get(place)
        if known is not None and known[0] is routes:
            return known[1]
        names = self._names(x, key, terms, grade)
        first = names[0] if names else ""
        plan = routing.plan(routes, names, strategy=ask.routing, turn=self.turns.get(first, 0))
        if plan:
            self.turns[first] = self.turns.get(first, 0) + 1
        if not plan:
            if "auto" in ask.names and key.models:
                raise Forbidden(
                    "None of the models this API key may use is served now", code="model_not_allowed", param="model"
                )
            unknown = ", ".join(repr(name) for name in ask.names)[:200]
            raise InvalidRequest(
                f"Unknown model {unknown}; GET /v1/models lists the models", code="model_not_found", param="model"
            )
        spoken = tuple(way for way in plan if way.channel.dialect == x.call.dialect.NAME)
        if not spoken:
            raise NotServed(
                f"{plan[0].model.name} is served by a channel whose protocol this version does not speak yet"
            )
        if routing.is_fixed(routes, names):
            if len(self.planned) >= PLANS_KEPT:
                self.planned.clear()
            self.planned[place] = routes, spoken
        return spoken

    @staticmethod
    def _names(x: Exchange, key: Key, terms: Terms, grade: str) -> list[str]:
        """The served names to try, in order. Raises Forbidden for one that was asked for and may not be used."""
        routes, ask = x.settings.routes, x.ask
        for name in ask.names:
            if name != "auto" and not (routes.permits(key.models, name) and routes.permits(terms.models, name)):
                raise Forbidden(f"This API key may not use the model {name!r}", code="model_not_allowed", param="model")
        asked = {routes.resolve(name) for name in ask.names}
        return [
            name
            for name in routing.names_for(routes, ask.names, grade)
            if name in asked or (routes.permits(key.models, name) and routes.permits(terms.models, name))
        ]

    def _take_tokens(self, x: Exchange) -> None:
        """Borrow the call's tokens of its key's and its account's token limits, until it ends."""
        if x.scopes:
            now, tokens = self.clock.now(), likely_tokens(x, x.plan[0].model)
            if refused := limits.tokens_wait(x.scopes, now, tokens):
                raise too_many(refused)
            x.ticket.borrow(now, tokens)

    def _enter(self, x: Exchange, model: Model) -> limits.Refused | None:
        """Count the call at this model, and no longer at the one it tried before. Refused, it stays where it was."""
        if x.entered == model.name:
            return None
        ticket = limits.NO_TICKET
        if scopes := self.limits.scopes(("model", model.name)):
            now, tokens, ticket = self.clock.now(), likely_tokens(x, model), limits.Ticket()
            if refused := limits.tokens_wait(scopes, now, tokens) or limits.take_requests(scopes, now, ticket):
                return refused
            ticket.borrow(now, tokens)
        if x.model_ticket is not limits.NO_TICKET:
            x.model_ticket.release(self.clock.now(), 0)
        x.model_ticket, x.entered = ticket, model.name
        return None

    def _enter_first(self, x: Exchange) -> None:
        """Count the call at the first of its models that has room, and leave out those that have none. Raises
        RateLimited when none has."""
        waits: list[limits.Refused] = []
        while refused := self._enter(x, x.plan[0].model):
            waits.append(refused)
            x.plan = routing.without_model(x.plan, 0)
            if not x.plan:
                raise too_many(min(waits, key=lambda wait: wait.retry_after_s))

    def _size(self, x: Exchange, key: Key) -> HoldRequest:
        """The bound on what the call can cost at each candidate."""
        first = x.plan[0].model
        if len(x.plan) == 1:
            quotes: tuple[pricing.Quote, ...] = (quote(x, first),)
        else:
            models = {(way.channel.name, way.model.name): way.model for way in x.plan}
            quotes = tuple(quote(x, model) for model in models.values())
        likely = pricing.total([pricing.prompt_charge(first.price, prompt_count(x, first).likely)], x.multiplier)
        return HoldRequest(
            account=key.account,
            key=key.id,
            quotes=quotes,
            multiplier=x.multiplier,
            ref=x.call.id,
            estimate=likely,
            soon=x.ask.stream,
        )

    # Attempts

    async def _attempts(self, x: Exchange) -> None:
        """Try candidates until one has answered. Raises the joint error of all when none has."""
        retry = x.settings.retry
        step: routing.Step | None = routing.Step(0)
        while step is not None:
            if step.delay_s:
                await self._pause(x.call, step.delay_s)
            if (
                self._enter(x, x.plan[step.index].model) is not None
            ):  # that model is at its limit: go on as if it were not planned
                x.plan = routing.without_model(x.plan, step.index)
                step = routing.next_step(x.plan, x.outcomes, retry, self.jitter())
                continue
            tried = Tried(x.plan[step.index])
            x.tried.append(tried)
            outcome = await self.attempts.run(x, tried, step.index)
            if outcome is None:
                tried.complete = True
                return
            tried.failed = True
            outcome = msgspec.structs.replace(outcome, detail=conceal(outcome.detail, tried.candidate))
            x.outcomes.append(outcome)
            channel = x.plan[step.index].channel
            log.warning(
                "call %s: %s failed: %s %s", x.call.id, channel.name, outcome.verdict.value, redact(outcome.detail)
            )
            if x.call.left:  # drained in vain: nobody waits for another try
                break
            step = routing.next_step(x.plan, x.outcomes, retry, self.jitter())
        raise joint_error(x)

    @staticmethod
    async def _pause(call: Call, seconds: float) -> None:
        """Wait before another try. Raises Ended."""
        until = trio.current_time() + seconds
        with trio.CancelScope(deadline=min(until, call.ends_at)) as call.scope:
            await trio.sleep_forever()
        call.scope = None
        if call.cancelled or until > call.ends_at:
            raise Ended

    # The end of a call

    async def settle(self, x: Exchange, error: BaseException | None) -> None:
        """End the hold with what the meters say."""
        assert x.held is not None
        status, http_error = status_of(x, error)
        try:
            amount, remarks = charge(x)
        except Exception:  # a bug in counting must not leave the hold open: what cannot be counted is not charged
            log.exception("call %s could not be charged; its hold is voided", x.call.id)
            amount, remarks, x.measured = None, [], None
        x.leave_model(self.clock.now())  # the model is free again, however slowly the client reads
        for remark in remarks:
            log.warning("call %s: %s", x.call.id, remark)
        x.settled = await self.ledger.settle(
            x.held.id, amount, row(x, status, http_error, cost=amount or 0, now=self.clock.now())
        )
        self.passing("settled")
        learn(x)
        if x.settled.lost:
            log.warning("call %s used %s USD more than its account could pay", x.call.id, format_usd(x.settled.lost))

    async def _answer(self, x: Exchange) -> None:
        """Send what is left to send, now that the money is settled."""
        assert x.held is not None and x.settled is not None and x.measured is not None
        balance = x.settled.balance
        try:
            if not await self.ledger.durable_within(x.settled.ticket, DURABLE_WAIT_S):
                balance = None
                # Nothing of a whole answer goes out before its hold, at least, can no longer be lost; but not for ever.
                while x.reader is None and not x.call.left and trio.current_time() < x.call.ends_at:
                    if await self.ledger.durable_within(x.held.ticket, SETTLE_S):
                        break
                    log.warning("call %s is answered and waits for the ledger", x.call.id)
        except DatabaseFailed as failed:
            if not x.head_sent:  # nothing of it has gone out, and it will not be billed: it does not go out
                await self._send_error(x, failed)
                return
            balance = None
        self.passing("answering")
        if x.reader is not None:
            tail = x.reader.tail(x.measured.usage, exact=x.measured.exact, cost=x.settled.charged, balance=balance)
            await x.client.end(tail)
            self.passing("answered")
            return
        headers = answer_headers(x)
        headers += [
            (b"content-type", b"application/json"),
            (b"x-findtoken-cost", format_usd(x.settled.charged).encode()),
        ]
        if balance is not None:
            headers.append((b"x-findtoken-balance", format_usd(balance).encode()))
        await x.client.answer(200, headers, x.body)
        self.passing("answered")

    async def _send_error(self, x: Exchange, error: GateError) -> None:
        dialect = x.call.dialect
        if x.head_sent:
            await x.client.end(dialect.error_event(error, x.call.id))
            return
        headers = [(b"content-type", b"application/json"), (b"x-request-id", x.call.id.encode()), *error_headers(error)]
        await x.client.answer(error.status, headers + room_headers(x.room), dialect.error_body(error, x.call.id))


class _Holding:
    """The hold as a block: entering takes it or raises PaymentRequired, leaving settles it, however it is left."""

    def __init__(self, gate: Gate, x: Exchange, request: HoldRequest) -> None:
        self.gate = gate
        self.x = x
        self.request = request

    async def __aenter__(self) -> None:
        held = await self.gate.ledger.hold(self.request)
        if isinstance(held, Poor):
            refused = _poor(held)
            self.x.model_ticket.withdraw(self.gate.clock.now())  # who cannot pay must not use up a limit that all share
            await self.gate.ledger.note(row(self.x, "refused", refused, cost=0, now=self.gate.clock.now()))
            raise refused
        self.x.held = held

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.gate.ledger.immediate:
            await self.gate.settle(self.x, error)  # noqa: ASYNC102 - nothing in it waits
        else:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + SETTLE_S):
                await self.gate.settle(self.x, error)


def _poor(poor: Poor) -> PaymentRequired:
    required = format_usd_cents(poor.required)
    if poor.quota:
        return PaymentRequired(
            f"The quota of this API key is used up. Left: ${format_usd_cents(poor.available)}, Required: ${required}",
            code="key_quota_exceeded",
        )
    return PaymentRequired(f"Insufficient credits. Balance: ${format_usd_cents(poor.available)}, Required: ${required}")
