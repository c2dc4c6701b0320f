"""The books: every account's credits, decided in memory, remembered as immutable double entries.

Model (two-phase transfers). A call is a *hold* and then exactly one *end*:

    (none) --hold--> open --post---> posted    what was used leaves the credits, the rest is free again
                          --void---> voided    nothing is charged
                          --expire-> expired   the process that held it is gone

Each entry moves `amount` from ledger `debit` to ledger `credit`. A hold moves nothing: it only sets aside. Ledgers:

    credits   what an account has paid in and not used (one per account)
    usage     what a metered account has used (one per account)
    grants    where granted credits come from                                   revenue what calls have earned
    loss:overrun  what an upstream used past a hold that the account could not pay, past MAX_AMOUNT in one metered call,
              or past MAX_SPENT

    kind      debit         credit    amount                        points at
    grant     grants        credits   what the operator gives       -
    hold      credits       revenue   set aside                     -
    post      credits       revenue   used, at most the hold        the hold
    void      credits       revenue   0                             the hold
    expire    credits       revenue   0 or the estimate             the hold
    overrun   credits       revenue   used past the hold, paid      the hold
    loss      loss:overrun  revenue   used past the hold, not paid  the hold
    topup     clearing:stripe  credits   what a payment brought        -
    refund    credits       clearing:stripe  what went back to the payer (or, given back, the other way round)  -
    correct   corrections   credits   a mistake put right (or the other way round)  -

A metered account's hold and post stand on `usage` in place of `credits`; its holds set nothing aside (amount 0).

Invariants, checked by assertions that stay on and again by core/audit.py from the entries alone: available = posted -
held is never negative by a call (a refund or a correction may take it below zero: then every new hold is refused); held
is the sum of the account's open holds; an end happens once. Refusals are values, in the order of the enum, never
exceptions. Every method is a plain def: nothing interleaves between check and take.
"""

from collections import OrderedDict
from enum import Enum

import msgspec

from ftgate.core import windows
from ftgate.core.money import MAX_AMOUNT

ENDED_KEPT = 1000
"""Ended holds whose way of ending and ref are kept in memory, to tell a repeat from a contradiction. Of older ones
every repeat of an end is answered already_ended: it changes nothing either way."""
MAX_SPENT = 8 * MAX_AMOUNT
"""The most that one key may ever spend, and one metered account ever use: eight million dollars, so that no sum of
charges leaves SQLite's 64 bits ($9.2M). There new holds are refused; what calls already open use past it is a loss."""


class Refusal(Enum):
    """Why the books said no, in order of precedence: the first that applies is the answer."""

    amount_out_of_range = "amount_out_of_range"
    account_unknown = "account_unknown"
    id_reused = "id_reused"  # our id is known, with another account, kind or amount
    already_done = "already_done"  # our id is known, with the same values: nothing changes
    hold_unknown = "hold_unknown"
    ended_differently = "ended_differently"  # the hold has ended, in another way or amount
    already_ended = "already_ended"  # the hold has ended, just so: nothing changes
    key_quota_exceeded = "key_quota_exceeded"
    insufficient_credits = "insufficient_credits"


