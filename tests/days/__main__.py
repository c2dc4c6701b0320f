"""`scripts/simulate`."""

import argparse
import logging
import sys
import time
import traceback
from collections import Counter

from tests.days.plants import PLANTS, found_by, planted
from tests.days.world import live


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/simulate", description="Live random histories against the auditor.")
    parser.add_argument("--seeds", type=int, default=1000, help="how many histories")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="replay this one, with its logs")
    parser.add_argument("--plant", choices=[*PLANTS, "all"], help="plant a bug and see when it is caught")
    chosen = parser.parse_args()
    if chosen.seed is not None:
        logging.basicConfig(level=logging.WARNING)
        world = live(chosen.seed)
        print(f"seed {chosen.seed}: {world.calls} calls, no disagreement")
        return 0
    logging.disable(logging.CRITICAL)
    if chosen.plant:
        return max(
            [
                _plant(name, chosen.first, chosen.seeds)
                for name in ([*PLANTS] if chosen.plant == "all" else [chosen.plant])
            ]
        )
    return _many(chosen.first, chosen.seeds)


def _many(first: int, number: int) -> int:
    began = time.perf_counter()
    calls = disagreements = 0
    acts: Counter[str] = Counter()
    for seed in range(first, first + number):
        try:
            world = live(seed)
            calls += world.calls
            acts += world.acts
        except BaseException as wrong:
            if isinstance(wrong, KeyboardInterrupt):
                raise
            disagreements += 1
            print(f"seed {seed}: disagreement; replay with scripts/simulate --seed {seed}")
            if disagreements == 1:
                traceback.print_exc()
    took = time.perf_counter() - began
    print(f"{number} histories, {calls} calls, {disagreements} disagreements, {number / took:.1f} histories/s")
    for what, times in sorted(acts.items()):
        print(f"{times:>9,} {what}")
    return 1 if disagreements else 0


def _plant(name: str, first: int, number: int) -> int:
    with planted(name):
        for seed in range(first, first + number):
            try:
                live(seed)
            except BaseException as wrong:
                if isinstance(wrong, KeyboardInterrupt):
                    raise
                by = found_by(wrong)
                print(
                    f"{name}: caught in history {seed - first + 1} by "
                    f"{', '.join(by) or f'nobody: it broke by itself, {wrong!r:.300}'}"
                )
                return 0 if by else 1
    print(f"{name}: lived through {number} histories")
    return 1


if __name__ == "__main__":
    sys.exit(main())
