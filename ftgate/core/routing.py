"""Routes: which candidates a call may go to, in order; and what to do after each attempt's outcome.

The two decisions, `plan` and `next_step`, are pure. The retry table is closed: what is not listed is not retried.

    verdict         from                                          next
    caller          other 4xx                                     to the caller, as it is
    context         context length exceeded                       the next with a longer context, else to the caller
    unreadable      400, thinking that another one has sealed     once more without it, else to the caller
    rate_limited    429                                           next candidate; alone: after a short Retry-After
    credential      401, 403; a 400 whose words say so            next candidate
    out_of_credit   by the error's words, whatever the status     next candidate
    overloaded      408, 5xx, 529                                 next candidate; alone: again after a backoff
    unreachable     connect, DNS, TLS, reset, cut before content  next candidate; alone: again after a backoff
    timeout         a time limit before the first content         next candidate at once
    hollow          200 with an error, nothing, or no sense       next candidate
                    508, the call came back to us                 next candidate

Source: DESIGN.md, "Upstreams that fail"; PROVIDERS.md, cross-provider rule 4.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from functools import cached_property

import msgspec

from ftgate.core.habits import Habits
from ftgate.core.pricing import Hours, Price, price_at
from ftgate.core.secret import Secret

UNSTATED_OUTPUT = 4096
"""Output tokens assumed of a model that states neither max_output nor context: what every current model can write."""
PREFIX = "anthropic/"
"""What may stand before any model's name where Anthropic's protocol is spoken: some of its clients show no other
names."""
SMALLEST_ROOM = 256
"""The prompt bound is cautious and may seem to fill the context; the upstream is the one to refuse then, not we."""


class Model(msgspec.Struct, frozen=True):
    """One model as one channel serves it. `name` is what callers use, `upstream` the provider's name for it.

    `context` and `max_output` in tokens, None where nobody stated them. `cap_field` is the request field that caps the
    output, None when the upstream knows none. `image_tokens` bounds one image. `kind` is what it is for: a call goes to
    models of its dialect's kind. `thinks`: whether it can be told how much to think; None where nobody knows;
    `thinking`: in which form alone, budget or adaptive. `drop`
    are request fields that it refuses. `price` holds where none of its `hours` does.
    """

    name: str
    upstream: str
    price: Price
    context: int | None = None
    max_output: int | None = None
    cap_field: str | None = "max_tokens"
    thinking_in_cap: bool = True
    image_tokens: int | None = None
    drain: bool = False
    tags: tuple[str, ...] = ()
    best_for: str = ""
    kind: str = "chat"
    thinks: bool | None = None
    thinking: str = ""
    drop: tuple[str, ...] = ()
    hours: tuple[Hours, ...] = ()

    def price_at(self, wall_us: int) -> Price:
        """What a call that begins at this time (microseconds since 1970) costs."""
        return price_at(self.price, self.hours, wall_us) if self.hours else self.price

    def output_limit(self, prompt_bound: int) -> int:
        """Most tokens in one answer after a prompt of this many: what was stated, at most what the context leaves."""
        stated = self.max_output or (self.context if self.context is not None else UNSTATED_OUTPUT)
        if self.context is None:
            return stated
        return min(stated, max(self.context - prompt_bound, SMALLEST_ROOM))


class Timeouts(msgspec.Struct, frozen=True):
    """Seconds; the meaning of each is in config/settings.py."""

    connect: float = 5.0
    head: float = 60.0
    answer: float = 600.0
    first_token: float = 120.0
    idle: float = 60.0
    total: float = 1800.0


class Retry(msgspec.Struct, frozen=True):
    """How often and how patiently a call is tried. Seconds."""

    attempts: int = 3
    max_retry_after: float = 10.0
    backoff: float = 0.5
    backoff_cap: float = 8.0


class Address(msgspec.Struct, frozen=True):
    """Where and how a channel is spoken to in one dialect. `url` is whole, and never shown to a caller; `cap_fields`
    are the request fields that cap an answer in it, `habits` what is wanted of every request there."""

    dialect: str
    url: str
    auth: str
    cap_fields: tuple[str, ...] = ()
    habits: Habits | None = None


class Reach(msgspec.Struct, frozen=True):
    """How a channel's addresses are reached, by content: two that are equal may share connections. `authorities` are
    the certificates (PEM) to trust in place of the system's; `proxy` is an http, https or socks5 address; a built-in
    channel is answered here."""

    authorities: str | None = None
    proxy: str | None = None
    http2: bool = False
    built_in: bool = False


class Channel(msgspec.Struct, frozen=True):
    """One configured way to a provider, with its address for each dialect it speaks, the provider's own first. A drain
    (an upstream read on after its client has left) ends after `drain_s` seconds, or when what came since then costs
    `drain_most` units. `affinity` is by what it knows a conversation again (off, key, prefix;
    core.affinity). `monthly_cap` is what may be spent there in a month, in units (core.spending). `takes`
    are the request fields it is known to take of those that many refuse (dialects.asked.SELDOM_TAKEN); `errors` what
    the provider's own error codes and types mean, in lower case, where neither status nor words tell."""

    name: str
    provider: str
    addresses: Mapping[str, Address]
    credentials: tuple[Secret, ...]
    models: Mapping[str, Model]
    priority: int = 0
    weight: int = 1
    timeouts: Timeouts = Timeouts()
    stream_usage: bool = True
    drain: bool = False
    drain_s: float = 120.0
    drain_most: int = 5 * 10**11
    charge_left_before_content: bool = True
    headers: Mapping[str, str] = {}
    query: Mapping[str, str] = {}
    drop_params: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    errors: Mapping[str, "Verdict"] = {}
    reach: Reach = Reach()
    affinity: str = "off"
    monthly_cap: int | None = None


