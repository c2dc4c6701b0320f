"""Rounds of load that end in a SIGKILL, and what must hold after each: for test_failpoints.py and scripts/crash.

The clients note what they were shown. After the restart: every settlement that was answered is in the books at the cost that
was shown; no hold is open; the ledger verifies; nobody is below zero; nobody lost or won credits: granted = balance + costs.
"""

import random
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal

import httpx

from tests.blackbox.harness import HELLO, Account, House, channel

CONFIG = """
[limits]
requests_per_second = 0
""" + channel("lab", ["plain", "short", "slow"])
SCRIPTS = {
    "short": {"content": ["tick "], "repeat": 4, "piece_delay_s": 0.002},
    "slow": {"content": ["tick "], "repeat": 200, "piece_delay_s": 0.01},
}
CREDITS = "3"


@dataclass
class Shown:
    """What the clients of all rounds were shown: request id -> cost."""

    settled: dict[str, Decimal] = field(default_factory=dict)
    rounds: int = 0


class Client(threading.Thread):
    """Calls until the server is gone."""

    def __init__(self, url: str, account: Account, shown: Shown, seed: int) -> None:
        super().__init__(daemon=True)
        self.url, self.account, self.shown, self.rng = url, account, shown, random.Random(seed)

    def run(self) -> None:
        with httpx.Client(base_url=self.url, trust_env=False, headers=self.account.headers, timeout=20) as client:
            try:
                while True:
                    self._call(client, self.rng.choice(["plain", "plain", "short", "slow"]))
            except httpx.TransportError:
                return

    def _call(self, client: httpx.Client, model: str) -> None:
        streams = model != "plain"
        body = {"model": model, "messages": HELLO, "max_tokens": 300, "stream": streams}
        if not streams:
            answer = client.post("/v1/chat/completions", json=body)
            if answer.status_code == 200 and "x-findtoken-balance" in answer.headers:
                self.shown.settled[answer.headers["x-request-id"]] = Decimal(answer.headers["x-findtoken-cost"])
            return
        with client.stream("POST", "/v1/chat/completions", json=body) as answer:
            text = ""
            for piece in answer.iter_text():
                text += piece
                if model == "slow" and text.count("tick") > self.rng.randint(3, 60):
                    return  # leaves
            if "balance=" in text:
                cost = text.partition("x-findtoken-cost=")[2].partition(" ")[0]
                self.shown.settled[answer.headers["x-request-id"]] = Decimal(cost)


def run_until_dead(
    house: House, accounts: list[Account], shown: Shown, *, kill_after_s: float | None, seed: int, within_s: float = 30
) -> None:
    """Load the server until it ends, by its failpoint or by our SIGKILL after `kill_after_s`."""
    clients = [Client(house.url, account, shown, seed * 100 + number) for number, account in enumerate(accounts)]
    for client in clients:
        client.start()
    try:
        if kill_after_s is None:
            house.wait_for(lambda: not house.process.alive, "the failpoint was never passed", within_s)
        else:
            threading.Event().wait(kill_after_s)
            house.kill()
    finally:
        house.process.kill()
        for client in clients:
            client.join(30)
    shown.rounds += 1


def check(house: House, accounts: list[Account], shown: Shown) -> None:
    """After the restart. Raises AssertionError."""
    verified = house.verified()
    assert verified["open_holds"] == 0, verified
    rows = {row["request_id"]: row for row in house.quick("logs", "--json", "--limit", "10000")["data"]}
    lost = [id for id in shown.settled if id not in rows]
    assert not lost, f"{len(lost)} answered settlements are not in the books"
    wrong = [id for id, cost in shown.settled.items() if Decimal(rows[id]["cost"]) != cost]
    assert not wrong, f"{len(wrong)} costs differ from what was shown"
    spent: dict[str, Decimal] = defaultdict(Decimal)
    for row in rows.values():
        spent[row["account"]] += Decimal(row["cost"])
    users = {user["username"]: user for user in house.quick("users", "list", "--json")}
    for account in accounts:
        user = users[account.name]
        balance = Decimal(user["balance"])
        assert balance >= 0 and Decimal(user["held"]) == 0
        assert balance + spent[user["id"]] == Decimal(CREDITS), (
            f"{account.name}: granted {CREDITS}, has {balance}, spent {spent[user['id']]}"
        )
