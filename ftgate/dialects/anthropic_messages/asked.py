"""A messages request in neutral words: what talk_of reads.

What only tunes, labels or caches stays behind, and so does the wish that documents be cited: no other dialect has words
for a citation of what the caller sent, and an answer without them is one. What another model cannot be given (a file
kept at the provider, a tool that only Anthropic's models know) is refused with the path to it. The provider's own tools
that stand in a history are passed over: what they found is in the text behind them.
"""

import base64
from collections.abc import Callable, Iterator, Mapping
from typing import Literal, cast

import msgspec

from ftgate.dialects.anthropic_messages.marks import MARK
from ftgate.dialects.anthropic_messages.rounds import in_rounds
from ftgate.dialects.fields import Fields, anything, cache_mark, dumps, loads, text_of, there, typed, word
from ftgate.dialects.names import Names
from ftgate.dialects.neutral import (
    NO_EFFORT,
    Choice,
    Document,
    Effort,
    Format,
    Image,
    Part,
    Talk,
    Text,
    Thinking,
    Tool,
    ToolResult,
    ToolUse,
    Turn,
)  # fmt: skip
from ftgate.dialects.talk import Ask
from ftgate.errors import InvalidRequest

_HOSTED = (
    "server_tool_use", "web_search_tool_result", "web_fetch_tool_result", "code_execution_tool_result",
    "bash_code_execution_tool_result", "text_editor_code_execution_tool_result", "tool_search_tool_result",
    "container_upload", "mcp_tool_use", "mcp_tool_result", "advisor_tool_result",
)  # fmt: skip
"""Blocks of what the provider did by itself."""
_LABEL = "x-anthropic-billing-header:"
"""How a system text begins that Claude Code addresses to Anthropic's accounts, new with each request: it says nothing
to a model, and would keep other providers from finding the prompt in their caches."""
_Said = Mapping[str, object]


def talk_of(ask: Ask) -> Talk:
    """Raises InvalidRequest for what other dialects have no words for."""
    fields = ask.fields
    number = "a number"
    said = {
        name: typed(fields, name, Fields, "an object") or {} for name in ("tool_choice", "output_config", "metadata")
    }
    names = Names()
    tools = tuple(_tools(fields, names))
    choice, alone = _choice(said["tool_choice"], tools)
    turns = tuple(_renamed(turn, names) for turn in in_rounds(_turns(fields)))
    return Talk(
        system=tuple(_system(fields)),
        turns=turns,
        tools=tools,
        choice=choice,
        parallel=False if alone else None,
        stop=tuple(typed(fields, "stop_sequences", list[str], "a list of texts") or ()),
        temperature=typed(fields, "temperature", float, number),
        top_p=typed(fields, "top_p", float, number),
        top_k=typed(fields, "top_k", int, "a whole number"),
        effort=_effort(typed(fields, "thinking", Fields, "an object") or {}, said["output_config"]),
        format=_format(fields, said["output_config"]),
        user=typed(said["metadata"], "user_id", str, "a text", path="metadata.user_id") or "",
    )


# What is said


def _system(fields: Mapping[str, msgspec.Raw]) -> Iterator[Text]:
    for text in _texts(anything.decode(fields.get("system", b"null")), "system"):
        if text.text and not text.text.startswith(_LABEL):
            yield text


def _texts(content: object, path: str) -> Iterator[Text]:
    for part in _parts(content, path, _text_block):
        if not isinstance(part, Text):
            raise InvalidRequest(f"`{path}` must be a string or a list of text blocks", param=path)
        yield part


def _turns(fields: Mapping[str, msgspec.Raw]) -> Iterator[Turn]:
    said = typed(fields, "messages", list[dict[str, object]], "a list of messages") or []
    for at, message in enumerate(said):
        path = f"messages.{at}"
        role, content = message.get("role"), message.get("content")
        if role not in ("user", "assistant", "system"):
            raise InvalidRequest(f'`{path}.role` must be "user" or "assistant"', param=f"{path}.role")
        parts = tuple(_parts(content, f"{path}.content", _model_block if role == "assistant" else _user_block))
        yield Turn(role, parts, path)


def _renamed(turn: Turn, names: Names) -> Turn:
    """The turn with its calls under the names that go up."""
    if not any(isinstance(part, ToolUse) and names.up(part.name) != part.name for part in turn.parts):
        return turn
    parts = (
        msgspec.structs.replace(part, name=names.up(part.name)) if isinstance(part, ToolUse) else part
        for part in turn.parts
    )
    return msgspec.structs.replace(turn, parts=tuple(parts))


