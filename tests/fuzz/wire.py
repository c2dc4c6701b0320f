"""Targets of HTTP: heads and chunks of requests, answers of upstreams, paths and the headers that are heeded."""

import random
import re

import h11

from ftgate.core.addresses import client_address, near, parse
from ftgate.doors import http
from ftgate.doors.heads import UNREADABLE, Chunks, Head, plain_path
from ftgate.errors import GateError, UpstreamFailed
from ftgate.transports.incoming import Incoming
from tests.fuzz.bending import pieces

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-ft_x\r\nContent-Length: 5\r\n\r\n"
CHUNKED = b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
HEADS = (
    HEAD, CHUNKED, HEAD.replace(b"1.1", b"1.0"), b"POST /a HTTP/1.0\r\n\r\n",
    CHUNKED.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"),
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    b"POST http://x/v1/messages?a=b HTTP/1.1\r\nHost: x\r\nX: \xe9\xff\r\nContent-Length: 0\r\n\r\n",
)  # fmt: skip


def head(data: bytes) -> None:
    """What the fast door takes for a call, h11 reads as the same request: method, target, headers and its end."""
    end = data.find(b"\r\n\r\n") + 4
    raw = data[:end] if end >= 4 else data
    try:
        ours = Head(raw)
    except UNREADABLE:
        return
    if not (raw.startswith(b"POST %s HTTP/1." % ours.target) and plain_path(ours.target) and ours.clear()):
        return
    reader = h11.Connection(h11.SERVER)
    reader.receive_data(raw)
    try:
        theirs = reader.next_event()
    except h11.RemoteProtocolError as refused:
        assert "illegal header" in str(refused) or "Missing mandatory Host" in str(refused), (raw, refused)
        # Control bytes in a value: h11 refuses them, llhttp passes them; what no header of ours needs ends nothing.
        return
    assert isinstance(theirs, h11.Request), raw
    assert (theirs.method, theirs.target) == (b"POST", ours.target)
    said = [(name, value.lower() if name == b"transfer-encoding" else value) for name, value in ours.headers]
    assert [(name, value.strip(b" \t")) for name, value in said] == list(theirs.headers), raw
    named = dict(theirs.headers)
    assert ours.chunked == (b"transfer-encoding" in named) and ours.length == int(named.get(b"content-length", b"0"))
    assert not (ours.chunked and b"content-length" in named)


CHUNKS = (
    b"5\r\nhello\r\n0\r\n\r\n", b"1\r\na\r\nA\r\n0123456789\r\n0\r\nX: y\r\n\r\n",
    b"3;a=b\r\nabc\r\n0\r\n\r\nPOST / HTTP",
    b"0\r\n\r\n", b"00000005\r\nhello\r\n0\r\n\r\n",
    b"5\r\nhello\r\n0\r\n\r\n" + CHUNKED + b"3\r\nyou\r\n0\r\n\r\n",
)  # fmt: skip


def _chunks(parts: list[bytes]) -> tuple[bytes, bool, bool, bool]:
    body = Chunks(CHUNKED)
    for part in parts:
        if not body.done and not body.broken:
            body.feed(part)
    return b"".join(body.pieces), body.done, body.broken, body.more


def chunks(data: bytes) -> None:
    """However it is cut, a chunked body is the same, and h11 reads the same of one that is whole; but it takes no size
    of more than 20 digits. What is broken, or has another request behind it, the fast door does not answer."""
    whole, done, broken, more = _chunks([data])
    cut, cut_done, cut_broken, cut_more = _chunks(pieces(data, random.Random(len(data))))
    assert (done, broken and not done) == (cut_done, cut_broken and not cut_done)
    if not done or broken or more or cut_broken or cut_more:
        return
    assert whole == cut
    reader = h11.Connection(h11.SERVER)
    reader.receive_data(CHUNKED + data)
    reader.next_event()
    said = b""
    try:
        while isinstance(event := reader.next_event(), h11.Data):
            said += bytes(event.data)
    except h11.RemoteProtocolError as refused:
        assert re.search(rb"[0-9a-fA-F]{21}", data), (data, refused)
        return
    assert isinstance(event, h11.EndOfMessage) and said == whole, (data, event)