class Candidate(msgspec.Struct, frozen=True):
    """One channel at one of its addresses, with one of its credentials and one model: somewhere a call can go.
    `brought`: the credential is the caller's own (BYOK). It ends with the call, and what becomes of it teaches nothing
    about anybody else's."""

    channel: Channel
    address: Address
    credential: Secret
    model: Model
    brought: bool = False

    @property
    def cap_field(self) -> str | None:
        """The request field that caps the output here: the model's own where this dialect has it, else the dialect's;
        None where none does."""
        field, fields = self.model.cap_field, self.address.cap_fields
        if field is None or field in fields:
            return field
        return fields[0] if fields else None


class Speech(msgspec.Struct, frozen=True, gc=False):
    """What a call needs of a candidate: a model of its kind, at an address in one of these dialects, the best first."""

    kind: str
    dialects: tuple[str, ...]


class Routes(msgspec.Struct, frozen=True, dict=True):
    """What plan() needs of the configuration: one immutable snapshot. What follows from the channels is found once, so
    that no call walks the whole catalogue."""

    channels: tuple[Channel, ...]
    aliases: Mapping[str, str] = {}
    fallback: Mapping[str, tuple[str, ...]] = {}
    auto: Mapping[str, tuple[str, ...]] = {}
    first_token_target: float | None = None

    @cached_property
    def served(self) -> Mapping[str, tuple[Channel, ...]]:
        """Of every model the channels that have it."""
        found: dict[str, list[Channel]] = {}
        for channel in self.channels:
            for name in channel.models:
                found.setdefault(name, []).append(channel)
        return {name: tuple(channels) for name, channels in found.items()}

    @cached_property
    def affine(self) -> bool:
        """Whether any channel knows conversations again."""
        return any(channel.affinity != "off" for channel in self.channels)

    @cached_property
    def by_price(self) -> Mapping[str, tuple[str, ...]]:
        """Of every kind its models, the cheapest first; one that several channels serve stands at its lowest price."""
        prices: dict[str, dict[str, int]] = {}
        for channel in self.channels:
            for name, model in channel.models.items():
                of_kind = prices.setdefault(model.kind, {})
                price = model.price.input + model.price.output
                of_kind[name] = min(of_kind.get(name, price), price)
        return {
            kind: tuple(sorted(found, key=lambda name, found=found: (found[name], name)))  # type: ignore[misc]
            for kind, found in prices.items()
        }

    def serving(self, name: str) -> tuple[Channel, ...]:
        return self.served.get(name, ())

    def resolve(self, name: str) -> str:
        """The served name for what a caller wrote: itself, or its alias (followed at most a few steps)."""
        for _ in range(4):
            if name in self.served or name not in self.aliases:
                break
            name = self.aliases[name]
        return name

    def bare(self, name: str) -> str:
        """A name without Anthropic's prefix, where a model or an alias is called so. One that is known as it stands
        stays: a provider's own names may begin like that (OpenRouter's do)."""
        if not name.startswith(PREFIX) or self._knows(name):
            return name
        rest = name.removeprefix(PREFIX)
        return rest if self._knows(rest) else name

    def _knows(self, name: str) -> bool:
        return name in self.served or name in self.aliases

    @cached_property
    def other_names(self) -> Mapping[str, tuple[str, ...]]:
        """Of every model the aliases that lead to it."""
        found: dict[str, list[str]] = {}
        for alias in self.aliases:
            found.setdefault(self.resolve(alias), []).append(alias)
        return {name: tuple(aliases) for name, aliases in found.items()}

    def permits(self, patterns: tuple[str, ...], name: str) -> bool:
        """Whether a restriction lets a model through. It may name the model or any of its aliases, with Anthropic's
        prefix or without: these are one."""
        if not patterns:
            return True
        served = self.resolve(name)
        return allowed(tuple(map(self.bare, patterns)), name, served, *self.other_names.get(served, ()))


