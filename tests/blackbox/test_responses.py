"""POST /v1/responses: over a channel that only chats, and over one of its own dialect, plain and streamed, with the
exact money of each."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx
import openai
import pytest

from tests.blackbox.harness import Account, House, channel, chunks, error

WORDS = ["one ", "two ", "three"]
CALLS = [
    {"id": "c1", "name": "look", "arguments": '{"at": 1}'},
    {"id": "c2", "name": "mcp__web__fetch", "arguments": "{}"},
]
SCRIPTS: dict[str, dict[str, Any]] = {
    "words": {"content": WORDS},
    "thinks": {"reasoning": ["Let me", " think"], "content": ["42"]},
    "short": {"content": WORDS, "finish_reason": "length"},
    "calls": {"content": ["I look."], "tool_calls": CALLS, "finish_reason": "tool_calls"},
    "patches": {"content": [], "finish_reason": "tool_calls",
                "tool_calls": [{"id": "c1", "name": "patch", "arguments": '{"input": "*** Begin\\n+é"}'}]},
    "no-usage": {"content": WORDS, "usage_place": "none"},
    "bytewise": {"content": ["é", "世界", "\u2028", "😀"], "write_size": 1},
    "cut": {"cut_after": 2, "content": WORDS},
    "in-band": {"content": WORDS, "error_event": {"error": {"message": "slow", "code": "rate_limit_exceeded"}},
                "error_after": 2},
    "whole": {"content": WORDS, "raw_body": json.dumps({
        "id": "x", "object": "chat.completion", "created": 1, "model": "whole", "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "one two three"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 7}}), "content_type": "application/json"},
    "refuses": {"status": 400, "error_body": {"error": {"message": "too long", "code": "context_length_exceeded"}}},
    "waits": {"head_delay_s": 2.5, "content": WORDS},
    "waits-in-vain": {"head_delay_s": 2.5, "status": 500},
}  # fmt: skip
CHATS = {"provider": "deepseek", "models_only": True}
"""A provider with chat alone."""
COST = Decimal("0.00001")
"""Of a prompt of 4 tokens and an answer of 3."""
TOOLS = [
    {"type": "function", "name": "look", "parameters": {"type": "object"}},
    {"type": "custom", "name": "patch"},
    {"type": "namespace", "name": "mcp__web", "tools": [{"type": "function", "name": "fetch"}]},
    {"type": "web_search"},
]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    config = channel("chats", list(SCRIPTS), **CHATS) + "[server]\nkeepalive = 1\n"
    with House(tmp_path_factory.mktemp("responses"), config, SCRIPTS) as house:
        yield house
        house.settle_down()


def respond(house: House, account: Account, model: str, **fields: Any) -> httpx.Response:
    body = {"model": model, "input": "Hello", **fields}
    return house.http.post("/v1/responses", json=body, headers=account.headers)


def last(answer: httpx.Response) -> Any:
    """The response in a stream's last event, after a look at the order of all of them."""
    said = chunks(answer.content)
    assert [one["sequence_number"] for one in said] == list(range(len(said)))
    assert [one["type"] for one in said[:2]] == ["response.created", "response.in_progress"]
    return said[-1]["response"]


def answered(house: House, account: Account, model: str, *, stream: bool, **fields: Any) -> Any:
    answer = respond(house, account, model, stream=stream, **fields)
    assert answer.status_code == 200, answer.text
    return last(answer) if stream else json.loads(answer.content, parse_float=Decimal)


