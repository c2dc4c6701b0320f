"""A fast door with a Hypercorn door behind it, for tests: relay calls end in a walk of ours, which does what their body
says."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import trio
from trio.testing import wait_all_tasks_blocked

from ftgate.doors.asgi import AsgiClient, Relay
from ftgate.doors.fast import FastDoor
from ftgate.doors.hypercorn import HypercornDoor
from ftgate.doors.intake import Intake
from ftgate.errors import NotAuthenticated
from ftgate.line.call import Call
from ftgate.ports import Client, DoorSettings, Key
from ftgate.readiness import Readiness
from tests.doors.doors import PIECE, Running, contexts, get
from tests.fakes.ports import Still
from tests.patience import SOON_S

ROUTE = "/v1/chat/completions"
KEY = "Authorization: Bearer sk-right"
MAX_BODY = 100_000


def call(body: bytes, *headers: str, version: str = "1.1", length: int | None = None, path: str = ROUTE) -> bytes:
    """A relay call with a key that is known."""
    size = len(body) if length is None else length
    return get(path, KEY, f"Content-Length: {size}", *headers, method="POST", version=version) + body


def chunked(body: bytes, *headers: str, ending: bytes = b"0\r\n\r\n", size: int = 5, extension: bytes = b"") -> bytes:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    framed = b"".join(b"%x%s\r\n%s\r\n" % (len(piece), extension, piece) for piece in pieces)
    return get(ROUTE, KEY, "Transfer-Encoding: chunked", *headers, method="POST") + framed + ending


@dataclass
class Walked:
    """What came to the gate: bodies, ids, by which route, which door brought them, how each call ended."""

    bodies: list[bytes] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    routes: list[str] = field(default_factory=list)
    fast: list[bool] = field(default_factory=list)
    ended: list[str | None] = field(default_factory=list)
    others: list[tuple[str, bytes]] = field(
        default_factory=list
    )  # requests that were no relay calls, with their bodies
    started: trio.Event = field(default_factory=trio.Event)
    gone: trio.Event = field(default_factory=trio.Event)
    go_on: trio.Event = field(default_factory=trio.Event)

    async def wait_started(self) -> None:
        with trio.fail_after(SOON_S):
            await self.started.wait()

    async def wait_gone(self, within_s: float = SOON_S) -> None:
        with trio.fail_after(within_s):
            await self.gone.wait()

    async def walk(self, call: Call, client: Client) -> None:
        """In the gate's place: what the first word of the body says."""
        self.bodies.append(call.body)
        self.ids.append(call.id)
        self.fast.append(not isinstance(client, AsgiClient))
        self.routes.append(call.route)
        self.started.set()
        call.scope = trio.CancelScope()
        try:
            with call.scope:
                if not call.cancelled:
                    await self._act(call, client, call.body.partition(b" ")[0])
        finally:
            self.ended.append(call.ended_by)
            if call.left:
                self.gone.set()

    async def _act(self, call: Call, client: Client, what: bytes) -> None:
        if what == b"wait":
            await trio.sleep_forever()
        if what == b"slow":
            await self.go_on.wait()
        if what == b"boom":
            raise ValueError("sk-secret")
        if what == b"exit":
            raise SystemExit(3)
        if what not in (b"stream", b"tokens", b"flood", b"boom-late"):
            await client.answer(200, [(b"x-walked", b"yes")], call.body)
            return
        await client.start(200, [(b"content-type", b"text/event-stream")])
        count = 3
        while what in (b"tokens", b"flood") or count > 0:
            await client.send(PIECE if what == b"flood" else b"data: x\n\n")
            await trio.sleep(0 if what == b"flood" else 0.01)
            count -= 1
        if what == b"boom-late":
            raise ExceptionGroup("two", [ValueError("sk-secret"), KeyError("sk-secret")])
        if len(call.body) > len(b"stream "):
            await self.go_on.wait()
        await client.end(b"data: [DONE]\n\n")

    async def authenticate(self, secret: bytes | None) -> Key:
        if secret != b"sk-right":
            raise NotAuthenticated("Invalid API key")
        return Key(1, 1, "k", "sk-ri", True, True, False, "default")

    async def pages(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message["more_body"]:
                break
        self.others.append((scope["path"], body))
        said = b"fine" if scope["path"] == "/ok" else b"page"
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(said))]})
        await send({"type": "http.response.body", "body": said})


class Place:
    """A running fast door and what its calls do."""

    def __init__(self, walked: Walked, intake: Intake, running: Running) -> None:
        self.walked, self.intake, self.running = walked, intake, running
        self.connect = running.connect
        self.door: FastDoor = running.door

    async def settled(self) -> None:
        """Whatever happened: nothing is open, nothing held, nobody watched, and a new client is served by both
        doors."""
        client = await self.connect()
        await client.write(call(b"last"))
        assert (await client.answer("POST")).body == b"last"
        await client.write(get("/ok"))
        assert (await client.answer()).body == b"fine"
        self.running.close()
        await self.running.until_connections(0)
        assert (self.intake.held_bytes, self.door.readiness._watched, self.door.other.connections) == (0, {}, 0)


@asynccontextmanager
async def opened(
    nursery: trio.Nursery, *, tls: bool = False, cors: bool = False, site: Any = None, **settings: Any
) -> AsyncIterator[Place]:
    """A place on a port of its own. In place of `site` stand pages that remember what they were asked for."""
    client_context = None
    if tls:
        settings["ssl_context"], client_context = contexts()
    walked = Walked()
    methods_at = {"methods_at": site.methods_at} if site else {}
    intake = Intake(
        walked.walk,
        walked.walk,
        walked.authenticate,
        live=Still(doors=DoorSettings(MAX_BODY, cors)),
        **methods_at,
    )
    times = {name: value for name, value in settings.items() if name in ("keep_alive_s", "write_limit_s")}
    relay: Any = Relay(intake, site or walked.pages)
    other = HypercornDoor(relay, **times)
    readiness = Readiness()
    running = Running(
        FastDoor(intake, other, readiness, **settings),
        await trio.open_tcp_listeners(0, host="127.0.0.1"),
        client_context,
    )
    nursery.start_soon(readiness.run)
    await nursery.start(running.run)
    try:
        yield Place(walked, intake, running)
    finally:
        running.close()


async def rest() -> None:
    """Until everybody waits: what was sent before is read."""
    await wait_all_tasks_blocked(0.001)
