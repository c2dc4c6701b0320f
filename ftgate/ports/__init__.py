"""The seams between the gate and the world, as small Protocols.

The gate is given one object for each of these by app.py, the only composer. Nothing here says memory, SQLite or
httpcore, so that another room (a PostgreSQL ledger, a faster transport) can stand in without the gate noticing.
"""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from ftgate.core.health import Breaker
from ftgate.core.logged import Listed, Place, Recorded, Used, Wanted
from ftgate.core.periods import Window
from ftgate.core.pricing import ONE, Multiplier, Offer
from ftgate.core.retrying import Retry
from ftgate.core.routing import Channel, Model, Reach, Routes
from ftgate.core.secret import Secret
from ftgate.errors import Forbidden

Headers = list[tuple[bytes, bytes]]
"""HTTP headers in order; names in lower case, values without surrounding space."""


STANDARD, BYOK = "standard", "byok"
"""Modes of a call: its account's credits pay, or it brings a provider key of its own (core.secret.Brought)."""

HOPS = b"x-ftgate-hops"
"""The header that names the gateways a call has come through (core.hops)."""


def nowhere(place: str) -> None:
    """What `passing(place)` does outside tests: nothing. Tests put in its place what ends the process there."""


class UpstreamRequest(msgspec.Struct, frozen=True, gc=False):
    """One request to an upstream, a POST where nothing else is said. `channel` names the configured way to it, `reach`
    says how it is gone: both together have connections of their own. `brought`: a caller's own key stands in the
    headers, and nobody keeps them."""

    channel: str
    url: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    connect_s: float
    reach: Reach = Reach()
    brought: bool = False
    method: bytes = b"POST"


class Answer(Protocol):
    """An upstream's answer whose head has come."""

    status: int
    headers: Headers
    whole: bytes | None
    """The body, where all of it came with the head; receive() need not be called then. None where it is to be
    received."""

    async def receive(self) -> bytes:
        """The next piece of the body as it came, b"" once at its clean end. Raises errors.UpstreamFailed when cut."""
        ...

    async def pump(self, take: Callable[[bytes], bool]) -> bool:
        """Give each piece of the body to `take` as it comes, without waking the caller, until that says False or there
        is something else to be known, which receive() then tells. False where this cannot be done: nothing was taken.
        Raises errors.UpstreamFailed when cut."""
        ...

    async def aclose(self) -> None:
        """Give the connection back when the body was read to its end, else close it at once. Not interrupted by a
        cancellation, which must not lose an answer that has come whole; so it waits for nothing that can take long."""
        ...


class Begun(Protocol):
    """A request that has been sent as far as that needed no waiting. Either `word` returns its answer, or `open` is
    called."""

    async def word(self, until: float) -> Answer | None:
        """The answer, if what comes first is all of it; waited for until `until` (trio.current_time), or a little
        longer, at most. Raises errors.UpstreamFailed; then, and when cancelled, it is over."""
        ...

    def lower(self, until: float) -> None:
        """Let the wait in `word` end at this time at the latest."""
        ...

    def wake(self) -> None:
        """Let the wait in `word` end now."""
        ...

    def open(self) -> Coroutine[Any, Any, Answer]:
        """Go on as Upstream.open does."""
        ...


class Upstream(Protocol):
    """How HTTP goes out (a transport)."""

    def begin(self, request: UpstreamRequest, sending: "Sending") -> Begun | None:
        """Begin to send `request`, where that needs no waiting: a short answer can then be had without a cancel scope
        around the wait for it, which costs more than the wait. None where it must be opened. Raises
        errors.UpstreamFailed."""
        ...

    def open(self, request: UpstreamRequest, sending: "Sending | None" = None) -> Coroutine[Any, Any, Answer]:
        """Send `request` and wait for the response head. Only the connect limit is the transport's; every other time
        limit is a cancel scope of the gate's. Raises errors.UpstreamFailed. A cancelled call leaves no connection
        behind."""
        ...


class Sending:
    """Filled by the transport while it opens: whether any byte of the request may have gone up. It outlives a cancelled
    open, which is when the gate must know."""

    __slots__ = ("sent",)

    def __init__(self) -> None:
        self.sent = False


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


class HoldRequest(msgspec.Struct, frozen=True):
    """What a hold is sized from (pricing.hold_for): the candidates in their order, of which `tries` will be tried at
    the most. They are walked once, as far as that needs. `ref` is the call's own id. `soon`: its durability will be
    waited for before its end's; else it may be remembered together with that. A BYOK call says in which `month` its
    tokens count (core.moments.month), and of how many of the account's no more are taken."""

    account: int
    key: int
    offers: Iterable[Offer]
    multiplier: Multiplier
    tries: int
    ref: str
    soon: bool = True
    month: str = ""
    month_limit: int = 0


