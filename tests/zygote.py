"""Starts programs of ours from a process that has loaded them already. To load ftgate and what it stands on is most of
a start's work, and the suite starts it hundreds of times.

    child = zygote().start("ftgate", ["serve", "--port", "0"], out=out, err=err, env=env, cwd=place)
    child.pid, child.poll(), child.wait(10), child.kill()        # as subprocess.Popen has them

A child is a fork that runs `python -m MODULE ARGUMENTS` from its first line: arguments, environment, directory and
streams are its own. What only a process from nothing shows (what is loaded when, streams that are closed, what `ps`
says) is tried with subprocess.Popen, in tests/blackbox/test_first_start.py and others; so is what changes a module
before others take names from it.
"""

import atexit
import gc
import json
import os
import pkgutil
import random
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, Self

from tests.hashing import cheapen

ROOT = Path(__file__).resolve().parents[1]
LOADED = ("ftgate", "argparse", "ssl", "hypercorn.trio", "httpcore", "stripe", "sqlite_utils.migrations")
"""Packages whose modules are there before a child is made; of those that are not ours, the one named."""
FDS = 4
"""Its stdin, stdout and stderr, and where its end is told."""


class Child:
    """One that was started. `returncode` as in subprocess: negative for a signal, None while it runs."""

    def __init__(self, told: socket.socket, arguments: list[str]) -> None:
        self.args = arguments
        self.returncode: int | None = None
        self._told = told
        self._said = b""
        while b"\n" not in self._said:
            self._hear()
        pid, _, self._said = self._said.partition(b"\n")
        self.pid = int(pid)

    def _hear(self) -> None:
        said = self._told.recv(100)
        if not said:
            raise ChildProcessError("the process that makes processes has ended")
        self._said += said

    def poll(self) -> int | None:
        while self.returncode is None and select.select([self._told], [], [], 0)[0]:
            self._ended()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Raises subprocess.TimeoutExpired."""
        until = None if timeout is None else time.monotonic() + timeout
        while self.returncode is None:
            left = None if until is None else max(until - time.monotonic(), 0)
            if not select.select([self._told], [], [], left)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self._ended()
        return self.returncode

    def _ended(self) -> None:
        self._hear()
        if self._said.endswith(b"\n"):
            self.returncode = int(self._said)
            self._told.close()

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Zygote:
    """The process that has loaded all, from this side. It ends, with its children, when this process does."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair()
        self._in_turn = threading.Lock()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.zygote", str(theirs.fileno())], pass_fds=[theirs.fileno()],
                cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdin=subprocess.DEVNULL,
            )  # fmt: skip

    def start(
        self,
        module: str,
        arguments: list[str],
        *,
        out: BinaryIO,
        err: BinaryIO,
        env: Mapping[str, str],
        cwd: Path,
        stdin: BinaryIO | None = None,
    ) -> Child:
        """Run a module as `python -m` does. Without `stdin` there is nothing to read."""
        asked = {"module": module, "arguments": arguments, "env": dict(env), "cwd": str(cwd)}
        ours, theirs = socket.socketpair()
        with theirs, open(os.devnull, "rb") as nothing:
            streams = [(stdin or nothing).fileno(), out.fileno(), err.fileno()]
            with self._in_turn:
                self._control.sendall(json.dumps(asked).encode() + b"\n")
                socket.send_fds(self._control, [b"!"], [*streams, theirs.fileno()])
        return Child(ours, ["-m", module, *arguments])

    def close(self) -> None:
        self._control.close()
        self._process.wait(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


@cache
def zygote() -> Zygote:
    """The one of this process."""
    made = Zygote()
    atexit.register(made.close)
    return made


# ---- the other side ----


def _load() -> None:
    for name in LOADED:
        package = import_module(name)
        if name == "ftgate":
            for found in pkgutil.walk_packages(package.__path__, "ftgate."):
                if not found.name.endswith("__main__"):
                    import_module(found.name)
    cheapen()
    gc.collect()
    gc.freeze()


class _Asked:
    """What comes over the control socket: a line of JSON, then a byte with the descriptors."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control

    def next(self) -> tuple[dict[str, Any], list[int]] | None:
        """None when nobody asks any more."""
        line = b""
        while not line.endswith(b"\n"):
            byte = self._control.recv(1)
            if not byte:
                return None
            line += byte
        _, fds, _, _ = socket.recv_fds(self._control, 1, FDS)
        return json.loads(line), fds


def _serve(control: socket.socket) -> dict[str, Any] | None:
    """Make children until nobody asks any more. What a child is to run, in the child; None here, at the end."""
    told: dict[int, socket.socket] = {}
    woken, waker = socket.socketpair()
    woken.setblocking(False)
    waker.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's is for who asks
    signal.set_wakeup_fd(waker.fileno())
    asked = _Asked(control)
    while True:
        ready, _, _ = select.select([control, woken], [], [])
        if woken in ready:
            woken.recv(1000)
            _tell_ends(told)
        if control not in ready:
            continue
        if (wanted := asked.next()) is None:
            for pid in told:
                os.kill(pid, signal.SIGKILL)
            return None
        work, fds = wanted
        pid = os.fork()
        if not pid:
            _become(work, fds[:3])
            for one in (control, woken, waker, *told.values()):
                one.close()
            os.close(fds[3])
            return work
        for fd in fds[:3]:
            os.close(fd)
        told[pid] = socket.socket(fileno=fds[3])
        told[pid].sendall(b"%d\n" % pid)


def _tell_ends(told: dict[int, socket.socket]) -> None:
    while told:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        with told.pop(pid) as one:
            try:
                one.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
            except BrokenPipeError:
                continue  # nobody waits for it any more


def _become(work: dict[str, Any], streams: list[int]) -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    random.seed()
    for number, fd in enumerate(streams):
        os.dup2(fd, number)
        os.close(fd)
    os.environ.clear()
    os.environ.update(work["env"])
    time.tzset()
    os.chdir(work["cwd"])
    sys.argv[1:] = work["arguments"]


def _run(module: str) -> int:
    """As the interpreter does it, up to taking apart what was loaded, which takes longer than to start it."""
    code: object = 0
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
        code = 1
    for thread in threading.enumerate():
        if thread is not threading.main_thread() and not thread.daemon:
            thread.join()
    if isinstance(code, str):
        print(code, file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        with suppress(ValueError, OSError):  # closed by the program, or nobody reads
            stream.flush()
    return code if isinstance(code, int) else int(code is not None)


if __name__ == "__main__":
    _load()
    asking = socket.socket(fileno=int(sys.argv[1]))
    if (to_run := _serve(asking)) is not None:
        os._exit(_run(to_run["module"]) & 0xFF)
