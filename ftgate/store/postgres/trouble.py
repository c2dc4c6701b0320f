"""What keeps a lane from taking turns: what of it is waited out, what the log says of it, since when all is well."""

import logging
from math import inf

import trio

from ftgate.store.database import DatabaseFault
from ftgate.store.postgres.connection import SettingRefused
from ftgate.store.postgres.wire import Rejected

log = logging.getLogger("ftgate.store")

TROUBLE_S = 2.0
"""Without a turn for so long, calls are refused before they wait."""
LOCKED = "55P03"
TOO_LONG = frozenset({LOCKED, "57014"})
"""SQLSTATEs of limits of time."""
RETRIED = frozenset({LOCKED, "40001", "40P01", "25006"})
"""SQLSTATEs after which the same can come in later: locks and time limits, a server that only reads just now."""
RETRIED_CLASSES = frozenset({"53", "57", "58"})
"""And those that begin so: no room on its disk or in its memory, too many connections, an operator's doing, a system
that fails it."""
MOST_REFUSED = 3
"""Other refusals in a row after which nothing that was decided can be written: the process must end."""


class Trouble:
    """`words` say what it is, None while all is well; `since` is the time of the last turn that was whole, `steady`
    since when there was no trouble. `locked_out`: somebody has had the head for too long."""

    def __init__(self) -> None:
        self.words: str | None = None
        self.since = trio.current_time()
        self.steady = inf
        self.locked_out = False
        self._refused = 0
        self._unfit: str | None = None  # how a server was refused that is no good for a lane, as told last

    def over(self) -> None:
        """A turn was whole."""
        self.since = trio.current_time()
        self.steady = min(self.steady, self.since)
        self._refused = 0
        if self.words is not None:
            log.warning("the database takes commits again")
            self.words = self._unfit = None

    def met(self, error: BaseException) -> DatabaseFault | None:
        """A turn did not come in; why none ever will, where that is so."""
        state = error.state if isinstance(error, Rejected) else ""
        if state and not (state in RETRIED or state[:2] in RETRIED_CLASSES):
            self._refused += 1
            if self._refused >= MOST_REFUSED:
                return DatabaseFault(f"it refuses what was decided ({state}: {error})")
        elif state == LOCKED:
            if trio.current_time() - self.since < TROUBLE_S:
                return None  # others are at it
            self.locked_out = True
        self.steady = inf
        unfit = str(error) if isinstance(error, SettingRefused) else self._unfit
        if self.words is None or unfit != self._unfit:
            log.error("the database does not take commits: %s; trying again", error)
        self.words, self._unfit = str(error), unfit
        return None
