"""The ledger at full speed: many tasks on one account and many accounts at once, over the real writer and a real file.

Each task holds, sometimes waits for its hold to be durable, ends it in some way, and keeps its own account (`Own`) of
what it should have cost. Some keys have a quota that a few calls reach, some accounts are metered, with and without
such keys. Before every hold the own sums say whether it must be taken or refused, and for which reason; after every
end, what was charged and what was lost. At the end they must be the books', the database's, and the auditor's. Run by
test_hammer.py for a moment and by scripts/ledger for as long as asked, there also on a database with a million entries.
"""

import random
import sqlite3
import time
from collections import Counter, defaultdict
from contextlib import closing
from pathlib import Path

import msgspec
import trio

from ftgate.core.books import Books, Entry
from ftgate.core.pricing import ONE, Price, Quote
from ftgate.core.receipt import price_text
from ftgate.ports import Held, HoldRequest, Poor, Row
from ftgate.store.database import read_only
from ftgate.store.ledger import MemoryLedger
from ftgate.store.verify import verify_ledger
from ftgate.store.writer import Writer
from tests.core.offers import offers

PRICE = Price(1, 1, 1, 1, 1)
MODEL_LIMIT = 1000
ROW = Row(
    request_id="", created_at_us=0, account=0, key=0, model="m", served_model="m", provider="p", channel="c",
    status="ok", http_status=200,
    error_code="", mode="standard", prompt_tokens=1, cached_tokens=0, cache_write_tokens=0, completion_tokens=1,
    reasoning_tokens=0, cost=0,
    lost=0, estimated=False, latency_ms=1, first_token_ms=None, attempts=1, stream=False, hold=0, multiplier="1/1",
)  # fmt: skip
METERED = 8
"""Accounts that a run adds, every second one with a key that has a quota."""
LIMITED = 8
"""Accounts that get a key with a quota beside their own; the first one, on which most tasks work, gets two."""
LOWEST_QUOTA, HIGHEST_QUOTA = 500, 20_000
"""Units: from less than one call to some tens of calls."""


class _Clock:
    def now(self) -> float:
        return trio.current_time()

    def wall_us(self) -> int:
        return time.time_ns() // 1000


class Way:
    """An account and one of its keys; a key that is used up is sometimes replaced by a new one."""

    def __init__(self, account: int, key: int, *, limit: int | None = None) -> None:
        self.account, self.key, self.limit = account, key, limit


class Own:
    """The sums of whoever calls, in units, with no arithmetic of the books: what each account was given and charged,
    what each key has spent, what is set aside by calls that run."""

    def __init__(self, books: Books) -> None:
        self.credits: dict[int, int] = {account: balance.posted for account, balance in books.accounts.items()}
        self.used: dict[int, int] = {account: balance.used for account, balance in books.accounts.items()}
        self.spent: dict[int, int] = {key: quota.used for key, quota in books.quotas.items()}
        self.limits: dict[int, int | None] = {key: quota.limit for key, quota in books.quotas.items()}
        self.metered: set[int] = {account for account, balance in books.accounts.items() if balance.metered}
        self.aside: dict[int, int] = defaultdict(int)  # account -> credits of calls that run
        self.of_quota: dict[int, int] = defaultdict(int)  # key -> quota of calls that run
        self.lost = 0

    def quota_left(self, key: int) -> int | None:
        limit = self.limits[key]
        return None if limit is None else limit - self.spent[key] - self.of_quota[key]

    def refusal(self, way: Way, needs: int) -> tuple[bool, int] | None:
        """Why a call that may cost so much must be refused: (by the quota, what is left), or None where it must be
        taken."""
        left = self.quota_left(way.key)
        if left is not None and needs > left:
            return True, left
        free = self.credits[way.account] - self.aside[way.account]
        return (False, free) if way.account not in self.metered and needs > free else None

    def most(self, way: Way) -> int:
        """What the dearest call that can be taken now may cost."""
        free = (
            self.credits[way.account] - self.aside[way.account] if way.account not in self.metered else 10 * MODEL_LIMIT
        )
        left = self.quota_left(way.key)
        return free if left is None else min(free, left)

    def hold(self, way: Way, needs: int) -> None:
        self.of_quota[way.key] += needs
        if way.account not in self.metered:
            self.aside[way.account] += needs

    def end(self, way: Way, needs: int, charge: int) -> tuple[int, int]:
        """The call used `charge`: how much of it is charged and how much is nobody's."""
        self.of_quota[way.key] -= needs
        left = self.quota_left(way.key)
        paid = charge if left is None else min(charge, left)
        if way.account in self.metered:
            self.used[way.account] += paid
        else:
            self.aside[way.account] -= needs
            paid = min(paid, self.credits[way.account] - self.aside[way.account])
            self.credits[way.account] -= paid
        self.spent[way.key] += paid
        self.lost += charge - paid
        limit = self.limits[way.key]
        assert limit is None or self.spent[way.key] <= limit
        return paid, charge - paid


