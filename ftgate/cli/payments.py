"""`ftgate payments`: what was paid, and asking Stripe what became of it. With and without a running server."""

import sys
from pathlib import Path

import click

from ftgate.cli.accounts import as_json_option
from ftgate.cli.output import document, table
from ftgate.cli.remote import places, run

_COLUMNS = {
    "created_at": "Time", "account_name": "User", "status": "Status", "amount": "Amount $", "credited": "Credited $",
    "refunded": "Taken back $", "id": "Id", "reason": "Why",
}  # fmt: skip


@click.group()
def payments() -> None:
    """Card payments by Stripe."""


@payments.command("list")
@click.option("--user", "username", help="Only this account's.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000), help="How many, newest first.")
@as_json_option
@places
def list_payments(username: str | None, limit: int, as_json: bool, config_path: Path | None, data: Path | None) -> None:
    """The latest payments."""
    said = run(config_path, data, "payments.list", username=username, limit=limit)
    document(said) if as_json else table(said["data"], _COLUMNS, seldom="reason")


@payments.command("reconcile")
@as_json_option
@places
def reconcile(as_json: bool, config_path: Path | None, data: Path | None) -> None:
    """Ask Stripe for every open payment, and for refunds and disputes of the last 30 days. The server does it by
    itself, at its start and every ten minutes. Ends with 1 where Stripe left a question without an answer (`untold`),
    or payments were not looked at for that (`left`)."""
    said = run(config_path, data, "payments.reconcile", patient=True)
    if as_json:
        document(said)
    else:
        click.echo(", ".join(f"{many} {what}" for what, many in said.items()))
    if said["untold"] or said["left"]:
        sys.exit(1)