class Held(msgspec.Struct, frozen=True):
    """An open hold. `id` means something to its ledger alone. `amount` is what the call may cost (units), whether
    credits or a key's quota were set aside for it; where `bounded` is false nothing was, and no cap is due. `kept` are
    the places, among the candidates offered, of those that it covers. `ticket` is for durable_within()."""

    id: object
    amount: int
    bounded: bool
    kept: tuple[int, ...]
    ticket: object


class Poor(msgspec.Struct, frozen=True):
    """No hold: `required` units are more than what is left of the key's quota (`quota`), or than the available
    credits."""

    quota: bool
    available: int
    required: int


class Exhausted(msgspec.Struct, frozen=True):
    """No hold: the BYOK calls of this month have used `used` tokens, and `limit` are all."""

    used: int
    limit: int


class Row(msgspec.Struct, gc=False, array_like=True):
    """One ended call, as `requests` remembers it. Money in units, times in microseconds since 1970 or milliseconds of
    span.

    `status`: ok, client_gone, write_timeout, shutdown, operator, timeout, error, refused; and crashed, which no call
    says of itself: the row of one that a kill ended is written by the next start, without what only that process knew
    (model, tokens, attempts 0; `http_status` 0, since nobody knows what its client saw), and costs what its expire
    charged.

    A row holds its own arithmetic (core/receipt.py has the formula, and makes the three texts): cost + lost is what its
    tokens, `price`, `multiplier` and `earlier` come to, and `ledger verify` works that out for every row.

    - The tokens are those of the last attempt that was charged, and `price` (receipt.price_text) is the price of *that*
      attempt; "" and no tokens where none was charged. `prompt_tokens` counts every class of the prompt;
      `cached_tokens`, `cache_write_tokens` (those kept for 5 minutes) and `cache_write_1h_tokens` are parts of it.
    - `multiplier` (receipt.multiplier_text) is the plan's factor, 3/2, also where nothing was charged: "" is a row from
      before rows held it.
    - `earlier` (receipt.earlier_text) is every attempt that was charged before that one; "" nearly always.

    `remark` is what the operator is to know of a call that was served all the same: a usage that was refused, a prompt
    counted far above what was sent, events that were no JSON; or that a bug kept it from being charged.

    `tries` (core.tries) is what became of each attempt, where the row does not say it: where there were several.

    `kind` is the journal's own: which calls are of one kind to who looks for them.

    `route` is the path of the relay route that the caller used, `client_dialect` the protocol spoken there,
    `channel_dialect` the one spoken to the last candidate tried; "" where it came to none.
    """

    request_id: str
    created_at_us: int
    account: int
    key: int
    model: str
    served_model: str
    provider: str
    channel: str
    status: str
    http_status: int
    error_code: str
    mode: str
    prompt_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    cost: int
    lost: int
    estimated: bool
    latency_ms: int
    first_token_ms: int | None
    attempts: int
    stream: bool
    hold: int
    price: str = ""
    route: str = ""
    client_dialect: str = ""
    channel_dialect: str = ""
    multiplier: str = ""
    cache_write_1h_tokens: int = 0
    earlier: str = ""
    remark: str = ""
    tries: str = ""
    kind: int = 0


class Settled(msgspec.Struct, frozen=True, gc=False):
    """A hold's end. `charged` in units, None where the decision is not known in time and may still come out higher or
    lower than what was asked. `balance` is what is posted after it, None for a metered account or where not known."""

    charged: int | None
    lost: int
    balance: int | None
    ticket: object


class Ledger(Protocol):
    """The money. A ticket says when a decision has become durable.

    What every ledger promises, also one that must wait for its decisions: a hold that is cancelled leaves none behind,
    before its decision and after it; a settle is accepted at once and never withdrawn, and answers within two seconds,
    decided or not. `immediate`: hold and settle decide without waiting, so that no cancellation can strike inside them.
    """

    immediate: bool

    def busy(self) -> str | None:
        """Why no new hold can be taken now (the database does not take commits); None when it can."""
        ...

    async def hold(self, request: HoldRequest) -> Held | Poor | Exhausted | None:
        """Set aside what the call may cost at most. None when no candidate was offered. A BYOK call is only counted,
        when it settles: those in flight may pass the month's limit by what they use."""
        ...

    async def available(self, account: int, key: int) -> int | None:
        """Units that a hold of this key could set aside now; None where nothing bounds it."""
        ...

    async def settle(self, hold: object, charge: int | None, row: Row) -> Settled:
        """End a hold: post `charge` units, or void it (None). The row is remembered in the same transaction, and so are
        a BYOK call's tokens, in the month in which it came; the ledger writes the hold, the cost and the loss into it
        as they came out."""
        ...

    async def note(self, row: Row) -> None:
        """Remember a call that never took a hold."""
        ...

    def is_durable(self, ticket: object) -> bool:
        """Whether what the ticket stands for can no longer be lost."""
        ...

    async def durable_within(self, ticket: object, seconds: float) -> bool:
        """Wait until what the ticket stands for can no longer be lost, for `seconds` (or a little more) at most;
        whether it cannot. Cancelling the wait changes nothing. Raises errors.DatabaseFailed when it never will be
        written."""
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


