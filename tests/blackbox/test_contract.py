"""What CONTRACT.md says of calling models and of the account's own figures, seen from outside."""

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.blackbox.harness import HELLO, HELLO_COST, HELLO_PROMPT, PROVIDER_KEY, House, channel, error, exact

CONFIG = """
[limits]
requests_per_second = 100
""" + channel(
    "lab", {"plain": {"tags": ["cheap"], "best_for": "short tests"}, "renamed": {"upstream": "other-name"},
    "org/slash": {}, "模型": {}}
) + channel("resting", {"plain": {"input": 99}, "nobody-s": {}}, weight=0, priority=-1)  # fmt: skip
PLAIN = re.compile(r"(0|[1-9]\d*)(\.\d*[1-9])?")
"""A plain decimal: no exponent, no trailing zeros."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("contract"), CONFIG) as house:
        yield house


# ---- calls ----


def test_a_plain_answer_comes_as_the_upstream_wrote_it(house: House) -> None:
    answer = house.chat(house.account())
    assert answer.status_code == 200
    assert answer.json() == {
        "id": "chatcmpl-fake",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "plain",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello, world"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": HELLO_PROMPT, "completion_tokens": 3, "total_tokens": 7},
    }


def test_headers_of_a_prepaid_answer(house: House) -> None:
    answer = house.chat(house.account("0.5"))
    headers = answer.headers
    assert headers["x-findtoken-mode"] == "standard"
    assert headers["x-findtoken-cost"] == "0.00001" and PLAIN.fullmatch(headers["x-findtoken-cost"])
    assert headers["x-findtoken-balance"] == "0.49999" and PLAIN.fullmatch(headers["x-findtoken-balance"])
    assert headers["x-findtoken-model"] == "plain"
    assert headers["x-findtoken-provider"] == "openai-compatible"
    assert headers["x-findtoken-attempts"] == "1"
    assert headers["content-type"] == "application/json"
    assert headers["x-ratelimit-limit-requests"] == "100" and headers["x-ratelimit-remaining-requests"] == "99"
    assert 0 < float(headers["x-ratelimit-reset-requests"].removesuffix("s")) <= 1


def test_a_metered_answer_has_no_balance(house: House) -> None:
    answer = house.chat(house.account("0", metered=True))
    assert answer.status_code == 200 and answer.headers["x-findtoken-mode"] == "standard"
    assert answer.headers["x-findtoken-cost"] == "0.00001" and "x-findtoken-balance" not in answer.headers
    stream = house.chat(house.account("0", metered=True), stream=True)
    assert b"\n\n: x-findtoken-cost=0.00001\ndata: [DONE]\n\n" in stream.content


def test_the_request_id_is_that_of_the_log(house: House) -> None:
    account = house.account()
    answers = [house.chat(account), house.chat(account, stream=True), house.chat(account, "nonesuch")]
    ids = [answer.headers["x-request-id"] for answer in answers]
    assert len(set(ids)) == 3
    house.row(
        account, ids[-1]
    )  # a refusal has no settlement that its answer waits for, so its row may follow the answer
    assert [row["request_id"] for row in house.rows(account)] == ids[::-1]


def test_a_log_row_says_everything(house: House) -> None:
    account = house.account()
    answer = house.chat(account, stream=True)
    row = house.row(account, answer.headers["x-request-id"])
    expected = {
        "model": "plain", "provider": "openai-compatible", "status": "ok", "mode": "standard", "prompt_tokens": 4,
        "cached_tokens": 0,
        "completion_tokens": 3, "cost": "0.00001", "estimated": False, "attempts": 1, "stream": True,
    }  # fmt: skip
    assert {name: row[name] for name in expected} == expected
    assert row["latency_ms"] >= row["first_token_ms"] >= 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d.*Z", row["created_at"])


def test_either_header_shows_the_key(house: House) -> None:
    account = house.account()
    assert house.chat(None, headers={"x-api-key": account.key}).status_code == 200
    assert house.chat(account, headers={"x-api-key": account.key}).status_code == 200
    assert house.http.get("/v1/models", headers={"x-api-key": account.key}).status_code == 200
    assert house.chat(None, headers={"Authorization": f"bearer {account.key}"}).status_code == 200


def test_the_upstream_gets_our_key_and_every_field_as_it_was(house: House) -> None:
    account = house.account()
    fields: dict[str, Any] = {
        "temperature": 0.70, "top_p": 1e-1, "stop": ["\n\n", "é"], "n": 1, "seed": 9007199254740993, "logprobs": True,
        "user": "u",
        "reasoning": {"effort": "low"}, "response_format": {"type": "json_object"}, "something_new": {"deep": [1,
        {"x": None}]},
        "max_tokens": 20, "routing": "fallback",
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
        "tool_choice": "auto",
    }  # fmt: skip
    content = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
    ]
    answer = house.chat(account, "renamed", messages=[{"role": "user", "content": content}], **fields)
    assert answer.status_code == 200, answer.text
    seen = house.fake.requests("other-name")[-1]
    headers = dict(seen["headers"])
    assert headers["authorization"] == f"Bearer {PROVIDER_KEY}" and account.key not in str(seen)
    assert seen["path"] == "/v1/chat/completions"
    sent = {**fields, "model": "other-name", "messages": [{"role": "user", "content": content}]}
    del sent["routing"]  # speaks to us
    assert seen["json"] == sent
    assert answer.headers["x-findtoken-model"] == "renamed" and answer.json()["model"] == "other-name"


@pytest.mark.parametrize("shape", ["auto", "models", "model and models", "auto routing", "cheapest"])
def test_ways_to_choose_a_model(house: House, shape: str) -> None:
    body = {
        "auto": {"model": "auto"},
        "models": {"models": ["plain"]},
        "model and models": {"model": "plain", "models": ["renamed"]},
        "auto routing": {"model": "plain", "routing": "auto"},
        "cheapest": {"model": "plain", "routing": "cheapest"},
    }[shape]
    answer = house.http.post("/v1/chat/completions", json={"messages": HELLO, **body}, headers=house.account().headers)
    assert answer.status_code == 200, answer.text


PATHS = [
    "/v1/chat/completions/", "//v1//chat//completions", "/chat/completions", "/v1/v1/chat/completions",
    "/v1/chat/completions?beta=true",
    "/v1/v1//chat/completions/?beta=true",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_tolerant_paths(house: House, path: str) -> None:
    body = {"model": "plain", "messages": HELLO}
    answer = house.http.post(house.url + path, json=body, headers=house.account().headers)
    assert answer.status_code == 200 and answer.headers["x-findtoken-cost"] == "0.00001"


@pytest.mark.parametrize(
    "path", ["/v1/models/", "//v1/models", "/models", "/v1/v1/models", "/v1/models?beta=true", "/v1//models/plain/"]
)
def test_tolerant_paths_of_models(house: House, path: str) -> None:
    assert house.http.get(house.url + path, headers=house.account().headers).status_code == 200


# ---- browsers ----


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/v1/models", "/v1/models/plain", "/v1/pricing", "/chat/completions/"]
)
def test_preflight_of_open_routes(house: House, path: str) -> None:
    asked = {
        "Origin": "https://app.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type",
    }
    answer = house.http.options(path, headers=asked)
    assert answer.status_code in (200, 204) and not answer.content
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "authorization" in answer.headers["access-control-allow-headers"].lower()
    assert "access-control-allow-credentials" not in answer.headers and "set-cookie" not in answer.headers


def test_answers_of_open_routes_may_be_read_by_any_origin(house: House) -> None:
    account = house.account()
    origin = {"Origin": "https://app.example"}
    for answer in (
        house.chat(account, headers=origin),
        house.chat(account, stream=True, headers=origin),
        house.chat(None, headers=origin),
        house.http.get("/v1/models", headers={**account.headers, **origin}),
        house.http.get("/v1/pricing", headers=origin),
    ):
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "x-findtoken-cost" in answer.headers["access-control-expose-headers"].lower()


def test_account_routes_are_closed_to_other_origins(house: House) -> None:
    for path in ("/v1/user/balance", "/v1/user/logs", "/v1/billing/balance", "/healthz"):
        headers = {"Origin": "https://app.example", "Access-Control-Request-Method": "GET"}
        assert "access-control-allow-origin" not in house.http.options(path, headers=headers).headers
        answer = house.http.get(path, headers={**house.account().headers, "Origin": "https://app.example"})
        assert "access-control-allow-origin" not in answer.headers


# ---- other routes ----


@pytest.mark.parametrize("path", ["/", "//", "/anthropic", "/anthropic/", "//anthropic//"])
def test_head_of_the_root(house: House, path: str) -> None:
    answer = house.http.head(house.url + path)
    assert answer.status_code == 200 and not answer.content
    assert house.http.get(house.url + path).json()["name"] == "ftgate"


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/v1/chat/completion", "/v1/chat/completions"),
        ("/v1/model", "/v1/models"),
        ("/v1/user/balances", "/v1/user/balance"),
    ],
)
def test_a_wrong_route_names_the_one_meant(house: House, path: str, meant: str) -> None:
    for method in ("GET", "POST"):
        assert f"Did you mean {meant}?" in error(
            house.http.request(method, path, headers=house.account().headers), 404, "not_found"
        )


def test_wrong_routes_of_the_families(house: House) -> None:
    error(house.http.get("/somewhere/else"), 404, "not_found")
    answer = house.http.post("/v1/messages/nonesuch")
    assert answer.status_code == 404
    assert answer.json()["type"] == "error" and answer.json()["error"]["type"] == "not_found_error"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("GET", "/v1/chat/completions", "POST"), ("DELETE", "/v1/embeddings", "POST"), ("POST", "/v1/models", "GET"),
     ("POST", "/v1/user/balance", "GET"), ("PUT", "/v1/user/logs", "GET")],
)  # fmt: skip
def test_a_wrong_method_says_which_are_right(house: House, method: str, path: str, allowed: str) -> None:
    answer = house.http.request(method, path, headers=house.account().headers)
    assert allowed in answer.headers["allow"].split(", ")
    error(answer, 405, "method_not_allowed")


def test_models(house: House) -> None:
    said = house.get("/v1/models", house.account())
    assert said["object"] == "list" and [model["id"] for model in said["data"]] == [
        "plain",
        "renamed",
        "org/slash",
        "模型",
    ]
    for model in said["data"]:
        assert model["object"] == "model" and isinstance(model["created"], int) and model["owned_by"]
        assert house.get(f"/v1/models/{model['id']}", house.account()) == model


def test_models_in_anthropic_s_words(house: House) -> None:
    """By either way to show a key, and by both at once, as its SDK may."""
    account = house.account()
    key = {"x-api-key": account.key, "anthropic-version": "2023-06-01"}
    for headers in (key, {**key, **account.headers}):
        said = house.http.get("/v1/models", headers=headers).json()
        assert [model["id"] for model in said["data"]] == ["plain", "renamed", "org/slash", "模型"]
        assert (said["has_more"], said["first_id"], said["last_id"]) == (False, "plain", "模型")
        for path in ("/anthropic/v1/models", "/anthropic/models/", "//anthropic//v1/v1/models"):
            both = house.http.get(house.url + path, params={"limit": 3}, headers=headers).json()
            assert [model["id"] for model in both["data"]] == ["plain", "anthropic/plain", "renamed"]
            assert both["has_more"] and all(model["display_name"] for model in both["data"])
    one = house.http.get("/anthropic/v1/models/anthropic/org/slash", headers=key).json()
    assert (one["type"], one["id"], one["max_input_tokens"]) == ("model", "anthropic/org/slash", 131_072)
    for path in ("/anthropic/v1/models/nonesuch", "/v1/models/nonesuch"):
        missing = house.http.get(path, headers=key)
        assert missing.status_code == 404 and missing.json()["error"]["type"] == "not_found_error"
    assert house.http.get("/anthropic/v1/models").json()["error"]["type"] == "authentication_error"


def test_models_of_a_restricted_key(house: House) -> None:
    account = house.account(models="plain,org/*")
    assert [model["id"] for model in house.get("/v1/models", account)["data"]] == ["plain", "org/slash"]
    error(house.http.get("/v1/models/renamed", headers=account.headers), 404, "model_not_found", "model")


def test_a_model_that_nothing_is_sent_to_is_not_listed(house: House) -> None:
    """A channel of weight 0 takes no calls: its models are neither listed nor priced, and another channel's price
    stands."""
    account = house.account()
    assert "nobody-s" not in {row["id"] for row in house.get("/v1/pricing")["data"]}
    error(house.http.get("/v1/models/nobody-s", headers=account.headers), 404, "model_not_found", "model")
    error(house.chat(account, "nobody-s"), 400, "model_not_found", "model")


def test_an_unknown_model(house: House) -> None:
    error(house.http.get("/v1/models/nonesuch", headers=house.account().headers), 404, "model_not_found", "model")


def test_models_need_a_key(house: House) -> None:
    for path in ("/v1/models", "/v1/models/plain", "/v1/user/balance", "/v1/billing/balance", "/v1/user/logs"):
        error(house.http.get(path), 401, "invalid_api_key")


def test_prices_are_public(house: House) -> None:
    rows = {row["id"]: row for row in house.get("/v1/pricing")["data"]}
    row = rows["plain"]
    assert row["provider"] == "openai-compatible" and row["context"] == 131_072 and row["best_for"] == "short tests"
    assert (row["input"], row["output"], row["cached"]) == (1, 2, Decimal("0.1"))


def test_balances(house: House) -> None:
    account = house.account("9.459")
    said = house.get("/v1/user/balance", account)
    assert said.keys() == {"credits", "credits_cents", "byok_usage_month", "byok_limit_month", "reset_date"}
    assert (said["credits"], said["credits_cents"]) == (Decimal("9.459"), 945)
    assert (said["byok_usage_month"], said["byok_limit_month"]) == (0, 1_000_000)
    assert re.fullmatch(r"\d{4}-\d\d-01T00:00:00Z", said["reset_date"])
    assert house.get("/v1/billing/balance", account) == {"balance": Decimal("9.459")}
    house.chat(account)
    assert house.get("/v1/billing/balance", account)["balance"] == Decimal("9.459") - HELLO_COST


def test_logs_by_pages(house: House) -> None:
    account = house.account()
    ids = [house.chat(account).headers["x-request-id"] for _ in range(5)][::-1]
    said = house.get("/v1/user/logs", account, page=1, page_size=2)
    assert (said["page"], said["page_size"], said["total"]) == (1, 2, 5)
    assert [row["request_id"] for row in said["data"]] == ids[:2]
    assert [row["request_id"] for row in house.get("/v1/user/logs", account, page=3, page_size=2)["data"]] == ids[4:]
    assert house.get("/v1/user/logs", account, page=9)["data"] == []
    assert house.get("/v1/user/logs", account, page_size=1000)["page_size"] == 100
    for wrong in ({"page": "0"}, {"page": "x"}, {"page_size": "-1"}):
        error(
            house.http.get("/v1/user/logs", params=wrong, headers=account.headers),
            400,
            "invalid_value",
            next(iter(wrong)),
        )


def test_logs_by_filter(house: House) -> None:
    account = house.account()
    house.chat(account)
    house.chat(account, "renamed")
    house.row(account, house.chat(account, "nonesuch").headers["x-request-id"])
    assert [row["model"] for row in house.rows(account, model="renamed")] == ["renamed"]
    assert [row["model"] for row in house.rows(account, status="ok")] == ["renamed", "plain"]
    middle = house.rows(account)[1]["created_at"]
    assert [row["model"] for row in house.rows(account, **{"from": middle})] == ["nonesuch", "renamed"]
    assert [row["model"] for row in house.rows(account, to=middle)] == ["plain"]
    assert (
        house.rows(account, to="2020-01-01") == [] and len(house.rows(account, **{"from": "2020-01-01T00:00:00Z"})) == 3
    )
    error(
        house.http.get("/v1/user/logs", params={"from": "yesterday"}, headers=account.headers),
        400,
        "invalid_value",
        "from",
    )


def test_logs_show_one_s_own_only(house: House) -> None:
    mine, other = house.account(), house.account()
    house.chat(other)
    assert house.rows(mine) == []


def test_health(house: House) -> None:
    for path in ("/healthz", "/readyz"):
        answer = house.http.get(path)
        assert answer.status_code == 200 and answer.headers["cache-control"] == "no-store"
    assert house.http.get("/healthz").json()["status"] == "ok"


def test_keep_alive_serves_many_calls_on_one_connection(house: House) -> None:
    account = house.account()
    with httpx.Client(base_url=house.url, trust_env=False, headers=account.headers) as client:
        for path in ("/v1/models", "/healthz", "/v1/user/balance"):
            assert client.get(path).status_code == 200
            answer = client.post(
                "/v1/chat/completions", json={"model": "plain", "messages": HELLO, "stream": path == "/healthz"}
            )
            assert answer.status_code == 200
        pool: Any = client._transport
        assert len(pool._pool.connections) == 1


def test_pipelined_calls_are_answered_in_turn(house: House) -> None:
    account = house.account()
    with house.raw(
        account, "plain", more=house.request(account, "plain", stream=True) + house.request(account, "nonesuch")
    ) as wire:
        wire.until(b"model_not_found")
        assert [wire.received.index(mark) for mark in (b'"total_tokens"', b"data: [DONE]")] == sorted(
            wire.received.index(mark) for mark in (b'"total_tokens"', b"data: [DONE]")
        )
    # A refusal has no settlement that its answer waits for, so its row may follow the answer.
    house.wait_for(
        lambda: {row["status"] for row in house.rows(account)} == {"ok", "refused"}, "the refusal is not in the log"
    )
    assert house.balance(account) == 1 - 2 * HELLO_COST


def test_a_client_that_waits_for_100_continue(house: House) -> None:
    account = house.account()
    head, _, body = house.request(account, "plain").partition(b"\r\n\r\n")
    with house.connect() as wire:
        wire.send(head + b"\r\nExpect: 100-continue\r\n\r\n")
        wire.until(b"HTTP/1.1 100 ")
        wire.send(body)
        wire.until(b'"total_tokens"')


def test_a_model_with_a_name_in_another_script(house: House) -> None:
    answer = house.chat(house.account(), "模型")
    assert answer.status_code == 200 and dict(answer.headers.raw)[b"x-findtoken-model"].decode() == "模型"
    assert house.get("/v1/models/模型", house.account())["id"] == "模型"


def test_every_answer_of_a_model_route_has_a_request_id(house: House) -> None:
    account = house.account()
    for path in ("/v1/models", "/v1/models/plain", "/v1/pricing", "/v1/models/nonesuch"):
        assert house.http.get(path, headers=account.headers).headers["x-request-id"].startswith("req_")


def test_numbers_keep_every_digit(house: House) -> None:
    account = house.account("0.123456789012")
    assert exact(house.http.get("/v1/user/balance", headers=account.headers))["credits"] == Decimal("0.123456789012")
    assert house.chat(account).headers["x-findtoken-balance"] == "0.123446789012"
