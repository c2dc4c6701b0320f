"""Making a Checkout session: the order is written down first, then Stripe is asked, under the order's own id.

Whoever asked may leave: what has begun goes on beside. What could not be told in time is found by the reconciliation,
or by the same request asked again under the same Idempotency-Key: one order never has two sessions.
"""

import hashlib
import logging
import secrets
from collections.abc import Callable

import msgspec
import trio

from ftgate.accounts.applying import ALL_S, Applying
from ftgate.accounts.pending import turn
from ftgate.accounts.returning import checked
from ftgate.accounts.stripe import StripeFailed
from ftgate.core.moments import iso
from ftgate.core.money import format_usd, format_usd_cents
from ftgate.core.payments import CENT, Decision, Payment, Told, decide
from ftgate.errors import (
    Conflict,
    GateError,
    InternalError,
    InvalidRequest,
    PaymentProviderError,
    PaymentProviderTimeout,
)
from ftgate.ports.payments import Checkout

log = logging.getLogger("ftgate.payments")

LIVES_S = 3600
"""How long a payer has: a session lives for 30 minutes at least, and an hour is enough to find a card."""
REMEMBERED_US = 24 * 3600 * 1_000_000
"""How long an Idempotency-Key means the same order; Stripe remembers ours as long."""

OTHER = "this Idempotency-Key was used for another checkout; repeat it just so, or take another key"


class Checkouts:
    """Makes orders and their sessions. `own_url` is where this gateway is reached unless public_url says it; `throttle`
    raises RateLimited where an account has had too many made."""

    def __init__(self, applying: Applying, throttle: Callable[[int], None], own_url: str) -> None:
        self.applying = applying
        self.throttle = throttle
        self.own_url = own_url
        self.nursery: trio.Nursery | None = None
        """Where sessions are made, so that a caller who leaves interrupts nothing."""

    async def create(self, account: int, asked: Checkout) -> dict[str, object]:
        """The session for an order, new or, under the same Idempotency-Key, the one made before. Raises InvalidRequest,
        RateLimited, Conflict, PaymentsDisabled, DatabaseBusy, PaymentProviderError, PaymentProviderTimeout."""
        order = self._order(account, asked)
        livemode = self.applying.stripe().livemode
        known = self._known(order)
        same = known is not None and _body(known) == _body(order)
        if not same:
            self.throttle(account)
        if known is not None and not same:
            raise Conflict(OTHER, code="idempotency_conflict")
        if known is None:
            await turn(self.applying.writer)
            known = self._known(order)  # it may have come to another gateway
            if known is not None and _body(known) != _body(order):
                raise Conflict(OTHER, code="idempotency_conflict")
        if known is None:
            known = msgspec.structs.replace(order, livemode=livemode, number=self.applying.rows.next_number())
            self.applying.begin(known)
        payment = await self._with_session(known.id)
        return {
            "url": payment.url,
            "session_id": payment.session,
            "id": payment.id,
            "amount": format_usd_cents(payment.amount),
            "currency": payment.currency,
            "expires_at": iso(payment.expires_at_us),
        }

    def _order(self, account: int, asked: Checkout) -> Payment:
        """What was asked for, checked. Raises InvalidRequest."""
        terms = self.applying.terms()
        if asked.amount % CENT or not terms.min_amount <= asked.amount <= terms.max_amount:
            raise InvalidRequest(
                f"`amount` must be from {format_usd_cents(terms.min_amount)} to {format_usd_cents(terms.max_amount)} "
                f"USD with at most two decimals, not {format_usd(asked.amount)}",
                param="amount",
            )
        base = (terms.public_url or self.own_url).rstrip("/")
        origins = (base, *terms.return_origins)
        success = f"{base}/billing?session_id={{CHECKOUT_SESSION_ID}}"
        now_us = self.applying.clock.wall_us()
        return Payment(
            number=0,
            id=f"pay_{secrets.token_hex(12)}",
            account=account,
            amount=asked.amount,
            currency=terms.currency,
            livemode=False,
            created_at_us=now_us,
            expires_at_us=(now_us // 1_000_000 + LIVES_S) * 1_000_000,
            success_url=checked("success_url", asked.success_url, success, origins),
            cancel_url=checked("cancel_url", asked.cancel_url, f"{base}/billing", origins),
            request=hashlib.sha256(asked.request.encode()).hexdigest() if asked.request else "",
        )

    def _known(self, order: Payment) -> Payment | None:
        """What was ordered under this Idempotency-Key within the last day."""
        id = self.applying.rows.by_request.get((order.account, order.request)) if order.request else None
        known = self.applying.rows.by_id[id] if id else None
        return known if known and order.created_at_us - known.created_at_us < REMEMBERED_US else None

    async def _with_session(self, id: str) -> Payment:
        """The payment once its session is known; made if need be."""
        outcome: list[Payment | GateError] = []
        done = trio.Event()

        async def make() -> None:
            try:
                outcome.append(await self._make(id))
            except GateError as error:
                outcome.append(error)
            except Exception:  # one bad checkout must not end the server
                log.exception("checkout %s", id)
                outcome.append(InternalError("internal error"))
            finally:
                done.set()

        if self.nursery is None:
            await make()
        else:
            self.nursery.start_soon(make)
            await done.wait()
        if not outcome:
            raise PaymentProviderTimeout("the gateway is stopping; the payment's session is not known yet")
        if isinstance(outcome[0], GateError):
            raise outcome[0]
        return outcome[0]

    async def _make(self, id: str) -> Payment:
        """Ask Stripe for the session of an order that is written down. Raises GateError."""
        applying = self.applying
        async with applying.turn(id):
            await applying.written(id)
            payment = applying.rows.by_id[id]
            if not payment.url and payment.status == "failed":
                raise PaymentProviderError("the payment provider has refused this checkout")
            if not payment.url:
                applying.passing("ordered")
                await self._ask(payment)
                applying.passing("session_made")
                await applying.written(id)
            return applying.rows.by_id[id]

    async def _ask(self, payment: Payment) -> None:
        applying = self.applying
        try:
            with trio.fail_after(ALL_S):
                session = await applying.stripe().create(payment)
        except trio.TooSlowError:
            raise PaymentProviderTimeout("the payment provider did not answer in time") from None
        except StripeFailed as failed:
            if failed.timed_out:
                raise PaymentProviderTimeout("the payment provider did not answer in time") from None
            if failed.refused:
                await turn(applying.writer)
                payment = applying.rows.by_id[payment.id]
                applying.enter(payment, _refused(payment))
            raise PaymentProviderError("the payment provider could not make a checkout session") from None
        await turn(applying.writer)
        payment = applying.rows.by_id[payment.id]
        strange = payment.session not in {"", session.id}
        if strange or not session.url or applying.rows.by_session.get(session.id, payment.id) != payment.id:
            raise PaymentProviderError("the payment provider has made no checkout session of ours")
        applying.enter(payment, decide(payment, Told(session)))


def _refused(payment: Payment) -> Decision:
    return Decision(msgspec.structs.replace(payment, status="failed", reason="Stripe has refused to make a session"))


def _body(order: Payment) -> tuple[int, str, str]:
    return order.amount, order.success_url, order.cancel_url
