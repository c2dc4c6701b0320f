"""Where a conversation goes again."""

import pytest

from ftgate.core import affinity
from ftgate.core.affinity import IDLE_S, Affinity, digest
from ftgate.core.routing import Candidate, Channel, Model
from ftgate.core.secret import Secret
from tests.core.test_health import USUAL


def way(channel, key="k", model="m", priority=0):
    there = Channel(channel, "lab", {}, (Secret(key),), {}, priority=priority)
    return Candidate(there, USUAL.address, Secret(key), Model(model, model, USUAL.model.price))


WAYS = (way("a", "k1"), way("a", "k2"), way("b", "k3"), way("c", "k4", priority=1), way("b", "k3", model="n"))


@pytest.mark.parametrize(
    ("answered", "order"),
    [
        (WAYS[0], [0, 1, 2, 3, 4]),
        (WAYS[1], [1, 0, 2, 3, 4]),
        (WAYS[2], [2, 0, 1, 3, 4]),
        (WAYS[3], [0, 1, 2, 3, 4]),  # a worse priority is not what the operator wants
        (way("gone"), [0, 1, 2, 3, 4]),
        (way("a", "another key"), [0, 1, 2, 3, 4]),
    ],
)
def test_the_last_place_comes_first(answered, order):
    known = Affinity()
    known.answered(b"x", answered, 0.0)
    assert known.warm(b"x", WAYS, IDLE_S - 1) == tuple(WAYS[at] for at in order)
    assert known.warm(b"y", WAYS, 0.0) == WAYS and known.warm(b"x", (), 0.0) == ()


def test_it_cools_down():
    known = Affinity()
    known.answered(b"x", WAYS[2], 0.0)
    assert known.warm(b"x", WAYS, IDLE_S) == WAYS
    known.answered(b"x", WAYS[2], IDLE_S)
    assert known.warm(b"x", WAYS, IDLE_S + 299)[0] is WAYS[2]


def test_so_many_are_kept(monkeypatch):
    monkeypatch.setattr(affinity, "KEPT", 3)
    known = Affinity()
    for name in (b"1", b"2", b"3", b"1", b"4"):
        known.answered(name, WAYS[2], 0.0)
    assert list(known.places) == [b"3", b"1", b"4"]


def test_no_two_callers_share_a_conversation():
    digests = {digest(*one) for one in ((1, "m", b"x"), (2, "m", b"x"), (1, "n", b"x"), (1, "m", b"y"), (1, "m", b""))}
    assert len(digests) == 5
