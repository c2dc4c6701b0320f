"""The OpenAI completions dialect: POST /v1/completions, plain and streamed; older than chat, and still what servers of
one's own models and some libraries speak.

Source: the public API reference of OpenAI (completion object). It is chat with `prompt` in place of messages and `text`
in place of a message, so that answers and streams are read by the same code. Where a channel has no completions, its
chat model answers (over_chat).
"""

from functools import partial

from ftgate.core.estimate import ZERO, Count
from ftgate.core.usage import UNKNOWN_BOUND
from ftgate.dialects import inputs
from ftgate.dialects.asked import models_asked
from ftgate.dialects.complaints import read_error
from ftgate.dialects.fields import Fields, decode_object, typed, whole
from ftgate.dialects.openai_chat import stream
from ftgate.dialects.openai_chat.answer import read_answer, streamed
from ftgate.dialects.openai_chat.assembled import assembled
from ftgate.dialects.openai_chat.errors import error, error_event, status_of
from ftgate.dialects.openai_chat.request import MAX_ANSWERS, render
from ftgate.dialects.openai_completions.over_chat import OBJECT, Writer, talk_of
from ftgate.dialects.talk import Ask, Headers
from ftgate.dialects.untranslated import Events, events_of, render_talk
from ftgate.errors import InvalidRequest

NAME = "openai_completions"
KIND = "chat"
ROUTES = ("/v1/completions",)
ADDRESS = "/completions"
HEADERS: Headers = []
FORWARDED: frozenset[bytes] = frozenset()
ID_HEADERS = (b"x-request-id",)
CAP_FIELDS = ("max_tokens",)
KEEPALIVE = stream.KEEPALIVE

__all__ = [
    "ADDRESS",
    "CAP_FIELDS",
    "FORWARDED",
    "HEADERS",
    "ID_HEADERS",
    "KEEPALIVE",
    "KIND",
    "NAME",
    "ROUTES",
    "Events",
    "StreamReader",
    "Writer",
    "error",
    "error_event",
    "events_of",
    "read_answer",
    "read_error",
    "read_request",
    "render",
    "render_talk",
    "status_of",
    "stream_of",
    "talk_of",
    "whole_of",
]


def read_request(body: bytes) -> Ask:
    """Read and check what the gate needs to know; the rest passes. Every prompt is answered, `n` times each. Raises
    InvalidRequest with the field's name."""
    fields = decode_object(body)
    names, strategy = models_asked(fields)
    if "prompt" not in fields:
        raise InvalidRequest("`prompt` is missing", code="missing_field", param="prompt")
    given = inputs.measure(fields["prompt"], "prompt")
    suffix = inputs.measure(fields["suffix"], "suffix").tokens if _given(fields, "suffix") else ZERO
    suffixes = Count(suffix.likely_milli * given.number, suffix.bound_milli * given.number)  # one behind each prompt
    number = "a whole number from 1 to {}".format
    n, best_of = (
        whole(typed(fields, name, int, number(MAX_ANSWERS)), name, most=MAX_ANSWERS) or 1 for name in ("n", "best_of")
    )
    options = typed(fields, "stream_options", Fields, "an object") or {}
    wants_usage = typed(options, "include_usage", bool, "true or false", path="stream_options.include_usage")
    cap = typed(fields, "max_tokens", int, number(UNKNOWN_BOUND))
    return Ask(
        fields=fields,
        names=names,
        routing=strategy,
        stream=typed(fields, "stream", bool, "true or false") or False,
        wants_usage=wants_usage or False,
        cap=whole(cap, "max_tokens", most=UNKNOWN_BOUND),
        answers=max(n, best_of) * given.number,
        prompt=given.tokens + suffixes,
        prompts=given.number,
        longest=given.longest + suffix if given.longest is not None else None,
        prompt_field="prompt",
    )


def _given(fields: Fields, name: str) -> bool:
    return name in fields and bytes(fields[name]) != b"null"


class StreamReader(stream.StreamReader):
    """Watches a stream as it passes (talk.Reader)."""

    OBJECT = OBJECT


stream_of = partial(streamed, kind=OBJECT)
whole_of = partial(assembled, kind=OBJECT)
