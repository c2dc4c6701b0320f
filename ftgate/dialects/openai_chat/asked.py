"""A chat request in neutral words: talk_of, for upstreams that speak another dialect (turns.py: its messages).

What such an upstream cannot be told in any words (several answers, weights of tokens, an answer that is spoken, a
search of the web) is refused with the field's name. What only tunes, labels or would be kept at OpenAI is left out
(store, metadata, service_tier, prediction); so is what nobody knows, since its meaning cannot be told.
"""

from collections.abc import Iterator, Mapping
from typing import cast

import msgspec

from ftgate.dialects import free
from ftgate.dialects.fields import Fields, anything, typed
from ftgate.dialects.neutral import NO_EFFORT, Choice, Effort, Format, Logprobs, Talk, Tool
from ftgate.dialects.openai_chat.turns import Message, conversation
from ftgate.dialects.talk import Ask
from ftgate.errors import InvalidRequest

Given = Mapping[str, msgspec.Raw]
_CANNOT: Mapping[str, str] = {
    "logit_bias": "weighs no tokens",
    "audio": "does not speak",
    "web_search_options": "does not search the web by itself here",
}
"""Fields that ask for what is not done in other dialects, but for values that ask for nothing."""
_LEVELS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_EMPTY_SCHEMA = msgspec.Raw(b'{"type":"object","properties":{}}')
_number, _whole_number, _object, _text = "a number", "a whole number", "an object", "a text"


def talk_of(ask: Ask) -> Talk:
    """Raises InvalidRequest for what is malformed, or what no other dialect can say."""
    fields = ask.fields
    for name, cannot in _CANNOT.items():
        wish = _value(fields, name)
        if wish or (wish == {} and name == "web_search_options"):
            raise InvalidRequest(f"`{name}`: this model's provider {cannot}; leave it out", param=name)
    if set(typed(fields, "modalities", list[str], "a list of texts") or ()) - {"text"}:
        raise InvalidRequest("`modalities`: this model's provider writes text alone; leave it out", param="modalities")
    if ask.answers > 1:
        name = "n" if typed(fields, "n", int, _whole_number) != 1 and "n" in fields else "best_of"
        raise InvalidRequest(f"`{name}`: this model's provider gives one answer; ask again for another", param=name)
    system, turns = conversation(cast(list[Message], _value(fields, "messages")))
    tools = tuple(_tools(fields))
    choice, only = _choice(fields, tools)
    offered = tools if only is None else tuple(tool for tool in tools if tool.name in only)
    return Talk(
        system=system,
        turns=turns,
        tools=offered,
        known=tuple(tool for tool in tools if tool not in offered),
        choice=choice,
        parallel=typed(fields, "parallel_tool_calls", bool, "true or false"),
        stop=stops(fields),
        temperature=typed(fields, "temperature", float, _number),
        top_p=typed(fields, "top_p", float, _number),
        top_k=typed(fields, "top_k", int, _whole_number),
        seed=typed(fields, "seed", int, _whole_number),
        frequency_penalty=typed(fields, "frequency_penalty", float, _number),
        presence_penalty=typed(fields, "presence_penalty", float, _number),
        effort=_effort(fields),
        format=_format(fields),
        verbosity=typed(fields, "verbosity", str, _text) or "",
        logprobs=_logprobs(fields),
        user=typed(fields, "user", str, _text) or "",
        safety=typed(fields, "safety_identifier", str, _text) or "",
        cache_key=typed(fields, "prompt_cache_key", str, _text) or "",
    )


def stops(fields: Given) -> tuple[str, ...]:
    """`stop`: a text or a list of texts. Raises InvalidRequest."""
    words = "a text or a list of texts"
    if bytes(fields.get("stop", b"")).lstrip()[:1] == b"[":
        return tuple(typed(fields, "stop", list[str], words) or ())
    stop = typed(fields, "stop", str, words)
    return (stop,) if stop is not None else ()


def _value(fields: Given, name: str) -> object:
    """A field of any shape; absent is None."""
    try:
        return anything.decode(fields.get(name, b"null"))
    except (msgspec.DecodeError, RecursionError):
        raise InvalidRequest(f"`{name}` is nested too deeply", code="invalid_json", param=name) from None


# Tools


def _tools(fields: Given) -> Iterator[Tool]:
    for at, raw in enumerate(typed(fields, "tools", list[Fields], "a list of tools") or ()):
        path = f"tools.{at}"
        kind = typed(raw, "type", str, _text, path=f"{path}.type") or "function"
        if kind not in ("function", "custom"):
            words = "this model's provider calls functions and custom tools alone; declare it as a function"
            raise InvalidRequest(f"`{path}.type`: {words}", param=f"{path}.type")
        path = f"{path}.{kind}"
        said = typed(raw, kind, Fields, _object, path=path)
        if said is None:
            raise InvalidRequest(f"`{path}` is missing", code="missing_field", param=path)
        yield _custom(said, raw, path) if kind == "custom" else _function(said, raw, path)
    for at, raw in enumerate(typed(fields, "functions", list[Fields], "a list of functions") or ()):
        yield _function(raw, raw, f"functions.{at}")


def _function(said: Fields, around: Fields, path: str) -> Tool:
    schema = typed(said, "parameters", dict[str, object], _object, path=f"{path}.parameters")
    return Tool(
        _name(said, path),
        said["parameters"] if schema else _EMPTY_SCHEMA,
        typed(said, "description", str, _text, path=f"{path}.description") or "",
        typed(said, "strict", bool, "true or false", path=f"{path}.strict"),
        cache=_cache(said, around),
    )


