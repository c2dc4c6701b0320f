"""The only composer: opens a data directory, builds the edges, the gate and the doors, and runs them.

`House` is everything that lives as long as a data directory is open; a command beside no server opens one, does its
work and closes it. `serve` adds what listens. Heavy imports (Quart, httpx) stand inside the functions that need them,
so that `ftgate keys list` starts fast.
"""

import errno
import gc
import logging
import os
import resource
import signal
import socket
import sqlite3
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, cast

import trio

from ftgate import __version__
from ftgate.accounts.directory import OWNER, Accounts
from ftgate.config import Settings
from ftgate.core.audit import Audit, Disagreement
from ftgate.core.books import Books
from ftgate.core.estimate import Ratios
from ftgate.core.limits import Limits, Rates, Scope
from ftgate.core.money import format_usd
from ftgate.errors import DatabaseBusy
from ftgate.house import failpoint
from ftgate.house.lock import Lock, make_data_dir
from ftgate.ports import GateSettings, Key, Terms
from ftgate.store import checkpoint
from ftgate.store import requests as journal
from ftgate.store import writer as db
from ftgate.store.ledger import MemoryLedger
from ftgate.store.recovery import expire_orphans

log = logging.getLogger("ftgate.app")

DATABASE = "ftgate.sqlite3"
LISTEN_BACKLOG = 1024
CUT_S = 3.0
"""Seconds that calls cut at shutdown have to send their error and settle."""
CLOSE_S = 60.0
"""Seconds that writing the last changes and closing may take; the writer has a shorter limit of its own."""
SWEEP_S = 60.0
BEGIN_S = 15.0
"""Seconds that a database has to take the first commit of a start, which ends what a crash left open."""
OPEN_FILES = 65_536
GC_THRESHOLD = 20_000
"""New objects in containers after which the collector looks at the youngest."""
CHECKPOINT_EVERY = 200_000
"""Entries after which a running server writes a checkpoint of the audit: less than a second of reading for a start
after a crash."""
CHECKPOINT_S = 5.0
"""Seconds that the last checkpoint may take to be written at a close; without it the next start only reads more."""
PAUSE_S = 0.005
"""Rest between two pages of the audit beside running calls."""


class SystemClock:
    """ports.Clock."""

    def now(self) -> float:
        return time.monotonic()

    def wall_us(self) -> int:
        return time.time_ns() // 1000


