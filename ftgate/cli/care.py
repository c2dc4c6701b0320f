"""`ftgate backup`, `ftgate restore`, `ftgate doctor`: looking after the data."""

import os
import shutil
import sqlite3
import stat
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import click

from ftgate import config
from ftgate.cli.accounts import as_json_option
from ftgate.cli.config import unusable
from ftgate.cli.output import document, line, told
from ftgate.cli.remote import data_dir, database, load, patience, places, present
from ftgate.errors import ConfigFaults
from ftgate.house.lock import Lock, Locked, holder, make_data_dir
from ftgate.store.backup import BackupFault, make_backup, restore_backup
from ftgate.store.database import WHOLE_CHECK_S, damage
from ftgate.store.verify import verify_ledger

FIXED_SQLITE = (3, 51, 3)
"""The first SQLite without the bug that two writing connections can corrupt a WAL database (3.7.0 to 3.51.2)."""
LOW_DISK = 512 * 1024 * 1024
LARGE_LOG = 256 * 1024 * 1024


@click.command("backup")
@click.argument("written", metavar="TARGET")
@as_json_option
@places
def backup(written: str, as_json: bool, config_path: Path | None, data: Path | None) -> None:
    """Copy the database to TARGET, beside a running server, and verify the copy. TARGET is a file, or a directory for a
    dated name: one that is there, or one that ends in a slash and is made."""
    target = Path(written)
    if written.endswith(os.sep) or target.is_dir():
        target = _dated(target)
    try:
        said = make_backup(database(config_path, data), target, verify_ledger)
    except BackupFault as fault:
        raise click.ClickException(str(fault)) from None
    document(said) if as_json else click.echo(
        f"{said['backup']}: {said['bytes']} bytes, {said['entries']} entries, verified"
    )


def _dated(directory: Path) -> Path:
    """A file's name in it that is free, by the second."""
    name = time.strftime("ftgate-%Y%m%d-%H%M%S", time.gmtime())
    names = (f"{name}{f'-{number}' if number > 1 else ''}.sqlite3" for number in count(1))
    return next(target for name in names if not (target := directory / name).exists())


@click.command("restore")
@click.argument("source", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@as_json_option
@places
def restore(source: Path, as_json: bool, config_path: Path | None, data: Path | None) -> None:
    """Put a backup in the place of the database. The server must not run; the old database is kept beside it."""
    place = data_dir(load(config_path, data), data) / _database_name()
    present(place)  # or made: what is restored may be all that there is
    make_data_dir(place.parent)
    try:
        lock = Lock(place.parent, serving=False, patience=patience())
    except Locked as locked:
        raise click.ClickException(f"{locked}: stop it first") from None
    try:
        kept = place.with_name(time.strftime("before-restore-%Y%m%d-%H%M%S.sqlite3", time.gmtime()))
        said = restore_backup(source, place, kept, verify_ledger)
    except BackupFault as fault:
        raise click.ClickException(f"{fault}. Nothing was changed.") from None
    finally:
        lock.release()
    document(said) if as_json else click.echo(f"{source} restored and verified; the old database is {said['kept']}")


@click.command("doctor")
@as_json_option
@places
def doctor(as_json: bool, config_path: Path | None, data: Path | None) -> None:
    """Look for trouble: the config, the data directory, the database, the ledger. Exit 1 when something is wrong."""
    rows = list(_findings(config_path, data))
    if as_json:
        document({"ok": all(row["state"] != "wrong" for row in rows), "findings": rows})
    else:
        for row in rows:
            line(f"{row['state']:<7} {row['subject']:<10} {row['words']}")
    if any(row["state"] == "wrong" for row in rows):
        raise click.exceptions.Exit(1)


def _findings(config_path: Path | None, data: Path | None) -> Iterator[dict[str, Any]]:
    def row(state: str, subject: str, words: str) -> dict[str, Any]:
        return {"state": state, "subject": subject, "words": words}

    try:
        settings = load(config_path, data)
        found = config.describe(settings)
        yield row("ok", "config", f"{len(found['channels'])} channels, {found['models']} models")
        for warning in found["warnings"]:
            yield row("look", "config", warning)
    except (click.ClickException, ConfigFaults) as faulty:
        yield row("wrong", "config", faulty.message if isinstance(faulty, click.ClickException) else str(faulty))
        return
    fixed = sqlite3.sqlite_version_info >= FIXED_SQLITE
    words = f"SQLite {sqlite3.sqlite_version}"
    yield row(
        "ok" if fixed else "look",
        "sqlite",
        words if fixed else words + ": let no other program write to the database (fixed in 3.51.3)",
    )
    place = data_dir(settings, data)
    try:
        mode = stat.S_IMODE(place.stat().st_mode)
    except FileNotFoundError:
        yield row("look", "data", f"{place} does not exist yet; the first start makes it")
        return
    except OSError as problem:
        yield row("wrong", "data", f"{told(problem)}: this user may not look there")
        return
    if why := unusable(place):
        yield row("wrong", "data", why)
        return
    yield row(
        "ok" if not mode & 0o077 else "wrong",
        "data",
        f"{place}, mode {mode:04o}" + ("" if not mode & 0o077 else ": chmod 700 it"),
    )
    free = shutil.disk_usage(place).free
    yield row("ok" if free > LOW_DISK else "look", "disk", f"{free // 1_000_000} MB free")
    held = holder(place)
    yield row("ok", "server", f"running, process {held.pid}" if held else "not running")
    yield from _database_findings(place / _database_name(), row)


def _database_name() -> str:
    from ftgate.house.house import DATABASE

    return DATABASE


def _database_findings(path: Path, row: Any) -> Iterator[dict[str, Any]]:
    if not path.exists():
        yield row("look", "database", f"{path.name} does not exist yet")
        return
    if not os.access(path, os.W_OK):
        yield row("wrong", "database", f"{path} is read-only for this user")
    log = path.with_name(path.name + "-wal")
    size = log.stat().st_size if log.exists() else 0
    yield row(
        "ok" if size < LARGE_LOG else "look", "database", f"{path.stat().st_size} bytes, write-ahead log {size} bytes"
    )
    try:
        words = damage(path, within_s=WHOLE_CHECK_S)
        yield row(
            "wrong" if words else "ok", "pages", f"damaged: {words}; restore a backup" if words else "quick_check ok"
        )
        found = verify_ledger(path)
    except sqlite3.Error as error:
        yield row("wrong", "pages", f"cannot be read: {error}; restore a backup")
        return
    if found["ok"]:
        yield row("ok", "ledger", f"{found['entries']} entries add up, {found['open_holds']} holds are open")
    else:
        yield row("wrong", "ledger", str(found["disagreement"]))
