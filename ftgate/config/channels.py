"""From [[channel]] rows to routing.Channel: the catalogue's provider, its overrides, the channel's own models and
limits."""

from collections.abc import Mapping
from typing import Any

import msgspec

from ftgate import dialects
from ftgate.config.channel_settings import ChannelSettings, ModelSettings, ProviderOverride
from ftgate.config.load import Reading, fields, nearest
from ftgate.config.shipped import provider, provider_names
from ftgate.config.values import Veiled, shown
from ftgate.core.habits import Habits
from ftgate.core.pricing import Price
from ftgate.core.routing import Address, Channel, Model, Reach, Timeouts
from ftgate.core.secret import OWN_KEY, Secret
from ftgate.providers import catalogue

FREE = Price(0, 0, 0, 0, 0)

DRAINS = (("drain_s", "drain_seconds"), ("drain_most", "drain_usd"))
"""Fields of a channel, and the settings they are."""


class Builder:
    """Builds the channels of one reading, noting every fault in it."""

    def __init__(
        self, reading: Reading, timeouts: Timeouts, overrides: Mapping[str, ProviderOverride], hold_lifetime: float
    ) -> None:
        self.reading = reading
        self.timeouts = timeouts
        self.hold_lifetime = hold_lifetime
        self.names: dict[str, int] = {}
        self.overrides = {
            name: msgspec.structs.replace(its, models=self._own_models(name, its)) for name, its in overrides.items()
        }

    def build(self) -> tuple[Channel, ...]:
        rows = self.reading.raw.get("channel", [])
        if not isinstance(rows, list):
            self.reading.fault(
                ("channel",), "[channel] is one table, but there may be several. Write [[channel]] with two brackets."
            )
            return ()
        return tuple(built for index, row in enumerate(rows) if (built := self._channel(index, row)))

    def _channel(self, index: int, raw: object) -> Channel | None:
        reading, where = self.reading, ("channel", index)
        row = reading.table(where, raw)
        given = reading.given(where, row, ChannelSettings)
        for name in ("name", "provider"):
            if name not in row:
                reading.at((*where, name), f' is missing. Write {name} = "{"main" if name == "name" else "deepseek"}".')
        if called := given.get("name"):
            if called in self.names:
                reading.at(
                    (*where, "name"),
                    f" is taken by the channel of line {self.names[called]}. Give each channel a name of its own.",
                )
            if called.strip("/") != called or "//" in called:
                words = "begins or ends with a slash or has two in a row, and paths cannot name it"
                reading.at((*where, "name"), f" {words}. Write single ones within.")
            self.names.setdefault(called, reading.line((*where, "name")))
        shipped = self._provider(where, given)
        timeouts = self._timeouts(where, given)
        if shipped is None:
            return None
        base = self._base(where, row, given, shipped)
        auth, credentials = self._auth(where, row, given, shipped)
        models = self._models(where, given, shipped)
        if not called or base is None:
            return None
        self._check_drops(where, given, models)
        plain = ("priority", "weight", "charge_left_before_content", "query", "affinity", "monthly_cap")
        return Channel(
            name=called,
            provider=shipped.name,
            addresses=self._addresses(given, shipped, base, auth),
            credentials=credentials,
            models=models,
            timeouts=timeouts,
            stream_usage=shipped.stream_usage,
            takes=shipped.takes,
            errors=shipped.errors,
            headers=_over(shipped.headers, given.get("headers", {})),
            drop_params=tuple(dict.fromkeys((*shipped.drop, *given.get("drop_params", ())))),
            drain=given.get("on_client_gone") == "drain",
            reach=Reach(
                given.get("ca_file"), given.get("proxy"), http2=given.get("http2", False), built_in=shipped.built_in
            ),
            **{key: given[key] for key in plain if key in given},
            **{field: given[key] for field, key in DRAINS if key in given},
        )

    def _addresses(
        self, given: dict[str, Any], shipped: catalogue.Provider, base: str, auth: str
    ) -> dict[str, Address]:
        """The channel's address in each dialect it speaks: its own settings before the provider's overrides before the
        catalogue's."""
        provider = overridden(shipped, self.overrides.get(shipped.name))
        bases = elsewhere(provider, shipped) if base != provider.base else dict(provider.bases)
        bases |= {dialect: changed(shipped.bases, dialect, given[name]) for name, dialect in PREFIXES if name in given}
        own = msgspec.structs.replace(shipped.bases[shipped.dialect], base_url=base, auth=auth)
        dropped = given.get("drop_params", ())
        return spoken({shipped.dialect: own} | bases | {shipped.dialect: own}, dropped)

    def _check_drops(self, where: tuple[str, int], given: dict[str, Any], models: dict[str, Model]) -> None:
        """A dropped field must not be one that the call, or its price, depends on."""
        for name in given.get("drop_params", ()):
            words = None
            if name in {"messages", "model", "stream", "input", "prompt"}:
                words = "which no call can do without. Take it out of the list."
            elif capped := next((model.name for model in models.values() if model.cap_field == name), None):
                words = (
                    f'which caps the output of "{capped}". Without it a hold bounds nothing; set its cap_field '
                    "to another."
                )
            if words:
                row = self.reading.raw["channel"][where[1]]
                label = f'[[channel]] "{row.get("name", where[1] + 1)}"'
                self.reading.fault((*where, "drop_params"), f'{label}: drop_params names "{name}", {words}')

    def _provider(self, where: tuple[str, int], given: dict[str, Any]) -> catalogue.Provider | None:
        name = given.get("provider")
        if name in provider_names():
            shipped, override = provider(name), self.overrides.get(name)
            return msgspec.structs.replace(shipped, models=_models_of(shipped, override)) if override else shipped
        if name:
            hint = nearest(name, provider_names())
            self.reading.at(
                (*where, "provider"),
                f' = {shown(name)} is not in the catalogue. {hint} Any other: "openai-compatible".',
            )
        return None

    def _timeouts(self, where: tuple[str, int], given: dict[str, Any]) -> Timeouts:
        path = (*where, "timeouts")
        timeouts = self.timeouts
        if "timeouts" in given:
            timeouts = msgspec.structs.replace(timeouts, **self.reading.given(path, given["timeouts"], Timeouts))
            if timeouts.total != self.timeouts.total:
                check_lifetime(self.reading, (*path, "total"), timeouts, self.hold_lifetime)
        return timeouts

    def _base(
        self, where: tuple[str, int], row: dict[str, Any], given: dict[str, Any], shipped: catalogue.Provider
    ) -> str | None:
        base = given.get("base_url") or overridden(shipped, self.overrides.get(shipped.name)).base
        if base is None and "base_url" not in row:
            like = "http://127.0.0.1:9000/v1"
            self.reading.at(
                (*where, "base_url"),
                f" is missing; {shipped.name} has none of its own. Write the whole prefix, like {like}.",
            )
        return base

    def _auth(
        self, where: tuple[str, int], row: dict[str, Any], given: dict[str, Any], shipped: catalogue.Provider
    ) -> tuple[str, tuple[Secret, ...]]:
        """How to sign in. Without a key no header is sent; a key for a provider that needs none (Ollama's cloud) goes
        as Bearer."""
        nothing = (Secret(""),)
        credentials = given.get("keys") or nothing
        if "keys" not in row and shipped.auth != "none":
            like = f'["env:{shipped.env[0]}"]' if shipped.env else '["env:NAME"], or ["none"] where it needs no key'
            self.reading.at((*where, "keys"), f" is missing. Write keys = {like}.")
        self._check_own(where, given, credentials, shipped)
        auth: str = shipped.auth
        return ("bearer" if auth == "none" and credentials != nothing else auth), credentials

    def _check_own(
        self,
        where: tuple[str, int],
        given: dict[str, Any],
        credentials: tuple[Secret, ...],
        shipped: catalogue.Provider,
    ) -> None:
        """A key of ours does not go to a provider. At an address that the config names another ftgate may stand, which
        takes keys of this kind."""
        override = self.overrides.get(shipped.name)
        if given.get("base_url") or (override is not None and overridden(shipped, override).base != shipped.base):
            return
        if any(key.reveal().startswith(OWN_KEY) for key in credentials):
            words = f" holds a key of this gateway ({OWN_KEY}…), which {shipped.name} does not take. Write its own."
            self.reading.at((*where, "keys"), words)
        for name in ("headers", "query"):
            if any(OWN_KEY in value for value in given.get(name, {}).values()):
                self.reading.at((*where, name), f" holds a key of this gateway ({OWN_KEY}…). Leave it out.")

    # -- models

    def _own_models(self, name: str, override: ProviderOverride) -> dict[str, Model]:
        """Those of [provider.NAME], over the catalogue's."""
        where = ("provider", name, "models")
        rows = self.reading.named(where, override.models, fields(ModelSettings))
        shipped = provider(name) if name in provider_names() else None
        found = {n: self._model((*where, n), n, row, shipped) for n, row in rows.items() if shipped is not None}
        return {n: model for n, model in found.items() if model is not None}

    def _models(self, where: tuple[str, int], given: dict[str, Any], shipped: catalogue.Provider) -> dict[str, Model]:
        reading, path = self.reading, (*where, "models")
        own = reading.named(path, given.get("models", {}), fields(ModelSettings))
        models = {} if given.get("models_only") else dict(shipped.models)
        for name, row in own.items():
            if not name.strip() or not name.isprintable():
                reading.at(path, " holds an empty or unprintable name. Give the model a name callers can write.")
            elif model := self._model((*path, name), name, row, shipped):
                models[name] = model
        if not models and not given.get("models"):
            say = reading.fault if shipped.priced else reading.warn
            say(
                path,
                f'{reading.label(path)} is empty, so nothing can be called here. Add [channel.models."NAME"] with '
                "its prices.",
            )
        if (gone := given.get("on_client_gone")) is not None:
            models = {name: msgspec.structs.replace(model, drain=gone == "drain") for name, model in models.items()}
        return models

    def _model(self, where: tuple[str | int, ...], name: str, raw: object, shipped: catalogue.Provider) -> Model | None:
        reading = self.reading
        row = reading.table(where, raw)
        given = reading.given(where, row, ModelSettings)
        base = shipped.models.get(name)
        if likeness := given.pop("like", None):
            base = shipped.models.get(likeness)
            if base is None:
                hint = nearest(likeness, shipped.models)
                reading.at((*where, "like"), f" = {shown(likeness)} is no model of {shipped.name}. {hint}")
                return None
            base = msgspec.structs.replace(base, upstream=name)
        if base is None:
            absent = [price for price in ("input", "output") if price not in row]
            if absent and shipped.priced and isinstance(raw, dict):
                words = f" has no price: {' and '.join(absent)} missing. Write USD per 1M tokens, 0 where it is free."
                reading.at(where, words)
            base = Model(
                name="", upstream="", price=FREE, cap_field=shipped.cap_field, thinking_in_cap=shipped.thinking_in_cap,
                drain=shipped.drain
            )  # fmt: skip
        elif base.price.tiers and {"input", "output"} & given.keys() and "tiers" not in row:
            reading.warn(
                where,
                f"{reading.label(where)} has prices of its own, but keeps the catalogue's tiers. Write tiers = [] to "
                "drop them.",
            )
        if "cap_field" in given:
            given["cap_field"] = catalogue.cap_field(given["cap_field"])
        try:
            return catalogue.merge(base, name, given)
        except ValueError as problem:
            spot = next((key for key in ("max_output", "context") if key in row), None)
            reading.fault(
                (*where, spot) if spot else where,
                f"{reading.label(where)}: {problem}. Lower the one or raise the other.",
            )
            return None


