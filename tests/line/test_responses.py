"""Callers of Responses on the line: what only some channels are told, thinking that an upstream cannot read, providers
that have too much to do, and when an answer was whole."""

import json
from typing import Any

import pytest
import trio
import trio.testing

from ftgate.core.money import parse_price
from ftgate.core.retrying import Retry
from ftgate.dialects import anthropic_messages, openai_chat, openai_responses
from ftgate.line.call import Call
from tests.fakes.ports import RecordingClient, ScriptedUpstream, Stage, addresses, channel, model
from tests.line.test_line import error_of
from tests.line.transcript import PLAIN, STREAM, answer, chat, status

Clock = trio.testing.MockClock
IN, OUT = parse_price("1"), parse_price("2")
ONCE = Retry(attempts=1)
ASKED: dict[Any, dict[str, Any]] = {
    openai_responses: {"input": "Hi"},
    openai_chat: {"messages": [{"role": "user", "content": "Hi"}]},
    anthropic_messages: {"max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]},
}
"""The least that a caller of each dialect asks."""
SEALED = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA"}
CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "1"}
UNREADABLE = {"message": "The encrypted content gAAA... could not be verified.", "type": "invalid_request_error",
              "param": None, "code": "invalid_encrypted_content"}  # fmt: skip


def speaking(name: str, *spoken: str, **changes: Any) -> Any:
    """A channel that speaks these dialects alone."""
    return channel(name, addresses=addresses(f"http://{name}.invalid", *spoken), **changes)


async def relay(stage: Stage, *, caller: Any = openai_responses, **fields: Any) -> RecordingClient:
    body = json.dumps({"model": "m", **ASKED[caller], **fields}).encode()
    client = RecordingClient()
    await stage.gate.relay(Call(id="req_7", dialect=caller, secret=b"sk-ft_test", body=body), client)
    stage.check()
    return client


def sent(stage: Stage) -> list[Any]:
    return [json.loads(request.body) for request in stage.upstream.requests]


def item(text: str = "Hi") -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}


def response(kind: str = "completed", **more: Any) -> dict[str, Any]:
    used = {"input_tokens": 10, "output_tokens": 2, "total_tokens": 12}
    return {"id": "resp_1", "object": "response", "model": "m", "status": kind, "output": [item()], "usage": used,
            **more}  # fmt: skip


def whole() -> list[Any]:
    return [PLAIN, json.dumps(response()).encode()]


