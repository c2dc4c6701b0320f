"""The OpenAI chat dialect: POST /v1/chat/completions, plain and streamed.

Source: the public API reference of OpenAI (chat object, chat chunk object, errors), and what compatible providers do to
it (PROVIDERS.md: where usage stands, which names carry cached tokens, reasoning_content).

A request's fields that we do not know pass as the raw bytes they came in. A stream's events pass as raw bytes, but for
three: the chunk that carries only usage (held back, shown at the end if the client asked), `[DONE]` (sent by us, after
the money is settled), and a frame that is not JSON (dropped: it would break the client's parser).
"""

import re
from collections.abc import Mapping
from typing import TypeVar

import msgspec

from ftgate.core.money import format_usd
from ftgate.core.usage import UNKNOWN_BOUND, Usage, count
from ftgate.dialects import sse
from ftgate.dialects.openai_prompt import measure
from ftgate.dialects.openai_usage import read_usage
from ftgate.dialects.talk import Ask, Complaint, Meter, NotAnAnswer, Piece
from ftgate.errors import GateError, InvalidRequest

NAME = "openai_chat"
DONE = b"data: [DONE]\n\n"
MAX_ANSWERS = 128
"""Largest n: OpenAI's own limit."""
MAX_NAMES = 32
"""Models that one request may name: each is looked up on the loop."""
OWN_FIELDS = ("routing", "models", "provider_key")
"""Fields that speak to ftgate and never go upstream."""
STRATEGIES = ("auto", "cheapest", "fallback", "fastest")

T = TypeVar("T")
MAX_OBJECTS = 250_000
"""Braces and brackets in a body: more are no prompt, and reading them would hold up everybody else."""
_Fields = dict[str, msgspec.Raw]
_fields = msgspec.json.Decoder(_Fields)
_anything = msgspec.json.Decoder()


class _Options(msgspec.Struct, gc=False):
    include_usage: bool | None = None


class _Asked(msgspec.Struct, gc=False):
    """What of a request is for the gate, read in one go."""

    model: str | None = None
    models: list[str] | None = None
    routing: str | None = None
    stream: bool | None = None
    stream_options: _Options | None = None
    n: int | None = None
    best_of: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None


_asked = msgspec.json.Decoder(_Asked)


# Requests


def read_request(body: bytes) -> Ask:
    """Read and check what the gate needs to know; the rest passes. Raises InvalidRequest with the field's name."""
    fields = _decode_object(body)
    try:
        asked = _asked.decode(body)
    except (msgspec.DecodeError, RecursionError):
        asked = _asked_one_by_one(fields)
    if asked.model and not asked.models:
        names: tuple[str, ...] = (asked.model,)
    else:
        names = tuple(dict.fromkeys([*([asked.model] if asked.model else ()), *(asked.models or ())]))
    if not names:
        raise InvalidRequest(
            "`model` is missing; GET /v1/models lists what this key may use", code="missing_field", param="model"
        )
    if (asked.routing or "auto") not in STRATEGIES:
        raise InvalidRequest(f"`routing` is one of {', '.join(STRATEGIES)}", param="routing")
    if "provider_key" in fields:
        raise InvalidRequest(
            "this version does not take `provider_key`; leave it out to use the gateway's channels",
            param="provider_key",
        )
    if "messages" not in fields:
        raise InvalidRequest("`messages` is missing", code="missing_field", param="messages")
    if len(names) > MAX_NAMES:
        raise InvalidRequest(f"`models` may name {MAX_NAMES} models at most", param="models")
    answers = max(_whole(asked.n, "n", most=MAX_ANSWERS) or 1, _whole(asked.best_of, "best_of", most=MAX_ANSWERS) or 1)
    cap = _whole(asked.max_completion_tokens, "max_completion_tokens", most=UNKNOWN_BOUND)
    old_cap = _whole(asked.max_tokens, "max_tokens", most=UNKNOWN_BOUND)
    prompt, images, audios, files = measure(fields)
    return Ask(
        fields=fields,
        names=names,
        routing=asked.routing or "auto",
        stream=asked.stream or False,
        wants_usage=(asked.stream_options is not None and asked.stream_options.include_usage) or False,
        cap=max(cap, old_cap) if cap is not None and old_cap is not None else cap if old_cap is None else old_cap,
        answers=answers,
        prompt=prompt,
        images=images,
        audios=audios,
        files=files,
        has_tools="tools" in fields or "functions" in fields,
    )