def allowed(patterns: tuple[str, ...], *names: str) -> bool:
    """Whether a restriction lets any of these names through. No patterns is no restriction; a trailing * matches a
    prefix."""
    if not patterns:
        return True
    return any(
        name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern
        for pattern in patterns
        for name in names
    )


def _in_turn(channels: Sequence[Channel], turn: int) -> list[tuple[Channel, int]]:
    """Channels of one priority, the first chosen by weight: of each sum-of-weights turns a channel gets its weight.
    With each goes how often it was the first before this turn: its credentials alternate by that, since by the turn
    itself a channel that is first every second turn would show one of its two credentials only."""
    total = sum(channel.weight for channel in channels)
    if not total:
        return []
    rounds, spot = divmod(turn, total)
    first = 0
    counted = []
    for index, channel in enumerate(channels):
        counted.append((channel, rounds * channel.weight + min(max(spot, 0), channel.weight)))
        if 0 <= spot < channel.weight:
            first = index
        spot -= channel.weight
    return counted[first:] + counted[:first]


def _channels(routes: Routes, name: str, speech: Speech, turn: int) -> list[tuple[Channel, Address, int]]:
    """The channels that serve a name to such a call, each with how often it was the first: lower priority numbers
    first, then by weight."""
    found = {}
    for channel in routes.serving(name):
        if channel.weight > 0 and channel.models[name].kind == speech.kind:
            address = next((channel.addresses[d] for d in speech.dialects if d in channel.addresses), None)
            if address is not None:
                found[channel.name] = channel, address
    if len(found) == 1:
        channel, address = next(iter(found.values()))
        return [(channel, address, turn)]
    channels = [channel for channel, _ in found.values()]
    return [
        (channel, found[channel.name][1], nth)
        for priority in sorted({channel.priority for channel in channels})
        for channel, nth in _in_turn([channel for channel in channels if channel.priority == priority], turn)
    ]


def _ways(channel: Channel, address: Address, name: str, nth: int) -> Iterator[Candidate]:
    """A channel's candidates for a name: each of its credentials, in turn."""
    model, credentials = channel.models[name], channel.credentials
    start = nth % len(credentials) if credentials else 0
    for credential in credentials[start:] + credentials[:start]:
        yield Candidate(channel, address, credential, model)


class Names(msgspec.Struct, frozen=True, gc=False):
    """Served names in the order to try them: those that were asked for, then the fallbacks configured for these.
    `free`: the first so many that were asked for are of one grade of "auto", and may change places."""

    asked: tuple[str, ...]
    fallback: tuple[str, ...] = ()
    free: int = 0


