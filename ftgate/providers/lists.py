"""Public price lists: what three of them say of a model's prices, in the words that catalogue.merge takes.

    litellm      model_prices_and_context_window.json: {"name": {"litellm_provider", "input_cost_per_token", ...}}
    models.dev   api.json: {"provider": {"models": {"name": {"cost": {"input", ...}, "limit": {...}}}}}
    openrouter   GET /api/v1/models: {"data": [{"id", "pricing": {"prompt", ...}, ...}]}

The first and the last write USD per token, models.dev USD per 1M. A price that is finer than six decimals per 1M is
rounded to them: these lists carry the noise of binary numbers. What a list does not say stays unsaid; a cache write of
zero beside a prompt that costs something means that nothing of its own is charged for it.

Pure: given the text of a list.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from typing import Any

import msgspec

from ftgate.core.money import parse_price, parse_usd
from ftgate.providers import catalogue
from ftgate.providers.clock import days_text

FORMATS = ("models.dev", "litellm", "openrouter")
HOURLY = ("litellm",)
"""Those that say it where a price depends on the hour."""
PER_MILLION = 1_000_000
LONGEST_NAME = 200
"""Characters of a model's name."""
_SIX = Decimal("0.000001")
_WIDE = Context(prec=60)
_CLASSES = {
    "input": "input_cost_per_token", "output": "output_cost_per_token", "cached": "cache_read_input_token_cost",
    "cache_write": "cache_creation_input_token_cost",
    "cache_write_1h": "cache_creation_input_token_cost_above_1hr",
}  # fmt: skip
_ABOVE = re.compile(r"input_cost_per_token_above_([0-9]{1,6})k_tokens")
_KINDS = {"chat": "chat", "responses": "chat", "embedding": "embeddings"}
_MODELS_DEV = {"input": "input", "output": "output", "cached": "cache_read", "cache_write": "cache_write"}
_OPENROUTER = {"input": "prompt", "output": "completion", "cached": "input_cache_read",
               "cache_write": "input_cache_write", "cache_write_1h": "input_cache_write_1h"}  # fmt: skip
_THINKING = {
    "litellm": "output_cost_per_reasoning_token",
    "models.dev": "reasoning",
    "openrouter": "internal_reasoning",
}
"""Under which name a list has the price of thinking, where that is one of its own."""


class Listed(msgspec.Struct, frozen=True):
    """One model of a list. `given` is for catalogue.merge; `trouble` says why it cannot be used. `apart`: its
    thinking has another price than its answer, which is no trouble where it is not let think."""

    given: Mapping[str, Any] = {}
    kind: str = "chat"
    trouble: str = ""
    apart: bool = False


Lists = Mapping[str, Mapping[str, Listed]]
"""By the list's own name of a provider, and the model's name there."""


def read(format: str, text: str) -> Lists:
    """A list of this format (FORMATS). Raises ValueError, in words for whoever gave it."""
    try:
        said = json.loads(text, parse_float=_number, parse_constant=_number)
    except (ValueError, RecursionError) as problem:
        where = f" (line {problem.lineno})" if isinstance(problem, json.JSONDecodeError) else ""
        raise ValueError(f"it is no JSON{where}") from None
    looks = _format_of(said)
    if looks != format:
        hint = f"; it looks like {looks}'s: choose that format (--from {looks})" if looks else ""
        raise ValueError(f"it is no list of {format}'s{hint}")
    found = dict[str, dict[str, Listed]]()
    for provider, name, row, reader in _ROWS[format](said):
        try:
            listed = reader(row)
            if listed is not None and not _is_name(name):
                listed = Listed(trouble="its name is none that a caller could write")
        except (ValueError, ArithmeticError, LookupError, TypeError, AttributeError) as problem:
            listed = Listed(trouble=str(problem) if type(problem) is ValueError else "its row cannot be read")
        if listed is not None:
            found.setdefault(provider, {})[name] = listed
    if not found:
        raise ValueError(f"no model of it has a price that could be read as {format}'s")
    return found


