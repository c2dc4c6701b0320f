"""Bugs to plant in accounts, keys, quotas and payments, as plants.py has them."""

from collections.abc import Callable
from typing import Any

import msgspec

import ftgate.accounts.keys
from ftgate.accounts import directory
from ftgate.accounts.applying import NOWHERE, Applying, Hint
from ftgate.accounts.credits import Credits
from ftgate.accounts.directory import Directory, StoredKey, User
from ftgate.accounts.users import Users
from ftgate.core import payments, windows
from ftgate.core.books import Books, Entry, Hold, Quota, Refusal
from ftgate.core.limits import Limits
from ftgate.core.moments import month
from ftgate.core.payments import Decision, Payment, Told, decide
from ftgate.core.routing import Routes
from ftgate.line.gate import Gate
from ftgate.ports import Key
from ftgate.store import recovery
from ftgate.store.ledger import MemoryLedger

Patch = tuple[Any, str, Any]


# Quotas


def count_in_the_old_span() -> Patch:
    """A call that ends after its key's quota began anew counts as if it had ended before, until another one comes."""
    real = MemoryLedger.settle

    async def settle(self: MemoryLedger, hold: int, charge: int | None, row: Any) -> Any:
        quota = self.books.quotas[self.books.open[hold].key]
        until_us, quota.until_us = quota.until_us, None
        try:
            return await real(self, hold, charge, row)
        finally:
            quota.until_us = until_us

    return MemoryLedger, "settle", settle


def count_the_dead_before() -> Patch:
    """What a start charges for a call that a kill ended does not count in the span in which it starts."""
    return recovery, "begin_anew", lambda quota, at_us, batch: at_us


def never_anew() -> Patch:
    """A quota does not begin anew."""
    real = Quota.begin

    def begin(self: Quota, reset: str, at_us: int) -> int:
        before = self.before
        began = real(self, reset, at_us)
        self.before = before
        return began

    return Quota, "begin", begin


def weeks_from_sunday() -> Patch:
    return windows, "_MONDAY_US", 3 * windows.DAY_US


def all_counts_after_a_start() -> Patch:
    """A start forgets what a key had spent before its quota began anew."""
    real = Directory.load

    def load(self: Directory, connection: Any, found: Any = None) -> None:
        real(self, connection, found)
        for quota in self.books.quotas.values():
            quota.before = 0

    return Directory, "load", load


def held_back_by_nobody() -> Patch:
    """A quota that is set while a call runs does not know of it, and takes what it was let in for."""
    real = Books.hold

    def hold(self: Books, account: int, key: int, amount: int, **more: Any) -> tuple[Hold, Entry] | Refusal:
        taken = real(self, account, key, amount, **more)
        if isinstance(taken, Refusal) or not taken[0].unlimited:
            return taken
        self.quotas[key].held -= taken[0].quota_held
        held = msgspec.structs.replace(taken[0], quota_held=0, unlimited=False)
        self.open[held.id] = held
        return held, taken[1]

    return Books, "hold", hold


# Who may call


def _let_in(**changes: Any) -> Patch:
    real = Directory.find

    async def find(self: Directory, secret: bytes) -> Key | None:
        found = await real(self, secret)
        return found and msgspec.structs.replace(found, **changes)

    return Directory, "find", find


def disabled_keys_call() -> Patch:
    return _let_in(active=True)


def disabled_accounts_call() -> Patch:
    return _let_in(account_active=True)


def expired_keys_call() -> Patch:
    return _let_in(expires_at_us=None)


def deleted_keys_call() -> Patch:
    """A deleted key is still found."""
    real = Directory.drop_key

    def drop_key(self: Directory, key: StoredKey) -> None:
        found = self.by_hash.get(key.hash)
        real(self, key)
        if found is not None:
            self.by_hash[key.hash] = found

    return Directory, "drop_key", drop_key


def any_model() -> Patch:
    """Nobody is held to a list of models."""
    return Routes, "permits", lambda self, patterns, name: True


def forget_the_new_plan() -> Patch:
    """A key whose plan has changed keeps the limits of the old one."""
    return Limits, "renew", lambda self, scope, name: None


def unchanged_at_once() -> Patch:
    """Who asks for what is decided already is answered before it is written."""
    real = Users.change

    async def change(self: Users, user: User, changes: Any, *by: Any) -> User:
        if all(getattr(user, name) == value for name, value in changes.items()):
            return user
        return await real(self, user, changes, *by)

    return Users, "change", change


def keys_answered_too_early() -> Patch:
    """A change of a key is answered before it is written."""

    async def written(*words: Any) -> None:
        """At once."""

    return ftgate.accounts.keys, "written", written


