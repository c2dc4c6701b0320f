"""Payments over a database of their own and a Stripe that remembers: what is entered, once, whoever asks."""

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from ftgate.accounts.payments import Payments
from ftgate.core.money import PICO_PER_USD
from ftgate.core.payments import CENT
from ftgate.core.secret import Secret
from ftgate.errors import (
    Conflict,
    DatabaseBusy,
    InvalidRequest,
    NotFound,
    PaymentProviderDown,
    PaymentProviderError,
    PaymentProviderTimeout,
    PaymentsDisabled,
    RateLimited,
)
from ftgate.house.house import SystemClock
from ftgate.ports.payments import Checkout, PaymentTerms
from ftgate.store.verify import verify_ledger
from tests.accounts.opened import opened
from tests.fakes.stripe import SECRET_KEY, WEBHOOK_SECRET, FakeStripe, Fault

TEN = 10 * PICO_PER_USD
OWN = "http://127.0.0.1:8400"


class Clock(SystemClock):
    """Real time, and what is added to it."""

    ahead_s = 0.0

    def now(self) -> float:
        return super().now() + self.ahead_s

    def wall_us(self) -> int:
        return super().wall_us() + int(self.ahead_s * 1_000_000)


@pytest.fixture
def stripe() -> Iterator[FakeStripe]:
    with FakeStripe() as stripe:
        yield stripe


class World:
    """Payments of the account 1 (ada), whose credits are `dollars`."""

    def __init__(self, payments: Payments, stripe: FakeStripe, clock: Clock) -> None:
        self.payments, self.stripe, self.clock = payments, stripe, clock

    @property
    def dollars(self) -> float:
        return self.payments.directory.books.accounts[1].posted / PICO_PER_USD

    async def checkout(self, amount: int = TEN, **more: Any) -> str:
        """The id of a new session."""
        return str((await self.payments.checkout(1, Checkout(amount, **more)))["session_id"])

    async def told(self, event: Any) -> None:
        body, signature = self.stripe.signed(event, at=self.clock.wall_us() / 1e6)
        await self.payments.webhook(signature, body)

    def status(self, session: str) -> str:
        return self.payments.rows.by_id[self.payments.rows.by_session[session]].status


def terms(stripe: FakeStripe, **other: Any) -> PaymentTerms:
    base = {
        "secret_key": Secret(SECRET_KEY), "webhook_secret": Secret(WEBHOOK_SECRET), "api_base": stripe.url,
        "min_amount": 5 * PICO_PER_USD, "max_amount": 1000 * PICO_PER_USD,
    }  # fmt: skip
    return PaymentTerms(**{**base, **other})


@asynccontextmanager
async def world(path: Path, stripe: FakeStripe, **other: Any) -> AsyncIterator[World]:
    async with opened(path) as accounts:
        if not accounts.directory.users:
            await accounts.users.create(username="ada")
            await accounts.users.create(username="bob")
        clock = Clock()
        payments = Payments(
            accounts.payment_rows, accounts.directory, accounts.throttles, accounts.users.writer, clock,
            terms=lambda: terms(stripe, **other), own_url=OWN,
        )  # fmt: skip
        try:
            yield World(payments, stripe, clock)
        finally:
            await payments.aclose()  # noqa: ASYNC102 - nothing in it waits


