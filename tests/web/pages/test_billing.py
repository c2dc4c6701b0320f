"""The page of credits, its payments with their receipts, and the account's entries."""

import time
from collections.abc import Mapping
from typing import Any

import pytest

from ftgate.core.moments import iso, month
from ftgate.errors import Conflict, NotFound, PaymentsDisabled
from ftgate.ports.payments import Checkout
from ftgate.ports.site import Rows
from tests.web.fakes import Answer, Asking, Paying
from tests.web.pages.given import given_to

EVIL = "<script>x()</script>"
USD = 10**12
OLD = "2026-11-01T10:00:00.000Z"


def payment(**said: Any) -> dict[str, Any]:
    return {
        "id": "pay_1", "session_id": "cs_1", "status": "paid", "amount": "10.00", "currency": "usd",
        "credited": "10.00", "refunded": "0.00", "created_at": OLD, "paid_at": OLD,
        "receipt_url": "https://pay.example/r", **said,
    }  # fmt: skip


class Till(Paying):
    """Payments of account 1: those in `rows`; the address at which an open one is paid."""

    def __init__(self, *rows: dict[str, Any], address: str | None = None) -> None:
        super().__init__()
        self.rows, self.address = rows, address
        self.limits = 5 * USD, 60 * USD
        self.made: list[Checkout] = []
        self.refusal: Exception | None = None

    async def checkout(self, account: int, asked: Checkout) -> Mapping[str, object]:
        if self.refusal:
            raise self.refusal
        self.made.append(asked)
        return {"id": "pay_1"}

    async def page(self, account: int | None, **wanted: Any) -> Rows:
        assert account == 1
        return self.rows, len(self.rows), None

    async def one(self, account: int, id: str) -> Mapping[str, object]:
        for row in self.rows:
            if account == 1 and id in (row["id"], row["session_id"]):
                return row
        raise NotFound(f"there is no payment {id!r}")

    def where(self, account: int, id: str) -> str | None:
        return self.address


class Self:
    """ports.site.People of one account."""

    def __init__(self, **said: Any) -> None:
        self.said = {"mode": "prepaid", "usedQuota": "12.5", "name": "", "username": "ann", "email": "", **said}

    def self_of(self, account: int) -> dict[str, object]:
        return self.said


class Book:
    """ports.managing.Records of entries."""

    def __init__(self, *rows: dict[str, Any]) -> None:
        self.rows = rows
        self.asked: list[Any] = []

    async def entries(self, wanted: Any, **place: Any) -> Rows:
        self.asked.append(wanted)
        return self.rows, len(self.rows), 7

    async def export(self, account: int | None, form: str) -> Any:
        self.asked.append((account, form))
        yield b"id,at\r\n"


def asking(till: Till | None = None, **services: Any) -> Asking:
    made = Asking(posted=25 * USD)
    given_to(made, payments=till or Till(), people=services.pop("people", Self()), **services)
    made.signed_in()
    return made


async def get(site: Asking, path: str, role: str = "user") -> Answer:
    return await site.ask(path, secret=None, accept="text/html", **site.signed_in(role))


async def test_what_is_there_and_what_is_held() -> None:
    site = asking()
    site.accounts.holds[1] = USD // 8
    site.accounts.tokens[1, month(1_700_000_000_000_000)] = 3
    page = (await get(site, "/billing")).body.decode()
    assert "$24.875 can be spent now." in page
    assert ">$25.00<" in page
    assert '$0.12<span class="under">5</span>' in page
    assert "of 5 tokens used this month" in page
    assert "No payment yet" in page


async def test_an_account_without_credits_and_one_that_is_metered_are_told_so() -> None:
    site = asking(people=Self(mode="metered"))
    assert b"none needs credits" in (await get(site, "/billing")).body
    site = asking()
    site.accounts.holds[1] = 25 * USD
    assert b"Nothing is left to spend" in (await get(site, "/billing")).body


async def test_amounts_are_offered_as_far_as_they_may_be_paid() -> None:
    page = (await get(asking(), "/billing")).body.decode()
    assert [f"Pay ${n}" in page for n in (5, 10, 25, 50, 100)] == [True, True, True, True, False]
    assert "From $5.00 to $60.00" in page


