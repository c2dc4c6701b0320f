"""`ftgate doctor`: looks at everything that a server stands on, and says what to do where something is not well."""

import os
import platform
import sqlite3
import sys
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener, urlopen

import click

import ftgate
from ftgate import __version__, config
from ftgate.cli.accounts import as_json_option
from ftgate.cli.config import unusable
from ftgate.cli.findings import NOT_HERE, ConfigLook, show
from ftgate.cli.output import told
from ftgate.cli.remote import ask_server, places
from ftgate.cli.upgrade import database_findings
from ftgate.config.observed import goes
from ftgate.house import backups_look, checkup, secrets_look, server_key, stripe_look
from ftgate.house.findings import Finding
from ftgate.house.lock import holder
from ftgate.store.database import WHOLE_CHECK_S, damage
from ftgate.store.source import Postgres
from ftgate.store.verify import verify_ledger

FIXED_SQLITE = (3, 51, 3)
"""The first SQLite without the bug that two writing connections can corrupt a WAL database (3.7.0 to 3.51.2)."""
LARGE_LOG = 256 * 1024 * 1024
ASK_S = 5.0
"""Seconds that a server has to say what time it is."""


@click.command("doctor")
@click.option("--calls", is_flag=True, help="Also make one real call of a few tokens to each channel, and ask Stripe.")
@as_json_option
@places
def doctor(calls: bool, as_json: bool, config_path: Path | None, data: Path | None) -> None:
    """Look for trouble: config, data, clock, disk, secrets, certificate, payments, backups. Exit 1 when something is
    wrong; what is only worth a look does not count as that."""
    show(_findings(config_path, data, calls=calls), as_json=as_json)


def _findings(config_path: Path | None, data: Path | None, *, calls: bool) -> Iterator[Finding]:
    yield from _program()
    looked = ConfigLook(config_path, data)
    yield from looked
    if (settings := looked.settings) is not None:
        yield from secrets_look.of_config(settings)
        yield from secrets_look.certificate(settings.server.tls_cert, settings.server.tls_key)
        if not looked.unset:
            yield from stripe_look.of_settings(settings)
        yield _telemetry(settings, looked)
    yield checkup.open_files()
    if (place := looked.place()) is None:
        return
    yield from _data(settings, place)
    if calls and settings is not None:
        yield from _calls(settings, place, looked)


def _telemetry(settings: config.Settings, looked: ConfigLook) -> Finding:
    """Where it goes: a running server knows what its environment adds, and what it has started with."""
    words = goes(settings) or "off: nothing is sent"
    if looked.running and (place := looked.place()) is not None:
        try:
            words = f"the running server: {ask_server(place, 'telemetry') or 'off, nothing is sent'}"
        except click.ClickException:  # an older one, or another user's
            words = f"by this config and this shell: {words}; the running server does not say"
    return Finding("ok", "telemetry", words)


def _program() -> Iterator[Finding]:
    words = f"ftgate {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    yield Finding("ok", "version", words)
    words = f"SQLite {sqlite3.sqlite_version}"
    if sqlite3.sqlite_version_info >= FIXED_SQLITE:
        yield Finding("ok", "sqlite", words)
    else:
        yield Finding("look", "sqlite", words + ": let no other program write to the database (fixed in 3.51.3)")
    if (found := checkup.extracted(Path(sys.argv[0]), Path(ftgate.__file__))) is not None:
        yield found


def _data(settings: config.Settings | None, place: Path) -> Iterator[Finding]:
    """The data directory and what is in it; without settings, all but what they say of it."""
    from ftgate.house.house import DATABASE

    try:
        mode = place.stat().st_mode & 0o777
    except FileNotFoundError:
        yield checkup.making(place)
        return
    except OSError as problem:
        yield Finding("wrong", "data", f"{told(problem)}: this user may not look there")
        return
    if why := unusable(place):
        yield Finding("wrong", "data", why)
        return
    closed = not mode & 0o077
    words = f"{place}, mode {mode:04o}" + ("" if closed else ": chmod 700 it")
    yield Finding("ok" if closed else "wrong", "data", words)
    url = None if settings is None else settings.database.url
    database = place / DATABASE
    kept = [place / "server.key", *(database.with_name(DATABASE + ending) for ending in ("", "-wal"))]
    yield from checkup.modes("data", kept)
    yield from checkup.writable(
        [place / "lock", *(database.with_name(DATABASE + ending) for ending in ("-wal", "-shm"))]
    )
    if why := server_key.fault(place):
        yield Finding("wrong", "data", why)
    for found in (checkup.owner(place), checkup.file_system(place)):
        if found is not None:
            yield found
    yield checkup.disk(place, database.stat().st_size if database.exists() else 0)
    held = holder(place)
    yield Finding("ok", "server", f"running, process {held.pid}" if held else "not running")
    if settings is not None and url is not None:
        yield checkup.clock(None)
        yield from _shared(settings, Postgres(url.reveal()), place)
        return
    if not database.exists():
        yield checkup.clock(None)
        yield Finding("look", "database", f"{database.name} does not exist yet")
        return
    yield checkup.clock(database)
    yield from _database(database)
    if settings is None:
        return
    yield from database_findings(settings, place)
    yield from backups_look.of_data(settings.backup, database)


