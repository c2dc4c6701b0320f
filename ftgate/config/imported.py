"""Prices of a public list beside those of the config and its catalogue; and the text that puts them into the config.

They are written as [provider.NAME.models."MODEL"] between two marks at the file's end, each model with all its prices,
so that what is between the marks can be read, kept and taken out again. What stands there is the import's own: the
next one goes over it. What somebody wrote himself outside of it is never changed.
"""

import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from ftgate.config.build import effective_provider
from ftgate.config.settings import Settings
from ftgate.config.shipped import provider, provider_names
from ftgate.core.money import format_price, format_usd
from ftgate.core.pricing import Hours, Price, Tier, rates
from ftgate.core.routing import Model
from ftgate.providers import catalogue
from ftgate.providers.clock import days_text, span_text
from ftgate.providers.lists import FORMATS, HOURLY, Listed, Lists, read

__all__ = ["FORMATS", "Change", "Compared", "compare", "held_against", "parts", "stamp", "takes", "with_prices"]
BEGIN = "# -- prices by `ftgate prices import`: it writes all between this line and the next mark --"
END = "# -- end of imported prices --"
FOLD = 3
"""By how many times a price may change without a word: a list that is wrong is mostly wrong by a thousand."""
NO_HOURS = "its price depends on the hour, and this list knows no hours"
THINKS_APART = "its thinking has a price of its own, which cannot be said here"
_THINKING = {"enable_thinking", "reasoning_effort", "reasoning"}
"""Fields that let a model think: where one of them is dropped it does not."""
_RATES = ("input", "output", *catalogue.CLASSES)


class Change(msgspec.Struct, frozen=True):
    """What a list says of one model that the config does not say. `fields` are its prices that differ, each now and
    then; `large`: one of them changes over FOLD times, or to or from nothing; `hand`: somebody has set it himself;
    `channels` are those that have a price of their own for it, which counts there."""

    provider: str
    model: str
    was: Model | None
    will: Model
    fields: tuple[tuple[str, str, str], ...]
    large: bool
    hand: bool = False
    channels: tuple[str, ...] = ()


class Compared(msgspec.Struct, frozen=True):
    """`same` models agree; `unlisted` are ours that the list does not have, `unread` its rows that could not be used,
    `others` its models that the catalogue does not have."""

    changes: tuple[Change, ...]
    same: int
    unlisted: tuple[str, ...]
    unread: tuple[tuple[str, str], ...]
    others: int


def held_against(
    config: Settings, before: str, format: str, text: str, *, name: str | None, new: bool
) -> tuple[Mapping[str, str], Compared]:
    """A list's text held against the config, of which `before` is the file's text: which of our providers the list
    knows, and under which names; and what is different. `name` is one provider to look at, by default those that have a
    channel. Raises ValueError, in words for whoever gave it."""
    known = known_as(config, format, name)
    return known, compare(config, read(format, text), known, by_hand(before), new=new, hourly=format in HOURLY)


def takes(change: Change, *, force: bool) -> bool:
    """Whether an import takes a change: what somebody set himself never, a large one only by `force`."""
    return not change.hand and (force or not change.large)


def stamp(format: str, day: str) -> str:
    """What is said of imported prices in the config."""
    return f"from {format}'s list, {day}"


def compare(
    config: Settings, lists: Lists, known: Mapping[str, str], own: Mapping[str, Any], *, new: bool, hourly: bool
) -> Compared:
    """A list beside the config. `known`: the list's names of those of our providers that are to be looked at; `own`:
    the raw [provider] tables that somebody wrote himself. `new`: models that the catalogue does not have, too;
    `hourly`: the list says it where a price depends on the hour."""
    changes: list[Change] = []
    unlisted: list[str] = []
    unread: list[tuple[str, str]] = []
    same = others = 0
    for name, theirs in known.items():
        listed = {model.lower(): its for model, its in lists.get(theirs, {}).items()}
        effective = effective_provider(config, name)
        assert effective is not None
        for model in effective.models.values():
            its = listed.get(model.upstream.lower()) or listed.get(model.name.lower())
            if its is None:
                unlisted.append(f"{name}/{model.name}")
            elif trouble := _trouble(model, its, hourly=hourly):
                unread.append((f"{name}/{model.name}", trouble))
            elif change := _change(name, model, its, own):
                changes.append(msgspec.structs.replace(change, channels=_with_own(config, name, model)))
            else:
                same += 1
        ours = {n.lower() for m in effective.models.values() for n in (m.name, m.upstream)}
        ours |= {alias.lower() for alias in effective.aliases}  # retired names, which lists keep for ever
        rest = {m: its for m, its in lists.get(theirs, {}).items() if m.lower() not in ours and not its.trouble}
        others += len(rest)
        unread += [(f"{name}/{m}", THINKS_APART) for m, its in rest.items() if new and its.apart]
        plain = {m: its for m, its in rest.items() if new and not its.apart}
        changes += [made for m, its in plain.items() if (made := _made(effective, m, its, own))]
    return Compared(tuple(changes), same, tuple(unlisted), tuple(unread), others)


