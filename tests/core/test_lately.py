"""The sketch of a channel's last hour against all that really came."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftgate.core.lately import HALF_HOUR_S, HALF_HOURS, MINUTES, Lately

EMPTY = {"requests_1h": 0, "errors_1h": 0, "p50_ms": None, "p95_ms": None, "first_token_p50_ms": None}


def test_nothing_is_known_at_first() -> None:
    assert Lately().shown(0.0) == Lately().shown(1e9) == EMPTY


@given(st.lists(st.floats(0.001, 7200), min_size=1, max_size=300))
def test_quantiles_are_near_what_came(seconds: list[float]) -> None:
    known = Lately()
    for took in seconds:
        known.answered(5.0, took, took / 2)
    said = known.shown(5.0)
    for name, percent, factor in (("p50_ms", 50, 1.0), ("p95_ms", 95, 1.0), ("first_token_p50_ms", 50, 0.5)):
        right = sorted(seconds)[math.ceil(len(seconds) * percent / 100) - 1] * 1000 * factor
        found = said[name]
        assert found is not None and abs(found - right) <= 0.05 * right + 1.5
    assert (said["requests_1h"], said["errors_1h"]) == (len(seconds), 0)


def test_failures_count_and_have_no_time() -> None:
    known = Lately()
    known.ended(0.0, failed=True)
    known.ended(0.0, failed=False)
    assert known.shown(1.0) == EMPTY | {"requests_1h": 2, "errors_1h": 1}
    known.answered(0.0, 0.0, None)
    assert known.shown(1.0)["p50_ms"] == 1


@pytest.mark.parametrize(("later_s", "left"), [(0, 2), (3479, 2), (3541, 1), (3599, 1), (3601, 0), (1e6, 0)])
def test_an_hour_passes(later_s: float, left: int) -> None:
    known = Lately()
    known.ended(59.0, failed=True)
    known.ended(61.0, failed=False)
    said = known.shown(59.0 + later_s)
    assert (said["requests_1h"], said["errors_1h"]) == (left, int(left == 2))


def test_what_is_kept_does_not_grow() -> None:
    known = Lately()
    for second in range(0, 100_000, 7):
        known.answered(float(second), second % 977 / 10, None)
    assert len(known.minutes) == MINUTES
    assert known.shown(100_000.0)["requests_1h"] == pytest.approx(3600 / 7, rel=0.05)


def test_a_clock_that_stands_still_or_steps_back_loses_nothing() -> None:
    known = Lately()
    known.ended(600.0, failed=False)
    known.ended(500.0, failed=False)
    assert known.shown(600.0)["requests_1h"] == 2


def day(known: Lately, now: float) -> dict[int, tuple[int, int]]:
    """The half-hours in which something ended."""
    said = known.day(now)
    assert [its.number for its in said] == list(range(said[-1].number - HALF_HOURS + 1, int(now // HALF_HOUR_S) + 1))
    return {its.number: (its.requests, its.errors) for its in said if its.requests}


def test_half_hours_count_what_their_minutes_did() -> None:
    known = Lately()
    assert day(known, 1e6) == {}
    for second in range(0, 3600, 10):
        known.ended(float(second), failed=second % 600 == 0)
        assert sum(many for many, _ in day(known, float(second)).values()) == second // 10 + 1  # the minute of now too
    assert day(known, 3600.0) == day(known, 3599.0) == {0: (180, 3), 1: (180, 3)}
    assert day(known, HALF_HOUR_S * 47) == {0: (180, 3), 1: (180, 3)}
    assert day(known, HALF_HOUR_S * 48) == {1: (180, 3)}
    assert day(known, HALF_HOUR_S * 49) == {}


def test_a_day_with_pauses_keeps_its_places_and_does_not_grow() -> None:
    known = Lately()
    for half_hour in range(0, 1000, 3):
        known.answered(half_hour * HALF_HOUR_S + 1799.0, 0.1, None)
    assert day(known, 1000 * HALF_HOUR_S) == dict.fromkeys(range(954, 1000, 3), (1, 0))
    assert len(known.half_hours) == HALF_HOURS
