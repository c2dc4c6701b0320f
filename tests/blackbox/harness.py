"""The real gateway as a process, a scripted upstream as another, and the world outside: HTTP, raw sockets, the command
line.

A `House` is one data directory with one config, one fake upstream and, mostly, one running server:

    with House(tmp, channel("lab", ["plain"]), {"plain": {"content": ["Hi"]}}) as house:
        account = house.account(credits="1")
        answer = house.chat(account, "plain")

What a House promises at its end, whatever the tests did: every process it started has ended (by its own pid), the
ledger verifies, no hold is open, stderr holds no traceback, and neither stderr nor the data directory holds a planted
secret. `settle_down()` asks the first half of that between two tests.

Prices are USD per million tokens. DEFAULTS are chosen so that a cost can be read: a million prompt tokens cost 1,
cached ones 0.1, output 2. The fake counts characters // 4 + 3 for a prompt and one token for each piece of the answer,
so HELLO (5 characters) is 4 prompt tokens and the default answer 3: 0.00001 USD.

A call can take more than one way through: by the fast door or the Hypercorn door, out by the direct transport or by
httpx, over TLS or not. FTGATE_TEST_WAY (words of WAYS, with commas) sends every House that says nothing else its way;
nothing in it means fast, direct and plain. `scripts/ways` runs this suite through both doors and both transports; TLS
is for Houses that ask for it (test_ways.py), since not every client of this suite trusts a House's certificate.
"""

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import chdir, contextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import Any

import httpx
import trustme
from click.testing import CliRunner

from ftgate.cli.group import cli
from ftgate.store.source import Postgres, Source
from tests.patience import SOON_S
from tests.zygote import Child, zygote

REPO = Path(__file__).resolve().parents[2]
PROVIDER_KEY = "sk-canary-provider-key-4d1f8a72c9"
"""The upstream credential of every House: may be seen by the fake, and by nobody else."""
HELLO = [{"role": "user", "content": "Hello"}]
HELLO_PROMPT = 4
HELLO_COST = Decimal("0.00001")
DEFAULTS: Mapping[str, object] = {
    "input": 1,
    "output": 2,
    "cached": Decimal("0.1"),
    "context": 131_072,
    "max_output": 8192,
}
WAYS: Mapping[str, Mapping[str, object]] = {
    "hypercorn": {"fast_door": False},
    "httpx": {"direct_transport": False},
    "tls": {"tls_cert": "cert.pem", "tls_key": "key.pem"},
    "postgres": {},
}
"""What each word of a way adds to [server]. `tls` is spoken to the upstream too; `postgres`: the ledger is there, in a
database of the House's own (tests/postgres.py)."""
START_S = 15.0
COMMAND_S = 30.0


# ---- the config ----


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{json.dumps(str(name))} = {_toml(inner)}" for name, inner in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value)


def channel(name: str, models: Iterable[str] | Mapping[str, Mapping[str, object]], **settings: object) -> str:
    """TOML of one channel to the fake upstream. `models` are names, or names with what differs from DEFAULTS; None
    leaves one out."""
    fields = {"name": name, "provider": "openai-compatible", "base_url": "FAKE/v1", "keys": [PROVIDER_KEY], **settings}
    lines = ["[[channel]]", *(f"{key} = {_toml(value)}" for key, value in fields.items())]
    given = models if isinstance(models, Mapping) else {model: {} for model in models}
    for model, own in given.items():
        lines.append(f"[channel.models.{json.dumps(model)}]")
        lines += [f"{key} = {_toml(value)}" for key, value in {**DEFAULTS, **own}.items() if value is not None]
    return "\n".join(lines) + "\n"


def with_server(config: str, settings: Mapping[str, object]) -> str:
    """The config with these settings in its [server] table, as with_table()."""
    return with_table(config, "server", settings)


