"""Bytes from strangers (RELIABILITY.md, F1-F6, F34, F35): whatever comes costs its own connection at most. The
`settled` fixture asks after each that the process lives and answers."""

import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.blackbox.harness import House, channel, error, took

CONFIG = channel("lab", ["plain"])
HOST = b"Host: x\r\n"
POST = b"POST /v1/chat/completions HTTP/1.1\r\n" + HOST
HOSTILE: dict[str, bytes] = {
    "F1 h2c": b"GET / HTTP/1.1\r\n"
    + HOST
    + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: A\r\n\r\n",
    "F2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x05\x01\x05\x00\x00\x00\x01\x04\x01\xff\xff\xff",
    "F4 websocket": b"GET / HTTP/1.1\r\n"
    + HOST
    + b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\nx",
    "F5 random": bytes(range(256)) * 40,
    "F5 tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 500,
    "F5 long head": b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 70_000 + b"\r\n\r\n",
    "F5 many headers": b"GET / HTTP/1.1\r\n"
    + HOST
    + b"".join(b"X-%d: y\r\n" % number for number in range(5000))
    + b"\r\n",
    "F5 absolute form": b"GET http://elsewhere/healthz HTTP/1.1\r\n" + HOST + b"\r\n",
    "F5 asterisk": b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n",
    "F5 strange path": b"GET /%ff%00%0d%0a HTTP/1.1\r\n" + HOST + b"\r\n",
    "F5 raw bytes in path": b"GET /\xff\xfe HTTP/1.1\r\n" + HOST + b"\r\n",
    "F5 method": b"G\xffT / HTTP/1.1\r\n" + HOST + b"\r\n",
    "F6 length twice": POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "F6 length and chunks": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "F6 negative length": POST + b"Content-Length: -5\r\n\r\n",
    "F6 bare line ends": POST.replace(b"\r", b"") + b"Content-Length: 2\n\n{}",
    "F6 one bare line end": POST + b"X: y\nContent-Length: 2\r\n\r\n{}",
    "F6 folded": POST + b"X: y\r\n z\r\nContent-Length: 2\r\n\r\n{}",
    "F6 bad chunk": POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n",
    "no version": b"GET /\r\n\r\n",
    "http 9": b"GET / HTTP/9.9\r\n" + HOST + b"\r\n",
}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("hostile"), CONFIG) as house:
        yield house


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes(house: House, name: str) -> None:
    with house.connect() as wire:
        wire.send(HOSTILE[name])
        wire.socket.shutdown(socket.SHUT_WR)
        said = wire.rest(3)
    assert not said or said.startswith((b"HTTP/1.1 ", b"HTTP/1.0 ")), said
    assert (
        b" 101 " not in said.partition(b"\r\n")[0]
        and b" 500 " not in said.partition(b"\r\n")[0]
        and b"Traceback" not in said
    )
    if name.startswith("F6"):
        assert b" 400 " in said.partition(b"\r\n")[0]


def test_an_upgrade_is_ignored_on_a_relay_call_too(house: House) -> None:
    """Some clients (Java's) ask for h2c with every request."""
    account = house.account()
    head, _, body = house.request(account, "plain").partition(b"\r\n\r\n")
    for upgrade in (
        b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA",
        b"Upgrade: x",
    ):
        with house.connect() as wire:
            wire.send(head + b"\r\n" + upgrade + b"\r\n\r\n" + body)
            assert b" 200 " in wire.until(b"total_tokens").partition(b"\r\n")[0]


def test_resets_right_after_connecting(house: House) -> None:
    for _ in range(200):
        with socket.create_connection(house.address) as wire:
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert house.http.get("/healthz").status_code == 200


def test_a_refused_upload_gets_its_answer(house: House) -> None:
    """F3 in HTTP/1.1: an early answer while the body still comes is read by the client, not destroyed by a reset."""
    key = house.account().headers["Authorization"].encode()
    with house.connect() as wire:
        wire.send(POST + b"Authorization: " + key + b"\r\nContent-Length: 30000000\r\n\r\n" + b"x" * 200_000)
        assert b" 413 " in wire.until(b"body_too_large").partition(b"\r\n")[0]


