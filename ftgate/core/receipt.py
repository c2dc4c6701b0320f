"""What a request's row holds of its arithmetic, and the charge worked out again from the row alone.

A row's token columns and its price are those of the last attempt that was charged. Nearly always that is the only one:
an attempt that failed is free. Where others were charged before it, each stands in `earlier` with its own price and
tokens. Then

    cost + lost = (charge of the last + charges of the earlier ones) x multiplier, rounded half up once

where a charge is each class of tokens times its units in the price (the tier's, where the prompt is longer than its
bound), and what a request costs by itself; nothing where there are no tokens at all. A row without a price was charged
nothing. The texts that a row holds are
made here and read here; the reading shares no arithmetic with pricing.py on purpose: a second, simpler account of the
same rules. Units as in core/money.py.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Protocol

import msgspec

from ftgate.core.money import MAX_AMOUNT
from ftgate.core.pricing import Multiplier, Price
from ftgate.core.usage import Usage


class Arithmetic(Protocol):
    """A row, as far as its charge goes; tokens are those of the last charged attempt."""

    @property
    def prompt_tokens(self) -> int: ...
    @property
    def cached_tokens(self) -> int: ...
    @property
    def cache_write_tokens(self) -> int: ...
    @property
    def cache_write_1h_tokens(self) -> int: ...
    @property
    def completion_tokens(self) -> int: ...
    @property
    def price(self) -> str: ...
    @property
    def multiplier(self) -> str: ...
    @property
    def earlier(self) -> str: ...
    @property
    def cost(self) -> int: ...
    @property
    def lost(self) -> int: ...


# Made


@lru_cache(maxsize=1024)
def price_text(price: Price) -> str:
    """A price as a row holds it."""
    return msgspec.json.encode(price).decode()


@lru_cache(maxsize=1024)
def multiplier_text(multiplier: Multiplier) -> str:
    """A plan's factor as a row holds it: 3/2."""
    return f"{multiplier.numerator}/{multiplier.denominator}"


def earlier_text(attempts: Iterable[tuple[Price, Usage]]) -> str:
    """Charged attempts before the last one, as a row holds them; nothing where there were none."""
    listed = [{"price": price, "usage": usage} for price, usage in attempts]
    return msgspec.json.encode(listed).decode() if listed else ""


# Read


def due(row: Arithmetic) -> int:
    """Units that the row's own arithmetic comes to. Raises ValueError where it cannot be read."""
    numerator, denominator = _multiplier(row.multiplier)
    units = 0
    if row.price:
        written = row.cache_write_tokens + row.cache_write_1h_tokens
        units = _charge(
            row.price, row.prompt_tokens, row.prompt_tokens - row.cached_tokens - written, row.cached_tokens,
            row.cache_write_tokens, row.cache_write_1h_tokens, row.completion_tokens,
        )  # fmt: skip
    for price, usage in _earlier(row.earlier) if row.earlier else ():
        units += _charge(
            price, usage.prompt, usage.input, usage.cache_read, usage.cache_write, usage.cache_write_1h, usage.output
        )
    return (2 * units * numerator + denominator) // (2 * denominator)


def wrong(row: Arithmetic) -> str | None:
    """What is wrong with what the row says it cost, in words; None where it is what its arithmetic comes to. A loss
    ends at MAX_AMOUNT: what an upstream's absurd numbers come to past it is written nowhere."""
    try:
        units = due(row)
    except ValueError as error:
        return f"its arithmetic cannot be read: {error}"
    said = row.cost + row.lost
    if said == units or (row.lost == MAX_AMOUNT and said < units):
        return None
    return f"its row says a cost and a loss of {said} in all, its tokens, price and multiplier come to {units}"


class Line(msgspec.Struct, frozen=True):
    """One product of a charge: so many `tokens` of a kind (fresh, cached, cache_write, cache_write_1h, output; request
    is one request) at `each` units."""

    kind: str
    tokens: int
    each: int

    @property
    def units(self) -> int:
        return self.tokens * self.each


