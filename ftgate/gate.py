"""THE LINE: one call from its key to its settled money. All the ifs live here.

    authenticate -> rate limit -> plan the route -> size the hold -> HOLD { attempt, attempt, ... } SETTLE -> answer

The hold is an `async with`, and its exit is the only place that ends one: it posts what the meters say, or voids. Whatever
leaves the block (an answer, an error, a cancellation at any await) goes through it. A meter is filled before its piece is
sent on, so the amount is right wherever the cut falls. The pure decisions (routing.plan, routing.next_step,
pricing.hold_for, limits.take_requests, usage.judge) are made elsewhere and acted on here.

What a call is charged is the sum over its attempts. An attempt that failed before content is free; one that failed after it
pays the prompt and what was delivered; one whose client left pays the prompt and what was read, once the request had gone up.
"""

import contextlib
import logging
import random
from collections.abc import Callable, Mapping
from types import TracebackType

import trio

from ftgate.core import estimate, limits, pricing, routing
from ftgate.core.money import format_usd, format_usd_cents
from ftgate.core.pricing import Quote
from ftgate.core.redact import redact
from ftgate.core.routing import Candidate, Outcome, Verdict
from ftgate.core.usage import Usage
from ftgate.dialects import sse
from ftgate.dialects.http import error_headers
from ftgate.dialects.talk import Complaint, Dialect, NotAnAnswer
from ftgate.errors import (
    DatabaseBusy,
    Fault,
    Forbidden,
    GateError,
    InternalError,
    InvalidRequest,
    NotAuthenticated,
    NotServed,
    PaymentRequired,
    ProviderError,
    ProviderTimeout,
    ShuttingDown,
    UpstreamFailed,
)  # fmt: skip
from ftgate.exchange import (
    Call,
    Exchange,
    Tried,
    answer_headers,
    charge,
    cut_error,
    joint_error,
    learn,
    prompt_count,
    retry_after_s,
    room_headers,
    row,
    status_of,
    too_many,
)  # fmt: skip
from ftgate.ports import (
    Answer,
    Client,
    Clock,
    GateSettings,
    Headers,
    HoldRequest,
    Key,
    Keys,
    Ledger,
    Poor,
    Upstream,
    UpstreamRequest,
)  # fmt: skip

log = logging.getLogger("ftgate.gate")

