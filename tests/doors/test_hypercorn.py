"""The hardened door, from outside: real sockets, hostile bytes, clients that leave or do not read.

F numbers are those of the fault list. Each fault runs against a plain ASGI app and a Quart-Trio app, and each ends with
a normal request that must succeed: what one client does may cost it its own connection and nothing else.
"""

import logging
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import h11
import pytest
import trio
from quart import Response, request
from quart_trio import QuartTrio

from ftgate.doors.hypercorn import HypercornDoor
from ftgate.web.connection import ShieldedConnection
from tests.doors.doors import PIECE, Client, FailingListener, One, Running, contexts, get, post
from tests.patience import SOON_S, until

# --- the two apps
# -----------------------------------------------------------------------------------------------------------


@dataclass
class Seen:
    """What the app saw."""

    started: trio.Event = field(default_factory=trio.Event)
    gone: trio.Event = field(default_factory=trio.Event)
    go_on: trio.Event = field(default_factory=trio.Event)
    after_gone: int = 0
    bodies: list[bytes] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    kinds: set[str] = field(default_factory=set)

    async def wait_started(self) -> None:
        with trio.fail_after(SOON_S):
            await self.started.wait()


async def read_body(receive: Callable[[], Awaitable[dict[str, Any]]]) -> bytes:
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return body
        body += message["body"]
        if not message["more_body"]:
            return body


def raw_app(seen: Seen) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.kinds.add(scope["type"])
        seen.paths.append(scope["path"])
        seen.started.set()

        async def answer(status: int, body: bytes) -> None:
            await send(
                {"type": "http.response.start", "status": status, "headers": [(b"content-length", b"%d" % len(body))]}
            )
            await send({"type": "http.response.body", "body": body})

        async def stream(piece: bytes, count: float, pause_s: float) -> None:
            async with trio.open_nursery() as nursery:

                async def watch() -> None:
                    while (await receive())["type"] != "http.disconnect":
                        pass
                    seen.gone.set()
                    nursery.cancel_scope.cancel()

                nursery.start_soon(watch)
                headers = [(b"X-Request-Id", b"req_" + scope["path"][1:].encode())]
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                while count > 0:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                    await trio.sleep(pause_s)
                    count -= 1
                nursery.cancel_scope.cancel()
            for _ in range(3):  # no-ops once the client is gone
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                seen.after_gone += seen.gone.is_set()
            await send({"type": "http.response.body", "body": b""})

        match scope["path"]:
            case "/ok":
                await answer(200, b"fine")
            case "/echo":
                seen.bodies.append(await read_body(receive))
                await answer(200, b"%d" % len(seen.bodies[-1]))
            case "/tokens":
                await stream(b"data: x\n\n", float("inf"), 0.01)
            case "/flood":
                await stream(PIECE, float("inf"), 0)
            case "/three":
                await stream(b"abc", 3, 0.01)
            case "/wait":
                await read_body(receive)
                assert (await receive())["type"] == "http.disconnect"
                assert (await receive())["type"] == "http.disconnect"  # as often as asked
                seen.gone.set()
                await answer(200, b"to nobody")
            case "/slow":
                await seen.go_on.wait()
                await answer(200, b"slow but fine")
            case "/late":
                await seen.go_on.wait()
                assert (await receive())["type"] == "http.disconnect"
                seen.gone.set()
            case "/spin":  # an app whose only await is send()
                await send({"type": "http.response.start", "status": 200, "headers": []})
                until = time.monotonic() + 1.5
                while time.monotonic() < until and not seen.go_on.is_set():
                    await send({"type": "http.response.body", "body": b"x", "more_body": True})
                seen.gone.set()
            case "/refuse":
                await answer(413, b"too large")
            case "/boom":
                raise ValueError("sk-secret")
            case "/boom-late":
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await send({"type": "http.response.body", "body": b"half", "more_body": True})
                raise ExceptionGroup("two", [ValueError("sk-secret"), KeyError("sk-secret")])
            case "/exit":
                raise SystemExit(3)
            case "/bad-header":
                await send({"type": "http.response.start", "status": 200, "headers": [(b"x", b"a\r\nb")]})
            case _:
                await answer(404, b"")

    return app


