"""The official OpenAI Python SDK through a real socket, at a channel that speaks Anthropic's words alone."""

import base64
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.blackbox.harness import HELLO, Account, House, channel
from tests.fakes.messages import SIGNATURE

LOOK = {"id": "toolu_1", "name": "look", "arguments": '{"at": "door"}'}
HEAR = {"id": "toolu_2", "name": "hear", "arguments": '{"seconds": 2}'}
SCRIPTS: dict[str, dict[str, Any]] = {
    "words": {"content": ["one ", "two ", "three"]},
    "thinks": {"reasoning": ["Let me", " think"], "content": ["42"]},
    "calls": {"content": ["I look."], "tool_calls": [LOOK, HEAR], "finish_reason": "tool_calls"},
    "cached": {"content": ["a"], "usage": {
        "input_tokens": 20, "cache_read_input_tokens": 80, "cache_creation_input_tokens": 0, "output_tokens": 3}},
    "json": {"content": ['{"city": ', '"Rome", "age": 2779}']},
    "cut": {"cut_after": 1, "content": ["one ", "two"]},
    "529": {"status": 529},
}  # fmt: skip
TOOLS: list[Any] = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}
    for name in ("look", "hear")
]
USAGE: Any = {"include_usage": True}
LIMITED = ["limited-False", "limited-True"]
PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"\x00" * 40).decode()


class City(BaseModel):
    city: str
    age: int


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    config = "[retry]\nattempts = 1\n"
    config += "".join(f'[limits.model."{model}"]\nrequests_per_minute = 1\n' for model in LIMITED)
    config += channel("own", [*SCRIPTS, *LIMITED], provider="anthropic-compatible")
    with House(tmp_path_factory.mktemp("sdk"), config, SCRIPTS) as house:
        yield house
        house.settle_down()


@pytest.fixture
def account(house: House) -> Account:
    return house.account("10")


@pytest.fixture
def client(house: House, account: Account) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{house.url}/v1", api_key=account.key, max_retries=0) as client:
        yield client


def asked(house: House, model: str) -> Any:
    """What went up last for a model."""
    seen = house.fake.requests(model)[-1]
    assert seen["path"] == "/v1/messages"
    return seen["json"]


def test_create(client: openai.OpenAI, house: House, account: Account) -> None:
    answer = client.chat.completions.create(
        model="words", messages=[{"role": "system", "content": "Be brief."}, *HELLO], stop=["END"], max_tokens=50
    )  # type: ignore[call-overload]
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("one two three", "stop")
    went = asked(house, "words")
    assert (went["system"], went["stop_sequences"], went["max_tokens"]) == ("Be brief.", ["END"], 50)
    row = house.row(account)
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (
        row["prompt_tokens"], row["completion_tokens"],
    )  # fmt: skip


def test_a_cap_that_nobody_set_is_told_where_one_must_be(client: openai.OpenAI, house: House) -> None:
    client.chat.completions.create(model="words", messages=HELLO)  # type: ignore[call-overload]
    assert asked(house, "words")["max_tokens"] > 0


def test_streams(client: openai.OpenAI, house: House, account: Account) -> None:
    chunks = list(
        client.chat.completions.create(model="words", messages=HELLO, stream=True, stream_options=USAGE)  # type: ignore[call-overload]
    )
    texts = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    assert "".join(text or "" for text in texts) == "one two three"
    row = house.row(account)
    assert chunks[-1].usage.prompt_tokens == row["prompt_tokens"]
    assert Decimal(str(chunks[-1].usage.cost)) == Decimal(row["cost"])