def with_table(config: str, table: str, settings: Mapping[str, object]) -> str:
    """The config with these settings in a table, which may be there already. At the end where it is not, so that line
    numbers stay."""
    lines = "".join(f"{name} = {_toml(value)}\n" for name, value in settings.items())
    found = re.search(rf"(?m)^\[{table}\]\n", config)
    if not lines or found is None:
        return config + (lines and f"\n[{table}]\n" + lines)
    return config[: found.end()] + lines + config[found.end() :]


# ---- processes ----


class Process:
    """A child with its output in files, so that no pipe can fill or leak. `ready` is what stood behind `ready ` on
    stdout."""

    def __init__(self, arguments: list[str], out: Path, err: Path, *, env: Mapping[str, str], cwd: Path) -> None:
        """`-m MODULE ...` is started by a Python that has loaded ours, anything else from nothing."""
        self.out, self.err = out, err
        self.child: subprocess.Popen[bytes] | Child
        with out.open("wb") as stdout, err.open("ab") as stderr:
            if arguments[0] == "-m":
                self.child = zygote().start(arguments[1], arguments[2:], out=stdout, err=stderr, env=env, cwd=cwd)
            else:
                self.child = subprocess.Popen(
                    arguments, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, env=dict(env), cwd=cwd
                )
        self.pid = self.child.pid

    def wait_ready(self) -> str:
        """The word after `ready`. AssertionError with its stderr when it ends or takes too long."""
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            said = self.out.read_text()
            if said.startswith("ready ") and said.endswith("\n"):
                return said.splitlines()[0].removeprefix("ready ")
            if self.child.poll() is not None:
                break
            time.sleep(0.01)
        code = self.child.poll()
        self.kill()
        raise AssertionError(f"not ready (exit code {code}): {self.err.read_text()}")

    @property
    def alive(self) -> bool:
        return self.child.poll() is None

    def signal(self, number: signal.Signals) -> None:
        self.child.send_signal(number)

    def wait(self, within_s: float = 10.0) -> int:
        """Its exit code; killed and reported when it has not ended in time."""
        try:
            return self.child.wait(within_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"pid {self.pid} had not ended after {within_s:g} s") from None

    def terminate(self, within_s: float = 10.0) -> int:
        """SIGTERM, and its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(within_s)

    def kill(self) -> None:
        """SIGKILL, if it still runs."""
        self.child.kill()
        self.child.wait()


def environment() -> dict[str, str]:
    """This environment without provider keys or settings of ours, so that the config alone counts."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith("FTGATE_") and "_API_KEY" not in name
    }
    return {**kept, "PYTHONPATH": str(REPO)}


class Fake:
    """The scripted upstream in a process of its own. Times in its state are time.monotonic(), the same clock as
    ours."""

    def __init__(
        self, base: Path, scripts: Mapping[str, Mapping[str, Any]], trust: ssl.SSLContext, *, tls: bool
    ) -> None:
        file = base / "scripts.json"
        file.write_text(json.dumps(scripts))
        arguments = ["-m", "tests.fakes.upstream", "--port", "0", "--scripts", str(file)]
        if tls:
            arguments += ["--cert", str(base / "cert.pem"), "--key", str(base / "key.pem")]
        self.process = Process(arguments, base / "fake.out", base / "fake.err", env=environment(), cwd=base)
        self.url = self.process.wait_ready()
        self.client = httpx.Client(base_url=self.url, trust_env=False, verify=trust)

    def script(self, **scripts: Mapping[str, Any]) -> None:
        """Add or replace scripts, by model."""
        assert self.client.post("/_fake/scripts", json=scripts).status_code == 200

    def answers(self, gets: Mapping[str, Any]) -> None:
        """Answer GETs of these paths by this JSON."""
        assert self.client.post("/_fake/answers", json=gets).status_code == 200

    def state(self) -> Any:
        return self.client.get("/_fake/state").json()

    def requests(self, model: str) -> list[dict[str, Any]]:
        """What came in for a model, oldest first, each with its `connection` in full."""
        state = self.state()
        return [
            {**seen, "connection": state["connections"][seen["connection"]]}
            for seen in state["requests"]
            if seen["json"] and seen["json"].get("model") == model
        ]

    def close(self) -> None:
        self.client.close()
        self.process.terminate()


