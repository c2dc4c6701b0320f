"""What follows from what Stripe says of a payment: tables, and any order and repeat of a payment's events."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftgate.core.audit import Audit
from ftgate.core.books import Books, Entry
from ftgate.core.money import PICO_PER_USD
from ftgate.core.payments import CENT, Charge, Decision, Dispute, Payment, Session, Told, decide, resolve

TEN = 10 * PICO_PER_USD
ASKED = Payment(1, "pay_1", 1, TEN, "usd", False, 0, 0, "https://a/ok", "https://a/no")
PAID = Session("cs_1", "complete", "paid", "payment", 1000, "usd", False, "pay_1", "pi_1")
OPEN = msgspec.structs.replace(PAID, status="open", payment_status="unpaid", intent="")


def session(**other):
    return msgspec.structs.replace(PAID, **other)


def charge(refunded=0, **other):
    return Charge(**{"id": "ch_1", "currency": "usd", "refunded": refunded, "receipt_url": "https://r", **other})


def told(of=PAID, refunded=0, *disputes, failed=False):
    """`disputes` are pairs of a status and cents."""
    return Told(of, charge(refunded), tuple(Dispute(status, cents, "usd") for status, cents in disputes), failed)


def after(*said, payment=ASKED):
    """Decisions one after the other: status, what was credited, what is taken, in dollars."""
    for one in said:
        payment = decide(payment, one).payment
    return payment.status, payment.credited / PICO_PER_USD, payment.taken / PICO_PER_USD


UNPAID = session(payment_status="unpaid")
EXPIRED = session(status="expired", payment_status="unpaid")


@pytest.mark.parametrize(
    ("said", "status", "credited", "taken"),
    [
        ([Told(OPEN)], "open", 0, 0),
        ([told()], "paid", 10, 0),
        ([told(), told()], "paid", 10, 0),
        ([told(UNPAID)], "open", 0, 0),
        ([told(UNPAID), told()], "paid", 10, 0),
        ([told(UNPAID, failed=True)], "failed", 0, 0),
        ([told(UNPAID, failed=True), told(UNPAID)], "failed", 0, 0),  # an older event comes after it
        ([told(UNPAID, failed=True), told()], "paid", 10, 0),  # paid wins, whenever it is told
        ([told(failed=True)], "paid", 10, 0),
        ([told(), told(failed=True)], "paid", 10, 0),
        ([told(EXPIRED)], "expired", 0, 0),
        ([told(EXPIRED), told(EXPIRED)], "expired", 0, 0),
        ([told(EXPIRED), told()], "paid", 10, 0),
        ([told(UNPAID, failed=True), told(EXPIRED)], "failed", 0, 0),
        ([told(), told(PAID, 250)], "partially_refunded", 10, 2.5),
        ([told(PAID, 250)], "partially_refunded", 10, 2.5),  # heard of before the credit: applied with it
        ([told(), told(PAID, 250), told(PAID, 250)], "partially_refunded", 10, 2.5),
        ([told(), told(PAID, 250), told(PAID, 1000)], "refunded", 10, 10),
        ([told(), told(PAID, 1000), told(PAID, 400)], "partially_refunded", 10, 4),  # a refund has failed
        ([told(), told(PAID, 1000), told(PAID, 0)], "paid", 10, 0),
        ([told(), told(PAID, 0, ("needs_response", 1000))], "disputed", 10, 10),
        ([told(), told(PAID, 0, ("under_review", 1000))], "disputed", 10, 10),
        ([told(), told(PAID, 0, ("lost", 300))], "disputed", 10, 3),
        ([told(), told(PAID, 0, ("needs_response", 1000)), told(PAID, 0, ("won", 1000))], "paid", 10, 0),
        ([told(), told(PAID, 0, ("won", 1000)), told(PAID, 0, ("won", 1000))], "paid", 10, 0),
        ([told(PAID, 400, ("needs_response", 1000))], "disputed", 10, 10),  # never more than was credited
        ([told(PAID, 400, ("lost", 300))], "disputed", 10, 7),
        ([told(PAID, 400, ("lost", 300)), told(PAID, 400, ("won", 300))], "partially_refunded", 10, 4),
        ([told(PAID, 0, ("lost", 300), ("needs_response", 300), ("won", 400))], "disputed", 10, 6),
        ([told(PAID, 0, ("warning_needs_response", 1000))], "paid", 10, 0),  # an inquiry moves no money
        ([told(PAID, 0, ("warning_closed", 1000))], "paid", 10, 0),
        ([told(PAID, 0, ("a_new_word", 1000))], "disputed", 10, 10),
        ([told(PAID, 0, ("lost", 300)), Told(PAID, charge(100))], "disputed", 10, 4),  # disputes were not asked for
        ([told(PAID, 0, ("lost", 300)), Told(PAID)], "disputed", 10, 3),
        ([told(session(payment_status="no_payment_required"))], "quarantined", 0, 0),
        ([told(session(amount=999))], "quarantined", 0, 0),
        ([told(session(amount=None))], "quarantined", 0, 0),
        ([told(session(currency="eur"))], "quarantined", 0, 0),
        ([told(session(livemode=True))], "quarantined", 0, 0),
        ([told(session(livemode=None))], "quarantined", 0, 0),
        ([told(session(mode="subscription"))], "quarantined", 0, 0),
        ([told(session(reference="pay_2"))], "quarantined", 0, 0),
        ([told(session(reference=""))], "quarantined", 0, 0),
        ([told(session(payment_status="unpaid", amount=1))], "quarantined", 0, 0),
        ([told(session(amount=999)), told()], "quarantined", 0, 0),  # only the operator lets it out
        ([told(), told(session(amount=999))], "paid", 10, 0),  # what is credited stays so
    ],
)
def test_what_follows(said, status, credited, taken):
    assert after(*said) == (status, credited, taken)


def test_what_is_entered_is_the_difference():
    first = decide(ASKED, told(PAID, 250))
    assert (first.credit, first.take, first.payment.moves) == (TEN, 250 * CENT, 1)
    again = decide(first.payment, told(PAID, 250))
    assert again == Decision(first.payment)
    failed = decide(first.payment, told(PAID, 100))
    assert (failed.credit, failed.take, failed.payment.moves) == (0, -150 * CENT, 2)


def test_a_payment_remembers_where_it_stands_at_stripe():
    payment = decide(ASKED, told()).payment
    assert (payment.session, payment.intent, payment.charge) == ("cs_1", "pi_1", "ch_1")
    assert payment.receipt_url == "https://r"


def test_amounts_in_another_currency_say_nothing():
    said = Told(PAID, charge(500, currency="eur"), (Dispute("lost", 300, "eur"),))
    assert after(told(PAID, 100), said) == ("partially_refunded", 10, 1)


def test_an_operator_credits_what_is_quarantined_once_and_its_refunds_count():
    held = decide(ASKED, told(session(amount=999), 200)).payment
    said = resolve(held, "credit", "the payer was right")
    assert (said.credit, said.take, said.payment.status) == (TEN, 200 * CENT, "partially_refunded")
    assert decide(said.payment, told(session(amount=999), 200)) == Decision(said.payment)


EUR, LESS = session(currency="eur"), session(amount=300)


@pytest.mark.parametrize(
    ("of", "said", "status", "taken"),
    [
        # paid in euros: all of it or nothing is what can be told
        (EUR, [charge(0, amount=900, currency="eur")], "paid", 0),
        (EUR, [charge(900, amount=900, currency="eur")], "refunded", 10),
        (EUR, [charge(900, amount=900, currency="eur"), charge(0, amount=900, currency="eur")], "paid", 0),
        (EUR, [charge(899, amount=900, currency="eur")], "paid", 0),
        (EUR, [(charge(0, amount=900, currency="eur"), Dispute("lost", 900, "eur"))], "disputed", 10),
        (EUR, [(charge(500, amount=900, currency="eur"), Dispute("lost", 400, "eur"))], "disputed", 10),
        (EUR, [(charge(0, amount=900, currency="eur"), Dispute("lost", 900, "usd"))], "paid", 0),
        # three dollars were paid, and ten credited
        (LESS, [charge(100, amount=300)], "partially_refunded", 1),
        (LESS, [charge(300, amount=300)], "refunded", 10),
        (LESS, [charge(300, amount=300), charge(200, amount=300)], "partially_refunded", 2),
        (LESS, [(charge(0, amount=300), Dispute("needs_response", 300, "usd"))], "disputed", 10),
        (LESS, [(charge(100, amount=300), Dispute("lost", 200, "usd"))], "disputed", 10),
        (LESS, [(charge(100, amount=300), Dispute(how, 200, "")) for how in ("lost", "won")], "partially_refunded", 1),
        # more was paid than is credited: what is refunded is taken back, and never more than was credited
        (session(amount=3000), [charge(400, amount=3000)], "partially_refunded", 4),
        (session(amount=3000), [charge(3000, amount=3000)], "refunded", 10),
    ],
)  # fmt: skip
@pytest.mark.parametrize("before", [False, True])
def test_what_was_credited_all_the_same_is_taken_back_when_its_charge_has_gone_back(of, said, status, taken, before):
    """Told before the operator credits it, and after."""
    payment = decide(ASKED, told(of)).payment
    assert payment.status == "quarantined"
    entered = 0
    for at, one in enumerate([None, *said]):
        if at == (len(said) if before else 0):
            if at:
                payment = decide(payment, _of(of, one)).payment
            found = resolve(payment, "credit", "it was right")
            assert found.credit == TEN
        elif one is None:
            continue
        else:
            found = decide(payment, _of(of, one))
        payment, entered = found.payment, entered + found.take
    assert (payment.status, payment.taken, entered) == (status, taken * PICO_PER_USD, taken * PICO_PER_USD)


def _of(session, said):
    """A charge, perhaps with its dispute, as Stripe tells of it with its session."""
    return Told(session, *((said[0], (said[1],)) if isinstance(said, tuple) else (said, ())))


def test_a_part_of_another_currency_is_told_to_the_operator():
    payment = resolve(decide(ASKED, told(EUR)).payment, "credit", "it was right").payment
    found = decide(payment, _of(EUR, charge(450, amount=900, currency="eur")))
    assert (found.take, found.payment.status) == (0, "paid")
    assert found.payment.reason.startswith("of 900 eur (in its smallest unit) 450 are refunded and 0 disputed: ")
    assert decide(found.payment, _of(EUR, charge(450, amount=900, currency="eur"))) == Decision(found.payment)
    assert decide(found.payment, _of(EUR, charge(900, amount=900, currency="eur"))).payment.reason == ""


def test_what_an_operator_dismissed_stays_failed():
    gone = resolve(decide(ASKED, told(session(amount=999))).payment, "dismiss", "a test")
    assert (gone.credit, gone.take, gone.payment.status) == (0, 0, "failed")
    for one in [told(session(amount=999)), told(), told(EXPIRED), told(UNPAID, failed=True)]:
        assert decide(gone.payment, one).payment.status == "failed"
        assert decide(gone.payment, one).credit == 0


# Any order and repeat: a small Stripe changes, its events are told in any order, late and often


class Stripe:
    """One session, its charge and one dispute, as Stripe keeps them."""

    def __init__(self):
        self.session, self.refunds, self.dispute, self.failed_refunds = OPEN, [], None, 0
        self.events = [False]  # each says whether it is that of a failed payment

    def change(self, what, cents):
        paid = self.session.payment_status == "paid"
        if what == "complete" and self.session.status == "open":
            self.session = session(payment_status="unpaid")
        elif what == "pay" and self.session.status != "expired":
            self.session = PAID
        elif what == "fail" and self.session == UNPAID:
            self.events.append(True)
        elif what == "expire" and self.session.status == "open":
            self.session = EXPIRED
        elif what == "refund" and paid:
            self.refunds.append(min(cents, 1000 - sum(self.refunds)))
        elif what == "refund failed" and self.refunds:
            self.refunds.pop(cents % len(self.refunds))
        elif what == "dispute" and paid and self.dispute is None:
            self.dispute = ("needs_response", cents)
        elif what in {"won", "lost"} and self.dispute is not None:
            self.dispute = (what, self.dispute[1])
        self.events.append(False)

    def told(self, event):
        disputes = () if self.dispute is None else (self.dispute,)
        return told(self.session, sum(self.refunds), *disputes, failed=event)

    def owes(self):
        """Cents that the account must have."""
        disputed = self.dispute[1] if self.dispute and self.dispute[0] != "won" else 0
        return max(1000 - sum(self.refunds) - disputed, 0) if self.session == PAID else 0


CHANGES = ["complete", "pay", "pay", "fail", "expire", "refund", "refund", "refund failed", "dispute", "won", "lost"]
steps = st.one_of(
    st.tuples(st.sampled_from(CHANGES), st.integers(1, 1000)),
    st.tuples(st.just("told"), st.integers(0, 100)),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(steps, max_size=30))
def test_any_order_and_repeat_of_events_leaves_the_right_balance(script):
    stripe, payment, books, entries = Stripe(), ASKED, Books(), []
    books.open_account(1)

    def tell(event):
        nonlocal payment
        found = decide(payment, stripe.told(event))
        if found.credit:
            entries.append(books.topup(1, found.credit, ref=found.payment.session, at_us=0))
        if found.take:
            move = books.refund if found.take > 0 else books.give_back
            entries.append(move(1, abs(found.take), ref=f"{payment.id}:{found.payment.moves}", at_us=0))
        payment = found.payment
        assert {type(entry) for entry in entries} <= {Entry}, entries
        assert books.accounts[1].posted == stripe.owes() * CENT  # right after each of them, not only at the end

    for what, number in script:
        if what == "told":
            tell(stripe.events[number % len(stripe.events)])
        else:
            stripe.change(what, number)
    tell(False)
    assert [entry.kind for entry in entries].count("topup") == (stripe.session == PAID)
    signed = sum(entry.amount if entry.debit == "credits" else -entry.amount for entry in entries[1:])
    assert payment.taken == signed
    audit = Audit()
    for entry in entries:
        audit.note(entry)
    audit.finish({1: (stripe.owes() * CENT, 0, 0)}, {})
