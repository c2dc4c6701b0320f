"""Who may ask what: every route of the API, and everybody who could ask it (of pages tests/browser/test_others.py).
None gets what is not theirs, and whoever may not is told so before anything is looked at.

A route that is new has to be put into ROUTES, but for those under /v1/admin, which are operators' by their names; what
it demands is one of

    open       nobody need say who asks
    key        an API key alone: the relay's routes take neither login tokens nor cookies
    account    an API key, a login token, a session
    person     a login token, a session
    token      a login token
    cookie     a session
    operator   a login token or a session of an operator
"""

import itertools
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.blackbox.harness import House, channel, error
from tests.blackbox.test_accounts import Person, session
from tests.web.fakes import Asking

CONFIG = (
    channel("lab", ["plain"])
    + '[server]\nregistration = "open"\ntrusted_proxies = ["127.0.0.1", "::1"]\npublic_url = "http://gate.test"\n'
    + "[billing]\nsignup_credits = 5\n"
)
ADDRESSES = (f"10.11.{n // 250}.{n % 250}" for n in itertools.count(1))
GONE = "999999"
"""An id that nothing has."""

ROUTES = {
    "open": """
        GET /  GET /anthropic  GET /healthz  GET /readyz  GET /v1/pricing  POST /v1/auth/register
        POST /v1/auth/login  POST /v1/auth/session  POST /v1/billing/webhook  GET /openapi.json  GET /docs""",
    "key": """
        GET /v1/models  GET /v1/models/<id>  GET /anthropic/v1/models  GET /anthropic/v1/models/<id>
        POST /v1/route/explain  GET /v1/responses/<id>  DELETE /v1/responses/<id>
        GET /v1/responses/<id>/input_items  POST /v1/responses/<id>/cancel  POST /v1/responses/compact""",
    "account": """
        GET /v1/user/self  GET /v1/user/logs  GET /v1/user/stats  GET /v1/user/balance  GET /v1/billing/balance
        GET /v1/plans  GET /v1/user/payments  GET /v1/user/payments/<id>  POST /v1/user/credits
        POST /v1/billing/checkout  POST /v1/user/byok/register  GET /v1/user/byok  DELETE /v1/user/byok/<id>""",
    "person": """
        PATCH /v1/user/self  PUT /v1/user/self  POST /v1/user/invite  GET /v1/tokens  POST /v1/tokens
        GET /v1/tokens/<id>  PATCH /v1/tokens/<id>  PUT /v1/tokens/<id>  DELETE /v1/tokens/<id>
        POST /v1/auth/password  POST /v1/auth/logout""",
    "token": "POST /v1/auth/refresh",
    "cookie": "GET /v1/auth/session",
    "operator": "GET /metrics",
}


def pairs(text: str) -> Iterator[tuple[str, str]]:
    words = iter(text.split())
    return zip(words, words, strict=True)


