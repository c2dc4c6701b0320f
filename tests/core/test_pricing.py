"""Charges against exact fractions; holds against the law that they are never below their charge."""

from fractions import Fraction

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ftgate.core import pricing
from ftgate.core.money import parse_price, parse_usd
from ftgate.core.pricing import Multiplier, Price, Quote, Sized, Tier, TooPoor
from ftgate.core.usage import Usage
from tests.core.offers import Plain, offers

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
    if not any(n for n, _ in parts):  # nothing was used: not even the request is paid
        return Fraction(0)
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
        (Usage(), 0),
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
    limit = draw(st.integers(1, 100_000))
    return Quote(
        price=draw(prices() | st.just(FREE)),
        prompt_tokens=draw(tokens),
        answers=draw(st.integers(1, 4)),
        cap=cap,
        model_limit=limit,
        uncapped=draw(st.sampled_from([0, 0, 5000])),
        binds=draw(st.sampled_from([True, True, True, False])),
        max_output=draw(st.none() | st.just(limit) | st.integers(limit, 200_000)),
    )


@st.composite
def sized_calls(draw, most=6):
    """(offers, what is available, the plan's factor, tries)."""
    cap = draw(st.none() | st.integers(1, 200_000))
    several = draw(st.lists(quotes(cap), min_size=1, max_size=most))
    asked = draw(st.integers(1, len(several)))  # the fallbacks stand behind
    plan = [Plain(q, asked=n < asked, context=draw(st.integers(0, 3))) for n, q in enumerate(several)]
    available = draw(st.integers(0, 10**14) | st.integers(0, 10**18))
    return plan, available, draw(multipliers), draw(st.integers(1, 4))


def in_units(quote: Quote, cap: int, multiplier: Multiplier) -> Fraction:
    """The bound by the plain formula, as an exact number."""
    output = quote.answers * ((cap if quote.binds else quote.model_limit) + quote.uncapped)
    rows = [quote.price, *(tier for tier in quote.price.tiers if quote.prompt_tokens > tier.above)]
    worst = max(
        quote.prompt_tokens * max(r.input, r.cached, r.cache_write, r.cache_write_1h) + output * r.output for r in rows
    )
    return (worst + quote.price.per_request) * Fraction(multiplier.numerator, multiplier.denominator)