def entries(path: Path) -> list[tuple[str, int, str]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(
            f"SELECT kind, (CASE debit WHEN 'credits' THEN -1 ELSE 1 END) * amount / {CENT}, ref FROM entries"
            " ORDER BY id"
        ).fetchall()


# Checkouts


async def test_an_order_is_written_first_and_its_session_is_what_we_ask_for(path: Path, stripe: FakeStripe) -> None:
    async with world(path, stripe) as w:
        said = await w.payments.checkout(1, Checkout(12_340_000_000_000))
        (made,) = stripe.made()
        session = stripe.sessions[str(said["session_id"])]
        assert said["url"] == session["url"] and said["amount"] == "12.34" and said["currency"] == "usd"
        assert made.key == said["id"] == session["client_reference_id"] and str(said["id"]).startswith("pay_")
        assert session["amount_total"] == 1234 and session["mode"] == "payment"
        assert session["success_url"] == f"{OWN}/billing?session_id={{CHECKOUT_SESSION_ID}}"
        assert session["cancel_url"] == f"{OWN}/billing"
        assert made.form["adaptive_pricing[enabled]"] == "false"
        assert not {name for name in made.form if name.startswith(("allow_promotion", "automatic_tax"))}
        assert w.dollars == 0
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT status, session, amount FROM payments").fetchone() == (
            "open", said["session_id"], 12_340_000_000_000,
        )  # fmt: skip


@pytest.mark.parametrize("amount", [0, 4_990_000_000_000, 1_000_010_000_000_000, 5_001_000_000_000, -TEN])
async def test_amounts_that_are_none(path: Path, stripe: FakeStripe, amount: int) -> None:
    async with world(path, stripe) as w:
        with pytest.raises(InvalidRequest) as refused:
            await w.checkout(amount)
        assert refused.value.param == "amount" and not stripe.seen


async def test_payments_that_are_not_set_up(path: Path, stripe: FakeStripe) -> None:
    async with world(path, stripe, secret_key=None, webhook_secret=None) as w:
        with pytest.raises(PaymentsDisabled):
            await w.checkout()
        with pytest.raises(NotFound):
            await w.told(b"{}")


async def test_the_same_key_is_the_same_order(path: Path, stripe: FakeStripe) -> None:
    async with world(path, stripe) as w:
        found: list[str] = []
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(_into, found, w)
        assert len(set(found)) == 1 and len(stripe.sessions) == 1 and len(stripe.made()) == 1
        with pytest.raises(Conflict) as refused:
            await w.checkout(TEN * 2, request="mine")
        assert refused.value.code == "idempotency_conflict"
        other = await w.payments.checkout(2, Checkout(TEN, request="mine"))  # somebody else's key is another one
        assert other["session_id"] not in found
        w.clock.ahead_s = 24 * 3600 + 1
        order = w.payments.checkouts._order(1, Checkout(TEN, request="mine"))
        assert w.payments.checkouts._known(order) is None  # a day later it is a new one


async def _into(found: list[str], w: World) -> None:
    found.append(await w.checkout(request="mine"))


async def test_ten_checkouts_a_minute(path: Path, stripe: FakeStripe) -> None:
    async with world(path, stripe) as w:
        for number in range(10):
            await w.checkout(request=str(number))
        with pytest.raises(RateLimited):
            await w.checkout()
        assert await w.checkout(request="3")  # makes none
        assert (await w.payments.checkout(2, Checkout(TEN)))["url"]
        assert len(stripe.sessions) == 11


async def test_an_answer_that_was_lost_is_asked_for_again_under_the_same_key(path: Path, stripe: FakeStripe) -> None:
    """Stripe does it, and its answer is lost: dropped, then a 500; the third try gets the same session."""
    async with world(path, stripe) as w:
        stripe.fault("POST", "/v1/checkout", Fault(drop=True))
        stripe.fault("POST", "/v1/checkout", Fault(status=500))
        session = await w.checkout()
        assert list(stripe.sessions) == [session] and len({seen.key for seen in stripe.made()}) == 1
        assert len(stripe.made()) == 3


