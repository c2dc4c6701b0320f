"""Checkpoints: a start verifies what came since the last one; `verify` still reads everything."""

import os
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from ftgate.app import open_house
from ftgate.core.audit import Audit, Disagreement, State
from ftgate.house.house import DATABASE
from ftgate.house.lock import holder
from ftgate.store import checkpoint
from ftgate.store.batch import Batch, write_batch
from ftgate.store.database import connect
from ftgate.store.entries import entries_after
from ftgate.store.verify import verify_ledger
from tests.house.test_house import SETTINGS, hold, opened, post
from tests.store.faulty import Calls, read, sqlite_error
from tests.store.houses import NEWEST, crashing, lived, refused, tamper, trade

ROOT = Path(__file__).resolve().parents[2]


async def test_a_clean_close_leaves_one_that_says_what_the_entries_say(tmp_path: Path) -> None:
    async with opened(tmp_path) as house:
        await house.accounts.users.create(username="ann", credits="1")
        assert read(house.database, NEWEST) == []
    ((last, state),) = read(tmp_path / DATABASE, NEWEST)
    said = msgspec.json.decode(state, type=State)
    assert last == said.last_id == 1 and said.posted == {1: 10**12} and said.open == []


async def test_a_start_reads_on_from_the_last_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await lived(tmp_path)
    asked: list[int] = []

    def watched(connection: sqlite3.Connection, after: int, upto: int, limit: int) -> Any:
        asked.append(after)
        return entries_after(connection, after, upto, limit)

    with monkeypatch.context() as patch:
        patch.setattr("ftgate.store.checkpoint.entries_after", watched)
        async with opened(tmp_path, orphans=1) as house:  # and the open hold is known from it
            assert house.books.accounts[1].available == 10**12 - 5 * 300
            assert asked[0] == 7 and min(asked) == 7
    ((last, _),) = read(tmp_path / DATABASE, NEWEST)
    assert last == 13  # with the expire entry


async def test_an_open_hold_from_before_the_checkpoint_is_ended(tmp_path: Path) -> None:
    async with crashing(tmp_path) as house:
        await house.accounts.users.create(username="ann", credits="1")
        await house.accounts.keys.create(username="ann")
        await hold(house, 1, 1, 1000)
        await house.maybe_checkpoint(every=0)
        await house.writer.drain()
        await trade(house)
    assert read(tmp_path / DATABASE, NEWEST)[0][0] == 2
    async with opened(tmp_path, orphans=1) as house:
        assert house.books.accounts[1].available == 10**12 - 900


async def test_the_two_newest_are_kept(tmp_path: Path) -> None:
    async with opened(tmp_path) as house:
        await house.accounts.users.create(username="ann", credits="1")
        await house.accounts.keys.create(username="ann")
    for _ in range(3):
        async with opened(tmp_path) as house:
            await trade(house, 1)
    assert read(tmp_path / DATABASE, "SELECT last_id FROM checkpoints ORDER BY id") == [(5,), (7,)]


async def test_nothing_new_writes_none(tmp_path: Path) -> None:
    path = await lived(tmp_path)
    async with opened(tmp_path, orphans=1):
        pass
    before = read(path, "SELECT id FROM checkpoints")
    async with opened(tmp_path):
        pass
    assert read(path, "SELECT id FROM checkpoints") == before


# While serving


async def test_a_running_server_writes_one_when_enough_has_come(tmp_path: Path) -> None:
    async with opened(tmp_path) as house:
        await house.accounts.users.create(username="ann", credits="1")
        await house.accounts.keys.create(username="ann")
        await trade(house)
        await house.maybe_checkpoint(every=7)
        await house.writer.drain()
        assert read(house.database, NEWEST) == []
        await house.maybe_checkpoint(every=6)
        await house.writer.drain()
        await house.maybe_checkpoint(every=0)  # nothing new
        await house.writer.drain()
        assert read(house.database, "SELECT last_id FROM checkpoints") == [(7,)]
        held = await hold(house, 1, 1, 100)
        await house.maybe_checkpoint(every=0)
        await post(house, held, 300)  # with an overrun
        await house.maybe_checkpoint(every=0)
        await house.writer.drain()
        assert read(house.database, "SELECT last_id FROM checkpoints ORDER BY id") == [(8,), (10,)]


async def test_the_loop_goes_on_meanwhile_and_a_cut_leaves_no_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "PAGE", 1)
    async with opened(tmp_path) as house:
        await house.accounts.users.create(username="ann", credits="1")
        await house.accounts.keys.create(username="ann")
        await trade(house, 20)
        turns = 0

        async def tick() -> None:
            nonlocal turns
            while turns < 20 or not house.audit or not house.audit.last_id:
                await trio.sleep(0)
                turns += 1
            nursery.cancel_scope.cancel()  # in its middle

        async with trio.open_nursery() as nursery:
            nursery.start_soon(tick)
            await house.maybe_checkpoint(every=0)
        assert turns >= 20 and house.audit is not None and 0 < house.audit.last_id < 41
        assert read(house.database, NEWEST) == []
    assert read(tmp_path / DATABASE, NEWEST)[0][0] == 41  # the close reads on from where the cut was


