"""How often something may be tried: so many times in a sliding span, for each name of it. Pure.

What is kept is bounded: past KEPT names the ones that were tried the longest ago are forgotten, which lets a stranger
with very many addresses try a little more, and never binds anybody else.
"""

from collections import OrderedDict, deque
from collections.abc import Hashable

from ftgate.core import addresses

KEPT = 100_000


class Throttle:
    """`limit` tries in `span_s` seconds, for each key. Times are a monotonic clock's, in seconds."""

    def __init__(self, limit: int, span_s: float) -> None:
        assert limit >= 1 and span_s > 0
        self.limit = limit
        self.span_s = span_s
        self._tries: OrderedDict[Hashable, deque[float]] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Throttle {self.limit} in {self.span_s:g} s, {len(self._tries)} names>"

    def wait_s(self, key: Hashable, now: float) -> float | None:
        """For how many seconds no more is let through; None where one more may be tried."""
        tries = self._recent(key, now)
        return tries[0] + self.span_s - now if tries is not None and len(tries) >= self.limit else None

    def add(self, key: Hashable, now: float) -> None:
        """One try. Of those that are refused none need be added: they would only make it longer."""
        tries = self._recent(key, now)
        if tries is None:
            tries = self._tries[key] = deque()
            if len(self._tries) > KEPT:
                self._tries.popitem(last=False)
        tries.append(now)
        self._tries.move_to_end(key)

    def take_back(self, key: Hashable, at: float) -> None:
        """The try that was added at this time does not count."""
        if (tries := self._tries.get(key)) is not None and at in tries:
            tries.remove(at)
            if not tries:
                del self._tries[key]

    def clear(self, key: Hashable) -> None:
        """None of its tries count any more."""
        self._tries.pop(key, None)

    def _recent(self, key: Hashable, now: float) -> deque[float] | None:
        tries = self._tries.get(key)
        if tries is None:
            return None
        while tries and tries[0] <= now - self.span_s:
            tries.popleft()
        if not tries:
            del self._tries[key]
            return None
        return tries


def neighbourhood(address: str) -> str:
    """What one person is likely to hold of addresses: an IPv4 address, or an IPv6 network of 64 bits."""
    found = addresses.parse(address)
    if found is None or found.version == 4:
        return address
    return f"{int(found) >> 64:x}::/64"
