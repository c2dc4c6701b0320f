"""The OpenAI embeddings dialect: POST /v1/embeddings.

Source: the public API reference of OpenAI (embeddings object). The input is a text, a list of texts, a list of tokens
or a list of such lists; the answer's vectors are numbers or base64, and pass as they came. There is no output to pay
and no stream.
"""

import msgspec

from ftgate.core.habits import follow
from ftgate.core.usage import Usage, count
from ftgate.dialects import inputs
from ftgate.dialects.asked import OWN_FIELDS, models_asked
from ftgate.dialects.complaints import is_error, read_error
from ftgate.dialects.fields import ABSENT, Fields, anything, decode_object, fields_of, loads, there, typed
from ftgate.dialects.openai_chat.errors import error, error_event, status_of
from ftgate.dialects.talk import Aim, Ask, Complaint, Headers, Meter, NotAnAnswer, Reader
from ftgate.dialects.untranslated import Events, Writer, events_of, render_talk, talk_of
from ftgate.errors import InvalidRequest

NAME = "openai_embeddings"
KIND = "embeddings"
ROUTES = ("/v1/embeddings",)
ADDRESS = "/embeddings"
HEADERS: Headers = []
FORWARDED: frozenset[bytes] = frozenset()
ID_HEADERS = (b"x-request-id",)
CAP_FIELDS: tuple[str, ...] = ()
KEEPALIVE = b""

__all__ = [
    "ADDRESS", "CAP_FIELDS", "FORWARDED", "HEADERS", "KEEPALIVE", "KIND", "NAME", "ROUTES", "Events", "StreamReader",
    "Writer", "error", "error_event", "events_of", "read_answer", "read_error", "read_request", "render", "render_talk",
    "status_of", "stream_of", "talk_of", "whole_of",
]  # fmt: skip


def read_request(body: bytes) -> Ask:
    """Read and check what the gate needs to know; the rest passes. Raises InvalidRequest with the field's name."""
    fields = decode_object(body)
    names, strategy = models_asked(fields)
    if "input" not in fields:
        raise InvalidRequest("`input` is missing", code="missing_field", param="input")
    if typed(fields, "stream", bool, "true or false"):
        raise InvalidRequest("embeddings are not streamed; leave `stream` out", param="stream")
    given = inputs.measure(fields["input"], "input")
    return Ask(
        fields=fields, names=names, routing=strategy, stream=False, wants_usage=False, cap=None, answers=0,
        prompt=given.tokens, prompts=given.number, longest=given.longest, prompt_field="input",
    )  # fmt: skip


def render(ask: Ask, aim: Aim) -> bytes:
    """The request for an upstream of this dialect: the model replaced, our own fields and those to drop left out."""
    fields: dict[str, object] = {
        name: raw for name, raw in ask.fields.items() if name not in OWN_FIELDS and name not in aim.drop
    }
    fields["model"] = aim.model
    if aim.habits is not None:
        follow(fields, aim.habits)
    return msgspec.json.encode(fields)


class _Body(msgspec.Struct, gc=False):
    data: msgspec.Raw = ABSENT
    usage: msgspec.Raw = ABSENT
    error: msgspec.Raw = ABSENT


_body = msgspec.json.Decoder(_Body)


def read_answer(body: bytes, meter: Meter) -> None:
    """Look through a whole answer for its usage. Raises NotAnAnswer where it holds no vector."""
    try:
        answer = _body.decode(body)
    except msgspec.ValidationError:
        raise NotAnAnswer(Complaint("the body is not a JSON object")) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise NotAnAnswer(Complaint("the body is not JSON")) from None
    vectors = bytes(answer.data).strip()
    if (
        is_error(loads(answer.error or b"null"))
        or not vectors.startswith(b"[")
        or not vectors[1:].lstrip().startswith(b"{")
    ):
        raise NotAnAnswer(read_error(body))
    if there(answer.usage):
        meter.reported, meter.malformed = _usage(answer.usage)


def _usage(raw: msgspec.Raw) -> tuple[Usage | None, bool]:
    """A usage object, which has no output; and whether it was there but malformed. `total_tokens` alone is believed."""
    try:
        said: Fields = fields_of.decode(raw)
        prompt, total = (count(anything.decode(said.get(name, b"null"))) for name in ("prompt_tokens", "total_tokens"))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None, True
    tokens = prompt or total
    return (Usage(input=tokens), False) if tokens else (None, tokens is None and bool(said))


def stream_of(body: bytes) -> bytes:
    """Raises NotAnAnswer always."""
    raise NotAnAnswer(Complaint("embeddings are not streamed"))


whole_of = stream_of


def StreamReader(meter: Meter, *, show_usage: bool) -> Reader:
    """Never asked for."""
    raise AssertionError("embeddings are not streamed: read_request refuses it")
