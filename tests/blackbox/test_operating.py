"""What operators do over HTTP: accounts and their keys, credits, the audit, the ledger. The operators of these tests
and those whom they manage ask by way of a proxy that is trusted, each from an address of its own."""

import base64
import csv
import io
import itertools
import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.blackbox.harness import House, channel, error
from tests.blackbox.test_accounts import Person, session

CONFIG = (
    channel("lab", ["plain"])
    + '[server]\nregistration = "open"\ntrusted_proxies = ["127.0.0.1", "::1"]\npublic_url = "http://gate.test"\n'
    + '[plan.gold]\nselectable = true\n[plan.free]\nmode = "metered"\n[plan.slow]\nrequests_per_minute = 1\n'
)
ADDRESSES = (f"10.9.{n // 250}.{n % 250}" for n in itertools.count(1))
NAMES = (f"user{n}" for n in itertools.count(1))
ACCOUNT = {
    "id", "username", "name", "email", "role", "status", "plan", "mode", "balance", "held", "used", "request_count",
    "keys", "invite_code", "invited_by", "created_at", "last_login_at",
}  # fmt: skip


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("operator"), CONFIG, {"plain": {"content": ["Hi"]}}) as house:
        yield house


@pytest.fixture(scope="module")
def root(house: House) -> Person:
    """The operator."""
    house.cli("users", "create", "root", "--admin", "--password", "-", stdin="operator-pass\n")
    person = Person(house, next(ADDRESSES))
    person.token = person.login("root", "operator-pass").json()["token"]
    return person


@pytest.fixture
def ann(house: House, root: Person) -> Person:
    """An account that somebody has signed up for; `name` and `id` say which."""
    person = Person(house, next(ADDRESSES))
    person.name = next(NAMES)  # type: ignore[attr-defined]
    person.id = person.sign_up(person.name)["user"]["id"]  # type: ignore[attr-defined]
    return person


def shown(root: Person, person: Any) -> Any:
    return root.said("GET", f"/v1/admin/users/{person.id}")


def audited(root: Person, **wanted: str) -> Any:
    query = "&".join(f"{name}={value}" for name, value in wanted.items())
    return root.said("GET", f"/v1/admin/audit?{query}")["data"]


# Accounts


def test_an_account_as_operators_see_it(root: Person, ann: Any) -> None:
    _, key = ann.key()
    root.said("POST", "/v1/admin/credits", {"user": ann.id, "amount": "9.5"})
    assert ann.call(key).status_code == 200
    said = shown(root, ann)
    assert said.keys() >= ACCOUNT
    assert (said["id"], said["username"], said["role"], said["status"]) == (ann.id, ann.name, "user", "active")
    assert (said["plan"], said["mode"], said["balance"], said["held"]) == ("default", "prepaid", "9.499994", "0.00")
    assert (said["used"], said["request_count"], said["keys"]) == ("0.000006", 1, 1)
    assert len(said["invite_code"]) == 8 and said["invited_by"] is None and said["last_login_at"] is not None
    assert said in root.said("GET", f"/v1/admin/users?q={ann.name}")["data"]


def test_accounts_in_pages(root: Person, ann: Any) -> None:
    for n in range(5):
        root.said("POST", "/v1/admin/users", {"username": f"pg-{n}-{ann.name}", "email": f"{n}%_x@{ann.name}.test"})
    part = f"{ann.name}.TEST"
    first = root.said("GET", f"/v1/admin/users?q={part}&page_size=2")
    assert [user["username"][:4] for user in first["data"]] == ["pg-4", "pg-3"] and first["total"] == 5
    root.said("POST", "/v1/admin/users", {"username": f"pg-5-{ann.name}", "email": f"5@{ann.name}.test"})
    second = root.said("GET", f"/v1/admin/users?q={part}&page_size=2&cursor={first['next']}")
    third = root.said("GET", f"/v1/admin/users?q={part}&page_size=2&cursor={second['next']}")
    assert [user["username"][:4] for user in second["data"] + third["data"]] == ["pg-2", "pg-1", "pg-0"]
    assert third["next"] is None and third["total"] == 6
    assert [one["username"][:4] for one in root.said("GET", f"/v1/admin/users?q={part}&page=2&pageSize=4")["data"]] == [
        "pg-1", "pg-0",
    ]  # fmt: skip
    letters = root.said("GET", "/v1/admin/users?q=%25_x%40" + ann.name)
    assert [user["email"][:4] for user in letters["data"]] == [f"{n}%_x" for n in (4, 3, 2, 1, 0)]
    assert root.said("GET", f"/v1/admin/users?q={ann.name}%25test")["total"] == 0  # % is a letter, and _ is
    assert root.said("GET", f"/v1/admin/users?q=pg_0-{ann.name}")["total"] == 0
    assert root.said("GET", "/v1/admin/users?page=999999999")["data"] == []
    every = root.said("GET", "/v1/admin/users?page_size=1000")
    assert every["page_size"] == 100 and every["total"] == len(every["data"])
    for query, param in (
        ("cursor=x", "cursor"),
        ("page=0", "page"),
        ("status=x", "status"),
        ("page_size=-1", "page_size"),
    ):
        error(root.ask("GET", f"/v1/admin/users?{query}"), 400, "invalid_value", param)


