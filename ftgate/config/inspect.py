"""The settings in force, one by one, with where each comes from; secrets only as "set"."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import msgspec

from ftgate import dialects
from ftgate.config import settings
from ftgate.config.changes import needing_restart
from ftgate.config.channel_settings import ChannelSettings
from ftgate.config.lines import Where
from ftgate.config.load import dotted, fields
from ftgate.config.note import Note
from ftgate.config.settings import Settings
from ftgate.core.money import format_usd
from ftgate.core.pricing import Multiplier
from ftgate.core.routing import Channel
from ftgate.core.secret import Secret

SET = "set"
"""All that is shown of a secret, and of what may hold one."""
SECTIONS: tuple[str, ...] = (
    "server",
    "database",
    "backup",
    "billing",
    "stripe",
    "telemetry",
    "limits",
    "timeouts",
    "retry",
    "breaker",
)
OPEN_KINDS = frozenset(("", "usd", "readable", "networks", "origins", "multiplier"))
"""Kinds of values that hold nothing secret, beside addresses, which are shown without it."""


NAMED_OTHERWISE = {"drain_seconds": "drain_s", "drain_usd": "drain_most"}
DIALECTS = {"base_url": "", "anthropic_base_url": "anthropic_messages", "responses_base_url": "openai_responses"}


NONE: Mapping[str, object] = MappingProxyType({})


def inspected(config: Settings, started: Settings, given: Mapping[str, object] = NONE) -> list[dict[str, object]]:
    """Every setting, in the order of the example. Of one that only a start obeys `value` is what the process has
    `started` with; what it will start with the next time, where that is another, stands in `after_restart`. What the
    command line has `given`, by name, holds whatever the file says."""
    rows = [
        {"name": dotted(tuple(map(str, name))), "value": value, "origin": _origin(config, where)}
        for name, value, where in _all(config)
    ]
    if later := set(needing_restart(started, config)):
        now = {dotted(tuple(map(str, name))): value for name, value, _ in _all(started)}
        for row in rows:
            if row["name"] in later:
                row |= {"value": now.get(str(row["name"])), "after_restart": row["value"]}
    return [_as_given(row, given) for row in rows]


def _as_given(row: dict[str, object], given: Mapping[str, object]) -> dict[str, object]:
    name = str(row["name"])
    return {"name": name, "value": given[name], "origin": "command line"} if name in given else row


def _origin(config: Settings, where: Where) -> str:
    if where in config.lines:
        return f"file:{config.lines[where]}"
    return "environment" if config.found and where[0] == "channel" else "default"


def _all(config: Settings) -> Iterator[tuple[Where, object, Where]]:
    for section in SECTIONS:
        yield from _section((section,), getattr(config, section))
    yield from _section(("limits", "account"), config.limits_account)
    for name, rates in config.limits_model.items():
        yield from _section(("limits", "model", name), rates)
    for name, plan in config.plans.items():
        yield from _plan(("plan", name), plan)
    for at, channel in enumerate(config.routes.channels):
        yield from _channel(config, at, channel.name)
    for name, override in config.providers.items():
        for field, value, where in _section(("provider", name), override):
            if where in config.lines:
                yield field, value, where
    routes = config.routes
    for section, rows in (("alias", routes.aliases), ("fallback", routes.fallback), ("auto", routes.auto)):
        for name, value in rows.items():
            yield (section, name), _plain(value), (section, name)
    if routes.first_token_target is not None:
        yield ("auto", "first_token_target"), routes.first_token_target, ("auto", "first_token_target")


def _section(where: Where, found: msgspec.Struct) -> Iterator[tuple[Where, object, Where]]:
    for name, (_, note) in fields(type(found)).items():
        yield (*where, name), _shown(getattr(found, name), note), (*where, name)


def _plan(where: Where, plan: settings.Plan) -> Iterator[tuple[Where, object, Where]]:
    for name, (_, note) in fields(settings.PlanSettings).items():
        yield (*where, name), _shown(getattr(plan, name), note), (*where, name)
    if plan.rates is not None:
        yield from _section(where, plan.rates)


def _channel(config: Settings, at: int, called: str) -> Iterator[tuple[Where, object, Where]]:
    """Of a channel what was given; its place in the list is its name's."""
    channel = config.routes.channels[at]
    for name, (_, note) in fields(ChannelSettings).items():
        where = ("channel", at, name)
        if where not in config.lines and name not in ("name", "provider"):
            continue
        yield ("channel", called, name), _of_channel(channel, name, note), where


def _of_channel(channel: Channel, name: str, note: Note) -> object:
    """What a channel has of a setting that was given; what the channel does not tell is only "set"."""
    if name in NAMED_OTHERWISE:
        return _shown(getattr(channel, NAMED_OTHERWISE[name]), note)
    if note.kind in OPEN_KINDS and hasattr(channel, name):
        return _shown(getattr(channel, name), note)
    if name == "timeouts":
        return msgspec.to_builtins(channel.timeouts)
    if name == "models":
        return list(channel.models)
    if name == "on_client_gone":
        return "drain" if channel.drain else "abort"
    if name == "http2":
        return channel.reach.http2
    if name in DIALECTS:
        found = channel.addresses.get(DIALECTS[name]) or next(iter(channel.addresses.values()))
        return _address(found.url.removesuffix(dialects.ADDRESSES[found.dialect]))
    return SET


def _shown(value: object, note: Note) -> object:
    """A value as JSON has it: amounts are decimal texts, and what may be secret is "set"."""
    if value is None or isinstance(value, Secret):
        return None if value is None else SET
    if note.kind == "url" and isinstance(value, str):
        return _address(value)
    if note.kind not in OPEN_KINDS:
        return SET if value else None
    if note.kind == "usd" and isinstance(value, int):
        return format_usd(value)
    return _plain(value)


def _plain(value: Any) -> object:
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, Multiplier):
        return format(Decimal(value.numerator) / value.denominator, "f")
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Secret):
        return SET
    return value


def _address(url: str) -> str:
    """Without a name and a password, and without a query: both may be secret."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
