"""Payments in a history: people pay, banks and Stripe do as they do, Stripe tells of it late, twice, in any order, and
several times at once. The auditor of this room knows what Stripe says at each moment, and by plain sums what each
payment must then be.

Whoever was answered (an event was taken, a payment was shown, the reconciliation has ended) has seen what Stripe said
at that moment or later applied and written, for ever. In the end, when everything was told, every payment is just what
Stripe says, by one credit each.
"""

import random
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import trio

from ftgate.accounts import Accounts
from ftgate.accounts.payments import Payments
from ftgate.core.audit import Disagreement
from ftgate.core.payments import Payment
from ftgate.core.secret import Secret
from ftgate.errors import GateError
from ftgate.ports import Clock
from ftgate.ports.payments import Checkout, PaymentTerms
from ftgate.ports.site import Doer
from ftgate.store.verify import compare_payments
from tests.days.bank import Bank, Wired
from tests.fakes.stripe import SECRET_KEY, WEBHOOK_SECRET

CENT = 10**10
STATUSES = {429, 502, 503, 504}
"""What may be answered to whoever asks for something about payments that is right."""
TERMS = PaymentTerms(
    secret_key=Secret(SECRET_KEY), webhook_secret=Secret(WEBHOOK_SECRET), api_base="http://stripe.invalid",
    min_amount=CENT, max_amount=1000 * 100 * CENT,
)  # fmt: skip


@dataclass(frozen=True)
class Says:
    """What Stripe says of a session at one moment; amounts in cents."""

    status: str
    paid: bool
    refunded: int = 0
    disputed: int = 0


@dataclass
class Order:
    """A session, and what the auditor knows of it."""

    account: int
    cents: int
    strange: bool = False  # it is not what was asked for
    said: list[Says] = field(default_factory=lambda: [Says("open", False)])
    changed_us: int = 0  # when Stripe said something new
    seen: int = 0  # what was said up to here, or later, was applied and answered
    failing: bool = False  # there is an event that says that it has failed
    failed: bool = False  # and it was taken
    resolving: str = ""  # what an operator has asked for
    resolved: str = ""  # and was answered


