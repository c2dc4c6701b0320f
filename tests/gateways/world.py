"""Several gateways on one made-up database (shared.py), lived on Trio's mock clock from one seed, and checked from
outside: by core/audit, and by every answer that a caller was told.

What is real: the lane, the books, the ledger, the notes. Callers hold and settle, some leave before they have an
answer, gateways are killed, freeze and begin anew.
"""

import random
from collections.abc import Iterator
from typing import Any

import trio

from ftgate.core.audit import Audit, Disagreement
from ftgate.core.books import Books, Entry, Hold
from ftgate.core.pricing import ONE, Price, Quote
from ftgate.errors import DatabaseFailed
from ftgate.ports import Held, HoldRequest, Poor
from ftgate.store.batch import Batch
from ftgate.store.postgres.clock import TurnClock
from ftgate.store.postgres.job import Job
from ftgate.store.postgres.lane import Lane
from ftgate.store.postgres.ledger import TurnLedger
from ftgate.store.postgres.memory import BooksMemory
from tests.core.offers import offers
from tests.gateways.shared import Boot, Connected, Head, Shared, Whole
from tests.store.faulty import row

PRICE = Price(1, 2, 1, 1, 1)
ACCOUNTS = (1, 2, 3)
"""One key each, of the same number."""
CREDITS = 40_000
MOST_S = 600.0


class Nobody:
    """Accounts do not change here."""

    def wanted(self, table: str, ids: object) -> str:
        raise AssertionError(table)

    def renewed(self, table: str, ids: object, rows: object) -> None:
        raise AssertionError(table)

    def moved(self, ref: str, entry: int) -> None:
        """Nobody asks."""


class Memory(BooksMemory):
    """Over a made-up database, of which it reads everything anew at once."""

    def __init__(self, books: Books, shared: Shared) -> None:
        super().__init__(books, Nobody(), lambda sql, values: sql, lambda: lambda: 0)
        self.shared = shared

    def steps(self, batch: Batch, seq: int) -> Iterator[Any]:
        taken = {entry.id for entry in batch.entries if entry.kind == "hold"}
        ended = [entry.hold for entry in batch.entries if entry.kind in {"post", "void", "expire"}]
        opened = [hold.id for hold in self.opened(batch)]
        yield Whole(batch, self.note(batch), self.spent(batch), opened, [id for id in ended if id not in taken])

    async def reload(self) -> int:
        await trio.sleep(0.002)
        return self.load()

    def load(self) -> int:
        shared, books = self.shared, self.books
        books.forget()
        books.next_id = (shared.entries[-1].id if shared.entries else 0) + 1
        for account in ACCOUNTS:
            posted, held, used = shared.balances.get(account, (0, 0, 0))
            books.open_account(account, posted=posted, used=used)
            books.accounts[account].held = held
            books.accounts[account].lowered = posted < held
            used, held = shared.spent.get(account, (0, 0))
            books.open_key(account, limit=None, used=used).held = held
        for hold in shared.holds.values():
            if hold.boot == books.boot:
                books.open[hold.id] = Hold(hold.id, hold.account, hold.key, hold.amount, hold.amount, False, hold.ref)
        for entry in shared.entries:
            if entry.kind == "grant":
                books.moved[entry.ref] = (entry.kind, entry.account, entry.amount)
        return len(shared.changes)


class Gateway:
    """One process."""

    def __init__(self, world: "World", name: str) -> None:
        shared = world.shared
        self.world = world
        self.name = name
        self.boot: Boot = shared.boot(name)
        self.books = Books(boot=self.boot.id)
        self.memory = Memory(self.books, shared)
        self.store = Connected(shared, self.boot)
        clock = TurnClock()
        self.lane = Lane(self.store, self.memory, clock, seen=self.memory.load())
        self.ledger = TurnLedger(self.books, self.lane, clock, lambda request: None)
        self.callers = trio.CancelScope()
        self.killed = False
        if "retry without mark" in shared.plants:
            self.store.went_in = self._never  # type: ignore[method-assign]
        if "cancelled hold left open" in shared.plants:
            self.ledger._give_back = lambda job: None  # type: ignore[method-assign]

    async def _never(self, mark: int) -> bool:
        return False

    def kill(self) -> None:
        """kill -9: nothing of it goes on, and the server notices."""
        self.killed = True
        self.callers.cancel()
        self.lane._scope.cancel()
        self.store.close()


