"""The writer: one thread, commits in groups.

Rules. Exactly one connection of one process writes and checkpoints (SQLite 3.7.0 to 3.51.2 can corrupt a WAL database
that two connections write or checkpoint at once). What reaches the writer has been decided in memory and cannot be
refused: what queued while the last commit ran goes into the next (or a part of it, see GROUP), one transaction, tried
again as it is until it is in.

A batch (see store/batch.py) goes to the thread when the turn of the event loop that filled it ends, so that the thread
finds its next work without waiting for a turn of the loop's; there is one wake-up per commit, not per call.
"""

import logging
import os
import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal

import trio

from ftgate.core.tally import Times
from ftgate.ports import Row, nowhere
from ftgate.store.batch import Batch, already_in, joined, unwrite, write_batch
from ftgate.store.compaction import Compaction
from ftgate.store.database import BUSY_TIMEOUT_S, LOG_KEPT_BYTES, DatabaseFault
from ftgate.store.inbox import SIZES, SMALLEST, open_inbox, wanted
from ftgate.waking import NOTHING

log = logging.getLogger("ftgate.store")

MAX_WAITING = 10_000
"""Changes that may wait for a commit before new calls are refused: at any sane speed this is seconds of trouble."""
RETRY_S = (0.05, 0.1, 0.2, 0.5, 1.0)
STUCK_S = 3.0
"""Seconds after which a commit that neither succeeds nor fails counts as trouble: new calls are refused until it is
through."""
LAST_TRIES_S = 10.0
"""How long close() waits for a database that takes no commits before it gives the last changes up."""
GROUP = 24
GROUP_PER_S = 24_000
"""A commit takes GROUP changes where so many wait, or GROUP_PER_S for each second that the last one took, or half of
what waits: so small commits follow each other closely on a quick disk, and the first of those who wait go on soon; on a
slow one more go together, and what waits never grows without end."""
LAZY_S = 0.1
"""How long a change that nobody waits for may stand in memory; also how exactly the patience of those who wait is
measured."""
LOST_S = 2.0
"""How long what the thread has is waited for once the database is lost."""
COMPACT_S = 600.0
"""How long a database that is written anew is waited for."""
JOIN_S = 5.0
"""How long close() waits for the thread to end; one that is stuck inside a commit ends with the process."""
_PASSING = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
}
_FSYNC = {sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC}