def _custom(said: Fields, around: Fields, path: str) -> Tool:
    where = f"{path}.format"
    shape = typed(said, "format", Fields, _object, path=where) or {}
    where = f"{where}.grammar"
    grammar = typed(shape, "grammar", Fields, _object, path=where) or {}
    words = free.described(
        typed(said, "description", str, _text, path=f"{path}.description") or "",
        syntax=typed(grammar, "syntax", str, _text, path=f"{where}.syntax") or "",
        grammar=typed(grammar, "definition", str, _text, path=f"{where}.definition") or "",
    )
    return Tool(_name(said, path), free.SCHEMA, words, free=True, cache=_cache(said, around))


def _name(said: Fields, path: str) -> str:
    name = typed(said, "name", str, _text, path=f"{path}.name")
    if not name:
        raise InvalidRequest(f"`{path}.name` is missing", code="missing_field", param=f"{path}.name")
    return name


def _cache(*places: Fields) -> msgspec.Raw | None:
    marks = (place["cache_control"] for place in places if "cache_control" in place)
    return next((mark for mark in marks if bytes(mark).startswith(b"{")), None)


def _choice(fields: Given, tools: tuple[Tool, ...]) -> tuple[Choice | None, frozenset[str] | None]:
    """How tools are chosen, and the names of those that alone may be (None: all)."""
    field = "tool_choice" if "tool_choice" in fields else "function_call"
    said = _value(fields, field)
    known = {tool.name for tool in tools}
    match said:
        case None:
            return None, None
        case "auto" | "none":
            return Choice("auto" if said == "auto" else "none"), None
        case "required" | "any" if known:  # as Mistral has it
            return Choice("any"), None
        case {"type": "allowed_tools", "allowed_tools": {"tools": list(allowed), **how}}:
            names = frozenset(_called(one) for one in allowed)
            if names and names <= known:
                return Choice("any" if how.get("mode") == "required" else "auto"), names
        case dict() if (name := _called(said)) in known:
            return Choice("tool", name), None
    words = 'must be "auto", "none", "required" or a tool that is declared'
    raise InvalidRequest(f"`{field}` {words}", param=field)


def _called(said: object) -> str:
    """The name of the tool that is meant; "" where none is."""
    if not isinstance(said, dict):
        return ""
    inner = said.get("custom" if said.get("type") == "custom" else "function", said)
    name = inner.get("name") if isinstance(inner, dict) else None
    return name if isinstance(name, str) else ""


# How the answer is to be


def _format(fields: Given) -> Format | None:
    said = typed(fields, "response_format", Fields, _object)
    if said is None:
        return None
    kind = typed(said, "type", str, "text, json_object or json_schema", path="response_format.type") or "text"
    if kind in ("text", "json_object"):
        return Format() if kind == "json_object" else None
    path = "response_format.json_schema"
    inner = typed(said, "json_schema", Fields, _object, path=path)
    if kind != "json_schema" or inner is None:
        words = "must be text, json_object, or json_schema with its schema"
        raise InvalidRequest(f"`response_format` {words}", param="response_format.type" if inner is None else path)
    schema = typed(inner, "schema", dict[str, object], _object, path=f"{path}.schema")
    return Format(
        None if schema is None else inner["schema"],
        typed(inner, "name", str, _text, path=f"{path}.name") or "",
        typed(inner, "description", str, _text, path=f"{path}.description") or "",
        typed(inner, "strict", bool, "true or false", path=f"{path}.strict"),
    )


def _effort(fields: Given) -> Effort:
    """What is said of thinking, by any of the names that providers of this dialect have for it: OpenAI's
    reasoning_effort, OpenRouter's reasoning, Anthropic's and others' thinking, Qwen's enable_thinking."""
    reasoning = typed(fields, "reasoning", Fields, _object) or {}
    thinking = typed(fields, "thinking", Fields, _object) or {}
    level = _level(fields, "reasoning_effort", "reasoning_effort") or _level(reasoning, "effort", "reasoning.effort")
    budget = typed(reasoning, "max_tokens", int, _whole_number, path="reasoning.max_tokens")
    budget = typed(thinking, "budget_tokens", int, _whole_number, path="thinking.budget_tokens") or budget
    budget = typed(fields, "thinking_budget", int, _whole_number) or budget
    on = typed(reasoning, "enabled", bool, "true or false", path="reasoning.enabled")
    kind = typed(thinking, "type", str, "enabled, disabled or adaptive", path="thinking.type")
    on = kind != "disabled" if kind else on
    switch = typed(fields, "enable_thinking", bool, "true or false")
    on = on if switch is None else switch
    hidden = typed(reasoning, "exclude", bool, "true or false", path="reasoning.exclude")
    shown = None if hidden is None else not hidden
    if on is False:
        return Effort("none")
    if not level and budget is None and not on:
        return NO_EFFORT if shown is None else Effort(shown=shown)
    return Effort(level, budget, adaptive=on is True and budget is None, shown=shown)


def _logprobs(fields: Given) -> Logprobs | None:
    wanted = typed(fields, "logprobs", bool, "true or false")
    top = typed(fields, "top_logprobs", int, _whole_number) or 0
    return Logprobs(top, "logprobs" if wanted else "top_logprobs") if wanted or top else None


def _level(said: Given, name: str, path: str) -> str:
    level = typed(said, name, str, f"one of {', '.join(_LEVELS)}", path=path)
    if level is not None and level not in _LEVELS:
        raise InvalidRequest(f"`{path}` is one of {', '.join(_LEVELS)}", param=path)
    return level or ""