DURABLE_WAIT_S = 2.0
"""Seconds an answer waits for its commit before it goes without a balance (or, for a hold, before it is refused)."""
SETTLE_S = 5.0
"""Seconds the end of a hold may take: it is shielded from every cancellation, so it has a limit of its own."""
CLOSE_S = 0.2
"""Seconds in which an upstream's connection must be closed or given back, cancelled or not."""
END_S = 0.02
"""Seconds the end of a body is waited for after the stream's own end marker."""
ERROR_READ_S = 5.0
"""Seconds an upstream's error body is waited for: the status is known, its words only help."""
MAX_ERROR_BYTES = 65_536
MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""A plain answer past this is no chat answer, and it is held in memory whole."""
MAX_PENDING_BYTES = 65_536
"""Comments and role-only chunks kept back until the first content."""


def _nowhere(place: str) -> None:
    """Passing a place means nothing, outside tests."""


class Gate:
    """Owns every call in flight. Built once by app.py, shared by all doors."""

    def __init__(
        self, *, settings: GateSettings, keys: Keys, ledger: Ledger, upstream: Upstream, limits: limits.Limits, clock: Clock,
        dialects: Mapping[str, Dialect], jitter: Callable[[], float] = random.random,
        passing: Callable[[str], None] = _nowhere,
    ) -> None:  # fmt: skip
        self.settings = settings
        self.keys = keys
        self.ledger = ledger
        self.upstream = upstream
        self.limits = limits
        self.clock = clock
        self.dialects = dialects
        self.jitter = jitter
        self.passing = passing  # called with the name of each place on the line, for tests that end the process there
        self.ratios = estimate.Ratios()
        self.calls: set[Call] = set()
        self.closing = False
        self.turns: dict[str, int] = {}  # of each served model: whose turn it is among its channels and their credentials

    # The line

    async def relay(self, call: Call, client: Client) -> None:
        """Take one call to its end: an answer or an error has gone to the client, its money is settled. Raises nothing of its
        own; a cancellation from outside passes through after settling."""
        x = Exchange(call, client, self.settings, self.ratios, self.clock.now(), self.clock.wall_us())
        call.scope.deadline = trio.current_time() + x.settings.total_s
        self.calls.add(call)
        error: GateError | None = None
        try:
            with call.scope:
                try:
                    await self._line(x)
                except GateError as raised:
                    error = raised
                except Exception:  # a bug of ours must cost one call, not the process; the hold has been settled on the way
                    log.exception("internal error in call %s", call.id)
                    error = InternalError(f"internal error; tell the operator this id: {call.id}")
            if call.scope.cancelled_caught:
                if call.left:
                    return
                error = cut_error(x)
            # From here on the call can no longer be cut: what has been paid for is sent, to whoever still reads.
            if error is None:
                await self._answer(x)
            else:
                await self._send_error(x, error)
        finally:
            self.calls.discard(call)
            x.ticket.release(self.clock.now(), x.measured.usage.prompt + x.measured.usage.output if x.measured else 0)

    async def _line(self, x: Exchange) -> None:
        if self.closing:
            raise ShuttingDown("the gateway is shutting down", retry_after_s=5)
        x.key = await self.authenticate(x.call.secret)
        self._admit(x, x.key)
        self.passing("admitted")
        try:
            x.ask = x.call.dialect.read_request(x.call.body)
            x.plan = self._plan(x, x.key)
            request = self._size(x, x.key)
        except GateError as refused:
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

    def _admit(self, x: Exchange, key: Key) -> None:
        now = self.clock.now()
        own = self.limits.meters("key", str(key.id))
        scopes: list[tuple[limits.Scope, limits.Meters]] = [("key", own), ("account", self.limits.meters("account", str(key.account)))]
        refused = limits.take_requests(scopes, now, x.ticket)
        x.room = limits.room(own, now)
        if refused is not None:
            raise too_many(refused)

    def _plan(self, x: Exchange, key: Key) -> tuple[Candidate, ...]:
        """Which candidates, in which order. Raises what the caller can mend: an unknown model, one that the key may not use."""
        routes, ask = x.settings.routes, x.ask
        terms = x.settings.plans.get(key.plan) or x.settings.plans["default"]
        x.multiplier = terms.multiplier
        grade = routing.complexity(ask.prompt.likely, has_tools=ask.has_tools, has_media=bool(ask.images or ask.audios or ask.files))
        for name in ask.names:
            served = routes.resolve(name)
            if name != "auto" and not (routing.allowed(key.models, name, served) and routing.allowed(terms.models, name, served)):
                raise Forbidden(f"This API key may not use the model {name!r}", code="model_not_allowed", param="model")
        asked = {routes.resolve(name) for name in ask.names}
        names = [
            name
            for name in routing.names_for(routes, ask.names, grade)
            if name in asked or (routing.allowed(key.models, name) and routing.allowed(terms.models, name))
        ]
        first = names[0] if names else ""
        plan = routing.plan(routes, names, strategy=ask.routing, turn=self.turns.get(first, 0))
        if plan:
            self.turns[first] = self.turns.get(first, 0) + 1
        if not plan:
            if "auto" in ask.names and key.models:
                raise Forbidden("None of the models this API key may use is served now", code="model_not_allowed", param="model")
            known = ", ".join(repr(name) for name in ask.names)[:200]
            raise InvalidRequest(f"Unknown model {known}; GET /v1/models lists the models", code="model_not_found", param="model")
        spoken = tuple(way for way in plan if way.channel.dialect == x.call.dialect.NAME)
        if not spoken:
            raise NotServed(f"{plan[0].model.name} is served by a channel whose protocol this version does not speak yet")
        now = self.clock.now()
        per_model: list[tuple[limits.Scope, limits.Meters]] = [("model", self.limits.meters("model", spoken[0].model.name))]
        if refused := limits.take_requests(per_model, now, x.ticket):
            raise too_many(refused)
        return spoken

    def _size(self, x: Exchange, key: Key) -> HoldRequest:
        """The bound on what the call can cost at each candidate, and room for its tokens in the token limits."""
        if why := self.ledger.busy():
            raise DatabaseBusy(f"the ledger takes no new calls now: {why}", retry_after_s=2)
        quotes: list[Quote] = []
        for way in dict.fromkeys((way.channel.name, way.model.name) for way in x.plan):
            model = next(c.model for c in x.plan if (c.channel.name, c.model.name) == way)
            prompt = prompt_count(x, model)
            limit = model.output_limit(prompt.bound)
            quotes.append(
                Quote(
                    price=model.price, prompt_tokens=prompt.bound, answers=x.ask.answers, cap=x.ask.cap, model_limit=limit,
                    uncapped=0 if model.thinking_in_cap else limit,
                )
            )  # fmt: skip
        tokens = quotes[0].prompt_tokens + x.ask.answers * (x.ask.cap or quotes[0].model_limit)
        now = self.clock.now()
        scopes: list[tuple[limits.Scope, limits.Meters]] = [
            ("key", self.limits.meters("key", str(key.id))),
            ("account", self.limits.meters("account", str(key.account))),
            ("model", self.limits.meters("model", x.plan[0].model.name)),
        ]
        if refused := limits.tokens_wait(scopes, now, tokens):
            raise too_many(refused)
        x.ticket.borrow(now, tokens)
        first = x.plan[0].model
        likely = pricing.total([pricing.charge(first.price, Usage(input=prompt_count(x, first).likely))], x.multiplier)
        return HoldRequest(account=key.account, key=key.id, quotes=tuple(quotes), multiplier=x.multiplier, ref=x.call.id, estimate=likely)

    # Attempts

    async def _attempts(self, x: Exchange) -> None:
        """Try candidates until one has answered. Raises the joint error of all when none has."""
        retry = x.settings.retry
        step: routing.Step | None = routing.Step(0)
        while step is not None:
            if step.delay_s:
                await trio.sleep(step.delay_s)
            tried = Tried(x.plan[step.index])
            x.tried.append(tried)
            outcome = await self._attempt(x, tried, step.index)
            if outcome is None:
                tried.complete = True
                return
            tried.failed = True
            x.outcomes.append(outcome)
            channel = x.plan[step.index].channel
            log.warning("call %s: %s failed: %s %s", x.call.id, channel.name, outcome.verdict.value, redact(outcome.detail))
            step = routing.next_step(x.plan, x.outcomes, retry, self.jitter())
        raise joint_error(x)

    async def _attempt(self, x: Exchange, tried: Tried, index: int) -> Outcome | None:
        """One try at one candidate. None when it answered: a stream has been passed on, or a whole answer lies in x.body."""
        channel = tried.candidate.channel
        times = channel.timeouts
        dialect = self.dialects[channel.dialect]
        request = self._render(x, tried.candidate)
        x.call.draining = channel.drain or tried.candidate.model.drain
        try:
            with trio.move_on_after(times.head if x.ask.stream else times.answer) as timer:
                answer = await self.upstream.open(request, tried.sending)
            if timer.cancelled_caught:
                return Outcome(index, Verdict.timeout, "no response head in time")
            self.passing("head")
            try:
                if answer.status != 200:
                    return await self._complaint(dialect, answer, index)
                if x.ask.stream:
                    return await self._pass_stream(x, dialect, tried, answer, index)
                return await self._take_answer(x, dialect, tried, answer, index)
            finally:
                # Shielded: an answer that has come whole must not be lost while its connection is given back.
                with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_S):
                    await answer.aclose()
        except UpstreamFailed as failed:
            if x.head_sent:
                raise ProviderError("the provider's stream broke off") from None
            unreached = failed.fault in {Fault.connect, Fault.dns, Fault.tls, Fault.reset, Fault.incomplete}
            timed_out = failed.fault is Fault.connect and "time" in failed.detail
            return Outcome(index, Verdict.timeout if timed_out else Verdict.unreachable if unreached else Verdict.hollow, str(failed))
        finally:
            x.call.draining = False

    def _render(self, x: Exchange, candidate: Candidate) -> UpstreamRequest:
        channel, model = candidate.channel, candidate.model
        assert x.held is not None
        body = x.call.dialect.render(
            x.ask,
            model=model.upstream,
            cap=x.held.cap if x.held.inject else None,
            cap_field=model.cap_field,
            ask_usage=channel.stream_usage,
            drop=channel.drop_params,
        )
        accept = b"text/event-stream" if x.ask.stream else b"application/json"
        headers: Headers = [(b"content-type", b"application/json"), (b"accept", accept), (b"user-agent", b"ftgate")]
        secret = candidate.credential.reveal()
        if secret and channel.auth == "x-api-key":
            headers.append((b"x-api-key", secret.encode()))
        elif secret:
            headers.append((b"authorization", b"Bearer " + secret.encode()))
        headers += [(name.lower().encode(), value.encode()) for name, value in channel.headers.items()]
        return UpstreamRequest(channel.name, channel.url, tuple(headers), body, channel.timeouts.connect)

    async def _complaint(self, dialect: Dialect, answer: Answer, index: int) -> Outcome:
        """Read an upstream's error answer as far as it helps."""
        body = b""
        with trio.move_on_after(ERROR_READ_S):
            try:
                while len(body) < MAX_ERROR_BYTES and (data := await answer.receive()):
                    body += data
            except UpstreamFailed:
                pass  # the status says enough
        complaint = dialect.read_error(body) if body else Complaint()
        if answer.status < 400:  # a redirect or a 204: no answer
            return Outcome(index, Verdict.hollow, complaint.message or f"status {answer.status} is no answer", answer.status)
        return Outcome(
            index, routing.verdict(answer.status, complaint.words), complaint.message, answer.status, retry_after_s(answer.headers),
            complaint.kind, complaint.code, complaint.param,
        )  # fmt: skip

    async def _take_answer(self, x: Exchange, dialect: Dialect, tried: Tried, answer: Answer, index: int) -> Outcome | None:
        """Read a whole answer. Nothing of it goes to the client before its money is settled."""
        idle = tried.candidate.channel.timeouts.idle
        pieces: list[bytes] = []
        size = 0
        with trio.CancelScope() as timer:
            while True:
                timer.deadline = trio.current_time() + idle
                data = await answer.receive()
                if not data:
                    break
                pieces.append(data)
                size += len(data)
                if size > MAX_ANSWER_BYTES:
                    raise UpstreamFailed(Fault.too_large, f"an answer of more than {MAX_ANSWER_BYTES} bytes", sent=True)
        if timer.cancelled_caught:
            return Outcome(index, Verdict.timeout, "the answer stopped coming")
        body = b"".join(pieces)
        try:
            dialect.read_answer(body, tried.meter)
        except NotAnAnswer as hollow:
            return self._hollow(index, hollow.complaint)
        await self._held_durably(x)
        x.body = body
        return None

    def _hollow(self, index: int, complaint: Complaint) -> Outcome:
        """A 200 without an answer. Its words may still say that the credential is spent."""
        broke = routing.verdict(400, complaint.words) is Verdict.out_of_credit
        return Outcome(index, Verdict.out_of_credit if broke else Verdict.hollow, complaint.words or "an empty answer", 200)

    async def _pass_stream(self, x: Exchange, dialect: Dialect, tried: Tried, answer: Answer, index: int) -> Outcome | None:
        """Pass a stream on piece by piece. Until the first content nothing is sent and the attempt can still fail over."""
        times = tried.candidate.channel.timeouts
        kind = next((value for name, value in answer.headers if name == b"content-type"), b"text/event-stream")
        if b"event-stream" not in kind:
            if b"json" in kind:
                said = await self._complaint(dialect, answer, index)
                return self._hollow(index, Complaint(said.detail))
            return Outcome(index, Verdict.hollow, f"content type {kind[:60].decode(errors='replace')} in place of a stream", 200)
        reader = dialect.StreamReader(tried.meter, show_usage=x.ask.wants_usage)
        pending: list[bytes] = []
        with trio.CancelScope(deadline=trio.current_time() + times.first_token) as timer:
            while not reader.done:
                data = await answer.receive()
                if not data:
                    break
                try:
                    pieces = reader.feed(data)
                except sse.EventTooLong:
                    raise UpstreamFailed(Fault.too_large, "an event without an end", sent=True) from None
                for piece in pieces:
                    if piece.complaint is not None:
                        if x.head_sent:
                            raise ProviderError(f"the provider reported an error inside the stream: {redact(piece.complaint.words)}")
                        return self._hollow(index, piece.complaint)
                    pending.append(piece.raw)
                    if piece.content and not x.head_sent:
                        timer.deadline = float("inf")
                        await self._start(x)
                if x.head_sent and pending:
                    timer.deadline = float("inf")  # a slow client is not an idle upstream
                    await x.client.send(b"".join(pending))
                    pending.clear()
                    self.passing("content")
                if x.head_sent:
                    timer.deadline = trio.current_time() + times.idle
                elif sum(map(len, pending)) > MAX_PENDING_BYTES:
                    pending.clear()  # only comments and empty chunks stand here: nothing of the answer is lost
        if reader.done:
            await self._read_end(answer)
        if timer.cancelled_caught:
            if x.head_sent:
                raise ProviderTimeout("the provider's stream stalled")
            return Outcome(index, Verdict.timeout, "no first token in time")
        if not reader.finished:
            if x.head_sent:
                raise ProviderError("the provider's stream ended before its answer did")
            return Outcome(index, Verdict.hollow, "the stream ended without an answer", 200)
        x.reader = reader
        return None

    async def _read_end(self, answer: Answer) -> None:
        """After the end marker the body's end is there already, or very soon: reading it lets the connection be used again."""
        with trio.move_on_after(END_S), contextlib.suppress(UpstreamFailed):  # the answer is complete all the same
            await answer.receive()

    async def _start(self, x: Exchange) -> None:
        """Open the answer to the client: its first content has come, and its hold is durable."""
        self.passing("first_content")
        await self._held_durably(x)
        x.first_content_at = self.clock.now()
        x.head_sent = True
        headers = answer_headers(x)
        headers += [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
        await x.client.start(200, headers)

    async def _held_durably(self, x: Exchange) -> None:
        assert x.held is not None
        with trio.move_on_after(DURABLE_WAIT_S) as patience:
            await self.ledger.durable(x.held.ticket)
        if patience.cancelled_caught:
            raise DatabaseBusy("the ledger does not take commits now; nothing was charged", retry_after_s=5)

    # The end of a call

    async def settle(self, x: Exchange, error: BaseException | None) -> None:
        """End the hold with what the meters say."""
        assert x.held is not None
        status, http_error = status_of(x, error)
        amount, remarks = charge(x)
        learn(x)
        for remark in remarks:
            log.warning("call %s: %s", x.call.id, remark)
        x.settled = await self.ledger.settle(x.held.id, amount, row(x, status, http_error, cost=amount or 0, now=self.clock.now()))
        self.passing("settled")
        if x.settled.lost:
            log.warning("call %s used %s USD more than its account could pay", x.call.id, format_usd(x.settled.lost))

    async def _answer(self, x: Exchange) -> None:
        """Send what is left to send, now that the money is settled."""
        assert x.settled is not None and x.measured is not None
        balance = x.settled.balance
        with trio.move_on_after(DURABLE_WAIT_S) as patience:
            await self.ledger.durable(x.settled.ticket)
        if patience.cancelled_caught:
            balance = None
        self.passing("answering")
        if x.reader is not None:
            tail = x.reader.tail(x.measured.usage, exact=x.measured.exact, cost=x.settled.charged, balance=balance)
            await x.client.send(tail)
            await x.client.end()
            self.passing("answered")
            return
        headers = answer_headers(x)
        headers += [(b"content-type", b"application/json"), (b"x-findtoken-cost", format_usd(x.settled.charged).encode())]
        if balance is not None:
            headers.append((b"x-findtoken-balance", format_usd(balance).encode()))
        await x.client.answer(200, headers, x.body)
        self.passing("answered")

    async def _send_error(self, x: Exchange, error: GateError) -> None:
        dialect = x.call.dialect
        if x.head_sent:
            await x.client.send(dialect.error_event(error, x.call.id))
            await x.client.end()
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
            await self.gate.ledger.note(row(self.x, "refused", refused, cost=0, now=self.gate.clock.now()))
            raise refused
        self.x.held = held

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
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