# ---- the house ----


@dataclass(frozen=True)
class Account:
    """A user with one key."""

    name: str
    key: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}


@dataclass
class House:
    """One data directory, one config, one fake upstream, and a server (see the head of this file)."""

    base: Path
    config: str
    scripts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    canaries: list[str] = field(default_factory=lambda: [PROVIDER_KEY])
    serving: bool = True
    upstream: bool = True
    from_nothing: bool = False  # the server starts as anybody's does, a second later (tests/zygote.py)
    failpoint: str | None = None  # where the next server ends itself: PLACE=kill:N
    env: dict[str, str] = field(default_factory=dict)  # more of the server's environment
    way: str = field(default_factory=lambda: os.environ.get("FTGATE_TEST_WAY", ""))  # words of WAYS, with commas

    def __post_init__(self) -> None:
        self.base.mkdir(parents=True, exist_ok=True)
        self.data = self.base / "data"
        self.file = self.base / "ftgate.toml"
        self.err = self.base / "serve.err"
        self.count = 0
        self.server: Process | None = None
        self.trust = ssl.create_default_context()
        server = {name: value for word in self.way.split(",") if word for name, value in WAYS[word].items()}
        tls, config = "tls_cert" in server, self.config
        if tls:
            server.update(self.certify())
            config = config.replace(
                "[[channel]]\n", f"[[channel]]\nca_file = {json.dumps(str(self.base / 'ca.pem'))}\n"
            )
        if self.upstream:
            self.fake = Fake(self.base, self.scripts, self.trust, tls=tls)
            config = config.replace("FAKE", self.fake.url)
        else:  # nothing will call it
            config = config.replace("FAKE", "http://fake.invalid")
        self.postgres = self._database() if "postgres" in self.way.split(",") else None
        if self.postgres is not None:
            config = with_table(config, "database", {"url": self.postgres.url})
        self.file.write_text(with_server(config, server))
        # An idle connection is given up well before the server's own 5 s, so that a close never crosses a request.
        self.http = httpx.Client(
            trust_env=False, timeout=20, limits=httpx.Limits(keepalive_expiry=2.0), verify=self.trust
        )

    def __enter__(self) -> "House":
        try:
            if self.serving:
                self.start()
        except BaseException:
            self._let_go()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self.server is not None and self.server.alive:
                assert self.server.terminate() == 0
            self.check_books()
            self.check_secrets()
        finally:
            if self.server is not None:
                self.server.kill()
            self._let_go()

    def _database(self) -> Postgres:
        from tests.postgres import session_server

        self._own_database = session_server().database()
        return self._own_database.__enter__()

    @property
    def source(self) -> Source:
        """Where the ledger is."""
        return self.postgres or self.data / "ftgate.sqlite3"

    def _let_go(self) -> None:
        self.http.close()
        if self.postgres is not None:
            self._own_database.__exit__(None, None, None)
        if self.upstream:
            self.fake.close()

    def certify(self) -> dict[str, object]:
        """A certificate that `trust` trusts, as settings."""
        authority = trustme.CA()
        authority.configure_trust(self.trust)
        made = authority.issue_cert("127.0.0.1")
        made.private_key_pem.write_to_path(self.base / "key.pem")
        authority.cert_pem.write_to_path(self.base / "ca.pem")
        for part in made.cert_chain_pems:
            part.write_to_path(self.base / "cert.pem", append=True)
        return {"tls_cert": str(self.base / "cert.pem"), "tls_key": str(self.base / "key.pem")}

    # The server

    def spawn(
        self,
        *more: str,
        data: Path | None = None,
        config: Path | None = None,
        name: str = "",
        script: str | None = None,
    ) -> Process:
        """A `serve` process, not waited for. `script` is Python that ends by calling ftgate's main, in place of `-m
        ftgate`."""
        name = name or "serve"
        program = [*([sys.executable] if self.from_nothing else []), "-m", "ftgate"]
        if script is not None:
            program = [sys.executable, str(self.base / "altered.py")]
            Path(program[1]).write_text(script)
        arguments = [
            *program,
            "serve",
            "--config",
            str(config or self.file),
            "--data",
            str(data or self.data),
        ]
        arguments += [*more] if "--port" in more else ["--port", "0", *more]
        return Process(
            arguments, self.base / f"{name}.out", self.base / f"{name}.err", env=self.environment(), cwd=self.base
        )

    def environment(self) -> dict[str, str]:
        return {**environment(), **self.env, **({"FTGATE_FAILPOINT": self.failpoint} if self.failpoint else {})}

    def start(self, script: str | None = None) -> None:
        self.server = self.spawn(script=script)
        self.url = self.server.wait_ready()
        host, _, port = self.url.partition("://")[2].rpartition(":")
        self.address = host, int(port)
        self.http.base_url = self.url

    @property
    def process(self) -> Process:
        assert self.server is not None
        return self.server

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()

    def settle_down(self) -> None:
        """After a test: it lives, answers, holds nothing open and its ledger verifies."""
        if self.server is None or not self.server.alive:
            return
        assert self.http.get("/healthz").status_code == 200
        self.wait_for(lambda: self.verified()["open_holds"] == 0, "open holds remain")

    def check_books(self) -> None:
        if self.postgres is not None or (self.data / "ftgate.sqlite3").exists():
            assert self.verified()["open_holds"] == 0

    def verified(self) -> Any:
        """What `ledger verify` says, which must be ok at any time."""
        said = self.cli("ledger", "verify", "--json")
        assert said["ok"] is True, said
        return said

    def check_secrets(self) -> None:
        """No traceback and no planted secret where they must not be."""
        said = self.err.read_text() if self.err.exists() else ""
        assert "Traceback" not in said, said
        assert "Warning:" not in said, said
        for place in [self.err, self.base / "serve.out", *self.data.rglob("*")]:
            if not place.is_file():
                continue
            content = place.read_bytes()
            for canary in self.canaries:
                assert canary.encode() not in content, f"{canary} stands in {place.name}"

    def wait_for(self, condition: Callable[[], Any], words: str, within_s: float = SOON_S) -> Any:
        """The first true value of `condition()`, asked every 10 ms."""
        until = time.monotonic() + within_s
        while not (found := condition()):
            assert time.monotonic() < until, words
            time.sleep(0.01)
        return found

    def logged(self, words: str) -> None:
        """The log says so, or will in a moment: a thread of its own writes it."""
        self.wait_for(lambda: words in self.err.read_text(), f"the log does not say {words!r}")

    # The command line

    def cli(
        self,
        *arguments: str,
        code: int = 0,
        stdin: str = "",
        places: bool = True,
        cwd: Path | None = None,
        process: bool = False,
    ) -> Any:
        """What a command prints: its JSON with --json, else (stdout, stderr). It runs in this process, as an
        interpreter for each would cost the suite minutes; with `process`, and in a thread, it is a process of its own,
        so that several may run at once."""
        where = ["--config", str(self.file), "--data", str(self.data)] if places else []
        alone = process or threading.current_thread() is not threading.main_thread()
        run = command_process if alone else command_here
        said = run([*arguments, *where], stdin, cwd or self.base, {**environment(), **self.env})
        assert said.code == code, said
        assert "Traceback" not in said.err, said.err
        return json.loads(said.out) if "--json" in arguments and code == 0 else (said.out, said.err)

    def account(self, credits: str = "1", *, metered: bool = False, **key: str) -> Account:
        """A new user with one key; `key` are options of `keys create` (models, quota, expires)."""
        self.count += 1
        name = f"u{self.count}"
        self.cli("users", "create", name, "--credits", credits, "--json", *(["--metered"] if metered else []))
        return self.another_key(name, **key)

    def another_key(self, name: str, **key: str) -> Account:
        options = [part for option, value in key.items() for part in (f"--{option}", value)]
        made = self.cli("keys", "create", "--user", name, "--json", *options)
        self.canaries.append(made["key"])
        return Account(name, made["key"])

    # Calls

    def chat(
        self, account: Account | None, model: str = "plain", *, headers: Mapping[str, str] | None = None, **fields: Any
    ) -> httpx.Response:
        """One whole call; a stream is read to its end."""
        body = {"model": model, "messages": HELLO, **fields}
        return self.http.post(
            "/v1/chat/completions", json=body, headers={**(account.headers if account else {}), **(headers or {})}
        )

    def get(self, path: str, account: Account | None = None, **query: Any) -> Any:
        """The JSON of a GET that succeeds; numbers with a point are Decimals."""
        answer = self.http.get(path, params=query, headers=account.headers if account else {})
        assert answer.status_code == 200, answer.text
        return exact(answer)

    def balance(self, account: Account) -> Decimal:
        return Decimal(self.get("/v1/user/balance", account)["credits"])

    def rows(self, account: Account, **query: Any) -> list[dict[str, Any]]:
        return list(self.get("/v1/user/logs", account, page_size=100, **query)["data"])

    def row(self, account: Account, request_id: str | None = None) -> dict[str, Any]:
        """The log row of a call, or the newest; waited for, where the call may still be settling."""

        def found() -> dict[str, Any] | None:
            rows = self.rows(account)
            return next((row for row in rows if request_id in (None, row["request_id"])), None)

        row: dict[str, Any] = self.wait_for(found, f"no log row for {request_id}")
        return row

    def user(self, account: Account) -> dict[str, Any]:
        return next(user for user in self.cli("users", "list", "--json") if user["username"] == account.name)

    def raw(self, account: Account, model: str, *, more: bytes = b"", **fields: Any) -> "Raw":
        """A call on a socket of its own, sent but not read."""
        wire = self.connect()
        wire.send(self.request(account, model, **fields) + more)
        return wire

    def connect(self) -> "Raw":
        """A connection that has said nothing yet, over TLS where the server speaks it."""
        return Raw(self.address, self.trust if self.url.startswith("https:") else None)

    def request(self, account: Account, model: str, **fields: Any) -> bytes:
        """The bytes of one call."""
        body = json.dumps({"model": model, "messages": HELLO, **fields}).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: ftgate\r\nAuthorization: Bearer {account.key}\r\n"
        return f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@dataclass(frozen=True)
