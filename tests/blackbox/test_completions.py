"""POST /v1/completions at a channel whose models only chat: the one way in that every model answers."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx
import openai
import pytest

from tests.blackbox.harness import Account, House, channel, chunks, error, events

WORDS = ["one ", "two ", "three"]
SCRIPTS: dict[str, dict[str, Any]] = {
    "words": {"content": WORDS},
    "thinks": {"reasoning": ["Let me", " think"], "content": ["42"]},
    "short": {"content": WORDS, "finish_reason": "length"},
    "calls": {"content": [], "tool_calls": [{"id": "c1", "name": "look", "arguments": "{}"}],
              "finish_reason": "tool_calls"},
    "no-usage": {"content": WORDS, "usage_place": "none"},
    "bytewise": {"content": ["é", "世界", "\u2028", "😀"], "write_size": 1},
    "cut": {"cut_after": 2, "content": WORDS},
    "refuses": {"status": 400, "error_body": {"error": {"message": "not this", "code": "no"}}},
}  # fmt: skip
CHATS = {"provider": "deepseek", "models_only": True}
"""A provider with chat alone."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    config = channel("chats", list(SCRIPTS), **CHATS)
    with House(tmp_path_factory.mktemp("completions"), config, SCRIPTS) as house:
        yield house
        house.settle_down()


def complete(house: House, account: Account, model: str, **fields: Any) -> httpx.Response:
    body = {"model": model, "prompt": "Hello", **fields}
    return house.http.post("/v1/completions", json=body, headers=account.headers)


def test_a_chat_model_completes(house: House) -> None:
    account = house.account()
    answer = complete(house, account, "words", stop="\n", temperature=0)
    said = answer.json()
    assert answer.status_code == 200 and said["object"] == "text_completion"
    assert said["choices"] == [{"text": "one two three", "index": 0, "logprobs": None, "finish_reason": "stop"}]
    seen = house.fake.requests("words")[-1]
    assert seen["path"] == "/v1/chat/completions"
    assert seen["json"]["messages"] == [{"role": "user", "content": "Hello"}]
    assert (seen["json"]["stop"], seen["json"]["temperature"]) == (["\n"], 0)
    assert "prompt" not in seen["json"]
    row = house.row(account)
    usage = said["usage"]
    assert (row["prompt_tokens"], row["completion_tokens"]) == (usage["prompt_tokens"], usage["completion_tokens"])
    cost = Decimal(usage["prompt_tokens"] + 2 * usage["completion_tokens"]) / 1_000_000
    assert Decimal(answer.headers["x-findtoken-cost"]) == Decimal(row["cost"]) == cost
    assert house.balance(account) == 1 - cost


@pytest.mark.parametrize("usage", [False, True])
def test_a_stream_is_one_of_completions(house: House, usage: bool) -> None:
    account = house.account()
    options = {"stream_options": {"include_usage": True}} if usage else {}
    answer = complete(house, account, "words", stream=True, **options)
    asked = house.fake.requests("words")[-1]["json"]
    assert (asked["stream"], asked["stream_options"]) == (True, {"include_usage": True})
    said = chunks(answer.content)
    assert events(answer.content)[-1].endswith(b"data: [DONE]")
    assert {one["object"] for one in said} == {"text_completion"} and len({one["id"] for one in said}) == 1
    texts = [one["choices"][0] for one in said if one["choices"]]
    assert "".join(choice["text"] for choice in texts) == "one two three"
    assert [choice["finish_reason"] for choice in texts] == [None] * (len(texts) - 1) + ["stop"]
    told = [one["usage"] for one in said if not one["choices"]]
    assert len(told) == usage
    row = house.row(account)
    if usage:
        assert told[0]["cost"] == Decimal(row["cost"])
    assert f": x-findtoken-cost={row['cost']} balance=" in answer.text