class World:
    def __init__(self, seed: int, *, plants: frozenset[str] = frozenset(), gateways: int = 2) -> None:
        self.rand = random.Random(seed)
        self.shared = Shared(self.rand, plants)
        self.shared.head = Head()  # type: ignore[assignment]
        self.names = [f"g{number}" for number in range(gateways)]
        self.gateways: dict[str, Gateway] = {}
        self.told: list[tuple[str, str, int]] = []  # what callers were told: ref, what, amount
        self.complaints: list[str] = []
        self.number = 0

    async def live(self, seconds: float, *, cuts: float = 0.0, kills: int = 0, freezes: int = 0) -> list[str]:
        """What was wrong in the end."""
        shared = self.shared
        async with trio.open_nursery() as nursery:
            for name in self.names:
                await self._start(name, nursery)
            for account in ACCOUNTS:
                await self._grant(account)
            shared.cuts = cuts
            troubles = ["kill"] * kills + ["freeze"] * freezes
            self.rand.shuffle(troubles)
            for trouble in troubles:
                await trio.sleep(seconds / (len(troubles) + 1))
                gateway = self.gateways[self.rand.choice(self.names)]
                if trouble == "kill" or gateway.lane.failed is not None:
                    gateway.kill()
                    await trio.sleep(self.rand.uniform(0, 2))
                    await self._start(gateway.name, nursery)
                else:
                    gateway.store.frozen_s = self.rand.choice([0.1, 0.7, 2.0, 8.0])
            await trio.sleep(seconds / (len(troubles) + 1))
            shared.cuts = 0.0
            await self._end()
            nursery.cancel_scope.cancel()
        self._check()
        return self.complaints

    async def _start(self, name: str, nursery: trio.Nursery) -> None:
        gateway = self.gateways[name] = Gateway(self, name)
        gateway.lane.start()
        nursery.start_soon(self._callers, gateway)

    async def _callers(self, gateway: Gateway) -> None:
        with gateway.callers:
            async with trio.open_nursery() as nursery:
                for _ in range(4):
                    nursery.start_soon(self._caller, gateway)

    async def _grant(self, account: int) -> None:
        gateway = self.gateways[self.names[0]]

        def decide() -> None:
            entry = gateway.books.grant(account, CREDITS, ref=f"grant_{account}", at_us=0)
            assert isinstance(entry, Entry)
            gateway.lane.changed().remember((entry,), gateway.books.accounts[account])

        await gateway.lane.do(Job(decide)).event.wait()

    async def _caller(self, gateway: Gateway) -> None:
        while not gateway.killed and gateway.lane.failed is None:
            await trio.sleep(self.rand.uniform(0, 0.05))
            try:
                await self._call(gateway)
            except DatabaseFailed:
                return
            except Exception as error:
                self.complaints.append(f"a call broke: {error!r}")
                return

    async def _call(self, gateway: Gateway) -> None:
        rand, ledger = self.rand, gateway.ledger
        self.number += 1
        ref, account = f"r{self.number}", rand.choice(ACCOUNTS)
        quote = Quote(
            price=PRICE, prompt_tokens=rand.randint(0, 200), answers=1, cap=rand.randint(1, 400), model_limit=4000,
            likely_tokens=10,
        )  # fmt: skip
        patience = trio.move_on_after(rand.choice([0.003, 2.0, 2.0, 2.0]))
        held: Any = None
        with patience:
            held = await ledger.hold(HoldRequest(account, account, offers(quote), ONE, 1, ref))
        if not isinstance(held, Held):
            assert held is None or isinstance(held, Poor)
            return
        self.told.append((ref, "hold", held.amount))
        await trio.sleep(rand.choice([0, 0.001, 0.05, 1.0]))
        charge = rand.choice([None, 1, held.amount // 2, held.amount, held.amount + 50])
        settled = await ledger.settle(
            held.id, charge, row(ref, held.id, account=account, key=account, cost=charge or 0)
        )
        if settled.charged is not None and await ledger.durable_within(settled.ticket, 30):
            self.told.append((ref, "end", settled.charged))

    async def _end(self) -> None:
        """Everybody leaves, and time goes by until every gateway that died is known to be dead."""
        for gateway in self.gateways.values():
            gateway.killed = True  # callers begin nothing anew
        await trio.sleep(5)
        for gateway in self.gateways.values():
            gateway.callers.cancel()
        await trio.sleep(1)
        for name, gateway in self.gateways.items():
            if gateway.lane.failed is not None:
                expected = "declared" in str(gateway.lane.failed)
                if not expected:
                    self.complaints.append(f"{name} stopped: {gateway.lane.failed}")
        with trio.move_on_after(MOST_S):
            while self.shared.holds:
                await trio.sleep(1)
        for gateway in self.gateways.values():
            await gateway.lane.close()

    def _check(self) -> None:
        shared = self.shared
        audit = Audit()
        try:
            for entry in shared.entries:
                audit.note(entry)
            audit.finish(shared.balances, {key: used for key, (used, _) in shared.spent.items()})
        except Disagreement as found:
            self.complaints.append(f"audit: {found}")
        if shared.holds:
            self.complaints.append(f"{len(shared.holds)} holds are open for ever")
        if wrong := {key: held for key, (_, held) in shared.spent.items() if held and not shared.holds}:
            self.complaints.append(f"quotas hold back {wrong}")
        taken = {entry.ref: entry for entry in shared.entries if entry.kind == "hold"}
        charged: dict[str, int] = {}
        for entry in shared.entries:
            if entry.kind in {"post", "void", "overrun"}:
                charged[entry.ref] = charged.get(entry.ref, 0) + entry.amount
        for ref, what, amount in self.told:
            known = (
                taken[ref].amount if what == "hold" and ref in taken else charged.get(ref) if what == "end" else None
            )
            if known != amount:
                self.complaints.append(f"{ref} was told of its {what} {amount}, and the books say {known}")
        if len(set(shared.rows)) != len(shared.rows):
            self.complaints.append("a call has two rows")
