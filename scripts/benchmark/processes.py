"""Child processes of the benchmark, and what /proc says of them. Linux only."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


class Trouble(Exception):
    """Something is missing or failed, in words for the person at the terminal."""


def free_port() -> int:
    """A port on 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(**more: str) -> dict[str, str]:
    """This environment without proxies, provider keys and settings of the gateways, so that the benchmark's own config
    alone counts."""
    dropped = ("FTGATE_", "LITELLM_", "OPENAI_", "PORTKEY_")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(dropped) and "_API_KEY" not in name and not name.lower().endswith("_proxy")
    }
    return {**kept, **more}


class Child:
    """One process in a session of its own, so that Ctrl-C reaches only us, with its output in a file."""

    def __init__(
        self, name: str, argv: Sequence[str], directory: Path, *, env: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.log = directory / f"{name}.log"
        self.out = directory / f"{name}.out"
        with self.out.open("wb") as out, self.log.open("ab") as log:
            self.process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                cwd=directory,
                env=env or environment(),
                start_new_session=True,
            )
        self.pid = self.process.pid

    def wait_for(self, ready: Callable[[], bool], within_s: float) -> None:
        """Until `ready()`. Raises Trouble with the end of its output when it ends before or takes longer."""
        until = time.monotonic() + within_s
        while self.process.poll() is None and time.monotonic() < until:
            if ready():
                return
            time.sleep(0.02)
        code = self.process.poll()
        how = f"it did not answer within {within_s:g} s" if code is None else f"it ended with {code}"
        self.stop()
        raise Trouble(f"{self.name} did not start: {how}\n{self.tail()}")

    def tail(self, size: int = 1500) -> str:
        """The end of what it said."""
        said = b"".join(path.read_bytes()[-size:] for path in (self.out, self.log) if path.exists())
        return said.decode(errors="replace").strip()

    def stop(self, within_s: float = 15.0) -> int:
        """SIGTERM, then SIGKILL where that did not help. What it started ends too. Its exit code."""
        below = tree(self.pid)[1:] if self.process.poll() is None else []
        with suppress(ProcessLookupError):
            self.process.terminate()
        try:
            code = self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        for pid in below:
            if _group(pid) == self.pid:  # still there, and still of this child's own session
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        return code


class Children:
    """All children, ended in reverse order when the `with` ends, whatever ended it."""

    def __init__(self) -> None:
        self._all: list[Child] = []

    def __enter__(self) -> "Children":
        return self

    def __exit__(self, *_: object) -> None:
        # A second Ctrl-C must not leave half of them.
        before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
        for child in reversed(self._all):
            child.stop(within_s=5)
        for number, handler in before.items():
            signal.signal(number, handler)

    def start(self, name: str, argv: Sequence[str], directory: Path, *, env: Mapping[str, str] | None = None) -> Child:
        child = Child(name, argv, directory, env=env)
        self._all.append(child)
        return child

    def stop(self, child: Child) -> int:
        self._all.remove(child)
        return child.stop()


def listens(port: int) -> bool:
    """Whether somebody accepts connections on 127.0.0.1:port."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.5):
        return True
    return False


# ---- what /proc says ----


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; empty when it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _group(pid: int) -> int:
    return int(fields[3]) if (fields := _stat(pid)) else 0


def tree(pid: int) -> list[int]:
    """A process and everything below it, itself first."""
    parents = {
        int(entry): int(fields[1]) for entry in os.listdir("/proc") if entry.isdigit() and (fields := _stat(int(entry)))
    }
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def cpu_s(pid: int) -> float:
    """CPU seconds so far of a process and its children, those that ended and were waited for included."""
    return sum(int(tick) for one in tree(pid) for tick in _stat(one)[11:15]) / _TICKS


def rest(pid: int, within_s: float) -> None:
    """Wait until a process does nothing any more: what a load left behind must not disturb the next subject."""
    until, before = time.monotonic() + within_s, cpu_s(pid)
    while time.monotonic() < until:
        time.sleep(0.06)
        now = cpu_s(pid)
        if now - before < 0.015:  # one tick
            return
        before = now


def rss_bytes(pid: int) -> int:
    """Resident memory of a process and its children."""
    total = 0
    for one in tree(pid):
        with suppress(OSError):
            said = Path(f"/proc/{one}/status").read_text().partition("VmRSS:")[2].split()
            total += int(said[0]) * 1024 if said else 0
    return total