def test_two_tools_in_parallel(client: openai.OpenAI, house: House) -> None:
    turns: list[Any] = list(HELLO)
    with client.chat.completions.stream(model="calls", messages=turns, tools=TOOLS) as stream:
        said = stream.get_final_completion().choices[0]
    assert (said.finish_reason, said.message.content) == ("tool_calls", "I look.")
    calls = said.message.tool_calls or []
    assert [(call.id, call.function.name, json.loads(call.function.arguments)) for call in calls] == [
        ("toolu_1", "look", {"at": "door"}), ("toolu_2", "hear", {"seconds": 2}),
    ]  # fmt: skip
    turns.append(said.message)
    turns += [{"role": "tool", "tool_call_id": call.id, "content": f"{call.function.name}ed"} for call in calls]
    whole = client.chat.completions.create(model="calls", messages=turns, tools=TOOLS)
    assert [call.id for call in whole.choices[0].message.tool_calls or []] == ["toolu_1", "toolu_2"]
    _, made, results = asked(house, "calls")["messages"]
    assert [block["type"] for block in made["content"]] == ["text", "tool_use", "tool_use"]
    assert made["content"][1] == {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": "door"}}
    assert results == {"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "toolu_1", "content": "looked"},
        {"type": "tool_result", "tool_use_id": "toolu_2", "content": "heared"}]}  # fmt: skip


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_thinking_keeps_its_seal_over_turns(client: openai.OpenAI, house: House, streamed: bool) -> None:
    """What the SDK got is sent back as it is, in the way that everybody does it."""
    given: Any = {"model": "thinks", "messages": HELLO, "reasoning_effort": "high"}
    if streamed:
        with client.chat.completions.stream(**given) as stream:
            message = stream.get_final_completion().choices[0].message
    else:
        message = client.chat.completions.create(**given).choices[0].message
    assert (message.content, message.reasoning_content) == ("42", "Let me think")
    assert asked(house, "thinks")["thinking"] == {"type": "adaptive"}
    client.chat.completions.create(model="thinks", messages=[*HELLO, message.model_dump(), *HELLO])  # type: ignore[call-overload]
    block = {"type": "thinking", "thinking": "Let me think", "signature": SIGNATURE}
    assert asked(house, "thinks")["messages"][1]["content"] == [block, {"type": "text", "text": "42"}]


def test_images(client: openai.OpenAI, house: House) -> None:
    urls = [f"data:image/png;base64,{PIXEL}", "https://example.com/a.png"]
    parts: list[Any] = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    parts.append({"type": "text", "text": "What is it?"})
    client.chat.completions.create(model="words", messages=[{"role": "user", "content": parts}])
    assert asked(house, "words")["messages"][0]["content"] == [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
        {"type": "image", "source": {"type": "url", "url": urls[1]}},
        {"type": "text", "text": "What is it?"},
    ]


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_structured_output(client: openai.OpenAI, house: House, streamed: bool) -> None:
    if streamed:
        with client.chat.completions.stream(model="json", messages=HELLO, response_format=City) as stream:  # type: ignore[arg-type]
            answer = stream.get_final_completion()
    else:
        answer = client.chat.completions.parse(model="json", messages=HELLO, response_format=City)  # type: ignore[arg-type]
    assert answer.choices[0].message.parsed == City(city="Rome", age=2779)
    went = asked(house, "json")["output_config"]["format"]
    assert went["type"] == "json_schema" and went["schema"]["properties"].keys() == {"city", "age"}


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_cached_tokens(client: openai.OpenAI, streamed: bool) -> None:
    given: Any = {"model": "cached", "messages": HELLO}
    if streamed:
        with client.chat.completions.stream(**given, stream_options=USAGE) as stream:
            usage: Any = stream.get_final_completion().usage
    else:
        usage = client.chat.completions.create(**given).usage
    assert (usage.prompt_tokens, usage.prompt_tokens_details.cached_tokens, usage.completion_tokens) == (100, 80, 3)


def test_errors(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as busy:
        client.chat.completions.create(model="529", messages=HELLO)  # type: ignore[call-overload]
    assert busy.value.status_code >= 500
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="words", messages=HELLO, n=2)  # type: ignore[call-overload]
    assert refused.value.param == "n"
    with pytest.raises(openai.APIError):
        list(client.chat.completions.create(model="cut", messages=HELLO, stream=True))  # type: ignore[call-overload]


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_error_classes(client: openai.OpenAI, house: House, streamed: bool) -> None:
    def refused(error: type[openai.APIStatusError], model: str = "words", key: str = client.api_key) -> Any:
        with pytest.raises(error) as raised:
            given: Any = {"model": model, "messages": HELLO, "stream": streamed}
            client.with_options(api_key=key).chat.completions.create(**given)
        return raised.value

    assert refused(openai.BadRequestError, "nonesuch").code == "model_not_found"
    assert refused(openai.AuthenticationError, key="sk-ft_wrong").code == "invalid_api_key"
    refused(openai.PermissionDeniedError, key=house.account(models="thinks").key)
    assert refused(openai.APIStatusError, key=house.account("0").key).status_code == 402
    limited = f"limited-{streamed}"
    client.chat.completions.create(model=limited, messages=HELLO)  # type: ignore[call-overload]
    assert refused(openai.RateLimitError, limited).code == "rate_limit_exceeded"
