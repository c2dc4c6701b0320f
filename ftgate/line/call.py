"""One call while it runs: what a door hands over and may end early, and all that is known of it on the line.

gate.py walks the line; charge.py says what a call costs, words.py what is said of it. Nothing here awaits.
"""

from collections.abc import Callable, Iterable, Sequence
from math import inf

import msgspec
import trio

from ftgate.core import complexity, estimate, limits, pricing
from ftgate.core.retrying import Outcome
from ftgate.core.routing import Candidate, Model
from ftgate.core.usage import Measured, Usage
from ftgate.dialects.brought import Brought
from ftgate.dialects.neutral import Event, Talk
from ftgate.dialects.talk import NOTHING, Ask, Dialect, Meter, Reader, Writer
from ftgate.errors import GateError, InvalidRequest
from ftgate.ports import STANDARD, Begun, Client, GateSettings, Headers, Held, Key, Sending, Settled


class Call:
    """A request as a door hands it over, and the handle by which the door ends it early.

    `id` is ours and unique; `secret` the key shown, None if none; `key` its key where the door has just looked at it;
    `dialect` what the caller speaks; `route` the path of the relay route it came to; `hops` the gateways that it came
    through (core.hops); `forwarded` those of its headers that go up to upstreams of its dialect; `brought` the provider
    key that a header brings.
    """

    __slots__ = (
        "began_at", "begun", "body", "brought", "cancelled", "dialect", "draining", "ended_by", "ends_at", "forwarded",
        "hops", "id", "key", "left", "route", "scope", "secret", "total_s",
    )  # fmt: skip

    def __init__(
        self,
        *,
        id: str,
        dialect: Dialect,
        secret: bytes | None,
        body: bytes,
        key: Key | None = None,
        route: str = "",
        hops: bytes = b"",
        forwarded: Headers | None = None,
        brought: Brought | None = None,
    ) -> None:
        self.id = id
        self.dialect = dialect
        self.route = route
        self.secret = secret
        self.key = key
        self.body = body
        self.hops = hops
        self.forwarded = forwarded
        self.brought = brought
        self.scope: trio.CancelScope | None = (
            None  # around what takes long now: an attempt, or the pause before the next
        )
        self.begun: Begun | None = None  # or what is waited for without a scope
        self.began_at = -inf  # trio.current_time
        self.total_s = inf  # what it may take in all where it is now
        self.ends_at = inf  # when it is out of time (trio.current_time)
        self.ended_by: str | None = None
        self.left = False
        self.cancelled = False
        self.draining: Tried | None = (
            None  # the attempt in progress, where it is to be read to its usage even without a client
        )

    def __repr__(self) -> str:
        """Its id and state; never its key or its body."""
        state = f"ended by {self.ended_by}" if self.ended_by else "running"
        told = [word for word, so in (("left", self.left), ("cancelled", self.cancelled)) if so]
        told += ["draining"] * (self.draining is not None)
        return f"<Call {self.id} {self.dialect.NAME}: {', '.join([state, *told])}>"

    def may_take(self, total_s: float) -> None:
        """From its start it may take so long in all: the channel that it is at says so, or else what holds for all."""
        self.total_s = total_s
        self.ends_at = self.began_at + total_s

    def client_gone(self, why: str = "client_gone") -> None:
        """The client has left (or its write deadline passed). Stops the upstream at once, or drains it, as its channel
        says."""
        if self.left:
            return
        self.left = True
        if self.draining is not None and self.draining.sending.sent:
            self.ended_by = why
            self.ends_at = min(self.ends_at, trio.current_time() + self.draining.candidate.channel.drain_s)
            if self.scope is not None:
                self.scope.deadline = min(self.scope.deadline, self.ends_at)
            elif self.begun is not None:
                self.begun.lower(self.ends_at)
        else:
            self.cancel(why)

    def cancel(self, why: str) -> None:
        """End the call now, recorded as `why`: client_gone, write_timeout, shutdown, operator. What does not take long
        is finished."""
        self.ended_by = self.ended_by or why
        self.cancelled = True
        if self.scope is not None:
            self.scope.cancel()
        elif self.begun is not None:
            self.begun.wake()


class Ended(Exception):
    """The call was ended from outside, or its time is up: words.cut_error says how."""


class Tried:
    """One attempt: where it went, what its meter says, how far it came."""

    __slots__ = (
        "awaited", "bare", "began", "candidate", "cap", "complete", "cost", "ended", "failed", "head", "left_at",
        "meter", "sending",
    )  # fmt: skip

    def __init__(self, candidate: Candidate, cap: int | None = None, *, bare: bool = False) -> None:
        self.candidate = candidate
        self.cap = cap  # tokens of one answer, as it goes up: the client's or ours
        self.bare = bare  # what was thought in earlier turns stays here
        self.meter = Meter()
        self.sending = Sending()
        self.failed = False
        self.complete = False
        self.cost = 0  # units that are charged for it, at the channel's own price
        self.left_at: int | None = None  # tokens that had come when it was first seen that its client has left
        self.awaited = ""  # what has not come, in words, when the time for it is up
        self.head: Headers = []  # of the upstream's answer
        self.began = self.ended = 0.0  # of what was tried again, and of what failed (Clock.now)


class Prompt(msgspec.Struct, frozen=True, gc=False):
    """A call's prompt at one model, in tokens: the whole of it, and what the context must hold, which is the longest
    where there are several."""

    whole: estimate.Count
    longest: estimate.Count


