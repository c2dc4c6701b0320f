"""`scripts/crash`: rounds of SIGKILL at random times under load."""

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.blackbox import acting_crash
from tests.blackbox.crashing import CONFIG, CREDITS, SCRIPTS, Shown, check, run_until_dead
from tests.blackbox.harness import House


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/crash")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--people", action="store_true", help="while people pay, and keys, quotas and accounts change beside the calls"
    )
    chosen = parser.parse_args()
    if chosen.people:
        acting_crash.main(chosen.rounds, chosen.seed)
        return 0
    rng = random.Random(chosen.seed)
    shown = Shown()
    stuck = 0
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as base, House(Path(base), CONFIG, SCRIPTS) as house:
        accounts = [house.account(CREDITS) for _ in range(8)]
        for number in range(chosen.rounds):
            run_until_dead(
                house, accounts, shown, kill_after_s=rng.uniform(0.05, 1.0), seed=chosen.seed * 10_000 + number
            )
            stuck += house.verified()["open_holds"]
            house.start()
            check(house, accounts, shown)
    print(
        f"{shown.rounds} kills, {shown.words()}, {stuck} holds were open at a kill and none"
        f" at ready, every ledger verified, {time.monotonic() - began:.0f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