class Printed:
    """How a command ended."""

    code: int
    out: str
    err: str


def command_process(arguments: list[str], stdin: str, cwd: Path, env: Mapping[str, str]) -> Printed:
    """Run a command in a process of its own."""
    with TemporaryFile() as given, TemporaryFile() as out, TemporaryFile() as err:
        given.write(stdin.encode())
        given.seek(0)
        child = zygote().start("ftgate", arguments, stdin=given, out=out, err=err, env=env, cwd=cwd)
        try:
            code = child.wait(COMMAND_S)
        finally:
            child.kill()
        out.seek(0)
        err.seek(0)
        return Printed(code, out.read().decode(), err.read().decode())


def command_here(arguments: list[str], stdin: str, cwd: Path, env: Mapping[str, str]) -> Printed:
    """Run a command in this process, which must not be one that serves."""
    with chdir(cwd):
        done = CliRunner(env={name: env.get(name) for name in {*os.environ, *env}}).invoke(
            cli, arguments, input=stdin, prog_name="ftgate"
        )
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception  # it would be a traceback on a terminal
    return Printed(done.exit_code, done.stdout, done.stderr)


def exact(answer: httpx.Response) -> Any:
    return json.loads(answer.content, parse_float=Decimal)


def events(body: bytes) -> list[bytes]:
    """The events of a stream as raw bytes, each without its blank line."""
    return [event for event in body.replace(b"\r\n", b"\n").split(b"\n\n") if event]


