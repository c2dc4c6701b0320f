"""POST /v1/messages at both kinds of channel: Anthropic's own words passed on, and any chat model answering in them."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.blackbox.harness import Account, House, channel

LOOK = {"id": "call_1", "name": "look", "arguments": '{"at": "door"}'}
HEAR = {"id": "call_2", "name": "hear", "arguments": '{"for": 2}'}
SCRIPTS: dict[str, dict[str, Any]] = {
    "words": {"content": ["one ", "two ", "three"]},
    "thinks": {"reasoning": ["Let me", " think"], "content": ["42"]},
    "short": {"content": ["one"], "finish_reason": "length"},
    "calls": {"content": ["I look."], "tool_calls": [LOOK, HEAR], "finish_reason": "tool_calls"},
    "bytewise": {"content": ["é", "世界", "\u2028", "😀"], "write_size": 1},
    "cut": {"cut_after": 2, "content": ["one ", "two ", "three"]},
    "busy": {"status": 529},
    "busy-later": {"content": ["one ", "two "], "error_after": 1,
                   "error_event": {"error": {"type": "overloaded_error", "message": "too much"}}},
    "refuses": {"status": 400},
    "details": {"status": 400, "raw_body": json.dumps({"type": "error", "error": {
        "type": "invalid_request_error", "message": "no threads here", "details": {
            "error_code": "thread_unsupported_request", "key": "sk-ant-api03-0123456789abcdef0123456789"}}})},
}  # fmt: skip
CHANNELS = {
    "chats": {},
    "own": {"provider": "anthropic-compatible"},
}
"""A server that chats, and one that speaks the caller's words."""


@pytest.fixture(scope="module", params=CHANNELS)
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    config = channel(request.param, list(SCRIPTS), **CHANNELS[request.param])
    with House(tmp_path_factory.mktemp("messages"), config, SCRIPTS) as house:
        house.kind = request.param  # type: ignore[attr-defined]
        yield house
        house.settle_down()


def ask(house: House, account: Account, model: str, path: str = "/v1/messages", **fields: Any) -> httpx.Response:
    body = {"model": model, "max_tokens": 100, "messages": [{"role": "user", "content": "Hello"}], **fields}
    return house.http.post(path, json=body, headers=account.headers)


def own(house: House) -> bool:
    return house.kind == "own"  # type: ignore[attr-defined, no-any-return]


def named(body: bytes) -> list[tuple[str, Any]]:
    """A stream's events with their names; comments stand in front of them."""
    found = []
    for block in body.split(b"\n\n"):
        lines = [line for line in block.split(b"\n") if line and not line.startswith(b":")]
        if lines:
            assert lines[0].startswith(b"event: ") and lines[1].startswith(b"data: "), block
            found.append((lines[0][7:].decode(), json.loads(lines[1][6:])))
    return found


@pytest.mark.parametrize("path", ["/v1/messages", "/anthropic/v1/messages", "/anthropic/v1/messages?beta=true"])
def test_a_plain_call(house: House, path: str) -> None:
    account = house.account()
    answer = ask(house, account, "words", path, system="Be brief", temperature=0)
    said = answer.json()
    assert answer.status_code == 200, said
    assert said["content"] == [{"type": "text", "text": "one two three"}]
    assert answer.headers["request-id"] == answer.headers["x-request-id"]
    assert (said["type"], said["role"], said["stop_reason"]) == ("message", "assistant", "end_turn")
    seen = house.fake.requests("words")[-1]
    assert seen["path"] == ("/v1/messages" if own(house) else "/v1/chat/completions")
    headers = dict(seen["headers"])
    if own(house):
        assert headers["anthropic-version"] == "2023-06-01" and "x-api-key" in headers
        assert seen["json"]["system"] == "Be brief" and seen["json"]["max_tokens"] == 100
    else:
        assert seen["json"]["messages"][0] == {"role": "system", "content": "Be brief"}
    row = house.row(account)
    usage = said["usage"]
    assert (row["prompt_tokens"], row["completion_tokens"]) == (usage["input_tokens"], usage["output_tokens"])
    cost = Decimal(usage["input_tokens"] + 2 * usage["output_tokens"]) / 1_000_000
    assert Decimal(answer.headers["x-findtoken-cost"]) == Decimal(row["cost"]) == cost
    assert house.balance(account) == 1 - cost


