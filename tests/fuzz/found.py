"""What was found, so that it stays mended: examples by target, the shortest that shows it."""

from collections.abc import Mapping

_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n%s\r\n0\r\n\r\n"
FOUND: Mapping[str, tuple[bytes, ...]] = {
    "answer-head": (_CHUNKED % b"a" + _CHUNKED % b"b",),  # the second one's body was added to the first one's
}
