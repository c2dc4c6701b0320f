"""THE LINE: one call from its key to its settled money. All the ifs live here.

    authenticate -> rate limit -> plan the route -> size the hold -> HOLD { attempt, attempt, ... } SETTLE -> answer

The hold is an `async with`, and its exit is the only place that ends one: it posts what the meters say, or voids.
Whatever leaves the block (an answer, an error, a cancellation at any await) goes through it. A meter is filled before
its piece is sent on, so the amount is right wherever the cut falls. The pure decisions (routing.plan,
retrying.next_step, pricing.hold_for, limits.take_requests, usage.judge) are made elsewhere and acted on here.

What a call is charged is the sum over its attempts. An attempt that failed before content is free; one that failed
after it pays the prompt and what was delivered; one whose client left pays the prompt and what was read, once the
request had gone up.
"""

import logging
import random
from collections.abc import Callable
from itertools import chain
from types import TracebackType

import trio

from ftgate.core import estimate, hops, limits, retrying
from ftgate.core.moments import month
from ftgate.core.money import format_usd
from ftgate.core.redact import redact
from ftgate.core.retrying import Outcome
from ftgate.core.tally import Tally
from ftgate.core.verdicts import Verdict
from ftgate.errors import (
    DatabaseBusy,
    DatabaseFailed,
    GateError,
    InternalError,
    LoopDetected,
    NotAuthenticated,
    ProviderError,
    ProviderTimeout,
    ShuttingDown,
)  # fmt: skip
from ftgate.line.attempt import DURABLE_WAIT_S, Attempts
from ftgate.line.beside import LARGE_BODY, Beside
from ftgate.line.call import Call, Ended, Exchange, Tried
from ftgate.line.charge import cap_for, charge, covered, learn
from ftgate.line.explaining import explain
from ftgate.line.keepalive import Keeper, quiet
from ftgate.line.planning import Planner
from ftgate.line.standing import Standing
from ftgate.line.tallying import count
from ftgate.line.translation import fit_all
from ftgate.line.words import (
    answer_headers,
    closing_comment,
    concealed,
    cut_error,
    joint_error,
    no_hold,
    room_headers,
    row,
    status_of,
    too_many,
    unfit,
)  # fmt: skip
from ftgate.ports import (
    BYOK,
    Client,
    Clock,
    Explanation,
    GateSettings,
    Held,
    HoldRequest,
    Key,
    Keys,
    Ledger,
    Live,
    Upstream,
    nowhere,
)  # fmt: skip

log = logging.getLogger("ftgate.line.gate")

HOLD_S = 1.8
"""Seconds a ledger that must wait has to decide on a hold: a caller has its 503 within two, and goes elsewhere."""
SETTLE_S = 5.0
"""Seconds the end of a hold may take with such a ledger: it is shielded from every cancellation, so it has a limit of
its own. One that decides at once needs neither."""


