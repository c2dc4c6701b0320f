"""Copies of the database that a running server makes by itself, when `backup.every_hours` have gone since the last.

A copy is made in a thread of its own that gives way to calls: it has less of the processor where the system can say so
of a thread, and rests between pages of what it verifies. Copies beyond `backup.keep` are deleted, the oldest first, and
nothing else in their folder: only what has a name as these have. When one is due is told by these names, so it is
remembered over restarts. A copy that cannot be made is said in the log and noted beside the database, and tried again.
"""

import json
import logging
import os
import re
import shutil
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import trio

from ftgate.core.moments import stamp, stamped_us
from ftgate.house.house import DATABASE, Directory, House
from ftgate.store.backup import BackupFault, make_backup, make_folder, size_of
from ftgate.store.database import first_boot_us
from ftgate.store.owner import keep_owner
from ftgate.store.upgrade import SPARE
from ftgate.store.verify import verify_ledger

log = logging.getLogger("ftgate.backup")

NAME = re.compile(r"ftgate-auto-(\d{8}-\d{6})\.sqlite3")
LOOK_S = 60.0
AGAIN_US = 3600 * 10**6
"""After a copy that could not be made."""
HOUR_US = 3600 * 10**6
REST_S = 0.02
"""The least rest between two pages; else as long as the page took."""
NICE = 10
END_S = 5.0
"""How long a server that ends waits for its thread to notice."""
FAILED = "last-backup-failure.json"
"""Beside the database: when a copy could last not be made, and why. Gone with the next that is."""


def ours(folder: Path) -> list[Path]:
    """The copies that a server made by itself, the oldest first. Raises OSError."""
    return sorted(found for found in folder.iterdir() if NAME.fullmatch(found.name) and found.is_file())


def made_us(copy: Path) -> int:
    """When such a copy was made, by its name."""
    found = NAME.fullmatch(copy.name)
    assert found is not None, copy
    return stamped_us(found[1])


def last_failure(database: Path) -> tuple[int, str] | None:
    """When the last copy could not be made (us), and why; None where it could."""
    try:
        said = json.loads(database.with_name(FAILED).read_text("utf-8"))
        return int(said["at_us"]), str(said["why"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


class Copies:
    """Over an open house."""

    def __init__(self, house: House[Directory]) -> None:
        self.house = house
        self.made = self.failed = 0
        self.last_us: int | None = None
        self._try_at_us = 0

    def counted(self) -> tuple[Mapping[str, int], float | None]:
        """How many were made and failed, and when the last was made (seconds), for metrics."""
        return {"made": self.made, "failed": self.failed}, None if self.last_us is None else self.last_us / 1e6

    async def run(self) -> None:
        """Until cancelled, look once a minute, and when the settings have changed, whether one is due."""
        changed = trio.Event()

        def adopt() -> None:
            self._try_at_us = 0
            changed.set()

        self.house.live.tell(adopt)
        while True:
            with trio.move_on_after(LOOK_S):
                await changed.wait()
            changed = trio.Event()
            if await trio.to_thread.run_sync(self._due, abandon_on_cancel=True):
                await self.make()

    def _due(self) -> bool:
        every, now_us = self.house.settings.backup.every_hours, self.house.clock.wall_us()
        if not every or now_us < self._try_at_us <= now_us + AGAIN_US:
            return False
        with suppress(OSError):
            if found := ours(self.house.backups()):
                self.last_us = made_us(found[-1])
        last_us = self.last_us
        try:
            if last_us is None or last_us > now_us + HOUR_US:  # the clock went back: no reason to make none
                last_us = first_boot_us(self.house.database)
        except sqlite3.Error:  # the writer will say what there is to say
            return False
        return now_us - last_us >= every * HOUR_US

    async def make(self) -> None:
        """Make one now, and delete those that are too many."""
        stop = threading.Event()
        work = partial(self._copy, self.house.backups(), self.house.settings.backup.keep, stop.is_set)
        began = self.house.clock.now()
        try:
            said = await quietly(work, stop)
        except Exception as error:  # a copy that fails must not end the server
            self._fail(str(error) or type(error).__name__)
            return
        self.made += 1
        self.last_us = self.house.clock.wall_us()
        took = self.house.clock.now() - began
        log.info("backup %s, %s bytes, verified, in %.1f s", said["backup"], said["bytes"], took)

    def _fail(self, why: str) -> None:
        self.failed += 1
        now_us = self.house.clock.wall_us()
        self._try_at_us = now_us + AGAIN_US
        log.error("no backup was made: %s. It is tried again in an hour; `ftgate doctor` says what is left", why)
        place = self.house.data_dir / FAILED
        with suppress(OSError):
            place.write_text(json.dumps({"at_us": now_us, "why": why}), "utf-8")
            keep_owner(place, self.house.data_dir)

    def _copy(self, folder: Path, keep: int, ends: Callable[[], bool]) -> dict[str, Any]:
        """In a thread. Raises BackupFault, OSError."""
        source, database = self.house.database, self.house.data_dir / DATABASE
        make_folder(folder, database)
        for half in folder.glob("ftgate-auto-*.part*"):
            half.unlink(missing_ok=True)
        size = size_of(source)
        if (free := shutil.disk_usage(folder).free) < size + SPARE:
            words = f"{free // 10**6} MB are free in {folder}, and it takes {(size + SPARE) // 10**6} MB"
            raise BackupFault(f"{words}. Make room there, lower [backup] keep, or let [backup] to name another disk")
        target = folder / f"ftgate-auto-{stamp(self.house.clock.wall_us())}.sqlite3"
        said = make_backup(source, target, partial(verify_ledger, told=_resting(ends)), ends, beside=database)
        keep_owner(target, database.parent)
        database.with_name(FAILED).unlink(missing_ok=True)
        for old in [copy for copy in ours(folder) if copy != target][: -(keep - 1) or None]:
            old.unlink(missing_ok=True)
        return said


def _resting(ends: Callable[[], bool]) -> Callable[[int, int], None]:
    """Rests after each page, as long as that took. Raises BackupFault when it is to end."""
    began = time.monotonic()

    def rest(done: int, whole: int) -> None:
        nonlocal began
        if ends():
            raise BackupFault("the server ended meanwhile")
        time.sleep(max(REST_S, time.monotonic() - began))
        began = time.monotonic()

    return rest


async def quietly(work: Callable[[], dict[str, Any]], stop: threading.Event) -> dict[str, Any]:
    """What `work` returns, from a thread of its own with less of the processor. Cancelled, it sets `stop` and waits a
    moment for the thread."""
    token, ended = trio.lowlevel.current_trio_token(), trio.Event()
    said: list[dict[str, Any] | BaseException] = []

    def run() -> None:
        if sys.platform == "linux":  # elsewhere this number means a process
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        try:
            said.append(work())
        except BaseException as error:
            said.append(error)
        with suppress(trio.RunFinishedError):
            token.run_sync_soon(ended.set)

    threading.Thread(target=run, name="ftgate-backup", daemon=True).start()
    try:
        await ended.wait()
    except trio.Cancelled:
        stop.set()
        with trio.CancelScope(shield=True, deadline=trio.current_time() + END_S):
            await ended.wait()
        raise
    (result,) = said
    if isinstance(result, BaseException):
        raise result
    return result
