"""What the calls of this process have come to, for metrics: counted where a call's row is made. Pure: times are given.

Every label is a name of the config, or "(none)" where a call came to no candidate or named a model that only its
provider knows: nothing that a caller wrote makes a new line. One call costs about a microsecond.
"""

from bisect import bisect_left
from typing import Protocol

NONE = "(none)"
BOUNDS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""The upper ends of the buckets of every time; the last bucket has none."""

Place = tuple[str, str, str, str, str, bool]
"""model, provider, channel, status, mode, stream."""


class Used(Protocol):
    """What a call's row says of its use: tokens, and milliseconds."""

    @property
    def prompt_tokens(self) -> int: ...
    @property
    def cached_tokens(self) -> int: ...
    @property
    def completion_tokens(self) -> int: ...
    @property
    def latency_ms(self) -> int: ...
    @property
    def first_token_ms(self) -> int | None: ...


class Times:
    """A histogram of seconds."""

    __slots__ = ("buckets", "sum_s")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BOUNDS_S) + 1)
        self.sum_s = 0.0

    def add(self, seconds: float) -> None:
        self.buckets[bisect_left(BOUNDS_S, seconds)] += 1
        self.sum_s += seconds


class Line:
    """The calls of one place. `cost` in units. `tried` are those whose last attempt ended as they did: these attempts
    are counted by that."""

    __slots__ = ("cached", "calls", "completion", "cost", "first", "prompt", "took", "tried")

    def __init__(self) -> None:
        self.tried = self.calls = self.prompt = self.cached = self.completion = self.cost = 0
        self.took = Times()
        self.first = Times()


class Tally:
    """`attempts` by channel and outcome, but for those that `lines` count; `lost` in units, by reason."""

    def __init__(self) -> None:
        self.lines: dict[Place, Line] = {}
        self.attempts: dict[tuple[str, str], int] = {}
        self.lost: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"<Tally of {sum(line.calls for line in self.lines.values())} calls>"

    def call(self, place: Place, used: Used, cost: int, *, tried: bool = False) -> None:
        """A call has ended; `tried`: with an attempt that is counted with it."""
        line = self.lines.get(place)
        if line is None:
            line = self.lines[place] = Line()
        line.calls += 1
        line.tried += tried
        line.prompt += used.prompt_tokens
        line.cached += used.cached_tokens
        line.completion += used.completion_tokens
        line.cost += cost
        line.took.add(used.latency_ms / 1000)
        if used.first_token_ms is not None:
            line.first.add(used.first_token_ms / 1000)

    def attempt(self, channel: str, outcome: str) -> None:
        """An attempt at a channel has ended."""
        place = channel, outcome
        self.attempts[place] = self.attempts.get(place, 0) + 1

    def all_attempts(self) -> dict[tuple[str, str], int]:
        """By channel and outcome, those that were counted with their calls among them."""
        found = dict(self.attempts)
        for (_, _, channel, status, _, _), line in list(self.lines.items()):
            if line.tried:
                found[channel, status] = found.get((channel, status), 0) + line.tried
        return found

    def loss(self, reason: str, units: int) -> None:
        """So much was used that nobody pays."""
        self.lost[reason] = self.lost.get(reason, 0) + units