def _number(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        return Decimal("NaN")


def _is_name(text: str) -> bool:
    return 0 < len(text) <= LONGEST_NAME and text.isprintable() and text == text.strip()


def _format_of(said: object) -> str | None:
    """Which list a JSON value looks like."""
    if not isinstance(said, dict):
        return None
    if isinstance(said.get("data"), list):
        return "openrouter"
    rows = [row for row in said.values() if isinstance(row, dict)]
    if any(isinstance(row.get("models"), dict) for row in rows):
        return "models.dev"
    return "litellm" if any("litellm_provider" in row for row in rows) else None


_Row = tuple[str, str, Any, Callable[[Any], Listed | None]]


def _litellm_rows(said: Mapping[str, Any]) -> Iterator[_Row]:
    """Bare names first: the one under its provider's name is the surer one where both are there."""
    rows = [(name, row) for name, row in said.items() if isinstance(row, dict) and name != "sample_spec"]
    for name, row in sorted(rows, key=lambda one: "/" in one[0]):
        provider = row.get("litellm_provider")
        if isinstance(provider, str):
            yield provider, name.removeprefix(f"{provider}/"), row, _litellm


def _models_dev_rows(said: Mapping[str, Any]) -> Iterator[_Row]:
    for provider, row in said.items():
        models = row.get("models") if isinstance(row, dict) else None
        for name, model in models.items() if isinstance(models, dict) else ():
            yield provider, name, model, _models_dev


def _openrouter_rows(said: Mapping[str, Any]) -> Iterator[_Row]:
    for row in said["data"]:
        if isinstance(row, dict) and isinstance(row.get("id"), str):
            yield "openrouter", row["id"], row, _openrouter


_ROWS: Mapping[str, Callable[[Any], Iterator[_Row]]] = {
    "litellm": _litellm_rows, "models.dev": _models_dev_rows, "openrouter": _openrouter_rows,
}  # fmt: skip


# ---- numbers ----


def _units(value: object, times: int) -> int:
    """Units per token of a price that is `times` too small to be USD per 1M. Raises ValueError."""
    if isinstance(value, str):
        value = _number(value)
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        raise ValueError("a price in it is no number")
    price = _WIDE.multiply(Decimal(value), Decimal(times))
    if price == -times:
        raise ValueError("its price varies")  # OpenRouter says -1 of what it chooses itself
    if not price.is_finite() or price < 0:
        raise ValueError("a price in it is negative or no number")
    return parse_price(price.quantize(_SIX, ROUND_HALF_EVEN, _WIDE))


def _prices(row: Mapping[str, Any], names: Mapping[str, str], times: int) -> dict[str, int]:
    """Units per token of each class that a row names."""
    found = {of: _units(row[name], times) for of, name in names.items() if row.get(name) is not None}
    for of in ("cache_write", "cache_write_1h"):
        if found.get("input") and found.get(of) == 0:
            del found[of]
    return found


def _apart(row: Mapping[str, Any], format: str, output: int | None, times: int) -> bool:
    """Whether thinking has another price than the output beside it."""
    thought = row.get(_THINKING[format])
    return thought is not None and _units(thought, times) not in (0, output)


def _whole(value: object) -> int | None:
    """A count of tokens; None where none is stated."""
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        return None
    told = Decimal(value)  # not yet an int: 1e999999 would be one of a million digits
    return int(told) if told.is_finite() and 0 < told <= 10**9 and told == told.to_integral_value() else None


def _listed(
    prices: dict[str, int], kind: str, context: object, output: object, *, apart: bool = False, **more: Any
) -> Listed:
    """A model with these prices, each class that is there, and limits."""
    if "input" not in prices or ("output" not in prices and kind == "chat"):
        raise ValueError("it has no price of input or output")
    if more.get("tiers") and more.get("hours"):
        raise ValueError("its price depends on the hour and on the prompt's length, which cannot be said at once")
    marks = [tier.above for tier in more.get("tiers", ())]
    if marks != sorted(set(marks)):
        raise ValueError("its tiers do not ascend")
    given: dict[str, Any] = {**prices, **{name: value for name, value in more.items() if value}}
    if kind == "embeddings":
        given["kind"], given["output"] = kind, 0
    limits = {"context": _whole(context), "max_output": _whole(output) if kind == "chat" else None}
    if limits["context"] and limits["max_output"]:
        limits["max_output"] = min(limits["max_output"], limits["context"])
    return Listed({**given, **{name: value for name, value in limits.items() if value is not None}}, kind, apart=apart)


# ---- LiteLLM ----


def _litellm(row: Mapping[str, Any]) -> Listed | None:
    kind = _KINDS.get(str(row.get("mode", "chat")))
    if kind is None:
        return None
    steps = row.get("tiered_pricing")
    first = {**row, **steps[0]} if isinstance(steps, list) and steps else row
    prices = _prices(first, _CLASSES, PER_MILLION)
    tiers = tuple(_litellm_tiers(row)) or tuple(_litellm_steps(steps))
    hours = tuple(_litellm_hours(row.get("off_peak_pricing")))
    apart = any(
        _apart(its, "litellm", _prices(its, _CLASSES, PER_MILLION).get("output"), PER_MILLION)
        for its in [first, *(steps[1:] if isinstance(steps, list) else ())]
    )
    return _listed(
        prices, kind, row.get("max_input_tokens"), row.get("max_output_tokens"), apart=apart, tiers=tiers, hours=hours
    )


def _litellm_tiers(row: Mapping[str, Any]) -> Iterator[object]:
    marks = sorted(int(found[1]) for name in row if (found := _ABOVE.fullmatch(name)))
    for thousands in marks:
        names = {of: f"{name}_above_{thousands}k_tokens" for of, name in _CLASSES.items()}
        prices = _prices(row, names, PER_MILLION)
        output = _units(row[_CLASSES["output"]], PER_MILLION)
        yield catalogue.tier(thousands * 1000, {"output": output, **prices})


def _litellm_steps(steps: object) -> Iterator[object]:
    for step in steps[1:] if isinstance(steps, list) else ():
        above = _whole(step["range"][0])
        if above is None:
            raise ValueError("its tiers have no bounds that could be read")
        yield catalogue.tier(above, _prices(step, _CLASSES, PER_MILLION))


def _litellm_hours(said: object) -> Iterator[object]:
    if not isinstance(said, dict):
        return
    if said.get("weekday_timezone", "UTC") != "UTC" or not isinstance(said.get("windows"), list):
        raise ValueError("its hours are those of a time zone, which cannot be said here")
    prices = _prices(said, _CLASSES, PER_MILLION)
    for window in said["windows"]:
        hours = window["hours_utc"]
        spans = [_to_midnight(span) for span in ([hours] if isinstance(hours, str) else hours)]
        days = days_text(tuple(_day(day) for day in window.get("weekdays", range(1, 8))))
        yield catalogue.hours(tuple(spans), days, prices)


def _day(said: object) -> int:
    """A day of the week from 0, which LiteLLM counts from 1."""
    day = _whole(said)
    if day is None:
        raise ValueError("its hours name a day that there is not")
    return day - 1


def _to_midnight(span: str) -> str:
    """LiteLLM writes a day's end as its beginning."""
    return f"{span.removesuffix('-00:00')}-24:00" if span.endswith("-00:00") else span


# ---- models.dev ----


def _models_dev(row: Mapping[str, Any]) -> Listed | None:
    cost = row.get("cost")
    if not isinstance(cost, dict):
        return None
    kind = "embeddings" if "embed" in str(row.get("family", "")) + str(row.get("id", "")) else "chat"
    if kind == "chat" and "text" not in row.get("modalities", {}).get("output", ["text"]):
        return None
    tiers = [
        catalogue.tier(_bound(step["tier"]), _prices(step, _MODELS_DEV, 1))
        for step in cost.get("tiers", ())
    ]  # fmt: skip
    if not tiers and isinstance(over := cost.get("context_over_200k"), dict):
        tiers = [catalogue.tier(200_000, _prices(over, _MODELS_DEV, 1))]
    limit = row.get("limit", {})
    prices = _prices(cost, _MODELS_DEV, 1)
    return _listed(
        prices, kind, limit.get("context"), limit.get("output"), tiers=tuple(tiers),
        apart=_apart(cost, "models.dev", prices.get("output"), 1),
    )  # fmt: skip


def _bound(tier: Mapping[str, Any]) -> int:
    size = _whole(tier.get("size"))
    if tier.get("type", "context") != "context" or size is None:
        raise ValueError("its tiers have no bounds that could be read")
    return size


# ---- OpenRouter ----


def _openrouter(row: Mapping[str, Any]) -> Listed | None:
    pricing = row.get("pricing")
    if not isinstance(pricing, dict):
        return None
    outputs = (row.get("architecture") or {}).get("output_modalities") or ["text"]
    kind = "embeddings" if "embeddings" in outputs else "chat"
    if kind == "chat" and "text" not in outputs:
        return None
    request = _number(str(pricing.get("request") or 0))
    if not request.is_finite() or request < 0:
        raise ValueError("a price in it is negative or no number")
    if pricing.get("discount") and _number(str(pricing["discount"])) != 0:
        raise ValueError("its price is a discounted one")
    top = row.get("top_provider") or {}
    prices = _prices(pricing, _OPENROUTER, PER_MILLION)
    return _listed(
        prices, kind, row.get("context_length"), top.get("max_completion_tokens"), per_request=parse_usd(request),
        apart=_apart(pricing, "openrouter", prices.get("output"), PER_MILLION),
    )  # fmt: skip
