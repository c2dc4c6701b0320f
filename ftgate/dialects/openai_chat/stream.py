"""Streams: what of one passes, what is held back, what counts as content, and how it is closed."""

import msgspec

from ftgate.core.money import format_usd
from ftgate.core.usage import Usage, count
from ftgate.dialects import sse
from ftgate.dialects.fields import ABSENT, Fields, anything, fields_of, there
from ftgate.dialects.openai_chat.answer import DONE, HALF_PAIR, body_of, choices_of, note_message, note_usage
from ftgate.dialects.openai_chat.errors import read_error
from ftgate.dialects.openai_chat.usage import usage_object
from ftgate.dialects.talk import Meter, Piece


class StreamReader:
    """Watches a stream as it passes. `finished`: a finish_reason was seen. `done`: the end marker was."""

    def __init__(self, meter: Meter, *, show_usage: bool) -> None:
        self.meter = meter
        self.show_usage = show_usage
        self.finished = False
        self.done = False
        self.broken_frames = 0
        self.last_usage: Fields | None = None
        self._open: set[int] = (
            set()
        )  # choices that have begun and not finished: with n > 1 the first finish is not the end
        self._ended: set[int] = set()
        self._events = sse.Reader()
        self._head: dict[str, object] = {}

    def _after_the_end(self, data: bytes) -> None:
        """Behind the end marker nothing is passed on; but some put their usage there."""
        try:
            note_usage(body_of.decode(data).usage, self.meter)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            self.broken_frames += 1

    def end(self) -> list[Piece]:
        """The clean end of the body: a last event may lack its blank line and still be whole."""
        pieces = self.feed(b"\n\n") if self._events.unfinished else []
        self._events.rest()  # of an event that had half its blank line, one line end is left
        return pieces

    def feed(self, data: bytes) -> list[Piece]:
        """The pieces that ended within the bytes so far. Raises sse.EventTooLong."""
        return [piece for event in self._events.feed(data) if (piece := self._read(event)) is not None]

    def _read(self, event: sse.Event) -> Piece | None:
        if event.data is None:
            return Piece(event.raw, content=False)
        if event.data.strip() == b"[DONE]":
            self.done = True
            return None
        if self.done:
            self._after_the_end(event.data)
            return None
        try:
            chunk = body_of.decode(event.data)
        except msgspec.ValidationError:
            return self._strange(event)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            if (whole := HALF_PAIR.sub(rb"\\ufffd", event.data)) != event.data:
                return self._read(sse.Event(event.raw, whole, event.name))
            self.broken_frames += 1
            return None
        if there(chunk.error) or event.name == b"error":
            return Piece(b"", content=False, complaint=read_error(event.data))
        has_usage = there(chunk.usage)
        if has_usage:
            note_usage(chunk.usage, self.meter)
        if chunk.id is not None and not self._head:
            self._head = {"id": chunk.id, "created": chunk.created, "model": chunk.model}
        if not chunk.choices:
            if has_usage:
                self.last_usage = fields_of.decode(event.data) if self.meter.reported is not None else None
                return None
            return Piece(event.raw, content=False)
        content = False
        for choice in chunk.choices:
            if note_message(choice.delta or choice.message, self.meter):
                self.meter.content_seen = content = True
            if choice.finish_reason:  # some send "" until the end
                content = True
            self._follow(choice.index, ended=bool(choice.finish_reason))
            note_usage(choice.usage, self.meter)
            if has_usage or there(choice.usage):
                self.last_usage = None  # what is shown at the end is what is charged: the newest
        if has_usage and not self.show_usage:
            return Piece(self._without_usage(event.data), content)
        return Piece(event.raw, content)

    def _follow(self, index: int, *, ended: bool) -> None:
        """Keep account of which choices have begun and which have ended."""
        if ended:
            self._ended.add(index)
            self._open.discard(index)
        elif index not in self._ended:
            self._open.add(index)
        self.finished = bool(self._ended) and not self._open

    @staticmethod
    def _without_usage(data: bytes) -> bytes:
        fields = fields_of.decode(data)
        fields.pop("usage", None)
        return sse.event(msgspec.json.encode(fields))

    def _strange(self, event: sse.Event) -> Piece | None:
        """A chunk whose fields have types of their own: passed on if it is a JSON object, measured by its length."""
        try:
            fields = fields_of.decode(event.data or b"")
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            self.broken_frames += 1
            return None
        if there(fields.get("error", ABSENT)) or event.name == b"error":
            return Piece(b"", content=False, complaint=read_error(event.data or b""))
        note_usage(fields.get("usage"), self.meter)
        choices = choices_of(fields)
        if not choices:
            return Piece(event.raw, content=False)
        self.meter.note(choices.decode(errors="replace"))
        self.meter.content_seen = True
        for choice in anything.decode(choices):
            if isinstance(choice, dict):
                self._follow(count(choice.get("index")) or 0, ended=bool(choice.get("finish_reason")))
        if "usage" in fields and not self.show_usage:
            return Piece(self._without_usage(event.data or b""), content=True)
        return Piece(event.raw, content=True)

    def tail(self, usage: Usage, *, exact: bool, cost: int | None, balance: int | None) -> bytes:
        """What closes a complete stream: the usage chunk if the client asked, the cost comment, the end marker."""
        out = []
        if self.show_usage:
            if self.last_usage is not None and exact:
                fields: dict[str, object] = dict(self.last_usage)
                inner: dict[str, object] = dict(fields_of.decode(self.last_usage["usage"]))
            else:
                fields = {"id": "", "object": "chat.completion.chunk", **self._head, "choices": []}
                inner = usage_object(usage)
            if cost is not None:
                inner["cost"] = msgspec.Raw(format_usd(cost).encode())
            fields["usage"] = inner
            out.append(sse.event(msgspec.json.encode(fields)))
        if cost is not None:
            out.append(cost_comment(cost, balance))
        out.append(DONE)
        return b"".join(out)


def cost_comment(cost: int, balance: int | None) -> bytes:
    """The stream's cost, in a comment that parsers skip."""
    return sse.comment(
        f"x-findtoken-cost={format_usd(cost)}" + (f" balance={format_usd(balance)}" if balance is not None else "")
    )
