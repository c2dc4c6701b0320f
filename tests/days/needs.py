"""What a call costs and what must be set aside for it, by the plain formulas of DESIGN.md: fractions, and one formula
each."""

import math
from fractions import Fraction
from typing import Any

from ftgate.core.pricing import Multiplier, Price
from ftgate.core.routing import Model
from tests.days.seen import Seen, Tokens

UNSTATED = 4096  # tokens of one answer where a model states nothing
ROOM = 256  # tokens of an answer that are allowed whatever the prompt seems to fill
LEAST_CAP = 1024


def price_of(price: Price, tokens: Tokens, multiplier: Multiplier) -> int:
    """Units, by the plain formula: every token at its rate, times the plan's factor, rounded half up once."""
    prompt, cached, written, output = tokens
    row: Any = price
    for tier in price.tiers:
        if prompt > tier.above:
            row = tier
    exact = (
        (prompt - cached - written) * row.input + cached * row.cached + written * row.cache_write + output * row.output
    )
    exact += price.per_request
    return math.floor(Fraction(exact * multiplier.numerator, multiplier.denominator) + Fraction(1, 2))


def thousandths(number: int) -> int:
    """Whole tokens, rounded up."""
    return -(-number // 1000)


def usd(text: str) -> int:
    units = Fraction(text) * 10**12
    assert units.denominator == 1, f"{text} is finer than the ledger"
    return int(units)


class Needs:
    """The sizes of prompts and holds. It learns from exact usages as the house says it does: a moving average of
    sixteen calls, between half and twice, in thousandths."""

    def __init__(self) -> None:
        self.ratios: dict[str, int] = {}

    def learn(self, seen: Seen, name: str, exact: int) -> None:
        """An exact prompt of a call at a model; short ones teach nothing."""
        guess, _ = self._raw(seen)
        if guess >= 16_000 and exact >= 16:
            ratio = min(max(exact * 10**6 // guess, 500), 2000)
            self.ratios[name] = (15 * self.ratios[name] + ratio) // 16 if name in self.ratios else ratio

    @staticmethod
    def _raw(seen: Seen) -> tuple[int, int]:
        """Thousandths of tokens, likely and at most: only small letters and spaces are sent, and a template around
        them."""
        letters = len(seen.body["messages"][0]["content"])
        return 225 * letters + 7000, 400 * letters + 7000

    def likely(self, seen: Seen, name: str) -> int:
        return thousandths(self._raw(seen)[0] * self.ratios.get(name, 1000) // 1000)

    def likely_at_first(self, seen: Seen, name: str) -> int:
        """As it was when the call came: its prompt is counted once."""
        return seen.likely.get(name) or self.likely(seen, name)

    def bound(self, seen: Seen, name: str) -> int:
        return thousandths(self._raw(seen)[1] * max(self.ratios.get(name, 1000), 1000) // 1000)

    def limit(self, seen: Seen, model: Model) -> int:
        """Most tokens of one answer."""
        stated = model.max_output or model.context or UNSTATED
        return stated if model.context is None else min(stated, max(model.context - self.bound(seen, model.name), ROOM))

    def amount(self, seen: Seen, models: list[Model], cap: int | None) -> int:
        """Units that cover the call wherever of `models` it goes: the whole prompt at its dearest class, the whole
        output of every answer. A cap of None is each model's own limit."""
        worst = 0
        for model in models:
            price, prompt = model.price, self.bound(seen, model.name)
            output = seen.body.get("n", 1) * (self.limit(seen, model) if cap is None else cap)
            rows: list[Any] = [price, *(tier for tier in price.tiers if prompt > tier.above)]
            need = max(
                prompt * max(r.input, r.cached, r.cache_write, r.cache_write_1h) + output * r.output for r in rows
            )
            worst = max(worst, need + price.per_request)
        return -(-worst * seen.multiplier.numerator // seen.multiplier.denominator)

    def smallest(self, seen: Seen, models: list[Model]) -> int:
        """The smallest cap that a call may be given: its own, or 1,024 tokens where the models write as many."""
        asked: int | None = seen.body.get("max_tokens")
        return asked or min(LEAST_CAP, *(self.limit(seen, model) for model in models))

    def right(self, seen: Seen, models: list[Model], amount: int, cap: int, room: int) -> bool:
        """Whether a prepaid hold of `amount` for `cap` is what these models need of `room` units. A cap that the client
        did not give is the largest that half of the room pays for, the smallest where half does not pay even for
        that."""
        if amount != self.amount(seen, models, cap) or amount > room:
            return False
        if "max_tokens" in seen.body:
            return bool(cap == seen.body["max_tokens"])
        limit, least = min(self.limit(seen, model) for model in models), self.smallest(seen, models)
        if amount <= room // 2:
            return least <= cap <= limit and (cap == limit or self.amount(seen, models, cap + 1) > room // 2)
        return cap == least or (cap == limit and self.amount(seen, models, 0) == amount)

    def estimate(self, seen: Seen, model: Model) -> int:
        """What the prompt alone likely costs."""
        return price_of(model.price, (self.likely(seen, model.name), 0, 0, 0), seen.multiplier)

    def tokens(self, seen: Seen, model: Model) -> int:
        """What the call takes of token limits while it runs."""
        cap = seen.body.get("max_tokens") or min(self.limit(seen, model), LEAST_CAP)
        return self.likely(seen, model.name) + int(seen.body.get("n", 1) * cap)
