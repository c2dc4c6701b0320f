"""The operator's pages of the ledger and of payments."""

from collections.abc import Mapping
from typing import Any

import pytest

from ftgate.errors import Conflict, NotFound
from ftgate.ports.managing import Moves, Verification
from ftgate.ports.site import Rows
from tests.web.fakes import Asking
from tests.web.pages.given import given_to
from tests.web.pages.test_users import ENTRY, People, Ring
from tests.web.pages.visiting import OPERATOR, SCRIPT, USER, Visitor, gone_to, is_safe, text

PAYMENT: dict[str, Any] = {
    "id": "pay_1", "session_id": "cs_1", "status": "quarantined", "amount": "25.00", "currency": "usd",
    "credited": "0.00", "refunded": "0.00", "created_at": "2026-05-10T12:00:00.000Z", "paid_at": None,
    "receipt_url": "javascript:alert(1)", "user": "5", "account_name": "bob", "reason": SCRIPT,
}  # fmt: skip
STATUSES = ("open", "paid", "failed", "expired", "partially_refunded", "refunded", "disputed", "quarantined")
SAID = {"ok": True, "accounts": 2, "entries": 41, "open_holds": 1, "requests": 19}


class Books(People):
    """People, with a ledger and payments."""

    def __init__(self) -> None:
        super().__init__()
        self.wanted: list[Moves] = []
        self.checked: Verification | None = None
        self.rows: list[Mapping[str, object]] = [ENTRY]
        self.payment = dict(PAYMENT)

    async def entries(self, wanted: Moves, **_: Any) -> Rows:
        self.wanted.append(wanted)
        return self.rows, len(self.rows), None

    def verification(self) -> Verification | None:
        return self.checked

    def begin_verify(self) -> None:
        if self.checked is not None:
            raise Conflict("it is being verified already", code="already_running")
        self.checked = Verification(5)


class Cards:
    """ports.payments.Payments of one payment."""

    def __init__(self, books: Books) -> None:
        self.books = books
        self.asked: list[tuple[Any, ...]] = []
        self.limits: tuple[int, int] | None = (1, 2)
        self.rows = [books.payment]
        self.refused: Exception | None = None

    def amounts(self) -> tuple[int, int] | None:
        return self.limits

    def takes_events(self) -> bool:
        return False

    async def page(self, account: int | None, *, status: str | None, **_: Any) -> Rows:
        found = [one for one in self.rows if status in (None, one["status"])]
        return found, len(found), None

    async def one(self, account: int | None, id: str) -> Mapping[str, object]:
        if id != "pay_1":
            raise NotFound("there is no such payment")
        return self.books.payment

    async def reconcile(self, by: Any) -> Mapping[str, int]:
        self.asked.append(("reconcile", by.id))
        return {}

    async def resolve(self, id: str, *, action: str, note: str, by: Any) -> Mapping[str, object]:
        await self.one(None, id)
        if self.refused is not None:
            raise self.refused
        self.asked.append((action, note, by.id))
        return self.books.payment


@pytest.fixture
def books() -> Books:
    return Books()


@pytest.fixture
def cards(books: Books) -> Cards:
    return Cards(books)


@pytest.fixture
def asking(books: Books, cards: Cards) -> Asking:
    asking = Asking()
    given_to(asking, users=books, credits=books, records=books, payments=cards)
    return asking


@pytest.fixture
def operator(asking: Asking) -> Visitor:
    return Visitor(asking, OPERATOR)


@pytest.mark.parametrize("path", ["/admin/ledger", "/admin/payments", "/admin/payments/pay_1"])
async def test_operators_alone_see_them_and_texts_are_only_text(asking: Asking, path: str) -> None:
    assert (await Visitor(asking, USER).get(path)).status == 403
    page = await Visitor(asking, OPERATOR).get(path)
    assert page.status == 200 and is_safe(page) and b'href="javascript' not in page.body


@pytest.mark.parametrize("path", ["ledger/verify", "payments/reconcile", "payments/pay_1/resolve"])
async def test_operators_alone_send_their_forms(asking: Asking, books: Books, cards: Cards, path: str) -> None:
    said = {"action": "credit", "note": "n"}
    assert (await Visitor(asking, USER).send(f"/admin/{path}", **said)).status == 403
    assert (await Visitor(asking, OPERATOR).send(f"/admin/{path}", proof="x", **said)).status == 403
    assert cards.asked == [] and books.checked is None


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("", Moves()),
        ("?user=bob&kind=grant", Moves(account=5, kind="grant")),
        ("?user=5&ref=req_1", Moves(account=5, ref="req_1")),
    ],
)
async def test_entries_are_filtered_by_the_address(operator: Visitor, books: Books, query: str, wanted: Moves) -> None:
    page = await operator.get(f"/admin/ledger{query}")
    assert page.status == 200 and books.wanted == [wanted] and "$3.50" in text(page) and "gift:1" in text(page)
    export = "format=csv&amp;user=5" if "user" in query else 'format=csv"'
    assert f"/v1/admin/ledger/export?{export}" in page.body.decode()


