"""Rate limits: exact rolling windows, and calls in flight.

A window of 1 s with a limit of 100 admits a call iff fewer than 100 were admitted in the second before it: no fixed
grid, no bucket that lets a burst of twice the limit through. It keeps the time of each admitted call, so memory is the
limit itself. Times are seconds of a monotonic clock, given by the caller.

`take_requests` looks at every scope it is given before it changes any. The gate asks for key and account before it
reads a request and for the model when it knows it: a call refused at a later step has counted at the earlier ones.
"""

from collections import deque
from collections.abc import Callable, Sequence
from math import inf
from typing import Literal

import msgspec

Scope = Literal["key", "account", "model"]
Name = str | int
"""A model's name, or the number of a key or an account."""
RatesFor = Callable[[Scope, Name], "Rates"]


class Rates(msgspec.Struct, frozen=True, gc=False):
    """The four limits of one scope; 0 is none."""

    requests_per_second: int = 0
    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    concurrent: int = 0


OVER = -inf
"""The time of a record that its window has let go."""


class Window:
    """What was admitted in the last `span_s` seconds, at most `limit` in sum; nothing is kept with a limit of 0."""

    __slots__ = ("admitted", "limit", "span_s", "used")

    def __init__(self, span_s: float, limit: int) -> None:
        self.span_s = span_s
        self.limit = limit
        self.used = 0
        self.admitted: deque[list[float]] = (
            deque()
        )  # [time, weight]; a list, so that a borrowed weight can be given back

    def _expire(self, now: float) -> None:
        while self.admitted and self.admitted[0][0] <= now - self.span_s:
            over = self.admitted.popleft()
            self.used -= int(over[1])
            over[0] = OVER

    def wait_s(self, now: float, weight: int = 1) -> float:
        """Seconds until `weight` more would be admitted: 0.0 is now. A weight past the limit itself waits a whole span
        from an empty window only, that is: it is admitted alone."""
        self._expire(now)
        excess = self.used + min(weight, self.limit) - self.limit
        if excess <= 0:
            return 0.0
        for moment, admitted in self.admitted:
            excess -= int(admitted)
            if excess <= 0:
                return max(moment + self.span_s - now, 0.0)
        return self.span_s

    def add(self, now: float, weight: int = 1) -> list[float]:
        """Count `weight`; the returned record is for `give_back`."""
        record = [now, float(weight)]
        self.admitted.append(record)
        self.used += weight
        return record

    def renew(self, record: list[float], now: float) -> None:
        """What was counted before counts from now on, also where it was over meanwhile."""
        if record[0] == OVER:
            self.admitted.append(record)
            self.used += int(record[1])
        record[0] = now

    def withdraw(self, record: list[float]) -> None:
        """It counts no more, and never did."""
        if record[0] != OVER:
            self.used -= int(record[1])
        record[1] = 0.0

    def give_back(self, record: list[float], used: int, now: float) -> None:
        """Replace a borrowed weight by what was really used. Where the call outlived the window, what it used counts
        from its end on: else long calls would never count."""
        self._expire(now)
        if record[0] > now - self.span_s:
            self.used += used - int(record[1])
            record[1] = float(used)
        elif used:
            self.add(now, used)


class Meters:
    """The windows of one key, account or model."""

    __slots__ = ("elsewhere", "in_flight", "limited", "minute", "place", "rates", "second", "tokens")

    def __init__(self, rates: Rates, place: tuple[Scope, Name] = ("key", 0), stretch: float = 1.0) -> None:
        self.place = place
        self.elsewhere = 0  # in flight at other gateways that keep the same limits (core.limits_shared)
        self.rates = rates
        self.limited = rates != Rates()
        self.second = Window(1.0 * stretch, rates.requests_per_second)
        self.minute = Window(60.0 * stretch, rates.requests_per_minute)
        self.tokens = Window(60.0 * stretch, rates.tokens_per_minute)
        self.in_flight = 0

    def adopt(self, rates: Rates) -> None:
        """Go by other limits from now on. What was counted stays: a window whose limit is lowered below it admits
        nothing until enough of that is over. One that had no limit has counted nothing and begins empty, and calls in
        flight that were admitted without any limit are not counted."""
        self.rates = rates
        self.limited = rates != Rates()
        self.second.limit = rates.requests_per_second
        self.minute.limit = rates.requests_per_minute
        self.tokens.limit = rates.tokens_per_minute

    def idle(self, now: float) -> bool:
        """Nothing here counts any more: the meters can be forgotten."""
        return not (self.in_flight or self.elsewhere) and all(
            w.wait_s(now) == 0.0 and not w.used for w in (self.second, self.minute, self.tokens)
        )


class Refused(msgspec.Struct, frozen=True, gc=False):
    """Which limit said no, and after how many seconds asking again can help."""

    scope: Scope
    limit: str
    retry_after_s: float


class Room(msgspec.Struct, frozen=True, gc=False):
    """The state of a key's request limit, for the x-ratelimit headers. `limit` 0 is no limit."""

    limit: int
    remaining: int
    reset_s: float


