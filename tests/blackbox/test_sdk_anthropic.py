"""The official Anthropic Python SDK through a real socket, at a channel that chats and at one that speaks its words."""

import base64
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import anthropic
import pytest
from anthropic import beta_tool

from tests.blackbox.harness import HELLO, Account, House, channel

LOOK = {"id": "toolu_1", "name": "look", "arguments": '{"at": "door"}'}
HEAR = {"id": "toolu_2", "name": "hear", "arguments": '{"seconds": 2}'}
CALLS: dict[str, Any] = {"content": ["I look."], "tool_calls": [LOOK, HEAR], "finish_reason": "tool_calls"}
SCRIPTS: dict[str, dict[str, Any]] = {
    "words": {"content": ["one ", "two ", "three"]},
    "thinks": {"reasoning": ["Let me", " think"], "content": ["42"]},
    "calls": CALLS,
    "loops": CALLS,
    "json": {"content": ['{"city": ', '"Rome", "age": 2779}']},
    "cut": {"cut_after": 1, "content": ["one ", "two"]},
    "401": {"status": 401},
    "429": {"status": 429, "retry_after": 7},
    "500": {"status": 500},
    "529": {"status": 529},
    "flaky": {"fail_first": [1, 500]},
}
USAGES: dict[str, dict[str, Any]] = {
    "chats": {"prompt_tokens": 100, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 80}},
    "own": {"input_tokens": 20, "cache_read_input_tokens": 80, "cache_creation_input_tokens": 0, "output_tokens": 3},
}
CHANNELS: dict[str, dict[str, Any]] = {"chats": {}, "own": {"provider": "anthropic-compatible"}}
PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"\x00" * 40).decode()
TOOLS: list[Any] = [
    {"name": "look", "description": "Looks", "input_schema": {"type": "object", "properties": {"at": {}}}},
    {"name": "hear", "input_schema": {"type": "object", "properties": {"seconds": {"type": "integer"}}}},
]


class Kind:
    """One kind of channel: its house, an account in it, and the SDK for both."""

    def __init__(self, name: str, house: House) -> None:
        self.name, self.house = name, house
        self.account: Account = house.account("10")

    def sdk(self, **options: Any) -> anthropic.Anthropic:
        given = {"base_url": self.house.url + "/anthropic", "api_key": self.account.key, "max_retries": 0}
        return anthropic.Anthropic(**{**given, **options})

    def asked(self, model: str) -> Any:
        """What went up last for a model."""
        return self.house.fake.requests(model)[-1]["json"]


@pytest.fixture(scope="module", params=CHANNELS)
def kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kind]:
    name = request.param
    scripts = {**SCRIPTS, "cached": {"usage": USAGES[name], "content": ["a", "b", "c"]}}
    config = "[limits]\nrequests_per_second = 0\n[retry]\nattempts = 2\nbackoff = 0.01\nmax_retry_after = 0\n"
    config += channel(name, list(scripts), **CHANNELS[name])
    with House(tmp_path_factory.mktemp("sdk"), config, scripts) as house:
        yield Kind(name, house)
        house.settle_down()


