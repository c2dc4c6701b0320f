"""The examples of find-token's API reference, with only host and key changed."""

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import anthropic
import pytest

from tests.blackbox.harness import HELLO, PROVIDER_KEY, Account, House, error, exact
from tests.blackbox.reference import (
    CHAT,
    SAID,
    Service,
    completes,
    like,
    limits,
    opened,
    refuses_keys,
    serves,
    streams,
)  # fmt: skip

EXAMPLE = """curl https://api.find-token.com/v1/chat/completions \\
  -H "Authorization: Bearer sk-your-api-key" \\
  -H "Content-Type: application/json" \\
  -d '{
    "model": "deepseek-chat",
    "messages": [
      {"role": "system", "content": "You are a helpful assistant."},
      {"role": "user", "content": "Explain quantum computing in simple terms."}
    ],
    "temperature": 0.7,
    "max_tokens": 500,
    "stream": false
  }'
"""
RESPONSE = """{
  "id": "chatcmpl-abc123",
  "object": "chat.completion",
  "created": 1715212345,
  "model": "deepseek-chat",
  "choices": [
    {
      "index": 0,
      "message": {
        "role": "assistant",
        "content": "Quantum computing uses quantum bits..."
      },
      "finish_reason": "stop"
    }
  ],
  "usage": {
    "prompt_tokens": 25,
    "completion_tokens": 142,
    "total_tokens": 167
  }
}"""
STREAMING = """curl https://api.find-token.com/v1/chat/completions \\
  -H "Authorization: Bearer sk-your-api-key" \\
  -H "Content-Type: application/json" \\
  -d '{
    "model": "deepseek-chat",
    "messages": [{"role": "user", "content": "Count to 5."}],
    "stream": true
  }'
"""
BYOK = """curl https://api.find-token.com/v1/chat/completions \\
  -H "Authorization: Bearer sk-your-findtoken-key" \\
  -H "Content-Type: application/json" \\
  -d '{
    "model": "deepseek-chat",
    "messages": [{"role": "user", "content": "Hello!"}],
    "provider_key": {
      "provider": "deepseek",
      "api_key": "sk-your-deepseek-key-here"
    }
  }'
"""
MODELS = """curl https://api.find-token.com/anthropic/v1/models   -H "x-api-key: sk-ft_your_key"
"""
BALANCE = """{
  "credits": 9.45,
  "credits_cents": 945,
  "byok_usage_month": 50000,
  "byok_limit_month": 1000000,
  "reset_date": "2026-06-01T00:00:00Z"
}"""
CREDITS = """{
  "amount": 20.00,
  "success_url": "https://app.find-token.com/dashboard",
  "cancel_url": "https://app.find-token.com/pricing"
}"""
REGISTER = """{
  "provider": "deepseek",
  "api_key": "sk-...",
  "name": "My DeepSeek Account"
}"""
ERROR = """{
  "error": {
    "message": "Insufficient credits. Balance: $0.15, Required: $0.23",
    "type": "insufficient_balance",
    "code": "insufficient_credits",
    "param": null
  }
}"""
PLAIN = re.compile(r"(0|[1-9]\d*)(\.\d*[1-9])?")
"""A plain decimal, as 0.00123 on the page: no exponent, no trailing zeros."""
LISTED = ["deepseek-v4-flash", "deepseek-v4-pro", "glm-4-plus", "qwen-max"]
"""Of the models for Claude Code those that their makers still serve by that name. Another one is an alias, which counts
as its model in every list."""
CLAUDE_CODE = [*LISTED, "kimi-k2"]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with opened(tmp_path_factory.mktemp("find-token")) as service:
        yield service


@pytest.fixture(scope="module")
def house(service: Service) -> House:
    return service.house


@pytest.fixture
def account(house: House) -> Account:
    return house.account("100")


# Chat Completions


def test_the_example_request_gets_the_example_response(service: Service, account: Account) -> None:
    service.says("deepseek-chat", "Quantum computing uses quantum bits...", 25, 142)
    completes(service.curl(EXAMPLE, account), RESPONSE, "deepseek-chat")


