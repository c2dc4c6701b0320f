"""An answer of any dialect as chat writes it: the Writer, for streams and whole answers.

Calls get an index each, in the order in which they begin, and their fragments may come in turn. The seal of a thought
stands in `reasoning_details`, beside that thought's text (OpenRouter's shape, which clients send back as it is):
turns.py reads it there. Thoughts without a seal are reasoning_content alone. What was the stop sequence, and what an
upstream says of its refusal, has no field.

Nearly all of a stream is short texts in one field, so the bytes around them are made once.
"""

from collections.abc import Iterable, Mapping

import msgspec

from ftgate.core.usage import Usage
from ftgate.dialects import free, sse
from ftgate.dialects.fields import dumps
from ftgate.dialects.neutral import (
    Began,
    CallBegan,
    CallPart,
    Event,
    Finished,
    Reason,
    Refused,
    Said,
    Sealed,
    Signed,
    Thought,
)
from ftgate.dialects.openai_chat.answer import CHUNK, DONE
from ftgate.dialects.openai_chat.errors import error_event
from ftgate.dialects.openai_chat.usage import usage_object
from ftgate.dialects.talk import Told
from ftgate.errors import GateError

_FINISH: Mapping[Reason, str] = {
    "length": "length",
    "context": "length",
    "calls": "tool_calls",
    "filter": "content_filter",
    "refusal": "content_filter",
}
"""Every other reason is a "stop"."""
Frame = tuple[bytes, bytes]
"""What stands before a text in an event, and what behind it."""
_HERE = b"\x00"
"""No JSON holds this byte."""
HOLE = msgspec.Raw(_HERE)
"""Where the text goes in a frame."""


class _Call:
    """A call as it is written; `parts` of its arguments are kept where they are not written as they come."""

    __slots__ = ("frame", "free", "id", "index", "name", "parts", "said")

    def __init__(self, index: int, began: CallBegan, *, free: bool) -> None:
        self.index = index
        self.id = began.id
        self.name = began.name
        self.free = free
        self.parts: list[str] = []
        self.said = False  # some of its arguments have been written
        self.frame: Frame | None = None

    def whole(self) -> dict[str, object]:
        arguments = "".join(self.parts)
        if self.free:
            return {"id": self.id, "type": "custom",
                    "custom": {"name": self.name, "input": free.input_of(arguments)}}  # fmt: skip
        return {"id": self.id, "type": "function", "function": {"name": self.name, "arguments": arguments or "{}"}}

    def begun(self) -> dict[str, object]:
        """As its first chunk says it."""
        kind, empty = ("custom", "input") if self.free else ("function", "arguments")
        return {"index": self.index, "id": self.id, "type": kind, kind: {"name": self.name, empty: ""}}

    def rest(self) -> dict[str, object] | None:
        """What is to be said of it at the end, if anything."""
        if self.free:
            return {"index": self.index, "custom": {"input": free.input_of("".join(self.parts))}}
        return None if self.said else {"index": self.index, "function": {"arguments": "{}"}}


