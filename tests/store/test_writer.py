"""The writer: groups, order, SQLite's n-th call fault, real locks and full disks, and its death (RELIABILITY.md F43,
F44, F51)."""

import os
import resource
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from ftgate.store.batch import Batch, already_in, joined, write_batch
from ftgate.store.database import DatabaseFault, connect
from ftgate.store.verify import verify_ledger
from ftgate.store.writer import GROUP, GROUP_PER_S, LAZY_S, Writer
from tests.store.faulty import Calls, FaultyConnection, read, row, sqlite_error

ROOT = Path(__file__).resolve().parents[2]
USER = (
    "INSERT INTO users (id, username, role, status, plan, created_at_us) VALUES (?, ?, 'user', 'active', 'default', 0)"
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ftgate.sqlite3"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftgate.store.writer.RETRY_S", (0.001,))


@asynccontextmanager
async def writing(path: Path, durability: str = "process") -> AsyncIterator[tuple[Writer, Any]]:
    """A writer at work over a connection that can be made to fail."""
    faulty = FaultyConnection(connect(path, durability=durability))
    writer = Writer(faulty)  # type: ignore[arg-type]
    writer.start()
    try:
        yield writer, faulty
    finally:
        faulty.go_on.set()
        await writer.close()
    if writer.failed is None:
        assert not writer.handed and not writer._waiting and not writer.filling.size()


async def until(true: Callable[[], object], limit_s: float = 5.0) -> None:
    with trio.fail_after(limit_s):
        while not true():
            await trio.sleep(0.001)


def in_file(path: Path) -> tuple[int, int]:
    """(entries, requests) in the database, which must verify."""
    found = verify_ledger(path)
    assert found["ok"], found
    return read(path, "SELECT count(*) FROM entries")[0][0], read(path, "SELECT count(*) FROM requests")[0][0]


# Groups and order


async def test_all_changes_of_one_turn_share_a_commit(path: Path) -> None:
    async with writing(path) as (writer, faulty):
        calls = Calls()
        calls.grant(writer.changed())
        for _ in range(50):
            calls.call(writer.changed())
        await writer.durable(writer.filling)
        assert writer.commits == 1 and len(faulty.calls) == 1
    assert in_file(path) == (101, 50)


async def test_what_queues_while_a_commit_runs_shares_the_next_one(path: Path) -> None:
    async with writing(path) as (writer, faulty):
        calls = Calls()
        faulty.go_on.clear()
        calls.grant(writer.changed())
        await until(lambda: writer.handed)
        tickets = set()
        for _ in range(100):  # over many turns
            batch = writer.changed()
            calls.call(batch)
            tickets.add(batch)
            await trio.lowlevel.checkpoint()
        assert len(tickets) > 10 and writer.commits == 0
        await trio.sleep(0.05)  # a slow commit
        faulty.go_on.set()
        await writer.durable(batch)
        assert all(ticket.done for ticket in tickets)
        assert writer.commits == 2 == len(faulty.calls)
    assert in_file(path) == (201, 100)


