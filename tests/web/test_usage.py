"""The request log and statistics over HTTP: what is asked of the journal, and how it is answered."""

import base64
from typing import Any

import msgspec
import pytest

from ftgate.core import logged
from ftgate.core.logged import OPERATOR, ROW, Listed, Recorded, Sums, Wanted, shown
from ftgate.core.pricing import Price, Tier
from ftgate.core.receipt import price_text
from ftgate.core.tries import Try, tries_text
from ftgate.ports.site import Person
from tests.core.test_logged import ONE
from tests.web.fakes import Asking

FIRST = {"skipped": 0, "size": 20, "after": None}
ADMIN = b"eyJadmin"


def asking() -> Asking:
    made = Asking()
    made.sessions.tokens = {
        "eyJadmin": Person(9, "root", "admin", "default"),
        "eyJuser": Person(8, "u", "user", "default"),
    }
    return made


@pytest.mark.parametrize(
    ("query", "wanted", "chosen"),
    [
        ("", {}, {}),
        ("?page=3&page_size=7", {}, {"skipped": 14, "size": 7}),
        ("?page=2&pageSize=1000", {}, {"skipped": 100, "size": 100}),
        ("?page=&page_size=&model=&status=&key=&from=&format=&cursor=", {}, {}),
        ("?model=a/b&status=ok&mode=byok&key=7", {"model": "a/b", "status": "ok", "mode": "byok", "key": 7}, {}),
        ("?status=502&request_id=req_1", {"http_status": 502, "request_id": "req_1"}, {}),
        ("?from=1970-01-01T00:00:01Z", {"from_us": 1_000_000}, {}),
        ("?to=1970-01-01T01:00:00+01:00", {"to_us": 0}, {}),  # a plus that was not escaped
        ("?to=1970-01-01T01:00:00%2B01:00", {"to_us": 0}, {}),
        ("?to=1970-01-01+01:00", {"to_us": 3600 * 10**6}, {}),  # a space that was
        ("?to=1970-01-01+02:00:00+01:00", {"to_us": 3600 * 10**6}, {}),
        (
            "?from=1970-01-01&to=1970-01-02T05:30&tz=Asia/Kolkata",
            {"from_us": -19800 * 10**6, "to_us": 86400 * 10**6},
            {},
        ),
        ("?from=1970-01-01&tz=Etc/GMT+12", {"from_us": 12 * 3600 * 10**6}, {}),
        ("?from=1970-01-01T00:00:00Z&tz=Asia/Kolkata", {"from_us": 0}, {}),
        ("?account=2&user=2&channel=c", {}, {}),
    ],
)
async def test_what_the_logs_are_asked_for(query: str, wanted: dict[str, Any], chosen: dict[str, Any]) -> None:
    house = asking()
    answer = await house.ask("/v1/user/logs" + query)
    assert answer.status == 200 and house.journal.asked == [(Wanted(account=1, **wanted), FIRST | chosen)]


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("page=0", "page"), ("page=-1", "page"), ("page=x", "page"), ("page=%C2%B2", "page"), ("page=1.5", "page"),
        ("page_size=0", "page_size"), ("from=yesterday", "from"), ("to=2026-13-01", "to"), ("key=x", "key"),
        ("key=-1", "key"), ("key=" + "9" * 30, "key"), ("format=xml", "format"), ("cursor=x", "cursor"),
        ("cursor=WyJvdGhlciIsMSwyXQ", "cursor"), ("tz=Nowhere/Land", "tz"), ("tz=../x", "tz"),
        ("tz=../../etc/passwd", "tz"), ("tz=/etc/localtime", "tz"), ("tz=right/UTC", "tz"), ("tz=Asia", "tz"),
        ("tz=tzdata.zi", "tz"), ("tz=localtime", "tz"), ("tz=" + "A" * 5000, "tz"), ("tz=%00", "tz"),
        ("tz=%FF", "tz"),
    ],
)  # fmt: skip
async def test_logs_that_cannot_be_asked_for(query: str, param: str) -> None:
    house = asking()
    answer = await house.ask("/v1/user/logs?" + query)
    assert (answer.status, answer.json()["error"]["param"], house.journal.asked) == (400, param, [])
    assert answer.json()["error"]["code"] == "invalid_value"


