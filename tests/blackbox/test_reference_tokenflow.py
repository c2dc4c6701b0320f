"""The examples of TokenFlow's API documentation, with only host and key changed."""

from collections.abc import Iterator
from decimal import Decimal

import openai
import pytest

from tests.blackbox.harness import Account, House, error
from tests.blackbox.reference import SAID, Service, like, limits, opened, refuses_keys, serves, streams

CURL = """curl https://api.tokenflow.ai/v1/chat/completions \\
  -H "Content-Type: application/json" \\
  -H "Authorization: Bearer tf-your-api-key" \\
  -d '{
    "model": "auto",
    "messages": [
      {"role": "user", "content": "What is model routing?"}
    ],
    "stream": true
  }'
"""
ERROR = {
    "error": {
        "message": "Rate limit exceeded. Try again in 1.5s",
        "type": "rate_limit_error",
        "code": "rate_limit_exceeded",
    }
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with opened(tmp_path_factory.mktemp("tokenflow")) as service:
        yield service


@pytest.fixture(scope="module")
def house(service: Service) -> House:
    return service.house


@pytest.fixture
def account(house: House) -> Account:
    return house.account("100")


def test_quick_start(service: Service, account: Account) -> None:
    with openai.OpenAI(api_key=account.key, base_url=f"{service.house.url}/v1") as client:
        response = client.chat.completions.create(
            model="deepseek-v3",
            messages=[
                {"role": "system", "content": "You are a helpful assistant."},
                {"role": "user", "content": "Explain quantum computing in 3 sentences."},
            ],
            temperature=0.7,
            max_tokens=500,
        )
    assert response.choices[0].message.content == SAID
    sent = service.house.fake.requests("deepseek-v4-flash")[-1]["json"]
    assert (sent["temperature"], sent["max_tokens"], len(sent["messages"])) == (0.7, 500, 2)


def test_quick_start_with_smart_routing(service: Service, account: Account) -> None:
    with openai.OpenAI(api_key=account.key, base_url=f"{service.house.url}/v1") as client:
        raw = client.chat.completions.with_raw_response.create(
            model="auto", messages=[{"role": "user", "content": "Explain quantum computing in 3 sentences."}]
        )
    assert raw.parse().choices[0].message.content == SAID
    served = raw.headers["x-findtoken-model"]
    assert served != "auto" and service.house.get(f"/v1/models/{served}", account)["id"] == served


def test_node(service: Service, account: Account) -> None:
    response = service.node(account, {"model": "auto", "messages": [{"role": "user", "content": "Hello!"}]})
    assert response["choices"][0]["message"]["content"] == SAID


def test_curl(service: Service, account: Account) -> None:
    streams(service.curl(CURL, account))


def test_simple_tasks_go_to_cheap_models_and_complex_ones_to_premium_ones(service: Service, account: Account) -> None:
    proof = "Prove step by step that the halting problem is undecidable, then refactor this algorithm: "
    plans = [
        service.said(
            "POST", "/v1/route/explain", account, {"model": "auto", "messages": [{"role": "user", "content": asked}]}
        )
        for asked in ("Hello!", proof + "def f(x):\n    return x\n" * 400)
    ]
    simple, hard = (plan["data"][0] for plan in plans)
    assert plans[0]["complexity"] != plans[1]["complexity"] and simple["model"] != hard["model"]
    prices = {row["id"]: row for row in service.said("GET", "/v1/pricing")["data"]}
    assert prices[simple["model"]]["output"] < prices[hard["model"]]["output"]
    # A chain of fallbacks stands behind the first, each with what it would cost and why.
    assert len(plans[0]["data"]) > 1
    like(
        plans[0]["data"],
        [{"model": "m", "channel": "c", "provider": "p", "why": "w", "expected_cost": simple["expected_cost"]}],
    )


@pytest.mark.parametrize(
    "model", ["deepseek-v3", "deepseek-r1", "kimi-k2", "glm-4-plus", "qwen-max", "gpt-4o", "claude-sonnet"]
)
def test_supported_models(service: Service, account: Account, model: str) -> None:
    serves(service, account, model)


def test_prices_are_told(service: Service) -> None:
    """In USD for a million tokens, as on the page; what they are today, the catalogue says."""
    rows = {row["id"]: row for row in service.said("GET", "/v1/pricing")["data"]}
    like(rows["gpt-4o"], {"id": "gpt-4o", "provider": "openai", "input": 2.5, "output": 10.0, "cached": 1.25})
    assert (rows["gpt-4o"]["input"], rows["gpt-4o"]["output"]) == (Decimal("2.5"), 10)


def test_errors(service: Service, account: Account) -> None:
    refuses_keys(service)
    refused = limits(service, account).json()
    like(refused, ERROR)
    assert (refused["error"]["type"], refused["error"]["code"]) == ("rate_limit_error", "rate_limit_exceeded")
    overloaded = service.house.chat(account, "overloaded")
    error(overloaded, 503, "no_healthy_provider")
    assert int(overloaded.headers["retry-after"]) >= 1


def test_an_upstream_s_error_is_tried_again(service: Service, account: Account) -> None:
    """One that stays is a 502, not the page's 500: find-token's names win where two pages differ."""
    answer = service.house.chat(account, "flaky")
    assert answer.status_code == 200 and answer.headers["x-findtoken-attempts"] == "2"
    error(service.house.chat(account, "broken"), 502, "provider_error")
    assert len(service.house.fake.requests("broken")) == 2
