"""The catalogue's reader: one provider's TOML text becomes one `Provider`.

Pure: it is given text; config opens the files. The merge rules stand here, because shipped models and a channel's own
models follow the same ones (`merge`): a field that is not given keeps what was there, and a class of tokens without a
price of its own costs the input price.

Prices are read as decimals, USD per 1M tokens, and become units per token (core/money.py); `per_request` is USD a
request.

A provider that is `like` another one (its twin in another region, with keys of its own) is as that one in all that it
does not say itself, `without` some of its models. Where it is spoken to, it always says itself.
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal

import msgspec

from ftgate.core.habits import Bound, Habits, Quirk
from ftgate.core.money import parse_price, parse_usd
from ftgate.core.pricing import Hours, Price, Tier
from ftgate.core.routing import Model
from ftgate.core.verdicts import Verdict
from ftgate.providers.clock import days_of, spans_of
from ftgate.providers.quirks import QUIRKS

Dialect = Literal["openai_chat", "openai_completions", "openai_embeddings", "anthropic_messages", "openai_responses"]
Kind = Literal["chat", "embeddings"]
Auth = Literal["bearer", "x-api-key", "none"]
CapField = Literal["max_tokens", "max_completion_tokens", "none"]
OnClientGone = Literal["abort", "drain"]
Taken = Literal["prompt_cache_key", "safety_identifier", "verbosity"]

THINKS = "reasoning"
"""The tag of a model that can be told how much to think. A shipped one that is not tagged so is known not to be, unless
it thinks out of sight (drain)."""
CLASSES = ("cached", "cache_write", "cache_write_1h")
"""The input classes that cost the input price unless they are given their own."""


class Base(msgspec.Struct, frozen=True):
    """Where a provider is spoken to: a whole prefix, None for the compatible ones. `also` are dialects that are spoken
    under the same prefix."""

    base_url: str | None
    auth: Auth
    also: tuple[Dialect, ...] = ()
    habits: Habits | None = None


class Check(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to find out whether a key is good: `get` is what to GET, seen from the prefix of the provider's own dialect
    ("models", "../user/balance"), so that it is always the same server that is asked; `model` the cheapest model to ask
    for one token. With neither, any model that the channel has must be asked."""

    get: str | None = None
    model: str | None = None

    def url(self, base_url: str) -> str | None:
        """What to GET under this prefix. A prefix that has no folder to leave is left as it is."""
        if self.get is None:
            return None
        up, path = self.get.count("../"), self.get.replace("../", "")
        server, slashes, folders = base_url.rstrip("/").partition("://")
        host, *names = folders.split("/")
        return "/".join([f"{server}{slashes}{host}", *names[: max(len(names) - up, 0)], path])


class Provider(msgspec.Struct, frozen=True):
    """One provider as shipped. `bases` by dialect, its own `dialect` first. `env` are the environment variables its key
    is looked for in, the first found wins. `models` by the name callers use; `aliases` lead from other names to
    those. `takes` are request fields that it takes and many others refuse, `drop` those that it refuses; `headers` go
    with every request; `errors` say what its error codes mean. `check` tells a good key. `known_as` are
    its names in public price lists. `priced` is false where nothing is to be paid, so that a model may stand without a
    price; `built_in` means that it answers inside ftgate."""

    name: str
    title: str
    dialect: Dialect
    bases: Mapping[str, Base]
    env: tuple[str, ...]
    cap_field: str | None
    thinking_in_cap: bool
    stream_usage: bool
    drain: bool
    priced: bool
    built_in: bool
    prices_date: str
    prices_source: str
    models: Mapping[str, Model]
    aliases: Mapping[str, str]
    takes: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    headers: Mapping[str, str] = {}
    errors: Mapping[str, Verdict] = {}
    check: Check = Check()
    known_as: Mapping[str, str] = {}

    @property
    def base(self) -> str | None:
        """The prefix of its own dialect."""
        return self.bases[self.dialect].base_url

    @property
    def auth(self) -> Auth:
        return self.bases[self.dialect].auth


