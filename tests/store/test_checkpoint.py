"""Checkpoints: a start verifies what came since the last one and refuses what does not agree; `verify` still reads
everything."""

import json
import os
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from click.testing import CliRunner

from ftgate.accounts import Accounts
from ftgate.app import open_house
from ftgate.cli.group import cli
from ftgate.core.audit import Audit, Disagreement, State
from ftgate.house import house as house_room
from ftgate.house.house import DATABASE, House
from ftgate.house.lock import Lock, holder
from ftgate.store import checkpoint
from ftgate.store.batch import Batch, write_batch
from ftgate.store.database import DatabaseFault, connect
from ftgate.store.entries import entries_after
from ftgate.store.verify import verify_ledger
from tests.house.test_house import SETTINGS, hold, opened, post
from tests.store.faulty import Calls, read, sqlite_error

ROOT = Path(__file__).resolve().parents[2]
NEWEST = "SELECT last_id, state FROM checkpoints ORDER BY id DESC LIMIT 1"


@asynccontextmanager
async def crashing(place: Path) -> AsyncIterator[House[Accounts]]:
    """A house that is left without a close: what a killed process leaves."""
    house = open_house(SETTINGS, place, serving=True)
    try:
        await house.begin()
        yield house
    finally:
        await house.writer.close()
        house.lock.release()


async def trade(house: House[Accounts], calls: int = 3) -> None:
    for _ in range(calls):
        await post(house, await hold(house, 1, 1, 1000), 300)


async def lived(place: Path) -> Path:
    """Entries 1 to 7, a checkpoint at 7 from a clean close, then 8 to 11 by a process that was killed, 12 an open hold
    of its."""
    async with opened(place) as house:
        await house.accounts.users.create(username="ann", credits="1")
        await house.accounts.keys.create(username="ann")
        await trade(house)
    async with crashing(place) as house:
        await trade(house, 2)
        await hold(house, 1, 1, 500)
    path = place / DATABASE
    assert [last for last, _ in read(path, NEWEST)] == [7] and read(path, "SELECT max(id) FROM entries") == [(12,)]
    return path


