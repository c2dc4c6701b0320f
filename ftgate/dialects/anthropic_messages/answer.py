"""Whole answers: looked through for text, usage and errors; written as a stream where one was asked for; and a stream
put together as a whole one."""

from collections.abc import Iterator, Mapping

import msgspec

from ftgate.dialects import content, sse
from ftgate.dialects.anthropic_messages.usage import Told
from ftgate.dialects.complaints import answer_object, complaint_of, is_error
from ftgate.dialects.fields import dumps, loads, whole_pairs
from ftgate.dialects.talk import Complaint, Meter, NotAnAnswer

_PIECES: Mapping[str, tuple[str, str]] = {"text": ("text_delta", "text"), "thinking": ("thinking_delta", "thinking")}
"""What a block of a type is streamed as, and in which field its text stands."""


def read_answer(body: bytes, meter: Meter) -> None:
    """Look through a whole answer, giving text and usage to the meter. Raises NotAnAnswer."""
    said = message_of(body)
    Told().take(said.get("usage"), meter)
    for block in blocks_of(said):
        note_block(block, meter)
    if not said.get("stop_reason") and not meter.content_seen:
        raise NotAnAnswer(Complaint("neither content nor a stop_reason"))


def message_of(body: bytes) -> Mapping[str, object]:
    """The message that a body is. Raises NotAnAnswer."""
    said = answer_object(body)
    if complaint := complaint_in(said):
        raise NotAnAnswer(complaint)
    if not isinstance(said.get("content"), list):
        raise NotAnAnswer(complaint_of(said))
    return said


def complaint_in(said: Mapping[str, object]) -> Complaint | None:
    """The error that stands in place of an answer or an event, or beside it."""
    base = said.get("base_resp")
    if said.get("type") == "error" or is_error(said.get("error")):
        return complaint_of(said)
    if isinstance(base, dict) and isinstance(base.get("status_code"), int) and base["status_code"] != 0:
        return complaint_of({"base_resp": base})
    if said.get("type") is None and said.get("code") and said.get("message"):
        return complaint_of(said)
    return None


def blocks_of(said: Mapping[str, object]) -> list[Mapping[str, object]]:
    blocks = said.get("content")
    return [block for block in blocks if isinstance(block, dict)] if isinstance(blocks, list) else []


def note_block(block: Mapping[str, object], meter: Meter) -> bool:
    """Give what a block, or a piece of one, says to the meter; whether there is anything in it that a client may want:
    text, thought, or a block that says something by being there."""
    told, said = block.get("type"), {name: value for name, value in block.items() if name not in _SEALS}
    kind = told if isinstance(told, str) else ""
    if kind in ("tool_use", "server_tool_use"):
        meter.note(str(block.get("name") or ""))
        made = block.get("input")
        if made:
            meter.note(content.written(made))
        meter.content_seen = True
        return True
    seen = content.look(said)
    if seen.text:
        meter.note(seen.text)
    if seen.media_tokens:
        meter.note_media(seen.media_tokens)
    if seen.anything or any(block.get(name) for name in _SEALS) or kind not in _MAY_BE_EMPTY:
        meter.content_seen = True
        return True
    return False


_SEALS = ("signature", "data")
"""Fields of what is sealed, which no model wrote."""
_MAY_BE_EMPTY = frozenset(("text", "thinking", "text_delta", "thinking_delta", "input_json_delta", "signature_delta"))


def stream_of(body: bytes) -> bytes:
    """A whole answer as a stream: for an upstream that was asked to stream and answered at once. Raises NotAnAnswer for
    what is no message."""
    said = message_of(body)
    if not said.get("stop_reason"):
        read_answer(body, Meter())
    try:
        return b"".join(_events(said))
    except RecursionError:
        raise NotAnAnswer(Complaint("a whole answer that cannot be streamed")) from None


