"""A Stripe that remembers: sessions, payment intents, charges, refunds, disputes, events and idempotency keys, behind a
real HTTP server on 127.0.0.1.

    with FakeStripe() as stripe:                     # [stripe] api_base = stripe.url
        …                                            # a checkout is made at the gateway
        event = stripe.pay(session_id)               # the payer pays; the event that Stripe would send
        body, signature = stripe.signed(event)       # signed by the SDK's own signer

What it does wrong, it does when told to: `fault("POST", "/v1/checkout", Fault(...))` for the next requests that match.
Nothing is sent by itself: tests deliver events in the order, and as often, as they want. Only what payments need is
there, in the shapes of API version 2026-10-28.endive.
"""

import itertools
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from stripe import WebhookSignature

SECRET_KEY = "sk_test_canary4f1b7c9d2e8a6053"
WEBHOOK_SECRET = "whsec_canary9c8b7a6d5e4f3021"
Json = dict[str, Any]


@dataclass
class Fault:
    """What goes wrong with a request: it is answered `after_s` seconds late; with `status` in place of the right
    answer; not at all (`drop`). `done`: all the same it is done first."""

    after_s: float = 0.0
    status: int | None = None
    drop: bool = False
    done: bool = True
    times: int = 1


@dataclass
class Seen:
    """A request that came."""

    method: str
    path: str
    key: str | None
    form: dict[str, str] = field(default_factory=dict)


