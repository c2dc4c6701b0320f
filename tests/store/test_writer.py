"""The writer: groups, order, waiting and closing."""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trio

from ftgate.store.batch import Batch
from ftgate.store.database import BUSY_TIMEOUT_S, connect
from ftgate.store.inbox import SIZES
from ftgate.store.writer import GROUP, GROUP_PER_S, LAZY_S, Writer
from tests.store.faulty import Calls, read, row
from tests.store.writing import USER, in_file, until, writing

pytestmark = pytest.mark.usefixtures("quick")


async def test_all_changes_of_one_turn_share_a_commit(path: Path) -> None:
    async with writing(path) as (writer, faulty):
        calls = Calls()
        calls.grant(writer.changed())
        for _ in range(50):
            calls.call(writer.changed())
        await writer.durable(writer.filling)
        assert writer.commits == 1 and faulty.calls.count("COMMIT") == 1
    assert in_file(path) == (101, 50)


async def test_what_a_few_calls_change_is_one_statement(path: Path) -> None:
    """SQLite asks for the interpreter's lock around each."""
    async with writing(path) as (writer, faulty):
        calls = Calls()
        writer._open_inboxes(len(SIZES))  # as an earlier crowd has had them made
        faulty.calls.clear()
        calls.grant(writer.changed())
        for _ in range(SIZES[-1] - 1):
            calls.call(writer.changed())
        await writer.durable(writer.filling)
        assert writer.commits == 1 == len(faulty.calls)


async def test_an_inbox_is_made_when_a_crowd_first_wants_it(path: Path) -> None:
    async with writing(path) as (writer, faulty):
        calls, made = Calls(), []
        calls.grant(writer.changed())
        for many in (0, 1, 3, SIZES[-1] * 2, 1):
            faulty.calls.clear()
            for _ in range(many):
                calls.call(writer.changed())
            await writer.durable(writer.filling)
            made.append(sum("TEMP VIEW" in call for call in faulty.calls))
        assert made == [0, 0, 2, len(SIZES) - 3, 0]
    assert in_file(path)[1] == 5 + SIZES[-1] * 2


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
        assert writer.commits == 2
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


async def test_demand_that_outruns_the_commits_does_not_pile_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow disk under more changes a second than GROUP_PER_S: more go into each commit."""
    monkeypatch.setattr("ftgate.store.writer.GROUP_PER_S", 100)
    most = 0
    async with writing(path) as (writer, faulty):
        calls, execute = Calls(), faulty.execute

        def slow(sql: str, *values: Any) -> Any:
            if sql == "COMMIT" or not faulty.in_transaction:
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
            if n % 50 == 0:
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


@pytest.mark.parametrize("then", ["commits go on", "nothing more comes", "a second reader stays"])
async def test_the_log_gives_its_room_back_once_its_reader_is_gone(
    path: Path, monkeypatch: pytest.MonkeyPatch, then: str
) -> None:
    """A reader at an old moment keeps the write-ahead log growing; then it is folded back, and is short again, without
    a restart."""
    log = path.with_name(f"{path.name}-wal")
    monkeypatch.setattr("ftgate.store.database.LOG_KEPT_BYTES", 100_000)
    monkeypatch.setattr("ftgate.store.writer.LOG_KEPT_BYTES", 100_000)
    connection = connect(path, durability="process")
    connection.execute("PRAGMA wal_autocheckpoint = 10")
    writer = Writer(connection)
    writer.start()
    calls = Calls()
    calls.grant(writer.changed())

    async def commits(number: int) -> None:
        for _ in range(number):
            calls.call(writer.changed())
            await writer.durable(writer.filling)

    await commits(30)
    assert log.stat().st_size < 400_000
    with closing(sqlite3.connect(path)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM entries").fetchone()
        await commits(60)
        large = log.stat().st_size
        assert large > 400_000
        writer.fold_log()  # which this reader stands in the way of, and nobody waits for
        started = time.monotonic()
        await commits(1)
        assert time.monotonic() - started < BUSY_TIMEOUT_S / 2 and log.stat().st_size >= large
    if then == "a second reader stays":  # at a later moment: no longer than it has to
        with closing(sqlite3.connect(path)) as second:
            second.execute("BEGIN")
            second.execute("SELECT count(*) FROM entries").fetchone()
            await commits(3)
            assert log.stat().st_size >= large
        await commits(3)
    elif then == "commits go on":
        await commits(3)
    else:
        writer.fold_log()
        await until(lambda: log.stat().st_size <= 100_000)
    assert log.stat().st_size <= 100_000
    await commits(1)
    small = log.stat().st_size
    writer.fold_log()  # there is nothing to fold
    await commits(1)
    assert log.stat().st_size >= small > 0
    await writer.close()
    assert not log.exists()


async def test_a_writer_shows_how_it_stands(path: Path) -> None:
    writer = Writer(connect(path, durability="process"))
    assert repr(writer).startswith("<Writer not started, 0 commits, 0 changes handed over, filling <Batch filling: ")
    writer.start()
    batch = writer.changed()
    batch.rows.append(row("r"))
    await writer.durable(batch)
    assert repr(writer).startswith("<Writer idle, 1 commits, 0 changes handed over, ")
    writer._in_trouble("disk is full")
    assert repr(writer).startswith("<Writer in trouble: disk is full, ")
    writer.trouble = None
    await writer.close()
    writer._dead(OSError("gone"))
    assert repr(writer).startswith("<Writer failed: gone, ")


async def test_nobody_waits_for_a_compaction_whose_wait_was_cancelled(path: Path) -> None:
    async with writing(path) as (writer, faulty):
        faulty.go_on.clear()  # the thread comes to nothing
        with trio.CancelScope() as scope:
            scope.cancel()
            await writer.compact(None)
        assert scope.cancelled_caught and not writer._compactions
        faulty.go_on.set()
        assert await writer.compact(None) is None and not writer._compactions