async def test_a_page_and_its_cursor() -> None:
    house = asking()
    house.journal.listed = Listed([ONE], 57, (1_500_000, 4))
    said = (await house.ask("/v1/user/logs?page=2")).json()
    following = said.pop("next")
    assert said == {"data": [shown(ONE)], "page": 2, "page_size": 20, "total": 57}
    house.journal.listed = Listed([], 57, None)
    last = (await house.ask(f"/v1/user/logs?page=3&cursor={following}")).json()
    assert last["next"] is None
    assert house.journal.asked[-1] == (Wanted(account=1), {"skipped": 0, "size": 20, "after": (1_500_000, 4)})


async def test_a_cursor_of_any_numbers_is_taken_or_refused() -> None:
    house = asking()
    for place in ([1, 2, 3], [1], ["1", 2], [1.5, 2], [True, 2], [10**30, 2]):
        cursor = base64.urlsafe_b64encode(msgspec.json.encode(["requests", *place]) if place[0] != 10**30 else
                                          b'["requests",1' + b"0" * 30 + b",2]").decode()  # fmt: skip
        assert (await house.ask(f"/v1/user/logs?cursor={cursor}")).status in (200, 400)


@pytest.mark.parametrize(
    ("query", "accept", "is_csv"),
    [
        ("format=csv", None, True), ("format=csv", "application/json", True), ("", "text/csv", True),
        ("", "text/csv, application/json;q=0.5", True), ("", "application/json, text/csv;q=0.9", False),
        ("", "*/*", False), ("", "text/html", False), ("format=json", "text/csv", False), ("", None, False),
    ],
)  # fmt: skip
async def test_csv_is_asked_for(query: str, accept: str | None, is_csv: bool) -> None:
    house = asking()
    house.journal.pieces = [b"a,b\r\n", b"1,2\r\n"]
    headers = {} if accept is None else {"accept": accept}
    answer = await house.ask(f"/v1/user/logs?model=m&page=0&{query}" if is_csv else f"/v1/user/logs?{query}", **headers)
    assert answer.status == 200 and answer.headers["cache-control"] == "no-store"
    if not is_csv:
        assert answer.headers["content-type"] == "application/json"
        return
    assert house.journal.asked == [(Wanted(account=1, model="m"), {"names": ROW})]
    assert answer.body == b"a,b\r\n1,2\r\n"
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"].startswith("attachment")


async def test_statistics() -> None:
    house = asking()
    house.journal.sums = {
        "b": Sums(2, 10, 5, 5 * 10**10), "a": Sums(1, 1, 1, 315 * 10**6), "": Sums(3), "c": Sums(4, cost=5 * 10**10),
    }  # fmt: skip
    said = (await house.ask("/v1/user/stats?period=7d&tz=Asia/Kolkata")).json()
    whole = {"requestCount": 10, "promptTokens": 11, "completionTokens": 6, "cost": "10.0315"}
    assert (said["period"], said["tz"], "hourlyBreakdown" in said) == ("7d", "Asia/Kolkata", False)
    assert [said[f"total{name}"] for name in ("Requests", "PromptTokens", "CompletionTokens", "Cost")] == [
        *whole.values()
    ]
    assert len(said["dailyBreakdown"]) == 7
    assert said["dailyBreakdown"][-1] == {"date": said["dailyBreakdown"][-1]["date"], **whole}
    assert said["dailyBreakdown"][0] | {"date": ""} == {
        "date": "", "requestCount": 0, "promptTokens": 0, "completionTokens": 0, "cost": "0",
    }  # fmt: skip
    assert [(one["model"], one["cost"]) for one in said["modelBreakdown"]] == [
        ("c", "5"), ("b", "5"), ("a", "0.0315"), ("(none)", "0"),
    ]  # fmt: skip
    ((account, window),) = house.journal.windows
    assert (
        account == 1
        and said["from"].endswith(":30:00.000Z")
        and window.days[0].name == said["dailyBreakdown"][0]["date"]
    )


async def test_statistics_of_a_day_and_of_a_month() -> None:
    house = asking()
    day = (await house.ask("/v1/user/stats")).json()
    assert (day["period"], day["tz"], len(day["hourlyBreakdown"])) == ("24h", "UTC", 24)
    assert day["hourlyBreakdown"][0]["hour"].endswith(":00:00+00:00") and len(day["dailyBreakdown"]) in (1, 2)
    assert len((await house.ask("/v1/user/stats?period=30d", secret=b"eyJuser")).json()["dailyBreakdown"]) == 30
    assert [account for account, _ in house.journal.windows] == [1, 8]
    for query, param in (("period=1d", "period"), ("period=", "period"), ("tz=../x", "tz"), ("tz=Mars/Base", "tz")):
        refused = await house.ask(f"/v1/user/stats?{query}")
        assert (refused.status, refused.json()["error"]["param"]) == (400, param)


