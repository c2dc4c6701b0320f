"""Messages requests: what the gate must know of one, and the same request as an upstream is to get it.

What a caller may choose and nobody here can price does not go up: faster or earlier service is left out (the answer is
the same), tools that are billed by use and another place of computing are refused. So is what lets the provider run the
model several times for one answer: nobody can say beforehand what that takes, and no balance is held for it.
"""

from collections.abc import Mapping

import msgspec

from ftgate.core.habits import follow
from ftgate.core.usage import UNKNOWN_BOUND
from ftgate.dialects.anthropic_messages.marks import without_ours
from ftgate.dialects.anthropic_messages.thinking import as_taken
from ftgate.dialects.asked import OWN_FIELDS, models_asked
from ftgate.dialects.fields import Fields, decode_object, refuse_disguised, there, typed, whole
from ftgate.dialects.openai_chat.prompt import measure
from ftgate.dialects.talk import Aim, Ask
from ftgate.errors import InvalidRequest

CAP_FIELDS = ("max_tokens",)
LEAST_BUDGET = 1024
"""Tokens of thinking that may be asked for at the least."""
_UNPRICED = frozenset(("service_tier", "speed", "fallbacks"))
"""Fields that change what an answer costs, not what it is: left out, so that it costs what the catalogue says."""
_ELSEWHERE = {
    "inference_geo": "asks for a place of computing that has a price of its own, which this gateway does not know",
    "mcp_servers": "lets the provider call other servers, which this gateway cannot see; declare their tools instead",
    "container": "names something kept at the provider, whose account is the gateway's and not yours",
}
_CALLER_RUNS = ("bash_", "text_editor_", "memory_", "computer_", "browser_")
"""Types of tools that the provider describes and the caller runs: they cost their tokens alone."""
_RUNS_AGAIN: Mapping[str, str] = {
    "web_fetch_": "reads pages of any length at the provider, which no balance can be held for; fetch them yourself",
    "tool_search_tool_": "runs the model again for each search, which no balance can be held for; search with a tool "
    "of your own, which answers with tool_reference blocks",
}
"""Types of tools without a price of their own, and why they are refused all the same."""
_CLEARS = "clear_"
"""How the type of an edit of the context begins that only leaves out what was said."""


def read_request(body: bytes) -> Ask:
    """Read and check what the gate needs to know; the rest passes. Raises InvalidRequest with the field's name."""
    fields = decode_object(body)
    ask = read_prompt(fields)
    cap = whole(typed(fields, "max_tokens", int, "a whole number"), "max_tokens", most=UNKNOWN_BOUND)
    if cap is None:
        raise InvalidRequest(
            "`max_tokens` is missing; say how long the answer may be, in tokens", code="missing_field",
            param="max_tokens",
        )  # fmt: skip
    return msgspec.structs.replace(ask, cap=cap)


def read_prompt(fields: Fields) -> Ask:
    """All but the cap: what counting tokens needs too."""
    names, strategy = models_asked(fields)
    stream = typed(fields, "stream", bool, "true or false") or False
    if "messages" not in fields:
        raise InvalidRequest("`messages` is missing", code="missing_field", param="messages")
    _refuse(fields)
    prompt, images, audios, files = measure(fields)
    return Ask(
        fields=fields, names=names, routing=strategy, stream=stream, wants_usage=True, cap=None, answers=1,
        prompt=prompt, images=images, audios=audios, files=files, has_tools="tools" in fields,
    )  # fmt: skip


def _refuse(fields: Fields) -> None:
    """Raises InvalidRequest for what no upstream is asked."""
    if there(fields.get("thread", msgspec.Raw())):
        unkept = InvalidRequest(
            "`thread` is not supported: this gateway keeps no conversations. Send the full conversation without it.",
            code="thread_unsupported_request", param="thread",
        )  # fmt: skip
        unkept.details = b'{"error_code":"thread_unsupported_request"}'
        raise unkept
    for name, why in _ELSEWHERE.items():
        if name in fields and bytes(fields[name]).strip() not in (b"null", b"[]", b"{}", b'""'):
            raise InvalidRequest(f"`{name}` {why}; leave it out", param=name)
    thinking = typed(fields, "thinking", Fields, "an object") or {}
    typed(thinking, "budget_tokens", int, "a whole number", path="thinking.budget_tokens")
    if "tools" in fields:
        _check_tools(fields)
    if "context_management" in fields:
        _check_edits(fields)


