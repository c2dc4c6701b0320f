"""The auditor's own sums, from nothing but the entries: what each account has, holds and has used, what each key has
spent.

It is read anew from the database at every boot and goes on with every entry that the house decides. Its rules for the
end of a hold are one formula, where the house has three steps.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple, TypeVar

import msgspec

from ftgate.core.audit import Audit, Disagreement, State
from ftgate.core.books import Books, Entry
from ftgate.store import checkpoint
from ftgate.store.verify import compare_requests

T = TypeVar("T")
ENDS = ("post", "void", "expire")
GIVES = ("grant", "topup", "refund", "correct")


def read_entries(connection: sqlite3.Connection) -> list[Entry]:
    return [
        Entry(*values)
        for values in connection.execute(f"SELECT {', '.join(Entry.__struct_fields__)} FROM entries ORDER BY id")
    ]


class QuotaNow(NamedTuple):
    """A key's quota as it is at one moment: it counts what was spent by entries behind `since`, from a time on."""

    limit: int | None = None
    since: int = 0
    from_us: int = 0


def whole(sums: dict[T, int]) -> dict[T, int]:
    """Sums without the zeros."""
    return {name: amount for name, amount in sums.items() if amount}


class Tally:
    """Running sums. Every method raises AssertionError where an entry is wrong."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self.posted: dict[int, int] = defaultdict(int)
        self.held: dict[int, int] = defaultdict(int)
        self.used: dict[int, int] = defaultdict(int)
        self.spent: dict[int, int] = defaultdict(int)
        self.charges: dict[int, list[tuple[int, int, int]]] = defaultdict(list)  # of each key: entry, when, how much
        self.costs: dict[str, int] = defaultdict(int)
        self.losses: dict[str, int] = defaultdict(int)
        self.open: dict[int, Entry] = {}
        self.expired: set[str] = set()  # refs of calls that a crash ended
        self.lowered: set[int] = set()  # accounts of which a refund or a correction took what their holds need
        self.asides: dict[int, int] = {}  # of open holds: what it sets aside of its key's quota
        self.unbounded: set[int] = set()  # open holds that no quota bounded when they were taken
        self.last = 0
        for entry in entries:
            self.note(entry)

    def note(self, entry: Entry) -> None:
        assert entry.id > self.last and entry.amount >= 0
        self.last = entry.id
        account = entry.account
        if entry.kind == "hold":
            self.open[entry.id] = entry
            self.held[account] += entry.amount
            assert not entry.amount or self.held[account] <= self.posted[account], f"hold {entry.id} stands on nothing"
        elif entry.kind in GIVES:
            sign = 1 if entry.credit == "credits" else -1
            assert (entry.kind, sign) not in {("grant", -1), ("topup", -1)}
            self.posted[account] += sign * entry.amount
            if sign < 0:
                self.lowered.add(account)
        elif entry.kind == "loss":
            self.losses[entry.ref] += entry.amount
        else:
            if entry.kind in ENDS:
                hold = self.open.pop(entry.hold, None)
                assert hold is not None, f"hold {entry.hold} ended twice"
                self.held[account] -= hold.amount
                self.asides.pop(entry.hold, None)
                self.unbounded.discard(entry.hold)
                assert (entry.boot > hold.boot) == (entry.kind == "expire"), f"a {entry.kind} across boots: {entry}"
                if entry.kind == "expire":
                    self.expired.add(entry.ref)
            if entry.debit == "usage":
                self.used[account] += entry.amount
            else:
                self.posted[account] -= entry.amount
            self.spent[entry.key] += entry.amount
            self.charges[entry.key].append((entry.id, entry.at_us, entry.amount))
            self.costs[entry.ref] += entry.amount
        covered = self.posted[account] >= self.held[account]
        assert covered or account in self.lowered, f"account {account} has less than it holds"
        if covered:  # from now on it cannot come to have less again
            self.lowered.discard(account)

    def sums(self) -> list[dict[int, int]]:
        return [*map(whole, [self.posted, self.held, self.used, self.spent])]

    # Against the limits as the operator set them

    def used_within(self, key: int, since: int, from_us: int) -> int:
        """Units that a key has spent by entries behind `since`, at this time or later."""
        return sum(amount for id, at_us, amount in self.charges[key] if id > since and at_us >= from_us)

    def spent_before(self, key: int, quota: QuotaNow) -> int:
        """Units that a key with a quota had spent before this began anew."""
        return 0 if quota.limit is None else self.spent[key] - self.used_within(key, quota.since, quota.from_us)

    def left(self, key: int, quota: QuotaNow) -> int | None:
        """What a key may still set aside."""
        if quota.limit is None:
            return None
        return quota.limit - self.used_within(key, quota.since, quota.from_us) - self.aside(key)

    def aside(self, key: int) -> int:
        """What the quota of a key holds back for its open holds."""
        return sum(aside for id, aside in self.asides.items() if self.open[id].key == key)

    def room(self, account: int, key: int, quota: QuotaNow, *, metered: bool) -> int | None:
        """Units that a new hold may set aside; None is any number."""
        left = self.left(key, quota)
        if metered:
            return left
        available = self.posted[account] - self.held[account]
        return available if left is None else min(left, available)

    def take(self, entries: tuple[Entry, ...], quota: QuotaNow, *, charge_estimate: bool) -> None:
        """Entries that the house has decided together. The end of a hold charges what was used as far as the hold, or
        what is free beside the other holds, and the key's quota go; only what is past that may be a loss. A quota that
        was set or lowered while the call ran takes nothing of what was set aside for it before."""
        first = entries[0]
        hold = self.open.get(first.hold) if first.kind in ENDS else None
        if hold is not None:
            due = sum(entry.amount for entry in entries)
            charged = due - sum(entry.amount for entry in entries if entry.kind == "loss")
            if first.kind == "expire":
                due = hold.estimate if charge_estimate else 0
                due = due if hold.debit == "usage" else min(due, hold.amount)
            payable = due
            if hold.debit != "usage":
                free = self.posted[hold.account] - self.held[hold.account] + hold.amount
                payable = min(due, max(hold.amount, free))
            if (left := self.left(hold.key, quota)) is not None and hold.id not in self.unbounded:
                aside = self.asides.get(hold.id, 0)
                payable = min(payable, max(left + aside, aside))
            assert charged == payable, (
                f"{first.kind} of {hold.ref} charges {charged} of {due}, and {payable} could be paid"
            )
        for entry in entries:
            self.note(entry)

    # Against what the house remembers

    def same_as(self, books: Books, account: int, key: int) -> None:
        balance, quota = books.accounts[account], books.quotas[key]
        mine = (self.posted[account], self.held[account], self.used[account])
        assert mine == (balance.posted, balance.held, balance.used), f"account {account}: books and entries differ"
        assert (self.spent[key], self.aside(key)) == (quota.used, quota.held), f"key {key}: books and entries differ"

    def same_as_tables(self, connection: sqlite3.Connection) -> None:
        for account, has, held, used in connection.execute("SELECT account, posted, held, used FROM balances"):
            assert (self.posted[account], self.held[account], self.used[account]) == (has, held, used), (
                f"account {account}"
            )
        for key, spent in connection.execute("SELECT key, used FROM spent"):
            assert spent == self.spent[key], f"key {key} has spent {self.spent[key]}, and {spent} is remembered"
        for ref, cost, lost in connection.execute("SELECT request_id, cost, lost FROM requests"):
            mine = (self.costs[ref], self.losses[ref])
            assert mine == (cost, lost), f"{ref}: row {cost}, lost {lost}; entries {mine}"
        crashed = {ref for (ref,) in connection.execute("SELECT request_id FROM requests WHERE status = 'crashed'")}
        assert crashed == self.expired, f"rows of calls that a crash ended: {crashed}; entries: {self.expired}"

    @staticmethod
    def rows_hold_their_arithmetic(connection: sqlite3.Connection, entries: list[Entry]) -> None:
        """The house's own verification of its rows: each against its entries and against its own arithmetic."""
        audit = Audit()
        for entry in entries:
            audit.note(entry)
        try:
            compare_requests(connection, audit)
        except Disagreement as found:
            raise AssertionError(f"store/verify.py: {found}") from found

    def same_as_audit(self, connection: sqlite3.Connection, entries: list[Entry]) -> list[Entry]:
        """The house's own audit, from its checkpoint, through its state, and from the first entry, must say the same.
        The open holds as it knows them."""
        balances = {row[0]: row[1:] for row in connection.execute("SELECT account, posted, held, used FROM balances")}
        spent = dict(connection.execute("SELECT key, used FROM spent"))
        try:
            whole_reading = Audit()
            for entry in entries:
                whole_reading.note(entry)
            resumed = checkpoint.resume(connection)
            checkpoint.catch_up(connection, resumed, checkpoint.last_entry(connection))
            again = Audit.resume(msgspec.json.decode(msgspec.json.encode(resumed.state()), type=State))
            for audit in (whole_reading, resumed, again):
                audit.finish(balances, spent)
        except Disagreement as found:
            raise AssertionError(f"core/audit.py: {found}") from found
        assert whole_reading.state() == resumed.state() == again.state(), "a checkpoint leads to another state"
        for audit in (whole_reading, resumed, again):
            theirs = [audit.posted, audit.held, audit.used, audit.spent_by_key]
            assert [*map(whole, theirs)] == self.sums(), "core/audit.py has other sums"
            assert (audit.open, audit.lowered) == (self.open, self.lowered), (
                "core/audit.py has other holds or lowered accounts"
            )
        return list(resumed.open.values())