class Hammer:
    """One run. `name` keeps the references of several runs on one database apart."""

    def __init__(self, books: Books, writer: Writer, name: str) -> None:
        self.books = books
        self.ledger = MemoryLedger(books, writer, _Clock())
        self.writer = writer
        self.name = name
        self.own = Own(books)
        self.next_key = max(books.quotas) + 1
        self.next_key = max(books.quotas) + 1
        self.next_key = max(books.quotas) + 1
        self.grants = 0
        self.settled = 0
        self.metered = 0  # of the settled ones
        self.exact = 0  # calls for all that was left, or for a unit more
        self.refusals: Counter[str] = Counter()

    @property
    def refused(self) -> int:
        return self.refusals.total()

    def open_way(self, account: int, *, metered: bool = False, limit: int | None) -> Way:
        """A new key for an account, which is made if it is not there."""
        if account not in self.books.accounts:
            self.books.open_account(account, metered=metered)
            self.own.credits[account] = self.own.used[account] = 0
            self.own.metered |= {account} if metered else set()
        way = Way(account, 0, limit=limit)
        self.renew(way, limit)
        return way

    def renew(self, way: Way, limit: int | None) -> None:
        way.key = self.next_key
        self.next_key += 1
        self.books.open_key(way.key, limit=limit)
        self.own.spent[way.key], self.own.limits[way.key] = 0, limit

    def grant(self, account: int, amount: int) -> None:
        self.grants += 1
        entry = self.books.grant(account, amount, ref=f"{self.name}-g{self.grants}", at_us=0)
        assert isinstance(entry, Entry)
        self.own.credits[account] += amount
        self.writer.changed().remember((entry,), self.books.accounts[account])

    async def work(self, ways: list[Way], seed: int, until: float) -> None:
        """One task, in one of the ways at a time."""
        rng = random.Random(seed)
        number = 0
        while trio.current_time() < until:
            number += 1
            await self.call(rng.choice(ways), f"{self.name}-{seed}-{number}", rng)

    async def call(self, way: Way, ref: str, rng: random.Random) -> None:
        account, key = way.account, way.key
        used = Way(account, key)  # `way` may get another key while this call runs
        cap = rng.choice([None, *[rng.randint(1, MODEL_LIMIT)] * 9])
        prompt = rng.randint(1, 100)
        most = self.own.most(used)
        if prompt < most <= MODEL_LIMIT and rng.random() < 0.3:  # all that is left, to the unit, or one more
            cap = most - prompt + rng.randint(0, 1)
            self.exact += 1
        quote = Quote(PRICE, prompt_tokens=prompt, answers=1, cap=cap, model_limit=MODEL_LIMIT)
        needs = prompt + (MODEL_LIMIT if cap is None else cap)
        must = self.own.refusal(used, needs)
        held = await self.ledger.hold(HoldRequest(account, key, offers(quote), ONE, 1, ref))
        if isinstance(held, Poor):
            assert must == (held.quota, held.available) and held.required == needs, (
                f"{ref}: refused with {held}, to be refused: {must}"
            )
            self.refusals["quota" if held.quota else "credits"] += 1
            if not held.quota:
                self.grant(account, rng.randint(1, 10_000))
            elif way.key == key and rng.random() < 0.1:
                self.renew(way, rng.randint(LOWEST_QUOTA, HIGHEST_QUOTA))
            await trio.lowlevel.checkpoint()
            return
        assert isinstance(held, Held)
        assert must is None, f"{ref}: taken, though only {must} was left and it needs {needs}"
        metered = account in self.own.metered
        assert held.amount == (needs if held.bounded else 0)
        self.own.hold(used, needs)
        if rng.random() < 0.5:
            assert await self.ledger.durable_within(held.ticket, 60)
        charge = rng.choice([None, 0, rng.randint(0, needs), rng.randint(0, 2 * needs)])
        price = price_text(Price(0, 0, 0, 0, 0, per_request=charge)) if charge else ""
        row = msgspec.structs.replace(
            ROW, request_id=ref, account=account, key=key, cost=charge or 0, hold=held.id, price=price
        )
        settled = await self.ledger.settle(held.id, charge, row)
        found = settled.charged, settled.lost
        assert found == self.own.end(used, needs, charge or 0), f"{ref}: used {charge}, charged and lost {found}"
        assert settled.balance == (None if metered else self.own.credits[account])
        self.settled += 1
        self.metered += metered
        assert await self.ledger.durable_within(settled.ticket, 60)

    def agree(self, path: Path) -> None:
        """Everybody's sums are the same: the own ones, the books', the database's balances and entries, the
        auditor's."""
        own = self.own
        assert not any(own.aside.values()) and not any(own.of_quota.values())
        for account, balance in self.books.accounts.items():
            assert (balance.posted, balance.held, balance.used) == (own.credits[account], 0, own.used[account])
            assert balance.posted >= 0 and (account in own.metered or balance.used == 0)
        for key, quota in self.books.quotas.items():
            assert (quota.used, quota.held) == (own.spent[key], 0)
            assert quota.limit is None or quota.used <= quota.limit
        with closing(read_only(path)) as connection:
            self._remembered(connection)
        said = verify_ledger(path)
        assert said["ok"] and said["open_holds"] == 0, said

    def _remembered(self, connection: sqlite3.Connection) -> None:
        """What the file says, by sums of its own: a commit that was lost whole would verify."""
        own = self.own
        balances = {
            account: sums for account, *sums in connection.execute("SELECT account, posted, held, used FROM balances")
        }
        for account, credits in own.credits.items():
            assert balances.get(account, [0, 0, 0]) == [credits, 0, own.used[account]], f"account {account}"
        spent = dict(connection.execute("SELECT key, used FROM spent"))
        for key, units in own.spent.items():
            assert spent.get(key, 0) == units, f"key {key}"
        by_key = "SELECT key, sum(amount) FROM entries WHERE kind IN ('post', 'overrun') GROUP BY key"
        for key, units in connection.execute(by_key):
            limit = own.limits[key]
            assert units == own.spent[key] and (limit is None or units <= limit), f"key {key}"
        by_account = (
            "SELECT account, sum(amount) FROM entries WHERE kind IN ('post', 'overrun') AND debit = 'usage' "
            "GROUP BY account"
        )
        assert {account: units for account, units in connection.execute(by_account) if units} == {
            account: own.used[account] for account in own.metered if own.used[account]
        }
        metered = connection.execute("SELECT DISTINCT account FROM entries WHERE debit = 'usage'")
        assert {account for (account,) in metered} <= own.metered
        mine = "FROM requests WHERE request_id GLOB ?", (f"{self.name}-*",)
        assert connection.execute(f"SELECT count(*), coalesce(sum(lost), 0) {mine[0]}", mine[1]).fetchone() == (
            self.settled,
            own.lost,
        )


