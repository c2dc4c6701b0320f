"""The examples of the CNAI token store's API reference, with only host and key changed."""

from collections.abc import Iterator
from decimal import Decimal

import pytest

from tests.blackbox.harness import Account, House, error
from tests.blackbox.reference import CHAT, Service, completes, like, limits, opened, refuses_keys, serves, streams

MODELS = """curl https://cnaitoken.store/v1/models \\
  -H "Authorization: Bearer sk-your-api-key"
"""
REQUEST = """{
  "model": "deepseek-chat",
  "messages": [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": "What is 2+2?"}
  ],
  "max_tokens": 256
}"""
RESPONSE = """{
  "id": "chatcmpl-xxx",
  "object": "chat.completion",
  "created": 1234567890,
  "model": "deepseek-chat",
  "choices": [
    {
      "index": 0,
      "message": {
        "role": "assistant",
        "content": "2 + 2 equals 4."
      },
      "finish_reason": "stop"
    }
  ],
  "usage": {
    "prompt_tokens": 20,
    "completion_tokens": 8,
    "total_tokens": 28
  }
}"""
ERROR = {
    "error": {"message": "Error description", "type": "invalid_request_error", "code": "insufficient_quota"}
}  # fmt: skip


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with opened(tmp_path_factory.mktemp("cnaitoken")) as service:
        yield service


@pytest.fixture(scope="module")
def house(service: Service) -> House:
    return service.house


@pytest.fixture
def account(house: House) -> Account:
    return house.account("100")


def test_list_models(service: Service, account: Account) -> None:
    said = service.curl(MODELS, account).json()
    assert said["object"] == "list" and {model["object"] for model in said["data"]} == {"model"}
    assert {"deepseek-chat", "qwen-plus", "glm-4-plus"} <= {model["id"] for model in said["data"]}


def test_the_example_request_gets_the_example_response(service: Service, account: Account) -> None:
    service.says("deepseek-chat", "2 + 2 equals 4.", 20, 8)
    headers = {**account.headers, "Content-Type": "application/json"}
    completes(service.house.http.post(CHAT, content=REQUEST, headers=headers), RESPONSE, "deepseek-chat")


def test_streaming(service: Service, account: Account) -> None:
    service.says("deepseek-chat", "2 + 2 equals 4.", 20, 8)
    streamed = REQUEST.replace('"max_tokens": 256', '"max_tokens": 256, "stream": true')
    answer = service.house.http.post(CHAT, content=streamed, headers=account.headers)
    streams(answer, "2 + 2 equals 4.")


def test_every_parameter_of_the_table(service: Service, account: Account) -> None:
    answer = service.house.chat(account, "qwen-plus", stream=False, max_tokens=10, temperature=2, top_p=0.5)
    assert answer.status_code == 200, answer.text
    sent = service.house.fake.requests("qwen-plus")[-1]["json"]
    # 2 is asked for in vain at Alibaba, which takes less than 2.
    assert (sent["max_tokens"], sent["temperature"], sent["top_p"], sent["stream"]) == (10, 1.99, 0.5, False)


@pytest.mark.parametrize("model", ["deepseek-reasoner", "qwen-plus", "glm-4-plus"])
def test_models_that_the_page_names(service: Service, account: Account, model: str) -> None:
    service.says("deepseek-chat", "Hello, world", 4, 3)
    serves(service, account, model)


def test_errors(service: Service, account: Account) -> None:
    """The page's code for 402 is insufficient_quota; find-token's names win where two pages differ."""
    refuses_keys(service)
    limited = limits(service, account)
    poor = service.house.chat(service.house.account("0"), "deepseek-chat")
    error(poor, 402, "insufficient_credits")
    for answer in (limited, poor):
        like(answer.json(), ERROR)


def test_prices_are_those_of_a_million_tokens(service: Service, account: Account) -> None:
    rows = {row["id"]: row for row in service.house.get("/v1/pricing")["data"]}
    like(rows["deepseek-chat"], {"id": "deepseek-chat", "input": 1.68, "output": 2.52})
    before = service.house.balance(account)
    answer = service.house.http.post(CHAT, content=REQUEST, headers=account.headers)
    cost = Decimal(answer.headers["x-findtoken-cost"])
    assert cost == Decimal(service.house.row(account)["cost"]) == before - service.house.balance(account) > 0
