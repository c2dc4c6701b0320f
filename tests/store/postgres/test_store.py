"""The statements of a turn, on a real server."""

from collections.abc import Iterator
from contextlib import closing, suppress

import pytest
import trio
import trio.testing

from ftgate.store.postgres.connection import connect, set_sql
from ftgate.store.postgres.opening import SESSION, lane_conninfo, open_ledger
from ftgate.store.postgres.store import _LOOK, WireStore
from ftgate.store.postgres.turns import Behind, Fenced, Stamp
from ftgate.store.postgres.wire import Away, Rejected, Step
from ftgate.store.source import Postgres
from tests.postgres import Server


@pytest.fixture
def source(postgres: Server) -> Iterator[Postgres]:
    with postgres.database() as source:
        yield source


class Gateway:
    def __init__(self, source: Postgres, name: str) -> None:
        self.boot = open_ledger(source, name, "1", "", None).boot
        self.store = WireStore(lane_conninfo(source), self.boot, name)

    async def turn(self, seq: int, mark: int) -> object:
        """Write the turn `seq`, having seen the one before."""
        await self.store.open()
        await self.store.begin(seq - 1)
        return await self.store.commit([], seq=seq, mark=mark, note=f"note {seq}")


def _told(source: Postgres, sql: str) -> None:
    with closing(connect(source, readonly=False)) as connection:
        connection.execute(sql)


async def test_a_turn_sees_what_others_have_changed_and_which_was_before(source: Postgres) -> None:
    a, b = Gateway(source, "a"), Gateway(source, "b")
    one = await a.turn(1, 7)
    two = await b.turn(2, 1)
    begun = await a.store.begin(1)
    assert (begun.seq, begun.notes, begun.before, begun.latest) == (2, ["note 2"], one, two) and one != two
    await a.store.leave(alive=False)
    begun = await b.store.begin(2)
    assert (begun.seq, begun.notes, begun.before, begun.latest) == (2, [], two, two)
    await b.store.leave(alive=True)
    assert await a.store.went_in(7) and not await a.store.went_in(8)
    a.store.close()
    b.store.close()


async def test_another_turn_of_the_same_number_is_not_the_one_that_was_seen(source: Postgres) -> None:
    """A fail-over has lost that, and others have gone on."""
    a = Gateway(source, "a")
    one = await a.turn(1, 1)
    _told(source, "UPDATE changes SET at_us = at_us + 1")
    begun = await a.store.begin(1)
    assert begun.before not in (None, one)
    await a.store.leave(alive=False)
    _told(source, "DELETE FROM changes")
    begun = await a.store.begin(1)
    assert (begun.before, begun.latest) == (None, None)
    await a.store.leave(alive=False)
    with pytest.raises(Behind):
        await a.store.begin(0)
    a.store.close()


@pytest.mark.parametrize("changed", ["ended = 1", "gateway = 'another'"])
async def test_a_boot_that_was_ended_or_has_become_another_s_has_no_turn(source: Postgres, changed: str) -> None:
    """Another's: a fail-over has lost ours, and another gateway began one after it."""
    a = Gateway(source, "a")
    await a.turn(1, 1)
    _told(source, f"UPDATE boots SET {changed} WHERE id = {a.boot}")
    with pytest.raises(Fenced):
        await a.store.begin(1)
    a.store.close()


async def test_whether_a_turn_is_in_is_not_said_before_its_connection_is_through(source: Postgres) -> None:
    """The old connection may still be at it: it has the head until then."""
    a = Gateway(source, "a")
    await a.store.open()
    await a.store.begin(0)
    old, a.store.wire = a.store.wire, None
    await a.store.open()
    new = a.store.wire
    answers: list[Stamp | None] = []

    async def ask() -> None:
        answers.append(await a.store.went_in(5))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        assert answers == [] and old is not None and new is not None
        a.store.wire = old
        told = await a.store.commit([], seq=1, mark=5, note="")
    assert answers == [told]
    await a.store.open()
    assert await a.store.went_in(4) is None
    a.store.close()
    new.close()


