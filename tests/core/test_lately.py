"""The sketch of a channel's last hour against all that really came."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftgate.core.lately import MINUTES, Lately

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