@pytest.mark.parametrize("model", ["words", "thinks", "calls", "bytewise", "short"])
def test_a_stream_and_a_whole_answer_say_the_same(house: House, model: str) -> None:
    account = house.account()
    whole = ask(house, account, model).json()
    answer = ask(house, account, model, stream=True)
    assert answer.headers["content-type"].startswith("text/event-stream")
    said = named(answer.content)
    names = [name for name, _ in said]
    assert names[0] == "message_start" and names[-2:] == ["message_delta", "message_stop"]
    assert names == [event["type"] for _, event in said]
    blocks: list[dict[str, Any]] = []
    for name, event in said:
        if name == "content_block_start":
            assert event["index"] == len(blocks)
            blocks.append({**event["content_block"], "_": ""})
        elif name == "content_block_delta":
            assert event["index"] == len(blocks) - 1
            delta = event["delta"]
            for field in ("text", "thinking", "partial_json"):
                blocks[-1]["_"] += delta.get(field, "")
            blocks[-1]["signature"] = delta.get("signature", blocks[-1].get("signature"))
    assert names.count("content_block_start") == names.count("content_block_stop") == len(blocks) > 0
    for block, one in zip(blocks, whole["content"], strict=True):
        text = block["_"]
        assert block["type"] == one["type"]
        assert {"text": text, "thinking": text}.get(
            one["type"], json.loads(text or "{}") if text[:1] == "{" else text
        ) == (one.get("text", one.get("thinking", one.get("input"))))
        if one["type"] == "thinking":
            assert block["signature"] == one["signature"] != ""
        if one["type"] == "tool_use":
            assert (block["id"], block["name"]) == (one["id"], one["name"])
    end = dict(said)["message_delta"]
    assert end["delta"]["stop_reason"] == whole["stop_reason"]
    row = house.row(account, answer.headers["x-request-id"])
    told = {**dict(said)["message_start"]["message"]["usage"], **end["usage"]}
    assert (row["prompt_tokens"], row["completion_tokens"]) == (told["input_tokens"], told["output_tokens"])
    stop = answer.content.split(b"\n\n")[-2]
    assert stop.startswith(b": x-findtoken-cost=" + row["cost"].encode()) and b"event: message_stop" in stop


def test_no_two_answers_share_an_id(house: House) -> None:
    if own(house):
        return  # the provider's own ids pass
    account = house.account()
    ids = {ask(house, account, "words").json()["id"] for _ in range(3)}
    assert len(ids) == 3 and all(id.startswith("msg_") for id in ids)


def test_a_tool_loop(house: House) -> None:
    """Two calls in parallel, their results, and what goes up of it."""
    account = house.account()
    tools = [{"name": name, "input_schema": {"type": "object"}} for name in ("look", "hear")]
    said = ask(house, account, "calls", tools=tools).json()
    calls = [block for block in said["content"] if block["type"] == "tool_use"]
    assert [(call["name"], call["input"]) for call in calls] == [("look", {"at": "door"}), ("hear", {"for": 2})]
    assert said["stop_reason"] == "tool_use"
    results = [{"type": "tool_result", "tool_use_id": call["id"], "content": call["name"]} for call in calls]
    turns = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": said["content"]},
             {"role": "user", "content": results}]  # fmt: skip
    assert ask(house, account, "words", tools=tools, messages=turns).status_code == 200
    up = house.fake.requests("words")[-1]["json"]["messages"]
    if own(house):
        assert up == turns
    else:
        assert [message["role"] for message in up] == ["user", "assistant", "tool", "tool"]
        assert [call["id"] for call in up[1]["tool_calls"]] == [message["tool_call_id"] for message in up[2:]]


def test_thinking_over_turns(house: House) -> None:
    account = house.account()
    thought, text = ask(house, account, "thinks", thinking={"type": "adaptive"}).json()["content"]
    assert (thought["type"], thought["thinking"], text["text"]) == ("thinking", "Let me think", "42")
    turns = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": [thought, text]},
             {"role": "user", "content": "And now?"}]  # fmt: skip
    assert ask(house, account, "words", messages=turns, thinking={"type": "adaptive"}).status_code == 200
    up = house.fake.requests("words")[-1]["json"]
    if own(house):
        assert up["messages"] == turns and up["thinking"] == {"type": "adaptive"}
    else:
        assert up["messages"][1] == {"role": "assistant", "content": "42", "reasoning_content": "Let me think"}


