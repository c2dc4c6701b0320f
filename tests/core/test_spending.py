"""What a channel has cost this month."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftgate.core.routing import Channel
from ftgate.core.spending import Spending, month_of


def at(*moment):
    return int(datetime(*moment, tzinfo=UTC).timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("moment", "begins", "ends"),
    [
        ((2026, 11, 29, 10), (2026, 11, 1), (2026, 12, 1)),
        ((2026, 12, 31, 23, 59, 59), (2026, 12, 1), (2027, 1, 1)),
        ((2027, 1, 1), (2027, 1, 1), (2027, 2, 1)),
        ((2028, 2, 29), (2028, 2, 1), (2028, 3, 1)),
    ],
)
def test_months(moment, begins, ends):
    assert month_of(at(*moment)) == month_of(at(*moment) + 999_999) == (at(*begins), at(*ends))


@given(st.integers(0, 4 * 10**15))
def test_every_instant_is_in_its_month(moment):
    begins, ends = month_of(moment)
    assert begins <= moment < ends and month_of(begins) == (begins, ends) and month_of(ends)[0] == ends


def capped(cap):
    return Channel("a", "lab", {}, (), {}, monthly_cap=cap)


def test_a_cap_is_reached_and_the_next_month_is_new():
    said, now = Spending(), at(2026, 11, 30, 23)
    said.add("a", 60, now)
    said.add("b", 100, now)
    assert said.of("a", now) == 60 and not said.capped(capped(61), now) and said.capped(capped(60), now)
    assert not said.capped(capped(None), now) and said.capped(capped(0), now) and said.left_s(now) == 3600
    later = at(2026, 12, 1)
    assert said.of("a", later) == 0
    said.add("a", 5, now)  # its call came last month
    assert said.of("a", later) == 0 and not said.capped(capped(1), later)
    said.add("a", 7, later)
    assert said.of("a", later) == 7
    said.known({"a": 50}, later)
    assert (said.of("a", later), said.of("b", later)) == (50, 0)


def test_a_clock_that_goes_wrong_for_a_while_loses_nothing():
    said, november, december = Spending(), at(2026, 11, 30, 23), at(2026, 12, 1)
    said.known({"a": 100}, november)
    assert said.of("a", december) == 0
    said.add("a", 1, december)
    assert said.of("a", november) == 100  # set back over the end of the month
    said.add("a", 10, november)
    assert (said.of("a", december), said.of("a", november)) == (1, 110)
    for wrong in (at(1970, 1, 1), at(2040, 5, 1), at(1980, 1, 1), at(2030, 1, 1)):
        assert said.of("a", wrong) == 0
        said.add("a", 1000, wrong)
        said.add("a", 5, november)  # it had come before
    assert said.of("a", november) == 130 and len(said.months) <= 3


def test_what_other_gateways_have_spent_counts_and_what_is_not_in_it_yet_is_not_forgotten():
    spending, now = Spending(), at(2026, 11, 29)
    spending.add("a", 50, now)
    spending.heard({"a": 90, "b": 5}, now)
    assert (spending.of("a", now), spending.of("b", now)) == (90, 5) and spending.capped(capped(90), now)
    spending.add("a", 10, now)
    spending.heard({"a": 95}, now)  # our last call is not among them
    assert spending.of("a", now) == 100
    spending.heard({}, later := at(2026, 12, 2))
    assert spending.of("a", later) == 0