def spoken(bases: Mapping[str, catalogue.Base], dropped: tuple[str, ...] = ()) -> dict[str, Address]:
    """The address in each dialect that is spoken at these bases, whose own dialect comes first."""
    found: dict[str, Address] = {}
    for dialect, its in bases.items():
        habits = _without(its.habits, dropped)
        for name in (dialect, *its.also):
            url = f"{its.base_url}{dialects.ADDRESSES[name]}"
            found.setdefault(name, Address(name, url, its.auth, dialects.cap_fields(name), habits))
    return found


def _over(headers: Mapping[str, str], own: Mapping[str, str]) -> Mapping[str, str]:
    """A provider's headers under the channel's own, whatever the case of their names."""
    written = {name.lower() for name in own}
    return Veiled({name: value for name, value in headers.items() if name.lower() not in written} | dict(own))


def _without(habits: Habits | None, dropped: tuple[str, ...]) -> Habits | None:
    """What a provider wants of every request, but for fields that the channel leaves out."""
    if habits is None or not habits.fill.keys() & set(dropped):
        return habits
    return msgspec.structs.replace(habits, fill={n: v for n, v in habits.fill.items() if n not in dropped})


PREFIXES = (("anthropic_base_url", "anthropic_messages"), ("responses_base_url", "openai_responses"))
"""Settings that name the prefix of a dialect beside the provider's own."""


