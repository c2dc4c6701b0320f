"""Limits that several gateways keep together, as their turns go: never one too many by the clock of the database."""

import random

import pytest

from ftgate.core.limits import Limits, Meters, Rates, Ticket, requests_wait, take_requests, tokens_wait
from ftgate.core.limits_shared import SharedLimits


class Gateway:
    """Calls come in at once, and are confirmed in a turn."""

    def __init__(self, rates: Rates, town: "Town") -> None:
        self.town = town
        self.limits = Limits(lambda scope, name: rates)
        self.shared = SharedLimits(self.limits, lambda: town.now, lambda at_us: at_us / 1e6)
        self.waiting: list[tuple[str, Ticket, int]] = []
        self.seen = 0

    def come(self, ref: str, tokens: int = 0) -> bool:
        scopes, ticket = self.limits.scopes(("key", 1)), Ticket()
        if tokens_wait(scopes, self.town.now, tokens) or take_requests(scopes, self.town.now, ticket):
            return False
        ticket.borrow(self.town.now, tokens)
        self.waiting.append((ref, ticket, tokens))
        return True

    def turn(self) -> list[tuple[str, Ticket]]:
        """Those that were let in."""
        town = self.town
        for boot, told in town.notes[self.seen :]:
            if boot is not self:
                self.shared.hear(told)
        let_in = []
        for ref, ticket, tokens in self.waiting:
            if self.shared.confirm(ticket, town.now) is None:
                self.shared.held(ref, ticket, round(town.now * 1e6))
                town.admitted.append((town.now, tokens))
                let_in.append((ref, ticket))
        self.waiting.clear()
        town.notes.append((self, self.shared.told()))
        self.seen = len(town.notes)
        return let_in


class Town:
    def __init__(self, rates: Rates, gateways: int = 2) -> None:
        self.now = 1000.0
        self.notes: list[tuple[Gateway, list[list[object]]]] = []
        self.admitted: list[tuple[float, int]] = []
        self.gateways = [Gateway(rates, self) for _ in range(gateways)]


def most_within(admitted: list[tuple[float, int]], span_s: float) -> int:
    return max(sum(1 for at, _ in admitted if start <= at < start + span_s - 1e-9) for start, _ in admitted)


@pytest.mark.parametrize("seed", range(5))
def test_in_no_second_more_than_the_limit_and_nearly_all_of_it(seed: int) -> None:
    rand, limit = random.Random(seed), 50
    town = Town(Rates(requests_per_second=limit), gateways=3)
    number = 0
    end = town.now + 10
    while town.now < end:  # four times the limit is offered
        town.now += rand.uniform(0.001, 0.009)
        number += 1
        rand.choice(town.gateways).come(f"r{number}")
        if rand.random() < 0.9:
            for _, ticket in rand.choice(town.gateways).turn():
                ticket.release(town.now, 0)
    assert most_within(town.admitted, 1.0) <= limit
    assert len(town.admitted) >= 0.97 * limit * 10, len(town.admitted)


def test_calls_in_flight_are_counted_together() -> None:
    town = Town(Rates(concurrent=3))
    one, other = town.gateways
    assert all([one.come("a"), one.come("b"), other.come("c"), other.come("d")])  # nobody knows of the other's yet
    held = dict(one.turn())
    held |= other.turn()
    assert {"a", "b"} < set(held) and len(held) == 3
    one.turn()
    assert not one.come("e")
    (ended,) = held.keys() - {"a", "b"}
    held[ended].release(town.now, 0)
    other.shared.ended(ended, 0)
    other.turn()
    one.turn()
    assert one.come("f")


def test_what_a_call_used_takes_the_place_of_what_it_borrowed_everywhere() -> None:
    town = Town(Rates(tokens_per_minute=1000))
    one, other = town.gateways
    assert one.come("a", 900)
    ((_, ticket),) = one.turn()
    other.turn()
    assert not other.come("b", 200)
    ticket.release(town.now, 100)
    one.shared.ended("a", 100)
    one.turn()
    other.turn()
    assert other.come("c", 900)


