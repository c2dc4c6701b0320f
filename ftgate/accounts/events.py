"""What makes us look at a payment: Stripe's events as they come, and the reconciliation for those that did not.

An event is believed in two things: where to look, and that a payment which takes days has failed. Amounts, statuses and
the order of events are never taken from it.
"""

import logging
from collections import Counter
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

import trio

from ftgate.accounts import signed
from ftgate.accounts.applying import NOWHERE, Applying, Hint, NotOurs
from ftgate.accounts.pending import takes_changes
from ftgate.accounts.stripe import Stripe, StripeFailed
from ftgate.core.payments import Payment
from ftgate.errors import GateError, NotFound, PaymentProviderDown, PaymentsDisabled

log = logging.getLogger("ftgate.payments")

FAILED = "checkout.session.async_payment_failed"
SESSIONS = frozenset(
    {"checkout.session.completed", "checkout.session.async_payment_succeeded", FAILED, "checkout.session.expired"}
)
DISPUTES = frozenset(
    f"charge.dispute.{what}" for what in ("created", "updated", "closed", "funds_withdrawn", "funds_reinstated")
)
REFUNDS = frozenset(
    {"charge.refunded", "charge.refund.updated", "refund.created", "refund.updated", "refund.failed"}
)  # fmt: skip
HEARD = SESSIONS | DISPUTES | REFUNDS
LATER = tuple(sorted({*DISPUTES, *REFUNDS, FAILED, "checkout.session.async_payment_succeeded"}))
"""What the reconciliation looks for in Stripe's list of events: what can still happen to a payment that is not open."""
OLD_US = 15 * 60 * 1_000_000
"""Open payments younger than this are left alone: their payer is still at it, and the event will come."""
PAST_S = 30 * 86_400
"""How far back Stripe lists its events."""
AGAIN_S = 86_400
"""How far back they are read again once all before were looked into: an event may be listed late."""
AFTER_S = 10.0
"""When an event that could not be looked into may come again; Stripe has times of its own."""
GIVEN_UP = 3
"""Payments in a row of which Stripe says nothing: the others are left for the next time."""
SEEN_KEPT = 100_000
COUNTS = ("checked", "credited", "reversed", "expired", "quarantined", "failed", "untold", "left")