def _trouble(model: Model, its: Listed, *, hourly: bool) -> str:
    """Why what a list says of a model cannot be said of it here; "" where it can."""
    if its.trouble or (model.hours and not hourly):
        return its.trouble or NO_HOURS
    return THINKS_APART if its.apart and _THINKING.isdisjoint(model.drop) else ""


def _change(name: str, was: Model, its: Listed, own: Mapping[str, Any]) -> Change | None:
    """What is different of a model that is known; its limits stay those of the catalogue."""
    given = {of: value for of, value in its.given.items() if of not in ("context", "max_output", "kind")}
    if was.price.tiers or was.hours or "tiers" in given or "hours" in given:
        tiers = tuple(_kept(tier, was.price) for tier in given.get("tiers", ()))
        given = {**given, "tiers": tiers, "hours": given.get("hours", ())}  # a list that names none has none
    will = catalogue.merge(was, was.name, given)
    fields = tuple(_differences(was, will))
    if not fields:
        return None
    hand = was.name in own.get(name, {}).get("models", {})
    return Change(name, was.name, was, will, fields, _is_large(was, will), hand)


def _kept(tier: Tier, was: Price) -> Tier:
    """A tier of a list, with the classes that it does not name as they were."""
    old = next((its for its in was.tiers if its.above == tier.above), tier)
    unsaid = {of: getattr(old, of) for of in catalogue.CLASSES if getattr(tier, of) == tier.input}
    return msgspec.structs.replace(tier, **{of: units for of, units in unsaid.items() if units != old.input})


def _with_own(config: Settings, name: str, model: Model) -> tuple[str, ...]:
    """The channels whose own settings give this model another price than its provider's."""
    there = [channel for channel in config.routes.channels if channel.provider == name and model.name in channel.models]
    return tuple(channel.name for channel in there if channel.models[model.name].price != model.price)


def _made(shipped: catalogue.Provider, model: str, its: Listed, own: Mapping[str, Any]) -> Change | None:
    """A model that is not known; one without a context is left to who knows it."""
    if "context" not in its.given or model in own.get(shipped.name, {}).get("models", {}):
        return None
    free = Price(0, 0, 0, 0, 0)
    blank = Model(
        "", "", free, cap_field=shipped.cap_field, thinking_in_cap=shipped.thinking_in_cap, drain=shipped.drain
    )
    will = catalogue.merge(blank, model, its.given)
    return Change(shipped.name, model, None, will, tuple(_differences(None, will)), will.price.free)


def _differences(was: Model | None, will: Model) -> Iterator[tuple[str, str, str]]:
    for of in (*_RATES, "per_request"):
        write = format_usd if of == "per_request" else format_price
        now = getattr(was.price, of) if was else None
        then = getattr(will.price, of)
        as_input = of in catalogue.CLASSES and then == will.price.input and now == (was.price.input if was else None)
        if now != then and (was or then or of in ("input", "output")) and not as_input:
            yield of, "-" if now is None else write(now), write(then)
    for of in ("tiers", "hours"):
        now, then = (steps_of(model, of) if model else [] for model in (was, will))
        if now != then:
            yield of, _inline(now), _inline(then)


def _is_large(was: Model, will: Model) -> bool:
    """Whether a price changes over FOLD times, or to or from nothing: the plain ones, those of every length of prompt,
    and those of the hours beside what was plain."""
    rows: list[tuple[Price | Tier, Price | Tier]] = [(was.price, will.price)]
    marks = {tier.above for tier in (*was.price.tiers, *will.price.tiers)}
    rows += [(rates(was.price, mark + 1), rates(will.price, mark + 1)) for mark in marks]
    before = {its.price for its in was.hours} or {was.price}
    rows += [(least, its.price) for its in will.hours for least in [min(before, key=lambda price: price.input)]]
    pairs = [(getattr(old, of), getattr(now, of)) for old, now in rows for of in _RATES]
    pairs.append((was.price.per_request, will.price.per_request))
    return any(old != now and max(old, now) > FOLD * min(old, now) for old, now in pairs)


# ---- as TOML ----


def steps_of(model: Model, of: str) -> list[dict[str, Any]]:
    """The tiers or hours of a model as a config has them."""
    if of == "tiers":
        return [{"above": tier.above, **_classes(tier)} for tier in model.price.tiers]
    return [_hours(its) for its in model.hours]


def _hours(its: Hours) -> dict[str, Any]:
    days = {"days": text} if (text := days_text(its.days)) else {}
    return {"utc": [span_text(span) for span in its.spans], **days, **_classes(its.price)}


