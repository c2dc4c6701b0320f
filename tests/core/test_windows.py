"""When quotas begin anew."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftgate.core.moments import iso, parse_time
from ftgate.core.windows import RESETS, begun_us, ends_us


@pytest.mark.parametrize(
    ("reset", "at", "begun", "ends"),
    [
        ("day", "2026-05-10T12:34:56.789Z", "2026-05-10", "2026-05-11"),
        ("day", "2026-05-10T00:00:00Z", "2026-05-10", "2026-05-11"),
        ("week", "2026-05-10T23:59:59.999Z", "2026-05-04", "2026-05-11"),  # a Sunday
        ("week", "2026-05-11T00:00:00Z", "2026-05-11", "2026-05-18"),
        ("week", "1970-01-01T00:00:00Z", "1969-12-29", "1970-01-05"),
        ("month", "2024-02-29T12:00:00Z", "2024-02-01", "2024-03-01"),
        ("month", "2026-12-31T23:59:59Z", "2026-12-01", "2027-01-01"),
    ],
)
def test_spans(reset, at, begun, ends):
    at_us = parse_time(at)
    assert (begun_us(reset, at_us), ends_us(reset, at_us)) == (parse_time(begun), parse_time(ends)), iso(at_us)


def test_nothing_begins_anew():
    assert begun_us("none", 1) == 0 and ends_us("none", 1) is None


@given(st.integers(0, 7 * 10**15), st.sampled_from(RESETS[1:]))
def test_spans_follow_each_other(at_us, reset):
    begun, ends = begun_us(reset, at_us), ends_us(reset, at_us)
    assert ends is not None and begun <= at_us < ends
    assert begun_us(reset, ends) == ends and begun_us(reset, ends - 1) == begun
