"""A payment, what Stripe says of it, and what follows: one decision, whoever asks and however often.

A payment is our own row, made before Stripe is asked for a Checkout session. Whatever happens later (a webhook, a
person reading, a reconciliation, a start), the session, its charge and its disputes are read anew at Stripe, and
`decide` compares them with the row:

    open ──paid──> paid ──refunds──> partially_refunded, refunded      (a failed refund: back again)
      │             └──disputes────> disputed                          (won: back to what the refunds say)
      ├──> failed, expired          a session that is paid after all wins over both
      └──> quarantined              paid, but not what we asked for: nothing is credited until the operator decides

What is credited is *our* amount, once. What is taken back is what Stripe says is refunded plus what is disputed (a
dispute that is open or lost), never more than was credited: the row is brought to just that, in either direction, so an
event that comes twice, late or out of order changes nothing. A charge of another amount or currency, which an operator
has had credited all the same, takes back all of that when it has gone back whole; a part of another currency cannot be
told in ours, and is the operator's. Amounts are units (core/money.py); Stripe counts cents.
"""

import msgspec

from ftgate.core.money import PICO_PER_USD

CENT = PICO_PER_USD // 100
STATUSES = (
    "open", "paid", "failed", "expired", "partially_refunded", "refunded", "disputed", "quarantined",
)  # fmt: skip
_NOT_TAKEN = {"won", "warning_needs_response", "warning_under_review", "warning_closed", "prevented", "charge_refunded"}
"""Statuses of a dispute in which its amount is (again) ours: it is won; it is an inquiry, or was kept from becoming
more, and moves no money; it ended because the charge was refunded, which the charge says itself. Any other one,
also one that is not known yet, is open or lost."""


class Payment(msgspec.Struct, frozen=True, gc=False):
    """One payment as it is remembered. `number` puts them in order; `id` is ours (pay_…), `session` Stripe's, "" as
    long as it is not known. `refunded` and `disputed` are what Stripe said last; `credited` and `taken` (net) are what
    the entries say, and `moves` counts those of kind refund. `request` is the Idempotency-Key that the caller gave.
    `reason` says in words why it is quarantined or failed; `resolved` how an operator decided (credit, dismiss)."""

    number: int
    id: str
    account: int
    amount: int
    currency: str
    livemode: bool
    created_at_us: int
    expires_at_us: int
    success_url: str
    cancel_url: str
    request: str = ""
    status: str = "open"
    session: str = ""
    url: str = ""
    intent: str = ""
    charge: str = ""
    credited: int = 0
    refunded: int = 0
    disputed: int = 0
    taken: int = 0
    moves: int = 0
    paid_at_us: int | None = None
    receipt_url: str = ""
    reason: str = ""
    resolved: str = ""


class Session(msgspec.Struct, frozen=True):
    """A Checkout session as Stripe tells of it. `amount` is in cents, `reference` its client_reference_id."""

    id: str
    status: str
    payment_status: str
    mode: str = ""
    amount: int | None = None
    currency: str = ""
    livemode: bool | None = None
    reference: str = ""
    intent: str = ""
    url: str = ""


class Charge(msgspec.Struct, frozen=True):
    """A charge of an `amount` in cents, None where that was not told. `refunded` is in cents, all refunds together less
    those that failed."""

    id: str
    currency: str = ""
    amount: int | None = None
    refunded: int = 0
    disputed: bool | None = None
    receipt_url: str = ""
    intent: str = ""


class Dispute(msgspec.Struct, frozen=True):
    """A dispute of a charge; `amount` in cents."""

    status: str
    amount: int
    currency: str = ""


class Told(msgspec.Struct, frozen=True):
    """What Stripe said at one moment. `charge` and `disputes` are None where they were not asked for; `failed`: an
    event has said that the payment, which takes days, has failed."""

    session: Session
    charge: Charge | None = None
    disputes: tuple[Dispute, ...] | None = None
    failed: bool = False


class Decision(msgspec.Struct, frozen=True):
    """The payment as it is from now on, and what must be entered for it: `credit` units to be credited, then `take`
    units to be taken back (below zero: given back). What is entered and `payment` reach the database together."""

    payment: Payment
    credit: int = 0
    take: int = 0


def decide(payment: Payment, told: Told) -> Decision:
    """What follows from what Stripe says. The session must be the payment's own."""
    assert payment.session in {"", told.session.id}
    return _settled(payment, _status(_noted(payment, told), told))