def events(*said: dict[str, Any]) -> bytes:
    return b"".join(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n".encode() for one in said)


def streamed() -> list[Any]:
    began = {"type": "response.created", "response": response("in_progress", output=[], usage=None)}
    piece = {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "Hi"}
    return [STREAM, events(began, piece, {"type": "response.completed", "response": response()})]


def refused(error: dict[str, Any], code: int = 400) -> list[Any]:
    return [(code, [(b"content-type", b"application/json")]), json.dumps({"error": error}).encode()]


def failed(error: dict[str, Any]) -> list[Any]:
    """A stream that fails before it has said anything."""
    began = {"type": "response.created", "response": response("in_progress", output=[], usage=None)}
    last = {"type": "response.failed", "response": response("failed", output=[], usage=None, error=error)}
    return [STREAM, events(began, last)]


# ---- what not every upstream takes ----

TUNED = {"text": {"verbosity": "low"}, "prompt_cache_key": "k", "safety_identifier": "s"}


@pytest.mark.parametrize(("takes", "told"), [
    ((), {}),
    (("verbosity",), {"verbosity": "low"}),
    (("prompt_cache_key", "safety_identifier"), {"prompt_cache_key": "k", "safety_identifier": "s"}),
])  # fmt: skip
async def test_what_few_take_goes_to_those_that_do(
    takes: tuple[str, ...], told: dict[str, Any], autojump_clock: Clock
) -> None:
    stage = Stage(ScriptedUpstream([PLAIN, answer()]), speaking("one", "openai_chat", takes=takes))
    client = await relay(stage, **TUNED)
    names = ("verbosity", "prompt_cache_key", "safety_identifier")
    assert client.status == 200 and {name: sent(stage)[0][name] for name in names if name in sent(stage)[0]} == told
    said = json.loads(client.body)
    assert (said["prompt_cache_key"], said["safety_identifier"], said["text"]["verbosity"]) == ("k", "s", "low")


async def test_what_is_not_translated_goes_up_as_it_is(autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream([PLAIN, answer()]), speaking("one", "openai_chat"))
    await relay(stage, caller=openai_chat, verbosity="low", prompt_cache_key="k")
    assert (sent(stage)[0]["verbosity"], sent(stage)[0]["prompt_cache_key"]) == ("low", "k")


# ---- thinking that an upstream cannot read ----

HISTORY = [{"role": "user", "content": "Hi"}, SEALED, CALL, OUTPUT]
WITHOUT = [{"role": "user", "content": "Hi"}, CALL, OUTPUT]
SAYS: dict[str, tuple[bool, list[Any]]] = {
    "a status": (False, refused(UNREADABLE)),
    "an error in a 200": (False, [PLAIN, json.dumps({"error": UNREADABLE}).encode()]),
    "a status before a stream": (True, refused(UNREADABLE)),
    "a stream that fails": (True, failed(UNREADABLE)),
}


@pytest.mark.parametrize("how", SAYS)
async def test_thinking_that_cannot_be_read_is_left_out_once(how: str, autojump_clock: Clock) -> None:
    stream, script = SAYS[how]
    good = streamed() if stream else whole()
    stage = Stage(ScriptedUpstream(script, good), speaking("one", "openai_responses"), speaking("two", "openai_chat"))
    client = await relay(stage, input=HISTORY, stream=stream)
    assert client.status == 200 and client.headers["x-findtoken-attempts"] == "2"
    assert client.headers["x-findtoken-provider"] == "one"
    assert [request["input"] for request in sent(stage)] == [HISTORY, WITHOUT]
    (row,) = stage.log.rows
    assert (row.status, row.cost) == ("ok", 10 * IN + 2 * OUT)
    assert b"invalid_encrypted_content" not in client.body
    assert client.body.count(b"event: response.created\n") == (1 if stream else 0)


@pytest.mark.parametrize("stream", [False, True])
async def test_an_upstream_that_says_so_again_is_not_asked_again(stream: bool, autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream(refused(UNREADABLE), refused(UNREADABLE)), speaking("one", "openai_responses"))
    client = await relay(stage, input=HISTORY, stream=stream)
    assert (client.status, error_of(client)["code"]) == (400, "invalid_encrypted_content")
    assert stage.log.rows[0].cost == 0 and not stage.upstream.scripts


async def test_a_chat_callers_seal_that_cannot_be_read(autojump_clock: Clock) -> None:
    thought = [{"type": "reasoning.encrypted", "data": "rs1.gAAAA"}]
    said = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "a", "reasoning_details": thought},
            {"role": "user", "content": "Hi"}]  # fmt: skip
    stage = Stage(ScriptedUpstream(refused(UNREADABLE), whole()), speaking("one", "openai_responses"))
    client = await relay(stage, caller=openai_chat, messages=said)
    assert client.status == 200
    assert [[one["type"] for one in request["input"]] for request in sent(stage)] == [
        ["message", "reasoning", "message", "message"], ["message", "message", "message"]]  # fmt: skip


async def test_a_channel_of_another_dialect_that_says_so_is_not_asked_again(autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream(refused(UNREADABLE)), speaking("one", "openai_chat"))
    client = await relay(stage, input=HISTORY)
    assert (client.status, error_of(client)["code"]) == (400, "invalid_encrypted_content")


# ---- providers that have too much to do ----

BUSY = {"message": "Our servers are overloaded", "code": "server_is_overloaded"}


async def told(script: list[Any], caller: Any, *, stream: bool) -> tuple[int | None, str, str | None]:
    """Status, code (of Anthropic's: type), and Retry-After."""
    stage = Stage(ScriptedUpstream(script), speaking("one", "openai_responses"), retry=ONCE)
    client = await relay(stage, caller=caller, stream=stream)
    error = error_of(client)
    assert stage.log.rows[0].cost == 0
    kind = error["type"] if caller is anthropic_messages else error["code"]
    return client.status, kind, client.headers.get("retry-after")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("script", [
    [*status(529)], [*status(503)], [*status(503, retry_after="7")],
    [PLAIN, json.dumps({"error": BUSY}).encode()],
    [PLAIN, json.dumps({"error": {**BUSY, "code": "slow_down"}}).encode()],
])  # fmt: skip
async def test_too_much_to_do_in_each_dialects_words(script: list[Any], stream: bool, autojump_clock: Clock) -> None:
    status, code, wait = await told(list(script), openai_responses, stream=stream)
    assert (status, code) == (503, "server_is_overloaded") and wait is not None
    assert (await told(list(script), openai_chat, stream=stream))[:2] == (503, "no_healthy_provider")
    assert (await told(list(script), anthropic_messages, stream=stream))[:2] == (529, "overloaded_error")


