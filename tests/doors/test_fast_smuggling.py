"""Bytes that two readers could read in two ways, at the fast door: each request is refused and the connection closed,
or is one call whose end both agree on. Never is a second request read out of a body."""

import pytest
import trio

from ftgate.readiness import SUPPORTED
from tests.doors.fast import KEY, ROUTE, call, opened, rest

pytestmark = pytest.mark.skipif(not SUPPORTED, reason="the fast door needs epoll")

SMUGGLED = call(b"smuggled")
AS_CHUNK = b"0\r\n\r\n" + SMUGGLED
CLEAN = b"5\r\nhello\r\n0\r\n\r\n"
INSIDE = b"%x\r\n%s\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)


def head(*lines: str, first: str = f"POST {ROUTE} HTTP/1.1", host: str = "Host: x", end: str = "\r\n") -> bytes:
    return end.join([first, *([host] if host else []), KEY, *lines, "", ""]).encode("latin1")


WHOLE = f"Content-Length: {len(AS_CHUNK)}"
IN_DOUBT: dict[str, tuple[bytes, set[int]]] = {
    "length and chunks": (head(WHOLE, "Transfer-Encoding: chunked") + AS_CHUNK, {400}),
    "chunks and length": (head("Transfer-Encoding: chunked", WHOLE) + AS_CHUNK, {400}),
    "two lengths": (head("Content-Length: 0", WHOLE) + AS_CHUNK, {400}),
    "two equal lengths": (head(WHOLE, WHOLE) + AS_CHUNK, {400}),
    "a list of lengths": (head(f"{WHOLE}, 0") + AS_CHUNK, {400}),
    "length with a sign": (head(f"Content-Length: +{len(AS_CHUNK)}") + AS_CHUNK, {400}),
    "length in hex": (head("Content-Length: 0x5") + AS_CHUNK, {400}),
    "length past every number": (head("Content-Length: 18446744073709551616") + AS_CHUNK, {400, 413}),
    "length named twice, once with a space": (head("Content-Length : 0", WHOLE) + AS_CHUNK, {400}),
    "te gzip": (head("Transfer-Encoding: gzip") + AS_CHUNK, {400, 501}),
    "te gzip, chunked": (head("Transfer-Encoding: gzip, chunked") + AS_CHUNK, {400, 501}),
    "te chunked, gzip": (head("Transfer-Encoding: chunked, gzip") + AS_CHUNK, {400, 501}),
    "te gzip, chunked, and nothing behind it": (head("Transfer-Encoding: gzip, chunked") + CLEAN, {400, 501}),
    "te identity, chunked, and nothing behind it": (head("Transfer-Encoding: identity, chunked") + CLEAN, {400, 501}),
    "te identity": (head("Transfer-Encoding: identity") + AS_CHUNK, {400, 501}),
    "te twice": (head("Transfer-Encoding: chunked", "Transfer-Encoding: chunked") + AS_CHUNK, {400}),
    "te twice, once identity": (
        head("Transfer-Encoding: chunked", "Transfer-Encoding: identity") + AS_CHUNK,
        {400, 501},
    ),
    "te xchunked": (head("Transfer-Encoding: xchunked") + AS_CHUNK, {400, 501}),
    "te with a tab and a vertical one": (head("Transfer-Encoding:\x0bchunked", WHOLE) + AS_CHUNK, {400}),
    "te in HTTP/1.0": (head("Transfer-Encoding: chunked", first=f"POST {ROUTE} HTTP/1.0") + AS_CHUNK, {400}),
    "te with length in HTTP/1.0": (
        head(WHOLE, "Transfer-Encoding: chunked", first=f"POST {ROUTE} HTTP/1.0") + AS_CHUNK,
        {400},
    ),
    "te, space before the colon": (head(WHOLE, "Transfer-Encoding : chunked") + AS_CHUNK, {400}),
    "te folded": (head(WHOLE, "X: y", " Transfer-Encoding: chunked") + AS_CHUNK, {400}),
    "te after a NUL": (head(WHOLE, "X: y\0Transfer-Encoding: chunked") + AS_CHUNK, {400}),
    "te after a bare LF": (head(WHOLE, "X: y\nTransfer-Encoding: chunked") + AS_CHUNK, {400}),
    "te after a bare CR": (head(WHOLE, "X: y\rTransfer-Encoding: chunked") + AS_CHUNK, {400}),
    "bare line ends": (head(WHOLE, end="\n") + AS_CHUNK, {400}),
    "a head that ends bare": (head("Content-Length: 0")[:-2] + b"\n" + SMUGGLED, {400}),
    "obs-fold": (head("Content-Length: 0", " 5") + AS_CHUNK, {400}),
    "NUL in a name": (head("X\0: y", WHOLE) + AS_CHUNK, {400}),
    "no host": (head(WHOLE, host="") + AS_CHUNK, {400}),
    "two hosts": (head("Host: y", WHOLE) + AS_CHUNK, {400}),
    "two equal hosts": (head("Host: x", WHOLE) + AS_CHUNK, {400}),
    "HTTP/1.2": (head(WHOLE, first=f"POST {ROUTE} HTTP/1.2") + AS_CHUNK, {505}),
    "HTTP/2.0": (head(WHOLE, first=f"POST {ROUTE} HTTP/2.0") + AS_CHUNK, {505}),
    "no version": (head(WHOLE, first=f"POST {ROUTE}") + AS_CHUNK, {400}),
    "two spaces": (head(WHOLE, first=f"POST {ROUTE}  HTTP/1.1") + AS_CHUNK, {400}),
    "too long": (head("X: " + "y" * 40_000, WHOLE) + AS_CHUNK, {431}),
    "too many": (head(*(f"X-{number}: y" for number in range(5_000)), WHOLE) + AS_CHUNK, {431}),
    "a chunk of no size": (head("Transfer-Encoding: chunked") + b"zz\r\n" + AS_CHUNK, {400}),
    "a negative chunk": (head("Transfer-Encoding: chunked") + b"-1\r\n" + AS_CHUNK, {400}),
    "a chunk longer than said": (head("Transfer-Encoding: chunked") + b"1\r\nab\r\n" + AS_CHUNK, {400}),
    "a chunk past every number": (head("Transfer-Encoding: chunked") + b"1" + b"0" * 24 + b"\r\n" + AS_CHUNK, {400}),
    "a chunk in 0x": (head("Transfer-Encoding: chunked") + b"0x5\r\nhello\r\n" + AS_CHUNK, {400}),
    "a chunk's end without CR": (head("Transfer-Encoding: chunked") + b"5\nhello\r\n" + AS_CHUNK, {400}),
    "an extension with a bare LF": (head("Transfer-Encoding: chunked") + b"5;a\nb\r\nhello\r\n" + AS_CHUNK, {400}),
    "a length as a trailer": (head("Transfer-Encoding: chunked") + INSIDE[:-2] + WHOLE.encode() + b"\r\n\r\n", {400}),
    "chunks that end bare": (head("Transfer-Encoding: chunked") + INSIDE[:-2] + b"\n" + SMUGGLED, {400}),
    "trailers that end bare": (head("Transfer-Encoding: chunked") + INSIDE[:-2] + b"X: y\n\n" + SMUGGLED, {400}),
}
ONCE: dict[str, tuple[bytes, bytes]] = {
    "the smuggled is the body": (head(WHOLE) + AS_CHUNK, AS_CHUNK),
    "the smuggled is a chunk": (head("Transfer-Encoding: chunked") + INSIDE, SMUGGLED),
    "Chunked": (head("Transfer-Encoding: Chunked") + INSIDE, SMUGGLED),
    "absolute form": (head(WHOLE, first=f"POST http://x{ROUTE} HTTP/1.1") + AS_CHUNK, AS_CHUNK),
    "absolute form of another host": (head(WHOLE, first=f"POST http://y{ROUTE} HTTP/1.1") + AS_CHUNK, AS_CHUNK),
    "percent path": (head(WHOLE, first="POST /v1/chat/%63ompletions HTTP/1.1") + AS_CHUNK, AS_CHUNK),
    "an upgrade": (head(WHOLE, "Connection: Upgrade", "Upgrade: h2c") + AS_CHUNK, AS_CHUNK),
    "te as a word of another header": (head(WHOLE, "X: Transfer-Encoding: chunked") + AS_CHUNK, AS_CHUNK),
    "connection names the length": (head(WHOLE, "Connection: content-length") + AS_CHUNK, AS_CHUNK),
    "length with zeros": (head(f"Content-Length: 000{len(AS_CHUNK)}") + AS_CHUNK, AS_CHUNK),
    "expects": (head(WHOLE, "Expect: 100-continue") + AS_CHUNK, AS_CHUNK),
}


