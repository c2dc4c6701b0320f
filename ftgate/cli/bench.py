"""`ftgate bench`: histories to measure with."""

from functools import partial
from pathlib import Path

import click
import trio

from ftgate.cli.accounts import as_json_option
from ftgate.cli.output import document, line, told
from ftgate.cli.remote import data_dir, load, patience, places
from ftgate.errors import GateError
from ftgate.house.lock import Locked
from ftgate.store.database import DatabaseFault


@click.group()
def bench() -> None:
    """Histories to measure with."""


@bench.command("seed")
@click.option("--requests", required=True, type=click.IntRange(0, 100_000_000), help="How many settled requests.")
@click.option("--users", default=10, show_default=True, type=click.IntRange(1, 10_000), help="Users u1, u2, ...")
@click.option("--days", default=30.0, show_default=True, type=click.FloatRange(0.01, 3650), help="Days up to now.")
@click.option("--rand", default=1, show_default=True, type=click.IntRange(0, 2**31), help="Seed of what is random.")
@as_json_option
@places
def seed(
    requests: int, users: int, days: float, rand: int, as_json: bool, config_path: Path | None, data: Path | None
) -> None:
    """Fill a data directory that no server holds with users u1 to uM (password "seedseed", a key each) and a history of
    settled requests, whose ledger verifies. For measurements: everything in it is made up."""
    settings = load(config_path, data)
    if settings.database.url is not None:
        words = (
            "a history is made up in a file alone: leave [database] url out, and `ftgate migrate sqlite URL` moves it"
        )
        raise click.ClickException(words)
    place = data_dir(settings, data)
    from ftgate.app import seed_history

    fill = partial(seed_history, settings, place, patience(), requests=requests, users=users, days=days, rand=rand)
    try:
        said = trio.run(fill)
    except (Locked, DatabaseFault, GateError) as why:
        raise click.ClickException(str(why)) from None
    except OSError as problem:
        raise click.ClickException(told(problem)) from None
    document(said) if as_json else line(f"{said['requests']} requests of {users} users are in {place}")