def chunks(body: bytes) -> list[Any]:
    """The JSON of a stream's data events, without [DONE]."""
    lines = [[line[6:] for line in event.split(b"\n") if line.startswith(b"data: ")] for event in events(body)]
    said = [b"\n".join(data) for data in lines if data]
    return [json.loads(data, parse_float=Decimal) for data in said if data != b"[DONE]"]


def text(body: bytes) -> str:
    """The content that a stream brought."""
    return "".join(
        choice["delta"].get("content") or "" for chunk in chunks(body) for choice in chunk.get("choices", ())
    )


def error(answer: httpx.Response, status: int, code: str, param: str | None = None) -> str:
    """Check an error answer's whole shape; its message."""
    assert answer.status_code == status, (answer.status_code, answer.text)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"].startswith("req_")
    body = answer.json()
    assert body.keys() == {"error"} and body["error"].keys() == {"message", "type", "code", "param"}, body
    kinds = {
        400: "invalid_request_error", 401: "authentication_error", 402: "insufficient_balance", 403: "permission_error",
        404: "invalid_request_error", 405: "invalid_request_error", 413: "invalid_request_error",
        409: "invalid_request_error", 415: "invalid_request_error",
        429: "rate_limit_error",
    }  # fmt: skip
    assert (body["error"]["code"], body["error"]["type"]) == (code, kinds.get(status, "api_error")), body
    assert body["error"]["param"] == param, body
    message = str(body["error"]["message"])
    assert (
        message
        and "Traceback" not in answer.text
        and PROVIDER_KEY not in answer.text
        and "127.0.0.1" not in answer.text
    )
    return message