class Terms(msgspec.Struct, frozen=True):
    """What a plan means for its accounts. `models` empty is all."""

    multiplier: Multiplier = ONE
    models: tuple[str, ...] = ()
    byok_tokens_per_month: int = 0


class Taker(msgspec.Struct, frozen=True):
    """A provider that takes the keys of callers (BYOK): the channel by which it is asked, without a key, its models
    under every name that they have; and what a model is like there that only the provider knows. Whether a key is good
    is found out by a GET of `check_url`, else by asking for a token of `check_model`."""

    channel: Channel
    stranger: Model
    check_url: str | None = None
    check_model: str | None = None


class GateSettings(msgspec.Struct, frozen=True):
    """The gate's part of the configuration: one immutable snapshot, swapped whole. A call keeps the one it began
    with."""

    routes: Routes
    retry: Retry
    total_s: float
    plans: Mapping[str, Terms]
    keepalive_s: float = 15.0
    """0: never."""
    takers: Mapping[str, Taker] = {}
    """The providers that take the keys of callers, by name."""
    breaker: Breaker = Breaker()
    limited: frozenset[str] = frozenset()
    """Models that have limits of their own."""

    def terms(self, plan: str) -> Terms:
        """A plan's terms. Raises errors.Forbidden (plan_unavailable) for one that is not in the config: what it kept
        its keys from must not fall away with its name."""
        found = self.plans.get(plan)
        if found is None:
            raise Forbidden(
                f"The plan {plan!r} of this API key is not configured here any more: give the key another plan "
                "(`planId`, GET /v1/plans lists them), or ask the operator, who can bring the plan back or move the "
                "account to another one",
                code="plan_unavailable",
            )
        return found


class DoorSettings(msgspec.Struct, frozen=True):
    """The doors' part: the largest body of a request, and whether browsers on other sites may call."""

    max_body_bytes: int
    cors: bool


class PlanOffer(msgspec.Struct, frozen=True):
    """A plan as accounts see it. `models` is ("*",) for all; `requests_per_second` None without a limit; `selectable`:
    whoever makes a key may give it this plan."""

    selectable: bool = False
    models: tuple[str, ...] = ("*",)
    requests_per_second: int | None = None
    multiplier: Multiplier = ONE


class SiteSettings(msgspec.Struct, frozen=True):
    """The site's part. `public_url` is the address people open, None where nobody said; `trusted_proxies` are the
    addresses and networks whose X-Forwarded-For is believed. `registration` is open, invite or closed; who signs up
    gets `signup_credits` units. `password_min` in bytes. Who shows the `metrics_token` reads /metrics. Rows of calls
    are kept for `retention_days`, 0 for ever."""

    public_url: str | None = None
    trusted_proxies: tuple[str, ...] = ()
    registration: str = "closed"
    password_min: int = 6
    metrics_token: Secret | None = None
    signup_credits: int = 0
    retention_days: int = 0
    plans: Mapping[str, PlanOffer] = {}


class Live(Protocol):
    """The settings in force. Each part is one immutable snapshot, and all are swapped in one step: who needs a setting
    asks here whenever it needs one, and keeps no copy of its own but that of a call for the call's length."""

    @property
    def gate(self) -> GateSettings: ...

    @property
    def doors(self) -> DoorSettings: ...

    @property
    def site(self) -> SiteSettings: ...


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

    async def byok_tokens(self, account: int, month: str) -> int:
        """Tokens that an account's BYOK calls have used in a month (core.moments.month), this one or the last."""
        ...


class Journal(Protocol):
    """The calls that have ended, as they are shown: there as soon as they have settled."""

    async def requests_of(self, accounts: Sequence[int]) -> Mapping[int, int]:
        """How many requests each of these accounts has ever made."""
        ...

    async def page(self, wanted: Wanted, *, skipped: int, size: int, after: Place | None = None) -> Listed:
        """A page: the calls behind the place `after`, or behind the first `skipped` ones."""
        ...

    def csv(self, wanted: Wanted, names: Sequence[str]) -> AsyncIterator[bytes]:
        """All calls that there are now, as CSV with these fields (core.logged), oldest first, piece by piece."""
        ...

    async def call(self, request_id: str) -> Recorded | None:
        """One call; None where there is none of this id."""
        ...

    async def used(self, account: int, window: Window) -> Used:
        """What an account's calls come to."""
        ...