def lines(row: Arithmetic) -> list[list[Line]]:
    """The products of each charged attempt, in the order of the attempts: the sum of all, times `factor`, is what the
    row came to. Lines of no tokens are left out. Raises ValueError where it cannot be read."""
    attempts = [
        (price, usage.prompt, (usage.input, usage.cache_read, usage.cache_write, usage.cache_write_1h, usage.output))
        for price, usage in (_earlier(row.earlier) if row.earlier else ())
    ]
    if row.price:
        fresh = row.prompt_tokens - row.cached_tokens - row.cache_write_tokens - row.cache_write_1h_tokens
        tokens = fresh, row.cached_tokens, row.cache_write_tokens, row.cache_write_1h_tokens, row.completion_tokens
        attempts.append((row.price, row.prompt_tokens, tokens))
    return [_lines(*attempt) for attempt in attempts]


def _lines(price: str, prompt: int, tokens: tuple[int, ...]) -> list[Line]:
    per_request, steps = _price(price)
    if not any(tokens):
        return []
    if min(tokens) < 0:
        raise ValueError(f"a prompt of {prompt} tokens cannot be parted into {tokens[:-1]}")
    each = [step for step in steps if prompt > step[0]][-1][1:]
    kinds = ("fresh", "cached", "cache_write", "cache_write_1h", "output")
    found = [Line(kind, many, units) for kind, many, units in zip(kinds, tokens, each, strict=True) if many]
    return [*found, Line("request", 1, per_request)] if per_request else found


def factor(row: Arithmetic) -> tuple[int, int]:
    """The plan's factor, as numerator and denominator. Raises ValueError where it cannot be read."""
    return _multiplier(row.multiplier)


def _charge(
    price: str, prompt: int, fresh: int, cached: int, written: int, written_1h: int, output: int
) -> int:  # fmt: skip
    if min(fresh, cached, written, written_1h, output) < 0:
        raise ValueError(f"a prompt of {prompt} tokens cannot be parted into {(fresh, cached, written, written_1h)}")
    per_request, steps = _price(price)
    if not prompt and not output:
        return 0
    for above, of_fresh, of_cached, of_written, of_written_1h, of_output in steps:  # the last that the prompt is past
        if prompt > above:
            units = (
                fresh * of_fresh + cached * of_cached + written * of_written + written_1h * of_written_1h
                + output * of_output
            )  # fmt: skip
    return units + per_request


@lru_cache(maxsize=1024)
def _price(text: str) -> tuple[int, list[tuple[int, int, int, int, int, int]]]:
    """Units a request; and from more than how many tokens of prompt on which units a token hold."""
    try:
        said = msgspec.json.decode(text, type=Price)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise ValueError(f"the price: {error}") from None
    steps = [(-1, said.input, said.cached, said.cache_write, said.cache_write_1h, said.output)]
    steps += [(t.above, t.input, t.cached, t.cache_write, t.cache_write_1h, t.output) for t in said.tiers]
    return said.per_request, steps


@lru_cache(maxsize=1024)
def _multiplier(text: str) -> tuple[int, int]:
    numerator, _, denominator = text.partition("/")
    if not (numerator.isdecimal() and denominator.isdecimal() and text.isascii() and int(denominator)):
        raise ValueError(f"the multiplier {text!r} is no fraction")
    return int(numerator), int(denominator)


class _Earlier(msgspec.Struct):
    price: msgspec.Raw
    usage: Usage


def _earlier(text: str) -> list[tuple[str, Usage]]:
    try:
        said = msgspec.json.decode(text, type=list[_Earlier])
        return [(bytes(one.price).decode(), one.usage) for one in said]
    except (msgspec.DecodeError, UnicodeError) as error:
        raise ValueError(f"the earlier attempts: {error}") from None