class House:
    """An open data directory: the lock, the database, the books. Raises house.lock.Locked, store.writer.DatabaseFault,
    OSError."""

    def __init__(self, settings: Settings, data_dir: Path, *, serving: bool) -> None:
        self.settings = settings
        self.data_dir = data_dir.resolve()
        self.fresh = make_data_dir(self.data_dir)
        self.lock = Lock(self.data_dir, serving=serving)
        try:
            self.database = self.data_dir / DATABASE
            self.connection = db.connect(self.database, durability=settings.database.durability)
            try:
                self._load()
            except BaseException:  # nobody else has it to close
                self.connection.close()
                raise
        except BaseException as error:  # a house that is not there must not stay locked
            self.lock.release()
            if isinstance(error, sqlite3.Error):
                raise db.DatabaseFault(f"{self.database} cannot be read: {error}") from error
            raise

    def _load(self) -> None:
        self.clock = SystemClock()
        self.passing = failpoint.read(os.environ)
        self.writer = db.Writer(self.connection, self.passing)
        self.books = Books(next_id=_one(self.connection, "SELECT coalesce(max(id), 0) + 1 FROM entries"))
        self.accounts = Accounts(self.books, self.writer, self.clock, self._metered)
        self.accounts.load(self.connection)
        self.ratios = {
            (kind, model): milli
            for kind, model, milli in self.connection.execute("SELECT kind, model, milli FROM ratios")
        }
        try:
            self.audit: Audit | None = self._verified()
        except Disagreement as found:
            raise db.DatabaseFault(
                f"the ledger in {self.database} does not verify: {found}. Nothing was started. `ftgate ledger "
                "verify` reads all of it; if"
                " only a checkpoint is wrong, `ftgate ledger verify --discard-checkpoint` removes it; `ftgate "
                "restore FILE` puts a backup"
                " in its place"
            ) from None

    def _verified(self) -> Audit:
        """The audit of all entries, from the last checkpoint on, agreeing with what was loaded. Raises Disagreement."""
        audit = checkpoint.resume(self.connection)
        self.checked = audit.last_id
        checkpoint.catch_up(self.connection, audit, self.books.next_id - 1)
        balances = {
            row[0]: (row[1], row[2], row[3])
            for row in self.connection.execute("SELECT account, posted, held, used FROM balances")
        }
        spent = dict(self.connection.execute("SELECT key, used FROM spent"))
        audit.finish(balances, spent)
        if strangers := set(balances) - set(self.books.accounts):
            raise Disagreement(f"account {min(strangers)} has a balance and no user")
        if strangers := {*spent, *(hold.key for hold in audit.open.values())} - set(self.books.quotas):
            raise Disagreement(f"key {min(strangers)} has entries and is not in the list of keys")
        return audit

    def _metered(self, plan: str) -> bool:
        terms = self.settings.plans.get(plan) or self.settings.plans["default"]
        return (terms.mode or self.settings.billing.mode) == "metered"

    async def begin(self) -> int:
        """Start the writer, record this boot, end what an earlier one left open. The number of holds ended. Raises
        DatabaseFault, also when the database takes no commit for BEGIN_S: then nothing has changed, the next start does
        it."""
        assert self.audit is not None
        self.writer.start()
        batch = self.writer.changed()
        batch.statements.append(
            ("INSERT INTO boots (at_us, version) VALUES (?, ?)", (self.clock.wall_us(), __version__))
        )
        self.passing("recovering")
        orphans, exposure = expire_orphans(
            self.connection, self.books, batch, at_us=self.clock.wall_us(),
            charge_estimate=self.settings.database.expired_hold == "charge_estimate",
            open_holds=list(self.audit.open.values()),
        )  # fmt: skip
        if orphans:
            log.warning(
                "%d holds of an earlier process ended; about %s USD of prompts were not charged",
                orphans,
                format_usd(exposure),
            )
        with trio.move_on_after(BEGIN_S):
            await self.writer.durable(batch)
        if not batch.done:
            self.writer.abandon()
            raise db.DatabaseFault(
                f"{self.database} took no commit for {BEGIN_S:g} s ({self.writer.trouble or 'it does not answer'}). "
                "Nothing was changed;"
                " make room on the disk, or end the program that holds the file, and start again"
            )
        return orphans

    async def maybe_checkpoint(self, every: int = CHECKPOINT_EVERY, pause_s: float = PAUSE_S) -> None:
        """Queue a checkpoint of the audit when more than `every` entries have come since the last one. Reads page by
        page in a worker thread, with rests of `pause_s`, so that running calls do not feel it."""
        audit = self.audit
        try:
            upto = await trio.to_thread.run_sync(self._reading, checkpoint.last_entry, abandon_on_cancel=True)
            if audit is None or upto - self.checked <= every:
                return
            while await trio.to_thread.run_sync(self._reading, checkpoint.read_on, audit, upto, abandon_on_cancel=True):
                await trio.sleep(pause_s)
            statements = await trio.to_thread.run_sync(checkpoint.statements, audit, self.clock.wall_us())
        except Disagreement as found:
            log.critical("the ledger does not verify: %s. No checkpoint is written; see `ftgate ledger verify`", found)
            self.audit = None
        except sqlite3.Error as error:
            log.warning("no checkpoint of the ledger was written: %s", error)
        else:
            self.checked = audit.last_id
            self.writer.changed().statements += statements

    def _reading(self, what: Callable[..., Any], *arguments: Any) -> Any:
        """`what` on a connection for one short read."""
        connection = db.reader(self.database)
        try:
            return what(connection, *arguments)
        finally:
            connection.close()

    def remember_ratios(self, ratios: Ratios) -> None:
        """Queue what the estimator has learned since the last time."""
        batch = self.writer.changed() if ratios.changed else None
        while batch is not None and ratios.changed:
            place = ratios.changed.pop()
            sql = "INSERT INTO ratios VALUES (?, ?, ?) ON CONFLICT (kind, model) DO UPDATE SET milli = excluded.milli"
            batch.statements.append((sql, (*place, ratios.known[place])))

    async def close(self) -> None:
        """Write what is left, then a checkpoint of the audit, and give the lock back. Shielded, for CLOSE_S at most."""
        try:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_S):
                if await self.writer.drain():
                    await self._last_checkpoint()
                await self.writer.close()
        finally:
            if (
                not self.writer.stuck()
            ):  # else the kernel gives it back when the process ends, and nobody writes beside it before
                self.lock.release()

    async def _last_checkpoint(self) -> None:
        await self.maybe_checkpoint(every=0, pause_s=0)
        batch = self.writer.changed()
        if batch.size():
            with trio.move_on_after(CHECKPOINT_S):
                await self.writer.durable(batch)
            if not batch.done:
                self.writer.abandon()

    def commands(self) -> Mapping[str, Callable[..., Any]]:
        """What the command line may ask for, here or over the control socket."""
        accounts = self.accounts
        return {
            "users.create": accounts.create_user,
            "users.list": accounts.list_users,
            "users.set": accounts.set_user,
            "keys.create": accounts.create_key,
            "keys.list": accounts.list_keys,
            "keys.set": accounts.set_key,
            "credit.grant": accounts.grant,
            "credit.correct": accounts.correct,
        }