@pytest.mark.parametrize("shown", [b"", b"Authorization: Bearer sk-ft_nobody\r\n", b"x-api-key: sk-ft_nobody\r\n"])
def test_a_stranger_s_body_is_not_asked_for(house: House, shown: bytes) -> None:
    """The key is looked up before the first byte of a body: no 100 Continue, and nothing held while a stranger
    dawdles."""
    for waits in (b"Expect: 100-continue\r\n", b""):
        with house.connect() as wire, took(at_most_s=2.0):
            wire.send(POST + shown + waits + b"Content-Length: 19000000\r\n\r\n")
            said = wire.until(b"invalid_api_key")
        assert said.startswith(b"HTTP/1.1 401 ") and b" 100 " not in said


def test_a_known_key_s_body_is_asked_for(house: House) -> None:
    request = house.request(house.account(), "plain").replace(b"\r\n", b"\r\nExpect: 100-continue\r\n", 1)
    head, _, body = request.partition(b"\r\n\r\n")
    with house.connect() as wire:
        wire.send(head + b"\r\n\r\n")
        assert wire.until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
        wire.send(body)
        assert b" 200 " in wire.until(b"total_tokens")


SMALL = """
from ftgate.doors import intake

intake.HELD_BYTES = 300_000

from ftgate.__main__ import main
main()
"""
"""ftgate with room for less than one body of the largest size: then there is room for one such."""


def test_bodies_share_one_budget(tmp_path: Path) -> None:
    """Past it a call is refused for a moment; what a call held is free again when it has ended, however it ended."""
    with House(tmp_path, "[server]\nmax_body_mb = 1\n" + CONFIG, serving=False) as house:
        house.start(SMALL)
        account = house.account("100")
        large = [{"role": "user", "content": "x" * 540_000}]
        for _ in range(3):
            assert house.chat(account, messages=large).status_code == 200
        for _ in range(2):
            with house.connect() as wire:
                request = house.request(account, "plain", messages=large)
                wire.send(request[:-1])
                time.sleep(0.5)  # it must have come in before another asks, else it is the one to be refused
                refused = house.wait_for(
                    lambda: (answer := house.chat(account, messages=large)).status_code == 503 and answer, "not refused"
                )
                error(refused, 503, "overloaded")
                assert refused.headers["retry-after"] == "1"
                assert house.chat(account).status_code == 200  # a small one still fits
                wire.send(request[-1:])
                assert b" 200 " in wire.until(b"total_tokens")
            with house.connect() as wire:
                wire.send(request[:-1])  # and this one leaves
            house.wait_for(lambda: house.chat(account, messages=large).status_code == 200, "the room is not free again")


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_stream_to_an_old_client_ends(house: House, version: str) -> None:
    """F35: HTTP/1.0 and Connection: close see the end of the stream as the end of the connection."""
    request = house.request(house.account(), "plain", stream=True)
    request = request.replace(b" HTTP/1.1\r\n", f" HTTP/{version}\r\nConnection: close\r\n".encode(), 1)
    with house.connect() as wire, took(at_most_s=2.0):
        wire.send(request)
        body = wire.rest(3)
    assert b"data: [DONE]\n\n" in body and (version == "1.1" or b"chunked" not in body)


def test_two_thousand_idle_connections_are_let_go(house: House) -> None:
    """F34, with 500 to spare the machine: used once, then idle, all are closed by the idle clock of 5 s."""
    wires = [house.connect() for _ in range(500)]
    try:
        for wire in wires:
            wire.send(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")
        for wire in wires:
            wire.until(b'"ok"')
        with took(at_least_s=1.0, at_most_s=8.0):
            for wire in wires:
                wire.rest(8)
    finally:
        for wire in wires:
            wire.socket.close()


def test_slow_heads_are_cut(house: House) -> None:
    """F32: one byte now and then does not keep a connection."""
    with house.connect() as wire, took(at_least_s=3.0, at_most_s=8.0):
        try:
            for byte in b"GET / HTTP/1.1\r\nX-Slow: " + b"a" * 100:
                wire.send(bytes([byte]))
                time.sleep(0.1)
        except OSError:
            return
        raise AssertionError("a head of 10 s was taken")
