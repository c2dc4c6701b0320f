"""What became of each attempt of a call, as its row holds it. A call that was answered, or cut while it was, in
its only attempt says nothing of it: the row itself tells all, and nearly every call pays nothing.
"""

from collections.abc import Sequence

import msgspec


class Try(msgspec.Struct, frozen=True, array_like=True):
    """One attempt. `outcome` is ok, why it failed (core.verdicts), or how the call ended while it went on; `status` the
    upstream's, None where it gave none; `ms` how long it took; `error` what the upstream or we said, redacted;
    `upstream_id` the upstream's own id of it, where it told one."""

    channel: str
    model: str
    outcome: str
    status: int | None
    ms: int
    error: str = ""
    upstream_id: str = ""

    def shown(self) -> dict[str, object]:
        return {
            "channel": self.channel, "model": self.model, "outcome": self.outcome, "status": self.status, "ms": self.ms,
            "error": self.error or None, "upstream_id": self.upstream_id or None,
        }  # fmt: skip


def tries_text(tries: Sequence[Try]) -> str:
    """Attempts as a row holds them."""
    return msgspec.json.encode(tries).decode()


def tries_of(text: str) -> list[Try]:
    """Attempts from a row's text; none where it says nothing, or nothing that can be read."""
    try:
        return msgspec.json.decode(text, type=list[Try]) if text else []
    except (msgspec.DecodeError, UnicodeError):
        return []
