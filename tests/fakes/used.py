"""What a call has used, where no whole row is wanted."""

from typing import NamedTuple


class Used(NamedTuple):
    """core.tally.Used."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    latency_ms: int = 200
    first_token_ms: int | None = None
