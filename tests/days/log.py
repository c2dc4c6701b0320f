"""The ledger and its log as the simulation has them: the real SQL on a database in memory, commits that take (mock)
time, and the auditor at every decision.
"""

import random
import sqlite3
from collections.abc import Callable, Iterable, Iterator

import msgspec
import trio

from ftgate.core.books import Balance, Books, Entry, Quota
from ftgate.core.pricing import Offer
from ftgate.core.routing import Candidate
from ftgate.line.call import Offered
from ftgate.ports import Clock, Exhausted, Held, HoldRequest, Poor, Row, Settled
from ftgate.store.batch import Batch, write_batch
from ftgate.store.ledger import MemoryLedger
from ftgate.store.schema import migrate, open_inbox
from tests.days.auditor import Auditor

_TEMPLATE: bytes | None = None


def empty_database() -> sqlite3.Connection:
    """A migrated database in memory; the migrations run once per process."""
    global _TEMPLATE
    if _TEMPLATE is None:
        made = sqlite3.connect(":memory:", isolation_level=None)
        migrate(made)
        _TEMPLATE = made.serialize()
        made.close()
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.deserialize(_TEMPLATE)
    open_inbox(connection)
    return connection


class Watched(Batch):
    """A batch whose entries the auditor sees as they are decided."""

    def __init__(self, auditor: Auditor) -> None:
        super().__init__()
        self.auditor = auditor

    def remember(self, entries: tuple[Entry, ...], balance: Balance, quota: Quota | None = None) -> None:
        super().remember(entries, balance, quota)
        self.auditor.decided(entries)


class WatchedLedger(MemoryLedger):
    """The ledger, each of whose answers the auditor sees as it is given."""

    def __init__(self, books: Books, log: "SlowLog", clock: Clock, auditor: Auditor) -> None:
        super().__init__(books, log, clock)
        self.auditor = auditor

    async def hold(self, request: HoldRequest) -> Held | Poor | Exhausted | None:
        offered: list[Candidate] = []
        outcome = await super().hold(msgspec.structs.replace(request, offers=self._noted(request.offers, offered)))
        self.auditor.held(outcome, offered, self.books)
        return outcome

    @staticmethod
    def _noted(offers: Iterable[Offer], offered: list[Candidate]) -> Iterator[Offer]:
        """The same offers; whose they are is noted as they are taken."""
        for offer in offers:
            assert isinstance(offer, Offered)
            offered.append(offer.way)
            yield offer

    async def settle(self, hold: object, charge: int | None, row: Row) -> Settled:
        settled = await super().settle(hold, charge, row)
        self.auditor.settled(row, self.clock.now())
        return settled


class SlowLog:
    """store.ledger.Log whose commits take (mock) time: changes gather in a batch, a batch becomes durable in order,
    later. A crash loses what was not."""

    alone = True

    def __init__(self, connection: sqlite3.Connection, rng: random.Random, delay_s: float, auditor: Auditor) -> None:
        self.connection = connection
        self.rng = rng
        self.delay_s = delay_s
        self.auditor = auditor
        self.filling: Batch = Watched(auditor)
        self.writing: Batch = Watched(auditor)
        self.wake = trio.Event()
        self.trouble: str | None = None
        self.dead = False  # crashed: nothing is written any more, and nobody hears that something was

    def busy(self) -> str | None:
        return self.trouble

    def changed(self, *, soon: bool = True) -> Batch:
        self.wake.set()
        return self.filling

    async def turn(self) -> None:
        """At once, as beside a file."""

    def later(self, decide: Callable[[], None]) -> None:
        decide()

    async def durable_within(self, batch: Batch, seconds: float) -> bool:
        with trio.move_on_after(seconds):
            while self.dead:
                await trio.sleep_forever()
            while not batch.done:
                if batch.event is None:
                    batch.event = trio.Event()
                await batch.event.wait()
        return batch.done

    async def work(self) -> None:
        while True:
            await self.wake.wait()
            self.wake = trio.Event()
            while self.filling.size():
                self.writing, self.filling = self.filling, Watched(self.auditor)
                if self.rng.random() < 0.02:  # the disk is full for a while
                    self.trouble = "disk full"
                    await trio.sleep(self.rng.uniform(0.1, 5))
                    self.trouble = None
                await trio.sleep(self.delay_s * self.rng.random())
                self.write(self.writing)
                self.writing = Watched(self.auditor)

    def write_all(self) -> None:
        """The clean end: what is on its way and what still waits."""
        for batch in (self.writing, self.filling):
            if batch.size():
                self.write(batch)
        self.writing, self.filling = Watched(self.auditor), Watched(self.auditor)

    def write(self, batch: Batch) -> None:
        write_batch(self.connection, batch)
        batch.done = True
        if batch.event is not None:
            batch.event.set()
