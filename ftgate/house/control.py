"""The control socket: how the command line reaches a running server.

A Unix socket with mode 0600 in the data directory. One request is one line of JSON, {"command", "arguments"}; one
answer is one line, {"result"} or {"error"}. Who may open the file may do everything: it is the operator's own door.
"""

import json
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import trio

from ftgate.errors import GateError, ShuttingDown
from ftgate.house.lock import Lock
from ftgate.store.database import DatabaseFault

log = logging.getLogger("ftgate.control")

MAX_LINE = 1024 * 1024
IDLE_S = 30.0
DONE_S = 5.0
"""Seconds that a command which has come whole has to be done and answered once the server stops."""
BACKLOG = 128
"""Connections that may wait to be taken: past it a Unix socket's connect fails at once, and scripts run many commands
in parallel."""

Commands = Mapping[str, Callable[..., Awaitable[Any]]]


async def perform(commands: Commands, command: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Run one command; its failure is an answer, not an exception."""
    function = commands.get(command)
    if function is None:
        return {"error": f"this server does not know the command {command!r}; it may be another version"}
    try:
        return {"result": await function(**arguments)}
    except GateError as error:
        return {"error": error.message, "code": error.code}
    except DatabaseFault as fault:
        return {"error": str(fault)}
    except Exception as error:  # one bad command must not end the server
        log.exception("control command %s", command)
        return {"error": f"the command {command!r} failed: {type(error).__name__}: {error}"}


async def _read_line(stream: trio.SocketStream) -> bytes | None:
    """One line; None when the peer left or idled before it was whole. Raises ValueError for one without an end."""
    line = b""
    with trio.move_on_after(IDLE_S):
        while not line.endswith(b"\n"):
            if len(line) > MAX_LINE:
                raise ValueError("a command is at most 1 MB")
            data = await stream.receive_some(65_536)
            if not data:
                return None
            line += data
        return line
    return None


async def _answer(commands: Commands, line: bytes) -> dict[str, Any]:
    try:
        request = json.loads(line)
        command, arguments = str(request["command"]), dict(request.get("arguments") or {})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return _no_command(error)
    return await perform(commands, command, arguments)


def _no_command(error: Exception) -> dict[str, Any]:
    return {"error": f'not a command, one line of JSON like {{"command", "arguments"}}: {error}'}


def _written(answer: dict[str, Any]) -> bytes:
    return json.dumps(answer).encode() + b"\n"


_STOPPING = _written({"error": "the server is stopping; nothing was done", "code": ShuttingDown.code})
"""To a command that came too late to be done: it can be asked again, of whoever holds the directory then."""


class _Desk:
    """Takes commands from connections. What has come whole is done and answered, also while the server stops."""

    def __init__(self, commands: Commands) -> None:
        self.commands = commands
        self.at_work: set[trio.CancelScope] = set()

    async def take(self, stream: trio.SocketStream) -> None:
        """One connection, to its end."""
        try:
            await self._take(stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            log.warning("control connection: %s", type(error).__name__)
        except Exception:  # one bad command must not end the server
            log.exception("control connection")
        finally:
            await trio.aclose_forcefully(stream)

    async def _take(self, stream: trio.SocketStream) -> None:
        try:
            line = await _read_line(stream)
        except ValueError as error:
            await stream.send_all(_written(_no_command(error)))
            return
        except trio.Cancelled:
            with suppress(OSError):
                os.write(stream.socket.fileno(), _STOPPING)  # now or never: it fits
            raise
        if line is None:
            return
        with trio.CancelScope(shield=True) as scope:
            self.at_work.add(scope)
            try:
                answer = await _answer(self.commands, line)
                with trio.move_on_after(IDLE_S):
                    await stream.send_all(_written(answer))
            finally:
                self.at_work.discard(scope)

    def stop(self, bare: socket.socket) -> None:
        """Nothing new: who stands in the queue is sent away, what is being done has DONE_S left."""
        for scope in self.at_work:
            scope.deadline = trio.current_time() + DONE_S
        with suppress(OSError):  # the queue is empty
            while True:
                with bare.accept()[0] as late, suppress(OSError):
                    late.send(_STOPPING)


def bound(lock: Lock) -> socket.socket:
    """The control socket, listening; elsewhere where the data directory takes none (a shared folder of a virtual
    machine, say). Raises OSError."""
    assert lock.socket is not None
    try:
        return _bound(lock.socket)
    except OSError as refused:
        if lock.made is not None:
            raise
        try:
            return _bound(lock.move_socket())
        except OSError as again:
            where = f"{refused.strerror} in the data directory, {again.strerror} in {lock.made or 'TMPDIR'}"
            raise OSError(again.errno, f"no control socket can be made: {where}") from again


def _bound(path: Path) -> socket.socket:
    """A listening socket that only this user can open. A file left by a crash is replaced. Raises OSError."""
    path.unlink(missing_ok=True)
    bare = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # The mask is the whole process's, so nothing may run in between: trio's own bind would hand over to a thread.
    before = os.umask(0o177)
    try:
        bare.bind(str(path))
        bare.listen(BACKLOG)
    except BaseException:
        bare.close()
        raise
    finally:
        os.umask(before)
    return bare


async def serve(
    bare: socket.socket, commands: Commands, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Answer commands at this socket (see bound) until cancelled; then it is closed and its file gone."""
    path = Path(bare.getsockname())
    desk = _Desk(commands)
    # Trio closes its own copy the moment it is cancelled, and the queue must still be emptied then.
    listener = trio.SocketListener(trio.socket.from_stdlib_socket(bare.dup()))
    try:
        async with trio.open_nursery() as nursery:
            task_status.started()
            try:
                await trio.serve_listeners(desk.take, [listener], handler_nursery=nursery)
            finally:
                path.unlink(missing_ok=True)
                desk.stop(bare)
    finally:
        bare.close()
