"""The control socket: how the command line reaches a running server.

A Unix socket with mode 0600 in the data directory. One request is one line of JSON, {"command", "arguments"}; one
answer is one line, {"result"} or {"error"}. Who may open the file may do everything: it is the operator's own door.
"""

import json
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import trio

from ftgate.errors import GateError
from ftgate.store.database import DatabaseFault

log = logging.getLogger("ftgate.control")

MAX_LINE = 1024 * 1024
IDLE_S = 30.0
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


async def _answer(commands: Commands, stream: trio.SocketStream) -> dict[str, Any] | None:
    try:
        line = await _read_line(stream)
        if line is None:
            return None
        request = json.loads(line)
        command, arguments = str(request["command"]), dict(request.get("arguments") or {})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return {"error": f'not a command, one line of JSON like {{"command", "arguments"}}: {error}'}
    return await perform(commands, command, arguments)


async def _serve_one(commands: Commands, stream: trio.SocketStream) -> None:
    try:
        answer = await _answer(commands, stream)
        if answer is not None:
            with trio.move_on_after(IDLE_S):
                await stream.send_all(json.dumps(answer).encode() + b"\n")
    except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
        log.warning("control connection: %s", type(error).__name__)
    except Exception:  # one bad command must not end the server
        log.exception("control connection")
    finally:
        await trio.aclose_forcefully(stream)


async def serve(
    path: Path, commands: Commands, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Answer commands until cancelled. A socket file left by a crash is replaced: the data directory's lock is ours."""
    path.unlink(missing_ok=True)
    bare = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        before = os.umask(
            0o177
        )  # of the whole process, so nothing may run in between: trio's own bind would hand over to a thread
        try:
            bare.bind(str(path))
        finally:
            os.umask(before)
        bare.listen(BACKLOG)
        listener = trio.socket.from_stdlib_socket(bare)
        async with trio.open_nursery() as nursery:
            task_status.started()
            await trio.serve_listeners(
                partial(_serve_one, commands), [trio.SocketListener(listener)], handler_nursery=nursery
            )
    finally:
        bare.close()
        path.unlink(missing_ok=True)