async def test_a_disagreement_found_while_serving(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with crashing(tmp_path) as house:
        await house.accounts.users.create(username="ann", credits="1")
        await house.accounts.keys.create(username="ann")
        await trade(house)
        await house.writer.drain()
        tamper(house.database, "UPDATE entries SET amount = 2000 WHERE id = 3")
        await house.maybe_checkpoint(every=0)
        await house._last_checkpoint()
        assert read(house.database, NEWEST) == []
    said = [record.getMessage() for record in caplog.records if record.levelname == "CRITICAL"]
    assert len(said) == 1 and "entry 3: posts 2000, more than hold 2 of 1000" in said[0]
    assert "entry 3" in refused(tmp_path)


async def test_a_read_that_fails_writes_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(tmp_path) as house:
        await house.accounts.users.create(username="ann", credits="1")

        def fails(path: Path) -> None:
            raise sqlite_error(sqlite3.SQLITE_BUSY)

        with monkeypatch.context() as patch:
            patch.setattr("ftgate.store.database.read_only", fails)
            await house.maybe_checkpoint(every=0)
        assert "no checkpoint of the ledger was written" in caplog.text and house.writer.filling.size() == 0


async def test_a_close_does_not_wait_for_a_checkpoint_that_does_not_come_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftgate.house.house.CHECKPOINT_S", 0.1)
    house = open_house(SETTINGS, tmp_path, serving=True)
    await house.begin()
    await house.accounts.users.create(username="ann", credits="1")
    house.connection.execute("PRAGMA busy_timeout = 0")
    with closing(sqlite3.connect(tmp_path / DATABASE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with trio.fail_after(5):
            await house.close()
    assert house.writer.abandoned and holder(tmp_path) is None  # no loss: the exit code stays 0
    assert read(tmp_path / DATABASE, NEWEST) == []
    async with opened(tmp_path):
        pass


KILLED = """
import os, signal, sys, trio
from pathlib import Path
from ftgate.app import open_house
from tests.house.test_house import SETTINGS, hold
from tests.store.houses import trade

async def main():
    house = open_house(SETTINGS, Path(sys.argv[1]), serving=True)
    await house.begin()
    if not house.accounts.directory.users:
        await house.accounts.users.create(username="ann", credits="1")
        await house.accounts.keys.create(username="ann")
    await trade(house)
    if sys.argv[2] == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    await house.maybe_checkpoint(every=0)
    if sys.argv[2] == "queued":
        os.kill(os.getpid(), signal.SIGKILL)
    await house.writer.drain()
    await trade(house)
    await hold(house, 1, 1, 1000)
    os.kill(os.getpid(), signal.SIGKILL)

trio.run(main)
"""


@pytest.mark.slow
async def test_killed_around_a_checkpoint(tmp_path: Path) -> None:
    """Three kills on one database: before a checkpoint, with one queued, and after one was written and more has
    come."""
    for when in ("before", "queued", "after"):
        command = [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path), when]
        done = subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=30)
        assert done.returncode == -9
        assert verify_ledger(tmp_path / DATABASE)["ok"]
    assert len(read(tmp_path / DATABASE, NEWEST)) == 1
    async with opened(tmp_path, orphans=1) as house:
        assert house.books.accounts[1].available == 10**12 - 12 * 300


# The file alone


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(connect(tmp_path / "f", durability="process")) as connection:
        yield connection


def test_a_state_larger_than_sixty_four_bits(connection: sqlite3.Connection) -> None:
    audit = Audit()
    audit.ledgers["revenue"] += 2**70
    audit.ledgers["usage"] -= 2**70
    batch = Batch()
    batch.statements += checkpoint.statements(audit, 5)
    write_batch(connection, batch)
    assert checkpoint.resume(connection).state() == audit.state()


@pytest.mark.parametrize("page", [1, 2, 1000])
def test_catching_up(connection: sqlite3.Connection, page: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "PAGE", page)
    calls, batch = Calls(), Batch()
    calls.grant(batch)
    calls.call(batch, 150)
    calls.call(batch)
    write_batch(connection, batch)
    audit = checkpoint.resume(connection)
    checkpoint.catch_up(connection, audit, 4)
    assert audit.last_id == 4
    checkpoint.catch_up(connection, audit, checkpoint.last_entry(connection))
    assert audit.last_id == 6 and audit.posted == {1: calls.balance.posted}
    with pytest.raises(Disagreement, match="stands at entry 6, and the last entry is 5"):
        checkpoint.catch_up(connection, audit, 5)
