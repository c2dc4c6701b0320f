"""A row's arithmetic: what pricing.py charges is what receipt.py works out from the row alone, and nothing else is."""

from typing import Any, NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ftgate.core import pricing, receipt
from ftgate.core.money import MAX_AMOUNT
from ftgate.core.pricing import Multiplier, Price, Tier
from ftgate.core.usage import Usage


class Row(NamedTuple):
    prompt_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    completion_tokens: int = 0
    price: str = ""
    multiplier: str = "1/1"
    earlier: str = ""
    cost: int = 0
    lost: int = 0


def row(attempts: list[tuple[Price, Usage]], multiplier: Multiplier = pricing.ONE, **fields: Any) -> Row:
    """The row of a call whose attempts were charged so."""
    said: dict[str, Any] = {"multiplier": receipt.multiplier_text(multiplier)}
    if attempts:
        price, usage = attempts[-1]
        said |= {
            "prompt_tokens": usage.prompt, "cached_tokens": usage.cache_read, "cache_write_tokens": usage.cache_write,
            "cache_write_1h_tokens": usage.cache_write_1h, "completion_tokens": usage.output,
            "price": receipt.price_text(price), "earlier": receipt.earlier_text(attempts[:-1]),
        }  # fmt: skip
    return Row(**{**said, **fields})


def written_out(row: Row) -> int:
    """What its lines come to, as a person adds them up."""
    numerator, denominator = receipt.factor(row)
    units = sum(line.units for lines in receipt.lines(row) for line in lines)
    return (2 * units * numerator + denominator) // (2 * denominator)


PRICE = Price(3, 15, 1, 4, 6)
TIERED = Price(3, 15, 1, 4, 6, per_request=100, tiers=(Tier(10, 5, 20, 2, 7, 9), Tier(20, 7, 30, 3, 8, 11)))


