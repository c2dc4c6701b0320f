"""Lives of payments by a seed: people pay, refund and dispute, Stripe fails, tells late, twice, in any order and at
once, the gateway starts anew. In the end, when everything was told, the account has just what Stripe says, by one
credit for each payment."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from ftgate.core.money import PICO_PER_USD
from ftgate.core.payments import CENT
from ftgate.errors import GateError
from ftgate.ports.payments import Checkout
from ftgate.store.verify import verify_ledger
from tests.accounts.test_payments import World, entries, world
from tests.fakes.stripe import FakeStripe, Fault

SEEDS = range(12)
STEPS = 50


@pytest.fixture
def stripe() -> Iterator[FakeStripe]:
    with FakeStripe() as stripe:
        yield stripe


class Life:
    """What happens, by a seed."""

    def __init__(self, stripe: FakeStripe, seed: int) -> None:
        self.stripe, self.rng = stripe, random.Random(seed)

    async def step(self, w: World) -> None:
        act = self.rng.choice(["order", "happens", "happens", "happens", "told", "told", "fault", "looks", "reconcile"])
        if act == "order":
            amount = self.rng.choice([5, 10, 50]) * PICO_PER_USD
            await self._try(w.payments.checkout, 1, Checkout(amount))
        elif act == "happens" and self.stripe.sessions:
            self._happens(self.rng.choice(list(self.stripe.sessions)))
        elif act == "told" and self.stripe.events:
            async with trio.open_nursery() as nursery:
                for event in self.rng.choices(self.stripe.events, k=self.rng.choice([1, 1, 3])):
                    nursery.start_soon(self._try, w.told, event)
        elif act == "fault":
            status = self.rng.choice([500, 409, 404])
            fault = Fault(status=status, drop=self.rng.random() < 0.3, times=self.rng.choice([1, 2, 4]))
            fault.done = status != 404 and self.rng.random() < 0.7
            method, path = self.rng.choice([("POST", "/v1/checkout"), ("GET", "/v1/"), ("GET", "/v1/disputes")])
            if (method, status) != ("POST", 404):
                self.stripe.fault(method, path, fault)
        elif act == "looks" and w.payments.rows.by_session:
            w.clock.ahead_s += 11
            await self._try(w.payments.one, 1, self.rng.choice(list(w.payments.rows.by_session)))
        elif act == "reconcile":
            await w.payments.events.reconcile(everything=self.rng.random() < 0.5)

    @staticmethod
    async def _try(what: Any, *values: Any) -> None:
        try:
            await what(*values)
        except GateError as error:
            assert error.status in {409, 429, 502, 503, 504}, error

    def _happens(self, session: str) -> None:
        """One thing that can happen to a session as it stands."""
        stripe, said = self.stripe, self.stripe.sessions[session]
        if said["status"] == "open":
            self.rng.choice([stripe.pay, stripe.pay, stripe.complete, stripe.expire])(session)
        elif said["status"] == "complete" and said["payment_status"] == "unpaid":
            self.rng.choice([stripe.succeed, stripe.fail])(session)
        elif said["payment_status"] == "paid":
            charge = stripe.charge_of(session)
            disputes = [one for one in stripe.disputes.values() if one["charge"] == charge["id"]]
            left = charge["amount"] - charge["amount_refunded"]
            refunds = [r for r in stripe.refunds.values() if r["charge"] == charge["id"] and r["status"] == "succeeded"]
            act = self.rng.choice(["refund", "fail_refund", "dispute", "decide"])
            if act == "refund" and left:
                stripe.refund(session, self.rng.randint(1, left))
            elif act == "fail_refund" and refunds:
                stripe.fail_refund(session)
            elif act == "dispute" and not disputes:
                stripe.dispute(session, self.rng.randint(1, charge["amount"]))
            elif act == "decide" and disputes:
                stripe.decide(session, self.rng.choice(["won", "lost"]))


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_life(path: Path, stripe: FakeStripe, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftgate.accounts.stripe.PAUSES_S", (0.0, 0.0))
    life, ahead_s = Life(stripe, seed), 0.0
    for _ in range(3):  # starts
        async with world(path, stripe) as w:
            w.clock.ahead_s = ahead_s
            for _ in range(STEPS // 3):
                await life.step(w)
            ahead_s = w.clock.ahead_s
    stripe.heal()
    async with world(path, stripe) as w:
        w.clock.ahead_s = ahead_s
        told = list(stripe.events)
        life.rng.shuffle(told)
        for event in told:
            await w.told(event)
        await w.payments.reconcile()
        owed = sum(map(stripe.owes, stripe.sessions))
        assert w.payments.directory.books.accounts[1].posted == owed * CENT
        for session, said in stripe.sessions.items():
            payment = w.payments.rows.by_id[w.payments.rows.by_session[session]]
            assert payment.credited == said["amount_total"] * CENT * (said["payment_status"] == "paid"), payment
            assert payment.credited - payment.taken == stripe.owes(session) * CENT
    topups = [ref for kind, _, ref in entries(path) if kind == "topup"]
    assert sorted(topups) == sorted(id for id, one in stripe.sessions.items() if one["payment_status"] == "paid")
    assert verify_ledger(path)["ok"]
