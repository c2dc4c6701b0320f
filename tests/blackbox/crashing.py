"""Rounds of load that end in a SIGKILL, and what must hold after each: for test_failpoints.py and scripts/crash.

The clients note what they were shown. What a whole answer promises (CONTRACT.md, answer headers):

    cost and balance   the settlement is durable: it is in the books for ever, at that cost, and left just that balance
    cost alone         its commit was late. It may be lost in the kill, and then nothing is charged; if it is in the
                       books, it is charged exactly that cost
    no cost            there is no such answer

Beside that, after every restart: no hold is open; the ledger verifies; nobody is below zero; nobody lost or won
credits; every call has one end, and a row that says the same; what was in the books after an earlier restart is still
there.
"""

import fcntl
import random
import re
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import httpx

from ftgate.store.database import read_only
from tests.blackbox.harness import HELLO, Account, House, channel

CONFIG = """
[limits]
requests_per_second = 0
""" + channel("lab", ["plain", "short", "long", "slow"])
SCRIPTS = {
    "short": {"content": ["tick "], "repeat": 4, "piece_delay_s": 0.002},
    "long": {"content": ["tick "], "repeat": 40, "piece_delay_s": 0.01},
    "slow": {"content": ["tick "], "repeat": 200, "piece_delay_s": 0.01},
}
CREDITS = "3"
USD = 10**12
LATE_EVERY, LATE_AT = 10, 7
"""Of so many rounds, by their seed, one has a database that takes no commits for LOCKED_S: its answers come without a
balance."""
LOCKED_S = 2.8
"""Longer than an answer waits for its commit (2 s)."""
WRITE_LOCK = 120
"""The byte of the -shm file whose lock is SQLite's write lock (SQLite's WAL-index format)."""
COMMENT = re.compile(r": x-findtoken-cost=(\S+)(?: balance=(\S+))?\n")


@dataclass
class Shown:
    """What the clients of all rounds were shown: request id -> cost, and balance; and what was found in the books."""

    settled: dict[str, Decimal] = field(default_factory=dict)
    balances: dict[str, Decimal] = field(default_factory=dict)
    late: dict[str, Decimal] = field(default_factory=dict)  # answered without a balance
    late_lost: int = 0  # of these, by the last check
    wrong: list[str] = field(default_factory=list)
    rounds: int = 0
    rows: dict[str, tuple[int, int]] = field(default_factory=dict)  # by the last check: account, cost in units

    def note(self, id: str, cost: str | None, balance: str | None) -> None:
        """An answer that came whole."""
        if cost is None:
            self.wrong.append(f"{id} was answered without a cost")
        elif balance is None:
            self.late[id] = Decimal(cost)
        else:
            self.settled[id], self.balances[id] = Decimal(cost), Decimal(balance)

    def words(self) -> str:
        """For a report."""
        return (
            f"{len(self.settled)} answers with a balance all in the books at the cost and the balance shown, "
            f"{len(self.late)} without:"
            f" {len(self.late) - self.late_lost} in the books at the cost shown, {self.late_lost} lost in a kill and "
            "not charged"
        )


class Client(threading.Thread):
    """Calls until the server is gone."""

    def __init__(self, url: str, account: Account, shown: Shown, seed: int) -> None:
        super().__init__(daemon=True)
        self.url, self.account, self.shown, self.rng = url, account, shown, random.Random(seed)

    def run(self) -> None:
        with httpx.Client(base_url=self.url, trust_env=False, headers=self.account.headers, timeout=20) as client:
            try:
                while True:
                    self._call(client, self.rng.choice(["plain", "plain", "short", "long", "slow"]))
            except httpx.TransportError:
                return
            except Exception as error:  # a thread's own would be lost
                self.shown.wrong.append(f"{self.account.name}: {error!r}")

    def _call(self, client: httpx.Client, model: str) -> None:
        body = {"model": model, "messages": HELLO, "max_tokens": 300, "stream": model != "plain"}
        began = time.monotonic()
        with client.stream("POST", "/v1/chat/completions", json=body) as answer:
            id = answer.headers["x-request-id"]
            if not self.may_get(answer, began):
                self.shown.wrong.append(f"{id} got {answer.status_code}: {answer.read()!r}")
            if answer.status_code != 200:
                threading.Event().wait(0.05)
            elif model == "plain":
                answer.read()
                self.shown.note(id, answer.headers.get("x-findtoken-cost"), answer.headers.get("x-findtoken-balance"))
            else:
                self._stream(answer, id, leaves=model == "slow")

    def may_get(self, answer: httpx.Response, began: float) -> bool:
        """Whether a call that began then may be answered so."""
        return answer.status_code in {200, 503}  # a database that takes no commits

    def _stream(self, answer: httpx.Response, id: str, *, leaves: bool) -> None:
        text = ""
        try:
            for piece in answer.iter_text():
                text += piece
                if leaves and text.count("tick") > self.rng.randint(3, 60):
                    return
        finally:  # what was shown is promised, also when the server dies right after it
            said = COMMENT.search(text)
            if said or "data: [DONE]" in text:
                self.shown.note(id, said and said[1], said and said[2])


@contextmanager
def locked(house: House) -> Iterator[None]:
    """Keep the server from committing, as a program does that writes to the database. No connection of ours: closing
    one would fold back the log that the kill leaves."""
    with (house.data / "ftgate.sqlite3-shm").open("r+b") as shared:
        fcntl.lockf(shared, fcntl.LOCK_EX, 1, WRITE_LOCK)
        yield