@pytest.mark.parametrize("stream", [False, True])
def test_a_chat_model_responds(house: House, stream: bool) -> None:
    account = house.account()
    answer = respond(house, account, "words", stream=stream)
    said = last(answer) if stream else json.loads(answer.content, parse_float=Decimal)
    assert (said["object"], said["status"], said["store"], said["model"]) == ("response", "completed", False, "words")
    assert [item["type"] for item in said["output"]] == ["message"]
    assert said["output"][0]["content"][0]["text"] == "one two three"
    assert said["usage"]["input_tokens"] == 4 and said["usage"]["output_tokens"] == 3
    row = house.row(account)
    assert Decimal(row["cost"]) == COST and not row["estimated"]
    if stream:
        assert said["usage"]["cost"] == COST
        assert ": x-findtoken-cost=0.00001 balance=0.99999\nevent: response.completed\n" in answer.text
        assert "[DONE]" not in answer.text
    else:
        assert Decimal(answer.headers["x-findtoken-cost"]) == COST
    sent = house.fake.requests("words")[-1]
    assert sent["path"] == "/v1/chat/completions"
    assert sent["json"]["messages"] == [{"role": "user", "content": "Hello"}]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("model", "kinds", "text"), [
    ("thinks", ["reasoning", "message"], "42"), ("short", ["message"], "one two three"),
    ("no-usage", ["message"], "one two three"), ("bytewise", ["message"], "é世界\u2028😀"),
    ("calls", ["message", "function_call", "function_call"], "I look."),
])  # fmt: skip
def test_what_a_chat_may_say(house: House, model: str, kinds: list[str], text: str, stream: bool) -> None:
    account = house.account()
    said = answered(house, account, model, stream=stream, tools=TOOLS)
    assert [item["type"] for item in said["output"]] == kinds
    assert "".join(p["text"] for i in said["output"] if i["type"] == "message" for p in i["content"]) == text
    assert said["status"] == ("incomplete" if model == "short" else "completed")
    if model == "short":
        assert said["incomplete_details"] == {"reason": "max_output_tokens"}
        assert said["output"][-1]["status"] == "incomplete"
    row = house.row(account)
    assert Decimal(row["cost"]) > 0 and row["estimated"] == (model == "no-usage")


@pytest.mark.parametrize("stream", [False, True])
def test_calls_come_back_under_the_callers_names(house: House, stream: bool) -> None:
    account = house.account()
    look, fetch = answered(house, account, "calls", stream=stream, tools=TOOLS)["output"][1:]
    assert (look["call_id"], look["name"], look["arguments"]) == ("c1", "look", '{"at": 1}')
    assert (fetch["name"], fetch["namespace"], fetch["arguments"]) == ("fetch", "mcp__web", "{}")
    patch = answered(house, account, "patches", stream=stream, tools=TOOLS)["output"][0]
    assert (patch["type"], patch["name"], patch["input"]) == ("custom_tool_call", "patch", "*** Begin\n+é")
    names = [tool["function"]["name"] for tool in house.fake.requests("calls")[-1]["json"]["tools"]]
    assert names == ["look", "patch", "mcp__web__fetch"]


def test_thinking_goes_along(house: House) -> None:
    """A client that sends back what it got, with the tool's output behind: the model's thinking is there again."""
    account = house.account()
    output = answered(house, account, "thinks", stream=False)["output"]
    answered(house, account, "thinks", stream=False, input=[{"role": "user", "content": "a"}, *output,
                                                            {"role": "user", "content": "b"}])  # fmt: skip
    assert house.fake.requests("thinks")[-1]["json"]["messages"][1] == {
        "role": "assistant", "content": "42", "reasoning_content": "Let me think"}  # fmt: skip


@pytest.mark.parametrize(("model", "code"), [("cut", "server_error"), ("in-band", "rate_limit_exceeded")])
def test_a_broken_stream_has_failed(house: House, model: str, code: str) -> None:
    account = house.account()
    answer = respond(house, account, model, stream=True)
    said = last(answer)
    assert (said["status"], said["error"]["code"], said["output"]) == ("failed", code, [])
    assert said["error"]["type"] == "provider_error" and said["usage"] is None
    assert chunks(answer.content)[-1]["type"] == "response.failed" and ": x-findtoken-cost=" in answer.text
    row = house.row(account)
    assert row["estimated"] and Decimal(row["cost"]) > 0


def test_an_upstream_that_answers_whole_is_streamed(house: House) -> None:
    account = house.account()
    assert answered(house, account, "whole", stream=True)["output"][0]["content"][0]["text"] == "one two three"
    assert Decimal(house.row(account)["cost"]) == COST


def test_an_error_keeps_its_code(house: House) -> None:
    account = house.account()
    assert error(respond(house, account, "refuses", stream=True), 400, "context_length_exceeded") == "too long"
    assert house.balance(account) == 1