class Events:
    """Takes events, and looks for what they should have said."""

    def __init__(self, applying: Applying) -> None:
        self.applying = applying
        self.rows = applying.rows
        self.counted: Counter[tuple[str, str]] = Counter()  # (type, outcome) -> events
        self._seen: set[str] = set()  # ids of listed events that were looked into
        self._through_s = 0  # up to when all were, in seconds since 1970
        self._turn = trio.Lock()

    async def take(self, signature: str | None, body: bytes) -> None:
        """Verify one event, and apply what it points at. Raises as ports.payments.Payments.webhook says."""
        applying = self.applying
        secret = applying.terms().webhook_secret
        if secret is None:
            raise NotFound("there is no such route")
        event = signed.event(body, signature, secret, applying.clock.wall_us() / 1_000_000)
        applying.passing("event_verified")
        kind = event.get("type")
        kind = kind if isinstance(kind, str) and kind in HEARD else "other"
        try:
            outcome = "ignored" if kind == "other" else await self._look(kind, event)
        except (StripeFailed, PaymentsDisabled):
            self.counted[kind, "failed"] += 1
            words = "the payment provider cannot be asked now; send this event again"
            raise PaymentProviderDown(words, retry_after_s=AFTER_S) from None
        except GateError:
            self.counted[kind, "failed"] += 1
            raise
        self.counted[kind, outcome] += 1

    async def _look(self, kind: str, event: Mapping[str, Any]) -> str:
        """Apply what an event points at; the outcome in a word. Raises StripeFailed, GateError."""
        applying = self.applying
        takes_changes(applying.writer)
        livemode = event.get("livemode")
        if isinstance(livemode, bool) and livemode is not applying.stripe().livemode:
            log.warning("an event of Stripe's %s mode was left alone", "live" if livemode else "test")
            return "other_mode"
        found = await self.located(kind, event)
        if found is not None:
            try:
                await applying.apply(*found)
                return "applied"
            except NotOurs:
                pass
        log.info("an event %s of Stripe's is about no payment of this gateway", kind)
        return "not_ours"

    async def located(self, kind: str, event: Mapping[str, Any]) -> tuple[str, Hint] | None:
        """The payment that an event points at, and where to look. Raises StripeFailed."""
        data = event.get("data")
        about = data.get("object") if isinstance(data, dict) else None
        if not isinstance(about, dict):
            return None
        if kind in SESSIONS:
            session = _id(about)
            id = self._by_session(session, _word(about.get("client_reference_id")))
            return (id, Hint(session=session, failed=kind == FAILED)) if id else None
        charge = _id(about) if about.get("object") == "charge" else _id(about.get("charge"))
        intent = _id(about.get("payment_intent"))
        id = self.rows.by_intent.get(intent) or self.rows.by_charge.get(charge)
        session = ""
        if id is None:
            id, session = await self._by_charge(self.applying.stripe(), intent, charge)
        return (id, Hint(session=session, charge=charge, disputed=kind in DISPUTES)) if id else None

    def _by_session(self, session: str, reference: str) -> str | None:
        """A session may be told of before its id has come to us."""
        if found := self.rows.by_session.get(session):
            return found
        order = self.rows.by_id.get(reference)
        return order.id if session and order is not None and not order.session else None

    async def _by_charge(self, stripe: Stripe, intent: str, charge: str) -> tuple[str | None, str]:
        """A refund may be told of before its payment."""
        try:
            if not intent and charge:
                intent = (await stripe.charge(charge)).intent
            session = await stripe.session_of(intent) if intent else None
        except StripeFailed as failed:
            if not failed.missing:
                raise
            return None, ""
        return (self._by_session(session.id, session.reference), session.id) if session else (None, "")

    async def reconcile(self, *, everything: bool) -> dict[str, int]:
        """Ask Stripe for each open payment (`everything`: also the young ones), and for what its events of the last
        days say of the others. How many payments were looked at, were credited, had something taken back, have expired,
        were put in quarantine, have failed or could not be told; how many questions nobody answered (`untold`), and how
        many payments were not looked at for that (`left`). Raises PaymentsDisabled."""
        counts = dict.fromkeys(COUNTS, 0)
        stripe = self.applying.stripe()
        async with self._turn:
            now_us, silent = self.applying.clock.wall_us(), 0
            for id in [id for id in self.rows.all if id in self.rows.open]:
                payment = self.rows.by_id[id]
                if payment.livemode is not stripe.livemode:
                    if payment.expires_at_us < now_us:
                        await self.applying.abandon(id, "Stripe's other mode is in force here")
                elif silent >= GIVEN_UP:
                    counts["left"] += everything or now_us - payment.created_at_us >= OLD_US
                elif everything or now_us - payment.created_at_us >= OLD_US:
                    silent = 0 if await self._reconciled(id, NOWHERE, counts) else silent + 1
            try:
                if silent < GIVEN_UP and self.rows.all:
                    now_s = now_us // 1_000_000
                    since_s = now_s - PAST_S if everything else max(now_s - PAST_S, self._through_s - AGAIN_S)
                    if await self._past(stripe, since_s, counts):
                        self._through_s = now_s
            except StripeFailed as failed:
                counts["failed"] += not failed.missing
                counts["untold"] += not failed.missing
        return counts

    async def _past(self, stripe: Stripe, since_s: int, counts: dict[str, int]) -> bool:
        """What Stripe's events say of payments that are not open; whether all of it was told. Raises StripeFailed."""
        found: dict[str, Hint] = {}
        seen: dict[str, set[str]] = {}
        async with aclosing(stripe.events(LATER, since_s)) as events:
            async for event in events:
                name, kind = _id(event), _word(event.get("type"))
                if name in self._seen or kind not in HEARD:
                    continue
                where = await self.located(kind, event)
                if where is None:
                    self._seen.add(name)
                    continue
                id, hint = where
                known = found.get(id, NOWHERE)
                found[id] = Hint(
                    session=hint.session or known.session, charge=hint.charge or known.charge,
                    disputed=hint.disputed or known.disputed, failed=hint.failed or known.failed,
                )  # fmt: skip
                seen.setdefault(id, set()).add(name)
        told = True
        for id, hint in found.items():
            if await self._reconciled(id, hint, counts):
                self._seen |= seen[id]
            else:
                told = False
        if len(self._seen) > SEEN_KEPT:
            self._seen.clear()
        return told

    async def _reconciled(self, id: str, hint: Hint, counts: dict[str, int]) -> bool:
        """Apply one payment and count what came of it; False where nobody said anything."""
        before, applying = self.rows.by_id[id], self.applying
        counts["checked"] += 1
        try:
            await applying.apply(id, hint)
        except NotOurs:
            return True
        except StripeFailed as failed:
            late = before.expires_at_us < applying.clock.wall_us()
            if not (failed.missing and late if before.session else failed.refused):
                counts["failed"] += 1
                counts["untold"] += not (failed.refused or failed.missing)
                return failed.refused or failed.missing
            await applying.abandon(id, "Stripe has no session for it")
        except GateError as error:
            log.warning("payment %s was not reconciled: %s", id, error.message)
            counts["failed"] += 1
            counts["untold"] += 1
            return False
        _count(before, self.rows.by_id[id], counts)
        return True


def _count(before: Payment, after: Payment, counts: dict[str, int]) -> None:
    counts["credited"] += after.credited > before.credited
    counts["reversed"] += after.taken > before.taken
    if after.status != before.status and after.status in {"expired", "quarantined", "failed"}:
        counts[after.status] += 1


def _word(value: object) -> str:
    return value if isinstance(value, str) else ""


def _id(value: object) -> str:
    """An id that stands by itself, or in the object that was put in its place."""
    return _word(value.get("id")) if isinstance(value, Mapping) else _word(value)