def names_for(routes: Routes, asked: tuple[str, ...], grade: str, kind: str) -> Names:
    """What a caller named, as served names: aliases followed, "auto" spelled out; and their fallbacks.

    "auto" without an [auto] section is every served model of this kind, the cheapest first. What stands in [auto] is
    for chat.
    """
    names: list[str] = []
    free = 0
    for name in asked:
        if name == "auto" and not routes.serving("auto"):
            grades = (grade, "medium", "simple", "complex") if kind == "chat" else ()
            if not names and grades:
                free = len(dict.fromkeys(map(routes.resolve, routes.auto.get(grade, ()))))
            chosen = [routes.resolve(n) for g in grades for n in routes.auto.get(g, ())]
            names += chosen or routes.by_price.get(kind, ())
        else:
            names.append(routes.resolve(name))
    wanted = tuple(dict.fromkeys(names)) if len(names) > 1 else tuple(names)
    if not routes.fallback:
        return Names(wanted, free=free)
    # A fallback may be written for the alias too.
    behind = dict.fromkeys(routes.resolve(n) for name in (*wanted, *asked) for n in routes.fallback.get(name, ()))
    first = set(wanted)
    return Names(wanted, tuple(name for name in behind if name not in first), free)


class Spot(msgspec.Struct, frozen=True, gc=False):
    """A model at a channel, at the address where such a call is spoken: where it can go, before a credential is chosen.
    `nth` is how often the channel was the first."""

    name: str
    channel: Channel
    address: Address
    nth: int

    @property
    def model(self) -> Model:
        return self.channel.models[self.name]

    @property
    def place(self) -> tuple[str, str]:
        return self.channel.name, self.name


def spots(routes: Routes, names: Sequence[str], speech: Speech, turn: int) -> Iterator[Spot]:
    """Where these names can be asked, in their order, made one by one as they are asked for."""
    for name in names:
        for found in _channels(routes, name, speech, turn):
            yield Spot(name, *found)


def plan(spots: Iterable[Spot]) -> Iterator[Candidate]:
    """The candidates at these spots, each of a channel's credentials in turn, made one by one as they are asked for."""
    for spot in spots:
        yield from _ways(spot.channel, spot.address, spot.name, spot.nth)


def is_fixed(routes: Routes, names: Sequence[str]) -> bool:
    """Whether plan() gives the same for these names at every turn: no name has two channels, nor a channel two
    credentials."""
    return all(
        len(found) <= 1 and all(len(channel.credentials) <= 1 for channel in found)
        for found in map(routes.serving, names)
    )


class Verdict(Enum):
    caller = "caller"
    context = "context"
    unreadable = "unreadable"
    rate_limited = "rate_limited"
    credential = "credential"
    out_of_credit = "out_of_credit"
    overloaded = "overloaded"
    unreachable = "unreachable"
    timeout = "timeout"
    hollow = "hollow"


_BROKE = (
    "insufficient balance", "insufficient_quota", "insufficient credit", "credit balance is too "
    "low", "exceeded your current quota",
    "good standing", "arrear", "余额不足", "欠费", "insufficient_balance", "out of credit", "insufficient funds",
)  # fmt: skip
_KEYS = (
    "incorrect api key", "invalid api key", "api key not valid", "invalid_api_key", "invalid "
    "x-api-key", "api_key_invalid",
    "no auth credentials", "authentication_error", "token not accepted", "invalid token", "身份验证", "令牌",
)  # fmt: skip
_TOO_LONG = ("context_length_exceeded", "exceed_context_size", "exceeds the available context size")
"""Words for a prompt past the context that mean it whatever the status: llama.cpp said them with a 500 for a while."""
_LONG = (
    *_TOO_LONG,
    "context length", "maximum context", "context window", "exceed context limit",  # OpenAI, vLLM, DeepSeek, Anthropic
    "prompt is too long", "prompt_too_long", "input is too long", "too many tokens",  # Anthropic, Bedrock, Cohere
    "exceeds the maximum allowed length", "maximum model length",  # SGLang, vLLM
    "exceeded model token limit",  # Moonshot
    "range of input length",  # DashScope
    "exceeds the maximum number of tokens",  # Gemini
    "exceeds the maximum length", "exceed max message tokens",  # Ark
    "prompt exceeds max length", "maximum prompt length",  # Zhipu, xAI
    "超出上下文", "上下文长度", "超过最大长度", "超过模型最大",
)  # fmt: skip


_UNREADABLE = ("invalid_encrypted_content", "encrypted content could not be decrypted")
"""OpenAI's words for thinking in the history that was sealed in another organisation."""