class Ticket:
    """What one admitted call took; `release` gives back what it did not use. A call without limits needs none: it has
    NO_TICKET."""

    __slots__ = ("borrowed", "counted", "left", "released", "taken")

    def __init__(self) -> None:
        self.taken: list[Meters] = []
        self.borrowed: list[tuple[Window, list[float]]] = []
        self.counted: list[tuple[Window, list[float]]] = []
        self.released = False
        self.left: Callable[[int], None] | None = None
        """Called with the tokens used when it is released, where others count the call too."""

    def borrow(self, now: float, estimate: int) -> None:
        """Count `estimate` tokens in every token window of the call, until it is known what it used."""
        for meters in self.taken:
            if meters.rates.tokens_per_minute:
                self.borrowed.append((meters.tokens, meters.tokens.add(now, estimate)))

    def borrows(self, meters: Meters) -> int:
        """Tokens that it has borrowed there."""
        return next((int(record[1]) for window, record in self.borrowed if window is meters.tokens), 0)

    def withdraw(self) -> None:
        """It was not let in after all: nothing of it counts."""
        if self.released:
            return
        self.released = True
        for meters in self.taken:
            meters.in_flight -= 1
        for window, record in (*self.counted, *self.borrowed):
            window.withdraw(record)

    def count_from(self, now: float) -> None:
        """What it took counts from now on, not from before."""
        for window, record in (*self.counted, *self.borrowed):
            window.renew(record, now)

    def release(self, now: float, used_tokens: int) -> None:
        """The call has ended having used this many tokens. Once: a repeat changes nothing."""
        if self.released:
            return
        self.released = True
        for meters in self.taken:
            meters.in_flight -= 1
        for window, record in self.borrowed:
            window.give_back(record, used_tokens, now)
        if self.left is not None:
            self.left(used_tokens)


NO_TICKET = Ticket()
"""Nothing was taken. Shared, so nothing may be: whoever takes makes a ticket of its own."""


def room(meters: Meters, now: float) -> Room:
    """How much of the nearest request window is left."""
    rates = meters.rates
    window = meters.second if rates.requests_per_second or not rates.requests_per_minute else meters.minute
    if not window.limit:
        return Room(0, 0, 0.0)
    window.wait_s(now)  # lets what is over expire
    reset = window.admitted[0][0] + window.span_s - now if window.admitted else 0.0
    return Room(window.limit, max(window.limit - window.used, 0), max(reset, 0.0))


def requests_wait(scopes: Sequence[tuple[Scope, Meters]], now: float) -> Refused | None:
    """Whether every scope admits one call more now; nothing is taken. The first limit that says no, in the order given,
    is named."""
    for scope, meters in scopes:
        rates = meters.rates
        if rates.concurrent and meters.in_flight + meters.elsewhere >= rates.concurrent:
            return Refused(scope, "concurrent", 1.0)
        for name, limit, window in (
            ("requests_per_second", rates.requests_per_second, meters.second),
            ("requests_per_minute", rates.requests_per_minute, meters.minute),
        ):
            if limit and (wait := window.wait_s(now)) > 0:
                return Refused(scope, name, wait)
    return None


def take_requests(scopes: Sequence[tuple[Scope, Meters]], now: float, ticket: Ticket) -> Refused | None:
    """Admit one call in every scope, or in none."""
    if refused := requests_wait(scopes, now):
        return refused
    for _, meters in scopes:
        if meters.rates.requests_per_second:
            ticket.counted.append((meters.second, meters.second.add(now)))
        if meters.rates.requests_per_minute:
            ticket.counted.append((meters.minute, meters.minute.add(now)))
        meters.in_flight += 1
        ticket.taken.append(meters)
    return None


def tokens_wait(scopes: Sequence[tuple[Scope, Meters]], now: float, estimate: int) -> Refused | None:
    """Whether every token window has room for `estimate` more tokens."""
    for scope, meters in scopes:
        if meters.rates.tokens_per_minute and (wait := meters.tokens.wait_s(now, estimate)) > 0:
            return Refused(scope, "tokens_per_minute", wait)
    return None


class Limits:
    """All meters of this process. `rates_for(scope, name)` gives a scope's limits, from key's plan, account or
    model. Windows are longer than they are called by `stretch`, where the clock that counts is not the one that times
    are given by."""

    def __init__(self, rates_for: RatesFor) -> None:
        self.rates_for = rates_for
        self.stretch = 1.0
        self._meters: dict[tuple[Scope, Name], Meters] = {}
        self._scopes: dict[tuple[tuple[Scope, Name], ...], list[tuple[Scope, Meters]]] = {}

    def scopes(self, *places: tuple[Scope, Name]) -> list[tuple[Scope, Meters]]:
        """The meters of those places that have any limit."""
        found = self._scopes.get(places)
        if found is None:
            found = self._scopes[places] = [
                (place[0], meters) for place in places if (meters := self.meters(*place)).limited
            ]
        return found

    def meters(self, scope: Scope, name: Name) -> Meters:
        found = self._meters.get((scope, name))
        if found is None:
            found = self._meters[scope, name] = Meters(self.rates_for(scope, name), (scope, name), self.stretch)
        return found

    def adopt(self) -> None:
        """What `rates_for` says has changed. Calls in flight and what the windows have counted stay counted."""
        for place, meters in self._meters.items():
            meters.adopt(self.rates_for(*place))
        self._scopes.clear()

    def renew(self, scope: Scope, name: Name) -> None:
        """What `rates_for` says of one place has changed: as adopt."""
        if (meters := self._meters.get((scope, name))) is not None:
            meters.adopt(self.rates_for(scope, name))
        self._scopes.clear()

    def forget_idle(self, now: float) -> None:
        """Drop meters that count nothing any more: memory follows the keys in use, not all keys ever seen."""
        for place in [place for place, meters in self._meters.items() if meters.idle(now)]:
            del self._meters[place]
        self._scopes.clear()