def _shared(settings: config.Settings, source: Postgres, place: Path) -> Iterator[Finding]:
    """A PostgreSQL, and the backups that this gateway makes of it."""
    from ftgate.house.house import DATABASE
    from ftgate.house.shared import config_hash
    from ftgate.house.shared_look import of_postgres

    if source.url.startswith(NOT_HERE):
        yield Finding("look", "database", "the PostgreSQL was not looked at: this shell lacks its URL")
    else:
        yield from of_postgres(source, place, config_hash(settings))
    yield from backups_look.of_data(settings.backup, place / DATABASE, source=source)


def _database(path: Path) -> Iterator[Finding]:
    if not os.access(path, os.W_OK):
        yield Finding("wrong", "database", f"{path} is read-only for this user")
    log = path.with_name(path.name + "-wal")
    size = log.stat().st_size if log.exists() else 0
    words = f"{path.stat().st_size} bytes, write-ahead log {size} bytes"
    if size < LARGE_LOG:
        yield Finding("ok", "database", words)
    else:
        words += ": a program that reads it for long (a backup, Litestream under 0.5) keeps it from being folded back"
        yield Finding("look", "database", words)
    try:
        if damaged := damage(path, within_s=WHOLE_CHECK_S):
            yield Finding("wrong", "pages", f"damaged: {damaged}; restore a backup")
        else:
            yield Finding("ok", "pages", "quick_check ok")
        found = verify_ledger(path)
    except sqlite3.Error as error:
        yield Finding("wrong", "pages", f"cannot be read: {error}; restore a backup")
        return
    if found["ok"]:
        words = f"{found['entries']} entries add up, {found['open_holds']} holds are open"
        yield Finding("ok", "ledger", words)
    else:
        yield Finding("wrong", "ledger", str(found["disagreement"]))


# With --calls


def _calls(settings: config.Settings, place: Path, looked: ConfigLook) -> Iterator[Finding]:
    from ftgate.cli.catalogue import trials

    if looked.unset and not looked.running:
        yield Finding("look", "channel", "none was called: this shell lacks secrets of the config")
        return
    for row in trials(looked.path, place):
        asked = f"{row['channel']} ({row['model'] or 'no model'})"
        if row["ok"]:
            yield Finding("ok", "channel", f"{asked} answered in {row['latency_ms']} ms")
        else:
            yield Finding("wrong", "channel", f"{asked} failed: {row['error']}")
    urls = {at.url for channel in settings.routes.channels for at in channel.addresses.values()}
    dates = [date for url in sorted(urls) if url.startswith("https:") and (date := _date(url)) is not None]
    if found := checkup.apart(dates, time.time()):
        yield found
    if not looked.unset and (found := stripe_look.asked(settings.stripe, _status)):
        yield found


def _date(url: str) -> float | None:
    """What time the server at an address says it is; None where it does not say."""
    try:
        with urlopen(Request(url, method="HEAD"), timeout=ASK_S) as answer:
            said = answer.headers.get("Date")
    except HTTPError as refused:  # a server that refuses knows the time as well
        said = refused.headers.get("Date")
    except (OSError, ValueError):
        return None
    try:
        return parsedate_to_datetime(said).timestamp() if said else None
    except ValueError:
        return None


class _Stay(HTTPRedirectHandler):
    """A key goes to the address that it is for, and to no other."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _status(url: str, key: str) -> tuple[int, str]:
    """The status of a GET with this key; 0 and why there was none."""
    try:
        request = Request(url, headers={"Authorization": f"Bearer {key}"})
        with build_opener(_Stay).open(request, timeout=ASK_S) as answer:
            return answer.status, ""
    except HTTPError as refused:
        return refused.code, ""
    except (OSError, ValueError) as error:
        return 0, str(error)
