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