def test_an_operator_makes_an_account(root: Person, ann: Any) -> None:
    name = f"made.{ann.name}@here"
    said = root.said(
        "POST", "/v1/admin/users",
        {"username": name, "password": "secret-1", "email": "m@x.test", "name": " M ", "role": "admin",
         "plan": "gold", "mode": "metered", "credits": 2.5, "balance": "99", "id": "1", "status": "disabled"},
    )  # fmt: skip
    assert (said["username"], said["email"], said["name"], said["role"]) == (name, "m@x.test", "M", "admin")
    assert (said["plan"], said["mode"], said["balance"], said["status"]) == ("gold", "metered", "2.50", "active")
    assert said == {**shown(root, type("", (), {"id": said["id"]})), "request_count": 0}
    assert ann.login(name, "secret-1").status_code == 200
    error(root.ask("POST", "/v1/admin/users", {"username": name.upper()}), 409, "username_taken", "username")
    rows = audited(root, target=f"user:{said['id']}")
    assert [(row["action"], row["actor_name"], row["via"]) for row in rows][-2:] == [
        ("credit.grant", "root", "api"), ("user.create", "root", "api"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({}, "missing_field", "username"),
        ({"username": ""}, "invalid_value", "username"),
        ({"username": "a b"}, "invalid_value", "username"),
        ({"username": "x" * 65}, "invalid_value", "username"),
        ({"username": "new", "password": "short"}, "invalid_value", "password"),
        ({"username": "new", "email": "none"}, "invalid_value", "email"),
        ({"username": "new", "name": "a\nb"}, "invalid_value", "name"),
        ({"username": "new", "role": "root"}, "invalid_value", "role"),
        ({"username": "new", "role": True}, "invalid_value", "role"),
        ({"username": "new", "plan": "nonesuch"}, "invalid_value", "plan"),
        ({"username": "new", "mode": "free"}, "invalid_value", "mode"),
        ({"username": "new", "credits": "-0.01"}, "invalid_value", "credits"),
        ({"username": "new", "credits": "1000000.01"}, "invalid_value", "credits"),
        ({"username": "new", "credits": True}, "invalid_value", "credits"),
    ],
)
def test_accounts_that_are_not_made(root: Person, fields: dict[str, Any], code: str, param: str) -> None:
    error(root.ask("POST", "/v1/admin/users", fields), 400, code, param)
    assert root.said("GET", "/v1/admin/users?q=new")["total"] == 0


