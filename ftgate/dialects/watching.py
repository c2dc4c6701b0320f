"""What every reader of a stream does alike, whatever its dialect: cuts events, keeps back what must not go yet, follows
the states. A dialect's reader says in _read what one event is.
"""

from collections.abc import Mapping

from ftgate.dialects import sse
from ftgate.dialects.complaints import complaint_of, is_error, read_error
from ftgate.dialects.fields import loads
from ftgate.dialects.states import BEGUN, OVER, TABLE, Sign, State
from ftgate.dialects.talk import MAX_ANSWER_BYTES, Complaint, Meter

MAX_PENDING_BYTES = 65_536
"""Bytes of events without content that are kept back, so that the attempt can still fail over."""


class Watcher:
    """Half of a talk.Reader: all but what the events of its dialect mean, and how its stream is closed."""

    MAX_PENDING = MAX_PENDING_BYTES

    def __init__(self, meter: Meter) -> None:
        self.meter = meter
        self.state = State.pending
        self.complaint: Complaint | None = None
        self._events = sse.Reader()
        self._kept: list[bytes] = []  # to be passed on, together, when the state allows it
        self._kept_bytes = 0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.state.value}, {self._kept_bytes} bytes kept>"

    @property
    def closing(self) -> bytes:
        """The last event, in dialects where it is kept back and says how the answer ended (talk.Reader)."""
        return b""

    def feed(self, data: bytes) -> bytes:
        """What is to be passed on now of the events that ended within the bytes so far."""
        for event in self._events.feed(data):
            self._read(event)
        if self._events.too_long:
            self._fail(Complaint(f"an event of more than {MAX_ANSWER_BYTES} bytes"))
        if self.state is State.pending:
            if self._kept_bytes <= self.MAX_PENDING:
                return b""
            self.state = TABLE[self.state][Sign.full]
        return self._take_kept()

    def end(self) -> bytes:
        """The clean end of the body: a last event may lack its blank line and still be whole."""
        passed = self.feed(b"\n\n") if self._events.unfinished else b""
        self._events.rest()  # of an event that had half its blank line, one line end is left
        self.state = TABLE[self.state][Sign.close]
        return passed

    def _take_kept(self) -> bytes:
        kept = self._kept
        if not kept or self.state not in BEGUN:
            return b""
        passed = kept[0] if len(kept) == 1 else b"".join(kept)
        kept.clear()
        self._kept_bytes = 0
        return passed

    def _pass(self, raw: bytes, sign: Sign) -> None:
        self.state = TABLE[self.state][sign]
        self._kept.append(raw)
        self._kept_bytes += len(raw)

    def _fail(self, complaint: Complaint) -> None:
        if self.state not in OVER:
            self.complaint = complaint
        self.state = TABLE[self.state][Sign.wrong]

    def _read(self, event: sse.Event) -> None:
        raise NotImplementedError

    def _read_said(self, said: Mapping[str, object], event: sse.Event, data: bytes) -> None:
        """An event whose `data` is this JSON object."""
        raise NotImplementedError

    def _read_any(self, event: sse.Event, data: bytes) -> None:
        """Data of any shape. What only pretends to be JSON breaks the stream, since a part of the answer is lost with
        it."""
        try:
            said = loads(data)
        except ValueError:
            self._read_no_json(event, data)
            return
        if event.name == b"error":
            self._fail(complaint_of(said))
        elif isinstance(said, dict):
            self._read_said(said, event, data)
        elif isinstance(said, list) and said and isinstance(said[0], dict) and is_error(said[0].get("error")):
            self._fail(complaint_of(said))
        else:
            self.meter.unread += 1

    def _read_no_json(self, event: sse.Event, data: bytes) -> None:
        """Data that is no JSON value. Several events may have come in one block."""
        lines = data.split(b"\n")
        if event.name == b"error":
            self._fail(read_error(data))
        elif len(lines) > 1 and all(map(self._is_whole, lines)):
            for line in lines:
                if line.strip():
                    self._read(sse.Event(sse.event(line), line))
        elif data.lstrip()[:1] in (b"{", b"["):
            self._fail(Complaint("the provider sent an event that cannot be read"))
        elif data.strip():
            self.meter.unread += 1

    @staticmethod
    def _is_whole(line: bytes) -> bool:
        """Whether a data line is an event by itself: empty, the end marker, or JSON that began as an object."""
        line = line.strip()
        if line and line != MARK:
            try:
                return line.startswith(b"{") and isinstance(loads(line), dict)
            except ValueError:
                return False
        return True


MARK = b"[DONE]"
"""The data of OpenAI's end marker, which some send in other dialects too."""