def test_who_waits_hears_something_and_an_error_is_a_response(house: House) -> None:
    account = house.account()
    answer = respond(house, account, "waits", stream=True)
    assert answer.text.startswith(": keepalive\n") and last(answer)["status"] == "completed"
    said = last(respond(house, account, "waits-in-vain", stream=True))
    assert (said["status"], said["model"], said["error"]["type"]) == ("failed", "waits-in-vain", "provider_error")
    assert said["created_at"] > 1_700_000_000  # ours, though nobody has answered


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "the tool": ({"tools": [{"type": "apply_patch"}]}, "tools.0.type"),
    "the item": ({"input": [{"type": "shell_call", "call_id": "c"}]}, "input.0.type"),
    "the picture": ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "cat.png"}]}]},
                    "input.0.content.0.image_url"),
    "the call": ({"input": [{"type": "function_call", "call_id": "c9", "name": "f", "arguments": ""}]}, "input"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_chat_cannot_do_is_refused_before_the_hold(house: House, name: str) -> None:
    fields, param = REFUSED[name]
    account = house.account()
    before = len(house.fake.requests("words"))
    error(respond(house, account, "words", **fields), 400, "invalid_value", param)
    assert len(house.fake.requests("words")) == before
    assert house.balance(account) == 1 and house.row(account)["status"] == "refused"


def test_the_sdk_responds(house: House) -> None:
    account = house.account()
    with openai.OpenAI(base_url=f"{house.url}/v1", api_key=account.key, max_retries=0) as client:
        assert client.responses.create(model="words", input="Hello").output_text == "one two three"
        with client.responses.stream(model="calls", input="Hello", tools=[TOOLS[0]]) as stream:  # type: ignore[list-item]
            kinds = [event.type for event in stream]
            made = stream.get_final_response()
        assert kinds[0] == "response.created" and kinds[-1] == "response.completed"
        assert made.output[1].type == "function_call" and made.output[1].arguments == '{"at": 1}'
        with pytest.raises(openai.BadRequestError) as refused:
            client.responses.create(model="words", input="Hello", previous_response_id="resp_1")
        assert refused.value.code == "previous_response_not_found"


# ---- a channel of this dialect ----

USAGE = {"input_tokens": 100, "input_tokens_details": {"cached_tokens": 40}, "output_tokens": 10,
         "output_tokens_details": {"reasoning_tokens": 4}, "total_tokens": 110}  # fmt: skip
NATIVE_COST = Decimal("0.000084")
"""60 tokens of prompt, 40 from the cache, 10 of output."""
ITEM = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
        "content": [{"type": "output_text", "text": "one two", "annotations": []}]}  # fmt: skip
RESPONSE = {"id": "resp_up", "object": "response", "created_at": 1, "model": "up", "status": "completed",
            "output": [ITEM], "usage": USAGE, "x": {"a": 1e2}}  # fmt: skip


def event(kind: str, number: int, **fields: Any) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, 'sequence_number': number, **fields})}\n\n"


STARTED = {**RESPONSE, "status": "in_progress", "output": [], "usage": None}
HEAD = event("response.created", 0, response=STARTED) + event(
    "response.output_item.added", 1, output_index=0, item={**ITEM, "content": [], "status": "in_progress"}
)
PIECES = "".join(
    event("response.output_text.delta", number, item_id="msg_1", output_index=0, content_index=0, delta=text)
    for number, text in ((2, "one"), (3, " two"))
)
DONE = event("response.output_item.done", 4, output_index=0, item=ITEM)


def ended(status: str, **fields: Any) -> str:
    return event(f"response.{status}", 5, response={**RESPONSE, "status": status, **fields})


STREAMS = {
    "ends": HEAD + PIECES + DONE + ended("completed"),
    "marked": HEAD + PIECES + DONE + ended("completed") + "data: [DONE]\n\n",
    "incomplete": HEAD + PIECES + DONE + ended("incomplete", incomplete_details={"reason": "max_output_tokens"}),
    "breaks": HEAD + PIECES + DONE,
    "fails": HEAD + PIECES + ended("failed", error={"code": "server_error", "message": "oops"}),
    "fails-at-once": event("response.created", 0, response=STARTED)
    + ended("failed", usage=None, error={"code": "rate_limit_exceeded", "message": "slow down"}),
}