def _events(said: Mapping[str, object]) -> Iterator[bytes]:
    usage = said.get("usage")
    told = usage if isinstance(usage, dict) else {}
    begun = {**said, "content": [], "stop_reason": None, "stop_sequence": None, "usage": {**told, "output_tokens": 0}}
    yield named({"type": "message_start", "message": begun})
    blocks = blocks_of(said)
    for index, block in enumerate(blocks):
        empty, pieces = _taken_apart(block)
        yield named({"type": "content_block_start", "index": index, "content_block": empty})
        for piece in pieces:
            yield named({"type": "content_block_delta", "index": index, "delta": piece})
        yield named({"type": "content_block_stop", "index": index})
    called = any(block.get("type") == "tool_use" for block in blocks)
    reason = said.get("stop_reason") or ("tool_use" if called else "end_turn")
    ended = {"stop_reason": reason, "stop_sequence": said.get("stop_sequence")}
    if said.get("stop_details") is not None:
        ended["stop_details"] = said["stop_details"]
    yield named({"type": "message_delta", "delta": ended, "usage": {"output_tokens": 0, **told}})
    yield named({"type": "message_stop"})


def _taken_apart(block: Mapping[str, object]) -> tuple[Mapping[str, object], list[Mapping[str, object]]]:
    """A block as it begins, and the pieces that fill it."""
    kind = block.get("type")
    if kind in ("tool_use", "server_tool_use"):
        made = block.get("input")
        return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": content.written(made or {})}]
    if not isinstance(kind, str) or kind not in _PIECES:
        return block, []
    delta, field = _PIECES[kind]
    pieces: list[Mapping[str, object]] = [{"type": delta, field: block.get(field) or ""}]
    empty = {**block, field: ""}
    if block.get("signature"):
        pieces.append({"type": "signature_delta", "signature": block["signature"]})
        empty["signature"] = ""
    return empty, pieces


def named(said: Mapping[str, object]) -> bytes:
    """An event on the wire, under the name that it calls itself."""
    return b"event: " + str(said["type"]).encode("utf-8", "replace") + b"\n" + sse.event(dumps(said))


class Assembler:
    """A stream put together as a whole message, event by event."""

    def __init__(self) -> None:
        self._message: dict[str, object] = {}
        self._blocks: dict[int, dict[str, object]] = {}
        self._texts: dict[tuple[int, str], list[str]] = {}

    def take(self, said: Mapping[str, object]) -> None:
        index, delta = said.get("index"), said.get("delta")
        at = index if isinstance(index, int) else len(self._blocks)
        match said.get("type"):
            case "message_start":
                message = said.get("message")
                self._message |= message if isinstance(message, dict) else {}
            case "content_block_start":
                block = said.get("content_block")
                self._blocks[at] = dict(block) if isinstance(block, dict) else {}
            case "content_block_delta" if isinstance(delta, dict):
                self._piece(at, delta)
            case "message_delta":
                self._message |= delta if isinstance(delta, dict) else {}
                told, more = self._message.get("usage"), said.get("usage")
                if isinstance(more, dict):
                    kept = told if isinstance(told, dict) else {}
                    self._message["usage"] = kept | {n: v for n, v in more.items() if v or n not in kept}

    def _piece(self, at: int, delta: Mapping[str, object]) -> None:
        block = self._blocks.setdefault(at, {"type": "text", "text": ""})
        for name, value in delta.items():
            if name == "citation":
                known = block.get("citations")
                block["citations"] = [*(known if isinstance(known, list) else []), value]
            elif name != "type" and isinstance(value, str):
                self._texts.setdefault((at, name), []).append(value)

    def whole(self) -> bytes:
        for (at, name), pieces in self._texts.items():
            block, text = self._blocks[at], "".join(pieces)
            if name == "partial_json":
                try:
                    block["input"] = loads(text.encode("utf-8", "surrogatepass")) if text.strip() else {}
                except ValueError:
                    raise NotAnAnswer(Complaint("a tool call whose input is no JSON")) from None
            else:
                before = block.get(name)
                block[name] = (before if isinstance(before, str) and name != "signature" else "") + text
        blocks = [self._blocks[at] for at in sorted(self._blocks)]
        return msgspec.json.encode(
            _mended({"type": "message", "role": "assistant", **self._message, "content": blocks})
        )


def _mended(value: object) -> object:
    """A value whose texts have whole surrogate pairs; half of one that stands alone is U+FFFD."""
    if isinstance(value, str):
        return whole_pairs(value)
    if isinstance(value, list):
        return [_mended(one) for one in value]
    if isinstance(value, dict):
        return {name: _mended(its) for name, its in value.items()}
    return value