def changed(bases: Mapping[str, catalogue.Base], dialect: str, prefix: str) -> catalogue.Base:
    """A dialect's base at another prefix, signed in to as before; one that the provider did not have, as its makers
    do."""
    if known := bases.get(dialect):
        return msgspec.structs.replace(known, base_url=prefix)
    return catalogue.Base(prefix, "x-api-key" if dialect == "anthropic_messages" else "bearer")


def overridden(shipped: catalogue.Provider, override: ProviderOverride | None) -> catalogue.Provider:
    """The provider with the config's addresses and models in place of the catalogue's."""
    if override is None:
        return shipped
    named = [(dialect, getattr(override, name)) for name, dialect in (("base_url", shipped.dialect), *PREFIXES)]
    bases = dict(shipped.bases) if override.base_url in (None, shipped.base) else {}
    bases |= {dialect: changed(shipped.bases, dialect, prefix) for dialect, prefix in named if prefix is not None}
    return msgspec.structs.replace(shipped, bases=bases, models=_models_of(shipped, override))


def _models_of(shipped: catalogue.Provider, override: ProviderOverride) -> Mapping[str, Model]:
    """The catalogue's models with the config's over them, once those are read (Builder)."""
    own: Mapping[str, Any] = override.models
    return {**shipped.models, **own} if own else shipped.models


def elsewhere(provider: catalogue.Provider, shipped: catalogue.Provider) -> dict[str, catalogue.Base]:
    """What is left of a provider's addresses for a channel whose own address is another one: those that the config
    names. The catalogue's lead to the provider itself, where neither its prompts nor its key are meant to go."""
    return {dialect: base for dialect, base in provider.bases.items() if base != shipped.bases.get(dialect)}


def check_lifetime(reading: Reading, where: tuple[str | int, ...], timeouts: Timeouts, hold_lifetime: float) -> None:
    """A hold that dies before its call would let credits be spent twice."""
    if timeouts.total >= hold_lifetime:
        words = (
            f"{reading.label(where)} = {timeouts.total:g} is not under [database] hold_lifetime = {hold_lifetime:g}."
        )
        reading.fault(where, f"{words} Lower total or raise hold_lifetime.")
