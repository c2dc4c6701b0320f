"""The ledger at full speed: many tasks on one account and many accounts at once, over the real writer and a real file.

Each task holds, sometimes waits for its hold to be durable, ends it in some way, and keeps its own account of what it should
have cost. At the end its sums must be the books', the database's, and the auditor's. Run by test_hammer.py for a moment and by
scripts/ledger for as long as asked, there also on a database with a million entries.
"""

import random
import time
from collections import defaultdict
from pathlib import Path

import msgspec
import trio

from ftgate.core.books import Books, Entry
from ftgate.core.pricing import ONE, Price, Quote
from ftgate.edge import db, journal
from ftgate.edge.ledger import MemoryLedger
from ftgate.ports import Held, HoldRequest, Poor, Row

PRICE = Price(1, 1, 1, 1, 1)
ROW = Row(
    request_id="", created_at_us=0, account=0, key=0, model="m", served_model="m", provider="p", channel="c", status="ok", http_status=200,
    error_code="", mode="standard", prompt_tokens=1, cached_tokens=0, cache_write_tokens=0, completion_tokens=1, reasoning_tokens=0, cost=0,
    lost=0, estimated=False, latency_ms=1, first_token_ms=None, attempts=1, stream=False, hold=0, price="",
)  # fmt: skip


class _Clock:
    def now(self) -> float:
        return trio.current_time()

    def wall_us(self) -> int:
        return time.time_ns() // 1000


class Hammer:
    """One run. `name` keeps the references of several runs on one database apart."""

    def __init__(self, books: Books, writer: db.Writer, name: str) -> None:
        self.books = books
        self.ledger = MemoryLedger(books, writer, _Clock())
        self.writer = writer
        self.name = name
        self.charged: dict[int, int] = defaultdict(int)
        self.granted: dict[int, int] = defaultdict(int)
        self.settled = 0
        self.refused = 0

    def grant(self, account: int, amount: int) -> None:
        entry = self.books.grant(account, amount, ref=f"{self.name}-g{account}-{self.granted[account]}", at_us=0)
        assert isinstance(entry, Entry)
        self.granted[account] += amount
        self.writer.changed().remember((entry,), self.books.accounts[account])

    async def work(self, accounts: list[int], seed: int, until: float) -> None:
        """One task, on one of the accounts at a time."""
        rng = random.Random(seed)
        number = 0
        while trio.current_time() < until:
            number += 1
            account = rng.choice(accounts)
            cap = rng.randint(1, 1000)
            quote = Quote(PRICE, prompt_tokens=rng.randint(1, 100), answers=1, cap=cap, model_limit=1000)
            ref = f"{self.name}-{seed}-{number}"
            held = await self.ledger.hold(HoldRequest(account, account, (quote,), ONE, ref, 1))
            if isinstance(held, Poor):
                self.refused += 1
                self.grant(account, rng.randint(1, 10_000))
                continue
            assert isinstance(held, Held)
            if rng.random() < 0.5:
                await self.ledger.durable(held.ticket)
            charge = rng.choice([None, 0, rng.randint(0, quote.bound(cap)), rng.randint(0, 2 * quote.bound(cap))])
            row = msgspec.structs.replace(ROW, request_id=ref, account=account, key=account, cost=charge or 0, hold=held.id)
            settled = await self.ledger.settle(held.id, charge, row)
            self.charged[account] += settled.charged
            self.settled += 1
            assert settled.balance is not None and settled.balance >= 0
            await self.ledger.durable(settled.ticket)

    def agree(self, path: Path, before: dict[int, int]) -> None:
        """Everybody's sums are the same. `before` is what each account had at the start."""
        for account, balance in self.books.accounts.items():
            assert balance.posted == before.get(account, 0) + self.granted[account] - self.charged[account]
            assert balance.held == 0 and balance.posted >= 0
        said = journal.verify(path)
        assert said["ok"] and said["open_holds"] == 0, said


async def hammer(path: Path, books: Books, connection: db.sqlite3.Connection, *, seconds: float, tasks: int, name: str = "h") -> Hammer:
    """64 (`tasks`) tasks on account 1 and as many on all accounts, for so long. The connection is closed at the end."""
    before = {account: balance.posted for account, balance in books.accounts.items()}
    writer = db.Writer(connection)
    writer.start()
    run = Hammer(books, writer, name)
    until = trio.current_time() + seconds
    async with trio.open_nursery() as nursery:
        for seed in range(tasks):
            nursery.start_soon(run.work, [1], seed, until)
            nursery.start_soon(run.work, list(books.accounts), seed + tasks, until)
    await writer.close()
    run.agree(path, before)
    return run
