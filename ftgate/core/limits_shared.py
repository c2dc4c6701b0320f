"""Rate limits that several gateways keep together: of keys and accounts, exact by the database's clock.

Every gateway has the windows of core.limits, and in them also what the others have admitted, as their turns tell it.
So what one gateway has seen itself is refused without asking anybody. What it lets in is *confirmed* in the turn of the
call's hold, when all that was admitted before is known: where a window has become too full by others meanwhile, the
call is refused after all. A call counts from its turn on, by the clock that was read under the lock.

What is told: of a hold its ref, its time, its places with the tokens it borrows, and again where it comes to a place
later (a model); where it leaves one before its end, that with the tokens used; of its end the ref and the tokens used.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from ftgate.core.limits import Limits, Meters, Name, Refused, Scope, Ticket, Window

Told = list[Any]
"""["h", ref, at_us, [[scope, name, tokens], ...]], ["l", ref, tokens, [[scope, name], ...]] or ["e", ref, tokens]."""
STRETCH = 1.0005
"""Of windows: seconds of the database and of a gateway differ by less than this, also while a clock is being set
right by degrees (which is at most 500 parts in a million)."""
MOST_OPEN = 100_000
"""Calls of others that may be in flight; of more the oldest are forgotten."""


class SharedLimits:
    """`now()` is the clock that `limits` goes by, in seconds; `local_s(at_us)` a time of the database by that clock."""

    def __init__(self, limits: Limits, now: Callable[[], float], local_s: Callable[[int], float]) -> None:
        self.limits = limits
        limits.stretch = STRETCH
        self.now = now
        self.local_s = local_s
        self._told: list[Told] = []
        self._elsewhere: dict[str, list[tuple[Meters, list[float] | None]]] = {}  # calls of others that are in flight

    def confirm(self, ticket: Ticket, now: float) -> Refused | None:
        """Whether a call that this gateway has let in stays so; what it took is given back where not. In its turn."""
        if ticket.released:  # refused before, in a turn that did not come in
            return Refused(ticket.taken[0].place[0], "concurrent", 1.0) if ticket.taken else None
        ticket.count_from(now)  # first: it may have waited for its turn for longer than a window is
        for meters in ticket.taken:
            if refused := _too_full(meters, ticket, now):
                ticket.withdraw()
                return refused
        return None

    def held(self, ref: str, ticket: Ticket, at_us: int) -> None:
        """A confirmed call has its hold, or comes to one place more: told to the others with the turn."""
        if ticket.taken:
            self._told.append(["h", ref, at_us, [[*meters.place, ticket.borrows(meters)] for meters in ticket.taken]])

    def left(self, ref: str, ticket: Ticket, tokens: int) -> None:
        """A call that goes on has left these places."""
        self._told.append(["l", ref, tokens, [[*meters.place] for meters in ticket.taken]])

    def ended(self, ref: str, tokens: int) -> None:
        """A call has ended, here or, where its gateway died, elsewhere."""
        self._told.append(["e", ref, tokens])
        self._end(ref, tokens)

    def told(self) -> list[Told]:
        """What the others must hear of this turn."""
        told, self._told = self._told, []
        return told

    def hear(self, said: Sequence[Told]) -> None:
        """What a turn of another gateway has told."""
        for kind, ref, *rest in said:
            if kind == "e":
                self._end(ref, rest[0])
            elif kind == "l":
                self._leave(ref, *rest)
            else:
                self._hold(ref, *rest)

    def keep(self, refs: Collection[str]) -> None:
        """Only these calls are open anywhere: memory was read anew, past what was told meanwhile."""
        for ref in self._elsewhere.keys() - set(refs):
            self._end(ref, 0)

    def _hold(self, ref: str, at_us: int, places: Sequence[tuple[Scope, Name, int]]) -> None:
        at = self.local_s(at_us)
        taken = self._elsewhere.pop(ref, [])
        for scope, name, tokens in places:
            meters = self.limits.meters(scope, name)
            if any(meters is there for there, _ in taken):  # told twice
                continue
            rates = meters.rates
            if rates.requests_per_second:
                meters.second.add(at)
            if rates.requests_per_minute:
                meters.minute.add(at)
            taken.append((meters, meters.tokens.add(at, tokens) if tokens and rates.tokens_per_minute else None))
            meters.elsewhere += 1
        if len(self._elsewhere) >= MOST_OPEN:
            self._end(next(iter(self._elsewhere)), 0)
        self._elsewhere[ref] = taken

    def _leave(self, ref: str, tokens: int, places: Sequence[tuple[Scope, Name]]) -> None:
        left = {self.limits.meters(scope, name) for scope, name in places}
        taken = self._elsewhere.get(ref, [])
        self._give_back([one for one in taken if one[0] in left], tokens)
        taken[:] = [one for one in taken if one[0] not in left]

    def _end(self, ref: str, tokens: int) -> None:
        self._give_back(self._elsewhere.pop(ref, ()), tokens)

    def _give_back(self, taken: Iterable[tuple[Meters, list[float] | None]], tokens: int) -> None:
        now = self.now()
        for meters, record in taken:
            meters.elsewhere -= 1
            if record is not None:
                meters.tokens.give_back(record, tokens, now)


def _too_full(meters: Meters, ticket: Ticket, now: float) -> Refused | None:
    rates, scope = meters.rates, meters.place[0]
    if rates.concurrent and meters.in_flight + meters.elsewhere > rates.concurrent:
        return Refused(scope, "concurrent", 1.0)
    windows: tuple[tuple[str, int, Window, int], ...] = (
        ("requests_per_second", rates.requests_per_second, meters.second, 1),
        ("requests_per_minute", rates.requests_per_minute, meters.minute, 1),
        ("tokens_per_minute", rates.tokens_per_minute, meters.tokens, ticket.borrows(meters)),
    )
    for name, limit, window, own in windows:
        window.wait_s(now, 0)  # lets what is over expire
        # One alone is let in whatever it weighs (core.limits).
        if limit and own and window.used - own + min(own, limit) > limit:
            return Refused(scope, name, max(window.wait_s(now, own), 0.001))
    return None