def _parts(content: object, path: str, read: Callable[[str, _Said, str], Part | None]) -> Iterator[Part]:
    if isinstance(content, str):
        if content:
            yield Text(content)
        return
    if content is not None and not isinstance(content, list):
        raise InvalidRequest(f"`{path}` must be a string or a list of blocks", param=path)
    for at, block in enumerate(content or ()):
        where = f"{path}.{at}"
        kind = block.get("type") if isinstance(block, dict) else None
        if not isinstance(kind, str):
            raise InvalidRequest(f"`{where}` must be a block with its type", param=where)
        if (part := read(kind, block, where)) is not None:
            yield part


def _text_block(kind: str, block: _Said, path: str) -> Part | None:
    if kind == "text":
        return Text(word(block.get("text"), f"{path}.text"), cache=cache_mark(block))
    raise InvalidRequest(f"`{path}.type`: only text may stand here", param=f"{path}.type")


def _user_block(kind: str, block: _Said, path: str) -> Part | None:
    if kind == "tool_result":
        id = word(block.get("tool_use_id"), f"{path}.tool_use_id")
        parts = tuple(_parts(block.get("content"), f"{path}.content", _shown_block))
        held = cast("tuple[Text | Image | Document, ...]", parts)
        return ToolResult(id, held, failed=block.get("is_error") is True, cache=cache_mark(block), path=path)
    return None if kind in _HOSTED else _shown_block(kind, block, path)


def _shown_block(kind: str, block: _Said, path: str) -> Part | None:
    """What a user, or a tool, may show."""
    if kind == "image":
        return _image(block, path)
    if kind == "document":
        return _document(block, path)
    if kind == "search_result":
        found = "\n".join(text.text for text in _texts(block.get("content"), f"{path}.content"))
        return Text(
            f"{block.get('title') or ''}\n{block.get('source') or ''}\n\n{found}".strip(), cache=cache_mark(block)
        )
    if kind == "tool_reference":
        return Text(f"Tool found: {block.get('tool_name') or ''}")
    if kind == "text":
        return Text(word(block.get("text"), f"{path}.text"), cache=cache_mark(block))
    raise InvalidRequest(f"`{path}.type`: this model's provider does not take {kind[:80]}", param=f"{path}.type")


def _model_block(kind: str, block: _Said, path: str) -> Part | None:
    if kind == "text":
        return Text(word(block.get("text"), f"{path}.text"), cache=cache_mark(block))
    if kind == "thinking":
        signature = block.get("signature")
        return Thinking(word(block.get("thinking"), f"{path}.thinking"), _unmarked(signature))
    if kind == "redacted_thinking":
        return Thinking(sealed=_unmarked(block.get("data")))
    if kind == "tool_use":
        id, name = word(block.get("id"), f"{path}.id"), word(block.get("name"), f"{path}.name")
        made = block.get("input")
        return ToolUse(id, name, dumps(made if isinstance(made, dict) else {}).decode(), cache=cache_mark(block))
    if kind == "compaction":
        return Text(word(block.get("content") or "", f"{path}.content"))
    if kind in _HOSTED:
        return None
    raise InvalidRequest(f"`{path}.type`: this model's provider does not take {kind[:80]}", param=f"{path}.type")


def _unmarked(seal: object) -> str:
    return seal.removeprefix(MARK) if isinstance(seal, str) else ""


def _image(block: _Said, path: str) -> Image:
    source, kind = _source(block, path)
    if kind == "base64":
        data, media = (word(source.get(name), f"{path}.source.{name}") for name in ("data", "media_type"))
        return Image(data=data, media=media, cache=cache_mark(block), path=path)
    if kind == "url":
        return Image(url=word(source.get("url"), f"{path}.source.url"), cache=cache_mark(block), path=path)
    raise _kept_elsewhere("image", path)


def _document(block: _Said, path: str) -> Part:
    source, kind = _source(block, path)
    title, cache = block.get("title"), cache_mark(block)
    name, about = title if isinstance(title, str) else "", text_of(block.get("context"))
    if kind == "text":
        text = word(source.get("data"), f"{path}.source.data")
        return Document(text=text, name=name, context=about, cache=cache, path=path)
    if kind == "base64":
        data, media = (word(source.get(field), f"{path}.source.{field}") for field in ("data", "media_type"))
        if media.startswith("text/"):
            try:
                text = base64.b64decode(data).decode()
                return Document(text=text, name=name, context=about, cache=cache, path=path)
            except ValueError:
                raise InvalidRequest(f"`{path}.source.data` must be base64 of UTF-8", param=path) from None
        return Document(data=data, media=media, name=name, cache=cache, path=path)
    if kind == "url":
        return Document(url=word(source.get("url"), f"{path}.source.url"), name=name, cache=cache, path=path)
    if kind == "content":
        text = "\n\n".join(part.text for part in _texts(source.get("content"), f"{path}.source.content"))
        return Document(text=text, name=name, context=about, cache=cache, path=path)
    raise _kept_elsewhere("document", path)


