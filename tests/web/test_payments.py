"""The routes of payments: who may ask, what is read of a request, and what is handed on."""

import json
from typing import Any

import pytest

from ftgate.core.money import PICO_PER_USD
from ftgate.ports.payments import Checkout
from ftgate.ports.site import Doer, Person
from tests.web.fakes import Asking

ADMIN = b"eyJ.admin"
OTHER = b"eyJ.other"


@pytest.fixture
def asking() -> Asking:
    asking = Asking()
    asking.sessions.tokens = {
        ADMIN.decode(): Person(2, "root", "admin", "default"), OTHER.decode(): Person(3, "bob", "user", "default"),
    }  # fmt: skip
    return asking


async def post(asking: Asking, path: str, body: Any = None, **more: Any) -> Any:
    return await asking.ask(path, method="POST", body=b"" if body is None else json.dumps(body).encode(), **more)


@pytest.mark.parametrize("path", ["/v1/user/credits", "/v1/billing/checkout"])
async def test_a_checkout_by_key_or_token(asking: Asking, path: str) -> None:
    said = await post(asking, path, {"amount": "12.50", "successUrl": "https://a/", "id": 7}, idempotency_key="k")
    assert (said.status, said.json()) == (200, {"url": "https://pay.example"})
    assert (await post(asking, path, {"amount": 5}, secret=OTHER)).status == 200
    assert asking.payments.asked == [
        (1, Checkout(25 * PICO_PER_USD // 2, "https://a/", None, "k")), (3, Checkout(5 * PICO_PER_USD)),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({}, "missing_field", "amount"),
        ({"amount": None}, "missing_field", "amount"),
        ({"amount": "5.001"}, "invalid_value", "amount"),
        ({"amount": True}, "invalid_value", "amount"),
        ({"amount": 5, "success_url": 5}, "invalid_value", "success_url"),
        ({"amount": 5, "success_url": "https://a", "successUrl": "https://b"}, "invalid_value", "successUrl"),
        ([], "invalid_json", None),
    ],
)
async def test_bodies_that_are_none(asking: Asking, body: Any, code: str, param: str | None) -> None:
    said = await post(asking, "/v1/user/credits", body)
    assert said.status == 400 and asking.payments.asked == []
    assert (said.json()["error"]["code"], said.json()["error"]["param"]) == (code, param)


async def test_pages(asking: Asking) -> None:
    said = (await asking.ask("/v1/user/payments?page=3&page_size=5&status=paid")).json()
    assert (said["data"], said["page"], said["page_size"], said["total"]) == ([{"id": "pay_1"}], 3, 5, 9)
    await asking.ask(f"/v1/user/payments?cursor={said['next']}")
    await asking.ask(f"/v1/admin/payments?cursor={said['next']}", secret=ADMIN)
    await asking.ask("/v1/admin/payments?user=3&status=open", secret=ADMIN)
    assert asking.payments.asked == [
        (1, "paid", None, 10, 5), (1, None, 7, 0, 20), (None, None, 7, 0, 20, "operator"),
        (3, "open", None, 0, 20, "operator"),
    ]  # fmt: skip
    for path, param in (("admin/payments?user=x", "user"), ("user/payments?status=new", "status")):
        refused = await asking.ask(f"/v1/{path}", secret=ADMIN)
        assert (refused.status, refused.json()["error"]["param"]) == (400, param)


async def test_one(asking: Asking) -> None:
    assert (await asking.ask("/v1/user/payments/cs_1")).json() == {"id": "cs_1"}
    assert asking.payments.asked == [(1, "cs_1")]


async def test_events_need_no_credential_but_a_secret_of_ours(asking: Asking) -> None:
    path = "/v1/billing/webhook"
    said = await asking.ask(path, method="POST", secret=None, body=b"raw", stripe_signature="t=1,v1=2")
    assert (said.status, said.json()) == (200, {"received": True})
    large = await asking.ask(path, method="POST", secret=None, body=b"x" * (256 * 1024 + 1))
    assert (large.status, large.json()["error"]["code"]) == (413, "body_too_large")
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        other = await asking.ask(path, method=method, secret=None)
        assert (other.status, other.headers["allow"]) == (405, "POST")
    asking.payments.events = False
    for method in ("POST", "GET", "HEAD", "PUT", "DELETE", "PATCH"):
        other = await asking.ask(path, method=method, secret=None, body=b"raw")
        assert other.status == 404 and "allow" not in other.headers
    assert asking.payments.asked == [("t=1,v1=2", b"raw")]


ROUTES = [
    ("GET", "/v1/admin/payments", None),
    ("POST", "/v1/admin/payments/reconcile", None),
    ("POST", "/v1/admin/payments/pay_1/resolve", {"action": "credit", "note": "right"}),
]


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
async def test_operators_alone(asking: Asking, method: str, path: str, body: Any) -> None:
    sent = b"" if body is None else json.dumps(body).encode()
    for secret, status in ((None, 401), (OTHER, 403), (b"sk-ft_right", 403)):
        said = await asking.ask(path, method=method, secret=secret, body=sent)
        assert said.status == status
    assert asking.payments.asked == []
    assert (await asking.ask(path, method=method, secret=ADMIN, body=sent)).status == 200


async def test_who_resolves_is_told(asking: Asking) -> None:
    said = await post(asking, "/v1/admin/payments/pay_1/resolve", {"action": "dismiss", "note": " no "}, secret=ADMIN)
    by = Doer(2, "root", "api", "127.0.0.1", said.headers["x-request-id"])
    assert asking.payments.asked == [("pay_1", "dismiss", "no", by)]
    for body in ({"action": "pay", "note": "x"}, {"action": "credit"}, {"action": "credit", "note": ""}, {"note": "x"}):
        said = await post(asking, "/v1/admin/payments/pay_1/resolve", body, secret=ADMIN)
        assert said.status == 400
    assert len(asking.payments.asked) == 1
