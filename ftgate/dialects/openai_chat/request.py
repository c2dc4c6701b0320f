"""Chat requests: what the gate must know of one, and the same request as an upstream is to get it."""

import msgspec

from ftgate.core.habits import follow
from ftgate.core.usage import UNKNOWN_BOUND
from ftgate.dialects.asked import OWN_FIELDS, STRATEGIES, UNPRICED, names_of
from ftgate.dialects.fields import Fields, decode_object, refuse_disguised, typed, whole
from ftgate.dialects.openai_chat.blocks import may_hold, put_in_words
from ftgate.dialects.openai_chat.mixed import as_chat, is_mixed
from ftgate.dialects.openai_chat.prompt import measure
from ftgate.dialects.openai_chat.said import may_say
from ftgate.dialects.openai_chat.seals import given_back
from ftgate.dialects.talk import Aim, Ask
from ftgate.errors import InvalidRequest

CAP_FIELDS = ("max_tokens", "max_completion_tokens")
_STAY_HERE = frozenset((*OWN_FIELDS, *UNPRICED))
_TOOLS = ("function", "custom")
MAX_ANSWERS = 128
"""Largest n: OpenAI's own limit."""


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


def read_request(body: bytes) -> Ask:
    """Read and check what the gate needs to know; the rest passes. Raises InvalidRequest with the field's name."""
    fields = decode_object(body)
    if is_mixed(fields):
        body = as_chat(body)
        fields = decode_object(body)
    try:
        asked = _asked.decode(body)
    except (msgspec.DecodeError, RecursionError):
        asked = _asked_one_by_one(fields)
    names, strategy = names_of(fields, asked.model, asked.models, asked.routing)
    if "messages" not in fields:
        raise InvalidRequest("`messages` is missing", code="missing_field", param="messages")
    answers = 1
    if not (asked.n is asked.best_of is None):
        n, best_of = whole(asked.n, "n", most=MAX_ANSWERS), whole(asked.best_of, "best_of", most=MAX_ANSWERS)
        answers = max(n or 1, best_of or 1)
    cap, old_cap = asked.max_completion_tokens, asked.max_tokens
    if cap is not None:
        whole(cap, "max_completion_tokens", most=UNKNOWN_BOUND)
    if old_cap is not None:
        whole(old_cap, "max_tokens", most=UNKNOWN_BOUND)
    if may_hold(fields, body):
        put_in_words(fields)
    if "tools" in fields:
        _check_tools(fields)
    prompt, images, audios, files = measure(fields)
    return Ask(
        fields=fields,
        names=names,
        routing=strategy,
        stream=asked.stream or False,
        wants_usage=(asked.stream_options is not None and asked.stream_options.include_usage) or False,
        cap=old_cap if cap is None else cap if old_cap is None else min(cap, old_cap),
        answers=answers,
        prompt=prompt,
        images=images,
        audios=audios,
        files=files,
        has_tools="tools" in fields or "functions" in fields,
    )


def _check_tools(fields: Fields) -> None:
    """Raises InvalidRequest for tools that the provider runs: they are paid by the call, beside the tokens. The others
    stand there once more as they were read: of a name that stands twice, what counts here is all that goes up."""
    tools = typed(fields, "tools", list[Fields], "a list of tools")
    for at, tool in enumerate(tools or ()):
        refuse_disguised(tool, f"tools.{at}.")
        kind = typed(tool, "type", str, "a tool's type", path=f"tools.{at}.type")
        if kind not in _TOOLS if kind is not None else not {"function", "name"} & tool.keys():
            words = "is run by the provider at a price of its own, which this gateway does not know"
            raise InvalidRequest(
                f"`tools.{at}.type`: {(kind or 'this tool')[:80]} {words}; declare a function in its place",
                param=f"tools.{at}.type",
            )
    fields["tools"] = msgspec.Raw(msgspec.json.encode(tools))


def _asked_one_by_one(fields: Fields) -> _Asked:
    """What was asked, where one of the fields has a wrong type. Raises InvalidRequest with its name."""
    whole_number = "a whole number from 1 to {}".format
    options = typed(fields, "stream_options", Fields, "an object") or {}
    return _Asked(
        model=typed(fields, "model", str, "a model's name"),
        models=typed(fields, "models", list[str], "a list of model names"),
        routing=typed(fields, "routing", str, "one of " + ", ".join(STRATEGIES)),
        n=typed(fields, "n", int, whole_number(MAX_ANSWERS)),
        best_of=typed(fields, "best_of", int, whole_number(MAX_ANSWERS)),
        max_completion_tokens=typed(fields, "max_completion_tokens", int, whole_number(UNKNOWN_BOUND)),
        max_tokens=typed(fields, "max_tokens", int, whole_number(UNKNOWN_BOUND)),
        stream=typed(fields, "stream", bool, "true or false"),
        stream_options=_Options(
            typed(options, "include_usage", bool, "true or false", path="stream_options.include_usage")
        ),
    )


def render(ask: Ask, aim: Aim) -> bytes:
    """The request for an upstream of this dialect: the model replaced, our own fields and those to drop left out, usage
    asked for in a stream unless that field is to be dropped. The cap, the caller's own or ours, goes into the one field
    that this model obeys: what was held must bind, and some upstreams refuse to be told both. What this upstream has
    sealed in the turns of another dialect's caller stands again where it stood."""
    drop, cap_field = aim.drop, aim.cap_field
    fields: dict[str, object] = dict(ask.fields)
    for name in _STAY_HERE.intersection(fields):
        del fields[name]
    for name in drop:
        fields.pop(name, None)
    fields["model"] = aim.model
    if ask.talk is not None:
        fields["messages"] = given_back(ask.fields["messages"], aim.maker)
        if not may_say(ask.talk.effort, aim.thinks):
            fields.pop("reasoning_effort", None)
    cap = ask.cap if aim.cap is None else aim.cap
    for name in CAP_FIELDS:
        if name != cap_field or cap is None:
            fields.pop(name, None)
    if cap is not None and cap_field is not None:
        fields[cap_field] = cap
    if ask.stream and aim.usage and "stream_options" not in drop:
        options: dict[str, object] = {}
        if "stream_options" in ask.fields:
            said = msgspec.json.decode(ask.fields["stream_options"], type=Fields | None) or {}
            options.update((name, raw) for name, raw in said.items() if name.casefold() != "include_usage")
        options["include_usage"] = True
        fields["stream_options"] = options
    if aim.habits is not None:
        follow(fields, aim.habits)
    return msgspec.json.encode(fields)