class Entry(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One immutable row. `id` strictly increases; `hold` is the id of the hold that it ends (0: none); `ref` is our own
    id for the call or grant; `estimate` is, on a hold, what the prompt alone was estimated to cost (units); `at_us`
    microseconds since 1970, shown, never compared. `boot` numbers the process that wrote it (0: from before entries
    said so): a hold is open for as long as its boot lives, and only a later one may expire it."""

    id: int
    kind: str
    account: int
    key: int
    debit: str
    credit: str
    amount: int
    hold: int
    ref: str
    estimate: int
    at_us: int
    note: str = ""
    boot: int = 0


class Balance:
    """One account's state in units. `held` counts open holds only."""

    __slots__ = ("account", "credited", "held", "lowered", "metered", "posted", "used")

    def __init__(self, account: int, *, posted: int = 0, held: int = 0, used: int = 0, metered: bool = False) -> None:
        self.account = account
        self.credited = 0  # all that came from outside less what went back: told, and nothing is decided by it
        self.posted = posted
        self.held = held
        self.used = used  # what metered calls have used, ever
        self.metered = metered
        self.lowered = posted < held  # a refund or a correction took what open holds have set aside

    @property
    def available(self) -> int:
        return self.posted - self.held

    @property
    def spent(self) -> int:
        """What its calls have cost, ever: out of credits, and metered."""
        return self.credited - self.posted + self.used


class Quota:
    """One key's spending limit in units; `limit` None is none. Open holds count against it as they do against credits.
    `used` is all that the key has ever spent; where the limit begins anew from time to time, `before` is what it had
    spent when the present span began, and only what came after counts, until `until_us` (core.windows). Calls that
    were open then count where they end."""

    __slots__ = ("before", "held", "key", "limit", "reset", "seen_us", "until_us", "used")

    def __init__(self, key: int, *, limit: int | None = None, used: int = 0, held: int = 0) -> None:
        self.before = 0
        self.reset = "none"
        self.seen_us: int | None = None  # when a call of it ended last
        self.until_us: int | None = None
        self.key = key
        self.limit = limit
        self.used = used
        self.held = held

    def begin(self, reset: str, at_us: int) -> int:
        """The limit begins anew now, and again as `reset` says. When the present span began, as the calendar has
        it."""
        self.reset, self.before, self.until_us = reset, self.used, windows.ends_us(reset, at_us)
        return windows.begun_us(reset, at_us)

    @property
    def left(self) -> int | None:
        return None if self.limit is None else self.limit - (self.used - self.before) - self.held


class Hold(msgspec.Struct, frozen=True, gc=False):
    """An open hold. `amount` is 0 for a metered call, `quota_held` what its key's quota holds back for it: also where
    it has no limit, for one may be set while the call runs. Then (`unlimited`) the new limit takes nothing of what the
    call was let in for."""

    id: int
    account: int
    key: int
    amount: int
    quota_held: int
    metered: bool
    ref: str
    unlimited: bool = False


class Ended(msgspec.Struct, frozen=True, gc=False):
    """What ending a hold did: the entries to remember, units charged to the account, what was lost, the balance
    after."""

    entries: tuple[Entry, ...]
    charged: int
    lost: int
    posted: int


class Books:
    """All accounts, keys' quotas and open holds of one ledger. `boot` is the number of the process that keeps them."""

    def __init__(self, *, next_id: int = 1, boot: int = 0) -> None:
        self.next_id = next_id
        self.boot = boot
        self.accounts: dict[int, Balance] = {}
        self.quotas: dict[int, Quota] = {}
        self.open: dict[int, Hold] = {}
        self.moved: dict[
            str, tuple[str, int, int]
        ] = {}  # ref of every grant, topup, refund, correction -> kind, account, signed amount
        # The latest ended holds -> how and for how much it was asked, and its ref. Ordered: a dict's oldest key is
        # found behind the gaps of all that were taken out before it.
        self.ended: OrderedDict[int, tuple[str, int, str]] = OrderedDict()
        self.months: dict[int, tuple[str, int]] = {}  # of accounts with BYOK calls the last month, and its tokens
        self.held: dict[
            str, tuple[int, int, int]
        ] = {}  # ref of every open and every latest ended hold -> account, key, amount asked

    # Opening and looking

    def forget(self) -> None:
        """Everything is read anew, as another ledger shared by several processes has it."""
        for kept in (self.accounts, self.quotas, self.open, self.moved, self.ended, self.months, self.held):
            kept.clear()

    def open_account(self, account: int, *, posted: int = 0, used: int = 0, metered: bool = False) -> None:
        assert account not in self.accounts
        self.accounts[account] = Balance(account, posted=posted, used=used, metered=metered)

    def open_key(self, key: int, *, limit: int | None, used: int = 0) -> Quota:
        assert key not in self.quotas
        self.quotas[key] = quota = Quota(key, limit=limit, used=used)
        return quota

    def count_month(self, account: int, month: str, tokens: int) -> None:
        """BYOK calls have used tokens in a month. A call that ends in a later month than it came in counts in a month
        that nobody asks for any more: only the database remembers it."""
        last, used = self.months.get(account, ("", 0))
        if month >= last:
            self.months[account] = month, tokens + (used if month == last else 0)

    def used_in(self, account: int, month: str) -> int:
        """Tokens of BYOK calls in a month, which is the last one."""
        last, used = self.months.get(account, ("", 0))
        return used if month == last else 0

    def room(self, account: int, key: int) -> int | None:
        """Units that a new hold of this key may set aside, from 0; None when nothing bounds it."""
        balance, left = self.accounts[account], self.quotas[key].left
        if not balance.metered:
            left = balance.available if left is None else min(left, balance.available)
        return None if left is None else max(left, 0)

    def _entry(
        self, kind: str, account: int, key: int, debit: str, credit: str, amount: int, *, hold: int = 0, ref: str = "",
        estimate: int = 0,
        at_us: int, note: str = "",
    ) -> Entry:  # fmt: skip
        entry = Entry(
            self.next_id, kind, account, key, debit, credit, amount, hold, ref, estimate, at_us, note, self.boot
        )
        self.next_id += 1
        return entry

    # Moving money

    def grant(self, account: int, amount: int, *, ref: str, at_us: int, note: str = "") -> Entry | Refusal:
        """Give credits. Amounts from 0 (recorded, changes nothing) to MAX_AMOUNT, and no balance past it."""
        return self._move("grant", account, amount, "grants", ref=ref, at_us=at_us, note=note)

    def topup(self, account: int, amount: int, *, ref: str, at_us: int, note: str = "") -> Entry | Refusal:
        """Credit a payment, once: `ref` is our own id of it."""
        return self._move("topup", account, amount, "clearing:stripe", ref=ref, at_us=at_us, note=note)

    def refund(self, account: int, amount: int, *, ref: str, at_us: int, note: str = "") -> Entry | Refusal:
        """Take back a payment that went back to the payer; the balance may fall below zero."""
        if amount < 0:
            return Refusal.amount_out_of_range
        return self._move("refund", account, -amount, "clearing:stripe", ref=ref, at_us=at_us, note=note)

    def give_back(self, account: int, amount: int, *, ref: str, at_us: int, note: str = "") -> Entry | Refusal:
        """Undo (a part of) a refund: it failed, or a dispute was won. A refund the other way round, under its own
        ref."""
        if amount <= 0:
            return Refusal.amount_out_of_range
        return self._move("refund", account, amount, "clearing:stripe", ref=ref, at_us=at_us, note=note)

    def correct(self, account: int, amount: int, *, ref: str, at_us: int, note: str = "") -> Entry | Refusal:
        """Put a mistake right by a new entry: `amount` is added, or taken where it is negative, below zero if it must
        be."""
        return self._move("correct", account, amount, "corrections", ref=ref, at_us=at_us, note=note)

    def _move(
        self, kind: str, account: int, amount: int, other: str, *, ref: str, at_us: int, note: str
    ) -> Entry | Refusal:
        """Move `amount` (signed) from the ledger `other` to an account's credits, once for each `ref`."""
        balance = self.accounts.get(account)
        lowers = kind in {"refund", "correct"}
        if abs(amount) > MAX_AMOUNT or (amount < 0 and not lowers):
            return Refusal.amount_out_of_range
        known = self.moved.get(ref)
        if balance is not None and known is None and abs(balance.posted + amount) > MAX_AMOUNT:
            return Refusal.amount_out_of_range
        if balance is None:
            return Refusal.account_unknown
        if known is not None:
            return Refusal.already_done if known == (kind, account, amount) else Refusal.id_reused
        self.moved[ref] = (kind, account, amount)
        balance.posted += amount
        balance.credited += amount
        balance.lowered = balance.available < 0
        comes = amount > 0 or (amount == 0 and kind != "refund")
        debit, credit = (other, "credits") if comes else ("credits", other)
        return self._entry(kind, account, 0, debit, credit, abs(amount), ref=ref, at_us=at_us, note=note)

    def hold(
        self, account: int, key: int, amount: int, *, ref: str, estimate: int, at_us: int, note: str = ""
    ) -> tuple[Hold, Entry] | Refusal:
        """Set `amount` aside for a call. A metered account sets nothing aside and is never refused for credits. `note`
        is the call's mode, where that is not the standard one."""
        balance = self.accounts.get(account)
        quota = self.quotas.get(key)
        known = self.held.get(ref)
        # A metered call's amount is not written down, so only what would be an entry is bounded.
        if amount < 0 or estimate < 0 or (amount > MAX_AMOUNT and balance is not None and not balance.metered):
            return Refusal.amount_out_of_range
        if balance is None or quota is None:
            return Refusal.account_unknown
        if known is not None:
            return Refusal.already_done if known == (account, key, amount) else Refusal.id_reused
        if quota.used >= MAX_SPENT or (quota.limit is not None and amount > max(quota.left or 0, 0)):
            return Refusal.key_quota_exceeded
        if balance.used >= MAX_SPENT if balance.metered else amount > max(balance.posted - balance.held, 0):
            return Refusal.insufficient_credits
        aside = 0 if balance.metered else amount
        ledger = "usage" if balance.metered else "credits"
        entry = self._entry(
            "hold", account, key, ledger, "revenue", aside, ref=ref, estimate=min(estimate, MAX_AMOUNT), at_us=at_us,
            note=note,
        )  # fmt: skip
        held = Hold(entry.id, account, key, aside, amount, balance.metered, ref, quota.limit is None)
        balance.held += aside
        quota.held += held.quota_held
        self.open[entry.id] = held
        self.held[ref] = (account, key, amount)
        assert balance.metered or not amount or balance.posted >= balance.held
        return held, entry

    def post(self, hold_id: int, amount: int, *, at_us: int, note: str = "") -> Ended | Refusal:
        """End a hold by charging `amount` units. What is past the hold is taken from what is available, down to zero,
        as an entry of its own; the rest is a loss. A repeat answers already_ended and changes nothing."""
        return self._end("post", hold_id, amount, at_us=at_us, note=note)

    def void(self, hold_id: int, *, at_us: int, note: str = "") -> Ended | Refusal:
        """End a hold without a charge."""
        return self._end("void", hold_id, 0, at_us=at_us, note=note)

    def expire(self, hold_id: int, amount: int, *, at_us: int, note: str = "") -> Ended | Refusal:
        """End a hold whose process is gone, charging `amount` (0, or the estimate), at most the hold of a prepaid
        account: nobody saw what was used past it, so there is no overrun."""
        return self._end("expire", hold_id, amount, at_us=at_us, note=note)

    def _end(self, kind: str, hold_id: int, amount: int, *, at_us: int, note: str) -> Ended | Refusal:
        if amount < 0:
            return Refusal.amount_out_of_range
        hold = self.open.get(hold_id)
        if hold is None:
            if not 0 < hold_id < self.next_id:
                return Refusal.hold_unknown
            same = self.ended.get(hold_id, (kind, amount))[:2] == (kind, amount)
            return Refusal.already_ended if same else Refusal.ended_differently
        del self.open[hold_id]
        self.ended[hold_id] = (kind, amount, hold.ref)
        if len(self.ended) > ENDED_KEPT:
            _, (_, _, ref) = self.ended.popitem(last=False)
            self.held.pop(ref, None)
        balance = self.accounts[hold.account]
        quota = self.quotas[hold.key]
        balance.held -= hold.amount
        quota.held -= hold.quota_held
        assert balance.held >= 0 and quota.held >= 0
        ledger = "usage" if hold.metered else "credits"
        # An upstream's absurd number must not overflow a column, and no sum of charges may either.
        room = MAX_SPENT - (max(quota.used, balance.used) if hold.metered else quota.used)
        # A key's quota is never passed: what an upstream took beyond it is only ours.
        if quota.limit is not None and not hold.unlimited:
            room = min(room, max(quota.left or 0, hold.quota_held))
        within = min(amount, MAX_AMOUNT if hold.metered else hold.amount, room)
        entries = [
            self._entry(
                kind,
                hold.account,
                hold.key,
                ledger,
                "revenue",
                within,
                hold=hold_id,
                ref=hold.ref,
                at_us=at_us,
                note=note,
            )
        ]
        charged, lost = within, 0
        if hold.metered:
            balance.used += within
            if amount > within and kind == "post":
                lost = self._loss(hold, amount - within, entries, at_us)
        else:
            balance.posted -= within
            if amount > within and kind == "post":
                charged, lost = self._overrun(hold, balance, amount - within, room - within, entries, at_us)
                charged += within
        quota.used += charged
        assert quota.used <= MAX_SPENT and balance.used <= MAX_SPENT
        if balance.lowered:
            balance.lowered = balance.available < 0
        else:
            assert hold.metered or balance.posted >= balance.held
        return Ended(tuple(entries), charged, lost, balance.posted)

    def _overrun(
        self, hold: Hold, balance: Balance, excess: int, room: int, entries: list[Entry], at_us: int
    ) -> tuple[int, int]:
        """Take what a hold did not cover: from the available credits down to zero, within the key's `room`, the rest as
        a loss."""
        paid = max(min(excess, balance.available, room), 0)
        if paid:
            entries.append(
                self._entry(
                    "overrun",
                    hold.account,
                    hold.key,
                    "credits",
                    "revenue",
                    paid,
                    hold=hold.id,
                    ref=hold.ref,
                    at_us=at_us,
                )
            )
            balance.posted -= paid
        return paid, self._loss(hold, excess - paid, entries, at_us) if excess > paid else 0

    def _loss(self, hold: Hold, amount: int, entries: list[Entry], at_us: int) -> int:
        """Write down what nobody pays, at most MAX_AMOUNT; the units written."""
        lost = min(amount, MAX_AMOUNT)
        entry = self._entry(
            "loss", hold.account, hold.key, "loss:overrun", "revenue", lost, hold=hold.id, ref=hold.ref, at_us=at_us
        )
        entries.append(entry)
        return lost
