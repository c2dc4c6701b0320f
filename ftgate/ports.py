"""The seams between the gate and the world, as small Protocols.

The gate is given one object for each of these by app.py, the only composer. Nothing here says memory, SQLite or httpx, so
that another edge (a PostgreSQL ledger, a faster transport) can stand in without the gate noticing.
"""

from typing import Protocol

import msgspec

Headers = list[tuple[bytes, bytes]]
"""HTTP headers in order; names in lower case, values without surrounding space."""


class UpstreamRequest(msgspec.Struct, frozen=True, gc=False):
    """One POST to an upstream. `channel` names the configured way to it, whose pool and TLS settings are used."""

    channel: str
    url: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    connect_s: float


class Answer(Protocol):
    """An upstream's answer whose head has come."""

    status: int
    headers: Headers

    async def receive(self) -> bytes:
        """The next piece of the body as it came, b"" once at its clean end. Raises errors.UpstreamFailed when cut."""
        ...

    async def aclose(self) -> None:
        """Give the connection back when the body was read to its end, else close it at once. Safe under cancellation."""
        ...


class Upstream(Protocol):
    """How HTTP goes out (a transport)."""

    async def open(self, request: UpstreamRequest) -> Answer:
        """Send `request` and wait for the response head. Only the connect limit is the transport's; every other time limit
        is a cancel scope of the gate's. Raises errors.UpstreamFailed. A cancelled call leaves no connection behind."""
        ...
