"""An upstream's answer as it comes, read by httptools without any I/O.

Strict: an answer on whose end two readers could disagree is refused: two lengths or none that is a number, a length
beside a Transfer-Encoding, a coding other than chunked, folded headers, a bare CR or LF, a NUL. The parser (llhttp)
refuses most of it; the rest is refused here. A connection is kept only when its answer ended exactly where what was
read ended.
"""

import re

import httptools

from ftgate.errors import Fault, UpstreamFailed
from ftgate.ports import Headers
from ftgate.transports import outgoing
from ftgate.transports.outgoing import HEAD_LIMIT

MAX_LENGTH_DIGITS = 18
"""Of a Content-Length; the parser's own limit is 2**64 - 1."""
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: [\t\x20-\x7e\x80-\xff]*)?\r\n")
_LENGTH = re.compile(rb"[0-9]{1,%d}" % MAX_LENGTH_DIGITS)
_UNREADABLE = (httptools.HttpParserError, httptools.HttpParserUpgrade)


def unreadable() -> UpstreamFailed:
    """What is told of an answer that is no HTTP."""
    return UpstreamFailed(Fault.protocol, "not readable as HTTP", sent=True)


def _by_name(headers: Headers) -> dict[bytes, bytes]:
    """Each header by its name. The values of one that stands twice are joined as a list (RFC 9110, 5.3): of a length or
    a coding that is none any more."""
    found = dict(headers)
    if len(found) < len(headers):
        found.clear()
        for name, value in headers:
            found[name] = found[name] + b", " + value if name in found else value
    return found


class _Events:
    """What the parser has told. It knows nothing of the parser's owner: together they would be a circle of
    references."""

    __slots__ = ("began", "ended", "headers", "last", "on_body", "pieces")

    def __init__(self) -> None:
        self.headers: Headers = []
        self.pieces: list[bytes] = []
        self.on_body = self.pieces.append
        self.began = 0
        self.ended = False
        self.last = 0  # how many pieces there were at its end: what comes behind it is another answer's

    def on_message_begin(self) -> None:
        self.began += 1

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value.strip()))

    def on_message_complete(self) -> None:
        if not self.ended:
            self.ended, self.last = True, len(self.pieces)


class Incoming:
    """One answer as it comes, without I/O: feed_head() until it says that the head is whole, then feed() until
    `ended`."""

    __slots__ = (
        "_barren", "_chunked", "_events", "_head", "_head_bytes", "_left", "_parser", "_tail",
        "broken", "encoded", "ended", "headed", "headers", "keeps", "piece", "status",
    )  # fmt: skip

    def __init__(self) -> None:
        self.status = 0
        self.headers: Headers = []
        self.headed = False
        self.ended = False
        self.encoded = False  # a Content-Encoding stands in the head
        self.broken = False  # the body cannot be read on; what came before it could
        self.keeps = False  # the connection may be used again once the answer has ended
        self.piece = b""  # of the body, that came with the head
        self._head = b""
        self._head_bytes = 0  # of interim answers
        self._left: int | None = None  # bytes of a body with a length
        self._chunked = False
        self._barren = 0  # bytes in a row that brought nothing of the body: chunk extensions, trailers
        self._tail = b""  # the last bytes that were fed
        self._events = _Events()
        self._parser = httptools.HttpResponseParser(self._events)

    def feed_head(self, data: bytes) -> bool:
        """Whether the head is whole now. Interim answers are passed over. Raises UpstreamFailed."""
        while True:
            before = len(self._head)
            head = self._head = self._head + data if before else data
            if (
                self._head_bytes + len(head) > HEAD_LIMIT
                and head.find(b"\r\n\r\n", 0, HEAD_LIMIT - self._head_bytes) < 0
            ):
                raise UpstreamFailed(Fault.too_large, "the response head passes its limit", sent=True)
            end = head.find(b"\r\n\r\n", before - 3 if before > 3 else 0) + 4
            if end < 4:
                self._parse(data)  # for what is no HTTP, which need not come to an end
                return False
            line = _STATUS_LINE.match(head)
            if line is None:
                raise unreadable()
            self.status = int(line[2])
            if self.status == 101:
                outgoing.check_head(self.status, [])
            self._parse(data[: end - before])
            data = head[end:]
            if self.status >= 200:
                break
            self._head, self._head_bytes = b"", self._head_bytes + end
            self._events = _Events()
            self._parser = httptools.HttpResponseParser(self._events)
            if not data:
                return False
        self._head = b""
        self.headed = True
        self.headers = self._events.headers
        self._events.headers = []  # trailers are read and dropped
        self._frame(http_1_1=line[1] == b"1")
        if data:
            self.piece = self.feed(data)
        return True

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except _UNREADABLE:
            raise unreadable() from None

    def _frame(self, *, http_1_1: bool) -> None:
        """How the body ends, from the head. Raises UpstreamFailed where that is not plain."""
        told = _by_name(self.headers)
        self.encoded = b"content-encoding" in told
        length, coding, wishes = told.get(b"content-length"), told.get(b"transfer-encoding"), told.get(b"connection")
        if length is not None and (coding is not None or not _LENGTH.fullmatch(length)):
            raise unreadable()
        if coding is not None and coding.lower() != b"chunked":
            raise unreadable()
        keeps = http_1_1 and (
            wishes in (None, b"keep-alive") or b"close" not in [wish.strip() for wish in wishes.lower().split(b",")]
        )
        if self.status in (204, 304):
            self.ended = True
            self.keeps = keeps and coding is None and length in (None, b"0")  # else a body may follow all the same
        elif coding is not None:
            self.keeps = keeps
            self._chunked = True
        elif length is not None:
            self.keeps = keeps
            self._left = int(length)
            self.ended = self._left == 0

    def feed(self, data: bytes) -> bytes:
        """What `data` brings of the body; it may be nothing. Bytes after the end are dropped, and the connection with
        them."""
        if self.ended:
            self.keeps = False
            return b""
        if self._chunked:
            return self._feed_chunks(data)
        if self._left is None:
            return data
        if len(data) > self._left:
            self.keeps = False
            data = data[: self._left]
        self._left -= len(data)
        self.ended = self._left == 0
        return data

    def _feed_chunks(self, data: bytes) -> bytes:
        events = self._events
        try:
            self._parser.feed_data(data)
        except _UNREADABLE:
            self.broken = not events.ended  # after the end: bytes that are no part of this answer
            self.keeps = False
        tail = self._tail = data if len(data) > 4 else (self._tail + data)[-5:]
        if events.ended:
            self.ended = True
            # The parser passes over empty lines behind the end, so it is looked at: one empty line, and no further
            # answer.
            del events.pieces[events.last :]
            whole = tail.endswith(b"\r\n\r\n") and tail[-5:-4] not in (b"\r", b"\n") and events.began == 1
            self.keeps = self.keeps and whole
        pieces = events.pieces
        if not pieces:
            self._barren += len(data)
            if self._barren > HEAD_LIMIT:
                raise UpstreamFailed(Fault.too_large, "a head or line past its limit", sent=True)
            return b""
        self._barren = 0
        piece = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        return piece

    def end(self) -> None:
        """The upstream has closed its side. Raises UpstreamFailed when something lacks."""
        if not self.headed:
            raise UpstreamFailed(Fault.reset, "closed before the response head", sent=True)
        if not self.ended and (self._chunked or self._left is not None):
            raise UpstreamFailed(Fault.incomplete, "the body was cut", sent=True)
        self.ended = True
        self.keeps = False
