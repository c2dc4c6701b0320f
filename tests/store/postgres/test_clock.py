"""The database's clock as a gateway knows it, from answers that come in late."""

import itertools
import random

import pytest

from ftgate.core.limits import Limits, Rates, Ticket, take_requests
from ftgate.core.limits_shared import SharedLimits
from ftgate.store.postgres.clock import TurnClock

AHEAD_US = 7_000_000_123
"""Of the database's clock before the machine's, in most cases."""


class Machine:
    """Its monotonic clock, and the clock of the database, which runs `faster` and may be set."""

    def __init__(self, faster: float = 0.0) -> None:
        self.s = 100.0
        self.base_us = 100_000_000 + AHEAD_US
        self.faster = faster
        self.clock = TurnClock(lambda: self.s)

    def database_us(self) -> int:
        return self.base_us + int((self.s - 100.0) * (1 + self.faster) * 1e6)

    def turn(self, going: float, coming: float) -> int:
        """Ask the database, and be told; the true time at which it looked."""
        asked = self.s
        self.s += going
        at_us = self.database_us()
        self.s += coming
        self.clock.set(at_us, asked)
        return at_us


@pytest.mark.parametrize("seed", range(20))
def test_moments_are_never_nearer_by_the_database_than_here(seed: int) -> None:
    """However late answers come in: else a window that is over here would not be over there."""
    rand, machine = random.Random(seed), Machine()
    moments: list[tuple[float, int]] = []
    for _ in range(200):
        machine.s += rand.choice([0.0, 0.001, 0.2, 1.0])
        machine.turn(rand.expovariate(100), rand.expovariate(1 / 0.02))
        moments.append((machine.s, machine.clock.wall_us()))
    for (here, there), (later, later_there) in itertools.pairwise(moments):
        assert later_there - there >= (later - here) * 1e6 - 2


@pytest.mark.parametrize("faster", [-0.0004, -0.00005, 0.0, 0.00005, 0.0004])
def test_a_clock_that_runs_faster_or_slower_is_followed(faster: float) -> None:
    rand, machine = random.Random(1), Machine(faster)
    for _ in range(3000):
        machine.s += 1.0
        machine.turn(rand.uniform(0.0001, 0.02), rand.uniform(0.0001, 0.02))
        assert abs(machine.clock.wall_us() - machine.database_us()) < 45_000


def test_what_was_told_is_never_later_than_it_was() -> None:
    """Times of a gateway's entries lie before the next turn's, whoever takes that."""
    machine = Machine()
    machine.turn(0.001, 0.5)
    for _ in range(50):
        machine.s += 0.01
        assert machine.clock.wall_us() <= machine.database_us()
        machine.turn(0.001, 0.003)


def test_a_clock_that_is_set_back_is_followed_at_once_and_windows_go_on() -> None:
    machine = Machine()
    machine.turn(0.001, 0.001)
    before = machine.clock.wall_us()
    machine.base_us -= 3_600_000_000
    machine.turn(0.001, 0.001)
    assert machine.clock.wall_us() == pytest.approx(before - 3_600_000_000, abs=10_000)
    assert machine.clock.local_s(before) <= machine.s  # what others said before: not an hour ahead


def test_a_clock_that_is_a_little_behind_stands_until_it_is_there_again() -> None:
    machine = Machine()
    machine.turn(0.0, 0.0)
    before = machine.clock.wall_us()
    machine.base_us -= 300_000
    machine.turn(0.0, 0.0)
    assert machine.clock.wall_us() == before
    machine.s += 0.5
    assert machine.clock.wall_us() == pytest.approx(before + 200_000, abs=2)


def test_what_is_decided_together_has_one_time() -> None:
    machine = Machine()
    machine.turn(0.001, 0.001)
    machine.clock.stand()
    at, moment = machine.clock.wall_us(), machine.clock.moment()
    machine.s += 0.25  # the machine did something else
    assert (machine.clock.wall_us(), machine.clock.moment()) == (at, moment)
    machine.clock.go_on()
    assert machine.clock.wall_us() == at + 250_000


@pytest.mark.parametrize("seed", range(6))
def test_in_no_second_of_the_database_more_than_the_limit_however_late_it_answers(seed: int) -> None:
    """Two gateways whose turns take from nothing to a tenth of a second, each with a clock of its own."""
    rand, limit = random.Random(seed), 20
    machine = Machine(rand.choice([-0.0003, 0.0, 0.0003]))
    gateways = []
    for _ in range(2):
        clock = TurnClock(lambda: machine.s)
        limits = Limits(lambda scope, name: Rates(requests_per_second=limit))
        gateways.append((clock, limits, SharedLimits(limits, clock.now, clock.local_s)))
    admitted: list[int] = []
    notes: list[list[object]] = []  # of the turn before
    for number in range(4000):
        asked = machine.s
        machine.s += rand.expovariate(1 / 0.001)
        at_us = machine.database_us()
        machine.s += rand.choice([0.0002, 0.0002, 0.005, 0.1 * rand.random() ** 4])
        clock, limits, shared = gateways[number % 2]
        clock.set(at_us, asked)
        shared.hear(notes)
        for _ in range(3):
            ticket = Ticket()
            clock.stand()
            if take_requests(limits.scopes(("key", 1)), clock.now(), ticket) is None:
                machine.s += rand.choice([0.0, 0.004 * rand.random()])
                if shared.confirm(ticket, clock.moment()) is None:
                    admitted.append(clock.wall_us())
                    shared.held(f"r{len(admitted)}", ticket, clock.wall_us())
            clock.go_on()
        notes = shared.told()
    spans = [last - first for first, last in zip(admitted, admitted[limit:], strict=False)]
    assert admitted == sorted(admitted)
    assert min(spans) >= 1_000_000
    assert len(admitted) > 0.97 * limit * (admitted[-1] - admitted[0]) / 1e6
