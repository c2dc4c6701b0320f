"""The messages of a chat request as turns of a conversation.

What the system says before anybody else is what it says for the whole; later it has a turn. The results of a round of
calls are one turn, and each call has its result there: no upstream takes half a round. A participant's `name`, which
few models are shown, stays behind, and so does a message's id or time.

Thinking comes back under the names that compatible providers have for it. Only `reasoning_details` (OpenRouter's) can
carry its seal; written.py writes them so.
"""

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import cast

import msgspec

from ftgate.dialects import free
from ftgate.dialects.fields import cache_mark, dumps, fields_of, word
from ftgate.dialects.neutral import (
    Audio,
    Document,
    Image,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
    Turn,
)  # fmt: skip
from ftgate.errors import InvalidRequest

Message = Mapping[str, object]
_SYSTEM = ("system", "developer")
_RESULTS = ("tool", "function")
_HELD: Mapping[str, tuple[type[Part], ...]] = {
    "system": (Text,),
    "user": (Text, Image, Document, Audio),
    "assistant": (Text, Refusal, Thinking),
    "tool": (Text, Image, Document),
}
"""What a message may hold, by who speaks."""
_DATA = re.compile(r"data:([^;,]*)(?:;[^,]*)?;base64,(.*)", re.DOTALL)
_AT_AN_ADDRESS = ("http://", "https://")
_OURS = "anthropic"
"""How the `format` of a seal begins that may be one of ours, if it has one; others are of providers that are asked in
chat."""


def conversation(messages: Iterable[Message]) -> tuple[tuple[Text, ...], tuple[Turn, ...]]:
    """What the system says first, and the turns behind it. Raises InvalidRequest."""
    system: list[Text] = []
    turns: list[Turn] = []
    waiting: dict[str, tuple[str, str]] = {}  # calls without a result, by id: their function and their path
    for results, group in groupby(enumerate(messages), key=lambda one: one[1].get("role") in _RESULTS):
        if results:
            found = tuple(_result(message, waiting, f"messages.{at}") for at, message in group)
            turns.append(Turn("user", found, found[0].path))
            continue
        for at, message in group:
            _none_waits(waiting)
            path = f"messages.{at}"
            role = message.get("role")
            if role in _SYSTEM and not turns:
                system += cast(Iterator[Text], _parts(message, "system", path))
            elif role in _SYSTEM:
                turns.append(Turn("system", tuple(_parts(message, "system", path)), path))
            elif role == "user":
                turns.append(Turn("user", tuple(_parts(message, "user", path)), path))
            elif role == "assistant":
                turns.append(Turn("assistant", tuple(_assistant(message, waiting, path)), path))
            else:
                words = "must be system, developer, user, assistant or tool"
                raise InvalidRequest(f"`{path}.role` {words}", param=f"{path}.role")
    _none_waits(waiting)
    return tuple(system), tuple(turns)


def _none_waits(waiting: Mapping[str, tuple[str, str]]) -> None:
    for id, (_, path) in waiting.items():
        words = "send one message of role tool with its tool_call_id right behind, or leave the call out"
        raise InvalidRequest(f"`{path}`: the call {id[:100]!r} has no result; {words}", param=path)


def _assistant(message: Message, waiting: dict[str, tuple[str, str]], path: str) -> Iterator[Part]:
    if message.get("audio"):
        words = "an answer that was spoken cannot be told to this model's provider; send its transcript as content"
        raise InvalidRequest(f"`{path}.audio`: {words}", param=f"{path}.audio")
    yield from _thoughts(message)
    yield from _parts(message, "assistant", path)
    if isinstance(refusal := message.get("refusal"), str) and refusal:
        yield Refusal(refusal)
    calls = message.get("tool_calls")
    for at, call in enumerate(calls if isinstance(calls, list) else ()):
        where = f"{path}.tool_calls.{at}"
        id = call.get("id") if isinstance(call, dict) else None
        if not isinstance(id, str) or not id or id in waiting:
            raise InvalidRequest(f"`{where}` must be a call with an id of its own", param=f"{where}.id")
        use = _use(id, call, where)
        waiting[id] = use.name, where
        yield use
    if isinstance(function := message.get("function_call"), dict):
        where = f"{path}.function_call"
        use = _use(f"call_{len(waiting)}_{path.rpartition('.')[2]}", {"function": function}, where)
        waiting[use.id] = use.name, where
        yield use


def _use(id: str, call: Message, path: str) -> ToolUse:
    kind = "custom" if call.get("type") == "custom" else "function"
    called = call.get(kind)
    name = called.get("name") if isinstance(called, dict) else None
    if not isinstance(called, dict) or not isinstance(name, str) or not name:
        raise InvalidRequest(f"`{path}` names no {kind}", param=f"{path}.{kind}.name")
    if kind == "custom":
        arguments = free.arguments_of(word(called.get("input"), f"{path}.custom.input"))
    else:
        arguments = object_text(called.get("arguments"))
    return ToolUse(id, name, arguments, cache=cache_mark(call))


def object_text(arguments: object) -> str:
    """The JSON text of a call's arguments: always an object's, whatever a model made of them."""
    if isinstance(arguments, dict):
        return dumps(arguments).decode()
    if not isinstance(arguments, str) or not arguments.strip():
        return "{}"
    try:
        fields_of.decode(arguments)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return dumps({"_raw": arguments}).decode()
    return arguments


