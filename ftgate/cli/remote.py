"""How a command reaches the data: through the running server's control socket, or by opening the data directory
itself."""

import json
import os
import socket
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ftgate import config
from ftgate.core.secret import Secret
from ftgate.errors import ConfigFaults, ShuttingDown
from ftgate.house.lock import WAIT_S, Locked, Patience, holder
from ftgate.store.source import Postgres, Source

if TYPE_CHECKING:
    from ftgate.store.moved import Moved

TIMEOUT_S = 30.0
NO_DRIVER = "psycopg is not there: `pip install 'ftgate[postgres]'`, or python3-psycopg of your distribution"
MAKES = ("users.create", "keys.create", "credit.grant")
"""Commands that make a data directory where there is none; any other needs what is in it."""


class Unanswered(click.ClickException):
    """A command that has reached the server and was not answered: whether it was done is not known."""


def _path(ctx: click.Context, param: click.Parameter, value: str | None) -> Path | None:
    """A path that was given; one from the environment without the quotes that `docker --env-file` leaves."""
    if value is None or not isinstance(param.name, str):
        return None
    if ctx.get_parameter_source(param.name) is click.core.ParameterSource.ENVIRONMENT:
        value = config.unquoted(value)
    if not value.strip():
        raise click.BadParameter("it is empty: name a path, or leave it out", ctx, param)
    return Path(value)


config_option = click.option(
    "--config",
    "config_path",
    metavar="FILE",
    callback=_path,
    help="The config file. [default: FTGATE_CONFIG, ./ftgate.toml]",
)
data_option = click.option(
    "--data", "data", metavar="DIRECTORY", callback=_path, envvar="FTGATE_DATA", help="The data directory."
)


