"""Streams: what of one passes, what counts as content, and how it is closed. The states stand in dialects/states; this
file makes signs of events.

All events pass as they came but for the last, which tells the usage: it is kept back until the money is settled. It is
the end marker too; what stands behind it (some send [DONE]) is left out. Nearly every event is a short piece of text,
and those are read in one go.
"""

from collections.abc import Mapping

import msgspec

from ftgate.core.usage import Usage, count
from ftgate.dialects import sse
from ftgate.dialects.complaints import complaint_in, complaint_of
from ftgate.dialects.content import look, media_tokens
from ftgate.dialects.fields import ABSENT, dumps, fields_of, loads, rewrite, there
from ftgate.dialects.openai_chat.stream import KEEPALIVE as KEEPALIVE
from ftgate.dialects.openai_chat.usage import with_cost
from ftgate.dialects.openai_responses.answer import complaint_of_response, items_of, note_item, note_response
from ftgate.dialects.openai_responses.frames import Frames
from ftgate.dialects.openai_responses.response import error_object
from ftgate.dialects.openai_responses.usage import usage_object
from ftgate.dialects.states import OVER, TABLE, WHOLE, Sign
from ftgate.dialects.talk import Complaint, Meter, NotAnAnswer
from ftgate.dialects.watching import MARK, Watcher
from ftgate.errors import GateError

_LAST = ("response.completed", "response.incomplete")
_FAILED = ("response.failed", "response.cancelled")
_SOUND = "response.audio.delta"
_QUIET_ITEMS = ("message", "reasoning")
"""Items that say nothing by being there."""


class _Piece(msgspec.Struct, gc=False):
    """An event as nearly all are: a piece of text."""

    type: str
    delta: str
    output_index: int = 0
    sequence_number: int = -1


