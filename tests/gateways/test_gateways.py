"""Several gateways on one database, lived from seeds; and the bugs that this must find."""

import pytest

from ftgate.store.postgres import lane
from tests.gateways.world import World


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


PLANTS: dict[str, dict[str, float]] = {
    "expire by name": {"kills": 8},
    "no fence": {"seconds": 40, "freezes": 6},
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
