"""`ftgate ledger`, `ftgate logs`, `ftgate stats`: what was remembered. They only read, beside a running server or without one."""

from pathlib import Path

import click

from ftgate.cli.accounts import as_json_option
from ftgate.cli.output import document, table
from ftgate.cli.remote import database, places
from ftgate.edge import journal


@click.group()
def ledger() -> None:
    """The books."""


@ledger.command("verify")
@as_json_option
@places
def verify(as_json: bool, config_path: Path | None, data: Path | None) -> None:
    """Recompute every balance from the entries and name the first that disagrees."""
    found = journal.verify(database(config_path, data))
    if as_json:
        document(found)
    elif found["ok"]:
        click.echo(f"ok: {found['entries']} entries of {found['accounts']} accounts add up, {found['open_holds']} holds are open")
    else:
        click.echo(f"the ledger does not verify: {found['disagreement']}", err=True)
    if not found["ok"]:
        raise click.exceptions.Exit(1)


_LOG_COLUMNS = {
    "created_at": "Time", "model": "Model", "provider": "Provider", "status": "Status", "prompt_tokens": "In", "completion_tokens": "Out",
    "cost": "Cost $", "latency_ms": "ms", "request_id": "Request",
}  # fmt: skip


@click.command()
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000), help="How many, newest first.")
@as_json_option
@places
def logs(limit: int, as_json: bool, config_path: Path | None, data: Path | None) -> None:
    """The latest requests."""
    found = journal.page(database(config_path, data), journal.Filter(), page=1, page_size=limit)
    document(found) if as_json else table(found["data"], _LOG_COLUMNS)  # type: ignore[arg-type]


@click.command()
@as_json_option
@places
def stats(as_json: bool, config_path: Path | None, data: Path | None) -> None:
    """Requests, tokens and cost, by model."""
    found = journal.stats(database(config_path, data), journal.Filter())
    if as_json:
        document(found)
        return
    columns = {"model": "Model", "requests": "Requests", "prompt_tokens": "In", "completion_tokens": "Out", "cost": "Cost $"}
    models: list[dict[str, object]] = found["models"]  # type: ignore[assignment]
    table([*models, {"model": "all", **found}], columns)