def _decode_object(body: bytes) -> _Fields:
    if not body:
        raise InvalidRequest("the body is empty; send a JSON object", code="invalid_json")
    if body.count(b"{") + body.count(b"[") > MAX_OBJECTS:
        raise InvalidRequest(f"the body holds more than {MAX_OBJECTS} braces and brackets")
    try:
        if not body.isascii():
            # the JSON reader skips over strings that it need not look at; a client's bad bytes must not go up
            body.decode()
        return _fields.decode(body)
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"the body is not UTF-8 (byte {error.start})", code="invalid_json") from None
    except RecursionError:
        raise InvalidRequest("the body is nested too deeply", code="invalid_json") from None
    except msgspec.ValidationError:
        raise InvalidRequest("the body must be a JSON object", code="invalid_json") from None
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"the body is not valid JSON: {error}", code="invalid_json") from None


def _typed(
    fields: Mapping[str, msgspec.Raw], name: str, kind: type[T], words: str, *, path: str | None = None
) -> T | None:
    """A field of a simple type; absent and null are None."""
    raw = fields.get(name)
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw, type=kind | None)
    except (msgspec.DecodeError, RecursionError):
        raise InvalidRequest(f"`{path or name}` must be {words}", param=path or name) from None


def _asked_one_by_one(fields: _Fields) -> _Asked:
    """What was asked, where one of the fields has a wrong type. Raises InvalidRequest with its name."""
    whole = "a whole number from 1 to {}".format
    options = _typed(fields, "stream_options", _Fields, "an object") or {}
    return _Asked(
        model=_typed(fields, "model", str, "a model's name"),
        models=_typed(fields, "models", list[str], "a list of model names"),
        routing=_typed(fields, "routing", str, "one of " + ", ".join(STRATEGIES)),
        n=_typed(fields, "n", int, whole(MAX_ANSWERS)),
        best_of=_typed(fields, "best_of", int, whole(MAX_ANSWERS)),
        max_completion_tokens=_typed(fields, "max_completion_tokens", int, whole(UNKNOWN_BOUND)),
        max_tokens=_typed(fields, "max_tokens", int, whole(UNKNOWN_BOUND)),
        stream=_typed(fields, "stream", bool, "true or false"),
        stream_options=_Options(
            _typed(options, "include_usage", bool, "true or false", path="stream_options.include_usage")
        ),
    )


def _whole(value: int | None, name: str, *, most: int) -> int | None:
    """A whole number from 1 to `most`."""
    if value is not None and not 1 <= value <= most:
        raise InvalidRequest(f"`{name}` must be a whole number from 1 to {most}", param=name)
    return value


def render(
    ask: Ask, *, model: str, cap: int | None, cap_field: str | None, ask_usage: bool, drop: tuple[str, ...] = ()
) -> bytes:
    """The request for an upstream of this dialect: `model` replaced, our own fields and `drop` left out, usage asked
    for in a stream. `cap`, the caller's own or ours, goes into `cap_field`, the field that this model obeys: what was
    held must bind. The caller's own field stays beside it, but for models of max_completion_tokens, which refuse to be
    told both."""
    fields: dict[str, object] = {
        name: raw for name, raw in ask.fields.items() if name not in OWN_FIELDS and name not in drop
    }
    fields["model"] = model
    said = ask.fields.get(cap_field or "")
    if (
        cap is not None
        and cap_field is not None
        and (cap_field not in fields or (said is not None and bytes(said) == _NULL))
    ):
        fields[cap_field] = cap
        if cap_field == "max_completion_tokens":
            fields.pop("max_tokens", None)
    if ask.stream and ask_usage:
        options: dict[str, object] = {}
        if "stream_options" in ask.fields:
            options.update(msgspec.json.decode(ask.fields["stream_options"], type=_Fields | None) or {})
        options["include_usage"] = True
        fields["stream_options"] = options
    return msgspec.json.encode(fields)


