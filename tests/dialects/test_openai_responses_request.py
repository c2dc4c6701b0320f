"""Responses requests: what is refused before anything is held, how long a prompt is, and what goes up to an upstream of
this dialect."""

import json
from typing import Any

import pytest

from ftgate.core import estimate
from ftgate.dialects import openai_responses
from ftgate.dialects.neutral import Thinking
from ftgate.dialects.openai_responses.envelope import enclosed
from ftgate.dialects.talk import Aim, Ask
from ftgate.errors import InvalidRequest

OURS = enclosed([Thinking("hm")])
THEIRS = "gAAAAAB" + "x" * 393


def ask(**fields: Any) -> Ask:
    return openai_responses.read_request(json.dumps({"model": "m", "input": "Hi", **fields}).encode())


def refused(fields: dict[str, Any], param: str, code: str = "invalid_value") -> str:
    with pytest.raises(InvalidRequest) as why:
        openai_responses.read_request(json.dumps({"model": "m", "input": "Hi"} | fields).encode())
    assert (why.value.param, why.value.code) == (param, code)
    return why.value.message


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "no model": ({"model": None}, "model", "missing_field"),
    "no input": ({"input": None}, "input", "missing_field"),
    "nothing in the input": ({"input": []}, "input", "invalid_value"),
    "an input of another type": ({"input": 7}, "input", "invalid_value"),
    "an item of another type": ({"input": ["Hi"]}, "input.0", "invalid_value"),
    "instructions": ({"instructions": ["be brief"]}, "instructions", "invalid_value"),
    "a cap of 0": ({"max_output_tokens": 0}, "max_output_tokens", "invalid_value"),
    "a cap in words": ({"max_output_tokens": "many"}, "max_output_tokens", "invalid_value"),
    "stream": ({"stream": "yes"}, "stream", "invalid_value"),
    "metadata": ({"metadata": ["a"]}, "metadata", "invalid_value"),
    "previous": ({"previous_response_id": "resp_1"}, "previous_response_id", "previous_response_not_found"),
    "conversation": ({"conversation": {"id": "conv_1"}}, "conversation", "invalid_value"),
    "prompt": ({"prompt": {"id": "pmpt_1"}}, "prompt", "invalid_value"),
    "background": ({"background": True}, "background", "invalid_value"),
    "moderation": ({"moderation": {"model": "x"}}, "moderation", "invalid_value"),
    "prewarm": ({"prompt_cache_options": {"prewarm": True}}, "prompt_cache_options.prewarm", "invalid_value"),
    "generate": ({"generate": False}, "generate", "invalid_value"),
    "a reference": ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input.0.id", "invalid_value"),
    "an id alone": ({"input": [{"id": "msg_1"}]}, "input.0.id", "invalid_value"),
    "compaction": (
        {"input": [{"type": "compaction", "encrypted_content": "x"}]}, "input.0.type", "invalid_value"),
    "a trigger": ({"input": [{"type": "compaction_trigger"}]}, "input.0.type", "invalid_value"),
    "tools": ({"tools": {}}, "tools", "invalid_value"),
    "a tool without a type": ({"tools": [{"name": "f"}]}, "tools.0.type", "invalid_value"),
    "routing": ({"routing": "best"}, "routing", "invalid_value"),
    **{
        f"the tool {kind}": ({"tools": [{"type": "function", "name": "f"}, {"type": kind}]}, "tools.1.type",
                             "invalid_value")
        for kind in ("file_search", "mcp", "code_interpreter", "shell", "hologram")
    },
    "a tool of two types": (
        {"tools": [{"type": "function", "name": "f", "Type": "mcp"}]}, "tools.0.Type", "invalid_value"),
    "a tool in a namespace": (
        {"tools": [{"type": "namespace", "name": "n", "tools": [{"type": "mcp"}]}]}, "tools.0.tools.0.type",
        "invalid_value"),
    "a tool that an item brings": (
        {"input": [{"type": "additional_tools", "tools": [{"type": "mcp"}]}]}, "input.0.tools.0.type",
        "invalid_value"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_channel_serves_is_refused(name: str) -> None:
    fields, param, code = REFUSED[name]
    refused(fields, param, code)


def test_a_refusal_names_the_way_out() -> None:
    assert "store: false" in refused({"input": [{"id": "msg_1"}]}, "input.0.id")
    assert "whole conversation" in refused(
        {"previous_response_id": "resp_1"}, "previous_response_id", "previous_response_not_found"
    )
    assert "declare a function" in refused({"tools": [{"type": "mcp"}]}, "tools.0.type")


IGNORED: dict[str, Any] = {
    "previous_response_id": None, "conversation": None, "prompt": None, "moderation": None, "background": False,
    "background_options": {"x": 1}, "generate": True, "prompt_cache_options": {"prewarm": False}, "store": True,
    "truncation": "auto", "context_management": [{"type": "compaction"}], "max_tool_calls": 3,
    "prompt_cache_retention": "24h", "access_programs": [], "image": {}, "personality": "friendly",
    "client_metadata": {"a": "b"}, "service_tier": "priority", "include": ["file_search_call.results"],
    "stream_options": {"include_obfuscation": True}, "top_logprobs": 0, "not_on_the_page": {"a": 1},
    "tools": [{"type": "web_search"}, {"type": "web_search_preview_2025_03_11"}, {"type": "image_generation"},
              {"type": "tool_search"}, {"type": "programmatic_tool_calling"}, {"type": "apply_patch"},
              {"type": "local_shell"}, {"type": "shell", "environment": {"type": "local"}}],
}  # fmt: skip


@pytest.mark.parametrize("name", IGNORED)
def test_what_only_tunes_is_read(name: str) -> None:
    assert ask(**{name: IGNORED[name]}).names == ("m",)


def test_what_the_gate_must_know() -> None:
    read = ask(models=["n"], routing="fallback", stream=True, max_output_tokens=16, tools=[])
    assert (read.names, read.routing, read.stream, read.cap) == (("m", "n"), "fallback", True, 16)
    assert read.wants_usage and read.answers == 1 and not read.has_tools and read.prompt_field == "input"
    assert ask(tools=[{"type": "function", "name": "f"}]).has_tools
    assert ask(input=[{"type": "additional_tools", "tools": []}]).has_tools


def likely(**fields: Any) -> int:
    return ask(**fields).prompt.likely


def message(*parts: Any) -> list[Any]:
    return [{"role": "user", "content": list(parts)}]


LONG = "seven words stand in this long text " * 40
WORDS = estimate.text(LONG).likely
MEASURED: dict[str, dict[str, Any]] = {
    "the input": {"input": LONG},
    "a message": {"input": [{"role": "user", "content": LONG}]},
    "a part": {"input": message({"type": "input_text", "text": LONG})},
    "instructions": {"instructions": LONG},
    "a tool": {"tools": [{"type": "function", "name": "f", "description": LONG}]},
    "a tool that an item brings": {
        "input": [{"type": "additional_tools", "tools": [{"type": "function", "name": "f", "description": LONG}]}]},
    "a schema": {"text": {"format": {"type": "json_schema", "schema": {"description": LONG}}}},
    "arguments": {"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": LONG}]},
    "free text": {"input": [{"type": "custom_tool_call", "call_id": "c", "name": "f", "input": LONG}]},
    "an output": {"input": [{"type": "function_call_output", "call_id": "c", "output": LONG}]},
    "an output's part": {
        "input": [{"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": LONG}]}]},
    "our envelope": {"input": [{"type": "reasoning", "encrypted_content": enclosed([Thinking(LONG)])}]},
    "a summary": {"input": [{"type": "reasoning", "summary": [{"type": "summary_text", "text": LONG}]}]},
    "a field that nobody knows": {"something": LONG},
}  # fmt: skip