class Writer:
    """Writes one answer (talk.Writer)."""

    def __init__(self, told: Told) -> None:
        self.told = told
        self.model = told.model
        self.finish = "stop"
        self._calls: dict[int, _Call] = {}  # by their key
        self._thought: list[str] = []  # of the thought that has no seal yet
        self._sealed = 0
        self._said: Frame | None = None
        self._thinking: Frame | None = None

    # Streams

    def write(self, events: Iterable[Event]) -> bytes:
        written: list[bytes] = []
        for event in events:
            if isinstance(event, Said) and self._said is not None and not event.logprobs:
                before, behind = self._said
                written += before, dumps(event.text), behind
            else:
                written += self._other(event)
        return b"".join(written)

    def _other(self, event: Event) -> Iterable[bytes]:
        """What is no text, or the first of all."""
        if isinstance(event, Began):
            self.model = event.model or self.model
        if self._said is None:
            self._said, self._thinking = self._frame({"content": HOLE}), self._frame({"reasoning_content": HOLE})
            yield self._chunk({"role": "assistant", "content": ""})
        match event:
            case Said(text, logprobs) if logprobs:
                yield self._chunk({"content": text}, logprobs=_told(logprobs))
            case Said(text):
                yield from _framed(self._said, text)
            case Thought(text):
                self._thought.append(text)
                assert self._thinking is not None
                yield from _framed(self._thinking, text)
            case CallPart(key, text):
                yield from self._call_part(self._calls[key], text)
            case Finished(reason):
                self.finish = _FINISH.get(reason, "stop")
                if rest := [said for call in self._calls.values() if (said := call.rest()) is not None]:
                    yield self._chunk({"tool_calls": rest})
            case _:
                if delta := self._delta(event):
                    yield self._chunk(delta)

    def _call_part(self, call: _Call, text: str) -> Iterable[bytes]:
        if call.free:
            call.parts.append(text)
        elif text:
            if call.frame is None:
                call.frame = self._frame({"tool_calls": [{"index": call.index, "function": {"arguments": HOLE}}]})
            call.said = True
            yield from _framed(call.frame, text)

    def _delta(self, event: Event) -> dict[str, object]:
        """What is said of an event in an object of its own; nothing where it has no words."""
        match event:
            case Refused(text):
                return {"refusal": text}
            case CallBegan():
                return {"tool_calls": [self._begin(event).begun()]}
            case Signed() | Sealed():
                return {"reasoning_details": self._details(event)}
        return {}

    def _begin(self, began: CallBegan) -> _Call:
        tool = self.told.tool(began.name)
        call = self._calls[began.key] = _Call(len(self._calls), began, free=tool is not None and tool.free)
        return call

    def _details(self, event: Signed | Sealed) -> list[dict[str, object]]:
        """A thought with its seal; one that went before without any goes along, since clients send these alone back."""
        text = "".join(self._thought)
        self._thought.clear()
        details: list[dict[str, object]] = []
        if isinstance(event, Signed):
            details.append({"type": "reasoning.text", "text": text, "signature": event.signature})
        else:
            details += [{"type": "reasoning.text", "text": text}] if text else []
            details.append({"type": "reasoning.encrypted", "data": event.data})
        for detail in details:
            detail["index"] = self._sealed  # clients that put streams together tell list elements apart by it
            self._sealed += 1
        return details

    def _head(self, kind: str) -> dict[str, object]:
        told = self.told
        return {"id": f"chatcmpl-{told.mark}", "object": kind, "created": told.created, "model": self.model}

    def _chunk(self, delta: Mapping[str, object], finish: str | None = None, **more: object) -> bytes:
        choice = {"index": 0, "delta": delta, **more, "finish_reason": finish}
        return sse.event(dumps({**self._head(CHUNK), "choices": [choice]}))

    def _frame(self, delta: Mapping[str, object]) -> Frame:
        return frame({**self._head(CHUNK), "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})

    def tail(self, usage: Usage, *, exact: bool, cost: int | None, note: str) -> bytes:
        end = self._chunk({}, self.finish)
        if self.told.ask.wants_usage:
            told = {**self._head(CHUNK), "choices": [], "usage": usage_object(usage, cost)}
            end += sse.event(msgspec.json.encode(told))
        return end + (sse.comment(note) if note else b"") + DONE

    def failure(self, error: GateError, request_id: str, note: str) -> bytes:
        return error_event(error, request_id, note)

    # Whole answers

    def whole(self, events: Iterable[Event], usage: Usage, *, exact: bool, cost: int | None) -> bytes:
        message: dict[str, object] = {"role": "assistant", "content": None, "refusal": None}
        texts: dict[str, list[str]] = {}
        details: list[dict[str, object]] = []
        tokens: list[dict[str, object]] = []
        for event in events:
            match event:
                case Began(model):
                    self.model = model or self.model
                case Said(text, logprobs):
                    texts.setdefault("content", []).append(text)
                    tokens += logprobs
                case Refused(text):
                    texts.setdefault("refusal", []).append(text)
                case Thought(text):
                    self._thought.append(text)
                    texts.setdefault("reasoning_content", []).append(text)
                case Signed() | Sealed():
                    details += self._details(event)
                case CallBegan():
                    self._begin(event)
                case CallPart(key, text):
                    self._calls[key].parts.append(text)
                case Finished(reason):
                    self.finish = _FINISH.get(reason, "stop")
        message |= {name: "".join(pieces) for name, pieces in texts.items()}
        if details:
            message["reasoning_details"] = details
        if self._calls:
            message["tool_calls"] = [call.whole() for call in self._calls.values()]
        elif message["content"] is None and message["refusal"] is None:
            message["content"] = ""
        told = _told(tokens) if tokens else None
        choice = {"index": 0, "message": message, "logprobs": told, "finish_reason": self.finish}
        return dumps({**self._head("chat.completion"), "choices": [choice], "usage": usage_object(usage)})


def frame(chunk: Mapping[str, object]) -> Frame:
    """The event of this chunk, whose text is a HOLE."""
    before, behind = sse.event(msgspec.json.encode(chunk)).split(_HERE)
    return before, behind


def _told(tokens: Iterable[Mapping[str, object]]) -> dict[str, object]:
    return {"content": list(tokens), "refusal": None}


def _framed(frame: Frame, text: str) -> tuple[bytes, ...]:
    return frame[0], dumps(text), frame[1]