class Remembering:
    """What Stripe knows, by `clock` (seconds since 1970). Its methods may be called from any thread."""

    def __init__(self, *, livemode: bool = False, clock: Callable[[], float] = time.time) -> None:
        self.livemode = livemode
        self.clock = clock
        self.sessions: dict[str, Json] = {}
        self.intents: dict[str, Json] = {}
        self.charges: dict[str, Json] = {}
        self.refunds: dict[str, Json] = {}
        self.disputes: dict[str, Json] = {}
        self.events: list[Json] = []
        self.seen: list[Seen] = []
        self.expands = True
        """Whether `expand` is obeyed."""
        self.lacks = ""
        """What there is none of at all: charges, disputes, …"""
        self._kept: dict[str, tuple[dict[str, str], int, Json]] = {}  # idempotency key -> form, status, answer
        self._faults: list[tuple[str, str, Fault]] = []
        self._numbers = itertools.count(1)
        self._lock = threading.RLock()

    def _id(self, kind: str) -> str:
        return f"{kind}_test_{next(self._numbers):024d}"

    # What payers, banks and Stripe's dashboard do

    def complete(self, session: str) -> Json:
        """The payer has chosen a way that takes days."""
        with self._lock:
            self._charge(session, "pending")
            self.sessions[session].update(status="complete", payment_status="unpaid")
            return self._event("checkout.session.completed", self.sessions[session])

    def pay(self, session: str) -> Json:
        """The payer has paid by card."""
        with self._lock:
            self._charge(session, "succeeded")
            self.sessions[session].update(status="complete", payment_status="paid")
            return self._event("checkout.session.completed", self.sessions[session])

    def succeed(self, session: str) -> Json:
        """The way that takes days has brought the money."""
        with self._lock:
            self._charge(session, "succeeded")
            self.sessions[session]["payment_status"] = "paid"
            return self._event("checkout.session.async_payment_succeeded", self.sessions[session])

    def fail(self, session: str) -> Json:
        with self._lock:
            return self._event("checkout.session.async_payment_failed", self.sessions[session])

    def expire(self, session: str) -> Json:
        with self._lock:
            self.sessions[session]["status"] = "expired"
            return self._event("checkout.session.expired", self.sessions[session])

    def refund(self, session: str, cents: int) -> Json:
        """The operator gives back a part."""
        with self._lock:
            charge = self.charge_of(session)
            assert charge["amount_refunded"] + cents <= charge["amount"]
            charge["amount_refunded"] += cents
            charge["refunded"] = charge["amount_refunded"] == charge["amount"]
            refund = {
                "id": self._id("re"), "object": "refund", "charge": charge["id"], "amount": cents,
                "payment_intent": charge["payment_intent"], "status": "succeeded",
            }  # fmt: skip
            self.refunds[refund["id"]] = refund
            return self._event("charge.refunded", charge)

    def fail_refund(self, session: str) -> Json:
        """The last refund that had succeeded did not reach the payer."""
        with self._lock:
            charge = self.charge_of(session)
            refund = [r for r in self.refunds.values() if r["charge"] == charge["id"] and r["status"] == "succeeded"][
                -1
            ]
            refund["status"] = "failed"
            charge["amount_refunded"] -= refund["amount"]
            charge["refunded"] = False
            return self._event("refund.failed", refund)

    def dispute(self, session: str, cents: int) -> Json:
        with self._lock:
            charge = self.charge_of(session)
            charge["disputed"] = True
            dispute = {
                "id": self._id("du"), "object": "dispute", "charge": charge["id"], "amount": cents, "currency": "usd",
                "payment_intent": charge["payment_intent"], "status": "needs_response",
            }  # fmt: skip
            self.disputes[dispute["id"]] = dispute
            return self._event("charge.dispute.created", dispute)

    def decide(self, session: str, status: str) -> Json:
        """The bank decides the last dispute: won or lost."""
        with self._lock:
            charge = self.charge_of(session)
            dispute = [one for one in self.disputes.values() if one["charge"] == charge["id"]][-1]
            dispute["status"] = status
            return self._event("charge.dispute.closed", dispute)

    def owes(self, session: str) -> int:
        """Cents of a session that are its payer's to spend."""
        with self._lock:
            if self.sessions[session]["payment_status"] != "paid":
                return 0
            charge = self.charge_of(session)
            disputed = sum(
                one["amount"] for one in self.disputes.values()
                if one["charge"] == charge["id"] and one["status"] != "won"
            )  # fmt: skip
            return max(int(charge["amount"]) - int(charge["amount_refunded"]) - disputed, 0)

    def charge_of(self, session: str) -> Json:
        return self.charges[self.intents[self.sessions[session]["payment_intent"]]["latest_charge"]]

    def alter(self, session: str, **fields: Any) -> None:
        """The session says something else."""
        with self._lock:
            self.sessions[session].update(fields)

    def _charge(self, session: str, status: str) -> None:
        said = self.sessions[session]
        intent = self.intents.get(said["payment_intent"] or "")
        if intent is None:
            intent = {"id": self._id("pi"), "object": "payment_intent", "latest_charge": self._id("ch")}
            self.intents[intent["id"]] = intent
            said["payment_intent"] = intent["id"]
        self.charges[intent["latest_charge"]] = {
            "id": intent["latest_charge"], "object": "charge", "amount": said["amount_total"], "amount_refunded": 0,
            "currency": said["currency"], "disputed": False, "livemode": self.livemode, "payment_intent": intent["id"],
            "receipt_url": f"https://pay.example/receipts/{intent['latest_charge']}", "refunded": False,
            "status": status,
        }  # fmt: skip

    def _event(self, kind: str, about: Json) -> Json:
        event = {
            "id": self._id("evt"), "object": "event", "type": kind, "created": int(self.clock()),
            "livemode": self.livemode, "data": {"object": json.loads(json.dumps(about))},
        }  # fmt: skip
        self.events.append(event)
        return event

    @staticmethod
    def signed(event: Json | bytes, *, secret: str = WEBHOOK_SECRET, at: float | None = None) -> tuple[bytes, str]:
        """The bytes of an event, and its header Stripe-Signature."""
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        when = int(time.time() if at is None else at)
        return body, WebhookSignature.generate_signature_header(body.decode(), secret, when)

    # What it does wrong

    def fault(self, method: str, path: str, fault: Fault) -> None:
        """The next requests of this method whose path begins so go wrong."""
        with self._lock:
            self._faults.append((method, path, fault))

    def heal(self) -> None:
        with self._lock:
            self._faults.clear()

    def _fault(self, method: str, path: str) -> Fault:
        with self._lock:
            for at, start, fault in self._faults:
                if at == method and path.startswith(start):
                    fault.times -= 1
                    if not fault.times:
                        self._faults.remove((at, start, fault))
                    return fault
        return Fault()

    def made(self) -> list[Seen]:
        """The requests for a session that came."""
        return [seen for seen in self.seen if seen.method == "POST"]

    # What its API answers

    def answer(self, seen: Seen, query: list[tuple[str, str]]) -> tuple[int, Json]:
        with self._lock:
            self.seen.append(seen)
            if seen.method == "POST":
                status, said = self._once(seen)
            else:
                status, said = self._got(seen.path.strip("/").split("/")[1:], query)
            return status, json.loads(json.dumps(said))  # as it is now, however late it arrives

    def _once(self, seen: Seen) -> tuple[int, Json]:
        """The same key, the same answer; with other parameters an error."""
        if seen.key is not None and (kept := self._kept.get(seen.key)) is not None:
            form, status, said = kept
            if form == seen.form:
                return status, said
            return 400, _error("idempotency_error", "Keys for idempotent requests can only be used with the same…")
        status, said = self._create(seen.form) if seen.path == "/v1/checkout/sessions" else _missing(seen.path)
        if seen.key is not None:
            self._kept[seen.key] = seen.form, status, json.loads(json.dumps(said))
        return status, said

    def _create(self, form: dict[str, str]) -> tuple[int, Json]:
        until = int(form.get("expires_at", "0")) - self.clock()
        if form.get("mode") != "payment" or not 1790 < until < 86_410:
            return 400, _error("invalid_request_error", "mode or expires_at", "expires_at")
        id = self._id("cs")
        price = "line_items[0][price_data]"
        session = {
            "id": id, "object": "checkout.session", "status": "open", "payment_status": "unpaid", "mode": form["mode"],
            "amount_total": int(form[f"{price}[unit_amount]"]) * int(form["line_items[0][quantity]"]),
            "currency": form[f"{price}[currency]"], "livemode": self.livemode, "payment_intent": None,
            "client_reference_id": form.get("client_reference_id"), "expires_at": int(form["expires_at"]),
            "success_url": form["success_url"], "cancel_url": form.get("cancel_url"),
            "url": f"https://checkout.example/c/{id}",
        }  # fmt: skip
        self.sessions[id] = session
        return 200, session

    def _got(self, place: list[str], query: list[tuple[str, str]]) -> tuple[int, Json]:
        asked = dict(query)
        if place[0] == self.lacks:
            return _missing("/".join(place))
        match place:
            case ["checkout", "sessions"]:
                found = [s for s in self.sessions.values() if s["payment_intent"] == asked.get("payment_intent")]
                return 200, _list(found)
            case ["checkout", "sessions", id] if id in self.sessions:
                return 200, self._expanded(self.sessions[id], query)
            case ["payment_intents", id] if id in self.intents:
                return 200, self.intents[id]
            case ["charges", id] if id in self.charges:
                return 200, self.charges[id]
            case ["disputes"]:
                return 200, _list([one for one in self.disputes.values() if one["charge"] == asked.get("charge")])
            case ["events"]:
                return 200, self._listed(query)
        return _missing("/".join(place))

    def _expanded(self, session: Json, query: list[tuple[str, str]]) -> Json:
        wanted = [value for name, value in query if name.startswith("expand")]
        intent = self.intents.get(session["payment_intent"] or "")
        if not self.expands or intent is None or "payment_intent.latest_charge" not in wanted:
            return session
        return {**session, "payment_intent": {**intent, "latest_charge": self.charges[intent["latest_charge"]]}}

    def _listed(self, query: list[tuple[str, str]]) -> Json:
        asked = dict(query)
        types = [value for name, value in query if name.startswith("types")]
        assert len(types) <= 20, "Stripe takes 20"
        since, limit = int(asked.get("created[gte]", "0")), int(asked.get("limit", "10"))
        found = [e for e in reversed(self.events) if e["created"] >= since and (not types or e["type"] in types)]
        if after := asked.get("starting_after"):
            found = found[[event["id"] for event in found].index(after) + 1 :]
        return _list(found[:limit], more=len(found) > limit)