async def test_nobody_is_declared_dead_by_a_clock_that_was_set_forward(source: Postgres) -> None:
    a, b = Gateway(source, "a"), Gateway(source, "b")
    await b.turn(1, 1)
    _told(source, f"UPDATE boots SET seen_at = seen_at - interval '5 minutes' WHERE id = {b.boot}")
    await a.store.open()
    for latest_us, ended in ((0, 0), (2**62, 1)):
        # Of no seconds, since a server that has begun just now declares nobody dead.
        begun = await a.store.begin(1, grace_s=0.0, latest_us=latest_us)
        await a.store.leave(alive=True)
        with closing(connect(source, readonly=True)) as connection:
            assert connection.execute("SELECT ended FROM boots WHERE gateway = 'b'").fetchone() == (ended,), begun
    a.store.close()
    b.store.close()


async def test_a_server_that_only_reads_is_left_for_one_that_does_not(source: Postgres) -> None:
    a = Gateway(source, "a")
    await a.store.open()
    assert a.store.wire is not None
    await a.store.wire.trip([Step("SET default_transaction_read_only = on")], 5)
    with pytest.raises(Rejected):
        await a.turn(1, 1)
    await a.turn(1, 1)
    a.store.close()


async def test_a_statement_that_takes_too_long_is_named_and_may_have_more_time(
    source: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftgate.store.postgres.store.SESSION", {**SESSION, "statement_timeout": "50"})
    a = Gateway(source, "a")
    slow = [Step("SELECT $1::int", (1,)), Step("SELECT pg_sleep(0.1)", prepared=False)]
    await a.store.open()
    for _ in range(2):  # as often as it is tried
        await a.store.begin(0)
        with pytest.raises(Rejected) as refused:
            await a.store.commit(slow, seq=1, mark=7, note="")
        assert (refused.value.state, refused.value.at) == ("57014", 1)
    assert not await a.store.went_in(7)
    await a.store.begin(0)
    await a.store.commit(slow, seq=1, mark=7, note="", patient=True)
    assert await a.store.went_in(7)
    a.store.close()


async def test_who_sent_half_a_turn_and_stands_still_loses_the_head(source: Postgres) -> None:
    a, b = Gateway(source, "a"), Gateway(source, "b")
    await a.store.open()
    await a.store.begin(0)
    assert a.store.wire is not None
    raw = a.store.wire._connection
    raw.send_query_params(b"SELECT length($1)", [b"x" * 200_000])  # more than a buffer, and nothing that ends it
    raw.flush()
    await b.store.open()
    with trio.fail_after(20):
        while True:
            with suppress(Rejected):
                await b.store.begin(0)
                break
            await b.store.throw_out()
    await b.store.leave(alive=True)
    with pytest.raises(Away):
        await a.store.commit([], seq=1, mark=1, note="")
    b.store.close()


def test_each_statement_of_a_turn_has_its_index(source: Postgres) -> None:
    """Plans are made once, for whatever number: without an index one would read all changes with the head in hand."""
    with closing(connect(source, readonly=False)) as connection:
        connection.script(
            f"SET random_page_cost = 4; {set_sql(SESSION)}; INSERT INTO changes SELECT n, 1, n, repeat('x', 300)"
            " FROM generate_series(1, 20000) n ORDER BY md5(n::text);"  # in no order, as pages are used again
            f" ANALYZE changes; PREPARE look (bigint, bigint, text) AS {_LOOK}"
        )
        plan = "\n".join(line for (line,) in connection.execute("EXPLAIN EXECUTE look (19990, 1, 'a')"))
    assert "Seq Scan" not in plan and plan.count("Index") >= 3, plan


async def test_where_nobody_may_throw_out_others_it_is_said(
    source: Postgres, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    a = Gateway(source, "a")
    monkeypatch.setattr("ftgate.store.postgres.store._STUCK", "SELECT 1 / 0 WHERE $1 <> ''")
    await a.store.throw_out()
    assert "cannot be thrown out" in caplog.text
    a.store.close()
