"""The official OpenAI Python SDK's Responses through a real socket, at a channel that chats and at one that speaks
Anthropic's words alone."""

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
    "json": {"content": ['{"city": ', '"Rome", "age": 2779}']},
    "short": {"content": ["one ", "two"], "finish_reason": "length"},
    "cut": {"cut_after": 1, "content": ["one ", "two"]},
    "401": {"status": 401},
    "429": {"status": 429, "retry_after": 7},
    "500": {"status": 500},
    "529": {"status": 529},
}
USAGES: dict[str, dict[str, Any]] = {
    "chats": {"prompt_tokens": 100, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 80}},
    "own": {"input_tokens": 20, "cache_read_input_tokens": 80, "cache_creation_input_tokens": 0, "output_tokens": 3},
}
CHANNELS: dict[str, dict[str, Any]] = {"chats": {}, "own": {"provider": "anthropic-compatible"}}
PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"\x00" * 40).decode()
TOOLS: list[Any] = [
    {"type": "function", "name": name, "strict": False, "parameters": {"type": "object", "properties": {}}}
    for name in ("look", "hear")
]


class City(BaseModel):
    city: str
    age: int


class Kind:
    """One kind of channel: its house, an account in it, and the SDK for both."""

    def __init__(self, name: str, house: House) -> None:
        self.name, self.house = name, house
        self.account: Account = house.account("10")

    def sdk(self, **options: Any) -> openai.OpenAI:
        given = {"base_url": self.house.url + "/v1", "api_key": self.account.key, "max_retries": 0}
        return openai.OpenAI(**{**given, **options})

    def asked(self, model: str) -> Any:
        """What went up last for a model."""
        seen = self.house.fake.requests(model)[-1]
        assert seen["path"] == {"chats": "/v1/chat/completions", "own": "/v1/messages"}[self.name]
        return seen["json"]


@pytest.fixture(scope="module", params=CHANNELS)
def kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kind]:
    name = request.param
    scripts = {**SCRIPTS, "cached": {"usage": USAGES[name], "content": ["a", "b", "c"]}}
    config = "[limits]\nrequests_per_second = 0\n[retry]\nattempts = 1\nmax_retry_after = 0\n"
    config += '[limits.model."limited"]\nrequests_per_minute = 1\n'
    config += channel(name, [*scripts, "limited"], **CHANNELS[name])
    with House(tmp_path_factory.mktemp("sdk"), config, scripts) as house:
        yield Kind(name, house)
        house.settle_down()


@pytest.fixture
def client(kind: Kind) -> Iterator[openai.OpenAI]:
    with kind.sdk() as client:
        yield client


def made(client: openai.OpenAI, stream: bool, **fields: Any) -> Any:
    """The response, in one piece or at the end of the SDK's stream."""
    if not stream:
        return client.responses.create(**fields)
    with client.responses.stream(**fields) as events:
        return events.get_final_response()


@pytest.mark.parametrize("stream", [False, True])
def test_create(client: openai.OpenAI, kind: Kind, stream: bool) -> None:
    answer = made(
        client, stream, model="words", input="Hello", instructions="Be brief.", max_output_tokens=50, temperature=0.5
    )
    assert (answer.output_text, answer.status, answer.error) == ("one two three", "completed", None)
    row = kind.house.row(kind.account)
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (row["prompt_tokens"], row["completion_tokens"])
    if stream:  # else it stands in the head
        assert Decimal(str(answer.usage.cost)) == Decimal(row["cost"])
    went = kind.asked("words")
    system = went["system"] if kind.name == "own" else went["messages"][0]["content"]
    cap = went.get("max_tokens") or went.get("max_completion_tokens")
    assert (system, cap, went["temperature"]) == ("Be brief.", 50, 0.5)


