"""Whole answers: looked through for text, usage and errors; and, where a stream was asked for, written as one."""

from collections.abc import Mapping

from ftgate.dialects.complaints import answer_object, complaint_in
from ftgate.dialects.content import look
from ftgate.dialects.fields import dumps
from ftgate.dialects.openai_chat.usage import note_usage
from ftgate.dialects.openai_responses.frames import Frames, inner
from ftgate.dialects.talk import Complaint, Meter, NotAnAnswer

ENDED = ("completed", "incomplete")
"""Statuses of an answer that is one."""
_TOLD = ("content", "summary", "arguments", "input", "name", "result", "action", "code", "queries", "output")
"""Fields of an item that a model wrote, or that hold what it made."""


def items_of(response: Mapping[str, object]) -> list[Mapping[str, object]]:
    listed = response.get("output")
    return [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []


def note_item(item: Mapping[str, object], meter: Meter) -> bool:
    """Give what an item says to the meter; whether there is anything in it that a client may want."""
    seen = look({name: item[name] for name in _TOLD if name in item and name != "name"})
    name = item.get("name")
    text = (name if isinstance(name, str) else "") + seen.text
    if text:
        meter.note(text)
    if seen.media_tokens:
        meter.note_media(seen.media_tokens)
    anything = bool(text or seen.media_tokens or item.get("encrypted_content"))
    meter.content_seen |= anything
    return anything


def note_response(response: Mapping[str, object], meter: Meter) -> None:
    """Give the usage that a response tells to the meter."""
    note_usage(response.get("usage"), meter)


def complaint_of_response(response: Mapping[str, object]) -> Complaint:
    """Why a response is no answer, in its own words."""
    if (complaint := complaint_in(response)) is not None:
        return complaint
    status = response.get("status")
    return Complaint(f"a response of status {status[:40]}" if isinstance(status, str) else "no response object")


def read_answer(body: bytes, meter: Meter) -> None:
    """Look through a whole answer, giving text and usage to the meter. Raises NotAnAnswer."""
    said = answer_object(body)
    status, listed = said.get("status"), isinstance(said.get("output"), list)
    if complaint_in(said) is not None or not listed or status not in (*ENDED, None):
        raise NotAnAnswer(complaint_of_response(said))
    note_response(said, meter)
    for item in items_of(said):
        note_item(item, meter)
    if status is None and not meter.content_seen:
        raise NotAnAnswer(Complaint("neither content nor a status"))


def stream_of(body: bytes) -> bytes:
    """A whole answer as a stream: for an upstream that was asked to stream and answered at once. Raises NotAnAnswer."""
    read_answer(body, Meter())
    said = answer_object(body)
    frames = Frames()
    started = b'"response":' + dumps({**said, "status": "in_progress", "output": [], "usage": None})
    frames.say(b"response.created", started)
    frames.say(b"response.in_progress", started)
    for index, item in enumerate(items_of(said)):
        _tell(frames, index, item)
    status = said.get("status") or "completed"
    frames.say(b"response.%b" % str(status).encode(), b'"response":' + dumps({**said, "status": status}))
    return frames.take()


_PARTS = {
    "output_text": (b"response.content_part", "content_index", b"response.output_text", "text"),
    "refusal": (b"response.content_part", "content_index", b"response.refusal", "refusal"),
    "reasoning_text": (b"response.content_part", "content_index", b"response.reasoning_text", "text"),
    "summary_text": (b"response.reasoning_summary_part", "summary_index", b"response.reasoning_summary_text", "text"),
}
"""Of each kind of part: the events of the part, the name of its index, the events of its text, the field of that."""
_PIECES = {
    "function_call": (b"response.function_call_arguments", "arguments"),
    "custom_tool_call": (b"response.custom_tool_call_input", "input"),
}


def _tell(frames: Frames, index: int, item: Mapping[str, object]) -> None:
    """The events of one item that is there as a whole."""
    kind = str(item.get("type"))
    place = {"item_id": str(item.get("id", "")), "output_index": index}
    empty = {name: [] if isinstance(item[name], list) else "" for name in _EMPTIED if item.get(name)}
    frames.say(b"response.output_item.added", inner({"output_index": index, "item": {**item, **empty}}))
    for name in ("summary", "content"):
        parts = item.get(name)
        for at, part in enumerate(parts if isinstance(parts, list) else ()):
            if isinstance(part, dict):
                _tell_part(frames, place, at, part)
    if kind in _PIECES:
        event, field = _PIECES[kind]
        text = item.get(field) or ""
        frames.say(event + b".delta", inner({**place, "delta": text}))
        frames.say(event + b".done", inner({**place, field: text, "name": item.get("name")}))
    frames.say(b"response.output_item.done", inner({"output_index": index, "item": item}))


_EMPTIED = ("content", "summary", "arguments", "input", "encrypted_content")


def _tell_part(frames: Frames, place: Mapping[str, object], at: int, part: Mapping[str, object]) -> None:
    if (known := _PARTS.get(str(part.get("type")))) is None:
        return
    around, counted, event, field = known
    here = {**place, counted: at}
    told = field == "text" and counted == "content_index"
    more: dict[str, object] = {"logprobs": part.get("logprobs") or []} if told else {}
    frames.say(around + b".added", inner({**here, "part": {**part, field: ""}}))
    frames.say(event + b".delta", inner({**here, **more, "delta": part.get(field) or ""}))
    frames.say(event + b".done", inner({**here, **more, field: part.get(field) or ""}))
    frames.say(around + b".done", inner({**here, "part": part}))
