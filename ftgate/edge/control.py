"""The control socket: how the command line reaches a running server.

A Unix socket with mode 0600 in the data directory. One request is one line of JSON, {"command", "arguments"}; one answer is one
line, {"result"} or {"error"}. Who may open the file may do everything: it is the operator's own door.
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

log = logging.getLogger("ftgate.control")

MAX_LINE = 1024 * 1024
IDLE_S = 30.0

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
    except TypeError as error:
        log.exception("control command %s", command)
        return {"error": f"the command {command!r} was called wrongly: {error}"}


async def _serve_one(commands: Commands, stream: trio.SocketStream) -> None:
    try:
        with trio.move_on_after(IDLE_S):
            line = b""
            while not line.endswith(b"\n"):
                data = await stream.receive_some(65_536)
                if not data or len(line) > MAX_LINE:
                    return
                line += data
            request = json.loads(line)
            answer = await perform(commands, request["command"], request.get("arguments", {}))
            await stream.send_all(json.dumps(answer).encode() + b"\n")
    except (trio.BrokenResourceError, trio.ClosedResourceError, ValueError, KeyError) as error:
        log.warning("control connection: %s", type(error).__name__)
    except Exception:  # one bad command must not end the server
        log.exception("control connection")
    finally:
        await trio.aclose_forcefully(stream)


async def serve(path: Path, commands: Commands, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    """Answer commands until cancelled. A socket file left by a crash is replaced: the data directory's lock is ours."""
    path.unlink(missing_ok=True)
    listener = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        await listener.bind(str(path))
    finally:
        os.umask(before)
    listener.listen(16)
    try:
        async with trio.open_nursery() as nursery:
            task_status.started()
            await trio.serve_listeners(partial(_serve_one, commands), [trio.SocketListener(listener)], handler_nursery=nursery)
    finally:
        listener.close()
        path.unlink(missing_ok=True)
