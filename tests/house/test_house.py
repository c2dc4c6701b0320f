"""An open data directory: opened, worked in, closed, opened again; and what a crash leaves is ended before anything is
served."""

import json
import os
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from ftgate import config
from ftgate.accounts import Accounts
from ftgate.app import command, open_house
from ftgate.core.books import Hold
from ftgate.house import serving
from ftgate.house.house import DATABASE, House
from ftgate.house.lock import Lock, Locked, holder
from ftgate.store.database import DatabaseFault, connect
from ftgate.store.verify import verify_ledger
from tests.config.reading import CHANNEL, load
from tests.store.faulty import FaultyConnection, read, row, sqlite_error

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = load(CHANNEL)
CHARGING = load(CHANNEL + '[database]\nexpired_hold = "charge_estimate"\n')


@asynccontextmanager
async def opened(
    place: Path, settings: config.Settings = SETTINGS, *, orphans: int = 0
) -> AsyncIterator[House[Accounts]]:
    house = open_house(settings, place, serving=True)
    try:
        assert await house.begin() == orphans
        yield house
    finally:
        await house.close()
        assert verify_ledger(place / DATABASE)["ok"]


async def hold(house: House[Accounts], account: int, key: int, units: int, *, estimate: int = 50) -> Hold:
    ref = f"req_{house.books.next_id}"
    held = house.books.hold(account, key, units, ref=ref, estimate=estimate, at_us=0)
    assert isinstance(held, tuple)
    batch = house.writer.changed()
    batch.remember((held[1],), house.books.accounts[account], house.books.quotas[key])
    await house.writer.durable(batch)
    return held[0]


async def post(house: House[Accounts], held: Hold, units: int) -> None:
    ended = house.books.post(held.id, units, at_us=0)
    batch = house.writer.changed()
    batch.remember(ended.entries, house.books.accounts[held.account], house.books.quotas[held.key])  # type: ignore[union-attr]
    batch.rows.append(row(held.ref, held.id, account=held.account, key=held.key, cost=units))
    await house.writer.durable(batch)


async def test_open_work_close_and_open_again(tmp_path: Path) -> None:
    place = tmp_path / "data"
    async with opened(place) as house:
        assert house.fresh
        await house.accounts.users.create(username="ann", credits="1")
        secret = str((await house.accounts.keys.create(username="ann", quota="0.5"))["key"])
        await post(house, await hold(house, 1, 1, 1000), 300)
        with pytest.raises(Locked):
            open_house(SETTINGS, place, serving=True)
    assert holder(place) is None
    assert {path.name for path in place.iterdir()} - {DATABASE + "-wal", DATABASE + "-shm"} == {
        "lock",
        "server.key",
        DATABASE,
    }
    async with opened(place) as house:
        assert not house.fresh
        assert repr(house).startswith(f"<House {place}: 1 accounts, 0 holds open, <Writer ")
        assert (house.books.accounts[1].posted, house.books.quotas[1].used) == (10**12 - 300, 300)
        assert await house.accounts.directory.find(secret.encode()) is not None
        held = await hold(house, 1, 1, 1000)
        assert held.id == 4  # ids go on
        await post(house, held, 1)
    assert len(read(place / DATABASE, "SELECT * FROM boots")) == 2


async def crashed(place: Path) -> None:
    """A data directory with open holds: 1000 and 30 units of ann's two keys, a metered one of the owner's, and an ended
    one."""
    async with opened(place) as house:
        await house.accounts.users.create(username="ann", credits="0.00001")
        for _ in range(2):
            await house.accounts.keys.create(username="ann", quota="1")
        await house.accounts.keys.create(username=(await house.accounts.users.owner()).username)
        await post(house, await hold(house, 1, 1, 500), 200)
        await hold(house, 1, 1, 1000)
        await hold(house, 1, 2, 30)  # less than its estimate
        await hold(house, 2, 3, 700)
        await house.accounts.keys.set_status(key_id="2", status="deleted")
        await house.accounts.users.set_status(username="ann", status="disabled")
        house.books.accounts[1].held = 1030
    assert verify_ledger(place / DATABASE)["open_holds"] == 3


