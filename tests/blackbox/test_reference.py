"""The examples of the five reference pages with only host and key changed (their request bodies stand here as printed
there)."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.blackbox.harness import Account, House, channel, chunks, text

FIND_TOKEN = """{
    "model": "deepseek-chat",
    "messages": [
      {"role": "system", "content": "You are a helpful assistant."},
      {"role": "user", "content": "Explain quantum computing in simple terms."}
    ],
    "temperature": 0.7,
    "max_tokens": 500,
    "stream": false
  }"""
FIND_TOKEN_STREAM = """{
    "model": "deepseek-chat",
    "messages": [{"role": "user", "content": "Count to 5."}],
    "stream": true
  }"""
TOKEN_OUTPUT = """{
    "model": "deepseek-chat",
    "messages": [
      {"role": "system", "content": "You are a helpful assistant."},
      {"role": "user", "content": "Hello!"}
    ]
  }"""
TOKEN_OUTPUT_STREAM = """{"model": "deepseek-chat", "stream": true,
       "messages": [{"role": "user", "content": "Hello!"}]}"""
CNAI = """{
  "model": "deepseek-chat",
  "messages": [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": "What is 2+2?"}
  ],
  "max_tokens": 256
}"""
TOKEN_SEA = """{
"model": "claude-sonnet-4-20250514",
"max_tokens": 1024,
"messages": [
{"role": "user", "content": "Hello!"}
]
}"""
TOKEN_FLOW = """{
    "model": "auto",
    "messages": [
      {"role": "user", "content": "What is model routing?"}
    ],
    "stream": true
  }"""
PAGE_MODELS = [
    "deepseek-chat", "deepseek-reasoner", "deepseek-v4-flash", "deepseek-v4-pro", "deepseek-v3", "deepseek-r1",
    "qwen-turbo", "qwen-plus",
    "qwen-max", "qwen-long", "glm-4-plus", "glm-4-air", "glm-4-flash", "kimi-k2", "gpt-4o", "gpt-4.1",
]  # fmt: skip


def catalogue_channel(provider: str) -> str:
    return channel(provider, [], provider=provider)


CONFIG = "".join(map(catalogue_channel, ("deepseek", "dashscope", "zhipu", "moonshot", "openai")))
CONFIG += channel("claude-by-openai-protocol", ["claude-sonnet-4-6", "claude-opus-4-6"])


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("reference"), CONFIG) as house:
        yield house


@pytest.fixture(scope="module")
def account(house: House) -> Account:
    return house.account("100")


def post(house: House, account: Account, body: str) -> Any:
    """curl's request: these two headers, the body as it stands on the page."""
    headers = {**account.headers, "Content-Type": "application/json", "User-Agent": "curl/8.5.0", "Accept": "*/*"}
    answer = house.http.post("/v1/chat/completions", content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer


@pytest.mark.parametrize(
    "body", [FIND_TOKEN, TOKEN_OUTPUT, CNAI, TOKEN_SEA], ids=["find-token", "tokenoutput", "cnaitoken", "tokensea"]
)
def test_plain_examples(house: House, account: Account, body: str) -> None:
    answer = post(house, account, body)
    said = answer.json()
    assert said["object"] == "chat.completion" and said["id"] and isinstance(said["created"], int)
    (choice,) = said["choices"]
    assert choice["index"] == 0 and choice["finish_reason"] == "stop"
    assert choice["message"] == {"role": "assistant", "content": "Hello, world"}
    assert said["usage"]["total_tokens"] == said["usage"]["prompt_tokens"] + said["usage"]["completion_tokens"]
    assert answer.headers["x-findtoken-mode"] == "standard"
    assert float(answer.headers["x-findtoken-cost"]) > 0 and float(answer.headers["x-findtoken-balance"]) > 0


@pytest.mark.parametrize(
    "body", [FIND_TOKEN_STREAM, TOKEN_OUTPUT_STREAM, TOKEN_FLOW], ids=["find-token", "tokenoutput", "tokenflow"]
)
def test_streamed_examples(house: House, account: Account, body: str) -> None:
    answer = post(house, account, body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert text(answer.content) == "Hello, world" and answer.content.endswith(b"data: [DONE]\n\n")
    assert {chunk["object"] for chunk in chunks(answer.content)} == {"chat.completion.chunk"}


@pytest.mark.parametrize("model", PAGE_MODELS)
def test_every_model_that_a_page_names_is_served(house: House, account: Account, model: str) -> None:
    answer = post(house, account, json.dumps({"model": model, "messages": [{"role": "user", "content": "Hello!"}]}))
    assert answer.json()["choices"][0]["message"]["content"] == "Hello, world"
    assert house.get(f"/v1/models/{model}", account)["object"] == "model"


def test_the_python_example_of_tokenoutput(house: House, account: Account) -> None:
    with openai.OpenAI(api_key=account.key, base_url=f"{house.url}/v1") as client:
        stream = client.chat.completions.create(
            model="deepseek-chat", messages=[{"role": "user", "content": "Write a poem"}], stream=True
        )
        said = ""
        for chunk in stream:  # as on the page: without a look whether there are choices
            if chunk.choices[0].delta.content:
                said += chunk.choices[0].delta.content
    assert said == "Hello, world"


def test_the_python_example_of_tokenflow(house: House, account: Account) -> None:
    with openai.OpenAI(api_key=account.key, base_url=f"{house.url}/v1") as client:
        response = client.chat.completions.create(
            model="deepseek-v3",
            messages=[
                {"role": "system", "content": "You are a helpful assistant."},
                {"role": "user", "content": "Explain quantum computing in 3 sentences."},
            ],
            temperature=0.7,
            max_tokens=500,
        )
    assert response.choices[0].message.content == "Hello, world"


def test_model_lists(house: House, account: Account) -> None:
    said = house.get("/v1/models", account)
    assert said["object"] == "list"
    assert {model["object"] for model in said["data"]} == {"model"}
    assert all(model.keys() >= {"id", "object", "owned_by"} for model in said["data"])


def test_balances(house: House) -> None:
    account = house.account("9.5")
    assert house.http.get("/v1/billing/balance", headers=account.headers).json() == {"balance": 9.5}
    said = house.http.get("/v1/user/balance", headers=account.headers).json()
    assert said["credits"] == 9.5 and said["credits_cents"] == 950 and said["byok_usage_month"] == 0
