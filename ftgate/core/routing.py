"""Routes: which candidates a call may go to, and in which order. Pure; what comes after each attempt's outcome is
core.retrying's.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property

import msgspec

from ftgate.core.habits import Habits, Quirk
from ftgate.core.pricing import Hours, Price, price_at
from ftgate.core.secret import Secret
from ftgate.core.verdicts import Verdict

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
    are request fields that it refuses, `quirks` what it wants of a request (core.habits). `price` holds where none of
    its `hours` does; `priced_from` says where it was read, and when, "" where the config gives it.
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
    quirks: tuple[Quirk, ...] = ()
    drop: tuple[str, ...] = ()
    hours: tuple[Hours, ...] = ()
    priced_from: str = ""

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


class Address(msgspec.Struct, frozen=True):
    """Where and how a channel is spoken to in one dialect. `url` is whole, and never shown to a caller; `cap_fields`
    are the request fields that cap an answer in it, `habits` what is wanted of every request there."""

    dialect: str
    url: str
    auth: str
    cap_fields: tuple[str, ...] = ()
    habits: Habits | None = None


class Reach(msgspec.Struct, frozen=True, dict=True):
    """How a channel's addresses are reached, by content: two that are equal may share connections. `authorities` are
    the certificates (PEM) to trust in place of the system's; `proxy` is an http, https or socks5 address; a built-in
    channel is answered here."""

    authorities: str | None = None
    proxy: str | None = None
    http2: bool = False
    built_in: bool = False

    @cached_property
    def straight(self) -> bool:
        """Whether a request may go there straight on a socket, in HTTP/1.1."""
        return not (self.proxy or self.http2 or self.built_in)


class Channel(msgspec.Struct, frozen=True):
    """One configured way to a provider, with its address for each dialect it speaks, the provider's own first. A drain
    (an upstream read on after its client has left) ends after `drain_s` seconds, or when what came since then costs
    `drain_most` units. `affinity` is by what it knows a conversation again (off, key, prefix; core.affinity).
    `monthly_cap` is what may be spent there in a month, in units (core.spending). `takes` are the request fields it is
    known to take of those that many refuse (dialects.asked.SELDOM_TAKEN); `errors` what the provider's own error codes
    and types mean, in lower case, where neither status nor words tell. `enabled`: an operator lets calls go there."""

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
    enabled: bool = True


class Candidate(msgspec.Struct, frozen=True, dict=True):
    """One channel at one of its addresses, with one of its credentials and one model: somewhere a call can go.
    `brought`: the credential is the caller's own (BYOK). It ends with the call, and what becomes of it teaches nothing
    about anybody else's."""

    channel: Channel
    address: Address
    credential: Secret
    model: Model
    brought: bool = False

    @cached_property
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
        if channel.weight > 0 and channel.enabled and channel.models[name].kind == speech.kind:
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
