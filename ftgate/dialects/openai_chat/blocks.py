"""Anthropic's blocks, tools and choice in a chat request: Cursor's agent posts them to the chat route where a model is
called Claude, and other agents do where they keep one history for all models.

They are put into a chat's own words as the request is read, and from there on it is any other chat.
"""

from collections.abc import Iterator, Mapping

import msgspec

from ftgate.dialects.fields import Fields, anything, dumps, text_of, typed
from ftgate.errors import InvalidRequest

Block = Mapping[str, object]
_SCHEMA = b'"input_schema"'
_CALL, _RESULT, _SOURCE = b'"tool_use"', b'"tool_result"', b'"source"'
"""What stands in a body that may hold such. In a text the second quote would have a backslash before it."""
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}


def may_hold(fields: Fields, body: bytes) -> bool:
    """Whether anything of Anthropic's may stand in a request with these fields. Agents alone write so, and they always
    bring tools: all other requests, which are most, are not looked through."""
    if "tools" not in fields:
        return False
    return _SCHEMA in body or _CALL in body or _RESULT in body or _SOURCE in body


def put_in_words(fields: Fields) -> None:
    """Replace what is Anthropic's in these fields. Raises InvalidRequest for a block that lacks what it must have."""
    if "messages" in fields:
        _messages(fields)
    if _SCHEMA in bytes(fields.get("tools", b"")):
        _tools(fields)
        if bytes(fields.get("tool_choice", b"")).lstrip().startswith(b"{"):
            _choice(fields)


def _messages(fields: Fields) -> None:
    try:
        said = msgspec.json.decode(fields["messages"], type=list[dict[str, object]])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return  # told of where messages are read
    told = [one for at, message in enumerate(said) for one in _message(message, f"messages.{at}")]
    if told != said:
        fields["messages"] = msgspec.Raw(dumps(told))


def _message(message: Block, path: str) -> Iterator[Block]:
    content = message.get("content")
    if not isinstance(content, list):
        yield message
        return
    calls: list[object] = []
    kept: list[object] = []
    for at, part in enumerate(content):
        kind, where = part.get("type") if isinstance(part, dict) else None, f"{path}.content.{at}"
        if kind == "tool_use" and message.get("role") == "assistant":
            calls.append(_call(part, where))
        elif kind == "tool_result" and message.get("role") == "user":
            yield _result(part, where)
        else:
            kept.append(_shown(part))
    told = {**message, "content": kept}
    if calls:
        known = message.get("tool_calls")
        told |= {"content": kept or None, "tool_calls": [*(known if isinstance(known, list) else []), *calls]}
    if kept or calls or not content:
        yield told


def _call(block: Block, path: str) -> Block:
    made = block.get("input")
    arguments = dumps(made if isinstance(made, dict) else {}).decode()
    function = {"name": _needed(block, "name", path), "arguments": arguments}
    return {"id": _needed(block, "id", path), "type": "function", "function": function}


def _result(block: Block, path: str) -> Block:
    """What a call brought. A chat has no word for one that failed but in its text."""
    content, failed = block.get("content"), block.get("is_error") is True
    told: object = f"Error: {text_of(content)}" if failed else text_of(content)
    if isinstance(content, list):
        told = [*([{"type": "text", "text": "Error:"}] if failed else []), *map(_shown, content)]
    return {"role": "tool", "tool_call_id": _needed(block, "tool_use_id", path), "content": told}


def _shown(part: object) -> object:
    """A part, and a picture as chat shows it."""
    source = part.get("source") if isinstance(part, dict) and part.get("type") == "image" else None
    if not isinstance(part, dict) or not isinstance(source, dict):
        return part
    url = text_of(source.get("url"))
    if source.get("type") == "base64":
        url = f"data:{text_of(source.get('media_type'))};base64,{text_of(source.get('data'))}"
    marked = {name: its for name, its in part.items() if name == "cache_control"}
    return {"type": "image_url", "image_url": {"url": url}, **marked} if url else part


def _tools(fields: Fields) -> None:
    tools = typed(fields, "tools", list[Fields], "a list of tools") or []
    fields["tools"] = msgspec.Raw(msgspec.json.encode([_tool(tool, f"tools.{at}") for at, tool in enumerate(tools)]))


def _tool(tool: Fields, path: str) -> Mapping[str, object]:
    kind = typed(tool, "type", str, "a tool's type", path=f"{path}.type") or "custom"
    if "input_schema" not in tool or kind != "custom":
        return tool
    if not typed(tool, "name", str, "a text", path=f"{path}.name"):
        raise InvalidRequest(f"`{path}.name` is missing", code="missing_field", param=f"{path}.name")
    function: dict[str, object] = {name: tool[name] for name in ("name", "description", "strict") if name in tool}
    marked = {name: its for name, its in tool.items() if name == "cache_control"}
    return {"type": "function", "function": function | {"parameters": tool["input_schema"]}, **marked}


def _choice(fields: Fields) -> None:
    said = anything.decode(fields["tool_choice"])
    if not isinstance(said, dict):
        return
    kind, name = said.get("type"), said.get("name")
    choice: object = _CHOICES.get(str(kind))
    if kind == "tool" and isinstance(name, str):
        choice = {"type": "function", "function": {"name": name}}
    if choice is None:
        return
    fields["tool_choice"] = msgspec.Raw(dumps(choice))
    if said.get("disable_parallel_tool_use") is True:
        fields["parallel_tool_calls"] = msgspec.Raw(b"false")


def _needed(block: Block, name: str, path: str) -> str:
    value = block.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidRequest(f"`{path}.{name}` is missing", code="missing_field", param=f"{path}.{name}")
    return value
