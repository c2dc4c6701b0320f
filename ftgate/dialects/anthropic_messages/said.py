"""A conversation of any dialect as a messages request: what render_talk writes.

Here sides take turns, results stand first in the user's, right behind the turn that made the calls; thoughts stand
first in the assistant's, and only such as were sealed here. What it has no words for is refused (sound), or left out
where that changes only how the answer is come by (seed, penalties).
"""

import base64
import re
from collections.abc import Iterable, Iterator

import msgspec

from ftgate.dialects.anthropic_messages.marks import is_foreign
from ftgate.dialects.fields import fields_of
from ftgate.dialects.neutral import (
    Audio,
    Choice,
    Document,
    Effort,
    Image,
    Part,
    Refusal,
    Talk,
    Text,
    Thinking,
    Tool,
    ToolResult,
    ToolUse,
    Turn,
)  # fmt: skip
from ftgate.errors import InvalidRequest

_PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp")
_EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}
_NOT_IN_IDS = re.compile(r"[^a-zA-Z0-9_-]")
_ANY_JSON = "Answer with one JSON object and nothing else."
_NO_PARAMETERS = msgspec.Raw(b'{"type":"object","properties":{}}')
_Block = dict[str, object]


def render_talk(talk: Talk) -> dict[str, object]:
    """Raises InvalidRequest for what messages cannot say."""
    if talk.logprobs is not None and talk.logprobs.path:
        words = "this model's provider gives no probabilities; leave it out"
        raise InvalidRequest(f"`{talk.logprobs.path}`: {words}", param=talk.logprobs.path)
    system = [text for text in talk.system if text.text]
    if talk.format is not None and talk.format.schema is None:
        system.append(Text(_ANY_JSON))
    turns = talk.turns
    if not turns:  # all that was said is how to answer
        turns, system = (Turn("user", tuple(system)),), []
    said = _Said()
    for turn in turns:
        said.take(turn)
    fields: dict[str, object] = {"messages": said.finished()}
    if len(system) == 1 and system[0].cache is None:
        fields["system"] = system[0].text
    elif system:
        fields["system"] = [_text(text) for text in system]
    fields |= _tools(talk) if talk.tools else _called(talk, said.called)
    thinking = _thinking(talk.effort) if said.may_think and not _forced(talk) else None
    if thinking is not None:
        fields["thinking"] = thinking
    fields |= _sampling(talk, thinks=thinking is not None and thinking["type"] != "disabled")
    output: dict[str, object] = {}
    if talk.effort.level in _EFFORTS:
        output["effort"] = _EFFORTS[talk.effort.level]
    if talk.format is not None and talk.format.schema is not None:
        output["format"] = {"type": "json_schema", "schema": talk.format.schema}
    given = {
        "output_config": output,
        "stop_sequences": [stop for stop in talk.stop if stop.strip()],
        "metadata": {"user_id": talk.user} if talk.user else None,
    }
    return fields | {name: value for name, value in given.items() if value}


def _sampling(talk: Talk, *, thinks: bool) -> dict[str, object]:
    """A model that thinks takes none of it, and newer ones take one of temperature and top_p; 1 is what both are by
    themselves."""
    if thinks:
        return {}
    given: dict[str, object] = {}
    if talk.temperature is not None and talk.temperature != 1:
        given["temperature"] = min(talk.temperature, 1.0)
    elif talk.top_p is not None and talk.top_p != 1:
        given["top_p"] = talk.top_p
    if talk.top_k is not None and talk.top_k > 0:
        given["top_k"] = talk.top_k
    return given


def _thinking(effort: Effort) -> _Block | None:
    """What is said of thinking; None: nothing. A budget below what may be asked for is raised to it."""
    if effort.level == "none" or effort.budget == 0:
        return {"type": "disabled"}
    shown = {} if effort.shown is None else {"display": "summarized" if effort.shown else "omitted"}
    if effort.budget is not None:
        return {"type": "enabled", "budget_tokens": max(effort.budget, 1024), **shown}
    return {"type": "adaptive", **shown} if effort.adaptive or effort.level in _EFFORTS else None