@pytest.mark.parametrize(
    ("attempts", "multiplier", "units"),
    [
        ([], Multiplier(3, 2), 0),
        ([(PRICE, Usage(10, 5, 2, 7, 3, 1))], pricing.ONE, 30 + 5 + 8 + 105 + 6),  # reasoning is a part of output
        ([(PRICE, Usage(10))], Multiplier(3, 2), 45),
        ([(PRICE, Usage(1))], Multiplier(1, 2), 2),  # 1.5, half up
        ([(PRICE, Usage(1))], Multiplier(1, 6), 1),  # 0.5
        ([(PRICE, Usage(1))], Multiplier(1, 7), 0),
        ([(PRICE, Usage(10))], Multiplier(0, 1), 0),
        ([(TIERED, Usage(10, output=1))], pricing.ONE, 30 + 15 + 100),  # not past the first bound
        ([(TIERED, Usage(8, 3, output=1))], pricing.ONE, 40 + 6 + 20 + 100),  # all of it at the tier
        ([(TIERED, Usage(8, 3, 5, 1, 0, 5))], pricing.ONE, 56 + 9 + 40 + 30 + 55 + 100),
        ([(PRICE, Usage(1)), (PRICE, Usage(1))], Multiplier(1, 6), 1),  # 6/6: rounded once, not twice
        ([(TIERED, Usage())], pricing.ONE, 0),  # no usage: not even the price of a request
        ([(TIERED, Usage(output=1))], pricing.ONE, 15 + 100),
        ([(TIERED, Usage(21)), (PRICE, Usage(2)), (PRICE, Usage(3))], pricing.ONE, 147 + 100 + 6 + 9),
    ],
)
def test_what_a_row_comes_to(attempts: list[tuple[Price, Usage]], multiplier: Multiplier, units: int) -> None:
    assert receipt.due(row(attempts, multiplier)) == units
    assert written_out(row(attempts, multiplier)) == units
    assert receipt.wrong(row(attempts, multiplier, cost=units)) is None
    assert receipt.wrong(row(attempts, multiplier, cost=units // 3, lost=units - units // 3)) is None
    assert receipt.wrong(row(attempts, multiplier, cost=units + 1)) is not None


def test_its_lines() -> None:
    last, request = (TIERED, Usage(8, 3, output=2)), receipt.Line("request", 1, 100)
    assert receipt.lines(row([])) == []
    assert receipt.lines(row([(PRICE, Usage(2, 0, 1, 0, 0, 4)), last])) == [
        [receipt.Line("fresh", 2, 3), receipt.Line("cache_write", 1, 4), receipt.Line("cache_write_1h", 4, 6)],
        [receipt.Line("fresh", 8, 5), receipt.Line("cached", 3, 2), receipt.Line("output", 2, 20), request],
    ]
    assert receipt.lines(row([(TIERED, Usage())])) == [[]], "no usage: not even the price of a request"
    with pytest.raises(ValueError, match="price"):
        receipt.lines(row([last], price="nonsense"))


TOKENS = st.integers(0, 10**7)
UNITS = st.integers(0, 10**8)
TIERS = st.lists(st.tuples(TOKENS, UNITS, UNITS, UNITS, UNITS, UNITS), max_size=3, unique_by=lambda tier: tier[0])
PRICES = st.builds(
    lambda rates, request, tiers: Price(*rates, per_request=request, tiers=tuple(Tier(*t) for t in sorted(tiers))),
    st.tuples(UNITS, UNITS, UNITS, UNITS, UNITS), UNITS, TIERS,
)  # fmt: skip
USAGES = st.builds(Usage, TOKENS, TOKENS, TOKENS, TOKENS, TOKENS, TOKENS)
MULTIPLIERS = st.builds(Multiplier, st.integers(0, 10**6), st.integers(1, 10**6))


@example([(TIERED, Usage())], pricing.ONE)
@example([(TIERED, Usage()), (PRICE, Usage(1))], pricing.ONE)
@given(st.lists(st.tuples(PRICES, USAGES), max_size=3), MULTIPLIERS)
def test_it_is_what_was_charged(attempts: list[tuple[Price, Usage]], multiplier: Multiplier) -> None:
    charged = pricing.total([pricing.charge(price, usage) for price, usage in attempts], multiplier)
    said = row(attempts, multiplier, cost=charged)
    assert receipt.due(said) == charged and receipt.wrong(said) is None
    assert written_out(said) == charged


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"cost": 29}, "its row says a cost and a loss of 29 in all, its tokens, price and multiplier come to 30"),
        ({"cost": 29, "lost": 2}, "a cost and a loss of 31 in all"),
        ({"lost": MAX_AMOUNT}, f"a loss of {MAX_AMOUNT + 30} in all"),
        ({"multiplier": "2/1"}, "come to 60"),
        ({"multiplier": "3"}, "the multiplier '3' is no fraction"),
        ({"multiplier": "1/0"}, "the multiplier '1/0' is no fraction"),
        ({"multiplier": "-1/1"}, "is no fraction"),
        ({"multiplier": "1/\u0661"}, "is no fraction"),
        ({"price": ""}, "come to 0"),
        ({"price": "{"}, "its arithmetic cannot be read: the price: "),
        ({"price": '{"input":"3"}'}, "the price: "),
        ({"price": "\ud800"}, "the price: "),
        ({"prompt_tokens": 11}, "come to 33"),
        ({"completion_tokens": 1}, "come to 45"),
        ({"cached_tokens": 4}, "come to 22"),
        ({"cache_write_tokens": 11}, "a prompt of 10 tokens cannot be parted into (-1, 0, 11, 0)"),
        ({"cache_write_1h_tokens": -1}, "cannot be parted"),
        ({"completion_tokens": -1}, "cannot be parted"),
        ({"earlier": "["}, "the earlier attempts: "),
        ({"earlier": '[{"price":{}}]'}, "the earlier attempts: "),
        ({"earlier": '[{"price":{},"usage":{}}]'}, "the price: "),
    ],
)
def test_what_a_row_does_not_come_to_is_named(fields: dict[str, Any], words: str) -> None:
    assert words in str(receipt.wrong(row([(PRICE, Usage(10))], cost=30)._replace(**fields)))


def test_a_loss_ends_at_the_largest_amount() -> None:
    """An absurd number of an upstream's: what is past MAX_AMOUNT of loss stands in no entry and in no row."""
    price = Price(MAX_AMOUNT, 0, 0, 0, 0)
    assert receipt.wrong(row([(price, Usage(5))], cost=7, lost=MAX_AMOUNT)) is None
    assert receipt.wrong(row([(price, Usage(5))], cost=7, lost=MAX_AMOUNT - 1)) is not None
    assert receipt.wrong(row([(price, Usage(1))], cost=7, lost=MAX_AMOUNT)) is not None


def test_the_texts_are_what_a_person_can_read() -> None:
    assert receipt.multiplier_text(Multiplier(3, 2)) == "3/2" and receipt.earlier_text([]) == ""
    assert receipt.price_text(PRICE).startswith('{"input":3,"output":15,')
    assert receipt.earlier_text([(PRICE, Usage(1))]).startswith('[{"price":{"input":3,')