def test_a_call_that_is_refused_after_all_leaves_nothing_behind() -> None:
    town = Town(Rates(requests_per_second=2, requests_per_minute=100, tokens_per_minute=1000))
    one, other = town.gateways
    assert all([one.come("a", 10), one.come("b", 10), other.come("c", 10), other.come("d", 10)])
    assert len(one.turn()) == 2 and other.turn() == []
    meters = other.limits.meters("key", 1)
    assert (meters.in_flight, meters.elsewhere, meters.second.used, meters.minute.used, meters.tokens.used) == (
        0, 2, 2, 2, 20,
    )  # fmt: skip
    town.now += 1.001
    assert requests_wait([("key", meters)], town.now) is None


def test_a_gateway_that_dies_gives_back_what_it_had_in_flight() -> None:
    town = Town(Rates(concurrent=1))
    one, other = town.gateways
    assert one.come("a") and one.turn()
    other.turn()
    assert not other.come("b")
    other.shared.ended("a", 0)  # its hold is let expire
    assert other.come("c")


def test_a_call_comes_to_a_model_and_leaves_it_for_another_everywhere() -> None:
    """Behind its hold a call is counted at the model it is at, and at no other; what it used counts there."""
    town = Town(Rates(concurrent=1, tokens_per_minute=1000))
    one, other = town.gateways

    def at(gateway: Gateway, name: str) -> Meters:
        return gateway.limits.meters("model", name)

    def come(name: str, tokens: int) -> Ticket:
        ticket = Ticket()
        assert take_requests([("model", at(one, name))], town.now, ticket) is None
        ticket.borrow(town.now, tokens)
        assert one.shared.confirm(ticket, town.now) is None
        one.shared.held("a", ticket, round(town.now * 1e6))
        return ticket

    assert one.come("a", 10)
    one.turn()
    first, second = come("m1", 400), come("m2", 500)
    one.shared.left("a", first, 0)
    one.turn()
    other.turn()
    assert [at(other, name).elsewhere for name in ("m1", "m2")] == [0, 1]
    assert [at(other, name).tokens.used for name in ("m1", "m2")] == [0, 500]
    assert requests_wait([("model", at(other, "m2"))], town.now) and not requests_wait([("model", at(other, "m1"))], 0)
    one.shared.left("a", second, 70)
    one.shared.ended("a", 70)
    one.turn()
    other.turn()
    assert [at(other, name).elsewhere for name in ("m1", "m2")] == [0, 0]
    assert [at(other, name).tokens.used for name in ("m1", "m2")] == [0, 70]
    assert (other.limits.meters("key", 1).elsewhere, other.limits.meters("key", 1).tokens.used) == (0, 70)


def test_what_is_told_twice_counts_once_and_what_is_open_nowhere_counts_no_more() -> None:
    town = Town(Rates(concurrent=5, requests_per_second=5))
    one, other = town.gateways
    assert one.come("a") and one.come("b")
    one.turn()
    (_, told) = town.notes[-1]
    other.shared.hear(told)
    other.turn()
    meters = other.limits.meters("key", 1)
    assert (meters.elsewhere, meters.second.used) == (2, 2)
    other.shared.keep(["b"])
    assert meters.elsewhere == 1
    other.shared.keep([])
    assert meters.elsewhere == 0


def test_a_call_that_was_refused_in_a_turn_that_did_not_come_in_stays_so() -> None:
    """What it took was given back: it must not count a second time, and must not be let in by nothing."""
    town = Town(Rates(requests_per_second=1))
    one, other = town.gateways
    assert one.come("a") and other.come("b") and one.turn()
    ((_, ticket, _),) = other.waiting
    assert other.turn() == [] and ticket.released
    town.now += 2
    refused = other.shared.confirm(ticket, town.now)
    assert refused is not None and refused.retry_after_s > 0
    assert other.come("c") and len(other.turn()) == 1


def test_a_call_that_waits_out_its_window_for_a_turn_counts_in_the_one_it_comes_to() -> None:
    town = Town(Rates(requests_per_second=2))
    one, other = town.gateways
    assert one.come("late") and one.come("later")
    town.now += 1.5
    assert not tokens_wait(one.limits.scopes(("key", 1)), town.now, 0)
    meters = one.limits.meters("key", 1)
    meters.second.wait_s(town.now)  # what is over has left
    assert other.come("a") and other.come("b") and len(other.turn()) == 2
    assert one.turn() == [] and meters.second.used == 2
    town.now += 1.1
    assert one.come("next") and len(one.turn()) == 1 and meters.second.used == 1
