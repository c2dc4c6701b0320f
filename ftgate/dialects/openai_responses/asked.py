"""A Responses request in neutral words, for channels of other dialects: what talk_of reads.

What only tunes, caches or labels, or what would cost more, is left out; agents send much of it. What would change the
meaning of the answer is refused, with the path to it.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

from ftgate.dialects import logprobs
from ftgate.dialects.fields import Fields, typed
from ftgate.dialects.neutral import NO_EFFORT, Effort, Format, Logprobs, Talk, Text
from ftgate.dialects.openai_responses import hosted
from ftgate.dialects.openai_responses.items import Conversation
from ftgate.dialects.openai_responses.request import LOGPROBS
from ftgate.dialects.openai_responses.tools import Tools
from ftgate.dialects.talk import Ask
from ftgate.errors import InvalidRequest

_EFFORTS = frozenset(("none", "minimal", "low", "medium", "high", "xhigh", "max"))


def talk_of(ask: Ask) -> Talk:
    """Raises InvalidRequest for what cannot be said in another dialect."""
    fields = ask.fields
    items = _items(fields)
    tools = Tools()
    tools.offer(hosted.tools_of(fields, ""), "tools")
    effort, shape = _effort(fields, ""), _format(fields, "")
    text = typed(fields, "text", Fields, "an object") or {}
    for index, item in enumerate(items):
        kind, path = typed(item, "type", object, ""), f"input.{index}"
        if kind in ("additional_tools", "tool_search_output"):
            tools.offer(hosted.tools_of(item, path), f"{path}.tools")
        elif kind == "configuration_update":  # the last one holds
            effort = _effort(item, f"{path}.") or effort
            shape = _format(item, f"{path}.") or shape
    said = Conversation(tools)
    if instructions := typed(fields, "instructions", str, "a text"):
        said.system.append(Text(instructions))
    said.read(items)
    turns = said.turns()
    choice = tools.choose(dict(fields))
    parallel = typed(fields, "parallel_tool_calls", bool, "true or false")
    return Talk(
        turns=turns,
        system=tuple(said.system),
        tools=tuple(tools.offered.values()),
        known=tuple(tools.known.values()),
        choice=choice,
        parallel=False if parallel is False and tools.offered else None,
        temperature=typed(fields, "temperature", float, "a number"),
        top_p=typed(fields, "top_p", float, "a number"),
        effort=effort or NO_EFFORT,
        format=shape if isinstance(shape, Format) else None,
        logprobs=_logprobs(fields),
        verbosity=typed(text, "verbosity", str, "a text", path="text.verbosity") or "",
        user=typed(fields, "user", str, "a text") or "",
        safety=typed(fields, "safety_identifier", str, "a text") or "",
        cache_key=typed(fields, "prompt_cache_key", str, "a text") or "",
    )


def _items(fields: Mapping[str, msgspec.Raw]) -> list[Fields]:
    """The input's items; a text is what a user says."""
    if bytes(fields["input"]).lstrip().startswith(b'"'):
        return [{"role": msgspec.Raw(b'"user"'), "content": fields["input"]}]
    return typed(fields, "input", list[Fields], "a text or a list of items") or []


def _effort(fields: Mapping[str, msgspec.Raw], path: str) -> Effort | None:
    """The effort that these fields ask for; None where they say none, or one that is known to nobody else."""
    reasoning = typed(fields, "reasoning", Fields, "an object", path=f"{path}reasoning") or {}
    level = typed(reasoning, "effort", str, "a text", path=f"{path}reasoning.effort")
    return Effort(level) if level in _EFFORTS else None


def _logprobs(fields: Mapping[str, msgspec.Raw]) -> Logprobs | None:
    """What is to be told of how likely the tokens were. No path: an answer without is one here."""
    words = f"a whole number from 0 to {logprobs.MOST}"
    top = typed(fields, "top_logprobs", int, words) or 0
    if not 0 <= top <= logprobs.MOST:
        raise InvalidRequest(f"`top_logprobs` must be {words}", param="top_logprobs")
    included = LOGPROBS in (typed(fields, "include", list[str], "a list of texts") or ())
    return Logprobs(top) if top or included else None


def _format(fields: Mapping[str, msgspec.Raw], path: str) -> Format | Literal["text"] | None:
    """The format that these fields ask for: JSON, or plain text; None where they say nothing."""
    text = typed(fields, "text", Fields, "an object", path=f"{path}text") or {}
    place = f"{path}text.format"
    shape = typed(text, "format", Fields, "an object", path=place)
    if shape is None:
        return None
    kind = typed(shape, "type", str, "a text", path=f"{place}.type")
    match kind:
        case "text":
            return "text"
        case "json_object":
            return Format()
        case "json_schema":
            if typed(shape, "schema", Fields, "a JSON Schema", path=f"{place}.schema") is None:
                raise InvalidRequest(f"`{place}.schema` is missing", code="missing_field", param=f"{place}.schema")
            return Format(
                shape["schema"],
                typed(shape, "name", str, "a text", path=f"{place}.name") or "",
                typed(shape, "description", str, "a text", path=f"{place}.description") or "",
                typed(shape, "strict", bool, "true or false", path=f"{place}.strict"),
            )
    words = "is one of text, json_object, json_schema"
    raise InvalidRequest(f"`{place}.type` {words}", param=f"{place}.type")