class Gate:
    """Owns every call in flight. Built once by app.py, shared by all doors."""

    def __init__(
        self, *, live: Live, keys: Keys, ledger: Ledger, upstream: Upstream, limits: limits.Limits,
        clock: Clock,
        jitter: Callable[[], float] = random.random,
        passing: Callable[[str], None] = nowhere, gateway: bytes = b"",
    ) -> None:  # fmt: skip
        self.live = live
        self.keys = keys
        self.ledger = ledger
        self.limits = limits
        self.clock = clock
        self.jitter = jitter
        self.passing = passing  # called with the name of each place on the line, for tests that end the process there
        self.gateway = gateway  # our id among gateways, so that a call that comes back to us is known (core.hops)
        self.ratios = estimate.Ratios()
        self.beside = Beside()
        self.standing = Standing(clock, live.gate.routes.channels)
        self.planner = Planner(limits, self.standing, clock, ledger)
        self.attempts = Attempts(
            upstream=upstream, ledger=ledger, clock=clock, passing=passing, gateway=gateway, beside=self.beside,
            standing=self.standing,
        )  # fmt: skip
        self.keeper = Keeper()
        self.tally = Tally()
        self.calls: dict[Call, Exchange] = {}
        self.closing = self.leaving = False

    @property
    def settings(self) -> GateSettings:
        """The snapshot that holds now; a call keeps the one it began with."""
        return self.live.gate

    def adopt(self) -> None:
        """The settings have changed: limits go on from what they have counted, and nothing is kept that was made of
        what is gone."""
        self.limits.adopt()
        self.standing.adopt(self.settings.routes.channels)
        self.planner.forget()
        self.planner.affinity.adopt(self.settings.routes.channels)
        self.attempts.upward.forget()

    async def keep_alive(self) -> None:
        """Let clients that wait hear something, for as long as this runs."""
        await self.keeper.run(lambda: self.live.gate.keepalive_s)

    # The line

    async def relay(self, call: Call, client: Client) -> None:
        """Take one call to its end: an answer or an error has gone to the client, its money is settled. Raises nothing
        of its own; a cancellation from outside passes through after settling."""
        x = Exchange(call, client, self.live.gate, self.ratios, self.clock.now(), self.clock.wall_us())
        call.began_at = trio.current_time()
        call.may_take(x.settings.total_s)
        self.calls[call] = x
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
                error = internal(x)
            # From here on the call can no longer be cut: what has been paid for is sent, to whoever still reads.
            if x.keeping is not None:
                await quiet(x)
            if error is None:
                await self._answer(x)
            else:
                await self._send_error(x, error)
        finally:
            del self.calls[call]
            x.leave(self.clock.now())
            x.let_go()

    def enter(self, call: Call) -> None:
        """Raises GateError for a call that may not come in, whoever it is."""
        if self.closing:
            raise ShuttingDown("the gateway is shutting down", retry_after_s=5)
        if call.hops and (why := hops.fault(call.hops, self.gateway)):
            log.warning("call %s: %s", call.id, why)
            raise LoopDetected(why)

    async def _line(self, x: Exchange) -> None:
        self.enter(x.call)
        x.key = x.call.key or await self.authenticate(x.call.secret)
        self._admit(x, x.key)
        self.passing("admitted")
        try:
            read, body = x.call.dialect.read_request, x.call.body
            small = len(body) < LARGE_BODY
            x.ask = read(body) if small else await self.beside.run(read, body)
            if not small and "auto" in x.ask.names:
                await self.beside.run(self.planner.grade, x)
            first = self.planner.plan(x, x.key)
            if why := self.ledger.busy():
                raise DatabaseBusy(f"the ledger takes no new calls now: {why}", retry_after_s=2)
            self.planner.take_tokens(x, first.model)
            if not small:
                await self._say_beside(x)
            request = self._request(x, x.key)
        except GateError as refused:
            if not isinstance(refused, DatabaseBusy):  # a database that takes nothing must not be given more and more
                await self.note(x, refused)
            raise
        async with _Holding(self, x, request):
            if x.ask.stream:
                self.keeper.begin(x)
            self.passing("held")
            await self._attempts(x)
            self.passing("finished")
        if x.uncounted is not None:
            raise x.uncounted

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

    async def explain(
        self, key: Key, body: bytes, route: str | None = None, provider_key: bytes | None = None
    ) -> Explanation:
        """As ports.Line has it."""
        return await explain(self, key, body, route, provider_key)

    def not_ready(self) -> str | None:
        """Why a call that came now would not be served; None when it would."""
        return "shutting down" if self.closing or self.leaving else self.ledger.busy()

    async def _say_beside(self, x: Exchange) -> None:
        """Say a large request in every other dialect that its plan may come to: whoever walks the plan does not wait.
        All of the plan is made for that."""
        x.ways = tuple(x.ways)
        if any(way.address.dialect != x.call.dialect.NAME for way in x.ways):
            await self.beside.run(fit_all, x, x.ways)

    def _admit(self, x: Exchange, key: Key) -> None:
        x.scopes = self.limits.scopes(("key", key.id), ("account", key.account))
        if x.scopes:
            now = self.clock.now()
            x.ticket = limits.Ticket()
            refused = limits.take_requests(x.scopes, now, x.ticket)
            x.room = limits.room(self.limits.meters("key", key.id), now)
            if refused is not None:
                raise too_many(refused)

    def _request(self, x: Exchange, key: Key) -> HoldRequest:
        """What the hold is sized from."""
        x.behind = self.planner.offers(x)
        byok = x.mode is BYOK
        return HoldRequest(
            account=key.account, key=key.id, offers=x.behind, multiplier=x.multiplier, tries=x.settings.retry.attempts,
            ref=x.call.id, soon=x.ask.stream, month=month(x.created_at_us) if byok else "",
            month_limit=x.settings.terms(key.plan).byok_tokens_per_month if byok else 0, ticket=x.ticket,
        )  # fmt: skip

    # Attempts

    async def _attempts(self, x: Exchange) -> None:
        """Try candidates until one has answered. Raises the joint error of all when none has."""
        step: retrying.Step | None = retrying.Step(0, x.plan[0].rest_s)
        while step is not None:
            if step.delay_s:
                await self._pause(x.call, step.delay_s)
            offered = x.plan[step.index]
            candidate = offered.way
            if refused := await self.planner.enter(
                x, candidate.model
            ):  # at its limit by now: go on as if it were not planned
                step = self._without(x, step.index, refused)
                continue
            health = self.standing.health
            if (health.circuits or health.rests) and not self.standing.enter(
                x, candidate
            ):  # it has failed for somebody else meanwhile
                step = self._next(x)
                if step is None and not x.outcomes:
                    x.resting.append((self.standing.rests(x)(candidate), candidate))
                    raise self.standing.all_rest(x)
                continue
            tried = Tried(candidate, cap_for(x, offered), bare=step.bare)
            if x.tried:
                tried.began = self.clock.now()
            x.tried.append(tried)
            try:
                outcome = await self.attempts.run(x, tried, step.index)
            except (ProviderError, ProviderTimeout) as broken:  # behind content
                self.standing.failed(x, tried, Outcome(step.index, Verdict.unreachable, broken.message))
                raise
            except BaseException:
                self.standing.left(x, candidate)
                raise
            if outcome is None:
                tried.complete = True
                if health.circuits or health.rests:
                    self.standing.answered(candidate)
                self.planner.answered(x, candidate)
                return
            tried.failed, tried.ended = True, self.clock.now()
            self.standing.gone_by(tried, outcome)
            self.tally.attempt(candidate.channel.name, outcome.verdict.value)
            outcome = concealed(outcome, tried.candidate)
            name = candidate.channel.name
            log.warning("call %s: %s failed: %s %s", x.call.id, name, outcome.verdict.value, redact(outcome.detail))
            self.standing.failed(x, tried, outcome)
            x.outcomes.append(outcome)
            if x.call.left:  # drained in vain: nobody waits for another try
                break
            x.call.may_take(x.settings.total_s)
            step = self._next(x)
        raise joint_error(x)

    def nothing_left(self, x: Exchange) -> GateError:
        """Why no candidate could be offered to the ledger."""
        return self.standing.all_rest(x) if x.resting and not x.waits else unfit(x)

    def _next(self, x: Exchange) -> retrying.Step | None:
        """What to try now; None when nothing is left."""
        return retrying.next_step(x.planned, x.outcomes, x.settings.retry, self.jitter(), self.standing.rests(x))

    def _without(self, x: Exchange, index: int, refused: limits.Refused) -> retrying.Step | None:
        """What to try in place of a candidate whose model is at its limit: what comes next, with one from behind the
        cut in its place if the hold covers it. Raises RateLimited when nothing was tried and nothing is left."""
        name = x.plan[index].way.model.name  # what stands before keeps its place
        x.plan = x.plan[:index] + tuple(offered for offered in x.plan[index:] if offered.way.model.name != name)
        behind = next((offered for offered in x.behind if covered(x, offered)), None)
        if behind is not None:
            x.plan = (*x.plan, behind)
        if x.outcomes:
            return self._next(x)
        if index < len(x.plan):
            return retrying.Step(index)
        raise too_many(refused)

    @staticmethod
    async def _pause(call: Call, seconds: float) -> None:
        """Wait before another try. Raises Ended."""
        if call.cancelled:
            raise Ended
        until = trio.current_time() + seconds
        with trio.CancelScope(deadline=min(until, call.ends_at)) as call.scope:
            await trio.sleep_forever()
        call.scope = None
        if call.cancelled or until > call.ends_at:
            raise Ended

    async def note(self, x: Exchange, refused: GateError) -> None:
        """Remember a call that took no hold."""
        ended = row(x, "refused", refused, cost=0, now=self.clock.now())
        count(self.tally, x, ended, cost=0, lost=0)
        await self.ledger.note(ended)

    # The end of a call

    async def settle(self, x: Exchange, error: BaseException | None) -> None:
        """End the hold with what the meters say."""
        assert x.held is not None
        status, http_error = status_of(x, error)
        try:
            amount, remarks = charge(x)
        except Exception:  # a bug in counting must not leave the hold open: what cannot be counted is not charged
            log.exception("call %s could not be charged; its hold is voided", x.call.id)
            amount, remarks, x.measured = None, ["could not be charged: a bug in counting"], None
            x.uncounted = internal(x)
            status, http_error = status_of(x, x.uncounted)
        now = self.clock.now()
        x.leave_model(now)  # the model is free again, however slowly the client reads
        for remark in remarks:
            log.warning("call %s: %s", x.call.id, remark)
        ended = row(x, status, http_error, cost=amount or 0, now=now, remark="; ".join(remarks))
        self.standing.ended(x, status, now)
        x.settled = await self.ledger.settle(x.held.id, amount, ended)
        self.passing("settled")
        count(self.tally, x, ended, cost=x.settled.charged or 0, lost=x.settled.lost)
        if x.mode is not BYOK:  # whoever names a model as he likes must not fill what is known of models
            learn(x)
        if x.settled.lost:
            log.warning("call %s used %s USD more than its account could pay", x.call.id, format_usd(x.settled.lost))

    async def _answer(self, x: Exchange) -> None:
        """Send what is left to send, now that the money is settled."""
        assert x.held is not None and x.settled is not None and x.measured is not None
        balance = x.settled.balance
        try:
            # One that was not decided in time was waited for already, and has no figures that could be told.
            patience = 0 if x.settled.charged is None else DURABLE_WAIT_S
            if not await self.ledger.durable_within(x.settled.ticket, patience):
                balance = None
                # Nothing of a whole answer goes out before its hold, at least, can no longer be lost; but not for ever.
                while not x.ask.stream and not x.call.left and trio.current_time() < x.call.ends_at:
                    if await self.ledger.durable_within(x.held.ticket, SETTLE_S):
                        break
                    log.warning("call %s is answered and waits for the ledger", x.call.id)
        except DatabaseFailed as failed:
            if not x.head_sent:  # nothing of it has gone out, and it will not be billed: it does not go out
                await self._send_error(x, failed)
                return
            balance = None
        self.passing("answering")
        if x.ask.stream:
            assert x.reader is not None
            note = closing_comment(x, balance)
            tail = x.reader.tail(x.measured.usage, exact=x.measured.exact, cost=x.settled.charged, note=note)
            await x.client.end(tail)
            self.passing("answered")
            return
        headers = answer_headers(x)
        headers.append((b"content-type", b"application/json"))
        if x.settled.charged is not None:
            headers.append((b"x-findtoken-cost", format_usd(x.settled.charged).encode()))
        if balance is not None:
            headers.append((b"x-findtoken-balance", format_usd(balance).encode()))
        await x.client.answer(200, headers, self._body(x))
        self.passing("answered")

    @staticmethod
    def _body(x: Exchange) -> bytes:
        """A whole answer, now that what it used is known."""
        assert x.measured is not None and x.settled is not None
        if x.writer is None:
            return x.body
        return x.writer.whole(x.events, x.measured.usage, exact=x.measured.exact, cost=x.settled.charged)

    async def _charged_note(self, x: Exchange) -> str:
        """What a stream that ends in an error is told of its charge; nothing where there was none."""
        if x.settled is None or not x.settled.charged:
            return ""
        balance = x.settled.balance
        try:
            known = balance is not None and await self.ledger.durable_within(x.settled.ticket, DURABLE_WAIT_S)
        except DatabaseFailed:
            known = False
        return closing_comment(x, balance if known else None)

    async def _send_error(self, x: Exchange, error: GateError) -> None:
        dialect = x.call.dialect
        if x.head_sent:
            note = await self._charged_note(x)
            if x.reader is not None and x.answering:
                await x.client.end(x.reader.failure(error, x.call.id, note))
            else:
                await x.client.end(dialect.error_event(error, x.call.id, note, x.ask))
            return
        status, headers, body = dialect.error(error, x.call.id)
        await x.client.answer(status, headers + room_headers(x.room), body)


