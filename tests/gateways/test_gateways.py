"""Several gateways on one database, lived from seeds; and the bugs that this must find."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from ftgate.core.limits import Rates, Ticket, take_requests
from ftgate.core.pricing import ONE, Quote
from ftgate.ports import Held, HoldRequest
from ftgate.store.postgres import lane
from ftgate.store.postgres.wire import Away
from tests.core.offers import offers
from tests.gateways.world import CREDITS, PRICE, TOKENS, Gateway, World
from tests.store.faulty import row


@pytest.fixture(autouse=True)
def soon_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway counts as dead sooner than in life, so that one that froze is."""
    monkeypatch.setattr(lane, "GRACE_S", 3.0)
    monkeypatch.setattr(lane, "REAP_EVERY_S", 1.0)


@pytest.mark.parametrize("seed", range(3))
async def test_nothing_is_lost_and_nothing_is_there_twice(seed: int, autojump_clock: object) -> None:
    world = World(seed, gateways=2 + seed % 3)
    assert await world.live(12, cuts=0.03, kills=3, freezes=3) == []
    assert len(world.told) > 100, world.told
    assert all(world.shared.broken.values()), world.shared.broken  # each way to be cut was met


@pytest.mark.parametrize("seed", range(3))
async def test_what_fail_overs_lose_leaves_nothing_open(seed: int, autojump_clock: object) -> None:
    """What was told before one may be lost; nothing is there in part."""
    world = World(seed)
    assert await world.live(12, cuts=0.01 * (seed % 2), fail_overs=6) == []
    assert world.forgiven > 100 and len(world.told) > 20


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


QUOTE = Quote(price=PRICE, prompt_tokens=10, answers=1, cap=100, model_limit=4000, likely_tokens=10)
LOST = "its hold was lost by the database"


class Town(World):
    """Two gateways that nobody calls but the test."""

    @asynccontextmanager
    async def lived(self) -> AsyncIterator[tuple[Gateway, Gateway]]:
        a, b = (Gateway(self, name) for name in self.names)
        self.gateways |= {"g0": a, "g1": b}
        for gateway in (a, b):
            await gateway.begin()
        for account in (1, 2):
            await self._grant(account)
        yield a, b
        await self._end()
        self._check()

    async def hold(self, gateway: Gateway, ref: str, account: int = 1) -> tuple[Held, Ticket]:
        ticket = Ticket()
        assert take_requests(gateway.limits.scopes(("account", account)), gateway.clock.now(), ticket) is None
        try:
            held = await gateway.ledger.hold(HoldRequest(account, account, offers(QUOTE), ONE, 1, ref, ticket=ticket))
        except trio.Cancelled:
            ticket.release(gateway.clock.now(), 0)
            raise
        assert isinstance(held, Held)
        return held, ticket

    async def settle(
        self, gateway: Gateway, ref: str, taken: tuple[Held, Ticket], account: int = 1
    ) -> tuple[int | None, str]:
        """What it charged, and the remark in its row."""
        of = row(ref, account=account, key=account, cost=70)
        settled = await gateway.ledger.settle(taken[0].id, 70, of)
        assert await gateway.ledger.durable_within(settled.ticket, 10)
        taken[1].release(gateway.clock.now(), TOKENS)
        return settled.charged, of.remark

    async def call(self, gateway: Gateway, ref: str) -> None:
        await self.settle(gateway, ref, await self.hold(gateway, ref))


def counted(gateway: Gateway) -> tuple[int, int]:
    """Of account 1: calls in flight elsewhere, and those that came within a minute, here and elsewhere."""
    meters = gateway.limits.meters("account", 1)
    return meters.elsewhere, meters.minute.used


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


async def test_what_others_told_since_a_fail_over_is_heard_by_whom_it_cut_off_in_a_turn(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their turns have the numbers of those that were lost; what was heard before counts once."""
    town = Town(0, rates={1: Rates(requests_per_minute=99, concurrent=9)})
    async with town.lived() as (a, b):
        await town.call(b, "early")
        await town.call(a, "first")
        await town.call(a, "second")
        taken: list[tuple[Held, Ticket]] = []
        real = a.store._step

        async def cut_once(place: str) -> None:
            await real(place)
            if place == "before":
                monkeypatch.undo()
                town.shared.fail_over(lost=2)
                taken.extend([await town.hold(b, f"since {number}") for number in range(2)])
                raise Away("cut")

        monkeypatch.setattr(a.store, "_step", cut_once)
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


async def test_what_is_told_of_limits_is_heard_once_though_memory_is_read_anew(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    town = Town(0, rates={1: Rates(requests_per_minute=9, concurrent=9)})
    async with town.lived() as (a, b):
        await town.call(b, "first")
        assert await a.lane.refresh(5) and counted(a) == (0, 1)
        calls: dict[str, tuple[Held, Ticket]] = {}
        real = a.store._step

        async def cut_once(place: str) -> None:
            await real(place)
            if place == "before":
                monkeypatch.undo()
                a.store.close()
                calls["meanwhile"] = await town.hold(b, "meanwhile")
                raise Away("cut")

        monkeypatch.setattr(a.store, "_step", cut_once)
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