class FakeStripe(Remembering):
    """The same, behind its server."""

    def __init__(self, *, livemode: bool = False) -> None:
        super().__init__(livemode=livemode)
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "FakeStripe":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _list(data: list[Json], *, more: bool = False) -> Json:
    return {"object": "list", "data": data, "has_more": more}


def _error(kind: str, message: str, param: str | None = None, code: str | None = None) -> Json:
    return {"error": {"type": kind, "message": message, "param": param, "code": code}}


def _missing(path: str) -> tuple[int, Json]:
    return 404, _error("invalid_request_error", f"No such thing: {path}", code="resource_missing")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that is gone is no error here: it is what is tested."""


def _handler(fake: FakeStripe) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        timeout = 60

        def do_GET(self) -> None:
            self._do({})

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", "0"))
            body = self.rfile.read(length)
            if len(body) < length:  # who asked was killed meanwhile: half a request is none
                self.close_connection = True
                return
            self._do(dict(parse_qsl(body.decode(), keep_blank_values=True)))

        def _do(self, form: dict[str, str]) -> None:
            url = urlsplit(self.path)
            seen = Seen(self.command, url.path, self.headers.get("Idempotency-Key"), form)
            fault = fake._fault(self.command, url.path)
            made: Callable[[], tuple[int, Json]] = lambda: fake.answer(seen, parse_qsl(url.query))  # noqa: E731
            if self.headers.get("Authorization") != f"Bearer {SECRET_KEY}":
                status, said = 401, _error("invalid_request_error", f"Invalid API Key provided: {SECRET_KEY}")
            elif fault.done:
                status, said = made()
            else:
                fake.seen.append(seen)
                status, said = 500, {}
            if fault.after_s:
                time.sleep(fault.after_s)
            if fault.drop:
                self.close_connection = True
                return
            if fault.status is not None:
                status, said = fault.status, _error("api_error", "it went wrong")
            self._say(status, json.dumps(said).encode())

        def _say(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Request-Id", "req_fake")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    return Handler
