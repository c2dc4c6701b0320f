"""Days and hours of zones, against a table by hand and against a reckoning that asks each quarter hour by itself."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ftgate.core.moments import EPOCH, iso, parse_time
from ftgate.core.periods import DAYS, QUARTER_US, quarters, window

ZONES = (
    "UTC", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns", "America/New_York",
    "Pacific/Chatham", "Pacific/Kiritimati", "Etc/GMT+12", "America/Havana", "Asia/Beirut", "America/Santiago",
    "Africa/Casablanca", "Europe/Berlin",
)  # fmt: skip
HOUR_US = 4 * QUARTER_US


def at(text: str) -> int:
    return parse_time(text)


@pytest.mark.parametrize(
    ("zone", "now", "first", "hours", "last"),
    [
        ("UTC", "2026-05-10T12:34:56.789Z", "2026-05-04T00:00:00Z", 24.0, "2026-05-10"),
        ("Asia/Kolkata", "2026-05-10T12:34:56Z", "2026-05-03T18:30:00Z", 24.0, "2026-05-10"),
        ("Asia/Kolkata", "2026-05-10T18:30:00Z", "2026-05-04T18:30:00Z", 24.0, "2026-05-11"),
        ("Asia/Kathmandu", "2026-05-10T18:14:59.999Z", "2026-05-03T18:15:00Z", 24.0, "2026-05-10"),
        ("America/New_York", "2026-03-10T12:00:00Z", "2026-03-04T05:00:00Z", 24.0, "2026-03-10"),
        ("America/New_York", "2026-03-14T12:00:00Z", "2026-03-08T05:00:00Z", 23.0, "2026-03-14"),  # spring
        ("America/New_York", "2026-11-07T12:00:00Z", "2026-11-01T04:00:00Z", 25.0, "2026-11-07"),  # autumn
        ("America/St_Johns", "2026-11-07T12:00:00Z", "2026-11-01T02:30:00Z", 25.0, "2026-11-07"),
        ("Australia/Lord_Howe", "2026-04-11T00:00:00Z", "2026-04-04T13:00:00Z", 24.5, "2026-04-11"),
        ("Australia/Lord_Howe", "2026-10-10T00:00:00Z", "2026-10-03T13:30:00Z", 23.5, "2026-10-10"),
        ("America/Havana", "2026-03-14T12:00:00Z", "2026-03-08T05:00:00Z", 23.0, "2026-03-14"),  # no midnight
        ("America/Havana", "2026-11-07T12:00:00Z", "2026-11-01T04:00:00Z", 25.0, "2026-11-07"),  # midnight twice
        ("Asia/Beirut", "2026-04-04T12:00:00Z", "2026-03-28T22:00:00Z", 23.0, "2026-04-04"),  # no midnight
    ],
)
def test_seven_days(zone: str, now: str, first: str, hours: float, last: str) -> None:
    found = window("7d", at(now), ZoneInfo(zone))
    assert (found.from_us, found.to_us) == (at(first), at(now))
    assert len(found.days) == 7 and found.days[-1].name == last and not found.hours
    assert (found.days[0].to_us - found.days[0].from_us) / HOUR_US == hours


@pytest.mark.parametrize(
    ("zone", "now", "names"),
    [
        ("UTC", "2026-05-10T12:34:56Z", {0: "2026-05-09T13:00:00+00:00", -1: "2026-05-10T12:00:00+00:00"}),
        ("Asia/Kolkata", "2026-05-10T12:34:56Z", {0: "2026-05-09T19:00:00+05:30", -1: "2026-05-10T18:00:00+05:30"}),
        ("Asia/Kathmandu", "2026-05-10T12:14:59Z", {-1: "2026-05-10T17:00:00+05:45"}),
        ("Asia/Kathmandu", "2026-05-10T12:15:00Z", {-1: "2026-05-10T18:00:00+05:45"}),
        (  # an hour that is shown twice is two hours
            "America/New_York", "2026-11-01T06:30:00Z",
            {-1: "2026-11-01T01:00:00-05:00", -2: "2026-11-01T01:00:00-04:00", 0: "2026-10-31T03:00:00-04:00"},
        ),
        (
            "America/New_York", "2026-03-08T07:30:00Z",
            {-1: "2026-03-08T03:00:00-04:00", -2: "2026-03-08T01:00:00-05:00"},
        ),
        (  # half an hour is shown twice
            "Australia/Lord_Howe", "2026-04-04T15:40:00Z",
            {-1: "2026-04-05T02:00:00+10:30", -2: "2026-04-05T01:30:00+10:30", -3: "2026-04-05T01:00:00+11:00"},
        ),
        (
            "Australia/Lord_Howe", "2026-10-03T16:10:00Z",
            {-1: "2026-10-04T03:00:00+11:00", -2: "2026-10-04T02:30:00+11:00", -3: "2026-10-04T01:00:00+10:30"},
        ),
    ],
)  # fmt: skip
def test_twenty_four_hours(zone: str, now: str, names: dict[int, str]) -> None:
    found = window("24h", at(now), ZoneInfo(zone))
    assert len(found.hours) == 24 and {place: found.hours[place].name for place in names} == names
    assert found.hours[-1].to_us == at(now) == found.to_us


def test_the_days_of_twenty_four_hours_lie_within_them() -> None:
    found = window("24h", at("2026-05-10T12:34:56Z"), ZoneInfo("Asia/Kolkata"))
    assert [(day.name, iso(day.from_us), iso(day.to_us)) for day in found.days] == [
        ("2026-05-09", "2026-05-09T13:30:00.000Z", "2026-05-09T18:30:00.000Z"),
        ("2026-05-10", "2026-05-09T18:30:00.000Z", "2026-05-10T12:34:56.000Z"),
    ]
    whole = window("24h", at("2026-05-10T23:59:59Z"), UTC)
    assert [day.name for day in whole.days] == ["2026-05-10"]
    at_midnight = window("24h", at("2026-05-11T00:00:00Z"), UTC)  # its own hour has only begun
    assert [day.name for day in at_midnight.days] == ["2026-05-10"] and len(at_midnight.hours) == 24


def test_it_ends_at_a_millisecond() -> None:
    for period in DAYS:
        assert window(period, 1_800_000_000_123_999, UTC).to_us == 1_800_000_000_123_000


@pytest.mark.parametrize(
    ("from_us", "to_us", "expected"),
    [
        (0, QUARTER_US, (0, 1)),
        (1, QUARTER_US, (1, 1)),
        (0, QUARTER_US - 1, (0, 0)),
        (1, 2 * QUARTER_US + 1, (1, 2)),
        (5, 6, (1, 0)),
    ],
)
def test_whole_quarters(from_us: int, to_us: int, expected: Any) -> None:
    assert quarters(from_us, to_us) == expected


def naive(period: str, now_us: int, zone: ZoneInfo) -> dict[str, dict[str, tuple[int, int]]]:
    """Each quarter's own date and hour, asked one by one over 32 days: name -> first quarter, how many."""
    now_us -= now_us % 1000
    days: dict[str, tuple[int, int]] = {}
    hours: dict[tuple[str, int, Any], tuple[int, int]] = {}
    for quarter in range(now_us // QUARTER_US - 32 * 96, now_us // QUARTER_US + 1):
        moment = (EPOCH + timedelta(microseconds=quarter * QUARTER_US)).astimezone(zone)
        hour = (str(moment.date()), moment.hour, moment.utcoffset())
        first, many = hours.get(hour, (quarter, 0))
        hours[hour] = first, many + 1
    kept = dict(list(hours.items())[-24:])
    begins = min(first for first, _ in kept.values()) if period == "24h" else 0
    for quarter in range(now_us // QUARTER_US - 32 * 96, now_us // QUARTER_US + 1):
        if quarter >= begins:
            name = str((EPOCH + timedelta(microseconds=quarter * QUARTER_US)).astimezone(zone).date())
            first, many = days.get(name, (quarter, 0))
            days[name] = first, many + 1
    found: dict[str, dict[str, tuple[int, int]]] = {"days": dict(list(days.items())[-DAYS[period] :]), "hours": {}}
    if period == "24h":
        found["days"] = days
        for first, many in kept.values():
            moment = (EPOCH + timedelta(microseconds=first * QUARTER_US)).astimezone(zone)
            found["hours"][moment.isoformat(timespec="seconds")] = first, many
    return found


YEARS = st.integers(min_value=at("2024-01-01"), max_value=at("2028-12-31"))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(ZONES), st.sampled_from([*DAYS]), YEARS)
@example("Australia/Lord_Howe", "24h", at("2026-04-04T15:40:00Z"))
@example("Australia/Lord_Howe", "24h", at("2026-10-03T16:10:00Z"))
@example("America/Havana", "24h", at("2026-11-01T05:30:00Z"))
@example("Asia/Beirut", "30d", at("2026-03-29T05:30:00Z"))
def test_every_quarter_lies_where_its_own_clock_says(name: str, period: str, now_us: int) -> None:
    now_us -= now_us % QUARTER_US - 1_000_000  # into a quarter: that which only begins is in no span
    zone = ZoneInfo(name)
    found, expected = window(period, now_us, zone), naive(period, now_us, zone)
    for kind, spans in (("days", found.days), ("hours", found.hours)):
        shown = {
            span.name: (span.from_us // QUARTER_US, -(-(span.to_us - span.from_us) // QUARTER_US)) for span in spans
        }
        assert shown == expected[kind]
        if spans:  # without a gap, from the beginning to the end
            assert (spans[0].from_us, spans[-1].to_us) == (found.from_us, found.to_us)
            assert all(one.to_us == other.from_us for one, other in pairwise(spans))
            assert all(span.from_us % QUARTER_US == 0 for span in spans)


def test_a_time_before_this_century_is_no_trouble() -> None:
    assert len(window("30d", _us(datetime(1999, 1, 1, tzinfo=UTC)), ZoneInfo("Europe/Berlin")).days) == 30


def _us(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)
