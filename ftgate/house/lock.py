"""One process at a time on a data directory: an exclusive lock that dies with its holder.

The lock file says who holds it and where its control socket is. Its text is only for people and for finding the socket;
the lock itself is the kernel's (flock), so a stale file after a crash locks nothing. The directory is locked too, where
its file system can: somebody may remove the file, which a new one would replace, and then two would write.
"""

import errno
import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

from ftgate.house.files import identity
from ftgate.store.owner import keep_owner

MAX_SOCKET_PATH = 100
"""A Unix socket's path may have 107 bytes (103 on macOS); past this it goes to a temporary directory of its own."""

TRIES = 5
TRY_S = 0.05
"""A command that only looks who holds the directory (holder) locks it for an instant: that must not refuse a server's
start."""
NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}
"""What network file systems and some of virtual machines say."""
WAIT_S = 15.0
"""A command holds the directory for well under a second, and there may be a few of them at once."""
TELL_S = 1.0
"""Seconds of waiting after which it is said what is waited for."""


class Patience:
    """Waits in small steps for what will soon be free, WAIT_S at most; `say` is told once what for."""

    def __init__(self, say: Callable[[str], None], wait_s: float = WAIT_S) -> None:
        self.say = say
        started = time.monotonic()
        self.tell_at: float | None = started + TELL_S
        self.until = started + wait_s

    def rest(self, why: str) -> bool:
        """Wait a moment, if there is time left; whether there was."""
        now = time.monotonic()
        if now >= self.until:
            return False
        if self.tell_at is not None and now >= self.tell_at:
            self.tell_at = None
            self.say(f"waiting: {why}")
        time.sleep(TRY_S)
        return True


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
    except FileNotFoundError:
        return _holder_without_a_file(data_dir)
    except OSError:
        return None
    try:
        # Shared: who looks does not stand in the way of who looks.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _said(descriptor)
    except OSError:  # a file system without locks: nobody serves there
        return None
    finally:
        os.close(descriptor)
    return None


def _holder_without_a_file(data_dir: Path) -> Locked | None:
    try:
        directory = os.open(data_dir, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(directory, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return Locked(None, None)
    except OSError:  # a file system that locks no directories
        return None
    finally:
        os.close(directory)
    return None


def _said(descriptor: int) -> Locked:
    try:
        said = json.loads(os.pread(descriptor, 4096, 0))
        return Locked(said["pid"], Path(said["socket"]) if said["socket"] else None)
    except (ValueError, OSError, KeyError, TypeError):  # not written yet, or not by us
        return Locked(None, None)


class Lock:
    """Held from construction to release(). With `patience` it is waited for while a command holds it; a server is not
    waited for. Raises Locked, OSError where there can be no lock."""

    def __init__(self, data_dir: Path, *, serving: bool, patience: Patience | None = None) -> None:
        self.serving = serving
        self.path = data_dir / "lock"
        self.directory = os.open(data_dir, os.O_RDONLY)
        self.socket: Path | None = None
        self.made: Path | None = None
        try:
            self.descriptor = self._opened()
            try:
                self._take(patience)
                if serving:
                    self.socket = data_dir.resolve() / "control.sock"
                if self.socket is not None and len(bytes(self.socket)) > MAX_SOCKET_PATH:
                    self.move_socket()
                else:
                    self._write()
            except BaseException:  # whatever went wrong, the lock is not held
                os.close(self.descriptor)
                raise
        except BaseException:
            os.close(self.directory)
            raise

    def __repr__(self) -> str:
        return f"<Lock of {self.path.parent}, commands at {self.socket}>"

    def _opened(self) -> int:
        fresh = not self.path.exists()
        descriptor = os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600)
        if fresh:
            keep_owner(self.path, self.path.parent)
        return descriptor

    def _write(self) -> None:
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, json.dumps({"pid": os.getpid(), "socket": str(self.socket or "")}).encode(), 0)

    def move_socket(self) -> Path:
        """The data directory takes no socket: where it stands instead, in a temporary directory of its own. Raises
        OSError."""
        self.made = Path(tempfile.mkdtemp(prefix="ftgate-"))
        self.socket = self.made / "control.sock"
        self._write()
        return self.socket

    def stands(self) -> bool:
        """Whether the lock file is still there and ours."""
        ours = os.fstat(self.descriptor)
        try:
            return identity(self.path) == (ours.st_dev, ours.st_ino)
        except OSError:  # the system does not say
            return True

    def renew(self) -> None:
        """Make the lock file anew that somebody removed, so that commands find us. Raises OSError, BlockingIOError
        when somebody else has locked one."""
        made = self._opened()
        try:
            fcntl.flock(made, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException:
            os.close(made)
            raise
        os.close(self.descriptor)
        self.descriptor = made
        self._write()

    def _take(self, patience: Patience | None) -> None:
        for tries in count(1):
            try:
                fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._take_directory()
                return
            except BlockingIOError:
                fcntl.flock(self.descriptor, fcntl.LOCK_UN)
                held = _said(self.descriptor)
                # Only after a few tries: its words may be those of a server that is gone.
                if tries >= TRIES and (patience is None or held.socket is not None or not patience.rest(str(held))):
                    raise held from None
            except OSError as problem:
                if problem.errno not in NO_LOCKS:
                    raise
                why = "its file system has no locks, so the data must lie on another, of this machine"
                raise OSError(problem.errno, f"{problem.strerror}: {why}") from None
            if tries < TRIES:
                time.sleep(TRY_S)

    def _take_directory(self) -> None:
        try:
            fcntl.flock(self.directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError:  # a file system that locks no directories: then the file alone counts
            pass

    def release(self) -> None:
        os.ftruncate(self.descriptor, 0)
        os.close(self.descriptor)
        os.close(self.directory)
        if self.made is not None:
            shutil.rmtree(self.made, ignore_errors=True)
