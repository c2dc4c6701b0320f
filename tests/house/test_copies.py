"""Copies that a server makes by itself: when they are due, what is kept of them, what is said when there are none."""

import json
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing

from ftgate.accounts import Accounts
from ftgate.house import copies
from ftgate.house.copies import HOUR_US, Copies, last_failure, made_us, ours, quietly
from ftgate.house.house import House
from ftgate.store.backup import BackupFault, last_backup
from ftgate.store.verify import verify_ledger
from tests.config.reading import CHANNEL, load
from tests.house.test_house import SETTINGS, opened
from tests.patience import until

NOW_US = 1_790_000_000_000_000


class Clocked:
    """An open house whose hour can be set, and its copies."""

    def __init__(self, house: House[Accounts]) -> None:
        self.house = house
        self.copies = Copies(house)
        self.now_us = NOW_US

    async def after(self, hours: float) -> list[int]:
        """Look that much later; at which hours the copies are from that are there now."""
        self.now_us += int(hours * HOUR_US)
        if self.copies._due():
            await self.copies.make()
        folder = self.house.backups()
        return [(made_us(copy) - NOW_US) // HOUR_US for copy in ours(folder)] if folder.exists() else []


@asynccontextmanager
async def clocked(place: Path, monkeypatch: pytest.MonkeyPatch, text: str = "") -> AsyncIterator[Clocked]:
    settings = load(CHANNEL + text) if text else SETTINGS
    async with opened(place / "data", settings) as house:
        one = Clocked(house)
        monkeypatch.setattr(house.clock, "wall_us", lambda: one.now_us)
        monkeypatch.setattr("ftgate.house.copies.first_boot_us", lambda path: NOW_US)
        yield one


async def test_one_is_due_when_its_hours_have_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And over a restart: the folder remembers."""
    async with clocked(tmp_path, monkeypatch) as one:
        assert [await one.after(hours) for hours in (0, 23.9, 0.1)] == [[], [], [24]]
        (copy,) = ours(one.house.backups())
        assert verify_ledger(copy)["ok"] and (last_backup(one.house.database) or {})["backup"] == str(copy)
        assert one.copies.counted() == ({"made": 1, "failed": 0}, one.now_us / 1e6)
    async with clocked(tmp_path, monkeypatch) as one:
        assert [await one.after(hours) for hours in (47.9, 0.1)] == [[24], [24, 48]]
        assert await one.after(-40) == [24, 48]  # the clock went back: no copy is from a time to come
        assert await one.after(17) == [24, 25, 48]


async def test_the_oldest_go_and_nothing_else_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "[backup]\nevery_hours = 1\nkeep = 2\n"
    async with clocked(tmp_path, monkeypatch, text) as one:
        await one.after(1)
        folder = one.house.backups()
        strangers = ["ftgate-20260101-000000.sqlite3", "ftgate-auto-20260101-000000.sqlite3.bak", "notes.txt",
                     "ftgate-before-schema-11-20200101-000000.sqlite3", "ftgate-auto-2026.sqlite3"]  # fmt: skip
        for name in strangers:
            (folder / name).write_text("somebody's")
        (folder / "ftgate-auto-20200101-000000.sqlite3").mkdir()  # the name of one, and none
        (folder / "ftgate-auto-20260101-000000.sqlite3.part").write_text("what a killed server left")
        assert [await one.after(1) for _ in range(3)] == [[1, 2], [2, 3], [3, 4]]
        left = {found.name for found in folder.iterdir()} - {copy.name for copy in ours(folder)}
        assert left == {*strangers, "ftgate-auto-20200101-000000.sqlite3"}


async def test_none_is_made_where_none_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with clocked(tmp_path, monkeypatch, "[backup]\nevery_hours = 0\n") as one:
        assert await one.after(10_000) == []


async def test_a_copy_that_fails_is_said_noted_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    elsewhere = tmp_path / "disk"
    async with clocked(tmp_path, monkeypatch, f"[backup]\nto = {json.dumps(str(elsewhere))}\n") as one:
        database = one.house.database
        assert await one.after(24) == [] and not elsewhere.exists()  # what is not mounted is not made
        words = f"{elsewhere} is not there: mount the disk that holds it, or make the directory"
        assert last_failure(database) == (one.now_us, words) and one.copies.failed == 1
        assert f"no backup was made: {words}. It is tried again in an hour" in caplog.text
        elsewhere.mkdir()
        assert [await one.after(hours) for hours in (0.9, 0.1)] == [[], [25]]
        assert last_failure(database) is None and len(ours(elsewhere)) == 1
        monkeypatch.setattr(copies.shutil, "disk_usage", lambda place: SimpleNamespace(free=1_000_000))
        assert await one.after(24) == [25]
        assert "1 MB are free" in (last_failure(database) or (0, ""))[1] and one.copies.made == 1


async def test_another_setting_is_obeyed_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the first look is not at the start, which has other things to do."""
    async with clocked(tmp_path, monkeypatch, "[backup]\nevery_hours = 0\n") as one, trio.open_nursery() as nursery:
        one.now_us += 30 * HOUR_US
        nursery.start_soon(one.copies.run)
        await trio.testing.wait_all_tasks_blocked()
        one.house.live.adopt(SETTINGS)
        await until(lambda: one.copies.made == 1)
        nursery.cancel_scope.cancel()
    assert one.copies.failed == 0


async def test_who_ends_does_not_wait_for_a_long_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite's own work ends too, and nothing half made stays under the name of a copy."""
    asked, ended = threading.Event(), threading.Event()

    def endless(database: Path, target: Path, verify: Any, ends: Any, *, beside: Path) -> dict[str, Any]:
        connection = sqlite3.connect(":memory:")
        connection.set_progress_handler(lambda: asked.set() or ends(), 1000)
        try:
            connection.execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT sum(i) FROM n")
        except sqlite3.Error as error:
            raise BackupFault(str(error)) from error
        finally:
            connection.close()
            ended.set()
        return {}

    monkeypatch.setattr(copies, "make_backup", endless)
    async with clocked(tmp_path, monkeypatch) as one:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.copies.make)
            await until(asked.is_set)
            nursery.cancel_scope.cancel()
        assert ended.is_set()
    assert (one.copies.made, one.copies.failed) == (0, 0)


async def test_a_quiet_thread_hands_over_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    niced: list[tuple[int, int]] = []
    monkeypatch.setattr(copies.os, "setpriority", lambda which, who, nice: niced.append((who, nice)))
    monkeypatch.setattr(copies.sys, "platform", "linux")
    assert await quietly(lambda: {"id": threading.get_native_id()}, threading.Event()) == {"id": niced[0][0]}
    assert niced[0][1] == 10 and niced[0][0] != threading.get_native_id()
    monkeypatch.setattr(copies.sys, "platform", "darwin")  # there this number would be some process
    with pytest.raises(ZeroDivisionError):
        await quietly(lambda: {"never": 1 // 0}, threading.Event())
    assert len(niced) == 1
