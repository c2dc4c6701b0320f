"""A wire that is cut is Away, whatever was under way, and a statement that is refused is not."""

from collections.abc import Iterator

import pytest

from ftgate.store.postgres import writing
from ftgate.store.postgres.opening import SESSION, lane_conninfo
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
