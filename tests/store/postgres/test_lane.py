"""What becomes of what waits in a lane whose turns do not come in."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import pytest
import trio
import trio.testing

from ftgate.store.batch import Batch
from ftgate.store.database import DatabaseFault
from ftgate.store.postgres import lane as lanes
from ftgate.store.postgres import loose
from ftgate.store.postgres.clock import TurnClock
from ftgate.store.postgres.connection import SettingRefused
from ftgate.store.postgres.job import Job
from ftgate.store.postgres.lane import Lane
from ftgate.store.postgres.loose import LATER_S, MOST_ROWS
from ftgate.store.postgres.store import PATIENT_S
from ftgate.store.postgres.trouble import MOST_REFUSED, TROUBLE_S
from ftgate.store.postgres.turns import Begun, Behind, Fenced, Stamp, Turned
from ftgate.store.postgres.wire import Away, Rejected, Step


class Database:
    """turns.Store: the commits named in `lost` do not come in, and after `fenced` ones nobody is told whether they did.
    `refusals` are what the next beginnings of turns raise."""

    def __init__(self, *lost: int, fenced: int | None = None) -> None:
        self.refusals: list[Exception] = []
        self.seen_alive = 0
        self.graces: list[float | None] = []
        self.lost, self.fenced = set(lost), fenced
        self.turns, self.tried, self.thrown_out = 0, 0, 0
        self.written: list[str] = []
        self.parts: list[list[str]] = []  # of each turn
        self.slow: dict[str, float] = {}
        """How long a statement takes."""

    async def open(self) -> None:
        await trio.sleep(0)

    async def begin(
        self, seen: int, *, orphans: bool = False, grace_s: float | None = None, latest_us: int = 0
    ) -> Begun:
        await trio.sleep(0.001)
        self.graces.append(grace_s)
        if self.refusals:
            raise self.refusals.pop(0)
        return Begun(self.turns, int(trio.current_time() * 1e6), [], [])

    async def rows(self, steps: Sequence[Step]) -> list[list[tuple[Any, ...]]]:
        raise AssertionError(steps)

    async def commit(self, steps: Sequence[Step], *, seq: int, mark: int, note: str, patient: bool = False) -> None:
        await trio.sleep(0.001)
        most_s = PATIENT_S if patient else 5.0
        until = trio.current_time() + most_s + 1
        for at, step in enumerate(steps):
            takes_s = self.slow.get(step.sql, 0.0)
            if trio.current_time() + min(takes_s, most_s) > until:
                await trio.sleep_until(until)
                raise Away("no answer")
            await trio.sleep(min(takes_s, most_s))
            if takes_s > most_s:
                raise Rejected("57014", "statement timeout", at)
        self.tried += 1
        if self.tried in self.lost:
            raise Away("cut")
        self.written += [step.sql for step in steps]
        self.parts.append([step.sql for step in steps])
        self.turns += 1

    async def leave(self, *, alive: bool) -> None:
        self.seen_alive += alive
        await trio.sleep(0)

    async def throw_out(self) -> None:
        self.thrown_out += 1

    async def went_in(self, mark: int) -> None:
        await trio.sleep(0)
        if self.fenced is not None and self.tried >= self.fenced:
            raise Fenced("declared dead")

    def close(self) -> None:
        pass


class Memory:
    """turns.Memory that decides nothing: rows by their requests, statements by their words."""

    def wanted(self, touched: Sequence[tuple[str, str]]) -> Sequence[Step]:
        return []

    def renew(self, touched: object, rows: object, notes: object) -> None:
        pass

    def steps(self, batch: Batch) -> Iterator[Step]:
        yield from (Step(sql) for sql, _ in batch.statements)
        yield from (Step(str(row)) for row in batch.rows)

    def note(self, batch: Batch) -> str:
        return ""

    def expire(self, orphans: object, batch: Batch, at_us: int) -> None:
        raise AssertionError(orphans)

    def __init__(self) -> None:
        self.away: list[Exception] = []

    async def reload(self, seen: int, known: Stamp | None) -> Turned:
        await trio.sleep(0.001)
        if self.away:
            raise self.away.pop(0)
        return 0, None


def _lane(database: Database) -> Lane:
    return Lane(database, Memory(), TurnClock(), seen=0)


def _fill(lane: Lane, many: int) -> Batch:
    """Statements that nobody decides in a turn, each by itself, and a row with the last."""
    for number in range(many):
        batch = lane.changed(soon=False)
        batch.statements.append((f"s{number}", ()))
    batch.rows.append("row")  # type: ignore[arg-type]
    return batch


@pytest.mark.parametrize("lost", [(), (1,), (2,), (1, 2, 3), (3,)])
async def test_no_turn_has_more_loose_statements_than_room_and_none_loses_those_that_are_left(
    lost: tuple[int, ...], autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever of the turns does not come in."""
    monkeypatch.setattr(loose, "MOST_LOOSE", 10)
    database = Database(*lost)
    lane = _lane(database)
    batch = _fill(lane, 25)
    lane.start()
    with trio.fail_after(60):
        await lane.durable(batch)
    assert database.written == [*(f"s{number}" for number in range(25)), "row"]
    assert database.turns == 3 and database.tried == 3 + len(lost)
    await lane.close()


