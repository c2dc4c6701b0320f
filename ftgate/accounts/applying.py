"""What Stripe says of a payment, applied: read anew, decided, entered, written. One function for everybody who asks.

Of one payment there is one reading at a time: what is decided on is never older than what was decided before. The
entries and the payment's row go into the database together, or not at all, and whoever asked is answered when they are
in it; somebody who finds it all decided already waits for that too.
"""

import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import msgspec
import trio

from ftgate.accounts.payment_rows import PaymentRows, statement
from ftgate.accounts.pending import commit_s, turn
from ftgate.accounts.stripe import Stripe, StripeFailed
from ftgate.core import payments as core
from ftgate.core.books import Books, Entry, Refusal
from ftgate.core.payments import Charge, Decision, Payment, Session, Told
from ftgate.errors import DatabaseBusy, DatabaseFailed, PaymentsDisabled
from ftgate.ports import Clock
from ftgate.ports.payments import PaymentTerms
from ftgate.store.batch import Batch
from ftgate.store.changes import Changes
from ftgate.store.database import DatabaseFault

log = logging.getLogger("ftgate.payments")
T = TypeVar("T")

ALL_S = 40.0
"""How long everything that is asked of Stripe for one purpose may take."""


class Hint(msgspec.Struct, frozen=True):
    """Where to look, and the one thing that only an event tells: that a payment which takes days has `failed`."""

    session: str = ""
    charge: str = ""
    disputed: bool = False
    failed: bool = False


NOWHERE = Hint()


class NotOurs(Exception):
    """The session is none of this payment's."""


