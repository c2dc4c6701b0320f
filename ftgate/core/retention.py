"""How long the rows of calls are kept, and how their deletion gives way. Pure: times are given."""

from math import inf

DAY_US = 86_400_000_000
LEAST, MOST = 25, 500
"""Rows that go in one commit: one millisecond of work and more, ten at the most."""
BUSY_REST_S = 0.2
"""Between two commits while calls are served: their share of the calls that must wait for one is small."""
QUIET_S = 5.0
"""Seconds without another commit after which nobody is held up."""


def kept_from(days: int, now_us: int) -> int:
    """The moment since which a call must have come for its row to stay so long, in microseconds since 1970."""
    return now_us - days * DAY_US


class Pace:
    """How many rows go at a time, and how long it rests then. While others commit, it rests long and takes few: so many
    that for each call that ends meanwhile two old ones go, and what is old grows less however many calls there are.
    While nobody else commits, it goes on soon."""

    def __init__(self) -> None:
        self.piece = LEAST
        self._newest: int | None = None
        self._pieces = 0  # since then
        self._commits: int | None = None
        self._seen_at = -inf

    def __repr__(self) -> str:
        return f"<Pace of {self.piece} rows>"

    def look(self, newest: int) -> None:
        """The row `newest` is the last by now."""
        if self._newest is not None and self._pieces:
            self.piece = min(max(-(-2 * (newest - self._newest) // self._pieces), LEAST), MOST)
        self._newest, self._pieces = newest, 0

    def rest_s(self, now: float, took_s: float, commits: int) -> float:
        """Seconds to rest after a commit of ours that took so long, waiting for the database among it, when there have
        been so many commits of all."""
        self._pieces += 1
        if self._commits is not None and commits - self._commits > 1:
            self._seen_at = now
        self._commits = commits
        return max(BUSY_REST_S, took_s * 15) if now - self._seen_at < QUIET_S else took_s * 2
