"""`ftgate channels`, `ftgate models`, `ftgate prices`: what the config makes of the catalogue."""

from pathlib import Path

import click

from ftgate.cli.accounts import as_json_option
from ftgate.cli.output import document, table
from ftgate.cli.remote import load, places
from ftgate.core.money import format_price


@click.group()
def channels() -> None:
    """The configured ways to providers."""


@channels.command("list")
@as_json_option
@places
def list_channels(as_json: bool, config_path: Path | None, data: Path | None) -> None:
    """All channels, in the order they are tried."""
    rows = [
        {
            "name": c.name, "provider": c.provider, "priority": c.priority, "weight": c.weight,
            "keys": len(c.credentials),
            "models": len(c.models), "dialect": next(iter(c.addresses)),
        }
        for c in sorted(load(config_path).routes.channels, key=lambda c: c.priority)
    ]  # fmt: skip
    columns = {
        "name": "Channel",
        "provider": "Provider",
        "priority": "Priority",
        "weight": "Weight",
        "keys": "Keys",
        "models": "Models",
    }
    document(rows) if as_json else table(rows, columns)


@click.group()
def models() -> None:
    """The models callers may name."""


def _models(config_path: Path | None) -> list[dict[str, object]]:
    return [
        {
            "id": name, "channel": c.name, "provider": c.provider, "input": format_price(m.price.input),
            "output": format_price(m.price.output),
            "cached": format_price(m.price.cached), "context": m.context, "max_output": m.max_output,
            "tags": list(m.tags),
        }
        for c in load(config_path).routes.channels
        for name, m in c.models.items()
    ]  # fmt: skip


@models.command("list")
@as_json_option
@places
def list_models(as_json: bool, config_path: Path | None, data: Path | None) -> None:
    """All models with the channels that serve them."""
    columns = {
        "id": "Model",
        "channel": "Channel",
        "provider": "Provider",
        "context": "Context",
        "max_output": "Max output",
        "tags": "Tags",
    }
    document(_models(config_path)) if as_json else table(_models(config_path), columns)


@click.group()
def prices() -> None:
    """What callers are charged."""


@prices.command("list")
@as_json_option
@places
def list_prices(as_json: bool, config_path: Path | None, data: Path | None) -> None:
    """USD per million tokens for every model and channel."""
    columns = {"id": "Model", "channel": "Channel", "input": "Input $", "cached": "Cached $", "output": "Output $"}
    document(_models(config_path)) if as_json else table(_models(config_path), columns)
