"""The models that a key may use, and the public price table."""

import msgspec
from quart import Quart, Response

from ftgate.core.money import format_price
from ftgate.core.routing import Channel, Model, Routes
from ftgate.errors import NotFound
from ftgate.ports import Line, Terms
from ftgate.web.asked import own_key
from ftgate.web.replies import reply

CREATED = 1_767_225_600
"""What every model says of its making: clients want a number, and nobody knows it."""


def add(app: Quart, line: Line) -> None:
    @app.get("/v1/models")
    async def models() -> Response:
        key = await own_key(line)
        found = served(line.settings.routes, key.models, line.settings.terms(key.plan))
        rows = [model_object(name, channel) for name, (channel, _) in found.items()]
        return reply({"object": "list", "data": rows})

    @app.get("/v1/models/<path:name>")
    async def model(name: str) -> Response:
        key = await own_key(line)
        routes = line.settings.routes
        found = served(routes, key.models, line.settings.terms(key.plan))
        for known in (name, routes.resolve(name)):
            if known in found:
                return reply(model_object(name, found[known][0]))
        raise NotFound(
            f"The model {name[:200]!r} does not exist or this key may not use it", code="model_not_found", param="model"
        )

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
