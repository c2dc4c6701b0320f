"""Logs, CSV and statistics of real calls, through a real process."""

import csv
import io
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.blackbox.harness import HELLO_COST, Account, House, channel, error

CONFIG = "[limits]\nrequests_per_second = 0\n" + channel("lab", {"plain": {}, "other": {}, "bad": {}})
ROW = (
    "request_id,created_at,model,served_model,provider,status,http_status,error_code,mode,prompt_tokens,cached_tokens,"
    "completion_tokens,cost,estimated,latency_ms,first_token_ms,attempts,stream,key,key_name"
)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("usage"), CONFIG, scripts={"bad": {"status": 422}}) as house:
        yield house


@pytest.fixture(scope="module")
def account(house: House) -> Account:
    """Twelve calls: seven plain, two of another model, one streamed, one refused by the provider, one of no model."""
    account = house.account("1")
    made = house.cli("keys", "create", "--user", account.name, "--name", "=1+1", "--json")
    account = Account(account.name, made["key"])
    for _ in range(7):
        assert house.chat(account).status_code == 200
    for _ in range(2):
        assert house.chat(account, "other").status_code == 200
    assert house.chat(account, stream=True).status_code == 200
    assert house.chat(account, "bad").status_code == 422
    assert house.chat(account, "=nothing").status_code == 400
    house.wait_for(lambda: len(house.rows(account)) == 12, "not all have settled")
    return account


def listed(house: House, account: Account, **query: Any) -> list[dict[str, Any]]:
    """All pages, by their cursors."""
    rows: list[dict[str, Any]] = []
    page = house.get("/v1/user/logs", account, **query)
    while True:
        rows += page["data"]
        assert page["total"] >= len(rows)
        if page["next"] is None:
            assert page["total"] == len(rows)
            return rows
        page = house.get("/v1/user/logs", account, **query | {"cursor": page["next"]})


def test_pages_by_cursor(house: House, account: Account) -> None:
    rows = listed(house, account, page_size=5)
    assert len(rows) == 12 and len({row["request_id"] for row in rows}) == 12
    assert ",".join(rows[0]) == ROW
    assert (rows[0]["model"], rows[0]["served_model"], rows[0]["http_status"]) == ("=nothing", "", 400)
    assert (rows[0]["key_name"], rows[0]["cost"]) == ("=1+1", "0")
    times = [row["created_at"] for row in rows]
    assert times == sorted(times, reverse=True)


@pytest.mark.parametrize(
    ("query", "many"),
    [
        ({"model": "plain"}, 8), ({"model": "other"}, 2), ({"model": "=nothing"}, 1), ({"model": "none"}, 0),
        ({"status": "ok"}, 10), ({"status": "error"}, 1), ({"status": "422"}, 1), ({"status": "refused"}, 1),
        ({"mode": "standard"}, 12), ({"mode": "byok"}, 0), ({"key": "999999"}, 0), ({"request_id": "none"}, 0),
        ({"from": "2020-01-01", "to": "2021-01-01"}, 0), ({"from": "2020-01-01"}, 12),
        ({"model": "plain", "status": "ok", "from": "2020-01-01"}, 8),
    ],
)  # fmt: skip
def test_filters(house: House, account: Account, query: dict[str, str], many: int) -> None:
    assert len(listed(house, account, page_size=3, **query)) == many


def test_one_key_and_one_request(house: House, account: Account) -> None:
    row = house.rows(account)[3]
    assert listed(house, account, request_id=row["request_id"]) == [row]
    assert len(listed(house, account, key=row["key"])) == 12
    stranger = house.account("1")
    assert listed(house, stranger, request_id=row["request_id"]) == [] == listed(house, stranger, key=row["key"])