@pytest.mark.parametrize(("role", "words"), [("user", "Ask its operator"), ("admin", "ftgate credit grant ann 10")])
async def test_without_payments_the_page_says_who_to_ask(role: str, words: str) -> None:
    till = Till()
    till.limits = None
    page = (await get(asking(till), "/billing", role)).body.decode()
    assert words in page
    assert 'name="amount"' not in page


async def test_paying_goes_by_a_page_of_ours_and_twice_is_once() -> None:
    till = Till()
    site = asking(till)
    for _ in range(2):
        answer = await site.form("/billing", headers=site.signed_in(), amount="12.50", order="o1")
        assert (answer.status, answer.headers["location"]) == (303, "/billing/payments/pay_1")
    first, second = till.made
    assert first == second
    assert (first.amount, first.success_url, first.request) == (12 * USD + USD // 2, None, f"page o1 {first.amount}")
    await site.form("/billing", headers=site.signed_in(), amount="13", order="o1")
    await site.form("/billing", headers=site.signed_in(), amount="13")
    assert len({made.request for made in till.made}) == 3


@pytest.mark.parametrize(("amount", "words"), [("", "is missing"), ("1.234", "2 decimals"), (EVIL, "plain digits")])
async def test_a_wrong_amount_stands_beside_its_field(amount: str, words: str) -> None:
    till = Till()
    site = asking(till)
    answer = await site.form("/billing", headers=site.signed_in(), amount=amount)
    page = answer.body.decode()
    assert (answer.status, till.made) == (400, [])
    assert words in page[page.index('id="e-amount"') :]
    assert "<script>x" not in page


@pytest.mark.parametrize(("refusal", "status"), [(PaymentsDisabled("no payments here"), 501), (Conflict("no"), 409)])
async def test_what_stripe_refuses_is_told(refusal: Any, status: int) -> None:
    till = Till()
    till.refusal = refusal
    site = asking(till)
    answer = await site.form("/billing", headers=site.signed_in(), amount="12")
    assert (answer.status, refusal.message in answer.body.decode()) == (status, True)


async def test_a_checkout_that_was_just_made_leads_on_to_stripe() -> None:
    now = iso(time.time_ns() // 1000)
    fresh, address = payment(status="open", paid_at=None, created_at=now), "https://checkout.example/c?a=1&b=2"
    answer = await get(asking(Till(fresh, address=address)), "/billing/payments/pay_1")
    assert answer.headers["refresh"] == f"0; url={address}"
    assert b'<a class="button primary" href="https://checkout.example/c?a=1&amp;b=2"' in answer.body
    for row, where in (
        (payment(status="open", paid_at=None), address),  # somebody comes back to it
        (fresh, None),
        (fresh, "javascript:alert(1)"),
    ):
        answer = await get(asking(Till(row, address=where)), "/billing/payments/pay_1")
        assert "refresh" not in answer.headers
        assert b"javascript:" not in answer.body


STATES = [
    ("paid", "$10.00 were credited"), ("open", "nothing was credited"), ("expired", "Nothing was paid"),
    ("failed", "Nothing was paid"), ("refunded", "$4.00 went back"), ("partially_refunded", "$4.00 went back"),
    ("disputed", "The bank has taken it back"), ("quarantined", "The operator looks at it"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "words"), STATES)
async def test_every_state_of_a_payment_has_its_sentence(status: str, words: str) -> None:
    site = asking(Till(payment(status=status, refunded="4.00")))
    assert words in (await get(site, "/billing/payments/pay_1")).body.decode()
    assert (await get(site, "/billing")).status == 200


async def test_back_from_stripe_to_the_payment() -> None:
    site = asking(Till(payment()))
    assert (await get(site, "/billing?session_id=cs_1")).headers["location"] == "/billing/payments/pay_1"
    assert (await get(site, "/billing?session_id=cs_other")).headers["location"] == "/billing"


async def test_a_receipt_says_who_paid_what() -> None:
    people = Self(name=f"Ann {EVIL}", email="a@b")
    site = asking(Till(payment(refunded="4.00", credited="10.00")), people=people)
    page = (await get(site, "/billing/payments/pay_1/receipt")).body.decode()
    assert "Ann &lt;script&gt;" in page
    assert "<script>x" not in page
    assert "a@b" in page
    assert "pay_1" in page
    assert "−" in page
    unpaid = asking(Till(payment(status="open", paid_at=None)))
    assert (await get(unpaid, "/billing/payments/pay_1/receipt")).status == 404


@pytest.mark.parametrize("path", ["/billing/payments/pay_2", "/billing/payments/pay_2/receipt"])
async def test_another_s_payment_is_none(path: str) -> None:
    assert (await get(asking(Till(payment())), path)).status == 404


def entry(**said: Any) -> dict[str, Any]:
    return {
        "id": "5", "at": OLD, "kind": "post", "user": "1", "debit": "credits", "credit": "revenue", "amount": "0.5",
        "hold": "4", "ref": "req_1", "note": "", "key": "7", **said,
    }  # fmt: skip


async def test_the_entries_of_the_account_and_of_nobody_else() -> None:
    book = Book(
        entry(), entry(kind="topup", debit="clearing:stripe", credit="credits", ref="cs_1", note="pay_1"),
        entry(kind="hold"), entry(kind="correct", debit="corrections", credit="credits", ref=EVIL, note=EVIL),
    )  # fmt: skip
    site = asking(records=book)
    page = (await get(site, "/billing/entries?user=9&kind=&ref=")).body.decode()
    (wanted,) = book.asked
    assert (wanted.account, wanted.kind, wanted.ref) == (1, None, None)
    assert 'href="/logs/req_1"' in page
    assert 'href="/billing/payments/pay_1"' in page
    assert '−<data class="money" value="0.5">' in page
    assert '+<data class="money" value="0.5">' in page
    assert "($0.50)" in page
    assert "<script>x" not in page
    assert "cursor=" in page
    await get(site, "/billing/entries?kind=post&ref=req_1")
    assert (book.asked[-1].kind, book.asked[-1].ref) == ("post", "req_1")
    assert (await get(site, "/billing/entries?kind=theft")).status == 400


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ({"kind": "post"}, '−<data class="money" value="0.5">'),
        ({"kind": "overrun"}, '−<data class="money" value="0.5">'),
        ({"kind": "expire"}, '−<data class="money" value="0.5">'),  # a call that a kill ended is paid all the same
        ({"kind": "expire", "amount": "0"}, '<span class="none">–</span>'),
        ({"kind": "expire", "amount": "0.00"}, '<span class="none">–</span>'),
        ({"kind": "void", "amount": "0"}, '<span class="none">–</span>'),
        ({"kind": "hold"}, '<span class="none">($0.50)</span>'),
        ({"kind": "loss", "debit": "loss:overrun"}, '<span class="none">($0.50)</span>'),
        ({"kind": "grant", "debit": "grants", "credit": "credits"}, '+<data class="money" value="0.5">'),
        ({"kind": "refund", "debit": "credits", "credit": "clearing:stripe"}, '−<data class="money" value="0.5">'),
        ({"kind": "post", "debit": "usage"}, 'class="number"><data class="money" value="0.5">'),
    ],
)
async def test_an_amount_is_shown_as_it_changes_the_balance(said: dict[str, Any], shown: str) -> None:
    page = (await get(asking(records=Book(entry(**said))), "/billing/entries")).body.decode()
    assert shown in page


async def test_the_lists_as_files() -> None:
    book = Book(entry())
    site = asking(Till(payment(status=f'a,"{EVIL}', currency="=1+1")), records=book)
    answer = await get(site, "/billing/entries?format=csv")
    assert (answer.body, book.asked) == (b"id,at\r\n", [(1, "csv")])
    assert (await get(site, "/billing/entries?format=json")).json()["data"] == [entry()]
    answer = await get(site, "/billing?format=csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.body.decode().splitlines() == [
        "id,session_id,status,amount,currency,credited,refunded,created_at,paid_at,receipt_url",
        f'pay_1,cs_1,"a,""{EVIL}",10.00,\'=1+1,10.00,0.00,{OLD},{OLD},https://pay.example/r',
    ]
    assert (await get(site, "/billing?format=json")).json()["data"][0]["id"] == "pay_1"
    assert (await get(site, "/billing?format=pdf")).status == 400
    assert (await get(asking(), "/billing?format=csv")).body == b"\r\n"