def test_an_account_is_changed(root: Person, ann: Any) -> None:
    path = f"/v1/admin/users/{ann.id}"
    _, key = ann.key()
    said = root.said(
        "PATCH", path, {"plan": "free", "name": "Ann", "email": "a@b", "username": "other", "balance": "9"}
    )
    assert (said["plan"], said["mode"], said["name"], said["username"]) == ("free", "metered", "Ann", ann.name)
    assert ann.call(key).status_code == 200  # metered from the next call on
    assert root.said("PATCH", path, {"mode": "prepaid"})["mode"] == "prepaid"
    error(ann.call(key), 402, "insufficient_credits")
    assert root.said("PATCH", path, {"name": "B"})["mode"] == "prepaid"  # what is not there stays
    assert root.said("PATCH", path, {"mode": None, "email": ""})["mode"] == "metered"
    assert root.said("PATCH", path, {})["email"] == ""
    for fields, param in (
        ({"status": "deleted"}, "status"), ({"role": None, "plan": "x"}, "plan"), ({"mode": 1}, "mode"),
        ({"name": "x" * 101}, "name"), ({"email": "@"}, "email"), ({"plan": ""}, "plan"),
    ):  # fmt: skip
        error(root.ask("PATCH", path, fields), 400, "invalid_value", param)
        error(root.ask("PATCH", "/v1/admin/users/999999", fields), 400, "invalid_value", param)
    row = audited(root, target=f"user:{ann.id}", action="user.update")[-1]
    assert row["before"] == {"plan": "default", "name": "", "email": ""}
    assert row["after"] == {"plan": "free", "name": "Ann", "email": "a@b"}


def test_the_limits_of_another_plan_hold_from_the_next_call_on(root: Person, ann: Any) -> None:
    path = f"/v1/admin/users/{ann.id}"
    _, key = ann.key()
    root.said("POST", "/v1/admin/credits", {"user": ann.id, "amount": "1"})
    assert [ann.call(key).status_code for _ in range(2)] == [200, 200]
    root.said("PATCH", path, {"plan": "slow"})
    assert [ann.call(key).status_code for _ in range(2)] == [200, 429]
    root.said("PATCH", path, {"plan": "gold"})
    assert ann.call(key).status_code == 200


def test_a_disabled_account_is_signed_out_and_its_keys_end(root: Person, ann: Any) -> None:
    path = f"/v1/admin/users/{ann.id}"
    cookie, _ = session(ann)
    _, key = ann.key()
    assert root.said("PATCH", path, {"status": "disabled"})["status"] == "disabled"
    error(ann.ask("GET", "/v1/user/self"), 401, "invalid_token")
    error(ann.ask("GET", "/v1/user/self", **cookie), 401, "invalid_api_key")
    error(ann.call(key), 401, "key_disabled")
    error(ann.login(ann.name, f"{ann.name}-pass"), 403, "account_disabled")
    assert root.said("GET", "/v1/admin/users?status=disabled&q=" + ann.name)["total"] == 1
    assert root.said("PATCH", path, {"status": "active"})["status"] == "active"
    error(ann.ask("GET", "/v1/user/self"), 401, "invalid_token")  # what has ended stays so
    error(ann.call(key), 402, "insufficient_credits")


def test_the_last_operator_stays(house: House, root: Person, ann: Any) -> None:
    for user in root.said("GET", "/v1/admin/users?page_size=100")["data"]:
        if user["role"] == "admin" and user["username"] != "root":
            root.said("PATCH", f"/v1/admin/users/{user['id']}", {"role": "user"})
    own = root.said("GET", "/v1/user/self")["id"]
    for fields in ({"role": "user"}, {"status": "disabled"}, {"role": "user", "status": "disabled"}):
        error(root.ask("PATCH", f"/v1/admin/users/{own}", fields), 409, "last_admin")
    error(root.ask("PATCH", f"/v1/admin/users/{own}", {"role": "user", "plan": "x"}), 400, "invalid_value", "plan")
    error(ann.ask("GET", "/v1/admin/users"), 403, "forbidden")
    root.said("PATCH", f"/v1/admin/users/{ann.id}", {"role": "admin"})
    assert ann.said("GET", f"/v1/admin/users/{own}")["role"] == "admin"  # the role counts at once
    assert ann.said("PATCH", f"/v1/admin/users/{ann.id}", {"role": "user"})["role"] == "user"
    error(ann.ask("GET", f"/v1/admin/users/{own}"), 403, "forbidden")