async def test_what_the_operator_sees() -> None:
    house = asking()
    house.journal.listed = Listed([ONE], 1, None)
    said = (await house.ask("/v1/admin/requests?user=4&channel=c&status=ok", secret=ADMIN)).json()
    assert said["data"] == [shown(ONE, OPERATOR)]
    assert house.journal.asked == [(Wanted(account=4, channel="c", status="ok"), FIRST)]
    house.journal.asked.clear()
    assert (await house.ask("/v1/admin/requests?format=csv", secret=ADMIN)).status == 200
    assert house.journal.asked == [(Wanted(), {"names": OPERATOR})]
    wrong = await house.ask("/v1/admin/requests?user=x", secret=ADMIN)
    assert (wrong.status, wrong.json()["error"]["param"]) == (400, "user")


async def test_one_call_with_its_attempts() -> None:
    house = asking()
    price = Price(150_000, 600_000, 75_000, 0, 0, per_request=10**9, tiers=(Tier(9, 1, 2, 3, 4, 5),))
    tried = [Try("c1", "m", "rate_limited", 429, 12, "slow down", "up-7"), Try("c2", "n", "ok", 200, 30)]
    house.journal.calls = {
        "req_1": Recorded(ONE, "", ""),
        "req_5": Recorded(ONE, "", "", upstream_id="up-9"),
        "req_2": Recorded(ONE, price_text(price), tries_text(tried)),
        "req_3": Recorded(msgspec.structs.replace(ONE, status="error", error_code="x"), "nonsense", "nonsense"),
        "req_4": Recorded(msgspec.structs.replace(ONE, attempts=0), "", ""),
    }
    first = (await house.ask("/v1/admin/requests/req_1", secret=ADMIN)).json()
    answered: dict[str, object] = {"outcome": "ok", "status": 200, "error": None, "upstream_id": None}
    assert first == shown(ONE, OPERATOR) | {
        "upstream_id": None, "price": None, "attempts_detail": [{"channel": "c", "model": "m", "ms": 5, **answered}],
    }  # fmt: skip
    known = (await house.ask("/v1/admin/requests/req_5", secret=ADMIN)).json()
    assert known["upstream_id"] == known["attempts_detail"][0]["upstream_id"] == "up-9"
    second = (await house.ask("/v1/admin/requests/req_2", secret=ADMIN)).json()
    assert second["price"] == {
        "input": "0.15", "output": "0.6", "cached": "0.075", "cache_write": "0", "cache_write_1h": "0",
        "per_request": "0.001",
        "tiers": [
            {
                "above": 9, "input": "0.000001", "output": "0.000002", "cached": "0.000003",
                "cache_write": "0.000004", "cache_write_1h": "0.000005",
            }
        ],
    }  # fmt: skip
    assert second["attempts_detail"] == [
        {
            "channel": "c1", "model": "m", "outcome": "rate_limited", "status": 429, "ms": 12, "error": "slow down",
            "upstream_id": "up-7",
        },
        {"channel": "c2", "model": "n", "ms": 30, **answered},
    ]  # fmt: skip
    third = (await house.ask("/v1/admin/requests/req_3", secret=ADMIN)).json()
    assert third["price"] is None and third["attempts_detail"][0]["error"] == "x"
    assert (await house.ask("/v1/admin/requests/req_4", secret=ADMIN)).json()["attempts_detail"] == []
    gone = await house.ask("/v1/admin/requests/req_9", secret=ADMIN)
    assert (gone.status, gone.json()["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize("path", ["/v1/admin/requests", "/v1/admin/requests/req_1"])
async def test_it_is_the_operator_s_alone(path: str) -> None:
    house = asking()
    assert (await house.ask(path)).status == 403  # a key, whosever it is
    assert (await house.ask(path, secret=b"eyJuser")).status == 403
    assert (await house.ask(path, secret=None)).status == 401
    assert house.journal.asked == [] and logged.ROW == ROW
