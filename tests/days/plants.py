"""Bugs to plant, so that the simulation can show that it would catch them. Each is a patch of the house, undone by the caller."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import ftgate.errors
import ftgate.ports
from ftgate.attempt import Attempts
from ftgate.core import limits, pricing, routing
from ftgate.core.books import Books, Ended, Quota, Refusal
from ftgate.dialects.talk import Meter
from ftgate.edge.ledger import MemoryLedger
from ftgate.exchange import Exchange

Patch = tuple[Any, str, Any]


def settle_twice() -> Patch:
    """An answer is charged a second time, as a late retry of the settle would without ids."""
    real = Books.post

    def post(self: Books, hold_id: int, amount: int, **more: Any) -> Ended | Refusal:
        hold = self.open.get(hold_id)
        first = real(self, hold_id, amount, **more)
        balance = self.accounts[hold.account] if hold else None
        if isinstance(first, Ended) and hold and balance and not hold.metered and balance.posted >= amount and hold.id % 3 == 0:
            self.open[hold_id] = hold
            balance.held += hold.amount
            self.quotas[hold.key].held += hold.quota_held
            second = real(self, hold_id, min(amount, hold.amount), **more)
            assert isinstance(second, Ended)
            return Ended(first.entries + second.entries, first.charged, first.lost, second.posted)
        return first

    return Books, "post", post


def forget_a_void() -> Patch:
    """A failed call's hold is left open."""
    real = MemoryLedger.settle

    async def settle(self: MemoryLedger, hold: int, charge: int | None, row: Any) -> Any:
        if charge is None and hold % 5 == 0:
            return ftgate.ports.Settled(0, 0, 0, self.log.changed())
        return await real(self, hold, charge, row)

    return MemoryLedger, "settle", settle


def float_rounding() -> Patch:
    """The multiplier is applied in binary floating point."""

    def total(charges: list[int], multiplier: pricing.Multiplier = pricing.ONE) -> int:
        return int(sum(charges) * (multiplier.numerator / multiplier.denominator))

    return pricing, "total", total


def hold_below_price() -> Patch:
    """The hold forgets that the prompt costs, too."""
    real = pricing.Quote.bound

    def bound(self: pricing.Quote, cap: int) -> int:
        return max(real(self, cap) - self.prompt_tokens * self.price.input, 0)

    return pricing.Quote, "bound", bound


def retry_after_first_byte() -> Patch:
    """A stream that breaks after content is tried again."""
    real = Attempts.run

    async def run(self: Attempts, x: Exchange, tried: Any, index: int) -> routing.Outcome | None:
        try:
            return await real(self, x, tried, index)
        except ftgate.errors.ProviderError:
            return routing.Outcome(index, routing.Verdict.unreachable, "broke off")

    return Attempts, "run", run


def ignore_quotas() -> Patch:
    """A key may spend what it likes."""
    return Quota, "left", property(lambda self: None)


def ignore_concurrency() -> Patch:
    """Calls in flight are not counted."""
    real = limits.take_requests

    def take(scopes: list[Any], now: float, ticket: limits.Ticket) -> limits.Refused | None:
        free = [(scope, limits.Meters(limits.Rates())) for scope, _ in scopes]
        return real(free, now, ticket)

    return limits, "take_requests", take


def charge_the_cut_too_much() -> Patch:
    """Whoever is cut or leaves pays for far more than came."""
    real = Meter.output

    def output(self: Meter, counted: Any = None) -> int:
        return real(self, counted) * 1000 + 5000

    return Meter, "output", output


PLANTS: dict[str, Callable[[], Patch]] = {
    plant.__name__: plant
    for plant in (
        settle_twice,
        forget_a_void,
        float_rounding,
        hold_below_price,
        retry_after_first_byte,
        ignore_quotas,
        ignore_concurrency,
        charge_the_cut_too_much,
    )
}


@contextlib.contextmanager
def planted(name: str) -> Iterator[None]:
    """The house with one bug in it."""
    place, attribute, broken = PLANTS[name]()
    sound = getattr(place, attribute)
    setattr(place, attribute, broken)
    try:
        yield
    finally:
        setattr(place, attribute, sound)
