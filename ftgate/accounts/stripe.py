"""Stripe, as far as payments need it: the SDK's calls, over an HTTP client of our own, as core.payments' plain structs.

The SDK is imported and its client made in a worker thread: both take some tenths of a second. Its own ways are replaced
where they do not fit: retries (we know our time), redirects, proxies of the environment, telemetry, its log on standard
error. Nothing that Stripe or the SDK says in words leaves this file but an error's class, code and field: a message may
hold a part of the secret key.
"""

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeVar

import trio

from ftgate.core.payments import CENT, Charge, Dispute, Payment, Session
from ftgate.core.secret import Secret

log = logging.getLogger("ftgate.stripe")

TRY_S = 15.0
"""How long one try may take; Stripe answers in less than a second, and a payer is waiting."""
PAUSES_S = (0.5, 1.0)
"""Before the second and the third try."""
PAGE = 100
T = TypeVar("T")


class StripeFailed(Exception):
    """Stripe could not be asked, or has refused. `timed_out`: no answer came in time. `refused`: it will say so again,
    and nothing was done: the request was wrong, not the key. `missing`: there is no such object."""

    def __init__(self, what: str, *, timed_out: bool = False, refused: bool = False, missing: bool = False) -> None:
        super().__init__(what)
        self.timed_out = timed_out
        self.refused = refused
        self.missing = missing


class Stripe:
    """One secret key at one address."""

    def __init__(self, secret: Secret, address: str) -> None:
        self.secret = secret
        self.address = address.rstrip("/")
        self.livemode = "_live_" in secret.reveal()
        self._ready = trio.Lock()
        self._client: Any = None
        self._wire: Any = None

    def __repr__(self) -> str:
        return f"<Stripe at {self.address}, {'live' if self.livemode else 'test'} mode>"

    async def aclose(self) -> None:
        if self._wire is not None:
            await self._wire.close_async()

    async def create(self, payment: Payment) -> Session:
        """Make the session of a payment; with the same payment the same one, however often. Raises StripeFailed."""
        price = {
            "currency": payment.currency,
            "unit_amount": payment.amount // CENT,
            "product_data": {"name": "Credits"},
        }
        asked = {
            "mode": "payment",
            "line_items": [{"price_data": price, "quantity": 1}],
            "success_url": payment.success_url,
            "cancel_url": payment.cancel_url,
            "client_reference_id": payment.id,
            "expires_at": payment.expires_at_us // 1_000_000,
            "adaptive_pricing": {"enabled": False},
        }
        options = {"idempotency_key": payment.id}
        return _session(await self._ask(lambda stripe: stripe.checkout.sessions.create_async(asked, options)))

    async def session(self, id: str) -> tuple[Session, Charge | None]:
        """A session, and its charge where it comes with it. Raises StripeFailed."""
        expanded = {"expand": ["payment_intent.latest_charge"]}
        said = await self._ask(lambda stripe: stripe.checkout.sessions.retrieve_async(id, expanded))
        intent = said.get("payment_intent")
        charge = intent.get("latest_charge") if isinstance(intent, dict) else None
        return _session(said), _charge(charge) if isinstance(charge, dict) else None

    async def session_of(self, intent: str) -> Session | None:
        """The session that a payment intent belongs to. Raises StripeFailed."""
        listed = await self._ask(lambda stripe: stripe.checkout.sessions.list_async({"payment_intent": intent}))
        found = [one for one in _objects(listed) if _id(one.get("payment_intent")) == intent]
        return _session(found[0]) if found else None

    async def charge(self, id: str) -> Charge:
        """Raises StripeFailed."""
        return _charge(await self._ask(lambda stripe: stripe.charges.retrieve_async(id)))

    async def charge_of(self, intent: str) -> str:
        """The id of a payment intent's charge, "" where it has none. Raises StripeFailed."""
        said = await self._ask(lambda stripe: stripe.payment_intents.retrieve_async(intent))
        return _id(said.get("latest_charge"))

    async def disputes(self, charge: str) -> tuple[Dispute, ...]:
        """The disputes of a charge. Raises StripeFailed."""
        listed = await self._ask(lambda stripe: stripe.disputes.list_async({"charge": charge, "limit": PAGE}))
        return tuple(
            Dispute(_text(one, "status"), _cents(one, "amount") or 0, _text(one, "currency"))
            for one in _objects(listed)
        )

    async def events(self, types: Iterable[str], since_s: int) -> AsyncGenerator[Mapping[str, Any], None]:
        """The events of these types since a moment, newest first. Raises StripeFailed."""
        asked: dict[str, Any] = {"types": list(types), "created": {"gte": since_s}, "limit": PAGE}
        while True:
            page = await self._ask(lambda stripe: stripe.events.list_async(asked))
            found = _objects(page)
            for one in found:
                yield one
            if not found or not page.get("has_more"):
                return
            asked["starting_after"] = _text(found[-1], "id")

    async def _ask(self, what: Callable[[Any], Awaitable[Any]]) -> dict[str, Any]:
        """One question, tried up to three times where trying again can help. Raises StripeFailed."""
        async with self._ready:
            if self._client is None:
                self._wire, self._client = await trio.to_thread.run_sync(_client, self.secret, self.address)
        for pause in (*PAUSES_S, None):
            try:
                with trio.fail_after(TRY_S):
                    answer: dict[str, Any] = (await what(self._client.v1)).to_dict()
                return answer
            except trio.TooSlowError:
                failed, again = StripeFailed(f"no answer within {TRY_S:g} s", timed_out=True), True
            except Exception as error:  # the SDK's own; some are none of its tree
                failed, again = _failed(error)
            if pause is None or not again:
                break
            await trio.sleep(pause)
        log.warning("Stripe: %s", failed)
        raise failed


