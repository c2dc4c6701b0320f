"""kill -9 while it works: at `ready` no hold is open, the books are right, and what was answered before is in them."""

import random
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal

import httpx
import pytest

from tests.blackbox.harness import HELLO, Account, House, Raw, body_of, channel

STREAMS = 20
CONFIG = """
[limits]
requests_per_second = 0
""" + channel("lab", ["plain", "endless", "short"])
SCRIPTS = {
    "endless": {"content": ["tick "], "repeat": 100_000, "piece_delay_s": 0.01},
    "short": {"content": ["tick "], "repeat": 5, "piece_delay_s": 0.01},
}


@pytest.fixture
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("crash"), CONFIG, SCRIPTS) as house:
        yield house


class Client(threading.Thread):
    """Makes calls until the server is gone; remembers what was answered whole: request id -> cost."""

    def __init__(self, house: House, account: Account, *, stream: bool) -> None:
        super().__init__()
        self.url, self.account, self.stream = house.url, account, stream
        self.answered: dict[str, Decimal] = {}
        self.begun = 0

    def run(self) -> None:
        body = {"model": "short" if self.stream else "plain", "messages": HELLO, "stream": self.stream}
        with httpx.Client(base_url=self.url, trust_env=False, headers=self.account.headers) as client:
            try:
                while True:
                    self.begun += 1
                    answer = client.post("/v1/chat/completions", json=body)
                    cost = answer.headers.get("x-findtoken-cost")
                    if self.stream:
                        assert answer.content.endswith(b"[DONE]\n\n")
                        cost = answer.text.partition("x-findtoken-cost=")[2].partition(" ")[0]
                    self.answered[answer.headers["x-request-id"]] = Decimal(cost or "NaN")
            except httpx.TransportError:
                pass


def one_round(house: House, delay_s: float) -> tuple[dict[str, Decimal], list[Raw]]:
    """20 streams and two busy clients, killed after `delay_s`; the whole answers, and the wires of the cut streams."""
    accounts = [house.account() for _ in range(4)]
    clients = [Client(house, house.account("50"), stream=stream) for stream in (False, True)]
    wires = [house.raw(accounts[number % 4], "endless", stream=True) for number in range(STREAMS)]
    for wire in wires:
        wire.until(b"tick")
    for client in clients:
        client.start()
    house.wait_for(lambda: all(len(client.answered) > 2 for client in clients), "the clients get no answers")
    time.sleep(delay_s)
    house.kill()
    for client in clients:
        client.join()
    return {**clients[0].answered, **clients[1].answered}, wires


def test_kill_9_during_twenty_streams(house: House) -> None:
    chance = random.Random(9)
    answered: dict[str, Decimal] = {}
    for _ in range(4):
        said, wires = one_round(house, chance.uniform(0.15, 0.5))
        answered |= said
        for wire in wires:
            assert b"[DONE]" not in wire.rest()  # nothing is sold as finished
            wire.socket.close()
        house.start()
        verified = house.cli("ledger", "verify", "--json")
        assert verified["ok"] and verified["open_holds"] == 0, verified
        rows = {row["request_id"]: row for row in house.cli("logs", "--json", "--limit", "10000")["data"]}
        missing = [request for request in answered if request not in rows]
        assert not missing, f"{len(missing)} of {len(answered)} answers are not in the books"
        assert answered and all(Decimal(rows[request]["cost"]) == cost > 0 for request, cost in answered.items())
        spent: dict[str, Decimal] = defaultdict(Decimal)
        for row in rows.values():
            spent[row["account"]] += Decimal(row["cost"])
        for user in house.cli("users", "list", "--json"):
            if user["mode"] == "prepaid":
                granted = Decimal(50) if Decimal(user["balance"]) > 1 else Decimal(1)
                assert Decimal(user["balance"]) + spent[user["id"]] == granted and Decimal(user["held"]) == 0
        house.logged("holds of an earlier process ended")
        assert house.chat(house.account()).status_code == 200


def test_a_grant_and_a_key_that_were_answered_survive(house: House) -> None:
    account = house.account("7")
    house.cli("credit", "grant", account.name, "0.25", "--json")
    house.kill()
    house.start()
    assert house.balance(account) == Decimal("7.25") and house.chat(account).status_code == 200


def test_commands_work_after_a_kill_without_a_server(house: House) -> None:
    account = house.account("7")
    with house.raw(account, "endless", stream=True) as wire:
        wire.until(b"tick")
        house.kill()
    assert house.cli("credit", "grant", account.name, "1", "--json")["balance"] == "8.00"
    verified = house.cli("ledger", "verify", "--json")
    assert verified["open_holds"] == 0 and verified["not_recomputable"]["crashed"] >= 1
    assert "ended by a kill" in house.cli("ledger", "verify")[0]
    row = house.cli("logs", "--json", "--limit", "1")["data"][0]
    assert (row["status"], row["cost"], row["http_status"], row["model"]) == ("crashed", "0", 0, "")
    house.start()
    assert house.balance(account) == 8


def test_left_over_holds_can_cost_their_estimate(tmp_path_factory: pytest.TempPathFactory) -> None:
    config = CONFIG + '[database]\nexpired_hold = "charge_estimate"\n'
    with House(tmp_path_factory.mktemp("charged"), config, SCRIPTS) as house:
        account = house.account("1")
        with house.raw(account, "endless", stream=True) as wire:
            wire.until(b"tick")
            house.kill()
        house.start()
        left = house.balance(account)
        assert Decimal("0.99998") <= left < 1
        (row,) = house.rows(account)
        assert (row["status"], Decimal(row["cost"]), row["estimated"]) == ("crashed", 1 - left, True)
        assert house.rows(account, status="crashed") == [row] and house.rows(account, status="ok") == []
        assert house.verified()["open_holds"] == 0


def test_the_wire_of_a_killed_server_shows_whole_events_only(house: House) -> None:
    """What came before the kill are complete chunks of the stream: the client can tell that it was cut."""
    with house.raw(house.account(), "endless", stream=True) as wire:
        wire.until(b"tick", times=5)
        house.kill()
        assert body_of(wire.rest()).count(b"data: ") >= 5 and not wire.received.endswith(b"0\r\n\r\n")
    house.start()
