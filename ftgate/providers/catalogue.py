"""The catalogue's reader: one provider's TOML text becomes one `Provider`.

Pure: it is given text; config opens the files. The merge rules stand here, because shipped models and a channel's own
models follow the same ones (`merge`): a field that is not given keeps what was there, and a class of tokens without a
price of its own costs the input price.

Prices are read as decimals, USD per 1M tokens, and become units per token (core/money.py); `per_request` is USD a
request.
"""

import tomllib
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from typing import Any, Literal

import msgspec

from ftgate.core.money import parse_price, parse_usd
from ftgate.core.pricing import Price, Tier
from ftgate.core.routing import Model

Dialect = Literal["openai_chat", "anthropic_messages"]
Auth = Literal["bearer", "x-api-key", "none"]
CapField = Literal["max_tokens", "max_completion_tokens", "none"]
OnClientGone = Literal["abort", "drain"]

CHAT_ROUTE: Mapping[str, str] = {"openai_chat": "/chat/completions", "anthropic_messages": "/messages"}
"""What is appended to a base URL, by dialect. Base URLs are whole prefixes: not every provider's path holds a /v1."""

CLASSES = ("cached", "cache_write", "cache_write_1h")
"""The input classes that cost the input price unless they are given their own."""


class Provider(msgspec.Struct, frozen=True):
    """One provider as shipped. `env` are the environment variables its key is looked for in, the first found wins.
    `models` by the name callers use; `aliases` lead from other names to those. `base_url` is None for the compatible
    ones."""

    name: str
    title: str
    dialect: Dialect
    base_url: str | None
    anthropic_base_url: str | None
    auth: Auth
    env: tuple[str, ...]
    cap_field: str | None
    thinking_in_cap: bool
    stream_usage: bool
    drain: bool
    prices_date: str
    prices_source: str
    models: Mapping[str, Model]
    aliases: Mapping[str, str]

    @property
    def base(self) -> str | None:
        """The base URL of its own dialect."""
        if self.dialect == "anthropic_messages":
            return self.anthropic_base_url or self.base_url
        return self.base_url


class _Tier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    above: int
    input: Decimal
    output: Decimal
    cached: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_1h: Decimal | None = None


class _Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    input: Decimal
    output: Decimal
    upstream: str | None = None
    cached: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_1h: Decimal | None = None
    per_request: Decimal | None = None
    tiers: tuple[_Tier, ...] = ()
    context: int | None = None
    max_output: int | None = None
    cap_field: CapField | None = None
    thinking_in_cap: bool | None = None
    on_client_gone: OnClientGone | None = None
    image_tokens: int | None = None
    tags: tuple[str, ...] = ()
    best_for: str = ""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    title: str
    dialect: Dialect
    auth: Auth
    base_url: str | None = None
    anthropic_base_url: str | None = None
    env: tuple[str, ...] = ()
    cap_field: CapField = "max_tokens"
    thinking_in_cap: bool = True
    stream_usage: bool = True
    on_client_gone: OnClientGone = "abort"
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


def read(text: str) -> Provider:
    """One provider from its TOML. Raises ValueError (tomllib's, msgspec's, money's) naming what is wrong."""
    raw = msgspec.convert(tomllib.loads(text, parse_float=decimal), _File)
    blank = Model(
        name="", upstream="", price=Price(0, 0, 0, 0, 0), cap_field=cap_field(raw.cap_field),
        thinking_in_cap=raw.thinking_in_cap, drain=raw.on_client_gone == "drain",
    )  # fmt: skip
    models = {}
    for name, row in raw.model.items():
        try:
            models[name] = merge(blank, name, _given(row))
        except ValueError as problem:
            raise ValueError(f'{raw.name}, model "{name}": {problem}') from None
    for alias, target in raw.alias.items():
        if alias in models or target not in models:
            raise ValueError(f'{raw.name}, alias "{alias}": it must be no model of its own and lead to one')
    return Provider(
        name=raw.name, title=raw.title, dialect=raw.dialect, base_url=raw.base_url,
        anthropic_base_url=raw.anthropic_base_url,
        auth=raw.auth, env=raw.env, cap_field=cap_field(raw.cap_field), thinking_in_cap=raw.thinking_in_cap,
        stream_usage=raw.stream_usage, drain=raw.on_client_gone == "drain", prices_date=str(raw.prices_date),
        prices_source=raw.prices_source, models=models, aliases=raw.alias,
    )  # fmt: skip


def cap_field(written: str) -> str | None:
    """The request field that caps the output; "none" where the upstream knows none."""
    return None if written == "none" else written


def tier(above: int, prices: Mapping[str, int]) -> Tier:
    """One tier from units per token by class; input and output must be there."""
    whole = {name: prices.get(name, prices["input"]) for name in CLASSES}
    return Tier(above=above, input=prices["input"], output=prices["output"], **whole)


def merge(base: Model, name: str, given: Mapping[str, Any]) -> Model:
    """`base` with the given fields laid over it, under the name `name`.

    `given` holds Model's fields and, beside them, Price's (units per token; `tiers` as Tier). A class that cost the
    input price before goes on costing the input price when only `input` is given. Raises ValueError: tiers not
    ascending, max_output over context.
    """
    model = msgspec.structs.replace(
        base,
        name=name,
        upstream=given.get("upstream") or (base.upstream if base.name else name),
        price=_price(base.price, given),
        **{key: given[key] for key in _PLAIN if key in given},
    )
    if model.context and model.max_output and model.max_output > model.context:
        raise ValueError(f"max_output = {model.max_output} is more than context = {model.context}")
    return model


_PLAIN = ("context", "max_output", "cap_field", "thinking_in_cap", "image_tokens", "drain", "tags", "best_for")


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
    for name in ("input", "output", *CLASSES):
        if (value := getattr(row, name)) is not None:
            given[name] = parse_price(value)
    if row.per_request is not None:
        given["per_request"] = parse_usd(row.per_request)
        if given["per_request"] < 0:
            raise ValueError("per_request is zero or more")
    tiers = []
    for line in row.tiers:
        prices = {
            name: parse_price(value)
            for name in ("input", "output", *CLASSES)
            if (value := getattr(line, name)) is not None
        }
        tiers.append(tier(line.above, prices))
    given["tiers"] = tuple(tiers)
    for name in ("upstream", "context", "max_output", "thinking_in_cap", "image_tokens"):
        if (value := getattr(row, name)) is not None:
            given[name] = value
    if row.cap_field is not None:
        given["cap_field"] = cap_field(row.cap_field)
    if row.on_client_gone is not None:
        given["drain"] = row.on_client_gone == "drain"
    return {**given, "tags": row.tags, "best_for": row.best_for}