async def test_an_account_that_asks_too_often_is_not_overload(autojump_clock: Clock) -> None:
    """Clients try again after the one and not after the other."""
    script = [*status(429, retry_after="7")]
    assert await told(script, openai_responses, stream=False) == (503, "no_healthy_provider", "7")
    assert (await told(script, anthropic_messages, stream=False))[:2] == (529, "overloaded_error")
    both = Stage(ScriptedUpstream([*status(429)], [*status(529)]), speaking("one", "openai_chat"),
                 speaking("two", "openai_chat"))  # fmt: skip
    client = await relay(both)
    assert (client.status, error_of(client)["code"]) == (503, "server_is_overloaded")


async def test_the_shortest_wait_is_told(autojump_clock: Clock) -> None:
    assert (await told([*status(503, retry_after="7")], openai_responses, stream=False))[2] == "7"
    assert (await told([*status(503)], openai_responses, stream=False))[2] == "5"


@pytest.mark.parametrize("code", ["server_is_overloaded", "slow_down"])
async def test_a_stream_that_fails_of_it_goes_elsewhere(code: str, autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream(failed({**BUSY, "code": code}), streamed()),
                  speaking("one", "openai_responses"), speaking("two", "openai_responses"))  # fmt: skip
    client = await relay(stage, stream=True)
    assert (client.status, client.headers["x-findtoken-provider"]) == (200, "two")


async def test_a_stream_that_says_so_in_an_event_of_its_own(autojump_clock: Clock) -> None:
    """As OpenAI was seen to say it: in a 200, before it fails."""
    said = {
        "type": "error",
        "sequence_number": 2,
        "error": {**BUSY, "type": "service_unavailable_error", "param": None},
    }
    script = [STREAM, events({"type": "response.created", "response": response("in_progress", output=[])}, said)]
    assert (await told(script, openai_responses, stream=True))[:2] == (503, "server_is_overloaded")


@pytest.mark.parametrize("script", [[*status(500)], failed({"message": "died", "code": "server_error"})])
async def test_an_upstream_that_died_is_not_overloaded(script: list[Any], autojump_clock: Clock) -> None:
    assert (await told(script, openai_responses, stream=True))[:2] == (502, "provider_error")


# ---- the end of an answer ----


@pytest.mark.parametrize("stream", [False, True])
async def test_when_an_answer_was_whole(stream: bool, autojump_clock: Clock) -> None:
    script = chat("a") if stream else [PLAIN, answer()]
    stage = Stage(ScriptedUpstream([*script[:2], ("wait", 30), *script[2:]] if stream else [("wait", 30), *script]),
                  speaking("one", "openai_chat"))  # fmt: skip
    client = await relay(stage, stream=stream)
    said = json.loads(client.body.split(b"data: ")[-1])["response"] if stream else json.loads(client.body)
    assert said["completed_at"] - said["created_at"] == 30


@pytest.mark.parametrize(("cap", "output", "remarked"), [(None, 1024, True), (None, 1023, False), (1024, 1024, False)])
async def test_an_answer_that_our_cap_ended_is_remarked(
    cap: int | None, output: int, remarked: bool, autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Half of what the account has pays less than 1,024 of the tokens that the model writes, so 1,024 are held."""
    served = model(context=None, max_output=100_000)
    stage = Stage(ScriptedUpstream([PLAIN, answer(completion=output)]),
                  speaking("one", "openai_chat", models={"m": served}), credits=3 * 10**9)  # fmt: skip
    fields = {} if cap is None else {"max_output_tokens": cap}
    client = await relay(stage, **fields)
    (request,) = sent(stage)
    assert client.status == 200 and request["max_tokens"] == 1024
    words = "no more were held for it, and its caller set no cap"
    assert (words in stage.log.rows[0].remark, words in caplog.text) == (remarked, remarked)


async def test_an_answer_as_long_as_its_model_writes_is_not_remarked(autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream([PLAIN, answer(completion=1000)]), speaking("one", "openai_chat"))
    await relay(stage)
    assert sent(stage)[0]["max_tokens"] == 1000 and stage.log.rows[0].remark == ""
