"""Houses with a history, closed or left by a killed process, and what is done to their files."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from ftgate.accounts import Accounts
from ftgate.app import open_house
from ftgate.house.house import DATABASE, House
from ftgate.house.lock import holder
from ftgate.store.database import DatabaseFault
from tests.house.test_house import SETTINGS, hold, opened, post
from tests.store.faulty import read

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
