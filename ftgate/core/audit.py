"""The auditor: recomputes everything from the entries alone and names the first row that disagrees.

It shares no arithmetic with books.py on purpose: a second, simpler account of the same rules. Feed it every entry in id
order, then compare with what the database remembers as balances. Memory grows with accounts and open holds, not
entries.
"""

from collections import defaultdict
from collections.abc import Mapping

import msgspec

from ftgate.core.books import Entry

_ENDS = {"post", "void", "expire"}
_SIDES = {
    "grant": {("grants", "credits")},
    "hold": {("credits", "revenue"), ("usage", "revenue")},
    "post": {("credits", "revenue"), ("usage", "revenue")},
    "void": {("credits", "revenue"), ("usage", "revenue")},
    "expire": {("credits", "revenue"), ("usage", "revenue")},
    "overrun": {("credits", "revenue")},
    "loss": {("loss:overrun", "revenue")},
    "topup": {("clearing:stripe", "credits")},
    "refund": {("credits", "clearing:stripe"), ("clearing:stripe", "credits")},
    "correct": {("corrections", "credits"), ("credits", "corrections")},
}


class Disagreement(Exception):
    """The first thing found wrong, in words, with the entry's id where one is to blame."""


class State(msgspec.Struct, frozen=True):
    """Where a reading stands after the entry `last_id`, so that a later one can go on from there. Money in units."""

    last_id: int
    entries: int
    posted: dict[int, int]
    used: dict[int, int]
    spent: dict[int, int]
    ledgers: dict[str, int]
    open: list[Entry]
    lowered: list[int]
    taken: dict[int, int] = {}  # before there were payments nothing was ever taken back


