"""How a command reaches the data: through the running server's control socket, or by opening the data directory
itself."""

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ftgate import config
from ftgate.errors import ConfigFaults

TIMEOUT_S = 30.0


class Unanswered(click.ClickException):
    """A command that has reached the server and was not answered: whether it was done is not known."""


def places(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options every command has: --config and --data."""
    function = click.option(
        "--data",
        "data",
        type=click.Path(path_type=Path, file_okay=False),
        envvar="FTGATE_DATA",
        help="The data directory.",
    )(function)
    return click.option(
        "--config",
        "config_path",
        type=click.Path(path_type=Path),
        help="The config file. [default: FTGATE_CONFIG, ./ftgate.toml]",
    )(function)


def load(config_path: Path | None) -> config.Settings:
    """The settings of the given or default config. Raises click.ClickException with every fault."""
    path = config_path or config.default_path()
    try:
        return config.load(path, os.environ) if path else config.from_environment(os.environ, None)
    except ConfigFaults as faulty:
        raise click.ClickException("\n".join(faulty.faults)) from None


def data_dir(settings: config.Settings, data: Path | None) -> Path:
    return (data or settings.server.data_dir).resolve()


def run(config_path: Path | None, data: Path | None, command: str, **arguments: Any) -> Any:
    """Do one command and return its result. Raises click.ClickException with the server's own words."""
    from ftgate.house.lock import holder

    settings = load(config_path)
    place = data_dir(settings, data)
    held = holder(place)
    answer = (
        _offline(settings, place, command, arguments)
        if held is None
        else _ask(held.socket, held.pid, command, arguments)
    )
    if "error" in answer:
        raise click.ClickException(answer["error"])
    return answer["result"]


def _ask(path: Path | None, pid: int | None, command: str, arguments: dict[str, Any]) -> dict[str, Any]:
    if path is None:
        raise click.ClickException(
            f"the data directory is in use by process {pid}, which takes no commands; try again when it has ended"
        )
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as wire:
            wire.settimeout(TIMEOUT_S)
            wire.connect(str(path))
            wire.sendall(json.dumps({"command": command, "arguments": arguments}).encode() + b"\n")
            return _answer(wire, f"the server (process {pid}) did not answer on {path}")
    except OSError as error:  # a command is a line: one that was not sent whole is not done
        raise click.ClickException(
            f"the server (process {pid}) takes no commands on {path}: {error}. Nothing was changed."
        ) from None


def _answer(wire: socket.socket, silent: str) -> dict[str, Any]:
    """The one line that comes back. Raises Unanswered, in the words `silent`."""
    answer = b""
    try:
        while not answer.endswith(b"\n"):
            data = wire.recv(65_536)
            if not data:
                raise Unanswered(f"{silent}: it closed the connection")
            answer += data
        said: dict[str, Any] = json.loads(answer)
        return said
    except (OSError, ValueError) as error:
        raise Unanswered(f"{silent}: {error}") from None


def _offline(settings: config.Settings, place: Path, command: str, arguments: dict[str, Any]) -> dict[str, Any]:
    import trio

    from ftgate import app
    from ftgate.house.lock import Locked
    from ftgate.store.database import DatabaseFault

    try:
        return trio.run(app.command, settings, place, command, arguments)
    except (DatabaseFault, Locked, OSError) as error:
        raise click.ClickException(str(error)) from None


def database(config_path: Path | None, data: Path | None) -> Path:
    """The database file, made if it is not there, for commands that only read. A running server is not disturbed."""
    from ftgate.house.house import DATABASE

    place = data_dir(load(config_path), data)
    if not (place / DATABASE).exists():
        run(config_path, data, "users.list")  # opens, and so makes, the data directory
    return place / DATABASE
