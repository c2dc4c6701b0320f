"""A call that has ended as it is shown to whoever may see it: the fields of the request log, and its lines of CSV."""

from collections.abc import Sequence

import msgspec

from ftgate.core.moments import iso
from ftgate.core.money import format_usd

ROW = (
    "request_id", "created_at", "model", "served_model", "provider", "status", "http_status", "error_code", "mode",
    "prompt_tokens", "cached_tokens", "completion_tokens", "cost", "estimated", "latency_ms", "first_token_ms",
    "attempts", "stream", "key", "key_name",
)  # fmt: skip
"""The fields that an account sees, in their order."""
OPERATOR = (*ROW, "user", "channel", "lost")
"""Those that the operator sees."""
_FORMULA = frozenset("=+-@\t\r")


class Logged(msgspec.Struct, frozen=True, gc=False):
    """One ended call, as it was remembered (ports.Row says what each field is)."""

    request_id: str
    created_at_us: int
    model: str
    served_model: str
    provider: str
    status: str
    http_status: int
    error_code: str
    mode: str
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    cost: int
    estimated: int
    latency_ms: int
    first_token_ms: int | None
    attempts: int
    stream: int
    key: int
    key_name: str
    account: int
    channel: str
    lost: int


def shown(row: Logged, names: Sequence[str] = ROW) -> dict[str, object]:
    """The fields of these names (ROW, OPERATOR)."""
    return dict(zip(names, _values(row), strict=False))


def _values(row: Logged) -> tuple[object, ...]:
    return (
        row.request_id, iso(row.created_at_us), row.model, row.served_model, row.provider, row.status, row.http_status,
        row.error_code, row.mode, row.prompt_tokens, row.cached_tokens, row.completion_tokens, format_usd(row.cost),
        bool(row.estimated), row.latency_ms, row.first_token_ms, row.attempts, bool(row.stream), str(row.key),
        row.key_name, str(row.account), row.channel, format_usd(row.lost),
    )  # fmt: skip


def csv_head(names: Sequence[str] = ROW) -> str:
    """The first line of a CSV: the fields' names."""
    return ",".join(names) + "\r\n"


def csv_line(row: Logged, names: Sequence[str] = ROW) -> str:
    """One call as a line of CSV (RFC 4180). A text that a spreadsheet would take for a formula gets an apostrophe
    before it."""
    return ",".join([_cell(value) for value in _values(row)[: len(names)]]) + "\r\n"


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return "" if value is None else str(value)
    if value[:1] in _FORMULA:
        value = "'" + value
    if '"' in value or "," in value or "\n" in value or "\r" in value:
        return '"' + value.replace('"', '""') + '"'
    return value
