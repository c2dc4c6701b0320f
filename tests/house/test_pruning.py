"""A house that deletes what is too old: what it knew of this month stays, another setting holds at once, and it is
looked once a minute."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from ftgate.core.retention import DAY_US
from ftgate.core.spending import month_of
from ftgate.house import serving
from ftgate.house.house import DATABASE
from ftgate.house.live import Live
from ftgate.store.database import DatabaseFault
from tests.config.reading import CHANNEL, load
from tests.house.test_house import SETTINGS, opened
from tests.store.faulty import read
from tests.store.houses import crashing
from tests.store.test_spending import call
from tests.store.writing import until

THREE_DAYS = load(CHANNEL + "[server]\nretention_days = 3\n")
NOW = month_of(1_790_000_000_000_000)[0] + 20 * DAY_US
NOW_AND_BEFORE = [NOW - days * DAY_US for days in (25, 21, 19, 5, 4, 2, 0)]
"""The first two are of the month before."""
ROWS = "SELECT request_id FROM requests ORDER BY id"


async def lived(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A house on the 21st of a month, with calls that cost 1, 10, 100, ..."""
    monkeypatch.setattr(house.clock, "wall_us", lambda: NOW)
    await house.accounts.users.create(username="ann", credits="1")
    await house.accounts.keys.create(username="ann")
    for n, at_us in enumerate(NOW_AND_BEFORE):
        await call(house, f"r{n}", 10**n, at_us)


@pytest.mark.parametrize("asked", ["before", "after", "never"])
async def test_what_channels_have_cost_in_this_month_outlives_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    """Also where it was read before and not noted, and where the process is killed right after."""
    whole = {"a": 1_111_100}
    async with crashing(tmp_path / "data") as house:
        await lived(house, monkeypatch)
        if asked == "before":
            assert await house.spent_this_month() == whole
        house.live.adopt(THREE_DAYS)
        await house.prune()
        assert [id for (id,) in read(house.database, ROWS)] == ["r5", "r6"]
        if asked == "after":
            assert await house.spent_this_month() == whole
    async with opened(tmp_path / "data") as house:
        monkeypatch.setattr(house.clock, "wall_us", lambda: NOW)
        assert await house.spent_this_month() == whole


async def test_nothing_goes_while_all_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(tmp_path / "data") as house:
        await lived(house, monkeypatch)
        commits = house.writer.commits
        await house.prune()
        assert (len(read(house.database, ROWS)), house.writer.commits) == (len(NOW_AND_BEFORE), commits)


async def test_another_setting_holds_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the midst of a row of commits: what is kept for ever from now on is not touched any more."""
    monkeypatch.setattr("ftgate.core.retention.LEAST", 1)
    async with opened(tmp_path / "data") as house:
        await lived(house, monkeypatch)
        house.live.adopt(THREE_DAYS)
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(house.prune)
                await until(lambda: len(read(house.database, ROWS)) < len(NOW_AND_BEFORE))
                house.live.adopt(SETTINGS)
        left = len(read(house.database, ROWS))
        assert left > 2
        await house.prune()
        assert len(read(house.database, ROWS)) == left


async def test_a_reader_of_spending_and_another_do_not_read_a_call_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The minute's note and the deletion both read on."""
    monkeypatch.setattr("ftgate.store.spending.read_on.__defaults__", (1,))
    async with opened(tmp_path / "data") as house:
        await lived(house, monkeypatch)
        house.spent = None
        house.live.adopt(THREE_DAYS)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(house.spent_this_month)
            nursery.start_soon(house.prune)
            nursery.start_soon(house.note_spending, 0, 0.0)
        assert await house.spent_this_month() == {"a": 1_111_100}


@pytest.mark.parametrize("fault", [DatabaseFault("the database has failed")])
async def test_a_writer_that_has_failed_ends_it_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fault: Exception
) -> None:
    """The process ends for it, and says why."""

    async def fails(batch: object) -> None:
        raise fault

    async with opened(tmp_path / "data") as house:
        await lived(house, monkeypatch)
        house.live.adopt(THREE_DAYS)
        with monkeypatch.context() as patch:
            patch.setattr(house.writer, "durable", fails)
            await house.prune()
        assert not caplog.records
    assert read(tmp_path / "data" / DATABASE, "SELECT count(*) FROM requests") == [(2,)]  # it was decided, and is in


async def test_it_is_looked_once_a_minute_and_when_settings_change(autojump_clock: trio.abc.Clock) -> None:
    looked: list[float] = []

    async def prune() -> None:
        looked.append(trio.current_time() - began)
        await trio.sleep(3)

    house: Any = SimpleNamespace(live=Live(SETTINGS), prune=prune)
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serving.prune, house)
        await trio.sleep(2)
        house.live.adopt(THREE_DAYS)  # while it is at work
        await trio.sleep(40)
        house.live.adopt(SETTINGS)
        await trio.sleep(100)
        nursery.cancel_scope.cancel()
    assert looked == pytest.approx([0, 3, 42, 105])
