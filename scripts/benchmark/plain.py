"""The load of plain calls: wrk where it is installed, else a closed loop of our own; the loop also counts calls out
exactly."""

import select
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from scripts.benchmark import figures, wire
from scripts.benchmark.figures import Load
from scripts.benchmark.processes import Trouble, environment

TIMEOUT_S = 30
"""An answer that takes longer is an error."""


@dataclass(frozen=True)
class Target:
    """Where plain calls go."""

    port: int
    path: str
    headers: Mapping[str, str]

    def request(self, body: bytes) -> bytes:
        return wire.request(self.port, self.path, dict(self.headers), body)


def have_wrk() -> bool:
    return shutil.which("wrk") is not None


def run(target: Target, body: Path, connections: int, seconds: int) -> Load:
    """One closed loop: each connection asks again as soon as it has its answer."""
    if have_wrk():
        return with_wrk(target, body, connections, seconds)
    return closed_loop(target, target.request(body.read_bytes()), connections, seconds=seconds)


def with_wrk(target: Target, body: Path, connections: int, seconds: int) -> Load:
    """Calls that are under way when the time is over are cut: the subject has answered up to `connections` more than we
    count."""
    headers = [
        part
        for name, value in {"Content-Type": "application/json", **target.headers}.items()
        for part in ("-H", f"{name}: {value}")
    ]
    script = str(Path(__file__).with_name("post.lua"))
    url = f"http://127.0.0.1:{target.port}{target.path}"
    argv = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{seconds}s",
        "--timeout",
        f"{TIMEOUT_S}s",
        *headers,
        "-s",
        script,
        url,
        "--",
        str(body),
    ]
    try:
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            env=environment(),
            timeout=seconds + 2 * TIMEOUT_S,
            start_new_session=True,
        )
        return figures.parse_wrk(done.stdout + done.stderr)
    except subprocess.TimeoutExpired:
        raise Trouble(f"wrk did not end within {seconds + 2 * TIMEOUT_S} s") from None
    except ValueError as error:
        raise Trouble(str(error)) from None


class _Connection:
    """One connection of the closed loop."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data = b""
        self.asked_ns = 0


class _Loop:
    """The closed loop's state: what was asked and what came back."""

    def __init__(self, port: int, request: bytes, limit: int | None, until: float, must_hold: bytes) -> None:
        self.port, self.request, self.limit, self.until, self.must_hold = port, request, limit, until, must_hold
        self.epoll = select.epoll()
        self.open: dict[int, _Connection] = {}
        self.asked = self.answers = self.errors = 0
        self.took_ns: list[int] = []

    def ask(self, connection: _Connection) -> None:
        """Send the next request, or close where no more is wanted."""
        if time.monotonic() >= self.until or (self.limit is not None and self.asked >= self.limit):
            self.close(connection)
            return
        self.asked += 1
        connection.asked_ns = time.perf_counter_ns()
        connection.socket.sendall(self.request)

    def connect(self) -> None:
        connection = _Connection(self.port)
        self.open[connection.socket.fileno()] = connection
        self.epoll.register(connection.socket, select.EPOLLIN)
        self.ask(connection)

    def close(self, connection: _Connection) -> None:
        del self.open[connection.socket.fileno()]
        connection.socket.close()

    def hear(self, connection: _Connection) -> None:
        """Read what came; at a whole answer, count it and ask again. Raises OSError and ValueError for a broken
        connection."""
        data = connection.socket.recv(262_144)
        if not data:
            raise ConnectionResetError
        connection.data += data
        size = wire.answer_size(connection.data)
        if size is None:
            return
        self.took_ns.append(time.perf_counter_ns() - connection.asked_ns)
        good = connection.data[9:12] == b"200" and self.must_hold in connection.data[:size]
        self.answers += good
        self.errors += not good
        connection.data = connection.data[size:]
        self.ask(connection)


def closed_loop(
    target: Target,
    request: bytes,
    connections: int,
    *,
    seconds: float,
    count: int | None = None,
    must_hold: bytes = b"",
) -> Load:
    """For some seconds and at most `count` calls. Every call that was begun is waited for, so that none is cut. An
    answer is a 200 that holds `must_hold`."""
    started = time.monotonic()
    loop = _Loop(target.port, request, count, started + seconds, must_hold)
    broken = 0
    try:
        for _ in range(connections):
            loop.connect()
        heard = time.monotonic()
        while loop.open and time.monotonic() - heard < TIMEOUT_S:
            for fd, _ in loop.epoll.poll(1.0):
                heard = time.monotonic()
                connection = loop.open[fd]
                try:
                    loop.hear(connection)
                except (OSError, ValueError):
                    loop.close(connection)
                    loop.errors += 1
                    broken += 1
                    if broken > 1000:
                        raise Trouble("more than 1,000 broken connections: the load was given up") from None
                    if time.monotonic() < loop.until and (count is None or loop.asked < count):
                        loop.connect()
    except OSError as error:
        raise Trouble(f"no connection to port {target.port}: {error}") from None
    finally:
        ended = time.monotonic()
        for connection in [*loop.open.values()]:  # no answer within TIMEOUT_S
            loop.errors += 1
            with suppress(OSError):
                loop.close(connection)
        loop.epoll.close()
    took = sorted(loop.took_ns)
    p50, p99 = (figures.percentile(took, percent) / 1000 for percent in (50, 99))
    return Load(loop.answers, loop.errors, ended - started, p50, p99)