@pytest.mark.parametrize(
    ("settings", "amounts", "posted", "used", "spent"),
    [(SETTINGS, [0, 0, 0], 9_999_800, 0, (200, 0, 0)), (CHARGING, [50, 30, 50], 9_999_720, 50, (250, 30, 50))],
    ids=["void", "charge_estimate"],
)
async def test_what_a_crash_left_open_is_ended(
    tmp_path: Path, settings: config.Settings, amounts: list[int], posted: int, used: int, spent: tuple[int, ...],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    await crashed(tmp_path)
    async with opened(tmp_path, settings, orphans=3) as house:
        ends = read(house.database, "SELECT hold, amount, note FROM entries WHERE kind = 'expire' ORDER BY id")
        assert [end[:2] for end in ends] == list(zip([4, 5, 6], amounts, strict=True))
        assert {end[2] for end in ends} == {"left open by a process that ended"}
        ann, owner = house.books.accounts[1], house.books.accounts[2]
        assert (ann.posted, ann.held, ann.available) == (posted, 0, posted)
        assert (owner.posted, owner.held, owner.used, owner.metered) == (0, 0, used, True)
        assert tuple(house.books.quotas[key].used for key in (1, 2, 3)) == spent
        assert [house.books.quotas[key].held for key in (1, 2, 3)] == [0, 0, 0]
        assert house.books.open == {}
        assert verify_ledger(house.database)["open_holds"] == 0
    left = 150 - sum(amounts)
    assert any("3 holds" in one.message and f"0.{left:012d}".rstrip("0") in one.message for one in caplog.records)
    async with opened(tmp_path, settings):  # and once
        assert len(read(tmp_path / DATABASE, "SELECT 1 FROM entries WHERE kind = 'expire'")) == 3


KILLED = """
import os, signal, sys, trio
from pathlib import Path
from tests.house.test_house import SETTINGS, hold, open_house

async def main():
    house = open_house(SETTINGS, Path(sys.argv[1]), serving=True)
    await house.begin()
    await house.accounts.users.create(username="ann", credits="1")
    await house.accounts.keys.create(username="ann")
    await hold(house, 1, 1, 1000)
    os.kill(os.getpid(), signal.SIGKILL)

trio.run(main)
"""


@pytest.mark.slow
async def test_a_process_that_was_killed(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=30,
    )
    assert done.returncode == -9
    assert verify_ledger(tmp_path / DATABASE)["open_holds"] == 1  # read from the log of the dead process
    async with opened(tmp_path, orphans=1) as house:
        assert house.books.accounts[1].available == 10**12


# Openings that fail


def spoil(place: Path, how: str) -> None:
    path = place / DATABASE
    if how == "directory":
        path.mkdir()
    elif how == "text":
        path.write_text("no database")
    elif how == "no balances":
        connect(path, durability="process").close()
        with sqlite3.connect(path) as connection:
            connection.execute("DROP TABLE balances")
        connection.close()
    else:
        connect(path, durability="process").close()
        with path.open("r+b") as file:
            file.seek(4096 * 3)
            file.write(b"\xa5" * 4096)


@pytest.mark.parametrize("how", ["directory", "text", "no balances", "damaged"])
async def test_an_opening_that_fails_gives_the_lock_back(tmp_path: Path, how: str) -> None:
    spoil(tmp_path, how)
    before = len(os.listdir("/dev/fd"))
    for _ in range(2):
        with pytest.raises(DatabaseFault) as caught:
            open_house(SETTINGS, tmp_path, serving=True)
        assert "\n" not in str(caught.value) and DATABASE in str(caught.value)
        assert holder(tmp_path) is None
    assert len(os.listdir("/dev/fd")) == before
    Lock(tmp_path, serving=False).release()


async def test_a_house_that_was_never_begun_closes(tmp_path: Path) -> None:
    await open_house(SETTINGS, tmp_path, serving=True).close()
    assert holder(tmp_path) is None


async def test_a_writer_that_dies_at_the_start_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    house = open_house(SETTINGS, tmp_path, serving=True)
    faulty = FaultyConnection(house.connection)
    monkeypatch.setattr(house.writer, "connection", faulty)
    faulty.fail(2, sqlite_error(sqlite3.SQLITE_IOERR_FSYNC), then_waits=False)
    with trio.fail_after(5):
        with pytest.raises(DatabaseFault, match="the database has failed"):
            await house.begin()
        await house.close()
    assert holder(tmp_path) is None


async def test_once_a_minute(autojump_clock: trio.abc.Clock) -> None:
    done: list[str] = []

    async def maybe_checkpoint() -> None:
        done.append("checkpoint")

    async def note_spending() -> None:
        done.append("spending")

    house: Any = SimpleNamespace(maybe_checkpoint=maybe_checkpoint, note_spending=note_spending)
    with trio.move_on_after(130):
        await serving.sweep([lambda: done.append("limits"), lambda: done.append("ratios")], house)
    assert done == ["limits", "ratios", "checkpoint", "spending"] * 2


async def test_the_writers_connection_is_its_own_once_it_writes(tmp_path: Path) -> None:
    """Two threads in one connection: a commit that failed in the one passed for done where the other had just read."""
    await crashed(tmp_path)
    house = open_house(SETTINGS, tmp_path, serving=True)
    real, asked = house.connection, []

    def execute(*words: Any) -> Any:
        asked.append(words)
        assert house.writer._thread is None, f"{words} beside the writer"
        return real.execute(*words)

    house.connection = SimpleNamespace(execute=execute)  # type: ignore[assignment]
    try:
        assert await house.begin() == 3
        await house.accounts.users.create(username="bob", credits="1")
        await house.maybe_checkpoint(every=0)
    finally:
        await house.close()
    assert asked, "the recovery reads on it"


async def locked(house: House[Accounts]) -> Any:
    house.connection.execute("PRAGMA busy_timeout = 0")
    other = sqlite3.connect(house.database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    return other


async def full(house: House[Accounts]) -> Any:
    house.connection.execute("PRAGMA max_page_count = 1")  # as many as there are: what fits into them still does
    house.writer.changed().rows.extend(row(f"large {n}", model="m" * 4000) for n in range(5))
    return None


@pytest.mark.parametrize("how", [locked, full])
async def test_a_start_does_not_wait_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: Any, caplog: Any
) -> None:
    await crashed(tmp_path)
    before = read(tmp_path / DATABASE, "SELECT * FROM entries"), read(tmp_path / DATABASE, "SELECT * FROM balances")
    monkeypatch.setattr("ftgate.house.house.BEGIN_S", 0.3)
    house = open_house(SETTINGS, tmp_path, serving=True)
    trouble = await how(house)
    with trio.fail_after(5):
        with pytest.raises(
            DatabaseFault, match=r"took no commit for 0.3 s \(database (is locked|or disk is full)\)"
        ) as caught:
            await house.begin()
        await house.close()
    if trouble:
        trouble.close()
    assert "\n" not in str(caught.value) and holder(tmp_path) is None
    assert not [record for record in caplog.records if record.levelname == "CRITICAL"]  # nothing was lost
    assert before == (
        read(tmp_path / DATABASE, "SELECT * FROM entries"),
        read(tmp_path / DATABASE, "SELECT * FROM balances"),
    )
    async with opened(tmp_path, orphans=3):
        pass


# Commands beside no server


async def test_commands(tmp_path: Path) -> None:
    async def do(name: str, **arguments: Any) -> dict[str, Any]:
        answer = await command(SETTINGS, tmp_path, name, arguments)
        assert holder(tmp_path) is None and json.dumps(answer)
        return answer

    assert (await do("users.create", username="ann", credits="2"))["result"]["balance"] == "2.00"
    assert (await do("credit.grant", username="ann", amount="0.5"))["result"]["balance"] == "2.50"
    assert "key" in (await do("keys.create", username="ann"))["result"]
    assert (await do("keys.set", key_id="1", status="disabled"))["result"]["status"] == "disabled"
    assert [user["username"] for user in (await do("users.list"))["result"]] == ["ann"]
    assert "exists already" in (await do("users.create", username="ANN"))["error"]
    assert "does not know" in (await do("no.such"))["error"]
    assert "'keys.list' failed" in (await do("keys.list", word=1))["error"]
    said = verify_ledger(tmp_path / DATABASE)
    assert (said["ok"], said["accounts"], said["entries"], said["open_holds"]) == (True, 1, 2, 0)


async def test_a_plan_decides_who_is_metered(tmp_path: Path) -> None:
    async with opened(tmp_path) as house:
        await house.accounts.users.create(username="ann")
        assert not house.books.accounts[1].metered
    async with opened(tmp_path, load(CHANNEL + '[plan.default]\nmode = "metered"\n')) as house:
        assert house.books.accounts[1].metered
    async with opened(tmp_path, load(CHANNEL + '[billing]\nmode = "metered"\n')) as house:
        assert house.books.accounts[1].metered
        house.writer.changed().statements.append(("UPDATE users SET plan = 'gone'", ()))
    async with opened(tmp_path, load(CHANNEL + '[billing]\nmode = "metered"\n')) as house:
        assert not house.books.accounts[1].metered  # one that is gone gives no credit
