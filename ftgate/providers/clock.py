"""Hours and days as a price list writes them: "22:00-06:00", "mon-fri"."""

import re

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SPAN = re.compile(r"([0-2][0-9]):([0-5][0-9])-([0-2][0-9]):([0-5][0-9])")
_DAY = 24 * 60


def spans_of(written: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    """Spans of a day, UTC, as minutes from its start: the second is not part of it, and lies in the next day where it
    is not after the first. Raises ValueError."""
    if not written:
        raise ValueError('utc names no hours; write them like ["16:30-00:30"]')
    return tuple(map(_span, written))


def _span(text: str) -> tuple[int, int]:
    found = _SPAN.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:40]!r} is no span of hours; write it like 16:30-00:30")
    start, end = int(found[1]) * 60 + int(found[2]), int(found[3]) * 60 + int(found[4])
    if start >= _DAY or end > _DAY:
        raise ValueError(f"{text!r}: a day has 24 hours")
    if start == end:
        raise ValueError(f"{text!r} has no length; a whole day is 00:00-24:00")
    return start, end


def days_of(written: str) -> tuple[int, ...]:
    """Weekdays, 0 is Monday: "mon-fri", "sat", "sun,wed", "fri-mon"; "" is every day. Raises ValueError."""
    if not written:
        return tuple(range(7))
    found: list[int] = []
    for part in written.lower().replace(" ", "").split(","):
        first, to, last = part.partition("-")
        last = last if to else first
        if first not in DAYS or last not in DAYS:
            raise ValueError(f'days = "{written[:40]}": write days like mon-fri, or sat,sun')
        start, end = DAYS.index(first), DAYS.index(last)
        found += [day % 7 for day in range(start, end + 1 if end >= start else end + 8)]
    return tuple(sorted(set(found)))


def span_text(span: tuple[int, int]) -> str:
    """As spans_of reads it."""
    return "{:02}:{:02}-{:02}:{:02}".format(*divmod(span[0], 60), *divmod(span[1], 60))


def days_text(days: tuple[int, ...]) -> str:
    """As days_of reads it."""
    if len(days) == len(DAYS):
        return ""
    if len(days) > 2 and days == tuple(range(days[0], days[-1] + 1)):
        return f"{DAYS[days[0]]}-{DAYS[days[-1]]}"
    return ",".join(DAYS[day] for day in days)
