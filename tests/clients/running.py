"""A client as a process: its own group, nothing of this environment but the PATH, an end to its time."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

CLIENT_S = 120.0
NOWHERE = "http://127.0.0.1:9"
"""A proxy that is not there: what a client asks of anybody but this machine fails at once."""


@dataclass(frozen=True)
class Ended:
    """How a client ended. `code` is None where its time was over."""

    code: int | None
    said: str


def run(arguments: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str]) -> Ended:
    """Run it to its end, with its two outputs as one text. Nothing that it started outlives it."""
    more = {"PATH": os.environ["PATH"], "HTTP_PROXY": NOWHERE, "HTTPS_PROXY": NOWHERE, "NO_PROXY": "127.0.0.1"}
    child = subprocess.Popen(
        arguments, cwd=cwd, env={**more, **env}, start_new_session=True, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    code: int | None = None
    try:
        said, _ = child.communicate(timeout=CLIENT_S)
        code = child.returncode
    except subprocess.TimeoutExpired:
        _end(child.pid)
        said, _ = child.communicate()
    finally:
        _end(child.pid)
    return Ended(code, said)


def _end(group: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
