"""An answer of any dialect as messages write it: the Writer, for streams and whole answers.

Blocks follow each other here, one open at a time, where other dialects let calls come side by side (dialects/in_turn).
The end (`message_delta`) tells the usage, so it is written when the money is known.
"""

from collections.abc import Iterable, Mapping

from ftgate.core.usage import Usage
from ftgate.dialects import sse
from ftgate.dialects.anthropic_messages.answer import named
from ftgate.dialects.anthropic_messages.errors import error_event
from ftgate.dialects.anthropic_messages.marks import MARK, marked
from ftgate.dialects.anthropic_messages.stream import STOP
from ftgate.dialects.anthropic_messages.usage import usage_object
from ftgate.dialects.fields import dumps, loads
from ftgate.dialects.in_turn import InTurn
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
from ftgate.dialects.talk import Told
from ftgate.errors import GateError

_STOPS: Mapping[Reason, str] = {
    "end": "end_turn",
    "length": "max_tokens",
    "calls": "tool_use",
    "stop_sequence": "stop_sequence",
    "filter": "refusal",
    "refusal": "refusal",
    "pause": "pause_turn",
    "context": "model_context_window_exceeded",
}
_NO_MORE = ("calls", "length", "context", "pause")
"""Reasons that stay what they are though the model refused in words."""