async def test_callers_who_leave_at_any_moment_leave_no_session_behind(path: Path, stripe: FakeStripe) -> None:
    """Each order that was written has one session, whose id is known; each session is an order's."""
    async with world(path, stripe) as w, trio.open_nursery() as nursery:
        nursery.start_soon(w.payments.run)
        await w.payments.checkout(2, Checkout(TEN))  # so that the SDK is there
        for number in range(10):
            stripe.fault("POST", "/v1/checkout", Fault(after_s=0.01))
            with trio.move_on_after(number * 0.003):
                await w.checkout()
        with trio.fail_after(10):
            while not all(payment.session for payment in w.payments.rows.by_id.values()):
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    assert {payment.session for payment in w.payments.rows.by_id.values()} == set(stripe.sessions)
    assert len({seen.key for seen in stripe.made()}) == len(stripe.made()) == len(stripe.sessions) > 1


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(status=500, times=9), PaymentProviderError),
        (Fault(drop=True, times=9), PaymentProviderError),
        (Fault(after_s=1, times=9), PaymentProviderTimeout),
    ],
)
async def test_a_session_that_could_not_be_told_is_found_later(
    path: Path, stripe: FakeStripe, monkeypatch: pytest.MonkeyPatch, fault: Fault, error: type[Exception]
) -> None:
    monkeypatch.setattr("ftgate.accounts.stripe.TRY_S", 0.2)
    monkeypatch.setattr("ftgate.accounts.stripe.PAUSES_S", (0.01, 0.01))
    async with world(path, stripe) as w:
        stripe.fault("POST", "/v1/checkout", fault)
        with pytest.raises(error):
            await w.checkout(request="mine")
        assert await w.payments.page(1, status=None, after=None, skipped=0, size=20) == ([], 0, None)
        stripe.heal()
        (session,) = stripe.sessions
        stripe.pay(session)
        assert (await w.payments.reconcile())["credited"] == 1 and w.dollars == 10
        assert await w.checkout(request="mine") == session and len(stripe.sessions) == 1


