"""The OpenAI Responses dialect: POST /v1/responses, plain and streamed, stateless.

Source: the models of OpenAI's SDKs, the Open Responses specification, and what clients were seen to send. At an
upstream of this dialect a request's fields and a stream's events pass as the raw bytes they came in, but for what is
said in request.py and stream.py; over every other channel of the kind the request is translated.

    request.py  what is asked, and how an upstream is asked      hosted.py    tools that providers run
    prompt.py   how long a prompt is                             envelope.py  thinking that the caller keeps for us
    asked.py    a request in neutral words: items.py turns, parts.py content, tools.py names of tools
    written.py  an answer of any dialect: output.py its items, response.py the object around them, frames.py the events
    answer.py   whole answers of upstreams                       stream.py    their streams
    heard.py    these in neutral words                           said.py      a conversation of any dialect as a request
    errors.py   ours, as clients know them                       usage.py     usage objects
"""

from ftgate.dialects.complaints import read_error
from ftgate.dialects.openai_chat.errors import status_of
from ftgate.dialects.openai_responses.answer import read_answer, stream_of
from ftgate.dialects.openai_responses.asked import talk_of
from ftgate.dialects.openai_responses.errors import error, error_event
from ftgate.dialects.openai_responses.heard import Events, events_of
from ftgate.dialects.openai_responses.request import CAP_FIELDS, read_request, render
from ftgate.dialects.openai_responses.said import render_talk
from ftgate.dialects.openai_responses.stream import KEEPALIVE, StreamReader, whole_of
from ftgate.dialects.openai_responses.written import Writer
from ftgate.dialects.talk import Headers

NAME = "openai_responses"
KIND = "chat"
ROUTES = ("/v1/responses",)
ADDRESS = "/responses"
HEADERS: Headers = []
FORWARDED: frozenset[bytes] = frozenset()
ID_HEADERS = (b"x-request-id",)

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
