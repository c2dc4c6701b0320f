"""An open data directory: the lock, the database, the books, and what happens while it is open and when it closes.

A house that opens has verified its ledger, from the last checkpoint on, and one that has begun has ended what a crash
left open. It knows users and keys only as what must be loaded: app.py hands them in.
"""

import logging
import os
import sqlite3
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Concatenate, Generic, ParamSpec, Protocol, TypeVar

import trio

from ftgate import __version__
from ftgate.config import Settings
from ftgate.core.audit import Audit, Disagreement
from ftgate.core.books import Books
from ftgate.core.estimate import Ratios
from ftgate.core.limits import Limits
from ftgate.core.moments import stamp
from ftgate.core.money import format_usd
from ftgate.core.retention import Pace, kept_from
from ftgate.core.spending import month_of
from ftgate.house import failpoint
from ftgate.house.files import OwnFiles
from ftgate.house.live import Live
from ftgate.house.lock import Lock, Patience, make_data_dir
from ftgate.house.server_key import server_key
from ftgate.ports import Clock, Ledger, SiteSettings
from ftgate.store import checkpoint, database, pruning, spending, upgrade
from ftgate.store.backup import FOLDER
from ftgate.store.changes import Changes
from ftgate.store.database import DatabaseFault
from ftgate.store.ledger import MemoryLedger
from ftgate.store.recovery import expire_orphans
from ftgate.store.writer import Writer

log = logging.getLogger("ftgate.house")

DATABASE = "ftgate.sqlite3"
CLOSE_S = 60.0
"""Seconds that writing the last changes and closing may take; the writer has a shorter limit of its own."""
BEGIN_S = 15.0
"""Seconds that a database has to take the first commit of a start, which ends what a crash left open."""
CHECKPOINT_EVERY = 200_000
"""Entries after which a running server writes a checkpoint of the audit: less than a second of reading for a start
after a crash."""
SPENDING_EVERY = 50_000
"""Calls after which it is noted what channels have cost: less than half a second of reading for a start."""
CHECKPOINT_S = 5.0
"""Seconds that the last checkpoint may take to be written at a close; without it the next start only reads more."""
WATCH_S = 1.0
"""How often it is looked whether the files are still there: what is charged in this time could go with them."""
PAUSE_S = 0.005
"""Rest between two pages of the audit beside running calls."""


class SystemClock:
    """ports.Clock."""

    now = staticmethod(time.monotonic)  # itself: every call asks it several times

    def wall_us(self) -> int:
        return time.time_ns() // 1000


class Directory(Protocol):
    """Users and keys, which belong to a house's books and are not its own business."""

    def load(self, connection: sqlite3.Connection) -> None:
        """Read them all, and open their accounts and quotas in the books."""
        ...


D = TypeVar("D", bound=Directory, covariant=True)
Making = Callable[[Books, Changes, Clock, Callable[[str], bool], bytes, Callable[[], SiteSettings]], D]
"""Makes a directory over a house's books and writer. The last arguments say whether a plan bills without credits,
the server's own secret, and the site's settings in force."""
P = ParamSpec("P")
R = TypeVar("R")


