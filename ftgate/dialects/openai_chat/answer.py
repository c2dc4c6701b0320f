"""Whole answers: looked through for text, usage and errors; and, where a stream was asked for, written as one.

What a choice, a message or a delta holds is read here for streams too.
"""

import re

import msgspec

from ftgate.dialects import sse
from ftgate.dialects.fields import ABSENT, Fields, fields_of, there
from ftgate.dialects.openai_chat.errors import read_error
from ftgate.dialects.openai_chat.usage import read_usage
from ftgate.dialects.talk import Complaint, Meter, NotAnAnswer

DONE = b"data: [DONE]\n\n"


class _Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: object = None


class _ToolCall(msgspec.Struct, gc=False):
    function: _Function | None = None


class Message(msgspec.Struct, gc=False):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None
    function_call: _Function | None = None
    audio: msgspec.Raw = ABSENT


class _Choice(msgspec.Struct, gc=False):
    index: int = 0
    message: Message | None = None
    delta: Message | None = None
    finish_reason: str | None = None
    usage: msgspec.Raw = ABSENT


class _Body(msgspec.Struct, gc=False):
    id: object = None
    created: object = None
    model: object = None
    choices: list[_Choice] | None = None
    usage: msgspec.Raw = ABSENT
    error: msgspec.Raw = ABSENT


body_of = msgspec.json.Decoder(_Body)
HALF_PAIR = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
"""An upstream may cut a surrogate pair in two, each half in a chunk of its own. That is JSON, and clients join the
halves, but msgspec refuses it: for our own reading the halves are replaced, what is passed on keeps its bytes."""


def note_message(message: Message | None, meter: Meter) -> bool:
    """Give a message's or delta's text to the meter; whether there was any content."""
    if message is None:
        return False
    seen = False
    for text in (message.content, message.reasoning_content, message.reasoning, message.refusal):
        if text:
            meter.note(text)
            seen = True
    calls = [call.function for call in message.tool_calls or ()] + (
        [message.function_call] if message.function_call else []
    )
    for function in calls:
        seen = True
        if function is not None:
            meter.note(function.name or "")
            meter.note(
                function.arguments
                if isinstance(function.arguments, str)
                else msgspec.json.encode(function.arguments).decode()
            )
    return seen or there(message.audio)


def note_usage(raw: msgspec.Raw | None, meter: Meter) -> None:
    """Keep the last usage that is there, wherever it stood."""
    if raw is None or not there(raw):
        return
    usage, malformed = read_usage(raw)
    if usage is not None:
        meter.reported, meter.malformed = usage, False
    elif malformed:
        meter.reported, meter.malformed = None, True


def read_answer(body: bytes, meter: Meter) -> None:
    """Look through a whole answer, giving text and usage to the meter. Raises NotAnAnswer."""
    try:
        answer = body_of.decode(body)
    except msgspec.ValidationError:
        _read_strange(body, meter)
        return
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        if (whole := HALF_PAIR.sub(rb"\\ufffd", body)) != body:
            return read_answer(whole, meter)
        raise NotAnAnswer(Complaint("the body is not JSON")) from None
    if there(answer.error):
        raise NotAnAnswer(read_error(body))
    note_usage(answer.usage, meter)
    finished = False
    for choice in answer.choices or ():
        meter.content_seen |= note_message(choice.message, meter)
        finished |= bool(choice.finish_reason)
        note_usage(choice.usage, meter)
    if not finished and not meter.content_seen:
        raise NotAnAnswer(read_error(body) if not answer.choices else Complaint("neither content nor a finish_reason"))


def _read_strange(body: bytes, meter: Meter) -> None:
    """An answer whose fields have types of their own (content as a list of parts): still an answer if it has
    choices."""
    try:
        fields = fields_of.decode(body)
    except msgspec.ValidationError:
        raise NotAnAnswer(Complaint("the body is not a JSON object")) from None
    except (msgspec.DecodeError, RecursionError):
        raise NotAnAnswer(Complaint("the body is not JSON")) from None
    choices = choices_of(fields)
    if not choices or there(fields.get("error", ABSENT)):
        raise NotAnAnswer(read_error(body))
    meter.note(choices.decode(errors="replace"))
    meter.content_seen = True
    note_usage(fields.get("usage"), meter)


def choices_of(fields: Fields) -> bytes:
    """The choices of a strange answer or chunk as they came; empty when they are no list or an empty one."""
    choices = bytes(fields.get("choices", ABSENT)).strip()
    return choices if choices.startswith(b"[") and choices[1:].lstrip() != b"]" else b""


def stream_of(body: bytes) -> bytes:
    """A whole answer as a stream of one chunk: for an upstream that was asked to stream and answered at once. Raises
    NotAnAnswer."""
    read_answer(body, Meter())
    try:
        fields: dict[str, object] = dict(fields_of.decode(body))
        choices: list[Fields] = msgspec.json.decode(fields_of.decode(body)["choices"], type=list[Fields])
    except (msgspec.DecodeError, KeyError):
        raise NotAnAnswer(Complaint("a whole answer that cannot be streamed")) from None
    usage = fields.pop("usage", None)
    fields["object"] = "chat.completion.chunk"
    fields["choices"] = [
        {("delta" if name == "message" else name): raw for name, raw in choice.items()} for choice in choices
    ]
    out = [sse.event(msgspec.json.encode(fields))]
    if usage is not None:
        out.append(sse.event(msgspec.json.encode({**fields, "choices": [], "usage": usage})))
    return b"".join((*out, DONE))
