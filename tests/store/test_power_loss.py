"""Power loss: the write-ahead log cut at every commit's end, at every page in between, anywhere, and damaged. What
opens is always what stood there after some batch, whole: its entries, balances, keys' spending, rows and other changes;
it verifies; and every call that was answered before the cut is in it as it was answered."""

import random
import shutil
import sqlite3
import struct
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trio

from ftgate.core.books import Books, Entry
from ftgate.core.pricing import ONE, Price, Quote
from ftgate.ports import HoldRequest, Row, Settled
from ftgate.store.database import connect, read_only
from ftgate.store.ledger import MemoryLedger
from ftgate.store.verify import verify_ledger
from ftgate.store.writer import Writer
from tests.core.offers import offers
from tests.store.faulty import row

COMMITS = 40
LOG_HEAD, FRAME_HEAD = 32, 24
"""Bytes, by SQLite's file format: the log is a head and frames, each a head and one page."""
TABLES = ("entries", "balances", "spent", "requests", "ratios")
PRICE = Price(10**6, 10**6, 10**6, 10**6, 10**6)
Contents = tuple[Any, ...]


class _Clock:
    def now(self) -> float:
        return 0.0

    def wall_us(self) -> int:
        return 0


@dataclass
class Traded:
    """What happened: the database's contents and the log's length after every batch; what was answered, and how long
    the log was then."""

    path: Path
    log: bytes = b""
    ends: list[tuple[int, Contents]] = field(default_factory=list)
    answered: list[tuple[int, Row, Settled]] = field(default_factory=list)
    verified: set[int] = field(default_factory=set)  # lengths of `ends` whose contents were seen to add up

    def whole(self, size: int) -> tuple[int, Contents]:
        """What stands there of a log of this length, and how long the log was then."""
        return max(((end, said) for end, said in self.ends if end <= size), key=lambda pair: pair[0])


def contents(connection: sqlite3.Connection) -> Contents:
    """Everything that a batch can change, and the mark of the last one."""
    tables = [connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall() for table in TABLES]
    return (*tables, connection.execute("SELECT mark FROM last_batch").fetchone())


class _Trader:
    """Calls on two prepaid accounts and a metered one, some with a key that has a quota; what one turn of the loop
    decides is one batch, as in a server."""

    def __init__(self, traded: Traded, writer: Writer) -> None:
        self.traded, self.writer, self.rng = traded, writer, random.Random(3)
        self.books = Books()
        for account in (1, 2, 3):
            self.books.open_account(account, metered=account == 3)
            self.books.open_key(account, limit=None)
            self.books.open_key(10 + account, limit=10**10)
        self.ledger = MemoryLedger(self.books, writer, _Clock())
        self.log = traded.path.with_name(traded.path.name + "-wal")

    async def turn(self, number: int) -> None:
        rng, settled = self.rng, []
        batch = self.writer.changed()
        if number % 5 == 0:
            account = rng.choice((1, 2))
            entry = self.books.grant(account, rng.randint(1, 10**10), ref=f"g{number}", at_us=0)
            assert isinstance(entry, Entry)
            batch.remember((entry,), self.books.accounts[account])
        if number % 7 == 0:
            batch.statements.append(("INSERT INTO ratios VALUES ('prompt', ?, ?)", (f"m{number}", number)))
        for place in range(rng.randint(1, 6)):
            account = rng.choice((1, 2, 3)) if place else 3  # a metered one is taken: no turn is empty
            quote = Quote(PRICE, prompt_tokens=10, answers=1, cap=rng.randint(1, 1000), model_limit=1000)
            key = rng.choice((account, 10 + account)) if place else account
            await self.ledger.hold(HoldRequest(account, key, offers(quote), ONE, 1, f"r{number}_{place}"))
        for hold in list(self.books.open.values()):
            if rng.random() < 0.6:
                charge = rng.choice((None, rng.randint(0, 10**9), rng.randint(0, 3 * 10**9)))
                said = row(hold.ref, hold.id, account=hold.account, key=hold.key, cost=charge or 0)
                settled.append((said, await self.ledger.settle(hold.id, charge, said)))
        await self.writer.durable(batch)
        assert self.writer.filling is not batch and not self.writer.filling.size()
        size = self.log.stat().st_size
        with closing(read_only(self.traded.path)) as connection:
            self.traded.ends.append((size, contents(connection)))
        self.traded.answered += [(size, *answer) for answer in settled]


def history(path: Path) -> Traded:
    """Trade for COMMITS batches over the real ledger and writer. Nothing is folded back meanwhile."""
    traded = Traded(path)

    async def main() -> None:
        connection = connect(path, durability="power")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        traded.ends.append((0, contents(connection)))
        writer = Writer(connection)
        trader = _Trader(traded, writer)
        writer.start()
        for number in range(COMMITS):
            await trader.turn(number)
        assert writer.commits == COMMITS
        # A copy of the files as they lie on the disk now: closing would fold the log back.
        for name in (path, trader.log):
            shutil.copy(name, name.with_name("kept-" + name.name))
        traded.log = trader.log.with_name("kept-" + trader.log.name).read_bytes()
        await writer.close()

    trio.run(main)
    return traded


