"""Payments, as the site, the command line and the control socket see them."""

import logging
from bisect import bisect_left
from collections.abc import Callable, Mapping

import trio

from ftgate.accounts.acting import CLI, audited
from ftgate.accounts.applying import Applying, NotOurs
from ftgate.accounts.checkout import Checkouts
from ftgate.accounts.directory import Directory
from ftgate.accounts.events import Events
from ftgate.accounts.paging import cut
from ftgate.accounts.payment_rows import PaymentRows
from ftgate.accounts.pending import turn
from ftgate.accounts.stripe import StripeFailed
from ftgate.accounts.throttles import Throttles
from ftgate.core import payments as core
from ftgate.core.moments import iso
from ftgate.core.money import format_usd_cents
from ftgate.core.payments import Payment
from ftgate.errors import Conflict, GateError, NotFound
from ftgate.ports import Clock, nowhere
from ftgate.ports.payments import Checkout, PaymentTerms
from ftgate.ports.site import Doer, Rows
from ftgate.store.changes import Changes

log = logging.getLogger("ftgate.payments")

EVERY_S = 600.0
"""How often payments are reconciled by themselves."""
ASK_AGAIN_S = 10.0
"""How often somebody who reads an open payment makes us ask Stripe for it."""
LOOK_S = 10.0
"""How long somebody who reads a payment waits for Stripe before it is shown as we know it."""