def _forced(talk: Talk) -> bool:
    """Whether a call is demanded: a model that must call does not think here."""
    return bool(talk.tools) and talk.choice is not None and talk.choice.how in ("any", "tool")


# Turns


class _Said:
    """The messages while they are put together: turns of one side that follow each other are one."""

    def __init__(self) -> None:
        self._messages: list[tuple[str, list[_Block]]] = []
        self._ids: dict[str, str] = {}  # of calls, by what the caller calls them
        self._taken: set[str] = set()
        self.called: dict[str, None] = {}  # names of tools, in the order of their first calls
        self.may_think = True  # unless the call that is being answered came without its thought

    def take(self, turn: Turn) -> None:
        if turn.role == "assistant":
            blocks = list(self._assistant(turn.parts))
            if any(block["type"] == "tool_use" for block in blocks):
                self.may_think = blocks[0]["type"] in ("thinking", "redacted_thinking")
            role = "assistant"
        else:
            blocks = list(self._user(turn))
            if any(block["type"] != "tool_result" for block in blocks):
                self.may_think = True  # a new question: thinking begins anew
            role = "user"
        if not blocks:
            return
        if self._messages and self._messages[-1][0] == role:
            known = self._messages[-1][1]
            known += blocks
            if role == "user":  # results of one round that stood in turns of their own
                known.sort(key=lambda block: block["type"] != "tool_result")
        else:
            self._messages.append((role, blocks))

    def finished(self) -> list[_Block]:
        if self._messages and self._messages[-1][0] == "assistant":
            last = self._messages[-1][1][-1]
            if last["type"] == "text":  # which the model is to go on from: it must not end in a blank
                last["text"] = str(last["text"]).rstrip() or "."
        return [{"role": role, "content": _short(blocks)} for role, blocks in self._messages]

    def _assistant(self, parts: Iterable[Part]) -> Iterator[_Block]:
        parts = tuple(parts)
        for part in parts:
            if isinstance(part, Thinking):
                yield from _thought(part)
        for part in parts:
            if isinstance(part, (Text, Refusal)) and part.text.strip():
                yield _text(part)
            elif isinstance(part, ToolUse):
                self.called[part.name] = None
                made = {
                    "type": "tool_use",
                    "id": self._new_id(part.id),
                    "name": part.name,
                    "input": _input(part.arguments),
                }
                yield made | _cached(part.cache)

    def _user(self, turn: Turn) -> Iterator[_Block]:
        for part in turn.parts:
            if isinstance(part, ToolResult):
                held = [_shown(inner) for inner in part.parts if not isinstance(inner, Text) or inner.text.strip()]
                result: _Block = {"type": "tool_result", "tool_use_id": self._id(part.id)}
                if held:
                    result["content"] = _short(held)
                if part.failed:
                    result["is_error"] = True
                yield result | _cached(part.cache)
        for part in turn.parts:
            if isinstance(part, (Text, Refusal)):
                if not part.text.strip():
                    continue
                words = part.text if turn.role == "user" else f"<system>\n{part.text}\n</system>"
                yield _text(msgspec.structs.replace(part, text=words))
            elif not isinstance(part, ToolResult):
                yield _shown(part)

    def _new_id(self, id: str) -> str:
        """A call's id in the letters that are allowed here, and no other call's of the whole conversation: some servers
        count anew in each round."""
        known = plain = _NOT_IN_IDS.sub("_", id) or "_"
        more = 1
        while known in self._taken:
            more += 1
            known = f"{plain}_{more}"
        self._taken.add(known)
        self._ids[id] = known
        return known

    def _id(self, id: str) -> str:
        """The same for a result: that of the last call which the caller calls so."""
        return self._ids.get(id) or self._new_id(id)


def _short(blocks: list[_Block]) -> object:
    """One plain text as a string, all else as blocks."""
    if len(blocks) == 1 and blocks[0].keys() == {"type", "text"}:
        return blocks[0]["text"]
    return blocks