def test_response_headers(service: Service) -> None:
    account = service.house.account("9.45")
    service.says("deepseek-chat", "Quantum computing uses quantum bits...", 25, 142)
    headers = service.curl(EXAMPLE, account).headers
    cost, balance = headers["x-findtoken-cost"], headers["x-findtoken-balance"]
    assert headers["x-findtoken-mode"] == "standard"
    assert PLAIN.fullmatch(cost) and PLAIN.fullmatch(balance) and Decimal(cost) > 0
    assert Decimal(balance) == Decimal("9.45") - Decimal(cost) == service.house.balance(account)
    assert service.house.row(account)["cost"] == cost


def test_streaming(service: Service, account: Account) -> None:
    service.says("deepseek-chat", "1, 2, 3, 4, 5", 6, 5)
    answer = service.curl(STREAMING, account)
    streams(answer, "1, 2, 3, 4, 5")
    # What a stream costs is known at its end: it stands in a comment there.
    cost, balance = service.house.row(account)["cost"], service.house.balance(account)
    assert f"\n: x-findtoken-cost={cost} balance={balance}\ndata: [DONE]\n\n".encode() in answer.content


@pytest.mark.parametrize("routing", ["auto", "cheapest", "fallback"])
def test_routing_strategies(service: Service, account: Account, routing: str) -> None:
    service.says("deepseek-chat", SAID, 4, 2)
    body = {"model": "deepseek-chat", "messages": HELLO, "routing": routing}
    said = service.said("POST", CHAT, account, body)
    assert said["choices"][0]["message"]["content"] == SAID
    assert "routing" not in service.house.fake.requests("deepseek-v4-flash")[-1]["json"]
    (only, *_) = service.said("POST", "/v1/route/explain", account, body)["data"]
    assert only["model"] == "deepseek-chat" and only["provider"] == "deepseek" and only["why"]


# BYOK


def test_byok_mode(service: Service) -> None:
    account = service.house.account("0")
    service.says("deepseek-chat", SAID, 9, 2)
    answer = service.curl(BYOK, account)
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"] == SAID
    assert answer.headers["x-findtoken-mode"] == "byok" and "x-findtoken-balance" not in answer.headers
    seen = service.house.fake.requests("deepseek-v4-flash")[-1]
    assert dict(seen["headers"])["authorization"] == "Bearer sk-your-deepseek-key-here"
    assert "provider_key" not in seen["json"] and PROVIDER_KEY not in str(seen)
    row = service.house.row(account, answer.headers["x-request-id"])
    assert (row["mode"], row["cost"], row["provider"]) == ("byok", "0", "deepseek")
    assert service.said("GET", "/v1/user/balance", account)["byok_usage_month"] == 11


def test_byok_mode_in_a_header_and_as_a_stream(service: Service) -> None:
    account = service.house.account("0")
    service.says("deepseek-chat", SAID, 9, 2)
    headers = {**account.headers, "X-FindToken-Provider-Key": "deepseek:sk-your-deepseek-key-here"}
    answer = service.house.http.post(
        CHAT, json={"model": "deepseek-chat", "messages": HELLO, "stream": True}, headers=headers
    )
    streams(answer)
    assert answer.headers["x-findtoken-mode"] == "byok"


def test_the_provider_s_key_is_validated(service: Service, account: Account) -> None:
    service.house.fake.script(**{"deepseek-v4-flash": {"status": 401}})
    error(service.curl(BYOK, account), 401, "invalid_provider_key", "provider_key")
    service.says("deepseek-chat", SAID, 4, 2)
    unknown = service.curl(BYOK.replace('"provider": "deepseek"', '"provider": "nobody"'), account)
    assert unknown.status_code == 400 and unknown.json()["error"]["param"] == "provider_key.provider"
    for place in [service.house.err, *service.house.data.rglob("*")]:
        assert not place.is_file() or b"sk-your-deepseek-key-here" not in place.read_bytes()


# User & Billing


