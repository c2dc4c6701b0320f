"""The auditor of a history: a second, simpler account of what every call may have cost.

It knows what each upstream was told to say, what each client saw, and the prices in force when the call began; it reads
the database as anyone could. It shares no arithmetic with the house: needs.py says what must be set aside, endings.py
what must be charged, tally.py sums the entries, windows.py counts the limits, people.py knows who may call.
"""

import contextvars
import json
import re
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from ftgate.core.books import Books, Entry
from ftgate.core.limits import Rates
from ftgate.core.routing import Candidate, Channel
from ftgate.core.secret import Secret
from ftgate.ports import Exhausted, Held, Poor, Row, UpstreamRequest
from tests.days.callers import MESSAGES
from tests.days.endings import DURABLE_S, wrong_with
from tests.days.needs import Needs, price_of, usd
from tests.days.people import EPOCH, People, may, span_began_us
from tests.days.seen import Seen, Told
from tests.days.tally import QuotaNow, Tally, read_entries, whole
from tests.days.windows import Windows

ATTEMPTS = 3
current: contextvars.ContextVar[Seen] = contextvars.ContextVar("current")


class Auditor:
    """Watches one history. Every method raises AssertionError where the house is wrong, or notes it while the gate is
    running: the gate takes an exception for a bug of its own and goes on. It is raised when the call has returned."""

    def __init__(
        self, people: People, wall_us: Callable[[], int], rates_for: Callable[[str, str], Rates],
        met: Counter[str], *, limited: bool,
    ) -> None:  # fmt: skip
        self.people = people
        self.wall_us = wall_us
        self.met = met  # what calls have come upon
        self.calls: list[Seen] = []
        self.wrong: list[str] = []
        self.rates_for = rates_for
        self.limited = limited  # some model has limits, so that a plan may be without it
        self.crashed = True  # between boots nothing is audited
        self.charge_estimate = False
        self.tally = Tally()
        self.months: dict[tuple[int, str], int] = defaultdict(int)  # account, month -> tokens by keys of their own
        self.needs = Needs()
        self.windows = Windows(self.calls, self.needs, rates_for)

    def expect(self, right: bool, words: str) -> None:
        if not right:
            self.wrong.append(words)

    def quota(self, key: int) -> QuotaNow:
        """A key's quota as it is now."""
        one = self.people.now.passes.get(key)
        if one is None:  # of entries without a key
            return QuotaNow()
        return QuotaNow(one.quota, one.since, span_began_us(one.reset, self.wall_us()))

    # While it runs

    def began(self, seen: Seen, channels: tuple[Channel, ...], now: float) -> None:
        seen.channels = channels
        seen.barred = self.people.barred(seen.key, self.wall_us())
        current.set(seen)
        self.windows.came(seen, now)
        self.calls.append(seen)

    def asked(self, request: UpstreamRequest, now: float) -> tuple[Seen, Told]:
        """A request reaches an upstream: whose call it is, and which candidate."""
        seen = current.get()
        asked = json.loads(request.body)
        channel = next(c for c in seen.channels if c.name == request.channel)
        model = next(m for m in channel.models.values() if m.upstream == asked["model"])
        credential = Secret("its caller's") if seen.byok else channel.credentials[0]
        way = Candidate(channel, channel.addresses["openai_chat"], credential, model)
        told = Told(way, now, seen.client_head, asked=asked)
        seen.told.append(told)
        if not self.crashed:
            self.expect(not told.head_sent_before, "a second attempt after the client had content")
            right = self.needs.sent(seen, model, seen.held)
            cap = asked.get("max_tokens")
            self.expect(cap == right, f"{seen.call.id}: a cap of {cap} goes up to {model.name}, not {right}")
            self.wrong += self.windows.went_up(seen, told)
        return seen, told

    def decided(self, entries: tuple[Entry, ...]) -> None:
        """The house has put entries into a batch."""
        if self.crashed or not entries:
            return
        hold = self.tally.open.get(entries[0].hold)
        if hold is not None and hold.at_us < self.quota(hold.key).from_us:
            self.met["calls that end in another span than they came in"] += 1
        try:
            self.tally.take(entries, self.quota(entries[0].key), charge_estimate=self.charge_estimate)
        except AssertionError as wrong:
            self.wrong.append(f"entry {entries[0].id}: {wrong}")

    def held(self, outcome: Held | Poor | Exhausted | None, offered: list[Candidate], books: Books) -> None:
        """A hold was asked for, and taken or refused; so far were its candidates looked at."""
        if self.crashed:
            return
        seen = current.get()
        seen.likely = {name: self.needs.likely(seen, name) for name in seen.names}
        quota = self.quota(seen.key)
        seen.bounds = {way.model.name: self.needs.bound(seen, way.model.name) for way in offered}
        if offered and offered[0].model.name == seen.names[0]:
            seen.first = offered[0].model
        self._in_order(seen, offered)
        if seen.byok and offered:
            used, most = self.months[seen.account, _month(self.wall_us())], self.people.plans[seen.plan].byok_tokens
            seen.exhausted = isinstance(outcome, Exhausted)
            self.expect(seen.exhausted == (used >= most), f"{seen.call.id}: {outcome} at {used} tokens of {most}")
            self.met["calls with keys of their own"] += 1
        if isinstance(outcome, Exhausted):
            self.met["refused with 429 byok_limit_exceeded"] += 1
            return
        if isinstance(outcome, Poor):
            seen.poor = True
            left = self.tally.left(seen.key, quota)
            available = self.tally.posted[seen.account] - self.tally.held[seen.account]
            self._refused_for_money(seen, outcome, offered, left, available)
            return
        if outcome is None:
            self.expect(not offered, f"{seen.call.id}: nothing was held for {len(offered)} candidates")
            return
        entry, hold = self.tally.open.get(outcome.id), books.open.get(outcome.id)
        if entry is None or hold is None or entry.ref != seen.call.id or entry.amount != hold.amount:
            self.expect(False, f"{seen.call.id}: a hold without its entry")
            return
        self.tally.asides[hold.id] = hold.quota_held
        if quota.limit is None:
            self.tally.unbounded.add(hold.id)
        self.met["holds with a quota that begins anew"] += quota.limit is not None and quota.from_us > 0
        self.met["holds after it began anew"] += self.tally.spent_before(seen.key, quota) > 0
        beside = self.tally.room(seen.account, seen.key, quota, metered=seen.metered)
        aside = hold.quota_held if seen.metered else hold.amount
        bounded = not seen.metered or quota.limit is not None
        seen.held = aside if bounded else None
        room = max((beside or 0) + aside, 0) if bounded else None
        kept, amount = self._keeps(seen, offered, room)
        self.expect(
            (outcome.kept, outcome.amount, outcome.bounded) == (tuple(kept), amount, bounded),
            f"{seen.call.id}: holds {outcome} of {room}, not {amount} for {kept}",
        )
        self.expect(
            (hold.amount, hold.quota_held) == (0 if seen.metered else amount, amount),
            f"{seen.call.id}: sets aside {hold}",
        )
        if kept:
            likely = self.needs.estimate(seen, offered[kept[0]].model)
            self.expect(entry.estimate == likely, f"{seen.call.id}: estimated at {entry.estimate}, not {likely}")
        poor = [way for at, way in enumerate(offered) if at not in kept]
        seen.unaffordable = {way.model.name for way in poor} - {offered[at].model.name for at in kept}

    def _in_order(self, seen: Seen, offered: list[Candidate]) -> None:
        """Candidates come name by name, as asked for and then as they fall back, and of one name by priority; none is
        passed over but one whose model may be at its limit."""
        names = list(dict.fromkeys(way.model.name for way in offered))
        due = [name for name in seen.names if name in names]
        skipped = [name for name in seen.names[: seen.names.index(due[-1])] if name not in names] if due else []
        priorities = [(seen.names.index(way.model.name), way.channel.priority) for way in offered]
        right = names == due and (self.limited or not skipped) and priorities == sorted(priorities)
        self.expect(right and len(set(map(id, offered))) == len(offered), f"{seen.call.id}: offered {names}")

    def _keeps(self, seen: Seen, offered: list[Candidate], room: int | None) -> tuple[list[int], int]:
        """Which of the candidates a hold covers, and how large it is: as many as may be tried of those that can be
        paid, the last of them at another channel than the others where there is one, and one behind them with a longer
        context."""
        paid = [at for at, way in enumerate(offered) if room is None or self.needs.least(seen, way.model) <= room]
        kept, rest = paid[: ATTEMPTS - 1], paid[ATTEMPTS - 1 :]
        if rest:
            channels = {offered[at].channel.name for at in kept}
            elsewhere = [at for at in rest if len(channels) != 1 or offered[at].channel.name not in channels]
            last = (elsewhere or rest)[0]
            kept.append(last)
            longest = max(offered[at].model.context or 0 for at in kept)
            behind = [at for at in rest if at > last] + [at for at in rest if at < last]
            longer = [at for at in behind if (offered[at].model.context or 0) > longest]
            kept += longer[:1]
            self.expect(
                not longer or longer[0] == len(offered) - 1 or longer[0] < last, f"{seen.call.id}: looks past the cut"
            )
        holds = [self.needs.hold(seen, offered[at].model, room) for at in kept] if room is not None else []
        return kept, max(holds, default=0)

    def _refused_for_money(
        self, seen: Seen, poor: Poor, offered: list[Candidate], left: int | None, available: int
    ) -> None:
        """Only a call is refused of which no model that was asked for could be paid, and the right amounts are
        named."""
        asked = [way.model for way in offered if way.model.name == seen.names[0]]
        least = min([self.needs.least(seen, model) for model in asked or [way.model for way in offered]])
        there = max(left or 0, 0) if poor.quota else available
        self.expect(
            poor.required == least > there
            and (not seen.metered or poor.quota)
            and (left is not None or not poor.quota),
            f"{seen.call.id}: {poor} of {left} and {available}, where {least} is the least",
        )
        seen.refusal = there, [least]
        self.met[f"refused with 402 for {'a quota' if poor.quota else 'credits'}"] += 1

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
        if seen.byok:
            self.months[seen.account, _month(row.created_at_us)] += seen.used_tokens
            self.expect(
                (row.mode, row.cost, row.lost) == ("byok", 0, 0), f"{seen.call.id}: {row.mode} costs {row.cost}"
            )
        elif row.prompt_tokens and not row.estimated:
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
            why = (
                seen.status in {401, 402, 403, 429}
                or (seen.status == 503 and busy)
                or (seen.status in {400, 404} and not seen.names)
            )
            self.expect(why, f"{seen.call.id}: turned away with {seen.status} for nothing")
        if seen.barred or seen.status == 401:
            said = seen.barred and (seen.caller is MESSAGES or seen.barred.encode() in body)
            refused = seen.byok and seen.told and seen.told[-1].status == 401  # the key that it brought
            self.expect(
                bool(seen.status == 401 and (said or refused)),
                f"{seen.call.id}: {seen.barred or 'may call'}, and answered {seen.status} {body!r:.200}",
            )
        elif seen.exhausted:
            self.expect(seen.status == 429 and b"byok_limit_exceeded" in body, f"{seen.call.id}: {body!r:.200}")
        elif seen.status == 429:
            self.wrong += [f"{seen.call.id}: {words}" for words in self.windows.refused(seen, now, body)]
        else:
            self.expect(seen.counted, f"{seen.call.id}: past a limit of its key or account, and answered {seen.status}")
            forbidden = seen.counted and not may(seen.lists, seen.body["model"])
            self.expect(
                forbidden == (seen.status == 403),
                f"{seen.call.id}: {seen.body['model']} of {seen.lists}, and answered {seen.status}",
            )
        if seen.status in {401, 403} and not seen.told:
            self.met[f"refused with {seen.status} {seen.barred or 'model_not_allowed'}"] += 1
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
        """Whoever has a whole answer was shown what it cost and what is left, by the sums at its settlement, and so was
        whoever paid for a stream that ended in an error; nobody else was."""
        cost, balance = seen.shown()
        in_usage = seen.usage_costs()
        if not seen.complete and not (seen.broke_off and seen.cost):
            assert (cost, balance, in_usage) == (None, None, []), (
                f"{seen.call.id}: shown {cost} and {balance} without an answer"
            )
            return
        assert cost is not None and usd(cost) == seen.cost, f"{seen.call.id}: shown {cost}, charged {seen.cost}"
        assert [usd(text) for text in in_usage] == [seen.cost] * (seen.wants_usage and seen.complete), (
            f"{seen.call.id}: usage says {in_usage}"
        )
        if balance is not None:
            assert not seen.metered and not seen.byok and usd(balance) == seen.balance, (
                f"{seen.call.id}: shown {balance} of {seen.balance}"
            )
        elif not seen.metered and not seen.byok:
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
        self.months.clear()
        for account, created_us, tokens in connection.execute(
            "SELECT account, created_at_us, prompt_tokens + completion_tokens FROM requests WHERE mode = 'byok'"
        ):
            self.months[account, _month(created_us)] += tokens
        kept = connection.execute("SELECT account, month, tokens FROM byok_months").fetchall()
        assert {(account, month): tokens for account, month, tokens in kept} == whole(self.months), f"{kept}"
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
        entries = read_entries(connection)
        again = Tally(entries)
        assert (again.last, again.sums()) == (self.tally.last, self.tally.sums()), "entries are lost"
        again.same_as_tables(connection)
        again.rows_hold_their_arithmetic(connection, entries)

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


def _month(at_us: int) -> str:
    return (EPOCH + timedelta(microseconds=at_us)).strftime("%Y-%m")
