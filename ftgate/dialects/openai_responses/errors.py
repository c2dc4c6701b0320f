"""Errors as Responses words them: a plain one as every route of OpenAI's does; in a stream, a response that has
failed. Clients do not heed an `error` event, and need the order of a stream's beginning even then."""

from ftgate.dialects import sse
from ftgate.dialects.openai_chat import errors
from ftgate.dialects.openai_responses.frames import Frames
from ftgate.dialects.openai_responses.response import OVERLOADED, Response
from ftgate.dialects.talk import NOTHING, Ask, Headers
from ftgate.errors import GateError, ProvidersOverloaded


def error(error: GateError, request_id: str) -> tuple[int, Headers, bytes]:
    """As every route of OpenAI's, with a code of its own for providers that are all overloaded."""
    return errors.error(error, request_id, code=OVERLOADED if isinstance(error, ProvidersOverloaded) else None)


def error_event(error: GateError, request_id: str, note: str = "", ask: Ask = NOTHING) -> bytes:
    """A stream that fails before an upstream has said anything."""
    mark = request_id.removeprefix("req_")
    response = Response(ask.fields, mark, _second(mark), ask.names[0] if ask.names else "")
    frames = Frames()
    started = b'"response":' + response.written("in_progress", [])
    frames.say(b"response.created", started)
    frames.say(b"response.in_progress", started)
    before = frames.take()
    frames.say(b"response.failed", b'"response":' + response.failed([], error))
    return before + (sse.comment(note) if note else b"") + frames.take()


def _second(mark: str) -> int:
    """When a call began, in Unix seconds: our ids begin with its milliseconds. 0 for an id that does not."""
    try:
        return int(mark[:12], 16) // 1000
    except ValueError:
        return 0
