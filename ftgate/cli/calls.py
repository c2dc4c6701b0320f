"""`ftgate calls`: what a running server is doing now, and ending it."""

from pathlib import Path

import click

from ftgate.cli.accounts import as_json_option
from ftgate.cli.output import document, table
from ftgate.cli.remote import ask_server, places, whereabouts

COLUMNS = {
    "request_id": "Request", "user": "User", "key": "Key", "model": "Model", "channel": "Channel", "state": "State",
    "age_ms": "ms", "completion_tokens": "Out", "held": "Held $",
}  # fmt: skip


@click.group()
def calls() -> None:
    """Calls in flight at the running server."""


@calls.command("list")
@as_json_option
@places
def list_calls(as_json: bool, config_path: Path | None, data: Path | None) -> None:
    """Who asks whom for what, for how long, and what is held for it."""
    rows = ask_server(whereabouts(config_path, data), "calls.list")
    document(rows) if as_json else table(rows, COLUMNS)


@calls.command("stop")
@click.argument("request_id")
@places
def stop_call(request_id: str, config_path: Path | None, data: Path | None) -> None:
    """End a call now: its caller is told so, and pays for what has come."""
    ask_server(whereabouts(config_path, data), "calls.stop", request_id=request_id)
    click.echo(f"{request_id} is stopped")