def test_balance(service: Service) -> None:
    account = service.house.account("9.45")
    said = service.said("GET", "/v1/user/balance", account)
    shown = json.loads(BALANCE)
    like(said, shown)
    assert said == {**shown, "credits": Decimal("9.45"), "byok_usage_month": 0, "reset_date": said["reset_date"]}
    assert re.fullmatch(r"\d{4}-\d\d-01T00:00:00Z", said["reset_date"])


def test_credits(service: Service) -> None:
    account, own = service.house.account("0"), service.house.url
    body = CREDITS.replace("https://app.find-token.com", own)
    answer = service.house.http.post("/v1/user/credits", content=body, headers=account.headers)
    assert answer.status_code == 200, answer.text
    said = answer.json()
    like(said, {"url": "https://checkout.stripe.com/...", "session_id": "cs_..."})
    session = service.stripe.sessions[said["session_id"]]
    assert (session["amount_total"], session["success_url"], session["cancel_url"]) == (
        2000, f"{own}/dashboard", f"{own}/pricing",
    )  # fmt: skip
    event, signature = service.stripe.signed(service.stripe.pay(said["session_id"]))
    for _ in range(2):  # told twice, it is credited once
        told = service.house.http.post("/v1/billing/webhook", content=event, headers={"Stripe-Signature": signature})
        assert told.json() == {"received": True}
    assert service.said("GET", "/v1/user/balance", account)["credits_cents"] == 2000


def test_register_a_provider_s_key(service: Service) -> None:
    account = service.house.account("0")
    service.house.fake.answers({"/user/balance": {"is_available": True}})
    body = REGISTER.replace("sk-...", "sk-your-deepseek-key-here")
    answer = service.house.http.post("/v1/user/byok/register", content=body, headers=account.headers)
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert (said["provider"], said["name"], said["valid"]) == ("deepseek", "My DeepSeek Account", True)
    assert re.fullmatch("[0-9a-f]{16}", said["fingerprint"]) and said["id"].isdecimal()
    like(said, {"created_at": "2026-05-10T12:00:00.000Z", "checked_at": "2026-05-10T12:00:00.000Z"})
    asked = [
        dict(seen["headers"]) for seen in service.house.fake.state()["requests"] if seen["path"] == "/user/balance"
    ]
    assert [headers["authorization"] for headers in asked] == ["Bearer sk-your-deepseek-key-here"]
    assert service.said("GET", "/v1/user/byok", account) == {"data": [said]}
    path = f"/v1/user/byok/{said['id']}"
    assert service.said("DELETE", path, account) == {"id": said["id"], "deleted": True}
    assert service.said("GET", "/v1/user/byok", account) == {"data": []}
    error(service.ask("DELETE", path, account), 404, "not_found")
    kept = b"".join(place.read_bytes() for place in service.house.data.rglob("*") if place.is_file())
    assert b"sk-your-deepseek-key-here" not in kept + service.house.err.read_bytes()


def test_a_provider_s_key_that_is_none(service: Service, account: Account) -> None:
    service.house.fake.script(**{"hunyuan-lite": {"status": 401}})
    path, body = "/v1/user/byok/register", {"provider": "hunyuan", "api_key": "sk-refused-key"}
    error(service.ask("POST", path, account, body), 401, "invalid_provider_key", "api_key")
    error(service.ask("POST", path, account, {**body, "provider": "nobody"}), 400, "invalid_value", "provider")
    error(service.ask("POST", path, account, {**body, "api_key": "sk-..."}), 400, "invalid_value", "api_key")
    error(service.ask("POST", path, account, {"provider": "deepseek"}), 400, "missing_field", "api_key")
    error(service.ask("POST", path), 401, "invalid_api_key")
    assert service.said("GET", "/v1/user/byok", account) == {"data": []}


def test_a_payer_is_sent_to_no_other_host(service: Service, account: Account) -> None:
    """The page's own addresses are another service's: who is sent there is for the operator to say."""
    answer = service.house.http.post("/v1/user/credits", content=CREDITS, headers=account.headers)
    error(answer, 400, "invalid_value", "success_url")


# Errors