def verdict(status: int, words: str) -> Verdict:
    """What an upstream's error answer means. `words` is its message, type and code in one string."""
    low = words.lower()
    if status == 402 or any(mark in low for mark in _BROKE):
        return Verdict.out_of_credit
    if status == 429:
        return Verdict.rate_limited
    if status in {401, 403}:
        return Verdict.credential
    if status >= 500 and any(mark in low for mark in _TOO_LONG):
        return Verdict.context
    if status == 508:
        return Verdict.hollow
    if status == 408 or status >= 500:
        return Verdict.overloaded
    if status in {400, 404, 422} and any(mark in low for mark in _KEYS):
        return Verdict.credential
    if status in {400, 413, 422} and any(mark in low for mark in _LONG):
        return Verdict.context
    if status == 400 and any(mark in low for mark in _UNREADABLE):
        return Verdict.unreadable
    return Verdict.caller if 400 <= status < 500 else Verdict.hollow


def meant(channel: Channel, *names: str | None) -> Verdict | None:
    """What one of these names (an error's code, its type) means at the channel's provider; None where it says nothing
    of its own."""
    if not channel.errors:
        return None
    return next((channel.errors[name.lower()] for name in names if name and name.lower() in channel.errors), None)


class Outcome(msgspec.Struct, frozen=True):
    """How an attempt ended without an answer. `detail` is the upstream's own message or ours; it and kind, code, param,
    details (JSON) are to be redacted before anyone sees them."""

    index: int
    verdict: Verdict
    detail: str
    status: int | None = None
    retry_after_s: float | None = None
    kind: str | None = None
    code: str | None = None
    param: str | None = None
    details: str = ""


class Step(msgspec.Struct, frozen=True):
    """Try the candidate at `index` after `delay_s` seconds; `bare`: without what was thought in earlier turns."""

    index: int
    delay_s: float = 0.0
    bare: bool = False


_AGAIN = {Verdict.overloaded, Verdict.unreachable}
_DOWN = {Verdict.overloaded, Verdict.unreachable, Verdict.timeout}
"""What another credential of the same channel would very likely meet too."""


def next_step(
    plan: tuple[Candidate, ...],
    outcomes: Sequence[Outcome],
    retry: Retry,
    jitter: float,
    rests: Callable[[Candidate], float] = lambda way: 0.0,
) -> Step | None:
    """What to try after these outcomes; None when the call has failed. `jitter` in 0..1 spreads the backoff over the
    upper half of its span; `rests` says for how many seconds nobody should ask a candidate (core.health)."""
    if not outcomes:
        return next((Step(index) for index in range(len(plan)) if rests(plan[index]) <= 0), None)
    last = outcomes[-1]
    if last.verdict is Verdict.caller or len(outcomes) >= retry.attempts:
        return None
    if last.verdict is Verdict.unreadable:
        again = any(o.verdict is Verdict.unreadable and o.index == last.index for o in outcomes[:-1])
        return None if again else Step(last.index, bare=True)
    left = _left(plan, outcomes, rests)
    if left is not None:
        return Step(left)
    if len(plan) > 1 or last.verdict is Verdict.context:
        return None
    rest = rests(plan[0])
    if last.verdict is Verdict.rate_limited and last.retry_after_s is not None:
        wait = max(last.retry_after_s, rest)
        return Step(0, wait) if wait <= retry.max_retry_after else None
    if last.verdict in _AGAIN and rest <= 0:
        span = min(retry.backoff * 2 ** (len(outcomes) - 1), retry.backoff_cap)
        return Step(0, span * (0.5 + 0.5 * jitter))
    return None


def _left(plan: tuple[Candidate, ...], outcomes: Sequence[Outcome], rests: Callable[[Candidate], float]) -> int | None:
    """Which of the candidates that were not tried comes next: one that does not rest, with a longer context than those
    for which the prompt was too long; first those at another channel than one that has just failed with this model,
    since another credential changes nothing about that."""
    tried = {outcome.index for outcome in outcomes}
    too_short = max((plan[o.index].model.context or 0 for o in outcomes if o.verdict is Verdict.context), default=-1)
    down = {_place(plan[o.index]) for o in outcomes if o.verdict in _DOWN}
    left = [
        index
        for index in range(len(plan))
        if index not in tried and (plan[index].model.context or 0) > too_short and rests(plan[index]) <= 0
    ]
    return min(left, key=lambda index: (_place(plan[index]) in down, index), default=None)


def _place(way: Candidate) -> tuple[str, str]:
    return way.channel.name, way.model.name
