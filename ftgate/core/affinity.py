"""Where a conversation was answered last, so that it goes there again and finds its upstream's cache warm.

It is a wish, not a rule: health, limits and money come first, and so does a better priority. Pure: times are given, and
what a conversation is known by is a digest.
"""

from collections import OrderedDict
from collections.abc import Iterable
from hashlib import blake2b

import msgspec

from ftgate.core.routing import Candidate, Channel
from ftgate.core.secret import Secret

IDLE_S = 300.0
"""Seconds after which nothing is left of a conversation upstream: providers keep their caches about five minutes."""
KEPT = 10_000
"""Conversations that are remembered; past it the one that was heard of longest ago goes."""

Kept = bytes
"""A conversation's digest."""


class Place(msgspec.Struct, frozen=True, gc=False):
    """Where it was answered, and when (seconds)."""

    channel: str
    credential: Secret
    at: float


def digest(caller: int, model: str, said: bytes) -> Kept:
    """Of a conversation: whose key, which model, and what it is known by. No two callers share one."""
    return blake2b(b"%d\0%b\0%b" % (caller, model.encode(errors="replace"), said), digest_size=16).digest()


class Affinity:
    """All conversations of this process."""

    def __init__(self) -> None:
        self.places: OrderedDict[Kept, Place] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Affinity of {len(self.places)} conversations>"

    def answered(self, kept: Kept, way: Candidate, now: float) -> None:
        """It was answered there."""
        self.places[kept] = Place(way.channel.name, way.credential, now)
        self.places.move_to_end(kept)
        if len(self.places) > KEPT:
            self.places.popitem(last=False)

    def adopt(self, channels: Iterable[Channel]) -> None:
        """Only these channels are there now, with these keys: no other key is kept."""
        there = {(channel.name, credential) for channel in channels for credential in channel.credentials}
        gone = [kept for kept, place in self.places.items() if (place.channel, place.credential) not in there]
        for kept in gone:
            del self.places[kept]

    def warm(self, kept: Kept, ways: tuple[Candidate, ...], now: float) -> tuple[Candidate, ...]:
        """The candidates with the one that answered it last in front, if that is among those that come first anyhow:
        the same model, at a channel of the same priority."""
        place = self.places.get(kept)
        if place is None or place.at <= now - IDLE_S or not ways:
            return ways
        first = ways[0]
        for at, way in enumerate(ways):
            if way.model.name != first.model.name or way.channel.priority != first.channel.priority:
                break
            if way.channel.name == place.channel and way.credential == place.credential:
                return (way, *ways[:at], *ways[at + 1 :])
        return ways
