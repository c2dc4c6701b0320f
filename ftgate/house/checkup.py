"""Looking for trouble around the data: the disk it lies on, who may read it, the clock, what the process may have open.

Each function looks at one thing and says what it found; nothing is changed.
"""

import os
import resource
import shutil
import sqlite3
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

from ftgate.house.called import is_archive
from ftgate.house.findings import Finding
from ftgate.store.database import read_only

NO_DISK = 4 * 1024 * 1024
"""The write-ahead log alone grows to that (SQLite folds it back at 1,000 pages)."""
LOW_DISK = 512 * 1024 * 1024
FEW_FILES = 4096
"""Two sockets for each call: under this a busy hour ends in refused connections."""
AHEAD_US = 60 * 10**6
"""How far the last entry may stand ahead of the clock: a clock that is set back a little by its own service."""
BUILT_S = 1_764_000_000
"""No clock that stands before this (November 2025) is right: small computers without a battery begin in 1970."""
OVER_A_NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "glusterfs", "lustre", "davfs", "fuse.sshfs",
                  "fuse.glusterfs", "fuse.davfs2", "fuse.rclone", "fuse.s3fs"}  # fmt: skip
SHARED = {"9p", "virtiofs", "vboxsf", "fuse.vmhgfs-fuse", "fuse.grpcfuse", "drvfs"}
"""Folders that a virtual machine shares with its host."""
FLEETING = {"tmpfs": "the memory: it is gone when the machine stops", "ramfs": "the memory",
            "overlay": "a container's own layer: it is gone when the container is made anew"}  # fmt: skip


def disk(place: Path, database_bytes: int) -> Finding:
    """The room that is left for the data, and for a copy of it."""
    free = shutil.disk_usage(place).free
    words = f"{free // 1_000_000} MB free"
    if free <= NO_DISK:
        return Finding("wrong", "disk", f"{words}: a start cannot write what it begins with. Make room")
    if free <= LOW_DISK:
        return Finding("look", "disk", f"{words}: calls are refused where a full disk takes no commit. Make room")
    if free <= 2 * database_bytes:
        return Finding("look", "disk", f"{words}: too little for a backup of the database. Make room")
    return Finding("ok", "disk", words)


def making(place: Path) -> Finding:
    """A data directory that is not there yet: whether this user's start could make it."""
    there = next(above for above in place.absolute().parents if above.exists())
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return Finding("look", "data", f"{place} does not exist yet; the first start makes it")
    words = f"{place} does not exist, and this user cannot make it in {there}: make it for him, or name another"
    return Finding("wrong", "data", words)


def writable(files: Iterable[Path]) -> Iterator[Finding]:
    """Files that a start writes and this user may not."""
    for file in files:
        if file.exists() and not os.access(file, os.R_OK | os.W_OK):
            yield Finding("wrong", "data", f"{file} may not be written by this user: chown it to who runs the server")


def file_system(place: Path, mounts: Path = Path("/proc/self/mounts")) -> Finding | None:
    """What kind of file system the data lies on; None where the system does not tell."""
    kind = _kind(place.resolve(), mounts)
    if kind is None:
        return None
    if kind in OVER_A_NETWORK:
        words = "a network file system, on which SQLite's locks and shared memory do not hold: move the data to a disk"
        return Finding("wrong", "disk", f"{place} lies on {kind}, {words} of this machine")
    if kind in SHARED:
        words = "a shared folder, on which locks may not hold: move the data to a disk of this machine"
        return Finding("look", "disk", f"{place} lies on {kind}, {words}")
    if kind in FLEETING:
        return Finding("look", "disk", f"{place} lies on {kind}, {FLEETING[kind]}. Mount a volume there")
    return Finding("ok", "disk", f"the file system is {kind}")


def _kind(place: Path, mounts: Path) -> str | None:
    try:
        lines = [line.split(" ") for line in mounts.read_text(errors="replace").splitlines()]
    except OSError:
        return None
    found = [
        (len(where.parts), at, columns[2])
        for at, columns in enumerate(lines)
        if len(columns) > 2 and place.is_relative_to(where := Path(_unescaped(columns[1])))
    ]
    return max(found)[2] if found else None


