"""The time that several gateways have in common: their database's.

Each turn tells it, read under the head's lock. Between asking for it and having it a machine may do other things for a
while, so one answer says only between which two values the difference of the two clocks lies. The difference that was
found holds as long as it lies there: it is not moved by how late an answer came in. So two moments are never nearer to
each other by the database's clock than by this machine's, but where the database's clock itself runs slower.
"""

import time
from collections.abc import Callable

SET_BACK_US = 2_000_000
"""A clock that is wrong by more was set back: times go back with it, as they do with a machine's own clock."""


class TurnClock:
    """ports.Clock by the database's wall clock. `now` is this machine's monotonic clock, in seconds."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.now = now
        self._offset_us = time.time_ns() // 1000 - int(now() * 1e6)
        self._told = False
        self._last_us = 0
        self._still: float | None = None

    def set(self, at_us: int, asked: float) -> None:
        """The database said so, having been asked at `asked` by now()."""
        least, most = at_us - int(self.now() * 1e6), at_us - int(asked * 1e6)
        if not self._told or most < self._offset_us - SET_BACK_US:
            self._offset_us, self._last_us, self._told = least, 0, True
        else:
            self._offset_us = min(max(self._offset_us, least), most)

    def stand(self) -> None:
        """Time stands still until go_on(): what is decided together has one time."""
        self._still = self.now()

    def go_on(self) -> None:
        self._still = None

    def moment(self) -> float:
        """By now(), the moment that wall_us() tells of."""
        return self.now() if self._still is None else self._still

    def wall_us(self) -> int:
        """It never goes back, but where the database's clock was set back."""
        self._last_us = max(self._last_us, int(self.moment() * 1e6) + self._offset_us)
        return self._last_us

    def local_s(self, at_us: int) -> float:
        """A time of the database that is over, by now()."""
        return min((at_us - self._offset_us) / 1e6, self.moment())
