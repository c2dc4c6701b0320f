"""Where calls go that bring a provider key of their own (BYOK): to the provider's addresses in the catalogue, or to
those that [provider.NAME] puts in their place, and nowhere else. Its models cost nothing here."""

from collections.abc import Mapping

import msgspec

from ftgate.config.channels import FREE, overridden, spoken
from ftgate.config.settings import Settings
from ftgate.config.shipped import provider, provider_names
from ftgate.config.values import Veiled
from ftgate.core.routing import Channel, Model
from ftgate.providers import catalogue


def brought(config: Settings) -> Mapping[str, tuple[Channel, Model, str | None, str | None]]:
    """Of every provider that takes the keys of callers, by its name, the channel by which it is asked, without a key,
    what a model is like there that only the provider knows, and how a key is checked: the address to GET, or the model
    to ask. One that has no address of its own takes none, nor one
    that wants no key or answers inside ftgate."""
    found = {}
    for name in provider_names():
        shipped = overridden(provider(name), config.providers.get(name))
        if shipped.base is not None and shipped.auth != "none" and not shipped.built_in:
            check = shipped.check
            found[name] = _channel(shipped, config), _stranger(shipped), check.url(shipped.base), check.model
    return found


def _channel(shipped: catalogue.Provider, config: Settings) -> Channel:
    return Channel(
        name=f"byok:{shipped.name}",
        provider=shipped.name,
        addresses=spoken(shipped.bases),
        credentials=(),
        models={name: _free(model) for name, model in _named(shipped, config).items()},
        timeouts=config.timeouts,
        stream_usage=shipped.stream_usage,
        takes=shipped.takes,
        errors=shipped.errors,
        headers=Veiled(shipped.headers),
        drop_params=shipped.drop,
    )


def _named(shipped: catalogue.Provider, config: Settings) -> Mapping[str, Model]:
    """Its models by every name that they have here: the catalogue's, an alias's, the operator's own for a channel of
    this provider, and the provider's itself."""
    found = dict(shipped.models)
    for alias, target in shipped.aliases.items():
        found.setdefault(alias, shipped.models[target])
    for channel in config.routes.channels:
        if channel.provider == shipped.name:
            found |= {name: model for name, model in channel.models.items() if name not in found}
    for alias in config.routes.aliases:
        if (target := config.routes.resolve(alias)) in found:
            found.setdefault(alias, found[target])
    for model in list(found.values()):
        found.setdefault(model.upstream, model)
    return found


def _stranger(shipped: catalogue.Provider) -> Model:
    return Model("", "", FREE, cap_field=shipped.cap_field, thinking_in_cap=shipped.thinking_in_cap)


def _free(model: Model) -> Model:
    """Nobody here pays for it, so nothing is read for its price when its caller has left."""
    return msgspec.structs.replace(model, price=FREE, hours=(), drain=False)