@pytest.mark.parametrize("before", [b"", call(b"before")], ids=["first", "second"])
@pytest.mark.parametrize("name", IN_DOUBT)
async def test_what_is_in_doubt_is_refused_and_nothing_after_it_read(
    nursery: trio.Nursery, name: str, before: bytes
) -> None:
    sent, statuses = IN_DOUBT[name]
    for apart in (False, True):
        async with opened(nursery) as place:
            client = await place.connect()
            await client.write(before + (b"" if apart else sent))
            if before:
                assert (await client.answer("POST")).body == b"before"
            if apart:
                half = sent.index(b"\n") + 9
                await client.write(sent[:half])
                await rest()
                await client.write(sent[half:])
            said = await client.read_to_end()
            assert int(said.split(b" ")[1]) in statuses and said.count(b"HTTP/1.1 ") == 1, said
            assert place.walked.bodies == [b"before"] * bool(before)
            assert place.walked.others == []
            await place.settled()


@pytest.mark.parametrize("name", ONCE)
async def test_what_is_clear_is_one_call(nursery: trio.Nursery, name: str) -> None:
    """And the request behind it is the next, which shows that both ends agree where the body stopped."""
    sent, body = ONCE[name]
    async with opened(nursery) as place:
        client = await place.connect()
        await client.write(sent + call(b"next", "Connection: close"))
        assert (await client.answer("POST")).body == body
        assert (await client.answer("POST")).body == b"next"
        assert await client.read_to_end() == b""
        assert place.walked.bodies == [body, b"next"]
        await place.settled()
