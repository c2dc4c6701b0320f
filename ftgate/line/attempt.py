"""One try at one candidate: send, read, pass on. gate.py decides whether there is another.

A stream is passed on piece by piece; the meter is filled before a piece is sent, so that whatever cuts it finds the
right amount. Until the first content nothing goes to the client, and the attempt can still fail over; no content goes
before the hold is durable. A whole answer stays here until its money is settled.
"""

import contextlib
from collections.abc import Callable, Coroutine
from math import inf
from typing import Any

import msgspec
import trio

from ftgate import dialects
from ftgate.core.redact import redact
from ftgate.core.retrying import Outcome
from ftgate.core.verdicts import Verdict
from ftgate.dialects import sse
from ftgate.dialects.states import OVER, WHOLE, State
from ftgate.dialects.talk import MAX_ANSWER_BYTES, Complaint, Dialect, NotAnAnswer, Reader
from ftgate.errors import DatabaseBusy, Fault, ProviderError, ProviderTimeout, UpstreamFailed
from ftgate.line.beside import LARGE_BODY, Beside
from ftgate.line.call import Ended, Exchange, Tried
from ftgate.line.charge import drained_enough
from ftgate.line.keepalive import quiet
from ftgate.line.meaning import error_body, meaning, meant
from ftgate.line.passing import Translated
from ftgate.line.pump import Pump
from ftgate.line.standing import Standing
from ftgate.line.translation import writer_for
from ftgate.line.upward import Upward
from ftgate.line.words import OVERLOADED, conceal, retry_after_s, stream_headers
from ftgate.ports import Answer, Clock, Headers, Ledger, Upstream

DURABLE_WAIT_S = 2.0
"""Seconds an answer waits for its commit before it goes without a balance (or, for a hold, before it is refused)."""
TIMER_STEP_S = 0.1
"""By how much a limit between two pieces may strike too early."""
END_S = 0.02
"""Seconds the end of a body is waited for after the stream's own end marker."""