def test_errors_are_anthropic_s(house: House) -> None:
    account = house.account()
    for fields, status, kind in (
        ({"model": "nobody"}, 404, "not_found_error"),
        ({"max_tokens": None}, 400, "invalid_request_error"),
        ({"thread": {"id": "x"}}, 400, "invalid_request_error"),
        ({"model": "refuses"}, 400, "invalid_request_error"),
        ({"model": "busy"}, 529, "overloaded_error"),
    ):
        answer = ask(house, account, **{"model": "words", **fields})
        said = answer.json()
        assert (answer.status_code, said["type"], said["error"]["type"]) == (status, "error", kind), said
        assert said["request_id"] == answer.headers["x-request-id"] == answer.headers["request-id"]
    assert house.balance(account) == 1
    answer = house.http.post("/v1/messages", json={}, headers={"x-api-key": "sk-ft_wrong"})
    assert (answer.status_code, answer.json()["error"]["type"]) == (401, "authentication_error")


@pytest.mark.parametrize("stream", [False, True])
def test_what_an_upstream_says_beside_its_error(house: House, stream: bool) -> None:
    """Callers of messages get it, redacted; OpenAI's have no place for it, and get the words."""
    account = house.account()
    error = ask(house, account, "details", stream=stream).json()["error"]
    assert (error["type"], error["message"]) == ("invalid_request_error", "no threads here")
    assert error["details"]["error_code"] == "thread_unsupported_request"
    assert "0123456789abcdef" not in json.dumps(error) and error["details"].keys() == {"error_code", "key"}
    others: dict[str, Any] = {
        "/v1/chat/completions": {"messages": [{"role": "user", "content": "Hello"}]},
        "/v1/responses": {"input": "Hello"},
    }
    for path, said in others.items():
        answer = house.http.post(path, json={"model": "details", "stream": stream, **said}, headers=account.headers)
        told = {"message": "no threads here", "type": "invalid_request_error", "code": "provider_error", "param": None}
        assert (answer.status_code, answer.json()) == (400, {"error": told})
    assert house.balance(account) == 1


def test_a_cut_stream_ends_in_an_error(house: House) -> None:
    account = house.account()
    said = named(ask(house, account, "cut", stream=True).content)
    assert said[-1][0] == "error" and said[-1][1]["error"]["type"] == "api_error"
    assert "message_stop" not in dict(said)
    row = house.row(account)
    assert row["status"] == "error" and row["completion_tokens"] == 2


def test_a_provider_that_is_overloaded_in_the_midst_is_told_as_that(house: House) -> None:
    """Clients try again later by that type, where any other error ends their work."""
    account = house.account()
    name, said = named(ask(house, account, "busy-later", stream=True).content)[-1]
    assert (name, said["error"]["type"]) == ("error", "overloaded_error") and "too much" in said["error"]["message"]
    assert house.row(account)["completion_tokens"] == 1


def test_what_another_model_cannot_be_given(house: House) -> None:
    """Refused before the hold, with the path; what the provider itself knows passes."""
    account = house.account()
    answer = ask(house, account, "words", tools=[{"type": "bash_20250124", "name": "bash"}])
    if own(house):
        assert answer.status_code == 200
        return
    assert answer.status_code == 400 and "tools.0.type" in answer.json()["error"]["message"]
    assert house.balance(account) == 1


def test_a_model_that_thinks_is_asked_with_tools_in_responses(tmp_path: Path) -> None:
    """OpenAI's reasoning models refuse tools at the chat address. What Responses cannot say goes there all the same."""
    models: dict[str, dict[str, object]] = {"thinks": {"tags": ["reasoning"]}, "plain": {}}
    looks = {"tools": [{"name": "look", "input_schema": {"type": "object"}}]}
    asked: list[tuple[str, dict[str, Any], str]] = [
        ("thinks", looks, "/v1/responses"),
        ("thinks", {**looks, "stream": True}, "/v1/responses"),
        ("thinks", {}, "/v1/chat/completions"),
        ("thinks", {**looks, "stop_sequences": ["x"]}, "/v1/chat/completions"),
        ("thinks", {**looks, "max_tokens": 15}, "/v1/chat/completions"),
        ("plain", looks, "/v1/chat/completions"),
    ]
    with House(tmp_path, channel("openai", models, responses_base_url="FAKE/v1"), {"thinks": {}, "plain": {}}) as house:
        account = house.account()
        for model, fields, path in asked:
            assert ask(house, account, model, **fields).status_code == 200
            assert house.fake.requests(model)[-1]["path"] == path, fields