@pytest.mark.parametrize(
    ("took_s", "sizes", "groups"),
    [
        (0.0, [GROUP], [1]),
        (0.0, [1] * (GROUP + 1), [GROUP, 1]),
        (0.0, [GROUP - 1, 50, 1, 1], [2, 2]),  # what one turn changed stays together
        (1.5 * GROUP / GROUP_PER_S, [1] * GROUP * 2, [GROUP * 3 // 2, GROUP // 2]),
        (1.0, [100] * 200, [200]),
        (0.0, [1] * 4 * GROUP, [2 * GROUP, 2 * GROUP]),  # half of what waits
        (0.0, [], []),
    ],
)
async def test_how_much_goes_into_a_commit(path: Path, took_s: float, sizes: list[int], groups: list[int]) -> None:
    writer = Writer(connect(path, durability="process"))
    batches = []
    for size in sizes:
        batches.append(Batch())
        batches[-1].rows += [row("r")] * size
        writer._jobs.put(batches[-1])
    writer._jobs.put(None)
    writer._took, writer._waiting = took_s, sum(sizes)
    taken = []
    while group := writer._take():
        taken.append(group)
    assert [len(group) for group in taken] == groups and [batch for group in taken for batch in group] == batches
    await writer.close()


def test_batches_are_joined_in_their_order(path: Path) -> None:
    connection, calls, batches = connect(path, durability="process"), Calls(), []
    for n in range(4):
        batches.append(Batch())
        if n == 0:
            calls.grant(batches[-1])
        if n == 1:  # a batch without any ledger entry
            batches[-1].rows.append(row("alone"))
        else:
            calls.call(batches[-1])
        batches[-1].statements.append((USER, (n + 1, f"u{n}")))
        batches[-1].statements.append(("UPDATE users SET username = username || 'x'", ()))
        batches[-1].seal()
    whole = joined(batches)
    write_batch(connection, whole)
    assert already_in(connection, whole) and not any(already_in(connection, batch) for batch in batches)
    assert joined(batches[:1]) is batches[0]
    connection.close()
    apart = path.with_name("apart.sqlite3")
    connection = connect(apart, durability="process")
    for batch in batches:
        write_batch(connection, batch)
    connection.close()
    for table in ("entries", "requests", "balances", "spent", "users"):
        assert read(path, f"SELECT * FROM {table}") == read(apart, f"SELECT * FROM {table}") != []


async def test_demand_that_outruns_the_commits_does_not_pile_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow disk under more changes a second than GROUP_PER_S: more go into each commit."""
    monkeypatch.setattr("ftgate.store.writer.GROUP_PER_S", 100)
    most = 0
    async with writing(path) as (writer, faulty):
        calls, execute = Calls(), faulty.execute

        def slow(sql: str, *values: Any) -> Any:
            time.sleep(0.005)
            return execute(sql, *values)

        faulty.execute = slow
        calls.grant(writer.changed(), 10**9)
        for _ in range(300):
            for _ in range(10):
                calls.call(writer.changed())
            most = max(most, writer._waiting)
            await trio.sleep(0.001)
    assert in_file(path) == (6001, 3000)
    assert most < 4000


async def test_a_batch_of_thousands(path: Path) -> None:
    async with writing(path) as (writer, _):
        calls = Calls()
        calls.grant(writer.changed(), 10**9)
        for _ in range(3000):
            calls.call(writer.changed())
        await writer.durable(writer.filling)
        assert writer.commits == 1
    assert in_file(path) == (6001, 3000)


async def test_what_is_not_wanted_soon_comes_in_all_the_same(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftgate.store.writer.LAZY_S", 0.5)
    async with writing(path) as (writer, _):
        await trio.sleep(0.01)
        batch = writer.changed(soon=False)
        batch.rows.append(row("lazy"))
        await trio.sleep(0.05)
        assert not batch.done and not writer.handed and writer.commits == 0
        await until(lambda: batch.done)
        other = writer.changed(soon=False)
        other.rows.append(row("lazy too"))
        started = trio.current_time()
        await writer.durable(other)  # somebody waits for it now
        assert trio.current_time() - started < LAZY_S / 2
    assert in_file(path) == (0, 2)


async def test_one_wake_up_for_each_commit(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    woken: list[object] = []
    token = trio.lowlevel.current_trio_token()

    class Token:
        def run_sync_soon(self, what: Callable[..., None], *values: object, idempotent: bool = False) -> None:
            woken.append(what)
            token.run_sync_soon(what, *values, idempotent=idempotent)

    with monkeypatch.context() as patch:
        patch.setattr(trio.lowlevel, "current_trio_token", lambda: Token())
        async with writing(path) as (writer, _):
            calls = Calls()
            calls.grant(writer.changed())
            for _ in range(20):
                calls.call(writer.changed())
            await writer.durable(writer.filling)
            assert woken.count(writer._written) == writer.commits == 1


async def test_a_limited_wait_that_is_cancelled_is_not_woken(path: Path) -> None:
    async with writing(path) as (writer, faulty):
        faulty.go_on.clear()
        batch = writer.changed()
        batch.rows.append(row("r"))
        with trio.move_on_after(0.02):
            await writer.durable_within(batch, 5)
        faulty.go_on.set()
        await until(lambda: batch.done)
        await trio.sleep(0.01)  # a task that is woken without waiting would end the whole run
        assert await writer.durable_within(batch, 5)


async def test_order_is_kept(path: Path) -> None:
    async with writing(path) as (writer, _):
        for n in range(1, 201):
            batch = writer.changed()
            batch.statements.append((USER, (n, f"u{n}")))
            batch.statements.append(("UPDATE users SET username = username || 'x' WHERE id = ?", (n,)))
            batch.rows.append(row(f"r{n}"))
            if n % 7 == 0:
                await trio.sleep(0.0005)
        await writer.durable(batch)
        assert writer.commits > 3
    assert [name for (name,) in read(path, "SELECT username FROM users ORDER BY id")] == [
        f"u{n}x" for n in range(1, 201)
    ]
    assert [name for (name,) in read(path, "SELECT request_id FROM requests ORDER BY id")] == [
        f"r{n}" for n in range(1, 201)
    ]


async def test_cancelling_the_wait_changes_nothing(path: Path) -> None:
    async with writing(path) as (writer, faulty):
        calls = Calls()
        faulty.go_on.clear()
        batch = writer.changed()
        calls.grant(batch)
        with trio.move_on_after(0.02) as scope:
            await writer.durable(batch)
        assert scope.cancelled_caught and not batch.done
        other = trio.Event()

        async def another_waiter() -> None:
            await writer.durable(batch)
            other.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(another_waiter)
            await trio.testing.wait_all_tasks_blocked()
            faulty.go_on.set()
        assert other.is_set() and batch.done
        await writer.durable(batch)  # again: at once
    assert in_file(path) == (1, 0)


async def test_close_writes_what_is_left(path: Path) -> None:
    async with writing(path) as (writer, faulty):
        calls = Calls()
        faulty.go_on.clear()
        calls.grant(writer.changed())
        await until(lambda: writer.handed)
        calls.call(writer.changed())
        faulty.go_on.set()
    assert in_file(path) == (3, 1)
    assert not list(path.parent.glob("*-wal"))  # folded back


async def test_close_is_shielded_from_cancellation(path: Path) -> None:
    with trio.CancelScope() as scope:
        async with writing(path) as (writer, faulty):
            Calls().grant(writer.changed())
            scope.cancel()
    assert in_file(path) == (1, 0)
    assert not writer.stuck()
    with pytest.raises(sqlite3.ProgrammingError):  # closed: it came to its own end
        faulty.execute("SELECT 1")


async def test_closing_what_never_started(path: Path) -> None:
    writer = Writer(connect(path, durability="power"))
    writer.changed().rows.append(row("r"))
    with trio.fail_after(2):
        await writer.close()


async def test_what_was_filled_before_the_start_is_written(path: Path) -> None:
    writer = Writer(connect(path, durability="power"))
    batch = writer.changed()
    batch.rows.append(row("r"))
    writer.start()
    with trio.fail_after(2):
        await writer.durable(batch)
    await writer.close()
    assert in_file(path) == (0, 1)


async def test_a_batch_keeps_the_last_balance(path: Path) -> None:
    async with writing(path) as (writer, _):
        calls = Calls()
        calls.grant(writer.changed(), 500)
        calls.post(writer.changed(), calls.hold(writer.changed(), 100), 90)
        open_hold = calls.hold(writer.changed(), 40)
        await writer.durable(writer.filling)
        assert read(path, "SELECT account, posted, held, used FROM balances") == [(1, 410, 40, 0)]
        assert read(path, "SELECT key, used FROM spent") == [(1, 90)]
        calls.post(writer.changed(), open_hold, 10)
        await writer.durable(writer.filling)
    assert read(path, "SELECT account, posted, held, used FROM balances") == [(1, 400, 0, 0)]
    assert read(path, "SELECT key, used FROM spent") == [(1, 100)]


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


# The real thing

HOLDER = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
time.sleep(float(sys.argv[2]))
connection.execute("ROLLBACK")
connection.close()
"""


async def locked_out(path: Path, held_s: float) -> tuple[float, list[str]]:
    """How long a commit took while another process held the database, and what busy() said meanwhile."""
    said: list[str] = []
    async with writing(path) as (writer, _):
        with subprocess.Popen([sys.executable, "-c", HOLDER, str(path), str(held_s)], stdout=subprocess.PIPE) as holder:
            assert holder.stdout is not None
            await trio.to_thread.run_sync(holder.stdout.readline)
            calls = Calls()
            batch = writer.changed()
            calls.grant(batch)
            started = time.monotonic()
            while not batch.done:
                await trio.sleep(0.02)
                if (why := writer.busy()) and why not in said:
                    said.append(why)
                if not batch.done:
                    calls.call(writer.changed())
            took = time.monotonic() - started
            await writer.durable(
                writer.filling if writer.filling.size() else writer.handed[-1] if writer.handed else batch
            )
            assert writer.busy() is None
            await trio.to_thread.run_sync(holder.wait)
    assert in_file(path) == (calls.books.next_id - 1, calls.number)
    return took, said


@pytest.mark.slow
async def test_another_process_holds_the_database(tmp_path: Path) -> None:
    results: dict[float, tuple[float, list[str]]] = {}

    async def one(held_s: float) -> None:
        results[held_s] = await locked_out(tmp_path / f"{held_s}.sqlite3", held_s)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(one, 1.0)
        nursery.start_soon(one, 4.0)
    took, said = results[1.0]
    assert 0.3 < took < 2.5 and said == []  # delayed, no trouble
    took, said = results[4.0]
    assert 3.7 < took < 7 and said == ["database is locked"]


async def test_a_full_disk(path: Path) -> None:
    async with writing(path) as (writer, faulty):
        pages = faulty.connection.execute("PRAGMA page_count").fetchone()[0]
        faulty.connection.execute(f"PRAGMA max_page_count = {pages}")
        calls = Calls()
        calls.grant(writer.changed())
        for _ in range(200):
            calls.call(writer.changed())
        batch = writer.filling
        await until(lambda: writer.busy() == "database or disk is full")
        calls.call(writer.changed())
        assert in_file(path) == (0, 0)
        await trio.sleep(0.02)  # some more tries
        assert not batch.done
        faulty.connection.execute("PRAGMA max_page_count = 1000000")
        await writer.durable(batch)
        await until(lambda: writer.busy() is None)
    assert in_file(path) == (403, 201)


LIMITED = """
import resource, signal, sys, trio
from pathlib import Path
from tests.store.faulty import Calls
from ftgate.store.database import connect
from ftgate.store.writer import Writer

async def main():
    path = Path(sys.argv[1])
    writer = Writer(connect(path, durability="process"))
    writer.start()
    calls = Calls()
    calls.grant(writer.changed())
    await writer.durable(writer.filling)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    wal = path.with_name(path.name + "-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (wal + 8192, resource.RLIM_INFINITY))
    for _ in range(200):
        calls.call(writer.changed())
    batch = writer.filling
    with trio.fail_after(5):
        while writer.busy() is None:
            await trio.sleep(0.01)
    said = writer.busy()
    await trio.sleep(0.2)
    assert not batch.done
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    with trio.fail_after(5):
        await writer.durable(batch)
    assert writer.busy() is None
    await writer.close()
    print(said)

trio.run(main)
"""


@pytest.mark.slow
def test_a_file_that_may_not_grow(path: Path) -> None:
    assert hasattr(resource, "RLIMIT_FSIZE") and signal.SIGXFSZ
    command = [sys.executable, "-c", textwrap.dedent(LIMITED), str(path)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=30, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in {"disk I/O error", "database or disk is full"}
    assert in_file(path) == (401, 200)
