"""A house whose ledger is on PostgreSQL, shared with other gateways: the data directory has what is this gateway's own
(its lock, its name, its control socket), the database everything else.

What a start does beside a file is done here by boots: holds of this gateway's earlier processes are ended before the
doors open, those of gateways that died while others run by whoever notices.
"""

import hashlib
import logging
import secrets
import sqlite3
import time
from pathlib import Path
from typing import cast

import trio

from ftgate import __version__
from ftgate.config import Settings
from ftgate.core.books import Books, Hold
from ftgate.core.limits import Limits
from ftgate.core.limits_shared import SharedLimits
from ftgate.house.house import BEGIN_S, CLOSE_S, D, House, Making
from ftgate.house.lock import Patience
from ftgate.house.server_key import server_key
from ftgate.ports import HoldRequest, Ledger
from ftgate.store import checkpoint, database
from ftgate.store.database import DatabaseFault
from ftgate.store.owner import keep_owner
from ftgate.store.postgres import opening
from ftgate.store.postgres.clock import TurnClock
from ftgate.store.postgres.connection import Connection, PostgresError
from ftgate.store.postgres.job import Job
from ftgate.store.postgres.lane import Lane
from ftgate.store.postgres.ledger import TurnLedger
from ftgate.store.postgres.memory import BooksMemory, Read
from ftgate.store.postgres.store import WireStore
from ftgate.store.postgres.turns import Stamp, Turned
from ftgate.store.source import Postgres

log = logging.getLogger("ftgate.house")

GATEWAY = "gateway"
"""The file with this gateway's name."""
CHANGES_KEPT_S = 600
"""How long it stays to be read what a turn changed; a gateway that was away for longer reads everything anew."""
REFRESH_S = 1.0
WAIT_S, COMMAND_WAIT_S, LOOK_S = 20.0, 4.0, 0.5
"""How long a start waits for a database that does not answer, and a command without a server, and how often it asks."""
_LATELY = (
    "SELECT boot, note FROM changes WHERE"
    " at_us > (extract(epoch FROM clock_timestamp() - interval '1 minute') * 1000000)::bigint AND CASE"
    " WHEN EXISTS (SELECT 1 FROM changes WHERE seq = {0} AND boot = {1} AND at_us = {2})"
    " THEN seq > {0} ELSE at_us > {2} END ORDER BY seq"
)
"""What turns have told in the last minute, longer than which no window of limits is, and after the turn that was heard
last: number and stamp. Where a fail-over has lost that, numbers say nothing, and times must."""
NEVER = Stamp(0, 0)
_OLDER = (
    "SELECT ref, at_us, key, account FROM holds WHERE boot <> {}"
    " AND at_us <= (extract(epoch FROM clock_timestamp() - interval '1 minute') * 1000000)::bigint"
)
"""Calls that are in flight for longer."""
_LATEST = "SELECT head.seq, boot, at_us FROM head LEFT JOIN changes ON changes.seq = head.seq"
_HELD = "SELECT account, posted, held FROM balances"
_QUOTAS_HELD = "SELECT key, held FROM spent WHERE held > 0"
_LAST = "SELECT coalesce(max(id), 0) FROM entries"
_OPEN = "SELECT id, account, key, amount, quota_held, metered, ref, unlimited FROM holds WHERE boot = {}"
_REFS = "SELECT ref FROM holds"
_RATIOS = "SELECT kind, model, milli FROM ratios"


