"""An answer's head, without I/O: how its body ends, and whether its connection is kept."""

import pytest

from ftgate.errors import UpstreamFailed
from ftgate.transports.incoming import Incoming

LENGTH = b"Content-Length: 2\r\n"


@pytest.mark.parametrize(
    ("headers", "keeps"),
    [
        (LENGTH, True),
        (LENGTH + b"Connection: keep-alive\r\n", True),
        (LENGTH + b"Connection: Upgrade, Keep-Alive\r\n", True),
        (LENGTH + b"Connection:\r\n", True),
        (LENGTH + b"Connection: close\r\n", False),
        (LENGTH + b"Connection: foo, CLOSE\r\n", False),
        (LENGTH + b"Connection: keep-alive\r\nConnection: close\r\n", False),
        (LENGTH + b"Connection: close\r\nX: 1\r\nConnection: keep-alive\r\n", False),
        (LENGTH + b"Connection: foo\r\nconnection: bar\r\n", True),
        (LENGTH + b"X-A: 1\r\nX-A: 2\r\n", True),
    ],
)
def test_every_header_that_stands_twice_is_heard(headers: bytes, keeps: bool) -> None:
    incoming = Incoming()
    assert incoming.feed_head(b"HTTP/1.1 200 OK\r\n" + headers + b"\r\nok")
    assert (incoming.ended, incoming.piece, incoming.keeps) == (True, b"ok", keeps)


@pytest.mark.parametrize(
    "headers",
    [
        LENGTH + LENGTH,
        LENGTH + b"Content-Length: 3\r\n",
        b"Content-Length: 2, 2\r\n",
        b"Content-Length: -2\r\n",
        LENGTH + b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: gzip\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
    ],
)
def test_an_end_that_two_could_read_in_two_ways_is_refused(headers: bytes) -> None:
    with pytest.raises(UpstreamFailed):
        Incoming().feed_head(b"HTTP/1.1 200 OK\r\n" + headers + b"\r\n2\r\nok\r\n0\r\n\r\n")


@pytest.mark.parametrize(("coding", "told"), [(b"", False), (b"Content-Encoding: gzip\r\n", True)])
def test_a_coding_is_told_of(coding: bytes, told: bool) -> None:
    incoming = Incoming()
    incoming.feed_head(b"HTTP/1.1 200 OK\r\n" + LENGTH + coding + b"\r\nok")
    assert incoming.encoded is told


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n%s\r\n0\r\n\r\n"


@pytest.mark.parametrize("cut", [0, 10, 47, 58, 59, 62, 80])
def test_another_answer_that_nobody_asked_for_is_no_part_of_this_one(cut: int) -> None:
    incoming, both = Incoming(), CHUNKED % b"a" + CHUNKED % b"b"
    said = b""
    for part in (both[:cut], both[cut:]):
        if incoming.headed:
            said += incoming.feed(part)
        elif part and incoming.feed_head(part):
            said += incoming.piece
    assert (said, incoming.ended, incoming.keeps) == (b"a", True, False)
