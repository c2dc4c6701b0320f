"""Rolling windows against a brute-force model; all or nothing across scopes; tokens borrowed and given back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftgate.core import limits
from ftgate.core.limits import Limits, Meters, Rates, Room, Ticket, Window, room, take_requests, tokens_wait

# Times are whole milliseconds of exact binary fractions (1/1024 s), so that the model and the window round alike.
TICK = 1 / 1024
steps = st.lists(st.tuples(st.integers(0, 400), st.integers(1, 4)), max_size=60)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 8), steps)
def test_window_against_the_model(limit, moves):
    """Admitted iff what was admitted in the span before, plus this one, is within the limit."""
    window = Window(1.0, limit)
    admitted: list[tuple[float, int]] = []
    now = 0.0
    for step, weight in moves:
        now += step * TICK
        used = sum(w for t, w in admitted if t > now - 1.0)
        fits = used + min(weight, limit) <= limit
        wait = window.wait_s(now, weight)
        assert (wait == 0.0) == fits
        assert window.used == used
        if fits:
            window.add(now, weight)
            admitted.append((now, weight))
        else:
            assert 0 < wait <= 1.0
            later = now + wait
            assert sum(w for t, w in admitted if t > later - 1.0) + min(weight, limit) <= limit
            sooner = later - TICK / 2
            assert sum(w for t, w in admitted if t > sooner - 1.0) + min(weight, limit) > limit


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 5), st.lists(st.integers(0, 200), min_size=10, max_size=80))
def test_no_second_holds_more_than_the_limit(limit, gaps):
    """Whatever the arrivals: no span of one second, placed anywhere, has more than the limit (no burst of twice)."""
    meters = Meters(Rates(requests_per_second=limit))
    now, taken = 0.0, []
    for gap in gaps:
        now += gap * TICK
        if take_requests([("key", meters)], now, Ticket()) is None:
            taken.append(now)
    assert taken and max(sum(start <= t < start + 1.0 for t in taken) for start in taken) <= limit


def test_the_edge_of_the_window():
    meters = Meters(Rates(requests_per_second=2))
    scopes = [("key", meters)]
    assert take_requests(scopes, 0.9, Ticket()) is None
    assert take_requests(scopes, 0.95, Ticket()) is None
    assert take_requests(scopes, 1.05, Ticket()) is not None  # a fixed grid would let it through
    assert take_requests(scopes, 1.85, Ticket()) is not None
    assert take_requests(scopes, 1.9, Ticket()) is None
    assert take_requests(scopes, 1.91, Ticket()) is not None


NO_LIMIT = Rates()


@pytest.mark.parametrize(
    ("rates", "calls", "refused", "wait"),
    [
        (NO_LIMIT, 1000, None, 0),
        (Rates(requests_per_second=3), 3, "requests_per_second", 1.0),
        (Rates(requests_per_minute=3), 3, "requests_per_minute", 60.0),
        (Rates(concurrent=3), 3, "concurrent", 1.0),
        (Rates(requests_per_second=3, concurrent=3), 3, "concurrent", 1.0),
        (Rates(requests_per_second=3, requests_per_minute=3), 3, "requests_per_second", 1.0),
    ],
)
def test_first_limit_that_says_no(rates, calls, refused, wait):
    meters = Meters(rates)
    for _ in range(calls):
        assert take_requests([("key", meters)], 5.0, Ticket()) is None
    said = take_requests([("key", meters)], 5.0, Ticket())
    assert said == (limits.Refused("key", refused, wait) if refused else None)


@pytest.mark.parametrize("full", ["key", "account", "model"])
@pytest.mark.parametrize(
    "rates",
    [Rates(requests_per_second=1), Rates(requests_per_minute=1), Rates(concurrent=1)],
    ids=["second", "minute", "concurrent"],
)
def test_all_scopes_or_none(full, rates):
    scopes = [(name, Meters(rates if name == full else Rates(5, 5, 0, 5))) for name in ("key", "account", "model")]
    first, second = Ticket(), Ticket()
    assert take_requests(scopes, 0.0, first) is None
    before = [(m.in_flight, m.second.used, m.minute.used) for _, m in scopes]
    said = take_requests(scopes, 0.0, second)
    assert said is not None and said.scope == full
    assert [(m.in_flight, m.second.used, m.minute.used) for _, m in scopes] == before
    assert second.taken == []
    second.release(0.0, 5)  # a refused call gives nothing back
    assert [m.in_flight for _, m in scopes] == [1, 1, 1]


def test_in_flight_is_given_back_once():
    meters = Meters(Rates(concurrent=1))
    ticket = Ticket()
    assert take_requests([("key", meters)], 0.0, ticket) is None
    ticket.release(0.0, 0)
    ticket.release(0.0, 0)
    assert meters.in_flight == 0
    assert take_requests([("key", meters)], 0.0, Ticket()) is None


def tokens_meters(limit=1000):
    return [("key", Meters(Rates(tokens_per_minute=limit)))]


def borrow(scopes, now, estimate):
    ticket = Ticket()
    assert take_requests(scopes, now, ticket) is None
    assert tokens_wait(scopes, now, estimate) is None
    ticket.borrow(now, estimate)
    return ticket


def test_tokens_are_borrowed_and_given_back():
    scopes = tokens_meters()
    one = borrow(scopes, 0.0, 700)
    said = tokens_wait(scopes, 1.0, 400)
    assert said == limits.Refused("key", "tokens_per_minute", 59.0)
    one.release(2.0, 100)
    assert scopes[0][1].tokens.used == 100
    assert tokens_wait(scopes, 2.0, 900) is None
    assert tokens_wait(scopes, 2.0, 901) is not None
    one.release(3.0, 0)  # once
    assert scopes[0][1].tokens.used == 100


def test_more_used_than_borrowed_counts():
    scopes = tokens_meters()
    borrow(scopes, 0.0, 100).release(1.0, 1500)
    assert scopes[0][1].tokens.used == 1500
    assert tokens_wait(scopes, 1.0, 1) == limits.Refused("key", "tokens_per_minute", 59.0)


def test_a_borrowing_that_expired_is_not_given_back_twice():
    scopes = tokens_meters()
    one = borrow(scopes, 0.0, 700)
    two = borrow(scopes, 60.0, 700)
    one.release(61.0, 5)
    assert scopes[0][1].tokens.used == 705  # the second's loan, and what the first really used, from its end on
    two.release(61.0, 10)
    assert scopes[0][1].tokens.used == 15


def test_an_estimate_past_the_limit_goes_alone():
    scopes = tokens_meters()
    one = borrow(scopes, 0.0, 5000)
    assert tokens_wait(scopes, 0.0, 1) is not None
    one.release(0.0, 0)
    borrow(scopes, 0.0, 1)
    assert tokens_wait(scopes, 0.0, 5000) is not None


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(1, 500), st.integers(0, 600), st.integers(0, 90)), max_size=25)
)
def test_tokens_against_the_model(calls):
    """(seconds later, borrowed, used in the end, seconds it takes): the window's sum is always what is owed or was
    used."""
    scopes = tokens_meters(10**9)
    window = scopes[0][1].tokens
    ledger: list[list] = []  # taken at, weight now, ticket, ends at, used
    now = 0.0
    for later, estimate, used, takes in calls:
        now += later
        for row in sorted(ledger, key=lambda row: row[3]):
            if row[2] is not None and row[3] <= now:
                row[2].release(row[3], row[4])
                row[2] = None
                if row[0] > row[3] - 60.0:
                    row[1] = row[4]
                else:  # it outlived the window: what it used counts from its end on
                    ledger.append([row[3], row[4], None, now + 10**9, 0])
        ledger.append([now, estimate, borrow(scopes, now, estimate), now + takes, used])
        window.wait_s(now)
        assert window.used == sum(row[1] for row in ledger if row[0] > now - 60.0)


@pytest.mark.parametrize(
    ("rates", "taken", "now", "said"),
    [
        (NO_LIMIT, [0.0], 0.0, Room(0, 0, 0.0)),
        (Rates(concurrent=5, tokens_per_minute=5), [0.0], 0.0, Room(0, 0, 0.0)),
        (Rates(requests_per_second=10), [], 0.0, Room(10, 10, 0.0)),
        (Rates(requests_per_second=10), [0.0, 0.25], 0.5, Room(10, 8, 0.5)),
        (Rates(requests_per_second=10), [0.0, 0.25], 1.0, Room(10, 9, 0.25)),
        (Rates(requests_per_minute=10), [0.0, 0.25], 1.0, Room(10, 8, 59.0)),
        (Rates(requests_per_second=10, requests_per_minute=20), [0.0], 0.5, Room(10, 9, 0.5)),
    ],
)
def test_room(rates, taken, now, said):
    meters = Meters(rates)
    for moment in taken:
        take_requests([("key", meters)], moment, Ticket())
    assert room(meters, now) == said


def test_forget_idle():
    rates = {
        "k1": Rates(requests_per_second=1),
        "k2": Rates(requests_per_minute=1),
        "k3": Rates(tokens_per_minute=9),
        "k4": Rates(),
    }
    every = Limits(lambda scope, name: rates[name])
    tickets = {name: Ticket() for name in rates}
    for name in rates:
        assert every.meters("key", name) is every.meters("key", name)
        assert take_requests([("key", every.meters("key", name))], 0.0, tickets[name]) is None
        tickets[name].borrow(0.0, 9)

    def kept(now):
        every.forget_idle(now)
        return sorted(name for _, name in every._meters)

    assert kept(0.0) == ["k1", "k2", "k3", "k4"]  # all in flight
    for ticket in tickets.values():
        ticket.release(0.5, 9)
    assert kept(0.5) == ["k1", "k2", "k3"]
    assert kept(1.0) == ["k2", "k3"]
    assert kept(59.9) == ["k2", "k3"]
    assert kept(60.0) == []


def test_other_limits_go_on_from_what_was_counted():
    rates = {"k": Rates(requests_per_second=3, concurrent=9), "free": Rates()}
    every = Limits(lambda scope, name: rates[name])

    def asked(name, now):
        scopes = every.scopes(("key", name))
        return [] if take_requests(scopes, now, ticket := Ticket()) else [ticket]

    running = asked("k", 0.0) + asked("k", 0.1)
    assert len(running) == 2 and every.scopes(("key", "free")) == []
    rates["k"] = Rates(requests_per_second=2)  # lower: full at once, and free again as it would have been
    rates["free"] = Rates(concurrent=1)
    every.adopt()
    assert not asked("k", 0.9) and asked("k", 1.0) and not asked("k", 1.05) and asked("k", 1.1)
    (one,) = asked("free", 0.0)  # scopes without limits were kept as such
    assert not asked("free", 0.0)
    rates["free"] = Rates()
    rates["k"] = Rates(concurrent=4)
    every.adopt()
    assert every.scopes(("key", "free")) == []
    one.release(0.0, 0)
    assert not asked("k", 2.0)  # four are in flight: those two, and the two of 1.0 and 1.1
    running[0].release(2.0, 0)
    assert asked("k", 2.0)


def test_one_place_goes_by_other_limits():
    rates = {"k": Rates(requests_per_second=1), "free": Rates()}
    every = Limits(lambda scope, name: rates[name])

    def admits(name, at):
        return take_requests(every.scopes(("key", name)), at, Ticket()) is None

    assert admits("k", 0.0) and not admits("k", 0.0) and admits("free", 0.0)
    rates["k"], rates["free"] = Rates(requests_per_second=2), Rates(requests_per_second=1)
    every.renew("key", "k")
    assert admits("k", 0.0) and not admits("k", 0.0)  # what was counted stays
    assert admits("free", 0.0) and admits("free", 0.0)  # nobody has said that this one is another
    every.renew("key", "free")
    assert admits("free", 0.0) and not admits("free", 0.0)
    every.renew("key", "never seen")
