"""`ftgate channels`, `ftgate models`, `ftgate prices`: what the config makes of the catalogue."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from ftgate import config
from ftgate.cli.accounts import as_json_option
from ftgate.cli.output import document, line, table
from ftgate.cli.prices import import_prices
from ftgate.cli.remote import ask_server, load, places, present, serves, shared, unreadable, whereabouts
from ftgate.config import imported
from ftgate.core.money import format_price
from ftgate.errors import GateError
from ftgate.store.source import Source


@click.group()
def channels() -> None:
    """The configured ways to providers."""


@channels.command("list")
@as_json_option
@places
def list_channels(as_json: bool, config_path: Path | None, data: Path | None) -> None:
    """All channels, in the order they are tried, and how they stand where a server runs: those that it has, whatever
    has become of the config since."""
    place = whereabouts(config_path, data)
    rows = ask_server(place, "channels.list") if serves(place) else _written(config_path)
    rows = sorted(rows, key=lambda row: row["priority"])
    off = None if serves(place) else _off(config_path, data, place)
    rows = [row if off is None else {**row, "enabled": row["name"] not in off} for row in rows]
    if as_json:
        document(rows)
        return
    columns = {
        "name": "Channel",
        "provider": "Provider",
        "priority": "Priority",
        "weight": "Weight",
        "keys": "Keys",
        "models": "Models",
        **({"switch": "Switch"} if not all(row["enabled"] for row in rows) else {}),
        **({"state": "State"} if any("state" in row for row in rows) else {}),
    }
    table([{**row, "switch": "on" if row["enabled"] else "off"} for row in rows], columns)
    for row in rows:
        for said in _troubles(row):
            line(f"  {row['name']}: {said}")


def _written(config_path: Path | None) -> list[dict[str, Any]]:
    """The channels of the config, of which nothing is known."""
    return [config.channel_row(channel) for channel in load(config_path).routes.channels]


def _off(config_path: Path | None, data: Path | None, place: Path) -> set[str]:
    """The channels that an operator has switched off, by the database that nobody serves now."""
    from ftgate.house.house import DATABASE
    from ftgate.store.switches import switched_off

    at: Source = shared(config_path, data) or place / DATABASE
    try:
        return set() if isinstance(at, Path) and not present(at) else switched_off(at)
    except sqlite3.Error as error:
        raise unreadable(at, error) from None


def _troubles(row: dict[str, Any]) -> Iterator[str]:
    """What is known against a channel, in words."""
    for circuit in row.get("circuits", ()):
        if circuit["state"] != "closed":
            until = f"rests after failures until {circuit['until']}"
            yield f"{circuit['model']} {until if circuit['until'] else 'is asked by one call now, after failures'}"
    for key in row.get("credentials", ()):
        until = f" until {key['until']}" if key["until"] else ""
        yield f"key {key['hint']} is {key['state']} with {key['model']}{until} ({key['reason']})"
    if row.get("state", "ok") != "ok" and row.get("last_error"):
        yield f"last error at {row['last_error']['at']}: {row['last_error']['text']}"


@channels.command("test")
@click.argument("name", required=False)
@click.option("--model", help="The model to ask for. [default: the channel's cheapest]")
@as_json_option
@places
def test_channels(
    name: str | None, model: str | None, as_json: bool, config_path: Path | None, data: Path | None
) -> None:
    """One real call of a few tokens to each channel, or the one named, with each of its keys; charged to nobody
    here."""
    place = whereabouts(config_path, data)
    running = serves(place)
    known = [row["name"] for row in (ask_server(place, "channels.list") if running else _written(config_path))]
    if name is not None and name not in known:
        raise click.ClickException(f"no channel named {name!r}; `ftgate channels list` shows them")
    rows = []
    for each in [name] if name else known:
        if not as_json:
            click.echo(f"{each:<20}  ", nl=False)
        try:
            row = {"channel": each, **(_by_server(place, each, model) if running else _here(config_path, each, model))}
        except click.ClickException as untried:  # this one has no such model, say: the others are tried all the same
            if name is not None:
                raise
            row = {"channel": each, **_UNTRIED, "model": model, "error": untried.message}
        rows.append(row)
        if not as_json:
            first = f", first token after {row['first_token_ms']} ms" if row["first_token_ms"] is not None else ""
            said = f"ok      {row['latency_ms']} ms{first}" if row["ok"] else f"failed  {row['error']}"
            line(f"{row['model'] or '-'}  {said}")
    if as_json:
        document(rows)
    if not all(row["ok"] for row in rows):
        raise click.exceptions.Exit(1)


def trials(config_path: Path | None, place: Path) -> Iterator[dict[str, Any]]:
    """A trial of each channel, by the running server or here; one that has nothing to be tried with is not ok."""
    running = serves(place)
    for row in ask_server(place, "channels.list") if running else _written(config_path):
        name = row["name"]
        try:
            said = _by_server(place, name, None) if running else _here(config_path, name, None)
        except click.ClickException as untried:
            said = {**_UNTRIED, "model": None, "error": untried.message}
        yield {"channel": name, **said}


_UNTRIED = {"ok": False, "status": 0, "latency_ms": 0, "first_token_ms": None}


def _by_server(place: Path, name: str, model: str | None) -> dict[str, Any]:
    """By the running server, whose keys and ways count. It ends each trial in its own time."""
    said: dict[str, Any] = ask_server(place, "channels.test", patient=True, name=name, model=model)
    return said


def _here(config_path: Path | None, name: str, model: str | None) -> dict[str, Any]:
    """By ourselves, where no server runs."""
    import trio

    from ftgate import app

    settings = load(config_path)
    channel = next(c for c in settings.routes.channels if c.name == name)
    try:
        return trio.run(app.try_channel, settings, channel, model)
    except GateError as wrong:
        raise click.ClickException(wrong.message) from None


@channels.command("reset")
@click.argument("name")
@places
def reset_channel(name: str, config_path: Path | None, data: Path | None) -> None:
    """Forget what the running server knows against a channel: its circuits, and keys that rest."""
    ask_server(whereabouts(config_path, data), "channels.reset", name=name)
    click.echo(f"nothing is known against {name} any more")


@channels.command("disable")
@click.argument("name")
@places
def disable_channel(name: str, config_path: Path | None, data: Path | None) -> None:
    """Let no new call go to a channel of the running server, from now on and over restarts. Running calls finish."""
    ask_server(whereabouts(config_path, data), "channels.switch", name=name, enabled=False)
    click.echo(f"{name} is off: no new call goes there")


@channels.command("enable")
@click.argument("name")
@places
def enable_channel(name: str, config_path: Path | None, data: Path | None) -> None:
    """Let calls go to a channel again."""
    ask_server(whereabouts(config_path, data), "channels.switch", name=name, enabled=True)
    click.echo(f"{name} is on")


@click.group()
def models() -> None:
    """The models callers may name."""


def _models(config_path: Path | None) -> list[dict[str, object]]:
    return [
        {
            "id": name, "channel": c.name, "provider": c.provider, "input": format_price(m.price.input),
            "output": format_price(m.price.output),
            "cached": format_price(m.price.cached), "context": m.context, "max_output": m.max_output,
            "tags": list(m.tags), "tiers": imported.steps_of(m, "tiers"), "hours": imported.steps_of(m, "hours"),
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


prices.add_command(import_prices)


@prices.command("list")
@as_json_option
@places
def list_prices(as_json: bool, config_path: Path | None, data: Path | None) -> None:
    """USD per million tokens for every model and channel. What also depends on the hour (UTC) or on the prompt's length
    is named; --json has those prices."""
    rows = _models(config_path)
    if as_json:
        document(rows)
        return
    for row in rows:
        row["also"] = [words for of, words in (("hours", "by the hour"), ("tiers", "by length")) if row[of]]
    columns = {"id": "Model", "channel": "Channel", "input": "Input $", "cached": "Cached $", "output": "Output $"}
    table(rows, {**columns, "also": "Also"}, seldom="also")
