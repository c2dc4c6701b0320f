"""Prices and what they make of tokens: the charge of an attempt, the size of a hold.

All integers: `Price` is in units (pico, core/money.py) per token, a charge in units. A multiplier is a rational; it is
applied once per request, rounded half up for the charge and up for the hold, so that a hold never lies below its
charge.
"""

from collections.abc import Iterable
from itertools import chain
from typing import Protocol

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


class Price(msgspec.Struct, frozen=True, gc=False, cache_hash=True):
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
        return not (
            self.input
            or self.output
            or self.cached
            or self.cache_write
            or self.cache_write_1h
            or self.per_request
            or self.tiers
        )


class Hours(msgspec.Struct, frozen=True, gc=False):
    """A price that holds at certain hours. `spans` are pairs of minutes of a day, UTC, the second not included: one
    that is not after the first lies in the next day. `days` are those on which a span begins, 0 is Monday."""

    spans: tuple[tuple[int, int], ...]
    days: tuple[int, ...]
    price: Price

    def hold(self, day: int, minute: int) -> bool:
        """Whether they hold in this minute of this weekday."""
        for start, end in self.spans:
            if start < end:
                if start <= minute < end and day in self.days:
                    return True
            elif (minute >= start and day in self.days) or (minute < end and (day - 1) % 7 in self.days):
                return True
        return False