def _one(connection: sqlite3.Connection, sql: str) -> Any:
    return connection.execute(sql).fetchone()[0]


async def command(settings: Settings, data_dir: Path, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Do one command on a data directory that no server holds."""
    from ftgate.house.control import perform

    house = House(settings, data_dir, serving=False)
    try:
        await house.begin()
        said = await perform(house.commands(), name, arguments)
        if said.get("code") == DatabaseBusy.code:  # the operator has been told; the close need not try on
            house.writer.abandon()
        return said
    finally:
        await house.close()  # noqa: ASYNC102 - shielded within


def gate_settings(settings: Settings) -> GateSettings:
    plans = {
        name: Terms(multiplier=plan.price_multiplier, models=() if plan.models == ("*",) else plan.models)
        for name, plan in settings.plans.items()
    }
    return GateSettings(routes=settings.routes, retry=settings.retry, total_s=settings.timeouts.total, plans=plans)


class Figures:
    """web.api.Figures over the house and the gate."""

    def __init__(self, house: House, gate: Any) -> None:
        self.house = house
        self.gate = gate

    async def authenticate(self, secret: bytes | None) -> Key:
        key: Key = await self.gate.authenticate(secret)
        return key

    def routes(self) -> Any:
        return self.gate.settings.routes

    def terms(self, plan: str) -> Terms:
        plans = self.gate.settings.plans
        found: Terms = plans.get(plan) or plans["default"]
        return found

    def posted(self, account: int) -> int:
        return self.house.books.accounts[account].posted

    def byok_limit(self, plan: str) -> int:
        plans = self.house.settings.plans
        return (plans.get(plan) or plans["default"]).byok_tokens_per_month

    async def logs(self, account: int, filters: Mapping[str, Any], page: int, page_size: int) -> dict[str, Any]:
        chosen = journal.Filter(account=account, **filters)
        return await trio.to_thread.run_sync(
            partial(journal.page, self.house.database, chosen, page=page, page_size=page_size)
        )

    def not_ready(self) -> str | None:
        return "shutting down" if self.gate.closing else self.house.writer.busy()


def _limits(house: House) -> Limits:
    settings = house.settings

    def rates_for(scope: Scope, name: str | int) -> Rates:
        if scope == "model":
            return settings.limits_model.get(str(name), Rates())
        if scope == "account":
            return settings.limits_account
        key = house.accounts.keys.get(int(name))
        plan = settings.plans.get(house.accounts.users[key.account].plan) if key else None
        return (plan and plan.rates) or settings.limits

    return Limits(rates_for)


class PortTaken(Exception):
    """The address cannot be listened on."""


class NoSuchHost(Exception):
    """The host is no address of this machine: what is wrong with it, in words."""


async def listen(host: str, port: int) -> list[trio.SocketListener]:
    """Open the listening sockets. Raises PortTaken, NoSuchHost."""
    try:
        return await trio.open_tcp_listeners(port, host=host, backlog=LISTEN_BACKLOG)
    except (socket.gaierror, UnicodeError) as error:
        raise NoSuchHost(f"{host} cannot be resolved") from error
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            raise NoSuchHost(f"{host} is no address of this machine") from error
        raise PortTaken(error.strerror or str(error)) from error


def address(listeners: list[trio.SocketListener], *, tls: bool) -> str:
    """The URL at which this machine reaches the listeners."""
    host, port = listeners[0].socket.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"{'https' if tls else 'http'}://{host}:{port}"


class Started:
    """What the first lines of a start tell a person."""

    def __init__(self, url: str, house: House, orphans: int, owner_key: str | None) -> None:
        self.url = url
        self.house = house
        self.orphans = orphans
        self.owner_key = owner_key


def _allow_open_files() -> None:
    """Two sockets for each call: many systems begin with room for 1,024 files, and let a process ask for more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def serve(settings: Settings, data_dir: Path, *, host: str, port: int, started: Callable[[Started], None]) -> int:
    """Serve until SIGTERM or SIGINT; the exit code. Raises Locked, DatabaseFault, PortTaken, NoSuchHost, OSError before
    it serves."""
    _allow_open_files()
    listeners = await listen(host, port)  # first: a port that is taken must not leave a new data directory behind
    try:
        house = House(settings, data_dir, serving=True)
        try:
            code = await _serve(house, listeners, started)
        finally:
            await house.close()  # noqa: ASYNC102 - shielded within
    finally:
        for listener in listeners:
            listener.socket.close()
    return 1 if house.writer.failed is not None and not house.writer.abandoned else code


async def _serve(house: House, listeners: list[trio.SocketListener], started: Callable[[Started], None]) -> int:
    from ftgate import readiness
    from ftgate.dialects import openai_chat
    from ftgate.doors.asgi import Relay
    from ftgate.doors.intake import Intake
    from ftgate.house import control
    from ftgate.line.gate import Gate
    from ftgate.transports.choice import Transports
    from ftgate.web import api

    settings = house.settings
    orphans = await house.begin()
    watches = readiness.Readiness() if readiness.SUPPORTED else None
    transports = Transports(settings.routes.channels, direct=settings.server.direct_transport, readiness=watches)
    dialects = {openai_chat.NAME: openai_chat}
    gate = Gate(
        settings=gate_settings(settings), keys=house.accounts, ledger=MemoryLedger(house.books, house.writer,
        house.clock),
        upstream=transports, limits=_limits(house), clock=house.clock, dialects=dialects,
        passing=house.passing,
    )  # fmt: skip
    pages = api.build(Figures(house, gate), cors=settings.server.cors)
    await pages.startup()
    intake = Intake(
        gate.relay,
        gate.authenticate,
        dialects,
        max_body_bytes=settings.server.max_body_mb * 1_000_000,
        cors=settings.server.cors,
    )
    door = _door(settings, intake, Relay(intake, cast(Any, pages)), watches)
    code = 0
    async with trio.open_nursery() as nursery:
        assert house.lock.socket is not None
        await nursery.start(control.serve, house.lock.socket, house.commands())
        gate.ratios.known.update(house.ratios)
        if watches is not None:
            nursery.start_soon(watches.run)
        nursery.start_soon(_sweep, gate, house, transports)
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async with trio.open_nursery() as doors:
                await doors.start(door.serve, listeners)
                owner_key = None
                if (
                    not house.accounts.users
                ):  # the last thing before it is shown: a start that fails must not swallow it
                    try:
                        owner_key = str((await house.accounts.create_key(username=None, name="first key"))["key"])
                    except DatabaseBusy as busy:
                        raise db.DatabaseFault(f"{house.database}: {busy}") from busy
                started(
                    Started(address(listeners, tls=settings.server.tls_cert is not None), house, orphans, owner_key)
                )
                _settle_the_heap()
                code = await _until_told(signals, house)
                # A dead writer bills nothing: then no call is given time to finish.
                await _wind_down(gate, door, doors, signals, 0.0 if code else settings.server.shutdown_grace)
        nursery.cancel_scope.cancel()
    house.remember_ratios(gate.ratios)
    await transports.aclose_all()
    if watches is not None:
        watches.close()
    return code


def _door(settings: Settings, intake: Any, relay: Any, watches: Any) -> Any:
    """What stands at the port."""
    from ftgate.doors.fast import FastDoor
    from ftgate.doors.hypercorn import HypercornDoor

    context = _tls(settings)
    door = HypercornDoor(relay, ssl_context=context)
    if not settings.server.fast_door:
        return door
    if watches is None:
        log.warning("server.fast_door needs Linux: every call goes through Hypercorn")
        return door
    return FastDoor(intake, door, watches, ssl_context=context)


def _settle_the_heap() -> None:
    """What stands after a start stays: the collector need not look through it again and again, which would hold up
    every call for tens of milliseconds. Garbage in cycles is looked for less often: a call leaves little of it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 100)


async def _until_told(signals: Any, house: House) -> int:
    """Wait for a signal (0) or for the writer's death (1): never serve what cannot be billed."""
    code = 0
    async with trio.open_nursery() as nursery:

        async def watch_writer() -> None:
            nonlocal code
            await house.writer.died.wait()
            code = 1
            nursery.cancel_scope.cancel()

        nursery.start_soon(watch_writer)
        async for _ in signals:
            break
        nursery.cancel_scope.cancel()
    return code


async def _wind_down(gate: Any, door: Any, doors: trio.Nursery, signals: Any, grace_s: float) -> None:
    """Take nothing new, let running calls finish for a while, cut the rest with an error they can read. A second signal
    skips the waiting."""
    gate.closing = True
    door.stop()
    async with trio.open_nursery() as nursery:

        async def second_signal() -> None:
            async for _ in signals:
                nursery.cancel_scope.cancel()

        nursery.start_soon(second_signal)
        with trio.move_on_after(grace_s):
            while gate.calls:
                await trio.sleep(0.05)
        nursery.cancel_scope.cancel()
    for call in list(gate.calls):
        call.cancel("shutdown")
    doors.cancel_scope.deadline = trio.current_time() + CUT_S


async def _sweep(gate: Any, house: House, transports: Any) -> None:
    """Once a minute: forget limits that count nothing any more, remember what the estimator has learned and, now and
    then, how far the entries verify."""
    while True:
        await trio.sleep(SWEEP_S)
        gate.limits.forget_idle(gate.clock.now())
        transports.close_idle()
        house.remember_ratios(gate.ratios)
        await house.maybe_checkpoint()


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if settings.server.tls_cert is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(settings.server.tls_cert, settings.server.tls_key)
    return context


__all__ = ["OWNER", "House", "NoSuchHost", "PortTaken", "Started", "command", "serve"]