def test_csv(house: House, account: Account) -> None:
    answer = house.http.get("/v1/user/logs?format=csv", headers=account.headers)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8" and answer.headers["cache-control"] == "no-store"
    head, *lines = list(csv.reader(io.StringIO(answer.text, newline="")))
    rows = house.rows(account)[::-1]
    assert ",".join(head) == ROW and [line[0] for line in lines] == [row["request_id"] for row in rows]
    assert lines[-1][2] == "'=nothing" and lines[-1][-1] == "'=1+1" and lines[0][15] == "" and lines[0][17] == "false"
    by_accept = house.http.get("/v1/user/logs?model=other", headers={**account.headers, "Accept": "text/csv"})
    assert len(by_accept.text.splitlines()) == 3
    error(house.http.get("/v1/user/logs?format=xlsx", headers=account.headers), 400, "invalid_value", "format")


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "Australia/Lord_Howe"])
@pytest.mark.parametrize(("period", "days"), [("24h", (1, 2)), ("7d", (7,)), ("30d", (30,))])
def test_statistics_say_what_the_logs_say(
    house: House, account: Account, period: str, days: tuple[int, ...], zone: str
) -> None:
    said = house.get("/v1/user/stats", account, period=period, tz=zone)
    rows = listed(house, account, **{"from": said["from"], "to": said["to"]})
    assert said["totalRequests"] == len(rows) == 12 and said["totalCost"] == str(HELLO_COST * 1000).rstrip("0")
    assert Decimal(said["totalCost"]) == sum(Decimal(row["cost"]) * 100 for row in rows)
    assert len(said["dailyBreakdown"]) in days
    parts = [said["dailyBreakdown"], said["modelBreakdown"], said.get("hourlyBreakdown", said["dailyBreakdown"])]
    for part in parts:
        for name, total in (
            ("requestCount", "totalRequests"), ("promptTokens", "totalPromptTokens"),
            ("completionTokens", "totalCompletionTokens"),
        ):  # fmt: skip
            assert sum(one[name] for one in part) == said[total]
        assert sum(Decimal(one["cost"]) for one in part) == Decimal(said["totalCost"])
    assert [one["model"] for one in said["modelBreakdown"]] == ["plain", "other", "(none)"]


def test_what_cannot_be_asked_for(house: House, account: Account) -> None:
    for query, param in (("period=1y", "period"), ("tz=../x", "tz"), ("tz=Nowhere", "tz")):
        error(house.http.get(f"/v1/user/stats?{query}", headers=account.headers), 400, "invalid_value", param)
    error(house.http.get("/v1/user/stats"), 401, "invalid_api_key")
    error(house.http.get("/v1/user/logs?cursor=x", headers=account.headers), 400, "invalid_value", "cursor")
    error(house.http.get("/v1/admin/requests", headers=account.headers), 403, "forbidden")


def test_the_operator_sees_everybody_s_requests_and_what_became_of_each_attempt(tmp_path: Path) -> None:
    config = (
        "[retry]\nbackoff = 0\n"
        + channel("first", {"plain": {"upstream": "weak"}}, priority=-1)
        + channel("second", {"plain": {}})
    )
    with House(tmp_path, config) as house:
        account, other = house.account("1"), house.account("1")
        house.cli("users", "create", "root", "--admin", "--password", "-", "--json", stdin="correct horse\n")
        said = house.http.post("/v1/auth/login", json={"username": "root", "password": "correct horse"}).json()
        operator = Account("root", said["token"])
        assert house.chat(other).status_code == 200
        house.fake.script(weak={"status": 503})
        answer = house.chat(account)
        assert answer.status_code == 200, answer.text
        row = house.row(account, answer.headers["x-request-id"])
        found = house.get("/v1/admin/requests", operator)
        assert [one["user"] for one in found["data"]] == [house.user(account)["id"], house.user(other)["id"]]
        seen = house.get(f"/v1/admin/requests/{row['request_id']}", operator)
        assert row.items() <= seen.items() and seen["price"]["input"] and seen["lost"] == "0"
        first, second = seen["attempts_detail"]
        assert (first["channel"], first["outcome"], first["status"]) == ("first", "overloaded", 503)
        assert first["error"] == "scripted 503" and first["ms"] + second["ms"] <= row["latency_ms"]
        assert second | {"ms": 0} == {
            "channel": "second", "model": "plain", "outcome": "ok", "status": 200, "ms": 0, "error": None,
            "upstream_id": seen["upstream_id"],
        }  # fmt: skip
        assert re.fullmatch(r"req_[0-9]+", seen["upstream_id"]) and first["upstream_id"] != seen["upstream_id"]
        assert re.fullmatch(r"req_[0-9]+", first["upstream_id"])
        assert house.get("/v1/admin/requests", operator, user=house.user(other)["id"], channel="first")["total"] == 1
        export = house.http.get("/v1/admin/requests?format=csv", headers=operator.headers)
        assert len(export.text.splitlines()) == 3 and export.text.splitlines()[0].endswith(",user,channel,lost")
        error(house.http.get("/v1/admin/requests/none", headers=operator.headers), 404, "not_found")
        for path in ("/v1/admin/requests", f"/v1/admin/requests/{row['request_id']}", "/v1/admin/nothing"):
            error(house.http.get(path, headers=account.headers), 403, "forbidden")
            error(house.http.get(path), 401, "invalid_api_key")