async def test_filters_that_choose_nothing(operator: Visitor, books: Books) -> None:
    assert gone_to(await operator.get("/admin/ledger?user=&kind=&ref=r")) == "/admin/ledger?ref=r"
    assert gone_to(await operator.get("/admin/ledger?user=")) == "/admin/ledger"
    assert (await operator.get("/admin/ledger?kind=x")).status == 400
    books.rows = []
    assert "No entry is like that." in text(await operator.get("/admin/ledger?ref=r"))
    assert "Nothing has moved yet" in text(await operator.get("/admin/ledger"))


@pytest.mark.parametrize("path", ["/admin/ledger", "/admin/payments", "/admin/keys", "/admin/requests"])
async def test_the_rows_of_somebody_who_is_not_there(
    asking: Asking, operator: Visitor, books: Books, path: str
) -> None:
    given_to(asking, keys=Ring())
    for user, shown in (("eve", "eve"), ("6", "6"), ("x" * 200, "x" * 100 + "…")):
        page = await operator.get(f"{path}?user={user}")
        assert page.status == 200 and f"There is no user “{shown}”." in text(page)
        assert f'name="user" value="{user}"' in page.body.decode() and "<td" not in page.body.decode()
        assert (await operator.get(f"{path}?user={user}&format=json")).json()["data"] == []
        assert b"\r\n" not in (await operator.get(f"{path}?user={user}&format=csv")).body.rstrip(b"\r\n")
    assert books.wanted == [] and asking.journal.asked == []
    assert "There is no user" not in text(await operator.get(f"{path}?user=bob"))


async def test_entries_as_a_file(operator: Visitor) -> None:
    answer = await operator.get("/admin/ledger?format=csv")
    assert answer.headers["content-type"].startswith("text/csv") and b"gift:1" in answer.body
    assert (await operator.get("/admin/ledger?format=json")).json()["total"] == 1


async def test_a_verification_is_begun_once(operator: Visitor, books: Books) -> None:
    assert b"data-again" not in (await operator.get("/admin/ledger")).body
    assert gone_to(await operator.send("/admin/ledger/verify")) == "/admin/ledger"
    begun = books.checked
    assert begun is not None
    assert gone_to(await operator.send("/admin/ledger/verify")) == "/admin/ledger" and books.checked is begun
    begun.done, begun.whole = 20, 60
    page = await operator.get("/admin/ledger")
    assert "20 of 60 entries and calls are recomputed." in text(page) and b'data-again="2"' in page.body
    assert b'action="/admin/ledger/verify"' not in page.body


@pytest.mark.parametrize(
    ("over", "words"),
    [
        ({"said": SAID}, "in 840 ms: 41 entries, 2 accounts and 19 calls were recomputed; 1 hold were open."),
        ({"said": {"ok": False, "disagreement": f"account 5: {SCRIPT}"}}, "does not add up. The first disagreement"),
        ({"failed": f"disk I/O error {SCRIPT}"}, "could not be done: disk I/O error"),
    ],
)
async def test_what_a_verification_came_to(operator: Visitor, books: Books, over: dict[str, Any], words: str) -> None:
    books.checked = Verification(5, ended_us=840_005, **over)
    page = await operator.get("/admin/ledger")
    assert words in text(page) and is_safe(page) and b"data-again" not in page.body


@pytest.mark.parametrize("status", STATUSES)
async def test_payments(operator: Visitor, cards: Cards, books: Books, status: str) -> None:
    books.payment["status"] = status
    listed, one = await operator.get("/admin/payments"), await operator.get("/admin/payments/pay_1")
    assert "$25.00" in text(listed) and "bob" in text(listed) and one.status == 200 and is_safe(one)
    assert (b'action="/admin/payments/pay_1/resolve"' in one.body) == (status == "quarantined")
    assert ("1 waits for your decision" in text(listed)) == (status == "quarantined")
    assert books.wanted[-1] == Moves(ref="cs_1") and "gift:1" in text(one)


async def test_a_quarantined_payment_is_decided(operator: Visitor, cards: Cards) -> None:
    sent = await operator.send("/admin/payments/pay_1/resolve", action="credit", note="looked up")
    assert gone_to(sent) == "/admin/payments/pay_1?said=payment_resolved" and cards.asked == [
        ("credit", "looked up", 2)
    ]
    for form in ({"action": "credit", "note": ""}, {"action": SCRIPT, "note": "n"}):
        refused = await operator.send("/admin/payments/pay_1/resolve", **form)
        assert refused.status == 400 and SCRIPT.encode() not in refused.body
    cards.refused = Conflict("payment pay_1 is paid, not quarantined", code="not_quarantined")
    late = await operator.send("/admin/payments/pay_1/resolve", action="credit", note="n")
    assert late.status == 409 and "is paid, not quarantined" in text(late)
    assert (await operator.get("/admin/payments/pay_2")).status == 404


async def test_where_none_are_taken_it_says_how(operator: Visitor, cards: Cards) -> None:
    assert "stripe.webhook_secret is not set" in text(await operator.get("/admin/payments"))
    assert gone_to(await operator.send("/admin/payments/reconcile")) == "/admin/payments?said=reconciled"
    cards.limits, cards.rows = None, []
    said = text(await operator.get("/admin/payments"))
    assert "No card payments are taken here." in said and "set stripe.secret_key" in said