async def test_all_tries_together_have_a_limit(path: Path, stripe: FakeStripe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftgate.accounts.checkout.ALL_S", 0.4)
    monkeypatch.setattr("ftgate.accounts.applying.ALL_S", 0.4)
    async with world(path, stripe) as w:
        session = await w.checkout()
        paid = stripe.pay(session)
        stripe.fault("POST", "/v1/checkout", Fault(after_s=2))
        stripe.fault("GET", "/v1/checkout", Fault(after_s=2))
        with trio.fail_after(1.5):
            with pytest.raises(PaymentProviderTimeout):
                await w.checkout()
            with pytest.raises(PaymentProviderDown):
                await w.told(paid)


async def test_a_session_that_stripe_refuses_is_no_order(path: Path, stripe: FakeStripe) -> None:
    async with world(path, stripe) as w:
        stripe.fault("POST", "/v1/checkout", Fault(status=400, done=False))
        with pytest.raises(PaymentProviderError):
            await w.checkout(request="mine")
        with pytest.raises(PaymentProviderError):
            await w.checkout(request="mine")
        assert not stripe.sessions


async def test_an_order_that_stripe_never_heard_of_ends_in_time(path: Path, stripe: FakeStripe) -> None:
    async with world(path, stripe) as w:
        stripe.fault("POST", "/v1/checkout", Fault(status=503, done=False, times=3))
        with pytest.raises(PaymentProviderError):
            await w.checkout()
        row = w.payments.rows.by_id[w.payments.rows.all[0]]
        w.payments.rows.keep(type(row)(**{f: getattr(row, f) for f in row.__struct_fields__} | {"expires_at_us": 1}))
        assert (await w.payments.reconcile())["expired"] == 1 and not stripe.sessions


async def test_the_secret_key_is_in_no_error(path: Path, stripe: FakeStripe, caplog: pytest.LogCaptureFixture) -> None:
    wrong = "sk_test_of_somebody_else"
    async with world(path, stripe, secret_key=Secret(wrong)) as w:
        with pytest.raises(PaymentProviderError) as refused:
            await w.checkout()
        assert SECRET_KEY not in str(refused.value) + caplog.text and wrong not in str(refused.value) + caplog.text
        assert "AuthenticationError" in caplog.text


# Events


async def test_an_event_credits_once_however_often_it_comes(path: Path, stripe: FakeStripe) -> None:
    async with world(path, stripe) as w:
        session = await w.checkout()
        event = stripe.pay(session)
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(w.told, event)
        assert w.dollars == 10 and w.status(session) == "paid"
        (shown,), total, last = await w.payments.page(1, status=None, after=None, skipped=0, size=20)
        assert (total, last) == (1, None) and shown["credited"] == "10.00" and shown["refunded"] == "0.00"
        assert str(shown["receipt_url"]).startswith("https://pay.example/receipts/ch_") and shown["paid_at"]
    assert entries(path) == [("topup", 1000, session)]
    async with world(path, stripe) as w:  # days later, after a start
        await w.told(event)
        assert w.dollars == 10
    assert len(entries(path)) == 1


@pytest.mark.parametrize("expands", [True, False])
async def test_refunds_and_disputes_in_any_order(path: Path, stripe: FakeStripe, expands: bool) -> None:
    stripe.expands = expands
    async with world(path, stripe) as w:
        session = await w.checkout()
        paid = stripe.pay(session)
        first = stripe.refund(session, 250)
        await w.told(first)  # before the payment itself was heard of
        assert w.dollars == 7.5 and w.status(session) == "partially_refunded"
        await w.told(paid)
        second = stripe.refund(session, 250)
        third = stripe.refund(session, 500)
        for event in (third, first, second, third, paid):
            await w.told(event)
        assert w.dollars == 0 and w.status(session) == "refunded"
        failed = stripe.fail_refund(session)
        for event in (failed, third, failed):
            await w.told(event)
        assert w.dollars == 5 and w.status(session) == "partially_refunded"
        opened_dispute = stripe.dispute(session, 1000)
        await w.told(opened_dispute)
        assert w.dollars == 0 and w.status(session) == "disputed"
        won = stripe.decide(session, "won")
        for event in (won, opened_dispute, won, paid):
            await w.told(event)
        assert w.dollars == 5 and w.status(session) == "partially_refunded"
        payment = w.payments.rows.by_id[w.payments.rows.by_session[session]]
    assert verify_ledger(path)["ok"]
    kinds = [(kind, cents) for kind, cents, _ in entries(path)]
    assert kinds == [("topup", 1000), ("refund", -250), ("refund", -750), ("refund", 500), ("refund", -500),
                     ("refund", 500)]  # fmt: skip
    assert [ref for _, _, ref in entries(path)] == [session, *(f"{payment.id}:{n}" for n in range(1, 6))]


async def test_a_lost_dispute_stays_lost(path: Path, stripe: FakeStripe) -> None:
    async with world(path, stripe) as w:
        session = await w.checkout()
        await w.told(stripe.pay(session))
        stripe.dispute(session, 400)
        await w.told(stripe.decide(session, "lost"))
        await w.told(stripe.refund(session, 600))
        assert w.dollars == 0 and w.status(session) == "disputed"


async def test_payments_that_take_days(path: Path, stripe: FakeStripe) -> None:
    async with world(path, stripe) as w:
        first, second = await w.checkout(), await w.checkout()
        completed = stripe.complete(first)
        await w.told(completed)
        assert w.status(first) == "open" and w.dollars == 0
        await w.told(stripe.succeed(first))
        assert w.status(first) == "paid" and w.dollars == 10
        other = stripe.complete(second)
        await w.told(stripe.fail(second))
        await w.told(other)
        assert w.status(second) == "failed"
        await w.told(stripe.succeed(second))  # a paid session always wins
        assert w.status(second) == "paid" and w.dollars == 20


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount_total": 999},
        {"currency": "eur"},
        {"livemode": True},
        {"client_reference_id": "pay_of_another"},
        {"mode": "setup"},
        {"payment_status": "no_payment_required"},
    ],
)
async def test_what_is_not_as_we_asked_is_quarantined_until_the_operator_decides(
    path: Path, stripe: FakeStripe, wrong: dict[str, Any]
) -> None:
    async with world(path, stripe) as w:
        session = await w.checkout()
        paid = stripe.pay(session)
        stripe.alter(session, **wrong)
        await w.told(paid)
        await w.told(paid)
        assert w.status(session) == "quarantined" and w.dollars == 0
        assert w.payments.applying.reached["quarantined"] == 1
        shown = await w.payments.resolve(session, action="credit", note="it was right")
        assert shown["status"] == "paid" and w.dollars == 10 and shown["account_name"] == "ada"
        with pytest.raises(Conflict) as refused:
            await w.payments.resolve(str(shown["id"]), action="credit", note="again")
        assert refused.value.code == "not_quarantined"
        await w.told(paid)
        assert w.dollars == 10
    with closing(sqlite3.connect(path)) as connection:
        (row,) = connection.execute("SELECT action, target, after FROM audit WHERE action LIKE 'pay%'").fetchall()
    assert row == ("payment.resolve", shown["id"], '{"status":"paid","note":"it was right"}')


