"""The Anthropic Messages dialect: POST /v1/messages, plain and streamed.

Source: Anthropic's public API reference (Messages, Streaming, Errors, Extended thinking), and what its SDKs and Claude
Code were seen to need.

    request.py  what is asked, and how an upstream is asked      errors.py   ours, as Anthropic words them
    usage.py    usage objects, read and written                  answer.py   whole answers
    stream.py   streams                                          marks.py    thoughts that no upstream here sealed
    asked.py    a request in neutral words                       said.py     a conversation of any dialect as a request
    heard.py    an answer in neutral words                       written.py  an answer of any dialect as messages
"""

from ftgate.dialects.anthropic_messages.answer import read_answer, stream_of
from ftgate.dialects.anthropic_messages.asked import talk_of
from ftgate.dialects.anthropic_messages.errors import error, error_event, status_of
from ftgate.dialects.anthropic_messages.heard import Events, events_of
from ftgate.dialects.anthropic_messages.request import CAP_FIELDS, read_prompt, read_request, render
from ftgate.dialects.anthropic_messages.said import render_talk
from ftgate.dialects.anthropic_messages.stream import KEEPALIVE, StreamReader, whole_of
from ftgate.dialects.anthropic_messages.written import Writer
from ftgate.dialects.complaints import read_error
from ftgate.dialects.talk import Headers

NAME = "anthropic_messages"
KIND = "chat"
ROUTES = ("/v1/messages", "/anthropic/v1/messages")
ADDRESS = "/messages"
HEADERS: Headers = [(b"anthropic-version", b"2023-06-01")]
FORWARDED = frozenset((b"anthropic-version", b"anthropic-beta"))
ID_HEADERS = (b"x-request-id", b"request-id")

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
    "read_prompt",
    "read_request",
    "render",
    "render_talk",
    "status_of",
    "stream_of",
    "talk_of",
    "whole_of",
]
