"""nginx and Caddy as processes, each with the block that the manual shows. Only what belongs to this machine is put in
its place: ports, the certificate, where files are kept."""

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ftgate.manual import topic

NAME = "llm.example.org"
"""The server's name in the manual."""
OURS = "127.0.0.1:8400"
"""Where the manual's proxies find it."""
GATEWAYS = ("gw1.internal:8400", "gw2.internal:8400")
"""Where they find two."""
START_S = 15.0
PROGRAMS = ("nginx", "caddy")
PLACES = ("/usr/sbin", "/usr/local/sbin")
"""Where servers lie that a user's PATH may not name."""
NGINX = """
daemon off;
master_process off;
pid BASE/nginx.pid;
events {}
http {
    access_log off;
    gzip on;
    client_body_temp_path BASE/body;
    proxy_temp_path BASE/proxy;
    fastcgi_temp_path BASE/fastcgi;
    uwsgi_temp_path BASE/uwsgi;
    scgi_temp_path BASE/scgi;
BLOCK
}
"""
"""What stands around a block, with the compression that distributions switch on."""
CADDY = "{\n    admin off\n    https_port PORT\n    auto_https disable_redirects\n}\nBLOCK"


def block(language: str, begin: str, name: str = "reverse-proxies") -> str:
    """The one block of the topic that is in this language and begins so. Raises ValueError."""
    [found] = [text for text in topic(name).text.split("```")[1::2] if text.startswith(f"{language}\n{begin}")]
    return found.removeprefix(f"{language}\n")


def put(text: str, places: Mapping[str, str]) -> str:
    """The text with each of these once in another's place. Raises ValueError where one is not there once."""
    for old, new in places.items():
        if text.count(old) != 1:
            raise ValueError(f"{old!r} stands {text.count(old)} times in the manual's block")
        text = text.replace(old, new)
    return text


def program(name: str) -> str | None:
    return shutil.which(name) or next((f"{place}/{name}" for place in PLACES if shutil.which(f"{place}/{name}")), None)


def written(name: str, base: Path, port: int, *addresses: str) -> str:
    """The config of a proxy that listens at `port` and leads to one address, or to two gateways. Its certificate lies
    in `base`."""
    if len(addresses) > 1:
        return _written_for_two(name, base, port, addresses)
    here = {OURS: addresses[0]}
    if name == "nginx":
        own = {"listen 443 ": f"listen 127.0.0.1:{port} "}
        files = {f"/etc/letsencrypt/live/{NAME}/fullchain.pem": f"{base}/cert.pem",
                 f"/etc/letsencrypt/live/{NAME}/privkey.pem": f"{base}/key.pem"}  # fmt: skip
        around = NGINX.replace("BASE", str(base))
        return around.replace("BLOCK", put(block("nginx", "server {"), {**here, **own, **files}))
    own = {f"{NAME} {{\n": f"{NAME} {{\n    tls {base}/cert.pem {base}/key.pem\n"}
    return CADDY.replace("PORT", str(port)).replace("BLOCK", put(block("text", NAME), {**here, **own}))


def _written_for_two(name: str, base: Path, port: int, addresses: Sequence[str]) -> str:
    here = dict(zip(GATEWAYS, addresses, strict=True))
    if name == "nginx":
        own = {"listen 443 ssl;": f"listen 127.0.0.1:{port} ssl; ssl_certificate {base}/cert.pem;"
               f" ssl_certificate_key {base}/key.pem;"}  # fmt: skip
        around = NGINX.replace("BASE", str(base)).replace("master_process off;", "worker_processes 1;")
        return around.replace("BLOCK", put(block("nginx", "upstream", "postgres"), {**here, **own}))
    own = {f"{NAME} {{\n": f"{NAME} {{\n    tls {base}/cert.pem {base}/key.pem\n"}
    return CADDY.replace("PORT", str(port)).replace("BLOCK", put(block("text", NAME, "postgres"), {**here, **own}))


@dataclass(frozen=True)
class Front:
    """A proxy that runs: its port, its config, its process."""

    port: int
    file: Path
    child: "subprocess.Popen[bytes]"

    def without(self, address: str | None) -> None:
        """nginx alone, reloaded: take a gateway out, or put all back."""
        text = self.file.read_text().replace(" down;", ";")
        if address is not None:
            line = f"server {address} max_fails=1 fail_timeout=1s;"
            text = put(text, {line: line.replace(";", " down;")})
        self.file.write_text(text)
        before = self._workers()
        self.child.send_signal(signal.SIGHUP)
        until = time.monotonic() + START_S
        while self._workers() <= before:
            assert time.monotonic() < until, "nginx does not reload"
            time.sleep(0.02)

    def _workers(self) -> set[int]:
        children = Path(f"/proc/{self.child.pid}/task/{self.child.pid}/children")
        return set(map(int, children.read_text().split()))


@contextmanager
def serving(name: str, path: str, base: Path, *addresses: str) -> Iterator["Front"]:
    """A proxy that runs. AssertionError with its words where it does not start."""
    with socket.socket() as any_port:
        any_port.bind(("127.0.0.1", 0))
        port: int = any_port.getsockname()[1]
    file, said = base / f"{name}.conf", base / f"{name}.txt"
    file.write_text(written(name, base, port, *addresses))
    command = [path, "-p", str(base), "-e", "stderr", "-c", str(file)]
    if name == "caddy":
        command = [path, "run", "--adapter", "caddyfile", "--config", str(file)]
    with said.open("wb") as told:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=told, stderr=told, cwd=base,
            env={"PATH": "/usr/bin:/bin", "HOME": str(base)},
        )  # fmt: skip
    try:
        until = time.monotonic() + START_S
        while not _listens(port):
            assert child.poll() is None and time.monotonic() < until, f"{name} does not start: {said.read_text()}"
            time.sleep(0.02)
        yield Front(port, file, child)
    finally:
        child.terminate()
        with suppress(subprocess.TimeoutExpired):
            child.wait(5)
        child.kill()
        child.wait()


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
