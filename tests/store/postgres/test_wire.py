"""A wire that is cut is Away, whatever was under way, and a statement that is refused is not."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import trio

from ftgate.store.database import DatabaseFault
from ftgate.store.postgres import connection as of
from ftgate.store.postgres import opening, writing
from ftgate.store.postgres.connection import SettingRefused, connect
from ftgate.store.postgres.opening import SESSION, NotThere, lane_conninfo, open_ledger
from ftgate.store.postgres.wire import Away, Rejected, Step, Wire
from ftgate.store.source import Postgres
from tests.postgres import Server

BACKEND = Step("SELECT pg_backend_pid()")
LONG = "x" * 20_000_000
"""More than the system takes before anybody reads it."""


@pytest.fixture
def source(postgres: Server) -> Iterator[Postgres]:
    with postgres.database() as source:
        yield source


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every connection that is made, which so is not closed by being forgotten."""
    found: list[Any] = []
    kind = of._impatient()
    connect = kind.connect

    def noted(*conninfo: str, **how: Any) -> Any:
        found.append(connect(*conninfo, **how))
        return found[-1]

    monkeypatch.setattr(kind, "connect", noted)
    return found


UNKNOWN = {**SESSION, "no_such_setting": "on"}


async def test_a_setting_that_a_server_does_not_know_is_named(source: Postgres, made: list[Any]) -> None:
    with pytest.raises(SettingRefused) as refused:
        await Wire.open(lane_conninfo(source), UNKNOWN)
    (raw,) = made
    assert raw.closed
    with connect(source, readonly=True) as connection:
        version = connection.execute("SHOW server_version").fetchone()[0].split()[0]
    for words in (f"PostgreSQL {version} ", " the setting no_such_setting", "14 or newer", "GRANT SET ON PARAMETER"):
        assert words in str(refused.value)


@pytest.mark.parametrize("where", [opening, of], ids=["of the lane", "of those who read"])
def test_a_start_refuses_a_server_that_does_not_know_a_setting(
    where: Any, source: Postgres, made: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(where, "SESSION", {**where.SESSION, "no_such_setting": "on"})
    with pytest.raises(DatabaseFault, match="refuses the setting no_such_setting") as fault:
        open_ledger(source, "a", "1", "", None)
    assert not isinstance(fault.value, NotThere) and len(made) > 0 and all(raw.closed for raw in made)


def test_settings_that_are_tried_do_not_stay(source: Postgres) -> None:
    with connect(source, readonly=False) as connection:
        connection.tries({"lock_timeout": "77"})
        assert connection.execute("SHOW lock_timeout").fetchone() == ("0",)
        with pytest.raises(SettingRefused, match="lock_timeout"):
            connection.tries({"lock_timeout": "nonsense"})
        assert not connection.in_transaction


@pytest.mark.parametrize("state", ["53200", "57P01", "57014", None])
async def test_a_server_in_need_amid_its_settings_is_away(
    state: str | None, source: Postgres, made: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg

    class Need(psycopg.OperationalError):
        sqlstate = state

    def execute(*said: object) -> None:
        raise Need("in need")

    monkeypatch.setattr(of._impatient(), "execute", execute)
    with pytest.raises(Away, match="in need"):
        await Wire.open(lane_conninfo(source), SESSION)
    assert [raw.closed for raw in made] == [True]


async def test_one_that_nobody_waits_for_any_more_is_closed(
    source: Postgres, made: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    began, go_on, closed = trio.Event(), threading.Event(), threading.Event()
    kind = of._impatient()
    execute, close = kind.execute, kind.close

    def slow(raw: Any, *said: Any) -> Any:
        trio.from_thread.run_sync(began.set)
        go_on.wait(10)
        return execute(raw, *said)

    def noted(raw: Any) -> None:
        close(raw)
        closed.set()

    monkeypatch.setattr(kind, "execute", slow)
    monkeypatch.setattr(kind, "close", noted)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Wire.open, lane_conninfo(source), SESSION)
        await began.wait()
        nursery.cancel_scope.cancel()
    go_on.set()
    assert await trio.to_thread.run_sync(closed.wait, 10) and made[0].closed


@pytest.mark.parametrize("value", ["", LONG], ids=["short", "long"])
async def test_one_that_was_cut_is_away(source: Postgres, postgres: Server, value: str) -> None:
    wire = await Wire.open(lane_conninfo(source), SESSION)
    ((pid,),) = (await wire.trip([BACKEND], 5))[0]
    postgres.told(f"SELECT pg_terminate_backend({pid}, 5000)")
    with pytest.raises(Away):
        await wire.trip([Step("SELECT length($1)", (value,))], 5)
    assert wire.closed
    again = await Wire.open(lane_conninfo(source), SESSION)
    assert await again.trip([Step("SELECT length($1)", (LONG,))], 5) == [[(len(LONG),)]]
    again.close()


async def test_one_that_refuses_goes_on(source: Postgres) -> None:
    wire = await Wire.open(lane_conninfo(source), SESSION)
    for _ in range(2):
        with pytest.raises(Rejected) as refused:
            await wire.trip([Step("BEGIN"), Step("SELECT 1 / $1::int", (0,)), Step("SELECT 2")], 5)
        assert refused.value.state == "22012" and not wire.closed
        await wire.trip([Step("ROLLBACK")], 5)
    assert await wire.trip([Step("SELECT 1 / $1::int", (1,)), Step("SELECT 2")], 5) == [[(1,)], [(2,)]]
    wire.close()


async def test_a_hold_that_is_gone_takes_its_turn_with_it(source: Postgres) -> None:
    wire = await Wire.open(lane_conninfo(source), SESSION)
    with pytest.raises(Rejected) as refused:
        await wire.trip([Step("BEGIN"), Step(writing._ENDED, ("{7}", 1, 1, 1))], 5)
    assert refused.value.state == writing.GONE_STATE
    wire.close()