def test_cursors_while_calls_end(house: House) -> None:
    """Three readers walk the pages while twenty calls at once end."""
    account = house.account("1")
    for _ in range(10):
        house.chat(account)
    there = [row["request_id"] for row in house.rows(account)]

    def walk() -> list[str]:
        seen: list[str] = []
        page = house.get("/v1/user/logs", account, page_size=1)
        while True:
            seen += [row["request_id"] for row in page["data"]]
            if page["next"] is None:
                return seen
            page = house.get("/v1/user/logs", account, page_size=1, cursor=page["next"])

    with ThreadPoolExecutor(8) as pool:
        walks = [pool.submit(walk) for _ in range(3)]
        calls = [pool.submit(house.chat, account) for _ in range(20)]
        assert [call.result().status_code for call in calls] == [200] * 20
        for walked in walks:
            seen = walked.result()
            assert len(seen) == len(set(seen)) and [id for id in seen if id in there] == there


def test_sums_outlive_a_kill(tmp_path: Path) -> None:
    with House(tmp_path, CONFIG) as house:
        account = house.account("1")
        for _ in range(5):
            assert house.chat(account).status_code == 200
        house.kill()
        house.start()
        said = house.get("/v1/user/stats", account)
        assert (said["totalRequests"], house.get("/v1/user/logs", account)["total"]) == (5, 5)
        assert house.verified()["ok"]


def test_a_made_up_history(tmp_path: Path) -> None:
    with House(tmp_path, CONFIG, serving=False) as house:
        made = house.cli("bench", "seed", "--requests", "3000", "--users", "3", "--days", "9", "--rand", "7", "--json")
        assert (made["requests"], [user["username"] for user in made["users"]]) == (3000, ["u1", "u2", "u3"])
        assert house.verified()["requests"] == 3000
        house.start()
        totals = []
        for user in made["users"]:
            seeded = Account(user["username"], user["key"])
            said = house.get("/v1/user/stats", seeded, period="30d")
            assert said["totalRequests"] == house.get("/v1/user/logs", seeded)["total"]
            assert sum(day["requestCount"] > 0 for day in said["dailyBreakdown"]) in (9, 10)
            totals.append(said["totalRequests"])
            login = {"username": user["username"], "password": "seedseed"}
            signed_in = house.http.post("/v1/auth/login", json=login).json()
            assert signed_in["user"]["requestCount"] == str(said["totalRequests"])
            token = Account(user["username"], signed_in["token"])
            assert house.get("/v1/user/stats", token, period="30d")["totalRequests"] == said["totalRequests"]
        assert sum(totals) == 3000 and min(totals) > 800
        assert house.chat(Account("u1", made["users"][0]["key"])).status_code == 200