class _Holding:
    """The hold as a block: entering takes it or raises why there is none, leaving settles it, however it is left. A
    ledger that must wait is shielded at both, so that a hold that was decided is known here and gets its row."""

    def __init__(self, gate: Gate, x: Exchange, request: HoldRequest) -> None:
        self.gate = gate
        self.x = x
        self.request = request

    async def __aenter__(self) -> None:
        x, ledger = self.x, self.gate.ledger
        if ledger.immediate:
            held = await ledger.hold(self.request)
        else:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + HOLD_S) as patience:
                try:
                    held = await ledger.hold(self.request)
                except GateError as late:  # what only shows when all gateways are asked
                    await self.gate.note(x, late)
                    raise
            if patience.cancelled_caught:
                raise DatabaseBusy("the ledger did not decide in time; nothing was charged", retry_after_s=2)
        if not isinstance(held, Held):
            refused = self.gate.nothing_left(x) if held is None else no_hold(held, x.created_at_us)
            await self.gate.note(x, refused)
            raise refused
        x.held = held
        x.plan = tuple([x.offered[at] for at in held.kept])
        if len(x.offered) > len(held.kept):
            x.behind = chain([one for at, one in enumerate(x.offered) if at not in held.kept], x.behind)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.x.ask.stream:
            self.gate.keeper.end(self.x)
        if self.gate.ledger.immediate:
            await self.gate.settle(self.x, error)  # noqa: ASYNC102 - nothing in it waits
        else:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + SETTLE_S):
                await self.gate.settle(self.x, error)
            if self.x.settled is None:  # a ledger that breaks its promise: nobody knows what was charged
                log.error("call %s: the ledger did not take its settlement in time", self.x.call.id)
                self.x.uncounted = self.x.uncounted or internal(self.x)


def internal(x: Exchange) -> InternalError:
    """What the caller is told of a bug of ours."""
    return InternalError(f"internal error; tell the operator this id: {x.call.id}")
