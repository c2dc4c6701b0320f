"""The items of an answer, each with the events that tell of it: added, its pieces, done.

The part of a frame that is the same for all pieces of an item is made once: an ordinary answer is hundreds of events
with a few bytes in each.
"""

from ftgate.dialects import free
from ftgate.dialects.fields import dumps, whole_pairs
from ftgate.dialects.logprobs import Tokens
from ftgate.dialects.neutral import Thinking, Tool
from ftgate.dialects.openai_responses.envelope import enclosed
from ftgate.dialects.openai_responses.frames import Frames, inner


class Message:
    """What is said, and refused: parts of one message."""

    def __init__(self, frames: Frames, id: str, index: int) -> None:
        self.frames = frames
        self.place = inner({"item_id": id, "output_index": index})
        self.index = index
        self.id = id
        self.parts: list[dict[str, object]] = []
        self._kind = ""  # of the part that is open: output_text or refusal
        self._texts: list[str] = []
        self._logprobs: list[dict[str, object]] = []
        self._name, self._head, self._bare = b"", b"", b""
        frames.say(b"response.output_item.added", _added(index, self._item("in_progress")))

    def _item(self, status: str) -> dict[str, object]:
        return {"id": self.id, "type": "message", "role": "assistant", "status": status, "content": self.parts}

    def say(self, kind: str, text: str, logprobs: Tokens = ()) -> None:
        if kind != self._kind:
            self._close_part()
            self._open_part(kind)
        self._texts.append(text)
        head = self._head
        if logprobs:
            self._logprobs += logprobs
            head = b'%b,"logprobs":%b' % (self._bare, dumps(logprobs))
        self.frames.say(self._name, b'%b,"delta":%b' % (head, dumps(text)))

    def _open_part(self, kind: str) -> None:
        self._kind, self._texts, self._logprobs = kind, [], []
        self._name = b"response.%b.delta" % kind.encode()
        at = b'%b,"content_index":%d' % (self.place, len(self.parts))
        self._bare = at
        self._head = at + b',"logprobs":[]' if kind == "output_text" else at
        part = dumps(_part(kind, ""))
        self.frames.say(b"response.content_part.added", b'%b,"part":%b' % (at, part))

    def _close_part(self) -> None:
        if not self._kind:
            return
        text = whole_pairs("".join(self._texts))
        part = _part(self._kind, text, self._logprobs)
        head = b'%b,"logprobs":%b' % (self._bare, dumps(self._logprobs)) if self._logprobs else self._head
        field = b"text" if self._kind == "output_text" else b"refusal"
        self.frames.say(b"response.%b.done" % self._kind.encode(), b'%b,"%b":%b' % (head, field, dumps(text)))
        at = b'%b,"content_index":%d' % (self.place, len(self.parts))
        self.frames.say(b"response.content_part.done", b'%b,"part":%b' % (at, dumps(part)))
        self.parts.append(part)
        self._kind = ""

    def close(self, status: str) -> bytes:
        self._close_part()
        return _done(self.frames, self.index, self._item(status))


def _part(kind: str, text: str, logprobs: list[dict[str, object]] | None = None) -> dict[str, object]:
    if kind == "refusal":
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs or []}