@pytest.mark.parametrize("session_says", [{"amount_total": 300}, {"currency": "eur"}], ids=str)
async def test_all_that_the_operator_credited_goes_back_with_all_that_was_paid(
    path: Path, stripe: FakeStripe, session_says: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    async with world(path, stripe) as w:
        session = await w.checkout()
        stripe.alter(session, **session_says)
        await w.told(stripe.pay(session))
        await w.payments.resolve(session, action="credit", note="it was right")
        await w.told(stripe.refund(session, 100))
        foreign = "currency" in session_says
        assert w.dollars == (10 if foreign else 9) and ("are refunded and 0 disputed" in caplog.text) is foreign
        await w.told(stripe.refund(session, stripe.charge_of(session)["amount"] - 100))
        assert (w.status(session), w.dollars) == ("refunded", 0)
        await w.told(stripe.fail_refund(session))
        assert w.dollars == (0 if foreign else 9)  # what is still out in euros is not told in dollars


async def test_a_dismissed_payment_stays_so(path: Path, stripe: FakeStripe) -> None:
    async with world(path, stripe) as w:
        session = await w.checkout()
        paid = stripe.pay(session)
        stripe.alter(session, amount_total=1)
        await w.told(paid)
        assert (await w.payments.resolve(session, action="dismiss", note="a test"))["status"] == "failed"
    async with world(path, stripe) as w:
        stripe.alter(session, amount_total=1000)
        await w.told(paid)
        assert w.status(session) == "failed" and w.dollars == 0


async def test_a_session_whose_ref_was_granted_by_hand_is_not_credited_again(path: Path, stripe: FakeStripe) -> None:
    async with world(path, stripe) as w:
        session = await w.checkout()
        books = w.payments.directory.books
        entry = books.grant(1, TEN, ref=session, at_us=0)
        w.payments.applying.writer.changed().remember((entry,), books.accounts[1])  # type: ignore[arg-type]
        await w.told(stripe.pay(session))
        assert w.status(session) == "quarantined" and w.dollars == 10
        with pytest.raises(Conflict):
            await w.payments.resolve(session, action="credit", note="no")
        assert (await w.payments.resolve(session, action="dismiss", note="granted"))["status"] == "failed"


async def test_sessions_events_and_modes_that_are_not_ours(path: Path, stripe: FakeStripe) -> None:
    async with world(path, stripe) as w:
        session = await w.checkout()
        paid = stripe.pay(session)
        await w.told({**paid, "livemode": True})
        await w.told({**paid, "type": "customer.created"})
        await w.told({**paid, "data": {"object": {"id": "cs_other", "client_reference_id": "pay_other"}}})
        await w.told({**paid, "data": {"object": "text"}})
        await w.told({**paid, "data": None, "type": 5})
        await w.told({**paid, "data": {"object": {"object": "charge", "id": "ch_x"}}, "type": "charge.refunded"})
        assert w.dollars == 0 and w.status(session) == "open"
        assert sum(w.payments.events.counted.values()) == 6
        # another session that names our order: it is not the one that we had made
        await w.told({**paid, "data": {"object": {"id": "cs_x", "client_reference_id": w.payments.rows.all[0]}}})
        assert w.dollars == 0


async def test_an_event_for_an_order_whose_session_is_not_known_yet(path: Path, stripe: FakeStripe) -> None:
    async with world(path, stripe) as w:
        stripe.fault("POST", "/v1/checkout", Fault(status=500, times=3))
        with pytest.raises(PaymentProviderError):
            await w.checkout()
        (session,) = stripe.sessions
        await w.told(stripe.refund(session, 100) if stripe.pay(session) else None)
        assert w.dollars == 9 and w.status(session) == "partially_refunded"


async def test_stripe_cannot_be_asked_so_the_event_has_to_come_again(
    path: Path, stripe: FakeStripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftgate.accounts.stripe.PAUSES_S", (0.01, 0.01))
    async with world(path, stripe) as w:
        session = await w.checkout()
        paid = stripe.pay(session)
        stripe.fault("GET", "/v1/checkout", Fault(status=500, times=9))
        with pytest.raises(PaymentProviderDown) as down:
            await w.told(paid)
        assert down.value.status == 503 and w.dollars == 0
        stripe.heal()
        stripe.fault("GET", "/v1/disputes", Fault(status=500, times=9))
        stripe.dispute(session, 1000)
        with pytest.raises(PaymentProviderDown):  # what cannot be read whole is not applied in part
            await w.told(paid)
        assert w.dollars == 0
        stripe.heal()
        await w.told(paid)
        assert w.dollars == 0 and w.status(session) == "disputed"


async def test_an_older_answer_that_comes_late_undoes_nothing(path: Path, stripe: FakeStripe) -> None:
    """Stripe is asked, and before its answer is here the payment is refunded, and that is told too."""
    async with world(path, stripe) as w:
        session = await w.checkout()
        paid = stripe.pay(session)
        stripe.fault("GET", "/v1/checkout", Fault(after_s=0.5))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(w.told, paid)
            while len(stripe.seen) < 2:
                await trio.sleep(0.01)
            await w.told(stripe.refund(session, 600))
        assert w.dollars == 4 and w.status(session) == "partially_refunded"


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        (
            "UPDATE payments SET credited = 0, taken = 0, status = 'open'",
            "says credited, taken, times = [0, 0, 1], its entries say [10000000000000, 2500000000000, 1]",
        ),
        ("UPDATE payments SET taken = 0", "= [10000000000000, 0, 1], its"),
        ("UPDATE payments SET moves = 5", "000, 5], its"),
        ("UPDATE payments SET account = 2", "its entries are of another account"),
        ("UPDATE payments SET session = 'cs_x'", "its entries say [0, 2500000000000, 1]"),
    ],
)
async def test_a_payment_that_its_entries_do_not_say(path: Path, stripe: FakeStripe, sql: str, words: str) -> None:
    async with world(path, stripe) as w:
        session = await w.checkout()
        stripe.pay(session)
        await w.told(stripe.refund(session, 250))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(sql)
    found = verify_ledger(path)
    assert not found["ok"] and words in str(found["disagreement"])


