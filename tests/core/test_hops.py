"""The way of a call through gateways, and where it ends."""

import pytest

from ftgate.core.hops import MOST, fault, onward


@pytest.mark.parametrize(
    ("came", "goes"),
    [
        (b"", b"own"),
        (b"a", b"a, own"),
        (b"a, b", b"a, b, own"),
        (b" a ,b,,", b"a, b, own"),
        (b"a b, \xff, x\ty, " + b"c" * 65 + b", d", b"d, own"),  # what names no gateway goes no further
    ],
)
def test_onward(came, goes):
    assert onward(came, b"own") == goes


@pytest.mark.parametrize(
    ("came", "words"),
    [
        (b"a", None),
        (b"own", "through this gateway before"),
        (b"a,b, own ,c", "through this gateway before"),
        (b"OWN, own2", None),
        (b", ".join(b"g%d" % n for n in range(MOST)), None),
        (b", ".join(b"g%d" % n for n in range(MOST + 1)), f"through {MOST + 1} gateways"),
        (b",,, ,", None),
    ],
)
def test_where_it_ends(came, words):
    said = fault(came, b"own")
    assert said is None if words is None else words in said


def test_every_round_is_met():
    """Over however many gateways: the first that has had the call before ends it."""
    for length in (1, 2, 5, MOST):
        came, turns = b"", 0
        while fault(came, b"g%d" % (turns % length)) is None:
            came = onward(came, b"g%d" % (turns % length))
            turns += 1
        assert turns == length
