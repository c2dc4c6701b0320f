"""kill -9 while people do all that they do with accounts and payments, beside the calls."""

import random
from pathlib import Path

from tests.blackbox import acting_crash


def test_killed_while_people_act(tmp_path: Path) -> None:
    chance = random.Random(13)
    with acting_crash.town(tmp_path) as town:
        for number in range(10):  # a machine that is busy with others is given longer
            acting_crash.run_until_dead(town, kill_after_s=chance.uniform(0.4, 0.8) * (1 + number / 2), seed=number)
            acting_crash.start(town)
            acting_crash.check(town)
            if number and _everything_happened(town):
                break
        assert _everything_happened(town)


def _everything_happened(town: acting_crash.Town) -> bool:
    """On a slow machine it takes more than two rounds."""
    return bool(town.shown.settled and town.moved and town.seen.taken and town.acts["quotas looked at"])
