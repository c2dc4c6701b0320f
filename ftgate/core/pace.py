"""How fast upstreams were lately, and how long their answers: what is learned from calls that have ended. Pure: times
are given.

Of each channel with each model the last few calls are kept, and their medians count: one slow call changes nothing,
and one that was slow an hour ago is not slow for ever. It is memory of this process, and costs a call less than two
microseconds.
"""

from collections import deque
from collections.abc import Iterable

import msgspec

KEPT = 15
"""Calls remembered of one place."""
OFTEN_S = 0.05
"""Seconds in which one call of a place that is well known is enough."""
PLACES_KEPT = 10_000
OLD_S = 3600.0
"""Seconds after which nothing is known of a place any more: who was slow gets another chance."""
EXPECTED_OUTPUT = 500
"""Tokens expected of an answer while nothing is known."""
ENOUGH = 3
"""Calls from which their lengths are believed."""

Place = tuple[str, str]
"""A channel's name and a model's."""


class Lately(msgspec.Struct, frozen=True, gc=False):
    """One call that was answered whole: when, seconds to its first token (None where it came all at once), the tokens a
    second from there on (None where they could not be told), and its tokens."""

    at: float
    first_s: float | None
    rate: float | None
    output: int


class Pace:
    """What is known of every place, by the clock that is given."""

    def __init__(self) -> None:
        self.places: dict[Place, deque[Lately]] = {}
        self.lengths: deque[int] = deque(maxlen=KEPT)

    def learn(self, place: Place, now: float, began: float, first_at: float | None, output: int) -> None:
        """A call that began there at `began`, and of which the first token came at `first_at`, has ended."""
        known = self.places.get(place)
        if known is None:
            if len(self.places) >= PLACES_KEPT:
                self.places.clear()
            known = self.places[place] = deque(maxlen=KEPT)
        elif len(known) == KEPT and now - known[-1].at < OFTEN_S:
            return
        since = now - (began if first_at is None else first_at)
        known.append(
            Lately(now, None if first_at is None else first_at - began, output / since if since > 0 else None, output)
        )
        self.lengths.append(output)

    def first_s(self, place: Place, now: float) -> float | None:
        """Seconds to the first token of a stream; None where nobody knows."""
        return _median(call.first_s for call in self._lately(place, now) if call.first_s is not None)

    def seconds(self, place: Place, now: float, tokens: int) -> float | None:
        """Seconds that an answer of so many tokens takes; None where nobody knows."""
        calls = self._lately(place, now)
        streamed = [call for call in calls if call.first_s is not None]
        rate = _median(call.rate for call in streamed or calls if call.rate)
        if rate is None and not streamed:
            return None
        first = _median(call.first_s for call in streamed if call.first_s is not None) or 0.0
        return first + (tokens / rate if rate else 0.0)

    def output(self, place: Place, now: float) -> int:
        """Tokens that an answer there likely has."""
        calls = self._lately(place, now)
        lengths = [call.output for call in calls] if len(calls) >= ENOUGH else list(self.lengths)
        return int(_median(lengths) or 0) if len(lengths) >= ENOUGH else EXPECTED_OUTPUT

    def adopt(self, channels: Iterable[str]) -> None:
        """Only these channels are there now."""
        stay = set(channels)
        self.places = {place: calls for place, calls in self.places.items() if place[0] in stay}

    def _lately(self, place: Place, now: float) -> list[Lately]:
        return [call for call in self.places.get(place, ()) if now - call.at < OLD_S]


def _median(values: Iterable[float | None]) -> float | None:
    found = sorted(value for value in values if value is not None)
    half = len(found) // 2
    return (found[half] + found[~half]) / 2 if found else None