_piece = msgspec.json.Decoder(_Piece)
_UNKNOWN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class StreamReader(Watcher):
    """Watches a stream as it passes (talk.Reader)."""

    MAX_PENDING = 4 * 1024 * 1024  # its first two events say again all that was asked, an agent's tools and all

    def __init__(self, meter: Meter, *, show_usage: bool) -> None:
        super().__init__(meter)
        self._number = -1  # of the last event that told one
        self._started: Mapping[str, object] = {}  # the response as it began
        self._output: list[object] = []  # items that are done
        self._metered: set[int] = set()  # indices of items whose pieces have come
        self._last: sse.Event | None = None  # the event that is kept back

    @property
    def closing(self) -> bytes:
        return self._last.raw if self._last is not None else b""

    def _read(self, event: sse.Event) -> None:
        data = event.data
        if data is None or self.state in OVER:
            return
        if not event.stray:
            try:
                piece = _piece.decode(data)
            except _UNKNOWN:
                pass
            else:
                self._read_piece(piece, event)
                return
        if data.strip() == MARK:
            self.state = TABLE[self.state][Sign.mark]
        else:
            self._read_any(event, data)

    def _read_piece(self, piece: _Piece, event: sse.Event) -> None:
        self._number = max(self._number, piece.sequence_number)
        sign = Sign.quiet
        if piece.delta:
            self._metered.add(piece.output_index)
            if piece.type == _SOUND:
                self.meter.note_media(media_tokens("audio", piece.delta))
            else:
                self.meter.note(piece.delta)
            self.meter.content_seen = True
            sign = Sign.content
        self._pass(event.raw, sign)

    def _read_said(self, said: Mapping[str, object], event: sse.Event, data: bytes) -> None:
        told = said.get("type")
        kind = told if isinstance(told, str) else (event.name or b"").decode("utf-8", "replace")
        number = count(said.get("sequence_number"))
        self._number = max(self._number, -1 if number is None else number)
        inner = said.get("response")
        response: Mapping[str, object] = inner if isinstance(inner, dict) else {}
        if kind in _FAILED:
            note_response(response, self.meter)
            self._fail(complaint_of_response(response))
        elif kind == "error":
            self._fail(complaint_of(said))
        elif kind in _LAST:
            self._read_last(response, event, data)
        elif not kind and (complaint := complaint_in(said)) is not None:
            self._fail(complaint)
        else:
            if response and not self._started:
                self._started = response
            raw = event.raw if not event.stray else sse.event(data)
            self._pass(raw, self._sign(kind, said))

    def _read_last(self, response: Mapping[str, object], event: sse.Event, data: bytes) -> None:
        """The event that ends the answer. What some bring only here is metered here."""
        note_response(response, self.meter)
        if not self._metered and not self._output:
            for item in items_of(response):
                note_item(item, self.meter)
        name = event.name if event.name is not None else b""
        self._last = sse.Event(b"event: %b\n%b" % (name, sse.event(data)) if name else sse.event(data), data, name)
        self.state = TABLE[TABLE[self.state][Sign.finish]][Sign.mark]

    def _sign(self, kind: str, said: Mapping[str, object]) -> Sign:
        """What an event that is no piece of text says."""
        inner = said.get("item")
        item: Mapping[str, object] = inner if isinstance(inner, dict) else {}
        if kind == "response.output_item.added":
            if item.get("type") in _QUIET_ITEMS and not any(item.get(name) for name in ("content", "summary")):
                return Sign.quiet
            self.meter.content_seen = True
            return Sign.content
        if kind == "response.output_item.done":
            self._output.append(item)
            if count(said.get("output_index")) in self._metered:
                return Sign.quiet
            return Sign.content if note_item(item, self.meter) else Sign.quiet
        if kind.endswith(".delta"):  # of another shape than nearly all are
            return self._read_odd(said)
        return Sign.quiet

    def _read_odd(self, said: Mapping[str, object]) -> Sign:
        """A piece whose text or whose numbers are of an odd type: it is passed on, so it is metered."""
        if "delta" in said and not said["delta"]:
            return Sign.quiet
        seen = look({"delta": said.get("delta")})
        if seen.text:
            self.meter.note(seen.text)
            self._metered.add(count(said.get("output_index")) or 0)
        self.meter.note_media(seen.media_tokens)
        self.meter.content_seen = True
        return Sign.content

    # The end

    def tail(self, usage: Usage, *, exact: bool, cost: int | None, note: str) -> bytes:
        """The last event with the cost in its usage: as the upstream told that, or ours where it told none that is
        believed."""
        assert self._last is not None and self._last.data is not None, "a whole stream has a last event"
        name = b"event: %b\n" % self._last.name if self._last.name else b""
        shown = _with_usage(self._last.data, usage_object(usage), cost, told=exact)
        return (sse.comment(note) if note else b"") + name + sse.event(shown)

    def failure(self, error: GateError, request_id: str, note: str) -> bytes:
        """The stream's own response, failed, under the next number."""
        frames = Frames(self._number + 1)
        failed = {
            "id": f"resp_{request_id.removeprefix('req_')}",
            "object": "response",
            **self._started,
            "status": "failed",
            "output": self._output,
            "error": error_object(error),
            "usage": None,
        }
        frames.say(b"response.failed", b'"response":' + dumps(failed))
        return (sse.comment(note) if note else b"") + frames.take()


def _with_usage(data: bytes, ours: dict[str, object], cost: int | None, *, told: bool) -> bytes:
    """A last event with its cost. `told`: the upstream's own usage is believed."""

    def change(data: bytes) -> bytes:
        fields = fields_of.decode(data)
        response: dict[str, object] = dict(fields_of.decode(fields["response"]))
        own = response.get("usage", ABSENT)
        usage = ours
        if told and isinstance(own, msgspec.Raw) and there(own):
            usage = dict(fields_of.decode(own))
        return msgspec.json.encode({**fields, "response": {**response, "usage": with_cost(usage, cost)}})

    try:
        return rewrite(data, change)
    except (*_UNKNOWN, KeyError):  # JSON that only Python's reader takes
        return data


def whole_of(body: bytes) -> bytes:
    """A whole answer from a stream: for an upstream that was asked for a whole one and streams all the same. Raises
    NotAnAnswer for one that is none, or not whole."""
    reader = StreamReader(Meter(), show_usage=True)
    reader.feed(body)
    reader.end()
    if reader.state not in WHOLE or reader._last is None:
        raise NotAnAnswer(reader.complaint or Complaint("a stream that ended before its answer did"))
    said = loads(reader._last.data or b"null")
    response = said.get("response") if isinstance(said, dict) else None
    if not isinstance(response, dict):
        raise NotAnAnswer(Complaint("a stream whose end tells no response"))
    if not items_of(response):
        response["output"] = reader._output
    return dumps(response)


__all__ = ["KEEPALIVE", "StreamReader", "whole_of"]