def _unescaped(name: str) -> str:
    for escape, sign in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        name = name.replace(escape, sign)
    return name


def modes(subject: str, files: Iterable[Path]) -> Iterator[Finding]:
    """Files that hold secrets and may be read by others than their owner. They cannot be reached where a directory on
    the way is closed, but a copy of them takes its mode along."""
    for file in files:
        try:
            mode = stat.S_IMODE(file.stat().st_mode)
            closed = any(not stat.S_IMODE(place.stat().st_mode) & 0o011 for place in file.absolute().parents)
        except OSError:
            continue
        if mode & 0o077:
            words = f"{file}, mode {mode:04o}, may be read by others: chmod 600 it"
            yield Finding("look" if closed else "wrong", subject, words)


def owner(place: Path) -> Finding | None:
    """Whether the data directory is this user's."""
    uid = place.stat().st_uid
    if uid == os.geteuid():
        return None
    words = (
        f"{place} belongs to the user {uid}, and this is user {os.geteuid()}: start ftgate as its owner, or chown -R"
    )
    return Finding("look", "data", words)


def clock(database: Path | None) -> Finding:
    """The clock of this machine against the last thing that was entered."""
    now_s = time.time()
    said = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now_s))
    if now_s < BUILT_S:
        return Finding("wrong", "clock", f"it says {said}, which has passed: set it (timedatectl set-ntp true)")
    last_us = _last_us(database) if database is not None else 0
    if last_us > now_s * 1e6 + AHEAD_US:
        ahead = int(last_us / 1e6 - now_s)
        words = f"it says {said}, {ahead} s before the ledger's last entry: it went backwards, or ran ahead then. "
        return Finding("look", "clock", words + "Set it (timedatectl set-ntp true); limits and spans go by it")
    return Finding("ok", "clock", said)


def _last_us(database: Path) -> int:
    try:
        with closing(read_only(database)) as connection:
            found: int | None = connection.execute(
                "SELECT at_us FROM entries WHERE id = (SELECT max(id) FROM entries)"
            ).fetchone()
            return found[0] if found else 0  # type: ignore[index]
    except sqlite3.Error:  # that is another finding
        return 0


def apart(dates: Iterable[float], now_s: float) -> Finding | None:
    """The clock against what servers answered as theirs (seconds); None where none said."""
    if not (found := sorted(dates)):
        return None
    off = now_s - found[len(found) // 2]
    if abs(off) <= 30:
        return Finding("ok", "clock", f"within {abs(off):.0f} s of what a server's Date says")
    way = "ahead of" if off > 0 else "behind"
    words = f"{abs(off):.0f} s {way} what a server's Date says: set it (timedatectl set-ntp true)"
    return Finding("wrong" if abs(off) > 300 else "look", "clock", words)


def open_files() -> Finding:
    """How many files and sockets a process of this user may have open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or hard >= FEW_FILES:
        return Finding("ok", "files", f"{'any number' if hard == resource.RLIM_INFINITY else hard} may be open")
    words = f"only {hard} files and sockets may be open (now {soft}), two for each call: raise it (LimitNOFILE=65536 "
    return Finding("look", "files", words + "of a systemd unit, or `ulimit -Hn`)")


def extracted(program: Path, module: Path) -> Finding | None:
    """Where a .pyz has unpacked what runs, of which `module` is ftgate's first; None for any other program."""
    if not is_archive(program):
        return None
    folder = module.parents[2]  # ftgate-ID-TARGET/site-packages/ftgate/__init__.py
    words = f"{program.name} is unpacked in {folder}"
    if folder.parent.name == f"ftgate-{os.geteuid()}":
        more = "a temporary directory, and is unpacked again when that was emptied: let SHIV_ROOT name another"
        return Finding("look", "program", f"{words}, {more}")
    return Finding("ok", "program", words)
