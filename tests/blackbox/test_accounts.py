"""Accounts over HTTP: signing up, logging in and out, sessions with their proof, keys and what they allow. Each test
asks from an address of its own, by way of a proxy that is trusted, so that none meets another one's throttle."""

import itertools
import threading
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.blackbox.harness import HELLO, House, channel, error

CONFIG = (
    channel("lab", ["plain", "other"])
    + '[server]\nregistration = "open"\ntrusted_proxies = ["127.0.0.1", "::1"]\npublic_url = "http://gate.test"\n'
    + "[billing]\nsignup_credits = 5\n[plan.gold]\nselectable = true\nprice_multiplier = 1.5\n[plan.inner]\n"
)
ADDRESSES = (f"10.{n // 250}.{n % 250}.1" for n in itertools.count(1))


class Person:
    """Somebody at an address, who asks a house over HTTP, perhaps with a login token."""

    def __init__(self, house: House, address: str, token: str = "") -> None:
        self.house, self.address, self.token = house, address, token

    def ask(
        self, method: str, path: str, body: Any = None, *, token: str | None = None, **headers: str
    ) -> httpx.Response:
        shown = self.token if token is None else token
        more = {"Authorization": f"Bearer {shown}"} if shown else {}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.house.http.cookies.clear()  # each request shows what it is told to, and nothing else
        return self.house.http.request(
            method, path, json=body, headers={"X-Forwarded-For": self.address, **more, **named}
        )

    def said(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        answer = self.ask(method, path, body, **headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def sign_up(self, username: str, **more: Any) -> dict[str, Any]:
        found: dict[str, Any] = self.said(
            "POST", "/v1/auth/register", {"username": username, "password": f"{username}-pass", **more}
        )
        self.token = found["token"]
        return found

    def login(self, name: str, password: str, *, address: str = "") -> httpx.Response:
        body = {"username": name, "password": password}
        return self.ask("POST", "/v1/auth/login", body, token="", X_Forwarded_For=address or self.address)

    def key(self, **fields: Any) -> tuple[dict[str, Any], str]:
        found = self.said("POST", "/v1/tokens", {"name": "k", **fields})
        return found["apiKey"], found["key"]

    def call(self, key: str, model: str = "plain", **headers: str) -> httpx.Response:
        return self.ask("POST", "/v1/chat/completions", {"model": model, "messages": HELLO}, token=key, **headers)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("accounts"), CONFIG, {"plain": {"content": ["Hi"]}}) as house:
        yield house


@pytest.fixture
def ann(house: House, request: pytest.FixtureRequest) -> Person:
    """A new account with five dollars."""
    person = Person(house, next(ADDRESSES))
    person.sign_up(f"ann{abs(hash(request.node.name)) % 10**12}")
    return person


@pytest.fixture
def stranger(house: House) -> Person:
    return Person(house, next(ADDRESSES))


def admin(house: House, name: str) -> Person:
    """An operator, made by the command line."""
    house.cli("users", "create", name, "--admin", "--password", "-", stdin="operator-pass\n")
    person = Person(house, next(ADDRESSES))
    person.token = person.login(name, "operator-pass").json()["token"]
    return person


# Signing up


def test_the_audit_of_a_sign_up_has_its_request_and_its_address(stranger: Person) -> None:
    answer = stranger.ask("POST", "/v1/auth/register", {"username": "Audrey", "password": "secret-1"})
    row = next(row for row in stranger.house.cli("audit", "--json")["data"] if row["action"] == "user.create")
    assert (row["request_id"], row["address"], row["actor_name"], row["actor"]) == (
        answer.headers["x-request-id"], stranger.address, "Audrey", None,
    )  # fmt: skip


def test_a_stranger_becomes_a_caller(stranger: Person) -> None:
    user = stranger.sign_up("Anna", email="anna@example.org", name="Anna A")["user"]
    assert (user["username"], user["email"], user["name"]) == ("Anna", "anna@example.org", "Anna A")
    assert (user["role"], user["status"], user["mode"]) == ("user", "active", "prepaid")
    assert (user["quota"], user["usedQuota"], user["requestCount"]) == ("500", "0", "0")
    assert (user["plan"], user["planId"]) == ("default", 1) and len(user["inviteCode"]) == 8
    token, key = stranger.key(name=" my key ")
    assert token["name"] == "my key" and key.startswith(token["keyPrefix"]) and len(token["keyPrefix"]) == 12
    assert token["status"] == "active" and token["models"] == [] and token["quota"] is token["lastUsedAt"] is None
    assert stranger.call(key).status_code == 200
    own = stranger.said("GET", "/v1/user/self")
    assert own["requestCount"] == "1" and Decimal(own["quota"]) == 500 and Decimal(own["usedQuota"]) > 0
    shown = stranger.said("GET", f"/v1/tokens/{token['id']}")
    assert shown["usedQuota"] == own["usedQuota"] and shown["lastUsedAt"] is not None


@pytest.mark.parametrize(
    ("fields", "status", "code", "param"),
    [
        ({}, 400, "missing_field", "username"),
        ({"username": "abc"}, 400, "missing_field", "password"),
        ({"username": "ab", "password": "secret"}, 400, "invalid_value", "username"),
        ({"username": "a" * 33, "password": "secret"}, 400, "invalid_value", "username"),
        ({"username": "a b c", "password": "secret"}, 400, "invalid_value", "username"),
        ({"username": "ab\u0663", "password": "secret"}, 400, "invalid_value", "username"),
        ({"username": "abc", "password": "short"}, 400, "invalid_value", "password"),
        ({"username": "abc", "password": "x" * 1025}, 400, "invalid_value", "password"),
        ({"username": "abc", "password": 123456}, 400, "invalid_value", "password"),
        ({"username": "abc", "password": "secret", "email": "no address"}, 400, "invalid_value", "email"),
        ({"username": "abc", "password": "secret", "inviteCode": "XXXXXXXX"}, 403, "invalid_invite_code", "inviteCode"),
        ({"username": "Admin", "password": "secret"}, 409, "username_taken", "username"),
        ({"username": "STRIPE", "password": "secret"}, 409, "username_taken", "username"),
    ],
)
def test_odd_sign_ups(stranger: Person, fields: dict[str, Any], status: int, code: str, param: str) -> None:
    error(stranger.ask("POST", "/v1/auth/register", fields), status, code, param)


MORE = {
    "role": "admin", "credits": "5", "quota": "5000", "plan": "free", "planId": 2, "mode": "metered",
    "status": "disabled", "multiplier": 0, "id": "1", "isAdmin": True,
}  # fmt: skip


def test_nobody_makes_himself_more(stranger: Person) -> None:
    """What only operators say of an account is not heard of the account itself."""
    user = stranger.sign_up("mallory", **MORE)["user"]
    stranger.ask("PATCH", "/v1/user/self", {"name": "m", **MORE})
    own = stranger.said("GET", "/v1/user/self")
    for said in (user, own):
        assert (said["role"], said["status"], said["mode"], said["plan"]) == ("user", "active", "prepaid", "default")
        assert said["quota"] == "500" and said["id"] != "1"
    assert stranger.ask("GET", "/v1/admin/users").status_code == 403


def test_a_name_is_given_once_in_whatever_case(ann: Person, stranger: Person) -> None:
    name = ann.said("GET", "/v1/user/self")["username"]
    body = {"username": name.upper(), "password": "secret"}
    error(stranger.ask("POST", "/v1/auth/register", body), 409, "username_taken", "username")


def test_two_at_once_do_not_get_one_name(house: House) -> None:
    answers: list[int] = []

    def sign_up() -> None:
        with httpx.Client(base_url=house.http.base_url, trust_env=False, timeout=20) as http:
            body = {"username": "twice", "password": "secret"}
            answers.append(http.post("/v1/auth/register", json=body, headers={"X-Forwarded-For": at}).status_code)

    at = next(ADDRESSES)
    threads = [threading.Thread(target=sign_up) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200, 409, 409, 409]


def test_who_was_invited_by_whom_and_a_new_code_voids_the_old_one(ann: Person, stranger: Person) -> None:
    old = ann.said("GET", "/v1/user/self")["inviteCode"]
    stranger.sign_up("invited1", inviteCode=old.lower())
    new = ann.said("POST", "/v1/user/invite")["inviteCode"]
    assert new != old and len(new) == 8
    body = {"username": "invited2", "password": "secret", "invite_code": old}
    error(stranger.ask("POST", "/v1/auth/register", body), 403, "invalid_invite_code", "inviteCode")


def test_sign_ups_are_throttled_by_address(stranger: Person) -> None:
    for n in range(10):
        stranger.sign_up(f"many{n}")
    body = {"username": "many99", "password": "secret"}
    answer = stranger.ask("POST", "/v1/auth/register", body, token="")
    error(answer, 429, "rate_limit_exceeded")
    assert int(answer.headers["retry-after"]) >= 1
    stranger.address = next(ADDRESSES)
    stranger.sign_up("many99")


# Logging in


def test_login_tells_nothing_about_names(ann: Person) -> None:
    name = ann.said("GET", "/v1/user/self")["username"]
    ann.house.cli("users", "create", "nopassword")
    said = []
    for who, password in ((name, "wrong"), ("nobody", "wrong"), ("nopassword", "wrong"), ("x" * 60, "y" * 1000)):
        answer = ann.login(who, password)
        error(answer, 401, "invalid_credentials")
        said.append(answer.json()["error"])
    assert len(said) == 4 and all(one == said[0] for one in said)
    right = ann.login(name.upper(), f"{name}-pass")  # names know no case
    assert right.status_code == 200 and right.json()["user"]["username"] == name


def test_a_disabled_account_is_told_to_who_has_its_password(ann: Person) -> None:
    name = ann.said("GET", "/v1/user/self")["username"]
    _, key = ann.key()
    ann.house.cli("users", "disable", name)
    error(ann.login(name, "wrong"), 401, "invalid_credentials")
    error(ann.login(name, f"{name}-pass"), 403, "account_disabled")
    error(ann.ask("GET", "/v1/user/self"), 401, "invalid_token")
    error(ann.ask("GET", "/v1/user/self", token=key), 401, "key_disabled")
    error(ann.call(key), 401, "key_disabled")


def test_guesses_are_throttled_and_good_callers_are_not(ann: Person) -> None:
    name = ann.said("GET", "/v1/user/self")["username"]
    _, key = ann.key()
    home, ann.address = ann.address, next(ADDRESSES)
    assert [ann.login(name, f"wrong{n}").status_code for n in range(6)] == [401] * 5 + [429]
    told = ann.login(name, f"{name}-pass")
    error(told, 429, "rate_limit_exceeded")  # the right password too, while it lasts
    assert 1 <= int(told.headers["retry-after"]) <= 900
    assert ann.call(key).status_code == 200 and ann.ask("GET", "/v1/user/self").status_code == 200
    assert ann.login(name, f"{name}-pass", address=home).status_code == 200
    assert ann.login("someoneelse", "x").status_code == 401


def test_guesses_in_parallel_count(ann: Person) -> None:
    name = ann.said("GET", "/v1/user/self")["username"]
    answers: list[int] = []

    def guess(n: int) -> None:
        with httpx.Client(base_url=ann.house.http.base_url, trust_env=False, timeout=30) as http:
            body = {"username": name, "password": f"wrong{n}"}
            answers.append(http.post("/v1/auth/login", json=body, headers={"X-Forwarded-For": at}).status_code)

    at = next(ADDRESSES)
    threads = [threading.Thread(target=guess, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [401] * 5 + [429] * 7


def test_wrong_keys_are_throttled_by_address_and_good_ones_are_not(ann: Person) -> None:
    _, key = ann.key()
    codes = [ann.call(f"sk-ft_wrong{n}").status_code for n in range(30)]
    codes += [ann.ask("GET", "/v1/user/self", token=f"sk-ft_wrong{n}").status_code for n in range(30)]
    assert codes == [401] * 60
    error(ann.call("sk-ft_wrong"), 429, "rate_limit_exceeded")
    error(ann.ask("GET", "/v1/user/self", token="eyJ.x.y"), 429, "rate_limit_exceeded")
    assert ann.call(key).status_code == 200 and ann.ask("GET", "/v1/user/self", token=key).status_code == 200
    ann.address = next(ADDRESSES)
    error(ann.call("sk-ft_wrong"), 401, "invalid_api_key")


def test_tokens_are_refreshed_and_end(ann: Person) -> None:
    old = ann.token
    ann.token = ann.said("POST", "/v1/auth/refresh")["token"]
    error(ann.ask("GET", "/v1/user/self", token=old), 401, "invalid_token")
    assert ann.said("POST", "/v1/auth/logout", {}) == {"ok": True}
    answer = ann.ask("GET", "/v1/user/self")
    error(answer, 401, "invalid_token")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_logging_out_everywhere(ann: Person) -> None:
    name = ann.said("GET", "/v1/user/self")["username"]
    other = ann.login(name, f"{name}-pass").json()["token"]
    ann.said("POST", "/v1/auth/logout", {"all": True})
    for token in (ann.token, other):
        error(ann.ask("GET", "/v1/user/self", token=token), 401, "invalid_token")


def test_a_password_is_changed(ann: Person) -> None:
    name = ann.said("GET", "/v1/user/self")["username"]
    _, key = ann.key()
    body = {"currentPassword": f"{name}-pass", "newPassword": "a new password"}
    error(ann.ask("POST", "/v1/auth/password", {**body, "currentPassword": "x"}), 401, "invalid_credentials")
    error(ann.ask("POST", "/v1/auth/password", {**body, "newPassword": "x"}), 400, "invalid_value", "newPassword")
    old, ann.token = ann.token, ann.said("POST", "/v1/auth/password", body)["token"]
    error(ann.ask("GET", "/v1/user/self", token=old), 401, "invalid_token")
    assert ann.said("GET", "/v1/user/self")["username"] == name
    assert ann.call(key).status_code == 200  # API keys stay
    error(ann.login(name, f"{name}-pass"), 401, "invalid_credentials")
    assert ann.login(name, "a new password").status_code == 200


# Sessions


def session(person: Person, **more: str) -> tuple[Mapping[str, str], str]:
    name = person.said("GET", "/v1/user/self")["username"]
    answer = person.ask("POST", "/v1/auth/session", {"username": name, "password": f"{name}-pass"}, token="", **more)
    assert answer.status_code == 200, answer.text
    said = answer.headers["set-cookie"]
    assert "HttpOnly" in said and "SameSite=Lax" in said and "Path=/" in said and "Secure" not in said
    value = said.partition(";")[0]
    assert value.startswith("ftgate_session=")
    return {"token": "", "Cookie": value}, answer.json()["csrfToken"]


def test_a_session_is_a_cookie_with_a_proof(ann: Person) -> None:
    cookie, csrf = session(ann)
    assert ann.said("GET", "/v1/auth/session", **cookie)["csrfToken"] == csrf
    assert ann.said("GET", "/v1/user/self", **cookie)["username"].startswith("ann")
    proof = {**cookie, "X_CSRF_Token": csrf}
    assert ann.said("PATCH", "/v1/user/self", {"name": "A"}, **proof)["name"] == "A"
    assert ann.said("PATCH", "/v1/user/self", {"name": "B"}, **proof, Origin="http://gate.test")["name"] == "B"
    for wrong in (
        cookie, {**cookie, "X_CSRF_Token": "x"}, {**proof, "Origin": "http://evil.test"}, {**proof, "Origin": "null"},
        {**proof, "Sec_Fetch_Site": "cross-site"}, {**proof, "Sec_Fetch_Site": "same-site"},
        {**proof, "Content_Type": "text/plain"}, {**proof, "Origin": "http://gate.test:81"},
    ):  # fmt: skip
        answer = ann.ask("PATCH", "/v1/user/self", {"name": "C"}, **wrong)
        error(answer, 403, "csrf_failed")
    assert ann.said("GET", "/v1/user/self")["name"] == "B"  # nothing was done
    assert ann.said("POST", "/v1/auth/logout", {}, **proof) == {"ok": True}
    error(ann.ask("GET", "/v1/auth/session", **cookie), 401, "invalid_api_key")


def test_a_session_of_before_ends_and_is_never_adopted(ann: Person) -> None:
    first, _ = session(ann)
    second, _ = session(ann, Cookie=first["Cookie"])
    assert first["Cookie"] != second["Cookie"]
    error(ann.ask("GET", "/v1/auth/session", **first), 401, "invalid_api_key")
    planted, _ = session(ann, Cookie="ftgate_session=planted")
    assert planted["Cookie"] != "ftgate_session=planted"
    error(ann.ask("GET", "/v1/auth/session", token="", Cookie="ftgate_session=planted"), 401, "invalid_api_key")


def test_another_site_opens_no_session(ann: Person) -> None:
    body = {"username": "x", "password": "y"}
    error(ann.ask("POST", "/v1/auth/session", body, token="", Origin="http://evil.test"), 403, "csrf_failed")
    error(ann.ask("POST", "/v1/auth/session", body, token="", Sec_Fetch_Site="cross-site"), 403, "csrf_failed")


def test_a_header_beats_the_cookie_and_the_relay_takes_neither(ann: Person) -> None:
    cookie, _ = session(ann)
    _, key = ann.key()
    error(ann.ask("GET", "/v1/user/self", token="eyJx.y.z", Cookie=cookie["Cookie"]), 401, "invalid_token")
    error(ann.ask("GET", "/v1/models", **cookie), 401, "invalid_api_key")
    error(ann.ask("GET", "/v1/models"), 401, "invalid_api_key")  # with the login token
    error(ann.call(ann.token), 401, "invalid_api_key")
    assert ann.ask("GET", "/v1/models", token=key).status_code == 200


def test_a_changed_password_gives_the_browser_a_new_cookie(ann: Person) -> None:
    name = ann.said("GET", "/v1/user/self")["username"]
    cookie, csrf = session(ann)
    other, _ = session(ann)
    body = {"currentPassword": f"{name}-pass", "newPassword": "another one"}
    answer = ann.ask("POST", "/v1/auth/password", body, **cookie, X_CSRF_Token=csrf)
    assert answer.status_code == 200 and "token" not in answer.json()
    fresh = {"token": "", "Cookie": answer.headers["set-cookie"].partition(";")[0]}
    assert ann.said("GET", "/v1/auth/session", **fresh)["csrfToken"] == answer.json()["csrfToken"]
    for gone in (cookie, other):
        error(ann.ask("GET", "/v1/auth/session", **gone), 401, "invalid_api_key")


# Keys


def test_keys_in_pages(ann: Person) -> None:
    for n in range(5):
        ann.key(name=f"k{n}")
    first = ann.said("GET", "/v1/tokens?page_size=2")
    assert [key["name"] for key in first["data"]] == ["k4", "k3"] and (first["total"], first["page"]) == (5, 1)
    ann.key(name="k5")  # arrives in between
    second = ann.said("GET", f"/v1/tokens?page_size=2&cursor={first['next']}")
    third = ann.said("GET", f"/v1/tokens?page_size=2&page=9&cursor={second['next']}")
    assert [key["name"] for key in second["data"] + third["data"]] == ["k2", "k1", "k0"] and third["next"] is None
    assert [key["name"] for key in ann.said("GET", "/v1/tokens?page=2&pageSize=4")["data"]] == ["k1", "k0"]
    for query, param in (
        ("cursor=x", "cursor"),
        ("page=0", "page"),
        ("page_size=x", "page_size"),
        ("status=x", "status"),
        ("status=", "status"),
    ):
        error(ann.ask("GET", f"/v1/tokens?{query}"), 400, "invalid_value", param)


def test_a_key_is_read_changed_and_deleted_by_its_own_account_alone(ann: Person, stranger: Person) -> None:
    token, key = ann.key()
    stranger.sign_up("trudy")
    path = f"/v1/tokens/{token['id']}"
    for method in ("GET", "PATCH", "DELETE"):
        mine = stranger.ask(method, path, {} if method == "PATCH" else None)
        gone = stranger.ask(method, "/v1/tokens/999999", {} if method == "PATCH" else None)
        error(mine, 404, "not_found")
        assert mine.text.replace(token["id"], "999999") == gone.text
    for odd in ("0", "-1", "x", "01", "9" * 30, "%00"):
        error(ann.ask("GET", f"/v1/tokens/{odd}"), 404, "not_found")
    shown = ann.said("GET", path)
    assert ann.said("PUT", path, {**shown, "name": "renamed", "usedQuota": "7", "id": "1"})["name"] == "renamed"
    assert ann.said("DELETE", path) == {"id": token["id"], "deleted": True}
    error(ann.ask("DELETE", path), 404, "not_found")
    error(ann.call(key), 401, "invalid_api_key")


def test_what_a_key_allows_counts_from_the_next_call_on(ann: Person) -> None:
    token, key = ann.key(models=["other"], allowedIps=["203.0.113.0/24"], expiresAt="2999-01-01")
    path = f"/v1/tokens/{token['id']}"
    at = {"X_Forwarded_For": "203.0.113.9"}
    error(ann.call(key), 403, "ip_not_allowed")
    error(ann.ask("GET", "/v1/user/self", token=key), 403, "ip_not_allowed")
    error(ann.ask("GET", "/v1/models", token=key), 403, "ip_not_allowed")
    error(ann.call(key, **at), 403, "model_not_allowed", "model")
    assert ann.said("PATCH", path, {"models": ["pl*"]})["models"] == ["pl*"]
    assert ann.call(key, **at).status_code == 200
    ann.said("PATCH", path, {"allowed_ips": None})
    assert ann.call(key).status_code == 200
    ann.said("PATCH", path, {"status": "disabled"})
    error(ann.call(key), 401, "key_disabled")
    ann.said("PATCH", path, {"status": "active", "expiresAt": "2020-01-01T00:00:00+08:00"})
    error(ann.call(key), 401, "key_expired")
    shown = ann.said("GET", path)
    assert shown["status"] == "expired" and shown["expiresAt"] == "2019-12-31T16:00:00.000Z"
    assert [one["id"] for one in ann.said("GET", "/v1/tokens?status=expired")["data"]] == [token["id"]]
    ann.said("PATCH", path, {"expiresAt": None})
    assert ann.call(key).status_code == 200


def test_a_quota_in_cents_ends_a_key_s_calls(ann: Person) -> None:
    token, key = ann.key(quota="0.0000000001", quotaReset="month")
    assert token["quota"] == "0.0000000001" and token["resetAt"].endswith("-01T00:00:00.000Z")
    error(ann.call(key), 402, "key_quota_exceeded")
    path = f"/v1/tokens/{token['id']}"
    assert ann.said("PATCH", path, {"quota": 560})["quota"] == "560"
    assert ann.call(key).status_code == 200
    used = ann.said("GET", path)["usedQuota"]
    assert Decimal(used) > 0
    ann.said("PATCH", path, {"quota": used})
    error(ann.call(key), 402, "key_quota_exceeded")
    assert ann.said("PATCH", path, {"quota": None})["quota"] is None
    assert ann.call(key).status_code == 200


def test_a_key_has_its_account_s_plan_or_one_that_may_be_chosen(ann: Person) -> None:
    plans = {plan["name"]: plan for plan in ann.said("GET", "/v1/plans")["data"]}
    assert plans["default"]["id"] == 1 and plans["default"]["models"] == ["*"]
    assert plans["gold"]["selectable"] is True and plans["gold"]["price_multiplier"] == "1.5"
    token, key = ann.key()
    assert token["planId"] == 1
    plain = Decimal(ann.call(key).headers["x-findtoken-cost"])
    path = f"/v1/tokens/{token['id']}"
    assert ann.said("PATCH", path, {"planId": str(plans["gold"]["id"])})["planId"] == plans["gold"]["id"]
    assert Decimal(ann.call(key).headers["x-findtoken-cost"]) == plain * Decimal("1.5")
    error(ann.ask("PATCH", path, {"planId": plans["inner"]["id"]}), 403, "plan_not_allowed", "planId")
    error(ann.ask("PATCH", path, {"planId": 99}), 400, "invalid_value", "planId")
    assert ann.said("PATCH", path, {"planId": None})["planId"] == 1


def test_what_a_get_says_is_put_back(ann: Person) -> None:
    """An expired key too, which is to live on; nothing else changes by it."""
    token, key = ann.key(expiresAt="2020-01-01")
    path = f"/v1/tokens/{token['id']}"
    read = ann.said("GET", path)
    assert read["status"] == "expired" and ann.said("PUT", path, read) == read
    error(ann.call(key), 401, "key_expired")
    later = ann.said("PUT", path, {**read, "expiresAt": "2040-01-01T00:00:00.000Z"})
    assert later == {**read, "status": "active", "expiresAt": "2040-01-01T00:00:00.000Z"}
    assert ann.call(key).status_code == 200
    error(ann.ask("PUT", path, {"status": "gone"}), 400, "invalid_value", "status")


def test_a_key_manages_nothing(ann: Person) -> None:
    token, key = ann.key()
    for method, path in (
        ("GET", "/v1/tokens"), ("POST", "/v1/tokens"), ("PATCH", f"/v1/tokens/{token['id']}"),
        ("PATCH", "/v1/user/self"), ("POST", "/v1/user/invite"), ("POST", "/v1/auth/logout"),
        ("POST", "/v1/auth/password"),
        ("POST", "/v1/auth/refresh"), ("GET", "/v1/admin/users"), ("GET", "/v1/admin/nothing"),
    ):  # fmt: skip
        error(ann.ask(method, path, {"name": "x"} if method != "GET" else None, token=key), 403, "forbidden")


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"name": "\xff"}', b'{"name": NaN}', b"null"])
def test_bodies_that_are_no_object(ann: Person, body: bytes) -> None:
    answer = ann.house.http.post(
        "/v1/tokens", content=body, headers={"Authorization": f"Bearer {ann.token}", "Content-Type": "application/json"}
    )
    error(answer, 400, "missing_field" if not body else "invalid_json", "name" if not body else None)


def test_a_body_is_at_most_64_kib(ann: Person) -> None:
    error(ann.ask("POST", "/v1/tokens", {"name": "x" * 70_000}), 413, "body_too_large")


# A restart


def test_what_was_ended_stays_ended_and_what_holds_holds(house: House, ann: Person) -> None:
    cookie, csrf = session(ann)
    ended = ann.token
    ann.token = ann.said("POST", "/v1/auth/refresh")["token"]
    token, key = ann.key(quota=100, allowedIps=["10.0.0.0/8"], models=["plain"], quotaReset="day", name="kept")
    assert ann.call(key).status_code == 200
    before = ann.said("GET", f"/v1/tokens/{token['id']}"), ann.said("GET", "/v1/user/self")
    assert house.server is not None and house.server.terminate() == 0
    house.start()
    assert (ann.said("GET", f"/v1/tokens/{token['id']}"), ann.said("GET", "/v1/user/self")) == before
    assert ann.said("GET", "/v1/auth/session", **cookie)["csrfToken"] == csrf
    error(ann.ask("GET", "/v1/user/self", token=ended), 401, "invalid_token")
    assert ann.call(key).status_code == 200
    error(ann.call(key, X_Forwarded_For="203.0.113.9"), 403, "ip_not_allowed")


def test_nothing_secret_is_kept_as_it_is(house: House, ann: Person) -> None:
    name = ann.said("GET", "/v1/user/self")["username"]
    cookie, _ = session(ann)
    _, key = ann.key()
    secrets = [f"{name}-pass", key, ann.token, cookie["Cookie"].partition("=")[2]]
    kept = b"".join(path.read_bytes() for path in house.data.iterdir() if path.is_file()) + house.err.read_bytes()
    assert not [secret for secret in secrets if secret.encode() in kept]
    assert (house.data / "server.key").stat().st_mode & 0o777 == 0o600
