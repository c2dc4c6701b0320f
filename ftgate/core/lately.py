"""How a channel has done in the last hour: how many requests, how many failed, how long answers took. Pure: times are
given.

A minute is one small table of counts, and 60 of them are kept, so memory does not grow with traffic. Times are counted
in steps of a ninth (eight to a doubling): a quantile is off by 5 % at most. One request costs less than a microsecond.
When a minute is over it is also added to its half-hour, of which 48 are kept: a day, in requests and errors alone.
"""

from collections import defaultdict, deque
from collections.abc import Iterable
from math import inf, log2

MINUTE_S = 60.0
MINUTES = 60
HALF_HOURS = 48
MINUTES_EACH = 30
HALF_HOUR_S = MINUTES_EACH * MINUTE_S
STEPS = 8
"""Steps to a doubling of the time."""
NEAR_MS = 4096
STEP_OF = [int(log2(max(ms, 1)) * STEPS) for ms in range(NEAR_MS)]
"""The steps of most times, in whole milliseconds: looking one up costs less than a logarithm."""


class Minute:
    """What ended within one minute. `took` and `first` count, by their step, answers and their first tokens."""

    __slots__ = ("errors", "first", "number", "requests", "took")

    def __init__(self, number: int) -> None:
        self.number = number
        self.requests = self.errors = 0
        self.took: defaultdict[int, int] = defaultdict(int)
        self.first: defaultdict[int, int] = defaultdict(int)


class HalfHour:
    """What ended within one half-hour, as far as its minutes are over."""

    __slots__ = ("errors", "number", "requests")

    def __init__(self, number: int, requests: int = 0, errors: int = 0) -> None:
        self.number = number
        self.requests = requests
        self.errors = errors


class Lately:
    """Of one channel."""

    __slots__ = ("half_hours", "minutes", "until")

    def __init__(self) -> None:
        self.minutes: deque[Minute] = deque(maxlen=MINUTES)
        self.half_hours: deque[HalfHour] = deque(maxlen=HALF_HOURS)
        self.until = -inf  # the end of the last one

    def _next(self, now: float) -> Minute:
        """The minute that begins, once the last one is over."""
        number = int(now // MINUTE_S)
        if self.minutes:
            _fold(self.half_hours, self.minutes[-1])
        self.until = (number + 1) * MINUTE_S
        minute = Minute(number)
        self.minutes.append(minute)
        return minute

    def answered(self, now: float, took_s: float, first_s: float | None) -> None:
        """A request was answered whole, after `took_s`; `first_s` to its first token, where it was a stream."""
        minute = self.minutes[-1] if now < self.until else self._next(now)
        minute.requests += 1
        ms = int(took_s * 1000)
        minute.took[STEP_OF[ms] if 0 <= ms < NEAR_MS else _step(ms)] += 1
        if first_s is not None:
            ms = int(first_s * 1000)
            minute.first[STEP_OF[ms] if 0 <= ms < NEAR_MS else _step(ms)] += 1

    def ended(self, now: float, *, failed: bool) -> None:
        """A request ended without a whole answer: it `failed`, or somebody else ended it, or the request was wrong."""
        minute = self.minutes[-1] if now < self.until else self._next(now)
        minute.requests += 1
        minute.errors += failed

    def day(self, now: float) -> list[HalfHour]:
        """The last HALF_HOURS, the oldest first; the last one is that of now."""
        newest = int(now // HALF_HOUR_S)
        known = deque([HalfHour(its.number, its.requests, its.errors) for its in self.half_hours], maxlen=HALF_HOURS)
        if self.minutes:
            _fold(known, self.minutes[-1])
        found = {its.number: its for its in known}
        return [found.get(number) or HalfHour(number) for number in range(newest - HALF_HOURS + 1, newest + 1)]

    def shown(self, now: float) -> dict[str, int | None]:
        """Of the last hour; times in milliseconds, None where there was none."""
        since = int(now // MINUTE_S) - MINUTES
        recent = [minute for minute in self.minutes if minute.number > since]
        took, first = _sum(minute.took for minute in recent), _sum(minute.first for minute in recent)
        return {
            "requests_1h": sum(minute.requests for minute in recent),
            "errors_1h": sum(minute.errors for minute in recent),
            "p50_ms": _quantile(took, 50), "p95_ms": _quantile(took, 95), "first_token_p50_ms": _quantile(first, 50),
        }  # fmt: skip


def _fold(half_hours: deque[HalfHour], minute: Minute) -> None:
    """Add a minute to its half-hour."""
    number = minute.number // MINUTES_EACH
    if not half_hours or half_hours[-1].number != number:
        half_hours.append(HalfHour(number))
    half_hours[-1].requests += minute.requests
    half_hours[-1].errors += minute.errors


def _step(ms: int) -> int:
    """The step of a time; what is under a millisecond is one."""
    return int(log2(ms) * STEPS) if ms > 1 else 0


def _sum(tables: Iterable[dict[int, int]]) -> dict[int, int]:
    found: dict[int, int] = {}
    for table in tables:
        for step, many in table.items():
            found[step] = found.get(step, 0) + many
    return found


def _quantile(steps: dict[int, int], percent: int) -> int | None:
    """The time under which so many in a hundred stay: the middle of the step in which it lies."""
    rank = -(-sum(steps.values()) * percent // 100)
    for step in sorted(steps):
        rank -= steps[step]
        if rank <= 0:
            return round(2 ** ((step + 0.5) / STEPS))
    return None
