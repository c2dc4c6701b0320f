"""A running gateway in the test's own process: a TOML file, loaded and composed as `serve` does it, over a fake
upstream."""

import json
import signal
import sqlite3
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest
import trio
import trustme

from ftgate import app, config
from ftgate.cli.remote import ask_server
from ftgate.doors.fast import FastDoor
from ftgate.doors.hypercorn import HypercornDoor
from ftgate.house import serving
from ftgate.house.house import DATABASE
from ftgate.store.database import connect
from ftgate.transports.direct import DirectUpstream
from ftgate.transports.sturdy import SturdyUpstream
from tests.fakes.collector import FakeCollector
from tests.fakes.stripe import FakeStripe
from tests.fakes.upstream import FakeUpstream, Script, Seen
from tests.patience import SOON_S, until

HELLO = [{"role": "user", "content": "Hello"}]
BASE: Mapping[str, Mapping[str, str]] = {
    "server": {"port": "0"},
    "channel": {
        "name": '"lab"',
        "provider": '"openai-compatible"',
        "base_url": '"FAKE/v1"',
        "keys": '["sk-lab-1"]',
    },
    "channel.models.m": {"input": "1", "output": "2", "context": "100000", "max_output": "1000"},
    "channel.models.n": {"input": "100", "output": "100", "context": "100000", "max_output": "1000"},
}
"""What stands in every config: a channel with a cheap model m and a dear one n."""


def written(*settings: Mapping[str, str], tail: str = "") -> str:
    """BASE with these settings in it, as a file. A setting is its section and its name, with dots: `server.port`.
    `tail` comes after it: more channels."""
    sections = {name: dict(lines) for name, lines in BASE.items()}
    for given in settings:
        for path, value in given.items():
            section, _, name = path.rpartition(".")
            sections.setdefault(section, {})[name] = value
    text = ""
    # A channel's tables come right after it.
    for section in sorted(sections, key=lambda name: (name.startswith("channel"), name.count("."))):
        text += f"\n[[{section}]]\n" if section == "channel" else f"\n[{section}]\n"
        text += "".join(f"{name} = {value}\n" for name, value in sections[section].items())
    return text + tail


