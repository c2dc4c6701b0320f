"""The process and its data, as an operator looks at them (ports.operator.System). Everything is read when it is asked
for: nothing is counted here."""

import os
import platform
import resource
import shutil
import sqlite3
import sys
from collections.abc import Callable, Mapping
from itertools import accumulate
from pathlib import Path

import trio

from ftgate import __version__
from ftgate.core.moments import iso
from ftgate.core.money import format_usd
from ftgate.core.tally import BOUNDS_S, Times
from ftgate.house.house import DATABASE, Directory, House
from ftgate.store.backup import last_backup, size_of
from ftgate.store.source import Source


class SystemDesk:
    """Over an open house. `calls` says how many are in flight; `connections` how many clients are connected, once
    there is a door."""

    def __init__(self, house: House[Directory], calls: Callable[[], int]) -> None:
        self.house = house
        self.calls = calls
        self.connections: Callable[[], int] = lambda: 0
        self.started_us = house.clock.wall_us()
        self._began = house.clock.now()

    async def shown(self) -> Mapping[str, object]:
        """As ports.operator.System says."""
        house, books, writer = self.house, self.house.books, self.house.writer
        on_disk = await trio.to_thread.run_sync(
            _on_disk, house.data_dir / DATABASE, house.database, abandon_on_cancel=True
        )
        took = writer.took
        commits = sum(took.buckets)
        return {
            "version": __version__, "python": platform.python_version(), "sqlite": sqlite3.sqlite_version,
            "system": f"{platform.system()} {platform.machine()}", "pid": os.getpid(),
            "started_at": iso(self.started_us), "uptime_s": int(house.clock.now() - self._began),
            "data_dir": str(house.data_dir), "durability": house.settings.database.durability, **on_disk,
            "memory_bytes": _memory(), "processor_s": round(sum(os.times()[:2]), 1),
            "connections": self.connections(), "calls": self.calls(),
            "open_holds": len(books.open), "held": format_usd(sum(hold.amount for hold in books.open.values())),
            "commits": commits, "commit_mean_ms": round(took.sum_s * 1000 / commits, 2) if commits else None,
            "commit_p95_ms": _under(took, 95), "waiting": writer.depth(), "trouble": writer.busy(),
        }  # fmt: skip


def _on_disk(database: Path, source: Source) -> dict[str, object]:
    """What lies in the data directory, and how large the database is wherever it is; None where it cannot be told."""
    found: dict[str, object] = {
        "database_bytes": _size(source), "log_bytes": _size(database.with_name(f"{database.name}-wal")),
        "free_bytes": None, "last_backup": last_backup(database),
    }  # fmt: skip
    try:
        found["free_bytes"] = shutil.disk_usage(database.parent).free
    except OSError:
        return found
    return found


def _size(place: Source) -> int | None:
    try:
        return size_of(place)
    except (OSError, sqlite3.Error):
        return None


def _memory() -> int:
    """Bytes of memory that the process has now, or, where the system does not tell, had at the most."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024


def _under(took: Times, percent: int) -> int | None:
    """Milliseconds under which so many in a hundred stayed: the end of the bucket in which they lie; None where there
    was none, or it has no end."""
    counts = list(accumulate(took.buckets))
    rank = -(-counts[-1] * percent // 100)
    ends = [bound for bound, count in zip(BOUNDS_S, counts, strict=False) if count >= rank > 0]
    return int(ends[0] * 1000) if ends else None
