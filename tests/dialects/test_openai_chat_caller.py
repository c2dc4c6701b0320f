"""Chat as the caller's side: what its requests mean in neutral words, and how answers of any dialect are written."""

import base64
import json
from typing import Any

import msgspec
import pytest

from ftgate.core.usage import Usage
from ftgate.dialects import free, openai_chat, sse
from ftgate.dialects.neutral import (
    Audio,
    Began,
    CallBegan,
    CallPart,
    Choice,
    Document,
    Effort,
    Event,
    Finished,
    Format,
    Image,
    Refusal,
    Refused,
    Said,
    Sealed,
    Signed,
    Talk,
    Text,
    Thinking,
    Thought,
    Tool,
    ToolResult,
    ToolUse,
    Turn,
)  # fmt: skip
from ftgate.dialects.openai_chat.asked import stops
from ftgate.dialects.talk import Told
from ftgate.errors import InvalidRequest, ProviderError

HI = {"role": "user", "content": "Hi"}
CACHE = {"type": "ephemeral"}


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "m", "messages": [HI], **fields}).encode()


def talk(**fields: Any) -> Talk:
    return openai_chat.talk_of(openai_chat.read_request(body(**fields)))


def said(**message: Any) -> dict[str, Any]:
    return {"role": "assistant", **message}


def call(id: str, name: str = "look", arguments: Any = "{}") -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def result(id: str, content: Any = "1", **more: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id, "content": content, **more}


def turn(role: Any, at: int, *parts: Any) -> Turn:
    return Turn(role, parts, f"messages.{at}")


def user_part(**part: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [part]}]