async def quart_app(seen: Seen) -> Any:
    app = QuartTrio("ftgate-test")
    app.asgi_http_class = ShieldedConnection
    app.config["PROPAGATE_EXCEPTIONS"] = False
    app.logger.disabled = True

    @app.before_request
    async def note() -> None:
        seen.kinds.add(request.scope["type"])
        seen.paths.append(request.path)
        seen.started.set()

    def stream(piece: bytes, count: float, pause_s: float, fail: bool = False) -> Response:
        async def pieces() -> Any:
            left = count
            try:
                while left > 0:
                    yield piece
                    await trio.sleep(pause_s)
                    left -= 1
                if fail:
                    raise ValueError("sk-secret")
            except (GeneratorExit, trio.Cancelled):
                seen.gone.set()
                raise

        response = Response(pieces())
        response.timeout = None
        return response

    @app.route("/ok")
    async def ok() -> bytes:
        return b"fine"

    @app.route("/echo", methods=["POST"])
    async def echo() -> str:
        seen.bodies.append(await request.get_data())
        return str(len(seen.bodies[-1]))

    @app.route("/tokens")
    async def tokens() -> Response:
        return stream(b"data: x\n\n", float("inf"), 0.01)

    @app.route("/flood")
    async def flood() -> Response:
        response = stream(PIECE, float("inf"), 0)
        response.headers["X-Request-Id"] = "req_flood"
        return response

    @app.route("/three")
    async def three() -> Response:
        return stream(b"abc", 3, 0.01)

    @app.route("/wait", methods=["GET", "POST"])
    async def wait() -> bytes:
        try:
            await trio.sleep_forever()
        finally:
            seen.gone.set()
        return b""

    @app.route("/slow")
    async def slow() -> bytes:
        await seen.go_on.wait()
        return b"slow but fine"

    @app.route("/refuse", methods=["POST"])
    async def refuse() -> tuple[bytes, int]:
        return b"too large", 413

    @app.route("/boom")
    async def boom() -> bytes:
        raise ValueError("sk-secret")

    @app.route("/boom-late")
    async def boom_late() -> Response:
        return stream(b"half", 1, 0, fail=True)

    await app.startup()
    return app


# --- the door
# ------------------------------------------------------------------------------------------------------------


class Doors:
    """Starts doors for one test."""

    def __init__(self, nursery: trio.Nursery, kind: str) -> None:
        self.nursery, self.kind = nursery, kind
        self.opened: list[Running] = []

    async def open(self, seen: Seen, *, tls: bool = False, **settings: Any) -> Running:
        app = raw_app(seen) if self.kind == "raw" else await quart_app(seen)
        client_context = None
        if tls:
            settings["ssl_context"], client_context = contexts()
        running = Running(
            HypercornDoor(app, **settings), await trio.open_tcp_listeners(0, host="127.0.0.1"), client_context
        )
        await self.nursery.start(running.run)
        self.opened.append(running)
        return running


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture(params=["raw", "quart"])
async def doors(request: Any, nursery: trio.Nursery) -> Any:
    doors = Doors(nursery, request.param)
    yield doors
    for running in doors.opened:
        running.close()


# --- F1 to F6: bytes that ended the process, or should have been refused
# -----------------------------------------------------

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
HEADERS = b"\x00\x00\x0b\x01\x04\x00\x00\x00\x01\x82\x86\x44\x04/\xffxx\x41\x01x"
DATA = b"\x00\x00\x03\x00\x00\x00\x00\x00\x01abc"


