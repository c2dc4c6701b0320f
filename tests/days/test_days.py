"""A few histories of every run, and the proof that histories catch bugs. `scripts/simulate` lives many more."""

import logging

import pytest

from tests.days.plants import PLANTS, found_by, planted
from tests.days.world import live

HISTORIES = 120
MOST = 1000


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL + 1)


def test_days() -> None:
    calls = 0
    for seed in range(HISTORIES):
        try:
            calls += live(seed).calls
        except BaseException as wrong:
            wrong.add_note(f"replay with: scripts/simulate --seed {seed}")
            raise
    assert calls > 5 * HISTORIES


def test_a_seed_replays_its_history() -> None:
    def story(seed: int) -> list[object]:
        world = live(seed)
        calls = [(c.call.id, c.at, c.released, c.status, c.answer) for c in world.auditor.calls]
        return [world.calls, calls, world.auditor.tally.costs, world.auditor.tally.sums()]

    assert story(7) == story(7)


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_bug_is_caught(name: str) -> None:
    with planted(name):
        for seed in range(MOST):
            try:
                live(seed)
            except BaseException as wrong:
                assert found_by(wrong), "the plant broke by itself"
                return
    pytest.fail(f"{name} lived through {MOST} histories")