def _result(message: Message, waiting: dict[str, tuple[str, str]], path: str) -> ToolResult:
    """What a call brought; the call waits no longer."""
    id, name = message.get("tool_call_id"), message.get("name")
    where = f"{path}.tool_call_id"
    if message.get("role") == "function":  # these know no ids: a function's one call is meant
        id, where = next((id for id, (its, _) in waiting.items() if its == name), None), f"{path}.name"
    elif not isinstance(id, str) or not id:
        raise InvalidRequest(f"`{where}` is missing", code="missing_field", param=where)
    if not isinstance(id, str) or id not in waiting:
        words = "must be a call of the assistant's message right before, which has no result yet"
        raise InvalidRequest(f"`{where}` {words}; leave this message out, or put the call before it", param=where)
    del waiting[id]
    parts = cast(tuple[Text | Image | Document, ...], tuple(_parts(message, "tool", path)))
    return ToolResult(id, parts, name=name if isinstance(name, str) else "", cache=cache_mark(message), path=path)


def _thoughts(message: Message) -> list[Thinking]:
    details = message.get("reasoning_details")
    found = [_detail(one) for one in details if isinstance(one, dict)] if isinstance(details, list) else []
    if kept := [thought for thought in found if thought != Thinking()]:
        return kept
    said = (message.get(name) for name in ("reasoning_content", "reasoning"))
    return [Thinking(thought) for thought in said if isinstance(thought, str) and thought][:1]


def _detail(detail: Message) -> Thinking:
    """One of reasoning_details; nothing in it where it is sealed for a provider of another kind."""
    kind = detail.get("type")
    text, seal = detail.get("summary" if kind == "reasoning.summary" else "text"), detail.get("signature")
    sealed = detail.get("data") if kind == "reasoning.encrypted" else ""
    if not str(detail.get("format") or _OURS).startswith(_OURS):
        seal = sealed = ""
    return Thinking(*(value if isinstance(value, str) else "" for value in (text, seal, sealed)))


# Parts


def _parts(message: Message, speaker: str, path: str) -> Iterator[Part]:
    """What stands in a message's content: read_request has seen that it is a text, or a list of texts and objects.
    Empty texts say nothing. Raises InvalidRequest."""
    content = message.get("content")
    path = f"{path}.content"
    if isinstance(content, str):
        if content:
            yield Text(content, cache=cache_mark(message) if speaker != "tool" else None)
        return
    parts = cast(list[str | Message], content or ())
    for at, part in enumerate(parts):
        where = f"{path}.{at}"
        held = Text(part) if isinstance(part, str) else _part(part, where)
        if not isinstance(held, _HELD[speaker]):
            words = f"a message of role {speaker} holds no such part here; send it in a user's message"
            raise InvalidRequest(f"`{where}.type`: {words}", param=f"{where}.type")
        if not isinstance(held, Text) or held.text:
            yield held


def _part(part: Message, path: str) -> Part:
    kind = part.get("type")
    inner = part.get(str(kind))
    said = inner if isinstance(inner, dict) else {}
    match kind:
        case "text" | "input_text" | "output_text":
            return Text(word(part.get("text"), f"{path}.text"), cache=cache_mark(part))
        case "refusal":
            return Refusal(word(inner, f"{path}.refusal"))
        case "image_url":
            url = inner if isinstance(inner, str) else said.get("url")
            return _image(word(url, f"{path}.image_url.url"), said.get("detail"), f"{path}.image_url", cache_mark(part))
        case "thinking":  # among the parts, as Mistral writes it
            texts = inner if isinstance(inner, list) else [{"text": inner}]
            text = "".join(word(one.get("text"), f"{path}.thinking") for one in texts if isinstance(one, dict))
            return Thinking(text, seal if isinstance(seal := part.get("signature"), str) else "")
        case "input_audio":
            where = f"{path}.input_audio"
            return Audio(word(said.get("data"), f"{where}.data"), word(said.get("format"), f"{where}.format"), where)
        case "file":
            return _file(said, f"{path}.file", cache_mark(part))
    raise InvalidRequest(f"`{path}.type`: this model's provider takes no such part", param=f"{path}.type")


def _image(url: str, detail: object, path: str, cache: msgspec.Raw | None) -> Image:
    shown = detail if isinstance(detail, str) and detail != "auto" else ""
    if found := _DATA.fullmatch(url):
        return Image(data=found[2], media=found[1], detail=shown, cache=cache, path=path)
    if not url.startswith(_AT_AN_ADDRESS):
        words = "must be an http address, or base64 as a data: address"
        raise InvalidRequest(f"`{path}.url` {words}", param=f"{path}.url")
    return Image(url=url, detail=shown, cache=cache, path=path)


def _file(said: Message, path: str, cache: msgspec.Raw | None) -> Document:
    """A file: its bytes as a data: address or bare (a PDF, as nothing says otherwise), a text's read; or its address,
    as some providers take it."""
    data, name = said.get("file_data"), said.get("filename")
    if not isinstance(data, str) or not data:
        raise InvalidRequest(f"`{path}`: send the file itself, as file_data", param=f"{path}.file_data")
    name = name if isinstance(name, str) else ""
    if data.startswith(_AT_AN_ADDRESS):
        return Document(url=data, name=name, cache=cache, path=path)
    found = _DATA.fullmatch(data)
    media, packed = (found[1], found[2]) if found else ("application/pdf", data)
    if not media.startswith("text/"):
        return Document(packed, media, name=name, cache=cache, path=path)
    try:
        text = base64.b64decode(packed, validate=True).decode()
    except ValueError:  # neither base64 nor UTF-8
        raise InvalidRequest(f"`{path}` is no text in base64", param=f"{path}.file_data") from None
    return Document(text=text, name=name, cache=cache, path=path)
