"""Several gateways on one made-up database (shared.py), lived on Trio's mock clock from one seed, and checked from
outside: by core/audit, and by every answer that a caller was told.

What is real: the lane, the books, the ledger, the notes. Callers hold and settle, some leave before they have an
answer, gateways are killed, freeze and begin anew.
"""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import trio

from ftgate.core.audit import Audit, Disagreement
from ftgate.core.books import Books, Entry, Hold
from ftgate.core.limits import Limits, Rates, Refused, Ticket, take_requests, tokens_wait
from ftgate.core.limits_shared import SharedLimits
from ftgate.core.pricing import ONE, Price, Quote
from ftgate.errors import DatabaseFailed
from ftgate.ports import Held, HoldRequest, Poor
from ftgate.store.batch import Batch
from ftgate.store.postgres.clock import TurnClock
from ftgate.store.postgres.job import Job
from ftgate.store.postgres.lane import Lane
from ftgate.store.postgres.ledger import TurnLedger
from ftgate.store.postgres.memory import BooksMemory
from ftgate.store.postgres.turns import Stamp, Turned
from tests.core.offers import offers
from tests.gateways.shared import PLACES, Boot, Connected, Head, Shared, Whole, stamp
from tests.store.faulty import row

PRICE = Price(1, 2, 1, 1, 1)
ACCOUNTS = (1, 2, 3)
"""One key each, of the same number."""
CREDITS = 40_000
MOST_S = 600.0
BEGIN_S = 15.0
RATES = {
    1: Rates(concurrent=9),
    2: Rates(requests_per_minute=1000, tokens_per_minute=50_000),
    3: Rates(requests_per_second=5),
}
"""Of accounts."""
TOKENS = 12
"""What each call has used, by its row."""
MOST_LOST = 30
"""Turns, by a fail-over."""
APART_S = 3600.0
"""How far a machine's wall clock may be from the database's."""


class Watch(TurnClock):
    """By Trio's clock, on a machine whose own is wrong until the database tells the time."""

    def __init__(self, store: Connected, wrong_us: int) -> None:
        super().__init__(trio.current_time)
        self._offset_us = wrong_us
        self.store = store

    def set(self, at_us: int, asked: float) -> None:
        super().set(at_us, self.store.asked)


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
        super().__init__(books, lambda sql, values: sql, lambda seen, known: lambda: (0, None))
        self.people = Nobody()
        self.shared = shared

    def steps(self, batch: Batch) -> Iterator[Any]:
        taken = {entry.id for entry in batch.entries if entry.kind == "hold"}
        ended = [entry.hold for entry in batch.entries if entry.kind in {"post", "void", "expire"}]
        opened = [hold.id for hold in self.opened(batch)]
        yield Whole(batch, self.spent(batch), opened, [id for id in ended if id not in taken])

    async def reload(self, seen: int, known: Stamp | None) -> Turned:
        await trio.sleep(0.002)
        self.shared.passing("reading")
        turn = self.load(seen, known)
        self.shared.passing("read")
        return turn

    def load(self, seen: int, known: Stamp | None) -> Turned:
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
        self.passed(shared.since(seen, known), [hold.ref for hold in shared.holds.values()])
        return len(shared.turns), stamp(shared.turns[-1]) if shared.turns else None


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
        self.clock = Watch(self.store, round(world.rand.uniform(-APART_S, APART_S) * 1e6))
        self.lane = Lane(self.store, self.memory, self.clock, seen=0)
        self.lane.seen, self.lane.known = self.memory.load(0, None)
        shared.passing("started")
        self.ledger = TurnLedger(self.books, self.lane, self.clock, lambda request: None)
        self.limits = Limits(lambda scope, account: world.rates.get(account, Rates()))  # type: ignore[call-overload]
        self.callers = trio.CancelScope()
        self.killed = False
        if "lost unseen" in shared.plants:
            self.lane._compare = lambda begun: None  # type: ignore[method-assign]
        if "retry without mark" in shared.plants:
            self.store.went_in = self._never  # type: ignore[method-assign]
        if "cancelled hold left open" in shared.plants:
            self.ledger._give_back = lambda job, ref: None  # type: ignore[method-assign]

    async def begin(self) -> None:
        """As a house does it: limits come after the first turn."""
        self.lane.start()
        with trio.move_on_after(BEGIN_S) as late:
            await self.lane.do(Job(lambda: None)).event.wait()
        if late.cancelled_caught:
            self.world.complaints.append(f"{self.name} has not begun: {self.lane}")
        self.ledger.shared = SharedLimits(self.limits, self.clock.now, self.clock.local_s)
        self.memory.share(self.ledger.shared)

    async def _never(self, mark: int) -> None:
        """It is not in, whatever became of it."""

    def kill(self) -> None:
        """kill -9: nothing of it goes on, and the server notices."""
        self.killed = True
        self.callers.cancel()
        self.lane._scope.cancel()
        self.store.close()


