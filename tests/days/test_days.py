"""A few histories of every run, and the proof that histories catch bugs. `scripts/simulate` lives many more."""

import logging
from collections import Counter

import pytest

from tests.days.plants import PLANTS, found_by, planted
from tests.days.world import live

HISTORIES = 110
MOST = 1000
FOUND_IN: dict[str, int] = {
    "a_free_call_for_the_poor": 14,
    "count_the_dead_before": 16,
    "counted_where_it_ends": 51,
    "disabled_accounts_call": 10,
    "ignore_the_fallback": 88,
    "leak_at_the_fallback": 44,
    "leaving_is_charged": 270,
    "leaving_is_free": 9,
    "lost_is_won": 33,
    "months_begin_with_a_start": 14,
    "nobody_counts_months": 14,
    "the_last_answer_wins": 48,
    "unchanged_at_once": 11,
    "weeks_from_sunday": 13,
}
"""The histories in which plants were found that most pass by, so that nobody has to look for them: `scripts/simulate
--plant all` counts them. Where it is another one by now, they are looked for."""
HAPPENS = (
    "checkouts", "pay", "succeed", "fail", "refund", "dispute", "won", "events taken", "grants", "corrections",
    "keys disabled", "keys enabled", "keys deleted", "expiries set", "quotas set", "accounts disabled",
    "keys' plans changed", "accounts' plans and modes changed", "holds after it began anew",
    "calls that end in another span than they came in", "refused with 401 key_disabled",
    "refused with 401 key_expired", "refused with 429 byok_limit_exceeded",
    "refused with 402 for a quota", "refused with 403 model_not_allowed",
)  # fmt: skip
"""What all these histories together must have had in them."""


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL + 1)


def test_days() -> None:
    calls, acts = 0, Counter[str]()
    for seed in range(HISTORIES):
        try:
            world = live(seed)
            calls, acts = calls + world.calls, acts + world.acts
        except BaseException as wrong:
            wrong.add_note(f"replay with: scripts/simulate --seed {seed}")
            raise
    assert calls > 5 * HISTORIES
    missing = [what for what in HAPPENS if not acts[what]]
    assert not missing, f"never came about: {missing}"


def test_a_seed_replays_its_history() -> None:
    def story(seed: int) -> list[object]:
        world = live(seed)
        calls = [(c.call.id, c.at, c.released, c.status, c.answer) for c in world.auditor.calls]
        return [world.calls, calls, world.auditor.tally.costs, world.auditor.tally.sums()]

    assert story(7) == story(7)


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_bug_is_caught(name: str) -> None:
    with planted(name):
        for seed in [FOUND_IN.get(name, 0), *range(MOST)]:
            try:
                live(seed)
            except BaseException as wrong:
                assert found_by(wrong), "the plant broke by itself"
                return
    pytest.fail(f"{name} lived through {MOST} histories")
