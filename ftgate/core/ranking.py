"""In which order candidates are tried, where the order is not the operator's: by cost or by pace. Pure, and the same
for the same knowledge and turn.

    cheapest    by what this call is expected to cost
    fastest     by the seconds that an answer is expected to take; one of those of which nothing is known goes first at
                every TRY_EVERY-th turn, the others after all that are known
    auto        of the models for a grade: the cheapest of those whose first token comes in time, then the others, the
                fastest first. Of whom nothing is known is taken to be in time

Source: DESIGN.md, "Upstreams that fail"; config, [auto].
"""

from collections.abc import Sequence
from math import inf
from typing import Protocol

import msgspec

from ftgate.core.routing import Spot

STRATEGIES = ("cheapest", "fastest")
"""Those that put all that was asked for in an order of their own."""
TRY_EVERY = 16


class View(Protocol):
    """What is known of one call at one spot."""

    def cost(self, spot: Spot) -> int:
        """Units that it is expected to cost there."""

    def first_s(self, spot: Spot) -> float | None:
        """Seconds to its first token."""

    def seconds(self, spot: Spot) -> float | None:
        """Seconds to its end."""


class Ranked(msgspec.Struct, frozen=True, gc=False):
    """A spot in its place. `score` compares it with the best: 1 is as good; `why` says it in words."""

    spot: Spot
    score: float
    why: str


def rank(strategy: str, spots: Sequence[Spot], view: View, turn: int, target_s: float | None = None) -> list[Ranked]:
    """The spots in their order. `target_s` is for auto: seconds within which a first token comes in time."""
    if strategy == "cheapest":
        return _by_cost(sorted(spots, key=view.cost), view)
    if strategy == "fastest":
        return _fastest(spots, view, turn)
    late = [spot for spot in spots if target_s is not None and (view.first_s(spot) or 0.0) > target_s]
    soon = sorted((spot for spot in spots if spot not in late), key=view.cost)
    late.sort(key=lambda spot: view.first_s(spot) or 0.0)
    best = view.first_s(late[0]) or 0.0 if late else 0.0
    return [
        *_by_cost(soon, view),
        *(_late(spot, view.first_s(spot) or 0.0, best, bool(soon)) for spot in late),
    ]


def _by_cost(spots: Sequence[Spot], view: View) -> list[Ranked]:
    least = view.cost(spots[0]) if spots else 0
    found = []
    for spot in spots:
        cost, first = view.cost(spot), view.first_s(spot)
        why = (
            "the least expected cost"
            if cost <= least
            else f"{cost / least:.1f} times the cost"
            if least
            else "not free"
        )
        paced = "" if first is None else f", first token after {first:.2f} s"
        found.append(Ranked(spot, _ratio(least, cost), why + paced))
    return found


def _late(spot: Spot, first: float, best: float, behind: bool) -> Ranked:
    score = _ratio(best, first) * (0.5 if behind else 1.0)  # whoever is in time is better
    return Ranked(spot, score, f"first token after {first:.2f} s: later than first_token_target")


def _fastest(spots: Sequence[Spot], view: View, turn: int) -> list[Ranked]:
    known = sorted(
        ((seconds, at) for at, spot in enumerate(spots) if (seconds := view.seconds(spot)) is not None),
    )
    best = known[0][0] if known else 0.0
    found = [
        Ranked(spots[at], _ratio(best, seconds), f"an answer is expected after {seconds:.1f} s")
        for seconds, at in known
    ]
    unknown = [Ranked(spot, 0.0, "how fast it is, is not known yet") for spot in spots if view.seconds(spot) is None]
    if known and unknown and turn % TRY_EVERY == TRY_EVERY - 1:
        first = unknown.pop(turn // TRY_EVERY % len(unknown))
        return [Ranked(first.spot, 1.0, "how fast it is, is not known yet: it is tried now"), *found, *unknown]
    return found + unknown


def _ratio(best: float, value: float) -> float:
    return round(best / value, 3) if value not in (0, inf) else 1.0
