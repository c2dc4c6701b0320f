"""The response object: what stands in a plain answer, and in a stream's first and last events.

All of its fields are always there. What the caller asked is said again; that part, with the tools and instructions of
an agent, is tens of kilobytes in three events, so it is written once.
"""

from collections.abc import Mapping

import msgspec

from ftgate.dialects.fields import ABSENT, Fields, fields_of, there
from ftgate.dialects.openai_responses.frames import inner
from ftgate.errors import GateError, ProvidersOverloaded

_ECHOED: Mapping[str, object] = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "temperature": 1.0,
    "top_p": 1.0,
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "user": None,
    "safety_identifier": None,
    "prompt_cache_key": None,
}
"""Fields that are said again as they were asked, and what is said where they were not."""
_FIXED: Mapping[str, object] = {
    "previous_response_id": None,
    "background": False,
    "store": False,
    "service_tier": "default",
    "truncation": "disabled",
    "presence_penalty": 0,
    "frequency_penalty": 0,
}
_TOLD_IN_BAND = ("rate_limit_exceeded", "context_length_exceeded")
"""Codes of an upstream's own that clients know here; every other failure is a server's."""


OVERLOADED = "server_is_overloaded"
"""The code by which clients (Codex) know that a provider has too much to do."""


class Response:
    """One response object in its states. `created` in Unix seconds."""

    def __init__(self, fields: Mapping[str, msgspec.Raw], mark: str, created: int, model: str) -> None:
        self.id = f"resp_{mark}"
        self.created = created
        self.model = model
        self._echo = _echo(fields)

    def written(
        self,
        status: str,
        output: list[bytes],
        *,
        usage: dict[str, object] | None = None,
        reason: str | None = None,
        error: Mapping[str, object] | None = None,
        completed: int | None = None,
    ) -> bytes:
        """The object as JSON. `output` are its items, `reason` says why it is incomplete, `completed` when it was whole
        (Unix seconds)."""
        head = inner({"id": self.id, "object": "response", "created_at": self.created})
        more = inner(
            {
                "completed_at": completed,
                "status": status,
                "error": error,
                "incomplete_details": {"reason": reason} if reason is not None else None,
                "model": self.model,
                "usage": usage,
            }
        )
        return b'{%b,%b,"output":[%b],%b}' % (head, more, b",".join(output), self._echo)

    def failed(self, output: list[bytes], error: GateError) -> bytes:
        return self.written("failed", output, error=error_object(error))


def error_object(error: GateError) -> dict[str, object]:
    """What a failed response says of its failure. Its code is one of the few that clients know, its type ours."""
    told = (code for code in _TOLD_IN_BAND if code == error.code or code in error.message)
    code = OVERLOADED if isinstance(error, ProvidersOverloaded) else next(told, "server_error")
    return {"code": code, "message": error.message, "type": error.code, "param": error.param}


def _echo(fields: Mapping[str, msgspec.Raw]) -> bytes:
    said: dict[str, object] = {name: _asked(fields, name, default) for name, default in _ECHOED.items()}
    reasoning = _object(fields, "reasoning")
    said["reasoning"] = {name: _asked(reasoning, name, None) for name in ("effort", "summary")}
    said["text"] = {"format": {"type": "text"}, **{n: raw for n, raw in _object(fields, "text").items() if there(raw)}}
    said |= _FIXED
    return inner(said).translate(None, b"\r\n")


def _asked(fields: Mapping[str, msgspec.Raw], name: str, default: object) -> object:
    raw = fields.get(name, ABSENT)
    return raw if there(raw) else default


def _object(fields: Mapping[str, msgspec.Raw], name: str) -> Fields:
    raw = bytes(fields.get(name, b"")).lstrip()
    return fields_of.decode(raw) if raw.startswith(b"{") else {}
