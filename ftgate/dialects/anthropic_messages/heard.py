"""What a messages upstream answers, in neutral words: Events for a stream, events_of for a whole answer.

A stream's events come here as StreamReader passes them on. Tools that the provider runs by itself are none of the
caller's: what they found is in the text behind them.
"""

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from ftgate.core.usage import count
from ftgate.dialects.anthropic_messages.answer import blocks_of
from ftgate.dialects.content import written
from ftgate.dialects.fields import dumps, loads, text_of
from ftgate.dialects.neutral import (
    Began,
    CallBegan,
    CallPart,
    Event,
    Finished,
    Reason,
    Said,
    Sealed,
    Signed,
    Thought,
)

_REASONS: Mapping[str, Reason] = {
    "end_turn": "end",
    "max_tokens": "length",
    "stop_sequence": "stop_sequence",
    "tool_use": "calls",
    "pause_turn": "pause",
    "refusal": "refusal",
    "model_context_window_exceeded": "context",
}


class _Piece(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    type: str
    text: str


class _TextDelta(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    type: str
    index: int
    delta: _Piece


_text_delta = msgspec.json.Decoder(_TextDelta)


class Events:
    """Reads one stream (talk.Events)."""

    def __init__(self) -> None:
        self._id = ""
        self._calls: dict[int, bool] = {}  # by the index of their block: whether any of the input has come
        self._began = False
        self._made = 0

    def read(self, data: bytes) -> Iterable[Event]:
        """A text alone, as nearly every event is, is read in one go."""
        if data.startswith(b'{"type":"content_block_delta"') or b'"text_delta"' in data[:120]:
            try:
                text = _text_delta.decode(data).delta.text
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                pass
            else:
                return (Said(text),) if text else ()
        said = loads(data)
        return self._read(said) if isinstance(said, dict) else ()

    def _read(self, said: Mapping[str, object]) -> Iterator[Event]:
        index = count(said.get("index")) or 0
        match said.get("type"):
            case "message_start":
                message = said.get("message")
                if isinstance(message, dict):
                    yield from self._start(message)
            case "content_block_start":
                block = said.get("content_block")
                if isinstance(block, dict):
                    yield from self.block(index, block)
            case "content_block_delta":
                delta = said.get("delta")
                if isinstance(delta, dict):
                    yield from self._delta(index, delta)
            case "content_block_stop":
                if self._calls.pop(index, True) is False:
                    yield CallPart(index, "{}")
            case "message_delta":
                delta = said.get("delta")
                if isinstance(delta, dict) and delta.get("stop_reason"):
                    yield from self.finish(delta)

    def _start(self, message: Mapping[str, object]) -> Iterator[Event]:
        yield from self.begin(message)
        for at, block in enumerate(blocks_of(message)):
            yield from self.block(at, block)

    def begin(self, message: Mapping[str, object]) -> Iterator[Event]:
        self._id = text_of(message.get("id"))
        if not self._began:
            self._began = True
            yield Began(text_of(message.get("model")))

    def block(self, index: int, block: Mapping[str, object]) -> Iterator[Event]:
        """A block as it begins; all of it, in a whole answer."""
        match block.get("type"):
            case "text":
                if text := text_of(block.get("text")):
                    yield Said(text)
            case "thinking":
                if text := text_of(block.get("thinking")):
                    yield Thought(text)
                if seal := text_of(block.get("signature")):
                    yield Signed(seal)
            case "redacted_thinking":
                if data := text_of(block.get("data")):
                    yield Sealed(data)
            case "tool_use":
                if name := text_of(block.get("name")):
                    made = block.get("input")
                    self._calls[index] = bool(made)
                    self._made += 1
                    yield CallBegan(index, text_of(block.get("id")) or f"toolu_{self._id}_{index}", name)
                    if made:
                        yield CallPart(index, written(made))

    def _delta(self, index: int, delta: Mapping[str, object]) -> Iterator[Event]:
        match delta.get("type"):
            case "text_delta":
                if text := text_of(delta.get("text")):
                    yield Said(text)
            case "thinking_delta":
                if text := text_of(delta.get("thinking")):
                    yield Thought(text)
            case "signature_delta":
                if seal := text_of(delta.get("signature")):
                    yield Signed(seal)
            case "input_json_delta":
                if index in self._calls and (text := text_of(delta.get("partial_json"))):
                    self._calls[index] = True
                    yield CallPart(index, text)

    def finish(self, ended: Mapping[str, object]) -> Iterator[Event]:
        for index, told in self._calls.items():  # blocks that were never closed
            if not told:
                yield CallPart(index, "{}")
        self._calls.clear()
        reason = _REASONS.get(text_of(ended.get("stop_reason")), "end")
        if reason == "end" and self._made:
            reason = "calls"
        details = ended.get("stop_details")
        yield Finished(
            reason,
            text_of(ended.get("stop_sequence")),
            msgspec.Raw(dumps(details)) if isinstance(details, dict) else None,
        )


def events_of(body: bytes) -> Iterator[Event]:
    """The events of a whole answer that read_answer has looked through."""
    said = loads(body)
    assert isinstance(said, dict)
    reader = Events()
    yield from reader.begin(said)
    for at, block in enumerate(blocks_of(said)):
        yield from reader.block(at, block)
    yield from reader.finish(said)
