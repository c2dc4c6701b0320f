"""The operator's routes for accounts, keys, credits and records: who may ask, what is read of a request, and what is
handed on."""

import json
from typing import Any

import pytest

from ftgate.core.money import PICO_PER_USD
from ftgate.ports.managing import Acts, Moves
from ftgate.ports.site import Doer, Person, Session
from ftgate.web.exports import EACH
from tests.web.fakes import SECRET, Asking

ADMIN, OTHER = b"eyJ.admin", b"eyJ.other"
ROUTES = [
    ("GET", "/v1/admin/users"), ("POST", "/v1/admin/users"), ("GET", "/v1/admin/users/5"),
    ("PATCH", "/v1/admin/users/5"), ("POST", "/v1/admin/users/5/password"), ("POST", "/v1/admin/users/5/logout"),
    ("GET", "/v1/admin/tokens"), ("PATCH", "/v1/admin/tokens/5"), ("DELETE", "/v1/admin/tokens/5"),
    ("POST", "/v1/admin/credits"), ("POST", "/v1/admin/credits/correct"), ("GET", "/v1/admin/audit"),
    ("GET", "/v1/admin/ledger/entries"), ("GET", "/v1/admin/ledger/export"), ("POST", "/v1/admin/ledger/verify"),
]  # fmt: skip


@pytest.fixture
def asking() -> Asking:
    asking = Asking()
    root = Person(2, "root", "admin", "default")
    asking.sessions.tokens = {ADMIN.decode(): root, OTHER.decode(): Person(3, "bob", "user", "default")}
    asking.sessions.cookies = {"cookie": Session(b"s", root, "proof")}
    return asking


async def send(
    asking: Asking, method: str, path: str, body: Any = None, secret: bytes | None = ADMIN, **more: Any
) -> Any:
    sent = b"" if body is None else json.dumps(body).encode()
    return await asking.ask(path, method=method, body=sent, secret=secret, **more)


def told(answer: Any) -> tuple[int, str, str | None]:
    said = answer.json()["error"]
    return answer.status, said["code"], said["param"]


@pytest.mark.parametrize(
    ("method", "path"), [*ROUTES, ("GET", "/v1/admin/nothing"), ("PUT", "/v1/admin/users/5"), ("GET", "/v1/admin")]
)
async def test_operators_alone(asking: Asking, method: str, path: str) -> None:
    """Known or unknown, allowed or not: the same to all others, whatever they send."""
    body = {"username": 1, "amount": "x"}
    nobody = await send(asking, method, path, body, secret=None)
    assert told(nobody) == (401, "invalid_api_key", None) and nobody.headers["www-authenticate"] == "Bearer"
    assert told(await send(asking, method, path, body, secret=OTHER)) == (403, "forbidden", None)
    assert told(await send(asking, method, path, body, secret=SECRET)) == (403, "forbidden", None)
    by_cookie = await send(asking, method, path, body, secret=None, cookie="ftgate_session=cookie")
    if method != "GET":
        assert told(by_cookie) == (403, "csrf_failed", None)
    assert asking.managed.asked == [] or method == "GET"


async def test_operators_see_what_is_not_there(asking: Asking) -> None:
    for path in ("/v1/admin/nothing", "/v1/admin", "/v1/admin/users/5/nothing"):
        assert told(await send(asking, "GET", path)) == (404, "not_found", None)
    wrong = await send(asking, "PUT", "/v1/admin/users/5")
    assert (wrong.status, wrong.headers["allow"]) == (405, "GET, HEAD, PATCH")


async def test_who_did_it(asking: Asking) -> None:
    answer = await send(asking, "POST", "/v1/admin/users/5/logout")
    assert answer.json() == {"id": "5", "ended": 2}
    assert asking.managed.by == Doer(2, "root", "api", "127.0.0.1", answer.headers["x-request-id"])
    await send(
        asking,
        "POST",
        "/v1/admin/users/5/logout",
        {},
        secret=None,
        cookie="ftgate_session=cookie",
        x_csrf_token="proof",
    )
    assert asking.managed.by.via == "session"


