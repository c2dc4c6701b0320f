"""Looking at the backups: how old the last one is, and whether the next can be made."""

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from ftgate.config.settings import Backup
from ftgate.house.copies import HOUR_US, last_failure, made_us, ours
from ftgate.house.findings import Finding
from ftgate.store.backup import FOLDER, last_backup
from ftgate.store.database import first_boot_us
from ftgate.store.source import Source

LATE = 2
"""How many times its hours one may be old: a server that was off for a night is no trouble."""
OLD_US = 30 * 24 * HOUR_US


def of_data(
    backup: Backup, database: Path, now_us: int | None = None, *, source: Source | None = None
) -> Iterator[Finding]:  # fmt: skip
    """The backups of a database that is there, in this file or at `source`; notes of them are beside the file."""
    now_us = time.time_ns() // 1000 if now_us is None else now_us
    folder = backup.to or database.parent / FOLDER
    if (failed := last_failure(database)) is not None:
        at_us, why = failed
        yield Finding("wrong", "backup", f"the last one could not be made, {_ago(now_us - at_us)}: {why}")
    elif backup.to is not None and not backup.to.is_dir():
        yield Finding(
            "wrong", "backup", f"{backup.to} is not there: mount the disk that holds it, or make the directory"
        )
    try:
        made = [made_us(copy) for copy in ours(folder)] if folder.is_dir() else []
    except OSError as problem:
        yield Finding("wrong", "backup", f"{folder} cannot be read: {problem.strerror}")
        return
    said = last_backup(database)
    last_us = max([*made, *([said["at_us"]] if said else [])], default=None)
    try:
        age_us = now_us - (first_boot_us(source or database) if last_us is None else last_us)
    except sqlite3.Error:  # that is another finding
        return
    words = "none was ever made" if last_us is None else f"the last one was made {_ago(age_us)}"
    if backup.every_hours and age_us > LATE * backup.every_hours * HOUR_US:
        every = f"a running server makes one every {backup.every_hours} hours"
        yield Finding("look", "backup", f"{words}; {every}: let it run, or run `ftgate backup DIRECTORY/`")
    elif not backup.every_hours and age_us > OLD_US:
        yield Finding("look", "backup", f"{words}: run `ftgate backup DIRECTORY/`, or set [backup] every_hours")
    else:
        where = f", {len(made)} in {folder}" if made else ""
        yield Finding("ok", "backup", f"{words}{where}")


def _ago(us: int) -> str:
    hours = max(0, us) // HOUR_US
    return f"{hours // 24} days ago" if hours >= 48 else f"{hours} hours ago"
