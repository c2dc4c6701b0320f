"""A conversation of any dialect as a chat request: what render_talk writes.

Chat knows one system message at its head, texts and pictures in a user's message, and a message of its own for what
each call of a tool brought, right behind the message that made the call. What it has no words for is refused (a file at
an address), or left out where that changes only how the answer is come by (cache marks, top_k, seals of other kinds).
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
from ftgate.dialects.openai_chat.seals import DETAILS, FIELD, seals_in
from ftgate.errors import InvalidRequest

BETWEEN = "\n\n"
"""What stands between two texts of one message: not every provider of this dialect takes a list of them."""
USER_LENGTH = 64
"""Characters of the caller's word for who asks: OpenAI refuses a longer one, and Claude Code's is."""
_BUDGETS = ((4096, "low"), (16_384, "medium"))
"""Tokens of thinking up to which an effort is called so; above them it is high. Other words are not known to all."""


def render_talk(talk: Talk) -> dict[str, object]:
    """Raises InvalidRequest for what chat cannot say."""
    messages: list[dict[str, object]] = []
    if talk.system:
        messages.append({"role": "system", "content": _joined(talk.system)})
    for turn in talk.turns:
        messages += _messages(turn)
    fields: dict[str, object] = {"messages": messages}
    if talk.tools:
        fields["tools"] = [_tool(tool) for tool in talk.tools]
        if talk.choice is not None:
            fields["tool_choice"] = _choice(talk.choice)
        if talk.parallel is False:
            fields["parallel_tool_calls"] = False
    given = {
        "stop": list(talk.stop) or None,
        "temperature": talk.temperature,
        "top_p": talk.top_p,
        "seed": talk.seed,
        "frequency_penalty": talk.frequency_penalty,
        "presence_penalty": talk.presence_penalty,
        "response_format": _format(talk.format) if talk.format is not None else None,
        "reasoning_effort": effort_word(talk.effort) or None,
        "verbosity": talk.verbosity or None,
        "logprobs": True if talk.logprobs is not None else None,
        "top_logprobs": (talk.logprobs.top or None) if talk.logprobs is not None else None,
        "user": talk.user if 0 < len(talk.user) <= USER_LENGTH else None,
        "safety_identifier": talk.safety or None,
        "prompt_cache_key": talk.cache_key or None,
    }
    return fields | {name: value for name, value in given.items() if value is not None}


def _messages(turn: Turn) -> Iterator[dict[str, object]]:
    """A turn's messages. Results go first, whatever stands before them: nothing may part them from their calls."""
    if turn.role == "assistant":
        yield _assistant(turn.parts)
        return
    media: list[Part] = []
    for part in turn.parts:
        if isinstance(part, ToolResult):
            held = [_in_words(inner) for inner in part.parts]
            text = _joined(held)
            said = text if not part.failed or text.lower().startswith("error") else f"Error: {text}"
            yield {"role": "tool", "tool_call_id": part.id, "content": said}
            shown = [inner for inner in held if not isinstance(inner, Text)]
            media += [Text(f"What tool call {part.id} returned:"), *shown] if shown else []
    others = [*media, *(_in_words(part) for part in turn.parts if not isinstance(part, ToolResult))]
    if others:
        yield {"role": turn.role, "content": _content(others)}


def _in_words(part: Part) -> Part:
    """A document of text as the text that it is; every other part as it is."""
    return Text(part.words) if isinstance(part, Document) and part.text else part


def _assistant(parts: Iterable[Part]) -> dict[str, object]:
    parts = tuple(parts)
    message: dict[str, object] = {"role": "assistant", "content": _joined(parts) or None}
    seals, details = seals_in(part for part in parts if isinstance(part, Thinking))
    if details:
        message[DETAILS] = details
    if thought := BETWEEN.join(part.text for part in parts if isinstance(part, Thinking) and part.text):
        message["reasoning_content"] = thought
    calls = [
        {"id": part.id, "type": "function", "function": {"name": part.name, "arguments": part.arguments}}
        | _sealed(seals.get(part.id))
        for part in parts
        if isinstance(part, ToolUse)
    ]
    message |= _sealed(seals.get(""))
    if calls:
        message["tool_calls"] = calls
    elif message["content"] is None:
        message["content"] = ""
    return message


def _sealed(seal: str | None) -> dict[str, object]:
    """A seal in the place of what was sealed, until render knows whether that is to go up."""
    return {} if seal is None else {FIELD: seal}


def _joined(parts: Iterable[Part]) -> str:
    return BETWEEN.join(part.text for part in parts if isinstance(part, (Text, Refusal)) and part.text)


def _content(parts: list[Part]) -> str | list[dict[str, object]]:
    if all(isinstance(part, (Text, Refusal)) for part in parts):
        return _joined(parts)
    return [_part(part) for part in parts]


def _part(part: Part) -> dict[str, object]:
    match part:
        case Text() | Refusal():
            return {"type": "text", "text": part.text}
        case Image():
            shown = {"url": part.url or f"data:{part.media};base64,{part.data}"}
            return {"type": "image_url", "image_url": shown | ({"detail": part.detail} if part.detail else {})}
        case Audio():
            return {"type": "input_audio", "input_audio": {"data": part.data, "format": part.format}}
        case Document(data=data) if data:
            name = {"filename": part.name} if part.name else {}
            return {"type": "file", "file": {**name, "file_data": f"data:{part.media};base64,{data}"}}
        case Document():
            words = "takes a document's bytes, not its address; send them as base64, or choose another model"
            raise InvalidRequest(f"`{part.path}`: this model's provider {words}", param=part.path)
    raise InvalidRequest("a user's turn holds what only an assistant's may hold", param="messages")


def _tool(tool: Tool) -> dict[str, object]:
    function = {"name": tool.name, "parameters": tool.schema, **_described(tool)}
    return {"type": "function", "function": function}


def _described(shape: Tool | Format) -> dict[str, object]:
    """What is said of a schema, as far as it is said."""
    given = {"description": shape.description or None, "strict": shape.strict}
    return {name: value for name, value in given.items() if value is not None}


def _choice(choice: Choice) -> object:
    if choice.how == "tool":
        return {"type": "function", "function": {"name": choice.name}}
    return "required" if choice.how == "any" else choice.how


def _format(wanted: Format) -> dict[str, object]:
    if wanted.schema is None:
        return {"type": "json_object"}
    shape = {"name": wanted.name or "answer", "schema": wanted.schema, **_described(wanted)}
    return {"type": "json_schema", "json_schema": shape}


def may_say(effort: Effort, thinks: bool | None) -> bool:
    """Whether an effort goes up to a model that thinks, does not, or of which that is not known. A level is somebody's
    own word. A budget, or that the model may think as it likes, some clients send to every model; one that does not
    think refuses the call for it."""
    return bool(thinks) if not effort.level else thinks is not False


def effort_word(effort: Effort) -> str:
    """The effort that chat has a word for; "" where nothing is to be said."""
    if effort.level or not effort.budget:  # a budget of nothing: models that never think refuse the field
        return effort.level
    return next((word for most, word in _BUDGETS if effort.budget <= most), "high")
