"""Streams: what of one passes, what counts as content, and how it is closed. The states stand in dialects/states; this
file makes signs of events.

All events pass as they came but for `message_stop`, which is sent by us, after the money is settled. One that lacks its
name gets it: the SDKs go by the names. Nearly every event is a short piece of text, and those are read in one go.
"""

from collections.abc import Mapping

import msgspec

from ftgate.core.usage import Usage
from ftgate.dialects import sse
from ftgate.dialects.anthropic_messages.answer import Assembler, complaint_in, named, note_block
from ftgate.dialects.anthropic_messages.errors import error_event
from ftgate.dialects.anthropic_messages.usage import Told
from ftgate.dialects.fields import loads
from ftgate.dialects.states import OVER, TABLE, WHOLE, Sign
from ftgate.dialects.talk import Complaint, Meter, NotAnAnswer
from ftgate.dialects.watching import MARK, Watcher
from ftgate.errors import GateError

KEEPALIVE = named({"type": "ping"})
STOP = named({"type": "message_stop"})


class _Piece(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    type: str
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None


class _Delta(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A content_block_delta as nearly all are."""

    type: str
    index: int
    delta: _Piece


_delta = msgspec.json.Decoder(_Delta)
_DELTA = b"content_block_delta"


class StreamReader(Watcher):
    """Watches a stream as it passes (talk.Reader)."""

    def __init__(self, meter: Meter, *, show_usage: bool) -> None:
        super().__init__(meter)
        self._told = Told()

    def _read(self, event: sse.Event) -> None:
        data = event.data
        if data is None or self.state in OVER:
            return
        if event.name == _DELTA and not event.stray:
            try:
                piece = _delta.decode(data).delta
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                pass
            else:
                text = piece.text or piece.thinking or piece.partial_json
                if text:
                    self.meter.note(text)
                    self.meter.content_seen = True
                self._pass(event.raw, Sign.content if text else Sign.quiet)
                return
        if data.strip() == MARK:
            self.state = TABLE[self.state][Sign.mark]
        else:
            self._read_any(event, data)

    def _read_said(self, said: Mapping[str, object], event: sse.Event, data: bytes) -> None:
        if (complaint := complaint_in(said)) is not None:
            self._fail(complaint)
            return
        kind = said.get("type")
        if kind == "message_stop":
            self.state = TABLE[self.state][Sign.mark]
            return
        name = kind if isinstance(kind, str) else ""
        raw = event.raw
        if (event.name is None and name) or event.stray:
            raw = b"event: " + name.encode("utf-8", "replace") + b"\n" + sse.event(data)
        self._pass(raw, self._sign(name, said))

    def _sign(self, kind: str, said: Mapping[str, object]) -> Sign:
        inner = said.get("delta")
        delta = inner if isinstance(inner, dict) else {}
        if kind == "message_start":
            message = said.get("message")
            started = message if isinstance(message, dict) else {}
            usage = started.get("usage")
            # What it tells of the output here is no more than that it has begun; taken for a count, it would be
            # believed where the end tells none.
            self._told.take({**usage, "output_tokens": None} if isinstance(usage, dict) else usage, self.meter)
            blocks = started.get("content")
            seen = (
                [note_block(one, self.meter) for one in blocks if isinstance(one, dict)]
                if isinstance(blocks, list)
                else []
            )
            return Sign.content if any(seen) else Sign.quiet
        if kind == "message_delta":
            self._told.take(said.get("usage"), self.meter)
            return Sign.finish if delta.get("stop_reason") else Sign.quiet
        block = said.get("content_block") if kind == "content_block_start" else delta
        if kind not in ("content_block_start", "content_block_delta") or not isinstance(block, dict):
            return Sign.quiet
        return Sign.content if note_block(block, self.meter) else Sign.quiet

    def tail(self, usage: Usage, *, exact: bool, cost: int | None, note: str) -> bytes:
        return (sse.comment(note) if note else b"") + STOP

    def failure(self, error: GateError, request_id: str, note: str) -> bytes:
        return error_event(error, request_id, note)


def whole_of(body: bytes) -> bytes:
    """A whole answer from a stream: for an upstream that was asked for a whole one and streams all the same. Raises
    NotAnAnswer for one that is none, or not whole."""
    reader, assembler = StreamReader(Meter(), show_usage=True), Assembler()
    passed = reader.feed(body) + reader.end()
    if reader.state not in WHOLE:
        raise NotAnAnswer(reader.complaint or Complaint("a stream that ended before its answer did"))
    try:
        for event in sse.Reader().feed(passed):
            said = loads(event.data or b"null")
            if isinstance(said, dict):
                assembler.take(said)
        return assembler.whole()
    except (UnicodeEncodeError, RecursionError):
        raise NotAnAnswer(Complaint("a stream that cannot be put together")) from None
