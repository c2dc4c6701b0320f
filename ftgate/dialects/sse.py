"""Server-sent events, sans-I/O: bytes in, events out, every byte kept.

An event ends at a blank line; a line ends at LF, CRLF or CR and at nothing else (str.splitlines and httpx's line reader
also split at U+2028, U+0085 and others, which stand inside JSON strings). Source: WHATWG HTML, section 9.2.6.

`feed` returns whole events with their raw bytes, so that what is passed on is what came: joined, the raw bytes of all
events and the rest are the input. A CR that ends a piece behind an LF is likely the half of a CRLF, and is waited on:
nothing of ours may come between the two. Behind a CR it is not, and were it one all the same, its LF would stand at the
head of the next event, where a parser sees one more blank line.
"""

import re

import msgspec

from ftgate.dialects.talk import MAX_ANSWER_BYTES

BOM = b"\xef\xbb\xbf"
TELLING_BYTES = 4096
"""Of a body that begins with nothing but space: what it calls itself has to do then."""

# Atomic groups: a CRLF must not be taken apart into a CR and an LF, which together would look like a blank line.
_END = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_LINE = re.compile(rb"\r\n|\n|\r")
_FIELDS = (b"data:", b"event:", b":", b"id:", b"retry:")


class Event(msgspec.Struct, frozen=True, gc=False):
    """One event. `data` joins its data lines, None when it has none (comments, keep-alives); `name` is its event field.
    `stray`: some of its data stood bare on a line, as servers write an error into a stream they have begun; a client
    would not see it, so its raw bytes are not to be passed on."""

    raw: bytes
    data: bytes | None
    name: bytes | None = None
    stray: bool = False


def parse(raw: bytes, *, first: bool = True) -> Event:
    """Read the fields of one whole event; a byte order mark counts for nothing before the `first` of a stream alone."""
    if raw.startswith(b"data: ") and raw.find(b"\n") == len(raw) - 2 and b"\r" not in raw:
        return Event(raw, raw[6:-2])  # the ordinary one: a single data line
    if raw.startswith(b"data: ") and raw.find(b"\r") == len(raw) - 4 and raw.find(b"\n") == len(raw) - 3:
        return Event(raw, raw[6:-4])
    if raw.startswith(b"event: ") and raw.count(b"\n") == 3 and b"\r" not in raw:
        head, line, _, _ = raw.split(b"\n")  # and the ordinary one of a stream that names its events
        if line.startswith(b"data: "):
            return Event(raw, line[6:], head[7:])
    name: bytes | None = None
    data: list[bytes] = []
    stray = False
    for line in _LINE.split(raw.removeprefix(BOM) if first else raw):
        field, colon, value = line.partition(b":")
        if not field:
            continue  # blank, or a comment
        value = value.removeprefix(b" ") if colon else b""
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
        elif field.startswith(b"{"):
            data.append(line)
            stray = True
    return Event(raw, b"\n".join(data) if data else None, name, stray)


class Reader:
    """Cuts a byte stream into events."""

    __slots__ = ("_parts", "_size", "_tail", "first", "too_long")

    def __init__(self) -> None:
        self.first = True
        self.too_long = False  # an event passed MAX_ANSWER_BYTES without ending: nothing more is read
        self._parts: list[bytes] = []  # pieces of an unfinished event: joined when it ends, not at each piece
        self._size = 0
        self._tail = b""  # its last three bytes, since an end (CRLF CRLF) may straddle pieces by as many

    def feed(self, data: bytes) -> list[Event]:
        """All events that end within the bytes so far."""
        if not self._size and data.find(b"\n\n") == len(data) - 2 >= 0 and b"\r" not in data:
            first, self.first = self.first, False
            return [parse(data, first=first)]  # one whole event, as nearly every piece is
        window = self._tail + data if self._size else data
        if not _end_of(window, 0, _blank_line(window), waits=False):
            self._keep(data)
            return []
        if self._size:
            data = b"".join((*self._parts, data))
        events: list[Event] = []
        blank = _blank_line(data)
        start, end = 0, _end_of(data, max(self._size - 3, 0), blank)
        while end:
            events.append(parse(data[start:end], first=self.first))
            self.first = False
            start, end = end, _end_of(data, end, blank)
        self._parts.clear()
        self._size = 0
        self._tail = b""
        self._keep(data[start:] if start else data)
        return events

    def _keep(self, data: bytes) -> None:
        if data and not self.too_long:
            self._parts.append(data)
            self._size += len(data)
            self._tail = (self._tail + data[-3:])[-3:]
            self.too_long = self._size > MAX_ANSWER_BYTES

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


def datas(events: bytes) -> list[bytes]:
    """The data of each of these events, which are whole; those without any are left out."""
    at = 0 if events.startswith(b"data: ") else events.find(b"\n") + 1
    plain = events.find(b"\n", at) == len(events) - 2 and events.startswith(b"data: ", at) and b"\r" not in events
    if plain and (not at or events.startswith(b"event: ")):
        return [events[at + 6 : -2]]  # the ordinary one: a name or none, and a single data line
    if b"\r" not in events and len(blocks := events.split(b"\n\n")) > 2:
        return [data for block in blocks[:-1] for data in datas(block + b"\n\n")]
    return [event.data for event in Reader().feed(events) if event.data is not None]


def _blank_line(data: bytes) -> bytes | None:
    """What ends each event of these bytes, where their lines all end alike, as nearly everybody's do: looking for that
    is many times quicker than the pattern. None where they do not."""
    if b"\r" not in data:
        return b"\n\n"
    return b"\r\n\r\n" if data.count(b"\r\n") == data.count(b"\r") == data.count(b"\n") else None


def _end_of(data: bytes, start: int, blank: bytes | None, *, waits: bool = True) -> int:
    """Where the event ends that is looked for from `start` on; 0 when its end has not come. `blank` as _blank_line
    says. `waits`: a CR at the very end, behind an LF, is no end yet."""
    if blank is not None:
        at = data.find(blank, start)
        return at + len(blank) if at >= 0 else 0
    match = _END.search(data, start)
    if match is None or (waits and match.end() == len(data) and match.group().endswith(b"\n\r")):
        return 0
    return match.end()


def is_stream(head: bytes, *, ended: bool = False) -> bool | None:
    """Whether a body that begins with `head` is a stream of events, whatever its Content-Type says: by its first line's
    field. None while `head` is too short to tell, unless it has `ended`."""
    if head.startswith(b"{"):  # nearly every answer that is none
        return False
    line = head[:TELLING_BYTES].removeprefix(BOM).lstrip()
    if line.startswith(_FIELDS):
        return True
    short = len(head) < TELLING_BYTES and any(field.startswith(line) for field in (BOM, *_FIELDS))
    return None if short and not ended else False


def event(data: bytes) -> bytes:
    """One data event on the wire. `data` is JSON: a line end in it stands between its values and is left out."""
    return b"data: " + data.translate(None, b"\r\n") + b"\n\n"


def comment(text: str) -> bytes:
    """A line that parsers skip. It stands before an event, in its block: some clients take a block of comments alone
    for an event without data."""
    return f": {' '.join(text.splitlines())}\n".encode(errors="replace")
