"""The auditor of a history: a second, simpler account of what every call may have cost.

It knows what each upstream was told to say, what each client saw, and the prices in force when the call began; it reads the
database as anyone could. It shares no arithmetic with the house: fractions in place of integer tricks, one formula in place of
holds and caps.
"""

import contextvars
import json
import math
import re
import sqlite3
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from ftgate.core.books import Books, Entry
from ftgate.core.pricing import Multiplier, Price
from ftgate.core.routing import Candidate, Channel
from ftgate.exchange import Call
from ftgate.ports import UpstreamRequest

current: contextvars.ContextVar["Seen"] = contextvars.ContextVar("current")
LIES: dict[str, Any] = {"negative": -3, "text": "12", "float": 1.5, "huge": 10**18}
ENDS = ("post", "void", "expire")


@dataclass
class Told:
    """One attempt as the upstream was told to play it."""

    candidate: Candidate
    head_sent_before: bool
    asked: dict[str, Any] = field(default_factory=dict)
    sent: bool = False
    hollow: bool = False
    content: int = 0
    bytes_read: int = 0
    usage: tuple[int, int, int] | None = None  # prompt, cached, output; None when a lie or nothing is said
    said: dict[str, Any] | None = None

    def truth(self, *, prompt: int, cached: int, output: int, most: int, content: bool, liar: str | None) -> None:
        output = 0 if liar == "zero" else min(output, most)
        self.said = {"prompt_tokens": prompt, "completion_tokens": output, "prompt_tokens_details": {"cached_tokens": cached}}
        if liar == "missing":
            self.said = None
        elif liar in LIES:
            self.said["completion_tokens"] = LIES[liar]
        # Not to be believed either: more cached than there was, more than fits, content for nothing.
        absurd = cached > prompt or prompt > (self.candidate.model.context or 10**7) or (content and output == 0)
        if liar in {None, "zero"} and not absurd:
            self.usage = (prompt, cached, output)


@dataclass
class Seen:
    """One call as its client saw it."""

    call: Call
    account: int
    key: int
    metered: bool
    multiplier: Multiplier
    body: dict[str, Any]
    channels: tuple[Channel, ...] = ()
    told: list[Told] = field(default_factory=list)
    status: int | None = None
    headers: dict[bytes, bytes] = field(default_factory=dict)
    answer: bytes = b""
    ended: bool = False
    returned: bool = False

    @property
    def client_head(self) -> bool:
        return self.status == 200

    @property
    def complete(self) -> bool:
        """The client has a whole answer in its hands."""
        return self.status == 200 and self.ended and (not self.body["stream"] or b"data: [DONE]" in self.answer)

    def shown(self) -> tuple[str | None, str | None]:
        """(cost, balance) as the client was shown them."""
        found = re.search(rb": x-findtoken-cost=(\S+)(?: balance=(\S+))?\n", self.answer)
        cost, balance = (found[1], found[2]) if found else (self.headers.get(b"x-findtoken-cost"), self.headers.get(b"x-findtoken-balance"))
        return cost.decode() if cost else None, balance.decode() if balance else None


def price_of(price: Price, prompt: int, cached: int, output: int, multiplier: Multiplier) -> int:
    """Units, by the plain formula: every token at its rate, times the plan's factor, rounded half up once."""
    row: Any = price
    for tier in price.tiers:
        if prompt > tier.above:
            row = tier
    exact = Fraction((prompt - cached) * row.input + cached * row.cached + output * row.output + price.per_request)
    return math.floor(exact * Fraction(multiplier.numerator, multiplier.denominator) + Fraction(1, 2))


def usd(text: str) -> int:
    units = Fraction(text) * 10**12
    assert units.denominator == 1, f"{text} is finer than the ledger"
    return int(units)