def test_characters_come_whole(house: House) -> None:
    answer = complete(house, house.account(), "bytewise", stream=True)
    said = chunks(answer.content)
    assert "".join(one["choices"][0]["text"] for one in said) == "é世界\u2028😀"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("model", "text", "finish"), [
    ("thinks", "42", "stop"), ("short", "one two three", "length"), ("calls", "", "stop"),
    ("no-usage", "one two three", "stop"),
])  # fmt: skip
def test_what_a_chat_may_say(house: House, model: str, text: str, finish: str, stream: bool) -> None:
    account = house.account()
    answer = complete(house, account, model, stream=stream)
    said = chunks(answer.content) if stream else [answer.json()]
    choices = [one["choices"][0] for one in said]
    assert "".join(choice["text"] for choice in choices) == text
    assert choices[-1]["finish_reason"] == finish
    row = house.row(account)
    assert Decimal(row["cost"]) > 0 and row["estimated"] == (model == "no-usage")


def test_a_cut_stream_is_a_broken_one(house: House) -> None:
    account = house.account()
    answer = complete(house, account, "cut", stream=True)
    assert chunks(answer.content)[-1]["error"]["code"] == "provider_error" and "[DONE]" not in answer.text
    row = house.row(account)
    assert row["estimated"] and Decimal(row["cost"]) > 0
    assert complete(house, account, "cut").status_code == 503  # and no half answer is a whole one


CANNOT: dict[str, dict[str, Any]] = {
    "suffix": {"suffix": "the end"},
    "echo": {"echo": True},
    "logprobs": {"logprobs": 3},
    "n": {"n": 2},
    "best_of": {"best_of": 2},
    "logit_bias": {"logit_bias": {"50256": -100}},
    "prompt": {"prompt": ["one", "two"]},
    "prompt-tokens": {"prompt": [1, 2, 3]},
}


@pytest.mark.parametrize("name", CANNOT)
def test_what_a_chat_cannot_do_is_refused_before_the_hold(house: House, name: str) -> None:
    account = house.account()
    before = len(house.fake.requests("words"))
    answer = complete(house, account, "words", **CANNOT[name])
    error(answer, 400, "invalid_value", name.partition("-")[0])
    assert len(house.fake.requests("words")) == before
    assert house.balance(account) == 1 and house.row(account)["status"] == "refused"


@pytest.mark.parametrize("fields", [
    {"suffix": None, "echo": False, "logprobs": None, "n": 1, "best_of": 1, "logit_bias": {}}, {"prompt": ["Hello"]},
], ids=["what asks for nothing", "a list of one"])  # fmt: skip
def test_what_asks_for_nothing_is_served(house: House, fields: dict[str, Any]) -> None:
    assert complete(house, house.account(), "words", **fields).status_code == 200


def test_an_upstreams_refusal_is_the_callers(house: House) -> None:
    account = house.account()
    answer = complete(house, account, "refuses")
    assert error(answer, 400, "no") == "not this"
    assert house.balance(account) == 1


def test_a_channel_of_completions_is_spoken_to_in_its_own(tmp_path: Any) -> None:
    """And what a chat cannot do goes where it can be done, past the channel that only chats."""
    scripts = {"words": {"content": WORDS}}
    config = channel("chats", ["words"], priority=1, **CHATS) + channel("completes", ["words"], priority=2)
    with House(tmp_path, config, scripts) as house:
        account = house.account()
        complete(house, account, "words")
        complete(house, account, "words", echo=True)
        assert [seen["path"] for seen in house.fake.requests("words")] == ["/v1/chat/completions", "/v1/completions"]


def test_the_sdk_completes(house: House) -> None:
    account = house.account()
    with openai.OpenAI(base_url=f"{house.url}/v1", api_key=account.key, max_retries=0) as client:
        assert client.completions.create(model="words", prompt="Hello").choices[0].text == "one two three"
        pieces = client.completions.create(model="words", prompt="Hello", stream=True)
        assert "".join(piece.choices[0].text for piece in pieces if piece.choices) == "one two three"
        with pytest.raises(openai.BadRequestError):
            client.completions.create(model="words", prompt="Hello", echo=True)
