"""`scripts/plants`."""

import argparse
import queue
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.plants.listed import PLANTS
from tests.plants.plant import ALL_S, PASSED, Field, Found, Misplaced, Plant


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/plants", description="Plant bugs one at a time and see that the suite finds each."
    )
    parser.add_argument("words", nargs="*", help="only plants with one of these words in their name or file")
    parser.add_argument("--list", action="store_true", help="print them and try nothing")
    parser.add_argument("--at-once", type=int, default=2, metavar="N", help="how many are tried side by side [2]")
    chosen = parser.parse_args()
    plants = [
        plant
        for plant in PLANTS
        if not chosen.words or any(word in f"{plant.name} {plant.file}" for word in chosen.words)
    ]
    misplaced = list(faults(plants))
    for words in misplaced:
        print(f"MISPLACED  {words}", file=sys.stderr)
    if misplaced or not plants:
        return 2
    if chosen.list:
        for plant in plants:
            print(f"{plant.file:40} {plant.name}")
        return 0
    with tempfile.TemporaryDirectory(prefix="plants-") as place:
        return _grow(plants, Path(place), chosen.at_once)


def faults(plants: Iterable[Plant]) -> Iterable[str]:
    """Which plants cannot be planted any more."""
    for plant in plants:
        try:
            plant.planted()
        except Misplaced as misplaced:
            yield str(misplaced)


def _grow(plants: list[Plant], place: Path, at_once: int) -> int:
    fields: queue.SimpleQueue[Field] = queue.SimpleQueue()
    for number in range(at_once):
        fields.put(Field(place / str(number)))
    # Each field's tests must pass while nothing is planted: else "caught" would say nothing.
    field = fields.get()
    code, said = field.test(" ".join(sorted({test for plant in plants for test in plant.tests.split()})), ALL_S)
    fields.put(field)
    if code != PASSED:
        print(f"the tests fail with nothing planted:\n{said}", file=sys.stderr)
        return 2

    def grow(plant: Plant) -> Found:
        field = fields.get()
        try:
            return field.grow(plant)
        finally:
            fields.put(field)

    found: list[Found] = []
    with ThreadPoolExecutor(at_once) as pool:
        for one in pool.map(grow, plants):
            found.append(one)
            print(f"{one.verdict:9} {one.seconds:5.1f} s  {one.plant.file:34} {one.plant.name}", flush=True)
            if one.words:
                print(one.words, file=sys.stderr, flush=True)
    good = sum(one.verdict in {"caught", "hangs"} for one in found)
    print(f"{good} of {len(found)} caught")
    return int(good < len(found))


if __name__ == "__main__":
    sys.exit(main())
