"""Who rests, and for how long: circuits and cool-downs, row by row, and against a second, slower reckoning."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftgate.core import health
from ftgate.core.health import Breaker, Health, LastError
from ftgate.core.pricing import Price
from ftgate.core.retrying import Outcome
from ftgate.core.routing import Address, Candidate, Channel, Model, Reach
from ftgate.core.secret import Secret
from ftgate.core.verdicts import Verdict

BREAKER = Breaker(failures=3, window=60.0, cooldown=5.0, cooldown_cap=30.0)


def way(channel="a", key="k", model="m", **changes):
    address = Address("openai_chat", f"http://{channel}/chat/completions", "bearer")
    made = Model(model, model, Price(1, 1, 1, 1, 1))
    there = Channel(channel, "lab", {"openai_chat": address}, (Secret(key),), {model: made}, **changes)
    return Candidate(there, address, Secret(key), made)


def said(verdict, retry_after_s=None):
    return Outcome(0, Verdict(verdict), "", retry_after_s=retry_after_s)


USUAL = way()


class Told:
    """A Health and its clock, in a row language: `fail 3` is three calls that fail."""

    def __init__(self):
        self.health, self.now, self.calls = Health(), 0.0, 0

    def call(self, verdict, way=USUAL, **more):
        """One whole call; whether it went up."""
        self.calls += 1
        id = f"req_{self.calls}"
        if not self.health.enter(way, id, self.now, BREAKER):
            return False
        if verdict == "ok":
            self.health.answered(way)
        elif verdict == "left":
            self.health.left(way, id)
        else:
            self.health.note(way, id, said(verdict, **more), self.now, BREAKER)
        return True

    def rest(self, way=USUAL):
        return self.health.rest_s(way, self.now, BREAKER)


FAILING = sorted(v.value for v in health.FAILURES)
WORKING = ["caller", "context", "unreadable"]


def test_every_verdict_is_judged():
    judged = health.FAILURES | health.REFUSALS | {Verdict(v) for v in WORKING} | {Verdict.rate_limited}
    assert judged == set(Verdict)


@pytest.mark.parametrize("verdict", FAILING)
def test_a_circuit_opens_and_closes(verdict):
    told = Told()
    for _ in range(3):
        assert told.rest() == 0 and told.call(verdict)
    assert told.rest() == 5.0 and not told.call("ok")
    for rest in (5.0, 10.0, 20.0, 30.0, 30.0):  # doubled up to the cap
        told.now += rest - 0.25
        assert not told.call("ok")
        told.now += 0.25 - 1e-6  # who waits as long as he was told is not turned away for a rounding
        assert told.rest() == 0 and told.call(verdict)  # the probe
    told.now += 30.0
    assert told.call("ok") and told.health.fine
    assert [told.call(verdict) for _ in range(4)] == [True] * 3 + [False]
    assert told.rest() == 5.0  # from the beginning


@pytest.mark.parametrize("between", ["ok", *WORKING, "rate_limited", "credential"])
def test_failures_are_counted_in_a_row(between):
    told = Told()
    for _ in range(5):
        told.call("overloaded")
        told.call("overloaded")
        told.call(between)
        told.health.rests.clear()
    assert told.rest() == 0


def test_failures_are_counted_within_the_window():
    told = Told()
    for _ in range(9):
        told.call("overloaded")
        told.now += 30.0
    assert told.rest() == 0
    told.call("overloaded")
    told.now += 29.0
    told.call("overloaded")
    assert told.rest() == 5.0


def test_a_call_that_fails_again_and_again_is_one_failure():
    told = Told()
    for n in range(9):
        told.health.note(way(), "req_1", said("overloaded"), 0.0, BREAKER, again=n > 0)
    assert told.rest() == 0
    told.call("timeout")
    told.call("timeout")
    assert told.rest() == 5.0


def test_one_probe_at_a_time():
    told = Told()
    for _ in range(3):
        told.call("hollow")
    told.now += 5.0
    assert told.health.enter(way(), "probe", told.now, BREAKER)
    assert not told.call("ok") and told.rest() > 0
    told.health.left(way(), "somebody else")
    told.health.note(way(), "an old call", said("timeout"), told.now, BREAKER)  # it began before
    assert not told.call("ok")
    told.health.left(way(), "probe")  # its client has left: the next one is the probe
    assert told.call("left") and told.call("overloaded")
    assert told.rest() == 10.0


def test_a_stream_that_begins_closes_a_circuit_and_forgets_no_failure():
    told = Told()
    told.call("overloaded")
    told.call("overloaded")
    told.health.begun(way())
    told.call("overloaded")
    assert told.rest() == 5.0
    told.now += 5.0
    assert told.health.enter(way(), "probe", told.now, BREAKER)
    told.health.begun(way())
    assert told.health.fine


def test_old_calls_that_fail_do_not_lengthen_a_rest():
    told = Told()
    for _ in range(3):
        told.call("overloaded")
    for n in range(9):
        told.health.note(way(), f"old {n}", said("overloaded"), 1.0, BREAKER)
    assert told.rest() == 5.0
    told.health.answered(way())  # an old call that ends well says that it works
    assert told.rest() == 0


def test_each_model_and_each_channel_by_itself():
    told = Told()
    for _ in range(3):
        told.call("overloaded")
    assert told.rest(way(key="other")) == 5.0
    assert told.rest(way(model="n")) == 0 and told.rest(way("b")) == 0


LIMITED = [
    # what each 429 says, and how long it rests after each
    ([7.0], [7.0]),
    ([None], [1.0]),
    ([None, None, None, None, None, None], [1.0, 2.0, 4.0, 8.0, 16.0, 30.0]),
    ([1000.0], [30.0]),
    ([inf], [30.0]),
    ([0.0, 0.0, 9.0], [1.0, 2.0, 9.0]),  # a time that is over says nothing
]


@pytest.mark.parametrize(("waits", "rests"), LIMITED)
def test_a_limited_credential_rests(waits, rests):
    told = Told()
    for wait, rest in zip(waits, rests, strict=True):
        assert told.call("rate_limited", retry_after_s=wait)
        assert told.rest() == rest and told.health.is_limited(way(), told.now) is (rest > 0)
        assert told.rest(way(key="other")) == told.rest(way(model="n")) == told.rest(way("b")) == 0
        told.now += rest
    assert told.call("ok") and told.health.fine


def test_a_limit_of_unknown_length_is_a_guess():
    told = Told()
    told.call("rate_limited")
    assert told.rest() == 1.0 and told.health.is_guessed(way(), told.now, BREAKER)
    assert told.health.enter(way(), "who has nothing else", told.now, BREAKER)
    told.call("rate_limited", retry_after_s=9.0)
    assert told.rest() == 9.0 and not told.health.is_guessed(way(), told.now, BREAKER)
    assert not told.call("ok")
    told.now += 9.0
    told.call("rate_limited")
    for n in range(3):
        told.health.note(way(), f"old {n}", said("overloaded"), told.now, BREAKER)
    assert not told.health.is_guessed(way(), told.now, BREAKER) and not told.call("ok")  # its circuit is open too


def test_a_limit_that_is_over_as_it_is_said_is_a_guess_too():
    told = Told()
    told.call("rate_limited", retry_after_s=0.0)
    assert told.rest() == 1.0 and told.health.is_guessed(way(), told.now, BREAKER)


def test_a_shorter_limit_does_not_end_a_longer_one():
    told = Told()
    told.health.note(way(), "x", said("rate_limited", 20.0), 0.0, BREAKER)
    told.health.note(way(), "y", said("rate_limited", 1.0), 0.0, BREAKER)  # of a call that had begun before
    assert told.rest() == 20.0


@pytest.mark.parametrize(("verdict", "after"), [("credential", None), ("out_of_credit", 30.0)])
def test_a_refused_credential(verdict, after):
    """It is asked for apart, since it may be all there is."""
    told = Told()
    words = told.health.note(way(), "x", said(verdict), 0.0, BREAKER)
    assert "a key of a" in words and "reload" in words
    assert told.health.note(way(), "y", said(verdict), 0.0, BREAKER) == ""  # told once
    assert told.rest() == 0 and told.health.is_refused(way(), 10**9 if after is None else after - 1)
    assert not told.health.is_refused(way(key="other"), 0.0) and not told.health.is_refused(way(model="n"), 0.0)
    if after is not None:
        assert not told.health.is_refused(way(), after)
    told.health.answered(way())
    assert told.health.fine


def test_other_settings():
    told = Told()
    same, moved, gone = way("same"), way("moved"), way("gone")
    for one in (same, moved, gone):
        for _ in range(3):
            told.call("overloaded", way=one)
        told.health.note(one, "x", said("rate_limited", 9.0), 0.0, BREAKER)
        for _ in range(3):
            told.call("overloaded", way=way(one.channel.name, model="n"))
        told.health.note(way(one.channel.name, key="bad"), "x", said("credential"), 0.0, BREAKER)
        told.health.remember(one, 7, "it failed")
    before = [one.channel for one in (same, moved, gone)]
    told.health.adopt(before, [way("same", priority=3).channel, way("moved", reach=Reach(proxy="http://p")).channel])
    assert {place[0] for place in told.health.circuits} == {place[0] for place in told.health.rests} == {"same"}
    assert told.health.errors == {"same": (LastError(7, "m", "it failed"),)}
    assert not told.health.is_refused(way("same", key="bad"), 0.0) and told.rest(same) == 9.0
    told.health.reset("same")
    assert told.health.fine


def test_the_last_errors_that_differ_are_remembered():
    told = Told()
    one = way("one")
    assert told.health.last_error("one") is None
    for at_us, text in enumerate("abcdbefgg"):
        told.health.remember(one, at_us, text)
    assert [(error.at_us, error.text) for error in told.health.errors["one"]] == [
        (8, "g"), (6, "f"), (5, "e"), (4, "b"), (3, "d"),
    ]  # fmt: skip
    told.health.remember(way("one", model="n"), 9, "g")
    assert told.health.last_error("one") == LastError(9, "n", "g") and told.health.errors["one"][1].model == "m"


SAID = st.sampled_from(["ok", "left", "caller", "overloaded", "timeout"])
PAUSES = st.sampled_from([0.0, 0.5, 4.0, 5.0, 31.0, 61.0])
EVENTS = st.lists(st.tuples(SAID, PAUSES), max_size=60)


@given(EVENTS)
def test_against_a_slower_reckoning(events):
    """Sequential calls: the whole history is looked through anew for each."""
    told, history, now = Told(), [], 0.0

    def opens(history, now):
        """Until when it rests, reckoned from the beginning."""
        failed, opened, until = [], 0, -inf
        for verdict, at in history:
            if verdict == "left":
                continue
            if verdict in ("ok", "caller"):
                failed, opened, until = [], 0, -inf
            elif opened:
                until, opened = at + min(5.0 * 2**opened, 30.0), opened + 1
            else:
                failed = [f for f in failed if f > at - 60.0] + [at]
                if len(failed) == 3:
                    until, opened = at + 5.0, 1
        return until

    for verdict, pause in events:
        now += pause
        told.now = now
        went = told.call(verdict)
        assert went is (opens(history, now) <= now)
        if went:
            history.append((verdict, now))
