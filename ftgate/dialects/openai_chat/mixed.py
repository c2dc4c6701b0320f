"""A Responses body at the chat route: Cursor posts `input` in place of `messages` there, and wants a chat's answer.

What it says is put into a chat's fields by way of the neutral words, and from there on it is a chat call. The two
dialects of one house know each other here alone.
"""

import msgspec

from ftgate.dialects.asked import OWN_FIELDS, SELDOM_TAKEN
from ftgate.dialects.fields import Fields
from ftgate.dialects.openai_chat.said import render_talk
from ftgate.dialects.openai_responses.asked import talk_of
from ftgate.dialects.openai_responses.request import read_request

_KEPT = ("model", "stream", "stream_options", "max_tokens", "max_completion_tokens", *OWN_FIELDS)
"""Fields that mean the same in both, or that callers write in a chat's way."""


def is_mixed(fields: Fields) -> bool:
    return "input" in fields and "messages" not in fields


def as_chat(body: bytes) -> bytes:
    """The same request in a chat's fields. Raises InvalidRequest, with the caller's own path."""
    ask = read_request(body)
    fields: dict[str, object] = {name: raw for name, raw in ask.fields.items() if name in _KEPT}
    if ask.cap is not None:
        fields.setdefault("max_completion_tokens", ask.cap)
    said = render_talk(talk_of(ask))
    return msgspec.json.encode(fields | {name: said[name] for name in said if name not in SELDOM_TAKEN})