def ways_of(run: Hammer) -> tuple[list[Way], list[Way], list[Way]]:
    """How to call for this run: on the first account, on any, and on those that have a quota or are metered."""
    accounts = [
        account for account in run.books.accounts if account not in run.own.metered
    ]  # an earlier run's metered ones have theirs
    plain = [Way(account, account) for account in accounts]
    rng = random.Random(run.name)
    chosen = [accounts[0], *accounts[:LIMITED]]
    limited = [run.open_way(account, limit=rng.randint(LOWEST_QUOTA, HIGHEST_QUOTA)) for account in chosen]
    first = max(run.books.accounts) + 1
    metered = [
        run.open_way(
            first + number, metered=True, limit=rng.randint(LOWEST_QUOTA, HIGHEST_QUOTA) if number % 2 else None
        )
        for number in range(METERED)
    ]
    return [plain[0], *[way for way in limited if way.account == accounts[0]]], plain, limited + metered


async def hammer(
    path: Path, books: Books, connection: sqlite3.Connection, *, seconds: float, tasks: int, name: str = "h"
) -> Hammer:
    """64 (`tasks`) tasks on account 1, as many on all accounts, and as many on keys with a quota and on metered
    accounts, for so long. Every account in `books` has a key of the same number without a quota. The connection is
    closed at the end."""
    writer = Writer(connection)
    writer.start()
    run = Hammer(books, writer, name)
    one, everyone, bounded = ways_of(run)
    until = trio.current_time() + seconds
    async with trio.open_nursery() as nursery:
        for seed in range(tasks):
            for number, ways in enumerate((one, everyone, bounded)):
                nursery.start_soon(run.work, ways, seed + number * tasks, until)
    await writer.close()
    run.agree(path)
    assert run.refusals["quota"] and run.refusals["credits"] and run.metered and run.exact, (
        "too short to have tried everything"
    )
    return run