class _Tier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    above: int
    input: Decimal
    output: Decimal
    cached: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_1h: Decimal | None = None


class _Hours(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    utc: tuple[str, ...]
    input: Decimal
    output: Decimal
    days: str = ""
    cached: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_1h: Decimal | None = None


class _Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    input: Decimal
    output: Decimal | None = None
    upstream: str | None = None
    cached: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_1h: Decimal | None = None
    per_request: Decimal | None = None
    tiers: tuple[_Tier, ...] = ()
    hours: tuple[_Hours, ...] = ()
    context: int | None = None
    max_output: int | None = None
    cap_field: CapField | None = None
    thinking_in_cap: bool | None = None
    on_client_gone: OnClientGone | None = None
    image_tokens: int | None = None
    tags: tuple[str, ...] = ()
    best_for: str = ""
    kind: Kind = "chat"
    drop: tuple[str, ...] = ()
    thinking: Literal["", "budget", "adaptive"] = ""
    quirks: tuple[str, ...] = ()


class _Address(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    base_url: str
    auth: Auth | None = None
    also: tuple[Dialect, ...] = ()
    fill: dict[str, Any] = {}
    quirks: tuple[str, ...] = ()


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    title: str
    dialect: Dialect
    auth: Auth
    base_url: str | None = None
    also: tuple[Dialect, ...] = ()
    address: dict[Dialect, _Address] = {}
    priced: bool = True
    built_in: bool = False
    env: tuple[str, ...] = ()
    cap_field: CapField = "max_tokens"
    thinking_in_cap: bool = True
    stream_usage: bool = True
    on_client_gone: OnClientGone = "abort"
    takes: tuple[Taken, ...] = ()
    headers: dict[str, str] = {}
    drop: tuple[str, ...] = ()
    clamp: dict[str, tuple[Decimal, Decimal]] = {}
    fill: dict[str, Any] = {}
    quirks: tuple[str, ...] = ()
    errors: dict[str, Verdict] = {}
    check: Check = Check()
    known_as: dict[str, str] = {}
    prices_date: Any = ""
    prices_source: str = ""
    model: dict[str, _Model] = {}
    alias: dict[str, str] = {}


def decimal(text: str) -> Decimal:
    """tomllib's parse_float: never a float. What Decimal cannot hold becomes NaN, which every reader of prices
    refuses."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return Decimal("NaN")


_PATH = re.compile(r"(\.\./)*[a-z0-9_-]+(/[a-z0-9_-]+)*")
_OWN = ("base_url", "address", "env", "check", "known_as")
"""What a provider never has from the one it is like: a key must not go to another's address."""


@lru_cache(maxsize=64)
def _parsed(text: str) -> Mapping[str, Any]:
    """Read once, though another one is like it: every start reads all of them."""
    return tomllib.loads(text, parse_float=decimal)


def _written(text: str, like: Callable[[str], str]) -> dict[str, Any]:
    """A provider's TOML with all that it has from the one it is like."""
    own = dict(_parsed(text))
    if "like" not in own:
        return own
    other = _written(like(own.pop("like")), like)
    without = own.pop("without", [])
    named = {name: row for name, row in other.get("model", {}).items() if name not in without}
    own["model"] = named | own.get("model", {})
    led = {alias: name for alias, name in other.get("alias", {}).items() if name in own["model"]}
    own["alias"] = led | own.get("alias", {})
    return {name: value for name, value in other.items() if name not in _OWN} | own


def _nothing_like(name: str) -> str:
    raise ValueError(f'like = "{name}": there is no other provider here')


def read(text: str, like: Callable[[str], str] = _nothing_like) -> Provider:
    """One provider from its TOML; `like` gives the text of another one by name. Raises ValueError (tomllib's,
    msgspec's, money's) naming what is wrong."""
    raw = msgspec.convert(_written(text, like), _File)
    blank = Model(
        name="", upstream="", price=Price(0, 0, 0, 0, 0), cap_field=cap_field(raw.cap_field),
        thinking_in_cap=raw.thinking_in_cap, drain=raw.on_client_gone == "drain",
    )  # fmt: skip
    models = {}
    for name, row in raw.model.items():
        try:
            model = merge(blank, name, _given(row))
            models[name] = msgspec.structs.replace(
                model, thinks=model.drain or model.thinks is True,
                priced_from=f"{raw.prices_source} ({raw.prices_date})" if raw.prices_source else "",
            )  # fmt: skip
        except ValueError as problem:
            raise ValueError(f'{raw.name}, model "{name}": {problem}') from None
    for alias, target in raw.alias.items():
        if alias in models or target not in models:
            raise ValueError(f'{raw.name}, alias "{alias}": it must be no model of its own and lead to one')
    if raw.dialect in raw.address:
        raise ValueError(f"{raw.name}: the address of its own dialect stands at the top")
    clamp = tuple(Bound(field, float(low), float(high)) for field, (low, high) in raw.clamp.items())
    bases: dict[str, Base] = {
        raw.dialect: Base(raw.base_url, raw.auth, raw.also, _habits(raw, clamp)),
        **{
            dialect: Base(its.base_url, its.auth or raw.auth, its.also, _habits(its, clamp))
            for dialect, its in raw.address.items()
        },
    }
    _check_check(raw, models)
    return Provider(
        name=raw.name, title=raw.title, dialect=raw.dialect, bases=bases, env=raw.env, priced=raw.priced,
        built_in=raw.built_in, cap_field=cap_field(raw.cap_field), thinking_in_cap=raw.thinking_in_cap,
        stream_usage=raw.stream_usage, drain=raw.on_client_gone == "drain", prices_date=str(raw.prices_date),
        prices_source=raw.prices_source, models=models, aliases=raw.alias,
        takes=raw.takes, drop=raw.drop, headers=raw.headers, check=raw.check, known_as=raw.known_as,
        errors={name.lower(): verdict for name, verdict in raw.errors.items()},
    )  # fmt: skip


def _habits(said: _File | _Address, clamp: tuple[Bound, ...]) -> Habits | None:
    """What is wanted of every request at one address: bounds are the provider's everywhere, the rest is its own."""
    habits = Habits(clamp, said.fill, _quirks(said.quirks))
    return None if habits == Habits() else habits


def _quirks(names: tuple[str, ...]) -> tuple[Quirk, ...]:
    for name in names:
        if name not in QUIRKS:
            raise ValueError(f'quirk "{name}" is not in providers/quirks.py')
    return tuple(QUIRKS[name] for name in names)


def _check_check(raw: _File, models: Mapping[str, Model]) -> None:
    """A key is shown to its own provider only."""
    if raw.check.get is not None and not _PATH.fullmatch(raw.check.get):
        raise ValueError(f"{raw.name}: check.get is a path, seen from the prefix")
    if raw.check.model is not None and raw.check.model not in models:
        raise ValueError(f'{raw.name}: check.model "{raw.check.model}" is none of its models')


def cap_field(written: str) -> str | None:
    """The request field that caps the output; "none" where the upstream knows none."""
    return None if written == "none" else written


def tier(above: int, prices: Mapping[str, int]) -> Tier:
    """One tier from units per token by class; input and output must be there."""
    whole = {name: prices.get(name, prices["input"]) for name in CLASSES}
    return Tier(above=above, input=prices["input"], output=prices["output"], **whole)


def hours(utc: tuple[str, ...], days: str, prices: Mapping[str, int]) -> Hours:
    """A price by the hour from units per token by class; input and output must be there. Raises ValueError."""
    entry = prices["input"]
    cached, write, write_1h = (prices.get(name, entry) for name in CLASSES)
    return Hours(spans_of(utc), days_of(days), Price(entry, prices["output"], cached, write, write_1h))


def merge(base: Model, name: str, given: Mapping[str, Any]) -> Model:
    """`base` with the given fields laid over it, under the name `name`.

    `given` holds Model's fields and, beside them, Price's (units per token; `tiers` as Tier, `hours` as Hours). A class
    that cost the input price before goes on costing the input price when only `input` is given; a price that is given
    holds at every hour, unless `hours` are given too. Raises ValueError: tiers not ascending, max_output over context,
    tiers beside hours.
    """
    price = _price(base.price, given)
    own = given.keys() & {"input", "output", "per_request", "tiers", "hours", *CLASSES}
    model = msgspec.structs.replace(
        base,
        name=name,
        upstream=given.get("upstream") or (base.upstream if base.name else name),
        price=price,
        hours=_hours(base, price, given),
        thinks=THINKS in given.get("tags", ()) or base.thinks,
        priced_from="" if own else base.priced_from,
        **{key: given[key] for key in _PLAIN if key in given},
    )
    if model.context and model.max_output and model.max_output > model.context:
        raise ValueError(f"max_output = {model.max_output} is more than context = {model.context}")
    return model


_PLAIN = (
    "context", "max_output", "cap_field", "thinking_in_cap", "image_tokens", "drain", "tags", "best_for", "kind",
    "drop", "thinking", "quirks",
)  # fmt: skip


def _hours(base: Model, price: Price, given: Mapping[str, Any]) -> tuple[Hours, ...]:
    """The hours of a model with this plain price; each has its price for a request."""
    own = given.keys() & {"input", "output", *CLASSES, "tiers"}
    found: tuple[Hours, ...] = given.get("hours", () if own else base.hours)
    if found and price.tiers:
        raise ValueError("prices by the hour and by the prompt's length (tiers) cannot stand side by side")
    return tuple(
        msgspec.structs.replace(its, price=msgspec.structs.replace(its.price, per_request=price.per_request))
        for its in found
    )


def _price(base: Price, given: Mapping[str, Any]) -> Price:
    entry = given.get("input", base.input)
    classes = {}
    for name in CLASSES:
        before = getattr(base, name)
        classes[name] = given.get(name, entry if before == base.input else before)
    tiers = tuple(given.get("tiers", base.tiers))
    marks = [row.above for row in tiers]
    if any(low >= high for low, high in pairwise(marks)):
        raise ValueError("tiers must ascend by `above`, each one once")
    return Price(
        input=entry,
        output=given.get("output", base.output),
        per_request=given.get("per_request", base.per_request),
        tiers=tiers,
        **classes,
    )


def _given(row: _Model) -> dict[str, Any]:
    given: dict[str, Any] = {}
    if row.output is None and row.kind == "chat":
        raise ValueError("output has no price")
    for name in ("input", "output", *CLASSES):
        if (value := getattr(row, name)) is not None:
            given[name] = parse_price(value)
    if row.per_request is not None:
        given["per_request"] = parse_usd(row.per_request)
        if given["per_request"] < 0:
            raise ValueError("per_request is zero or more")
    tiers = []
    for line in row.tiers:
        tiers.append(tier(line.above, _prices(line)))
    given["tiers"] = tuple(tiers)
    given["hours"] = tuple(hours(line.utc, line.days, _prices(line)) for line in row.hours)
    for name in ("upstream", "context", "max_output", "thinking_in_cap", "image_tokens", "thinking"):
        if (value := getattr(row, name)) is not None:
            given[name] = value
    if row.cap_field is not None:
        given["cap_field"] = cap_field(row.cap_field)
    if row.on_client_gone is not None:
        given["drain"] = row.on_client_gone == "drain"
    given["quirks"] = _quirks(row.quirks)
    return {**given, "tags": row.tags, "best_for": row.best_for, "kind": row.kind, "drop": row.drop}


def _prices(row: _Tier | _Hours) -> dict[str, int]:
    """Units per token of those classes that a row names."""
    written = {name: getattr(row, name) for name in ("input", "output", *CLASSES)}
    return {name: parse_price(value) for name, value in written.items() if value is not None}