async def test_users(asking: Asking) -> None:
    said = (await send(asking, "GET", "/v1/admin/users?q=%25a_&status=disabled&page=3&page_size=2")).json()
    assert (said["data"], said["total"], said["page"]) == ([{"id": "5", "request_count": 0}], 9, 3)
    await send(asking, "GET", f"/v1/admin/users?cursor={said['next']}")
    assert (await send(asking, "GET", "/v1/admin/users/5")).json() == {"id": "5", "request_count": 0}
    body = {"username": "x", "password": " p ", "email": "a@b", "name": " n ", "role": "admin", "plan": "gold",
            "mode": "metered", "credits": 0.1, "status": "disabled", "id": 9}  # fmt: skip
    await send(asking, "POST", "/v1/admin/users", body)
    await send(asking, "POST", "/v1/admin/users", {"username": "y", "role": None, "credits": None})
    await send(asking, "PATCH", "/v1/admin/users/5", body)
    await send(asking, "PATCH", "/v1/admin/users/5", {"mode": None, "status": None, "name": "", "email": ""})
    assert (await send(asking, "POST", "/v1/admin/users/5/password")).json() == {"id": "5", "password": "made"}
    assert (await send(asking, "POST", "/v1/admin/users/5/password", {"new_password": " x "})).json() == {"id": "5"}
    fields = {"email": "a@b", "name": "n", "role": "admin", "plan": "gold", "mode": "metered"}
    assert asking.managed.asked == [
        ("page", None, {"q": "%a_", "status": "disabled", "after": None, "skipped": 4, "size": 2}),
        ("page", None, {"q": None, "status": None, "after": 5, "skipped": 0, "size": 20}),
        ("make", "x", {"password": " p ", "credits": PICO_PER_USD // 10, **fields}), ("make", "y", {}),
        ("change", 5, {"status": "disabled", **fields}), ("change", 5, {"name": "", "email": "", "mode": None}),
        ("password", 5, None), ("password", 5, " x "),
    ]  # fmt: skip


async def test_keys(asking: Asking) -> None:
    await send(asking, "GET", "/v1/admin/tokens?user=7&status=expired")
    await send(asking, "PATCH", "/v1/admin/tokens/5", {"status": "active", "name": "x", "quota": None})
    await send(asking, "PATCH", "/v1/admin/tokens/5", {"name": "x"})
    assert (await send(asking, "DELETE", "/v1/admin/tokens/5")).json() == {"id": "5", "deleted": True}
    assert asking.managed.asked == [
        ("page", 7, {"status": "expired", "after": None, "skipped": 0, "size": 20, "owner": True}),
        ("change", 5, {"status": "active"}), ("change", 5, {}), ("delete", 5, None),
    ]  # fmt: skip


async def test_credits(asking: Asking) -> None:
    path, cent = "/v1/admin/credits", PICO_PER_USD // 100
    assert (await send(asking, "POST", path, {"user": "5", "amount": "0.01", "ref": "r"})).json() == {"ref": "r"}
    await send(asking, "POST", path, {"username": "ann", "user": 5, "amount": 0.01, "note": " n "}, idempotency_key="k")
    await send(
        asking, "POST", f"{path}/correct", {"user": 5, "amount": -0.01, "note": "n", "ref": "k"}, idempotency_key="k"
    )
    assert asking.managed.asked == [
        ("granted", 5, cent, "", "r"), ("granted", 5, cent, "n", "k"), ("corrected", 5, -cent, "n", "k"),
    ]  # fmt: skip


async def test_records(asking: Asking) -> None:
    said = (await send(asking, "GET", "/v1/admin/audit?actor=2&action=a.b&page=2")).json()
    assert (said["data"], said["total"]) == ([{"id": "5"}], 9)
    await send(asking, "GET", f"/v1/admin/audit?actor=root&target=user:1&cursor={said['next']}")
    await send(asking, "GET", "/v1/admin/ledger/entries?user=3&kind=loss&ref=r")
    exports = [await send(asking, "GET", f"/v1/admin/ledger/export{query}") for query in ("", "?format=json&user=3")]
    assert [one.body for one in exports] == [b"one\ntwo\n"] * 2
    assert [one.headers["content-type"] for one in exports] == ["text/csv; charset=utf-8", "application/x-ndjson"]
    assert (await send(asking, "POST", "/v1/admin/ledger/verify")).json() == {"ok": True}
    assert asking.managed.asked == [
        ("acts", Acts(actor=2, action="a.b"), None, 20, 20),
        ("acts", Acts(actor_name="root", target="user:1"), 5, 0, 20),
        ("entries", Moves(3, "loss", "r"), None, 0, 20), ("export", None, "csv"), ("export", 3, "json"), ("verify",),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "account"),
    [
        ("/v1/admin/requests?format=csv", 2), ("/v1/admin/ledger/export", 2), ("/v1/user/logs?format=csv", 2),
        ("/v1/user/logs?format=csv", 3),
    ],
)  # fmt: skip
async def test_exports_are_sent_a_few_at_one_time(asking: Asking, path: str, account: int) -> None:
    of = asking.site.exports.of
    of[account] = EACH - 1
    secret = ADMIN if account == 2 else OTHER
    assert (await asking.ask(path, secret=secret)).status == 200 and of[account] == EACH - 1
    of[account] = EACH
    answer = await asking.ask(path, secret=secret)
    error = answer.json()["error"]
    assert (answer.status, error["code"], answer.headers["retry-after"]) == (429, "rate_limit_exceeded", "5")


@pytest.mark.parametrize(
    ("method", "path", "body", "refused"),
    [
        ("GET", "/v1/admin/users?status=x", None, (400, "invalid_value", "status")),
        ("GET", "/v1/admin/users?status=", None, (400, "invalid_value", "status")),
        ("GET", "/v1/admin/tokens?user=x", None, (400, "invalid_value", "user")),
        ("GET", "/v1/admin/ledger/entries?kind=x", None, (400, "invalid_value", "kind")),
        ("GET", "/v1/admin/ledger/export?format=x", None, (400, "invalid_value", "format")),
        ("POST", "/v1/admin/users", [], (400, "invalid_json", None)),
        ("POST", "/v1/admin/users", {"username": "x" * 65}, (400, "invalid_value", "username")),
        ("POST", "/v1/admin/users", {"username": "x", "credits": -1}, (400, "invalid_value", "credits")),
        ("PATCH", "/v1/admin/users/6", {"role": "x"}, (400, "invalid_value", "role")),  # before 404
        ("PATCH", "/v1/admin/users/6", {}, (404, "not_found", None)),
        ("POST", "/v1/admin/users/6/password", {"newPassword": 1}, (400, "invalid_value", "newPassword")),
        ("POST", "/v1/admin/users/06/password", {}, (404, "not_found", None)),
        ("PATCH", "/v1/admin/tokens/6", {"status": "x"}, (400, "invalid_value", "status")),
        ("PATCH", "/v1/admin/tokens/6", {"status": "expired"}, (404, "not_found", None)),  # as a GET says it
        ("DELETE", "/v1/admin/tokens/6", None, (404, "not_found", None)),
        ("POST", "/v1/admin/credits", {"user": 5}, (400, "missing_field", "amount")),
        ("POST", "/v1/admin/credits", {"amount": 1}, (400, "missing_field", "user")),
        ("POST", "/v1/admin/credits", {"user": 5, "amount": 0}, (400, "invalid_value", "amount")),
        ("POST", "/v1/admin/credits", {"user": 5, "amount": -1}, (400, "invalid_value", "amount")),
        ("POST", "/v1/admin/credits", {"user": 6, "amount": 1}, (404, "not_found", None)),
        ("POST", "/v1/admin/credits", {"user": 6, "username": "ann", "amount": 1}, (400, "invalid_value", "username")),
        ("POST", "/v1/admin/credits", {"user": 5, "amount": 1, "ref": "a b"}, (400, "invalid_value", "ref")),
        ("POST", "/v1/admin/credits", {"user": 5, "amount": 1, "ref": "ok\n"}, (400, "invalid_value", "ref")),
        ("POST", "/v1/admin/credits/correct", {"user": 5, "amount": 1}, (400, "missing_field", "note")),
        ("POST", "/v1/admin/credits/correct", {"user": 5, "amount": 0, "note": "n"}, (400, "invalid_value", "amount")),
    ],
)  # fmt: skip
async def test_what_is_refused(asking: Asking, method: str, path: str, body: Any, refused: Any) -> None:
    assert told(await send(asking, method, path, body)) == refused
    assert asking.managed.asked == []


async def test_a_body_that_is_too_large_is_told_before_what_is_wrong_in_it(asking: Asking) -> None:
    answer = await send(asking, "POST", "/v1/admin/users", {"username": "x" * 70_000})
    assert told(answer) == (413, "body_too_large", None)