def _thought(part: Thinking) -> Iterator[_Block]:
    if part.sealed and not is_foreign(part.sealed):
        yield {"type": "redacted_thinking", "data": part.sealed}
    elif part.signature and not is_foreign(part.signature):
        yield {"type": "thinking", "thinking": part.text, "signature": part.signature}


def _input(arguments: str) -> object:
    try:
        fields_of.decode(arguments)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return {"_raw": arguments} if arguments.strip() else {}
    return msgspec.Raw(arguments.encode())


def _text(part: Text | Refusal) -> _Block:
    return {"type": "text", "text": part.text} | _cached(part.cache if isinstance(part, Text) else None)


def _cached(mark: msgspec.Raw | None) -> _Block:
    return {} if mark is None else {"cache_control": mark}


def _shown(part: Part) -> _Block:
    """A block of what a user, or a tool, shows."""
    match part:
        case Text() | Refusal():
            return _text(part)
        case Image():
            return {"type": "image", "source": _picture(part)} | _cached(part.cache)
        case Document():
            title = {"title": part.name} if part.name else {}
            return {"type": "document", "source": _file(part), **title} | _cached(part.cache)
        case Audio():
            raise InvalidRequest(f"`{part.path}`: this model's provider takes no sound", param=part.path)
    raise InvalidRequest("a user's turn holds what only an assistant's may hold", param="messages")


def _picture(part: Image) -> _Block:
    if part.url:
        return {"type": "url", "url": part.url}
    media = "image/jpeg" if part.media == "image/jpg" else part.media
    if media not in _PICTURES:
        words = f"this model's provider takes {', '.join(_PICTURES)}, not {media[:80] or 'a picture of no type'}"
        raise InvalidRequest(f"`{part.path}`: {words}", param=part.path)
    return {"type": "base64", "media_type": media, "data": part.data}


def _file(part: Document) -> _Block:
    if part.url:
        return {"type": "url", "url": part.url}
    if part.text:
        return {"type": "text", "media_type": "text/plain", "data": part.text}
    if part.media == "application/pdf":
        return {"type": "base64", "media_type": part.media, "data": part.data}
    if part.media.startswith("text/"):
        try:
            return {"type": "text", "media_type": "text/plain", "data": base64.b64decode(part.data).decode()}
        except ValueError:
            pass
    raise InvalidRequest(f"`{part.path}`: this model's provider takes PDF and plain text alone", param=part.path)


# Tools


def _called(talk: Talk, names: Iterable[str]) -> dict[str, object]:
    """Where no tool is offered, those that stand in the history, and that none is to be called: a conversation with
    calls in it is refused without its tools, and some clients have it summed up without any."""
    known = {tool.name: tool for tool in talk.known}
    tools = [_tool(known.get(name) or Tool(name, _NO_PARAMETERS)) for name in names]
    return {"tools": tools, "tool_choice": {"type": "none"}} if tools else {}


def _tools(talk: Talk) -> dict[str, object]:
    fields: dict[str, object] = {"tools": [_tool(tool) for tool in talk.tools]}
    choice = talk.choice or (Choice("auto") if talk.parallel is False else None)
    if choice is not None:
        said: _Block = {"type": choice.how} | ({"name": choice.name} if choice.how == "tool" else {})
        if talk.parallel is False and choice.how != "none":
            said["disable_parallel_tool_use"] = True
        fields["tool_choice"] = said
    return fields


def _tool(tool: Tool) -> _Block:
    said: _Block = {"name": tool.name}
    if tool.description:
        said["description"] = tool.description
    schema = msgspec.json.decode(tool.schema)
    if isinstance(schema, dict) and schema.get("type") != "object":
        said["input_schema"] = {"type": "object", **{name: its for name, its in schema.items() if name != "type"}}
    else:
        said["input_schema"] = tool.schema
    return said | _cached(tool.cache)
