"""Paying by card, and an account's own provider keys."""

from ftgate.core.payments import STATUSES
from ftgate.web.described.words import (
    PAGES,
    STRIPE,
    Operation,
    Param,
    Schema,
    choice,
    dollars,
    either,
    flag,
    json,
    listed,
    maybe,
    moment,
    named,
    number,
    paged,
    record,
    text,
)

SCHEMAS: dict[str, Schema] = {
    "Payment": record({
        "id": text(), "session_id": maybe(text()), "status": choice(*STATUSES), "amount": dollars(), "currency": text(),
        "credited": dollars(), "refunded": dollars(), "created_at": moment(), "paid_at": maybe(moment()),
        "receipt_url": maybe(text()),
    }),
    "ProviderKey": record({
        "id": text(), "provider": text(), "name": text(), "fingerprint": text("16 hex digits, of this account alone"),
        "valid": flag(), "created_at": moment(), "checked_at": moment(),
    }),
}  # fmt: skip
_AMOUNT = either(dollars(), number(), told="USD, at most two decimals")
_CHECKOUT = record({
    "amount": _AMOUNT, "success_url?": maybe(text()), "cancel_url?": maybe(text()),
})  # fmt: skip
_MADE = record({
    "url": text(), "session_id": text(), "id": text(), "amount": dollars(), "currency": text(), "expires_at": moment(),
})  # fmt: skip
_STRIPE = {
    409: ("idempotency_conflict",), 429: ("rate_limit_exceeded",), 501: ("payments_disabled",),
    502: ("payment_provider_error",), 504: ("payment_provider_timeout",),
}  # fmt: skip

OPERATIONS = (
    *(
        Operation(
            "POST", path, "Pay for credits: a page of Stripe's", body=_CHECKOUT, answers=json(_MADE), refused=_STRIPE,
            params=(Param("Idempotency-Key", text(most=200), "the same session for a repeat", place="header"),),
        )
        for path in ("/v1/user/credits", "/v1/billing/checkout")
    ),
    Operation(
        "GET", "/v1/user/payments", "Payments, newest first", params=(*PAGES, Param("status", choice(*STATUSES))),
        answers=json(paged(named("Payment"))),
    ),
    Operation(
        "GET", "/v1/user/payments/{id}", "One payment, by its id or its session's",
        params=(Param("id", text(), place="path"),), answers=json(named("Payment")), refused={404: ("not_found",)},
    ),
    Operation(
        "POST", "/v1/billing/webhook", "Stripe's events", asks=(STRIPE,), body=record({}),
        answers=json(record({"received": flag()})),
        params=(Param("Stripe-Signature", text(), place="header"),),
        refused={400: ("invalid_signature", "invalid_json"), 404: ("not_found",), 503: ("database_busy",)},
    ),
    Operation(
        "POST", "/v1/user/byok/register", "Have a provider key of your own checked; it is not kept",
        body=record({
            "provider": text(least=1), "api_key": text(least=8, most=512), "name?": maybe(text(most=100)),
        }),
        answers=json(named("ProviderKey")),
        refused={
            401: ("invalid_provider_key",), 429: ("rate_limit_exceeded",), 502: ("provider_error",),
            504: ("provider_timeout",),
        },
    ),
    Operation(
        "GET", "/v1/user/byok", "The keys that were checked",
        answers=json(record({"data": listed(named("ProviderKey"))})),
    ),
    Operation(
        "DELETE", "/v1/user/byok/{id}", "Forget one", params=(Param("id", text(), place="path"),),
        answers=json(record({"id": text(), "deleted": flag()})), refused={404: ("not_found",)},
    ),
)  # fmt: skip