def _source(block: _Said, path: str) -> tuple[_Said, object]:
    source = block.get("source")
    if not isinstance(source, dict):
        raise InvalidRequest(f"`{path}.source` must be an object", param=f"{path}.source")
    return source, source.get("type")


def _kept_elsewhere(what: str, path: str) -> InvalidRequest:
    words = f"must hold the {what} as base64 or its url; files kept at a provider are not known here"
    return InvalidRequest(f"`{path}.source` {words}", param=f"{path}.source")


# How it is to be answered


def _tools(fields: Mapping[str, msgspec.Raw], names: Names) -> Iterator[Tool]:
    """The tools, each under the name that goes up: here one may have 128 letters."""
    for at, said in enumerate(typed(fields, "tools", list[Fields], "a list of tools") or ()):
        path = f"tools.{at}"
        kind = typed(said, "type", str, "a tool's type", path=f"{path}.type") or "custom"
        if kind != "custom":
            words = "is known to Anthropic's models alone; declare a tool with its own input_schema"
            raise InvalidRequest(f"`{path}.type`: {kind[:80]} {words}", param=f"{path}.type")
        name = typed(said, "name", str, "a text", path=f"{path}.name")
        if not name or not there(said.get("input_schema", msgspec.Raw())):
            missing = "input_schema" if name else "name"
            raise InvalidRequest(f"`{path}.{missing}` is missing", code="missing_field", param=f"{path}.{missing}")
        up = names.up(name)
        yield Tool(
            up,
            said["input_schema"],
            typed(said, "description", str, "a text", path=f"{path}.description") or "",
            typed(said, "strict", bool, "true or false", path=f"{path}.strict"),
            own=name if up != name else "",
            cache=said.get("cache_control"),
        )


def _choice(said: Fields, tools: tuple[Tool, ...]) -> tuple[Choice | None, bool]:
    """How tools are chosen, and whether one call at the most may be made. A call cannot be demanded of a tool that is
    not there."""
    kind = typed(said, "type", str, "auto, any, tool or none", path="tool_choice.type")
    alone = typed(
        said, "disable_parallel_tool_use", bool, "true or false", path="tool_choice.disable_parallel_tool_use"
    )
    if kind is None:
        return None, bool(alone)
    name = typed(said, "name", str, "a tool's name", path="tool_choice.name") or ""
    if kind not in ("auto", "any", "tool", "none") or (kind == "tool" and not name):
        raise InvalidRequest("`tool_choice` must be auto, any, none, or tool with its name", param="tool_choice")
    if kind != "tool":
        if kind == "any" and not tools:
            raise InvalidRequest("`tool_choice`: no tool is declared that could be called", param="tool_choice")
        return Choice(cast(Literal["auto", "any", "none"], kind)), bool(alone)
    up = next((tool.name for tool in tools if (tool.own or tool.name) == name), None)
    if up is None:
        words = f"`tool_choice.name`: no tool is declared that is called {name[:128]!r}"
        raise InvalidRequest(words, param="tool_choice.name")
    return Choice("tool", up), bool(alone)


def _effort(thinking: Fields, output: Fields) -> Effort:
    kind = typed(thinking, "type", str, "enabled, adaptive or disabled", path="thinking.type")
    shown = typed(thinking, "display", str, "summarized or omitted", path="thinking.display")
    budget = typed(thinking, "budget_tokens", int, "a whole number", path="thinking.budget_tokens")
    level = typed(output, "effort", str, "a text", path="output_config.effort") or ""
    if kind in ("disabled", "between_tools"):
        return Effort(budget=0)
    if kind is None and not level:
        return NO_EFFORT
    return Effort(
        level,
        budget if kind == "enabled" else None,
        adaptive=kind == "adaptive",
        shown=None if shown is None else shown != "omitted",
    )


def _format(fields: Mapping[str, msgspec.Raw], output: Fields) -> Format | None:
    """`output_format` is what it was called while it was tried."""
    name, raw = "output_config.format", output.get("format", msgspec.Raw())
    if not there(raw):
        name, raw = "output_format", fields.get("output_format", msgspec.Raw())
    if not there(raw):
        return None
    said = typed({name: raw}, name, Fields, "an object") or {}
    if loads(bytes(said.get("type", b"null"))) != "json_schema" or not there(said.get("schema", msgspec.Raw())):
        raise InvalidRequest(f"`{name}` must be json_schema with its schema", param=name)
    return Format(said["schema"], strict=True)
