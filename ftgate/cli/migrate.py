"""`ftgate migrate`: the ledger from the data directory's file to a PostgreSQL that several gateways share, and back."""

import os
import sqlite3
from functools import partial
from pathlib import Path
from typing import Any

import click
import trio

from ftgate import config
from ftgate.cli.accounts import as_json_option
from ftgate.cli.output import document, line, told
from ftgate.cli.remote import data_dir, load, needed, patience, places, postgres_at, shared, whereabouts
from ftgate.errors import ConfigFaults
from ftgate.house import moving
from ftgate.house.lock import Lock, Locked
from ftgate.store.database import DatabaseFault
from ftgate.store.source import Postgres


@click.group()
def migrate() -> None:
    """Move the ledger between a file and a PostgreSQL."""


@migrate.command("sqlite")
@click.argument("url", required=False)
@as_json_option
@places
def sqlite(url: str | None, as_json: bool, config_path: Path | None, data: Path | None) -> None:
    """Move the ledger from the data directory's SQLite file to the empty PostgreSQL at URL: postgresql://..., or where
    it stands (env:NAME, file:PATH). [default: the config's database.url]

    No server may run. Open holds are ended first, as a start does. All is copied and verified in one transaction; then
    the file refuses to serve."""
    settings = load(config_path, data)
    place, target = data_dir(settings, data), _target(url, config_path, data)
    needed(place)
    from ftgate.app import move_there

    try:
        came = trio.run(partial(move_there, settings, place, target, patience(), _says(as_json)))
    except (Locked, DatabaseFault, sqlite3.Error) as why:
        raise _refused(why) from None
    _came(
        came, as_json, f"{target} has the ledger already: nothing was left to do",
        came.ended and f"{came.ended} holds that an earlier process had left open were ended first",
        came.bent and f"{came.bent} texts had a NUL, which no PostgreSQL keeps: U+FFFD stands there now",
        "The file refuses to serve from now on. Name the PostgreSQL in [database] url, and start",
    )  # fmt: skip


@migrate.command("postgres")
@as_json_option
@places
def postgres(as_json: bool, config_path: Path | None, data: Path | None) -> None:
    """Move the ledger back, from the PostgreSQL of the config's database.url to a SQLite file in the data directory.

    No gateway may run. The file that is there must be one whose ledger has moved; it is kept beside the new one. Then
    the PostgreSQL refuses to serve."""
    source, place = _target(None, config_path, data), whereabouts(config_path, data)
    try:
        came = moving.back(source, place, patience(), _says(as_json))
    except (Locked, DatabaseFault, sqlite3.Error, OSError) as why:
        raise _refused(why) from None
    _came(
        came, as_json, f"{came.place} has the ledger already, and serves again",
        came.kept and f"the file that was there is {came.kept} now",
        "The PostgreSQL refuses to serve from now on. Take [database] url out of the config, and start",
    )  # fmt: skip


@migrate.command("undo")
@click.option("--yes", is_flag=True, help="What was done since on the other side is lost.")
@as_json_option
@places
def undo(yes: bool, as_json: bool, config_path: Path | None, data: Path | None) -> None:
    """Let the side serve again that a migration has left, as it was then. What was spent since on the other side is
    not in it: stop every gateway there first."""
    from ftgate.house.house import DATABASE

    place = whereabouts(config_path, data)
    if not yes:
        raise click.ClickException(
            "what was spent and granted since the migration would be forgotten, and nobody may serve the other side "
            "any more: give --yes. `ftgate migrate postgres` brings the ledger back as it is now"
        )
    needed(place)
    try:
        lock = Lock(place, serving=False, patience=patience())
        try:
            said = moving.undo(place / DATABASE, shared(config_path, data))
        finally:
            lock.release()
    except (Locked, sqlite3.Error, OSError) as why:
        raise _refused(why) from None
    if said is None:
        raise click.ClickException(f"no migration has left {place / DATABASE}: nothing was changed")
    document({"undone": said}) if as_json else line(said)


def _target(url: str | None, config_path: Path | None, data: Path | None) -> Postgres:
    """The PostgreSQL that is meant. Raises click.ClickException."""
    if url is not None:
        try:
            return postgres_at(config.database_url(url, os.environ))
        except ConfigFaults as faulty:
            raise click.ClickException("\n".join(faulty.faults)) from None
    if (found := shared(config_path, data)) is None:
        raise click.ClickException("the config names no database.url: give the URL of a PostgreSQL, or name --config")
    return found


def _refused(why: Exception) -> click.ClickException:
    if isinstance(why, Locked):
        return click.ClickException(f"{why}: stop it first. Nothing was changed")
    if isinstance(why, OSError):
        return click.ClickException(f"{told(why)}. Nothing was changed")
    return click.ClickException(str(why))


def _says(as_json: bool) -> moving.Told:
    """Tells of large tables on standard error: copying may take minutes."""

    def say(table: str, rows: int) -> None:
        if rows >= 100_000 and not as_json:
            click.echo(f"{table}: {rows} rows", err=True)

    return say


def _came(came: Any, as_json: bool, again: str, *more: object) -> None:
    """Tell what a move came to; `again` where it was done before, `more` what there is beside."""
    if as_json:
        document(came._asdict())
    elif came.again:
        line(again)
    else:
        line(
            f"{came.place} has the ledger now: {came.requests} requests, {came.entries} entries, {came.accounts} "
            f"accounts, verified on both sides and the same, in {came.took_s:.1f} s ({came.copying_s:.1f} s of copying)"
        )
        for words in filter(None, more):
            line(str(words))
