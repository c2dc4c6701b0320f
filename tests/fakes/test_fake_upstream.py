"""The fake upstream keeps its own word: its main knobs, read as bytes by a client that knows nothing of it."""

import gzip
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.fakes import upstream
from tests.fakes.upstream import FakeUpstream, Script
from tests.patience import AT_ONCE_S


async def talk(
    fake: FakeUpstream, model: str = "m", *, stream: bool = False, within_s: float = 2.0, **more: Any
) -> bytes:
    """The raw bytes of one answer, up to the peer's close (or reset, shown as <rst>) or to silence."""
    body = json.dumps(
        {"model": model, "stream": stream, "messages": [{"role": "user", "content": "x" * 8}], **more}
    ).encode()
    async with await trio.open_tcp_stream("127.0.0.1", fake.port) as tcp:
        await tcp.send_all(
            b"POST /v1/chat/completions HTTP/1.1\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
        )
        await tcp.send_all(body)
        seen = b""
        with trio.move_on_after(within_s):
            try:
                while data := await tcp.receive_some(65536):
                    seen += data
            except trio.BrokenResourceError:
                seen += b"<rst>"
        return seen


def split(answer: bytes) -> tuple[bytes, bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return head, body


def chunks(body: bytes) -> list[bytes]:
    """The chunks of a chunked body; the last one is b"" if it was ended properly."""
    found = []
    while body:
        size, _, rest = body.partition(b"\r\n")
        found.append(rest[: int(size, 16)])
        body = rest[int(size, 16) + 2 :]
    return found


def events(answer: bytes) -> list[Any]:
    body = b"".join(chunks(split(answer)[1]))
    lines = body.replace(b"\r\n", b"\n").split(b"\n")
    return [
        line[6:].decode() if line == b"data: [DONE]" else json.loads(line[6:])
        for line in lines
        if line.startswith(b"data: ")
    ]


async def one(script: Script, **more: Any) -> bytes:
    async with FakeUpstream({"m": script}).serving() as fake:
        return await talk(fake, **more)


USAGE = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}


async def test_plain() -> None:
    head, body = split(await one(Script()))
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    value = json.loads(body)
    assert value["choices"][0] == {
        "index": 0,
        "message": {"role": "assistant", "content": "Hello, world"},
        "finish_reason": "stop",
    }
    assert value["usage"] == USAGE


async def test_stream_with_and_without_usage() -> None:
    without = events(await one(Script(), stream=True))
    assert [event["choices"][0]["delta"].get("content") for event in without[:-1]] == ["", "Hello", ", ", "world", None]
    assert without[-1] == "[DONE]"
    assert not any("usage" in event for event in without)
    asked = events(await one(Script(), stream=True, stream_options={"include_usage": True}))
    assert asked[-2]["choices"] == [] and asked[-2]["usage"] == USAGE
    assert [event["usage"] for event in asked[:-2]] == [None] * 5


@pytest.mark.parametrize("usage", [None, -1, "12", 1e18, {"prompt_tokens": True}])
async def test_any_usage(usage: Any) -> None:
    assert events(await one(Script(usage=usage, usage_unasked=True), stream=True))[-2]["usage"] == usage
    assert json.loads(split(await one(Script(usage=usage)))[1])["usage"] == usage


async def test_usage_places() -> None:
    final = events(await one(Script(usage_place="final_choice"), stream=True))
    assert final[-2]["usage"] == USAGE and final[-2]["choices"][0]["finish_reason"] == "stop"
    choice = events(await one(Script(usage_place="choice_usage"), stream=True))
    assert choice[-2]["choices"][0]["usage"] == USAGE and "usage" not in choice[-2]
    every = events(await one(Script(usage_place="every_chunk"), stream=True))
    assert [event["usage"]["completion_tokens"] for event in every[:-1]] == [0, 1, 2, 3, 3]
    none = await one(Script(usage_place="none"), stream=True, stream_options={"include_usage": True})
    assert b"usage" not in none


