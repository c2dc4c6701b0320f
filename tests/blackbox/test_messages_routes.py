"""What stands around POST /v1/messages: its paths, its models' second names, keys, errors, and tokens that are counted,
through both doors."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.blackbox.harness import HELLO, Account, House, channel

NO_COUNT = {"status": 404, "error_body": {"type": "error", "error": {"type": "not_found_error", "message": "no"}}}
SCRIPTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "counts": {"raw_body": '{"input_tokens": 4242}'},
    "counts-not": NO_COUNT,
    "counts-badly": {"raw_body": "<html>"},
}
CONFIG = f"""
[limits]
requests_per_second = 0
[limits.model.limited]
requests_per_minute = 1
[alias]
older = "plain"
{channel("chats", ["plain", "limited", "other", "anthropic/own"], provider="deepseek", models_only=True)}
{channel("claude", [name for name in SCRIPTS if name != "plain"], provider="anthropic-compatible")}
"""


@pytest.fixture(scope="module", params=["", "hypercorn"])
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("routes"), CONFIG, SCRIPTS, way=request.param) as house:
        yield house


def ask(house: House, account: Account | None, model: str = "plain", path: str = "/v1/messages", **more: Any) -> Any:
    body = {"model": model, "max_tokens": 10, "messages": HELLO, **more}
    return house.http.post(house.url + path, json=body, headers=account.headers if account else {})


def count(house: House, account: Account | None, model: str = "plain", **more: Any) -> httpx.Response:
    body = {"model": model, "messages": HELLO, **more}
    headers = account.headers if account else {}
    return house.http.post("/anthropic/v1/messages/count_tokens", json=body, headers=headers)


def error(answer: httpx.Response, status: int, kind: str) -> str:
    """An error in Anthropic's shape; its message."""
    said = answer.json()
    assert (answer.status_code, said["type"], said["error"]["type"]) == (status, "error", kind), said
    assert said["request_id"] == answer.headers["x-request-id"]
    return str(said["error"]["message"])


