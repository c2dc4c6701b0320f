"""Starts the one file with one Python in an empty folder and sees that it serves: `python -m scripts.packing.smoke FILE
COMMAND...`, where COMMAND is a Python. Run in a network namespace of its own it brings up that one's loopback. Prints a
line of JSON: seconds of wall clock to `ready` at the first start and the second, and processor seconds."""

import contextlib
import fcntl
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

PATIENCE_S = 900.0
"""An emulated processor compiles slowly."""


def loopback_up() -> None:
    """Within a new network namespace nothing is up; elsewhere it is, or is none of our business."""
    with contextlib.suppress(OSError), socket.socket() as any_socket:
        asked = struct.pack("16sH14x", b"lo", 0x1 | 0x40)  # IFF_UP, IFF_RUNNING
        fcntl.ioctl(any_socket, 0x8914, asked)  # SIOCSIFFLAGS


def ask(url: str, key: str = "", body: dict[str, Any] | None = None) -> tuple[str, str]:
    """The type and the text of an answer. Raises OSError."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    request = urllib.request.Request(url, json.dumps(body).encode() if body else None, headers)
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def use(url: str, key: str) -> None:
    """A call, a stream, one in the other protocol, a topic of the manual, a page and what it loads."""
    hello = {"model": "demo-chat", "max_tokens": 50, "messages": [{"role": "user", "content": "Hello"}]}
    said = json.loads(ask(f"{url}/v1/chat/completions", key, hello)[1])
    assert said["choices"][0]["message"]["content"], said
    kind, streamed = ask(f"{url}/v1/chat/completions", key, {**hello, "stream": True})
    assert kind.startswith("text/event-stream") and streamed.rstrip().endswith("data: [DONE]"), streamed[-200:]
    said = json.loads(ask(f"{url}/anthropic/v1/messages", key, hello)[1])
    assert said["content"][0]["text"], said
    page = ask(f"{url}/docs/billing")[1]
    assert '<h2 id="plans">Plans</h2>' in page, page[:200]
    page = ask(f"{url}/login")[1]
    assert "<h1>Sign in</h1>" in page, page[:200]
    loaded = re.findall(r'="(/static/[^"]+)"', page)
    assert loaded, page[:200]
    for path in loaded:
        assert len(ask(url + path)[1]) > 100, path


def serve(command: list[str], place: Path, env: dict[str, str]) -> tuple[float, float, str]:
    """Start the demo, use it where it tells a key, end it. Gives seconds to `ready` and of the processor, and the key's
    text or nothing."""
    errors = place / "errors.txt"
    begun = time.monotonic()
    with errors.open("wb") as told:
        serving = subprocess.Popen(
            [*command, "demo", "--port", "0"], stdout=subprocess.PIPE, stderr=told, cwd=place, env=env
        )
    with serving:
        try:
            assert serving.stdout is not None
            ready = serving.stdout.readline().decode().split()
            took = time.monotonic() - begun
            assert ready[:1] == ["ready"], errors.read_text()
            times = Path(f"/proc/{serving.pid}/stat").read_text().rpartition(")")[2].split()[11:15]
            found = re.search(r"^  key +(\S+)", errors.read_text(), re.MULTILINE)
            if found is not None:
                use(ready[1], found[1])
        finally:
            serving.send_signal(signal.SIGTERM)
            code = serving.wait(PATIENCE_S)
    assert code == 0, f"it ended with {code}: {errors.read_text()}"
    return took, sum(map(int, times)) / os.sysconf("SC_CLK_TCK"), found[1] if found else ""


def main() -> None:
    file, *python = sys.argv[1:]
    loopback_up()
    with tempfile.TemporaryDirectory() as made:
        place = Path(made)
        alone = place / "alone" / "ftgate.pyz"
        alone.parent.mkdir()
        alone.write_bytes(Path(file).read_bytes())
        (place / "home").mkdir()
        env = {name: os.environ[name] for name in ("PATH",) if name in os.environ}
        env |= {"HOME": str(place / "home"), "PYTHONDONTWRITEBYTECODE": "1"}
        command = [*python, "ftgate.pyz"]
        first, first_cpu, key = serve(command, alone.parent, env)
        assert key, "the first start told no key"
        second, second_cpu, _ = serve(command, alone.parent, env)
        said = subprocess.run(
            [*command, "version"], capture_output=True, text=True, cwd=alone.parent, env=env, check=True
        )
        with contextlib.suppress(OSError):
            socket.create_connection(("192.0.2.1", 80), timeout=0.1).close()
            raise AssertionError("there is a network")
        assert {path.name for path in alone.parent.iterdir()} == {"ftgate.pyz", "ftgate-data", "errors.txt"}
    figures = {"first_s": first, "first_cpu_s": first_cpu, "second_s": second, "second_cpu_s": second_cpu}
    print(json.dumps({"version": said.stdout.strip()} | {name: round(value, 2) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
