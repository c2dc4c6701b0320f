"""`ftgate check` and `ftgate init`: is the config right, and what could stand in it."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import IO, Any

import click

from ftgate import config
from ftgate.cli.output import document, line, told
from ftgate.cli.remote import ask_server, data_dir, places, whereabouts
from ftgate.errors import ConfigFaults
from ftgate.store.owner import keep_owner
from ftgate.store.source import Postgres, Source


class Faulty(click.ClickException):
    """A config that cannot be used. Its faults are printed as they are, each on its line, on stderr."""

    exit_code = 1

    def __init__(self, faults: list[str], then: str = "Mend {them} and check again.") -> None:
        then = then.format(them="it" if len(faults) == 1 else "them")
        super().__init__("\n".join([*faults, f"{counted(len(faults), 'fault')}. {then}"]))

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(self.message, file=file, err=file is None)


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@places
def check(as_json: bool, config_path: Path | None, data: Path | None) -> None:
    """Read the config and name every fault, with its line and how to mend it. Nothing is started."""
    path = config_path
    try:
        path = path or config.default_path()
        settings = config.load(path, os.environ)
        found = config.describe(settings)
        place = data_dir(settings, data)
        if why := unusable(place):
            raise ConfigFaults([f"{'--data' if data else '[server] data_dir'}: {why}"])
    except ConfigFaults as faulty:
        if as_json:
            document({"ok": False, "config": str(path) if path else None, "faults": faulty.faults})
            raise click.exceptions.Exit(1) from None
        raise Faulty(faulty.faults) from None
    found["warnings"] = [*found["warnings"], *gone_plans(settings, place)]
    if as_json:
        document({"ok": True, **found, "faults": []})
        return
    for warning in found["warnings"]:
        line(f"warning: {warning}", err=True)
    line(f"{found['config'] or 'no config file, using the environment'}: no faults")
    for row in found["channels"]:
        source = f"  from {row['from']}" if row["from"] else ""
        line(
            f"  {row['name']:<20}  {row['provider']:<20}  {counted(row['keys'], 'key')}, "
            f"{counted(row['models'], 'model')}{source}"
        )
    click.echo(f"{counted(len(found['channels']), 'channel')}, {counted(found['models'], 'model')}")


@click.command("reload")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@places
def reload_config(as_json: bool, config_path: Path | None, data: Path | None) -> None:
    """Let the running server read its config again. Calls in flight keep the settings they began with; a config with
    faults changes nothing."""
    done = ask_server(whereabouts(config_path, data), "config.reload")
    if not done["ok"]:
        if as_json:
            document(done)
            raise click.exceptions.Exit(1)
        raise Faulty(done["faults"], "Nothing was changed. Mend {them} and reload again.")
    if as_json:
        document(done)
        return
    for name in done["changed"]:
        line(f"changed  {name}")
    for name in done["needs_restart"]:
        line(f"waits for a restart  {name}")
    if not done["changed"] and not done["needs_restart"]:
        line("nothing is different")


def unusable(place: Path) -> str | None:
    """Why a data directory cannot be used, in words; None where nothing is seen that is in the way."""
    try:
        if not place.exists():
            return None
        if not place.is_dir():
            return f"{place} is not a directory. Name another."
        return None if os.access(place, os.R_OK | os.W_OK | os.X_OK) else f"{place} may not be used by this user."
    except OSError as problem:
        return f"{told(problem)}. Name another, or mend its rights."


def gone_plans(settings: config.Settings, place: Path) -> list[str]:
    """The plans that this config has not, and who in the data directory is on them, in words."""
    from ftgate.accounts.plans import MEND
    from ftgate.accounts.plans import told as who
    from ftgate.house.house import DATABASE
    from ftgate.store.database import plans_in, read_only

    url = settings.database.url
    at: Source = place / DATABASE if url is None else Postgres(url.reveal())
    try:
        if isinstance(at, Path) and not at.exists():
            return []
        with closing(read_only(at)) as connection:
            used = plans_in(connection)
    except (
        ImportError,
        OSError,
        sqlite3.Error,
    ):  # one that cannot be read, or of an earlier version: `serve` says what it is
        return []
    return [f"{who(plan, *many)}. {MEND}" for plan, many in used.items() if plan not in settings.plans]


@click.command()
@click.option(
    "--path",
    "written",
    default="ftgate.toml",
    show_default=True,
    type=click.Path(dir_okay=False),
    help="Where to write it.",
)
@click.option("--force", is_flag=True, help="Overwrite the file that is there.")
def init(written: str, force: bool) -> None:
    """Write a config with every setting explained, all of them at their defaults."""
    if written.endswith(os.sep):
        raise click.ClickException(f"{written} names a directory. Name the file, like {written}ftgate.toml.")
    path = Path(written)
    beside = path.with_name(f"{path.name}.new")
    flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if force else os.O_EXCL)
    try:
        # Overwriting goes over a file beside it, so that a full disk does not cost the old one.
        with open(os.open(beside if force else path, flags, 0o600), "w", encoding="utf-8") as file:
            os.chmod(file.fileno(), 0o600)
            if force and path.exists():
                keep_owner(beside, path)
            file.write(config.write_example())
        if force:
            beside.replace(path)
    except FileExistsError:
        raise click.ClickException(
            f"{path} is there already. Use --force to overwrite it, or --path for another name."
        ) from None
    except OSError as problem:
        raise click.ClickException(f"{path} cannot be written: {problem.strerror}.") from None
    click.echo(f"{path} written. Add a [[channel]], then: ftgate check --config {path}")
