"""The auditor of a history: a second, simpler account of what every call may have cost.

It knows what each upstream was told to say, what each client saw, and the prices in force when the call began; it reads
the database as anyone could. It shares no arithmetic with the house: needs.py says what must be set aside, endings.py
what must be charged, tally.py sums the entries, windows.py counts the limits.
"""

import contextvars
import json
import re
import sqlite3
from collections.abc import Callable
from typing import Any

from ftgate.core.books import Books, Entry
from ftgate.core.limits import Rates
from ftgate.core.routing import Candidate, Channel, Model
from ftgate.ports import Held, Poor, Row, UpstreamRequest
from tests.days.endings import DURABLE_S, wrong_with
from tests.days.needs import Needs, price_of, usd
from tests.days.seen import Seen, Told
from tests.days.tally import Tally, read_entries
from tests.days.windows import Windows

current: contextvars.ContextVar[Seen] = contextvars.ContextVar("current")


class Auditor:
    """Watches one history. Every method raises AssertionError where the house is wrong, or notes it while the gate is
    running: the gate takes an exception for a bug of its own and goes on. It is raised when the call has returned."""

    def __init__(self, quotas: dict[int, int | None], rates_for: Callable[[str, str], Rates], *, limited: bool) -> None:
        self.calls: list[Seen] = []
        self.wrong: list[str] = []
        self.quotas = quotas
        self.rates_for = rates_for
        self.limited = limited  # some model has limits, so that a plan may be without it
        self.crashed = True  # between boots nothing is audited
        self.charge_estimate = False
        self.tally = Tally()
        self.needs = Needs()
        self.windows = Windows(self.calls, self.needs, rates_for)

    def expect(self, right: bool, words: str) -> None:
        if not right:
            self.wrong.append(words)

    # While it runs

    def began(self, seen: Seen, channels: tuple[Channel, ...], now: float) -> None:
        seen.channels = channels
        current.set(seen)
        self.windows.came(seen, now)
        self.calls.append(seen)

    def asked(self, request: UpstreamRequest, now: float) -> tuple[Seen, Told]:
        """A request reaches an upstream: whose call it is, and which candidate."""
        seen = current.get()
        asked = json.loads(request.body)
        channel = next(c for c in seen.channels if c.name == request.channel)
        model = next(m for m in channel.models.values() if m.upstream == asked["model"])
        told = Told(Candidate(channel, channel.credentials[0], model), now, seen.client_head, asked=asked)
        seen.told.append(told)
        if not self.crashed:
            self.expect(not told.head_sent_before, "a second attempt after the client had content")
            self.expect(asked.get("max_tokens") == seen.cap, "the cap that goes up is not the one that was held for")
            self.wrong += self.windows.went_up(seen, told)
        return seen, told

    def decided(self, entries: tuple[Entry, ...]) -> None:
        """The house has put entries into a batch."""
        if self.crashed or not entries:
            return
        try:
            self.tally.take(entries, self.quotas.get(entries[0].key), charge_estimate=self.charge_estimate)
        except AssertionError as wrong:
            self.wrong.append(f"entry {entries[0].id}: {wrong}")

    def held(self, outcome: Held | Poor, books: Books) -> None:
        """A hold was asked for, and taken or refused."""
        if self.crashed:
            return
        seen = current.get()
        if isinstance(outcome, Poor):
            seen.poor = True
            self._refused_for_money(seen, outcome)
            return
        seen.cap = seen.body.get("max_tokens") if seen.metered else outcome.cap
        seen.likely = {name: self.needs.likely(seen, name) for name in seen.names}
        entry, hold = self.tally.open.get(outcome.id), books.open.get(outcome.id)
        if entry is None or hold is None or entry.ref != seen.call.id or entry.amount != hold.amount:
            self.expect(False, f"{seen.call.id}: a hold without its entry")
            return
        quota = self.quotas[seen.key]
        if quota is not None:
            self.tally.asides[hold.id] = hold.quota_held
        room = self.tally.room(seen.account, seen.key, quota, metered=seen.metered)
        self.expect(
            any(self._fits(seen, models, hold, outcome.cap, room) for models in self._plans(seen)),
            f"{seen.call.id}: holds {hold}",
        )
        likely = {self.needs.estimate(seen, model) for model in seen.models(*seen.names)}
        self.expect(entry.estimate in likely, f"{seen.call.id}: estimated at {entry.estimate}, not one of {likely}")

    def _plans(self, seen: Seen) -> list[list[Model]]:
        """Where a call may go: to all its models; without the first, where that is at its limit."""
        names = seen.names
        return [seen.models(*names[skip:]) for skip in range(len(names) if self.limited else 1)]

    def _fits(self, seen: Seen, models: list[Model], hold: Any, cap: int | None, room: int | None) -> bool:
        """Whether a hold sets aside what it must, and no more. `room` is what is left beside it."""
        limited = self.quotas[seen.key] is not None
        if seen.metered:
            aside = self.needs.amount(seen, models, cap) if limited else 0
            return (hold.amount, hold.quota_held) == (0, aside) and (room is None or room >= 0)
        return (
            room is not None
            and cap is not None
            and hold.quota_held == (hold.amount if limited else 0)
            and self.needs.right(seen, models, hold.amount, cap, room + hold.amount)
        )

    def _refused_for_money(self, seen: Seen, poor: Poor) -> None:
        """Only what could not even pay for the smallest cap is refused, and the right amounts are named."""
        quota = self.quotas[seen.key]
        left = self.tally.left(seen.key, quota)
        available = self.tally.posted[seen.account] - self.tally.held[seen.account]
        least = []
        for models in self._plans(seen):
            cap = seen.body.get("max_tokens") if seen.metered else self.needs.smallest(seen, models)
            least.append(self.needs.amount(seen, models, cap))
        if poor.quota:
            self.expect(
                left is not None and left < max(least), f"{seen.call.id}: quota of {left} left, and {least} refused"
            )
            seen.refusal = max(left or 0, 0), least
        else:
            self.expect(
                not seen.metered and available < max(least),
                f"{seen.call.id}: {available} available, and {least} refused",
            )
            seen.refusal = available, least

    def _poor_answer(self, seen: Seen, body: bytes) -> None:
        """A 402 names what was there, and what would have been enough."""
        found = re.search(rb"(?:Balance|Left): \$(-?[0-9.]+), Required: \$([0-9.]+)", body)
        if found is None:
            self.expect(False, f"{seen.call.id}: a 402 without its amounts")
            return
        available, required = usd(found[1].decode()), usd(found[2].decode())
        there, least = seen.refusal
        right = available == there and required in least and required > there
        self.expect(right, f"{seen.call.id}: a 402 of {available} and {required}, not {there} and one of {least}")

    def left(self, seen: Seen, how: str, now: float) -> None:
        """The call is about to be cancelled from outside; `how` says why."""
        if seen.settled_at is not None:
            return
        seen.cancelled_as = how
        if how in {"client_gone", "write_timeout"}:
            last = seen.told[-1] if seen.told else None
            seen.left_at = now
            seen.drained = last is not None and last.candidate.channel.drain and last.sent and last.running

    def settled(self, row: Row, now: float) -> None:
        """A call's row is remembered: what it has used, and what its exact usage teaches."""
        if self.crashed:
            return
        seen = current.get()
        seen.settled_at = now
        seen.cost = self.tally.costs[seen.call.id]
        seen.balance = self.tally.posted[seen.account]
        seen.used_tokens = row.prompt_tokens + row.completion_tokens
        self.wrong += [f"{seen.call.id}: {words}" for words in wrong_with(seen, row, self.needs, now)]
        if row.prompt_tokens and not row.estimated:
            self.needs.learn(seen, row.served_model, row.prompt_tokens)

    def answered(self, seen: Seen, body: bytes, now: float, connection: sqlite3.Connection, *, busy: bool) -> None:
        """The head of an answer goes to the client; `body` is the whole of a plain one, `busy` says that the log takes
        nothing."""
        if self.crashed:
            return
        if seen.status == 200:
            held = connection.execute(
                "SELECT 1 FROM entries WHERE kind = 'hold' AND ref = ?", (seen.call.id,)
            ).fetchone()
            nobody = seen.call.left and bool(
                body
            )  # a whole answer that its client waits for no longer is not kept back either
            self.expect(held is not None or nobody, f"{seen.call.id}: content before its hold was durable")
        if not seen.told:
            self.windows.turned_away(seen)
            why = seen.status in {402, 429} or (seen.status == 503 and busy) or (seen.status == 400 and not seen.names)
            self.expect(why, f"{seen.call.id}: turned away with {seen.status} for nothing")
        if seen.status == 429:
            self.wrong += [f"{seen.call.id}: {words}" for words in self.windows.refused(seen, now, body)]
        else:
            self.expect(seen.counted, f"{seen.call.id}: past a limit of its key or account, and answered {seen.status}")
        self.expect(seen.poor == (seen.status == 402), f"{seen.call.id}: poor {seen.poor}, and answered {seen.status}")
        if seen.status == 402 and seen.poor:
            self._poor_answer(seen, body)

    def released(self, seen: Seen, now: float) -> None:
        """The gate is done with a call."""
        seen.released = now

    def returned(self, seen: Seen, books: Books) -> None:
        seen.returned = True
        self.raise_wrong()
        if self.crashed:
            return
        assert all(hold.ref != seen.call.id for hold in books.open.values()), (
            "the call has returned and its hold is open"
        )
        self.tally.same_as(books, seen.account, seen.key)
        self._shown(seen)
        balance = books.accounts[seen.account]
        assert balance.held >= 0
        if not balance.lowered:  # only a refund or a correction may take an account below what it holds
            assert balance.posted >= 0 and (balance.metered or balance.available >= 0)

    @staticmethod
    def _shown(seen: Seen) -> None:
        """Whoever has a whole answer was shown what it cost and what is left, by the sums at its settlement; nobody
        else was."""
        cost, balance = seen.shown()
        in_usage = seen.usage_costs()
        if not seen.complete:
            assert (cost, balance, in_usage) == (None, None, []), (
                f"{seen.call.id}: shown {cost} and {balance} without an answer"
            )
            return
        assert cost is not None and usd(cost) == seen.cost, f"{seen.call.id}: shown {cost}, charged {seen.cost}"
        assert [usd(text) for text in in_usage] == [seen.cost] * seen.wants_usage, (
            f"{seen.call.id}: usage says {in_usage}"
        )
        if balance is not None:
            assert not seen.metered and usd(balance) == seen.balance, (
                f"{seen.call.id}: shown {balance} of {seen.balance}"
            )
        elif not seen.metered:
            assert seen.tail_at is not None and seen.settled_at is not None
            assert seen.tail_at - seen.settled_at > DURABLE_S - 1e-6, f"{seen.call.id}: no balance was shown"

    def raise_wrong(self) -> None:
        assert not self.wrong, self.wrong

    # Between boots

    def booting(self, connection: sqlite3.Connection, *, charge_estimate: bool) -> list[Entry]:
        """Before an earlier boot's holds are ended, by the policy given: the sums so far, which the house's own audit
        must share. The open holds, as that knows them."""
        self.raise_wrong()
        entries = read_entries(connection)
        self.tally = Tally(entries)
        self.charge_estimate = charge_estimate
        self.crashed = False
        return self.tally.same_as_audit(connection, entries)

    def booted(self, connection: sqlite3.Connection) -> None:
        """After a start, crash or not: whoever was shown a balance had a durable settlement."""
        self.raise_wrong()
        assert not self.tally.open, "open holds at ready"
        self.check_books(connection)
        for seen in self.calls:
            cost, balance = seen.shown()
            if balance is not None:
                row = self.row(connection, seen)
                assert row is not None, f"{seen.call.id}: an answered settlement is lost"
                assert row["cost"] == usd(cost or "0"), f"{seen.call.id}: shown {cost}, remembered {row['cost']}"
        self.calls.clear()
        self.needs.ratios.clear()

    def stopped(self, connection: sqlite3.Connection) -> None:
        """After a clean stop: every call of this boot, to the last unit."""
        self.raise_wrong()
        assert not self.tally.open, "open holds after a clean stop"
        self.check_books(connection)
        for seen in self.calls:
            if seen.returned:
                self.check_call(connection, seen)

    def check_books(self, connection: sqlite3.Connection) -> None:
        """Balances from nothing but the entries; a hold ends once; costs of rows are the entries'."""
        again = Tally(read_entries(connection))
        assert (again.last, again.sums()) == (self.tally.last, self.tally.sums()), "entries are lost"
        again.same_as_tables(connection, self.quotas)

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
        cost, _ = seen.shown()
        if cost is not None:
            assert usd(cost) == row["cost"], f"{seen.call.id}: shown {cost}, remembered {row['cost']}"
        if not seen.told:
            assert due == 0, "paid for nothing"
            return
        assert row["status"] == "ok" or seen.drained or not seen.complete, (
            f"{seen.call.id}: {row['status']} has a whole answer"
        )
        price = seen.told[-1].candidate.model.price
        tokens = row["prompt_tokens"], row["cached_tokens"], row["cache_write_tokens"], row["completion_tokens"]
        by_row = price_of(price, tokens, seen.multiplier) if row["prompt_tokens"] else 0
        assert due == by_row, f"{seen.call.id}: due {due}, by its own tokens {by_row}"
