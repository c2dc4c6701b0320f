"""Charges against exact fractions; holds against the law that they are never below their charge."""

from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ftgate.core import pricing
from ftgate.core.money import parse_price, parse_usd
from ftgate.core.pricing import Multiplier, Price, Quote, Sized, Tier, TooPoor
from ftgate.core.usage import Usage

FREE = Price(0, 0, 0, 0, 0)


def flat(input: str, output: str, per_request: str = "0") -> Price:
    each = parse_price(input)
    return Price(each, parse_price(output), each, each, each, parse_usd(per_request))


rate = st.integers(0, 10**8)
tokens = st.integers(0, 300_000)


@st.composite
def prices(draw):
    cuts = sorted(draw(st.lists(st.integers(1, 200_000), max_size=2, unique=True)))
    tiers = tuple(Tier(cut, *(draw(rate) for _ in range(5))) for cut in cuts)
    return Price(*(draw(rate) for _ in range(5)), per_request=draw(st.integers(0, 10**11)), tiers=tiers)


usages = st.builds(Usage, input=tokens, cache_read=tokens, cache_write=tokens, cache_write_1h=tokens, output=tokens)
multipliers = st.builds(Multiplier, st.integers(0, 3000), st.integers(1, 1000))


def exact_charge(price: Price, usage: Usage) -> Fraction:
    """The same charge the slow way: USD per million tokens as fractions."""
    row = price
    for tier in price.tiers:
        if usage.input + usage.cache_read + usage.cache_write + usage.cache_write_1h > tier.above:
            row = tier
    parts = [
        (usage.input, row.input),
        (usage.cache_read, row.cached),
        (usage.cache_write, row.cache_write),
        (usage.cache_write_1h, row.cache_write_1h),
        (usage.output, row.output),
    ]
    return sum((Fraction(n, 10**6) * Fraction(units, 10**6) for n, units in parts), Fraction(price.per_request, 10**12))


@given(prices(), usages)
def test_charge_is_exact(price, usage):
    assert Fraction(pricing.charge(price, usage), 10**12) == exact_charge(price, usage)


@given(st.lists(st.integers(0, 10**15), max_size=4), multipliers)
def test_total_rounds_once(charges, multiplier):
    exact = Fraction(sum(charges) * multiplier.numerator, multiplier.denominator)
    near = pricing.total(charges, multiplier)
    assert near - Fraction(1, 2) <= exact < near + Fraction(1, 2)


@pytest.mark.parametrize(
    ("charges", "multiplier", "units"),
    [
        ([], Multiplier(), 0),
        ([1, 1, 1], Multiplier(1, 2), 2),  # 1.5: up; not 0.5 three times
        ([1], Multiplier(1, 2), 1),
        ([5], Multiplier(1, 2), 3),  # not to even
        ([1], Multiplier(49, 100), 0),
        ([100], Multiplier(13, 10), 130),
        ([7], Multiplier(0, 1), 0),
    ],
)
def test_total(charges, multiplier, units):
    assert pricing.total(charges, multiplier) == units


TIERED = Price(10, 20, 1, 12, 15, per_request=7, tiers=(Tier(100, 100, 200, 10, 120, 150), Tier(200, 5, 6, 5, 5, 5)))


@pytest.mark.parametrize(
    ("usage", "units"),
    [
        (Usage(), 7),
        (Usage(input=100, output=1), 100 * 10 + 20 + 7),
        (Usage(input=101, output=1), 101 * 100 + 200 + 7),  # the whole request, not only what is above
        (Usage(input=90, cache_read=11), 90 * 100 + 11 * 10 + 7),  # cached tokens count toward the tier
        (Usage(input=1, cache_write=1, cache_write_1h=1), 10 + 12 + 15 + 7),
        (Usage(input=201, output=2), 201 * 5 + 12 + 7),
        (Usage(input=1, output=5, reasoning=5), 10 + 100 + 7),  # reasoning is a part of output
    ],
)
def test_tiers(usage, units):
    assert pricing.charge(TIERED, usage) == units


def test_free():
    assert FREE.free
    assert not Price(0, 0, 0, 0, 0, per_request=1).free
    assert not flat("0", "0.000001").free


# Holds


@st.composite
def quotes(draw, cap):
    return Quote(
        price=draw(prices()),
        prompt_tokens=draw(tokens),
        answers=draw(st.integers(1, 4)),
        cap=cap,
        model_limit=draw(st.integers(1, 100_000)),
        uncapped=draw(st.sampled_from([0, 0, 5000])),
    )


@st.composite
def sized_calls(draw):
    cap = draw(st.none() | st.integers(1, 200_000))
    several = tuple(draw(st.lists(quotes(cap), min_size=1, max_size=3)))
    return several, draw(st.integers(0, 10**14) | st.integers(0, 10**18)), draw(multipliers)


@settings(max_examples=300, deadline=None)
@given(sized_calls(), st.data())
def test_a_hold_is_never_below_its_charge(call, data):
    """For every candidate and every usage within the bound."""
    several, available, multiplier = call
    sized = pricing.hold_for(several, available, multiplier)
    if isinstance(sized, TooPoor):
        available = sized.required
        sized = pricing.hold_for(several, available, multiplier)
    assert isinstance(sized, Sized) and 0 <= sized.amount <= available
    for quote in several:
        left = data.draw(st.integers(0, quote.prompt_tokens))
        read = data.draw(st.integers(0, left))
        wrote = data.draw(st.integers(0, left - read))
        output = data.draw(st.integers(0, quote.answers * (sized.cap + quote.uncapped)))
        for usage in (
            Usage(input=left - read - wrote, cache_read=read, cache_write=wrote, output=output),
            Usage(cache_write_1h=left, output=output),
            Usage(input=quote.prompt_tokens, output=quote.answers * (sized.cap + quote.uncapped)),
        ):
            assert pricing.total([pricing.charge(quote.price, usage)], multiplier) <= sized.amount


