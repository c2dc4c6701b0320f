"""Server-sent events, sans-I/O: bytes in, events out, every byte kept.

An event ends at a blank line; a line ends at LF, CRLF or CR and at nothing else (str.splitlines and httpx's line reader
also split at U+2028, U+0085 and others, which stand inside JSON strings). Source: WHATWG HTML, section 9.2.6.

`feed` returns whole events with their raw bytes, so that what is passed on is what came: joined, the raw bytes of all
events and the rest are the input. A CR at the very end of a piece may be the half of a CRLF; the LF that follows then
stands at the head of the next event's raw bytes, where a parser sees one more blank line: harmless.
"""

import re

import msgspec

MAX_EVENT = 4 * 1024 * 1024
"""Bytes one unfinished event may hold: the largest tool call or inline image seen is far below; an upstream that never
ends a line must not fill the memory."""

# Atomic groups: a CRLF must not be taken apart into a CR and an LF, which together would look like a blank line.
_END = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_LINE = re.compile(rb"\r\n|\n|\r")


class EventTooLong(Exception):
    """An event passed MAX_EVENT bytes without ending."""


class Event(msgspec.Struct, frozen=True, gc=False):
    """One event. `data` joins its data lines, None when it has none (comments, keep-alives); `name` is its event
    field."""

    raw: bytes
    data: bytes | None
    name: bytes | None = None


def parse(raw: bytes, *, first: bool = True) -> Event:
    """Read the fields of one whole event; a byte order mark counts for nothing before the `first` of a stream alone."""
    if raw.startswith(b"data: ") and b"\r" not in raw and raw.find(b"\n") == len(raw) - 2:
        return Event(raw, raw[6:-2])  # the ordinary one: a single data line
    name: bytes | None = None
    data: list[bytes] = []
    for line in _LINE.split(raw.removeprefix(b"\xef\xbb\xbf") if first else raw):
        field, colon, value = line.partition(b":")
        if not field:
            continue  # blank, or a comment
        value = value.removeprefix(b" ") if colon else b""
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
    return Event(raw, b"\n".join(data) if data else None, name)


class Reader:
    """Cuts a byte stream into events."""

    __slots__ = ("_parts", "_size", "_tail", "first")

    def __init__(self) -> None:
        self.first = True
        self._parts: list[bytes] = []  # pieces of an unfinished event: joined when it ends, not at each piece
        self._size = 0
        self._tail = b""  # its last three bytes, since an end (CRLF CRLF) may straddle pieces by as many

    def feed(self, data: bytes) -> list[Event]:
        """All events that end within the bytes so far. Raises EventTooLong."""
        if _END.search(self._tail + data) is None:
            self._keep(data)
            return []
        buffer = b"".join((*self._parts, data)) if self._parts else data
        events: list[Event] = []
        start = 0
        match = _END.search(buffer, max(self._size - 3, 0))
        while match is not None:
            events.append(parse(buffer[start : match.end()], first=self.first))
            self.first = False
            start = match.end()
            match = _END.search(buffer, start)
        self._parts.clear()
        self._size = 0
        self._tail = b""
        self._keep(buffer[start:] if start else buffer)
        return events

    def _keep(self, data: bytes) -> None:
        if data:
            self._parts.append(data)
            self._size += len(data)
            self._tail = (self._tail + data[-3:])[-3:]
        if self._size > MAX_EVENT:
            raise EventTooLong

    @property
    def unfinished(self) -> bool:
        """Whether an event has begun and not ended."""
        return self._size > 0

    def rest(self) -> bytes:
        """What is left when the stream has ended: an event without its blank line."""
        rest = b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        self._tail = b""
        return rest


def event(data: bytes) -> bytes:
    """One data event on the wire; `data` has no line ends."""
    return b"data: " + data + b"\n\n"


def comment(text: str) -> bytes:
    """A comment, which parsers skip."""
    return f": {text}\n\n".encode()
