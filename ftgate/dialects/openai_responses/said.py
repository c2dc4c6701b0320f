"""A conversation of any dialect as a Responses request: what render_talk writes.

Nothing is stored at the upstream: its account serves all callers. What Responses has no words for is refused where it
changes the answer (stop sequences), or left out where it changes only how the answer is come by.
"""

from collections.abc import Iterable, Iterator

from ftgate.dialects.neutral import (
    Audio,
    Choice,
    Document,
    Effort,
    Format,
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
from ftgate.dialects.openai_chat.said import BETWEEN, USER_LENGTH, effort_word
from ftgate.dialects.openai_responses.envelope import content_of
from ftgate.dialects.openai_responses.request import ENCRYPTED, LOGPROBS
from ftgate.errors import InvalidRequest

Item = dict[str, object]


def render_talk(talk: Talk) -> dict[str, object]:
    """Raises InvalidRequest for what Responses cannot say."""
    if talk.stop:
        words = "this model's provider knows no stop sequences; leave them out, or choose another model"
        raise InvalidRequest(words, param="stop")
    turns = talk.turns or (Turn("user", talk.system),)  # all that was said is how to answer
    fields: dict[str, object] = {"input": [item for turn in turns for item in _items(turn)], "store": False}
    if talk.system and talk.turns:
        fields["instructions"] = BETWEEN.join(part.text for part in talk.system if part.text)
    if talk.tools:
        fields["tools"] = [_tool(tool) for tool in talk.tools]
        if talk.choice is not None:
            fields["tool_choice"] = _choice(talk.choice)
        if talk.parallel is False:
            fields["parallel_tool_calls"] = False
    if word := effort_word(talk.effort):
        fields["reasoning"] = {"effort": word} | ({"summary": "auto"} if talk.effort.shown else {})
    included = {ENCRYPTED: _thinks(talk.effort), LOGPROBS: talk.logprobs is not None}
    if any(included.values()):
        fields["include"] = [name for name, wanted in included.items() if wanted]
    text = ({"format": _format(talk.format)} if talk.format is not None else {}) | (
        {"verbosity": talk.verbosity} if talk.verbosity else {}
    )
    given = {
        "text": text or None,
        "top_logprobs": (talk.logprobs.top or None) if talk.logprobs is not None else None,
        "temperature": _unless_default(talk.temperature),
        "top_p": _unless_default(talk.top_p),
        "user": talk.user if 0 < len(talk.user) <= USER_LENGTH else None,
        "safety_identifier": talk.safety or None,
        "prompt_cache_key": talk.cache_key or None,
    }
    return fields | {name: value for name, value in given.items() if value is not None}


def _unless_default(value: float | None) -> float | None:
    """Temperature, or top_p, where it is not 1, which both are by themselves: models that think refuse to be told
    either, and some agents tell all models 1."""
    return None if value == 1 else value


def _thinks(effort: Effort) -> bool:
    """Whether thinking is asked for: a model without it refuses to be asked for what it has thought."""
    return effort.level not in ("", "none") or bool(effort.budget) or effort.adaptive


def _items(turn: Turn) -> Iterator[Item]:
    """A turn's items in order, what calls brought before all else."""
    if turn.role == "assistant":
        yield from _assistant(turn.parts)
        return
    yield from (_result(part) for part in turn.parts if isinstance(part, ToolResult))
    others: list[Part] = [part for part in turn.parts if not isinstance(part, ToolResult)]
    if others:
        yield {"type": "message", "role": turn.role, "content": _content(others)}


def _assistant(parts: Iterable[Part]) -> Iterator[Item]:
    for part in parts:
        match part:
            case Text(text) if text:
                content = [{"type": "output_text", "text": text, "annotations": []}]
                yield {"type": "message", "role": "assistant", "content": content}
            case Refusal(text):
                yield {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": text}]}
            case Thinking():
                content_sealed = content_of(part.sealed or part.signature)
                if content_sealed:
                    summary = [{"type": "summary_text", "text": part.text}] if part.text else []
                    yield {"type": "reasoning", "summary": summary, "encrypted_content": content_sealed}
            case ToolUse():
                yield {"type": "function_call", "call_id": part.id, "name": part.name, "arguments": part.arguments}


def _result(result: ToolResult) -> Item:
    parts = list(result.parts)
    if all(isinstance(part, Text) for part in parts):
        text = BETWEEN.join(part.text for part in parts if isinstance(part, Text) and part.text)
        said = text if not result.failed or text.lower().startswith("error") else f"Error: {text}"
        return {"type": "function_call_output", "call_id": result.id, "output": said}
    return {"type": "function_call_output", "call_id": result.id, "output": [_part(part) for part in parts]}


def _content(parts: list[Part]) -> str | list[Item]:
    if len(parts) == 1 and isinstance(parts[0], Text):
        return parts[0].text
    return [_part(part) for part in parts]


def _part(part: Part) -> Item:
    match part:
        case Text() | Refusal():
            return {"type": "input_text", "text": part.text}
        case Image():
            address = part.url or f"data:{part.media};base64,{part.data}"
            return {"type": "input_image", "image_url": address, "detail": part.detail or "auto"}
        case Audio():
            return {"type": "input_audio", "input_audio": {"data": part.data, "format": part.format}}
        case Document(url=url) if url:
            return {"type": "input_file", "file_url": url}
        case Document(data=data) if data:
            name = part.name or "document"
            return {"type": "input_file", "filename": name, "file_data": f"data:{part.media};base64,{data}"}
        case Document():
            return {"type": "input_text", "text": part.words}
    raise InvalidRequest("a user's turn holds what only an assistant's may hold", param="messages")


def _tool(tool: Tool) -> Item:
    """`strict` is said always: here a tool of which nothing is said is strict."""
    said: Item = {"type": "function", "name": tool.name, "parameters": tool.schema, "strict": bool(tool.strict)}
    return said | ({"description": tool.description} if tool.description else {})


def _choice(choice: Choice) -> object:
    if choice.how == "tool":
        return {"type": "function", "name": choice.name}
    return "required" if choice.how == "any" else choice.how


def _format(wanted: Format) -> Item:
    if wanted.schema is None:
        return {"type": "json_object"}
    said: Item = {"type": "json_schema", "name": wanted.name or "answer", "schema": wanted.schema}
    if wanted.description:
        said["description"] = wanted.description
    return said if wanted.strict is None else said | {"strict": wanted.strict}
