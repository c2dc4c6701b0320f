"""Few examples of each target, the same ones each time, and all that was ever found. `scripts/fuzz` tries many."""

from itertools import islice

import pytest

from tests.fuzz.bending import ODD, bent, examples, pieces
from tests.fuzz.found import FOUND
from tests.fuzz.run import Try, attempt, report
from tests.fuzz.targets import FEW, SLOW, TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_few_examples(name: str) -> None:
    target, seeds = TARGETS[name]
    tried = [*FOUND.get(name, ()), *islice(examples(name, seeds), len(seeds) + SLOW.get(name, FEW))]
    for example in tried:
        target(example)
    assert len(tried) >= len(seeds) + SLOW.get(name, FEW)


def test_what_was_found_belongs_to_a_target() -> None:
    assert FOUND.keys() <= TARGETS.keys()


def test_examples_are_the_same_for_the_same_seed_and_bent_for_others() -> None:
    first, again, other = (list(islice(examples(seed, [b"abcdef"]), 50)) for seed in (1, 1, 2))
    assert first == again != other
    assert first[0] == b"abcdef" and len(set(first)) > 25


def test_pieces_are_the_whole() -> None:
    import random

    for seed in range(20):
        data = bent(random.Random(seed), ODD)
        assert b"".join(pieces(data, random.Random(seed))) == data


def test_a_fault_is_found_told_once_and_made_short() -> None:
    def target(data: bytes) -> None:
        assert b"{" not in data

    done = attempt("mine", target, [b"abc", b'{"a": 1}'], seconds=0.05, seed=1)
    assert done.examples > 2
    ((kind, example),) = done.faults.items()
    assert example == b"{" and kind.startswith("AssertionError")
    said = report([done, Try("other", 3, 0.1, {})])
    assert "mine" in said and "b'{'" in said and "1 fault" in said