def _check_tools(fields: Fields) -> None:
    """Raises InvalidRequest for tools that cost more than their tokens. The others stand there once more as they were
    read: of a name that stands twice in one of them, what counts here is all that goes up."""
    tools = typed(fields, "tools", list[Fields], "a list of tools")
    for at, tool in enumerate(tools or ()):
        path = f"tools.{at}.type"
        kind = typed(tool, "type", str, "a tool's type", path=path) or "custom"
        refuse_disguised(tool, f"tools.{at}.")
        if kind == "custom" or kind.startswith(_CALLER_RUNS):
            continue
        words = "is run by the provider at a price of its own, which this gateway does not know; leave it out"
        why = next((why for name, why in _RUNS_AGAIN.items() if kind.startswith(name)), words)
        raise InvalidRequest(f"`{path}`: {kind[:80]} {why}", param=path)
    fields["tools"] = msgspec.Raw(msgspec.json.encode(tools))


def _check_edits(fields: Fields) -> None:
    """Raises InvalidRequest for an edit of the context that runs the model for it: a compaction reads all of the
    conversation once more. The others stand there as they were read (_check_tools)."""
    path = "context_management"
    managed = typed(fields, path, Fields, "an object") or {}
    edits = typed(managed, "edits", list[Fields], "a list of edits", path=f"{path}.edits")
    refuse_disguised(managed, f"{path}.")
    for at, edit in enumerate(edits or ()):
        where = f"{path}.edits.{at}.type"
        kind = typed(edit, "type", str, "an edit's type", path=where) or ""
        refuse_disguised(edit, f"{path}.edits.{at}.")
        if not kind.startswith(_CLEARS):
            words = "runs the model again, which no balance can be held for; ask for a summary in a call of its own"
            raise InvalidRequest(f"`{where}`: {kind[:80]} {words}", param=where)
    if edits is not None:
        fields[path] = msgspec.Raw(msgspec.json.encode({**managed, "edits": edits}))


def render(ask: Ask, aim: Aim) -> bytes:
    """The request for an upstream of this dialect: the model and the cap replaced, our own fields, those to drop and
    those that nobody can price left out, and thoughts that we have marked, which no upstream would know."""
    drop = {*OWN_FIELDS, *_UNPRICED, *aim.drop}
    fields: dict[str, object] = {name: raw for name, raw in ask.fields.items() if name not in drop}
    fields["model"] = aim.model
    if aim.thinking and ask.talk is not None:
        as_taken(fields, aim.thinking)
    cap = aim.cap or ask.cap or aim.most
    if cap is not None:
        fields["max_tokens"] = cap
        _shrink_thinking(fields, ask.fields, cap)
    if "messages" in fields:
        fields["messages"], unthought = without_ours(ask.fields["messages"])
        if unthought:
            fields.pop("thinking", None)
            _keep_thoughts(fields, ask.fields)
    if aim.habits is not None:
        follow(fields, aim.habits)
    return msgspec.json.encode(fields)


def _keep_thoughts(fields: dict[str, object], asked: Mapping[str, msgspec.Raw]) -> None:
    """Leave out the wish that old thoughts be cleared, which only a model that is to think may be told."""
    managed = typed(asked, "context_management", Fields, "an object")
    edits = typed(managed or {}, "edits", list[Fields], "a list", path="context_management.edits")
    if managed is None or edits is None:
        return
    kept = [edit for edit in edits if not bytes(edit.get("type", b"")).startswith(b'"clear_thinking')]
    if kept:
        fields["context_management"] = {**managed, "edits": kept}
    else:
        del fields["context_management"]


def _shrink_thinking(fields: dict[str, object], asked: Mapping[str, msgspec.Raw], cap: int) -> None:
    """A budget of thinking must be less than the cap. Where that is not the caller's own, what is left of it goes up,
    or none where that is too little."""
    raw = fields.get("thinking")
    if not isinstance(raw, (bytes, msgspec.Raw)) or b"budget_tokens" not in bytes(raw):
        return
    if raw is asked.get("thinking") and bytes(asked.get("max_tokens", b"")) == b"%d" % cap:
        return
    said = typed({"thinking": msgspec.Raw(raw)}, "thinking", Fields, "an object") or {}
    budget = typed(said, "budget_tokens", int, "a whole number", path="thinking.budget_tokens") or 0
    most = cap - max(cap // 4, 1)
    if budget <= most:
        return
    if most < LEAST_BUDGET:
        del fields["thinking"]
    else:
        fields["thinking"] = {**said, "budget_tokens": most}