def test_the_example_error(service: Service) -> None:
    answer = service.house.chat(service.house.account("0.15"), "dear", max_tokens=230_000)
    assert answer.status_code == 402 and answer.json() == json.loads(ERROR)


def test_400_and_401(service: Service, account: Account) -> None:
    error(service.ask("POST", CHAT, account, {"model": "deepseek-chat"}), 400, "missing_field", "messages")
    error(service.house.chat(account, "deepseek-chat", routing="random"), 400, "invalid_value", "routing")
    broken = service.house.http.post(CHAT, content='{"model": ', headers=account.headers)
    error(broken, 400, "invalid_json")
    refuses_keys(service)


def test_429_and_the_default_limit(service: Service, account: Account) -> None:
    limits(service, account)
    answer = service.house.chat(account, "qwen-max")
    assert answer.headers["x-ratelimit-limit-requests"] == "100"


@pytest.mark.parametrize(
    ("model", "status", "code"),
    [
        ("broken", 502, "provider_error"),
        ("overloaded", 503, "no_healthy_provider"),
        ("silent", 504, "provider_timeout"),
    ],
)
def test_upstreams_that_fail(service: Service, account: Account, model: str, status: int, code: str) -> None:
    error(service.house.chat(account, model), status, code)
    assert service.house.balance(account) == 100


# Available Models


def test_prices_in_real_time(service: Service) -> None:
    """Model, provider and USD for a million tokens, as in the page's table; open to all."""
    said = service.said("GET", "/v1/pricing")
    shown = {
        "id": "deepseek-chat",
        "provider": "deepseek",
        "input": 0.28,
        "output": 0.42,
        "cached": 0.028,
        "context": 1,
    }
    rows = {row["id"]: row for row in said["data"]}
    like([rows[model] for model in ("deepseek-chat", *LISTED)], [shown])
    assert all(rows[model]["best_for"] for model in ("deepseek-chat", *LISTED))


@pytest.mark.parametrize("model", ["deepseek-chat", *CLAUDE_CODE])
def test_models_that_the_page_names(service: Service, account: Account, model: str) -> None:
    service.says("deepseek-chat", SAID, 4, 2)
    serves(service, account, model)


# Anthropic-Compatible API (Claude Code)


@pytest.fixture
def claude(house: House, account: Account, monkeypatch: pytest.MonkeyPatch) -> Iterator[anthropic.Anthropic]:
    """A client that is set up by the page's variables."""
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    monkeypatch.setenv("ANTHROPIC_BASE_URL", f"{house.url}/anthropic")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", account.key)
    with anthropic.Anthropic(max_retries=0) as client:
        yield client


@pytest.mark.parametrize("model", CLAUDE_CODE)
def test_claude_code_s_variables(service: Service, claude: anthropic.Anthropic, model: str) -> None:
    service.says("deepseek-chat", SAID, 4, 2)
    said = claude.messages.create(model=model, max_tokens=100, messages=[{"role": "user", "content": "Hello!"}])
    (block,) = said.content
    assert block.type == "text" and block.text == SAID
    assert (said.type, said.role, said.stop_reason) == ("message", "assistant", "end_turn")
    assert said.usage.input_tokens > 0 and said.usage.output_tokens > 0
    with claude.messages.stream(
        model=model, max_tokens=100, messages=[{"role": "user", "content": "Hello!"}]
    ) as stream:
        assert "".join(stream.text_stream) == SAID


def test_models_endpoint(service: Service, account: Account, claude: anthropic.Anthropic) -> None:
    said = service.curl(MODELS, account).json()
    like(said, {"data": [{"type": "model", "id": "m", "display_name": "M", "created_at": "t"}], "has_more": False})
    assert set(LISTED) <= {model["id"] for model in said["data"]}
    assert {f"anthropic/{model}" for model in LISTED} <= {model["id"] for model in said["data"]}
    assert [model.id for model in claude.models.list()] == [model["id"] for model in said["data"]]
    refused: Any = exact(service.curl(MODELS))
    assert refused["type"] == "error" and refused["error"]["type"] == "authentication_error"