async def test_what_was_added_in_one_go_comes_in_in_one_turn(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that are deleted go with what is remembered of them."""
    monkeypatch.setattr(loose, "MOST_LOOSE", 10)
    database = Database()
    lane = _lane(database)
    for group in "abcd":
        batch = lane.changed(soon=False)
        batch.statements += [(group, ())] * 7
    lane.start()
    with trio.fail_after(60):
        await lane.durable(batch)
    assert database.parts == [["a"] * 7 + ["b"] * 7, ["c"] * 7 + ["d"] * 7]
    await lane.close()


async def test_who_waits_for_what_was_left_over_is_told_when_the_lane_dies(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loose, "MOST_LOOSE", 10)
    database = Database(1, fenced=1)
    lane = _lane(database)
    batch = _fill(lane, 25)
    lane.start()
    with trio.fail_after(60), pytest.raises(DatabaseFault):
        await lane.durable(batch)
    assert lane.failed is not None and not batch.done and lane.depth() == 26
    await lane.close()


async def test_a_bystander_of_a_turn_adds_to_the_next(autojump_clock: object) -> None:
    """What it adds was not decided in the turn, and so is not undone with it."""
    database = Database(1)
    lane = _lane(database)
    added: list[Batch] = []
    began = trio.Event()

    async def decider() -> None:
        await lane.turn()
        own = lane.changed()
        own.statements.append(("own", ()))
        with pytest.raises(DatabaseFault):
            await lane.durable(own)
        assert own.undone

    async def bystander() -> None:
        await began.wait()
        assert lane.deciding is not None
        batch = lane.changed()
        batch.statements.append(("theirs", ()))
        added.append(batch)
        await lane.durable(batch)

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(decider)
            nursery.start_soon(bystander)
            await trio.testing.wait_all_tasks_blocked()
            lane.do(Job(began.set))  # in the turn that the decider waits for
            lane.start()
    assert database.written == ["theirs"] and added[0].done
    await lane.close()


async def _decided(lane: Lane, words: str) -> None:
    """Have a statement decided, and wait until it is in."""
    await lane.do(Job(lambda: lane.changed().statements.append((words, ())))).event.wait()


@pytest.mark.parametrize("lost", [(), (2,), (3,), (2, 3)])
async def test_a_statement_that_takes_too_long_holds_up_nothing_but_itself(
    lost: tuple[int, ...], autojump_clock: object, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where the turn after it does not come in, or its own."""
    database = Database(*lost)
    database.slow = {"s2": 8.0}
    lane = _lane(database)
    batch = _fill(lane, 4)
    lane.start()
    with trio.fail_after(7):
        await _decided(lane, "decided")
    assert sorted(database.written) == ["decided", "row"] and not batch.done
    lane.changed().statements.append(("after", ()))
    with trio.fail_after(20):
        await lane.durable(batch)
    assert sorted(database.written) == ["after", "decided", "row", "s0", "s1", "s2", "s3"]
    assert lane.loose.slowed == 1 and lane.depth() == 0
    assert [line for line in caplog.messages if line.endswith("in 1 s: s2")]
    await lane.close()


@pytest.mark.parametrize("takes_s", [(3.0, 4.0), (4.9, 4.9, 4.9), (7.0, 12.0), (4.0, 9.0, 9.0)], ids=str)
async def test_what_takes_too_long_only_together_holds_up_nothing_but_itself(
    takes_s: tuple[float, ...], autojump_clock: object
) -> None:
    """The server ends none of these, or not before we leave."""
    database = Database()
    lane = _lane(database)
    batch = lane.changed(soon=False)
    for number, seconds in enumerate(takes_s):
        database.slow[f"s{number}"] = seconds
        batch.statements.append((f"s{number}", ()))
    lane.start()
    begun, longest, most = trio.current_time(), 0.0, 0
    with trio.fail_after(2 * LATER_S):
        while trio.current_time() - begun < LATER_S:
            asked = trio.current_time()
            await _decided(lane, "d")
            took = trio.current_time() - asked
            longest, most = max(longest, took), most + (took > 1)
            await trio.sleep(0.5)
    assert longest < 12 and most <= 2
    assert batch.done is (sum(takes_s) <= PATIENT_S + 1)
    database.slow.clear()
    await lane.durable(batch)
    await lane.close()


async def test_no_turn_has_more_rows_than_room(autojump_clock: object) -> None:
    """As where callers were refused while the database was away: to write a turn must not take longer than it may."""
    database = Database()
    lane = _lane(database)
    for number in range(3 * MOST_ROWS):
        lane.changed(soon=False).rows.append(f"r{number}")  # type: ignore[arg-type]
    lane.start()
    await _decided(lane, "d")
    while lane.depth():
        await lane.refresh(1)
    assert max(len(part) for part in database.parts) == MOST_ROWS + 1
    assert sorted(database.written) == sorted(["d", *(f"r{number}" for number in range(3 * MOST_ROWS))])
    await lane.close()


async def test_one_that_takes_too_long_for_ever_is_tried_seldom_and_not_forgotten(autojump_clock: object) -> None:
    database = Database()
    database.slow = {"s0": 100.0}
    lane = _lane(database)
    batch = _fill(lane, 1)
    lane.start()
    begun, late = trio.current_time(), 0
    with trio.fail_after(3 * LATER_S):
        while trio.current_time() - begun < 2 * LATER_S:
            asked = trio.current_time()
            await _decided(lane, "d")
            late += trio.current_time() - asked > 1
            await trio.sleep(1)
    assert lane.loose.slowed == 3 and late <= 4 and not batch.over
    database.slow.clear()
    await lane.durable(batch)
    assert database.written[-1] == "s0" and lane.depth() == 0
    await lane.close()


async def test_one_that_is_still_aside_at_the_end_is_told_of_as_lost(
    autojump_clock: object, caplog: pytest.LogCaptureFixture
) -> None:
    database = Database()
    database.slow = {"s0": 100.0}
    lane = _lane(database)
    _fill(lane, 1)
    lane.start()
    await trio.sleep(60)
    assert lane.depth() == 1
    with trio.fail_after(60):
        await lane.close()
    assert "the last 1 changes were not written" in caplog.text


@pytest.mark.parametrize("after_s", [5.5, 8.0], ids=["before its own turn", "in its own turn"])
async def test_at_the_end_nothing_that_was_decided_waits_for_one_that_takes_too_long(
    after_s: float, autojump_clock: object
) -> None:
    database = Database()
    database.slow = {"s0": 100.0}
    lane = _lane(database)
    _fill(lane, 1)
    lane.start()
    await trio.sleep(after_s)
    assert len(lane.loose.aside) == 1 and (lane._undone is not None) is (after_s == 8.0)
    lane.do(Job(lambda: lane.changed().statements.append(("decided", ()))))
    began = trio.current_time()
    assert await lane.drain()
    assert "decided" in database.written
    assert trio.current_time() - began < (0.1 if after_s == 5.5 else 10)
    await lane.close()


async def test_what_was_decided_is_not_set_aside(autojump_clock: object) -> None:
    """Whatever its place among the statements."""
    database = Database(1)
    database.slow = {"d": 8.0}
    lane = _lane(database)
    batch = _fill(lane, 3)
    lane.do(Job(lambda: lane.changed().statements.append(("d", ()))))
    lane.start()
    await trio.sleep(30)
    assert lane.loose.slowed == 0 and not lane.loose.aside
    database.slow.clear()
    with trio.fail_after(10):
        await lane.durable(batch)
    assert database.written == ["s0", "s1", "s2", "d", "row"]
    await lane.close()


@pytest.mark.parametrize("state", ["53100", "53200", "53300", "57014", "58030", "40001", "25006"])
async def test_what_a_server_in_need_refuses_comes_in_later(state: str, autojump_clock: object) -> None:
    """A disk that is full is made room on: what was decided is not lost by it."""
    database = Database()
    database.refusals = [Rejected(state, "no room")] * 30
    lane = _lane(database)
    batch = _fill(lane, 1)
    lane.start()
    with trio.fail_after(60):
        await lane.durable(batch)
    assert lane.failed is None and lane.trouble is None
    await lane.close()


@pytest.mark.parametrize("many", [MOST_REFUSED - 1, MOST_REFUSED])
async def test_what_is_refused_for_good_ends_the_process(
    many: int, autojump_clock: object, caplog: pytest.LogCaptureFixture
) -> None:
    database = Database()
    database.refusals = [Rejected("22012", "gone")] * many
    lane = _lane(database)
    batch = _fill(lane, 1)
    lane.start()
    with trio.move_on_after(60), suppress(DatabaseFault):
        await lane.durable(batch)
    assert batch.done is (lane.failed is None) is (many < MOST_REFUSED)
    assert ("it refuses what was decided (22012: gone)" in caplog.text) is not batch.done
    assert "Traceback" not in caplog.text  # it is no bug of ours
    await lane.close()


async def test_a_server_that_refuses_a_setting_is_told_of_once_and_tried_again(
    autojump_clock: object, caplog: pytest.LogCaptureFixture
) -> None:
    """Be it that others are not there in between."""
    database = Database()
    refused = SettingRefused("PostgreSQL 13.1 refuses jit", "42704")
    database.refusals = [Away("cut"), refused, refused, Away("cut"), refused, SettingRefused("PostgreSQL 12 does")]
    lane = _lane(database)
    batch = _fill(lane, 1)
    lane.start()
    with trio.fail_after(60):
        await lane.durable(batch)
    told = [line for line in caplog.messages if "refuses jit" in line or "12 does" in line]
    assert len(told) == 2 and lane.failed is None and lane.trouble is None
    await lane.close()


async def test_a_server_that_goes_away_while_memory_is_read_anew_is_tried_again(autojump_clock: object) -> None:
    database, memory = Database(), Memory()
    database.refusals = [Behind()]
    memory.away = [Away("cut"), Rejected("57014", "it takes too long")]
    lane = Lane(database, memory, TurnClock(), seen=0)
    batch = _fill(lane, 1)
    lane.start()
    with trio.fail_after(60):
        await lane.durable(batch)
    assert lane.failed is None and memory.away == []
    await lane.close()


async def test_who_stands_still_with_the_head_is_thrown_out(autojump_clock: object) -> None:
    database = Database()
    database.refusals = [Rejected("55P03", "lock timeout")] * 400
    lane = _lane(database)
    batch = _fill(lane, 1)
    lane.start()
    await trio.sleep(TROUBLE_S / 2)
    assert not database.thrown_out and lane.trouble is None  # others are at it
    with trio.fail_after(600):
        await lane.durable(batch)
    assert database.thrown_out and lane.failed is None
    await lane.close()


async def test_turns_without_a_change_say_all_the_same_that_it_lives(autojump_clock: object) -> None:
    """However often they come."""
    database = Database()
    lane = _lane(database)
    lane.start()
    for _ in range(100):
        await lane.refresh(5)
        await trio.sleep(0.1)
    assert 8 <= database.seen_alive <= 12
    await lane.close()


async def test_who_was_away_declares_nobody_dead(autojump_clock: object) -> None:
    database = Database()
    lane = _lane(database)
    lane.start()
    await trio.sleep(3 * lanes.GRACE_S)
    assert lanes.GRACE_S in database.graces  # one that was there all the time does
    database.graces.clear()
    lane._trouble.since -= lanes.GRACE_S  # the process stood still
    await trio.sleep(lanes.GRACE_S / 2)
    assert database.graces and set(database.graces) == {None}
    await lane.close()