class Writer:
    """Writes one answer (talk.Writer)."""

    def __init__(self, told: Told) -> None:
        self.told = told
        self.model = told.model
        self.ended = Finished("end")
        self._begun = False
        self._blocks = 0  # that have begun
        self._open = ""  # the type of the block that is open
        self._frame = b""  # what stands before a piece's text in the open block's events
        self._sealed = False  # the open thought has its seal
        self._refused = False
        self._in_turn = InTurn()

    # Streams

    def write(self, events: Iterable[Event]) -> bytes:
        written: list[bytes] = []
        for event in events:
            if isinstance(event, Said) and event.text and self._open == "text":
                written.append(self._piece(event.text))  # as nearly every event is
            elif isinstance(event, Began):
                self.model = event.model or self.model
            elif isinstance(event, Finished):
                self.ended = event
                for waited in self._in_turn.finish():
                    self._say(waited, written)
                self._close(written)
            else:
                for told in self._in_turn.take(event):
                    self._say(told, written)
        if not self._begun:
            self._begin(written)
        return b"".join(written)

    def _begin(self, written: list[bytes]) -> None:
        self._begun = True
        usage = usage_object(Usage(input=self.told.prompt))
        written.insert(0, named({"type": "message_start", "message": self._message([], usage, None)}))

    def _message(self, content: object, usage: object, stop: str | None) -> dict[str, object]:
        return {
            "id": f"msg_{self.told.mark}", "type": "message", "role": "assistant", "model": self.model,
            "content": content, "stop_reason": stop, "stop_sequence": self.ended.sequence or None, "usage": usage,
        }  # fmt: skip

    def _say(self, event: Event, written: list[bytes]) -> None:
        match event:
            case Said(text) | Refused(text) if text:
                self._refused |= isinstance(event, Refused)
                if self._open != "text":
                    self._start("text", {"type": "text", "text": ""}, "text_delta", "text", written)
                written.append(self._piece(text))
            case Thought(text):
                if self._open != "thinking" or self._sealed:
                    block = {"type": "thinking", "thinking": "", "signature": ""}
                    self._start("thinking", block, "thinking_delta", "thinking", written)
                written.append(self._piece(text))
            case Signed(signature):
                self._sign(signature, written)
            case Sealed(data):
                sealed = {"type": "redacted_thinking", "data": marked(self.told.kept(data))}
                self._start("redacted_thinking", sealed, "", "", written)
                self._close(written)
            case CallBegan(_, id, name):
                call = {"type": "tool_use", "id": id, "name": self._own(name), "input": {}}
                self._start("tool_use", call, "input_json_delta", "partial_json", written)
            case CallPart(text=text):
                written.append(self._piece(text))

    def _own(self, name: str) -> str:
        """The caller's own name of a tool that went up under this one."""
        tool = self.told.tool(name)
        return (tool.own if tool is not None else "") or name

    def _start(self, kind: str, block: Mapping[str, object], delta: str, field: str, written: list[bytes]) -> None:
        self._close(written)
        if not self._begun:
            self._begin(written)
        index, self._blocks = self._blocks, self._blocks + 1
        written.append(named({"type": "content_block_start", "index": index, "content_block": block}))
        self._open = kind
        frame = f'{{"type":"content_block_delta","index":{index},"delta":{{"type":"{delta}","{field}":'
        self._frame = b"event: content_block_delta\ndata: " + frame.encode()

    def _piece(self, text: str) -> bytes:
        return self._frame + dumps(text) + b"}}\n\n"

    def _sign(self, signature: str, written: list[bytes]) -> None:
        if self._open != "thinking":  # a seal without a thought that may be read
            self._start("thinking", {"type": "thinking", "thinking": "", "signature": ""}, "", "", written)
        delta = {"type": "signature_delta", "signature": marked(signature)}
        written.append(named({"type": "content_block_delta", "index": self._blocks - 1, "delta": delta}))
        self._sealed = True

    def _close(self, written: list[bytes]) -> None:
        if not self._open:
            return
        if self._open == "thinking" and not self._sealed:
            self._sign(MARK, written)
        written.append(named({"type": "content_block_stop", "index": self._blocks - 1}))
        self._open, self._sealed = "", False

    def tail(self, usage: Usage, *, exact: bool, cost: int | None, note: str) -> bytes:
        ended: dict[str, object] = {"stop_reason": self._stop(), "stop_sequence": self.ended.sequence or None}
        if self.ended.details is not None:
            ended["stop_details"] = self.ended.details
        end = named({"type": "message_delta", "delta": ended, "usage": usage_object(usage)})
        return end + (sse.comment(note) if note else b"") + STOP

    def _stop(self) -> str:
        reason = self.ended.reason
        return "refusal" if self._refused and reason not in _NO_MORE else _STOPS[reason]

    def failure(self, error: GateError, request_id: str, note: str) -> bytes:
        return error_event(error, request_id, note)

    # Whole answers

    def whole(self, events: Iterable[Event], usage: Usage, *, exact: bool, cost: int | None) -> bytes:
        blocks: list[dict[str, object]] = []
        calls: dict[int, tuple[dict[str, object], list[str]]] = {}
        texts: list[tuple[dict[str, object], str, list[str]]] = []

        def piece(kind: str, field: str, text: str) -> None:
            last = blocks[-1] if blocks else {}
            if last.get("type") != kind or last.get("signature"):
                blocks.append({"type": kind, field: "", **({"signature": ""} if kind == "thinking" else {})})
                texts.append((blocks[-1], field, []))
            texts[-1][2].append(text)

        for event in events:
            match event:
                case Began(model):
                    self.model = model or self.model
                case Said(text) | Refused(text) if text:
                    self._refused |= isinstance(event, Refused)
                    piece("text", "text", text)
                case Thought(text):
                    piece("thinking", "thinking", text)
                case Signed(signature):
                    if not blocks or blocks[-1]["type"] != "thinking":
                        piece("thinking", "thinking", "")
                    blocks[-1]["signature"] = marked(signature)
                case Sealed(data):
                    blocks.append({"type": "redacted_thinking", "data": marked(self.told.kept(data))})
                case CallBegan(key, id, name):
                    blocks.append({"type": "tool_use", "id": id, "name": self._own(name), "input": {}})
                    calls[key] = blocks[-1], []
                case CallPart(key, text):
                    calls[key][1].append(text)
                case Finished():
                    self.ended = event
        for block, field, pieces in texts:
            block[field] = "".join(pieces)
        for block in blocks:
            if block["type"] == "thinking" and not block["signature"]:
                block["signature"] = MARK
        for block, pieces in calls.values():
            block["input"] = _input("".join(pieces))
        message = self._message(blocks, usage_object(usage), self._stop())
        if self.ended.details is not None:
            message["stop_details"] = self.ended.details
        return dumps(message)


def _input(arguments: str) -> object:
    """A call's arguments as an object; what a model wrote that is none stands in one, so that nothing of it is lost."""
    try:
        made = loads(arguments.encode("utf-8", "surrogatepass")) if arguments.strip() else {}
    except ValueError:
        made = None
    return made if isinstance(made, dict) else {"_raw": arguments}