def forget_the_status() -> Patch:
    """That a key is disabled is not written down."""
    columns = ftgate.accounts.keys.COLUMNS
    return ftgate.accounts.keys, "COLUMNS", {**columns, "status": "name"}


def refs_of_this_start_only() -> Patch:
    """After a start a grant is done again when it is told again."""
    return Credits, "load", lambda self, connection: None


# Calls with provider keys of their own


def nobody_counts_months() -> Patch:
    """What such calls use is known after a start alone."""
    return Books, "count_month", lambda self, account, month, tokens: None


def months_begin_with_a_start() -> Patch:
    """A start forgets what such calls have used in this month."""
    return directory, "last_months_in", lambda connection: {}


def counted_where_it_ends() -> Patch:
    """Such a call counts in the month in which it ends."""

    def count(self: MemoryLedger, batch: Any, row: Any) -> None:
        if tokens := row.prompt_tokens + row.completion_tokens:
            when = month(self.clock.wall_us())
            self.books.count_month(row.account, when, tokens)
            batch.count_month(row.account, when, tokens)

    return MemoryLedger, "_count", count


# Payments


def refunds_add_up() -> Patch:
    """What Stripe says is refunded is taken for something new each time."""
    real = payments._settled

    def settled(before: Payment, payment: Payment) -> Decision:
        found = real(before, payment)
        if found.take or not found.payment.refunded:
            return found
        told = msgspec.structs.replace(found.payment, moves=found.payment.moves + 1)
        return msgspec.structs.replace(found, payment=told, take=min(told.refunded, told.credited))

    return payments, "_settled", settled


def disputes_cost_nothing() -> Patch:
    """What is disputed stays with its account."""
    return payments, "_NOT_TAKEN", payments._NOT_TAKEN | {"needs_response"}


def lost_is_won() -> Patch:
    """A lost dispute is given back."""
    return payments, "_NOT_TAKEN", payments._NOT_TAKEN | {"lost"}


def failed_for_ever() -> Patch:
    """A payment that had failed is not credited when it is paid after all."""
    real = payments._status

    def status(payment: Payment, told: Told) -> Payment:
        return payment if payment.status == "failed" else real(payment, told)

    return payments, "_status", status


def any_amount() -> Patch:
    """A session that is not what was asked for is credited all the same."""
    return payments, "differs", lambda payment, session: ""


def the_last_answer_wins() -> Patch:
    """Several look at a payment at once, and an older answer of Stripe's may be applied over a newer one."""

    async def apply(self: Applying, id: str, hint: Hint = NOWHERE) -> Payment:
        told = await self._ask(self.stripe(), self.rows.by_id[id], hint)
        before = self.rows.by_id[id]
        self.enter(before, decide(before, told))
        await self.written(id)
        return self.rows.by_id[id]

    return Applying, "apply", apply


def events_taken_too_early() -> Patch:
    """An event is taken before what follows from it is written."""

    async def written(self: Applying, id: str) -> None:
        """At once."""

    return Applying, "written", written


def paid_by_the_event() -> Patch:
    """A credit is entered, and the payment's row is not written with it."""
    real = Applying._keep

    def keep(self: Applying, before: Payment, payment: Payment, entries: tuple[Entry, ...]) -> None:
        real(self, before, payment, entries)
        if entries:
            self.writer.changed().statements.pop()

    return Applying, "_keep", keep


def a_free_call_for_the_poor() -> Patch:
    """Nobody is refused whose balance a refund took below zero."""
    real = Gate._request

    def request(self: Gate, x: Any, key: Key) -> Any:
        found = real(self, x, key)
        balance = self.ledger.books.accounts[key.account]  # type: ignore[attr-defined]
        if balance.posted < 0:
            balance.posted, balance.credited = 10**12, balance.credited + 10**12 - balance.posted
        return found

    return Gate, "_request", request


PEOPLE: dict[str, Callable[[], Patch]] = {
    plant.__name__: plant
    for plant in (
        count_in_the_old_span,
        count_the_dead_before,
        never_anew,
        weeks_from_sunday,
        all_counts_after_a_start,
        held_back_by_nobody,
        disabled_keys_call,
        disabled_accounts_call,
        expired_keys_call,
        deleted_keys_call,
        any_model,
        forget_the_new_plan,
        unchanged_at_once,
        keys_answered_too_early,
        forget_the_status,
        refs_of_this_start_only,
        nobody_counts_months,
        months_begin_with_a_start,
        counted_where_it_ends,
        refunds_add_up,
        disputes_cost_nothing,
        lost_is_won,
        failed_for_ever,
        any_amount,
        the_last_answer_wins,
        events_taken_too_early,
        paid_by_the_event,
        a_free_call_for_the_poor,
    )
}
