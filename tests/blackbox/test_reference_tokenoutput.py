"""The examples of TokenOutput's API documentation, with only host and key changed."""

from collections.abc import Iterator
from decimal import Decimal

import openai
import pytest

from tests.blackbox.harness import HELLO, Account, House, error, exact
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

QUICK_START = """curl https://token-output.klk1129635667.workers.dev/v1/chat/completions \\
  -H "Authorization: Bearer sk-your-api-key" \\
  -H "Content-Type: application/json" \\
  -d '{
    "model": "deepseek-chat",
    "messages": [
      {"role": "system", "content": "You are a helpful assistant."},
      {"role": "user", "content": "Hello!"}
    ]
  }'
"""
RESPONSE = """{
  "id": "chatcmpl-abc123",
  "object": "chat.completion",
  "created": 1700000000,
  "model": "deepseek-chat",
  "choices": [
    {
      "index": 0,
      "message": {
        "role": "assistant",
        "content": "Hello! How can I help you today?"
      },
      "finish_reason": "stop"
    }
  ],
  "usage": {
    "prompt_tokens": 20,
    "completion_tokens": 10,
    "total_tokens": 30
  }
}"""
STREAMING = """curl https://token-output.klk1129635667.workers.dev/v1/chat/completions \\
  -H "Authorization: Bearer sk-your-api-key" \\
  -H "Content-Type: application/json" \\
  -d '{"model": "deepseek-chat", "stream": true,
       "messages": [{"role": "user", "content": "Hello!"}]}'
"""
BALANCE = """curl https://token-output.klk1129635667.workers.dev/v1/billing/balance \\
  -H "Authorization: Bearer sk-your-api-key"
"""
CHECKOUT = """curl -X POST https://token-output.klk1129635667.workers.dev/v1/billing/checkout \\
  -H "Authorization: Bearer sk-your-api-key" \\
  -H "Content-Type: application/json" \\
  -d '{"amount": 10}'
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with opened(tmp_path_factory.mktemp("tokenoutput")) as service:
        yield service


@pytest.fixture(scope="module")
def house(service: Service) -> House:
    return service.house


@pytest.fixture
def account(house: House) -> Account:
    return house.account("100")


def test_quick_start(service: Service, account: Account) -> None:
    service.says("deepseek-chat", "Hello! How can I help you today?", 20, 10)
    completes(service.curl(QUICK_START, account), RESPONSE, "deepseek-chat")


def test_streaming(service: Service, account: Account) -> None:
    service.says("deepseek-chat", SAID, 4, 2)
    streams(service.curl(STREAMING, account))


def test_every_parameter_of_the_table(service: Service, account: Account) -> None:
    asked = {"stream": False, "temperature": 0.7, "max_tokens": 10, "top_p": 0.5}
    for stop in ("END", ["END", "\n\n"]):
        assert service.house.chat(account, "deepseek-chat", stop=stop, **asked).status_code == 200
        sent = service.house.fake.requests("deepseek-v4-flash")[-1]["json"]
        assert {name: sent[name] for name in (*asked, "stop")} == {**asked, "stop": stop}


@pytest.mark.parametrize(
    "model",
    [
        "deepseek-chat", "deepseek-reasoner", "qwen-turbo", "qwen-plus", "qwen-max", "qwen-long",
        "glm-4-plus", "glm-4-air", "glm-4-flash",
    ],
)  # fmt: skip
def test_available_models(service: Service, account: Account, model: str) -> None:
    service.says("deepseek-chat", SAID, 4, 2)
    serves(service, account, model)


def test_the_list_of_models(service: Service, account: Account) -> None:
    """What is best for what stands in the price table, which is open to all. A retired name, as deepseek-reasoner, is
    not listed: it is an alias and counts as its model in every list."""
    said = service.said("GET", "/v1/models", account)
    like(said, {"object": "list", "data": [{"id": "deepseek-chat", "object": "model", "owned_by": "deepseek"}]})
    assert {"deepseek-chat", "qwen-turbo", "qwen-long", "glm-4-flash"} <= {model["id"] for model in said["data"]}
    rows = {row["id"]: row for row in service.said("GET", "/v1/pricing")["data"]}
    assert (rows["deepseek-chat"]["provider"], rows["glm-4-plus"]["provider"]) == ("deepseek", "zhipu")
    assert rows["deepseek-chat"]["best_for"] and rows["glm-4-flash"]["best_for"]


def test_python(service: Service, account: Account) -> None:
    service.says("deepseek-chat", "Hello! How can I help you today?", 20, 10)
    with openai.OpenAI(api_key=account.key, base_url=f"{service.house.url}/v1") as client:
        response = client.chat.completions.create(
            model="deepseek-chat",
            messages=[
                {"role": "system", "content": "You are a helpful assistant."},
                {"role": "user", "content": "Hello!"},
            ],
        )
    assert response.choices[0].message.content == "Hello! How can I help you today?"
    assert response.usage is not None and response.usage.total_tokens == 30


def test_node(service: Service, account: Account) -> None:
    service.says("deepseek-chat", SAID, 4, 2)
    messages = [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "Hello!"},
    ]
    response = service.node(account, {"model": "deepseek-chat", "messages": messages})
    assert response["choices"][0]["message"]["content"] == SAID


def test_python_streaming(service: Service, account: Account) -> None:
    service.says("deepseek-chat", "Roses are red", 4, 3)
    with openai.OpenAI(api_key=account.key, base_url=f"{service.house.url}/v1") as client:
        stream = client.chat.completions.create(
            model="deepseek-chat", messages=[{"role": "user", "content": "Write a poem"}], stream=True
        )
        said = ""
        for chunk in stream:  # as on the page: without a look whether there are choices
            if chunk.choices[0].delta.content:
                said += chunk.choices[0].delta.content
    assert said == "Roses are red"


def test_check_balance(service: Service) -> None:
    account = service.house.account("9.50")
    assert exact(service.curl(BALANCE, account)) == {"balance": Decimal("9.50")}
    error(service.curl(BALANCE), 401, "invalid_api_key")


def test_top_up(service: Service) -> None:
    account = service.house.account("0")
    said = service.curl(CHECKOUT, account)
    assert said.status_code == 200, said.text
    like(said.json(), {"url": "https://checkout.stripe.com/...", "session_id": "cs_..."})
    session = service.stripe.sessions[said.json()["session_id"]]
    assert said.json()["session_id"].startswith("cs_") and said.json()["url"] == session["url"]
    assert (session["amount_total"], session["currency"]) == (1000, "usd")
    body, signature = service.stripe.signed(service.stripe.pay(said.json()["session_id"]))
    headers = {"Stripe-Signature": signature}
    assert service.house.http.post("/v1/billing/webhook", content=body, headers=headers).json() == {"received": True}
    assert exact(service.curl(BALANCE, account)) == {"balance": 10}


def test_400_invalid_model_or_missing_fields(service: Service, account: Account) -> None:
    error(service.house.chat(account, "gpt-unheard-of"), 400, "model_not_found", "model")
    error(service.ask("POST", CHAT, account, {"messages": HELLO}), 400, "missing_field", "model")
    error(service.ask("POST", CHAT, account, {"model": "deepseek-chat"}), 400, "missing_field", "messages")
    error(service.ask("POST", "/v1/billing/checkout", account, {}), 400, "missing_field", "amount")


def test_401_402_429_502(service: Service, account: Account) -> None:
    refuses_keys(service)
    error(service.curl(QUICK_START, service.house.account("0")), 402, "insufficient_credits")
    limits(service, account)
    error(service.house.chat(account, "broken"), 502, "provider_error")
