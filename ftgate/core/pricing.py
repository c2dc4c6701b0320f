"""Prices and what they make of tokens: the charge of an attempt, the size of a hold.

All integers: `Price` is in units (pico, core/money.py) per token, a charge in units. A multiplier is a rational; it is
applied once per request, rounded half up for the charge and up for the hold, so that a hold never lies below its
charge.
"""

import msgspec

from ftgate.core.money import round_half_up, round_up
from ftgate.core.usage import Usage

SMALLEST_CAP = 1024
"""An injected cap under this many tokens would cut ordinary answers short: better a 402 that says what is missing."""


class Tier(msgspec.Struct, frozen=True, gc=False):
    """Prices of the whole request once its prompt is longer than `above` tokens. Units per token."""

    above: int
    input: int
    output: int
    cached: int
    cache_write: int
    cache_write_1h: int


class Price(msgspec.Struct, frozen=True, gc=False):
    """Units per token; `per_request` in units. Where a class of tokens has no price of its own it carries the input
    price."""

    input: int
    output: int
    cached: int
    cache_write: int
    cache_write_1h: int
    per_request: int = 0
    tiers: tuple[Tier, ...] = ()

    @property
    def free(self) -> bool:
        return self == Price(0, 0, 0, 0, 0)


class Multiplier(msgspec.Struct, frozen=True, gc=False):
    """A plan's factor on every charge, as a fraction."""

    numerator: int = 1
    denominator: int = 1


ONE = Multiplier()


def rates(price: Price, prompt_tokens: int) -> Price | Tier:
    """The row of a price that a prompt of this length falls under."""
    row: Price | Tier = price
    for tier in price.tiers:  # ascending by `above`: config refuses another order
        if prompt_tokens > tier.above:
            row = tier
    return row


def prompt_charge(price: Price, tokens: int) -> int:
    """Units for a prompt alone, none of it cached, before any multiplier."""
    return tokens * (rates(price, tokens).input if price.tiers else price.input) + price.per_request


def charge(price: Price, usage: Usage) -> int:
    """Units for one attempt's usage at one price, before any multiplier."""
    row = rates(price, usage.prompt) if price.tiers else price
    return (
        usage.input * row.input
        + usage.cache_read * row.cached
        + usage.cache_write * row.cache_write
        + usage.cache_write_1h * row.cache_write_1h
        + usage.output * row.output
        + price.per_request
    )


def total(charges: list[int], multiplier: Multiplier = ONE) -> int:
    """Units for a call: the sum over its attempts, times the plan's multiplier, rounded half up once."""
    return round_half_up(sum(charges) * multiplier.numerator, multiplier.denominator)


class Quote(msgspec.Struct, frozen=True, gc=False):
    """The bound on what a call can cost at one candidate, still open in its cap.

    `prompt_tokens` is an upper bound, `answers` is n (or best_of), `cap` the client's own limit in tokens for one
    answer or None, `model_limit` the most the model writes in one answer, `uncapped` tokens per answer that no cap
    binds (thinking outside the cap). `binds` is false for a model that knows no cap: then only its limit bounds it,
    whatever is asked.
    """

    price: Price
    prompt_tokens: int
    answers: int
    cap: int | None
    model_limit: int
    uncapped: int = 0
    binds: bool = True

    def _rows(self) -> list[tuple[int, int]]:
        """(dearest input class, output) of every row that a prompt up to the bound can fall under: the real prompt may
        stay below a tier that the bound reaches, and a lower tier can be the dearer one."""
        rows: list[Price | Tier] = [self.price, *(t for t in self.price.tiers if self.prompt_tokens > t.above)]
        return [(max(row.input, row.cached, row.cache_write, row.cache_write_1h), row.output) for row in rows]

    def bound(self, cap: int) -> int:
        """Units this call can cost at most with this cap: the prompt at its dearest input class, the whole output."""
        output = self.answers * ((cap if self.binds else self.model_limit) + self.uncapped)
        price = self.price
        if not price.tiers:
            dearest = max(price.input, price.cached, price.cache_write, price.cache_write_1h)
            return self.prompt_tokens * dearest + output * price.output + price.per_request
        return max([self.prompt_tokens * dearest + output * rate for dearest, rate in self._rows()]) + price.per_request

    def largest_cap(self, budget: int) -> int:
        """The largest cap whose bound is within `budget` units; negative when the prompt alone is past it, or no cap
        binds."""
        cap = self.model_limit
        if not self.binds:
            return cap if self.bound(cap) <= budget else -1
        for dearest, rate in self._rows():
            fixed = self.prompt_tokens * dearest + self.answers * self.uncapped * rate + self.price.per_request
            step = self.answers * rate
            if fixed > budget:
                return -1
            if step:
                cap = min(cap, (budget - fixed) // step)
        return cap


class Sized(msgspec.Struct, frozen=True, gc=False):
    """A hold's size in units and the output cap (tokens) that makes it a bound. `inject` says that the cap is ours to
    send."""

    amount: int
    cap: int
    inject: bool


class TooPoor(msgspec.Struct, frozen=True, gc=False):
    """The balance does not afford the call. `required` is the least available amount (units) that would."""

    required: int


def bound_for(quotes: tuple[Quote, ...], cap: int, multiplier: Multiplier) -> int:
    """Units that a call with this cap can cost at most, wherever it goes."""
    worst = max([quote.bound(cap) for quote in quotes])
    return round_up(worst * multiplier.numerator, multiplier.denominator)


def hold_for(quotes: tuple[Quote, ...], available: int, multiplier: Multiplier = ONE) -> Sized | TooPoor:
    """Size the hold for a call that may go to any of `quotes` (its candidates), from `available` units.

    A cap the client gave is held whole or refused. Without one the cap is what half of the available balance affords,
    at most the model's limit, and at least min(1,024, the model's limit), else refused: "half" leaves room for a second
    call beside this one. Source: DESIGN.md, Money.
    """
    asked = quotes[0].cap
    if asked is not None:
        amount = bound_for(quotes, asked, multiplier)
        return Sized(amount, asked, inject=False) if amount <= available else TooPoor(amount)
    limit = min(quote.model_limit for quote in quotes)
    least = min(SMALLEST_CAP, limit)
    whole = bound_for(quotes, limit, multiplier)
    if not any(quote.binds for quote in quotes):  # nothing can be injected: the whole answer is held, or refused
        return Sized(whole, limit, inject=False) if whole <= available else TooPoor(whole)
    if whole <= available // 2 or whole == bound_for(
        quotes, 0, multiplier
    ):  # affordable in full, or the output is free: half buys nothing
        return Sized(whole, limit, inject=True) if whole <= available else TooPoor(whole)
    budget = (available // 2) * multiplier.denominator // max(multiplier.numerator, 1)
    cap = min(limit, *(quote.largest_cap(budget) for quote in quotes))
    if cap >= least:
        return Sized(bound_for(quotes, cap, multiplier), cap, inject=True)
    # Half the balance does not buy the least useful answer; the whole of it may.
    amount = bound_for(quotes, least, multiplier)
    return Sized(amount, least, inject=True) if amount <= available else TooPoor(amount)
