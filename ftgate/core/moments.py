"""Instants as text: microseconds since 1970 to ISO 8601 and back; HTTP's dates."""

import re
from datetime import UTC, datetime, timedelta, tzinfo
from email.utils import parsedate_to_datetime

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SHAPE = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{8}|[0-9]{4}-?W[0-9]{2}(-?[0-9])?)([Tt ].+)?")
"""A date and perhaps a time. Python's reader takes any letter between them, a digit too: then milliseconds since 1970
are an hour of the year 1790."""
_STAMP = "%Y%m%d-%H%M%S"
_UNITS = ((11, "seconds", 1_000_000), (14, "milliseconds", 1000), (17, "microseconds", 1))
"""What a number of so many digits counts since 1970, and how many microseconds one is."""


def iso(at_us: int) -> str:
    """An instant as ISO 8601 in UTC, to the millisecond."""
    return (EPOCH + timedelta(microseconds=at_us)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def stamp(at_us: int) -> str:
    """An instant as part of a file's name, by the second, in UTC: 20260531-235959. Later ones sort behind."""
    return (EPOCH + timedelta(microseconds=at_us)).strftime(_STAMP)


def stamped_us(text: str) -> int:
    """The instant of such a stamp. Raises ValueError."""
    return (datetime.strptime(text, _STAMP).replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)


def month(at_us: int) -> str:
    """The month of an instant, in UTC: 2026-05."""
    return (EPOCH + timedelta(microseconds=at_us)).strftime("%Y-%m")


def next_month_us(at_us: int) -> int:
    """The first moment of the month after an instant's, in UTC, in microseconds since 1970."""
    now = EPOCH + timedelta(microseconds=at_us)
    first = datetime(now.year + now.month // 12, now.month % 12 + 1, 1, tzinfo=UTC)
    return (first - EPOCH) // timedelta(microseconds=1)


def _counted(text: str) -> str | None:
    """The hint for a number that counts from 1970."""
    whole = text.partition(".")[0]
    if not re.fullmatch(r"[0-9]{9,17}", whole):
        return None
    unit, size = next((unit, size) for digits, unit, size in _UNITS if len(whole) <= digits)
    try:
        return f"as {unit} since 1970 it would be {iso(int(whole) * size)}: write that, if it is meant"
    except OverflowError:
        return None


def parse_time(text: str, zone: tzinfo = UTC) -> int:
    """Microseconds since 1970 for an ISO 8601 date or time; without an offset it is one of `zone`. Raises
    ValueError."""
    text = text.strip()
    try:
        if not _SHAPE.fullmatch(text):
            raise ValueError
        moment = datetime.fromisoformat(text)
    except ValueError:
        hint = _counted(text) or "write 2027-01-31 or 2027-01-31T12:00:00Z"
        raise ValueError(f"{text[:80]!r} is no ISO 8601 time; {hint}") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=zone)
    return (moment - EPOCH) // timedelta(microseconds=1)  # whole: a float of seconds would be a microsecond off


def parse_http_date(text: str) -> int:
    """Microseconds since 1970 for a date in any of HTTP's three formats (RFC 9110, section 5.6.7), which are all in
    GMT. Raises ValueError."""
    try:
        moment = parsedate_to_datetime(text)
        return (moment.replace(tzinfo=moment.tzinfo or UTC) - EPOCH) // timedelta(microseconds=1)
    except (ValueError, TypeError, IndexError, OverflowError):
        raise ValueError(f"{text[:80]!r} is no HTTP date") from None