@pytest.mark.parametrize("name", MEASURED)
def test_what_a_model_reads_is_measured_once(name: str) -> None:
    assert WORDS <= likely(**MEASURED[name]) <= WORDS + 60


def test_what_is_sealed_counts_by_its_length() -> None:
    plain = likely(input=[{"type": "reasoning"}])
    assert likely(input=[{"type": "reasoning", "encrypted_content": THEIRS}]) == plain + 100


def test_media_are_counted_and_not_measured() -> None:
    data = "data:image/png;base64," + "iVBORw0KGgo" * 4000
    read = ask(input=[
        *message({"type": "input_image", "image_url": data},
                 {"type": "input_image", "image_url": "https://x.test/a.png"},
                 {"type": "input_file", "file_data": "data:application/pdf;base64," + "JVBE" * 4000},
                 {"type": "input_audio", "input_audio": {"data": "UklG" * 4000, "format": "wav"}}),
        {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_image", "image_url": data}]},
    ])  # fmt: skip
    assert (read.images, read.files, read.audios) == (3, 1, 1)
    assert read.prompt.likely < 100
    made = ask(input=[
        {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "iVBORw0KGgo" * 4000},
        {"type": "computer_call_output", "call_id": "c", "output": {"type": "computer_screenshot", "image_url": data}},
    ])  # fmt: skip
    assert made.images == 2 and made.prompt.likely < 100


# ---- what goes up ----


def up(aim: Aim = Aim("up"), **fields: Any) -> dict[str, Any]:  # noqa: B008 - frozen
    sent: dict[str, Any] = json.loads(openai_responses.render(ask(**fields), aim))
    return sent


ALWAYS = {"model": "up", "input": "Hi", "store": False}
SENT: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "nothing more": ({}, {}),
    "ours stay here": ({"routing": "cheapest", "models": ["n"]}, {}),
    "nothing is stored": ({"store": True}, {}),
    "no other price": ({"service_tier": "priority", "prompt_cache_options": {"ttl": "1h", "mode": "x"},
                        "prompt_cache_retention": "24h", "web_search_options": {}},
                       {"prompt_cache_options": {"mode": "x"}}),
    "nothing that costs by the call": (
        {"plugins": [{"id": "web"}], "context_management": [{"type": "compaction"}]}, {}),
    "what nobody knows": ({"something": {"a": [1, None]}}, {"something": {"a": [1, None]}}),
    "hosted tools": (
        {"tools": [{"type": "web_search"}, {"type": "function", "name": "f", "x": 1}, {"type": "image_generation"},
                   {"type": "apply_patch"}, {"type": "tool_search"}], "tool_choice": "auto"},
        {"tools": [{"type": "function", "name": "f", "x": 1}, {"type": "apply_patch"}, {"type": "tool_search"}],
         "tool_choice": "auto"},
    ),
    "hosted tools alone": (
        {"tools": [{"type": "web_search"}], "tool_choice": "auto", "parallel_tool_calls": True}, {}),
    "hosted tools in a namespace": (
        {"tools": [{"type": "namespace", "name": "n", "tools": [
            {"type": "web_search"}, {"type": "custom", "name": "c"}]}]},
        {"tools": [{"type": "namespace", "name": "n", "tools": [{"type": "custom", "name": "c"}]}]},
    ),
    "reasoning that is not theirs": (
        {"input": [{"type": "reasoning", "id": "rs_1", "summary": []},
                   {"type": "reasoning", "summary": [], "encrypted_content": OURS},
                   {"type": "reasoning", "summary": [], "encrypted_content": THEIRS},
                   {"role": "user", "content": "a"}]},
        {"input": [{"type": "reasoning", "summary": [], "encrypted_content": THEIRS},
                   {"role": "user", "content": "a"}]},
    ),
    "what items bring": (
        {"input": [{"type": "additional_tools", "tools": [{"type": "web_search"}, {"type": "custom", "name": "c"}]}],
         "parallel_tool_calls": False},
        {"input": [{"type": "additional_tools", "tools": [{"type": "custom", "name": "c"}]}],
         "parallel_tool_calls": False},
    ),
    "reasoning is handed out": ({"reasoning": {"effort": "high"}, "include": ["x"]},
                                {"reasoning": {"effort": "high"}, "include": ["x", "reasoning.encrypted_content"]}),
    "who stores nothing himself says so": ({"reasoning": {"effort": "high"}, "store": False},
                                           {"reasoning": {"effort": "high"}}),
    "no reasoning": ({"reasoning": {"effort": "none"}}, {"reasoning": {"effort": "none"}}),
}  # fmt: skip


