"""What becomes of an answer on its way to the client: untouched where both sides speak one dialect (its own reader),
translated where they do not. The one `if` between the two stands in attempt.py.

A translated stream goes through the same reader, which says what counts as content, what it used and how it ended; what
that passes on is read in neutral words and written in the caller's.
"""

from ftgate.core.usage import Usage
from ftgate.dialects import sse
from ftgate.dialects.neutral import Event
from ftgate.dialects.states import State
from ftgate.dialects.talk import Complaint, Dialect, Reader, Writer
from ftgate.errors import GateError


class Translated:
    """A stream of one dialect as one of another (talk.Reader)."""

    __slots__ = ("_closed", "_events", "closing", "reader", "writer")

    def __init__(self, dialect: Dialect, reader: Reader, writer: Writer) -> None:
        self.reader = reader
        self.writer = writer
        self._events = dialect.Events()
        self._closed = False  # what the reader keeps back for its tail() has been read
        self.closing = b""

    def __repr__(self) -> str:
        return f"<Translated {self.reader!r}>"

    @property
    def state(self) -> State:
        return self.reader.state

    @property
    def complaint(self) -> Complaint | None:
        return self.reader.complaint

    def feed(self, data: bytes) -> bytes:
        return self._translate(self.reader.feed(data))

    def end(self) -> bytes:
        return self._translate(self.reader.end())

    def _translate(self, passed: bytes) -> bytes:
        if self.reader.state is not State.content and not self._closed and (closing := self.reader.closing):
            self._closed = True
            passed += closing
        if not passed:
            return b""
        read = self._events.read
        said: list[Event] = []
        for data in sse.datas(passed):
            said += read(data)
        return self.writer.write(said) if said else b""

    def tail(self, usage: Usage, *, exact: bool, cost: int | None, note: str) -> bytes:
        return self.writer.tail(usage, exact=exact, cost=cost, note=note)

    def failure(self, error: GateError, request_id: str, note: str) -> bytes:
        return self.writer.failure(error, request_id, note)