ANSWERS = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 429 Slow\r\nRetry-After: 7\r\n"
    b"Content-Length: 2\r\nConnection: close\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nb\r\n0\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\ndata: x\n\n", b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 304 x\r\nContent-Length: 9\r\n\r\n",
    b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\nzzz", b"HTTP/1.1 200 \xff\xfe\r\nX: \xff\r\n\r\n",
)  # fmt: skip
_Read = tuple[str, int, bytes, bool]


def _answer(parts: list[bytes]) -> _Read:
    """How it ended, the status, the body and whether the connection would be kept."""
    incoming, body = Incoming(), b""
    try:
        for part in parts:
            if incoming.ended and incoming.headed:
                incoming.feed(part) if part else None
            elif not incoming.headed:
                if part and incoming.feed_head(part):
                    body += incoming.piece
            elif part and not incoming.broken:
                body += incoming.feed(part)
        if incoming.broken:
            return "broken", incoming.status, body, False
        kept = incoming.ended and incoming.keeps
        incoming.end()
    except UpstreamFailed as failed:
        return str(failed.fault), 0, body if incoming.headed else b"", False
    return "whole", incoming.status, body, kept


def answer(data: bytes) -> None:
    """However it is cut, an upstream's answer is the same one; none is whole in one way and something else in another;
    a connection that is kept is at the end of what was sent."""
    at_once = _answer([data])
    parts = pieces(data, random.Random(len(data)))
    in_parts = _answer(parts)
    assert (at_once[0] == "whole") == (in_parts[0] == "whole"), (data, parts, at_once, in_parts)
    if at_once[0] == "whole":
        assert at_once[1:3] == in_parts[1:3], (data, parts, at_once, in_parts)
        assert 200 <= at_once[1] <= 999


LISTS = (
    b"10.0.0.1\n9.9.9.9, 10.0.0.2\n[2001:db8::5]:80",
    b"fd00::1\n::ffff:1.2.3.4",
    b"10.0.0.1\nunknown, _x\nfe80::1%eth0",
)


def forwarded(data: bytes) -> None:
    """Whatever stands in X-Forwarded-For, the client is an address; and the peer's own where nobody is trusted."""
    peer, *values = data.decode("latin1").split("\n")
    assert client_address(peer, values, ()) == str(parse(peer) or peer)
    said = client_address("10.0.0.1", [peer, *values], ("10.0.0.0/8", "fd00::/8"))
    assert parse(said) is not None and str(parse(said)) == said
    host = near(peer)
    assert host is None or set(host) <= set("abcdefghijklmnopqrstuvwxyz0123456789._-:[]"), peer


PATHS = (b"/v1/chat/completions", b"//v1//v1/messages/", b"/anthropic/v1/models/x", b"/v1/models/%2e%2e/x", b"/")


def path(data: bytes) -> None:
    """A path means one route, and a mistaken one is answered with words."""
    said = data.decode("latin1")
    once = http.canonical(said)
    assert http.canonical(once) == once and "//" not in once
    assert http.tidy(http.tidy(said)) == http.tidy(said)
    assert len(http.route_hint(said, ["/v1/chat/completions", "/v1/models"])) < 1000


SHOWN = (
    b"authorization\nBearer sk-ft_x", b"x-api-key\nsk-ft_x\nauthorization\nBearer sk-ft_y",
    b"x-findtoken-provider-key\ndeepseek:sk-1234567890",
    b"x-findtoken-provider-key\ndeepseek:a\nx-findtoken-provider-key\nb",
)  # fmt: skip


def shown(data: bytes) -> None:
    """What headers show is a key, none, or a refusal."""
    lines = data.split(b"\n")
    headers = list(zip(lines[::2], lines[1::2], strict=False))
    for read in (http.presented_key, http.provider_key):
        try:
            found = read(headers)
        except GateError as refused:
            assert 400 <= refused.status < 500
            continue
        assert found is None or (found and any(found in value for _, value in headers))
