"""What is learned of how fast upstreams are."""

from ftgate.core import pace
from ftgate.core.pace import Pace

HERE, THERE = ("a", "m"), ("b", "m")


def test_nothing_is_known_at_first() -> None:
    known = Pace()
    assert known.first_s(HERE, 0.0) is None and known.seconds(HERE, 0.0, 100) is None
    assert known.output(HERE, 0.0) == pace.EXPECTED_OUTPUT


def test_medians_of_the_last_calls() -> None:
    known = Pace()
    for first in (1.0, 1.0, 9.0, 2.0):  # each with 100 tokens in 5 seconds after the first
        known.learn(HERE, now=100 + first + 5, began=100, first_at=100 + first, output=100)
    assert known.first_s(HERE, 110) == 1.5
    assert known.seconds(HERE, 110, 40) == 1.5 + 40 / 20
    assert known.first_s(THERE, 110) is None
    for _ in range(pace.KEPT):
        known.learn(HERE, now=200, began=190, first_at=193, output=70)
    assert (known.first_s(HERE, 200), known.seconds(HERE, 200, 10), known.output(HERE, 200)) == (3, 4, 70)


def test_an_answer_that_came_at_once() -> None:
    known = Pace()
    known.learn(HERE, now=10, began=0, first_at=None, output=50)
    assert known.first_s(HERE, 10) is None and known.seconds(HERE, 10, 100) == 20
    known.learn(HERE, now=20, began=10, first_at=11, output=90)  # a stream says more
    assert known.first_s(HERE, 20) == 1 and known.seconds(HERE, 20, 100) == 11
    known.learn(THERE, now=20, began=20, first_at=None, output=0)
    assert known.seconds(THERE, 20, 100) is None


def test_what_is_old_is_forgotten() -> None:
    known = Pace()
    known.learn(HERE, now=10, began=0, first_at=9, output=50)
    assert known.first_s(HERE, 10 + pace.OLD_S - 1) == 9
    assert known.first_s(HERE, 10 + pace.OLD_S) is None


def test_lengths_of_others_stand_in_for_a_model_s_own() -> None:
    known = Pace()
    for output in (10, 20, 900):
        known.learn(HERE, now=1, began=0, first_at=None, output=output)
    assert known.output(HERE, 1) == known.output(THERE, 1) == 20
    for output in (5, 6, 7):
        known.learn(THERE, now=1, began=0, first_at=None, output=output)
    assert known.output(THERE, 1) == 6 and known.output(HERE, 1) == 20


def test_it_does_not_grow_for_ever() -> None:
    known = Pace()
    for n in range(pace.PLACES_KEPT + 5):
        known.learn((str(n), "m"), now=1, began=0, first_at=None, output=1)
    assert len(known.places) == 5
    known.adopt([str(pace.PLACES_KEPT + 1)])
    assert list(known.places) == [(str(pace.PLACES_KEPT + 1), "m")]


def test_a_place_that_is_well_known_is_not_noted_at_every_call():
    known = Pace()
    for n in range(pace.KEPT):
        known.learn(("a", "m"), n * 0.001, 0.0, None, 10)
    known.learn(("a", "m"), pace.KEPT * 0.001, 0.0, None, 99)
    assert {call.output for call in known.places["a", "m"]} == {10}
    known.learn(("a", "m"), 1.0, 0.0, None, 99)
    assert known.places["a", "m"][-1].output == 99