class Audit:
    """A running reading of the ledger. All amounts in units."""

    def __init__(self) -> None:
        self.last_id = 0
        self.entries = 0
        self.posted: dict[int, int] = defaultdict(int)
        self.used: dict[int, int] = defaultdict(int)
        self.spent_by_key: dict[int, int] = defaultdict(int)
        self.ledgers: dict[str, int] = defaultdict(int)
        self.open: dict[int, Entry] = {}
        self.held: dict[int, int] = defaultdict(int)
        self.just_ended: Entry | None = None
        self.lowered: set[int] = set()  # accounts of which a refund or a correction took what open holds have set aside
        self.taken: dict[int, int] = defaultdict(int)  # account -> what refunds have taken and not given back

    def state(self) -> State:
        """To be resumed from. An overrun or loss stands in the same commit as its post, so a reading never stops
        between them when it stops at a commit's end."""
        return State(
            self.last_id, self.entries, dict(self.posted), dict(self.used), dict(self.spent_by_key), dict(self.ledgers),
            list(self.open.values()), sorted(self.lowered), dict(self.taken),
        )  # fmt: skip

    @classmethod
    def resume(cls, state: State) -> "Audit":
        audit = cls()
        audit.last_id, audit.entries = state.last_id, state.entries
        audit.posted.update(state.posted)
        audit.used.update(state.used)
        audit.spent_by_key.update(state.spent)
        audit.ledgers.update(state.ledgers)
        audit.lowered.update(state.lowered)
        audit.taken.update(state.taken)
        for hold in state.open:
            audit.open[hold.id] = hold
            audit.held[hold.account] += hold.amount
        return audit

    def note(self, entry: Entry) -> None:
        """Take in the next entry. Raises Disagreement."""
        if entry.id <= self.last_id:
            raise Disagreement(f"entry {entry.id} comes after entry {self.last_id}")
        if entry.id > self.last_id + 1:
            raise Disagreement(
                f"entry {self.last_id + 1} is missing: after entry {self.last_id} comes entry {entry.id}"
            )
        if entry.amount < 0:
            raise Disagreement(f"entry {entry.id}: negative amount {entry.amount}")
        if (entry.debit, entry.credit) not in _SIDES.get(entry.kind, ()):
            raise Disagreement(f"entry {entry.id}: a {entry.kind} from {entry.debit} to {entry.credit}")
        self.last_id = entry.id
        self.entries += 1
        if entry.kind == "hold":
            self._hold(entry)
            return
        if entry.kind in _ENDS:
            self._end(entry)
        elif entry.kind in {"overrun", "loss"}:
            self._past_the_hold(entry)
        else:
            self.just_ended = None
        self.ledgers[entry.debit] -= entry.amount
        self.ledgers[entry.credit] += entry.amount
        if entry.credit == "credits":
            self.posted[entry.account] += entry.amount
        if entry.kind == "refund":
            self._refund(entry)
        if entry.debit == "credits" and entry.kind in {"refund", "correct"}:
            self.posted[entry.account] -= entry.amount
            self.lowered.add(entry.account)
        elif entry.debit == "credits":
            self.posted[entry.account] -= entry.amount
            self.spent_by_key[entry.key] += entry.amount
            if entry.account not in self.lowered:
                self._covered(entry)
        if entry.debit == "usage":
            self.used[entry.account] += entry.amount
            self.spent_by_key[entry.key] += entry.amount
        # Once its credits cover its open holds again, no call can take an account below them: a hold is taken only
        # within them, and an end gives back at least what it takes. So the account is held to that again.
        if entry.account in self.lowered and self.posted[entry.account] >= self.held[entry.account]:
            self.lowered.discard(entry.account)

    def _refund(self, entry: Entry) -> None:
        """What refunds take of an account, and give back: never more than they have taken."""
        self.taken[entry.account] += entry.amount if entry.debit == "credits" else -entry.amount
        if self.taken[entry.account] < 0:
            raise Disagreement(
                f"entry {entry.id}: account {entry.account} is given back {entry.amount}, more than refunds have taken"
            )

    def _covered(self, entry: Entry) -> None:
        """A call took credits: never below zero, and never what other holds have set aside."""
        posted = self.posted[entry.account]
        if posted < 0:
            raise Disagreement(f"entry {entry.id}: account {entry.account} falls below zero, to {posted}")
        if posted < self.held[entry.account]:
            raise Disagreement(
                f"entry {entry.id}: takes from account {entry.account} what its open holds have set aside"
            )

    def _hold(self, entry: Entry) -> None:
        self.open[entry.id] = entry
        self.held[entry.account] += entry.amount
        self.just_ended = None
        if entry.debit == "usage" and entry.amount:
            raise Disagreement(f"entry {entry.id}: a metered hold of {entry.amount}, which sets nothing aside")
        if (
            entry.amount and self.held[entry.account] > self.posted[entry.account]
        ):  # even where a refund lowered it: no new hold stands on nothing
            raise Disagreement(
                f"entry {entry.id}: account {entry.account}: holds of {self.held[entry.account]} stand on "
                f"{self.posted[entry.account]}"
            )

    def _past_the_hold(self, entry: Entry) -> None:
        """An overrun or a loss belongs to the post right before it (the overrun first)."""
        post = self.just_ended
        if post is None or post.kind != "post" or post.hold != entry.hold:
            raise Disagreement(f"entry {entry.id}: {entry.kind} without the post of hold {entry.hold} before it")
        if (post.account, post.key, post.ref) != (entry.account, entry.key, entry.ref):
            raise Disagreement(f"entry {entry.id}: does not match hold {entry.hold} in account, key or ref")

    def _end(self, entry: Entry) -> None:
        hold = self.open.pop(entry.hold, None)
        if hold is None:
            raise Disagreement(f"entry {entry.id}: ends hold {entry.hold}, which is not open")
        if (hold.account, hold.key, hold.debit, hold.ref) != (entry.account, entry.key, entry.debit, entry.ref):
            raise Disagreement(f"entry {entry.id}: does not match hold {entry.hold} in account, key, ledger or ref")
        if entry.debit == "credits" and entry.amount > hold.amount:
            raise Disagreement(f"entry {entry.id}: posts {entry.amount}, more than hold {entry.hold} of {hold.amount}")
        if entry.kind != "expire" and entry.boot != hold.boot:
            raise Disagreement(
                f"entry {entry.id}: boot {entry.boot} ends hold {entry.hold} of boot {hold.boot} by a {entry.kind}"
            )
        if entry.kind == "expire" and entry.boot and entry.boot == hold.boot:
            raise Disagreement(
                f"entry {entry.id}: boot {entry.boot} lets hold {entry.hold} expire, which boot {hold.boot} has taken"
            )
        if entry.kind == "void" and entry.amount:
            raise Disagreement(f"entry {entry.id}: a void of {entry.amount}")
        self.held[entry.account] -= hold.amount
        self.just_ended = entry

    def finish(self, balances: Mapping[int, tuple[int, int, int]], keys: Mapping[int, int]) -> None:
        """Compare with remembered balances (account -> posted, held, used) and keys' spending. Raises Disagreement."""
        held = self.held
        if sum(self.ledgers.values()) != 0:
            raise Disagreement("debits and credits do not add up")
        for account in sorted(set(balances) | set(self.posted) | set(self.used) | set(held)):
            said = balances.get(account)
            found = (self.posted.get(account, 0), held.get(account, 0), self.used.get(account, 0))
            if said is None:
                raise Disagreement(f"account {account} has entries and no balance")
            if said != found:
                raise Disagreement(f"account {account}: balance says posted, held, used = {said}; entries say {found}")
            if found[0] - found[1] < 0 and account not in self.lowered:
                raise Disagreement(f"account {account}: holds of {found[1]} stand on {found[0]}")
        for key in sorted(set(keys) | set(self.spent_by_key)):
            if key and keys.get(key, 0) != self.spent_by_key.get(key, 0):
                raise Disagreement(
                    f"key {key}: spent says {keys.get(key, 0)}; entries say {self.spent_by_key.get(key, 0)}"
                )