def frames(log: bytes) -> list[tuple[int, bool]]:
    """Where every frame of a log ends, and whether it ends a transaction."""
    step = FRAME_HEAD + struct.unpack(">I", log[8:12])[0]
    return [(at + step, struct.unpack(">I", log[at + 4 : at + 8])[0] != 0) for at in range(LOG_HEAD, len(log), step)]


def opened(base: Path, traded: Traded, log: bytes) -> Path:
    """The database, opened with this log once, so that only what is valid of it is left."""
    place = base / "cut.sqlite3"
    for ending in ("", "-wal", "-shm"):
        (base / f"cut.sqlite3{ending}").unlink(missing_ok=True)
    shutil.copy(traded.path.with_name("kept-" + traded.path.name), place)
    (base / "cut.sqlite3-wal").write_bytes(log)
    connect(place, durability="power").close()
    return place


def adds_up(place: Path) -> bool:
    """Whether the parts of every change are there together, by the database alone."""
    unequal = (
        "SELECT hold FROM entries WHERE kind IN ('post', 'void') AND hold NOT IN (SELECT hold FROM requests)"
        " UNION ALL SELECT hold FROM requests WHERE hold NOT IN (SELECT hold FROM entries WHERE kind IN ('post', "
        "'void'))"
    )
    with closing(sqlite3.connect(place)) as connection:
        whole = connection.execute(unequal).fetchone() is None
    return whole and verify_ledger(place)["ok"] is True


def check(base: Path, traded: Traded, log: bytes, size: int) -> None:
    """Of this log what is valid up to `size` must be there, whole batches of it, and nothing else."""
    place = opened(base, traded, log)
    end, expected = traded.whole(size)
    with closing(sqlite3.connect(place)) as connection:
        assert contents(connection) == expected, f"cut at {size}: not what stood there after a batch"
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        rows = {id: said for id, *said in connection.execute("SELECT request_id, cost, lost, hold FROM requests")}
    assert end in traded.verified or adds_up(place), verify_ledger(place)
    traded.verified.add(end)  # the same contents need not be verified again
    for answered_at, call, settled in traded.answered:
        if answered_at <= size:
            assert rows.get(call.request_id) == [settled.charged, settled.lost, call.hold], (
                f"{call.request_id} was answered and is not there"
            )


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> Traded:
    traded = history(tmp_path_factory.mktemp("power") / "ftgate.sqlite3")
    assert len(traded.ends) == COMMITS + 1 and traded.ends[-1][0] == len(traded.log) and len(traded.answered) > 50
    kinds = {entry[1] for entry in traded.ends[-1][1][0]}
    assert kinds == {"grant", "hold", "post", "void", "overrun", "loss"} and all(traded.ends[-1][1])
    return traded


def test_a_batch_is_one_commit(traded: Traded) -> None:
    """Of the frames that a batch writes only the last one ends a transaction: it cannot be there in part."""
    ends = {size for size, _ in traded.ends[1:]}
    assert {at for at, commits in frames(traded.log) if commits} == ends and len(ends) == COMMITS
    assert len(frames(traded.log)) > 4 * COMMITS


def test_cut_at_every_commit_and_at_every_page_in_between(traded: Traded, tmp_path: Path) -> None:
    rng = random.Random(4)
    for size, _ in [(LOG_HEAD, True), *frames(traded.log)]:
        check(tmp_path, traded, traded.log[:size], size)
    for _ in range(60):
        size = rng.randrange(len(traded.log))
        check(tmp_path, traded, traded.log[:size], size)
    for end, _ in traded.ends[1:]:
        check(tmp_path, traded, traded.log[: end - 1], end - 1)


def test_damage_in_the_log_loses_only_what_came_after(traded: Traded, tmp_path: Path) -> None:
    """A sector that was not written, or not all of it: everything before it stands, whole."""
    rng = random.Random(5)
    for _ in range(40):
        at = rng.randrange(64, len(traded.log))
        damaged = traded.log[:at] + bytes([traded.log[at] ^ 0xFF]) + traded.log[at + 1 :]
        check(tmp_path, traded, damaged, at)


HALVES = (
    "UPDATE balances SET posted = posted + 1 WHERE account = 1",
    "UPDATE balances SET held = held + 1 WHERE account = 2",
    "UPDATE balances SET used = used + 1 WHERE account = 3",
    "UPDATE spent SET used = used - 1 WHERE key = 11",
    "DELETE FROM requests WHERE id = (SELECT max(id) FROM requests)",
    "UPDATE requests SET cost = cost + 1 WHERE id = (SELECT max(id) FROM requests)",
)


@pytest.mark.parametrize("sql", HALVES)
def test_half_a_commit_does_not_add_up(traded: Traded, tmp_path: Path, sql: str) -> None:
    """Were a batch not one transaction, a cut would show one part without another: with such a part, the database alone
    tells."""
    place = opened(tmp_path, traded, traded.log)
    assert adds_up(place)
    with closing(sqlite3.connect(place)) as connection:
        assert connection.execute(sql).rowcount == 1
        connection.commit()
    assert not adds_up(place)
