"""How many connections are open from each place, so that one cannot take all there are."""

import logging
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Protocol

import trio

from ftgate.core import addresses
from ftgate.core.throttle import neighbourhood
from ftgate.ports.settings import DoorSettings, SiteSettings

log = logging.getLogger("ftgate.door")


class Settings(Protocol):
    """What is in force now."""

    @property
    def doors(self) -> DoorSettings: ...
    @property
    def site(self) -> SiteSettings: ...


class Crowd:
    """A place is an IPv4 address or an IPv6 network of 64 bits. Trusted proxies speak for many, and have no limit."""

    def __init__(self, live: Settings) -> None:
        self.live = live
        self.open: Counter[str] = Counter()
        self._told: set[str] = set()

    def __repr__(self) -> str:
        return f"<Crowd of {self.open.total()} connections from {len(self.open)} places>"

    def admit(self, stream: trio.SocketStream) -> Callable[[], None] | None:
        """What to call when the connection has ended; None where it is one too many from its place."""
        try:
            address = str(stream.socket.getpeername()[0])
        except OSError:  # gone already: serving it ends at once
            return lambda: None
        place, most = neighbourhood(address), self.live.doors.connections_per_address
        if most and self.open[place] >= most and not self._trusted(address):
            if place not in self._told:
                log.warning("more than %d connections from %s, its newest are closed", most, place)
            self._told.add(place)
            return None
        self.open[place] += 1
        return partial(self._ended, place)

    def _trusted(self, address: str) -> bool:
        return addresses.within(addresses.parse(address), self.live.site.trusted_proxies)

    def _ended(self, place: str) -> None:
        self.open[place] -= 1
        if not self.open[place]:
            del self.open[place]
            self._told.discard(place)