class Gateway:
    """One that runs. `patience_s` is how long a check waits for what this gateway may never do."""

    def __init__(
        self, place: Path, text: str, fake: FakeUpstream, stripe: FakeStripe, *, patience_s: float
    ) -> None:  # fmt: skip
        self.place = place
        self.fake = fake
        self.stripe = stripe
        self.collector = FakeCollector()
        self.patience_s = patience_s
        self.file = place / "ftgate.toml"
        self.write(text)
        self.settings = self.read()
        self.data = place / "data"
        self.doors: list[type] = []
        self.ways: list[type] = []
        self.accounts = 0
        self.trust = ssl.create_default_context(cafile=place / "ca.pem")
        self.ids: dict[str, int] = {}  # of every key that was made

    def write(self, text: str) -> None:
        text = text.replace("FAKE", self.fake.url).replace("PLACE", str(self.place))
        for word, server in (("STRIPE", self.stripe), ("COLLECTOR", self.collector)):
            if word in text:
                text = text.replace(word, server.url)
        self.file.write_text(text)

    async def reload(self, text: str) -> None:
        """Other settings, by SIGHUP."""
        before = self.house.live.settings
        self.write(text)
        signal.raise_signal(signal.SIGHUP)
        await until(lambda: self.house.live.settings is not before)

    async def forget(self) -> None:
        """What was seen so far, and what the channel has failed with: that outlives other settings."""
        place, names = self.data, [channel.name for channel in self.house.settings.routes.channels]
        for name in names:
            await trio.to_thread.run_sync(partial(ask_server, place, "channels.reset", name=name))
        self.fake.requests.clear()
        self.fake.connections.clear()
        self.doors.clear()
        self.ways.clear()

    def read(self) -> config.Settings:
        return config.load(self.file, {"FROM_ENV": "sk-from-env"})

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Serve until cancelled or told by SIGTERM."""

        def ready(started: serving.Started) -> None:
            self.url, self.house = started.url, started.house
            task_status.started()

        server = self.settings.server
        self.ended = trio.Event()
        served = app.serve(self.settings, self.data, host=server.host, port=server.port, started=ready, read=self.read)
        assert await served == 0
        self.ended.set()

    async def __aenter__(self) -> "Gateway":
        self.stack = AsyncExitStack()
        self.stack.enter_context(self.collector)
        self.nursery = await self.stack.enter_async_context(trio.open_nursery())
        # The signal that ends a gateway must not end the tests where it has ended already.
        self.stack.callback(signal.signal, signal.SIGTERM, signal.signal(signal.SIGTERM, lambda *_: None))
        await self.start()
        client = httpx.AsyncClient(trust_env=False, timeout=20, base_url=self.url, verify=self.trust)
        self.http = await self.stack.enter_async_context(client)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Whoever still calls leaves; then it ends as a process does."""
        with trio.CancelScope(shield=True):
            await self.http.aclose()
            await self.stop()
        self.nursery.cancel_scope.cancel()
        await self.stack.aclose()

    async def start(self) -> None:
        self.settings = self.read()
        if not self.data.exists():
            self.data.mkdir(0o700)
            (self.data / DATABASE).write_bytes(empty_database())
            (self.data / DATABASE).chmod(0o600)
        await self.nursery.start(self.run)

    def tell_to_stop(self) -> None:
        signal.raise_signal(signal.SIGTERM)

    async def stop(self) -> None:
        self.tell_to_stop()
        with trio.fail_after(SOON_S):
            await self.ended.wait()

    # What is done with it

    async def account(self, credits: str = "1000") -> str:
        """A key of a new account."""
        self.accounts += 1
        name = f"u{self.accounts}"
        commands: Mapping[str, Any] = app.commands(self.house.accounts)
        await commands["users.create"](username=name, credits=credits)
        return await self.another_key(name)

    async def another_key(self, name: str) -> str:
        made = await app.commands(self.house.accounts)["keys.create"](username=name)
        self.ids[str(made["key"])] = int(str(made["id"]))
        return str(made["key"])

    async def chat(self, key: str, model: str = "m", **fields: Any) -> httpx.Response:
        """One whole call; a stream is read to its end, as far as patience goes."""
        body = {"model": model, "messages": HELLO, **fields}
        with trio.fail_after(self.patience_s):
            return await self.http.post("/v1/chat/completions", json=body, headers={"Authorization": f"Bearer {key}"})

    async def post(self, path: str, key: str, **fields: Any) -> httpx.Response:
        """One whole call in any dialect."""
        with trio.fail_after(self.patience_s):
            return await self.http.post(path, json=fields, headers={"Authorization": f"Bearer {key}"})

    async def sign_up(self, name: str, password: str = "a password", **headers: str) -> httpx.Response:
        body = {"username": name, "password": password}
        return await self.http.post("/v1/auth/register", json=body, headers=headers)

    async def get(self, path: str, key: str, **headers: str) -> httpx.Response:
        answer = await self.http.get(path, headers={"Authorization": f"Bearer {key}", **headers})
        assert answer.status_code == 200, answer.text
        return answer

    @asynccontextmanager
    async def stream(self, key: str, model: str = "m") -> AsyncIterator["Wire"]:
        """A streamed call on a connection of its own; leaving the block leaves the call."""
        body = json.dumps({"model": model, "messages": HELLO, "stream": True}).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
        url = httpx.URL(self.url)
        async with await trio.open_tcp_stream(url.host, url.port or 80) as stream:
            await stream.send_all(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            yield Wire(stream)

    @property
    def asked(self) -> Seen:
        """The newest request that went up."""
        return self.fake.requests[-1]

    async def rows(self, columns: str, key: str) -> list[tuple[Any, ...]]:
        """Of the log, what a key's calls left, oldest first."""
        sql = f"SELECT {columns} FROM requests WHERE key = ? ORDER BY id"
        with closing(sqlite3.connect(self.data / DATABASE)) as database:
            return database.execute(sql, (self.ids[key],)).fetchall()

    async def row(self, columns: str, key: str) -> tuple[Any, ...]:
        """The row of a key's only call, waited for."""
        found: list[tuple[Any, ...]] = []
        with trio.fail_after(SOON_S):
            while not found:
                found = await self.rows(columns, key)
                await trio.sleep(0.01)
        return found[-1]


class Wire:
    """What comes of a streamed call."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.received = b""

    async def until(self, mark: bytes, within_s: float = SOON_S) -> None:
        """Return when `mark` has come."""
        with trio.fail_after(within_s):
            while mark not in self.received:
                data = await self.stream.receive_some()
                assert data, self.received
                self.received += data


@cache
def empty_database() -> bytes:
    """One that was made and never served: to run all migrations is a third of a start."""
    with TemporaryDirectory() as place:
        connect(Path(place) / DATABASE, durability="process").close()
        return (Path(place) / DATABASE).read_bytes()


@cache
def authority() -> tuple[trustme.CA, trustme.LeafCert]:
    """Who signs, and a certificate for 127.0.0.1."""
    made = trustme.CA()
    return made, made.issue_cert("127.0.0.1")


@asynccontextmanager
async def running(
    place: Path, text: str, scripts: Mapping[str, Script], *, patience_s: float = SOON_S, tls: bool = False
) -> AsyncIterator[Gateway]:
    """A gateway with this config over an upstream with these scripts, until the block ends."""
    context = certified(place)
    fake = FakeUpstream(scripts, ssl_context=context if tls else None)
    with pytest.MonkeyPatch.context() as patch:
        # What is done to a whole process is not done to the tests'.
        patch.setattr(serving, "settle_the_heap", lambda: None)
        patch.setattr(serving, "allow_open_files", lambda: None)
        with FakeStripe() as stripe:
            async with fake.serving():
                gateway = Gateway(place, text, fake, stripe, patience_s=patience_s)
                for kind in (FastDoor, HypercornDoor):
                    _noted(patch, kind, "serve", gateway.doors)
                for way in (DirectUpstream, SturdyUpstream):
                    _noted(patch, way, "open", gateway.ways)
                async with gateway:
                    yield gateway


def _noted(patch: pytest.MonkeyPatch, kind: Any, method: str, into: list[type]) -> None:
    """Note in `into` that the method of this class was called."""
    whole = getattr(kind, method)

    def noted(self: Any, *values: Any, **fields: Any) -> Any:
        into.append(kind)
        return whole(self, *values, **fields)

    patch.setattr(kind, method, noted)


def certified(place: Path) -> ssl.SSLContext:
    """A certificate for 127.0.0.1 at cert.pem and key.pem, signed by ca.pem; and a server's context with it."""
    signer, made = authority()
    signer.cert_pem.write_to_path(place / "ca.pem")
    made.private_key_pem.write_to_path(place / "key.pem")
    for part in made.cert_chain_pems:
        part.write_to_path(place / "cert.pem", append=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    made.configure_cert(context)
    return context


__all__ = ["BASE", "HELLO", "SOON_S", "Gateway", "Script", "running", "until", "written"]


async def messages(gateway: Gateway, model: str) -> httpx.Response:
    """One whole call in Anthropic's words."""
    return await gateway.post("/v1/messages", await gateway.account(), model=model, max_tokens=9, messages=HELLO)


async def responses(gateway: Gateway, model: str) -> httpx.Response:
    """One whole call in the words of Responses."""
    return await gateway.post("/v1/responses", await gateway.account(), model=model, input="Hello")
