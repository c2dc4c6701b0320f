"""Models: which there are, what each is for and what it costs this account, and what a call of some size would cost at
each."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from quart import Blueprint, Response

from ftgate.core.money import format_price, format_usd
from ftgate.core.pricing import ONE, Multiplier, Price, Tier, charge, total
from ftgate.core.routing import Channel, Model, Routes
from ftgate.core.usage import Usage
from ftgate.errors import InvalidRequest, NotFound
from ftgate.web.api.models import served
from ftgate.web.asked import chosen, text
from ftgate.web.asking import Asker
from ftgate.web.pages import lists
from ftgate.web.pages.desk import Desk
from ftgate.web.pages.writing import count

MOST_TOKENS = 1_000_000_000
SORTS = ("name", "input", "output", "cached", "context", "cost")
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
CLASSES = (
    ("input", "Input"), ("cached", "Cached input"), ("cache_write", "Cache write"),
    ("cache_write_1h", "Cache write, 1 hour"), ("output", "Output"),
)  # fmt: skip


class Shown(msgspec.Struct, frozen=True):
    """One model as the list has it. Prices are texts of USD for a million tokens, with the plan's factor, and those
    that hold now; `cost` is units of the call that was asked for, None where none was."""

    name: str
    provider: str
    model: Model
    price: Price
    input: str
    output: str
    cached: str
    names: tuple[str, ...]
    cost: int | None


def add(routes: Blueprint, desk: Desk) -> None:
    @routes.get("/prices")
    async def prices() -> Response:
        asker = await desk.person()
        size = _size()
        rows, factor = _rows(desk, asker, size)
        found = _sorted([row for row in rows if _matches(row, text("q"))], chosen("sort", SORTS))
        if (form := lists.form()) != "html":
            listed: list[Mapping[str, object]] = [_plain(row) for row in found]
            return lists.as_file({"data": listed, "total": len(found)}, "models", form)
        return desk.show(
            "prices/list.html", asker, part=lists.part(found), of=len(rows), size=size, sort=chosen("sort", SORTS),
            factor=_decimal(factor) if factor != ONE else "",
        )  # fmt: skip

    @routes.get("/prices/<path:name>")
    async def one(name: str) -> Response:
        asker = await desk.person()
        rows, factor = _rows(desk, asker, None)
        row = next((row for row in rows if row.name == name or name in row.names), None)
        if row is None:
            raise NotFound(f"There is no model {name[:200]!r} here that your plan allows")
        live = desk.guard.line.settings.routes
        return desk.show(
            "prices/one.html", asker, row=row, model=row.model, factor=_decimal(factor) if factor != ONE else "",
            prices=_worth_showing(_hours(row.model, factor) + _table(row.model, factor)),
            channels=[channel.name for channel in live.serving(row.name)] if asker.is_operator else [],
        )  # fmt: skip


def _rows(desk: Desk, asker: Asker, size: tuple[int, int] | None) -> tuple[list[Shown], Multiplier]:
    """Every model that the account may use, and its plan's factor. Raises Forbidden for a plan that is gone."""
    settings = desk.guard.line.settings
    terms, routes = settings.terms(asker.person.plan), settings.routes
    names, now_us = _names(routes), time.time_ns() // 1000
    found = served(routes, (), terms).items()
    factor = terms.multiplier
    return [_shown(name, *place, names.get(name, ()), factor, size, now_us) for name, place in found], factor


def _names(routes: Routes) -> Mapping[str, tuple[str, ...]]:
    """Of each model the other names that lead to it."""
    found: dict[str, list[str]] = {}
    for alias in sorted(routes.aliases):
        if (target := routes.resolve(alias)) != alias:
            found.setdefault(target, []).append(alias)
    return {name: tuple(aliases) for name, aliases in found.items()}


def _shown(
    name: str, channel: Channel, model: Model, names: tuple[str, ...], factor: Multiplier,
    size: tuple[int, int] | None, now_us: int,
) -> Shown:  # fmt: skip
    price = model.price_at(now_us)
    cost = None
    if size is not None:
        into, out = size
        cost = total([charge(price, Usage(input=into, output=0 if model.kind == "embeddings" else out))], factor)
    said = {what: per_million(getattr(price, what), factor) for what in ("input", "output", "cached")}
    return Shown(name, channel.provider, model, price, names=names, cost=cost, **said)


