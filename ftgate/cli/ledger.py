"""`ftgate ledger`, `ftgate logs`, `ftgate stats`, `ftgate audit`: what was remembered. They only read, beside a running
server or without one; `ledger verify --discard-checkpoint` alone changes something, and only while no server runs."""

import csv
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TextIO

import click

from ftgate.accounts.directory import no_user
from ftgate.cli.accounts import as_json_option
from ftgate.cli.output import as_json as one_line
from ftgate.cli.output import document, line, table, told
from ftgate.cli.remote import load, patience, places, source, unreadable
from ftgate.core.audit import Audit, Disagreement
from ftgate.core.redact import plain
from ftgate.house.lock import Lock, Locked
from ftgate.store import checkpoint, requests
from ftgate.store.batch import Batch, write_batch
from ftgate.store.database import DatabaseFault, Unfolded, connect, read_only
from ftgate.store.entries import all_entries, has_user, latest_entries
from ftgate.store.postgres.opening import remove_checkpoints
from ftgate.store.records import latest_acts
from ftgate.store.schema import show_newest
from ftgate.store.source import Connection, Postgres, Source
from ftgate.store.verify import Rows, compare_payments, compare_requests, verify_ledger


@contextmanager
def _readable(config_path: Path | None, data: Path | None) -> Iterator[Source]:
    """Where the ledger is. What makes it unreadable is said in one line."""
    place = source(config_path, data)
    try:
        yield place
    except Unfolded as error:
        raise click.ClickException(f"{place} cannot be read: {error}") from None
    except sqlite3.Error as error:
        raise unreadable(place, error) from None


def _known(path: Source, username: str | None) -> None:
    if username is not None and not has_user(path, username):
        raise click.ClickException(no_user(username))


@click.group()
def ledger() -> None:
    """The books."""


@ledger.command("verify")
@click.option(
    "--discard-checkpoint", "discard", is_flag=True,
    help="If all entries agree with the balances, remove the checkpoints: a wrong one keeps `serve` from starting. "
    "No server may run.",
)  # fmt: skip
@as_json_option
@places
def verify(discard: bool, as_json: bool, config_path: Path | None, data: Path | None) -> None:
    """Recompute every balance from the entries and name the first that disagrees."""
    with _readable(config_path, data) as path:
        found = _discard(path, load(config_path).database.durability) if discard else verify_ledger(path)
    if as_json:
        document(found)
    elif found["ok"]:
        click.echo(
            f"ok: {found['entries']} entries of {found['accounts']} accounts add up, {found['open_holds']} holds are "
            "open"
        )
        if discard:
            _tell(found)
        else:
            click.echo(_worked_out(found))
    else:
        line(f"the ledger does not verify: {found['disagreement']}" + _advice(found, discard), err=True)
    if not found["ok"]:
        raise click.exceptions.Exit(1)


def _worked_out(found: Mapping[str, Any]) -> str:
    """What was recomputed of the requests, in words."""
    said = [
        f"{found['recomputed']} of {found['requests']} requests cost what their tokens, price and multiplier come to"
    ]
    if older := found["not_recomputable"]["older"]:
        said.append(f"{older} are from before a row held its arithmetic")
    if crashed := found["not_recomputable"]["crashed"]:
        said.append(f"{crashed} were ended by a kill and cost what the expiry of their holds charged")
    return "; ".join(said)


def _advice(found: dict[str, object], discard: bool) -> str:
    if discard:
        return (
            ". It is not only a checkpoint that is wrong: nothing was changed. `ftgate restore FILE` puts a "
            "backup in its place"
        )
    if str(found["disagreement"]).startswith("checkpoint "):
        return ". If that is all, `ftgate ledger verify --discard-checkpoint` removes it while no server runs"
    return ""


def _tell(found: dict[str, object]) -> None:
    for words in found["wrong_checkpoints"]:  # type: ignore[attr-defined]
        line(words)
    many = found["discarded"]
    click.echo(
        f"checkpoints removed: {many}; the next start reads all entries"
        if many
        else "there is no checkpoint: nothing was changed"
    )


def _discard(place: Source, durability: str) -> dict[str, object]:
    """Verify without the checkpoints, and remove them when all else agrees, beside no server; gateways on a PostgreSQL
    read none after their start, and write beside one another."""
    if isinstance(place, Postgres):
        return _discarded(place, lambda: remove_checkpoints(place))
    path = place
    try:
        lock = Lock(path.parent, serving=False, patience=patience())
    except Locked as locked:
        raise click.ClickException(f"{locked}: stop it first. Nothing was changed.") from None
    except OSError as problem:
        raise click.ClickException(f"{told(problem)}. Nothing was changed.") from None
    try:
        return _discarded(path, lambda: _remove_checkpoints(path, durability))
    finally:
        lock.release()


def _discarded(place: Source, remove: Callable[[], None]) -> dict[str, object]:
    """What verify_ledger says, how many were `discarded`, and what was wrong in them: entries and balances are two
    witnesses against one, but a ledger in which both were changed by hand looks the same, so what a checkpoint knew is
    told before it goes."""
    audit, rows, failed = Audit(), Rows(), ""

    def compare(connection: Connection, audit: Audit) -> None:
        nonlocal rows
        rows = compare_requests(connection, audit)
        compare_payments(connection)

    with closing(read_only(place)) as connection:
        show_newest(connection)
        connection.execute("BEGIN")
        number: int = connection.execute("SELECT count(*) FROM checkpoints").fetchone()[0]
        accounts: int = connection.execute("SELECT count(*) FROM balances").fetchone()[0]
        try:
            wrong = checkpoint.without(connection, audit, compare)
        except Disagreement as found:
            wrong, failed = [], str(found)
    if number and not failed:
        remove()
    said = {"ok": not failed, "accounts": accounts, "entries": audit.entries, "open_holds": len(audit.open)}
    if failed:
        return {**said, "disagreement": failed, "discarded": 0}
    return {**said, **rows.said(), "discarded": number, "wrong_checkpoints": wrong}