async def test_nobody_is_answered_before_it_is_written(
    path: Path, stripe: FakeStripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the second one either, who finds it all decided."""
    monkeypatch.setattr("ftgate.accounts.pending.ANSWER_S", 0.3)
    async with world(path, stripe) as w:
        session = await w.checkout()
        paid = stripe.pay(session)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            for _ in range(2):
                with pytest.raises(DatabaseBusy):
                    await w.told(paid)
            other.execute("ROLLBACK")
        await w.told(paid)
        assert w.dollars == 10
    assert entries(path) == [("topup", 1000, session)]


# Reading and reconciling


async def test_a_reader_of_an_open_payment_has_stripe_asked_now_and_then(path: Path, stripe: FakeStripe) -> None:
    async with world(path, stripe) as w:
        session = await w.checkout()
        for _ in range(100):
            assert (await w.payments.one(1, session))["status"] == "open"
        assert len(stripe.seen) == 2  # the checkout and one look
        stripe.pay(session)
        w.clock.ahead_s = 10
        assert (await w.payments.one(1, session))["status"] == "paid" and w.dollars == 10
        with pytest.raises(NotFound):
            await w.payments.one(2, session)
        with pytest.raises(NotFound):
            await w.payments.one(1, "cs_unknown")
        by_operator = await w.payments.one(None, session)
        assert (by_operator["status"], by_operator["user"], by_operator["reason"]) == ("paid", "1", None)


async def test_what_another_gateway_decided_meanwhile_has_stripe_asked_anew(path: Path, stripe: FakeStripe) -> None:
    """Else an older answer would be decided on a newer payment."""
    async with world(path, stripe) as w:
        session = await w.checkout()
        id = w.payments.rows.by_session[session]
        before = len(stripe.seen)

        def told(place: str) -> None:
            if place == "told" and len(stripe.seen) == before + 1:
                w.payments.rows.keep(msgspec.structs.replace(w.payments.rows.by_id[id], reason="seen elsewhere"))
                stripe.pay(session)

        w.payments.applying.passing = told
        assert (await w.payments.applying.apply(id)).status == "paid" and w.dollars == 10


TOLD = {"untold": 0, "left": 0}
"""Counts where Stripe answers."""


async def test_what_no_event_said_is_found(path: Path, stripe: FakeStripe) -> None:
    async with world(path, stripe) as w:
        paid, gone, waits, back, fails = [await w.checkout() for _ in range(5)]
        for session in (paid, back):
            stripe.pay(session)
        stripe.expire(gone)
        stripe.complete(fails)
        assert (await w.payments.events.reconcile(everything=False))["checked"] == 0  # they are young
        w.clock.ahead_s = 15 * 60
        found = await w.payments.events.reconcile(everything=False)
        assert found == {
            "checked": 5,
            "credited": 2,
            "reversed": 0,
            "expired": 1,
            "quarantined": 0,
            "failed": 0,
            **TOLD,
        }
        stripe.refund(back, 1000)
        stripe.dispute(paid, 300)
        stripe.fail(fails)
        found = await w.payments.reconcile()
        assert found == {
            "checked": 5,
            "credited": 0,
            "reversed": 2,
            "expired": 0,
            "quarantined": 0,
            "failed": 1,
            **TOLD,
        }
        assert w.dollars == 7 and w.status(waits) == "open" and w.status(fails) == "failed"
        asked = len(stripe.seen)
        found = await w.payments.reconcile()
        assert found == {
            "checked": 1,
            "credited": 0,
            "reversed": 0,
            "expired": 0,
            "quarantined": 0,
            "failed": 0,
            **TOLD,
        }
        assert len(stripe.seen) == asked + 2  # the open one, and the list of events


async def test_reconciling_when_stripe_is_down_gives_up_soon(
    path: Path, stripe: FakeStripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftgate.accounts.stripe.PAUSES_S", (0.01, 0.01))
    async with world(path, stripe) as w:
        for _ in range(5):
            await w.checkout()
        stripe.fault("GET", "/", Fault(status=500, times=99))
        found = await w.payments.reconcile()
        assert {name: many for name, many in found.items() if many} == {
            "checked": 3, "failed": 3, "untold": 3, "left": 2,
        }  # fmt: skip
        stripe.heal()
        stripe.fault("GET", "/v1/events", Fault(status=500, times=99))
        found = await w.payments.reconcile()
        assert {name: many for name, many in found.items() if many} == {"checked": 5, "failed": 1, "untold": 1}


async def test_payments_of_the_other_mode_stand_in_nobodys_way(path: Path, stripe: FakeStripe) -> None:
    """Tried in test mode, then live: the open payments of before are left alone, and end with their time."""
    async with world(path, stripe) as w:
        for _ in range(4):
            await w.checkout()
    async with world(path, stripe, secret_key=Secret("sk_live_x")) as w:
        assert (await w.payments.reconcile())["failed"] == 1 and len(stripe.seen) == 4  # it did not get the events
        w.clock.ahead_s = 3601
        await w.payments.reconcile()
        assert not w.payments.rows.open


async def test_sessions_of_another_stripe_account_end_with_their_time(path: Path, stripe: FakeStripe) -> None:
    async with world(path, stripe) as w:
        sessions = [await w.checkout() for _ in range(5)]
        kept = stripe.sessions.pop(sessions[0])
        for session in sessions[1:4]:
            del stripe.sessions[session]
        stripe.pay(sessions[4])
        assert (await w.payments.reconcile()) | {"checked": 0} == {
            "checked": 0, "credited": 1, "reversed": 0, "expired": 0, "quarantined": 0, "failed": 4, **TOLD,
        }  # fmt: skip
        w.clock.ahead_s = 3601
        assert (await w.payments.reconcile())["expired"] == 4
        stripe.sessions[sessions[0]] = kept
        await w.told(stripe.pay(sessions[0]))  # what is told of it after all still counts
        assert w.dollars == 20


@pytest.mark.parametrize("lacks", ["payment_intents", "disputes", "events"])
async def test_what_stripe_does_not_have_is_not_waited_for(path: Path, stripe: FakeStripe, lacks: str) -> None:
    stripe.expands, stripe.lacks = False, lacks
    async with world(path, stripe) as w:
        session = await w.checkout()
        await w.told(stripe.pay(session))
        await w.told(stripe.refund(session, 100))
        assert w.dollars == 9
        assert (await w.payments.reconcile())["failed"] == 0


async def test_the_pages_of_payments(path: Path, stripe: FakeStripe) -> None:
    async with world(path, stripe) as w:
        sessions = [await w.checkout() for _ in range(5)]
        await w.told(stripe.pay(sessions[1]))
        await w.payments.checkout(2, Checkout(TEN))

        async def page(account: int | None, **more: Any) -> tuple[list[Any], int, int | None]:
            asked: dict[str, Any] = {"status": None, "after": None, "skipped": 0, "size": 2, **more}
            rows, total, last = await w.payments.page(account, **asked)
            return [row["session_id"] for row in rows], total, last

        assert await page(1) == ([sessions[4], sessions[3]], 5, 4)
        assert await page(1, after=4) == ([sessions[2], sessions[1]], 5, 2)
        assert await page(1, after=2) == ([sessions[0]], 5, None)
        assert await page(1, skipped=4) == ([sessions[0]], 5, None)
        assert await page(1, status="paid") == ([sessions[1]], 1, None)
        assert (await page(None))[1] == 6 and await page(None, status="paid") == ([sessions[1]], 1, None)
        assert (await page(2, operator=True))[1] == 1 and await page(1, operator=True) == await page(1)
        (own,), *_ = await w.payments.page(1, operator=True, status="paid", after=None, skipped=0, size=1)
        assert own["account_name"] == "ada" and own["session_id"] == sessions[1]
        assert await page(1, after=1) == ([], 5, None) and await page(1, skipped=9) == ([], 5, None)
        statuses, events = w.payments.counted()
        assert statuses == {"open": 6, "paid": 1} and events == {("checkout.session.completed", "applied"): 1}
        listed = await w.payments.listed(username="bob")
        assert listed["total"] == 1 and listed["data"][0]["account_name"] == "bob"  # type: ignore[index]
