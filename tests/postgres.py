"""A PostgreSQL for tests: one server for all of a session's processes, and a database of its own for whoever asks.

The first who asks starts it, on this machine alone and on a free port, as another user where this one is root, whom it
refuses; who stands beside it in the session finds its URL in a file. It is stopped at the end of the session, by the
process that began that. With FTGATE_TEST_POSTGRES, the URL of a superuser, it is that server instead.
"""

import fcntl
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from ftgate.store.postgres.connection import close_idle, connect
from ftgate.store.postgres.opening import make
from ftgate.store.source import Postgres

GIVEN = "FTGATE_TEST_POSTGRES"
TEMPLATE = "ftgate_template"
SETTINGS = {
    "autovacuum": "off",
    "max_connections": "200", "shared_buffers": "32MB", "listen_addresses": "127.0.0.1", "max_wal_size": "256MB",
}  # fmt: skip


class Server:
    """A running server, by the URL of its superuser without a database's name."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def at(self, name: str) -> Postgres:
        return Postgres(f"{self.url}/{name}")

    def told(self, *statements: str) -> None:
        with closing(connect(self.at("postgres"), readonly=False)) as connection:
            for statement in statements:
                connection.execute(statement)

    @contextmanager
    def database(self) -> Iterator[Postgres]:
        """A new database with this version's tables, which is gone afterwards."""
        name = f"ftgate_{secrets.token_hex(6)}"
        self.told(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
        try:
            yield self.at(name)
        finally:
            close_idle(self.at(name))
            self.told(f"DROP DATABASE {name} WITH (FORCE)")


def binaries() -> Path | None:
    """Where initdb is: the newest of those in PATH and in Debian's places."""
    found = [Path(place).resolve().parent for place in [shutil.which("initdb")] if place]
    return next(iter([*found, *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]), None)


_session: list[Server] = []


def session_server() -> Server:
    """The one that this session has, for whoever is no fixture: whoever asks has used `postgres` before."""
    return _session[0]


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Server:
    """The session's server. Without one to be had, whoever asks is skipped."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    return use(shared(tmp_path_factory.getbasetemp(), hasattr(pytestconfig, "workerinput")))


def use(folder: Path) -> Server:
    """The server that is noted in a folder; started, if none is."""
    with (folder / "postgres.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        noted = folder / "postgres.url"
        if not noted.exists():
            url = os.environ.get(GIVEN) or _started(folder)
            server = Server(url)
            server.told(f"DROP DATABASE IF EXISTS {TEMPLATE}", f"CREATE DATABASE {TEMPLATE}")
            with closing(connect(server.at(TEMPLATE), readonly=False)) as connection:
                make(connection, server.at(TEMPLATE))
            noted.write_text(url)
    _session[:] = [Server(noted.read_text())]
    return _session[0]


def shared(base: Path, by_several: bool) -> Path:
    """The directory that all processes of a session know."""
    return base.parent if by_several else base


def _started(folder: Path) -> str:
    bin = binaries()
    if bin is None:
        pytest.skip("no initdb in PATH or in /usr/lib/postgresql: no PostgreSQL to be had")
    place = Path(tempfile.mkdtemp(prefix="ftgate-postgres-"))
    (folder / "postgres.place").write_text(str(place))
    if user := owner():
        shutil.chown(place, user)
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    run(place, "initdb", "-A", "trust", "-U", "ftgate", "--locale=C.UTF-8", "-E", "UTF8", "-N")
    start(place, port)
    return f"postgresql://ftgate@127.0.0.1:{port}"


def start(place: Path, port: int) -> None:
    """The server whose files are in `place`/data."""
    settings = {**SETTINGS, "unix_socket_directories": str(place)}
    said = " ".join([f"-p {port}", *(f"-c {name}={value}" for name, value in settings.items())])
    run(place, "pg_ctl", "start", "-w", "-l", str(place / "log"), "-o", said)


def owner() -> str | None:
    """Whose the server is, where this user is root."""
    if os.geteuid() != 0:
        return None
    return "postgres" if "postgres" in {one.pw_name for one in pwd.getpwall()} else "nobody"


def run(place: Path, command: str, *arguments: str) -> None:
    """One of PostgreSQL's programs on the files in `place`/data, as their owner."""
    bin, user = binaries(), owner()
    assert bin is not None
    subprocess.run(
        [str(bin / command), "-D", str(place / "data"), *arguments], check=True, stdout=subprocess.DEVNULL, cwd=place,
        user=user, group=None if user is None else pwd.getpwnam(user).pw_gid,
        extra_groups=None if user is None else [],
    )  # fmt: skip


class Own(Server):
    """One that a test has for itself, and may stop. `place` is its directory."""

    def __init__(self, url: str, place: Path) -> None:
        super().__init__(url)
        self.place = place

    def processes(self) -> list[int]:
        """Those of the server: the one that began it first."""
        first = int((self.place / "data" / "postmaster.pid").read_text().split()[0])
        found = [first]
        for entry in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):  # it has ended
                if int(entry.read_text().rpartition(")")[2].split()[1]) == first:
                    found.append(int(entry.parent.name))
        return found

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It stands still, and answers nobody; connections to it are taken by the system."""
        stopped = self.processes()
        for process in stopped:
            os.kill(process, signal.SIGSTOP)
        try:
            yield
        finally:
            for process in stopped:
                os.kill(process, signal.SIGCONT)

    @contextmanager
    def gone(self) -> Iterator[None]:
        """It has crashed."""
        run(self.place, "pg_ctl", "stop", "-w", "-m", "immediate")
        try:
            yield
        finally:
            start(self.place, int(self.url.rpartition(":")[2]))


@contextmanager
def own(folder: Path) -> Iterator[Own]:
    """A server of one's own, in place of the session's."""
    if os.environ.get(GIVEN):
        pytest.skip("the server that was given is not to be stopped")
    before = [*_session]
    try:
        server = Own(use(folder).url, Path((folder / "postgres.place").read_text()))
        yield server
    finally:
        stop(folder)
        _session[:] = before


def stop(folder: Path) -> None:
    """Stop the server that the processes of this session have started, if any has."""
    noted = folder / "postgres.place"
    if noted.exists():
        place = Path(noted.read_text())
        if (place / "data" / "postmaster.pid").exists():
            run(place, "pg_ctl", "stop", "-w", "-m", "immediate")
        shutil.rmtree(place, ignore_errors=True)