@settings(max_examples=300, deadline=None)
@given(sized_calls())
def test_the_cap_rules(call):
    several, available, multiplier = call
    sized = pricing.hold_for(several, available, multiplier)
    asked = several[0].cap
    limit = min(quote.model_limit for quote in several)
    if isinstance(sized, TooPoor):
        assert sized.required > available
        enough = pricing.hold_for(several, sized.required, multiplier)
        assert isinstance(enough, Sized) and enough.amount <= sized.required
        if sized.required:
            assert isinstance(pricing.hold_for(several, sized.required - 1, multiplier), TooPoor)
    elif asked is not None:
        assert (sized.cap, sized.inject) == (asked, False)
    else:
        assert sized.inject
        assert min(1024, limit) <= sized.cap <= limit
        if sized.cap < limit:
            # One token more would not have fitted in the half, unless the half did not even pay the smallest.
            more = max(quote.bound(sized.cap + 1) for quote in several)
            assert Fraction(more * multiplier.numerator, multiplier.denominator) > available // 2
        if sized.amount > available // 2:
            worst = [max(quote.bound(cap) for quote in several) for cap in (0, sized.cap)]
            assert sized.cap == min(1024, limit) or worst[0] == worst[1]


ONE_DOLLAR = flat("1", "1")  # a million units a token
FREE_OUTPUT = flat("1", "0")
M = 10**6


def quote(price=ONE_DOLLAR, prompt=1000, answers=1, cap=None, limit=8000, uncapped=0):
    return Quote(price=price, prompt_tokens=prompt, answers=answers, cap=cap, model_limit=limit, uncapped=uncapped)


@pytest.mark.parametrize(
    ("several", "available", "answer"),
    [
        # the client's own cap: whole or not at all, over the model's limit too
        ([quote(cap=100)], 1100 * M, Sized(1100 * M, 100, inject=False)),
        ([quote(cap=100)], 1100 * M - 1, TooPoor(1100 * M)),
        ([quote(cap=9000)], 10_000 * M, Sized(10_000 * M, 9000, inject=False)),
        ([quote(cap=100, answers=3)], 1300 * M, Sized(1300 * M, 100, inject=False)),
        ([quote(cap=100, uncapped=8000)], 9099 * M, TooPoor(9100 * M)),
        # ours: the model's limit where half pays for it
        ([quote()], 18_000 * M, Sized(9000 * M, 8000, inject=True)),
        # else what half affords
        ([quote()], 17_998 * M, Sized(8999 * M, 7999, inject=True)),
        ([quote(answers=2)], 17_998 * M, Sized(8998 * M, 3999, inject=True)),
        ([quote()], 4048 * M, Sized(2024 * M, 1024, inject=True)),
        # half affords less than 1,024: the whole may
        ([quote()], 4047 * M, Sized(2024 * M, 1024, inject=True)),
        ([quote()], 2024 * M, Sized(2024 * M, 1024, inject=True)),
        ([quote()], 2024 * M - 1, TooPoor(2024 * M)),
        ([quote(limit=10)], 1010 * M, Sized(1010 * M, 10, inject=True)),
        ([quote(limit=10)], 1010 * M - 1, TooPoor(1010 * M)),
        ([quote()], 0, TooPoor(2024 * M)),
        # free models
        ([quote(FREE)], 0, Sized(0, 8000, inject=True)),
        ([quote(FREE, cap=5)], 0, Sized(0, 5, inject=False)),
        ([quote(FREE_OUTPUT)], 1000 * M, Sized(1000 * M, 8000, inject=True)),
        ([quote(FREE_OUTPUT)], 999 * M, TooPoor(1000 * M)),
        # several candidates: the dearest bounds, the smallest limit caps
        ([quote(FREE), quote()], 18_000 * M, Sized(9000 * M, 8000, inject=True)),
        ([quote(limit=2000), quote(flat("2", "2"), limit=8000)], 12_000 * M, Sized(6000 * M, 2000, inject=True)),
        ([quote(flat("1", "1", "0.001"), prompt=0, cap=1)], 1001 * M, Sized(1001 * M, 1, inject=False)),
    ],
)
def test_cap_rules_table(several, available, answer):
    assert pricing.hold_for(tuple(several), available) == answer


@pytest.mark.parametrize(
    ("multiplier", "answer"),
    [
        (Multiplier(0, 1), Sized(0, 8000, inject=True)),
        (Multiplier(1, 2), Sized(4500 * M, 8000, inject=True)),
        (Multiplier(3, 2), Sized(4500 * M, 2000, inject=True)),
    ],
)
def test_hold_with_a_multiplier(multiplier, answer):
    assert pricing.hold_for((quote(),), 9000 * M, multiplier) == answer


def test_a_lower_tier_can_be_the_dearer():
    price = Price(10, 10, 10, 10, 10, tiers=(Tier(100, 1, 1, 1, 1, 1),))
    assert Quote(price, 1000, 1, None, 50).bound(50) == 10_500


@given(prices(), tokens, st.integers(1, 4), st.integers(1, 50_000), st.integers(0, 10**13))
@example(ONE_DOLLAR, 10, 1, 100, 10 * M)
def test_largest_cap(price, prompt, answers, limit, budget):
    quote = Quote(price, prompt, answers, None, limit)
    cap = quote.largest_cap(budget)
    if cap < 0:
        assert quote.bound(0) > budget
    else:
        assert cap <= limit and quote.bound(cap) <= budget
        assert cap == limit or quote.bound(cap + 1) > budget
