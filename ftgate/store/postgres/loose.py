"""What depends on nothing: rows and statements that nobody decided in a turn, and that go with the next one.

A statement that the server's limits of time end takes its turn with it, and with that what was decided there, as often
as it is tried. So the batch in which it stands goes aside, whole, since what is in one batch may belong together, and
then in turns of its own, in which each statement has more time. These come seldom, as others wait for the head.
"""

import logging
from math import inf

from ftgate.store.batch import Batch

log = logging.getLogger("ftgate.store")

MOST_LOOSE, MOST_ROWS = 500, 5000
"""Statements, and rows, of one turn that nobody decided in it, and some more where they came together."""
SOON_S, LATER_S = 1.0, 600.0
"""After so long what was set aside is tried, and again where it takes too long even so: others get on meanwhile."""


class Loose:
    """Times are trio's."""

    def __init__(self) -> None:
        self._open = Batch()
        self.aside: list[Batch] = []
        self.slowed = 0
        """How often a statement took too long."""
        self._left: list[Batch] = []  # for which there was no room, and such of a turn that did not come in
        self._due = 0.0  # when one that is aside may be tried

    def size(self) -> int:
        return sum(one.size() for one in self.all())

    def waits(self) -> bool:
        """Whether anything is to go with the next turn."""
        return bool(self._left or self._open.size())

    def all(self) -> list[Batch]:
        return [*self._left, self._open, *self.aside]

    def open(self) -> Batch:
        """The batch to add to. What is added in one go comes in together."""
        if len(self._open.statements) >= MOST_LOOSE or len(self._open.rows) >= MOST_ROWS:
            self._left.append(self._open)
            self._open = Batch()
        return self._open

    def take(self) -> list[Batch]:
        """As far as one turn has room for it, and one in any case: others wait for the head meanwhile."""
        left, room, rows = [*self._left, self._open], MOST_LOOSE, MOST_ROWS
        taken: list[Batch] = []
        while left and (not taken or (len(left[0].statements) <= room and len(left[0].rows) <= rows)):
            taken.append(left.pop(0))
            room -= len(taken[-1].statements)
            rows -= len(taken[-1].rows)
        self._left, self._open = left, Batch()
        return taken

    def due(self, now: float) -> Batch | None:
        """One of those aside whose turn may be now. It stays aside until it is in."""
        return self.aside[0] if self.aside and now >= self._due else None

    def end(self) -> None:
        """The process ends: what is aside is not tried again, since it would hold up the rest."""
        self._due = inf

    def put_back(self, taken: list[Batch]) -> None:
        """The turn with these did not come in."""
        self._left = [*(one for one in taken if one not in self.aside), *self._left]

    def came_in(self, taken: list[Batch]) -> None:
        self.aside = [one for one in self.aside if one not in taken]

    def too_long(self, at: int, taken: list[Batch], now: float) -> None:
        """Of the statements of these batches, one after the other, the one at this place took too long; where it is
        none of them, nothing changes."""
        for one in taken:
            if 0 <= at < len(one.statements):
                break
            at -= len(one.statements)
        else:
            return
        self.slowed += 1
        self._set_aside(one, now)
        sql, _ = one.statements[at]
        then = "" if self._due == inf else f", and is tried again by itself in {self._due - now:g} s"
        log.error("a statement takes too long%s: %s", then, sql)

    def cut_off(self, taken: list[Batch], now: float) -> None:
        """The turn with these did not come in. Their statements may together have taken longer than a trip may, which
        nobody says: they go aside all the same."""
        for one in taken:
            if one.statements:
                self._set_aside(one, now)

    def _set_aside(self, one: Batch, now: float) -> None:
        again = one in self.aside
        self._due = max(self._due, now + (LATER_S if again else SOON_S))
        if again:
            self.aside = [*(other for other in self.aside if other is not one), one]
        else:
            self._left.insert(0, rows := Batch())
            rows.rows, one.rows = one.rows, []
            self.aside.append(one)
