"""How many of the labelled prompts are graded right, and what that saves. `python -m tests.routing` prints the same."""

import pytest

from tests.routing.judged import SETS, Judged, judge


@pytest.fixture(params=SETS)
def judged(request: pytest.FixtureRequest) -> Judged:
    return judge(request.param)


LEAST_RIGHT = {"seen": 0.97, "held_out": 0.85}
MOST_COMPLEX_AS_SIMPLE = {"seen": 0, "held_out": 0}


def test_most_are_graded_right(judged: Judged) -> None:
    assert judged.number == 230
    assert judged.right >= LEAST_RIGHT[judged.name]


def test_no_complex_one_is_taken_for_simple(judged: Judged) -> None:
    assert judged.table["complex", "simple"] <= MOST_COMPLEX_AS_SIMPLE[judged.name]


def test_it_costs_half_of_the_premium_model(judged: Judged) -> None:
    assert judged.saved >= 0.5
