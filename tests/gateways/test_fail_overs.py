"""Fail-overs that lose turns: another server takes the place of the first, without what was committed last."""

import pytest
import trio

from ftgate.core.limits import Rates, Ticket
from ftgate.ports import Held
from ftgate.store.postgres.wire import Away, Rejected
from tests.gateways.shared import PLACES
from tests.gateways.town import LOST, Town, counted
from tests.gateways.world import CREDITS, World

pytestmark = pytest.mark.usefixtures("soon_dead")


@pytest.mark.parametrize("seed", range(3))
async def test_what_fail_overs_lose_leaves_nothing_open(seed: int, autojump_clock: object) -> None:
    """What was told before one may be lost; nothing is there in part."""
    world = World(seed)
    assert await world.live(12, cuts=0.01 * (seed % 2), fail_overs=6) == []
    assert world.forgiven > 100 and len(world.told) > 20


@pytest.mark.parametrize("place", PLACES)
async def test_servers_fail_at_every_place_of_a_turn(place: str, autojump_clock: object) -> None:
    world = World(3, gateways=3)
    kills = 6 if place == "started" else 0
    assert await world.live(6, cuts=0.05 * (not kills), kills=kills, fails_at=place) == []
    assert world.failed > 0


@pytest.mark.parametrize("plant", ["", "no count of ended holds"])
async def test_a_hold_that_a_fail_over_has_lost_ends_nothing(plant: str, autojump_clock: object) -> None:
    """Even where its gateway has not seen what is gone: the count of ended holds stops it."""
    town = Town(0, plants=frozenset({plant} - {""}) | {"lost unseen"})
    async with town.lived() as (a, b):
        lost = await town.hold(a, "lost")
        town.shared.fail_over(lost=1)
        other = await town.hold(b, "other", 2)
        assert other[0].id == lost[0].id and await town.settle(b, "other", other, 2) == (70, "")
        assert (await town.settle(a, "lost", lost) == (0, LOST)) is not bool(plant)
    if plant:
        assert [said for said in town.complaints if said.startswith("audit")], town.complaints
    else:
        assert town.complaints == [] and town.shared.balances == {1: (CREDITS, 0, 0), 2: (CREDITS - 70, 0, 0)}
        assert sorted(town.shared.rows) == ["lost", "other"]


@pytest.mark.parametrize("plant", ["", "lost unseen"])
async def test_what_a_fail_over_has_lost_is_seen_though_others_have_gone_on(plant: str, autojump_clock: object) -> None:
    """By as many turns as were lost: their number does not show it."""
    town = Town(0, plants=frozenset({plant} - {""}))
    async with town.lived() as (a, b):
        lost = await town.hold(a, "lost")
        town.shared.fail_over(lost=1)
        other = await town.hold(b, "other", 2)
        assert await town.settle(b, "other", other, 2) == (70, "")
        new = await town.hold(a, "new")
        assert await town.settle(a, "new", new) == (70, "")
        if not plant:
            assert await town.settle(a, "lost", lost) == (0, LOST)
    assert any(said.startswith("audit") for said in town.complaints) if plant else town.complaints == []


async def test_a_number_that_was_given_again_is_another_hold(autojump_clock: object) -> None:
    town = Town(0)
    async with town.lived() as (a, _):
        lost = await town.hold(a, "lost")
        town.shared.fail_over(lost=1)
        again = await town.hold(a, "again")
        assert again[0].id == lost[0].id
        assert await town.settle(a, "lost", lost) == (0, LOST)
        assert [hold.ref for hold in a.books.open.values()] == ["again"]
        assert await town.settle(a, "again", again) == (70, "")
    assert town.complaints == []


async def test_what_others_told_since_a_fail_over_is_heard_by_whom_it_cut_off_in_a_turn(autojump_clock: object) -> None:
    """Their turns have the numbers of those that were lost; what was heard before counts once."""
    town = Town(0, rates={1: Rates(requests_per_minute=99, concurrent=9)})
    async with town.lived() as (a, b):
        await town.call(b, "early")
        await town.call(a, "first")
        await town.call(a, "second")
        taken: list[tuple[Held, Ticket]] = []

        async def meanwhile() -> None:
            town.shared.fail_over(lost=2)
            taken.extend([await town.hold(b, f"since {number}") for number in range(2)])

        town.cut_once(a, "before", meanwhile)
        own = await town.hold(a, "own")
        assert counted(a) == (2, 6)
        for gateway, ref, one in ((b, "since 0", taken[0]), (b, "since 1", taken[1]), (a, "own", own)):
            await town.settle(gateway, ref, one)
    assert town.complaints == []


@pytest.mark.parametrize("lost", [1, 2, 3])
async def test_what_a_fail_over_has_lost_of_ends_of_calls_is_ended_again(lost: int, autojump_clock: object) -> None:
    """Once, and as its caller was told; where the hold is lost too, there is nothing to end."""
    town = Town(0)
    async with town.lived() as (a, b):
        taken = await town.hold(a, "settled")
        with trio.move_on_after(0.003) as left:
            await town.hold(a, "left")  # decided when its caller leaves: it is given back
        assert left.cancelled_caught
        await trio.sleep(1)
        assert await town.settle(a, "settled", taken) == (70, "")
        turns = [sorted(row.request_id for row in turn.whole.batch.rows) for turn in town.shared.turns]
        assert turns[-3:] == [[], ["left"], ["settled"]] and not town.shared.holds
        town.shared.fail_over(lost)
        assert len(town.shared.holds) == (lost == 2) + 1
        for _ in range(2):
            assert await a.lane.refresh(5) and await b.lane.refresh(5)
        assert not town.shared.holds and town.shared.rows == ["left", "settled"][lost == 3 :]
    assert town.complaints == [] and town.shared.balances[1] == (CREDITS - 70, 0, 0)


@pytest.mark.parametrize("place", ["found in", "read"])
async def test_what_is_lost_once_it_was_found_or_read_is_seen_by_the_next_turn(
    place: str, autojump_clock: object
) -> None:
    town = Town(0)
    async with town.lived() as (a, b):
        taken = {"first": await town.hold(a, "first")}

        def fail_once(at: str) -> None:
            if at == place:
                town.shared.passing = lambda place: None
                town.shared.fail_over(lost=1)

        town.cut_once(a, "after" if place == "found in" else "before")
        town.shared.passing = fail_once
        taken["second"] = await town.hold(a, "second")
        await town.settle(b, "other", await town.hold(b, "other", 2), 2)  # nothing of account 1 is told
        taken["third"] = await town.hold(a, "third")
        lost = "second" if place == "found in" else "first"
        for ref, one in taken.items():
            assert await town.settle(a, ref, one) == ((0, LOST) if ref == lost else (70, ""))
    assert town.complaints == []


async def test_a_call_whose_end_is_lost_and_then_its_hold_has_one_row(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its end is written again in a turn that does not come in, either."""
    town = Town(0, rates={})
    async with town.lived() as (a, _):
        await town.settle(a, "one", await town.hold(a, "one"))
        town.shared.fail_over(lost=1)
        real, tries = a.store._step, 0

        async def failing(place: str) -> None:
            nonlocal tries
            await real(place)
            if place == "before":
                tries += 1
                if tries <= 3:
                    raise Rejected("53100", "the disk is full")
                monkeypatch.undo()
                town.shared.fail_over(lost=1)
                raise Away("cut")

        monkeypatch.setattr(a.store, "_step", failing)
        assert await a.lane.refresh(20) and tries == 4
        assert town.shared.rows == ["one"] and not town.shared.holds
    assert town.complaints == []