def price_at(price: Price, hours: tuple[Hours, ...], wall_us: int) -> Price:
    """The price of a call that begins at this time (microseconds since 1970): that of the first hours that hold then,
    else the plain one."""
    days, minute = divmod(wall_us // 60_000_000, 1440)
    day = (days + 3) % 7  # 1970 began on a Thursday
    return next((its.price for its in hours if its.hold(day, minute)), price)


class Multiplier(msgspec.Struct, frozen=True, gc=False, cache_hash=True):
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
    """Units for one attempt's usage at one price, before any multiplier. No usage at all costs nothing, not even the
    price of a request."""
    if not (usage.output or usage.prompt):
        return 0
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
    if multiplier is ONE:
        return sum(charges)
    return round_half_up(sum(charges) * multiplier.numerator, multiplier.denominator)


class Quote(msgspec.Struct, frozen=True, gc=False):
    """The bound on what a call can cost at one candidate, still open in its cap.

    `prompt_tokens` is an upper bound, `likely_tokens` the likely count; `answers` is n (or best_of), `cap` the client's
    own limit in tokens for one answer or None, `model_limit` the most the model writes in one answer after this prompt,
    `max_output` what its provider states of it (None: nothing), `uncapped` tokens per answer that no cap binds
    (thinking outside the cap). `binds` is false for a model that knows no cap: then only its limit bounds it, whatever
    is asked.
    """

    price: Price
    prompt_tokens: int
    answers: int
    cap: int | None
    model_limit: int
    uncapped: int = 0
    binds: bool = True
    max_output: int | None = None
    likely_tokens: int = 0

    def _rows(self) -> list[tuple[int, int]]:
        """(dearest input class, output) of every row that a prompt up to the bound can fall under: the real prompt may
        stay below a tier that the bound reaches, and a lower tier can be the dearer one."""
        price = self.price
        if not price.tiers:
            return [(max(price.input, price.cached, price.cache_write, price.cache_write_1h), price.output)]
        rows: list[Price | Tier] = [price, *(t for t in price.tiers if self.prompt_tokens > t.above)]
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
        if self.bound(cap) <= budget:  # nearly always
            return cap
        if not self.binds:  # nobody asks: such a candidate is sent none
            return -1
        for dearest, rate in self._rows():
            fixed = self.prompt_tokens * dearest + self.answers * self.uncapped * rate + self.price.per_request
            step = self.answers * rate
            if fixed > budget:
                return -1
            if step:
                cap = min(cap, (budget - fixed) // step)
        return cap

    @property
    def asked(self) -> int | None:
        """The client's cap as it goes up here: at most what the model is stated to write."""
        if self.cap is None or self.max_output is None:
            return self.cap
        return min(self.cap, self.max_output)

    def span(self) -> tuple[int, int]:
        """Units without which this candidate is not tried, and units for everything that may be written here: up to the
        client's cap, else up to the model's limit. The least is a useful answer, where the cap is ours to choose and
        binds output that costs something, else everything."""
        asked = self.asked
        if asked is not None:
            whole = self.bound(asked)
            return whole, whole
        limit = self.model_limit
        whole = self.bound(limit)
        if limit <= SMALLEST_CAP or not (self.price.output or any(rate for _, rate in self._rows())):
            return whole, whole
        return self.bound(SMALLEST_CAP), whole

    @property
    def least(self) -> int:
        """Units without which this candidate is not tried (span)."""
        return self.span()[0]

    def cap_within(self, held: int, multiplier: Multiplier = ONE) -> int | None:
        """The cap to send here in a call for which `held` units are set aside: the client's, else what they buy at this
        price, at most the model's limit. None: nothing is to be sent, since the model is free or knows no cap."""
        asked = self.asked
        if asked is not None:
            return asked
        if not self.binds or self.price.free:
            return None
        if multiplier is ONE:
            return self.largest_cap(held)
        if not multiplier.numerator:
            return self.model_limit
        return self.largest_cap(held * multiplier.denominator // multiplier.numerator)


class Offer(Protocol):
    """A candidate to be held for. `asked`: its model is one of those the caller asked for, not a configured fallback.
    `channel` is where it would be asked; `context` in tokens, 0 where nobody stated it."""

    @property
    def asked(self) -> bool: ...

    @property
    def channel(self) -> str: ...

    @property
    def context(self) -> int: ...

    def quote(self) -> Quote: ...


class Sized(msgspec.Struct, frozen=True, gc=False):
    """A hold's size in units, and the places of the candidates that it covers, in their order. `estimate` is what the
    prompt alone likely costs at the first of them, in units."""

    amount: int
    kept: tuple[int, ...]
    estimate: int


class TooPoor(msgspec.Struct, frozen=True, gc=False):
    """What is available does not afford the call. `required` is the least amount (units) that would."""

    required: int


LOOK_BEHIND = 64
"""Candidates behind the cut that are looked at for a longer context: a catalogue of hundreds must not be walked for one
that is seldom tried."""


def times(units: int, multiplier: Multiplier) -> int:
    """Units with a plan's factor, rounded up: so a hold never lies below its charge."""
    return units if multiplier is ONE else round_up(units * multiplier.numerator, multiplier.denominator)


def hold_for(
    offers: Iterable[Offer], available: int | None, multiplier: Multiplier = ONE, *, tries: int = 1
) -> Sized | TooPoor | None:
    """Size the hold for a call that may go to any of `offers`, walked in order, from `available` units (None: nothing
    bounds it, and nothing is held).

    A candidate is left out when what it needs at the least (Quote.least) is more than what is available. The first
    `tries` others are kept, and one behind them with a longer context than they have; nothing is quoted past that. The
    last of these `tries` is at another channel than those before it, where there is one: several keys of a channel meet
    limits together. Each of them may spend half of what is available ("half" leaves room for a second call beside this
    one), or its least if that is more, and never more than everything it can write. The hold is the largest bound among
    them with the cap that this buys; what it buys elsewhere is asked for at each attempt (Quote.cap_within). So the
    hold is within what is available, and every candidate that is kept gets at least its least.

    None when nothing was offered. TooPoor when a model that was asked for was left out and none is kept.
    Source: DESIGN.md, Money.
    """
    kept: list[int] = []
    amount = estimate = longest = 0
    asked_for: list[int] = []  # what was needed for those that are left out
    others: list[int] = []
    asked_kept = False
    half = 0 if available is None else available // 2
    channel = ""  # of all that are kept so far; "" where they are at several
    later: list[tuple[int, Offer]] = []
    for place, offer in chain(enumerate(offers), later):
        if channel and len(kept) == tries - 1 and offer.channel == channel and not (later and place <= later[-1][0]):
            later.append((place, offer))
            continue
        if len(kept) >= tries:
            if place > kept[-1] + LOOK_BEHIND:
                break
            if offer.context <= longest:
                continue
        quote = offer.quote() if available is not None or not kept else None
        if quote is not None and available is not None:
            least, whole = quote.span()
            least, whole = times(least, multiplier), times(whole, multiplier)
            if least > available:
                (asked_for if offer.asked else others).append(least)
                continue
            budget = max(half, least)
            bound = whole if whole <= budget else _bought(quote, budget, multiplier)
            if bound > amount:
                amount = bound
        if quote is not None and not kept:
            estimate = total([prompt_charge(quote.price, quote.likely_tokens)], multiplier)
        channel = offer.channel if not kept or offer.channel == channel else ""
        kept.append(place)
        asked_kept |= offer.asked
        if offer.context > longest:
            longest = offer.context
        if len(kept) > tries:
            break
    if kept and (asked_kept or not asked_for):
        return Sized(amount, tuple(kept), estimate)
    return TooPoor(min(asked_for or others)) if asked_for or others else None


def _bought(quote: Quote, budget: int, multiplier: Multiplier) -> int:
    """The bound, in units, of the largest cap that `budget` units buy at this candidate, which are not enough for
    everything: so the cap is ours to choose."""
    assert quote.asked is None and quote.binds, quote
    cap = quote.largest_cap(budget * multiplier.denominator // multiplier.numerator)
    return times(quote.bound(cap), multiplier)