class Writer:
    """The one thread that writes. Everything but `_work` runs in the trio thread. From start() to close() the
    connection is the thread's alone, also for reading: of two threads in one connection each can miss its own error,
    and a commit that failed would pass for done."""

    alone = True

    def __init__(self, connection: sqlite3.Connection, passing: Callable[[str], None] = nowhere) -> None:
        self.connection = connection
        self.passing = passing
        self._inboxes = 0  # how many of the SIZES there are, the smaller ones first
        self._open_inboxes(len(SMALLEST))
        self.filling = Batch()
        self.handed: deque[Batch] = deque()  # what the thread has to write or is writing
        self._waiting = 0  # changes in these
        self.trouble: str | None = None
        self.failed: BaseException | None = None
        self._lost: BaseException | None = None  # why it is to fail once what was handed over is in
        self._lost_at = 0.0  # time.monotonic
        self.died = trio.Event()
        self.commits = 0
        self.slowed = 0  # nothing limits the time of a statement
        self._jobs: queue.SimpleQueue[Batch | Compaction | Literal["fold"] | None] = queue.SimpleQueue()
        self._compactions: set[Compaction] = set()  # that somebody waits for
        self._thread: threading.Thread | None = None
        self._idle = trio.Event()
        self._give_up = threading.Event()
        self._collector: trio.lowlevel.Task | None = None
        self._service = [trio.CancelScope(), trio.CancelScope()]  # around the two tasks below
        self._began = 0.0  # time.monotonic() since which the thread has been at its commit, 0 when it is not
        self._took = 0.0  # seconds, its last one
        self.took = Times()
        """Of all commits, for metrics."""
        self.abandoned = False
        self.onlooker: Callable[[list[Row]], None] | None = None
        """Gets the rows of each batch that is written. It must neither fail nor wait."""

    def __repr__(self) -> str:
        state = (
            f"failed: {self.failed}" if self.failed is not None
            else f"in trouble: {self.trouble}" if self.trouble is not None
            else f"lost: {self._lost}" if self._lost is not None
            else "writing" if self.handed
            else "idle" if self._thread is not None
            else "not started"
        )  # fmt: skip
        return f"<Writer {state}, {self.commits} commits, {self._waiting} changes handed over, filling {self.filling}>"

    def depth(self) -> int:
        """Changes that are not in the database yet."""
        return self._waiting + self.filling.size()

    def start(self) -> None:
        """Begin writing; inside trio.run."""
        trio.lowlevel.spawn_system_task(self._collect)
        trio.lowlevel.spawn_system_task(self._watch_the_patient)
        token = trio.lowlevel.current_trio_token()

        def tell(what: Callable[..., None], *values: object) -> None:
            try:
                token.run_sync_soon(what, *values)
            except trio.RunFinishedError:
                log.error("the event loop ended before the writer did")

        self._thread = threading.Thread(target=self._work, args=(tell,), name="ftgate-writer", daemon=True)
        self._thread.start()
        self.hand_over()

    def busy(self) -> str | None:
        if self.failed is not None or self._lost is not None:
            return "the database has failed"
        if self.trouble is not None:
            return self.trouble
        began = self._began  # the thread's own word: a loop that was held up itself must not blame the database
        if began and time.monotonic() - began > STUCK_S:
            return f"a commit has not come back for {time.monotonic() - began:.0f} s"
        return "too many changes wait for the database" if self._waiting + self.filling.size() > MAX_WAITING else None

    def changed(self, *, soon: bool = True) -> Batch:
        """The batch to add changes to, at once and without an await between; it is on its way when this turn of the
        loop ends. Without `soon` it waits for the next change that is, or LAZY_S at most. The batch is the ticket for
        durable()."""
        if soon and self._thread is not None:
            collector, self._collector = self._collector, None
            if collector is not None:
                trio.lowlevel.reschedule(collector, NOTHING)
        return self.filling

    async def turn(self) -> None:
        """At once: nobody else decides."""

    def later(self, decide: Callable[[], None]) -> None:
        """At once."""
        decide()

    def _hasten(self, batch: Batch) -> None:
        """Somebody waits for this batch."""
        if batch is self.filling:
            self.changed()

    async def _collect(self) -> None:
        def end(_: object) -> trio.lowlevel.Abort:
            self._collector = None
            return trio.lowlevel.Abort.SUCCEEDED

        with self._service[0]:
            while True:
                self.hand_over()
                self._collector = trio.lowlevel.current_task()
                await trio.lowlevel.wait_task_rescheduled(end)

    async def _watch_the_patient(self) -> None:
        """One clock for all who wait for a limited time: a limit of each one's own would cost more than the wait."""
        with self._service[1]:
            while True:
                await trio.sleep(LAZY_S)
                self.hand_over()
                now = time.monotonic()
                if self._lost is not None and self.failed is None and now - self._lost_at > LOST_S:
                    self._dead(self._lost)
                for batch in (*self.handed, self.filling):
                    for task in [task for task, until in batch.patient.items() if until <= now]:
                        del batch.patient[task]
                        trio.lowlevel.reschedule(task, NOTHING)

    def hand_over(self) -> None:
        """Give the thread what has been changed, if anything has."""
        batch, size = self.filling, self.filling.size()
        if not size or self._thread is None or self.failed is not None or self._lost is not None:
            return  # behind a batch that is not written none may be
        self.filling = Batch()
        self.handed.append(batch)
        self._waiting += size
        try:
            batch.seal()
        except Exception as error:  # what cannot be written cannot be billed: the process must end
            self._dead(error)
            return
        self._jobs.put(batch)

    async def durable(self, batch: Batch) -> None:
        """Wait until the batch is committed. Cancelling the wait changes nothing. Raises DatabaseFault when it never
        will be."""
        self._hasten(batch)
        while not batch.done:
            if self.failed is not None:
                raise DatabaseFault(f"the database has failed: {self.failed}")
            if batch.event is None:
                batch.event = trio.Event()
            await batch.event.wait()

    async def durable_within(self, batch: Batch, seconds: float) -> bool:
        """As durable(), for `seconds` (and up to LAZY_S more) at most; whether it is committed."""
        if self.failed is None and not batch.done:
            self._hasten(batch)
            task = trio.lowlevel.current_task()
            batch.patient[task] = time.monotonic() + seconds

            def give_up(_: object) -> trio.lowlevel.Abort:
                del batch.patient[task]
                return trio.lowlevel.Abort.SUCCEEDED

            await trio.lowlevel.wait_task_rescheduled(give_up)
        if self.failed is not None and not batch.done:
            raise DatabaseFault(f"the database has failed: {self.failed}")
        return batch.done

    @staticmethod
    def _tell(batch: Batch) -> None:
        """Wake all who wait for this batch."""
        for task in batch.patient:
            trio.lowlevel.reschedule(task, NOTHING)
        batch.patient.clear()
        if batch.event is not None:
            batch.event.set()
            batch.event = None

    def _written(self, batches: list[Batch]) -> None:
        self.commits += 1
        self.trouble = None
        for batch in batches:
            first = self.handed.popleft()
            assert first is batch, f"written out of order: {batch}, {self}"
            self._waiting -= batch.size()
            assert self._waiting >= 0
            batch.done = True
            self._tell(batch)
            if self.onlooker is not None and batch.rows:
                self.onlooker(batch.rows)
        if not self.handed:
            self._idle.set()
            if self._lost is not None and self.failed is None:
                self._dead(self._lost)

    def _in_trouble(self, why: str) -> None:
        if self._lost is not None:  # tried once more, and the thread's own word decides
            self._give_up.set()
            return
        if self.trouble is None:
            log.error("the database does not take commits: %s; trying again", why)
        self.trouble = why

    def _dead(self, error: BaseException) -> None:
        error = self._lost or error
        if self._lost is not None or not self._give_up.is_set():  # else close() says it, and how much is lost
            log.critical("the ledger's writer has failed: %s", error)
        self.failed = error
        self.died.set()
        self._idle.set()
        for batch in (*self.handed, self.filling):
            self._tell(batch)
        for job in self._compactions:
            job.done.set()  # the thread comes to it no more

    def lose(self, error: BaseException) -> None:
        """The database is not ours any more: nothing is handed over from here on. What has been decided up to now comes
        in first, for LOST_S at most: it would else be told of as not written, and stand in the copy all the same. In
        trouble, it is tried once more."""
        if self.failed is not None or self._lost is not None:
            return
        self.hand_over()
        self._lost, self._lost_at = error, time.monotonic()
        if self.trouble is not None:
            self._give_up.set()
        if not self.handed and self.failed is None:
            self._dead(error)

    def _work(self, tell: Callable[..., None]) -> None:
        while (
            batches := self._take()
        ) and self.failed is None:  # what was given up before it began is not written after all
            self._began = began = time.monotonic()
            try:
                self._write_until_in(joined(batches), tell)
            except BaseException as error:  # never serve unbilled: the process must end
                tell(self._dead, error)
                return
            finally:
                self._began = 0.0
            self._took = time.monotonic() - began
            self.took.add(self._took)
            tell(self._written, batches)

    def _take(self) -> list[Batch]:
        """What goes into the next commit, waiting for something; nothing when it is time to end."""
        room = max(GROUP, self._took * GROUP_PER_S, self._waiting / 2)
        batches: list[Batch] = []
        while room > 0 and not (batches and self._jobs.empty()):
            batch = self._jobs.get()
            if batch == "fold":
                self._fold()
                continue
            if isinstance(batch, Compaction):
                self._began = time.monotonic()
                batch.run(self.connection)
                self._began = 0.0
                continue
            if batch is None:
                if batches:
                    self._jobs.put(None)  # to be met again
                break
            batches.append(batch)
            room -= batch.size()
        return batches

    def _write_until_in(self, batch: Batch, tell: Callable[..., None]) -> None:
        tries = 0
        while True:
            try:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                if not (tries and already_in(self.connection, batch)):
                    assert batch.sealed is not None
                    self._open_inboxes(wanted(batch.sealed))
                    write_batch(self.connection, batch, SIZES[: self._inboxes])
                self.passing("committed")
                return
            except sqlite3.OperationalError as error:
                code = error.sqlite_errorcode
                if code in _FSYNC:
                    unwrite(self.connection)
                if code in _FSYNC or code & 0xFF not in _PASSING:
                    raise
                if self._give_up.is_set():
                    raise
                tell(self._in_trouble, str(error))
                self._give_up.wait(RETRY_S[min(tries, len(RETRY_S) - 1)])
                tries += 1

    def _open_inboxes(self, many: int) -> None:
        """Make those that are missing of so many sizes: larger ones when a batch first wants them, since most starts
        never see a crowd. Raises sqlite3.Error; what is half made is made anew."""
        if many > self._inboxes:
            open_inbox(self.connection, SIZES[self._inboxes : many], None if self.passing is nowhere else self.passing)
            self._inboxes = many

    def fold_log(self) -> None:
        """Have a large write-ahead log folded back, which commits do by themselves as long as there are any; a reader
        that stands in the way is not waited for."""
        if self._thread is not None and self.failed is None:
            self._jobs.put("fold")

    async def compact(self, most: int | None) -> str | None:
        """Have the database written anew, without what was deleted from it, if it has `most` bytes at the most. Commits
        wait for that. Why it was not done, in words; None where it was."""
        job = Compaction(most)
        if self._thread is not None and self.failed is None:
            self._compactions.add(job)
            self._jobs.put(job)
            try:
                await trio.to_thread.run_sync(job.done.wait, COMPACT_S, abandon_on_cancel=True)
            finally:
                self._compactions.discard(job)
        return job.why

    def _log_size(self) -> int:
        path = self.connection.execute("PRAGMA database_list").fetchone()[2]
        try:
            return os.stat(f"{path}-wal").st_size
        except OSError:
            return 0

    def _fold(self) -> None:
        if self._log_size() <= LOG_KEPT_BYTES:
            return
        self._began = time.monotonic()
        try:
            self.connection.execute("PRAGMA busy_timeout = 0")
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            log.warning("the write-ahead log was not folded back: %s", error)
        finally:
            self.connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000:.0f}")
            self._began = 0.0

    def stuck(self) -> bool:
        """Whether the thread still runs; after close() that means inside a commit that does not come back."""
        return self._thread is not None and self._thread.is_alive()

    def abandon(self) -> None:
        """What is not in yet need not come in: it can be decided again. close() then neither waits for it nor mourns
        it."""
        self.abandoned = True
        self._give_up.set()

    async def drain(self) -> bool:
        """Write what is left; whether all is in. When the database takes no commit for LAST_TRIES_S the last changes
        are given up: the writer has failed."""
        while self._thread is not None and self.failed is None and (self.handed or self.filling.size()):
            self._idle, commits = trio.Event(), self.commits
            self.hand_over()
            with trio.move_on_after(LAST_TRIES_S) as patience:
                await self._idle.wait()
            if patience.cancelled_caught and self.commits == commits:
                if self._give_up.is_set() or self.trouble is None:  # stuck inside a commit: no word will come
                    self._dead(DatabaseFault("a commit does not come back"))
                self._give_up.set()
        return self._thread is not None and self.failed is None

    def _mourn(self) -> None:
        """Say what a failed writer leaves unwritten."""
        left = [batch for batch in (*self.handed, self.filling) if not batch.done]
        changes, entries = sum(batch.size() for batch in left), sum(len(batch.entries) for batch in left)
        if changes and not self.abandoned:
            log.critical(
                "the last %d changes, %d of them ledger entries, were not written and are lost: %s",
                changes,
                entries,
                self.failed,
            )

    def _rescue(self, copy: Path) -> None:
        """The file that has lost its name still holds everything, as long as it is open here."""
        try:
            os.close(os.open(copy, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            self.connection.execute("VACUUM INTO ?", (str(copy),))
        except (OSError, sqlite3.Error) as error:
            log.critical("what was committed up to now is lost, since no copy of it can be made: %s", error)
            with suppress(OSError):
                if not copy.stat().st_size:  # nobody is to take it for one
                    copy.unlink()
        else:
            log.critical("what was committed up to now is in %s: `ftgate restore` puts it in its place", copy)

    async def close(self, *, rescue: Path | None = None) -> None:
        """Write what is left (see drain), checkpoint and close. Nothing of ours writes any more when this returns, but
        for a thread that is stuck inside a commit. Not cancellable: its own limits end it (LAST_TRIES_S, JOIN_S). With
        `rescue`, for a file that has lost its name, all that was committed goes into a copy of that name."""
        with trio.CancelScope(shield=True):
            await self.drain()
            for scope in self._service:
                scope.cancel()
            if self.failed is not None:
                self._mourn()
            if self._thread is not None:
                self._jobs.put(None)
                await trio.to_thread.run_sync(self._thread.join, JOIN_S)
                if self.stuck():
                    return  # the connection is still in its hands
        try:
            if rescue is not None:
                await trio.to_thread.run_sync(self._rescue, rescue)
            elif self.failed is None:
                self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:  # what is committed stays in the write-ahead log
            log.warning("the write-ahead log was not folded back: %s", error)
        finally:
            self.connection.close()