def resolve(payment: Payment, action: str, note: str) -> Decision:
    """What follows from the operator's word on a quarantined payment: `credit` it as if it were what we asked for, or
    `dismiss` it for good."""
    assert payment.status == "quarantined" and action in {"credit", "dismiss"}
    if action == "dismiss":
        return Decision(msgspec.structs.replace(payment, status="failed", resolved=action, reason=note))
    return _settled(
        payment, msgspec.structs.replace(payment, credited=payment.amount, resolved=action, reason=note)
    )  # fmt: skip


def quarantine(payment: Payment, reason: str) -> Decision:
    """The books refuse what was decided: nothing is entered."""
    return Decision(msgspec.structs.replace(payment, status="quarantined", reason=reason))


def _noted(payment: Payment, told: Told) -> Payment:
    """The payment with what is known of it now."""
    session, charge = told.session, told.charge
    payment = msgspec.structs.replace(
        payment,
        session=session.id,
        url=session.url or payment.url,
        intent=session.intent or payment.intent,
    )
    if charge is not None:
        payment = msgspec.structs.replace(
            payment,
            charge=charge.id,
            receipt_url=charge.receipt_url or payment.receipt_url,
        )
        payment = _went_back(payment, charge, told.disputes)
    return payment


def _went_back(payment: Payment, charge: Charge, disputes: tuple[Dispute, ...] | None) -> Payment:
    """The payment with what is refunded and what is disputed of its charge."""
    foreign = charge.currency not in {"", payment.currency}
    open_or_lost = [one for one in disputes or () if one.status not in _NOT_TAKEN]
    cents = sum(one.amount for one in open_or_lost if one.currency in {"", charge.currency or payment.currency})
    disputed = payment.disputed if disputes is None else 0 if foreign else cents * CENT
    refunded = charge.refunded * CENT
    if foreign and refunded:
        refunded = payment.refunded  # what it comes to in our currency is not known
    reason = "" if foreign and payment.credited else payment.reason
    if charge.amount and charge.refunded + cents >= charge.amount:  # all of it, whatever it was
        missing = max(payment.amount - refunded - disputed, 0)
        refunded, disputed = (refunded, disputed + missing) if cents else (refunded + missing, disputed)
    elif foreign and payment.credited and (charge.refunded or cents):
        reason = (
            f"of {charge.amount} {charge.currency} (in its smallest unit) {charge.refunded} are refunded and {cents} "
            "disputed: take back what that comes to by a correction. Should all of it go back, all that was credited "
            "is taken back here"
        )
    return msgspec.structs.replace(payment, refunded=refunded, disputed=disputed, reason=reason)


def _status(payment: Payment, told: Told) -> Payment:
    """The payment with its next status, credited or not; those that are credited keep theirs for now."""
    session = told.session
    if payment.credited or payment.resolved or payment.status == "quarantined":
        return payment
    if session.status == "complete":
        if wrong := differs(payment, session):
            return msgspec.structs.replace(payment, status="quarantined", reason=wrong)
        if session.payment_status == "paid":
            return msgspec.structs.replace(payment, credited=payment.amount, reason="")
    if told.failed or (payment.status == "failed" and session.status != "expired"):
        return msgspec.structs.replace(payment, status="failed", reason=payment.reason or "the payment has failed")
    if payment.status == "failed":
        return payment
    return msgspec.structs.replace(payment, status="expired" if session.status == "expired" else "open")


def differs(payment: Payment, session: Session) -> str:
    """In which figure a complete session is not what we asked for, in words; "" where it is."""
    if session.payment_status == "no_payment_required":
        return "nothing was to be paid"
    if session.mode != "payment":
        return f"its mode is {session.mode!r}, not 'payment'"
    if session.amount is None or session.amount * CENT != payment.amount:
        return f"{session.amount} cents were asked of the payer, not {payment.amount // CENT}"
    if session.currency != payment.currency:
        return f"its currency is {session.currency!r}, not {payment.currency!r}"
    if session.livemode is not payment.livemode:
        return f"its livemode is {session.livemode}, not {payment.livemode}"
    if session.reference != payment.id:
        return "its client_reference_id is another one"
    return ""


def _settled(before: Payment, payment: Payment) -> Decision:
    """What is entered between two states of a payment; of one that is credited also what is taken back, and its
    status."""
    if not payment.credited:
        return Decision(payment)
    take = min(payment.credited, payment.refunded + payment.disputed)
    if payment.disputed:
        status = "disputed"
    elif payment.refunded >= payment.credited:
        status = "refunded"
    else:
        status = "partially_refunded" if payment.refunded else "paid"
    change = take - before.taken
    payment = msgspec.structs.replace(
        payment, status=status, taken=take, moves=before.moves + (change != 0)
    )  # fmt: skip
    return Decision(payment, credit=payment.credited - before.credited, take=change)
