"""`scripts/crash_payments`: people pay, Stripe tells of it, the server is killed in the midst of it, and starts again.

Right after a start everything is there that was answered before: the session of every checkout, what follows from every
event that was taken (200). Then Stripe sends what was not taken once more, as it does for three days; now every balance
is what Stripe says, to the cent, by one entry of kind topup for each payment that was paid.
"""

import argparse
import random
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx

from tests.blackbox.harness import Account
from tests.blackbox.paying import WEBHOOK, Shop, shop

PAYERS = 4
ACCOUNTS = 16


@dataclass
class Seen:
    """What was shown before a kill, over all rounds."""

    sessions: dict[str, str] = field(default_factory=dict)  # session that was answered -> the account's name
    taken: set[str] = field(default_factory=set)  # ids of events that were answered with 200
    wrong: list[str] = field(default_factory=list)
    resent: int = 0


class Payer(threading.Thread):
    """Pays, and is Stripe's messenger for what it pays, until the server is gone."""

    later = frozenset({429})
    """Answers of a checkout that mean another time."""

    def __init__(self, till: Shop, accounts: list[Account], seen: Seen, seed: int) -> None:
        super().__init__()
        self.till, self.accounts, self.seen = till, accounts, seen
        self.rng = random.Random(seed)

    def run(self) -> None:
        with httpx.Client(base_url=self.till.house.url, trust_env=False, timeout=20) as client:
            try:
                while True:
                    self._pay(client, self.rng.choice(self.accounts))
            except httpx.TransportError:
                return
            except Exception as error:  # a thread's own would be lost
                self.seen.wrong.append(repr(error))

    def _pay(self, client: httpx.Client, account: Account) -> None:
        amount = self.rng.choice([5, 10, 25])
        said = client.post("/v1/user/credits", json={"amount": amount}, headers=account.headers)
        if said.status_code in self.later:
            threading.Event().wait(0.05)
            return
        if said.status_code != 200:
            self.seen.wrong.append(f"a checkout got {said.status_code}: {said.text}")
            return
        session = said.json()["session_id"]
        self.seen.sessions[session] = account.name
        stripe = self.till.stripe
        for act in self.rng.choice(
            [("pay",), ("complete", "succeed"), ("pay", "refund"), ("pay", "dispute", "won"), ()]
        ):
            if act == "refund":
                event = stripe.refund(session, 100)
            elif act == "dispute":
                event = stripe.dispute(session, 300)
            else:
                event = stripe.decide(session, act) if act == "won" else getattr(stripe, act)(session)
            for _ in range(self.rng.choice([1, 1, 2])):
                self._tell(client, event)

    def _tell(self, client: httpx.Client, event: Any) -> None:
        body, signature = self.till.stripe.signed(event)
        said = client.post(WEBHOOK, content=body, headers={"Stripe-Signature": signature})
        if said.status_code == 200:
            self.seen.taken.add(event["id"])
        else:
            self.seen.wrong.append(f"an event got {said.status_code}: {said.text}")


def run_until_dead(
    till: Shop, accounts: list[Account], seen: Seen, *, kill_after_s: float | None, seed: int, within_s: float = 30
) -> None:
    """Pay until the server ends, by its failpoint or by our SIGKILL after `kill_after_s`."""
    payers = [Payer(till, accounts, seen, seed * 100 + number) for number in range(PAYERS)]
    for payer in payers:
        payer.start()
    try:
        if kill_after_s is None:
            till.house.wait_for(lambda: not till.house.process.alive, "the failpoint was never passed", within_s)
        else:
            threading.Event().wait(kill_after_s)
    finally:
        till.house.process.kill()
        for payer in payers:
            payer.join(30)


def tell_again(till: Shop, seen: Seen) -> dict[str, Any]:
    """After the restart: what was answered is there. Then Stripe sends what was not taken. All payments, by their
    sessions. Raises AssertionError."""
    assert not seen.wrong, seen.wrong[:5]
    till.house.verified()
    stripe = till.stripe
    listed = {one["session_id"]: one for one in till.listed()}
    lost = [session for session in seen.sessions if session not in listed]
    assert not lost, f"checkouts that were answered are gone: {lost[:5]}"
    for event in stripe.events:
        about = event["data"]["object"]
        session = about["id"] if about["object"] == "checkout.session" else _session_of(till, about["payment_intent"])
        if event["id"] in seen.taken and about["object"] == "checkout.session" and about["payment_status"] == "paid":
            assert Decimal(listed[session]["credited"]) * 100 == about["amount_total"], f"{session} was lost"
        if event["id"] not in seen.taken:
            said = till.tell(event)
            assert said.status_code == 200, said.text
            seen.taken.add(event["id"])
            seen.resent += 1
    till.house.cli("payments", "reconcile", "--json")
    listed = {one["session_id"]: one for one in till.listed()}
    unknown = stripe.sessions.keys() - listed.keys()
    assert not unknown, f"sessions at Stripe that nobody knows here: {sorted(unknown)[:5]}"
    return listed


def check(till: Shop, accounts: list[Account], seen: Seen) -> None:
    """After the restart. Raises AssertionError."""
    listed, stripe = tell_again(till, seen), till.stripe
    for account in accounts:
        own = [id for id, one in listed.items() if one["account_name"] == account.name and id in stripe.sessions]
        owed = sum(map(stripe.owes, own))
        assert till.balance(account) * 100 == owed, (
            f"{account.name} has {till.balance(account)}, Stripe says {owed} cents"
        )
        topups = [cents for kind, cents in till.entries(account) if kind == "topup"]
        paid = [stripe.sessions[id]["amount_total"] for id in own if stripe.sessions[id]["payment_status"] == "paid"]
        assert sorted(topups) == sorted(paid), f"{account.name}: {len(topups)} credits, {len(paid)} payments"
    assert till.house.verified()["open_holds"] == 0


def _session_of(till: Shop, intent: str) -> str:
    return next(id for id, one in till.stripe.sessions.items() if one["payment_intent"] == intent)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/crash_payments")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    rng, seen, began = random.Random(chosen.seed), Seen(), time.monotonic()
    with tempfile.TemporaryDirectory() as base, shop(Path(base)) as till:
        accounts = [till.house.account("0") for _ in range(ACCOUNTS)]
        for number in range(chosen.rounds):
            run_until_dead(
                till, accounts, seen, kill_after_s=rng.uniform(0.05, 1.0), seed=chosen.seed * 10_000 + number
            )
            till.house.start()
            check(till, accounts, seen)
        paid = sum(one["payment_status"] == "paid" for one in till.stripe.sessions.values())
    print(
        f"{chosen.rounds} kills, {len(till.stripe.sessions)} sessions, {paid} paid, {len(till.stripe.events)} events, "
        f"of which {seen.resent} were cut and came again: nothing lost, nothing twice, {time.monotonic() - began:.0f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