def test_a_password_is_given(root: Person, ann: Any) -> None:
    path = f"/v1/admin/users/{ann.id}/password"
    cookie, _ = session(ann)
    _, key = ann.key()
    assert root.said("POST", path, {"newPassword": "given by root"}) == {"id": ann.id}
    error(ann.ask("GET", "/v1/user/self"), 401, "invalid_token")
    error(ann.ask("GET", "/v1/user/self", **cookie), 401, "invalid_api_key")
    assert ann.ask("GET", "/v1/user/self", token=key).status_code == 200
    assert ann.login(ann.name, "given by root").status_code == 200
    said = root.said("POST", path)
    assert said.keys() == {"id", "password"} and len(said["password"]) == 20 and said["password"].isalnum()
    error(ann.login(ann.name, "given by root"), 401, "invalid_credentials")
    assert ann.login(ann.name, said["password"]).status_code == 200
    error(root.ask("POST", path, {"newPassword": "short"}), 400, "invalid_value", "newPassword")
    kept = root.ask("GET", f"/v1/admin/audit?target=user:{ann.id}").text
    assert "user.password" in kept and "given by root" not in kept and said["password"] not in kept


def test_an_account_is_logged_out(root: Person, ann: Any) -> None:
    first, _ = session(ann)
    session(ann)
    path = f"/v1/admin/users/{ann.id}/logout"
    assert root.said("POST", path) == {"id": ann.id, "ended": 2}
    error(ann.ask("GET", "/v1/user/self"), 401, "invalid_token")
    error(ann.ask("GET", "/v1/user/self", **first), 401, "invalid_api_key")
    assert root.said("POST", path, {}) == {"id": ann.id, "ended": 0}
    assert ann.login(ann.name, f"{ann.name}-pass").status_code == 200


def test_users_that_are_not_there(root: Person) -> None:
    for method, rest in (("GET", ""), ("PATCH", ""), ("POST", "/password"), ("POST", "/logout")):
        body = None if method == "GET" else {}
        bodies = set()
        for odd in ("999999", "0", "-1", "x", "01", "9" * 30, "1.0"):
            answer = root.ask(method, f"/v1/admin/users/{odd}{rest}", body)
            error(answer, 404, "not_found")
            bodies.add(answer.text.replace(f"'{odd}'", "'ID'"))
        assert len(bodies) == 1


# Keys


def test_operators_manage_anybody_s_keys(root: Person, ann: Any) -> None:
    token, key = ann.key(name="hers")
    said = root.said("GET", f"/v1/admin/tokens?user={ann.id}")
    assert said["data"] == [{**token, "user": ann.id}] and said["total"] == 1
    assert said["data"][0] in root.said("GET", "/v1/admin/tokens?page_size=100")["data"]
    path = f"/v1/admin/tokens/{token['id']}"
    changed = root.said("PATCH", path, {"status": "disabled", "name": "mine", "quota": 5, "models": ["x"]})
    assert changed == {**token, "status": "disabled", "user": ann.id}  # its status, and nothing else
    error(ann.call(key), 401, "key_disabled")
    error(root.ask("PATCH", path, {"status": "gone"}), 400, "invalid_value", "status")
    assert root.said("PATCH", path, {"status": "expired"})["status"] == "disabled"  # as a GET may say it: not given
    assert root.said("GET", f"/v1/admin/tokens?user={ann.id}&status=disabled")["total"] == 1
    assert root.said("PATCH", path, {"status": "active"})["status"] == "active"
    error(ann.call(key), 402, "insufficient_credits")
    assert root.said("DELETE", path) == {"id": token["id"], "deleted": True}
    gone = root.ask("DELETE", path)
    error(gone, 404, "not_found")
    assert (
        gone.text
        == root.ask("PATCH", path, {"status": "active"}).text
        == ann.ask("GET", f"/v1/tokens/{token['id']}").text
    )
    error(ann.call(key), 401, "invalid_api_key")
    error(root.ask("GET", "/v1/admin/tokens?user=x"), 400, "invalid_value", "user")
    assert root.said("GET", "/v1/admin/tokens?user=999999")["data"] == []
    rows = audited(root, target=f"token:{token['id']}")
    assert [(row["action"], row["actor_name"]) for row in rows] == [
        ("token.delete", "root"), ("token.update", "root"), ("token.update", "root"), ("token.create", ann.name),
    ]  # fmt: skip


# Credits


