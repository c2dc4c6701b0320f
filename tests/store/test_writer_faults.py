"""The writer in trouble: a fault at any of SQLite's calls, commits that do not come back, and its death (RELIABILITY.md
F43, F44)."""

import sqlite3
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import trio

from ftgate.store.batch import Batch, write_batch
from ftgate.store.database import DatabaseFault, connect
from ftgate.store.writer import LAZY_S, Writer
from tests.patience import SOON_S
from tests.store.faulty import Calls, FaultyConnection, read, row, sqlite_error
from tests.store.writing import USER, in_file, until, writing

pytestmark = pytest.mark.usefixtures("quick")


# Faults at the n-th call: SQLite's own method

PASSING = {
    "busy": sqlite3.SQLITE_BUSY,
    "snapshot": sqlite3.SQLITE_BUSY_SNAPSHOT,
    "full": sqlite3.SQLITE_FULL,
    "write": sqlite3.SQLITE_IOERR_WRITE,
    "protocol": sqlite3.SQLITE_PROTOCOL,
}
HOW: dict[str, dict[str, bool]] = {
    "in place": {},
    "afterwards": {"after": True},  # a COMMIT that says it failed and is in
    "rollback too": {"and_rollback": True},
    "afterwards, rollback too": {"after": True, "and_rollback": True},
}


async def once_with_a_fault(path: Path, at: int, code: int, how: dict[str, bool]) -> bool:
    """Three commits with every kind of change, the `at`-th call of them failing. Whether there was such a call."""
    async with writing(path) as (writer, faulty):
        calls = Calls()
        faulty.fail(at, sqlite_error(code), **how)

        async def see_the_trouble() -> None:
            await until(lambda: faulty.struck)
            await until(lambda: writer.busy() == str(faulty.error))
            writer.changed().statements.append((USER, (3, "w")))  # queued in the meantime
            faulty.go_on.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(see_the_trouble)
            first = writer.changed()
            first.statements.append((USER, (1, "u")))  # a second time it would be refused
            await writer.durable(first)
            second = writer.changed()
            second.statements.append((USER, (2, "v")))
            calls.grant(second)
            held = calls.hold(second)
            await writer.durable(second)
            third = writer.changed()
            calls.post(third, held, 150)
            await writer.durable(third)
            struck = faulty.struck
            if not struck:
                nursery.cancel_scope.cancel()
        await writer.durable(writer.handed[-1] if writer.handed else third)
        await writer.durable(writer.filling if writer.filling.size() else third)
        assert writer.busy() is None and writer.failed is None
    assert in_file(path) == (4, 1)  # a grant, a hold, its post with an overrun
    assert read(path, "SELECT username FROM users ORDER BY id") == [("u",), ("v",), ("w",)][: 2 + struck]
    return struck


