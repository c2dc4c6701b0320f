"""Heads and chunked bodies of requests, by httptools in its strict mode: what it lets pass and two readers could still
read in two ways is in doubt, and the fast door leaves that to the Hypercorn door.
"""

import re
from functools import lru_cache

import httptools

from ftgate.doors.connections import MAX_HEADERS
from ftgate.ports import Headers

UNREADABLE = (httptools.HttpParserError, httptools.HttpParserUpgrade)
"""What httptools says of a head that is not for the fast door; an upgrade is ignored, which is the other door's
work."""
_PATH = re.compile(r"[A-Za-z0-9/_.-]+")
_HEEDED = frozenset((b"host", b"content-length", b"transfer-encoding", b"expect", b"upgrade", b"trailer"))


LENGTH_DIGITS = 20
"""Of a Content-Length: more are read by nobody else."""


class Head:
    """A request's head, filled by httptools; `clear()` says whether nothing in it is in doubt."""

    def __init__(self, raw: bytes) -> None:
        self.headers: Headers = []
        self.target = b""
        self.whole = False
        parser = httptools.HttpRequestParser(self)
        parser.feed_data(raw)  # raises one of UNREADABLE
        self.version = (
            parser.get_http_version()
        )  # the parser itself is let go: it knows us, and together we would be a circle
        self.http_1_0 = self.version == "1.0"
        self.keep_alive = parser.should_keep_alive() and not self.http_1_0
        self.length = 0
        self.chunked = self.expects = False

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.whole = True

    def clear(self) -> bool:
        if len(self.headers) > MAX_HEADERS:
            return False
        hosts = 0
        for name, value in self.headers:
            if name not in _HEEDED:
                continue
            if name == b"host":
                hosts += 1
            elif name == b"content-length":
                if len(value) > LENGTH_DIGITS:
                    return False
                self.length = int(value)
            elif name == b"transfer-encoding":
                self.chunked = True
                if value.lower() != b"chunked" or self.http_1_0:
                    return False
            elif name == b"expect":
                self.expects = value.lower() == b"100-continue" and not self.http_1_0
            elif name == b"upgrade" or name == b"trailer":
                return False
        return self.whole and (hosts == 1 or (self.http_1_0 and not hosts)) and self.version in ("1.0", "1.1")


@lru_cache(maxsize=256)
def plain_path(target: bytes) -> str:
    """The path of a plain target; "" for one that needs another look."""
    path = target.partition(b"?")[0].decode("latin1")
    return path if _PATH.fullmatch(path) else ""


class Chunks:
    """A chunked body, read by httptools: the head once more, then what follows it."""

    def __init__(self, head: bytes) -> None:
        self.pieces: list[bytes] = []
        self.size = 0
        self.done = self.more = self.broken = False
        self.empty = True
        self._parser = httptools.HttpRequestParser(self)
        self._parser.feed_data(head)  # once read by Head, so it is right

    def feed(self, data: bytes) -> None:
        """Read on; see `done`, `broken` and `more`."""
        self.empty &= not data
        try:
            self._parser.feed_data(data)
        except UNREADABLE:
            self.broken = True

    def on_message_begin(self) -> None:
        self.more = self.done  # another request has begun in what was fed

    def on_body(self, data: bytes) -> None:
        self.pieces.append(data)
        self.size += len(data)

    def on_message_complete(self) -> None:
        self.done = True
