"""What is measured, and how each is started: the upstreams, nginx in front of them, the naive reference. ftgate and the
peers have files of their own."""

import shutil
import sys
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from scripts.benchmark import wire
from scripts.benchmark.books import Books
from scripts.benchmark.plain import Target
from scripts.benchmark.processes import Child, Children, environment, free_port, listens

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PATH = "/v1/chat/completions"
KEY = "sk-bench"
START_S = 15.0


@dataclass
class Subject:
    """One thing under load. `child` is None for the direct way, whose process is the upstream's."""

    name: str
    words: str
    child: Child | None
    plain_port: int
    stream_port: int
    plain_headers: Mapping[str, str] = field(default_factory=lambda: {"Authorization": f"Bearer {KEY}"})
    stream_headers: Mapping[str, str] = field(default_factory=lambda: {"Authorization": f"Bearer {KEY}"})
    books: Books | None = None

    @property
    def plain(self) -> Target:
        return Target(self.plain_port, PATH, self.plain_headers)

    def stream_request(self, rate: int) -> bytes:
        return wire.request(self.stream_port, PATH, dict(self.stream_headers), wire.stream_body(rate))


@dataclass
class Upstreams:
    """Both upstreams, each a process, and how many plain calls the static one has answered."""

    static_port: int
    paced_port: int
    static: Child
    paced: Child
    words: str
    served: Callable[[], int]


@dataclass
class Place:
    """Where a run keeps its files, and its children."""

    directory: Path
    children: Children

    def sub(self, name: str) -> Path:
        made = self.directory / name
        made.mkdir(parents=True, exist_ok=True)
        return made


def _module(place: Place, name: str, module: str, *arguments: str) -> Child:
    """A program of this package as a process of its own."""
    argv = [sys.executable, "-m", f"scripts.benchmark.{module}", *arguments]
    return place.children.start(name, argv, place.sub(name), env=environment(PYTHONPATH=str(ROOT)))


# ---- nginx ----


def have_nginx() -> bool:
    return nginx_program() is not None


def nginx_program() -> str | None:
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


_NGINX = """daemon off; master_process off; pid nginx.pid; error_log stderr error; worker_rlimit_nofile 16384;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 300s; tcp_nodelay on; default_type application/json;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  {rest}
}}
"""


def _nginx(place: Place, name: str, rest: str, port: int) -> Child:
    """One process without a master, so that it ends with us."""
    directory = place.sub(name)
    (directory / "nginx.conf").write_text(_NGINX.format(rest=rest))
    program = nginx_program()
    assert program is not None
    child = place.children.start(name, [program, "-e", "stderr", "-p", str(directory), "-c", "nginx.conf"], directory)
    child.wait_for(lambda: listens(port), START_S)
    return child


def _served(url: str, nginx: bool) -> int:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=10) as answer:
        said = answer.read().decode()
    return int(said.splitlines()[2].split()[2]) if nginx else int(said)


def start_upstreams(place: Place) -> Upstreams:
    """nginx answering a fixed JSON, or our own loop where there is no nginx; and the paced one."""
    port, paced_port = free_port(), free_port()
    nginx = have_nginx()
    if nginx:
        answer = wire.plain_answer().decode()
        rest = f"server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ return 200 '{answer}'; }}\n"
        rest += "  location = /served { stub_status; } }"
        static = _nginx(place, "upstream", rest, port)
        asked = 0

        def served() -> int:
            nonlocal asked
            asked += 1  # the question counts too
            return _served(f"http://127.0.0.1:{port}/served", True) - asked

    else:
        static = _module(place, "upstream", "fixed", str(port))
        static.wait_for(lambda: listens(port), START_S)

        def served() -> int:
            return _served(f"http://127.0.0.1:{port}/served", False)

    paced = _module(place, "paced", "paced", str(paced_port))
    paced.wait_for(lambda: listens(paced_port), START_S)
    return Upstreams(port, paced_port, static, paced, "nginx" if nginx else "own loop (Python)", served)


# ---- the references ----


def direct(up: Upstreams) -> Subject:
    return Subject("direct", "the upstream itself, nothing between", None, up.static_port, up.paced_port)


def nginx_proxy(place: Place, up: Upstreams) -> Subject:
    plain, stream = free_port(), free_port()
    rest = ""
    for name, port, target in (("plain", plain, up.static_port), ("stream", stream, up.paced_port)):
        rest += f"upstream {name} {{ server 127.0.0.1:{target}; keepalive 1024; keepalive_requests 1000000000; }}\n"
        rest += (
            f"  server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ proxy_pass http://{name}; "
            "proxy_http_version 1.1;\n"
        )
        rest += '    proxy_set_header Connection ""; proxy_buffering off; proxy_read_timeout 600s; } }\n  '
    child = _nginx(place, "nginx", rest, stream)
    return Subject("nginx", "nginx proxy_pass, one process", child, plain, stream)


def naive(place: Place, up: Upstreams) -> Subject:
    port = free_port()
    urls = [f"http://127.0.0.1:{up.static_port}/v1", f"http://127.0.0.1:{up.paced_port}/v1"]
    child = _module(place, "naive", "naive", str(port), *urls)
    child.wait_for(lambda: listens(port), START_S)
    return Subject("naive", "Quart-Trio on Hypercorn with httpx, a passthrough", child, port, port)