class Reasoning:
    """What is thought: one summary, and in the envelope all that is needed to go on thinking."""

    def __init__(self, frames: Frames, id: str, index: int) -> None:
        self.frames = frames
        self.index = index
        self.id = id
        self._at = inner({"item_id": id, "output_index": index, "summary_index": 0})
        self._shown: list[str] = []
        self._texts: list[str] = []  # of the thought that goes on
        self._thoughts: list[Thinking] = []
        frames.say(b"response.output_item.added", _added(index, self._item("in_progress", [], None)))

    def _item(self, status: str, summary: list[dict[str, object]], content: str | None) -> dict[str, object]:
        return {
            "id": self.id, "type": "reasoning", "status": status, "summary": summary, "encrypted_content": content,
        }  # fmt: skip

    def think(self, text: str) -> None:
        if not self._shown:
            part = dumps({"type": "summary_text", "text": ""})
            self.frames.say(b"response.reasoning_summary_part.added", b'%b,"part":%b' % (self._at, part))
        shown = text if self._texts or not self._shown else f"\n\n{text}"  # apart from the thought before
        self._shown.append(shown)
        self._texts.append(text)
        self.frames.say(b"response.reasoning_summary_text.delta", b'%b,"delta":%b' % (self._at, dumps(shown)))

    def seal(self, signature: str) -> None:
        self._thoughts.append(Thinking(whole_pairs("".join(self._texts)), signature))
        self._texts = []

    def add_sealed(self, data: str) -> None:
        self._end_thought()
        self._thoughts.append(Thinking(sealed=data))

    def _end_thought(self) -> None:
        if self._texts:
            self.seal("")

    def close(self, status: str) -> bytes:
        self._end_thought()
        summary: list[dict[str, object]] = []
        if self._shown:
            text = whole_pairs("".join(self._shown))
            part: dict[str, object] = {"type": "summary_text", "text": text}
            summary.append(part)
            self.frames.say(b"response.reasoning_summary_text.done", b'%b,"text":%b' % (self._at, dumps(text)))
            self.frames.say(b"response.reasoning_summary_part.done", b'%b,"part":%b' % (self._at, dumps(part)))
        return _done(self.frames, self.index, self._item(status, summary, enclosed(self._thoughts)))


class Call:
    """A call of a tool, under the caller's own name for it. The text of a tool of free text stands inside JSON as it
    comes, so it is told when it is whole."""

    def __init__(self, frames: Frames, mark: str, index: int, id: str, name: str, tool: Tool | None) -> None:
        self.frames = frames
        self.index = index
        self.free = tool is not None and tool.free
        self.id = f"{'ctc' if self.free else 'fc'}_{mark}"
        own = {"call_id": id, "name": (tool.own if tool is not None else "") or name}
        self._own = own | ({"namespace": tool.space} if tool is not None and tool.space else {})
        self._texts: list[str] = []
        self._place = inner({"item_id": self.id, "output_index": index})
        frames.say(b"response.output_item.added", _added(index, self._item("in_progress", "")))

    def _item(self, status: str, text: str) -> dict[str, object]:
        kind, field = ("custom_tool_call", "input") if self.free else ("function_call", "arguments")
        return {"id": self.id, "type": kind, "status": status, **self._own, field: text}

    def add(self, text: str) -> None:
        self._texts.append(text)
        if not self.free:
            self._delta(text)

    def _delta(self, text: str) -> None:
        kind = b"response.custom_tool_call_input.delta" if self.free else b"response.function_call_arguments.delta"
        self.frames.say(kind, b'%b,"delta":%b' % (self._place, dumps(text)))

    def close(self, status: str) -> bytes:
        text = whole_pairs("".join(self._texts))
        if self.free:
            text = free.input_of(text)
            self._delta(text)
            said = b'"input":%b' % dumps(text)
            self.frames.say(b"response.custom_tool_call_input.done", b"%b,%b" % (self._place, said))
        else:
            if not text and status == "completed":
                text = "{}"
                self._delta(text)
            said = inner({"arguments": text, "name": self._own["name"]})
            self.frames.say(b"response.function_call_arguments.done", b"%b,%b" % (self._place, said))
        return _done(self.frames, self.index, self._item(status, text))


def _added(index: int, item: dict[str, object]) -> bytes:
    return inner({"output_index": index, "item": item})


def _done(frames: Frames, index: int, item: dict[str, object]) -> bytes:
    """Say that an item is done; the item as JSON."""
    written = dumps(item)
    frames.say(b"response.output_item.done", b'"output_index":%d,"item":%b' % (index, written))
    return written