# Usage


def usage_object(usage: Usage) -> dict[str, object]:
    """A usage object as OpenAI writes it."""
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.output,
        "total_tokens": usage.prompt + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


# Answers


_ABSENT = msgspec.Raw()
"""msgspec takes no union with Raw: an absent field is empty, a null one is b"null"."""


class _Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: object = None


class _ToolCall(msgspec.Struct, gc=False):
    function: _Function | None = None


class _Message(msgspec.Struct, gc=False):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None
    function_call: _Function | None = None
    audio: msgspec.Raw = _ABSENT


class _Choice(msgspec.Struct, gc=False):
    index: int = 0
    message: _Message | None = None
    delta: _Message | None = None
    finish_reason: str | None = None
    usage: msgspec.Raw = _ABSENT


class _Body(msgspec.Struct, gc=False):
    id: object = None
    created: object = None
    model: object = None
    choices: list[_Choice] | None = None
    usage: msgspec.Raw = _ABSENT
    error: msgspec.Raw = _ABSENT


_body = msgspec.json.Decoder(_Body)
_HALF_PAIR = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
"""An upstream may cut a surrogate pair in two, each half in a chunk of its own. That is JSON, and clients join the
halves, but msgspec refuses it: for our own reading the halves are replaced, what is passed on keeps its bytes."""
_NULL = b"null"


def _there(raw: msgspec.Raw) -> bool:
    return bytes(raw) not in {b"", _NULL}


def _note_message(message: _Message | None, meter: Meter) -> bool:
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
    return seen or _there(message.audio)


def _note_usage(raw: msgspec.Raw | None, meter: Meter) -> None:
    """Keep the last usage that is there, wherever it stood."""
    if raw is None or not _there(raw):
        return
    usage, malformed = read_usage(raw)
    if usage is not None:
        meter.reported, meter.malformed = usage, False
    elif malformed:
        meter.reported, meter.malformed = None, True


def read_answer(body: bytes, meter: Meter) -> None:
    """Look through a whole answer, giving text and usage to the meter. Raises NotAnAnswer."""
    try:
        answer = _body.decode(body)
    except msgspec.ValidationError:
        _read_strange(body, meter)
        return
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        if (whole := _HALF_PAIR.sub(rb"\\ufffd", body)) != body:
            return read_answer(whole, meter)
        raise NotAnAnswer(Complaint("the body is not JSON")) from None
    if _there(answer.error):
        raise NotAnAnswer(read_error(body))
    _note_usage(answer.usage, meter)
    finished = False
    for choice in answer.choices or ():
        meter.content_seen |= _note_message(choice.message, meter)
        finished |= bool(choice.finish_reason)
        _note_usage(choice.usage, meter)
    if not finished and not meter.content_seen:
        raise NotAnAnswer(read_error(body) if not answer.choices else Complaint("neither content nor a finish_reason"))


def _read_strange(body: bytes, meter: Meter) -> None:
    """An answer whose fields have types of their own (content as a list of parts): still an answer if it has
    choices."""
    try:
        fields = _fields.decode(body)
    except msgspec.ValidationError:
        raise NotAnAnswer(Complaint("the body is not a JSON object")) from None
    except (msgspec.DecodeError, RecursionError):
        raise NotAnAnswer(Complaint("the body is not JSON")) from None
    choices = _choices(fields)
    if not choices or _there(fields.get("error", _ABSENT)):
        raise NotAnAnswer(read_error(body))
    meter.note(choices.decode(errors="replace"))
    meter.content_seen = True
    _note_usage(fields.get("usage"), meter)


