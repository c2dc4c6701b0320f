"""Prices that depend on the hour: which one holds, to the minute."""

from datetime import datetime

import pytest

from ftgate.core.moments import parse_time
from ftgate.core.pricing import Hours, Price, price_at
from ftgate.providers.clock import days_of, days_text, span_text, spans_of

PLAIN, CHEAP, NIGHT = (Price(units, units, units, units, units) for units in (4, 2, 1))


def hours(*utc: str, days: str = "", price: Price = CHEAP) -> Hours:
    return Hours(spans_of(utc), days_of(days), price)


OFF_PEAK = (
    hours("00:00-01:00", "04:00-06:00", "10:00-24:00", days="mon-fri"),
    hours("00:00-24:00", days="sat,sun"),
)  # fmt: skip
OVER_MIDNIGHT = (hours("16:30-00:30"),)
FRIDAY_NIGHT = (hours("22:00-06:00", days="fri", price=NIGHT),)

# 2026-11-27 is a Friday.
ROWS = [
    (OFF_PEAK, "2026-11-27T00:00", CHEAP),
    (OFF_PEAK, "2026-11-27T00:59:59.999999", CHEAP),
    (OFF_PEAK, "2026-11-27T01:00", PLAIN),
    (OFF_PEAK, "2026-11-27T03:59:59.999999", PLAIN),
    (OFF_PEAK, "2026-11-27T04:00", CHEAP),
    (OFF_PEAK, "2026-11-27T05:59", CHEAP),
    (OFF_PEAK, "2026-11-27T06:00", PLAIN),
    (OFF_PEAK, "2026-11-27T09:59:59", PLAIN),
    (OFF_PEAK, "2026-11-27T10:00", CHEAP),
    (OFF_PEAK, "2026-11-27T23:59:59.999999", CHEAP),
    (OFF_PEAK, "2026-11-28T00:00", CHEAP),  # Saturday
    (OFF_PEAK, "2026-11-28T07:00", CHEAP),
    (OFF_PEAK, "2026-11-29T23:59", CHEAP),
    (OFF_PEAK, "2026-11-30T00:00", CHEAP),  # Monday
    (OFF_PEAK, "2026-11-30T01:00", PLAIN),
    (OVER_MIDNIGHT, "2026-11-27T16:29:59.999999", PLAIN),
    (OVER_MIDNIGHT, "2026-11-27T16:30", CHEAP),
    (OVER_MIDNIGHT, "2026-11-27T23:59:59.999999", CHEAP),
    (OVER_MIDNIGHT, "2026-11-28T00:00", CHEAP),
    (OVER_MIDNIGHT, "2026-11-28T00:29:59.999999", CHEAP),
    (OVER_MIDNIGHT, "2026-11-28T00:30", PLAIN),
    (FRIDAY_NIGHT, "2026-11-27T21:59", PLAIN),
    (FRIDAY_NIGHT, "2026-11-27T22:00", NIGHT),
    (FRIDAY_NIGHT, "2026-11-28T05:59", NIGHT),  # still Friday's night
    (FRIDAY_NIGHT, "2026-11-28T06:00", PLAIN),
    (FRIDAY_NIGHT, "2026-11-28T22:00", PLAIN),
    (FRIDAY_NIGHT, "2026-11-27T05:00", PLAIN),  # Thursday's night
    ((hours("22:00-06:00", days="sun"),), "2026-11-30T05:59", CHEAP),  # a Monday
    ((hours("22:00-06:00", days="sun"),), "2026-11-29T05:59", PLAIN),
    ((hours("00:00-24:00", price=NIGHT), *OFF_PEAK), "2026-11-27T00:30", NIGHT),  # the first that holds
    (FRIDAY_NIGHT, "1970-01-01T23:00", PLAIN),  # a Thursday
    (FRIDAY_NIGHT, "1970-01-02T23:00", NIGHT),
    (FRIDAY_NIGHT, "1969-12-26T23:00", NIGHT),  # a clock that is wrong is no reason to fail
    ((), "2026-11-27T00:30", PLAIN),
]


@pytest.mark.parametrize(("its", "at", "price"), ROWS)
def test_which_price_holds(its: tuple[Hours, ...], at: str, price: Price) -> None:
    assert price_at(PLAIN, its, parse_time(at)) is price


@pytest.mark.parametrize("days", ["", "mon-fri", "sat,sun", "wed", "fri-mon", "Tue, THU"])
def test_every_hour_of_a_fortnight_against_the_calendar(days: str) -> None:
    """Spans over midnight count from the day on which they begin."""
    names = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    wanted = {"": set(names), "mon-fri": set(names[:5]), "sat,sun": {"sat", "sun"}, "wed": {"wed"},
              "fri-mon": {"fri", "sat", "sun", "mon"}, "Tue, THU": {"tue", "thu"}}[days]  # fmt: skip
    its = (hours("20:00-04:00", "12:00-13:00", days=days),)
    for hour in range(14 * 24):
        at_us = parse_time("2026-11-20") + hour * 3_600_000_000
        moment = datetime.fromisoformat("2026-11-20")
        day, of_day = names[(moment.weekday() + hour // 24) % 7], hour % 24
        before = names[(moment.weekday() + hour // 24 - 1) % 7]
        holds = (day in wanted and (of_day >= 20 or of_day == 12)) or (before in wanted and of_day < 4)
        assert price_at(PLAIN, its, at_us) is (CHEAP if holds else PLAIN), hour


@pytest.mark.parametrize(("written", "words"), [
    ((), "names no hours"),
    (("9:00-10:00",), "no span of hours"),
    (("09:00-10:00 ",), "no span of hours"),
    (("25:00-26:00",), "24 hours"),
    (("24:00-01:00",), "24 hours"),
    (("23:00-24:01",), "24 hours"),
    (("09:60-10:00",), "no span of hours"),
    (("09:00-09:00",), "no length"),
])  # fmt: skip
def test_spans_that_are_none(written: tuple[str, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        spans_of(written)


@pytest.mark.parametrize("written", ["monday", "mon-", "mon,", "-fri", "1-5", "mon-fri-sun"])
def test_days_that_are_none(written: str) -> None:
    with pytest.raises(ValueError, match="write days like"):
        days_of(written)


def test_they_are_written_as_they_are_read() -> None:
    spans = ("00:00-01:00", "16:30-00:30", "10:00-24:00")
    assert tuple(map(span_text, spans_of(spans))) == spans
    for days in ("", "mon-fri", "sun", "fri-mon"):
        assert days_of(days_text(days_of(days))) == days_of(days)
    assert days_text(days_of("mon-sun")) == ""