def test_the_events_of_a_stream(client: openai.OpenAI) -> None:
    events: list[Any] = list(client.responses.create(model="words", input="Hello", stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == "one two three"
    assert (events[0].type, events[-1].type) == ("response.created", "response.completed")
    assert events[0].response.id == events[-1].response.id


@pytest.mark.parametrize("stream", [False, True])
def test_two_tools_in_parallel(client: openai.OpenAI, kind: Kind, stream: bool) -> None:
    answer = made(client, stream, model="calls", input="Hello", tools=TOOLS)
    assert [item.type for item in answer.output] == ["message", "function_call", "function_call"]
    calls = answer.output[1:]
    assert [(call.call_id, call.name, json.loads(call.arguments)) for call in calls] == [
        ("toolu_1", "look", {"at": "door"}), ("toolu_2", "hear", {"seconds": 2}),
    ]  # fmt: skip
    results = [
        {"type": "function_call_output", "call_id": call.call_id, "output": f"{call.name}ed"}
        for call in reversed(calls)
    ]
    turns: Any = [*HELLO, *answer.output, *results]  # the results in an order of their own
    assert client.responses.create(model="words", input=turns, tools=TOOLS).output_text == "one two three"
    said = kind.asked("words")["messages"]
    if kind.name == "own":
        assert [block["type"] for block in said[1]["content"]] == ["text", "tool_use", "tool_use"]
        ids = [(block["tool_use_id"], block["content"]) for block in said[2]["content"]]
    else:
        assert [call["id"] for call in said[1]["tool_calls"]] == ["toolu_1", "toolu_2"]
        ids = [(turn["tool_call_id"], turn["content"]) for turn in said[2:]]
    assert len(said) == (3 if kind.name == "own" else 4)
    assert sorted(ids) == [("toolu_1", "looked"), ("toolu_2", "heared")]


@pytest.mark.parametrize("stream", [False, True])
def test_thinking_over_turns(client: openai.OpenAI, kind: Kind, stream: bool) -> None:
    """Nothing is kept: the thinking comes back in what the SDK was given to send again."""
    more: Any = {"include": ["reasoning.encrypted_content"], "reasoning": {"effort": "high", "summary": "auto"}}
    answer = made(client, stream, model="thinks", input="Hello", store=False, **more)
    assert [item.type for item in answer.output] == ["reasoning", "message"] and answer.output_text == "42"
    client.responses.create(model="words", input=[*HELLO, *answer.output, *HELLO], store=False, **more)
    again = kind.asked("words")["messages"][1]
    if kind.name == "own":
        seal = {"type": "thinking", "thinking": "Let me think", "signature": SIGNATURE}
        assert again["content"] == [seal, {"type": "text", "text": "42"}]
    else:
        assert (again["reasoning_content"], again["content"]) == ("Let me think", "42")


def test_images(client: openai.OpenAI, kind: Kind) -> None:
    urls = [f"data:image/png;base64,{PIXEL}", "https://example.com/a.png"]
    parts: list[Any] = [{"type": "input_image", "detail": "auto", "image_url": url} for url in urls]
    parts.append({"type": "input_text", "text": "What is it?"})
    client.responses.create(model="words", input=[{"role": "user", "content": parts}])
    up = kind.asked("words")["messages"][0]["content"]
    if kind.name == "own":
        sources = [{"type": "base64", "media_type": "image/png", "data": PIXEL}, {"type": "url", "url": urls[1]}]
        assert [part["source"] for part in up[:2]] == sources
    else:
        assert [part["image_url"]["url"] for part in up[:2]] == urls
    assert up[2] == {"type": "text", "text": "What is it?"}


@pytest.mark.parametrize("stream", [False, True])
def test_structured_output(client: openai.OpenAI, kind: Kind, stream: bool) -> None:
    if stream:
        with client.responses.stream(model="json", input="Hello", text_format=City) as events:
            answer: Any = events.get_final_response()
    else:
        answer = client.responses.parse(model="json", input="Hello", text_format=City)
    assert answer.output_parsed == City(city="Rome", age=2779)
    up = kind.asked("json")
    schema = up["output_config"]["format"] if kind.name == "own" else up["response_format"]["json_schema"]
    assert schema["schema"]["properties"].keys() == {"city", "age"}


@pytest.mark.parametrize("stream", [False, True])
def test_cached_tokens(client: openai.OpenAI, kind: Kind, stream: bool) -> None:
    usage = made(client, stream, model="cached", input="Hello").usage
    assert (usage.input_tokens, usage.input_tokens_details.cached_tokens, usage.output_tokens) == (100, 80, 3)
    assert usage.total_tokens == 103
    row = kind.house.row(kind.account)
    assert (row["cached_tokens"], Decimal(row["cost"])) == (80, Decimal(20 + 8 + 6) / 1_000_000)


@pytest.mark.parametrize("stream", [False, True])
def test_a_short_answer_is_incomplete(client: openai.OpenAI, stream: bool) -> None:
    given: Any = {"model": "short", "input": "Hello"}
    if stream:  # of the SDK's helper nothing can be had that is not complete
        *_, last = client.responses.create(**given, stream=True)
        assert last.type == "response.incomplete"
        answer = last.response
    else:
        answer = client.responses.create(**given)
    assert (answer.status, answer.incomplete_details.reason, answer.output_text) == (
        "incomplete", "max_output_tokens", "one two",
    )  # fmt: skip


ERRORS: list[tuple[dict[str, Any], type[openai.APIStatusError], int, str | None]] = [
    ({"model": "nonesuch"}, openai.BadRequestError, 400, "model_not_found"),
    ({"max_output_tokens": -1}, openai.BadRequestError, 400, "invalid_value"),
    ({"previous_response_id": "resp_1"}, openai.BadRequestError, 400, "previous_response_not_found"),
    ({"model": "401"}, openai.InternalServerError, 502, "provider_error"),
    ({"model": "429"}, openai.InternalServerError, 503, "no_healthy_provider"),
    ({"model": "500"}, openai.InternalServerError, 502, "provider_error"),
    ({"model": "529"}, openai.InternalServerError, 503, "server_is_overloaded"),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("fields", "error", "status", "code"), ERRORS, ids=lambda value: str(value)[:40])
def test_error_classes(
    client: openai.OpenAI, fields: Any, error: type[Exception], status: int, code: str | None, stream: bool
) -> None:
    with pytest.raises(error) as raised:
        client.responses.create(**{"model": "words", "input": "Hello", "stream": stream, **fields})
    refused: Any = raised.value
    assert (refused.status_code, refused.code) == (status, code) and refused.request_id.startswith("req_")


def test_errors_of_keys_credits_and_limits(kind: Kind) -> None:
    poor, restricted = kind.house.account("0"), kind.house.account(models="thinks")
    for key, error in (
        ("sk-ft_" + "A" * 43, openai.AuthenticationError),
        (restricted.key, openai.PermissionDeniedError),
        (poor.key, openai.APIStatusError),
    ):
        with kind.sdk(api_key=key) as client, pytest.raises(error) as raised:
            client.responses.create(model="words", input="Hello")
    assert raised.value.status_code == 402  # type: ignore[attr-defined]
    with kind.sdk() as client:
        client.responses.create(model="limited", input="Hello")
        with pytest.raises(openai.RateLimitError) as limited:
            client.responses.create(model="limited", input="Hello", stream=True)
    assert limited.value.code == "rate_limit_exceeded" and int(limited.value.response.headers["retry-after"]) > 30


def test_a_cut_stream_has_failed(client: openai.OpenAI, kind: Kind) -> None:
    events: list[Any] = list(client.responses.create(model="cut", input="Hello", stream=True))
    assert (events[-1].type, events[-1].response.status) == ("response.failed", "failed")
    assert events[-1].response.error.code and not any(event.type == "response.completed" for event in events)
    row = kind.house.row(kind.account)
    assert row["status"] != "ok" and row["completion_tokens"] >= 1