class World:
    def __init__(
        self, seed: int, *, plants: frozenset[str] = frozenset(), gateways: int = 2, rates: Mapping[int, Rates] = RATES
    ) -> None:  # fmt: skip
        self.rates = rates
        self.rand = random.Random(seed)
        self.shared = Shared(self.rand, plants)
        self.shared.head = Head()  # type: ignore[assignment]
        self.names = [f"g{number}" for number in range(gateways)]
        self.gateways: dict[str, Gateway] = {}
        self.told: list[tuple[str, str, int]] = []  # what callers were told: ref, what, amount
        self.complaints: list[str] = []
        self.number = self.forgiven = 0
        """Calls that came; how many of them came before turns were lost."""
        self.failed = 0
        self._fails_at = ""
        self.shared.passing = self._passing

    async def live(
        self, seconds: float, *, cuts: float = 0.0, kills: int = 0, freezes: int = 0, fail_overs: int = 0,
        fails_at: str = "",
    ) -> list[str]:  # fmt: skip
        """What was wrong in the end. `fails_at` is a place (shared.PLACES) where servers fail now and then."""
        shared = self.shared
        async with trio.open_nursery() as nursery:
            for name in self.names:
                await self._start(name, nursery)
            for account in ACCOUNTS:
                await self._grant(account)
            shared.cuts, self._fails_at = cuts, fails_at
            troubles = ["kill"] * kills + ["freeze"] * freezes + ["fail-over"] * fail_overs
            self.rand.shuffle(troubles)
            for trouble in troubles:
                await trio.sleep(seconds / (len(troubles) + 1))
                if trouble == "fail-over":
                    self._fail_over(MOST_LOST)
                    continue
                gateway = self.gateways[self.rand.choice(self.names)]
                if trouble == "kill" or gateway.lane.failed is not None:
                    gateway.kill()
                    await trio.sleep(self.rand.uniform(0, 2))
                    await self._start(gateway.name, nursery)
                else:
                    gateway.store.frozen_s = self.rand.choice([0.1, 0.7, 2.0, 8.0])
            await trio.sleep(seconds / (len(troubles) + 1))
            shared.cuts, self._fails_at = 0.0, ""
            await self._end()
            nursery.cancel_scope.cancel()
        self._check()
        return self.complaints

    def _fail_over(self, most: int) -> None:
        """With the loss of so many turns at most."""
        self.failed += 1
        self.told.clear()  # the database may have lost it
        self.forgiven = self.number
        self.shared.fail_over(self.rand.randint(0, most))

    def _passing(self, place: str) -> None:
        if place == self._fails_at and self.rand.random() < PLACES[place]:
            self._fail_over(2)

    async def _start(self, name: str, nursery: trio.Nursery) -> None:
        gateway = self.gateways[name] = Gateway(self, name)
        await gateway.begin()
        nursery.start_soon(self._callers, gateway)

    async def _callers(self, gateway: Gateway) -> None:
        with gateway.callers:
            async with trio.open_nursery() as nursery:
                for _ in range(4):
                    nursery.start_soon(self._caller, gateway)

    async def _grant(self, account: int) -> None:
        gateway = self.gateways[self.names[0]]

        def decide() -> None:
            entry = gateway.books.grant(account, CREDITS, ref=f"grant_{account}", at_us=gateway.clock.wall_us())
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
        rand = self.rand
        self.number += 1
        ref, account = f"r{self.number}", rand.choice(ACCOUNTS)
        quote = Quote(
            price=PRICE, prompt_tokens=rand.randint(0, 200), answers=1, cap=rand.randint(1, 400), model_limit=4000,
            likely_tokens=10,
        )  # fmt: skip
        with self._let_in(gateway, account, quote) as ticket:
            if ticket is not None:
                await self._held(gateway, HoldRequest(account, account, offers(quote), ONE, 1, ref, ticket=ticket))

    @contextmanager
    def _let_in(self, gateway: Gateway, account: int, quote: Quote) -> Iterator[Ticket | None]:
        """As the line does it; None where the gateway refuses it by itself."""
        ticket, now = Ticket(), gateway.clock.now()
        scopes = gateway.limits.scopes(("account", account))
        if tokens_wait(scopes, now, quote.prompt_tokens) or take_requests(scopes, now, ticket):
            yield None
            return
        ticket.borrow(now, quote.prompt_tokens)
        try:
            yield ticket
        finally:
            ticket.release(gateway.clock.now(), TOKENS)

    async def _held(self, gateway: Gateway, request: HoldRequest) -> None:
        rand, ledger, ref, account = self.rand, gateway.ledger, request.ref, request.account
        held: Any = None
        with trio.move_on_after(rand.choice([0.003, 2.0, 2.0, 2.0])):
            held = await ledger.hold(request)
        if not isinstance(held, Held):
            assert held is None or isinstance(held, (Poor, Refused))
            return
        self._is_told(ref, "hold", held.amount)
        await trio.sleep(rand.choice([0, 0.001, 0.05, 1.0]))
        charge = rand.choice([None, 1, held.amount // 2, held.amount, held.amount + 50])
        settled = await ledger.settle(
            held.id, charge, row(ref, held.id, account=account, key=account, cost=charge or 0)
        )
        if settled.charged is not None and await ledger.durable_within(settled.ticket, 30):
            self._is_told(ref, "end", settled.charged)

    def _is_told(self, ref: str, what: str, amount: int) -> None:
        if int(ref[1:]) > self.forgiven:
            self.told.append((ref, what, amount))

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
        await trio.sleep(2)
        for name, gateway in self.gateways.items():
            if gateway.lane.failed is None:
                for account in ACCOUNTS:
                    meters = gateway.limits.meters("account", account)
                    if (flight := (meters.in_flight, meters.elsewhere)) != (0, 0):
                        self.complaints.append(f"{name} counts calls of {account} that have ended: {flight}")
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
        for entry, (since_us, until_us) in zip(shared.entries, shared.within, strict=True):
            if not since_us <= entry.at_us <= until_us:
                self.complaints.append(f"entry {entry.id} has the time {entry.at_us}: {since_us} to {until_us}")
        for account, rates in self.rates.items():
            at = [entry.at_us for entry in shared.entries if entry.kind == "hold" and entry.account == account]
            most = max((sum(start <= other < start + 1_000_000 for other in at) for start in at), default=0)
            if rates.requests_per_second and most > rates.requests_per_second:
                self.complaints.append(f"{most} calls of {account} came in within a second")
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
