"""Spans of time as people count them: the days and hours of a zone, and the quarter hours that all of them are made of.

A *quarter* is 15 minutes, numbered from 1970 in UTC. Every zone's offset from UTC is a multiple of 15 minutes (since
1972, and America/St_Johns since 2011), so that every day and every hour of every zone is a number of whole quarters,
and sums kept by quarter serve all zones.

A *day* of a zone is what carries one date there: it begins with the first quarter of that date, which is not always
called midnight, and has 23, 24 or 25 hours (or half an hour more or less than 24: Australia/Lord_Howe). An *hour* is a
span in which the clock shows the same hour under the same offset: one that is shown twice is two hours, and where the
clock jumps by half an hour one of them has 30 minutes. Times in microseconds since 1970; no file is read here, whoever
asks brings the zone.
"""

from datetime import date, datetime, timedelta, tzinfo

import msgspec

from ftgate.core.moments import EPOCH

QUARTER_US = 900_000_000
DAYS = {"24h": 1, "7d": 7, "30d": 30}
"""The periods that statistics are given for, and how many days they show."""
HOURS = 24
"""How many hours the shortest of them shows."""


class Span(msgspec.Struct, frozen=True):
    """From `from_us` until before `to_us`, under the name by which people know it."""

    name: str
    from_us: int
    to_us: int


class Window(msgspec.Struct, frozen=True):
    """What statistics are about, and how it is divided: `days` and (for 24h) `hours` follow each other without a gap,
    from its beginning to its end."""

    from_us: int
    to_us: int
    days: tuple[Span, ...]
    hours: tuple[Span, ...] = ()


def window(period: str, now_us: int, zone: tzinfo) -> Window:
    """The window of a period (DAYS) that ends now. 7d and 30d: today and the days before; 24h: the present hour and the
    23 before, with the one or two dates that it touches. It ends at a whole millisecond, which is how it is shown: what
    came later is not in it."""
    now_us -= now_us % 1000
    if period == "24h":
        hours = _hours(now_us, zone)
        return Window(hours[0].from_us, now_us, _days_between(hours[0].from_us, now_us, zone), hours)
    today = _local(now_us, zone).date()
    dates = [today - timedelta(days=ago) for ago in range(DAYS[period] - 1, -1, -1)]
    starts = [*(_start_of(day, zone) for day in dates), now_us]
    days = [Span(str(day), starts[at], max(starts[at], starts[at + 1])) for at, day in enumerate(dates)]
    return Window(starts[0], now_us, tuple(days))


def quarters(from_us: int, to_us: int) -> tuple[int, int]:
    """The whole quarters within a span, as the first and the one behind the last; none where the second is not
    larger."""
    return -(-from_us // QUARTER_US), to_us // QUARTER_US


def _local(at_us: int, zone: tzinfo) -> datetime:
    return (EPOCH + timedelta(microseconds=at_us)).astimezone(zone)


def _us(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def _start_of(day: date, zone: tzinfo) -> int:
    """The first moment of a date: midnight, the first of two, or where the clock leaps over midnight the moment at
    which it leaps, which is what a time that is never shown means."""
    return _us(datetime(day.year, day.month, day.day, tzinfo=zone))


def _hours(now_us: int, zone: tzinfo) -> tuple[Span, ...]:
    """The hour that it is, and those before, oldest first."""
    found: list[Span] = []
    until_us = now_us
    at_us = now_us - now_us % QUARTER_US
    while len(found) < HOURS:
        shown = _hour_at(at_us, zone)
        while _hour_at(at_us - QUARTER_US, zone) == shown:
            at_us -= QUARTER_US
        found.append(Span(_local(at_us, zone).isoformat(timespec="seconds"), at_us, until_us))
        until_us, at_us = at_us, at_us - QUARTER_US
    return tuple(reversed(found))


def _hour_at(at_us: int, zone: tzinfo) -> tuple[date, int, timedelta | None]:
    moment = _local(at_us, zone)
    return moment.date(), moment.hour, moment.utcoffset()


def _days_between(from_us: int, to_us: int, zone: tzinfo) -> tuple[Span, ...]:
    """The dates that a span touches, each as far as it lies within."""
    first, last = _local(from_us, zone).date(), _local(to_us, zone).date()
    starts = [(first, from_us)]
    while starts[-1][0] < last:
        following = starts[-1][0] + timedelta(days=1)
        starts.append((following, _start_of(following, zone)))
    ends = [*(at_us for _, at_us in starts[1:]), to_us]
    return tuple(
        Span(str(day), at_us, end_us) for (day, at_us), end_us in zip(starts, ends, strict=True) if at_us < end_us
    )