LISTED = {route: who for who, listed in ROUTES.items() for route in pairs(listed)}
THERE = sorted(
    {
        (method, re.sub("<[^>]*>", "<id>", rule.rule))
        for rule in Asking().site.app.url_map.iter_rules()
        if not rule.endpoint.startswith("pages.")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
)
ALL = [
    ("operator" if route[1].startswith("/v1/admin/") else LISTED.get(route, "unknown"), *route) for route in THERE
]  # fmt: skip
GUARDED = [route for route in ALL if route[0] != "open"]
ENDS = {("POST", "/v1/auth/logout"), ("POST", "/v1/auth/refresh")}
"""What ends the credential that is shown."""


def test_every_route_has_its_line() -> None:
    assert [route for who, *route in ALL if who == "unknown"] == []
    assert len(ALL) > 60


class Askers:
    """Ann, who owns things; Bob, another user; root, an operator."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.ann, self.bob, self.root = (Person(house, next(ADDRESSES)) for _ in range(3))
        self.ann.sign_up("annmarker", email="annmarker@x.test", name="Annmarker A")
        self.bob.sign_up("bobby")
        house.cli("users", "create", "root", "--admin", "--password", "-", stdin="root-pass\n")
        self.root.token = self.root.login("root", "root-pass").json()["token"]
        self.token, self.key = self.ann.key(name="annmarker key")
        (_, self.bobs_key), (_, self.roots_key) = self.bob.key(), self.root.key()
        self.bobs_session = session(self.bob)
        assert self.ann.call(self.key).status_code == 200
        self.request: str = self.ann.said("GET", "/v1/user/logs")["data"][0]["request_id"]
        self.marks = ["annmarker", self.token["keyPrefix"], self.key, self.request]
        self.own = self.root.said("GET", "/v1/admin/users?q=annmarker")["data"][0]["id"]


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Askers]:
    with House(tmp_path_factory.mktemp("who"), CONFIG, {"plain": {"content": ["Hi"]}}) as house:
        yield Askers(house)


def ask(person: Person, method: str, path: str, id: str = GONE, **shown: str) -> httpx.Response:
    """A request with an empty object for a body, which changes nothing."""
    body = None if method in {"GET", "DELETE"} else {}
    return person.ask(method, path.replace("<id>", id), body, **shown)


def let_in(answer: httpx.Response) -> bool:
    """Whether the credential was good for it, whatever it came to: nothing has that id, and nothing was said."""
    return answer.status_code not in {401, 403, 405} and (answer.status_code < 500 or answer.status_code == 501)


@pytest.mark.parametrize(("who", "method", "path"), GUARDED, ids=lambda said: str(said))
def test_nobody(asking: Askers, who: str, method: str, path: str) -> None:
    for shown in ({}, {"Cookie": "ftgate_session=made-up"}):
        answer = ask(asking.bob, method, path, token="", **shown)
        assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer", answer.text
        assert '"invalid_api_key"' in answer.text or "authentication_error" in answer.text


@pytest.mark.parametrize(("who", "method", "path"), GUARDED, ids=lambda said: str(said))
def test_a_key(asking: Askers, who: str, method: str, path: str) -> None:
    answer = ask(asking.bob, method, path, token=asking.bobs_key)
    if who in {"key", "account"}:
        assert let_in(answer), answer.text
    elif who == "cookie":
        error(answer, 401, "invalid_api_key")
    else:
        error(answer, 403, "forbidden")


@pytest.mark.parametrize(("who", "method", "path"), GUARDED, ids=lambda said: str(said))
def test_a_user(asking: Askers, who: str, method: str, path: str) -> None:
    """With a login token, and with a session."""
    bob = asking.bob
    one_off = (method, path) in ENDS
    token = bob.login("bobby", "bobby-pass").json()["token"] if one_off else bob.token
    answer = ask(bob, method, path, token=token)
    if who == "operator":
        error(answer, 403, "forbidden")
    elif who in {"key", "cookie"}:
        assert answer.status_code == 401, answer.text
    else:
        assert let_in(answer), answer.text
    cookie, csrf = session(bob) if one_off else asking.bobs_session
    shown = ask(bob, method, path, **cookie)
    proven = ask(bob, method, path, **cookie, X_CSRF_Token=csrf)
    if who == "key":  # which looks at no cookie
        assert shown.status_code == proven.status_code == 401
    elif method == "GET":
        assert (shown.status_code, shown.content) == (proven.status_code, proven.content) or who == "account"
    else:
        error(shown, 403, "csrf_failed")
    if who in {"operator", "token"}:
        error(proven, 403, "forbidden")
    elif who != "key":
        assert let_in(proven), proven.text


@pytest.mark.parametrize(("who", "method", "path"), GUARDED, ids=lambda said: str(said))
def test_an_operator(asking: Askers, who: str, method: str, path: str) -> None:
    root = asking.root
    token = root.login("root", "root-pass").json()["token"] if (method, path) in ENDS else root.token
    answer = ask(root, method, path, token=token)
    assert let_in(answer) is (who not in {"key", "cookie"}), answer.text
    if who == "operator":  # never by a key, be it an operator's
        error(ask(root, method, path, token=asking.roots_key), 403, "forbidden")


@pytest.mark.parametrize(("who", "method", "path"), ALL, ids=lambda said: str(said))
def test_nobody_sees_what_is_another_s(asking: Askers, who: str, method: str, path: str) -> None:
    """Neither a stranger nor a user finds anything of Ann's, in no answer, and by none of her ids."""
    cookie, csrf = asking.bobs_session
    for id in (asking.own, asking.token["id"], asking.request):
        asked = [
            ask(asking.bob, method, path, id, token=""),
            ask(asking.bob, method, path, id, token=asking.bobs_key),
            ask(asking.bob, method, path, id, **cookie),
        ]
        if (method, path) not in ENDS:
            asked += [ask(asking.bob, method, path, id, **cookie, X_CSRF_Token=csrf), ask(asking.bob, method, path, id)]
        for answer in asked:
            text = answer.text.replace(id, "")
            assert not [mark for mark in asking.marks if mark in text and mark != id]
    assert asking.ann.said("GET", f"/v1/tokens/{asking.token['id']}")["status"] == "active"
    assert asking.ann.said("GET", "/v1/user/self")["username"] == "annmarker"


@pytest.mark.parametrize("method", ["GET", "PATCH", "PUT", "DELETE"])
def test_what_is_another_s_is_as_if_it_were_not_there(asking: Askers, method: str) -> None:
    own = asking.token["id"]
    hers, gone = (ask(asking.bob, method, "/v1/tokens/<id>", id) for id in (own, GONE))
    error(hers, 404, "not_found")
    assert hers.content.replace(f"'{own}'".encode(), b"'ID'") == gone.content.replace(f"'{GONE}'".encode(), b"'ID'")
    assert {*hers.headers} == {*gone.headers}


@pytest.mark.parametrize(
    "path", ["/v1/admin", "/v1/admin/nothing", "/v1/admin/users", "//v1/admin//x/", "/admin/nothing"]
)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST", "HEAD", "OPTIONS"])
def test_under_admin_nobody_learns_what_there_is(asking: Askers, method: str, path: str) -> None:
    """Not by what is there, by what is not, nor by a method."""
    nobody, user, key = (asking.bob.ask(method, path, token=token) for token in ("", asking.bob.token, asking.bobs_key))
    assert (nobody.status_code, user.status_code, key.status_code) == (401, 403, 403)
    assert "allow" not in nobody.headers and "allow" not in user.headers
    operator = asking.root.ask(method, path)
    there = path == "/v1/admin/users"
    assert operator.status_code == (404 if not there else {"GET": 200, "HEAD": 200, "POST": 400}.get(method, 405))


LARGE = {"name": "x" * 70_000}
ORDER = [
    # who, method, path, body, status, code
    ("nobody", "GET", "/v1/nothing", None, 404, "not_found"),
    ("nobody", "PUT", "/v1/tokens", LARGE, 405, "method_not_allowed"),
    ("nobody", "POST", "/v1/tokens", LARGE, 401, "invalid_api_key"),
    ("cookie", "POST", "/v1/tokens", LARGE, 403, "csrf_failed"),
    ("cookie", "POST", "/v1/admin/users", LARGE, 403, "csrf_failed"),  # before what it may
    ("user", "POST", "/v1/admin/users", LARGE, 403, "forbidden"),
    ("key", "POST", "/v1/tokens", LARGE, 403, "forbidden"),
    ("user", "POST", "/v1/tokens", LARGE, 413, "body_too_large"),
    ("root", "PATCH", f"/v1/admin/users/{GONE}", LARGE, 413, "body_too_large"),
    ("user", "PATCH", f"/v1/tokens/{GONE}", {"name": ""}, 400, "invalid_value"),
    ("root", "PATCH", f"/v1/admin/users/{GONE}", {"role": "x"}, 400, "invalid_value"),
    ("root", "POST", f"/v1/admin/users/{GONE}/password", {"newPassword": "x"}, 400, "invalid_value"),
    ("root", "PATCH", f"/v1/admin/tokens/{GONE}", {"status": "x"}, 400, "invalid_value"),
    ("root", "POST", "/v1/admin/credits", {"user": GONE, "amount": 0}, 400, "invalid_value"),
    ("root", "POST", "/v1/admin/credits", {"user": GONE, "amount": 1, "ref": "taken"}, 404, "not_found"),
    ("root", "POST", "/v1/admin/credits", {"username": "bobby", "amount": 2, "ref": "taken"}, 409,
     "idempotency_conflict"),
    ("root", "POST", "/v1/admin/users", {"username": "bobby", "plan": "x"}, 400, "invalid_value"),
    ("root", "POST", "/v1/admin/users", {"username": "bobby"}, 409, "username_taken"),
]  # fmt: skip


def test_the_order_of_refusals(asking: Askers) -> None:
    asking.root.said("POST", "/v1/admin/credits", {"username": "bobby", "amount": 1, "ref": "taken"})
    cookie, _ = asking.bobs_session
    shown: dict[str, Any] = {
        "nobody": {"token": ""}, "user": {}, "key": {"token": asking.bobs_key}, "cookie": cookie,
        "root": {"token": asking.root.token},
    }  # fmt: skip
    for who, method, path, body, status, code in ORDER:
        answer = asking.bob.ask(method, path, body, **shown[who])
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), (who, method, path)
        assert answer.headers["cache-control"] == "no-store" and answer.headers["x-content-type-options"] == "nosniff"