def up(number: Fraction) -> int:
    return -(-number.numerator // number.denominator)


def least_and_whole(quote: Quote, multiplier: Multiplier) -> tuple[int, int]:
    """The two ends of what a candidate may be held for, from DESIGN's words."""
    cap = quote.cap if quote.max_output is None or quote.cap is None else min(quote.cap, quote.max_output)
    whole = up(in_units(quote, quote.model_limit if cap is None or not quote.binds else cap, multiplier))
    rows = [quote.price, *(tier for tier in quote.price.tiers if quote.prompt_tokens > tier.above)]
    ours = cap is None and quote.binds and any(row.output for row in rows)
    return (up(in_units(quote, min(1024, quote.model_limit), multiplier)) if ours else whole), whole


def largest(quote: Quote, budget: int, multiplier: Multiplier) -> int:
    """The largest cap up to the model's limit whose bound is within `budget` units; -1 where none is."""
    low, high = -1, quote.model_limit
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if in_units(quote, middle, multiplier) <= budget else (low, middle - 1)
    return low


@settings(max_examples=400, deadline=None)
@given(sized_calls(), st.data())
def test_a_hold_is_within_what_there_is_and_never_below_its_charge(call, data):
    """For every candidate that is kept and every usage within its cap; and each gets at least its least."""
    plan, available, multiplier, tries = call
    sized = pricing.hold_for(plan, available, multiplier, tries=tries)
    if isinstance(sized, TooPoor):
        assert sized.required > available
        assert isinstance(pricing.hold_for(plan, sized.required - 1, multiplier, tries=tries), TooPoor)
        available = sized.required
        sized = pricing.hold_for(plan, available, multiplier, tries=tries)
    assert isinstance(sized, Sized) and 0 <= sized.amount <= available
    assert 1 <= len(sized.kept) <= tries + 1
    for place in sized.kept:
        quote = plan[place].quote()
        least, _ = least_and_whole(quote, multiplier)
        assert least <= sized.amount
        cap = quote.cap_within(sized.amount, multiplier)
        if quote.cap is not None:
            assert cap == (quote.cap if quote.max_output is None else min(quote.cap, quote.max_output))
        elif quote.binds and not quote.price.free:
            assert cap is not None and min(1024, quote.model_limit) <= cap <= quote.model_limit
        else:
            assert cap is None
        written = quote.answers * ((quote.model_limit if cap is None or not quote.binds else cap) + quote.uncapped)
        left = data.draw(st.integers(0, quote.prompt_tokens))
        read = data.draw(st.integers(0, left))
        wrote = data.draw(st.integers(0, left - read))
        for usage in (
            Usage(
                input=left - read - wrote, cache_read=read, cache_write=wrote, output=data.draw(st.integers(0, written))
            ),
            Usage(cache_write_1h=left, output=written),
            Usage(input=quote.prompt_tokens, output=written),
        ):
            assert pricing.total([pricing.charge(quote.price, usage)], multiplier) <= sized.amount


@settings(max_examples=400, deadline=None)
@given(sized_calls())
def test_who_is_kept_and_what_is_held_by_the_rule_word_by_word(call):
    plan, available, multiplier, tries = call
    sized = pricing.hold_for(plan, available, multiplier, tries=tries)
    least = [least_and_whole(offer.quote(), multiplier)[0] for offer in plan]
    affordable = [n for n, offer in enumerate(plan) if least[n] <= available]
    cut = affordable[:tries]
    longer = [n for n in affordable[tries:] if plan[n].context > max(plan[k].context for k in cut)]
    kept = cut + longer[:1]
    asked = [n for n, offer in enumerate(plan) if offer.asked]
    if not any(n in kept for n in asked) and any(n not in affordable for n in asked):
        assert sized == TooPoor(min(least[n] for n in asked if n not in affordable))
        return
    assert isinstance(sized, Sized) and sized.kept == tuple(kept)
    # The largest bound among them, with the largest cap that half of what is available buys, or the least.
    bounds = []
    for n in kept:
        quote, (at_least, whole) = plan[n].quote(), least_and_whole(plan[n].quote(), multiplier)
        budget = max(available // 2, at_least)
        if whole <= budget or quote.cap is not None or not quote.binds:
            bounds.append(whole)
            continue
        bounds.append(up(in_units(quote, largest(quote, budget, multiplier), multiplier)))
    assert sized.amount == max(bounds)


def alone_before(quote, available, multiplier):
    """How a plan of one candidate was held before there was a cap for each attempt: (amount, cap, sent) or what it
    takes."""
    cap = quote.cap
    if cap is not None:
        amount = up(in_units(quote, cap, multiplier))
        return (amount, cap, False) if amount <= available else amount
    limit = quote.model_limit
    whole = up(in_units(quote, limit, multiplier))
    if not quote.binds:
        return (whole, limit, False) if whole <= available else whole
    if whole <= available // 2 or whole == up(in_units(quote, 0, multiplier)):
        return (whole, limit, True) if whole <= available else whole
    cap = max(largest(quote, available // 2, multiplier), min(1024, limit))
    amount = up(in_units(quote, cap, multiplier))
    return (amount, cap, True) if amount <= available else amount


@settings(max_examples=150, deadline=None)
@given(st.none() | st.integers(1, 3000), st.data())
def test_a_plan_of_one_is_held_as_before(cap, data):
    """But for a free model, which gets no cap, and a client's cap above what is stated, which is lowered to that."""
    quote = data.draw(quotes(cap))
    quote = msgspec.structs.replace(quote, model_limit=min(quote.model_limit, 3000), max_output=None)
    available, multiplier = data.draw(st.integers(0, 10**12)), data.draw(multipliers)
    before = alone_before(quote, available, multiplier)
    sized = pricing.hold_for([Plain(quote)], available, multiplier)
    if isinstance(before, int):
        assert sized == TooPoor(before)
        return
    amount, cap, sent = before
    assert isinstance(sized, Sized) and sized.amount == amount
    got = quote.cap_within(amount, multiplier)
    if not sent:
        assert got == quote.cap
    elif quote.price.free:
        assert got is None
    else:  # a multiplier's rounding may leave room for a little more within the same hold
        assert got is not None and got >= cap and up(in_units(quote, got, multiplier)) <= amount


ONE_DOLLAR = flat("1", "1")  # a million units a token
FREE_OUTPUT = flat("1", "0")
M = 10**6


def quote(price=ONE_DOLLAR, prompt=1000, answers=1, cap=None, limit=8000, uncapped=0):
    return Quote(
        price=price, prompt_tokens=prompt, answers=answers, cap=cap, model_limit=limit, uncapped=uncapped,
        max_output=limit,
    )  # fmt: skip


def held(amount, *caps):
    """A hold, and the cap that goes up to each candidate that it covers."""
    return amount, caps


def test_output_that_costs_only_past_a_tier_is_capped_all_the_same():
    free_at_first = Price(1, 0, 1, 1, 1, tiers=(Tier(100, 1, 5, 1, 1, 1),))
    quote = Quote(price=free_at_first, prompt_tokens=200, answers=1, cap=None, model_limit=5000)
    assert quote.span() == (200 + 5 * 1024, 200 + 5 * 5000)
    assert Quote(price=free_at_first, prompt_tokens=100, answers=1, cap=None, model_limit=5000).span() == (100, 100)


@pytest.mark.parametrize(
    ("several", "available", "answer"),
    [
        # the client's own cap: whole or not at all, at most what the model is stated to write
        ([quote(cap=100)], 1100 * M, held(1100 * M, 100)),
        ([quote(cap=100)], 1100 * M - 1, TooPoor(1100 * M)),
        ([quote(cap=9000)], 10_000 * M, held(9000 * M, 8000)),
        ([quote(cap=100, answers=3)], 1300 * M, held(1300 * M, 100)),
        ([quote(cap=100, uncapped=8000)], 9099 * M, TooPoor(9100 * M)),
        # ours: the model's limit where half pays for it
        ([quote()], 18_000 * M, held(9000 * M, 8000)),
        # else what half affords
        ([quote()], 17_998 * M, held(8999 * M, 7999)),
        ([quote(answers=2)], 17_998 * M, held(8998 * M, 3999)),
        ([quote()], 4048 * M, held(2024 * M, 1024)),
        # half affords less than 1,024: the whole may
        ([quote()], 4047 * M, held(2024 * M, 1024)),
        ([quote()], 2024 * M, held(2024 * M, 1024)),
        ([quote()], 2024 * M - 1, TooPoor(2024 * M)),
        ([quote(limit=10)], 1010 * M, held(1010 * M, 10)),
        ([quote(limit=10)], 1010 * M - 1, TooPoor(1010 * M)),
        ([quote()], 0, TooPoor(2024 * M)),
        # free models: nothing is held, and nothing is asked for
        ([quote(FREE)], 0, held(0, None)),
        ([quote(FREE, cap=5)], 0, held(0, 5)),
        ([quote(FREE_OUTPUT)], 1000 * M, held(1000 * M, 8000)),
        ([quote(FREE_OUTPUT)], 999 * M, TooPoor(1000 * M)),
        # several candidates: the dearest bounds the hold, each has a cap of its own
        ([quote(FREE), quote()], 18_000 * M, held(9000 * M, None, 8000)),
        ([quote(limit=2000), quote(flat("2", "2"), limit=8000)], 12_000 * M, held(6000 * M, 2000, 2000)),
        ([quote(limit=8000), quote(limit=2000)], 18_000 * M, held(9000 * M, 8000, 2000)),
        ([quote(limit=8000), quote(prompt=6000, limit=256)], 18_000 * M, held(9000 * M, 8000, 256)),
        # the dear one is left out, the others are not refused for it
        ([quote(), quote(flat("9", "9"))], 10_000 * M, held(5000 * M, 4000)),
        ([quote(flat("9", "9")), quote()], 10_000 * M, held(5000 * M, 4000)),
        ([quote(flat("9", "9")), quote(flat("7", "7"))], 10_000 * M, TooPoor(2024 * 7 * M)),
        ([quote(flat("1", "1", "0.001"), prompt=0, cap=1)], 1001 * M, held(1001 * M, 1)),
    ],
)
def test_cap_rules_table(several, available, answer):
    sized = pricing.hold_for(offers(*several), available, tries=3)
    if isinstance(sized, Sized):
        assert (sized.amount, tuple(several[at].cap_within(sized.amount) for at in sized.kept)) == answer
    else:
        assert sized == answer


@pytest.mark.parametrize(
    ("multiplier", "answer"),
    [
        (Multiplier(0, 1), held(0, 8000)),
        (Multiplier(1, 2), held(4500 * M, 8000)),
        (Multiplier(3, 2), held(4500 * M, 2000)),
    ],
)
def test_hold_with_a_multiplier(multiplier, answer):
    sized = pricing.hold_for(offers(quote()), 9000 * M, multiplier)
    assert isinstance(sized, Sized)
    assert held(sized.amount, quote().cap_within(sized.amount, multiplier)) == answer


def test_what_is_asked_for_and_what_is_a_fallback():
    dear, cheap = quote(flat("9", "9")), quote()
    asked_dear = [Plain(dear), Plain(cheap, asked=False)]
    assert pricing.hold_for(asked_dear, 10_000 * M, tries=3) == TooPoor(2024 * 9 * M)
    both = [Plain(dear), Plain(cheap), Plain(dear, asked=False)]
    sized = pricing.hold_for(both, 10_000 * M, tries=3)
    assert isinstance(sized, Sized) and sized.kept == (1,)
    # Where every model that was asked for is at its limit, only fallbacks are offered.
    assert pricing.hold_for([Plain(dear, asked=False)], 10_000 * M) == TooPoor(2024 * 9 * M)
    sized = pricing.hold_for([Plain(cheap, asked=False)], 10_000 * M)
    assert isinstance(sized, Sized) and sized.kept == (0,)
    assert pricing.hold_for([], 10_000 * M) is None


def test_nothing_is_quoted_behind_the_cut_but_one_with_a_longer_context():
    plan = [Plain(quote(), context=8) for _ in range(40)] + [Plain(quote(), context=9), Plain(quote(), context=99)]
    sized = pricing.hold_for(plan, 18_000 * M, tries=3)
    assert isinstance(sized, Sized) and sized.kept == (0, 1, 2, 40)
    assert sum(offer.quoted for offer in plan) == 4
    far = [Plain(quote(), context=8) for _ in range(pricing.LOOK_BEHIND + 3)] + [Plain(quote(), context=9)]
    sized = pricing.hold_for(far, 18_000 * M, tries=3)
    assert isinstance(sized, Sized) and sized.kept == (0, 1, 2)


@pytest.mark.parametrize(
    ("channels", "poor", "tries", "kept"),
    [
        ("aaab", (), 3, (0, 1, 3)),
        ("aaab", (), 2, (0, 3)),
        ("aaab", (), 1, (0,)),
        ("aaaa", (), 3, (0, 1, 2)),
        ("abaa", (), 3, (0, 1, 2)),
        ("aaab", (3,), 3, (0, 1, 2)),
        ("aaab", (0,), 3, (1, 2, 3)),
        ("aaab", (0,), 2, (1, 3)),
        ("aaab", (0, 1), 2, (2, 3)),
        ("aaab", (0, 1), 1, (2,)),
    ],
)
def test_the_last_try_is_at_another_channel(channels: str, poor: tuple[int, ...], tries: int, kept: tuple[int, ...]):
    """What cannot be paid is none of the tries, and changes nothing in the order of the others."""
    cheap, dear = quote(), quote(flat("9", "9"))
    plan = [Plain(dear if at in poor else cheap, channel=name) for at, name in enumerate(channels)]
    sized = pricing.hold_for(plan, 10_000 * M if poor else None, tries=tries)
    assert isinstance(sized, Sized) and sized.kept == kept


def test_what_nothing_bounds_holds_nothing_and_knows_its_prompt():
    unpriced = [Plain(msgspec.structs.replace(quote(), likely_tokens=700)) for _ in range(5)]
    assert pricing.hold_for(unpriced, None, tries=2) == Sized(0, (0, 1), 700 * M)
    assert [offer.quoted for offer in unpriced] == [1, 0, 0, 0, 0]


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