def test_a_grant_is_done_once_for_its_ref(root: Person, ann: Any) -> None:
    body = {"user": ann.id, "amount": 9.45, "note": "thanks", "ref": f"inv:{ann.name}"}
    first = root.said("POST", "/v1/admin/credits", body)
    assert first == {
        "username": ann.name, "balance": "9.45", "granted": "9.45", "entry": first["entry"], "ref": body["ref"],
        "already_done": False,
    }  # fmt: skip
    assert isinstance(first["entry"], int)
    again = root.said(
        "POST", "/v1/admin/credits", {"username": ann.name.upper(), "amount": "9.450", "ref": body["ref"]}
    )
    assert again == {**first, "already_done": True}
    by_header = {"user": int(ann.id), "amount": "9.45"}
    assert root.said("POST", "/v1/admin/credits", by_header, Idempotency_Key=body["ref"])["already_done"] is True
    for other in ({**body, "amount": 9.46}, {**body, "username": "root", "user": None}):
        error(root.ask("POST", "/v1/admin/credits", other), 409, "idempotency_conflict", "ref")
    error(root.ask("POST", "/v1/admin/credits/correct", body), 409, "idempotency_conflict", "ref")
    assert shown(root, ann)["balance"] == "9.45"
    unnamed = [root.said("POST", "/v1/admin/credits", {"user": ann.id, "amount": "0.000000000001"}) for _ in range(2)]
    assert unnamed[0]["ref"] != unnamed[1]["ref"] and unnamed[1]["balance"] == "9.450000000002"
    rows = audited(root, target=f"user:{ann.id}", action="credit.grant")
    assert len(rows) == 3 and rows[2] == {
        **rows[2], "actor": root.said("GET", "/v1/user/self")["id"], "actor_name": "root", "via": "api",
        "address": root.address, "before": {"balance": "0.00"},
        "after": {"balance": "9.45", "amount": "9.45", "ref": body["ref"], "note": "thanks", "entry": first["entry"]},
    }  # fmt: skip
    assert rows[2]["request_id"].startswith("req_")


def test_a_correction_goes_either_way_and_needs_a_note(root: Person, ann: Any) -> None:
    path, body = "/v1/admin/credits/correct", {"user": ann.id, "note": "charged twice"}
    said = root.said("POST", path, {**body, "amount": "-1.50", "ref": f"c:{ann.name}"})
    assert (said["balance"], said["corrected"], said["already_done"]) == ("-1.50", "-1.5", False)  # below zero it may
    assert root.said("POST", path, {**body, "amount": -1.5, "ref": f"c:{ann.name}"})["already_done"] is True
    assert root.said("POST", path, {**body, "amount": 2})["balance"] == "0.50"
    error(root.ask("POST", path, {"user": ann.id, "amount": 1}), 400, "missing_field", "note")
    error(root.ask("POST", path, {**body, "amount": 1, "note": " "}), 400, "invalid_value", "note")
    error(root.ask("POST", path, {**body, "amount": "0.0"}), 400, "invalid_value", "amount")
    kept = root.said("GET", f"/v1/admin/ledger/entries?user={ann.id}&kind=correct")
    assert [(row["amount"], row["debit"], row["note"]) for row in kept["data"]] == [
        ("2", "corrections", "charged twice"), ("1.5", "credits", "charged twice"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "status", "code", "param"),
    [
        ({"user": None}, 400, "missing_field", "user"),
        ({"user": "x"}, 400, "invalid_value", "user"),
        ({"user": 1.5}, 400, "invalid_value", "user"),
        ({"user": 999999}, 404, "not_found", None),
        ({"user": None, "username": "nobody"}, 404, "not_found", None),
        ({"username": "root"}, 400, "invalid_value", "username"),
        ({"amount": None}, 400, "missing_field", "amount"),
        ({"amount": 0}, 400, "invalid_value", "amount"),
        ({"amount": "-1"}, 400, "invalid_value", "amount"),
        ({"amount": True}, 400, "invalid_value", "amount"),
        ({"amount": "1e3"}, 400, "invalid_value", "amount"),
        ({"amount": "0.0000000000001"}, 400, "invalid_value", "amount"),
        ({"amount": "1000000.01"}, 400, "invalid_value", "amount"),
        ({"amount": "999999"}, 400, "invalid_value", "amount"),  # past a million with what is there
        ({"note": "a\nb"}, 400, "invalid_value", "note"),
        ({"note": "x" * 501}, 400, "invalid_value", "note"),
        ({"ref": ""}, 400, "invalid_value", "ref"),
        ({"ref": "-x"}, 400, "invalid_value", "ref"),
        ({"ref": "x" * 101}, 400, "invalid_value", "ref"),
        ({"ref": "a", "header": "b"}, 400, "invalid_value", "ref"),
        ({"header": "a b"}, 400, "invalid_value", "Idempotency-Key"),
        ({"header": ""}, 400, "invalid_value", "Idempotency-Key"),
        ({"user": 999999, "amount": 0}, 400, "invalid_value", "amount"),
    ],
)
def test_credits_that_are_not_given(
    root: Person, ann: Any, fields: dict[str, Any], status: int, code: str, param: str | None
) -> None:
    root.said("POST", "/v1/admin/credits", {"user": ann.id, "amount": 2})
    body = {"user": ann.id, "amount": 1, **fields}
    header = {"Idempotency_Key": body.pop("header")} if "header" in fields else {}
    error(root.ask("POST", "/v1/admin/credits", body, **header), status, code, param)
    assert shown(root, ann)["balance"] == "2.00" and len(audited(root, target=f"user:{ann.id}")) == 2


