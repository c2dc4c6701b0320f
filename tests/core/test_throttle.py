"""So many tries in a sliding span."""

from hypothesis import given
from hypothesis import strategies as st

from ftgate.core import throttle
from ftgate.core.throttle import Throttle, neighbourhood


def test_a_span_slides():
    tries = Throttle(2, 10)
    for at in (0.0, 4.0):
        assert tries.wait_s("a", at) is None
        tries.add("a", at)
    assert tries.wait_s("a", 5.0) == 5.0
    assert tries.wait_s("b", 5.0) is None
    assert tries.wait_s("a", 10.0) is None  # the first has left the span
    tries.add("a", 10.0)
    assert tries.wait_s("a", 11.0) == 3.0


def test_what_is_taken_back_or_cleared_counts_no_more():
    tries = Throttle(1, 10)
    tries.add("a", 1.0)
    tries.take_back("a", 2.0)  # another one
    assert tries.wait_s("a", 3.0) == 8.0
    tries.take_back("a", 1.0)
    assert tries.wait_s("a", 3.0) is None
    tries.add("a", 3.0)
    tries.clear("a")
    assert tries.wait_s("a", 4.0) is None


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 5)), max_size=60))
def test_never_more_than_the_limit_in_any_span(steps):
    tries, let, now = Throttle(3, 10), [], 0.0
    for key, later in steps:
        now += later
        if tries.wait_s(key, now) is None:
            tries.add(key, now)
            let.append((key, now))
    for key, at in let:
        assert sum(k == key and at <= t < at + 10 for k, t in let) <= 3


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(throttle, "KEPT", 3)
    tries = Throttle(1, 10)
    for n in range(10):
        tries.add(n, 0.0)
    assert [n for n in range(10) if tries.wait_s(n, 1.0)] == [7, 8, 9]


def test_one_person_s_addresses():
    assert neighbourhood("1.2.3.4") == "1.2.3.4"
    assert neighbourhood("2001:db8::1") == neighbourhood("2001:db8::ffff:1:2:3") != neighbourhood("2001:db8:0:1::1")
    assert neighbourhood("no address") == "no address"
