"""Responses requests: what the gate must know of one, what no channel of this gateway can serve, and the same request
as an upstream of this dialect is to get it.

Nothing is kept here and nothing is kept there: one account at the upstream serves all callers, so a reference into it
would reach from one caller to another, and failover would lose what it leads to. What the caller may choose and the
catalogue has no price for does not go up.
"""

from collections.abc import Mapping

import msgspec

from ftgate.core.habits import follow
from ftgate.core.usage import UNKNOWN_BOUND
from ftgate.dialects.asked import OWN_FIELDS, UNPRICED, models_asked
from ftgate.dialects.fields import ABSENT, Fields, decode_object, there, typed, whole
from ftgate.dialects.openai_chat.said import may_say
from ftgate.dialects.openai_responses import envelope, hosted
from ftgate.dialects.openai_responses.prompt import measure
from ftgate.dialects.talk import Aim, Ask
from ftgate.errors import InvalidRequest

CAP_FIELDS = ("max_output_tokens",)
ENCRYPTED = "reasoning.encrypted_content"
LOGPROBS = "message.output_text.logprobs"
"""What a caller may ask to be told beside the answer, and has an effect here."""
Item = dict[str, object]

_KEPT = {
    "conversation": "conversations are kept at OpenAI; send the whole conversation in `input`",
    "prompt": "prompt templates are kept at OpenAI; send the text itself",
    "moderation": "nothing is moderated here; leave it out",
}
"""Fields that ask for what is not done here, and what to do in their place."""
_KEEPS = "context_management"
"""Makes the provider keep what comes back as something that only it can read."""
_HELD_THERE = {
    "item_reference": "no items are kept here; send the item itself (the Vercel AI SDK does with `store: false`)",
    "compaction": "a compacted conversation can be read by its provider alone; send the items themselves",
    "compaction_trigger": "conversations are not compacted here; send a request for a summary",
}


def read_request(body: bytes) -> Ask:
    """Read and check what the gate needs to know; the rest passes. Raises InvalidRequest with the field's name."""
    fields = decode_object(body)
    names, strategy = models_asked(fields)
    _refuse_unserved(fields)
    items = _input(fields)
    tools = typed(fields, "tools", list[object], "a list of tools")
    hosted.check_tools(tools or [], "tools")
    has_tools = bool(tools)
    for index, item in enumerate(() if isinstance(items, str) else items):
        _refuse_held(item, f"input.{index}")
        has_tools |= item.get("type") == "additional_tools"
    prompt = measure(fields, items)
    number = f"a whole number from 1 to {UNKNOWN_BOUND}"
    return Ask(
        fields=fields,
        names=names,
        routing=strategy,
        stream=typed(fields, "stream", bool, "true or false") or False,
        wants_usage=True,
        cap=whole(typed(fields, "max_output_tokens", int, number), "max_output_tokens", most=UNKNOWN_BOUND),
        answers=1,
        prompt=prompt.counted(),
        images=prompt.image,
        audios=prompt.audio,
        files=prompt.file,
        has_tools=has_tools,
        prompt_field="input",
    )


def _refuse_unserved(fields: Fields) -> None:
    """Raises InvalidRequest for fields of a wrong type, and for those that ask for what is not done here."""
    typed(fields, "instructions", str, "a text")
    typed(fields, "store", bool, "true or false")
    typed(fields, "include", list[str], "a list of texts")
    typed(fields, "metadata", dict[str, object], "an object")
    typed(fields, "text", dict[str, object], "an object")
    typed(fields, "reasoning", dict[str, object], "an object")
    if there(fields.get("previous_response_id", ABSENT)):
        words = "`previous_response_id`: this gateway keeps no responses; send the whole conversation in `input`"
        raise InvalidRequest(words, code="previous_response_not_found", param="previous_response_id")
    for name, words in _KEPT.items():
        if there(fields.get(name, ABSENT)):
            raise InvalidRequest(f"`{name}`: {words}", param=name)
    if typed(fields, "background", bool, "true or false"):
        raise InvalidRequest("`background`: answers are not kept here to be fetched; stream them", param="background")
    words = "an answer is made and billed here in any case; leave it out"
    if typed(fields, "generate", bool, "true or false") is False:
        raise InvalidRequest(f"`generate`: {words}", param="generate")
    options = typed(fields, "prompt_cache_options", dict[str, object], "an object") or {}
    if options.get("prewarm"):
        raise InvalidRequest(f"`prompt_cache_options.prewarm`: {words}", param="prompt_cache_options.prewarm")


def _input(fields: Fields) -> str | list[Item]:
    """The input, read. Raises InvalidRequest."""
    raw = bytes(fields.get("input", b"null")).lstrip()
    if raw == b"null":
        raise InvalidRequest("`input` is missing", code="missing_field", param="input")
    if raw.startswith(b'"'):
        return typed(fields, "input", str, "a text or a list of items") or ""
    items = typed(fields, "input", list[object], "a text or a list of items")
    if not items:
        raise InvalidRequest("`input` must hold at least one item", param="input")
    found: list[Item] = []
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            raise InvalidRequest(f"`input.{index}` must be an object", param=f"input.{index}")
        found.append(item)
    return found


