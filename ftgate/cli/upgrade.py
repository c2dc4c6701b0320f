"""`ftgate upgrade-check`: what a start of this program would do to the data that another version has written."""

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import click

from ftgate import __version__, config
from ftgate.cli.accounts import as_json_option
from ftgate.cli.findings import ConfigLook, show
from ftgate.cli.remote import places
from ftgate.house.findings import Finding
from ftgate.house.lock import holder
from ftgate.store.backup import FOLDER
from ftgate.store.source import Postgres
from ftgate.store.upgrade import Waiting, expected_s, newer_in, no_room, waiting


@click.command("upgrade-check")
@as_json_option
@places
def upgrade_check(as_json: bool, config_path: Path | None, data: Path | None) -> None:
    """Say what a start of this program would do with this config and database. Nothing is changed, and the version that
    runs now is not disturbed. Exit 1 when a start would be refused."""
    show(_findings(config_path, data), as_json=as_json)


def _findings(config_path: Path | None, data: Path | None) -> Iterator[Finding]:
    yield Finding("ok", "version", f"this is ftgate {__version__}")
    looked = ConfigLook(config_path, data, lacking="look")  # no secret is needed for what is asked here
    yield from looked
    if looked.settings is not None and (place := looked.place()) is not None:
        yield from database_findings(looked.settings, place)


def database_findings(settings: config.Settings, place: Path) -> Iterator[Finding]:
    """What a start would do with the database in this data directory."""
    from ftgate.house.house import DATABASE

    if (url := settings.database.url) is not None:
        from ftgate.house.shared_look import a_start

        yield from a_start(Postgres(url.reveal()))
        return
    database, folder = place / DATABASE, settings.backup.to or place / FOLDER
    try:
        if not database.exists():
            yield Finding("look", "schema", f"{database} does not exist yet; the first start makes it")
            return
        found, newer = waiting(database), newer_in(database)
        seconds = expected_s(database) if found is not None and newer is None else 0.0
    except (OSError, sqlite3.Error) as error:
        yield Finding("wrong", "schema", f"{database} cannot be read: {error}")
        return
    if newer is not None:
        yield Finding("wrong", "schema", f"{database}: {newer}")
    elif found is None:
        yield Finding("ok", "schema", "the database has this version's schema: a start changes nothing of it")
    else:
        yield from _changes(found, seconds, database, folder, place)


def _changes(found: Waiting, seconds: float, database: Path, folder: Path, place: Path) -> Iterator[Finding]:
    yield Finding(
        "look",
        "schema",
        f"a start brings it from schema {found.old} to {found.new}, after a verified backup in {folder}: "
        f"{found.bytes / 1e6:.1f} MB, about {max(1, round(seconds))} s. There is no way back but that backup",
    )
    if held := holder(place):
        yield Finding("look", "server", f"process {held.pid} serves it now: end it before the new version is started")
    if folder.parent != place and not folder.is_dir():
        missing = f"{folder} is not there, where the backup goes: mount the disk that holds it, or make the directory"
        yield Finding("wrong", "backup", missing)
    elif words := no_room(database, folder, found):
        yield Finding("wrong", "disk", words)
    else:
        yield Finding("ok", "disk", "there is room for the backup and the change")
    if not os.access(database, os.W_OK):
        yield Finding("wrong", "database", f"{database} is read-only for this user")