class Offered:
    """One candidate as a hold sees it (pricing.Offer): quoted only if somebody looks at it, and once."""

    __slots__ = ("_quote", "_quoted", "asked", "channel", "context", "rest_s", "way")

    def __init__(
        self, way: Candidate, quote: Callable[[Candidate], pricing.Quote], *, asked: bool, rest_s: float = 0.0
    ) -> None:
        self.way = way
        self.asked = asked
        self.rest_s = rest_s  # seconds to wait before it may be asked
        self.channel = way.channel.name
        self.context = way.model.context or 0
        self._quote = quote
        self._quoted: pricing.Quote | None = None

    def quote(self) -> pricing.Quote:
        if self._quoted is None:
            self._quoted = self._quote(self.way)
        return self._quoted


_NONE: frozenset[str] = frozenset()


class Exchange:
    """All that is known of a call while it runs."""

    # Slots: every line on the way reads here, and an object with more than 30 attributes and none would have a dict of
    # its own, which is several times as slow.
    __slots__ = (
        "__weakref__",
        "affine", "ask", "behind", "body", "call", "charged", "client", "counts", "created_at_us", "entered", "events",
        "fallback", "first_content_at", "grade", "head_early", "head_sent", "heard_at", "held", "keeping", "key",
        "measured", "mode", "model_ticket", "multiplier", "offered", "outcomes", "plan", "ratios", "reader", "resting",
        "room",
        "said", "scopes", "settings", "settled", "started", "talk", "ticket", "too_long_for", "tried", "uncounted",
        "unfit", "waits", "ways", "writer",
    )  # fmt: skip

    def __init__(
        self,
        call: Call,
        client: Client,
        settings: GateSettings,
        ratios: estimate.Ratios,
        started: float,
        created_at_us: int,
    ) -> None:
        self.call = call
        self.ratios = ratios
        self.client = client
        self.settings = settings
        self.started = started
        self.created_at_us = created_at_us
        self.key: Key | None = None
        self.ask = NOTHING
        self.mode = STANDARD
        # What is asked in neutral words, once another dialect needs it, or why they cannot say it.
        self.talk: Talk | InvalidRequest | None = None
        self.said: dict[str, Ask | InvalidRequest] = {}  # the same in other dialects, or why it cannot be said there
        self.multiplier = pricing.ONE
        self.grade: complexity.Grade | None = None  # how hard it is, where that decides
        # Where it may go, and what limits count it.
        self.ways: Iterable[Candidate] = ()  # every candidate, in order
        self.fallback: frozenset[str] = _NONE  # models among these that were not asked for
        self.counts: dict[tuple[str, int | None], Prompt] = {}  # charge.prompt_of's own
        self.offered: list[Offered] = []  # candidates that were offered to the ledger
        self.plan: tuple[Offered, ...] = ()  # those of them that the hold covers
        self.behind: Iterable[Offered] = ()  # those that the hold was not sized for
        self.waits: list[limits.Refused] = []  # of models that are at their limits
        self.affine = b""  # the conversation's digest, where it is known again (core.affinity)
        self.resting: list[tuple[float, Candidate]] = []  # candidates that were left out, and for how many seconds
        self.too_long_for: list[Model] = []
        self.unfit: InvalidRequest | None = None  # why the first of those fell out that speak no dialect it fits into
        self.scopes: Sequence[tuple[limits.Scope, limits.Meters]] = ()  # its key's and its account's, if they limit it
        self.ticket = limits.NO_TICKET  # of its key and its account
        self.model_ticket = limits.NO_TICKET  # of the model it is at
        self.entered = ""  # the name of that model
        self.room: limits.Room | None = None
        # What was tried, and what it cost.
        self.held: Held | None = None
        self.tried: list[Tried] = []
        self.outcomes: list[Outcome] = []
        self.charged: list[tuple[pricing.Price, Usage]] = []  # every attempt that is paid for, at its price
        self.measured: Measured | None = None
        self.uncounted: GateError | None = None  # why it could not be charged, where counting failed
        self.settled: Settled | None = None
        # What its client gets.
        self.body = b""  # a whole answer, where it passes untouched
        self.events: Iterable[Event] = ()  # where it does not: what it says, and who writes it for the caller
        self.writer: Writer | None = None
        self.reader: Reader | None = None  # of the stream that is passed on now, or was as a whole
        self.head_sent = False  # of a stream
        self.head_early = False  # it went before anybody had answered
        self.heard_at = inf  # when something last went to its client (trio.current_time); inf while something goes
        self.keeping: trio.Event | None = None  # set when the keeper's line has gone
        self.first_content_at: float | None = None

    @property
    def answering(self) -> bool:
        """Whether some of a streamed answer has gone to the client: then there is no second attempt."""
        return self.first_content_at is not None

    @property
    def planned(self) -> tuple[Candidate, ...]:
        """The plan as routing sees it."""
        return tuple([offered.way for offered in self.plan])

    def let_go(self) -> None:
        """What was not tried knows the call, and the call knows it: as a circle it would wait for the collector."""
        self.offered.clear()
        self.behind = self.plan = ()

    def leave_model(self, now: float) -> None:
        """The model is free again, for what counts the calls at it."""
        if self.model_ticket is not limits.NO_TICKET:
            self.model_ticket.release(now, self._used_tokens())

    def leave(self, now: float) -> None:
        """The call is over, for all that counts calls."""
        self.leave_model(now)
        if self.ticket is not limits.NO_TICKET:
            self.ticket.release(now, self._used_tokens())

    def _used_tokens(self) -> int:
        """Prompt and output of what is charged."""
        return self.measured.usage.prompt + self.measured.usage.output if self.measured else 0
