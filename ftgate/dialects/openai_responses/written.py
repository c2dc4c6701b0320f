"""Answers of any dialect as Responses: what the Writer writes, plain and streamed.

Items come one behind the other here, where other dialects let calls come side by side (dialects/in_turn): one ends
when another kind of content begins, and at the finish everything ends. Of a stream that breaks off, what was not
finished is neither ended nor listed.
"""

from collections.abc import Iterable

from ftgate.core.usage import Usage
from ftgate.dialects import sse
from ftgate.dialects.in_turn import InTurn
from ftgate.dialects.neutral import (
    Began,
    CallBegan,
    CallPart,
    Event,
    Finished,
    Refused,
    Said,
    Sealed,
    Signed,
    Thought,
)  # fmt: skip
from ftgate.dialects.openai_responses.frames import Frames
from ftgate.dialects.openai_responses.output import Call, Message, Reasoning
from ftgate.dialects.openai_responses.response import Response
from ftgate.dialects.openai_responses.usage import usage_object
from ftgate.dialects.talk import Told
from ftgate.errors import GateError

_INCOMPLETE = {"length": "max_output_tokens", "context": "max_output_tokens", "filter": "content_filter",
               "refusal": "content_filter"}  # fmt: skip


class Writer:
    """Writes one answer (talk.Writer)."""

    def __init__(self, told: Told) -> None:
        self.told = told
        self.frames = Frames()
        self.response = Response(told.ask.fields, told.mark, told.created, told.model)
        self._begun = False
        self._output: list[bytes] = []  # items that are done
        self._item: Message | Reasoning | Call | None = None  # the one that goes on
        self._in_turn = InTurn()
        self._reason: str | None = None  # why the answer is incomplete

    def write(self, events: Iterable[Event]) -> bytes:
        for event in events:
            if isinstance(event, Said) and isinstance(self._item, Message) and event.text:
                self._item.say("output_text", event.text, event.logprobs)  # nearly every event
            else:
                self._take(event)
        return self.frames.take()

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            started = b'"response":' + self.response.written("in_progress", [])
            self.frames.say(b"response.created", started)
            self.frames.say(b"response.in_progress", started)

    def _take(self, event: Event) -> None:
        if isinstance(event, Began):
            self.response.model = event.model.encode("utf-8", "replace").decode() or self.response.model
        self._begin()
        if isinstance(event, Finished):
            self._finish(_INCOMPLETE.get(event.reason))
        else:
            for told in self._in_turn.take(event):
                self._follow(told)

    def _follow(self, event: Event) -> None:
        match event:
            case Said(text, logprobs):
                if text or logprobs:
                    self._message().say("output_text", text, logprobs)
            case Refused(text):
                if text:
                    self._message().say("refusal", text)
            case Thought(text):
                if text:
                    self._reasoning().think(text)
            case Signed(signature):
                if signature:
                    self._reasoning().seal(signature)
            case Sealed(data):
                if data:
                    self._reasoning().add_sealed(self.told.kept(data))
            case CallBegan(_, id, name):
                self._close()
                index = len(self._output)
                self._item = Call(self.frames, f"{self.told.mark}_{index}", index, id, name, self.told.tool(name))
            case CallPart(text=text):
                if text and isinstance(self._item, Call):
                    self._item.add(text)

    def _message(self) -> Message:
        if not isinstance(self._item, Message):
            self._close()
            index = len(self._output)
            self._item = Message(self.frames, f"msg_{self.told.mark}_{index}", index)
        return self._item

    def _reasoning(self) -> Reasoning:
        if not isinstance(self._item, Reasoning):
            self._close()
            index = len(self._output)
            self._item = Reasoning(self.frames, f"rs_{self.told.mark}_{index}", index)
        return self._item

    def _close(self, status: str = "completed") -> None:
        if self._item is not None:
            self._output.append(self._item.close(status))
            self._item = None

    def _finish(self, reason: str | None) -> None:
        """The end of the answer: what waited comes now, call by call, each with all its parts."""
        self._reason = reason
        for waited in self._in_turn.finish():
            self._follow(waited)
        self._close("completed" if reason is None else "incomplete")

    def _last(self, usage: dict[str, object]) -> tuple[bytes, bytes]:
        """The kind of the last event, and the response in it."""
        status = "completed" if self._reason is None else "incomplete"
        completed = max(self.told.now(), self.told.created) if self._reason is None else None
        written = self.response.written(status, self._output, usage=usage, reason=self._reason, completed=completed)
        return b"response." + status.encode(), written

    def tail(self, usage: Usage, *, exact: bool, cost: int | None, note: str) -> bytes:
        self._begin()
        self._close()
        before = self.frames.take()
        kind, response = self._last(usage_object(usage, cost))
        self.frames.say(kind, b'"response":' + response)
        return before + (sse.comment(note) if note else b"") + self.frames.take()

    def failure(self, error: GateError, request_id: str, note: str) -> bytes:
        self._begin()
        before = self.frames.take()
        self.frames.say(b"response.failed", b'"response":' + self.response.failed(self._output, error))
        return before + (sse.comment(note) if note else b"") + self.frames.take()

    def whole(self, events: Iterable[Event], usage: Usage, *, exact: bool, cost: int | None) -> bytes:
        self.write(events)
        self._close()
        return self._last(usage_object(usage))[1]
