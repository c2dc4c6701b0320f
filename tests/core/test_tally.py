"""What calls come to, counted."""

from hypothesis import given
from hypothesis import strategies as st

from ftgate.core.tally import BOUNDS_S, Tally, Times
from tests.fakes.used import Used

PLACE = ("m", "p", "c", "ok", "standard", True)
OTHER = ("m", "p", "c", "error", "standard", True)


def test_calls_add_up_by_place() -> None:
    tally = Tally()
    tally.call(PLACE, Used(10, 4, 3, 200, 100), 700)
    tally.call(PLACE, Used(1, 0, 2, 7000), 50)
    tally.call(OTHER, Used(latency_ms=1_000_000), 0)
    line = tally.lines[PLACE]
    assert (line.calls, line.prompt, line.cached, line.completion, line.cost) == (2, 11, 4, 5, 750)
    assert line.took.sum_s == 7.2 and sum(line.took.buckets) == 2 and line.first.sum_s == 0.1
    assert tally.lines[OTHER].took.buckets[-1] == 1 and tally.lines[OTHER].calls == 1


def test_attempts_and_losses() -> None:
    tally = Tally()
    for outcome in ("ok", "ok", "timeout"):
        tally.attempt("c", outcome)
    tally.loss("overrun", 5)
    tally.loss("overrun", 6)
    tally.call(PLACE, Used(), 0, tried=True)
    tally.call(OTHER, Used(), 0)
    assert tally.all_attempts() == {("c", "ok"): 3, ("c", "timeout"): 1} and tally.lost == {"overrun": 11}


@given(st.lists(st.floats(0, 2000), max_size=50))
def test_each_time_is_in_the_bucket_that_ends_at_or_above_it(seconds: list[float]) -> None:
    times = Times()
    for one in seconds:
        times.add(one)
    for at, bound in enumerate(BOUNDS_S):
        assert sum(times.buckets[: at + 1]) == sum(one <= bound for one in seconds)
    assert sum(times.buckets) == len(seconds)
