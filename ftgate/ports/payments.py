"""The seam between payments and those who ask for them: the site and the command line."""

from collections.abc import Mapping
from typing import Protocol

import msgspec

from ftgate.core.secret import Secret
from ftgate.ports.site import Doer, Rows


class PaymentTerms(msgspec.Struct, frozen=True):
    """How payments are taken; off without `secret_key`. Amounts in units, addresses as URLs."""

    secret_key: Secret | None = None
    webhook_secret: Secret | None = None
    api_base: str = ""
    currency: str = "usd"
    min_amount: int = 0
    max_amount: int = 0
    return_origins: tuple[str, ...] = ()
    public_url: str | None = None


class Checkout(msgspec.Struct, frozen=True):
    """What somebody wants to pay (units), and where to go from there. `request` is the caller's Idempotency-Key, ""
    where it gave none."""

    amount: int
    success_url: str | None = None
    cancel_url: str | None = None
    request: str = ""


class Payments(Protocol):
    """Card payments. Those shown are as ACCOUNTS.md has them."""

    def amounts(self) -> tuple[int, int] | None:
        """The least and the most that may be paid at once, in units; None where no payments are taken."""
        ...

    def where(self, account: int, id: str) -> str | None:
        """The address at which a payment is paid that is open and not yet out of time; None for any other."""
        ...

    async def checkout(self, account: int, asked: Checkout) -> Mapping[str, object]:
        """The session to pay in. Raises errors.InvalidRequest, RateLimited, Conflict, PaymentsDisabled, DatabaseBusy,
        PaymentProviderError, PaymentProviderTimeout."""
        ...

    async def page(
        self,
        account: int | None,
        *,
        status: str | None,
        after: int | None,
        skipped: int,
        size: int,
        operator: bool = False,
    ) -> Rows:
        """Payments, newest first, behind the place `after` or the first `skipped`: those of an account, whose session
        is known; or, for an `operator` or where no account is named, all of them, with whose they are."""
        ...

    def counted(self) -> tuple[Mapping[str, int], Mapping[tuple[str, str], int]]:
        """Since the start, for metrics: payments that came to each status, and events by type and outcome."""
        ...

    async def one(self, account: int | None, id: str) -> Mapping[str, object]:
        """A payment by our id or Stripe's of the session, asked for at Stripe first while it is open; without an
        account whosoever it is, as operators see it. Raises errors.NotFound."""
        ...

    async def webhook(self, signature: str | None, body: bytes) -> None:
        """Take an event. Returns when what follows from it is written. Raises errors.InvalidRequest (invalid_signature,
        invalid_json), and PaymentProviderDown or DatabaseBusy for one that has to come again."""
        ...

    def takes_events(self) -> bool:
        """Whether events can be verified at all."""
        ...

    async def reconcile(self, by: Doer) -> Mapping[str, int]:
        """Ask Stripe for every open payment, and for refunds and disputes of the last 30 days. Raises
        errors.PaymentsDisabled."""
        ...

    async def resolve(self, id: str, *, action: str, note: str, by: Doer) -> Mapping[str, object]:
        """Decide a quarantined payment: credit or dismiss. Raises errors.NotFound, Conflict, InvalidRequest,
        DatabaseBusy."""
        ...