PATHS = [
    "/v1/messages", "/v1/messages/", "/v1/messages?beta=true", "//v1//messages", "/messages", "/v1/v1/messages",
    "/anthropic/v1/messages", "/anthropic/messages", "/anthropic//v1/v1/messages/?beta=true",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_however_it_is_written(house: House, path: str) -> None:
    account = house.account()
    answer = ask(house, account, path=path)
    assert answer.status_code == 200 and answer.json()["type"] == "message"
    counting = path.partition("?")[0].rstrip("/") + "/count_tokens" + "?beta=true" * path.endswith("true")
    assert ask(house, account, path=counting).json().keys() == {"input_tokens"}
    assert len(house.rows(account)) == 1


def test_either_way_to_show_a_key(house: House) -> None:
    account = house.account()
    body = {"model": "plain", "max_tokens": 10, "messages": HELLO}
    for headers in ({"x-api-key": account.key}, {"x-api-key": account.key, **account.headers}):
        assert house.http.post("/v1/messages", json=body, headers=headers).status_code == 200
    differ = {"x-api-key": "sk-ft_" + "A" * 43, **account.headers}
    error(house.http.post("/v1/messages", json=body, headers=differ), 400, "invalid_request_error")
    for path in ("/v1/messages", "/anthropic/v1/messages/count_tokens"):
        error(house.http.post(path, json=body), 401, "authentication_error")


def test_a_second_name_is_the_same_model(house: House) -> None:
    account = house.account(models="plain")
    for name in ("anthropic/plain", "anthropic/older"):
        answer = ask(house, account, name)
        assert (answer.status_code, answer.headers["x-findtoken-model"]) == (200, "plain"), answer.text
        assert house.row(account, answer.headers["x-request-id"])["model"] == name
        assert count(house, account, name).status_code == 200
    assert error(ask(house, account, "anthropic/other"), 403, "permission_error")
    assert ask(house, house.account(models="anthropic/plain")).status_code == 200
    everybody = house.account()
    assert ask(house, everybody, "anthropic/own").headers["x-findtoken-model"] == "anthropic/own"
    statuses = [ask(house, everybody, name).status_code for name in ("anthropic/limited", "limited")]
    assert statuses[1] == 429 and statuses[0] in (
        200,
        429,
    )  # the other door's turn may have been less than a minute ago
    assert house.chat(everybody, "anthropic/plain").json()["error"]["code"] == "model_not_found"


@pytest.mark.parametrize("path", ["/v1/messages", "/anthropic/v1/messages", "/anthropic/v1/messages/count_tokens"])
def test_errors(house: House, path: str) -> None:
    account = house.account()
    unknown = ask(house, account, "nonesuch", path)
    assert "nonesuch" in error(unknown, 404, "not_found_error")
    if not path.endswith("count_tokens"):  # which leaves no row
        assert house.row(account, unknown.headers["request-id"])["http_status"] == 404
    body = {"model": "plain", "max_tokens": 10}
    missing = house.http.post(path, json=body, headers=account.headers)
    assert "messages" in error(missing, 400, "invalid_request_error")
    error(house.http.post(path, content=b"{", headers=account.headers), 400, "invalid_request_error")
    wrong = house.http.get(path, headers=account.headers)
    error(wrong, 405, "invalid_request_error")
    assert "POST" in wrong.headers["allow"]
    below = house.http.post(path + "/nonesuch", headers=account.headers)
    assert "Did you mean" in error(below, 404, "not_found_error")
    packed = house.http.post(path, json=body, headers={**account.headers, "Content-Encoding": "gzip"})
    error(packed, 415, "invalid_request_error")


def test_what_is_elsewhere_under_anthropic(house: House) -> None:
    account = house.account()
    error(house.http.post("/anthropic/v1/complete", headers=account.headers), 404, "not_found_error")
    error(house.http.post("/anthropic/v1/models", headers=account.headers), 405, "invalid_request_error")
    assert house.http.get("/v1/nonesuch").json()["error"]["code"] == "not_found"


def test_max_tokens_is_needed_to_answer_and_not_to_count(house: House) -> None:
    account = house.account()
    assert "max_tokens" in error(ask(house, account, max_tokens=None), 400, "invalid_request_error")
    answer = count(house, account)
    assert answer.status_code == 200 and answer.json().keys() == {"input_tokens"}
    assert answer.headers["content-type"] == "application/json"


TOOLS = [{"name": "look", "description": "Looks. " * 50, "input_schema": {"type": "object", "properties": {}}}]


def test_an_estimate_grows_with_what_is_asked(house: House) -> None:
    account = house.account("0")
    short, long, tooled = (
        count(house, account, **more)
        for more in ({}, {"messages": [{"role": "user", "content": "word " * 1000}]}, {"tools": TOOLS, "system": "Be."})
    )
    numbers = [answer.json()["input_tokens"] for answer in (short, long, tooled)]
    assert 1 <= numbers[0] < 20 and 500 < numbers[1] < 2500 and 50 < numbers[2] < 400
    assert {answer.headers["x-findtoken-counted-by"] for answer in (short, long, tooled)} == {"estimate"}
    assert house.fake.requests("plain") == [] or all("count" not in r["path"] for r in house.fake.requests("plain"))


def test_the_upstream_s_own_count_is_free_and_leaves_no_trace(house: House) -> None:
    account = house.account()
    headers = {**account.headers, "anthropic-beta": "token-counting-2024-11-01", "anthropic-version": "2023-06-01"}
    body = {"model": "anthropic/counts", "messages": HELLO, "system": "Be brief.", "tools": TOOLS, "routing": "auto"}
    answer = house.http.post("/v1/messages/count_tokens", params={"beta": "true"}, json=body, headers=headers)
    assert answer.json() == {"input_tokens": 4242} and answer.headers["x-findtoken-counted-by"] == "upstream"
    seen = house.fake.requests("counts")[-1]
    assert seen["path"] == "/v1/messages/count_tokens"
    assert seen["json"] == {"model": "counts", "messages": HELLO, "system": "Be brief.", "tools": TOOLS}
    assert ["anthropic-beta", "token-counting-2024-11-01"] in seen["headers"]
    assert ["anthropic-version", "2023-06-01"] in seen["headers"]
    assert house.rows(account) == [] and house.balance(account) == 1


def test_without_one_the_estimate_answers(house: House) -> None:
    account = house.account()
    for model in ("counts-not", "counts-not", "counts-badly"):
        answer = count(house, account, model, max_tokens=7)
        assert answer.status_code == 200 and answer.headers["x-findtoken-counted-by"] == "estimate"
    assert len(house.fake.requests("counts-not")) <= 2  # one from each door's house: it is not asked again at once
    assert "max_tokens" not in house.fake.requests("counts-badly")[-1]["json"]


def test_counts_fill_no_limit(tmp_path: Any) -> None:
    config = "[limits]\nrequests_per_second = 0\nrequests_per_minute = 1\n" + channel("chats", ["plain"])
    with House(tmp_path, config, SCRIPTS) as house:
        account = house.account()
        assert [count(house, account).status_code for _ in range(5)] == [200] * 5
        assert ask(house, account).status_code == 200
        assert ask(house, account).status_code == 429
        assert count(house, account).status_code == 200


def test_a_body_past_the_limit_is_not_counted(tmp_path: Any) -> None:
    config = "[server]\nmax_body_mb = 1\n" + channel("chats", ["plain"])
    for way in ("", "hypercorn"):
        with House(tmp_path / (way or "fast"), config, SCRIPTS, way=way) as house:
            account = house.account()
            long = count(house, account, messages=[{"role": "user", "content": "x" * 1_000_001}])
            error(long, 413, "request_too_large")
            nearly = count(house, account, messages=[{"role": "user", "content": "word " * 190_000}])
            assert nearly.status_code == 200 and nearly.json()["input_tokens"] > 100_000


def test_browsers_may_count(house: House) -> None:
    asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    for path in ("/v1/messages", "/anthropic/v1/messages", "/v1/messages/count_tokens"):
        assert house.http.options(path, headers=asked).headers["access-control-allow-origin"] == "*"
    answer = count(house, house.account())
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "x-findtoken-counted-by" in answer.headers["access-control-expose-headers"].lower()


def test_counting_in_a_row_on_one_connection(house: House) -> None:
    """A count, a call and a count, sent at once."""
    account = house.account()
    with house.connect() as wire:
        for path in ("/v1/messages/count_tokens", "/v1/messages", "/v1/messages/count_tokens"):
            body = json.dumps({"model": "plain", "max_tokens": 5, "messages": HELLO}).encode()
            head = f"POST {path} HTTP/1.1\r\nHost: ftgate\r\nx-api-key: {account.key}\r\nContent-Length: {len(body)}"
            wire.send(head.encode() + b"\r\n\r\n" + body)
        said = wire.until(b"input_tokens", 3)
    places = [said.index(b'{"input_tokens'), said.index(b'"type":"message"'), said.rindex(b'{"input_tokens')]
    assert places == sorted(places)
