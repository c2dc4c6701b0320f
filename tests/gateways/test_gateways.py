"""Several gateways on one database, lived from seeds; and the bugs that this must find."""

import pytest
import trio

from ftgate.core.limits import Rates, Ticket
from ftgate.ports import Held
from tests.gateways.town import Town, counted
from tests.gateways.world import Gateway, World

pytestmark = pytest.mark.usefixtures("soon_dead")


@pytest.mark.parametrize("seed", range(3))
async def test_nothing_is_lost_and_nothing_is_there_twice(seed: int, autojump_clock: object) -> None:
    world = World(seed, gateways=2 + seed % 3)
    assert await world.live(12, cuts=0.03, kills=3, freezes=3) == []
    assert len(world.told) > 100, world.told
    assert all(world.shared.broken.values()), world.shared.broken  # each way to be cut was met


PLANTS: dict[str, dict[str, float]] = {
    "expire by name": {"kills": 8},
    "no fence": {"seconds": 60, "freezes": 12},
    "update without lock": {},
    "retry without mark": {"cuts": 0.1},
    "cancelled hold left open": {"cuts": 0.02},
}


@pytest.mark.parametrize("plant", PLANTS)
async def test_a_planted_bug_is_found(plant: str, autojump_clock: object) -> None:
    found: list[str] = []
    for seed in range(8):
        plants = {plant} | ({"no count of ended holds"} if plant == "expire by name" else set())
        found = await World(seed, plants=frozenset(plants)).live(**{"seconds": 10.0} | PLANTS[plant])  # type: ignore[arg-type]
        if found:
            break
    assert found


async def test_limits_hold_at_all_gateways_together(autojump_clock: object) -> None:
    world = World(1)
    assert await world.live(8, kills=1, freezes=2) == []
    (most,) = {rates.requests_per_second for rates in world.rates.values()} - {0}
    came = sum(entry.kind == "hold" and entry.account == 3 for entry in world.shared.entries)
    assert came > 4 * most  # else it says nothing


@pytest.mark.parametrize("plant", ["", "clock before lock"])
async def test_times_are_those_of_the_turn_however_long_it_was_waited_for(plant: str, autojump_clock: object) -> None:
    town = Town(0, plants=frozenset({plant} - {""}))
    async with town.lived() as (a, _), trio.open_nursery() as nursery:
        a.store.frozen_s = 0.3
        nursery.start_soon(town.call, a, "first")
        await trio.sleep(0.02)
        c = town.gateways["c"] = Gateway(town, "c")  # which knows no time yet
        c.lane.start()
        await town.call(c, "second")
    assert bool(town.complaints) is bool(plant) and all(" has the time " in said for said in town.complaints)


async def test_what_is_told_of_limits_is_heard_once_though_memory_is_read_anew(autojump_clock: object) -> None:
    town = Town(0, rates={1: Rates(requests_per_minute=9, concurrent=9)})
    async with town.lived() as (a, b):
        await town.call(b, "first")
        assert await a.lane.refresh(5) and counted(a) == (0, 1)
        calls: dict[str, tuple[Held, Ticket]] = {}

        async def meanwhile() -> None:
            a.store.close()
            calls["meanwhile"] = await town.hold(b, "meanwhile")

        town.cut_once(a, "before", meanwhile)
        own = await town.hold(a, "own")
        assert counted(a) == (1, 3)
        gone = await town.hold(b, "gone")
        assert await a.lane.refresh(5) and counted(a) == (2, 4)
        town.shared.fail_over(lost=1)
        assert await a.lane.refresh(5) and counted(a)[0] == 1  # it is open nowhere any more
        await town.settle(b, "gone", gone)
        await town.settle(a, "own", own)
        for ref, taken in calls.items():
            await town.settle(b, ref, taken)
    assert town.complaints == []


async def test_whose_caller_has_gone_counts_nowhere(autojump_clock: object) -> None:
    """Withdrawn when it was decided already, or before."""
    town = Town(0, rates={1: Rates(concurrent=9)})
    async with town.lived() as (a, b):
        for patience_s in (0.0, 0.0001, 0.001, 0.002, 0.003, 0.004, 0.006):
            with trio.move_on_after(patience_s):
                await town.call(a, f"within {patience_s}")
            await trio.sleep(1)
            assert await b.lane.refresh(5) and counted(b)[0] == 0 and not town.shared.holds


async def test_calls_that_a_kill_cut_off_count_nowhere_once_its_gateway_is_back(autojump_clock: object) -> None:
    """Its start ends them before there are limits to tell of."""
    town = Town(0, rates={1: Rates(concurrent=9)})
    async with town.lived() as (a, b):
        await town.hold(a, "cut off")
        assert await b.lane.refresh(5) and counted(b)[0] == 1
        a.kill()
        again = town.gateways[a.name] = Gateway(town, a.name)
        await again.begin()
        assert await b.lane.refresh(5) and counted(b)[0] == counted(again)[0] == 0
    assert town.complaints == []