def run_until_dead(
    house: House, accounts: list[Account], shown: Shown, *, kill_after_s: float | None, seed: int, within_s: float = 30
) -> None:
    """Load the server until it ends, by its failpoint or by our SIGKILL after `kill_after_s`. In some rounds the
    database takes no commits before the kill, until then or until a moment before."""
    clients = [Client(house.url, account, shown, seed * 100 + number) for number, account in enumerate(accounts)]
    for client in clients:
        client.start()
    wait = threading.Event().wait
    try:
        if kill_after_s is None:
            house.wait_for(lambda: not house.process.alive, "the failpoint was never passed", within_s)
        else:
            wait(kill_after_s)
            if seed % LATE_EVERY == LATE_AT:
                with locked(house):
                    wait(LOCKED_S)
                    if seed % (2 * LATE_EVERY) == LATE_AT:
                        house.kill()
                wait(kill_after_s)
            house.kill()
    finally:
        house.process.kill()
        for client in clients:
            client.join(30)
    shown.rounds += 1


@dataclass
class Books:
    """The database read without the house's own readers: units, by request id, hold and account."""

    rows: dict[str, tuple[int, int]] = field(default_factory=dict)  # id -> account, cost
    crashed: set[str] = field(default_factory=set)  # those whose row says that a kill ended them
    kinds: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))  # id -> its entries, in order
    charged: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    left: dict[str, int] = field(default_factory=dict)  # id -> what its account had right after it
    has: dict[int, int] = field(default_factory=lambda: defaultdict(int))  # account -> credits, by the entries
    granted: dict[int, int] = field(default_factory=lambda: defaultdict(int))  # account -> what moved beside calls

    @classmethod
    def read(cls, house: House) -> "Books":
        books = cls()
        with closing(read_only(house.data / "ftgate.sqlite3")) as connection:
            connection.execute("BEGIN")
            rows: list[Any] = connection.execute(
                "SELECT request_id, account, cost, status FROM requests WHERE hold > 0"
            ).fetchall()
            entries = connection.execute("SELECT kind, account, amount, ref, debit FROM entries ORDER BY id").fetchall()
        books.rows = {id: (account, cost) for id, account, cost, _ in rows}
        books.crashed = {id for id, _, _, status in rows if status == "crashed"}
        for kind, account, amount, ref, debit in entries:
            if kind in {"grant", "topup", "refund", "correct"}:
                signed = -amount if debit == "credits" else amount
                books.granted[account] += signed
                books.has[account] += signed
                continue
            books.kinds[ref].append(kind)
            if kind in {"post", "void", "expire", "overrun"}:
                books.charged[ref] += amount
                books.has[account] -= amount
            books.left[ref] = books.has[account]
        return books


def check(house: House, accounts: list[Account], shown: Shown) -> None:
    """After the restart. Raises AssertionError."""
    books = check_calls(house, shown)
    users = {user["username"]: user for user in house.cli("users", "list", "--json")}
    for account in accounts:
        user = users[account.name]
        number, balance = int(user["id"]), Decimal(user["balance"])
        spent = sum(cost for owner, cost in books.rows.values() if owner == number)
        assert Decimal(user["held"]) == 0 <= balance and books.granted[number] == Decimal(CREDITS) * USD
        assert balance * USD == books.has[number] == books.granted[number] - spent, (
            f"{account.name}: granted {CREDITS}, has {balance}, spent {spent} units by its rows, {books.has[number]} "
            "left by its entries"
        )


def check_calls(house: House, shown: Shown) -> Books:
    """What was answered and what stands in the books, of every call; the books. Raises AssertionError."""
    assert not shown.wrong, shown.wrong[:5]
    verified = house.verified()
    assert verified["open_holds"] == 0, verified
    books = Books.read(house)
    lost = [id for id in shown.settled if id not in books.rows]
    assert not lost, f"{len(lost)} answered settlements are not in the books: {lost[:5]}"
    for id, cost in shown.settled.items():
        assert id not in books.crashed, f"{id} was answered, and its row says that it crashed"
        assert books.rows[id][1] == books.charged[id] == cost * USD, f"{id}: charged {books.charged[id]}, shown {cost}"
        assert books.left[id] == shown.balances[id] * USD, f"{id}: left {books.left[id]}, shown {shown.balances[id]}"
    for id, cost in shown.late.items():
        most = cost * USD if id in books.rows.keys() - books.crashed else 0
        assert books.charged.get(id, 0) == most, (
            f"{id}: answered late at {cost}, charged {books.charged.get(id, 0)}, its row: {books.rows.get(id)}"
        )
    shown.late_lost = sum(id not in books.rows or id in books.crashed for id in shown.late)
    _every_call(books)
    gone = [id for id, said in shown.rows.items() if books.rows.get(id) != said]
    assert not gone, (
        f"{len(gone)} calls were in the books after an earlier restart and are not there as they were: {gone[:5]}"
    )
    shown.rows = books.rows
    return books


def _every_call(books: Books) -> None:
    """One hold, one end and one row each; where a restart made the end, which charges nothing, the row says so."""
    for id, kinds in books.kinds.items():
        assert (kinds == ["hold", "expire"]) == (id in books.crashed), f"{id}: {kinds}, its row: {books.rows.get(id)}"
        if id in books.crashed:
            assert books.rows[id][1] == books.charged[id] == 0, f"{id} was ended by a restart: {books.rows.get(id)}"
        else:
            assert kinds[:1] == ["hold"] and kinds[1:] in (["void"], ["post"], ["post", "overrun"]), f"{id}: {kinds}"
            assert id in books.rows and books.rows[id][1] == books.charged[id], (
                f"{id}: {books.rows.get(id)}, charged {books.charged[id]}"
            )
    assert books.rows.keys() <= books.kinds.keys(), "a row of a call that the ledger does not know"
