"""The official OpenAI Python SDK, sync and async, through a real socket."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal

import openai
import pytest

from tests.blackbox.harness import HELLO_COST, Account, House, channel

TOOL = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}
SCRIPTS = {
    "tools": {
        "content": [],
        "tool_calls": [{"id": "call_1", "name": "weather", "arguments": '{"city": "Rome"}'}],
        "finish_reason": "tool_calls",
    },
    "long": {"content": ["word "], "repeat": 50, "piece_delay_s": 0.01},
    "flaky": {"fail_first": [1, 500]},
    "cut": {"cut_after": 2},
    "down": {"status": 500},
}  # fmt: skip
CONFIG = f"""
[limits]
requests_per_second = 0
[limits.model."limited"]
requests_per_minute = 1
[retry]
backoff = 0.01
{channel("lab", ["plain", "limited", *SCRIPTS])}
[[channel]]
name = "demo"
provider = "demo"
"""
MESSAGES: list[openai.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("sdk"), CONFIG, SCRIPTS) as house:
        yield house


@pytest.fixture
def account(house: House) -> Account:
    return house.account()


@pytest.fixture
def client(house: House, account: Account) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{house.url}/v1", api_key=account.key, max_retries=0) as client:
        yield client


def test_chat(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="plain", messages=MESSAGES)
    assert answer.choices[0].message.content == "Hello, world" and answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None and answer.usage.total_tokens == 7


def test_streamed_chat(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="plain", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "Hello, world"
    usage = chunks[-1].usage
    assert usage is not None and usage.completion_tokens == 3
    assert Decimal(str(usage.model_extra["cost"])) == HELLO_COST  # type: ignore[index]
    unasked = list(client.chat.completions.create(model="plain", messages=MESSAGES, stream=True))
    assert unasked and all(chunk.choices for chunk in unasked)


def test_tools(client: openai.OpenAI) -> None:
    call = (
        client.chat.completions.create(model="tools", messages=MESSAGES, tools=[TOOL]).choices[0].message.tool_calls[0]
    )  # type: ignore
    assert (call.id, call.function.name, call.function.arguments) == ("call_1", "weather", '{"city": "Rome"}')
    with client.chat.completions.stream(model="tools", messages=MESSAGES, tools=[TOOL]) as stream:  # type: ignore[list-item]
        final = stream.get_final_completion()
    assert final.choices[0].message.tool_calls[0].function.arguments == '{"city": "Rome"}'  # type: ignore[index,union-attr]
    assert final.choices[0].finish_reason == "tool_calls"


def test_raw_response_headers(client: openai.OpenAI, house: House, account: Account) -> None:
    raw = client.chat.completions.with_raw_response.create(model="plain", messages=MESSAGES)
    assert raw.headers["x-findtoken-cost"] == "0.00001" and raw.headers["x-findtoken-balance"] == "0.99999"
    assert raw.headers["x-findtoken-mode"] == "standard"
    parsed = raw.parse()
    assert parsed.choices[0].message.content == "Hello, world"
    assert parsed._request_id == house.row(account)["request_id"]


def test_models(client: openai.OpenAI) -> None:
    assert {model.id for model in client.models.list()} >= {"plain", "tools"}
    assert client.models.retrieve("plain").id == "plain"
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("nonesuch")
    assert caught.value.code == "model_not_found"


def test_authentication_error(house: House) -> None:
    with openai.OpenAI(base_url=f"{house.url}/v1", api_key="sk-ft_wrong", max_retries=0) as client:
        for call in (client.models.list, lambda: client.chat.completions.create(model="plain", messages=MESSAGES)):
            with pytest.raises(openai.AuthenticationError) as caught:
                call()
            assert (caught.value.code, caught.value.type) == ("invalid_api_key", "authentication_error")


def test_bad_request_errors(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="nonesuch", messages=MESSAGES)
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="plain", messages=MESSAGES, max_tokens=-1, stream=True)


def test_rate_limit_error(client: openai.OpenAI) -> None:
    client.chat.completions.create(model="limited", messages=MESSAGES)
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model="limited", messages=MESSAGES)
    assert caught.value.code == "rate_limit_exceeded" and int(caught.value.response.headers["retry-after"]) > 50


def test_other_errors(house: House, client: openai.OpenAI) -> None:
    restricted, poor = house.account(models="plain"), house.account("0")
    with pytest.raises(openai.PermissionDeniedError):
        client.with_options(api_key=restricted.key).chat.completions.create(model="tools", messages=MESSAGES)
    with pytest.raises(openai.APIStatusError) as caught:
        client.with_options(api_key=poor.key).chat.completions.create(model="plain", messages=MESSAGES)
    assert caught.value.status_code == 402 and "Insufficient credits" in caught.value.message
    with pytest.raises(openai.InternalServerError):
        client.chat.completions.create(model="down", messages=MESSAGES)
    with pytest.raises(openai.APIError) as cut:
        list(client.chat.completions.create(model="cut", messages=MESSAGES, stream=True))
    assert cut.value.code == "provider_error"


def test_what_the_gateway_retries_the_sdk_does_not_see(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="flaky", messages=MESSAGES)
    assert raw.headers["x-findtoken-attempts"] == "2"


async def fifty_streams(url: str, key: str) -> list[str]:
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0) as client:

        async def one() -> str:
            stream: AsyncIterator[openai.types.chat.ChatCompletionChunk]
            stream = await client.chat.completions.create(model="long", messages=MESSAGES, stream=True)
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

        await client.models.list()
        return await asyncio.gather(*(one() for _ in range(50)))


def test_fifty_parallel_streams(house: House, account: Account) -> None:
    texts = asyncio.run(fifty_streams(house.url, account.key))
    assert texts == ["word " * 50] * 50
    rows = house.rows(account)
    assert len(rows) == 50 and {row["status"] for row in rows} == {"ok"}
    assert house.balance(account) == 1 - 50 * Decimal("0.000104")  # 4 prompt tokens, 50 of output


async def async_errors(url: str, key: str) -> None:
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0) as client:
        answer = await client.chat.completions.create(model="plain", messages=MESSAGES)
        assert answer.choices[0].message.content == "Hello, world"
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve("nonesuch")
        with pytest.raises(openai.BadRequestError):
            await client.chat.completions.create(model="nonesuch", messages=MESSAGES)
        with pytest.raises(openai.AuthenticationError):
            await client.with_options(api_key="sk-ft_wrong").models.list()


def test_async_client(house: House, account: Account) -> None:
    asyncio.run(async_errors(house.url, account.key))


def test_a_client_that_stops_a_stream(client: openai.OpenAI, house: House, account: Account) -> None:
    with client.chat.completions.create(model="long", messages=MESSAGES, stream=True) as stream:
        next(iter(stream))
    row = house.row(account)
    assert row["status"] == "client_gone" and row["estimated"] is True and row["completion_tokens"] < 40


def test_embeddings(client: openai.OpenAI) -> None:
    """The SDK asks for base64 and unpacks it; the demo provider answers, one vector for each input."""
    texts = ["Hello", "world", "Hello"]
    answer = client.embeddings.create(model="demo-embed", input=texts)
    first, second, again = (row.embedding for row in answer.data)
    assert len(first) == 8 and first == again != second
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > 0
    raw = client.embeddings.with_raw_response.create(model="demo-embed", input=[[1, 2, 3], [4]])
    assert raw.parse().usage.prompt_tokens == 4 and raw.headers["x-findtoken-cost"] == "0.00000008"
    with pytest.raises(openai.BadRequestError) as refused:
        client.embeddings.create(model="plain", input="Hello")
    assert refused.value.param == "model"


def test_completions(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="demo-chat", prompt="Say hi")
    assert answer.choices[0].text.endswith("Say hi") and answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None and answer.usage.completion_tokens > 5
    pieces = client.completions.create(
        model="demo-chat", prompt="Say hi", stream=True, stream_options={"include_usage": True}, max_tokens=4
    )
    chunks = list(pieces)
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices).startswith("Hello from ftgate's demo")
    assert [chunk.usage.completion_tokens for chunk in chunks if chunk.usage] == [4]