class Payments:
    """ports.payments.Payments. `terms` gives the settings in force; `own_url` is where this gateway is reached."""

    def __init__(
        self,
        rows: PaymentRows,
        directory: Directory,
        throttles: Throttles,
        writer: Changes,
        clock: Clock,
        *,
        terms: Callable[[], PaymentTerms],
        own_url: str = "",
        passing: Callable[[str], None] = nowhere,
    ) -> None:
        self.rows = rows
        self.directory = directory
        self.clock = clock
        self.applying = Applying(rows, directory.books, writer, clock, terms, passing)
        self.checkouts = Checkouts(self.applying, lambda account: throttles.account("checkout", account), own_url)
        self.events = Events(self.applying)
        self._asked: dict[str, float] = {}  # open payments -> when Stripe was last asked for a reader

    def __repr__(self) -> str:
        return f"<Payments {self.rows!r}>"

    async def run(self) -> None:
        """Until cancelled: be there for checkouts, and reconcile, at once and every EVERY_S."""
        try:
            async with trio.open_nursery() as nursery:
                self.checkouts.nursery = nursery
                while True:
                    if self.applying.terms().secret_key is not None:
                        await self._reconcile_by_itself()
                    await trio.sleep(EVERY_S)
        finally:
            self.checkouts.nursery = None

    async def _reconcile_by_itself(self) -> None:
        try:
            counts = await self.events.reconcile(everything=False)
        except GateError as error:
            log.warning("payments were not reconciled: %s", error.message)
        except Exception:  # the next time is another try
            log.exception("payments were not reconciled")
        else:
            if any(counts[name] for name in counts if name != "checked"):
                log.info("payments reconciled: %s", ", ".join(f"{many} {name}" for name, many in counts.items()))

    async def aclose(self) -> None:
        """Give Stripe's connections back."""
        await self.applying.aclose()

    async def checkout(self, account: int, asked: Checkout) -> Mapping[str, object]:
        return await self.checkouts.create(account, asked)

    def amounts(self) -> tuple[int, int] | None:
        """As ports.payments.Payments says."""
        terms = self.applying.terms()
        return None if terms.secret_key is None else (terms.min_amount, terms.max_amount)

    def where(self, account: int, id: str) -> str | None:
        """As ports.payments.Payments says."""
        payment = self.rows.by_id.get(id)
        if payment is None or payment.account != account or payment.status != "open":
            return None
        return payment.url or None if self.clock.wall_us() < payment.expires_at_us else None

    def takes_events(self) -> bool:
        return self.applying.terms().webhook_secret is not None

    async def webhook(self, signature: str | None, body: bytes) -> None:
        await self.events.take(signature, body)

    async def page(
        self, account: int | None, *, status: str | None, after: int | None, skipped: int, size: int,
        operator: bool = False,
    ) -> Rows:  # fmt: skip
        ids, by_id = self.rows.listed(account), self.rows.by_id

        def wanted(payment: Payment) -> bool:
            return (status is None or payment.status == status) and (whole or payment.session != "")

        whole = operator or account is None
        everything = status is None and whole
        total = len(ids) if everything else sum(wanted(by_id[id]) for id in ids)
        end = len(ids) if after is None else bisect_left(ids, after, key=lambda id: by_id[id].number)
        newest_first = (by_id[ids[place]] for place in range(end - 1, -1, -1))
        found, last = cut(filter(wanted, newest_first), skipped, size, lambda payment: payment.number)
        show = self.shown_to_operators if whole else self.shown
        return [show(payment) for payment in found], total, last

    def counted(self) -> tuple[Mapping[str, int], Mapping[tuple[str, str], int]]:
        """Since the start: how many payments have come to each status; how many events of each type (`other` for those
        that say nothing of payments) have had which outcome (applied, ignored, not_ours, other_mode, failed)."""
        return self.applying.reached, self.events.counted

    async def one(self, account: int | None, id: str) -> Mapping[str, object]:
        payment = self.rows.by_id.get(self.rows.by_session.get(id, id))
        whole = account is None
        if payment is None or not (whole or (payment.account == account and payment.session)):
            raise NotFound(f"there is no payment {id[:100]!r}")
        if payment.status == "open" and payment.session and self._due(payment.id):
            with trio.move_on_after(LOOK_S):
                try:
                    await self.applying.apply(payment.id)
                except (StripeFailed, NotOurs, GateError):
                    log.info("payment %s is shown as it was last known", payment.id)
        return (self.shown_to_operators if whole else self.shown)(self.rows.by_id[payment.id])

    def _due(self, id: str) -> bool:
        """Whether Stripe may be asked again for a reader of this payment; then it is."""
        now = self.clock.now()
        if now - self._asked.get(id, -ASK_AGAIN_S) < ASK_AGAIN_S:
            return False
        self._asked = {one: at for one, at in self._asked.items() if now - at < ASK_AGAIN_S}
        self._asked[id] = now
        return True

    async def reconcile(self, by: Doer = CLI) -> Mapping[str, int]:
        counts = await self.events.reconcile(everything=True)
        writer = self.applying.writer
        batch = writer.changed()
        audited(batch, self.clock.wall_us(), by, "payments.reconcile", "payments", after=counts)
        return counts

    async def resolve(self, id: str, *, action: str, note: str, by: Doer = CLI) -> Mapping[str, object]:
        payment = self.rows.by_id.get(self.rows.by_session.get(id, id))
        if payment is None:
            raise NotFound(f"there is no payment {id[:100]!r}")
        applying = self.applying
        async with applying.turn(payment.id):
            await turn(applying.writer, by)
            before = self.rows.by_id[payment.id]
            if before.status != "quarantined":
                raise Conflict(f"payment {before.id} is {before.status}, not quarantined", code="not_quarantined")
            applying.enter(before, core.resolve(before, action, note))
            after = self.rows.by_id[payment.id]
            if after.status == "quarantined":
                await applying.written(after.id)
                raise Conflict(f"payment {after.id} cannot be credited: {after.reason}", code="not_credited")
            audited(
                applying.writer.changed(), self.clock.wall_us(), by, "payment.resolve", after.id,
                {"status": before.status, "reason": before.reason}, {"status": after.status, "note": note},
            )  # fmt: skip
            await applying.written(after.id)
        return self.shown_to_operators(after)

    async def listed(self, *, username: str | None = None, limit: int = 20) -> dict[str, object]:
        """The command line's list, as the operator's first page. Raises NotFound."""
        account = None if username is None else self.directory.user(username).id
        payments = [self.rows.by_id[id] for id in reversed(self.rows.listed(account))]
        shown = [self.shown_to_operators(payment) for payment in payments[:limit]]
        return {"data": shown, "page": 1, "page_size": limit, "total": len(payments), "next": None}

    def shown(self, payment: Payment) -> dict[str, object]:
        """A payment as its account sees it."""
        return {
            "id": payment.id,
            "session_id": payment.session or None,
            "status": payment.status,
            "amount": format_usd_cents(payment.amount),
            "currency": payment.currency,
            "credited": format_usd_cents(payment.credited),
            "refunded": format_usd_cents(payment.taken),
            "created_at": iso(payment.created_at_us),
            "paid_at": None if payment.paid_at_us is None else iso(payment.paid_at_us),
            "receipt_url": payment.receipt_url or None,
        }

    def shown_to_operators(self, payment: Payment) -> dict[str, object]:
        """As operators see it: whose it is, and why it is as it is."""
        user = self.directory.users[payment.account]
        return {
            **self.shown(payment),
            "user": str(user.id),
            "account_name": user.username,
            "reason": payment.reason or None,
        }