async def test_reasoning_tools_and_repeat() -> None:
    script = Script(
        content=("a",), repeat=4, reasoning=("r",), tool_calls=({"id": "t", "name": "f", "arguments": "{}"},)
    )
    found = events(await one(script, stream=True, stream_options={"include_usage": True}))
    deltas = [event["choices"][0]["delta"] for event in found[1:-3]]
    assert [next(iter(delta)) for delta in deltas] == ["reasoning_content", *["content"] * 4, "tool_calls"]
    assert found[-2]["usage"]["completion_tokens"] == 6
    assert found[-2]["usage"]["completion_tokens_details"] == {"reasoning_tokens": 1}
    assert json.loads(split(await one(script))[1])["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "f"


def test_prompt_tokens() -> None:
    assert upstream.prompt_tokens(None) == 3
    parts = [{"type": "text", "text": "abcd"}, {"type": "image_url", "image_url": {"url": "data:..."}}]
    assert (
        upstream.prompt_tokens({"messages": [{"role": "user", "content": parts}, {"role": "user", "content": "efgh"}]})
        == 5
    )


@pytest.mark.parametrize(("cut", "mark"), [("close", b""), ("rst", b"<rst>")])
async def test_cut_after_pieces(cut: Any, mark: bytes) -> None:
    async with FakeUpstream({"m": Script(cut_after=2, cut=cut, piece_delay_s=0.02)}).serving() as fake:
        answer = await talk(fake, stream=True)
        assert answer.endswith(mark)
        assert answer.count(b'"content":"') == 3  # with the role chunk's empty one
        assert b"\r\n0\r\n" not in answer
        assert fake.requests[0].pieces_sent == 2 and fake.requests[0].finished_at is None
        assert fake.connections[0].closed_by_us_at is not None


async def test_only_the_ending_lacks() -> None:
    answer = await one(Script(cut_after="end"), stream=True)
    assert b"[DONE]" in answer and not answer.endswith(b"0\r\n\r\n")


async def test_framings() -> None:
    length, body = split(await one(Script(framing="length"), stream=True))
    assert b"content-length: %d" % len(body) in length
    close, body = split(await one(Script(framing="close", cut_after=1), stream=True))
    assert b"content-length" not in close and b"transfer-encoding" not in close and b"[DONE]" not in body
    assert chunks(split(await one(Script(framing="chunked")))[1])[-1] == b""


async def test_hang_and_delays() -> None:
    async with FakeUpstream({"m": Script(hang_after=1), "slow": Script(head_delay_s=math.inf)}).serving() as fake:
        hanging = await talk(fake, stream=True, within_s=0.1)
        assert b"Hello" in hanging and b"world" not in hanging
        assert await talk(fake, "slow", within_s=0.1) == b""
        left = time.monotonic()
        await fake.until(lambda: not fake.open_connections)
        gone = fake.connections[1].closed_by_peer_at
        assert gone is not None and abs(gone - left) < AT_ONCE_S
        assert fake.connections[1].closed_by_peer_how == "fin"
    began = time.monotonic()
    await one(Script(first_delay_s=0.05, piece_delay_s=0.05), stream=True)
    assert 0.15 <= time.monotonic() - began < 0.15 + AT_ONCE_S


async def test_errors_inside_and_instead() -> None:
    error = {"error": {"message": "overloaded", "code": 529}}
    inside = events(await one(Script(error_event=error, error_after=1), stream=True))
    assert inside[-1] == error and len(inside) == 3
    assert events(await one(Script(error_event=error), stream=True))[-1] == error
    head, body = split(await one(Script(status=429, retry_after=7), stream=True))
    assert b"429 Too Many Requests" in head and b"retry-after: 7" in head
    assert json.loads(body)["error"]["type"] == "invalid_request_error"
    assert json.loads(split(await one(Script(status=402, error_body={"x": 1})))[1]) == {"x": 1}
    assert b"location: http://169.254.169.254/" in await one(Script(status=302, location="http://169.254.169.254/"))
    assert await one(Script(drop="rst")) == b"<rst>"


async def test_fail_first() -> None:
    async with FakeUpstream({"m": Script(fail_first=(2, 500)), "n": Script(fail_first=(1, 0))}).serving() as fake:
        answers = [await talk(fake) for _ in range(3)]
        assert [answer[9:12] for answer in answers] == [b"500", b"500", b"200"]
        assert await talk(fake, "n") == b"" and b"200 OK" in await talk(fake, "n")


async def test_how_events_are_written() -> None:
    assert b"\r\n\r\ndata:" in b"".join(chunks(split(await one(Script(crlf=True), stream=True))[1]))
    assert (await one(Script(comment="PROCESSING"), stream=True)).count(b": PROCESSING\n\n") == 3
    whole = events(await one(Script(), stream=True))
    bytewise = await one(Script(write_size=1), stream=True)
    assert {len(chunk) for chunk in chunks(split(bytewise)[1])} == {0, 1}
    assert events(bytewise) == whole
    together = await one(Script(events_per_write=100), stream=True)
    assert len(chunks(split(together)[1])) == 3 and events(together) == whole
    no_end = await one(Script(done=False, finish_reason=None, role_chunk=False), stream=True)
    assert len(events(no_end)) == 3


async def test_raw_and_encoded() -> None:
    assert await one(Script(raw_response=b"HTTP/1.1 200 OK\r\n\r\nnot\xff")) == b"HTTP/1.1 200 OK\r\n\r\nnot\xff"
    head, body = split(await one(Script(raw_body=b"<html>", content_type="text/html", headers=(("x-a", "b"),))))
    assert body == b"<html>" and b"content-type: text/html" in head and b"x-a: b" in head
    head, body = split(await one(Script(gzip=True), stream=True))
    assert b"content-encoding: gzip" in head and b"[DONE]" in gzip.decompress(body)


async def test_early_answer() -> None:
    async with FakeUpstream(default=Script(early=True, status=400)).serving() as fake:
        async with await trio.open_tcp_stream("127.0.0.1", fake.port) as tcp:
            await tcp.send_all(b"POST /x HTTP/1.1\r\ncontent-length: 1000000\r\n\r\n")
            assert b"400 Bad Request" in await tcp.receive_some(65536)


async def test_what_is_not_a_call() -> None:
    async with FakeUpstream({"a": Script(), "b": Script()}).serving() as fake:
        fake.get_answers["/user/balance"] = {"is_available": True}
        async with await trio.open_tcp_stream("127.0.0.1", fake.port) as tcp:
            for path, shown in (
                (b"/v1/models", b'"id":"b"'),
                (b"/user/balance", b"is_available"),
                (b"/x", b"404 Not Found"),
            ):
                await tcp.send_all(b"GET %b HTTP/1.1\r\n\r\n" % path)
                assert shown in await tcp.receive_some(65536)
            await tcp.send_all(b"\x16\x03\x01 nonsense\r\n\r\n")
            assert b"400 Bad Request" in await tcp.receive_some(65536)
            assert await tcp.receive_some(65536) == b""


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with FakeUpstream({"a": Script(raw_body=b"1"), "b": Script(raw_body=b"2")}).serving() as fake:
        async with await trio.open_tcp_stream("127.0.0.1", fake.port) as tcp:
            for model in (b"a", b"b"):
                await tcp.send_all(b'POST /x HTTP/1.1\r\ncontent-length: 13\r\n\r\n{"model":"%b"}' % model)
            await fake.until(lambda: len(fake.requests) == 2 and fake.requests[1].finished_at)
            answers = await tcp.receive_some(65536)
            assert answers.index(b"\r\n\r\n1") < answers.index(b"\r\n\r\n2")


@pytest.mark.slow
async def test_as_a_process(tmp_path: Path) -> None:
    scripts = tmp_path / "scripts.json"
    scripts.write_text(json.dumps({"m": {"content": ["a", "b"], "raw_body": "\xff"}}))
    command = [sys.executable, str(Path(upstream.__file__)), "--port", "0", "--scripts", str(scripts)]
    async with trio.open_nursery() as nursery:
        process = await nursery.start(
            lambda task_status: trio.run_process(command, stdout=subprocess.PIPE, task_status=task_status)
        )
        line = b""
        with trio.fail_after(10):
            while not line.endswith(b"\n"):
                line += await process.stdout.receive_some(1)
        assert line.startswith(b"ready http://127.0.0.1:")
        fake = FakeUpstream()
        fake.port = int(line.rpartition(b":")[2])
        assert split(await talk(fake))[1] == b"\xff"
        async with await trio.open_tcp_stream("127.0.0.1", fake.port) as tcp:
            await tcp.send_all(b"GET /_fake/state HTTP/1.1\r\n\r\n")
            state = json.loads(split(await tcp.receive_some(65536))[1])
        assert [seen["path"] for seen in state["requests"]] == ["/v1/chat/completions"]
        assert abs(state["now"] - time.monotonic()) < 5 or os.name == "nt"
        process.send_signal(signal.SIGTERM)
        with trio.fail_after(5):
            assert await process.wait() == 0


async def test_an_offered_tool_is_called_once() -> None:
    calls = ({"id": "a", "name": "read"}, {"id": "b", "name": "write"}, {"id": "c", "name": "exec"})
    tools = [{"type": "function", "function": {"name": name}} for name in ("exec", "write")]
    turns = [{"role": "user", "content": "Hello"}, {"role": "assistant"}, {"role": "tool", "content": "done"}]
    async with FakeUpstream({"m": Script(offered=True, tool_calls=calls)}).serving() as fake:
        choices = [
            json.loads(split(await talk(fake, **more))[1])["choices"][0]
            for more in ({"tools": tools}, {}, {"tools": tools, "messages": turns})
        ]
    assert [call["id"] for call in choices[0]["message"]["tool_calls"]] == ["b"]
    assert [choice["finish_reason"] for choice in choices] == ["tool_calls", "stop", "stop"]
    assert [choice["message"]["content"] for choice in choices] == [None, "Hello, world", "Hello, world"]


def test_an_offered_tool_is_called_once_in_messages_too() -> None:
    script = Script(offered=True, tool_calls=({"id": "a", "name": "write"},))
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "done"}]}
    asked = {"messages": [{"role": "user", "content": "Hello"}], "tools": [{"name": "write", "input_schema": {}}]}
    assert [call["id"] for call in upstream.answering(script, asked).tool_calls] == ["a"]
    done = upstream.answering(script, {**asked, "messages": [*asked["messages"], result]})
    assert (done.tool_calls, done.content, done.finish_reason) == ((), script.content, "stop")