def said(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def test_create(kind: Kind) -> None:
    with kind.sdk() as client:
        answer = client.messages.create(
            model="words", max_tokens=50, system="Be brief.", messages=HELLO, stop_sequences=["END"]
        )  # type: ignore[call-overload]
    assert (answer.type, answer.role, answer.stop_reason, said(answer)) == (
        "message", "assistant", "end_turn", "one two three",
    )  # fmt: skip
    row = kind.house.row(kind.account)
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (row["prompt_tokens"], row["completion_tokens"])
    stop = kind.asked("words")
    assert (stop.get("stop") or stop.get("stop_sequences")) == ["END"]


@pytest.mark.parametrize("more", ["", "x-api-key", "authorization"])
def test_a_token_in_place_of_a_key(kind: Kind, more: str) -> None:
    """By itself, or beside the same key in another header."""
    key = kind.account.key
    own = {"api_key": key} if more == "authorization" else {"auth_token": key, "api_key": None}
    headers = {more: f"Bearer {key}" if more == "authorization" else key} if more else None
    with kind.sdk(**own, default_headers=headers) as client:
        assert said(client.messages.create(model="words", max_tokens=5, messages=HELLO)) == "one two three"


@pytest.mark.parametrize("model", ["words", "anthropic/words"])
def test_streams(kind: Kind, model: str) -> None:
    with kind.sdk() as client, client.messages.stream(model=model, max_tokens=50, messages=HELLO) as stream:  # type: ignore[arg-type]
        assert list(stream.text_stream) == ["one ", "two ", "three"]
        final = stream.get_final_message()
    row = kind.house.row(kind.account)
    assert (final.usage.input_tokens, final.usage.output_tokens) == (row["prompt_tokens"], row["completion_tokens"])
    with kind.sdk() as client:
        events = [one.type for one in client.messages.create(model=model, max_tokens=5, messages=HELLO, stream=True)]
    assert events[0] == "message_start" and events[-1] == "message_stop"


async def _streamed(kind: Kind) -> str:
    async with anthropic.AsyncAnthropic(base_url=kind.house.url, api_key=kind.account.key, max_retries=0) as client:
        async with client.messages.stream(model="words", max_tokens=50, messages=HELLO) as stream:  # type: ignore[arg-type]
            return "".join([text async for text in stream.text_stream])


def test_the_other_base_and_async(kind: Kind) -> None:
    import asyncio

    assert asyncio.run(_streamed(kind)) == "one two three"


def test_two_tools_in_parallel(kind: Kind) -> None:
    turns: list[Any] = list(HELLO)
    with kind.sdk() as client:
        with client.messages.stream(model="calls", max_tokens=50, messages=turns, tools=TOOLS) as stream:
            first = stream.get_final_message()
        calls = [block for block in first.content if block.type == "tool_use"]
        assert first.stop_reason == "tool_use"
        assert [(call.name, call.input) for call in calls] == [("look", {"at": "door"}), ("hear", {"seconds": 2})]
        turns.append({"role": "assistant", "content": first.content})
        results = [
            {"type": "tool_result", "tool_use_id": calls[0].id, "content": [{"type": "text", "text": "a cat"}]},
            {"type": "tool_result", "tool_use_id": calls[1].id, "content": "too loud", "is_error": True},
        ]
        turns.append({"role": "user", "content": results})
        choice: Any = {"type": "any", "disable_parallel_tool_use": True}
        answer = client.messages.create(model="words", max_tokens=50, messages=turns, tools=TOOLS, tool_choice=choice)
    assert said(answer) == "one two three"
    up = kind.asked("words")
    if kind.name == "own":
        assert up["messages"][2]["content"] == results and up["tool_choice"] == choice
    else:
        assert [m["role"] for m in up["messages"]] == ["user", "assistant", "tool", "tool"]
        assert (up["tool_choice"], up["parallel_tool_calls"]) == ("required", False)


def test_the_tool_runner(kind: Kind) -> None:
    """It runs the tools itself and asks again, until there is an answer."""
    ran = []

    @beta_tool
    def look(at: str) -> str:
        """Looks."""
        kind.house.fake.script(loops=SCRIPTS["words"])
        ran.append(("look", at))
        return "a cat"

    @beta_tool
    def hear(seconds: int) -> str:
        """Hears."""
        ran.append(("hear", str(seconds)))
        return "a purr"

    kind.house.fake.script(loops=CALLS)
    with kind.sdk() as client:
        runner = client.beta.messages.tool_runner(model="loops", max_tokens=50, messages=HELLO, tools=[look, hear])  # type: ignore[call-overload]
        final = runner.until_done()
    assert said(final) == "one two three" and sorted(ran) == [("hear", "2"), ("look", "door")]


def test_thinking_over_turns(kind: Kind) -> None:
    turns: list[Any] = list(HELLO)
    budget: Any = {"type": "enabled", "budget_tokens": 1024}
    with kind.sdk() as client:
        with client.messages.stream(model="thinks", max_tokens=2000, messages=turns, thinking=budget) as stream:
            first = stream.get_final_message()
        assert [block.type for block in first.content] == ["thinking", "text"]
        thought: Any = first.content[0]
        assert thought.thinking == "Let me think" and thought.signature
        turns += [{"role": "assistant", "content": first.content}, {"role": "user", "content": "And now?"}]
        client.messages.create(model="words", max_tokens=2000, messages=turns, thinking=budget)
    again = kind.asked("words")["messages"][1]
    if kind.name == "own":
        assert again["content"][0] == {
            "type": "thinking",
            "thinking": "Let me think",
            "signature": thought.signature,
        }
    else:
        assert again["reasoning_content"] == "Let me think"


def test_images(kind: Kind) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
    parts: list[Any] = [
        {"type": "image", "source": source},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        {"type": "text", "text": "What is it?"},
    ]
    with kind.sdk() as client:
        client.messages.create(model="words", max_tokens=5, messages=[{"role": "user", "content": parts}])
    up = kind.asked("words")["messages"][0]["content"]
    if kind.name == "own":
        assert up == parts
    else:
        assert [part["image_url"]["url"] for part in up[:2]] == [
            f"data:image/png;base64,{PIXEL}",
            "https://example.com/a.png",
        ]


def test_structured_output(kind: Kind) -> None:
    from pydantic import BaseModel

    class City(BaseModel):
        city: str
        age: int

    with kind.sdk() as client:
        answer = client.messages.parse(model="json", max_tokens=50, messages=HELLO, output_format=City)  # type: ignore[arg-type]
    assert answer.parsed_output == City(city="Rome", age=2779)
    up = kind.asked("json")
    schema = up["output_config"]["format"]["schema"] if kind.name == "own" else up["response_format"]["json_schema"]
    assert "city" in str(schema)


def test_cached_tokens(kind: Kind) -> None:
    """In Anthropic's convention, whatever the upstream's is, and paid for as such."""
    with kind.sdk() as client:
        whole = client.messages.create(model="cached", max_tokens=50, messages=HELLO)  # type: ignore[call-overload]
        with client.messages.stream(model="cached", max_tokens=50, messages=HELLO) as stream:  # type: ignore[arg-type]
            streamed = stream.get_final_message()
    for usage in (whole.usage, streamed.usage):
        assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (20, 80, 3)
    row = kind.house.row(kind.account)
    assert (row["prompt_tokens"], row["cached_tokens"]) == (100, 80)
    assert Decimal(row["cost"]) == Decimal(20 + 8 + 6) / 1_000_000


def test_counting(kind: Kind) -> None:
    with kind.sdk() as client:
        counted = client.messages.count_tokens(model="words", messages=HELLO, system="Be brief.", tools=TOOLS)  # type: ignore[arg-type]
        assert 5 < counted.input_tokens < 300
        with pytest.raises(anthropic.NotFoundError):
            client.messages.count_tokens(model="nonesuch", messages=HELLO)  # type: ignore[arg-type]


def test_models(kind: Kind) -> None:
    with kind.sdk() as client:
        names = [model.id for model in client.models.list(limit=3)]  # page by page
        assert names[:2] == ["words", "anthropic/words"] and len(names) == len(set(names)) == 2 * len(SCRIPTS) + 2
        model = client.models.retrieve("anthropic/words")
        assert (model.id, model.display_name, model.max_input_tokens) == ("anthropic/words", "words", 131_072)
        assert model.created_at.year >= 2026
        with pytest.raises(anthropic.NotFoundError):
            client.models.retrieve("nonesuch")
    with kind.sdk(base_url=kind.house.url) as client:
        assert [model.id for model in client.models.list()] == names[::2]


ERRORS: list[tuple[dict[str, Any], type[anthropic.APIStatusError], int, str]] = [
    ({"model": "nonesuch"}, anthropic.NotFoundError, 404, "not_found_error"),
    ({"messages": []}, anthropic.BadRequestError, 400, "invalid_request_error"),
    ({"model": "401"}, anthropic.InternalServerError, 502, "api_error"),
    ({"model": "500"}, anthropic.InternalServerError, 502, "api_error"),
    ({"model": "429"}, anthropic.InternalServerError, 529, "overloaded_error"),
    ({"model": "529"}, anthropic.InternalServerError, 529, "overloaded_error"),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("fields", "error", "status", "name"), ERRORS, ids=lambda value: str(value)[:30])
def test_error_classes(
    kind: Kind, fields: dict[str, Any], error: type[Exception], status: int, name: str, stream: bool
) -> None:
    body: Any = {"model": "words", "max_tokens": 5, "messages": HELLO, "stream": stream, **fields}
    with kind.sdk() as client, pytest.raises(error) as raised:
        client.messages.create(**body)
    refused: Any = raised.value
    assert (refused.status_code, refused.body["error"]["type"]) == (status, name)
    assert refused.request_id.startswith("req_") and refused.body["request_id"] == refused.request_id


def test_errors_of_keys_and_credits(kind: Kind) -> None:
    poor, restricted = kind.house.account("0"), kind.house.account(models="thinks")
    for key, error in (
        ("sk-ft_" + "A" * 43, anthropic.AuthenticationError),
        (restricted.key, anthropic.PermissionDeniedError),
        (poor.key, anthropic.APIStatusError),
    ):
        with kind.sdk(api_key=key) as client, pytest.raises(error) as raised:
            client.messages.create(model="words", max_tokens=5, messages=HELLO)  # type: ignore[call-overload]
    assert (raised.value.status_code, raised.value.body["error"]["type"]) == (402, "billing_error")  # type: ignore[attr-defined]


def test_a_cut_stream_is_an_error(kind: Kind) -> None:
    with kind.sdk() as client, pytest.raises(anthropic.APIError):
        with client.messages.stream(model="cut", max_tokens=50, messages=HELLO) as stream:  # type: ignore[arg-type]
            stream.until_done()


def test_it_need_not_try_again(kind: Kind) -> None:
    with kind.sdk() as client:
        assert said(client.messages.create(model="flaky", max_tokens=5, messages=HELLO)) == "Hello, world"  # type: ignore[call-overload]