def test_twenty_at_once_with_one_ref_are_one(root: Person, ann: Any) -> None:
    body, said = {"user": ann.id, "amount": 1, "ref": f"once:{ann.name}"}, list[Any]()

    def grant() -> None:
        with httpx.Client(base_url=root.house.http.base_url, trust_env=False, timeout=30) as http:
            headers = {"Authorization": f"Bearer {root.token}"}
            said.append(http.post("/v1/admin/credits", json=body, headers=headers).json())

    threads = [threading.Thread(target=grant) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one["already_done"] for one in said) == [False] + [True] * 19
    assert {one["entry"] for one in said} == {said[0]["entry"]} and shown(root, ann)["balance"] == "1.00"
    assert len(audited(root, target=f"user:{ann.id}", action="credit.grant")) == 1


# The audit


def test_the_command_line_is_audited_too(house: House, root: Person, ann: Any) -> None:
    house.cli("credit", "grant", ann.name, "1", "--note", "by hand")
    house.cli("users", "disable", ann.name)
    rows = audited(root, target=f"user:{ann.id}")
    assert [(row["action"], row["actor"], row["via"]) for row in rows[:2]] == [
        ("user.update", None, "cli"), ("credit.grant", None, "cli"),
    ]  # fmt: skip
    assert rows[0]["before"] == {"status": "active"} and rows[0]["after"] == {"status": "disabled"}


def test_a_password_by_the_command_line(house: House, root: Person, ann: Any) -> None:
    cookie, _ = session(ann)
    said = house.cli("users", "password", ann.name, "--password", "-", "--json", stdin="by command\n")
    assert said == {"id": ann.id, "username": ann.name}
    error(ann.ask("GET", "/v1/user/self"), 401, "invalid_token")
    error(ann.ask("GET", "/v1/user/self", **cookie), 401, "invalid_api_key")
    assert ann.login(ann.name, "by command").status_code == 200
    short = house.cli("users", "password", ann.name, "--password", "-", stdin="short\n", code=1)
    assert "a password has 6 to 1024 bytes" in short[1]
    said = house.cli("audit", "--limit", "1", "--json")
    assert said["data"] == root.said("GET", "/v1/admin/audit?page_size=1")["data"]
    assert (said["data"][0]["action"], said["data"][0]["via"]) == ("user.password", "cli")
    assert "user.password" in house.cli("audit")[0]