def _classes(row: Price | Tier) -> dict[str, "Amount"]:
    """A row's prices; a class that costs the input price is left out, as it is read so."""
    classes = {of: getattr(row, of) for of in catalogue.CLASSES if getattr(row, of) != row.input}
    return {
        of: Amount(format_price(units)) for of, units in {"input": row.input, "output": row.output, **classes}.items()
    }


class Amount(str):
    """A number as it is to be written."""

    __slots__ = ()


def _written(change: Change) -> dict[str, Any]:
    """A model's settings: all its prices, and of a new one its limits."""
    will = change.will
    found: dict[str, Any] = dict(_classes(will.price))
    if change.was is not None:
        found |= {of: Amount(format_price(getattr(will.price, of))) for of in catalogue.CLASSES
                  if getattr(change.was.price, of) != change.was.price.input}  # fmt: skip
    elif will.kind != "chat":
        found["kind"] = will.kind
    if will.price.per_request or (change.was and change.was.price.per_request):
        found["per_request"] = Amount(format_usd(will.price.per_request))
    for of in ("tiers", "hours"):
        steps = steps_of(will, of)
        if steps or (change.was and steps_of(change.was, of)):
            found[of] = steps
    if change.was is None:
        found |= {of: value for of in ("context", "max_output") if (value := getattr(will, of)) is not None}
    return found


def _value(value: Any) -> str:
    if isinstance(value, Amount):
        return str(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_value(its)}" for name, its in value.items()) + " }"
    if isinstance(value, bool) or not isinstance(value, str):
        return str(value).lower() if isinstance(value, bool) else str(value)
    return json.dumps(value, ensure_ascii=False)


def _inline(steps: list[dict[str, Any]]) -> str:
    return _value(steps) if steps else "-"


def parts(text: str) -> tuple[str, str, str]:
    """A config before the marks, between them, and behind. Raises ValueError where one of the marks stands alone."""
    lines = text.splitlines(keepends=True)
    places = {mark: [n for n, line in enumerate(lines) if line.strip() == mark] for mark in (BEGIN, END)}
    if not places[BEGIN] and not places[END]:
        return text, "", ""
    if len(places[BEGIN]) != 1 or len(places[END]) != 1 or places[BEGIN][0] > places[END][0]:
        raise ValueError("the marks of imported prices do not stand there once each; take both out, or mend them")
    first, last = places[BEGIN][0], places[END][0]
    return "".join(lines[:first]), "".join(lines[first + 1 : last]), "".join(lines[last + 1 :])


def by_hand(text: str) -> Mapping[str, Any]:
    """The [provider] tables that stand outside of the marks, raw."""
    before, _, behind = parts(text)
    found = tomllib.loads(before + behind).get("provider", {})
    return found if isinstance(found, dict) else {}


def with_prices(text: str, changes: Iterable[Change], source: str) -> str:
    """The config's text with these changes between the marks. What stood there of other models stays; of what is now as
    the catalogue has it nothing is left. Raises ValueError."""
    before, between, behind = parts(text)
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    try:
        kept = tomllib.loads(between, parse_float=Amount).get("provider", {})
        for name, its in kept.items():
            for model, row in its["models"].items():
                rows[name, model] = row
    except (ValueError, KeyError, AttributeError):
        raise ValueError(
            "what stands between the marks of imported prices was changed; mend it, or take it out"
        ) from None
    for change in changes:
        shipped = provider(change.provider).models.get(change.model)
        rows.pop((change.provider, change.model), None)
        if shipped is None or (shipped.price, shipped.hours) != (change.will.price, change.will.hours):
            rows[change.provider, change.model] = _written(change)
    if not rows:
        return before.rstrip("\n") + ("\n" if before.strip() else "") + behind
    lines = [BEGIN, f"# {source}"]
    for (name, model), row in sorted(rows.items()):
        lines += ["", f"[provider.{name}.models.{json.dumps(model, ensure_ascii=False)}]"]
        lines += [f"{of} = {_value(value)}" for of, value in row.items()]
    head = before if not before or before.endswith("\n\n") else before.rstrip("\n") + "\n\n"
    return head + "\n".join([*lines, END]) + "\n" + behind


def known_as(config: Settings, format: str, name: str | None) -> dict[str, str]:
    """The list's names of our providers: of one, or of those that have a channel. Raises ValueError for one that is not
    known, or that the list does not have."""
    if name is not None:
        if name not in provider_names():
            raise ValueError(f'"{name[:40]}" is no provider; ftgate\'s are {", ".join(provider_names())}')
        if format not in provider(name).known_as:
            raise ValueError(f"{format} has no prices of {name}'s")
        return {name: provider(name).known_as[format]}
    names = dict.fromkeys(channel.provider for channel in config.routes.channels)
    return {name: provider(name).known_as[format] for name in names if format in provider(name).known_as}