def _choices(fields: _Fields) -> bytes:
    """The choices of a strange answer or chunk as they came; empty when they are no list or an empty one."""
    choices = bytes(fields.get("choices", _ABSENT)).strip()
    return choices if choices.startswith(b"[") and choices[1:].lstrip() != b"]" else b""


def read_error(body: bytes) -> Complaint:
    """An upstream's error in whatever shape: {"error": {...}}, {"error": "text"}, {"message": ...}, base_resp, or plain
    text."""
    try:
        said = _anything.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return Complaint(
            body[:200].decode(errors="replace").strip() if not body.lstrip().startswith(b"<") else "an HTML page"
        )
    if isinstance(said, list) and said:
        said = said[0]  # Gemini's compatible layer wraps its error in a list
    inner = (said.get("error") or said) if isinstance(said, dict) else said
    if isinstance(said, dict) and inner is said and isinstance(base := said.get("base_resp"), dict):
        inner = {"message": base.get("status_msg"), "code": base.get("status_code")}
    if isinstance(inner, str):
        return Complaint(inner)
    if not isinstance(inner, dict):
        return Complaint("an error without words")
    message = inner.get("message") or inner.get("detail") or inner.get("msg") or ""
    return Complaint(
        message if isinstance(message, str) else msgspec.json.encode(message).decode(),
        *(str(inner[name]) if inner.get(name) is not None else None for name in ("type", "code", "param")),
    )


def stream_of(body: bytes) -> bytes:
    """A whole answer as a stream of one chunk: for an upstream that was asked to stream and answered at once. Raises
    NotAnAnswer."""
    read_answer(body, Meter())
    try:
        fields: dict[str, object] = dict(_fields.decode(body))
        choices: list[_Fields] = msgspec.json.decode(_fields.decode(body)["choices"], type=list[_Fields])
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