@pytest.mark.parametrize("name", SENT)
def test_what_goes_up(name: str) -> None:
    fields, sent = SENT[name]
    assert up(**fields) == {**ALWAYS, **sent}


@pytest.mark.parametrize(("fields", "thinks", "included"), [
    ({}, True, ["reasoning.encrypted_content"]),
    ({}, False, None),
    ({}, None, None),
    ({"include": ["x"]}, True, ["x", "reasoning.encrypted_content"]),
    ({"store": False}, True, None),
    ({"reasoning": {"effort": "none"}}, True, None),
    ({"reasoning": {"summary": "auto"}}, None, ["reasoning.encrypted_content"]),
])  # fmt: skip
def test_reasoning_is_handed_out_to_who_relies_on_it_being_stored(
    fields: dict[str, Any], thinks: bool | None, included: Any
) -> None:
    assert up(Aim("up", thinks=thinks), **fields).get("include") == included
    assert "include" not in up(Aim("up", thinks=thinks, drop=("include",)), **fields)


def test_the_cap_goes_up_in_its_own_field() -> None:
    assert up(Aim("up", 7, "max_output_tokens"), max_output_tokens=9)["max_output_tokens"] == 7
    assert up(Aim("up", None, "max_output_tokens"), max_output_tokens=9)["max_output_tokens"] == 9
    assert "max_output_tokens" not in up(Aim("up"), max_output_tokens=9)
    assert "temperature" not in up(Aim("up", drop=("temperature",)), temperature=1)


def test_a_request_passes_as_the_bytes_it_came_in() -> None:
    body = b'{"model":"m","input":[{"role":"user","content":"\\u00e9  "}],"metadata":{"a" : 1e2}}'
    sent = openai_responses.render(openai_responses.read_request(body), Aim("up"))
    assert b'"input":[{"role":"user","content":"\\u00e9  "}]' in sent and b'{"a" : 1e2}' in sent