@pytest.mark.parametrize("settings", ["A", "AAMAAABkAAQAAP__", ""])
async def test_f1_h2c_upgrade_is_answered_as_http_1(doors: Doors, seen: Seen, settings: str) -> None:
    running = await doors.open(seen)
    client = await running.connect()
    await client.write(get("/ok", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", f"HTTP2-Settings: {settings}"))
    assert (await client.answer()).status == 200
    assert (await client.ask("/ok")).status == 200  # and the connection goes on
    await running.check_alive()


@pytest.mark.parametrize("frames", [b"", SETTINGS, SETTINGS + HEADERS, SETTINGS + HEADERS + DATA])
async def test_f2_f3_h2_by_prior_knowledge_is_refused(doors: Doors, seen: Seen, frames: bytes) -> None:
    running = await doors.open(seen)
    client = await running.connect()
    await client.write(PREFACE + frames)
    assert (await client.read_to_end()).startswith(b"HTTP/1.1 505 ")
    assert seen.paths == []
    await running.check_alive()


async def test_f3_body_after_an_early_refusal_ends_only_its_connection(doors: Doors, seen: Seen) -> None:
    running = await doors.open(seen)
    client = await running.connect()
    await client.write(get("/refuse", "Content-Length: 1000", method="POST"))
    assert (await client.answer("POST")).status == 413
    await client.write(b"x" * 500)
    await client.write(b"x" * 500 + b"GET /ok HTTP/1.1\r\nHost: x\r\n\r\n")
    assert await client.read_to_end() == b""
    await running.check_alive()


async def test_f4_websocket_upgrade_with_a_byte_behind_it(doors: Doors, seen: Seen) -> None:
    running = await doors.open(seen)
    client = await running.connect()
    upgrade = get(
        "/ok",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    )
    await client.write(upgrade + b"\x81")
    assert (await client.answer()).status == 200
    assert seen.kinds == {"http"}
    await running.check_alive()


@pytest.mark.parametrize(
    ("sent", "statuses"),
    [
        (bytes(range(256)) * 8 + b"\r\n\r\n", {400}),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200, {400}),
        (get("/ok", "X: " + "y" * 70_000), {431}),
        (get("/ok", "X: " + "y" * 40_000), {431}),
        (get("/" + "y" * 70_000), {431}),
        (get("http://example.org/ok", "Connection: close"), {200}),
        (get("HTTPS://example.org/ok?x=http://y/", "Connection: close"), {200}),
        (get("http://example.org", "Connection: close"), {404}),
        (get("http://example.org?x=1", "Connection: close"), {404}),
        (get("*", "Connection: close", method="OPTIONS"), {200, 400, 404, 405}),
        (get("/%ff%00", "Connection: close"), {400, 404}),
        (get("example.org:443", "Connection: close", method="CONNECT"), {400, 404, 405, 501}),
        (b"GET /ok HTTP/1.1\r\n\r\n", {400}),
        (b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", {400}),
        (b"GE\xffT / HTTP/1.1\r\nHost: x\r\n\r\n", {400}),
        (get("/ok", version="3.0"), {505}),
        (b"GET /ok\r\n\r\n", {400}),
    ],
)
async def test_f5_odd_requests(doors: Doors, seen: Seen, sent: bytes, statuses: set[int]) -> None:
    running = await doors.open(seen)
    client = await running.connect()
    await client.write(sent)
    answer = await client.read_to_end()
    assert int(answer.split(b" ")[1]) in statuses
    assert b"server:" not in answer.lower()
    await running.check_alive()


async def test_f5_resets_right_after_connecting(doors: Doors, seen: Seen) -> None:
    running = await doors.open(seen)
    for _ in range(200):
        (await running.connect()).reset()
    await running.check_alive()
    await running.until_connections(0)


AMBIGUOUS = {
    "both": ["Content-Length: 5", "Transfer-Encoding: chunked"],
    "both, the other way": ["Transfer-Encoding: chunked", "content-length: 5"],
    "same twice": ["Content-Length: 5", "Content-Length: 5"],
    "two lengths": ["Content-Length: 5", "Content-Length: 6"],
    "list": ["Content-Length: 5, 5"],
    "folded": ["Content-Length: 5", " , 5"],
    "negative": ["Content-Length: -5"],
    "signed": ["Content-Length: +5"],
    "huge": ["Content-Length: " + "9" * 30],
    "space before colon": ["Content-Length : 5"],
    "chunked twice": ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
    "unknown coding": ["Transfer-Encoding: gzip, chunked"],
}


@pytest.mark.parametrize("headers", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
async def test_f6_ambiguous_framing_is_refused(doors: Doors, seen: Seen, headers: list[str]) -> None:
    running = await doors.open(seen)
    client = await running.connect()
    await client.ask("/ok")
    await client.write(get("/echo", *headers, method="POST") + b"0\r\n\r\n")
    assert (await client.answer("POST")).status in {400, 501}
    assert await client.read_to_end() == b""
    assert seen.paths == ["/ok"]
    await running.check_alive()


BAD_CHUNKS = [
    b"zz\r\nabc\r\n", b"-1\r\n", b"3\r\nabcd\r\n", b"3" * 40 + b"\r\n", b"F" * 17 + b"\r\n", b"3\nabc",
    b"3\nabc\n0\n\n", b"0\n\n",
    b"3\r\nabc\n0\r\n\r\n", b"3;a=b\nabc\r\n", b"0\r\n\n", b"0\r\nX: y\n\n", b"0\r\nX: y\n\r\n", b"0\r\n X: y\r\n\r\n",
]  # fmt: skip


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("chunk", BAD_CHUNKS)
async def test_f6_bad_chunk_is_refused(doors: Doors, seen: Seen, chunk: bytes, apart: bool) -> None:
    running = await doors.open(seen)
    client = await running.connect()
    head = get("/echo", "Transfer-Encoding: chunked", method="POST")
    if apart:
        await client.write(head + b"2\r\nhi\r\n")
        await trio.sleep(0.02)
        await client.write(chunk)
    else:
        await client.write(head + chunk)
    assert (await client.answer("POST")).status == 400
    assert await client.read_to_end() == b""
    await running.check_alive()


async def test_f6_chunks_in_http_1_0_are_refused(doors: Doors, seen: Seen) -> None:
    running = await doors.open(seen)
    client = await running.connect()
    await client.write(get("/echo", "Transfer-Encoding: chunked", method="POST", version="1.0") + b"0\r\n\r\n")
    assert (await client.answer("POST")).status == 400
    await running.check_alive()


# --- F29 to F35: clients that leave, stall or idle
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("path", ["/wait", "/tokens"])
@pytest.mark.parametrize("extra", [b"", b"!", b"\r\n", get("/ok"), b"x" * 70_000])
async def test_f29_leaving_is_seen_at_once_whatever_was_sent_before(
    doors: Doors, seen: Seen, path: str, extra: bytes, tls: bool
) -> None:
    running = await doors.open(seen, tls=tls)
    client = await running.connect()
    await client.write(get(path) + extra)
    await seen.wait_started()
    if len(extra) < 65_536:  # more than that is itself a reason to close
        await trio.sleep(0.05)
        assert not seen.gone.is_set()
    client.close()
    with trio.fail_after(SOON_S):
        await seen.gone.wait()
    await running.until_connections(0)
    await running.check_alive()


@pytest.mark.parametrize("tls", [False, True])
async def test_f29_too_much_behind_a_request_ends_the_connection(doors: Doors, seen: Seen, tls: bool) -> None:
    running = await doors.open(seen, tls=tls)
    client = await running.connect()
    await client.write(get("/wait") + b"!")
    await seen.wait_started()
    with pytest.raises(trio.BrokenResourceError):
        for _ in range(1000):
            await client.write(PIECE)
    with trio.fail_after(SOON_S):
        await seen.gone.wait()
    await running.check_alive()


@pytest.mark.parametrize("extra", [b"", b"!"])
async def test_f29_with_an_upgrade_header(doors: Doors, seen: Seen, extra: bytes) -> None:
    # h11 pauses after a request with an Upgrade header, so a stock server hears nothing more from this client.
    running = await doors.open(seen)
    client = await running.connect()
    await client.write(get("/wait", "Connection: Upgrade", "Upgrade: h2c") + extra)
    await seen.wait_started()
    client.close()
    with trio.fail_after(SOON_S):
        await seen.gone.wait()
    await running.check_alive()


async def test_f29_extra_bytes_after_a_request_that_closes_are_ignored(doors: Doors, seen: Seen) -> None:
    running = await doors.open(seen)
    client = await running.connect()
    await client.write(post("/slow", b"", "Connection: close").replace(b"POST", b"GET") + b"\r\n")
    await seen.wait_started()
    await client.write(b"\r\n")
    await trio.sleep(0.05)
    seen.go_on.set()
    assert (await client.answer()).body == b"slow but fine"
    assert await client.read_to_end() == b""
    await running.check_alive()


async def test_f30_half_close_counts_as_leaving(doors: Doors, seen: Seen) -> None:
    running = await doors.open(seen)
    client = await running.connect()
    await client.write(get("/wait"))
    await seen.wait_started()
    await client.stream.send_eof()
    with trio.fail_after(SOON_S):
        await seen.gone.wait()
    await running.check_alive()


async def test_f30_leaving_in_the_middle_of_an_upload(doors: Doors, seen: Seen) -> None:
    running = await doors.open(seen)
    client = await running.connect()
    await client.write(get("/wait", "Content-Length: 100", method="POST") + b"x" * 20)
    await seen.wait_started()
    client.close()
    await running.until_connections(0)
    await running.check_alive()


@pytest.mark.parametrize("doors", ["raw"], indirect=True)
async def test_f29_leaving_is_seen_while_the_app_does_not_read(doors: Doors, seen: Seen) -> None:
    running = await doors.open(seen)
    client = await running.connect()
    await client.write(get("/late", "Content-Length: 1000000", method="POST"))
    for _ in range(50):  # more pieces than a queue of messages would hold
        await client.write(b"x" * 1000)
        await trio.sleep(0.001)
    client.close()
    await trio.sleep(0.1)
    seen.go_on.set()
    with trio.fail_after(SOON_S):
        await seen.gone.wait()
    await running.until_connections(0)
    await running.check_alive()


async def stall(running: Running, seen: Seen) -> Client:
    client = await running.connect(small_buffer=True)
    await client.write(get("/flood"))
    await client.stream.receive_some(1024)
    await trio.sleep(0.1)
    assert not seen.gone.is_set()
    return client


@pytest.mark.parametrize("tls", [False, True])
async def test_f31_a_client_that_does_not_read_is_dropped(
    doors: Doors, seen: Seen, tls: bool, caplog: pytest.LogCaptureFixture
) -> None:
    running = await doors.open(seen, write_limit_s=0.5, tls=tls)
    await stall(running, seen)
    await running.check_alive()
    with trio.fail_after(2):
        await seen.gone.wait()
    (said,) = [record.getMessage() for record in caplog.records]
    assert said == "request req_flood: the client has not read for 0.5 s and is dropped"
    await running.until_connections(0)
    await running.check_alive()


@pytest.mark.parametrize("tls", [False, True])
async def test_f31_stop_does_not_wait_longer_than_the_write_limit(doors: Doors, seen: Seen, tls: bool) -> None:
    running = await doors.open(seen, write_limit_s=0.5, tls=tls)
    await stall(running, seen)
    running.door.stop()
    with trio.fail_after(2):
        await running.returned.wait()


@pytest.mark.parametrize("tls", [False, True])
async def test_f31_cancelling_does_not_wait_at_all(doors: Doors, seen: Seen, tls: bool) -> None:
    running = await doors.open(seen, write_limit_s=60, tls=tls)
    await stall(running, seen)
    running.scope.cancel()
    with trio.fail_after(SOON_S):
        await running.returned.wait()


async def test_f31_a_slow_reader_that_goes_on_is_not_dropped(doors: Doors, seen: Seen) -> None:
    running = await doors.open(seen, write_limit_s=0.4)
    client = await running.connect(small_buffer=True)
    await client.write(get("/flood"))
    started = trio.current_time()
    while trio.current_time() < started + 1.2:
        for _ in range(8):
            assert await client.read()
        await trio.sleep(0.02)
    assert not seen.gone.is_set()


async def test_f32_slow_head_is_cut_at_the_budget(doors: Doors, seen: Seen) -> None:
    running = await doors.open(seen, keep_alive_s=0.5)
    client = await running.connect()
    started = trio.current_time()
    with pytest.raises(trio.BrokenResourceError):
        await client.write(b"GET /ok HTTP/1.1\r\nHost: x\r\n")
        while trio.current_time() < started + SOON_S:
            await client.write(b"X: y\r\n")
            await trio.sleep(0.1)
    assert 0.4 < trio.current_time() - started < 1.5
    assert seen.paths == []
    await running.check_alive()


async def test_a_long_answer_is_not_cut_by_the_idle_budget(doors: Doors, seen: Seen) -> None:
    running = await doors.open(seen, keep_alive_s=0.2)
    client = await running.connect()
    await client.write(get("/slow"))
    await trio.sleep(0.5)
    seen.go_on.set()
    assert (await client.answer()).body == b"slow but fine"


async def idle_clients(running: Running, count: int, path: str = "/ok") -> list[Client]:
    """So many whose request has been answered. Each asks as soon as it is connected."""
    clients: list[Client] = []

    async def ask() -> None:
        client = await running.connect()
        assert (await client.ask(path)).status == 200
        clients.append(client)

    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(ask)
    return clients


@pytest.mark.parametrize("path", ["/ok", "/three"])
async def test_f34_idle_connections_are_reaped(doors: Doors, seen: Seen, path: str) -> None:
    running = await doors.open(seen, keep_alive_s=2)  # longer than a busy machine needs for all of their questions
    clients = await idle_clients(running, 100 if path == "/ok" else 20, path)
    await running.until_connections(0)
    assert await clients[0].read_to_end() == b""
    await running.check_alive()


async def test_f34_over_tls(doors: Doors, seen: Seen) -> None:
    running = await doors.open(seen, keep_alive_s=2, tls=True)
    clients = await idle_clients(running, 20)
    assert {client.stream.selected_alpn_protocol() for client in clients} == {"http/1.1"}
    await running.until_connections(0)
    await running.check_alive()


async def test_f34_silent_connections_and_unfinished_handshakes_are_reaped(doors: Doors, seen: Seen) -> None:
    running = await doors.open(seen, keep_alive_s=0.3, tls=True)
    sockets = [await trio.open_tcp_stream("127.0.0.1", running.port) for _ in range(3)]
    await sockets[0].send_all(b"GET / HTTP/1.1\r\n\r\n")  # no TLS at all
    await sockets[1].send_all(b"\x16\x03\x01\x02\x00\x01")  # half a hello
    await trio.sleep(0.05)
    await running.until_connections(0)
    await running.check_alive()
    for sock in sockets:
        await sock.aclose()


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("path", ["/ok", "/three"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_f35_close_and_http_1_0_end_with_eof(
    doors: Doors, seen: Seen, path: str, version: str, tls: bool
) -> None:
    running = await doors.open(seen, tls=tls)
    client = await running.connect()
    await client.write(get(path, *(["Connection: close"] if version == "1.1" else []), version=version))
    with trio.fail_after(SOON_S):
        answer = await client.read_to_end()
    assert answer.startswith(b"HTTP/1.1 200 ") and b"connection: close" in answer.lower()
    assert answer.endswith({"/ok": b"fine", "/three": b"0\r\n\r\n" if version == "1.1" else b"abcabcabc"}[path])
    await running.until_connections(0)
    await running.check_alive()


async def test_f35_over_tls_says_goodbye(doors: Doors, seen: Seen) -> None:
    # Without it a strict client takes an answer that ends with the connection for a cut one.
    running = await doors.open(seen, tls=True)
    client = await running.connect()
    client.stream._https_compatible = False
    await client.write(get("/three", version="1.0"))
    while await client.stream.receive_some():
        pass
    await running.check_alive()


# --- HTTP/1.1 done right
# -----------------------------------------------------------------------------------------------------


async def test_pipelined_requests_are_answered_in_order(doors: Doors, seen: Seen) -> None:
    running = await doors.open(seen)
    client = await running.connect()
    await client.write(
        get("/three") + get("/ok") + post("/echo", b"12345") + post("/echo", b"x" * 30_000) + get("/three")[:20]
    )
    assert (await client.answer()).body == b"abc" * 3 + (b"abc" * 3 if doors.kind == "raw" else b"")
    assert (await client.answer()).body == b"fine"
    assert (await client.answer("POST")).body == b"5"
    assert (await client.answer("POST")).body == b"30000"
    await client.write(get("/three")[20:] + get("/ok", "Connection: close") + get("/ok"))
    assert (await client.answer()).status == 200
    assert (await client.answer()).body == b"fine"
    assert await client.read_to_end() == b""


async def test_300_requests_on_one_connection(doors: Doors, seen: Seen) -> None:
    running = await doors.open(seen)
    client = await running.connect()
    for _ in range(300):
        assert (await client.ask("/ok")).body == b"fine"
    assert running.door.connections == 1


@pytest.mark.parametrize("size", [1, 100_000, 2_000_000])
@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_bodies_arrive_whole(doors: Doors, seen: Seen, size: int, framing: str) -> None:
    running = await doors.open(seen)
    client = await running.connect()
    body = bytes(range(256)) * (size // 256) + b"e" * (size % 256)
    if framing == "length":
        await client.write(post("/echo", body))
    else:
        pieces = [body[start : start + 7_001] for start in range(0, size, 7_001)]
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
        await client.write(get("/echo", "Transfer-Encoding: chunked", method="POST") + chunks + b"0\r\n\r\n")
    assert (await client.answer("POST")).body == b"%d" % size
    assert seen.bodies == [body]


async def test_100_continue(doors: Doors, seen: Seen) -> None:
    running = await doors.open(seen)
    client = await running.connect()
    for _ in range(2):
        await client.write(get("/echo", "Content-Length: 5", "Expect: 100-continue", method="POST"))
        assert (await client.read()).startswith(b"HTTP/1.1 100 ")
        await client.write(b"12345")
        assert (await client.answer("POST")).body == b"5"
    await running.check_alive()


async def test_100_continue_is_not_sent_where_the_app_refuses_unread(nursery: trio.Nursery, seen: Seen) -> None:
    running = await Doors(nursery, "raw").open(seen)
    client = await running.connect()
    await client.write(get("/refuse", "Content-Length: 5", "Expect: 100-continue", method="POST"))
    answer = await client.read_to_end()
    assert answer.startswith(b"HTTP/1.1 413 ") and b"connection: close" in answer.lower()
    running.close()


@pytest.mark.parametrize("path", ["/ok", "/three", "/nowhere"])
async def test_head_has_no_body_and_keeps_the_connection(doors: Doors, seen: Seen, path: str) -> None:
    running = await doors.open(seen)
    client = await running.connect()
    await client.write(get(path, method="HEAD"))
    answer = await client.answer("HEAD")
    assert (answer.status, answer.body) == (404 if path == "/nowhere" else 200, b"")
    assert (await client.ask("/ok")).body == b"fine"


async def test_head_of_an_endless_stream_lets_others_run(doors: Doors, seen: Seen) -> None:
    running = await doors.open(seen)
    client = await running.connect()
    await client.write(get("/flood", method="HEAD"))
    assert (await client.read()).startswith(b"HTTP/1.1 200 ")
    await running.check_alive()
    client.close()
    with trio.fail_after(SOON_S):
        await seen.gone.wait()


@pytest.mark.parametrize("doors", ["raw"], indirect=True)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_sends_that_write_nothing_let_others_run(doors: Doors, seen: Seen, method: str) -> None:
    running = await doors.open(seen)
    client = await running.connect()
    await client.write(get("/spin", method=method))
    assert (await client.read()).startswith(b"HTTP/1.1 200 ")
    if method == "GET":
        client.close()
    await running.check_alive()
    await running.check_alive()
    assert not seen.gone.is_set()
    seen.go_on.set()


@pytest.mark.parametrize("tls", [False, True])
async def test_early_answer_reaches_a_client_that_is_still_uploading(doors: Doors, seen: Seen, tls: bool) -> None:
    running = await doors.open(seen, tls=tls)
    client = await running.connect()
    upload = trio.CancelScope()
    broken = trio.Event()

    async def keep_uploading() -> None:
        with upload:
            try:
                while True:
                    await client.stream.send_all(PIECE)
            except trio.BrokenResourceError:
                broken.set()

    await client.write(get("/refuse", "Content-Length: 4000000000", method="POST"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_uploading)
        with trio.fail_after(SOON_S):
            answer = await client.answer("POST")
        assert (answer.status, answer.body, answer.headers[b"connection"]) == (413, b"too large", b"close")
        assert await client.stream.receive_some() == b""  # an end, not a reset
        await running.until_connections(0)
        with trio.fail_after(2):
            await broken.wait()
    await running.check_alive()


# --- faults of the app
# ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("doors", "path"),
    [("raw", "/boom"), ("raw", "/boom-late"), ("quart", "/boom-late"), ("raw", "/exit"), ("raw", "/bad-header")],
    indirect=["doors"],
)
async def test_an_exception_ends_its_connection_only(
    doors: Doors, seen: Seen, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    running = await doors.open(seen)
    client = await running.connect()
    bystander = await running.connect()
    with caplog.at_level(logging.DEBUG):
        await client.write(get(path))
        answer = await client.read_to_end()
    assert answer.startswith(
        {"/boom": b"HTTP/1.1 500", "/exit": b"HTTP/1.1 500", "/boom-late": b"HTTP/1.1 200"}.get(path, b"")
    )
    assert not answer.endswith(b"0\r\n\r\n")  # a cut answer is not sold as a finished one
    logged = [record.getMessage() for record in caplog.records if record.name == "ftgate.door"]
    assert logged and not any("sk-secret" in line for line in logged)
    assert not any(record.exc_info for record in caplog.records if record.name == "ftgate.door")
    assert (await bystander.ask("/ok")).body == b"fine"
    await running.check_alive()


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("end", ["fault", "cancelled"])
async def test_a_cut_answer_in_http_1_0_does_not_look_finished(doors: Doors, seen: Seen, end: str, tls: bool) -> None:
    running = await doors.open(seen, tls=tls)
    client = await running.connect()
    if tls:
        client.stream._https_compatible = False
    await client.write(get("/boom-late" if end == "fault" else "/tokens", version="1.0"))
    assert await client.stream.receive_some()
    if end == "cancelled":
        running.scope.cancel()
    with trio.fail_after(SOON_S), pytest.raises(trio.BrokenResourceError):
        while await client.stream.receive_some():
            pass


async def test_a_fault_outside_the_app_does_not_end_the_server(
    doors: Doors, seen: Seen, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = await doors.open(seen)

    def unexpected(*args: Any) -> None:
        raise RuntimeError("sk-secret")

    client = await running.connect()
    with monkeypatch.context() as patch:
        patch.setattr(h11.Connection, "receive_data", unexpected)
        await trio.lowlevel.checkpoint()
        await client.stream.send_all(get("/ok"))
        assert await client.read_to_end() == b""
    await running.until_connections(0)
    assert [record.getMessage().split(" in ")[0] for record in caplog.records] == ["connection failed: RuntimeError"]
    await running.check_alive()


# --- accepting, stopping, handing over
# -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", [False, True])
async def test_stop_with_idle_connections_returns_at_once(doors: Doors, seen: Seen, tls: bool) -> None:
    running = await doors.open(seen, tls=tls)
    clients = [await running.connect() for _ in range(3)]
    await clients[0].ask("/ok")
    await clients[1].write(b"GET /ok HT")
    await running.until_connections(3)
    running.door.stop()
    with trio.fail_after(SOON_S):
        await running.returned.wait()
    assert await clients[0].read_to_end() == b""
    with pytest.raises(OSError):
        await running.connect()


async def test_stop_lets_running_answers_finish(doors: Doors, seen: Seen) -> None:
    running = await doors.open(seen)
    client, streaming = await running.connect(), await running.connect()
    await streaming.write(get("/three"))
    assert await streaming.read()
    await client.write(get("/slow"))
    await trio.sleep(0.05)
    running.door.stop()
    await trio.sleep(0.1)
    assert not running.returned.is_set()
    seen.go_on.set()
    answer = await client.answer()
    assert (answer.body, answer.headers[b"connection"]) == (b"slow but fine", b"close")
    assert (await streaming.read_to_end()).endswith(b"0\r\n\r\n")
    with trio.fail_after(SOON_S):
        await running.returned.wait()


async def test_more_than_max_connections_closes_the_newest(doors: Doors, seen: Seen) -> None:
    running = await doors.open(seen, max_connections=2)
    first, second = await running.connect(), await running.connect()
    await running.until_connections(2)
    third = await running.connect()
    assert await third.read_to_end() == b""
    assert (await first.ask("/ok")).status == (await second.ask("/ok")).status == 200
    second.close()
    await running.until_connections(1)
    await running.check_alive()


async def test_a_connection_that_is_not_admitted_is_closed(doors: Doors, seen: Seen) -> None:
    crowd = One()
    running = await doors.open(seen, admit=crowd.admit)
    first = await running.connect()
    assert (await first.ask("/ok")).status == 200
    assert await (await running.connect()).read_to_end() == b""
    first.close()
    await until(lambda: not crowd.open)
    last = await running.connect()
    assert (await last.ask("/ok")).status == 200
    last.close()
    await until(lambda: not crowd.open)
    await running.check_alive()


async def test_f49_accept_errors_are_logged_and_survived(
    nursery: trio.Nursery, seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    listener: Any = FailingListener((await trio.open_tcp_listeners(0, host="127.0.0.1"))[0])
    running = Running(HypercornDoor(raw_app(seen)), [listener], None)
    await nursery.start(running.run)
    await running.check_alive()
    assert [record.name for record in caplog.records] == ["ftgate.door"]


@pytest.mark.parametrize("cut", [0, 1, 30, None])
async def test_a_connection_can_be_handed_over_in_the_middle(
    doors: Doors, seen: Seen, nursery: trio.Nursery, cut: int | None
) -> None:
    # Another door has answered one request, has read some bytes of what follows, and gives the connection away.
    running = await doors.open(seen, keep_alive_s=0.3)
    sent = post("/echo", b"12345") + get("/ok")
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    client = Client(await trio.open_tcp_stream(*listener.socket.getsockname()))
    stream = await listener.accept()
    await client.write(sent)
    already_read = await stream.receive_some(cut) if cut else b"" if cut == 0 else await stream.receive_some(65_536)
    nursery.start_soon(running.door.serve_connection, stream, already_read)
    assert (await client.answer("POST")).body == b"5"
    assert running.door.connections == 1
    assert stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert (await client.answer()).body == b"fine"
    assert await client.read_to_end() == b""  # reaped like any other
    client.close()
    await listener.aclose()


async def test_sending_to_a_client_that_is_gone_does_nothing(nursery: trio.Nursery, seen: Seen) -> None:
    running = await Doors(nursery, "raw").open(seen)
    client = await running.connect()
    await client.write(get("/tokens"))
    await client.read()
    client.close()
    await running.until_connections(0)
    assert seen.after_gone == 3
    await running.check_alive()