def test_the_audit_in_pages(root: Person, ann: Any) -> None:
    for n in range(5):
        root.said("PATCH", f"/v1/admin/users/{ann.id}", {"name": f"n{n}"})
    path = f"/v1/admin/audit?target=user:{ann.id}&action=user.update&page_size=2"
    first = root.said("GET", path)
    assert [row["after"]["name"] for row in first["data"]] == ["n4", "n3"] and first["total"] == 5
    root.said("PATCH", f"/v1/admin/users/{ann.id}", {"name": "late"})
    second = root.said("GET", f"{path}&cursor={first['next']}")
    third = root.said("GET", f"{path}&cursor={second['next']}")
    assert [row["after"]["name"] for row in second["data"] + third["data"]] == ["n2", "n1", "n0"]
    assert third["next"] is None and third["total"] == 6
    own = root.said("GET", "/v1/user/self")["id"]
    newest = root.said("GET", f"/v1/admin/audit?actor={own}&page_size=1")
    assert newest["data"] == root.said("GET", "/v1/admin/audit?actor=ROOT&page_size=1")["data"]
    assert newest["data"][0].keys() == {
        "id", "at", "actor", "actor_name", "via", "address", "action", "target", "before", "after", "request_id",
    }  # fmt: skip
    error(root.ask("GET", f"/v1/admin/ledger/entries?cursor={first['next']}"), 400, "invalid_value", "cursor")
    with_session(root, ann)


def with_session(root: Person, ann: Any) -> None:
    """What a browser changes is audited as that."""
    said = root.ask("POST", "/v1/auth/session", {"username": "root", "password": "operator-pass"}, token="")
    cookie = {"token": "", "Cookie": said.headers["set-cookie"].partition(";")[0]}
    path = f"/v1/admin/users/{ann.id}"
    error(root.ask("PATCH", path, {"name": "x"}, **cookie), 403, "csrf_failed")
    root.said("PATCH", path, {"name": "seen"}, **cookie, X_CSRF_Token=said.json()["csrfToken"])
    row = audited(root, target=f"user:{ann.id}")[0]
    assert (row["via"], row["before"], row["after"]) == ("session", {"name": "late"}, {"name": "seen"})


def test_nothing_secret_stands_in_the_audit(house: House, root: Person, ann: Any) -> None:
    _, key = ann.key()
    cookie, csrf = session(ann)
    new = ann.said("POST", "/v1/auth/password", {"currentPassword": f"{ann.name}-pass", "newPassword": "new-secret"})
    made = root.said("POST", f"/v1/admin/users/{ann.id}/password")["password"]
    secrets = [key, key[12:], cookie["Cookie"].partition("=")[2], csrf, "new-secret", new["token"], made, root.token]
    with closing(sqlite3.connect(f"file:{house.data / 'ftgate.sqlite3'}?mode=ro", uri=True)) as connection:
        kept = "\n".join(map(str, connection.execute("SELECT * FROM audit")))
        hashes = [row[0] for row in connection.execute("SELECT password FROM users WHERE password <> ''")]
    assert "user.password" in kept and not [one for one in [*secrets, *hashes] if one in kept]


# The ledger


def test_entries_of_a_call(root: Person, ann: Any) -> None:
    _, key = ann.key()
    root.said("POST", "/v1/admin/credits", {"user": ann.id, "amount": 1})
    answer = ann.call(key)
    said = root.said("GET", f"/v1/admin/ledger/entries?user={ann.id}")
    assert [row["kind"] for row in said["data"]] == ["post", "hold", "grant"] and said["total"] == 3
    post, hold, grant = said["data"]
    assert (post["hold"], post["amount"], post["user"]) == (hold["id"], answer.headers["x-findtoken-cost"], ann.id)
    assert hold["key"] == root.said("GET", f"/v1/admin/tokens?user={ann.id}")["data"][0]["id"]
    assert grant["key"] is grant["hold"] is None and grant["debit"] == "grants"
    of_ref = root.said("GET", f"/v1/admin/ledger/entries?ref={post['ref']}")
    assert of_ref["data"] == [post, hold]
    assert root.said("GET", "/v1/admin/ledger/entries?kind=post&page_size=1")["data"] == [post]
    for query, param in (("kind=x", "kind"), ("user=x", "user"), ("page=x", "page")):
        error(root.ask("GET", f"/v1/admin/ledger/entries?{query}"), 400, "invalid_value", param)