def _client(secret: Secret, address: str) -> tuple[Any, Any]:
    """The SDK's client over a wire of our own; in a worker thread."""
    import httpx
    import stripe
    from stripe import _util

    class Wire(stripe.HTTPClient):  # type: ignore[misc]
        """The SDK's HTTP client, over httpx: no redirects, no proxies of the environment. A pool without a limit of its
        own: httpcore's loses slots when a call that waits for one is cancelled."""

        name = "httpx"

        def __init__(self) -> None:
            super().__init__()
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=10, keepalive_expiry=30)
            self.http = httpx.AsyncClient(timeout=TRY_S, follow_redirects=False, trust_env=False, limits=limits)

        async def request_async(
            self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
        ) -> tuple[bytes, int, Mapping[str, str]]:
            try:
                answer = await self.http.request(method, url, headers=dict(headers), content=post_data or None)
            except (httpx.HTTPError, OSError) as error:
                raise stripe.APIConnectionError(type(error).__name__) from error
            return answer.content, answer.status_code, answer.headers

        async def close_async(self) -> None:
            await self.http.aclose()

    for name in ("stripe", "httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)  # below it they write what is posted, and addresses
    stripe.enable_telemetry = False
    stripe.log = None
    _util.STRIPE_LOG = None  # from the environment: it prints what is posted
    wire = Wire()
    made = stripe.StripeClient(
        secret.reveal(), http_client=wire, max_network_retries=0, base_addresses={"api": address}
    )  # fmt: skip
    assert made.v1.checkout.sessions and made.v1.charges and made.v1.disputes and made.v1.events  # imported now
    assert made.v1.payment_intents
    return wire, made


def _failed(error: Exception) -> tuple[StripeFailed, bool]:
    """The SDK's error as ours, and whether trying again can help."""
    status, code = getattr(error, "http_status", None), getattr(error, "code", None)
    param = getattr(error, "param", None)
    kind = type(error).__name__
    words = ", ".join(str(word) for word in (kind, status, code, param) if word)
    if kind == "APIConnectionError":
        cause = type(error.__cause__).__name__ if error.__cause__ else "no answer"
        return StripeFailed(f"{kind}: {cause}", timed_out="Timeout" in cause), True
    headers = getattr(error, "headers", None) or {}
    said = str(headers.get("stripe-should-retry", "")).lower()
    again = said == "true" or (said != "false" and isinstance(status, int) and (status in {409, 429} or status >= 500))
    refused = kind == "InvalidRequestError" and status in {400, 404}
    return StripeFailed(words, refused=refused, missing=status == 404 or code == "resource_missing"), again


def _objects(listed: Mapping[str, Any]) -> list[dict[str, Any]]:
    data = listed.get("data")
    return [one for one in data if isinstance(one, dict)] if isinstance(data, list) else []


def _text(said: Mapping[str, Any], name: str) -> str:
    value = said.get(name)
    return value if isinstance(value, str) else ""


def _id(value: object) -> str:
    """An id that stands by itself, or in the object that was put in its place."""
    if isinstance(value, dict):
        value = value.get("id")
    return value if isinstance(value, str) else ""


def _cents(said: Mapping[str, Any], name: str) -> int | None:
    value = said.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _session(said: Mapping[str, Any]) -> Session:
    livemode = said.get("livemode")
    found = Session(
        id=_text(said, "id"),
        status=_text(said, "status"),
        payment_status=_text(said, "payment_status"),
        mode=_text(said, "mode"),
        amount=_cents(said, "amount_total"),
        currency=_text(said, "currency").lower(),
        livemode=livemode if isinstance(livemode, bool) else None,
        reference=_text(said, "client_reference_id"),
        intent=_id(said.get("payment_intent")),
        url=_text(said, "url"),
    )
    if not found.id:
        raise StripeFailed("an answer without a session")
    return found


def _charge(said: Mapping[str, Any]) -> Charge:
    refunded, disputed = _cents(said, "amount_refunded"), said.get("disputed")
    if refunded is None or not _text(said, "id"):
        raise StripeFailed("an answer without a charge")
    return Charge(
        id=_text(said, "id"),
        currency=_text(said, "currency").lower(),
        amount=_cents(said, "amount"),
        refunded=refunded,
        disputed=disputed if isinstance(disputed, bool) else None,
        receipt_url=_text(said, "receipt_url"),
        intent=_id(said.get("payment_intent")),
    )
