"""The seams between the gate and the world, as small Protocols.

The gate is given one object for each of these by app.py, the only composer. Nothing here says memory, SQLite or
httpcore, so that another room (a PostgreSQL ledger, a faster transport) can stand in without the gate noticing.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from ftgate.core.logged import Glance, Listed, Place, Recorded, Used, Wanted
from ftgate.core.periods import Window
from ftgate.ports.ledger import BYOK, STANDARD, Exhausted, Held, HoldRequest, Ledger, Poor, Row, Settled
from ftgate.ports.settings import DoorSettings, GateSettings, Live, PlanOffer, SiteSettings, Taker, Terms
from ftgate.ports.upstream import HOPS, Answer, Begun, Headers, Sending, Upstream, UpstreamRequest

__all__ = [
    "BYOK", "HOPS", "STANDARD", "Accounts", "Answer", "Begun", "Client", "Clock", "DoorSettings", "Exhausted",
    "Explained", "Explanation", "GateSettings", "Headers", "Held", "HoldRequest", "Journal", "Key", "Keys", "Ledger",
    "LeftOut", "Line", "Live", "PlanOffer", "Poor", "Row", "Sending", "Settled", "SiteSettings", "Taker", "Terms",
    "Upstream", "UpstreamRequest", "nowhere",
]  # fmt: skip


def nowhere(place: str) -> None:
    """What `passing(place)` does outside tests: nothing. Tests put in its place what ends the process there."""


class Key(msgspec.Struct, frozen=True):
    """An API key with what the gate must know of its account. `plan` is its own, else its account's. `models` empty is
    all, and so is `allowed_ips`; times in microseconds since 1970."""

    id: int
    account: int
    name: str
    prefix: str
    active: bool
    account_active: bool
    metered: bool
    plan: str
    models: tuple[str, ...] = ()
    expires_at_us: int | None = None
    allowed_ips: tuple[str, ...] = ()


class Keys(Protocol):
    async def find(self, secret: bytes) -> Key | None:
        """The key whose whole text this is; None when there is none. Never decides by a part of it."""
        ...


class Client(Protocol):
    """Where an answer goes: a door gives the gate one for each call. Sending to a client that has gone does nothing.
    `immediate`: send_now() may be used."""

    @property
    def immediate(self) -> bool: ...

    async def answer(self, status: int, headers: Headers, body: bytes) -> None:
        """A whole answer."""
        ...

    async def start(self, status: int, headers: Headers) -> None:
        """The head of a stream."""
        ...

    async def send(self, data: bytes) -> None: ...

    def send_now(self, data: bytes) -> bool:
        """As send(), without waiting. False when some of it did not go: it goes first with the next send() or end(),
        which has to come before the next send_now()."""
        ...

    async def end(self, data: bytes = b"") -> None:
        """The clean end of a stream, after its last piece."""
        ...


class Clock(Protocol):
    def now(self) -> float:
        """Monotonic seconds: every duration and limit."""
        ...

    def wall_us(self) -> int:
        """Microseconds since 1970: only shown and written, never compared across a restart."""
        ...


class Explained(msgspec.Struct, frozen=True):
    """One candidate of a call. `score` compares it with the best; `expected_cost` is in units, with the plan's factor,
    0 where the caller's own key pays."""

    model: str
    channel: str
    provider: str
    score: float
    expected_cost: int
    why: str


class LeftOut(msgspec.Struct, frozen=True):
    """One that would not be asked; `channel` is None where no channel comes into it."""

    model: str
    channel: str | None
    reason: str


class Explanation(msgspec.Struct, frozen=True):
    """`complexity` is the grade by which "auto" goes, None for what is no chat; `complexity_why` its reasons."""

    data: tuple[Explained, ...]
    left_out: tuple[LeftOut, ...]
    complexity: str | None
    complexity_why: str

    def shown(self) -> dict[str, Any]:
        """As plain values; costs stay in units."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found


class Line(Protocol):
    """The line as pages and account routes see it, which make no calls."""

    @property
    def settings(self) -> GateSettings:
        """The snapshot that holds now."""
        ...

    async def authenticate(self, secret: bytes | None) -> Key:
        """The key whose secret was shown. Raises errors.NotAuthenticated."""
        ...

    def not_ready(self) -> str | None:
        """Why calls cannot be served now; None when they can."""
        ...

    async def explain(
        self, key: Key, body: bytes, route: str | None = None, provider_key: bytes | None = None
    ) -> Explanation:
        """How a call with this body would be routed, without the call. `route`: the relay route it is for; by default
        the one whose body it looks like. `provider_key`: the value of the header that brings one. Raises GateError for
        what the call would be refused for as it is planned."""
        ...


class Accounts(Protocol):
    """What accounts have, as they see it themselves."""

    async def posted(self, account: int) -> int:
        """Units of credit that an account has, those its open calls hold among them."""
        ...

    async def held(self, account: int) -> int:
        """Units of these that its open calls hold."""
        ...

    async def byok_tokens(self, account: int, month: str) -> int:
        """Tokens that an account's BYOK calls have used in a month (core.moments.month), this one or the last."""
        ...


class Journal(Protocol):
    """The calls that have ended, as they are shown: there as soon as they have settled."""

    async def requests_of(self, accounts: Sequence[int]) -> Mapping[int, int]:
        """How many requests each of these accounts has ever made."""
        ...

    async def page(
        self, wanted: Wanted, *, skipped: int, size: int, after: Place | None = None, summed: bool = False
    ) -> Listed:
        """A page: the calls behind the place `after`, or behind the first `skipped` ones. `summed`: with what all of
        them come to, where that can be said."""
        ...

    def csv(self, wanted: Wanted, names: Sequence[str]) -> AsyncIterator[bytes]:
        """All calls that there are now, as CSV with these fields (core.logged), oldest first, piece by piece."""
        ...

    async def call(self, request_id: str, account: int | None = None) -> Recorded | None:
        """One call; None where there is none of this id, or it is not of this account (None: of any)."""
        ...

    async def used(self, account: int, window: Window) -> Used:
        """What an account's calls come to."""
        ...

    async def glance(self, account: int, month: Window, shown: Window) -> Glance:
        """What an account's calls come to in each day of `month`, and in each hour of `shown`; how those of `shown`
        ended."""
        ...