def places(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options every command has: --config and --data."""
    return config_option(data_option(function))


def load(config_path: Path | None, data: Path | None = None) -> config.Settings:
    """The settings of the given or default config. Where the data directory is named, a default config that this user
    may not look for is not needed. Raises click.ClickException with every fault."""
    try:
        path = config_path or _default_path(data)
        return config.load(path, os.environ) if path else config.from_environment(os.environ, None)
    except ConfigFaults as faulty:
        raise click.ClickException("\n".join(faulty.faults)) from None


def _default_path(data: Path | None) -> Path | None:
    try:
        return config.default_path()
    except ConfigFaults:
        if data is None:
            raise
        return None


def data_dir(settings: config.Settings, data: Path | None) -> Path:
    return _there(data or settings.server.data_dir)


def _there(place: Path) -> Path:
    try:
        return place.resolve()
    except FileNotFoundError:
        raise click.ClickException("the directory this was started in is gone; go to one that is there") from None


def run(
    config_path: Path | None, data: Path | None, command: str, *, patient: bool = False, **arguments: Any
) -> Any:  # fmt: skip
    """Do one command and return its result. What holds the data directory for a moment, another command or a server
    that starts or stops, is waited for; so is the server's answer, `patient`: however long that takes. Raises
    click.ClickException with the server's own words."""
    place = whereabouts(config_path, data)
    if command not in MAKES and (holder(place) is not None or shared(config_path, data) is None):
        needed(place)
    answer = _perform(partial(load, config_path, data), place, command, arguments, patient=patient)
    if "error" in answer:
        raise click.ClickException(answer["error"])
    return answer["result"]


def whereabouts(config_path: Path | None, data: Path | None) -> Path:
    """The data directory, also of a config that this shell cannot read whole: what it takes from the environment is
    the server's to know. Raises click.ClickException where even that cannot be told."""
    try:
        if data is None:
            path = config_path or config.default_path()
            data = config.named_data_dir(path) if path else config.Server().data_dir
    except ConfigFaults as faulty:
        raise click.ClickException("\n".join(faulty.faults)) from None
    return _there(data)


def serves(place: Path) -> bool:
    """Whether a server runs on this data directory."""
    held = holder(place)
    return held is not None and held.socket is not None


def ask_server(place: Path, command: str, *, patient: bool = False, **arguments: Any) -> Any:
    """What only a running server can do; `patient`: however long that takes. Raises click.ClickException where none
    serves this directory."""
    held = holder(place)
    if held is None or held.socket is None:
        raise click.ClickException(f"no server runs on {place}. Name its data directory with --data, or its --config.")
    answer = _ask(held.socket, held.pid, command, arguments, patient=patient)
    if "error" in answer:
        raise click.ClickException(answer["error"])
    return answer["result"]


def patience() -> Patience:
    """The waiting of one command, told on standard error."""
    return Patience(lambda words: click.echo(words, err=True), WAIT_S)


def _perform(
    settings: Callable[[], config.Settings], place: Path, command: str, arguments: dict[str, Any], *, patient: bool
) -> dict[str, Any]:
    waiting = patience()
    while True:
        held = holder(place)
        try:
            if held is None:
                return _offline(settings(), place, command, arguments, waiting)
            if held.socket is not None:
                return _ask(held.socket, held.pid, command, arguments, patient=patient)
            words = f"{held}, which takes no commands"
        except Locked as came:  # since we looked
            held, words = came, str(came)
        except NotTaken as refused:
            words = refused.message
        if not waiting.rest(words):
            raise click.ClickException(f"{words}. Nothing was changed. Try again when it has ended.")


class NotTaken(click.ClickException):
    """The server listens no more, or not yet: nothing was done, and it can be asked again."""


def _ask(
    path: Path, pid: int | None, command: str, arguments: dict[str, Any], *, patient: bool = False
) -> dict[str, Any]:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as wire:
            wire.settimeout(None if patient else TIMEOUT_S)
            _say(wire, path, pid, json.dumps({"command": command, "arguments": arguments}).encode() + b"\n")
            answer = _answer(wire, f"the server (process {pid}) did not answer on {path}")
    except OSError as error:  # a command is a line: one that was not sent whole is not done
        words = (
            f"the server (process {pid}) takes no commands on {path}: {error.strerror or error}. Nothing was changed."
        )
        raise click.ClickException(words) from None
    if answer.get("code") == ShuttingDown.code:
        raise NotTaken(f"the server (process {pid}) is stopping")
    return answer


def _say(wire: socket.socket, path: Path, pid: int | None, line: bytes) -> None:
    try:
        wire.connect(str(path))
        wire.sendall(line)
    except (FileNotFoundError, ConnectionError, BlockingIOError) as error:
        raise NotTaken(f"the server (process {pid}) takes no commands on {path}: {error.strerror}") from None


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


def _offline(
    settings: config.Settings, place: Path, command: str, arguments: dict[str, Any], waiting: Patience
) -> dict[str, Any]:
    """Do it on a data directory that nobody serves. Raises Locked when a server has come meanwhile."""
    import trio

    from ftgate import app
    from ftgate.store.database import DatabaseFault

    try:
        return trio.run(app.command, settings, place, command, arguments, waiting)
    except DatabaseFault as error:
        raise click.ClickException(str(error)) from None


def shared(config_path: Path | None, data: Path | None) -> Postgres | None:
    """The PostgreSQL that has the ledger; None where it is a file. Where only a data directory is named and a server
    runs on it, that server's config says it. Raises click.ClickException where it cannot be told from here."""
    try:
        path = config_path or _default_path(data)
        if config_path is None and data is not None and serves(there := _there(data)):
            named = ask_server(there, "config.path")
            path = None if named is None else Path(named)
        url = config.named_database(path, os.environ) if path else None
    except ConfigFaults as faulty:
        raise click.ClickException("\n".join(faulty.faults)) from None
    if url is None:
        return None
    return postgres_at(url)


def postgres_at(url: Secret) -> Postgres:
    """The PostgreSQL at a URL. Raises click.ClickException where nothing is here that speaks to it."""
    if find_spec("psycopg") is None:
        raise click.ClickException(f"the URL names a PostgreSQL, and {NO_DRIVER}")
    return Postgres(url.reveal())


def source(config_path: Path | None, data: Path | None) -> Source:
    """Where the ledger is, for commands that only read: the PostgreSQL that the config names, or the file in the data
    directory. A running server is not disturbed. Raises click.ClickException where there is none."""
    return shared(config_path, data) or _file(whereabouts(config_path, data), config_path, data)


def unreadable(source: Source, error: Exception) -> click.ClickException:
    """What to say of a ledger that cannot be read."""
    if isinstance(source, Postgres):
        return click.ClickException(f"{source} cannot be read: {error}. `ftgate doctor` looks closer")
    return click.ClickException(f"{source} cannot be read: {error}. `ftgate restore FILE` puts a backup in its place")


def _file(place: Path, config_path: Path | None, data: Path | None) -> Path:
    from ftgate.house.house import DATABASE

    path = place / DATABASE
    needed(path.parent)
    if (gone := _gone(path)) is not None:
        click.echo(f"warning: {path} is as it was at {gone.at}: its ledger has moved to {gone.place}", err=True)
    if not present(path):
        run(config_path, data, "users.list")  # who holds the directory is about to make it
    return path


def _gone(path: Path) -> "Moved | None":
    """Where the ledger of this file has moved, if it has and that can be told."""
    from ftgate.store.database import read_only
    from ftgate.store.moved import moved

    try:
        if not path.exists():
            return None
        with closing(read_only(path)) as connection:
            return moved(connection)
    except (OSError, sqlite3.Error):  # whoever reads on says what is wrong
        return None


def needed(place: Path) -> None:
    """Raises click.ClickException where no data directory was made, nor is about to be: a slip in a path makes none."""
    from ftgate.house.house import DATABASE
    from ftgate.store.database import left_of

    path = place / DATABASE
    if not present(path) and holder(place) is None and not left_of(path):
        raise click.ClickException(
            f"there is no ftgate data in {place}; name its data directory with --data, or its --config"
        )


def present(path: Path) -> bool:
    """Whether the file is there. Raises click.ClickException where this user may not know, or may not read it."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as problem:
        raise click.ClickException(f"{path} cannot be read: {problem.strerror}") from None
    if not os.access(path, os.R_OK):
        raise click.ClickException(f"{path} cannot be read: this user has no right to")
    return True