def per_million(units: int, factor: Multiplier) -> str:
    """Units for a token as USD for a million, with a factor: exact where that has an end within twelve decimals."""
    whole, rest = divmod(units * factor.numerator, factor.denominator)
    dollars, _, part = format_price(whole).partition(".")
    return f"{'≈ ' if rest else ''}{dollars}.{part.ljust(2, '0')}"


def _decimal(factor: Multiplier) -> str:
    """A factor as a plan says it: 1.5, or a fraction."""
    whole, rest = divmod(factor.numerator * 10**6, factor.denominator)
    return f"{factor.numerator}/{factor.denominator}" if rest else format_usd(whole * 10**6)


def _table(model: Model, factor: Multiplier) -> list[tuple[str, list[tuple[str, str]]]]:
    """Its prices, each with when it holds: the plain one, then those of longer prompts."""
    tiers: Sequence[Price | Tier] = (model.price, *model.price.tiers)
    first = "otherwise" if model.hours else "every call"
    whens = [f"prompts up to {count(model.price.tiers[0].above)} tokens" if model.price.tiers else first]
    whens += [f"prompts above {count(tier.above)} tokens" for tier in model.price.tiers]
    return [(when, _classes(tier, factor)) for when, tier in zip(whens, tiers, strict=True)]


def _worth_showing(table: list[tuple[str, list[tuple[str, str]]]]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Without the classes that cost what input costs, wherever they stand."""
    own = {words for _, classes in table for words, price in classes if price != classes[0][1]}
    return [
        (when, [one for one in classes if one is classes[0] or one[0] in own | {"Output"}]) for when, classes in table
    ]


def _classes(price: Price | Tier, factor: Multiplier) -> list[tuple[str, str]]:
    return [(words, per_million(getattr(price, name), factor)) for name, words in CLASSES]


def _hours(model: Model, factor: Multiplier) -> list[tuple[str, list[tuple[str, str]]]]:
    """Its prices at certain hours, in UTC."""
    found = []
    for its in model.hours:
        spans = ", ".join(f"{_clock(start)}–{_clock(end)}" for start, end in its.spans)
        days = "every day" if len(its.days) == 7 else _days(sorted(its.days))
        found.append((f"{spans} UTC, {days}", _classes(its.price, factor)))
    return found


def _days(days: Sequence[int]) -> str:
    if len(days) > 2 and days[-1] - days[0] == len(days) - 1:
        return f"{DAYS[days[0]]}–{DAYS[days[-1]]}"
    return ", ".join(DAYS[day] for day in days)


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _size() -> tuple[int, int] | None:
    """The call whose cost is asked for: tokens in and out. Raises InvalidRequest."""
    if text("in") is None and text("out") is None:
        return None
    found = []
    for name in ("in", "out"):
        said = (text(name) or "0").replace(",", "").replace(" ", "").replace("_", "")
        if not (said.isascii() and said.isdecimal()) or int(said[:12]) > MOST_TOKENS:
            raise InvalidRequest(f"Tokens {name} is a whole number up to {MOST_TOKENS:,}", param=name)
        found.append(int(said))
    return found[0], found[1]


def _matches(row: Shown, said: str | None) -> bool:
    """Whether all of these words stand somewhere in what is said of it."""
    model = row.model
    where = " ".join((row.name, row.provider, model.kind, model.best_for, *model.tags, *row.names)).lower()
    return all(word in where for word in (said or "").lower().split())


def _sorted(rows: list[Shown], sort: str) -> list[Shown]:
    keys: dict[str, Callable[[Shown], Any]] = {
        "name": lambda row: row.name, "input": lambda row: row.price.input, "output": lambda row: row.price.output,
        "cached": lambda row: row.price.cached, "context": lambda row: -(row.model.context or 0),
        "cost": lambda row: (row.cost or 0, row.price.input + row.price.output),
    }  # fmt: skip
    return sorted(sorted(rows, key=keys["name"]), key=keys[sort])


def _plain(row: Shown) -> Mapping[str, object]:
    """A model as a file has it."""
    return {
        "id": row.name, "provider": row.provider, "kind": row.model.kind, "input": row.input, "cached": row.cached,
        "output": row.output, "context": row.model.context, "max_output": row.model.max_output,
        "best_for": row.model.best_for, "tags": " ".join(row.model.tags), "priced_from": row.model.priced_from,
        "cost": None if row.cost is None else format_usd(row.cost),
    }  # fmt: skip
