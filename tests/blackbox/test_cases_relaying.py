"""Odd answers from public bug reports, through the whole program: one gateway for all of them. A row's name is that of
the case. What is said of them in more detail stands in tests/line/test_relaying.py and tests/dialects.

Prices are as the cases have them: a million prompt tokens cost 10 USD, output 1,000, cached ones 1.
"""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx
import openai
import pytest

from tests.blackbox.harness import HELLO, Account, House, channel, chunks, error, events, text, took

PRICES: dict[str, object] = {"input": 10, "output": 1000, "cached": 1}
CHEAP: dict[str, object] = {"input": 3, "output": 15, "cached": Decimal("0.3")}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "iVBORw0K" * 19_000}}
THINKING = {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": " greeting"}]}]}
CALL = {"index": 0, "id": "c1", "type": "function", "function": {"name": "weather", "arguments": ""}}
WORDS = {
    "llama.cpp": {"code": 400, "message": "the request exceeds the available context size, try increasing it",
                  "type": "exceed_context_size_error", "n_prompt_tokens": 1407, "n_ctx": 256},
    "sglang": {"code": 400, "message": "Input length (1602 tokens) exceeds the maximum allowed length (598 tokens)."},
    "moonshot": {"message": "Invalid request: Your request exceeded model token limit: 262144",
                 "type": "invalid_request_error"},
    "dashscope": {"code": "invalid_parameter_error", "message": "Range of input length should be [1, 204800]"},
    "gemini": {"code": 400, "message": "The input token count (284) exceeds the maximum number of tokens allowed (10).",
               "status": "INVALID_ARGUMENT"},
    "ark": {"code": "InvalidParameter", "message": "Input length 203743 exceeds the maximum length 202752"},
}  # fmt: skip
TOO_LONG = {
    "code": 400,
    "message": "The input (61709 tokens) is longer than the model's context length (40960 tokens).",
}
LEFT_OUT = [{"type": "extra_forbidden", "loc": ["body", "stream_options"], "msg": "extra inputs are not permitted"}]


def event(**fields: Any) -> str:
    return f"data: {json.dumps({'id': 'c1', 'object': 'chat.completion.chunk', **fields})}\n\n"


def chunk(delta: Any = None, finish: str | None = None, **fields: Any) -> str:
    return event(choices=[{"index": 0, "delta": delta or {}, "finish_reason": finish}], **fields)


def stream(*said: str, **script: Any) -> dict[str, Any]:
    """A script that answers with these bytes, as a stream."""
    return {"raw_body": "".join(said), "content_type": "text/event-stream", **script}


def whole(*, indent: int | None = None, **fields: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": "Hi", **fields.pop("message", {})}
    choice = {"index": 0, "message": message, "finish_reason": "stop", **fields.pop("choice", {})}
    body = {"id": "c1", "object": "chat.completion", "choices": [choice], "usage": usage(10, 2), **fields}
    return {"raw_body": json.dumps(body, indent=indent), "content_type": "application/json"}


def usage(prompt: int, output: int, total: int | None = None, **more: Any) -> dict[str, Any]:
    return {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": total or prompt + output, **more}


def of(used: dict[str, Any]) -> dict[str, Any]:
    return {"content": ["Hi"], "usage": used}


DONE = "data: [DONE]\n\n"
HELLO_STREAM = chunk({"role": "assistant", "content": ""}) + chunk({"content": "Hello"}) + chunk(finish="stop")
USED = event(choices=[], usage=usage(100, 3))
ENDED = event(choices=[], usage=usage(10, 2)) + DONE
BROKEN = {"index": 0, "finish_reason": "error", "error": {"code": 502, "message": "Upstream died"}}
BLOCKED = {"usage": usage(0, 0), "content": [], "finish_reason": "content_filter"}

SCRIPTS: dict[str, dict[str, Any]] = {
    "P01": {"deltas": [{"content": "", "images": [PICTURE]}], "content": [], "usage": usage(10, 1290)},
    "P03": {"refuse": [400, ["max_tokens", "max_completion_tokens"]]},
    "P04": {"usage_place": "final_choice", "content": ["a", "b", "c", "d", "e"]},
    "P05-plain": whole(choice={**BROKEN, "message": {"content": None}}),
    "P05-stream": stream(chunk({"role": "assistant"}), event(choices=[{**BROKEN, "delta": {"content": ""}}]), DONE),
    "P06-json": stream(HELLO_STREAM, ENDED, content_type="application/json"),
    "P06-text": stream(HELLO_STREAM, ENDED, content_type="text/plain"),
    "P06-octets": stream(HELLO_STREAM, ENDED, content_type="application/octet-stream"),
    "P07-net-small": of(usage(400, 20, 10_420, prompt_tokens_details={"cached_tokens": 10_000})),
    "P07-net-large": of(usage(12_000, 20, 22_020, prompt_tokens_details={"cached_tokens": 10_000})),
    "P09": stream(
        chunk({"tool_calls": [CALL]}).removesuffix("\n"),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"city": '}}]}).removesuffix("\n"),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": '"Rome"}'}}]}),
        chunk(finish="tool_calls"), ENDED,
    ),
    "P10-stream": stream(event(error=TOO_LONG), DONE),
    "P10-plain": {"raw_body": json.dumps({"error": TOO_LONG})},
    "P12-text": {"content": [" greeting"], "repeat": 40, "hang_after": 40, "usage_place": "none"},
    "P12-parts": {"deltas": [THINKING] * 40, "content": [], "hang_after": 40, "usage_place": "none"},
    "P13": {"refuse": [422, ["stream_options"]]},
    "P14": whole(indent=2),
    "P16": stream(
        chunk({"content": "\ud83d"}, usage=usage(10, 1)), chunk({"content": "\ude00"}, usage=usage(10, 2)),
        chunk(finish="stop"), DONE,
    ),
    "P18": {"first_delay_s": 3.2, "comment": "still thinking"},
    "P21-plain": {**whole(), "status": 201},
    "P21-stream": stream(HELLO_STREAM, ENDED, status=201),
    "P25": BLOCKED,
    "P26-ids": stream(*(f"id: {n}\n{one}\n\n" for n, one in enumerate((HELLO_STREAM + ENDED).split("\n\n")[:-1]))),
    "P26-retry": stream("retry: 3000\n\n", HELLO_STREAM, ": a comment\n\n", ENDED),
    "P30": whole(
        message={"content": None, "tool_calls": [
            {"id": f"c{n}", "type": "function", "function": {"name": f"f{n}", "arguments": "{}"}} for n in range(2)
        ]},
        choice={"finish_reason": "tool_calls"},
    ),
    "M01": of(usage(12_000, 19, 22_555, cache_read_input_tokens=10_536)),
    "M02-empty": stream(HELLO_STREAM, USED, event(choices=[], usage={}), DONE),
    "M02-zeros": stream(HELLO_STREAM, USED, event(choices=[], usage=usage(0, 0)), DONE),
    "M02-null": stream(HELLO_STREAM, USED, event(choices=[], usage=None), DONE),
    "M38": {"content": ["Hi."], "usage": usage(131_000, 8_000)},
    "squeezed": {"status": 422, "gzip": True, "error_body": {"error": {"message": "no such tool", "code": "bad_tool"}}},
    "streams-anyway": stream(HELLO_STREAM, ENDED),
    **{f"P11-{name}": {"status": 400, "error_body": {"error": words}} for name, words in WORDS.items()},
}  # fmt: skip
OWN: dict[str, dict[str, object]] = dict.fromkeys(("M01", "M38"), CHEAP)
CONFIG = f"""
[server]
keepalive = 1
[limits]
requests_per_second = 0
[retry]
backoff = 0.01
[fallback]
{"".join(f'"P11-{name}" = ["long"]{chr(10)}' for name in WORDS)}
{channel("lab", {name: {**PRICES, **OWN.get(name, {})} for name in SCRIPTS if name != "P13"}, priority=1)}
{channel("bare", {"P13": PRICES}, drop_params=["stream_options"])}
{channel("second", {name: {**PRICES, "upstream": "good"} for name in ("P05-plain", "P05-stream")}, priority=2)}
{channel("long", {"long": {**PRICES, "upstream": "good", "context": 1_000_000}})}
{channel("alone", {f"alone-{name}": {**PRICES, "upstream": f"P11-{name}"} for name in WORDS})}
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("relaying"), CONFIG, {**SCRIPTS, "good": {}}) as house:
        yield house


@pytest.fixture(scope="module")
def account(house: House) -> Account:
    return house.account("1000")


@pytest.fixture(scope="module")
def client(house: House, account: Account) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{house.url}/v1", api_key=account.key, max_retries=0) as client:
        yield client


class Said:
    """One call, and its row."""

    def __init__(self, house: House, account: Account, model: str, *, stream: bool, **fields: Any) -> None:
        self.answer: httpx.Response = house.chat(account, model, **({"stream": True} if stream else {}), **fields)
        self.status = self.answer.status_code
        self.row = house.row(account, self.answer.headers["x-request-id"])
        self.cost = Decimal(self.row["cost"])
        self.tokens = self.row["prompt_tokens"], self.row["cached_tokens"], self.row["completion_tokens"]
        if stream and self.status == 200:
            self.chunks = chunks(self.answer.content)
            self.done = self.answer.content.endswith(b"data: [DONE]\n\n")

    @property
    def usages(self) -> list[Any]:
        return [chunk["usage"] for chunk in self.chunks if chunk.get("usage")]


# ---- content, and right events ----


def test_p01_a_picture_reaches_the_client(house: House, account: Account) -> None:
    said = Said(house, account, "P01", stream=True)
    pictures = [p for one in said.chunks for choice in one["choices"] for p in choice["delta"].get("images", ())]
    assert pictures == [PICTURE] and said.done
    assert said.tokens == (10, 0, 1290) and not said.row["estimated"]


def test_p09_chunks_in_one_block_are_parted(house: House, account: Account, client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model="P09", messages=HELLO, tools=[  # type: ignore[arg-type]
        {"type": "function", "function": {"name": "weather", "parameters": {}}},
    ]) as said:  # fmt: skip
        (call,) = said.get_final_completion().choices[0].message.tool_calls or ()
    assert (call.function.name, call.function.arguments) == ("weather", '{"city": "Rome"}')
    assert Said(house, account, "P09", stream=True).done


def test_p14_an_indented_answer_becomes_one_line(house: House, account: Account, client: openai.OpenAI) -> None:
    said = Said(house, account, "P14", stream=True)
    assert text(said.answer.content) == "Hi" and said.done and said.tokens == (10, 0, 2)
    assert all(line.startswith((b"data: ", b": ")) for line in said.answer.content.split(b"\n") if line)
    assert "".join(one.choices[0].delta.content or "" for one in streamed(client, "P14") if one.choices) == "Hi"


def test_p16_halves_of_an_emoji_keep_their_bytes(house: House, account: Account) -> None:
    said = Said(house, account, "P16", stream=True)
    joined = text(said.answer.content).encode("utf-16", "surrogatepass").decode("utf-16")
    assert joined == "\U0001f600" and b"usage" not in said.answer.content and said.tokens == (10, 0, 2)


def streamed(client: openai.OpenAI, model: str, **fields: Any) -> list[Any]:
    return list(client.chat.completions.create(model=model, messages=HELLO, stream=True, **fields))  # type: ignore[arg-type,call-overload]


@pytest.mark.parametrize("model", ["P26-ids", "P26-retry"])
@pytest.mark.parametrize("options", [{}, {"stream_options": {"include_usage": True}}])
def test_p26_the_sdk_reads_every_event(client: openai.OpenAI, model: str, options: dict[str, Any]) -> None:
    """It raises on a block of comments alone once it has seen an id."""
    said = streamed(client, model, **options)
    assert "".join(one.choices[0].delta.content or "" for one in said if one.choices) == "Hello"
    assert len([one for one in said if one.usage]) == len(options)


def test_p26_the_cost_stands_right_before_done(house: House, account: Account) -> None:
    last = events(Said(house, account, "P26-ids", stream=True).answer.content)[-1]
    assert last.startswith(b": x-findtoken-cost=") and last.endswith(b"\ndata: [DONE]")
    assert b"retry:" not in Said(house, account, "P26-retry", stream=True).answer.content


def test_p30_tool_calls_of_a_whole_answer_are_numbered(client: openai.OpenAI) -> None:
    calls = [call for one in streamed(client, "P30") for c in one.choices for call in c.delta.tool_calls or ()]
    assert [(call.index, call.function.name) for call in calls] == [(0, "f0"), (1, "f1")]


# ---- what is an answer, and what is none ----


@pytest.mark.parametrize("model", ["P05-plain", "P05-stream"])
def test_p05_an_answer_that_says_error_fails_over(house: House, account: Account, model: str) -> None:
    said = Said(house, account, model, stream=model.endswith("stream"))
    assert said.status == 200 and said.answer.headers["x-findtoken-attempts"] == "2"
    assert b"Hello" in said.answer.content and said.row["status"] == "ok"


@pytest.mark.parametrize("model", ["P06-json", "P06-text", "P06-octets", "P21-stream"])
def test_p06_p21_a_sound_stream_is_one(house: House, account: Account, model: str) -> None:
    said = Said(house, account, model, stream=True)
    assert text(said.answer.content) == "Hello" and said.done and said.tokens == (10, 0, 2)


def test_p21_a_sound_answer_is_one(house: House, account: Account) -> None:
    said = Said(house, account, "P21-plain", stream=False)
    assert said.status == 200 and said.answer.json()["choices"][0]["message"]["content"] == "Hi"
    assert said.cost == Decimal("0.0021")


@pytest.mark.parametrize("model", ["P10-plain", "P10-stream"])
def test_p10_a_refusal_inside_a_200_keeps_its_status(house: House, account: Account, model: str) -> None:
    said = Said(house, account, model, stream=model.endswith("stream"))
    assert error(said.answer, 400, "context_length_exceeded") == TOO_LONG["message"]
    assert said.cost == 0


@pytest.mark.parametrize("server", WORDS)
@pytest.mark.parametrize("stream", [False, True])
def test_p11_too_long_in_every_servers_words(house: House, account: Account, server: str, stream: bool) -> None:
    said = Said(house, account, f"P11-{server}", stream=stream)
    assert said.status == 200 and said.answer.headers["x-findtoken-model"] == "long"
    alone = Said(house, account, f"alone-{server}", stream=stream)
    assert error(alone.answer, 400, "context_length_exceeded") == WORDS[server]["message"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_refusal_may_come_compressed(house: House, account: Account, stream: bool) -> None:
    answer = Said(house, account, "squeezed", stream=stream).answer
    assert (answer.status_code, answer.json()["error"]["message"]) == (422, "no such tool")
    assert answer.json()["error"]["code"] == "bad_tool"


def test_a_stream_to_a_plain_call_is_put_together(house: House, account: Account, client: openai.OpenAI) -> None:
    said = client.chat.completions.create(model="streams-anyway", messages=HELLO)  # type: ignore[arg-type]
    assert (said.choices[0].message.content, said.choices[0].finish_reason) == ("Hello", "stop")
    assert Said(house, account, "streams-anyway", stream=False).tokens == (10, 0, 2)


# ---- usage ----


def test_p04_usage_is_shown_once(house: House, account: Account) -> None:
    said = Said(house, account, "P04", stream=True, stream_options={"include_usage": True})
    (shown,) = said.usages
    assert shown["completion_tokens"] == 5 and Decimal(shown["cost"]) == said.cost and said.done
    assert Said(house, account, "P04", stream=True).usages == []


@pytest.mark.parametrize(
    ("model", "tokens", "due"),
    [
        ("P07-net-small", (10_400, 10_000, 20), "0.034"),
        ("P07-net-large", (22_000, 10_000, 20), "0.15"),
        ("M01", (22_536, 10_536, 19), "0.0394458"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_p07_m01_cached_tokens_beside_the_prompt_are_no_output(
    house: House, account: Account, model: str, tokens: tuple[int, int, int], due: str, stream: bool
) -> None:
    said = Said(house, account, model, stream=stream)
    assert (said.tokens, said.row["estimated"], said.cost) == (tokens, False, Decimal(due))


@pytest.mark.parametrize("model", ["M02-empty", "M02-zeros", "M02-null"])
def test_m02_an_empty_usage_replaces_nothing(house: House, account: Account, model: str) -> None:
    said = Said(house, account, model, stream=True, stream_options={"include_usage": True})
    assert said.tokens == (100, 0, 3) and not said.row["estimated"] and said.cost == Decimal("0.004")
    assert [shown["prompt_tokens"] for shown in said.usages] == [100]


@pytest.mark.parametrize("stream", [False, True])
def test_p25_zeros_without_content_cost_nothing(house: House, account: Account, stream: bool) -> None:
    said = Said(house, account, "P25", stream=stream, messages=[{"role": "user", "content": "word " * 2000}])
    assert (said.status, said.cost, said.row["status"], said.row["estimated"]) == (200, 0, "ok", False)


def test_m38_a_count_far_above_what_was_sent_is_told(house: House, account: Account) -> None:
    said = Said(house, account, "M38", stream=False)
    assert said.cost == Decimal("0.513") and not said.row["estimated"]
    house.logged("lab counts 131000 prompt tokens where")
    (latest,) = house.cli("logs", "--limit", "1", "--json")["data"]
    assert latest["remark"].startswith("lab counts 131000 prompt tokens where") and "remark" not in said.row


def test_p12_parts_are_charged_as_text(house: House, account: Account) -> None:
    costs = {}
    for model in ("P12-text", "P12-parts"):
        with house.raw(account, model, stream=True) as wire:
            wire.until(b" greeting", 40)
        id = wire.received.partition(b"x-request-id: ")[2].partition(b"\r\n")[0].decode()
        row = house.row(account, id)
        assert row["status"] == "client_gone" and row["estimated"]
        costs[model] = Decimal(row["cost"])
    assert costs["P12-text"] / 2 <= costs["P12-parts"] <= costs["P12-text"] * 2


# ---- what goes up ----


def test_p03_one_cap_goes_up(house: House, account: Account) -> None:
    assert Said(house, account, "P03", stream=False, max_completion_tokens=100).status == 200
    sent = house.fake.requests("P03")[-1]["json"]
    assert sent["max_tokens"] == 100 and "max_completion_tokens" not in sent


def test_p13_what_the_operator_drops_stays_here(house: House, account: Account) -> None:
    said = Said(house, account, "P13", stream=True)
    assert text(said.answer.content) == "Hello, world" and said.done
    assert "stream_options" not in house.fake.requests("P13")[-1]["json"]
    assert said.row["estimated"] and said.cost > 0


# ---- waiting ----


def test_p18_a_waiting_client_hears_something(house: House, account: Account, client: openai.OpenAI) -> None:
    with house.raw(account, "P18", stream=True) as wire:
        with took(at_least_s=0.9, at_most_s=1.6):
            wire.until(b": keepalive\n")
        head = wire.received.partition(b"\r\n\r\n")[0].lower()
        assert b" 200 " in head and b"x-request-id" in head and b"x-findtoken-mode: standard" in head
        assert b"\nx-findtoken-model:" not in head and b"\nx-findtoken-attempts:" not in head
        with took(at_least_s=1.7, at_most_s=3.0):
            wire.until(b": keepalive\n", 3)
        wire.until(b"[DONE]")
    assert b"still thinking" not in wire.received
    assert b" model=P18 provider=openai-compatible attempts=1\ndata: [DONE]" in wire.received
    said = streamed(client, "P18", stream_options={"include_usage": True})
    assert "".join(one.choices[0].delta.content or "" for one in said if one.choices) == "Hello, world"