class Raw:
    """A client that speaks bytes: for leaving at a chosen moment, and for many calls at once."""

    def __init__(self, address: tuple[str, int], trust: ssl.SSLContext | None = None) -> None:
        self.socket = socket.create_connection(address, timeout=SOON_S)
        self.socket.setsockopt(
            socket.IPPROTO_TCP, socket.TCP_NODELAY, True
        )  # else a request waits for its handshake's last ACK
        if trust is not None:
            self.socket = trust.wrap_socket(self.socket, server_hostname=address[0])
        self.received = b""

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def until(self, mark: bytes, times: int = 1) -> bytes:
        """Read until `mark` has come so often; everything received so far."""
        while self.received.count(mark) < times:
            data = self.socket.recv(65_536)
            assert data, f"the connection ended before {mark!r}: {self.received!r}"
            self.received += data
        return self.received

    def rest(self, within_s: float = SOON_S) -> bytes:
        """Everything until the server closes."""
        self.socket.settimeout(within_s)
        with suppress(ConnectionResetError):
            while data := self.socket.recv(65_536):
                self.received += data
        return self.received

    def close(self) -> float:
        """Close, and when that was."""
        self.socket.close()
        return time.monotonic()

    def __enter__(self) -> "Raw":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


def body_of(response: bytes) -> bytes:
    """The body of a raw response with chunked framing, whole chunks only."""
    rest = response.partition(b"\r\n\r\n")[2]
    body = b""
    while (size := rest.partition(b"\r\n")[0]) and len(rest) > int(size, 16):
        length = int(size, 16)
        body, rest = body + rest[len(size) + 2 :][:length], rest[len(size) + length + 4 :]
        if not length:
            break
    return body


@contextmanager
def took(at_least_s: float = 0.0, at_most_s: float = 60.0) -> Iterator[None]:
    """The block's time is within these limits."""
    started = time.monotonic()
    yield
    passed = time.monotonic() - started
    assert at_least_s <= passed <= at_most_s, f"took {passed:.3f} s"