def tamper(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for name, trigger in connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall():
            connection.execute(f"DROP TRIGGER {name}")
            if trigger.startswith("CREATE TRIGGER entries_never_deleted"):
                kept = trigger
        assert connection.execute(sql).rowcount > 0
        connection.execute(kept)
        connection.commit()


def refused(place: Path) -> str:
    """The start is refused, in one line that says what to do, and the lock is given back."""
    with pytest.raises(DatabaseFault) as caught:
        open_house(SETTINGS, place, serving=True)
    said = str(caught.value)
    assert "\n" not in said and "`ftgate ledger verify`" in said and "`ftgate restore FILE`" in said
    assert "`ftgate ledger verify --discard-checkpoint`" in said
    assert holder(place) is None
    return said


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


# What was tampered with

SINCE = {
    "UPDATE entries SET amount = 301 WHERE id = 9": "account 1: balance says",
    "UPDATE entries SET amount = 1001 WHERE id = 9": "entry 9: posts 1001, more than hold 8 of 1000",
    "UPDATE entries SET hold = 12 WHERE id = 9": "entry 9: ends hold 12, which is not open",
    "DELETE FROM entries WHERE id = 8": "entry 8 is missing: after entry 7 comes entry 9",
    "DELETE FROM entries WHERE id = 9": "entry 9 is missing: after entry 8 comes entry 10",
    "DELETE FROM entries WHERE id = 12": "account 1: balance says posted, held, used = (999999998500, 500, 0)",
    "DELETE FROM entries WHERE id > 6": "the checkpoint stands at entry 7, and the last entry is 6",
    "UPDATE balances SET posted = posted + 1": "account 1: balance says posted, held, used = (999999998501, 500, 0)",
    "UPDATE balances SET held = 0": "account 1: balance says",
    "UPDATE balances SET used = 5": "account 1: balance says",
    "DELETE FROM balances": "account 1 has entries and no balance",
    "INSERT INTO balances VALUES (9, 0, 0, 0)": "account 9 has a balance and no user",
    "UPDATE spent SET used = used - 1": "key 1: spent says 1499; entries say 1500",
    "DELETE FROM spent": "key 1: spent says 0; entries say 1500",
    "INSERT INTO spent VALUES (9, 0)": "key 9 has entries and is not in the list of keys",
    "DELETE FROM keys": "key 1 has entries and is not in the list of keys",
    "UPDATE checkpoints SET state = replace(state, '\"posted\":{\"1\":9', "
    "'\"posted\":{\"1\":8')": "account 1: balance says",
    "UPDATE checkpoints SET state = replace(state, '\"spent\":{\"1\":900}', "
    "'\"spent\":{\"1\":901}')": "key 1: spent says 1500",
    "UPDATE checkpoints SET state = substr(state, 1, 40)": "cannot be read",
    "UPDATE checkpoints SET state = 'null'": "cannot be read",
    "UPDATE checkpoints SET state = CAST(x'ff' AS TEXT)": "cannot be read",  # not UTF-8
    "UPDATE checkpoints SET last_id = 5": "says entry 5 and holds the state after entry 7",
}  # fmt: skip


@pytest.mark.parametrize("sql", SINCE)
async def test_a_start_refuses_what_does_not_verify(tmp_path: Path, sql: str) -> None:
    path = await lived(tmp_path)
    tamper(path, sql)
    before = path.read_bytes()
    assert SINCE[sql] in refused(tmp_path)
    assert refused(tmp_path) and path.read_bytes() == before


BEFORE = {
    "UPDATE entries SET amount = 1 WHERE id = 3": "checkpoint 1, which stands at entry 7, does not say",
    "DELETE FROM entries WHERE id IN (2, 3)": "entry 2 is missing: after entry 1 comes entry 4",
    "UPDATE checkpoints SET state = replace(state, '\"revenue\":900', '\"revenue\":901')": "checkpoint 1",
    "UPDATE checkpoints SET state = replace(state, '\"entries\":7', '\"entries\":8')": "checkpoint 1",
    "INSERT INTO checkpoints SELECT 0, 5, at_us, state FROM checkpoints": "checkpoint 0, which stands at entry 5, "
    "does not say",
    "INSERT INTO checkpoints SELECT 0, -1, at_us, state FROM checkpoints": "checkpoint 0",
    "INSERT INTO checkpoints SELECT 9, 99, at_us, state FROM checkpoints": "checkpoint 9, which stands at entry 99, "
    "does not say",
    "UPDATE checkpoints SET state = '{'": "checkpoint 1, which stands at entry 7, does not say",
    "UPDATE checkpoints SET state = CAST(x'ff' AS TEXT)": "checkpoint 1, which stands at entry 7, does not say",
}


@pytest.mark.parametrize("sql", BEFORE)
async def test_a_whole_verification_sees_what_lies_before_and_the_checkpoints_themselves(
    tmp_path: Path, sql: str
) -> None:
    path = await lived(tmp_path)
    assert verify_ledger(path)["ok"]
    tamper(path, sql)
    said = verify_ledger(path)
    assert not said["ok"] and BEFORE[sql] in str(said["disagreement"])


async def test_an_entry_before_the_checkpoint_is_not_read_again_at_a_start(tmp_path: Path) -> None:
    """The price of a quick start; `ledger verify` and every backup see it."""
    path = await lived(tmp_path)
    tamper(path, "UPDATE entries SET amount = 1 WHERE id = 3")
    house = open_house(SETTINGS, tmp_path, serving=True)
    await house.close()
    tamper(path, "DELETE FROM checkpoints")
    assert "balance says" in refused(tmp_path)


async def test_a_right_state_at_a_wrong_place(tmp_path: Path) -> None:
    async with opened(tmp_path) as house:
        await house.accounts.users.create(username="ann", credits="1")
    tamper(tmp_path / DATABASE, "UPDATE checkpoints SET last_id = 99")
    assert "checkpoint 1, which stands at entry 99" in str(verify_ledger(tmp_path / DATABASE)["disagreement"])


# A wrong checkpoint beside right entries

WRONG = {
    "UPDATE checkpoints SET state = replace(state, '\"posted\":{\"1\":9', '\"posted\":{\"1\":8')": "posted 1 is 8999",
    "UPDATE checkpoints SET state = replace(state, '\"spent\":{\"1\":900}', '\"spent\":{}')": "spent 1 is None, and "
    "900 by the entries",
    "UPDATE checkpoints SET state = substr(state, 1, 40)": "cannot be read",
    "UPDATE checkpoints SET state = CAST(x'ff' AS TEXT)": "cannot be read",
    "UPDATE checkpoints SET last_id = 5": "says entry 5 and holds the state after entry 7",
    "UPDATE checkpoints SET last_id = 99, state = replace(state, '\"last_id\":7', "
    "'\"last_id\":99')": "last_id is 99, and 12 by the",
    "UPDATE checkpoints SET last_id = -1, state = replace(state, '\"last_id\":7', "
    "'\"last_id\":-1')": "last_id is -1, and 0 by the entries",
    "UPDATE checkpoints SET last_id = 8, state = replace(state, '\"last_id\":7', "
    "'\"last_id\":8')": "at entry 8: entries is 7, and 8 by",
}  # fmt: skip


def discard(place: Path, *more: str, code: int = 0) -> str:
    """What `ftgate ledger verify --discard-checkpoint` says."""
    done = CliRunner().invoke(cli, ["ledger", "verify", "--discard-checkpoint", "--data", str(place), *more])
    assert done.exit_code == code, (done.output, done.exception)
    assert holder(place) is None or code
    return done.output


@pytest.mark.parametrize("sql", WRONG)
async def test_a_wrong_checkpoint_is_discarded_and_the_start_works(tmp_path: Path, sql: str) -> None:
    path = await lived(tmp_path)
    tamper(path, sql)
    assert refused(tmp_path)
    entries = read(path, "SELECT * FROM entries")
    said = discard(tmp_path)
    assert (
        said.startswith("ok: 12 entries of 1 accounts add up, 1 holds are open\ncheckpoint 1 ") and WRONG[sql] in said
    )
    assert said.endswith("\ncheckpoints removed: 1; the next start reads all entries\n")
    assert read(path, NEWEST) == [] and read(path, "SELECT * FROM entries") == entries and verify_ledger(path)["ok"]
    async with opened(tmp_path, orphans=1) as house:
        assert house.books.accounts[1].available == 10**12 - 5 * 300
    assert read(path, NEWEST)[0][0] == 13


ELSEWHERE = [
    "UPDATE entries SET amount = 1 WHERE id = 3",
    "UPDATE entries SET amount = 301 WHERE id = 9",
    "DELETE FROM entries WHERE id = 1",
    "DELETE FROM entries WHERE id = 12",
    "UPDATE balances SET posted = posted + 1",
    "DELETE FROM balances",
    "UPDATE spent SET used = used - 1",
    "UPDATE requests SET cost = cost + 1 WHERE id = 1",
]


@pytest.mark.parametrize("sql", ELSEWHERE)
async def test_where_something_else_is_wrong_no_checkpoint_goes(tmp_path: Path, sql: str) -> None:
    path = await lived(tmp_path)
    tamper(path, sql)
    for also in ("", *list(WRONG)[:1]):
        if also:
            tamper(path, also)
        before = path.read_bytes()
        said = discard(tmp_path, code=1)
        assert said.startswith("the ledger does not verify: ") and "nothing was changed. `ftgate restore FILE`" in said
        assert json.loads(discard(tmp_path, "--json", code=1))["discarded"] == 0
        assert path.read_bytes() == before and len(read(path, NEWEST)) == 1


async def test_a_balance_changed_with_its_entry_is_told_by_the_row_of_the_call(tmp_path: Path) -> None:
    """Entry, balance and the key's spending agree, and the checkpoint alone knew better: the request's row does too."""
    path = await lived(tmp_path)
    tamper(path, "UPDATE entries SET amount = 299 WHERE id = 3")
    tamper(path, "UPDATE balances SET posted = posted + 1")
    tamper(path, "UPDATE spent SET used = used - 1")
    assert "balance says" in refused(tmp_path)
    assert "its row says a cost, lost = (300, 0), its entries say (299, 0)" in discard(tmp_path, code=1)
    assert len(read(path, NEWEST)) == 1


async def test_no_checkpoint_is_discarded_beside_a_running_server(tmp_path: Path) -> None:
    path = await lived(tmp_path)
    tamper(path, next(iter(WRONG)))
    lock = Lock(tmp_path, serving=False)
    before = path.read_bytes()
    assert "in use by process" in (said := discard(tmp_path, code=1)) and "stop it first. Nothing was changed." in said
    lock.release()
    assert path.read_bytes() == before
    # A plain verification says what would help.
    done = CliRunner().invoke(cli, ["ledger", "verify", "--data", str(tmp_path)])
    assert done.exit_code == 1 and "`ftgate ledger verify --discard-checkpoint` removes it" in done.output


async def test_discarding_two_or_none(tmp_path: Path) -> None:
    path = await lived(tmp_path)
    async with opened(tmp_path, orphans=1):
        pass
    said = json.loads(discard(tmp_path, "--json"))
    assert said == {"ok": True, "accounts": 1, "entries": 13, "open_holds": 0, "discarded": 2, "wrong_checkpoints": []}
    before = path.read_bytes()
    assert discard(tmp_path).endswith("there is no checkpoint: nothing was changed\n")
    assert path.read_bytes() == before


async def test_a_database_that_takes_no_commit_keeps_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = await lived(tmp_path)
    monkeypatch.setattr("ftgate.store.database.BUSY_TIMEOUT_S", 0.05)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert "could not be removed: database is locked. Nothing was changed." in discard(tmp_path, code=1)
    assert len(read(path, NEWEST)) == 1


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
            while True:
                await trio.sleep(0)
                turns += 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(tick)
            with trio.move_on_after(0.03):
                await house.maybe_checkpoint(every=0)
            nursery.cancel_scope.cancel()
        assert turns > 20 and house.audit is not None and 0 < house.audit.last_id < 41
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
    monkeypatch.setattr(house_room, "CHECKPOINT_S", 0.1)
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
from tests.store.test_checkpoint import SETTINGS, hold, open_house, trade

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