@pytest.mark.parametrize("how", HOW.values(), ids=HOW)
@pytest.mark.parametrize("code", PASSING.values(), ids=PASSING)
async def test_any_call_may_fail_once(
    tmp_path: Path, code: int, how: dict[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftgate.store.writer.log.error", lambda *_: None)
    made = tmp_path / "made"
    connect(made, durability="process").close()
    for at in range(1, 100):
        path = tmp_path / f"{at}.sqlite3"
        path.write_bytes(made.read_bytes())
        if not await once_with_a_fault(path, at, code, how):
            break
    assert 8 < at < 40  # a fault at every call, until no call is left


@pytest.mark.parametrize("statements", [False, True])
async def test_a_batch_is_whole_or_not_at_all(path: Path, statements: bool) -> None:
    """What a reader sees in the middle of a commit, and after one that breaks off there."""
    seen: list[object] = []
    breaks = False

    def passing(place: str) -> None:
        if place != "committed":
            seen.append((place, in_file(path), read(path, "SELECT * FROM balances")))
        if breaks and place == "commit_written":
            raise RuntimeError("in the middle")

    writer = Writer(connect(path, durability="process"), passing)
    writer.start()
    calls = Calls()
    batch = writer.changed()
    calls.grant(batch)
    calls.call(batch)
    if statements:
        batch.statements.append((USER, (1, "u")))
    await writer.durable(batch)
    assert seen == [("commit_begun", (0, 0), []), ("commit_written", (0, 0), [])]
    assert in_file(path) == (3, 1)
    before = read(path, "SELECT * FROM balances, last_batch")
    breaks = True
    batch = writer.changed()
    calls.call(batch)
    if statements:
        batch.statements.append((USER, (2, "v")))
    with pytest.raises(DatabaseFault):
        await writer.durable(batch)
    await writer.close()
    assert in_file(path) == (3, 1) and read(path, "SELECT * FROM balances, last_batch") == before
    assert len(read(path, "SELECT * FROM users")) == statements


async def test_too_many_waiting_changes_are_said(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftgate.store.writer.MAX_WAITING", 10)
    async with writing(path) as (writer, faulty):
        faulty.go_on.clear()
        writer.changed().rows.append(row("first"))
        await until(lambda: writer.handed)
        for n in range(9):
            writer.changed().rows.append(row(f"r{n}"))
            await trio.lowlevel.checkpoint()  # some wait with the thread, some here
        assert writer.busy() is None
        batch = writer.changed()
        batch.rows.append(row("one more"))
        assert writer.busy() == "too many changes wait for the database"
        faulty.go_on.set()
        await writer.durable(batch)
        assert writer.busy() is None
    assert in_file(path) == (0, 11)


# Death

DEADLY = {
    "fsync": sqlite_error(sqlite3.SQLITE_IOERR_FSYNC),
    "directory fsync": sqlite_error(sqlite3.SQLITE_IOERR_DIR_FSYNC),
    "sql": sqlite_error(sqlite3.SQLITE_ERROR),
    "corrupt": sqlite_error(sqlite3.SQLITE_CORRUPT, sqlite3.DatabaseError),
    "refused": sqlite_error(sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.IntegrityError),
    "not SQLite's": RuntimeError("a bug"),
}


@pytest.mark.parametrize("error", DEADLY.values(), ids=DEADLY)
async def test_the_writer_dies_and_nobody_waits_for_ever(path: Path, error: BaseException) -> None:
    with trio.fail_after(5):
        async with writing(path) as (writer, faulty):
            faulty.fail(1, error, then_waits=False)
            heard: list[str] = []

            async def wait(batch: Batch) -> None:
                with pytest.raises(DatabaseFault, match="the database has failed"):
                    await writer.durable(batch)
                heard.append("told")

            async with trio.open_nursery() as nursery:
                batch = writer.changed()
                Calls().grant(batch)
                nursery.start_soon(wait, batch)
                await trio.lowlevel.checkpoint()
                await until(lambda: writer.handed)
                queued = writer.changed()
                queued.rows.append(row("r"))
                nursery.start_soon(wait, queued)
            assert heard == ["told", "told"]
            assert writer.died.is_set() and writer.failed is error
            assert writer.busy() == "the database has failed"
            late = writer.changed()
            late.rows.append(row("s"))
            await wait(late)
    assert in_file(path) == (0, 0)


async def test_behind_what_cannot_be_written_nothing_is(path: Path, caplog: Any) -> None:
    """Entries behind a gap would make the next start refuse the ledger."""
    with trio.fail_after(5):
        async with writing(path) as (writer, _):
            calls = Calls()
            calls.grant(writer.changed())
            await writer.durable(writer.filling)
            bad = writer.changed()
            calls.call(bad)
            bad.rows.append(row("\ud800"))  # no text at all
            with pytest.raises(DatabaseFault):
                await writer.durable(bad)
            reason = writer.failed
            later = writer.changed()
            calls.call(later)
            with pytest.raises(DatabaseFault):
                await writer.durable(later)
            await trio.sleep(2 * LAZY_S)
            assert not later.done and isinstance(reason, UnicodeEncodeError) and writer.died.is_set()
            assert writer.filling is later, "it is not even handed over"
            started = trio.current_time()
        assert trio.current_time() - started < 2 and writer.failed is reason
    assert in_file(path) == (1, 0)
    assert "the last 7 changes, 4 of them ledger entries, were not written and are lost" in caplog.text


async def test_what_cannot_be_written_at_the_end_is_told_at_once(path: Path) -> None:
    async with writing(path) as (writer, _):
        writer.changed(soon=False).rows.append(row("\ud800"))
        started = trio.current_time()
        await writer.close()
        assert trio.current_time() - started < 2 and isinstance(writer.failed, UnicodeEncodeError)


async def test_a_change_after_the_close_harms_nobody(path: Path) -> None:
    async with writing(path) as (writer, _):
        await writer.close()
        writer.changed().rows.append(row("late"))
        await trio.sleep(0.01)
        writer.filling = Batch()


async def test_who_waits_for_a_database_written_anew_hears_of_its_end_too(path: Path) -> None:
    """The thread ends with the commit before it and comes to the job no more."""
    async with writing(path) as (writer, faulty):
        faulty.fail(1, sqlite_error(sqlite3.SQLITE_BUSY))
        writer.changed().statements.append((USER, (1, "u")))
        writer.hand_over()
        await until(lambda: faulty.struck)
        said: list[str | None] = []

        async def compact() -> None:
            said.append(await writer.compact(None))

        with trio.fail_after(SOON_S):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(compact)
                await trio.lowlevel.checkpoint()
                faulty.fail(1, sqlite_error(sqlite3.SQLITE_CORRUPT), then_waits=False)
                faulty.go_on.set()
        assert said == ["the database takes no changes"] and writer.failed is not None


async def test_the_writer_dies_while_it_is_closed(path: Path) -> None:
    started = time.monotonic()
    async with writing(path) as (writer, faulty):
        faulty.go_on.clear()
        faulty.fail(1, RuntimeError("a bug"))
        writer.changed().rows.append(row("r"))
        await until(lambda: writer.handed)
    assert writer.failed is not None and time.monotonic() - started < 2


async def test_a_loop_that_was_held_up_does_not_blame_the_database(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftgate.store.writer.STUCK_S", 0.05)
    async with writing(path) as (writer, _):
        batch = writer.changed()
        batch.rows.append(row("r"))
        await until(lambda: writer.handed or batch.done)
        time.sleep(0.2)  # the loop itself, while the thread commits
        assert writer.busy() is None


async def test_a_commit_that_does_not_come_back(path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    """Neither success nor error: new calls are refused after a while, and a close does not wait for ever."""
    for name, seconds in {"STUCK_S": 0.05, "LAST_TRIES_S": 0.1, "JOIN_S": 0.1}.items():
        monkeypatch.setattr(f"ftgate.store.writer.{name}", seconds)
    with trio.fail_after(5):
        faulty = FaultyConnection(connect(path, durability="process"))
        writer = Writer(faulty)  # type: ignore[arg-type]
        writer.start()
        faulty.go_on.clear()
        writer.changed().rows.append(row("r"))
        await until(lambda: writer._began)
        writer.changed().rows.append(row("behind it"))
        await until(lambda: len(writer.handed) == 2)
        assert writer.busy() is None
        await trio.sleep(0.1)
        assert writer.busy() == "a commit has not come back for 0 s"
        await writer.close()
        assert writer.stuck() and writer.failed is not None
        said = [record.getMessage() for record in caplog.records if record.levelname == "CRITICAL"]
        assert (
            said[-1]
            == "the last 2 changes, 0 of them ledger entries, were not written and are lost: a commit does not come "
            "back"
        )
        faulty.go_on.set()
        await until(lambda: not writer.stuck())
        faulty.close()
    assert [name for (name,) in read(path, "SELECT request_id FROM requests")] == [
        "r"
    ]  # what was behind it is not written after all


async def lost_in_a_commit(writer: Writer, faulty: Any) -> Batch:
    """The batch that the thread is at while its database is lost; it goes on when `faulty` does."""
    faulty.go_on.clear()
    batch = writer.changed()
    batch.rows.append(row("r"))
    await until(lambda: writer._began)
    writer.lose(DatabaseFault("somebody removed it"))
    return batch


async def test_a_database_that_is_lost_takes_what_was_handed_over_first(path: Path) -> None:
    """It goes into the copy that is made of the file: whoever waits for it must not be told that it was not written."""
    async with writing(path) as (writer, faulty):
        first = await lost_in_a_commit(writer, faulty)
        late = writer.changed()
        late.rows.append(row("late"))
        assert writer.busy() == "the database has failed" and writer.failed is None
        faulty.go_on.set()
        await writer.durable(first)
        with pytest.raises(DatabaseFault):
            await writer.durable(late)
        assert first.done and writer.died.is_set()
    assert read(path, "SELECT request_id FROM requests") == [("r",)]


async def test_a_lost_database_that_takes_nothing_is_not_waited_for(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftgate.store.writer.LOST_S", 0.05)
    async with writing(path) as (writer, faulty):
        batch = await lost_in_a_commit(writer, faulty)
        with trio.fail_after(5), pytest.raises(DatabaseFault):
            await writer.durable(batch)


@pytest.mark.parametrize("before", [False, True], ids=["then in trouble", "in trouble already"])
@pytest.mark.parametrize("heals", [False, True])
async def test_a_lost_database_in_trouble_is_tried_once_more(
    path: Path, monkeypatch: pytest.MonkeyPatch, heals: bool, before: bool
) -> None:
    """Whoever waits is told what is true of the file, whichever it is; and the writer can be closed at once."""
    go, full = threading.Event(), threading.Event()
    full.set()

    def written(connection: Any, batch: Batch, sizes: Sequence[int]) -> None:
        assert go.wait(5)
        if full.is_set():
            if heals and not before:
                full.clear()
            raise sqlite_error(sqlite3.SQLITE_FULL)
        write_batch(connection, batch, sizes)

    monkeypatch.setattr("ftgate.store.writer.log.error", lambda *_: None)
    monkeypatch.setattr("ftgate.store.writer.write_batch", written)
    async with writing(path) as (writer, _):
        batch = writer.changed()
        batch.rows.append(row("r"))
        if before:
            go.set()
            await until(lambda: writer.trouble)
            if heals:
                full.clear()
        else:
            await until(lambda: writer._began)
        writer.lose(DatabaseFault("somebody removed it"))
        go.set()
        with trio.fail_after(5):
            if heals:
                await writer.durable(batch)
            else:
                with pytest.raises(DatabaseFault, match="somebody removed it"):
                    await writer.durable(batch)
            await writer.died.wait()
            await writer.close()
        assert not writer.stuck() and isinstance(writer.failed, DatabaseFault)
    assert read(path, "SELECT request_id FROM requests") == [("r",)] * heals


async def test_what_was_decided_when_a_database_is_lost_comes_in(path: Path) -> None:
    async with writing(path) as (writer, _):
        batch = writer.changed(soon=False)
        batch.rows.append(row("r"))
        writer.lose(DatabaseFault("somebody removed it"))
        await writer.durable(batch)
    assert read(path, "SELECT request_id FROM requests") == [("r",)]


def test_a_copy_that_cannot_be_made_leaves_none_behind(path: Path, caplog: Any) -> None:
    writer = Writer(connect(path, durability="process"))
    writer.connection.close()
    writer._rescue(path.with_name("rescued-20300101-000000.sqlite3"))
    assert "no copy of it can be made" in caplog.text and not list(path.parent.glob("rescued-*"))


async def test_close_gives_up_on_a_database_that_takes_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """And then nothing of ours may write any more: the lock of the data directory is given back next."""
    monkeypatch.setattr("ftgate.store.writer.LAST_TRIES_S", 0.1)
    monkeypatch.setattr("ftgate.store.writer.RETRY_S", (30.0,))
    connection = connect(path, durability="process")
    connection.execute("PRAGMA busy_timeout = 0")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    writer = Writer(connection)
    writer.start()
    batch = writer.changed()
    batch.rows.append(row("r"))
    await until(lambda: writer.trouble)
    Calls().grant(writer.changed())
    with trio.fail_after(5):
        assert not await writer.drain()
        await writer.close()
    assert writer.failed is not None and not writer.abandoned
    said = [record.getMessage() for record in caplog.records if record.levelname == "CRITICAL"]
    assert said == ["the last 2 changes, 1 of them ledger entries, were not written and are lost: database is locked"]
    assert writer._thread is not None and not writer._thread.is_alive()
    with pytest.raises(sqlite3.ProgrammingError):
        connection.execute("SELECT 1")
    other.execute("ROLLBACK")
    other.close()
    assert in_file(path) == (0, 0)


async def test_a_checkpoint_that_fails_does_not_keep_the_house_open(path: Path) -> None:
    async with writing(path) as (writer, faulty):
        Calls().grant(writer.changed())
        await writer.durable(writer.filling)
        faulty.fail(1, sqlite_error(sqlite3.SQLITE_IOERR_WRITE))
    assert faulty.struck
    assert in_file(path) == (1, 0)