class SharedHouse(House[D]):
    """As House, over a PostgreSQL. Raises as House does."""

    def _open(self, accounts: Making[D], patience: Patience | None) -> None:
        url = self.settings.database.url
        assert url is not None
        self.database: Postgres = Postgres(url.reveal())  # type: ignore[assignment]
        self.clock: TurnClock = TurnClock()  # type: ignore[assignment]
        self.audit = None
        source = self.database
        conninfo = opening.lane_conninfo(source)
        self.gateway = gateway_name(self.data_dir)
        secret, config = server_key(self.data_dir), config_hash(self.settings)
        until = time.monotonic() + (WAIT_S if self.lock.serving else COMMAND_WAIT_S)
        while True:
            try:
                self.opened = opening.open_ledger(source, self.gateway, __version__, config, secret)
                break
            except opening.NotThere as fault:  # it may be starting too
                if time.monotonic() > until:
                    raise
                if patience is not None:
                    patience.rest(str(fault))
                time.sleep(LOOK_S)
        self.books = Books(boot=self.opened.boot)
        self.memory = BooksMemory(self.books, _statement, self._read)
        self.memory.charge_estimate = self.settings.database.expired_hold == "charge_estimate"
        self.lane = Lane(
            WireStore(conninfo, self.opened.boot, self.gateway), self.memory, self.clock, seen=0, passing=self.passing
        )  # fmt: skip
        self.writer = self.lane
        self.accounts = accounts(
            self.books, self.lane, self.clock, self.live.metered, self.opened.secret, lambda: self.live.site
        )
        self.memory.people = self.accounts.following  # type: ignore[attr-defined]
        self.accounts.directory.refresh = self.refresh  # type: ignore[attr-defined]
        recording = opening.Recording(cast(Connection, database.read_only(source)))
        try:
            recording.connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            self.lane.seen, self.lane.known = self._load_all(recording)
            self._asked = recording.asked
            self.memory.in_flight(recording.connection.execute(_OLDER.format(self.opened.boot)))
            self.memory.passed(recording.connection.execute(_LATELY.format(0, *NEVER)))
            self.ratios = {(kind, model): milli for kind, model, milli in recording.connection.execute(_RATIOS)}
        finally:
            recording.connection.close()

    def _load_all(self, connection: opening.Recording | opening.Recorded, found: object = None) -> Turned:
        """Read memory anew, all of one moment; the turn at which that was. `found` is what accounts have read there."""
        books = self.books
        books.forget()
        ((seq, boot, at_us),) = connection.execute(_LATEST).fetchall()
        ((last,),) = connection.execute(_LAST).fetchall()
        books.next_id = last + 1
        self.accounts.load(cast(sqlite3.Connection, connection), found)  # type: ignore[call-arg]
        for account, posted, held in connection.execute(_HELD):
            books.accounts[account].held = held
            books.accounts[account].lowered = posted < held
        for key, held in connection.execute(_QUOTAS_HELD):
            books.quotas[key].held = held
        for id, account, key, amount, quota_held, metered, ref, unlimited in connection.execute(
            _OPEN.format(self.opened.boot)
        ):
            books.open[id] = Hold(id, account, key, amount, quota_held, bool(metered), ref, bool(unlimited))
            books.held[ref] = (account, key, quota_held)
        return seq, None if boot is None else Stamp(boot, at_us)

    def _read(self, seen: int, known: Stamp | None) -> Read:
        """In a thread: read everything anew; what takes it in, in the thread of the loop."""
        lately = _LATELY.format(seen, *(known or NEVER))
        rows = opening.snapshot(self.database, [*self._asked, lately, _REFS])
        recorded = opening.Recorded(rows)
        found = self.accounts.read(recorded)  # type: ignore[attr-defined]

        def take() -> Turned:
            turn = self._load_all(recorded, found)
            self.memory.passed(rows[lately], [ref for (ref,) in rows[_REFS]])
            return turn

        return take

    async def refresh(self) -> bool:
        """Know what other gateways have changed up to now; whether the database has answered in time."""
        return self.lane.trouble is None and await self.lane.refresh(REFRESH_S)

    def ledger(self, limits: Limits) -> Ledger:
        """What the line takes holds of; `limits` are kept together with the other gateways'."""
        ledger = TurnLedger(self.books, self.lane, self.clock, self._admit)
        ledger.shared = SharedLimits(limits, self.clock.now, self.clock.local_s)
        self.memory.share(ledger.shared)
        return ledger

    def _admit(self, request: HoldRequest) -> None:
        """Under the head: a key that was disabled at another gateway takes no hold. Raises NotAuthenticated."""
        self.accounts.directory.still_holds(request.key)  # type: ignore[attr-defined]

    async def begin(self) -> int:
        """End what this gateway's earlier processes left open, and start the lane. The number of holds ended. Raises
        DatabaseFault."""
        self.passing("recovering")
        self.lane.start()
        with trio.move_on_after(BEGIN_S):
            while self.lane.orphans_left and self.lane.failed is None:
                await self.lane.do(Job(lambda: None)).event.wait()
            return self.lane.orphans_ended
        self.lane.abandon()
        raise DatabaseFault(
            f"{self.database} took no commit for {BEGIN_S:g} s ({self.lane.trouble or 'it does not answer'}). "
            "Nothing was changed; start again when it does"
        )

    def _look(self) -> tuple[str | None, bool]:
        return None, self.lock.stands()  # the database is no file of this machine

    async def maybe_checkpoint(self, every: int = 200_000, pause_s: float = 0.005) -> None:
        """As House says; whichever gateway comes first does it. What turns changed long ago is forgotten too."""
        before_us = self.clock.wall_us() - CHANGES_KEPT_S * 1_000_000
        try:
            await trio.to_thread.run_sync(opening.forget_changes, self.database, before_us, abandon_on_cancel=True)
            if self.audit is None:
                noted = await trio.to_thread.run_sync(self._reading, _checked, abandon_on_cancel=True)
                upto = await trio.to_thread.run_sync(self._reading, database.last_entry, abandon_on_cancel=True)
                if upto - noted <= every:
                    return
                self.audit = await trio.to_thread.run_sync(self._reading, checkpoint.resume, abandon_on_cancel=True)
                self.checked = self.audit.last_id
            await super().maybe_checkpoint(every, pause_s)
        except sqlite3.Error as error:
            log.warning("no checkpoint of the ledger was written: %s", error)
        finally:
            self.audit = None

    async def close(self) -> None:
        """Write what is left, end the boot, and give the lock back. Shielded, for CLOSE_S at most."""
        try:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_S):
                whole = await self.lane.drain()
                await self.lane.close()
                if whole:
                    try:
                        await trio.to_thread.run_sync(opening.end_boot, self.database, self.opened.boot)
                    except PostgresError as error:
                        log.warning("the end of this process is not noted: %s", error)
        finally:
            self.lock.release()


def _statement(sql: str, values: object) -> str:
    from ftgate.store.postgres.dialect import bound

    return bound(sql, values)  # type: ignore[arg-type]


def _checked(connection: sqlite3.Connection) -> int:
    """The last entry that a checkpoint has."""
    return int(connection.execute("SELECT coalesce(max(last_id), 0) FROM checkpoints").fetchone()[0])


def gateway_name(data_dir: Path) -> str:
    """This gateway's name, random, kept in its directory. Raises OSError."""
    path = data_dir / GATEWAY
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        name = secrets.token_hex(8)
        part = path.with_suffix(".new")
        part.write_text(name + "\n")
        part.chmod(0o600)
        keep_owner(part, path.parent)
        part.replace(path)
        return name


def config_hash(settings: Settings) -> str:
    """Tells gateways whose prices, plans or limits differ."""
    prices = sorted(
        (c.name, name, repr(model.price)) for c in settings.routes.channels for name, model in c.models.items()
    )
    said = repr((settings.billing, settings.plans, settings.limits, settings.limits_model, prices))
    return hashlib.sha256(said.encode()).hexdigest()[:16]
