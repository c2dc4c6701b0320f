"""What a call looks like from outside: what its client saw, and what each upstream was told to say to it."""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import trio

from ftgate.core.pricing import Multiplier
from ftgate.core.routing import Candidate, Channel, Model
from ftgate.line.call import Call
from tests.days.callers import CHAT, Caller
from tests.days.people import may

LIES: dict[str, Any] = {"negative": -3, "text": "12", "float": 1.5, "huge": 10**18}
FALLBACK = {"small": ("large",)}
Tokens = tuple[int, int, int, int]
"""Prompt, what of it was read from a cache, what was written to one, output."""
CACHED: list[Callable[[int], dict[str, Any]]] = [
    *[lambda number: {"prompt_tokens_details": {"cached_tokens": number}}] * 3,
    lambda number: {"cached_tokens": number},
    lambda number: {"prompt_tokens_details": {"cached_tokens": 0}, "prompt_cache_hit_tokens": number},
    lambda number: {"prompt_tokens_details": {"cached_tokens": number // 2}, "cache_read_input_tokens": number},
]
"""The names for it; where there are several, the largest tells."""


@dataclass
class Told:
    """One attempt as the upstream was told to play it, and how far that came."""

    candidate: Candidate
    at: float
    head_sent_before: bool
    tokens: int = 0  # what the call takes of its model's token limit here
    asked: dict[str, Any] = field(default_factory=dict)
    sent: bool = False
    status: int | None = None
    marks: list[tuple[int, str, Tokens | None]] = field(default_factory=list)  # after how many bytes what has been said
    bytes_read: int = 0
    read_at: float = 0.0  # when the last of them came
    over: str = ""  # clean, failed or cancelled: how reading it, or waiting for its head, has ended
    closed: bool = False
    usage: Tokens | None = None  # None when a lie or nothing is said
    usage_if_cut: Tokens | None = None  # what of it counts when the answer is cut
    said: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        return self.candidate.model.name

    @property
    def stream(self) -> bool:
        return bool(self.asked.get("stream"))

    @property
    def shows(self) -> bool:
        """It says its usage where it is whole."""
        return not self.stream or bool(self.asked.get("stream_options"))

    def truth(
        self, rng: random.Random, *, prompt: int, cached: int, written: int, output: int, most: int, content: bool
    ) -> None:
        """Choose what is said to have been used, in one of the ways of saying it, or a lie; and what is to be believed
        of it."""
        liar = rng.choice([None] * 12 + ["missing", "negative", "text", "float", "huge", "zero"])
        output = 0 if liar == "zero" else min(output, most)
        said: dict[str, Any] = {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}
        said.update(rng.choice(CACHED)(cached))
        if written:
            if rng.random() < 0.5:
                said.setdefault("prompt_tokens_details", {})["cache_write_tokens"] = written
            else:
                said["cache_creation_input_tokens"] = written
        if output and rng.random() < 0.2:
            thinking = rng.randint(1, output)
            said["completion_tokens_details"] = {"reasoning_tokens": thinking}
            # Beside the answer's tokens, as the sum of all shows; unless the sum could as well mean cached ones.
            if rng.random() < 0.5 and thinking not in {cached, written, cached + written}:
                said["completion_tokens"] -= thinking
        elif rng.random() < 0.3:
            del said["total_tokens"]
        if liar in LIES:
            said["completion_tokens"] = LIES[liar]
        self.said = None if liar == "missing" else said
        # Not to be believed either: more cached than there was, more than fits, content for nothing.
        # (Under Anthropic's name, and where no sum says otherwise, cached tokens stand beside the prompt.)
        beside = cached > prompt and "cache_read_input_tokens" in said and "total_tokens" not in said
        prompt += (cached + written) * beside
        absurd = cached > prompt or prompt > (self.candidate.model.context or 10**7)
        if liar in {None, "zero"} and not absurd:
            self.usage_if_cut = (
                prompt,
                cached,
                written if beside else min(written, prompt - cached),
                output,
            )  # that nothing was said of the output proves nothing
            self.usage = self.usage_if_cut if output or not content else None

    def broken(self, by: BaseException) -> None:
        """Waiting for it has ended: by its own failure, or because the gate waits no longer."""
        self.over = "cancelled" if isinstance(by, trio.Cancelled) else "failed"

    # What the gate has read of it

    def _read(self, kind: str) -> list[Tokens | None]:
        return [value for end, what, value in self.marks if what == kind and end <= self.bytes_read]

    @property
    def pieces_read(self) -> int:
        """Words of the answer that the gate has seen: a whole answer is looked into when it has come."""
        return len(self._read("piece")) if self.stream or self.closed else 0

    @property
    def usage_read(self) -> Tokens | None:
        """The last usage to be believed."""
        found = self._read("usage")
        return found[-1] if found else None

    @property
    def whole(self) -> bool:
        """All of an answer has been read."""
        ended = self.over == "clean" or bool(self._read("done"))
        return self.status == 200 and ended and bool(self._read("finish")) and not self._read("complaint")

    @property
    def failed(self) -> bool:
        """It has failed by itself: an attempt of no answer, unless the client has had content."""
        silent = (self.over == "clean" or bool(self._read("done"))) and not self._read("finish")
        return self.status not in {None, 200} or self.over == "failed" or silent or bool(self._read("complaint"))

    @property
    def running(self) -> bool:
        """The attempt may still bring an answer."""
        waits = self.closed and not self.stream and self.whole  # for its hold to be remembered
        return not self.failed and self.over != "cancelled" and (waits or not self.closed)


@dataclass
class Seen:
    """One call as its client saw it, and what the auditor thinks of it. Times are seconds of the mock clock."""

    call: Call
    account: int
    key: int
    plan: str
    metered: bool
    multiplier: Multiplier
    body: dict[str, Any]  # in chat's words
    caller: Caller = CHAT
    lists: tuple[tuple[str, ...], ...] = ()  # of the models that its key is held to
    byok: bool = False  # it brings a provider key of its own
    channels: tuple[Channel, ...] = ()
    told: list[Told] = field(default_factory=list)
    status: int | None = None
    headers: dict[bytes, bytes] = field(default_factory=dict)
    answer: bytes = b""
    ended: bool = False
    returned: bool = False
    # By the auditor's own count
    at: float = 0.0
    barred: str = ""  # why its key may not call at all
    counted: bool = False  # there was room for it at its key and its account
    poor: bool = False  # refused for money
    exhausted: bool = False  # refused for what it used with keys of its own
    refusal: tuple[int, list[int]] = (0, [])  # then: what was there, and what each way it could go needs
    held: int | None = None  # units that were set aside for it; None where nothing bounds it
    bounds: dict[str, int] = field(default_factory=dict)  # the same, at most
    first: Model | None = None  # the one that it was planned for first, where that is known
    unaffordable: set[str] = field(default_factory=set)  # models that it could not pay for
    borrowed: tuple[int, int] = (
        0,
        0,
    )  # fewest and most tokens that it takes of its key's and account's token limits while it runs
    likely: dict[str, int] = field(
        default_factory=dict
    )  # tokens of its prompt at each model, by what was known when it came
    used_tokens: int = 0
    cancelled_as: str = ""  # why it was cancelled before it was settled
    left_at: float | None = None
    drained: bool = False  # it was to be read to its end all the same
    settled_at: float | None = None
    cost: int = 0
    balance: int = 0  # what its account had when it was settled
    tail_at: float | None = None  # when the end of its answer came
    released: float | None = None

    @property
    def client_head(self) -> bool:
        return self.status == 200

    @property
    def complete(self) -> bool:
        """The client has a whole answer in its hands."""
        return self.status == 200 and self.ended and (not self.body["stream"] or self.caller.end in self.answer)

    @property
    def broke_off(self) -> bool:
        """Its stream was ended by an error inside it."""
        return bool(self.status == 200 and self.ended and self.body["stream"] and not self.complete)

    @property
    def names(self) -> tuple[str, ...]:
        """The served models it may go to, in order."""
        asked: str = self.body["model"]
        return tuple(
            name
            for name in (asked, *(() if self.byok else FALLBACK.get(asked, ())))
            if any(name in channel.models for channel in self.channels) and may(self.lists, name)
        )

    def models(self, *names: str) -> list[Model]:
        return [channel.models[name] for name in names for channel in self.channels if name in channel.models]

    @property
    def wants_usage(self) -> bool:
        return bool(self.body["stream"] and (self.body.get("stream_options") or self.caller.shows_cost))

    def usage_costs(self) -> list[str]:
        """The cost in every usage that the client was shown."""
        return [cost.decode() for cost in re.findall(rb'"cost": ?([0-9.]+)', self.answer)]

    def shown(self) -> tuple[str | None, str | None]:
        """(cost, balance) as the client was shown them."""
        found = re.search(rb": x-findtoken-cost=(\S+)(?: balance=(\S+))?\n", self.answer)
        cost, balance = (
            (found[1], found[2])
            if found
            else (self.headers.get(b"x-findtoken-cost"), self.headers.get(b"x-findtoken-balance"))
        )
        return cost.decode() if cost else None, balance.decode() if balance else None
