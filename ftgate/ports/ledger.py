"""The ledger, as the line takes holds of it and settles them; and the row that a call leaves."""

from collections.abc import Iterable
from typing import Protocol

import msgspec

from ftgate.core.limits import NO_TICKET, Refused, Ticket
from ftgate.core.pricing import Multiplier, Offer

STANDARD, BYOK = "standard", "byok"
"""Modes of a call: its account's credits pay, or it brings a provider key of its own (core.secret.Brought)."""


class HoldRequest(msgspec.Struct, frozen=True):
    """What a hold is sized from (pricing.hold_for): the candidates in their order, of which `tries` will be tried at
    the most. They are walked once, as far as that needs. `ref` is the call's own id. `soon`: its durability will be
    waited for before its end's; else it may be remembered together with that. A BYOK call says in which `month` its
    tokens count (core.moments.month), and of how many of the account's no more are taken. `ticket`: what it was let in
    by, for a ledger that others share."""

    account: int
    key: int
    offers: Iterable[Offer]
    multiplier: Multiplier
    tries: int
    ref: str
    soon: bool = True
    month: str = ""
    month_limit: int = 0
    ticket: Ticket = NO_TICKET


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

    `upstream_id` is the id that the upstream gave the last attempt, in its own words; "" where it told none.

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
    upstream_id: str = ""


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

    async def hold(self, request: HoldRequest) -> Held | Poor | Exhausted | Refused | None:
        """Set aside what the call may cost at most. None when no candidate was offered; Refused by a limit that
        several gateways keep together. A BYOK call is only counted,
        when it settles: those in flight may pass the month's limit by what they use."""
        ...

    async def enter(self, ref: str, ticket: Ticket) -> Refused | None:
        """A call that has its hold, under `ref`, comes to a model whose limits let it in here (`ticket`): whether
        whoever else keeps these limits lets it in too. Only asked of a ledger that must wait. Raises DatabaseBusy,
        DatabaseFailed."""
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