class Auditor:
    """Watches one history. Every method raises AssertionError where the house is wrong."""

    def __init__(self) -> None:
        self.calls: list[Seen] = []
        self.wrong: list[str] = []
        self.concurrent = 0  # calls that one key may have upstream at once; 0 is any number
        self.quotas: dict[int, int | None] = {}

    def expect(self, right: bool, words: str) -> None:
        """Note what is wrong while the gate is running: it takes an exception for a bug of its own and goes on. It is raised
        when the call has returned."""
        if not right:
            self.wrong.append(words)

    # While it runs

    def began(self, seen: Seen, channels: tuple[Channel, ...]) -> None:
        seen.channels = channels
        current.set(seen)
        self.calls.append(seen)

    def asked(self, request: UpstreamRequest) -> tuple[Seen, Told]:
        """A request reaches an upstream: whose call it is, and which candidate."""
        seen = current.get()
        asked = json.loads(request.body)
        channel = next(c for c in seen.channels if c.name == request.channel)
        model = next(m for m in channel.models.values() if m.upstream == asked["model"])
        told = Told(Candidate(channel, channel.credentials[0], model), seen.client_head, asked)
        self.expect(not told.head_sent_before, "a second attempt after the client had content")
        seen.told.append(told)
        upstream = [call for call in self.calls if call.key == seen.key and call.told and not call.returned]
        self.expect(not self.concurrent or len(upstream) <= self.concurrent, "more calls at once than the key may have")
        return seen, told

    def answered(self, seen: Seen, connection: sqlite3.Connection, books: Books) -> None:
        """The head of an answer goes to the client."""
        if seen.status == 200:
            held = connection.execute("SELECT 1 FROM entries WHERE kind = 'hold' AND ref = ?", (seen.call.id,)).fetchone()
            self.expect(held is not None, "content before its hold was durable")
        if seen.status == 402 and not seen.metered and b"insufficient_credits" in seen.answer:
            self.expect(books.accounts[seen.account].available < 10**13, "a rich account was refused")

    def returned(self, seen: Seen, books: Books) -> None:
        seen.returned = True
        assert not self.wrong, self.wrong
        assert all(hold.ref != seen.call.id for hold in books.open.values()), "the call has returned and its hold is open"
        balance = books.accounts[seen.account]
        assert balance.held >= 0
        if not balance.lowered:  # only a refund or a correction may take an account below what it holds
            assert balance.posted >= 0 and (balance.metered or balance.available >= 0)

    # Between boots

    def booted(self, connection: sqlite3.Connection) -> None:
        """After a start, crash or not: whoever was shown a balance had a durable settlement."""
        assert not self.open_holds(connection), "open holds at ready"
        self.check_books(connection)
        for seen in self.calls:
            cost, balance = seen.shown()
            if balance is not None:
                row = self.row(connection, seen)
                assert row is not None, f"{seen.call.id}: an answered settlement is lost"
                assert row["cost"] == usd(cost or "0"), f"{seen.call.id}: shown {cost}, remembered {row['cost']}"
        self.calls.clear()

    def stopped(self, connection: sqlite3.Connection) -> None:
        """After a clean stop: every call of this boot, to the last unit."""
        assert not self.open_holds(connection), "open holds after a clean stop"
        self.check_books(connection)
        for seen in self.calls:
            if seen.returned:
                self.check_call(connection, seen)

    def open_holds(self, connection: sqlite3.Connection) -> list[int]:
        ended = {row[0] for row in connection.execute(f"SELECT hold FROM entries WHERE kind IN {ENDS}")}
        return [row[0] for row in connection.execute("SELECT id FROM entries WHERE kind = 'hold'") if row[0] not in ended]

    def check_books(self, connection: sqlite3.Connection) -> None:
        """Balances from nothing but the entries; a hold ends once; costs of rows are the entries'."""
        posted: dict[int, int] = {}
        used: dict[int, int] = {}
        costs: dict[str, int] = {}
        ends: dict[int, int] = {}
        lowered: set[int] = set()
        last = 0
        for values in connection.execute(f"SELECT {', '.join(Entry.__struct_fields__)} FROM entries ORDER BY id"):
            entry = Entry(*values)
            assert entry.id > last and entry.amount >= 0
            last = entry.id
            if entry.kind in ENDS:
                ends[entry.hold] = ends.get(entry.hold, 0) + 1
            if entry.kind in {"grant", "topup", "refund", "correct"}:
                sign = 1 if entry.credit == "credits" else -1
                assert (entry.kind, sign) not in {("grant", -1), ("topup", -1), ("refund", 1)}
                posted[entry.account] = posted.get(entry.account, 0) + sign * entry.amount
                if sign < 0:
                    lowered.add(entry.account)
            elif entry.kind in {"post", "expire", "overrun"}:
                book = used if entry.debit == "usage" else posted
                book[entry.account] = book.get(entry.account, 0) + (entry.amount if entry.debit == "usage" else -entry.amount)
                costs[entry.ref] = costs.get(entry.ref, 0) + entry.amount
            assert posted.get(entry.account, 0) >= 0 or entry.account in lowered, "below zero"
        assert set(ends.values()) <= {1}, "a hold ended twice"
        for account, has, held, spent in connection.execute("SELECT account, posted, held, used FROM balances"):
            assert (posted.get(account, 0), 0, used.get(account, 0)) == (has, held, spent), f"account {account}"
        for key, spent in connection.execute("SELECT key, used FROM spent"):
            limit = self.quotas.get(key)
            assert limit is None or spent <= limit, f"key {key} has spent {spent} of {limit}"
        for ref, cost in connection.execute("SELECT request_id, cost FROM requests"):
            assert costs.get(ref, 0) == cost, f"{ref}: row {cost}, entries {costs.get(ref, 0)}"

    @staticmethod
    def row(connection: sqlite3.Connection, seen: Seen) -> dict[str, Any] | None:
        cursor = connection.execute("SELECT * FROM requests WHERE request_id = ?", (seen.call.id,))
        found = cursor.fetchone()
        return dict(zip((c[0] for c in cursor.description), found, strict=True)) if found else None

    # One call

    def check_call(self, connection: sqlite3.Connection, seen: Seen) -> None:
        row = self.row(connection, seen)
        if row is None:
            assert not seen.told and seen.status != 200, f"{seen.call.id}: went up and left no row"
            return
        due = row["cost"] + row["lost"]
        self._check_hold(connection, seen, row)
        cost, _ = seen.shown()
        if cost is not None:
            assert usd(cost) == row["cost"], f"{seen.call.id}: shown {cost}, remembered {row['cost']}"
        if not seen.told:
            assert due == 0, "paid for nothing"
            return
        last = seen.told[-1]
        price = last.candidate.model.price
        by_row = price_of(price, row["prompt_tokens"], row["cached_tokens"], row["completion_tokens"], seen.multiplier)
        if due or row["prompt_tokens"]:
            assert due == by_row, f"{seen.call.id}: due {due}, by its own tokens {by_row}"
        if row["estimated"]:
            self._check_estimate(seen, row)
        if seen.complete:
            self._check_complete(seen, row, last, due)
        elif seen.status != 200:
            left = row["status"] in {"client_gone", "write_timeout"}
            assert left or due == 0, f"{seen.call.id}: {row['status']} {seen.status} cost {due}"
            assert not due or last.sent, "paid for a request that never went up"
        else:
            # Cut after content: the prompt, and at least a token for each piece the client has.
            pieces = seen.answer.count(b'"content": "word')
            assert row["completion_tokens"] >= min(pieces, 1) and row["prompt_tokens"] > 0
            if not price.tiers:
                assert due >= price_of(price, 1, 1 if price.cached < price.input else 0, min(pieces, 1), seen.multiplier)

    @staticmethod
    def _check_estimate(seen: Seen, row: dict[str, Any]) -> None:
        """An estimate charges no more than could have come: a token a byte, and what an upstream said before it was cut."""
        words = len(seen.body["messages"][0]["content"]) / 5
        said = [told.said for told in seen.told if told.said is not None and told.usage is not None]
        outputs = [usage["completion_tokens"] for usage in said] + [told.bytes_read for told in seen.told] + [1]
        prompts = [usage["prompt_tokens"] for usage in said] + [int(4 * words + 20)]
        assert row["completion_tokens"] <= max(outputs), f"{seen.call.id}: {row['completion_tokens']} tokens were never delivered"
        assert row["prompt_tokens"] <= max(prompts), f"{seen.call.id}: a prompt of {row['prompt_tokens']}"

    def _check_complete(self, seen: Seen, row: dict[str, Any], last: Told, due: int) -> None:
        assert not last.hollow, "a failed answer was sold"
        shown = seen.body["stream"] is False or bool(last.asked.get("stream_options"))
        if last.usage is not None and shown and row["status"] == "ok":
            prompt, cached, output = last.usage
            assert not row["estimated"], f"{seen.call.id}: exact usage was not believed"
            expected = price_of(last.candidate.model.price, prompt, cached, output, seen.multiplier)
            assert due == expected, f"{seen.call.id}: due {due}, exactly {expected}"
        elif last.usage is None:
            assert row["estimated"], f"{seen.call.id}: a lie was believed: {last.said}"
            words = len(seen.body["messages"][0]["content"]) / 5
            assert words / 2 <= row["prompt_tokens"] <= 4 * words + 20

    def _check_hold(self, connection: sqlite3.Connection, seen: Seen, row: dict[str, Any]) -> None:
        """What was set aside covers the words that were sent and the whole cap, at the price of wherever it went first."""
        if not row["hold"] or seen.metered or not seen.told:
            return
        held = connection.execute("SELECT amount FROM entries WHERE id = ?", (row["hold"],)).fetchone()[0]
        for told in seen.told:
            words = len(seen.body["messages"][0]["content"]) // 5
            cap = told.asked["max_tokens"] * told.asked.get("n", 1)
            price = told.candidate.model.price
            least = 0 if price.tiers else words * max(price.input, price.cached) + cap * price.output
            factor = Fraction(seen.multiplier.numerator, seen.multiplier.denominator)
            assert held >= math.floor((least + price.per_request) * factor), "a hold below its price"