class Till:
    """All payments of a history. `act` counts what happened."""

    def __init__(self, rng: random.Random, clock: Clock, act: Counter[str]) -> None:
        self.rng = rng
        self.clock = clock
        self.act = act
        self.bank = Bank(rng, lambda: clock.wall_us() / 1_000_000)
        self.orders: dict[str, Order] = {}
        self.answered: dict[str, str] = {}  # session that was answered -> our id of it
        self.asked: dict[str, tuple[int, int, str]] = {}  # a request's name -> account, cents, session
        self.asked_us = 0  # when the first of these was asked for
        self.told = 0  # events that were taken
        self.requests = 0

    def open(self, accounts: Accounts) -> None:
        """A boot begins."""
        self.accounts = accounts
        self.payments = Payments(
            accounts.payment_rows, accounts.directory, accounts.throttles, accounts.users.writer, self.clock,
            terms=lambda: TERMS, own_url="http://127.0.0.1:8400",
        )  # fmt: skip
        self.payments.applying._stripes.append(Wired(Secret(SECRET_KEY), TERMS.api_base, self.bank))

    # What happens

    async def step(self) -> None:
        """One thing."""
        rng, bank = self.rng, self.bank
        act = rng.choice(["order", "order", *["happens"] * 4, *["tell"] * 5, "look", "reconcile", "resolve"])
        if act == "order" or not bank.sessions:
            await self._order()
        elif act == "happens":
            self._happens(rng.choice(list(bank.sessions)[-rng.choice([3, 100]) :]))
        elif act == "tell" and bank.events:
            fresh = bank.events[-5:]
            async with trio.open_nursery() as nursery:
                for event in rng.choices(rng.choice([bank.events, fresh]), k=rng.choice([1, 1, 1, 2, 3])):
                    nursery.start_soon(self.tell, event)
        elif act == "look":
            await self._look(rng.choice(list(bank.sessions)))
        elif act == "reconcile":
            await self._reconcile(everything=rng.random() < 0.5)
        elif act == "resolve":
            await self._resolve()

    async def _try(self, asked: Awaitable[Any]) -> Any:
        """What is answered, or None where it could not be."""
        try:
            return await asked
        except GateError as error:
            assert error.status in STATUSES, error
            return None

    async def _order(self) -> None:
        """Somebody wants to pay, perhaps twice under the same name."""
        rng = self.rng
        if self.clock.wall_us() > self.asked_us + 86_400_000_000:  # then a name means nothing any more
            self.asked.clear()
            self.asked_us = self.clock.wall_us()
        account = rng.choice(list(self.accounts.directory.users))
        cents, name = int(10 ** rng.uniform(0, 3)), ""
        if rng.random() < 0.4:
            if self.asked and rng.random() < 0.4:
                name = rng.choice(list(self.asked))
                account, cents, _ = self.asked[name]
            else:
                self.requests += 1
                name = f"order {self.requests}"
        leaves = rng.random() < 0.1
        with trio.move_on_after(rng.uniform(0, 3) if leaves else float("inf")):
            said = await self._try(self.payments.checkout(account, Checkout(cents * CENT, request=name)))
            self.orders_at_bank()
            if said is None:
                return
            id = str(said["session_id"])
            order = self.orders[id]
            assert (order.account, order.cents) == (account, cents), f"{id}: {order} for {account} and {cents}"
            if name:
                before = self.asked.get(name, (account, cents, id))[2]
                assert before == id, f"{name} has the sessions {before} and {id}"
                self.asked[name] = account, cents, id
            self.answered[id] = str(said["id"])
            self.act["checkouts"] += 1

    def orders_at_bank(self) -> None:
        """Take in what was made at Stripe, whether or not somebody was told."""
        for id, said in self.bank.sessions.items():
            if id not in self.orders:
                payment = self.accounts.payment_rows.by_id.get(said["client_reference_id"])
                assert payment is not None, f"{id} was made at Stripe, and its order is lost"
                self.orders[id] = Order(payment.account, said["amount_total"])
                assert payment.amount == said["amount_total"] * CENT, payment

    def _happens(self, session: str) -> None:
        """One thing that can happen to a session as it stands."""
        self.orders_at_bank()
        rng, bank, said, order = self.rng, self.bank, self.bank.sessions[session], self.orders[session]
        if said["status"] == "open":
            if rng.random() < 0.05:
                order.strange = True
                bank.alter(session, amount_total=order.cents + 1)
            act = rng.choice(["pay", "pay", "pay", "complete", "complete", "expire"])
            getattr(bank, act)(session)
        elif said["status"] == "complete" and said["payment_status"] == "unpaid":
            act = rng.choice(["succeed", "succeed", "fail"])
            getattr(bank, act)(session)
        elif said["payment_status"] == "paid":
            charge = bank.charge_of(session)
            disputes = [one for one in bank.disputes.values() if one["charge"] == charge["id"]]
            left = charge["amount"] - charge["amount_refunded"]
            refunds = [r for r in bank.refunds.values() if r["charge"] == charge["id"] and r["status"] == "succeeded"]
            act = rng.choice(["refund", "refund", "fail_refund", "dispute", "decide"])
            if act == "refund" and left:
                bank.refund(session, rng.choice([left, rng.randint(1, left)]))
            elif act == "fail_refund" and refunds:
                bank.fail_refund(session)
            elif act == "dispute" and not disputes:
                bank.dispute(session, rng.choice([charge["amount"], rng.randint(1, charge["amount"])]))
            elif act == "decide" and disputes and disputes[-1]["status"] == "needs_response":
                act = rng.choice(["won", "won", "lost"])
                bank.decide(session, act)
            else:
                return
        else:
            return
        order.failing |= act == "fail"
        self.act[act] += 1
        order.said.append(self._says(session))
        order.changed_us = self.clock.wall_us()

    def _says(self, session: str) -> Says:
        """Summed up from what lies at Stripe."""
        said = self.bank.sessions[session]
        if not said["payment_intent"]:
            return Says(said["status"], False)
        charge = self.bank.charge_of(session)["id"]
        refunded = sum(
            one["amount"]
            for one in self.bank.refunds.values()
            if one["charge"] == charge and one["status"] == "succeeded"
        )
        disputed = sum(
            one["amount"] for one in self.bank.disputes.values() if one["charge"] == charge and one["status"] != "won"
        )
        return Says(said["status"], said["payment_status"] == "paid", refunded, disputed)

    def _about(self, event: Any) -> str:
        """The session that an event is about."""
        about = event["data"]["object"]
        if about["object"] == "checkout.session":
            return str(about["id"])
        return next(id for id, one in self.bank.sessions.items() if one["payment_intent"] == about["payment_intent"])

    async def tell(self, event: Any) -> None:
        """Deliver an event, until it is taken or not."""
        self.orders_at_bank()
        session = self._about(event)
        order = self.orders[session]
        body, signature = self.bank.signed(event, at=self.clock.wall_us() / 1_000_000)
        failed = event["type"] == "checkout.session.async_payment_failed"

        async def taken() -> bool:
            await self.payments.webhook(signature, body)
            return True

        if await self._seeing([session], taken()):
            self.act["events taken"] += 1
            order.failed |= failed and not order.said[-1].paid

    async def _seeing(self, sessions: list[str], asked: Awaitable[Any]) -> Any:
        """What is answered once what Stripe says now, or later, was applied to these sessions; None where it was
        not."""
        before = {id: len(self.orders[id].said) - 1 for id in sessions}
        said = await self._try(asked)
        if said:
            for id, seen in before.items():
                self.orders[id].seen = max(self.orders[id].seen, seen)
                self.check(id)
        return said

    async def _look(self, session: str) -> None:
        """Its payer reads it."""
        self.orders_at_bank()
        order = self.orders[session]
        payment = self.accounts.payment_rows.by_id[self.bank.sessions[session]["client_reference_id"]]
        if not payment.session:  # not told yet
            return
        shown = await self.payments.one(order.account, session)
        assert shown["session_id"] == session and shown["amount"] == f"{order.cents // 100}.{order.cents % 100:02d}"
        self.act["payments read"] += 1

    async def _reconcile(self, *, everything: bool) -> None:
        self.orders_at_bank()
        listed_us = self.clock.wall_us() - 29 * 86_400_000_000  # Stripe lists its events for 30 days
        before = {id: len(order.said) - 1 for id, order in self.orders.items() if order.changed_us > listed_us}
        counts = await self.payments.events.reconcile(everything=everything)
        self.act["reconciliations"] += 1
        if everything and not counts["failed"]:
            for id, seen in before.items():
                self.orders[id].seen = max(self.orders[id].seen, seen)
                self.check(id)

    async def _resolve(self) -> None:
        """An operator decides what was put aside."""
        rows = self.accounts.payment_rows
        aside = [payment for payment in map(rows.by_id.__getitem__, rows.all) if payment.status == "quarantined"]
        if not aside:
            return
        payment, action = self.rng.choice(aside), self.rng.choice(["credit", "dismiss"])
        order = self.orders[payment.session]
        if order.resolving:
            return
        order.resolving = action
        if await self._try(self.payments.resolve(payment.id, action=action, note="seen", by=Doer())):
            order.resolved = action
            self.act["resolved"] += 1
        self.check(payment.session)

    # What must be

    def check(self, session: str) -> None:
        """A payment as the house has it now."""
        rows = self.accounts.payment_rows
        self._right(session, rows.by_id[self.bank.sessions[session]["client_reference_id"]])

    def _right(self, session: str, payment: Payment) -> None:
        """Raises AssertionError where a payment is not what was said of it since it was seen last."""
        order = self.orders[session]
        said = order.said[order.seen :]
        words = f"{session}, {order}: {payment}"
        assert payment.account == order.account and payment.amount == order.cents * CENT, words
        if order.strange and not (order.resolving == "credit" and payment.credited):
            due = {"quarantined"} if order.said[order.seen].status == "complete" else {"quarantined", "open", "expired"}
            due = {"failed"} if order.resolved else due | ({"failed"} if order.resolving == "dismiss" else set())
            assert not payment.credited and (payment.status in due), words
            return
        if order.strange:
            assert order.resolved != "dismiss", words
        elif not payment.credited:
            assert not said[0].paid and not payment.taken and not payment.moves, words
            due = {"expired" if one.status == "expired" else "open" for one in said}
            due |= {"failed"} if order.failing else set()
            due -= {"open"} if order.failed else set()
            assert payment.status in due, words
            return
        else:
            assert any(one.paid for one in said), words
        assert payment.credited == payment.amount, words
        assert payment.refunded in {one.refunded * CENT for one in said}, words
        assert payment.disputed in {one.disputed * CENT for one in said}, words
        assert payment.taken == min(payment.credited, payment.refunded + payment.disputed), words
        status = "paid" if not payment.refunded else "partially_refunded"
        status = "refunded" if payment.refunded >= payment.credited else status
        assert payment.status == ("disputed" if payment.disputed else status), words

    def started(self, connection: sqlite3.Connection) -> None:
        """After a start: what was answered is there, and what Stripe has made has its order."""
        try:
            compare_payments(connection)
        except Disagreement as found:
            raise AssertionError(f"store/verify.py: {found}") from found
        self.orders_at_bank()
        rows = self.accounts.payment_rows
        for session, id in self.answered.items():
            assert rows.by_session.get(session) == id, f"{session} was answered and is lost"
        for session in self.orders:
            self.check(session)
        entered = connection.execute(
            "SELECT ref, note, kind, debit, amount FROM entries WHERE note LIKE 'pay_%' OR note LIKE 'cs_%'"
        ).fetchall()
        for payment in rows.by_id.values():
            topups = [amount for ref, note, kind, _, amount in entered if (kind, note) == ("topup", payment.id)]
            assert topups == ([payment.credited] if payment.credited else []), f"{payment}: {topups}"
            moved = [
                amount if debit == "credits" else -amount
                for ref, note, kind, debit, amount in entered
                if kind == "refund" and note == payment.session
            ]
            assert sum(moved) == payment.taken, f"{payment}: {moved}"

    async def ended(self, connection: Callable[[], sqlite3.Connection]) -> None:
        """The end of all: everything is told once more, in any order, and nothing goes wrong any more."""
        self.bank.calm = True
        told = list(self.bank.events)
        self.rng.shuffle(told)
        for event in told:
            await self.tell(event)
        await self._reconcile(everything=True)
        for session, order in self.orders.items():
            order.seen = len(order.said) - 1
            order.failed = order.failing
            self.check(session)
            payment = self.accounts.payment_rows.by_id[self.bank.sessions[session]["client_reference_id"]]
            if not order.strange:
                owed = self.bank.owes(session)
                assert payment.credited - payment.taken == owed * CENT, f"{session}: {payment}, and {owed} are owed"
        self.started(connection())
