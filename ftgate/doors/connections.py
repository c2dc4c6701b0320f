"""What both doors share around a connection: the accept loop, how a connection's faults are told, and the words of
ASGI."""

import errno
import logging
import struct
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import trio

log = logging.getLogger("ftgate.door")

WRITE_SLICE = 65_536
"""The write limit starts anew for each slice, so that a big answer to a slow but living reader is not cut."""
MAX_RECEIVE = 65_536
LINGER_S = 1.0
"""How long what still comes is taken after an early answer: closing with unread bytes would destroy it."""
STALLED = "request %s: the client has not read for %g s and is dropped"
MAX_HEADERS = 128
ACCEPT_RETRY_S = 0.1
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER's value for a close that resets."""
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]
"""An ASGI application, as both doors call it."""
Admit = Callable[[trio.SocketStream], Callable[[], None] | None]
"""Whether an accepted connection may be served: what to call when it has ended, or None."""
CANCELLATIONS = (trio.Cancelled, KeyboardInterrupt, GeneratorExit)


def everybody(stream: trio.SocketStream) -> Callable[[], None]:
    return lambda: None


async def accept(
    listener: trio.SocketListener,
    connections: trio.Nursery,
    serve: Callable[[trio.SocketStream], Awaitable[None]],
    admit: Admit = everybody,
) -> None:
    """Serve every connection that comes and is admitted in a task of its own, until cancelled; then the listener is
    closed."""
    failing = False
    async with listener:
        while True:
            try:
                stream = await listener.accept()
            except OSError as error:  # out of file descriptors or memory: others will be given back
                if not failing:
                    log.error(
                        "cannot accept connections (%s), trying on", errno.errorcode.get(error.errno or 0, "OSError")
                    )
                failing = True
                await trio.sleep(ACCEPT_RETRY_S)
            else:
                failing = False
                if (ended := admit(stream)) is None:
                    stream.socket.close()
                else:
                    connections.start_soon(_serve, serve, stream, ended)


async def _serve(
    serve: Callable[[trio.SocketStream], Awaitable[None]], stream: trio.SocketStream, ended: Callable[[], None]
) -> None:
    try:
        await serve(stream)
    finally:
        ended()


def log_faults(where: str, faults: BaseExceptionGroup[BaseException]) -> None:
    """Type and place of each, never its message: that can hold keys."""
    for fault in faults.exceptions:
        if isinstance(fault, BaseExceptionGroup):
            log_faults(where, fault)
        else:
            places = [f"{frame.f_code.co_name}:{line}" for frame, line in traceback.walk_tb(fault.__traceback__)]
            log.error("%s failed: %s in %s", where, type(fault).__name__, places[-1] if places else "a group")
