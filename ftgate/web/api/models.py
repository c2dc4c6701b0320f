"""The models that a key may use, in OpenAI's words and in Anthropic's, and the public price table."""

import msgspec
from quart import Quart, Response

from ftgate.core.money import format_price
from ftgate.core.routing import Channel, Model, Routes
from ftgate.errors import NotFound
from ftgate.ports import Line, Terms
from ftgate.web.api.anthropic_models import CREATED, info, listed, page
from ftgate.web.asking import Guard
from ftgate.web.replies import reply, versioned


def add(app: Quart, line: Line, guard: Guard) -> None:
    async def usable() -> dict[str, tuple[Channel, Model]]:
        key = await guard.key()
        return served(line.settings.routes, key.models, line.settings.terms(key.plan))

    async def one(name: str, *, prefixed: bool) -> tuple[Channel, Model]:
        """The model of this name or alias; `prefixed`: Anthropic's prefix may stand before it. Raises NotFound."""
        routes, found = line.settings.routes, await usable()
        bare = routes.bare(name) if prefixed else name
        for known in (bare, routes.resolve(bare)):
            if known in found:
                return found[known]
        words = f"The model {name[:200]!r} does not exist or this key may not use it"
        raise NotFound(words, code="model_not_found", param="model")

    @app.get("/v1/models")
    async def models() -> Response:
        found = await usable()
        if versioned():
            return reply(page(listed(found, twice=False)))
        rows = [model_object(name, channel) for name, (channel, _) in found.items()]
        return reply({"object": "list", "data": rows})

    @app.get("/v1/models/<path:name>")
    async def model(name: str) -> Response:
        channel, found = await one(name, prefixed=versioned())
        return reply(info(name, found) if versioned() else model_object(name, channel))

    @app.get("/anthropic/v1/models")
    async def anthropic_models() -> Response:
        return reply(page(listed(await usable(), twice=True)))

    @app.get("/anthropic/v1/models/<path:name>")
    async def anthropic_model(name: str) -> Response:
        return reply(info(name, (await one(name, prefixed=True))[1]))

    @app.get("/v1/pricing")
    async def pricing() -> Response:
        rows = [price_row(name, *found) for name, found in served(line.settings.routes, (), Terms()).items()]
        return reply({"object": "list", "currency": "USD", "unit": "1M tokens", "data": rows})


def served(routes: Routes, models: tuple[str, ...], terms: Terms) -> dict[str, tuple[Channel, Model]]:
    """The models that a key restricted to `models` (empty is all) may use, each with the channel that comes first."""
    found: dict[str, tuple[Channel, Model]] = {}
    for channel in sorted((c for c in routes.channels if c.weight > 0), key=lambda channel: channel.priority):
        for name, model in channel.models.items():
            if name not in found and routes.permits(models, name) and routes.permits(terms.models, name):
                found[name] = (channel, model)
    return found


def model_object(name: str, channel: Channel) -> dict[str, object]:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": channel.provider}


def price_row(name: str, channel: Channel, model: Model) -> dict[str, object]:
    def price(units: int) -> msgspec.Raw:
        return msgspec.Raw(format_price(units).encode())

    return {
        "id": name,
        "provider": channel.provider,
        "input": price(model.price.input),
        "output": price(model.price.output),
        "cached": price(model.price.cached),
        "context": model.context,
        "max_output": model.max_output,
        "best_for": model.best_for,
        "tags": list(model.tags),
    }