class Attempts:
    """Makes attempts. Built once by the gate."""

    def __init__(
        self,
        *,
        upstream: Upstream,
        ledger: Ledger,
        clock: Clock,
        passing: Callable[[str], None],
        gateway: bytes,
        beside: Beside,
        standing: Standing,
    ) -> None:
        self.upstream = upstream
        self.ledger = ledger
        self.clock = clock
        self.passing = passing
        self.upward = Upward(gateway)
        self.beside = beside
        self.standing = standing

    async def run(self, x: Exchange, tried: Tried, index: int) -> Outcome | None:
        """One try at one candidate. None when it answered: a stream has been passed on, or a whole answer lies in
        x.body."""
        if x.call.cancelled:
            raise Ended
        x.call.may_take(tried.candidate.channel.timeouts.total)
        now = trio.current_time()
        if now >= x.call.ends_at:
            if self._out_of_time(x):
                raise Ended
            return Outcome(index, Verdict.timeout, "no time was left for it")
        x.call.draining = tried if tried.candidate.channel.drain or tried.candidate.model.drain else None
        try:
            return await self._try(x, tried, index, now)
        except UpstreamFailed as failed:
            if x.answering:
                raise ProviderError("the provider's stream broke off") from None
            unreached = failed.fault in {Fault.connect, Fault.dns, Fault.tls, Fault.reset, Fault.incomplete}
            return Outcome(
                index,
                Verdict.timeout if failed.timed_out else Verdict.unreachable if unreached else Verdict.hollow,
                str(failed),
            )
        finally:
            x.call.draining = x.call.begun = x.call.scope = None

    async def _try(self, x: Exchange, tried: Tried, index: int, now: float) -> Outcome | None:
        """Ask, and wait for what comes first: a short answer is all there in one go, and is waited for without a scope
        of its own (the call's end and its time end that wait too); everything else goes on in one."""
        channel = tried.candidate.channel
        dialect = dialects.ALL[tried.candidate.address.dialect]
        if len(x.call.body) < LARGE_BODY:
            request = self.upward.request(x, tried)
        else:
            request = await self.beside.run(self.upward.request, x, tried)
            if x.call.cancelled:
                raise Ended
            now = trio.current_time()
        tried.awaited = "no response head in time"
        until = now + (channel.timeouts.head if x.ask.stream else channel.timeouts.answer)
        begun = None if x.ask.stream else self.upstream.begin(request, tried.sending, now)
        if begun is None:
            return await self._try_in_scope(x, dialect, tried, index, until, self.upstream.open(request, tried.sending))
        x.call.begun = begun
        answer = await begun.word(min(until, x.call.ends_at))
        x.call.begun = None
        if answer is None:
            return await self._try_in_scope(x, dialect, tried, index, until, begun.open())
        if answer.whole is None or not _is_good(answer):
            return await self._try_in_scope(x, dialect, tried, index, until, answer)
        self.passing("head")
        tried.head = answer.headers
        await answer.aclose()
        return self._take_answer(x, dialect, tried, answer.whole, index)

    async def _try_in_scope(
        self,
        x: Exchange,
        dialect: Dialect,
        tried: Tried,
        index: int,
        until: float,
        coming: Answer | Coroutine[Any, Any, Answer],
    ) -> Outcome | None:
        """Whatever takes long, in the scope by which the call can be ended. `until` limits the wait for the answer's
        head."""
        with trio.CancelScope(deadline=min(until, x.call.ends_at)) as timer:
            x.call.scope = timer
            if x.call.cancelled:
                timer.cancel()
            answer = await coming if isinstance(coming, Coroutine) else coming
            self.passing("head")
            tried.head = answer.headers
            try:
                if not _is_good(answer):
                    tried.failed = True  # whoever leaves while its error is read pays nothing
                    timer.deadline = x.call.ends_at
                    return await self._complaint(x, tried, answer, index)
                if x.ask.stream:
                    return await self._pass_stream(x, dialect, tried, answer, index, timer)
                body = answer.whole if answer.whole is not None else await self._read_answer(x, tried, answer, timer)
            finally:
                await answer.aclose()
        if not timer.cancelled_caught:
            return self._take_answer(x, dialect, tried, body, index)
        if x.call.cancelled or self._out_of_time(x):
            raise Ended
        if x.answering:
            raise ProviderTimeout(f"the provider's {tried.awaited}")
        return Outcome(index, Verdict.timeout, tried.awaited)

    @staticmethod
    def _out_of_time(x: Exchange) -> bool:
        """Whether the call has no time left. Before any content a channel's own total, where it is the shorter one,
        only ends the attempt: another channel may have time for it."""
        now = trio.current_time()
        here_only = not (x.answering or x.call.left) and now < x.call.began_at + x.settings.total_s
        return now >= x.call.ends_at and not here_only

    async def _complaint(self, x: Exchange, tried: Tried, answer: Answer, index: int) -> Outcome:
        """Read an upstream's error answer as far as it helps."""
        dialect = dialects.ALL[tried.candidate.address.dialect]
        body = await error_body(answer)
        complaint = dialect.read_error(body) if body else Complaint()
        if answer.status < 400:  # a redirect or a 204: no answer
            return Outcome(
                index, Verdict.hollow, complaint.message or f"status {answer.status} is no answer", answer.status
            )
        return Outcome(
            index, meaning(x, tried, answer.status, complaint), complaint.message, answer.status,
            complaint.wait_s if (told := retry_after_s(answer.headers, self.clock.wall_us())) is None else told,
            complaint.kind, complaint.code, complaint.param, (complaint.details or b"").decode(),
        )  # fmt: skip

    async def _read_answer(
        self, x: Exchange, tried: Tried, answer: Answer, timer: trio.CancelScope, came: bytes = b""
    ) -> bytes:
        """A whole answer's body, of which `came` is there already."""
        idle = tried.candidate.channel.timeouts.idle
        tried.awaited = "the answer stopped coming"
        pieces, size = [came], len(came)
        until = -inf
        while True:
            now = trio.current_time()
            if until - now < idle - TIMER_STEP_S:  # setting a deadline costs more than reading a piece
                until = now + idle
                timer.deadline = min(until, x.call.ends_at)
            data = await answer.receive()
            if not data:
                return b"".join(pieces)
            pieces.append(data)
            size += len(data)
            if size > MAX_ANSWER_BYTES:
                raise UpstreamFailed(Fault.too_large, f"an answer of more than {MAX_ANSWER_BYTES} bytes", sent=True)

    def _take_answer(self, x: Exchange, dialect: Dialect, tried: Tried, body: bytes, index: int) -> Outcome | None:
        """Look through a whole answer. Nothing of it goes to the client before its money is settled."""
        try:
            if sse.is_stream(body, ended=True):  # though it was not asked for
                body = dialect.whole_of(body)
            dialect.read_answer(body, tried.meter)
        except NotAnAnswer as hollow:
            return self._refused(x, tried, index, hollow.complaint)
        if dialect is not x.call.dialect:
            # Read here, before the call is settled: what cannot be read must not be found when it has been charged.
            x.events, x.writer = tuple(dialect.events_of(body)), writer_for(x, tried.candidate, self.clock)
        x.body = body  # it goes out when its settlement is durable, and with that its hold is
        return None

    def _refused(self, x: Exchange, tried: Tried, index: int, complaint: Complaint) -> Outcome:
        """A 2xx without an answer. An error in it counts as the status that it names; where it names none, its words
        may still say what it is."""
        found = meaning(x, tried, complaint.status or 400, complaint)
        if complaint.status is None and meant(tried, complaint) is Verdict.caller:
            complaint = msgspec.structs.replace(complaint, status=400)
        elif complaint.status is None and found is Verdict.caller:
            return Outcome(index, Verdict.hollow, complaint.words or "an empty answer", 200)
        return Outcome(
            index, found, complaint.message, complaint.status or 200, complaint.wait_s,
            complaint.kind, complaint.code, complaint.param, (complaint.details or b"").decode(),
        )  # fmt: skip

    async def _pass_stream(
        self, x: Exchange, dialect: Dialect, tried: Tried, answer: Answer, index: int, timer: trio.CancelScope
    ) -> Outcome | None:
        """Pass a stream on as it comes. Until the first content nothing is sent and the attempt can still fail over."""
        times = tried.candidate.channel.timeouts
        first_token_until = trio.current_time() + times.first_token
        reader: Reader = dialect.StreamReader(tried.meter, show_usage=x.ask.wants_usage)
        if dialect is not x.call.dialect:
            reader = Translated(dialect, reader, writer_for(x, tried.candidate, self.clock))
        x.reader = reader
        tried.awaited = "no first token in time"
        timer.deadline = min(first_token_until, x.call.ends_at)
        data = await answer.receive()
        while (streams := sse.is_stream(data, ended=not data)) is None and (more := await answer.receive()):
            data += more
        if not streams and not _says_stream(answer.headers, data):
            return await self._stream_whole(x, dialect, tried, answer, index, timer, reader, data)
        pump = Pump(x, reader, self.passing, timer, idle_s=times.idle)
        while True:
            passed = reader.feed(data) if data else reader.end()
            if passed:
                timer.deadline = x.call.ends_at  # a slow client is not an idle upstream
                await self._pass_on(x, tried, passed)
            if x.answering and await self._pumped(x, pump, answer):
                timer.deadline = x.call.ends_at
                await self._pass_on(x, tried, pump.kept)  # and what did not go at once
            if reader.state in OVER:
                break
            if x.call.left and drained_enough(x, tried):
                x.call.cancel("client_gone")
            timer.deadline = min(trio.current_time() + times.idle if x.answering else first_token_until, x.call.ends_at)
            data = await answer.receive()
        timer.deadline = x.call.ends_at
        if reader.state is State.done:
            await self._read_end(reader, answer)
        return await self._ended(x, tried, reader, index)

    async def _pumped(self, x: Exchange, pump: Pump, answer: Answer) -> bool:
        """Let the pieces of an answer that has begun pass by without this task, as long as nothing is to be decided;
        whether the client has yet to be waited for."""
        if pump.reader.state in OVER or not x.client.immediate or x.call.left:
            return False
        pump.begin()
        await answer.pump(pump.take)
        return pump.full or bool(pump.kept)

    async def _ended(self, x: Exchange, tried: Tried, reader: Reader, index: int) -> Outcome | None:
        """What the end of a stream means, by the state it ended in."""
        if reader.state in WHOLE:
            if not x.answering:  # it had nothing to say that its client would see
                await self._start(x, tried)
            return None
        if reader.state is State.failed:
            return self._refused(x, tried, index, reader.complaint or Complaint("the stream ended without an answer"))
        assert reader.state is State.broken
        if reader.complaint is None:
            raise ProviderError("the provider's stream ended before its answer did")
        words = redact(conceal(reader.complaint.words, tried.candidate))
        error = ProviderError(f"the provider reported an error inside the stream: {words}")
        error.overloaded = reader.complaint.status in OVERLOADED
        raise error

    async def _pass_on(self, x: Exchange, tried: Tried, data: bytes) -> None:
        """Send what a reader has given out; the answer begins with the first of it."""
        if not x.answering:
            await self._start(x, tried)
            if x.head_early:  # something has gone before: a byte order mark would be a part of a name here
                data = data.removeprefix(sse.BOM)
        elif x.keeping is not None:
            await quiet(x)
        x.heard_at = inf
        await x.client.send(data)
        x.heard_at = trio.current_time()
        self.passing("content")

    async def _stream_whole(
        self, x: Exchange, dialect: Dialect, tried: Tried, answer: Answer, index: int, timer: trio.CancelScope,
        reader: Reader, came: bytes,
    ) -> Outcome | None:  # fmt: skip
        """The upstream was asked to stream and answered whole: its answer is passed on as a stream of one chunk."""
        body = await self._read_answer(x, tried, answer, timer, came)
        timer.deadline = x.call.ends_at
        try:
            passed = reader.feed(dialect.stream_of(body))
        except NotAnAnswer as hollow:
            return self._refused(x, tried, index, hollow.complaint)
        if passed:
            await self._pass_on(x, tried, passed)
        return await self._ended(x, tried, reader, index)

    async def _read_end(self, reader: Reader, answer: Answer) -> None:
        """After the end marker the body's end is there already, or very soon: reading it lets the connection be used
        again, and some put their usage there."""
        with trio.move_on_after(END_S), contextlib.suppress(UpstreamFailed):  # the answer is complete all the same
            while data := await answer.receive():
                reader.feed(data)
            reader.end()

    async def _start(self, x: Exchange, tried: Tried) -> None:
        """Open the answer to the client: its first content has come, and its hold is durable."""
        self.passing("first_content")
        await self._held_durably(x)
        tried.awaited = "stream stalled"
        await quiet(x)
        x.heard_at = inf
        x.first_content_at = self.clock.now()
        self.standing.begun(tried.candidate)
        if not x.head_sent:
            x.head_sent = True
            await x.client.start(200, stream_headers(x))

    async def _held_durably(self, x: Exchange) -> None:
        assert x.held is not None
        if self.ledger.is_durable(x.held.ticket):  # nearly always: it was committed while the upstream worked
            return
        if not await self.ledger.durable_within(x.held.ticket, DURABLE_WAIT_S):
            raise DatabaseBusy("the ledger does not take commits now; nothing was charged", retry_after_s=5)


def _is_good(answer: Answer) -> bool:
    """Whether a status promises an answer: clients of these protocols take any 2xx."""
    return 200 <= answer.status < 300


def _says_stream(headers: Headers, body: bytes) -> bool:
    """Whether an answer that does not begin like a stream is one by its own word; a JSON value never is."""
    kind = next((value for name, value in headers if name == b"content-type"), b"text/event-stream")
    return b"event-stream" in kind.lower() and body.lstrip()[:1] not in (b"{", b"[")
