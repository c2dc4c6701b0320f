"""What a call looks like from outside: what its client saw, and what each upstream was told to say to it."""

import re
from dataclasses import dataclass, field
from typing import Any

from ftgate.core.pricing import Multiplier
from ftgate.core.routing import Candidate, Channel, Model
from ftgate.exchange import Call

LIES: dict[str, Any] = {"negative": -3, "text": "12", "float": 1.5, "huge": 10**18}
FALLBACK = {"small": ("large",)}


@dataclass
class Told:
    """One attempt as the upstream was told to play it."""

    candidate: Candidate
    at: float
    head_sent_before: bool
    tokens: int = 0  # what the call takes of its model's token limit here
    asked: dict[str, Any] = field(default_factory=dict)
    sent: bool = False
    hollow: bool = False
    content: int = 0
    bytes_read: int = 0
    usage: tuple[int, int, int] | None = None  # prompt, cached, output; None when a lie or nothing is said
    said: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        return self.candidate.model.name

    def truth(self, *, prompt: int, cached: int, output: int, most: int, content: bool, liar: str | None) -> None:
        output = 0 if liar == "zero" else min(output, most)
        self.said = {"prompt_tokens": prompt, "completion_tokens": output, "prompt_tokens_details": {"cached_tokens": cached}}
        if liar == "missing":
            self.said = None
        elif liar in LIES:
            self.said["completion_tokens"] = LIES[liar]
        # Not to be believed either: more cached than there was, more than fits, content for nothing.
        absurd = cached > prompt or prompt > (self.candidate.model.context or 10**7) or (content and output == 0)
        if liar in {None, "zero"} and not absurd:
            self.usage = (prompt, cached, output)


@dataclass
class Seen:
    """One call as its client saw it, and what the auditor thinks of it. Times are seconds of the mock clock."""

    call: Call
    account: int
    key: int
    plan: str
    metered: bool
    multiplier: Multiplier
    body: dict[str, Any]
    channels: tuple[Channel, ...] = ()
    told: list[Told] = field(default_factory=list)
    status: int | None = None
    headers: dict[bytes, bytes] = field(default_factory=dict)
    answer: bytes = b""
    ended: bool = False
    returned: bool = False
    # By the auditor's own count
    at: float = 0.0
    counted: bool = False  # there was room for it at its key and its account
    poor: bool = False  # refused for money
    cap: int | None = None  # what its hold is made for
    borrowed: tuple[int, int] = (0, 0)  # fewest and most tokens that it takes of its key's and account's token limits while it runs
    used_tokens: int = 0
    released: float | None = None

    @property
    def client_head(self) -> bool:
        return self.status == 200

    @property
    def complete(self) -> bool:
        """The client has a whole answer in its hands."""
        return self.status == 200 and self.ended and (not self.body["stream"] or b"data: [DONE]" in self.answer)

    @property
    def names(self) -> tuple[str, ...]:
        """The served models it may go to, in order."""
        asked: str = self.body["model"]
        return tuple(name for name in (asked, *FALLBACK.get(asked, ())) if any(name in channel.models for channel in self.channels))

    def models(self, *names: str) -> list[Model]:
        return [channel.models[name] for name in names for channel in self.channels if name in channel.models]

    def shown(self) -> tuple[str | None, str | None]:
        """(cost, balance) as the client was shown them."""
        found = re.search(rb": x-findtoken-cost=(\S+)(?: balance=(\S+))?\n", self.answer)
        cost, balance = (found[1], found[2]) if found else (self.headers.get(b"x-findtoken-cost"), self.headers.get(b"x-findtoken-balance"))
        return cost.decode() if cost else None, balance.decode() if balance else None
