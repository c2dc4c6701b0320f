"""One process at a time on a data directory: an exclusive lock that dies with its holder.

The lock file says who holds it and where its control socket is. Its text is only for people and for finding the socket;
the lock itself is the kernel's (flock), so a stale file after a crash locks nothing.
"""

import fcntl
import json
import os
import shutil
import tempfile
import time
from pathlib import Path

MAX_SOCKET_PATH = 100
"""A Unix socket's path may have 107 bytes (103 on macOS); past this it goes to a temporary directory of its own."""

TRIES = 5
TRY_S = 0.05
"""A command that only looks who holds the directory (holder) locks it for an instant: that must not refuse a server's
start."""


class Locked(Exception):
    """Another process holds the data directory. `pid` and `socket` where it says so."""

    def __init__(self, pid: int | None, socket: Path | None) -> None:
        super().__init__(f"the data directory is in use by process {pid}" if pid else "the data directory is in use")
        self.pid = pid
        self.socket = socket


def make_data_dir(path: Path) -> bool:
    """Make the data directory with mode 0700 if it is not there; whether it was made. Raises OSError,
    NotADirectoryError."""
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(f"{path} is not a directory")
    fresh = not path.exists()
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return fresh


def holder(data_dir: Path) -> Locked | None:
    """Who holds the data directory, or None."""
    try:
        descriptor = os.open(data_dir / "lock", os.O_RDWR)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return _said(descriptor)
    finally:
        os.close(descriptor)
    return None


def _said(descriptor: int) -> Locked:
    try:
        said = json.loads(os.pread(descriptor, 4096, 0))
        return Locked(said["pid"], Path(said["socket"]) if said["socket"] else None)
    except (ValueError, OSError, KeyError, TypeError):  # not written yet, or not by us
        return Locked(None, None)


class Lock:
    """Held from construction to release(). Raises Locked."""

    def __init__(self, data_dir: Path, *, serving: bool) -> None:
        self.descriptor = os.open(data_dir / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        self.socket: Path | None = None
        self.made: Path | None = None
        try:
            self._take()
            if serving:
                self.socket = data_dir.resolve() / "control.sock"
                if len(bytes(self.socket)) > MAX_SOCKET_PATH:
                    self.made = Path(tempfile.mkdtemp(prefix="ftgate-"))
                    self.socket = self.made / "control.sock"
            os.ftruncate(self.descriptor, 0)
            os.pwrite(self.descriptor, json.dumps({"pid": os.getpid(), "socket": str(self.socket or "")}).encode(), 0)
        except BaseException:  # whatever went wrong, the lock is not held
            os.close(self.descriptor)
            raise

    def _take(self) -> None:
        for tries in range(1, TRIES + 1):
            try:
                fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if tries == TRIES:
                    raise _said(self.descriptor) from None
                time.sleep(TRY_S)

    def release(self) -> None:
        os.ftruncate(self.descriptor, 0)
        os.close(self.descriptor)
        if self.made is not None:
            shutil.rmtree(self.made, ignore_errors=True)