def test_an_offered_tool_is_called_once_in_responses_too() -> None:
    script = Script(offered=True, tool_calls=({"id": "a", "name": "exec", "arguments": '{"input": "ls"}'},))
    space = {"type": "namespace", "name": "functions", "tools": [{"type": "custom", "name": "exec"}]}
    brought = {"type": "additional_tools", "tools": [space]}
    turns = [brought, {"role": "user", "content": "Hello"}]
    made = upstream.answering(script, {"input": turns})
    assert upstream.responses.items(made, {"input": turns})[0]["input"] == "ls"
    assert upstream.answering(script, {"input": turns[1:]}).tool_calls == ()
    result = {"type": "custom_tool_call_output", "call_id": "a", "output": "done"}
    assert upstream.answering(script, {"input": [*turns, result]}).tool_calls == ()


@pytest.mark.parametrize("stream", [False, True])
def test_it_responds(stream: bool) -> None:
    """A custom tool that is offered gets its input as it is, another one its arguments."""
    calls = ({"id": "a", "name": "patch", "arguments": '{"input": "+x"}'}, {"id": "b", "name": "look"})
    script = Script(reasoning=("Hm",), tool_calls=calls)
    body = {"model": "m", "input": "x" * 8, "tools": [{"type": "custom", "name": "patch"}]}
    usage = upstream.responses_usage(script, body)
    if stream:
        told = [event for _, event in upstream.responses.stream_events(script, body, usage)]
        said = [json.loads(event.partition(b"data: ")[2]) for event in told]
        assert [one["sequence_number"] for one in said] == list(range(len(said)))
        assert [one["delta"] for one in said if "delta" in one] == ["Hm", "Hello", ", ", "world", "+x", "{}"]
        assert (said[0]["type"], said[-1]["type"]) == ("response.created", "response.completed")
        answer = said[-1]["response"]
    else:
        answer = json.loads(upstream.responses.plain_body(script, body, usage))
    kinds = ["reasoning", "message", "custom_tool_call", "function_call"]
    assert [item["type"] for item in answer["output"]] == kinds
    assert (answer["output"][2]["input"], answer["output"][3]["arguments"]) == ("+x", "{}")
    assert answer["usage"] == {"input_tokens": 5, "output_tokens": 6, "total_tokens": 11}
