"""`ftgate export-user` and `ftgate forget-user`: what a person may ask for."""

import os
import sqlite3
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import click

from ftgate.cli.accounts import as_json_option
from ftgate.cli.output import document, line, told
from ftgate.cli.remote import places, run, shared, source, unreadable, whereabouts
from ftgate.store.backup import FOLDER, last_backup
from ftgate.store.person import account_of, all_of
from ftgate.store.upgrade import waiting


@click.command("export-user")
@click.argument("name")
@click.option("--to", "written", metavar="FILE", required=True, help="The file to write, which must not be there.")
@as_json_option
@places
def export_user(name: str, written: str, as_json: bool, config_path: Path | None, data: Path | None) -> None:
    """Write all that is kept of a person as lines of JSON: account, keys without secrets, sessions, payments, audit,
    entries, requests. A running server is not disturbed."""
    place, target = source(config_path, data), Path(written)
    try:
        if isinstance(place, Path) and waiting(place) is not None:
            raise click.ClickException("an older version wrote the database: start this one first, which changes it")
        account = account_of(place, name)
        if account is None:
            raise click.ClickException(f"no user named {name!r}; `ftgate users list` shows them")
        if os.path.lexists(target):
            raise click.ClickException(f"{target} is there already; name another file")
        lines = _written(all_of(place, account), target)
    except OSError as problem:
        raise click.ClickException(f"{target} cannot be written: {told(problem)}") from None
    except sqlite3.Error as error:
        raise unreadable(place, error) from None
    said = {"user": name, "file": str(target), "lines": lines, "bytes": target.stat().st_size}
    if as_json:
        document(said)
    else:
        line(f"{target}: {lines} lines, for {name}'s eyes and yours")


def _written(rows: Iterable[bytes], target: Path) -> int:
    """Write rows to a file under its name once it is whole; how many there were. Raises OSError, sqlite3.Error; then
    nothing is left."""
    part, lines = target.with_name(f"{target.name}.part"), 0
    try:
        part.unlink(missing_ok=True)  # of one that was killed
        with open(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            for one in rows:
                file.write(one)
                lines += 1
        part.rename(target)
    finally:
        with suppress(OSError):  # the fault that led here is the one to tell
            part.unlink(missing_ok=True)
    return lines


@click.command("forget-user")
@click.argument("name", required=False)
@click.option("--yes", is_flag=True, help="Do not ask, and do it in spite of a balance, open payments, running calls.")
@click.option("--compact", is_flag=True, help="Only write the database anew, so that nothing deleted stands in it.")
@as_json_option
@places
def forget_user(
    name: str | None, yes: bool, compact: bool, as_json: bool, config_path: Path | None, data: Path | None
) -> None:
    """Forget who an account is, for good: name, e-mail, password, sessions, keys and their names, addresses, what
    payments say of a person. Entries, requests and sums stay, of a number."""
    from ftgate.house.house import DATABASE

    if (name is None) is not compact:
        raise click.UsageError("name the account, or give --compact")
    if name is None:
        said = run(config_path, data, "database.compact", patient=True)
    else:
        if not yes:
            _confirm(name)
        said = run(config_path, data, "users.forget", patient=True, username=name, despite=yes)
        path = whereabouts(config_path, data) / DATABASE
        folder = Path(said.pop("backups", path.parent / FOLDER))  # a server of before does not say it
        said["copies"] = [str(copy) for copy in _copies(path, folder)]
    if as_json:
        document(said)
        return
    if name is not None:
        line(f"{name} is forgotten; the books know the account as {said['username']}")
        if float(said["balance"]):
            line(f"its balance of ${said['balance']} stays in the books")
        for copy in said["copies"]:
            in_time = ", or let [backup] keep do so in time" if _goes(Path(copy), folder) else ""
            line(f"{copy} was made before and still holds it: delete it{in_time}")
    if said["compacted"]:
        line("the database was written anew: nothing that was deleted stands in it")
    else:
        words = (
            f"deleted text may still stand in free places of the database, which was not written anew ({said['why']})"
        )
        here = shared(config_path, data) is None
        line(f"{words}: stop the server and run `ftgate forget-user --compact`" if here else words)


def _confirm(name: str) -> None:
    if not sys.stdin.isatty():
        raise click.ClickException(f"{name} would be forgotten for good, and nobody is here to confirm it: give --yes")
    if click.prompt("There is no way back. Type the name again", err=True) != name:
        raise click.ClickException("that is another name; nothing was changed")


def _copies(path: Path, folder: Path) -> list[Path]:
    """Databases beside the one in use (which is not there where the ledger is on a PostgreSQL), in `folder` where the
    server's own copies go, and where the last copy went: backups, and what a restore or a rescue has left."""
    found = {copy for at in (path.parent, path.parent / FOLDER, folder) for copy in at.glob("*.sqlite3")}
    if (last := last_backup(path)) is not None:
        copy = Path(last["backup"])
        found |= {copy, *copy.parent.glob("ftgate-*.sqlite3")}
    return sorted({copy.absolute() for copy in found if os.path.isfile(copy)} - {path.absolute()})


def _goes(copy: Path, folder: Path) -> bool:
    """Whether a server deletes the copy by itself in time: one that it made, where it makes them."""
    from ftgate.house.copies import NAME

    return copy.parent == folder and NAME.fullmatch(copy.name) is not None
