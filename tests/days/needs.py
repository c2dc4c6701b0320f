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
        at_first = seen.bounds.get(name)  # a prompt is counted once a call
        return at_first or thousandths(self._raw(seen)[1] * max(self.ratios.get(name, 1000), 1000) // 1000)

    def limit(self, seen: Seen, model: Model) -> int:
        """Most tokens of one answer."""
        stated = model.max_output or model.context or UNSTATED
        return stated if model.context is None else min(stated, max(model.context - self.bound(seen, model.name), ROOM))

    def amount(self, seen: Seen, model: Model, cap: int) -> int:
        """Units that cover the call at this model: the whole prompt at its dearest class, the whole output of every
        answer."""
        price, prompt = model.price, self.bound(seen, model.name)
        output = seen.body.get("n", 1) * cap
        rows: list[Any] = [price, *(tier for tier in price.tiers if prompt > tier.above)]
        worst = max(prompt * max(r.input, r.cached, r.cache_write, r.cache_write_1h) + output * r.output for r in rows)
        return -(-(worst + price.per_request) * seen.multiplier.numerator // seen.multiplier.denominator)

    @staticmethod
    def asked(seen: Seen, model: Model) -> int | None:
        """The client's cap, as it may go up to this model."""
        said: int | None = seen.body.get("max_tokens")
        return said if said is None or model.max_output is None else min(said, model.max_output)

    def whole(self, seen: Seen, model: Model) -> int:
        """Units for all that may be written."""
        return self.amount(seen, model, self.asked(seen, model) or self.limit(seen, model))

    def least(self, seen: Seen, model: Model) -> int:
        """Units without which it is not asked: a useful answer, or all of it where no cap of ours saves anything."""
        whole = self.whole(seen, model)
        if self.asked(seen, model) is not None or whole == self.amount(seen, model, 0):
            return whole
        return self.amount(seen, model, min(LEAST_CAP, self.limit(seen, model)))

    def bought(self, seen: Seen, model: Model, units: int) -> int:
        """The largest cap up to the model's limit that `units` pay for."""
        cap, step = -1, 1 << 20
        while step:
            if cap + step <= self.limit(seen, model) and self.amount(seen, model, cap + step) <= units:
                cap += step
            step //= 2
        return cap

    def hold(self, seen: Seen, model: Model, available: int) -> int:
        """Units to set aside for this model alone: half of what is available, or the least, but not more than all."""
        whole = self.whole(seen, model)
        budget = max(available // 2, self.least(seen, model))
        return whole if whole <= budget else self.amount(seen, model, self.bought(seen, model, budget))

    def sent(self, seen: Seen, model: Model, held: int | None) -> int | None:
        """The cap that goes up with a hold of so many units; None is a call that nothing bounds."""
        asked = self.asked(seen, model)
        if asked is not None or held is None or model.price.free:
            return asked
        return self.bought(seen, model, held)

    def estimate(self, seen: Seen, model: Model) -> int:
        """What the prompt alone likely costs."""
        return price_of(model.price, (self.likely(seen, model.name), 0, 0, 0), seen.multiplier)

    def tokens(self, seen: Seen, model: Model) -> int:
        """What the call takes of token limits while it runs."""
        cap = seen.body.get("max_tokens") or min(self.limit(seen, model), LEAST_CAP)
        return self.likely_at_first(seen, model.name) + int(seen.body.get("n", 1) * cap)