RAW_CACHE = msgspec.Raw(b'{"type":"ephemeral"}')
PNG = "data:image/png;base64,iVBO"
MESSAGES: dict[str, tuple[list[dict[str, Any]], tuple[Turn, ...]]] = {
    "a text": ([HI], (turn("user", 0, Text("Hi")),)),
    "parts": (
        [{"role": "user", "content": [{"type": "text", "text": "a", "cache_control": CACHE}, "b",
                                      {"type": "text", "text": ""}]}],
        (turn("user", 0, Text("a", RAW_CACHE), Text("b")),),
    ),
    "a mark beside a text": ([{**HI, "cache_control": CACHE}], (turn("user", 0, Text("Hi", RAW_CACHE)),)),
    "a participant's name stays behind": ([{**HI, "name": "Ada"}], (turn("user", 0, Text("Hi")),)),
    "a picture": (
        user_part(type="image_url", image_url={"url": PNG, "detail": "low"}, cache_control=CACHE),
        (turn("user", 0, Image("iVBO", "image/png", "", "low", RAW_CACHE, "messages.0.content.0.image_url")),),
    ),
    "a picture elsewhere": (
        user_part(type="image_url", image_url={"url": "https://x.test/a.png", "detail": "auto"}),
        (turn("user", 0, Image(url="https://x.test/a.png", path="messages.0.content.0.image_url")),),
    ),
    "a picture as a text": (
        user_part(type="image_url", image_url=PNG),
        (turn("user", 0, Image("iVBO", "image/png", path="messages.0.content.0.image_url")),),
    ),
    "sound": (
        user_part(type="input_audio", input_audio={"data": "UklG", "format": "wav"}),
        (turn("user", 0, Audio("UklG", "wav", "messages.0.content.0.input_audio")),),
    ),
    "a file": (
        user_part(type="file", file={"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}),
        (turn("user", 0, Document("JVBE", "application/pdf", name="a.pdf", path="messages.0.content.0.file")),),
    ),
    "a bare file": (
        user_part(type="file", file={"file_data": "JVBE"}),
        (turn("user", 0, Document("JVBE", "application/pdf", path="messages.0.content.0.file")),),
    ),
    "a file of text": (
        user_part(type="file", file={
            "filename": "a.txt", "file_data": "data:text/plain;base64," + base64.b64encode("Größe".encode()).decode()}),
        (turn("user", 0, Document(text="Größe", name="a.txt", path="messages.0.content.0.file")),),
    ),
    "a file elsewhere": (
        user_part(type="file", file={"file_data": "https://x.test/a.pdf"}),
        (turn("user", 0, Document(url="https://x.test/a.pdf", path="messages.0.content.0.file")),),
    ),
    "an answer": ([HI, said(content="a"), HI],
                  (turn("user", 0, Text("Hi")), turn("assistant", 1, Text("a")), turn("user", 2, Text("Hi")))),
    "an answer of nothing": ([said(content=None, tool_calls=None)], (turn("assistant", 0),)),
    "an answer in parts": ([said(content=[{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "no"}])],
                           (turn("assistant", 0, Text("a"), Refusal("no")),)),
    "a refusal": ([said(content=None, refusal="no")], (turn("assistant", 0, Refusal("no")),)),
    "thinking": ([said(content="a", reasoning_content="hm")], (turn("assistant", 0, Thinking("hm"), Text("a")),)),
    "thinking under another name": ([said(content="a", reasoning="hm")],
                                    (turn("assistant", 0, Thinking("hm"), Text("a")),)),
    "thinking under both is one": ([said(content="a", reasoning="hm", reasoning_content="hm")],
                                   (turn("assistant", 0, Thinking("hm"), Text("a")),)),
    "thinking among the parts": (
        [said(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
                       {"type": "text", "text": "a"}])],
        (turn("assistant", 0, Thinking("hm"), Text("a")),),
    ),
    "thinking with its seals": (
        [said(content="a", reasoning_content="hmoh", reasoning_details=[
            {"type": "reasoning.text", "text": "hm", "signature": "S", "index": 0},
            {"type": "reasoning.encrypted", "data": "X", "index": 1},
            {"type": "reasoning.text", "text": "oh", "signature": None, "format": "anthropic-claude-v1"}])],
        (turn("assistant", 0, Thinking("hm", "S"), Thinking(sealed="X"), Thinking("oh"), Text("a")),),
    ),
    "seals of other providers": (
        [said(content="a", reasoning_details=[
            {"type": "reasoning.summary", "summary": "hm", "format": "openai-responses-v1"},
            {"type": "reasoning.encrypted", "data": "X", "format": "openai-responses-v1"},
            {"type": "reasoning.text", "text": "oh", "signature": "S", "format": "google-gemini-v1"}])],
        (turn("assistant", 0, Thinking("hm"), Thinking("oh"), Text("a")),),
    ),
    "details that say nothing": ([said(content="a", reasoning="hm", reasoning_details=[])],
                                 (turn("assistant", 0, Thinking("hm"), Text("a")),)),
    "two rounds of calls": (
        [said(content="I look.", tool_calls=[call("c1", arguments='{"a": 1}'), {**call("c2"), "cache_control": CACHE}]),
         result("c2", "2", name="look", cache_control=CACHE), result("c1", [{"type": "text", "text": "1"}]),
         said(content=None, tool_calls=[call("c1")]), result("c1", None), HI],
        (turn("assistant", 0, Text("I look."), ToolUse("c1", "look", '{"a": 1}'),
              ToolUse("c2", "look", "{}", RAW_CACHE)),
         turn("user", 1, ToolResult("c2", (Text("2"),), name="look", cache=RAW_CACHE, path="messages.1"),
              ToolResult("c1", (Text("1"),), path="messages.2")),
         turn("assistant", 3, ToolUse("c1", "look", "{}")),
         turn("user", 4, ToolResult("c1", (), path="messages.4")),
         turn("user", 5, Text("Hi"))),
    ),
    "a picture that a tool took": (
        [said(tool_calls=[call("c1")]), result("c1", [{"type": "text", "text": "see"},
                                                      {"type": "image_url", "image_url": {"url": PNG}}])],
        (turn("assistant", 0, ToolUse("c1", "look", "{}")),
         turn("user", 1, ToolResult("c1", (Text("see"), Image("iVBO", "image/png",
                                                              path="messages.1.content.1.image_url")),
                                    path="messages.1"))),
    ),
    "a function's call of old": (
        [said(content=None, function_call={"name": "look", "arguments": "{}"}),
         {"role": "function", "name": "look", "content": "1"}],
        (turn("assistant", 0, ToolUse("call_0_0", "look", "{}")),
         turn("user", 1, ToolResult("call_0_0", (Text("1"),), name="look", path="messages.1"))),
    ),
    "a call of a custom tool": (
        [said(tool_calls=[{"id": "c1", "type": "custom", "custom": {"name": "run", "input": 'say "hi"'}}]),
         result("c1")],
        (turn("assistant", 0, ToolUse("c1", "run", '{"input":"say \\"hi\\""}')),
         turn("user", 1, ToolResult("c1", (Text("1"),), path="messages.1"))),
    ),
    "the system in the midst": (
        [HI, {"role": "developer", "content": "be brief"}, HI],
        (turn("user", 0, Text("Hi")), turn("system", 1, Text("be brief")), turn("user", 2, Text("Hi"))),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MESSAGES)
def test_messages_are_turns(name: str) -> None:
    messages, turns = MESSAGES[name]
    assert talk(messages=messages).turns == turns


def test_the_system_speaks_first() -> None:
    asked = talk(messages=[
        {"role": "system", "content": [{"type": "text", "text": "a", "cache_control": CACHE}]},
        {"role": "developer", "content": "b"}, HI,
    ])  # fmt: skip
    assert asked.system == (Text("a", RAW_CACHE), Text("b"))
    assert asked.turns == (turn("user", 2, Text("Hi")),)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ('{"a": [1]}', '{"a": [1]}'), ("", "{}"), (" ", "{}"), (None, "{}"), ({"a": 1}, '{"a":1}'),
        ("[1]", '{"_raw":"[1]"}'), ('{"a": ', '{"_raw":"{\\"a\\": "}'), ("null", '{"_raw":"null"}'),
    ],
)  # fmt: skip
def test_arguments_are_an_object(written: Any, meant: str) -> None:
    turns = talk(messages=[said(tool_calls=[call("c1", arguments=written)]), result("c1")]).turns
    assert turns[0].parts == (ToolUse("c1", "look", meant),)


SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
LOOK = {"type": "function", "function": {"name": "look", "parameters": SCHEMA}}
SEE = {"type": "function", "function": {"name": "see"}}
RUN = {"type": "custom", "custom": {"name": "run", "description": "Runs", "format": {"type": "text"}}}
RAW_SCHEMA = msgspec.Raw(json.dumps(SCHEMA).encode())
EMPTY = msgspec.Raw(b'{"type":"object","properties":{}}')
LOOKS, SEES = Tool("look", RAW_SCHEMA), Tool("see", EMPTY)
RUNS = Tool("run", free.SCHEMA, "Runs\n\nPut the whole text into `input`.", free=True)
WANTED = {"name": "out", "description": "Out", "strict": True, "schema": SCHEMA}
FIELDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "nothing": ({}, {}),
    "what asks for nothing": (
        {"n": 1, "best_of": 1, "logprobs": False, "top_logprobs": 0, "logit_bias": {}, "modalities": ["text"],
         "audio": None, "stop": None, "tools": None, "tool_choice": None, "response_format": {"type": "text"},
         "functions": [], "reasoning": {}},
        {},
    ),
    "what only tunes or labels": (
        {"store": True, "metadata": {"a": "b"}, "service_tier": "auto", "prompt_cache_key": "k", "seed": 4,
         "prediction": {"type": "content", "content": "x"}, "safety_identifier": "s", "unheard_of": [1]},
        {"seed": 4, "safety": "s", "cache_key": "k"},
    ),
    "sampling": (
        {"temperature": 1, "top_p": 0.5, "top_k": 4, "frequency_penalty": 0.1, "presence_penalty": -1, "user": "u",
         "verbosity": "low", "stop": "a"},
        {"temperature": 1.0, "top_p": 0.5, "top_k": 4, "frequency_penalty": 0.1, "presence_penalty": -1.0,
         "user": "u", "verbosity": "low", "stop": ("a",)},
    ),
    "several stops": ({"stop": ["a", "b"]}, {"stop": ("a", "b")}),
    "functions": ({"tools": [LOOK, SEE], "parallel_tool_calls": False}, {"tools": (LOOKS, SEES), "parallel": False}),
    "functions of old": ({"functions": [LOOK["function"]], "function_call": {"name": "look"}},
                         {"tools": (LOOKS,), "choice": Choice("tool", "look")}),
    "all that is said of a function": (
        {"tools": [{"type": "function", "cache_control": CACHE, "function": {
            "name": "look", "description": "Looks", "strict": True, "parameters": SCHEMA}}]},
        {"tools": (Tool("look", RAW_SCHEMA, "Looks", strict=True,
                        cache=msgspec.Raw(json.dumps(CACHE).encode())),)},
    ),
    "a custom tool": ({"tools": [RUN]}, {"tools": (RUNS,)}),
    "a custom tool's grammar": (
        {"tools": [{"type": "custom", "custom": {"name": "run", "format": {
            "type": "grammar", "grammar": {"syntax": "lark", "definition": "start: A"}}}}]},
        {"tools": (Tool("run", free.SCHEMA, "Put the whole text into `input`.\n\n`input` must follow this grammar "
                                            "(lark):\nstart: A", free=True),)},
    ),
    "auto": ({"tools": [LOOK], "tool_choice": "auto"}, {"tools": (LOOKS,), "choice": Choice("auto")}),
    "none": ({"tools": [LOOK], "tool_choice": "none"}, {"tools": (LOOKS,), "choice": Choice("none")}),
    "required": ({"tools": [LOOK], "tool_choice": "required"}, {"tools": (LOOKS,), "choice": Choice("any")}),
    "one": ({"tools": [LOOK, SEE], "tool_choice": {"type": "function", "function": {"name": "see"}}},
            {"tools": (LOOKS, SEES), "choice": Choice("tool", "see")}),
    "a custom one": ({"tools": [RUN], "tool_choice": {"type": "custom", "custom": {"name": "run"}}},
                     {"tools": (RUNS,), "choice": Choice("tool", "run")}),
    "some": (
        {"tools": [LOOK, SEE, RUN], "tool_choice": {"type": "allowed_tools", "allowed_tools": {
            "mode": "required", "tools": [{"type": "function", "function": {"name": "see"}},
                                          {"type": "custom", "custom": {"name": "run"}}]}}},
        {"tools": (SEES, RUNS), "known": (LOOKS,), "choice": Choice("any")},
    ),
    "some, if it likes": (
        {"tools": [LOOK, SEE], "tool_choice": {"type": "allowed_tools", "allowed_tools": {
            "mode": "auto", "tools": [{"type": "function", "function": {"name": "see"}}]}}},
        {"tools": (SEES,), "known": (LOOKS,), "choice": Choice("auto")},
    ),
    "any JSON": ({"response_format": {"type": "json_object"}}, {"format": Format()}),
    "a shape": ({"response_format": {"type": "json_schema", "json_schema": WANTED}},
                {"format": Format(RAW_SCHEMA, "out", "Out", strict=True)}),
    "a shape without a schema": ({"response_format": {"type": "json_schema", "json_schema": {"name": "out"}}},
                                 {"format": Format(name="out")}),
    "effort": ({"reasoning_effort": "xhigh"}, {"effort": Effort("xhigh")}),
    "no effort": ({"reasoning_effort": "none"}, {"effort": Effort("none")}),
    "reasoning's effort": ({"reasoning": {"effort": "low", "exclude": True}}, {"effort": Effort("low", shown=False)}),
    "reasoning's budget": ({"reasoning": {"max_tokens": 2000}}, {"effort": Effort(budget=2000)}),
    "reasoning, on": ({"reasoning": {"enabled": True}}, {"effort": Effort(adaptive=True)}),
    "reasoning, off": ({"reasoning": {"enabled": False}}, {"effort": Effort("none")}),
    "thinking": ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, {"effort": Effort(budget=2000)}),
    "thinking as it likes": ({"thinking": {"type": "adaptive"}}, {"effort": Effort(adaptive=True)}),
    "thinking as it likes, hard": ({"thinking": {"type": "adaptive"}, "reasoning_effort": "high"},
                                   {"effort": Effort("high", adaptive=True)}),
    "no thinking": ({"thinking": {"type": "disabled"}}, {"effort": Effort("none")}),
    "Qwen's": ({"enable_thinking": True, "thinking_budget": 2000}, {"effort": Effort(budget=2000)}),
    "Qwen's, off": ({"enable_thinking": False, "thinking_budget": 2000}, {"effort": Effort("none")}),
}  # fmt: skip