def _remove_checkpoints(path: Path, durability: str) -> None:
    batch = Batch()
    batch.statements.append(checkpoint.DISCARD)
    try:
        with closing(connect(path, durability=durability)) as connection:
            write_batch(connection, batch)
    except (DatabaseFault, sqlite3.Error) as error:
        raise click.ClickException(f"the checkpoints could not be removed: {error}. Nothing was changed.") from None


_ENTRY_COLUMNS = {
    "id": "Id", "at": "Time", "kind": "Kind", "user": "User", "debit": "From", "credit": "To", "amount": "Amount $",
    "hold": "Hold", "ref": "Ref", "note": "Note",
}  # fmt: skip


@ledger.command("entries")
@click.option("--user", "username", help="Only this account's.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 100_000), help="How many, newest first.")
@as_json_option
@places
def entries(username: str | None, limit: int, as_json: bool, config_path: Path | None, data: Path | None) -> None:
    """The latest entries of the ledger."""
    with _readable(config_path, data) as path:
        _known(path, username)
        rows = latest_entries(path, username=username, limit=limit)
    document(rows) if as_json else table(rows, _ENTRY_COLUMNS)


@ledger.command("export")
@click.option("--format", "kind", type=click.Choice(["csv", "json"]), default="csv", show_default=True)
@click.option("--user", "username", help="Only this account's.")
@click.argument("target", type=click.File("w", encoding="utf-8", lazy=True), default="-")
@places
def export(kind: str, username: str | None, target: TextIO, config_path: Path | None, data: Path | None) -> None:
    """Write every entry, oldest first, to TARGET (- is standard output): CSV, or JSON with one entry a line."""
    with _readable(config_path, data) as path:
        _known(path, username)  # first: TARGET is opened, and emptied, when the first line is written
        write = _csv_rows(target) if kind == "csv" else _json_rows(target)
        for row in all_entries(path, username=username):
            write(row)


def _csv_rows(target: TextIO) -> Callable[[dict[str, object]], None]:
    out = csv.writer(target)
    out.writerow(_ENTRY_COLUMNS)

    def write(row: dict[str, object]) -> None:
        out.writerow([_safe(row[name]) for name in _ENTRY_COLUMNS])

    return write


def _safe(value: object) -> object:
    """Text alone, for a terminal and for a spreadsheet: one that would be a formula gets an apostrophe before it."""
    if not isinstance(value, str):
        return value
    return "'" * (value[:1] in {"=", "+", "-", "@", "\t", "\r"}) + plain(value)


def _json_rows(target: TextIO) -> Callable[[dict[str, object]], None]:
    target.write("")  # so that it is opened although there may be no entry
    return lambda row: print(one_line(row), file=target)


_LOG_COLUMNS = {
    "created_at": "Time", "model": "Model", "provider": "Provider", "status": "Status", "prompt_tokens": "In",
    "completion_tokens": "Out",
    "cost": "Cost $", "latency_ms": "ms", "request_id": "Request", "remark": "Remark",
}  # fmt: skip


@click.command()
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000), help="How many, newest first.")
@as_json_option
@places
def logs(limit: int, as_json: bool, config_path: Path | None, data: Path | None) -> None:
    """The latest requests."""
    with _readable(config_path, data) as path:
        found = requests.latest(path, limit)
    document(found) if as_json else table(found["data"], _LOG_COLUMNS, seldom="remark")  # type: ignore[arg-type]


@click.command()
@as_json_option
@places
def stats(as_json: bool, config_path: Path | None, data: Path | None) -> None:
    """Requests, tokens and cost, by model."""
    with _readable(config_path, data) as path:
        found = requests.stats(path)
    if as_json:
        document(found)
        return
    columns = {
        "model": "Model",
        "requests": "Requests",
        "prompt_tokens": "In",
        "completion_tokens": "Out",
        "cost": "Cost $",
    }
    models: list[dict[str, object]] = found["models"]  # type: ignore[assignment]
    table([*models, {"model": "all", **found}], columns)


_ACT_COLUMNS = {
    "at": "Time", "via": "Via", "actor_name": "Who", "action": "What", "target": "Of", "before": "Before",
    "after": "After",
}  # fmt: skip


@click.command()
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000), help="How many, newest first.")
@as_json_option
@places
def audit(limit: int, as_json: bool, config_path: Path | None, data: Path | None) -> None:
    """Who changed what, over HTTP or by the command line."""
    with _readable(config_path, data) as path:
        found = latest_acts(path, limit)
    if as_json:
        document(found)
        return
    rows: list[dict[str, object]] = found["data"]  # type: ignore[assignment]
    table([{**row, **{what: _changes(row[what]) for what in ("before", "after")}} for row in rows], _ACT_COLUMNS)


def _changes(said: object) -> str | None:
    """What was, or is, in few words."""
    if not isinstance(said, dict):
        return None
    return ", ".join(f"{name}={'' if value is None else value}" for name, value in said.items())
