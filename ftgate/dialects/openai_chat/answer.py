"""Whole answers: looked through for text, usage and errors; and, where a stream was asked for, written as one.

What a choice holds is read here for streams too.
"""

from collections.abc import Mapping
from functools import partial

import msgspec

from ftgate.dialects import content, sse
from ftgate.dialects.complaints import answer_object, complaint_in, complaint_of, is_error
from ftgate.dialects.fields import ABSENT, NULL, Fields, anything, fields_of, rewrite, there
from ftgate.dialects.openai_chat.usage import PlainUsage, note_usage
from ftgate.dialects.talk import Complaint, Meter, NotAnAnswer

DONE = b"data: [DONE]\n\n"
CHUNK = "chat.completion.chunk"
"""The `object` of a stream's events."""
NO_END = frozenset(("", "null", "none"))
"""Values of finish_reason that say nothing, in lower case: some write null as a text, or "" until the end."""
FAILED_ENDS = frozenset(("error", "insufficient_system_resource", "network_error", "abort"))
"""Values of finish_reason of an answer that broke off at the provider: OpenRouter's, DeepSeek's, Zhipu's, and those of
vLLM and SGLang."""


class _Function(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    name: str | None = None
    arguments: str | None = None


class _Call(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    index: int = 0
    id: str | None = None
    type: str | None = None
    function: _Function | None = None


class Message(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A message or delta as most are."""

    role: str | None = None
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None
    function_call: None = None
    audio: None = None

    def note(self, meter: Meter) -> bool:
        """As note_choice."""
        seen = False
        if self.content:
            meter.note(self.content)
            seen = True
        if self.reasoning_content or self.reasoning or self.refusal:
            # As content.look: a text that stands in two fields was written once.
            for text in {self.reasoning_content, self.reasoning, self.refusal} - {self.content}:
                if text:
                    meter.note(text)
            seen = True
        for call in self.tool_calls or ():
            made = call.function or _Function()
            if text := (made.name or "") + (made.arguments or ""):
                meter.note(text)
            seen = seen or bool(text or call.id or call.type)
        if seen:
            meter.content_seen = True
        return seen


class _Logprobs(msgspec.Struct, gc=False):
    """How likely a text's tokens were: only that it is told."""

    content: msgspec.Raw = ABSENT


class Choice(msgspec.Struct, gc=False):
    """A choice of an answer or a chunk as most are. `text` is what completions have in place of a message."""

    index: int = 0
    text: str | None = None
    message: Message | None = None
    delta: Message | None = None
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None
    usage: None = None
    error: None = None

    def note(self, meter: Meter) -> bool:
        """As note_choice."""
        if self.text:
            meter.note(self.text)
            meter.content_seen = True
            return True
        delta, message = self.delta, self.message
        return (delta is not None and delta.note(meter)) or (message is not None and message.note(meter))


class Plain(msgspec.Struct, gc=False):
    """An answer or a chunk as nearly all are: read in one go, by a decoder that refuses whatever it does not know."""

    choices: list[Choice]
    usage: PlainUsage | None = None
    error: None = None
    base_resp: None = None


plain = msgspec.json.Decoder(Plain)
UNKNOWN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What `plain` raises for all else."""


def ends(finish: object) -> bool:
    """Whether a finish_reason says that its answer has ended."""
    return bool(finish) and not (isinstance(finish, str) and finish.lower() in NO_END)


def note_choice(choice: Mapping[str, object], meter: Meter) -> bool:
    """Give what a choice says to the meter; whether there is anything in it that a client may want."""
    for message in ({"text": choice.get("text")}, choice.get("delta"), choice.get("message")):
        if isinstance(message, dict) and (seen := content.look(message)).anything:
            if seen.text:
                meter.note(seen.text)
            if seen.media_tokens:
                meter.note_media(seen.media_tokens)
            meter.content_seen = True
            return True
    return False


def choice_complaint(choice: Mapping[str, object]) -> Complaint | None:
    """The error that stands in a choice, or that its finish_reason stands for."""
    if is_error(choice.get("error")):
        return complaint_of({"error": choice["error"]})
    finish = choice.get("finish_reason")
    if isinstance(finish, str) and finish in FAILED_ENDS:
        return Complaint(f'the provider ended its answer with finish_reason "{finish}"')
    return None


def read_answer(body: bytes, meter: Meter) -> None:
    """Look through a whole answer, giving text and usage to the meter. Raises NotAnAnswer."""
    try:
        answer = plain.decode(body)
        usage = answer.usage.neutral() if answer.usage is not None else None
    except UNKNOWN:
        pass
    else:
        ended = [choice.finish_reason for choice in answer.choices]
        if (usage is not None or answer.usage is None) and any(map(ends, ended)) and FAILED_ENDS.isdisjoint(ended):
            for choice in answer.choices:
                choice.note(meter)
            if usage is not None:
                meter.report(usage)
            return
    _read_odd_answer(body, meter)


def _read_odd_answer(body: bytes, meter: Meter) -> None:
    """As read_answer, for an answer of any shape."""
    said = answer_object(body)
    if (complaint := complaint_in(said)) is not None:
        raise NotAnAnswer(complaint)
    choices = said.get("choices")
    if not isinstance(choices, list) or not choices:
        raise NotAnAnswer(complaint_of(said))
    note_usage(said.get("usage"), meter)
    finished = False
    for choice in choices:
        if not isinstance(choice, dict):
            continue
        if (complaint := choice_complaint(choice)) is not None:
            raise NotAnAnswer(complaint)
        note_choice(choice, meter)
        finished |= ends(choice.get("finish_reason"))
        note_usage(choice.get("usage"), meter)
    if not finished and not meter.content_seen:
        raise NotAnAnswer(Complaint("neither content nor a finish_reason"))


def stream_of(body: bytes) -> bytes:
    """A whole answer as a stream of one chunk: for an upstream that was asked to stream and answered at once. Its
    reader says whether it is an answer. Where a choice does not say why it ended, and the answer is one all the same
    (read_answer), the chunk says it: nothing more will come. Raises NotAnAnswer for what is no JSON object with
    choices."""
    return streamed(body, kind=CHUNK)


def streamed(body: bytes, *, kind: str) -> bytes:
    """As stream_of, for chunks whose `object` is of this kind."""
    try:
        return rewrite(body, partial(_streamed, kind=kind)) + DONE
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError):
        read_answer(body, Meter())
        raise NotAnAnswer(Complaint("a whole answer that cannot be streamed")) from None


def _streamed(body: bytes, *, kind: str) -> bytes:
    came = fields_of.decode(body)
    choices = msgspec.json.decode(came["choices"], type=list[Fields])
    fields: dict[str, object] = dict(came)
    usage = came.get("usage", ABSENT)
    fields.pop("usage", None)
    fields["object"] = kind
    if not all(map(_has_ended, choices)):
        read_answer(body, Meter())
    fields["choices"] = [_chunk_choice(choice) for choice in choices]
    chunk = sse.event(msgspec.json.encode(fields))
    if not there(usage):
        return chunk
    return chunk + sse.event(msgspec.json.encode({**fields, "choices": [], "usage": usage}))


def _has_ended(choice: Fields) -> bool:
    return ends(anything.decode(choice.get("finish_reason", NULL)))


def _chunk_choice(choice: Fields) -> dict[str, object]:
    """A choice of a whole answer as one of a chunk. Clients put tool calls together by their index, which only chunks
    have."""
    message = msgspec.json.decode(choice.get("message", NULL), type=Fields | None)
    said: dict[str, object] = {("delta" if name == "message" else name): raw for name, raw in choice.items()}
    if "message" in choice:  # some say a delta beside it, which is null or empty
        said["delta"] = choice["message"] if message else choice.get("delta", choice["message"])
    calls = message is not None and bytes(message.get("tool_calls", b"")).lstrip()[:1] == b"["
    if message and calls:
        listed = msgspec.json.decode(message["tool_calls"], type=list[Fields])
        said["delta"] = {**message, "tool_calls": [{"index": n, **call} for n, call in enumerate(listed)]}
        calls = bool(listed)
    if not _has_ended(choice):
        said["finish_reason"] = "tool_calls" if calls else "stop"
    return said
