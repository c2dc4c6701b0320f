"""The OpenAI chat dialect: POST /v1/chat/completions, plain and streamed.

Source: the public API reference of OpenAI (chat object, chat chunk object, errors), and what compatible providers do to
it (PROVIDERS.md: where usage stands, which names carry cached tokens, reasoning_content).

A request's fields that we do not know pass as the raw bytes they came in. A stream's events pass as raw bytes, but for
these: usage (taken out wherever it stands, shown once at the end if the client asked), `[DONE]` (sent by us, after the
money is settled), several chunks in one block (parted), blocks without data, and what is no JSON.

    request.py  what is asked, and how an upstream is asked      errors.py  ours, as OpenAI words them
    prompt.py   how long a prompt is                             answer.py  whole answers
    usage.py    usage objects, read and written                  stream.py  streams
    said.py     a conversation of any dialect as a request       assembled.py  streams as whole answers
    heard.py    answers in neutral words                          asked.py   a request in neutral words
    written.py  answers of any dialect as chat has them           turns.py   its messages
    seals.py    what an upstream has sealed, over the turns of another dialect's caller
    mixed.py    a Responses body at the chat route                blocks.py  Anthropic's blocks and tools in a chat
"""

from functools import partial

from ftgate.dialects.complaints import read_error
from ftgate.dialects.openai_chat.answer import DONE, read_answer, stream_of
from ftgate.dialects.openai_chat.asked import talk_of
from ftgate.dialects.openai_chat.assembled import assembled
from ftgate.dialects.openai_chat.errors import error, error_event, status_of
from ftgate.dialects.openai_chat.heard import Events, events_of
from ftgate.dialects.openai_chat.request import CAP_FIELDS, read_request, render
from ftgate.dialects.openai_chat.said import render_talk
from ftgate.dialects.openai_chat.stream import KEEPALIVE, StreamReader
from ftgate.dialects.openai_chat.usage import read_usage, usage_object
from ftgate.dialects.openai_chat.written import Writer
from ftgate.dialects.talk import Headers

NAME = "openai_chat"
KIND = "chat"
ROUTES = ("/v1/chat/completions",)
ADDRESS = "/chat/completions"
HEADERS: Headers = []
FORWARDED: frozenset[bytes] = frozenset()
ID_HEADERS = (b"x-request-id",)

__all__ = [
    "ADDRESS",
    "CAP_FIELDS",
    "DONE",
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
    "read_usage",
    "render",
    "render_talk",
    "status_of",
    "stream_of",
    "talk_of",
    "usage_object",
    "whole_of",
]

whole_of = partial(assembled, kind="chat.completion")