def test_the_ledger_is_exported(root: Person, ann: Any) -> None:
    root.said("POST", "/v1/admin/credits", {"user": ann.id, "amount": 1, "note": '=1+1, "x"'})
    root.said("POST", "/v1/admin/credits/correct", {"user": ann.id, "amount": -1, "note": "back"})
    answer = root.ask("GET", f"/v1/admin/ledger/export?user={ann.id}")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"].startswith("attachment")
    rows = [*csv.DictReader(io.StringIO(answer.text, newline=""))]
    assert [(row["kind"], row["note"]) for row in rows] == [("grant", '\'=1+1, "x"'), ("correct", "back")]
    as_json = root.ask("GET", f"/v1/admin/ledger/export?format=json&user={ann.id}")
    assert as_json.headers["content-type"] == "application/x-ndjson" and as_json.headers["cache-control"] == "no-store"
    lines = [json.loads(line) for line in as_json.text.splitlines()]
    assert lines == root.said("GET", f"/v1/admin/ledger/entries?user={ann.id}")["data"][::-1]
    every = root.ask("GET", "/v1/admin/ledger/export?format=json").text.splitlines()
    assert [json.loads(line)["id"] for line in every] == [str(n + 1) for n in range(len(every))]
    error(root.ask("GET", "/v1/admin/ledger/export?format=xml"), 400, "invalid_value", "format")
    assert root.ask("HEAD", "/v1/admin/ledger/export").status_code == 200


def test_the_ledger_is_verified(root: Person) -> None:
    said = root.said("POST", "/v1/admin/ledger/verify")
    assert said["ok"] is True and said["open_holds"] == 0 and said["accounts"] > 0 and said["entries"] > 0
    assert "disagreement" not in said


# What nobody would send


ODD: list[Any] = [
    None, True, 0, -1, 1.5, 10**30, "", " ", "0", "-0", "1e5", "NaN", "Infinity", "\u0000", "a\u2028b", "\U0001f600",
    "x" * 5000, "٣", [], [1], {}, {"a": 1}, "%", "_", "' OR 1=1 --", "../..", "1" * 19,
]  # fmt: skip
BODIES = {
    "POST /v1/admin/users": "username password email name role plan mode credits",
    "PATCH /v1/admin/users/{id}": "status role plan mode name email",
    "POST /v1/admin/users/{id}/password": "newPassword",
    "PATCH /v1/admin/tokens/{id}": "status",
    "POST /v1/admin/credits": "user username amount note ref",
    "POST /v1/admin/credits/correct": "user username amount note ref",
}
QUERIES = {
    "/v1/admin/users": "page page_size pageSize cursor q status",
    "/v1/admin/tokens": "page cursor user status",
    "/v1/admin/audit": "page page_size cursor actor action target",
    "/v1/admin/ledger/entries": "page cursor user kind ref",
    "/v1/admin/ledger/export": "format user",
}


@pytest.mark.parametrize("route", BODIES)
def test_odd_fields_are_refused_or_taken_and_never_fail(root: Person, route: str) -> None:
    method, path = route.split()
    said = []
    for field in BODIES[route].split():
        for odd in ODD:
            body = {
                "username": "nobody here",
                "role": "x",
                "amount": "x",
                field: odd,
            }  # which makes and moves nothing by itself
            answer = root.ask(method, path.format(id="999999"), body)
            said.append((answer.status_code, bool(answer.json()["error"]["code"]), field, odd))
    assert said and [one for one in said if not (400 <= one[0] < 500 and one[1])] == []


@pytest.mark.parametrize("path", QUERIES)
def test_odd_queries_are_refused_or_taken_and_never_fail(root: Person, path: str) -> None:
    forged = [
        base64.urlsafe_b64encode(json.dumps([kind, place]).encode()).decode().rstrip("=")
        for kind in ("users", "tokens", "audit", "entries") for place in (0, -(2**70), 2**70, "x")
    ]  # fmt: skip
    for name in QUERIES[path].split():
        for odd in [*map(str, ODD), *forged, "%ff", "%00"]:
            query = odd if odd in {"%ff", "%00"} else quote(odd)
            answer = root.ask("GET", f"{path}?{name}={query}")
            assert answer.status_code in {200, 400}, (name, odd, answer.text)
            assert answer.status_code == 200 or answer.json()["error"]["param"] == name
    for id in ("%00", "%ff", "%2e%2e", "1%2f2", "%F0%9F%98%80", "1" * 400, "-", "1 "):
        answer = root.ask("GET", f"/v1/admin/users/{id}")
        assert answer.status_code == 404, answer.text