@pytest.mark.parametrize("name", FIELDS)
def test_fields_are_read(name: str) -> None:
    fields, read = FIELDS[name]
    assert talk(**fields) == Talk((turn("user", 0, Text("Hi")),), **read)


def test_stops() -> None:
    assert stops({"stop": msgspec.Raw(b' ["a"]')}) == ("a",)
    assert stops({}) == stops({"stop": msgspec.Raw(b"null")}) == ()


CALLS = said(tool_calls=[call("c1"), call("c2")])
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "several answers": ({"n": 2}, "n"),
    "the best of several": ({"best_of": 2, "n": 1}, "best_of"),
    "weights": ({"logit_bias": {"1": -100}}, "logit_bias"),
    "an answer that is spoken": ({"modalities": ["text", "audio"]}, "modalities"),
    "a voice": ({"audio": {"voice": "alloy", "format": "wav"}}, "audio"),
    "a search": ({"web_search_options": {}}, "web_search_options"),
    "messages that are none": ({"messages": ["Hi"]}, "messages"),
    "a stop that is none": ({"stop": [1]}, "stop"),
    "temperature": ({"temperature": "hot"}, "temperature"),
    "nobody speaks": ({"messages": [{"content": "Hi"}]}, "messages.0.role"),
    "content": ({"messages": [{"role": "user", "content": [1]}]}, "messages.0.content"),
    "content of another kind": ({"messages": [{"role": "user", "content": 1}]}, "messages.0.content"),
    "a part that is not known": ({"messages": user_part(type="video_url", video_url={"url": "https://x.test"})},
                                 "messages.0.content.0.type"),
    "a text that is none": ({"messages": user_part(type="text")}, "messages.0.content.0.text"),
    "a picture at no address": ({"messages": user_part(type="image_url", image_url={"url": "a.png"})},
                                "messages.0.content.0.image_url.url"),
    "a picture of nothing": ({"messages": user_part(type="image_url", image_url={})},
                             "messages.0.content.0.image_url.url"),
    "sound without a format": ({"messages": user_part(type="input_audio", input_audio={"data": "UklG"})},
                               "messages.0.content.0.input_audio.format"),
    "a file that lies at OpenAI": ({"messages": user_part(type="file", file={"file_id": "file-1"})},
                                   "messages.0.content.0.file.file_data"),
    "a file of text that is none": (
        {"messages": user_part(type="file", file={"file_data": "data:text/plain;base64,/w=="})},
        "messages.0.content.0.file.file_data"),
    "a picture by the system": (
        {"messages": [{"role": "system", "content": [{"type": "image_url", "image_url": {"url": PNG}}]}]},
        "messages.0.content.0.type"),
    "a user's refusal": ({"messages": user_part(type="refusal", refusal="no")}, "messages.0.content.0.type"),
    "an answer's picture": ({"messages": [said(content=[{"type": "image_url", "image_url": {"url": PNG}}])]},
                            "messages.0.content.0.type"),
    "a tool's sound": (
        {"messages": [said(tool_calls=[call("c1")]),
                      result("c1", [{"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}}])]},
        "messages.1.content.0.type"),
    "an answer that was spoken": ({"messages": [said(content=None, audio={"id": "a"})]}, "messages.0.audio"),
    "a call without an id": ({"messages": [said(tool_calls=[call("")])]}, "messages.0.tool_calls.0.id"),
    "two calls of one id": ({"messages": [said(tool_calls=[call("c1"), call("c1")])]}, "messages.0.tool_calls.1.id"),
    "a call of nothing": ({"messages": [said(tool_calls=[call("c1", "")])]},
                          "messages.0.tool_calls.0.function.name"),
    "a custom call of no text": (
        {"messages": [said(tool_calls=[{"id": "c1", "type": "custom", "custom": {"name": "run"}}])]},
        "messages.0.tool_calls.0.custom.input"),
    "calls without a result": ({"messages": [CALLS]}, "messages.0.tool_calls.0"),
    "a call without a result": ({"messages": [CALLS, result("c1"), HI]}, "messages.0.tool_calls.1"),
    "a result that comes late": ({"messages": [said(tool_calls=[call("c1")]), HI, result("c1")]},
                                 "messages.0.tool_calls.0"),
    "a result without a call": ({"messages": [HI, result("c1")]}, "messages.1.tool_call_id"),
    "a second result": ({"messages": [said(tool_calls=[call("c1")]), result("c1"), result("c1")]},
                        "messages.2.tool_call_id"),
    "a result of nothing": ({"messages": [CALLS, {"role": "tool", "content": "1"}]}, "messages.1.tool_call_id"),
    "a function's result without a call": ({"messages": [{"role": "function", "name": "look", "content": "1"}]},
                                           "messages.0.name"),
    "a tool of another type": ({"tools": [{"type": "web_search"}]}, "tools.0.type"),
    "a tool of nothing": ({"tools": [LOOK, {"type": "function"}]}, "tools.1.function"),
    "a tool that is none": ({"tools": [{"type": "function", "function": "look"}]}, "tools.0.function"),
    "a tool without a name": ({"tools": [{"type": "function", "function": {}}]}, "tools.0.function.name"),
    "a custom tool without a name": ({"tools": [{"type": "custom", "custom": {}}]}, "tools.0.custom.name"),
    "a function's parameters": ({"functions": [{"name": "a", "parameters": 1}]}, "functions.0.parameters"),
    "a choice that is none": ({"tools": [LOOK], "tool_choice": "some"}, "tool_choice"),
    "a choice of a tool that is not there": (
        {"tools": [LOOK], "tool_choice": {"type": "function", "function": {"name": "see"}}}, "tool_choice"),
    "a choice of some that are not there": (
        {"tools": [LOOK], "tool_choice": {"type": "allowed_tools", "allowed_tools": {"tools": [SEE]}}}, "tool_choice"),
    "a format that is none": ({"response_format": {"type": "grammar"}}, "response_format.type"),
    "a schema that is none": ({"response_format": {"type": "json_schema", "json_schema": {"schema": 1}}},
                              "response_format.json_schema.schema"),
    "an effort that is none": ({"reasoning_effort": "extreme"}, "reasoning_effort"),
    "another one": ({"reasoning": {"effort": "extreme"}}, "reasoning.effort"),
    "a thinking that is none": ({"thinking": {"type": 1}}, "thinking.type"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_carried_is_refused(name: str) -> None:
    fields, param = REFUSED[name]
    with pytest.raises(InvalidRequest) as refused:
        talk(**fields)
    assert refused.value.param == param


def test_a_half_round_says_how_to_mend_it() -> None:
    with pytest.raises(InvalidRequest, match="the call 'c1' has no result; send one message of role tool"):
        talk(messages=[CALLS])


# ---- what is written ----

HEAD = {"id": "chatcmpl-7", "object": "chat.completion.chunk", "created": 5, "model": "big"}
BEGAN = Began("big")
ROLE: dict[str, Any] = {"role": "assistant", "content": ""}
USED = Usage(input=3, cache_read=4, output=2, reasoning=1)
USAGE = {
    "prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9, "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 1},
}  # fmt: skip


def writer(**fields: Any) -> Any:
    ask = openai_chat.read_request(body(**fields))
    told = Told(ask=ask, talk=openai_chat.talk_of(ask), id="req_7", created=5, model="m", prompt=7, now=lambda: 9)
    return openai_chat.Writer(told)


def chunks(data: bytes) -> list[Any]:
    return [json.loads(event.data or b"null") for event in sse.Reader().feed(data)]


def deltas(data: bytes) -> list[Any]:
    """The deltas of a stream's chunks, each of which says of itself what every chunk says."""
    found = []
    for one in chunks(data):
        assert {name: one[name] for name in HEAD} == HEAD and len(one["choices"]) == 1
        assert one["choices"][0] == {"index": 0, "delta": one["choices"][0]["delta"], "finish_reason": None}
        found.append(one["choices"][0]["delta"])
    return found


def part(index: int, text: str) -> dict[str, Any]:
    return {"tool_calls": [{"index": index, "function": {"arguments": text}}]}


def begun(index: int, id: str, name: str = "look") -> dict[str, Any]:
    return {"tool_calls": [{"index": index, "id": id, "type": "function",
                            "function": {"name": name, "arguments": ""}}]}  # fmt: skip


ANSWERS: dict[str, tuple[list[Event], list[dict[str, Any]], dict[str, Any]]] = {
    "text": (
        [BEGAN, Said('a"\n'), Said("\u2028é\x00"), Finished("end")],
        [{"content": 'a"\n'}, {"content": "\u2028é\x00"}],
        {"content": 'a"\n\u2028é\x00'},
    ),
    "nothing": ([BEGAN, Finished("end")], [], {"content": ""}),
    "thought": (
        [BEGAN, Thought("h"), Thought("m"), Said("a"), Finished("end")],
        [{"reasoning_content": "h"}, {"reasoning_content": "m"}, {"content": "a"}],
        {"content": "a", "reasoning_content": "hm"},
    ),
    "thoughts with seals": (
        [BEGAN, Thought("h"), Thought("m"), Signed("S"), Thought("oh"), Sealed("X"), Said("a"), Finished("end")],
        [{"reasoning_content": "h"}, {"reasoning_content": "m"},
         {"reasoning_details": [{"type": "reasoning.text", "text": "hm", "signature": "S", "index": 0}]},
         {"reasoning_content": "oh"},
         {"reasoning_details": [{"type": "reasoning.text", "text": "oh", "index": 1},
                                {"type": "reasoning.encrypted", "data": "X", "index": 2}]},
         {"content": "a"}],
        {"content": "a", "reasoning_content": "hmoh", "reasoning_details": [
            {"type": "reasoning.text", "text": "hm", "signature": "S", "index": 0},
            {"type": "reasoning.text", "text": "oh", "index": 1},
            {"type": "reasoning.encrypted", "data": "X", "index": 2}]},
    ),
    "a thought that is not shown": (
        [BEGAN, Signed("S"), Said("a"), Finished("end")],
        [{"reasoning_details": [{"type": "reasoning.text", "text": "", "signature": "S", "index": 0}]},
         {"content": "a"}],
        {"content": "a", "reasoning_details": [
            {"type": "reasoning.text", "text": "", "signature": "S", "index": 0}]},
    ),
    "a refusal": ([BEGAN, Refused("no"), Finished("refusal")], [{"refusal": "no"}], {"refusal": "no"}),
    "calls, their parts in turn": (
        [BEGAN, Said("I look."), CallBegan(7, "c1", "look"), CallPart(7, '{"a"'), CallBegan(3, "c2", "see"),
         CallPart(3, "{}"), CallPart(7, ":1}"), Finished("calls")],
        [{"content": "I look."}, begun(0, "c1"), part(0, '{"a"'), begun(1, "c2", "see"), part(1, "{}"), part(0, ":1}")],
        {"content": "I look.", "tool_calls": [call("c1", arguments='{"a":1}'), call("c2", "see")]},
    ),
    "a call of no arguments": (
        [BEGAN, CallBegan(0, "c1", "look"), CallPart(0, ""), Finished("calls")],
        [begun(0, "c1"), part(0, "{}")],
        {"tool_calls": [call("c1")]},
    ),
    "a call of a custom tool": (
        [BEGAN, CallBegan(0, "c1", "run"), CallPart(0, '{"input": "say '), CallPart(0, '\\"hi\\""}'),
         Finished("calls")],
        [{"tool_calls": [{"index": 0, "id": "c1", "type": "custom", "custom": {"name": "run", "input": ""}}]},
         {"tool_calls": [{"index": 0, "custom": {"input": 'say "hi"'}}]}],
        {"tool_calls": [{"id": "c1", "type": "custom", "custom": {"name": "run", "input": 'say "hi"'}}]},
    ),
    "a custom tool that was called otherwise": (
        [BEGAN, CallBegan(0, "c1", "run"), CallPart(0, "say hi"), Finished("calls")],
        [{"tool_calls": [{"index": 0, "id": "c1", "type": "custom", "custom": {"name": "run", "input": ""}}]},
         {"tool_calls": [{"index": 0, "custom": {"input": "say hi"}}]}],
        {"tool_calls": [{"id": "c1", "type": "custom", "custom": {"name": "run", "input": "say hi"}}]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ANSWERS)
def test_answers_are_written(name: str) -> None:
    events, streamed, message = ANSWERS[name]
    assert deltas(writer(tools=[RUN]).write(events)) == [ROLE, *streamed]
    one_by_one = writer(tools=[RUN])
    assert b"".join(one_by_one.write([event]) for event in events) == writer(tools=[RUN]).write(events)
    whole = json.loads(writer(tools=[RUN]).whole(events, USED, exact=True, cost=None))
    assert whole["choices"][0]["message"] == {"role": "assistant", "content": None, "refusal": None, **message}
    assert {name: its for name, its in whole.items() if name != "choices"} == {
        **HEAD, "object": "chat.completion", "usage": USAGE}  # fmt: skip


@pytest.mark.parametrize("name", ANSWERS)
def test_a_stream_put_together_is_the_whole_answer(name: str) -> None:
    events, _, message = ANSWERS[name]
    asked = writer(tools=[RUN])
    data = asked.write(events) + asked.tail(USED, exact=True, cost=None, note="")
    found = json.loads(openai_chat.whole_of(data))["choices"][0]
    assert {its: found["message"].get(its) or None for its in ("content", "refusal", "reasoning_content")} == {
        its: message.get(its) or None for its in ("content", "refusal", "reasoning_content")}  # fmt: skip
    assert found["message"].get("tool_calls") == message.get("tool_calls")
    assert found["message"].get("reasoning_details") == message.get("reasoning_details")


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_is_read_back_as_it_was_meant(name: str) -> None:
    """What a client sends back of an answer in its next request says what was said, seals and all."""
    events, _, message = ANSWERS[name]
    asked = json.loads(writer(tools=[RUN]).whole(events, USED, exact=True, cost=None))["choices"][0]["message"]
    results = [result(one["id"]) for one in asked.get("tool_calls", ())]
    parts = talk(messages=[asked, *results]).turns[0].parts
    thoughts = [Thinking(one.get("text", ""), one.get("signature", ""), one.get("data", ""))
                for one in message.get("reasoning_details", ())]  # fmt: skip
    if not thoughts and "reasoning_content" in message:
        thoughts = [Thinking(message["reasoning_content"])]
    assert [one for one in parts if isinstance(one, Thinking)] == thoughts
    assert [one.name for one in parts if isinstance(one, ToolUse)] == [
        one[one["type"]]["name"] for one in message.get("tool_calls", ())]  # fmt: skip


FINISHES = {
    "end": "stop", "length": "length", "calls": "tool_calls", "stop_sequence": "stop", "filter": "content_filter",
    "refusal": "content_filter", "pause": "stop", "context": "length",
}  # fmt: skip


@pytest.mark.parametrize("reason", FINISHES)
def test_why_an_answer_ended(reason: Any) -> None:
    events = [BEGAN, Said("a"), Finished(reason)]
    whole = json.loads(writer().whole(events, USED, exact=True, cost=None))
    assert whole["choices"][0]["finish_reason"] == FINISHES[reason]
    asked = writer()
    reasons = [one["choices"][0]["finish_reason"] for one in chunks(asked.write(events))]
    assert reasons and set(reasons) == {None}
    tail = asked.tail(USED, exact=True, cost=None, note="n")
    event, done = sse.Reader().feed(tail)
    assert json.loads(event.data or b"") == {
        **HEAD, "choices": [{"index": 0, "delta": {}, "finish_reason": FINISHES[reason]}]}  # fmt: skip
    assert done.raw == b": n\ndata: [DONE]\n\n"


def test_the_usage_is_shown_to_who_asked_for_it() -> None:
    asked = writer(stream=True, stream_options={"include_usage": True})
    asked.write([BEGAN, Finished("end")])
    _, usage, done = sse.Reader().feed(asked.tail(USED, exact=True, cost=1_000_000, note=""))
    assert json.loads(usage.data or b"") == {**HEAD, "choices": [], "usage": {**USAGE, "cost": 0.000001}}
    assert done.raw == b"data: [DONE]\n\n"


def test_a_stream_that_breaks_says_so_and_ends_without_a_reason() -> None:
    asked = writer()
    data = asked.write([BEGAN, Said("a")]) + asked.failure(ProviderError("gone"), "req_7", "n")
    assert b"DONE" not in data and b'"finish_reason":"' not in data
    assert data.endswith(b"\n\n") and b": n\ndata: {" in data and b"gone" in data


def test_halves_of_a_pair_pass() -> None:
    """Some upstreams cut a surrogate pair in two, each half in an event of its own."""
    data = writer().write([BEGAN, Said("\ud83d"), Said("\ude00")])
    assert b'"content":"\\ud83d"' in data and b'"content":"\\ude00"' in data


def test_a_model_that_does_not_say_its_name_has_the_one_that_was_asked_for() -> None:
    assert chunks(writer().write([Began(), Said("a")]))[1]["model"] == "m"
