"""A few histories of every run, and the proof that histories catch bugs. `scripts/simulate` lives many more."""

import logging
import sqlite3
import traceback
from pathlib import Path

import pytest

from tests.days.plants import PLANTS, planted
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
        return [world.calls, [(c.call.id, c.status, c.answer) for c in world.auditor.calls]]

    assert story(7) == story(7)


def found_by(wrong: BaseException) -> set[str]:
    """The files in which something was found wrong: the auditor's, or the database's own unique index (db.py)."""
    if isinstance(wrong, BaseExceptionGroup):
        return set().union(*(found_by(inner) for inner in wrong.exceptions))
    if not isinstance(wrong, (AssertionError, sqlite3.IntegrityError)):
        return set()
    return {Path(frame.filename).name for frame in traceback.extract_tb(wrong.__traceback__)[-1:]}


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_bug_is_caught(name: str) -> None:
    with planted(name):
        for seed in range(MOST):
            try:
                live(seed)
            except BaseException as wrong:
                assert found_by(wrong) & {"auditor.py", "db.py"}, "the plant broke by itself"
                return
    pytest.fail(f"{name} lived through {MOST} histories")
