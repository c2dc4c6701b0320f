"""An upstream, as the line asks it and as transports are one."""

from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import msgspec

from ftgate.core.routing import Reach

Headers = list[tuple[bytes, bytes]]
"""HTTP headers in order; names in lower case, values without surrounding space."""

HOPS = b"x-ftgate-hops"
"""The header that names the gateways a call has come through (core.hops)."""


class UpstreamRequest(msgspec.Struct, frozen=True, gc=False):
    """One request to an upstream, a POST where nothing else is said. `channel` names the configured way to it, `reach`
    says how it is gone: both together have connections of their own. `brought`: a caller's own key stands in the
    headers, and nobody keeps them."""

    channel: str
    url: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    connect_s: float
    reach: Reach = Reach()
    brought: bool = False
    method: bytes = b"POST"


class Answer(Protocol):
    """An upstream's answer whose head has come."""

    status: int
    headers: Headers
    whole: bytes | None
    """The body, where all of it came with the head; receive() need not be called then. None where it is to be
    received."""

    async def receive(self) -> bytes:
        """The next piece of the body as it came, b"" once at its clean end. Raises errors.UpstreamFailed when cut."""
        ...

    async def pump(self, take: Callable[[bytes], bool]) -> bool:
        """Give each piece of the body to `take` as it comes, without waking the caller, until that says False or there
        is something else to be known, which receive() then tells. False where this cannot be done: nothing was taken.
        Raises errors.UpstreamFailed when cut."""
        ...

    async def aclose(self) -> None:
        """Give the connection back when the body was read to its end, else close it at once. Not interrupted by a
        cancellation, which must not lose an answer that has come whole; so it waits for nothing that can take long."""
        ...


class Begun(Protocol):
    """A request that has been sent as far as that needed no waiting. Either `word` returns its answer, or `open` is
    called."""

    async def word(self, until: float) -> Answer | None:
        """The answer, if what comes first is all of it; waited for until `until` (trio.current_time), or a little
        longer, at most. Raises errors.UpstreamFailed; then, and when cancelled, it is over."""
        ...

    def lower(self, until: float) -> None:
        """Let the wait in `word` end at this time at the latest."""
        ...

    def wake(self) -> None:
        """Let the wait in `word` end now."""
        ...

    def open(self) -> Coroutine[Any, Any, Answer]:
        """Go on as Upstream.open does."""
        ...


class Sending:
    """Filled by the transport while it opens: whether any byte of the request may have gone up. It outlives a cancelled
    open, which is when the gate must know."""

    __slots__ = ("sent",)

    def __init__(self) -> None:
        self.sent = False


class Upstream(Protocol):
    """How HTTP goes out (a transport)."""

    def begin(self, request: UpstreamRequest, sending: "Sending", now: float) -> Begun | None:
        """Begin to send `request`, where that needs no waiting: a short answer can then be had without a cancel scope
        around the wait for it, which costs more than the wait. `now` is trio.current_time. None where it must be
        opened. Raises errors.UpstreamFailed."""
        ...

    def open(self, request: UpstreamRequest, sending: "Sending | None" = None) -> Coroutine[Any, Any, Answer]:
        """Send `request` and wait for the response head. Only the connect limit is the transport's; every other time
        limit is a cancel scope of the gate's. Raises errors.UpstreamFailed. A cancelled call leaves no connection
        behind."""
        ...