def script(body: str, kind: str = "text/event-stream") -> dict[str, Any]:
    return {"raw_body": body.encode().decode("latin-1"), "content_type": kind}


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    scripts = {name: script(body) for name, body in STREAMS.items()}
    scripts["whole"] = script(json.dumps(RESPONSE), "application/json")
    unreadable = {"fail_first": (1, 400), "error_body": {"error": {
        "message": "The encrypted content gAAA... could not be verified.", "type": "invalid_request_error",
        "param": None, "code": "invalid_encrypted_content"}}}  # fmt: skip
    scripts |= {"unreadable": {**scripts["whole"], **unreadable}, "unreadable-s": {**scripts["ends"], **unreadable}}
    config = channel("native", list(scripts), responses_base_url="FAKE/v1", **CHATS)
    with House(tmp_path_factory.mktemp("native"), config, scripts) as house:
        yield house
        house.settle_down()


def test_a_whole_answer_passes_untouched(native: House) -> None:
    account = native.account()
    answer = respond(native, account, "whole", service_tier="priority", tools=[{"type": "web_search"}], store=True)
    assert answer.content == json.dumps(RESPONSE).encode()
    assert Decimal(answer.headers["x-findtoken-cost"]) == NATIVE_COST
    sent = native.fake.requests("whole")[-1]
    assert sent["path"] == "/v1/responses"
    assert sent["json"] == {"model": "whole", "input": "Hello", "store": False, "max_output_tokens": 8192}
    row = native.row(account)
    assert Decimal(row["cost"]) == NATIVE_COST


@pytest.mark.parametrize(("model", "status"), [
    ("ends", "completed"), ("marked", "completed"), ("incomplete", "incomplete")])  # fmt: skip
def test_a_stream_passes_untouched_but_for_its_last_event(native: House, model: str, status: str) -> None:
    account = native.account()
    answer = respond(native, account, model, stream=True)
    untouched = (HEAD + PIECES + DONE).encode()
    assert answer.content.startswith(untouched + b": x-findtoken-cost=0.000084 balance=")
    said = chunks(answer.content)[-1]
    assert (said["type"], said["response"]["usage"]) == (f"response.{status}", {**USAGE, "cost": NATIVE_COST})
    assert said["response"]["x"] == RESPONSE["x"] and "[DONE]" not in answer.text
    row = native.row(account)
    assert Decimal(row["cost"]) == NATIVE_COST and not row["estimated"]


@pytest.mark.parametrize("model", ["breaks", "fails"])
def test_a_stream_that_breaks_ends_under_its_own_id(native: House, model: str) -> None:
    account = native.account()
    answer = respond(native, account, model, stream=True)
    said = chunks(answer.content)[-1]
    assert (said["type"], said["response"]["id"], said["response"]["status"]) == (
        "response.failed", "resp_up", "failed")  # fmt: skip
    numbers = [one["sequence_number"] for one in chunks(answer.content)]
    assert numbers[:-1] == list(range(len(numbers) - 1)) and numbers[-1] > numbers[-2]
    row = native.row(account)
    assert row["estimated"]
    assert Decimal(row["cost"]) == NATIVE_COST if model == "fails" else Decimal(row["cost"]) > 0


def test_what_fails_at_once_is_an_attempt_that_failed(native: House) -> None:
    account = native.account()
    error(respond(native, account, "fails-at-once", stream=True), 503, "no_healthy_provider")
    assert native.balance(account) == 1


@pytest.mark.parametrize("model", ["unreadable", "unreadable-s"])
def test_thinking_that_cannot_be_read_is_left_out_once(native: House, model: str) -> None:
    """Charged once, and its client sees the second answer alone."""
    account, stream = native.account(), model.endswith("-s")
    sealed = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA"}
    items = [{"role": "user", "content": "Hello"}, sealed, {"role": "assistant", "content": "Hi"}]
    answer = respond(native, account, model, input=items, stream=stream)
    assert (answer.status_code, answer.headers["x-findtoken-attempts"]) == (200, "2")
    assert answer.content.startswith((HEAD + PIECES + DONE).encode() if stream else json.dumps(RESPONSE).encode())
    assert [seen["json"]["input"] for seen in native.fake.requests(model)] == [items, [items[0], items[2]]]
    (row,) = native.rows(account)
    assert Decimal(row["cost"]) == NATIVE_COST and native.balance(account) == 1 - NATIVE_COST