class Applying:
    """Payments and their entries. `terms` are those in force; `passing` is called at places where tests end the
    process."""

    def __init__(
        self,
        rows: PaymentRows,
        books: Books,
        writer: Changes,
        clock: Clock,
        terms: Callable[[], PaymentTerms],
        passing: Callable[[str], None],
    ) -> None:
        self.rows = rows
        self.books = books
        self.writer = writer
        self.clock = clock
        self.terms = terms
        self.passing = passing
        self.reached: Counter[str] = Counter()  # how many payments have come to a status since the start
        self._unwritten: dict[str, Batch] = {}  # of payments that may not be committed yet
        self._turns: dict[str, tuple[trio.Lock, int]] = {}  # the lock of a payment, and who has it or waits for it
        self._stripes: list[Stripe] = []  # the last one is in force

    def __repr__(self) -> str:
        return f"<Applying {self.rows!r}, {len(self._turns)} being looked at>"

    def stripe(self) -> Stripe:
        """Stripe by the settings in force. Raises PaymentsDisabled."""
        terms = self.terms()
        if terms.secret_key is None:
            raise PaymentsDisabled("payments are not set up on this gateway")
        now = self._stripes[-1] if self._stripes else None
        if now is None or (now.secret, now.address) != (terms.secret_key, terms.api_base.rstrip("/")):
            self._stripes.append(now := Stripe(terms.secret_key, terms.api_base))
        return now

    async def aclose(self) -> None:
        for stripe in self._stripes:
            await stripe.aclose()

    @asynccontextmanager
    async def turn(self, id: str) -> AsyncIterator[None]:
        """Have a payment to oneself."""
        lock, waiting = self._turns.get(id, (trio.Lock(), 0))
        self._turns[id] = lock, waiting + 1
        try:
            async with lock:
                yield
        finally:
            lock, waiting = self._turns.pop(id)
            if waiting > 1:
                self._turns[id] = lock, waiting - 1

    async def apply(self, id: str, hint: Hint = NOWHERE) -> Payment:
        """Bring a payment to what Stripe says of it now; as it is then, written. Raises StripeFailed, NotOurs,
        DatabaseBusy, PaymentsDisabled."""
        stripe = self.stripe()
        async with self.turn(id):
            told, before = None, self.rows.by_id[id]
            with trio.move_on_after(ALL_S) as limit:
                while told is None or self.rows.by_id[id] != before:  # another gateway knows something newer, then
                    before = self.rows.by_id[id]
                    told = await self._ask(stripe, before, hint)
                    self.passing("told")
                    await turn(self.writer)
            if told is None or limit.cancelled_caught:
                raise StripeFailed(f"not all answers came within {ALL_S:g} s", timed_out=True)
            self.enter(before, core.decide(before, told))
            self.passing("payment_entered")
            await self.written(id)
            self.passing("payment_written")
            return self.rows.by_id[id]

    async def _ask(self, stripe: Stripe, payment: Payment, hint: Hint) -> Told:
        """What Stripe says now. A payment whose session is not known yet gets it by its id, which is the key under
        which it was asked for. Raises StripeFailed, NotOurs."""
        id = payment.session or hint.session or (await stripe.create(payment)).id
        session, charge = await stripe.session(id)
        if session.id != id or self.rows.by_session.get(id, payment.id) != payment.id:
            raise StripeFailed("an answer about another session")
        if not payment.session and session.reference != payment.id:
            raise NotOurs(id)
        if session.payment_status != "paid" and not payment.credited:
            return Told(session, failed=hint.failed)
        charge = charge or await self._charge(stripe, payment, session, hint)
        if charge is None:
            return Told(session, failed=hint.failed)
        if charge.disputed is False and not (hint.disputed or payment.disputed):
            return Told(session, charge, (), hint.failed)
        return Told(session, charge, await _there(stripe.disputes(charge.id)), hint.failed)

    async def _charge(self, stripe: Stripe, payment: Payment, session: Session, hint: Hint) -> Charge | None:
        """The charge of a session that did not bring it along; None where Stripe knows of none."""
        id = payment.charge or (session.intent and await _there(stripe.charge_of(session.intent))) or hint.charge
        charge = await _there(stripe.charge(id)) if id else None
        return charge if charge and charge.intent in {"", session.intent} else None

    def enter(self, before: Payment, found: Decision) -> None:
        """Enter what was decided, and queue it with the payment's row; at once, so that nothing comes between."""
        payment, at_us = found.payment, self.clock.wall_us()
        entries: list[Entry] = []
        if found.credit:
            entry = self.books.topup(
                payment.account, found.credit, ref=payment.session, at_us=at_us, note=payment.id
            )  # fmt: skip
            if isinstance(entry, Refusal):
                log.error("payment %s cannot be credited: %s", payment.id, entry.value)
                kept = msgspec.structs.replace(payment, credited=0, taken=0, moves=0, resolved="")
                self.enter(before, core.quarantine(kept, _REFUSED.get(entry, entry.value)))
                return
            entries.append(entry)
            payment = msgspec.structs.replace(payment, paid_at_us=at_us)
        if found.take:
            move = self.books.refund if found.take > 0 else self.books.give_back
            ref = f"{payment.id}:{payment.moves}"
            entry = move(payment.account, abs(found.take), ref=ref, at_us=at_us, note=payment.session)
            if isinstance(entry, Refusal):
                log.critical("payment %s: what Stripe took back cannot be entered: %s", payment.id, entry.value)
                payment = msgspec.structs.replace(payment, taken=before.taken, moves=before.moves)
            else:
                entries.append(entry)
        if payment != before:
            self._keep(before, payment, tuple(entries))

    def _keep(self, before: Payment, payment: Payment, entries: tuple[Entry, ...]) -> None:
        batch = self.writer.changed()
        if entries:
            batch.remember(entries, self.books.accounts[payment.account])
        batch.statements.append(statement(payment))
        self.rows.keep(payment)
        self._unwritten = {id: waiting for id, waiting in self._unwritten.items() if not waiting.over}
        self._unwritten[payment.id] = batch
        if payment.status != before.status:
            self.reached[payment.status] += 1
            loud = log.warning if payment.status in {"quarantined", "disputed"} else log.info
            loud("payment %s is %s%s", payment.id, payment.status, payment.reason and f": {payment.reason}")
        elif payment.reason != before.reason:
            log.warning("payment %s, which is %s: %s", payment.id, payment.status, payment.reason)

    def begin(self, payment: Payment) -> None:
        """Queue a new payment's row."""
        batch = self.writer.changed()
        batch.statements.append(statement(payment))
        self.rows.keep(payment)
        self.reached[payment.status] += 1
        self._unwritten[payment.id] = batch

    async def abandon(self, id: str, why: str) -> None:
        """Stripe knows no session of this order, and makes none: nobody can pay in it. Should there be one after all,
        what is told of it still counts."""
        async with self.turn(id):
            await turn(self.writer)
            payment = self.rows.by_id[id]
            if payment.status == "open":
                self.enter(payment, Decision(msgspec.structs.replace(payment, status="expired", reason=why)))
                await self.written(id)

    async def written(self, id: str) -> None:
        """Wait until all that was decided of a payment is in the database. Raises DatabaseBusy, when that takes too
        long or will never be: it may be asked for again, then."""
        batch = self._unwritten.get(id)
        if batch is None or batch.over:
            return
        try:
            if await self.writer.durable_within(batch, commit_s(self.writer)):
                return
        except DatabaseFault as fault:
            raise DatabaseFailed("the ledger has failed, and the gateway is stopping") from fault
        raise DatabaseBusy("the database takes no commits now; whether what was decided is written is not known yet")


async def _there(asked: Awaitable[T]) -> T | None:
    """What was asked for; None where Stripe has no such thing. Raises StripeFailed for all else."""
    try:
        return await asked
    except StripeFailed as failed:
        if not failed.missing:
            raise
        return None


_REFUSED = {
    Refusal.amount_out_of_range: "the balance would pass $1,000,000",
    Refusal.id_reused: "the session's id is the ref of another entry",
}