class StreamReader:
    """Watches a stream as it passes. `finished`: a finish_reason was seen. `done`: the end marker was."""

    def __init__(self, meter: Meter, *, show_usage: bool) -> None:
        self.meter = meter
        self.show_usage = show_usage
        self.finished = False
        self.done = False
        self.broken_frames = 0
        self.last_usage: _Fields | None = None
        self._open: set[int] = (
            set()
        )  # choices that have begun and not finished: with n > 1 the first finish is not the end
        self._ended: set[int] = set()
        self._events = sse.Reader()
        self._head: dict[str, object] = {}

    def _after_the_end(self, data: bytes) -> None:
        """Behind the end marker nothing is passed on; but some put their usage there."""
        try:
            _note_usage(_body.decode(data).usage, self.meter)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            self.broken_frames += 1

    def end(self) -> list[Piece]:
        """The clean end of the body: a last event may lack its blank line and still be whole."""
        pieces = self.feed(b"\n\n") if self._events.unfinished else []
        self._events.rest()  # of an event that had half its blank line, one line end is left
        return pieces

    def feed(self, data: bytes) -> list[Piece]:
        """The pieces that ended within the bytes so far. Raises sse.EventTooLong."""
        return [piece for event in self._events.feed(data) if (piece := self._read(event)) is not None]

    def _read(self, event: sse.Event) -> Piece | None:
        if event.data is None:
            return Piece(event.raw, content=False)
        if event.data.strip() == b"[DONE]":
            self.done = True
            return None
        if self.done:
            self._after_the_end(event.data)
            return None
        try:
            chunk = _body.decode(event.data)
        except msgspec.ValidationError:
            return self._strange(event)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            if (whole := _HALF_PAIR.sub(rb"\\ufffd", event.data)) != event.data:
                return self._read(sse.Event(event.raw, whole, event.name))
            self.broken_frames += 1
            return None
        if _there(chunk.error) or event.name == b"error":
            return Piece(b"", content=False, complaint=read_error(event.data))
        has_usage = _there(chunk.usage)
        if has_usage:
            _note_usage(chunk.usage, self.meter)
        if chunk.id is not None and not self._head:
            self._head = {"id": chunk.id, "created": chunk.created, "model": chunk.model}
        if not chunk.choices:
            if has_usage:
                self.last_usage = _fields.decode(event.data) if self.meter.reported is not None else None
                return None
            return Piece(event.raw, content=False)
        content = False
        for choice in chunk.choices:
            if _note_message(choice.delta or choice.message, self.meter):
                self.meter.content_seen = content = True
            if choice.finish_reason:  # some send "" until the end
                content = True
            self._follow(choice.index, ended=bool(choice.finish_reason))
            _note_usage(choice.usage, self.meter)
            if has_usage or _there(choice.usage):
                self.last_usage = None  # what is shown at the end is what is charged: the newest
        if has_usage and not self.show_usage:
            return Piece(self._without_usage(event.data), content)
        return Piece(event.raw, content)

    def _follow(self, index: int, *, ended: bool) -> None:
        """Keep account of which choices have begun and which have ended."""
        if ended:
            self._ended.add(index)
            self._open.discard(index)
        elif index not in self._ended:
            self._open.add(index)
        self.finished = bool(self._ended) and not self._open

    @staticmethod
    def _without_usage(data: bytes) -> bytes:
        fields = _fields.decode(data)
        fields.pop("usage", None)
        return sse.event(msgspec.json.encode(fields))

    def _strange(self, event: sse.Event) -> Piece | None:
        """A chunk whose fields have types of their own: passed on if it is a JSON object, measured by its length."""
        try:
            fields = _fields.decode(event.data or b"")
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            self.broken_frames += 1
            return None
        if _there(fields.get("error", _ABSENT)) or event.name == b"error":
            return Piece(b"", content=False, complaint=read_error(event.data or b""))
        _note_usage(fields.get("usage"), self.meter)
        choices = _choices(fields)
        if not choices:
            return Piece(event.raw, content=False)
        self.meter.note(choices.decode(errors="replace"))
        self.meter.content_seen = True
        for choice in _anything.decode(choices):
            if isinstance(choice, dict):
                self._follow(count(choice.get("index")) or 0, ended=bool(choice.get("finish_reason")))
        if "usage" in fields and not self.show_usage:
            return Piece(self._without_usage(event.data or b""), content=True)
        return Piece(event.raw, content=True)

    def tail(self, usage: Usage, *, exact: bool, cost: int, balance: int | None) -> bytes:
        """What closes a complete stream: the usage chunk if the client asked, the cost comment, the end marker."""
        out = []
        if self.show_usage:
            if self.last_usage is not None and exact:
                fields: dict[str, object] = dict(self.last_usage)
                inner: dict[str, object] = dict(_fields.decode(self.last_usage["usage"]))
            else:
                fields = {"id": "", "object": "chat.completion.chunk", **self._head, "choices": []}
                inner = usage_object(usage)
            inner["cost"] = msgspec.Raw(format_usd(cost).encode())
            fields["usage"] = inner
            out.append(sse.event(msgspec.json.encode(fields)))
        out.append(cost_comment(cost, balance))
        out.append(DONE)
        return b"".join(out)


def cost_comment(cost: int, balance: int | None) -> bytes:
    """The stream's cost, in a comment that parsers skip."""
    return sse.comment(
        f"x-findtoken-cost={format_usd(cost)}" + (f" balance={format_usd(balance)}" if balance is not None else "")
    )


# Errors


def error_body(error: GateError, request_id: str) -> bytes:
    """`request_id` stands in the X-Request-Id header here; other dialects show it in the body."""
    return msgspec.json.encode(
        {"error": {"message": error.message, "type": error.kind, "code": error.code, "param": error.param}}
    )


def error_event(error: GateError, request_id: str) -> bytes:
    return sse.event(error_body(error, request_id))
