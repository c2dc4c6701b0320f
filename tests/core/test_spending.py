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
