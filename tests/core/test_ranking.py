"""The order of candidates by cost and by pace."""

from collections.abc import Mapping

import pytest

from ftgate.core.ranking import TRY_EVERY, rank
from ftgate.core.routing import Spot
from tests.core.test_routing import CHAT, channel


class Known:
    """`costs`, first tokens and seconds by channel."""

    def __init__(self, costs: Mapping[str, int], first: Mapping[str, float], seconds: Mapping[str, float]) -> None:
        self.costs, self.firsts, self.all_s = costs, first, seconds

    def cost(self, spot: Spot) -> int:
        return self.costs[spot.channel.name]

    def first_s(self, spot: Spot) -> float | None:
        return self.firsts.get(spot.channel.name)

    def seconds(self, spot: Spot) -> float | None:
        return self.all_s.get(spot.channel.name)


SPOTS = [Spot("m", channel(name), CHAT, 0) for name in "abcd"]
VIEW = Known({"a": 400, "b": 100, "c": 200, "d": 100}, {"a": 0.5, "b": 5.0, "c": 1.5, "d": 4.0}, {"a": 2.0, "b": 1.0})


@pytest.mark.parametrize(
    ("strategy", "turn", "target", "order", "scores"),
    [
        ("cheapest", 0, None, "bdca", [1.0, 1.0, 0.5, 0.25]),
        ("fastest", 0, None, "bacd", [1.0, 0.5, 0.0, 0.0]),
        ("fastest", TRY_EVERY - 1, None, "cbad", [1.0, 1.0, 0.5, 0.0]),
        ("fastest", 2 * TRY_EVERY - 1, None, "dbac", [1.0, 1.0, 0.5, 0.0]),
        ("fastest", TRY_EVERY, None, "bacd", [1.0, 0.5, 0.0, 0.0]),
        ("auto", 0, None, "bdca", [1.0, 1.0, 0.5, 0.25]),
        ("auto", 0, 2.0, "cadb", [1.0, 0.5, 0.5, 0.4]),
        ("auto", 0, 0.4, "acdb", [1.0, 0.333, 0.125, 0.1]),  # none is in time: the quickest
    ],
)
def test_order(strategy: str, turn: int, target: float | None, order: str, scores: list[float]) -> None:
    found = rank(strategy, SPOTS, VIEW, turn, target)
    assert "".join(one.spot.channel.name for one in found) == order
    assert [one.score for one in found] == scores
    assert all(one.why for one in found)
    assert found == rank(strategy, SPOTS, VIEW, turn, target)


def test_of_whom_nothing_is_known_is_taken_to_be_in_time() -> None:
    view = Known(VIEW.costs, {"c": 1.5, "d": 4.0}, {})
    assert [one.spot.channel.name for one in rank("auto", SPOTS, view, 0, 2.0)] == ["b", "c", "a", "d"]
    assert [one.spot.channel.name for one in rank("fastest", SPOTS, view, TRY_EVERY - 1)] == ["a", "b", "c", "d"]


def test_nothing_costs_nothing() -> None:
    free = Known(dict.fromkeys("abcd", 0), {}, {})
    assert [one.score for one in rank("cheapest", SPOTS, free, 0)] == [1.0] * 4
    assert rank("cheapest", [], free, 0) == rank("fastest", [], free, 0) == rank("auto", [], free, 0, 1.0) == []
