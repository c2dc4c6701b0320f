"""One process at a time, and a lock that dies with its holder."""

import errno
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ftgate.house.lock import MAX_SOCKET_PATH, WAIT_S, Lock, Locked, Patience, holder, make_data_dir

ROOT = Path(__file__).resolve().parents[2]
CHILD = """
import sys, time
from pathlib import Path
from ftgate.house.lock import Lock
lock = Lock(Path(sys.argv[1]), serving=True)
print("held", flush=True)
time.sleep(60)
"""


@contextmanager
def held(place: Path, *, serving: bool = True) -> Iterator[Lock]:
    lock = Lock(place, serving=serving)
    try:
        yield lock
    finally:
        lock.release()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_second_lock_is_refused_and_told_who_and_where(tmp_path: Path) -> None:
    with held(tmp_path) as lock:
        with pytest.raises(Locked, match=f"in use by process {os.getpid()}") as caught:
            Lock(tmp_path, serving=True)
        assert (
            (caught.value.pid, caught.value.socket)
            == (os.getpid(), tmp_path.resolve() / "control.sock")
            == (os.getpid(), lock.socket)
        )
        found = holder(tmp_path)
        assert found is not None and (found.pid, found.socket) == (os.getpid(), lock.socket)
    assert holder(tmp_path) is None
    with held(tmp_path, serving=False) as lock:
        found = holder(tmp_path)
        assert lock.socket is None and found is not None and (found.pid, found.socket) == (os.getpid(), None)


def test_nobody_holds_what_is_not_there(tmp_path: Path) -> None:
    assert holder(tmp_path) is None and holder(tmp_path / "no") is None
    assert list(tmp_path.iterdir()) == []


def test_the_lock_dies_with_its_holder(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stdout.readline() == b"held\n"
        found = holder(tmp_path)
        assert found is not None and found.pid == child.pid
        with pytest.raises(Locked, match=f"process {child.pid}"):
            Lock(tmp_path, serving=True)
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert json.loads((tmp_path / "lock").read_text())["pid"] == child.pid  # its words are still there
        assert holder(tmp_path) is None
        with held(tmp_path):
            assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "5", "null", '{"pid": 1}', '{"pid": null, "socket": 7}', "\xff\x00" * 5000, '"x"']
)
def test_a_stale_or_strange_file_is_harmless(tmp_path: Path, text: str) -> None:
    (tmp_path / "lock").write_bytes(text.encode("latin-1"))
    assert holder(tmp_path) is None
    with held(tmp_path) as lock:
        os.pwrite(lock.descriptor, text.encode("latin-1").ljust(4096), 0)  # and as long as it is held, just as harmless
        found = holder(tmp_path)
        assert found is not None and "in use" in str(found)
        with pytest.raises(Locked):
            Lock(tmp_path, serving=False)
    with held(tmp_path):
        assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()


def test_a_look_at_the_lock_does_not_refuse_a_start(tmp_path: Path) -> None:
    """holder() locks the file for an instant."""
    (tmp_path / "lock").touch()
    looks = Lock(tmp_path, serving=False)
    threading.Timer(0.1, looks.release).start()
    with held(tmp_path):
        pass


def test_being_refused_does_not_take_long(tmp_path: Path) -> None:
    with held(tmp_path):
        started = time.monotonic()
        with pytest.raises(Locked):
            Lock(tmp_path, serving=True)
        assert time.monotonic() - started < 1


def test_a_command_is_waited_for_and_a_server_is_not(tmp_path: Path) -> None:
    said: list[str] = []
    command = Lock(tmp_path, serving=False)
    threading.Timer(0.5, command.release).start()
    Lock(tmp_path, serving=True, patience=Patience(said.append)).release()
    assert said == []  # so short a time is nobody's concern
    with held(tmp_path):
        started = time.monotonic()
        with pytest.raises(Locked):
            Lock(tmp_path, serving=False, patience=Patience(said.append))
        assert time.monotonic() - started < 1


@contextmanager
def ticking(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """lock.py's time goes by its own sleeps alone; the sleeps."""
    now, slept = 100.0, []

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        slept.append(seconds)

    monkeypatch.setattr("ftgate.house.lock.time.sleep", sleep)
    monkeypatch.setattr("ftgate.house.lock.time.monotonic", lambda: now)
    yield slept


def test_waiting_has_an_end_and_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    with held(tmp_path, serving=False), ticking(monkeypatch) as slept:
        with pytest.raises(Locked):
            Lock(tmp_path, serving=False, patience=Patience(said.append))
    assert said == [f"waiting: the data directory is in use by process {os.getpid()}"]
    assert WAIT_S <= sum(slept) < WAIT_S + 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files for others")
def test_what_root_makes_is_the_directory_s_owner_s(tmp_path: Path) -> None:
    os.chown(tmp_path, 65534, 65534)
    with held(tmp_path):
        assert (tmp_path / "lock").stat().st_uid == 65534
    os.chown(tmp_path / "lock", 1, 1)
    with held(tmp_path):
        assert (tmp_path / "lock").stat().st_uid == 1  # only what it has made


@pytest.mark.parametrize("length", [MAX_SOCKET_PATH - 13, MAX_SOCKET_PATH - 12, 200])
def test_a_long_path_has_its_socket_in_a_directory_of_its_own(tmp_path: Path, length: int) -> None:
    place = tmp_path / ("d" * max(1, length - len(str(tmp_path.resolve())) - 1))
    place.mkdir()
    with held(place) as lock:
        assert lock.socket is not None
        if len(bytes(place / "control.sock")) <= MAX_SOCKET_PATH:
            assert lock.socket == place / "control.sock"
            return
        assert len(bytes(lock.socket)) < MAX_SOCKET_PATH and place not in lock.socket.parents
        assert mode(lock.socket.parent) == 0o700
        found = holder(place)
        assert found is not None and found.socket == lock.socket
        lock.socket.touch()  # left by a server that could not unlink it
    assert not lock.socket.parent.exists()
    assert place.exists()


@pytest.mark.parametrize("name", ["ftgate-data", "ftgate-"])
def test_a_data_directory_named_like_our_temporary_ones_stays(tmp_path: Path, name: str) -> None:
    place = tmp_path / name
    make_data_dir(place)
    with held(place):
        (place / "ftgate.sqlite3").touch()
    assert sorted(path.name for path in place.iterdir()) == ["ftgate.sqlite3", "lock"]


def test_modes(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        place = tmp_path / "data"
        assert make_data_dir(place) is True
        assert make_data_dir(place) is False
        with held(place):
            assert mode(place) == 0o700 and mode(place / "lock") == 0o600
    finally:
        os.umask(before)


def test_a_data_directory_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    with pytest.raises(NotADirectoryError, match="is not a directory"):
        make_data_dir(tmp_path / "f")


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def none_here(descriptor: int, how: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("fcntl.flock", none_here)
    with pytest.raises(OSError, match="has no locks, so the data must lie on another"):
        Lock(tmp_path, serving=True)
    assert (tmp_path / "lock").exists() and holder(tmp_path) is None


def test_a_lock_that_cannot_be_made_leaves_nothing_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    def full(**_: object) -> str:
        raise OSError("no space")

    monkeypatch.setattr(tempfile, "mkdtemp", full)
    place = tmp_path / ("d" * 150)
    place.mkdir()
    before = len(os.listdir("/dev/fd"))
    with pytest.raises(OSError, match="no space"):
        Lock(place, serving=True)
    assert len(os.listdir("/dev/fd")) == before and holder(place) is None
