"""`ftgate backup`, `ftgate restore`: copies of the database, made and put back."""

import os
import sqlite3
import time
from contextlib import suppress
from itertools import count
from pathlib import Path

import click

from ftgate.cli.accounts import as_json_option
from ftgate.cli.output import document, line
from ftgate.cli.remote import data_dir, load, patience, places, present, shared, whereabouts
from ftgate.cli.remote import source as ledger_at
from ftgate.core.moments import stamp
from ftgate.house.lock import Lock, Locked, make_data_dir
from ftgate.store.backup import BackupFault, make_backup, restore_backup
from ftgate.store.person import forgotten, known_again
from ftgate.store.verify import verify_ledger


@click.command("backup")
@click.argument("written", metavar="TARGET")
@as_json_option
@places
def backup(written: str, as_json: bool, config_path: Path | None, data: Path | None) -> None:
    """Copy the database to TARGET, beside a running server, and verify the copy. TARGET is a file, or a directory for a
    dated name: one that is there, or one that ends in a slash and is made."""
    from ftgate.house.house import DATABASE

    target = Path(written)
    if written.endswith(os.sep) or target.is_dir():
        target = _dated(target)
    try:
        beside = whereabouts(config_path, data) / DATABASE
        said = make_backup(ledger_at(config_path, data), target, verify_ledger, beside=beside)
    except BackupFault as fault:
        raise click.ClickException(str(fault)) from None
    document(said) if as_json else click.echo(
        f"{said['backup']}: {said['bytes']} bytes, {said['entries']} entries, verified"
    )


def _dated(directory: Path) -> Path:
    """A file's name in it that is free, by the second."""
    name = f"ftgate-{stamp(time.time_ns() // 1000)}"
    names = (f"{name}{f'-{number}' if number > 1 else ''}.sqlite3" for number in count(1))
    return next(target for name in names if not (target := directory / name).exists())


@click.command("restore")
@click.argument("source", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@as_json_option
@places
def restore(source: Path, as_json: bool, config_path: Path | None, data: Path | None) -> None:
    """Put a backup in the place of the database. The server must not run; the old database is kept beside it."""
    from ftgate.house.house import DATABASE

    settings = load(config_path, data)
    if settings.database.url is not None:
        raise click.ClickException(
            f"the ledger is on {shared(config_path, data)}, and nothing is put back there in place. Restore {source} "
            "into a data directory of a config without [database] url, and `ftgate migrate sqlite URL` moves it to an "
            "empty PostgreSQL. Nothing was changed."
        )
    place = data_dir(settings, data) / DATABASE
    present(place)  # or made: what is restored may be all that there is
    make_data_dir(place.parent)
    try:
        lock = Lock(place.parent, serving=False, patience=patience())
    except Locked as locked:
        raise click.ClickException(f"{locked}: stop it first") from None
    try:
        kept = place.with_name(f"before-restore-{stamp(time.time_ns() // 1000)}.sqlite3")
        gone = _forgotten(place)
        said = {**restore_backup(source, place, kept, verify_ledger), "known_again": []}
        with suppress(sqlite3.Error):  # it was verified, and is in its place
            said["known_again"] = known_again(place, gone)
    except BackupFault as fault:
        raise click.ClickException(f"{fault}. Nothing was changed.") from None
    finally:
        lock.release()
    if as_json:
        document(said)
        return
    before = "there was no database before" if said["kept"] is None else f"the old database is {said['kept']}"
    line(f"{source} restored and verified; {before}")
    for name in said["known_again"]:
        line(f"{name} was forgotten since that was made, and is back. Forget them again: `ftgate forget-user {name}`")


def _forgotten(place: Path) -> dict[int, int]:
    """The accounts that the database has forgotten which is to be replaced, as far as it can be read."""
    try:
        return forgotten(place) if place.exists() else {}
    except sqlite3.Error:  # a broken one is what a backup is put back for
        line(f"{place} cannot be read: who was forgotten since the backup was made is not known", err=True)
        return {}