class House(Generic[D]):
    """An open data directory. `accounts` makes its directory of users and keys; with `patience` a command that holds
    the directory is waited for. Raises house.lock.Locked, store.database.DatabaseFault, OSError."""

    def __init__(
        self,
        settings: Settings,
        data_dir: Path,
        *,
        serving: bool,
        accounts: Making[D],
        patience: Patience | None = None,
    ) -> None:
        self.live = Live(settings)
        self.data_dir = data_dir.resolve()
        self.fresh = make_data_dir(self.data_dir)
        self.passing = failpoint.read(os.environ)
        self.rescued: Path | None = None
        self.spent: spending.Spent | None = None  # what channels have cost in this month, once somebody asks
        self._one_reads = trio.Lock()  # of those who read it on
        self.lock = Lock(self.data_dir, serving=serving, patience=patience)
        try:
            self._open(accounts, patience)
        except BaseException as error:  # a house that is not there must not stay locked
            self.lock.release()
            if isinstance(error, sqlite3.Error):
                raise DatabaseFault(f"{self.database} cannot be read: {error}") from error
            raise

    def _open(self, accounts: Making[D], patience: Patience | None) -> None:
        self.database = self.data_dir / DATABASE
        self.connection = database.connect(
            self.database, durability=self.settings.database.durability, before=self._before_migration
        )
        self.files = OwnFiles(self.database)
        self.files.moved()  # first seen
        try:
            self._load(accounts)
        except BaseException:  # nobody else has it to close
            self.connection.close()
            raise

    @property
    def settings(self) -> Settings:
        """Those in force."""
        return self.live.settings

    def __repr__(self) -> str:
        books = self.books
        return f"<House {self.data_dir}: {len(books.accounts)} accounts, {len(books.open)} holds open, {self.writer}>"

    refresh: Callable[[], Awaitable[bool]] | None = None
    """Looks what other gateways have changed, where there are others."""

    def ledger(self, limits: Limits) -> Ledger:
        """What the line takes holds of; `limits` are its own."""
        return MemoryLedger(self.books, self.writer, self.clock)

    async def watch_files(self) -> None:
        """Until cancelled, look whether our files are still there. A database that is not ends the writer: nothing more
        is sold that nobody will know of. A lock file that was removed is made anew."""
        while self.writer.failed is None:
            await trio.sleep(WATCH_S)
            moved, locked = await trio.to_thread.run_sync(self._look, abandon_on_cancel=True)
            if moved:
                self._lose(moved)
            elif not locked:
                try:
                    self.lock.renew()
                    log.warning("%s was removed, and is made anew", self.lock.path)
                except OSError as error:  # somebody looks at it just now, or there is no room: the next time, then
                    log.warning("%s was removed, and cannot be made anew yet: %s", self.lock.path, error.strerror)

    def _look(self) -> tuple[str | None, bool]:
        return self.files.moved(), self.lock.stands()

    def _lose(self, moved: str) -> None:
        """Our database is not where it was: no more commits, and what is in it goes into a copy at the close."""
        if self.rescued is not None:  # noticed before, and the last commits are waited for: the copy has its name
            return
        self.rescued = self.data_dir / f"rescued-{stamp(self.clock.wall_us())}.sqlite3"
        self.writer.lose(DatabaseFault(f"{moved}: somebody removed or replaced it while it was in use"))

    def backups(self) -> Path:
        """Where copies of the database go."""
        return self.settings.backup.to or self.data_dir / FOLDER

    def _before_migration(self, path: Path) -> None:
        """An older database is copied before it is changed. Raises DatabaseFault."""
        copied = upgrade.copy_before(path, self.backups())
        if copied is not None:
            (old, new, _), made = copied.waiting, ", made by an earlier start" if copied.again else ""
            log.warning("schema %d -> %d, backup at %s%s", old, new, copied.copy, made)

    def _load(self, accounts: Making[D]) -> None:
        self.clock = SystemClock()
        self.writer: Changes = Writer(self.connection, self.passing)
        self.books = Books(
            next_id=database.last_entry(self.connection) + 1, boot=database.last_boot(self.connection) + 1
        )
        self.accounts = accounts(
            self.books,
            self.writer,
            self.clock,
            self.live.metered,
            server_key(self.data_dir),
            lambda: self.live.site,
        )
        self.accounts.load(self.connection)
        self.ratios = {
            (kind, model): milli
            for kind, model, milli in self.connection.execute("SELECT kind, model, milli FROM ratios")
        }
        try:
            self.audit: Audit | None = self._verified()
        except Disagreement as found:
            raise DatabaseFault(
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
        balances, spent = database.balances_in(self.connection), database.spent_in(self.connection)
        audit.finish(balances, spent)
        if strangers := set(balances) - set(self.books.accounts):
            raise Disagreement(f"account {min(strangers)} has a balance and no user")
        if strangers := {*spent, *(hold.key for hold in audit.open.values())} - set(self.books.quotas):
            raise Disagreement(f"key {min(strangers)} has entries and is not in the list of keys")
        return audit

    async def begin(self) -> int:
        """Record this boot, end what an earlier one left open, start the writer. The number of holds ended. Raises
        DatabaseFault, also when the database takes no commit for BEGIN_S: then nothing has changed, the next start does
        it."""
        assert self.audit is not None
        batch = self.writer.changed()
        batch.statements.append(
            (
                "INSERT INTO boots (id, at_us, version) VALUES (?, ?, ?)",
                (self.books.boot, self.clock.wall_us(), __version__),
            )
        )
        self.passing("recovering")
        orphans, exposure = expire_orphans(
            self.connection, self.books, batch, at_us=self.clock.wall_us(),
            charge_estimate=self.settings.database.expired_hold == "charge_estimate",
            open_holds=list(self.audit.open.values()),
        )  # fmt: skip
        self.writer.start()  # from here on the connection is the writer's
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
            raise DatabaseFault(
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
            upto = await trio.to_thread.run_sync(self._reading, database.last_entry, abandon_on_cancel=True)
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

    async def spent_this_month(self) -> dict[str, int]:
        """Units that each channel has cost in this month by now."""
        async with self._one_reads:
            spent = await self._spent_from(self._month())
            await self._read_spending(spent, SPENDING_EVERY, 0)
            return dict(spent.units)

    async def note_spending(self, every: int = SPENDING_EVERY, pause_s: float = PAUSE_S) -> None:
        """Read on what channels have cost, and queue a note of it, when more than `every` calls have ended since that
        was last read; as maybe_checkpoint() does."""
        if self.spent is None:
            return
        try:
            async with self._one_reads:
                spent = await self._spent_from(self._month(), self.spent)
                upto = await trio.to_thread.run_sync(self._reading, database.last_request)
                if upto - spent.noted > every:
                    await self._read_spending(spent, every, pause_s)
        except sqlite3.Error as error:
            log.warning("what channels have cost was not noted: %s", error)

    async def _spent_from(self, begins_us: int, spent: spending.Spent | None = None) -> spending.Spent:
        """The reading of the month that began then: this one, or another that begins where the note stands."""
        if spent is None or spent.begins_us != begins_us:
            spent = await trio.to_thread.run_sync(self._reading, spending.resume, begins_us)
        self.spent = spent
        return spent

    async def _read_spending(self, spent: spending.Spent, every: int, pause_s: float) -> None:
        upto = await trio.to_thread.run_sync(self._reading, database.last_request)
        while await trio.to_thread.run_sync(self._reading, spending.read_on, spent, upto):
            await trio.sleep(pause_s)
        if spent.last_id - spent.noted > every:
            self.writer.changed().statements.append(spending.statement(spent))

    async def prune(self) -> None:
        """Delete the rows of calls that came longer ago than is kept, until none is left: a few in each commit, with
        rests between. As soon as another time is set, it holds."""
        pace = Pace()
        try:
            while (days := self.settings.server.retention_days) and (ids := await self._too_old(days, pace)):
                while ids and self.settings.server.retention_days == days:
                    began = self.clock.now()
                    batch = self.writer.changed()
                    batch.statements += pruning.statements(ids[: pace.piece])
                    del ids[: pace.piece]
                    await self.writer.durable(batch)
                    now = self.clock.now()
                    await trio.sleep(pace.rest_s(now, now - began, self.writer.commits))
        except sqlite3.Error as error:
            log.warning("rows that are too old were not deleted: %s", error)
        except DatabaseFault:  # the writer has failed, and the process ends
            pass

    async def _too_old(self, days: int, pace: Pace) -> list[int]:
        """Rows that may go."""
        now_us = self.clock.wall_us()
        before_us, begins_us = kept_from(days, now_us), month_of(now_us)[0]
        upto = await trio.to_thread.run_sync(self._reading, database.last_request)
        pace.look(upto)
        if before_us > begins_us:  # calls of this month count for `monthly_cap`, by a note once their rows are gone
            async with self._one_reads:
                spent = await self._spent_from(begins_us, self.spent)
                await self._read_spending(spent, 0, PAUSE_S)
                upto = min(upto, spent.noted)
        return await trio.to_thread.run_sync(self._reading, pruning.old_rows, before_us, upto)

    def _month(self) -> int:
        return month_of(self.clock.wall_us())[0]

    def _reading(
        self, what: Callable[Concatenate[sqlite3.Connection, P], R], *arguments: P.args, **named: P.kwargs
    ) -> R:
        """`what` on a connection for one short read."""
        connection = database.read_only(self.database)
        try:
            return what(connection, *arguments, **named)
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
                if self.writer.failed is None and (moved := self.files.moved()):
                    self._lose(moved)
                if await self.writer.drain():
                    await self._last_checkpoint()
                await self.writer.close(rescue=self.rescued)
        finally:
            if (
                not self.writer.stuck()
            ):  # else the kernel gives it back when the process ends, and nobody writes beside it before
                self.lock.release()

    async def _last_checkpoint(self) -> None:
        await self.maybe_checkpoint(every=0, pause_s=0)
        await self.note_spending(every=0, pause_s=0)
        batch = self.writer.changed()
        if batch.size():
            with trio.move_on_after(CHECKPOINT_S):
                await self.writer.durable(batch)
            if not batch.done:
                self.writer.abandon()