def type_of(item: Mapping[str, object]) -> object:
    """An item's type, which two kinds may leave out."""
    if (kind := item.get("type")) is not None:
        return kind
    return "message" if "role" in item else "item_reference" if item.keys() == {"id"} else None


def _refuse_held(item: Item, path: str) -> None:
    """Raises InvalidRequest for an item that no channel can be sent."""
    kind = type_of(item)
    if isinstance(kind, str) and (words := _HELD_THERE.get(kind)):
        param = f"{path}.id" if kind == "item_reference" else f"{path}.type"
        raise InvalidRequest(f"`{path}`: {words}", param=param)
    if kind in ("additional_tools", "tool_search_output") and item.get("tools") is not None:
        hosted.check_tools(item["tools"], f"{path}.tools")


def render(ask: Ask, aim: Aim) -> bytes:
    """The request for an upstream of this dialect: the model and the cap replaced; our own fields, those to drop and
    what is not priced left out; nothing is stored. A caller who did not say himself that nothing is to be stored relies
    on what he would find stored: his next turn needs the reasoning in his own hands."""
    drop = (*OWN_FIELDS, *UNPRICED, _KEEPS, *CAP_FIELDS, *aim.drop)
    fields: dict[str, object] = {name: raw for name, raw in ask.fields.items() if name not in drop}
    fields["model"] = aim.model
    fields["store"] = False
    untold = ask.talk is not None and not may_say(ask.talk.effort, aim.thinks)
    if untold:
        fields.pop("reasoning", None)
    cap = ask.cap if aim.cap is None else aim.cap
    if cap is not None and aim.cap_field is not None:
        fields[aim.cap_field] = cap
    if "prompt_cache_options" in fields:
        options = typed(ask.fields, "prompt_cache_options", Fields, "an object") or {}
        fields["prompt_cache_options"] = {name: raw for name, raw in options.items() if name != "ttl"}
    carries = _render_input(ask, fields, bare=aim.bare)
    if "tools" in fields:
        kept = hosted.without_added(hosted.tools_of(ask.fields, ""))
        if kept:
            fields["tools"] = kept
        else:
            del fields["tools"]
    if "tools" not in fields and not carries:
        for name in ("tool_choice", "parallel_tool_calls"):
            fields.pop(name, None)
    if "include" not in aim.drop:
        _render_include(ask, aim, fields, untold=untold)
    if aim.habits is not None:
        follow(fields, aim.habits)
    return msgspec.json.encode(fields)


def _render_include(ask: Ask, aim: Aim, fields: dict[str, object], *, untold: bool) -> None:
    """Ask for sealed reasoning where the caller will need it and did not ask himself; do not ask a model for it that is
    told of no reasoning at all (`untold`)."""
    asked = typed(ask.fields, "include", list[str], "a list of texts") or []
    stored = typed(ask.fields, "store", bool, "true or false") is not False
    wanted = not untold and (ENCRYPTED in asked or (stored and _reasons(ask.fields, aim)))
    if wanted and ENCRYPTED not in asked:
        fields["include"] = [*asked, ENCRYPTED]
    elif ENCRYPTED in asked and not wanted:
        fields["include"] = left = [name for name in asked if name != ENCRYPTED]
        if not left:
            del fields["include"]


def _reasons(fields: Mapping[str, msgspec.Raw], aim: Aim) -> bool:
    """Whether there will be reasoning: where the caller says how much, or says nothing to a model that is known to
    think. Models without it refuse to be asked for it in any form."""
    reasoning = typed(fields, "reasoning", dict[str, object], "an object")
    return bool(aim.thinks) if reasoning is None else reasoning.get("effort") != "none"


def _render_input(ask: Ask, fields: dict[str, object], *, bare: bool) -> bool:
    """Put the input as an upstream can read it: without reasoning that it has not sealed itself or was not given, or
    without any (`bare`); without tools that are paid by the call; and with what was read here of a name that stands
    twice in an item. Whether items bring tools."""
    raw = ask.fields.get("input", ABSENT)
    if not bytes(raw).lstrip().startswith(b"["):
        return False
    carries = False
    items: list[object] = []
    for item in msgspec.json.decode(raw, type=list[Fields]):
        kind = typed(item, "type", object, "")
        if kind == "reasoning":
            content = typed(item, "encrypted_content", object, "")
            if bare or not isinstance(content, str) or not content or envelope.is_ours(content):
                continue
        elif kind in ("additional_tools", "tool_search_output") and "tools" in item:
            carries = True
            tools = hosted.tools_of(item, "input")
            item = {**item, "tools": msgspec.Raw(msgspec.json.encode(hosted.without_added(tools)))}
        items.append(item)
    fields["input"] = items
    return carries
