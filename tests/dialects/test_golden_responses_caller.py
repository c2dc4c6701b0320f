"""Golden requests of callers of Responses to upstreams that chat and to those that speak Anthropic's messages: of each
thing that can be asked, what must go up to either, or the path with which it is refused.

Sources: OpenAI's API reference (Responses, Chat), the models of its SDKs, Anthropic's API reference (Messages, Tool
use, Extended thinking, Vision, PDF support), what Codex and other clients were seen to send.
"""

from typing import Any

import pytest

from ftgate.dialects.neutral import Thinking
from ftgate.dialects.openai_responses.envelope import enclosed
from ftgate.errors import InvalidRequest
from tests.dialects import crossing

CHAT, MESSAGES, RESPONSES = "openai_chat", "anthropic_messages", "openai_responses"
Sent = dict[str, Any] | str
"""Fields beside the least that is always sent; a text is the path of what is refused."""
HI = {"role": "user", "content": "Hi"}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
LOOK = {"type": "function", "name": "look", "description": "Looks", "parameters": SCHEMA}
SEE = {"type": "function", "name": "see"}
NOTHING = {"type": "object", "properties": {}}
FREE = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"],
        "additionalProperties": False}  # fmt: skip
PNG = "data:image/png;base64,iVBO"
CACHED = {"text": {"verbosity": "low"}, "prompt_cache_key": "k", "safety_identifier": "s"}


def asks(*items: Any, **fields: Any) -> dict[str, Any]:
    return {"input": list(items), **fields}


def shows(*parts: Any) -> dict[str, Any]:
    return asks({"role": "user", "content": list(parts)})


def model(content: Any, **more: Any) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": content, **more}


def call(id: str, arguments: str = "{}", name: str = "look", **more: Any) -> dict[str, Any]:
    return {"type": "function_call", "call_id": id, "name": name, "arguments": arguments, **more}


def output(id: str, said: Any = "1", **more: Any) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": id, "output": said, **more}


def thought(*thoughts: Thinking, **more: Any) -> dict[str, Any]:
    return {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": enclosed(thoughts), **more}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def turns(*messages: Any, **fields: Any) -> dict[str, Any]:
    return {"messages": list(messages), **fields}


def says(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def blocks(role: str, *content: Any) -> dict[str, Any]:
    return {"role": role, "content": list(content)}


# What stands in a chat


def function(name: str, description: str = "", parameters: Any = NOTHING, **more: Any) -> dict[str, Any]:
    told = {"description": description} if description else {}
    return {"type": "function", "function": {"name": name, **told, "parameters": parameters, **more}}


def calls(*made: tuple[str, str, str], said: str | None = None, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": said, **more, "tool_calls": [
        {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}
        for id, name, arguments in made]}  # fmt: skip


def result(id: str, said: str = "1") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id, "content": said}


def picture(url: str, **more: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url, **more}}


# And in messages


def tool(name: str, description: str = "", schema: Any = NOTHING) -> dict[str, Any]:
    return {"name": name, **({"description": description} if description else {}), "input_schema": schema}


def use(id: str, given: Any = None, name: str = "look") -> dict[str, Any]:
    return {"type": "tool_use", "id": id, "name": name, "input": given or {}}


def used(id: str, content: Any = "1") -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": id, "content": content}


def data(media: str, data: str, kind: str = "base64") -> dict[str, Any]:
    return {"type": kind, "media_type": media, "data": data}


LOOKS, LOOKED = function("look", "Looks", SCHEMA), tool("look", "Looks", SCHEMA)
PICTURED = {"type": "image", "source": data("image/png", "iVBO")}
Row = tuple[dict[str, Any], Sent, Sent]

FIELDS: dict[str, Row] = {
    "a text": ({}, {}, {}),
    "an item": (asks(HI), {}, {}),
    "instructions": ({"instructions": "Be brief."}, turns(says("system", "Be brief."), HI), {"system": "Be brief."}),
    "a cap": ({"max_output_tokens": 50}, {"max_tokens": 50}, {"max_tokens": 50}),
    "a stream": ({"stream": True, "stream_options": {"include_obfuscation": False}},
                 {"stream": True, "stream_options": {"include_usage": True}}, {"stream": True}),
    "sampling": ({"temperature": 0.5, "top_p": 0.1}, {"temperature": 0.5, "top_p": 0.1}, {"temperature": 0.5}),
    "the best of it": ({"top_p": 0.1}, {"top_p": 0.1}, {"top_p": 0.1}),
    "more heat than Anthropic's take": ({"temperature": 1.5}, {"temperature": 1.5}, {"temperature": 1.0}),
    "sampling beside thinking": (
        {"temperature": 0.5, "top_p": 0.1, "reasoning": {"effort": "high"}},
        {"temperature": 0.5, "top_p": 0.1, "reasoning_effort": "high"},
        {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}),
    "plain text": ({"text": {"format": {"type": "text"}}}, {}, {}),
    "any JSON": ({"text": {"format": {"type": "json_object"}}}, {"response_format": {"type": "json_object"}},
                 {"system": "Answer with one JSON object and nothing else."}),
    "a shape": (
        {"text": {"format": {"type": "json_schema", "name": "out", "description": "d", "strict": True,
                             "schema": SCHEMA}}},
        {"response_format": {"type": "json_schema", "json_schema": {
            "name": "out", "description": "d", "strict": True, "schema": SCHEMA}}},
        {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}),
    "a shape of no kind": ({"text": {"format": {"type": "grammar"}}}, "text.format.type", "text.format.type"),
    "a shape without a schema": ({"text": {"format": {"type": "json_schema", "name": "a"}}}, "text.format.schema",
                                 "text.format.schema"),
    "few words": (CACHED, {"verbosity": "low", "prompt_cache_key": "k", "safety_identifier": "s"}, {}),
    "a summary of what is thought": ({"reasoning": {"summary": "auto", "context": "all_turns", "mode": "x"}}, {}, {}),
    "an effort that nobody knows": ({"reasoning": {"effort": "heroic"}}, {}, {}),
    "probabilities": ({"top_logprobs": 3}, {"logprobs": True, "top_logprobs": 3}, {}),
    "who asks": ({"user": "u1"}, {"user": "u1"}, {"metadata": {"user_id": "u1"}}),
    "what only tunes, labels or costs more": (
        {"store": True, "service_tier": "priority", "metadata": {"a": "b"}, "truncation": "auto", "include": ["x"],
         "context_management": [{"type": "compaction"}], "max_tool_calls": 3, "prompt_cache_retention": "24h",
         "prompt_cache_options": {"ttl": "1h"}, "client_metadata": {"a": "b"}, "personality": "dry", "image": {},
         "access_programs": [], "background": False, "background_options": {}, "previous_response_id": None,
         "conversation": None, "prompt": None, "moderation": None, "generate": True, "unheard_of": [1]}, {}, {}),
}  # fmt: skip
EFFORTS = {"none": "", "minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh",
           "max": "max"}  # fmt: skip
FIELDS |= {
    f"effort {effort}": (
        {"reasoning": {"effort": effort}}, {"reasoning_effort": effort},
        {"thinking": {"type": "adaptive"}, "output_config": {"effort": theirs}} if theirs
        else {"thinking": {"type": "disabled"}})
    for effort, theirs in EFFORTS.items()
}  # fmt: skip
GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": "start: WORD"}
TOLD = "Put the whole text into `input`."
LONG = "n" * 70
TOOLS: dict[str, Row] = {
    "a function": ({"tools": [LOOK]}, {"tools": [LOOKS]}, {"tools": [LOOKED]}),
    "a strict one": ({"tools": [{**LOOK, "strict": True}]}, {"tools": [function("look", "Looks", SCHEMA, strict=True)]},
                     {"tools": [LOOKED]}),
    "one that is not strict": ({"tools": [{**SEE, "strict": False}]}, {"tools": [function("see", strict=False)]},
                               {"tools": [tool("see")]}),
    "nothing said of it": ({"tools": [{**SEE, "parameters": None, "strict": None, "description": None}]},
                           {"tools": [function("see")]}, {"tools": [tool("see")]}),
    "what others do not know of it": (
        {"tools": [{**LOOK, "defer_loading": True, "allowed_callers": ["direct"], "output_schema": {}, "async": True}]},
        {"tools": [LOOKS]}, {"tools": [LOOKED]}),
    "one of free text": ({"tools": [{"type": "custom", "name": "patch", "description": "Patches."}]},
                         {"tools": [function("patch", f"Patches.\n\n{TOLD}", FREE)]},
                         {"tools": [tool("patch", f"Patches.\n\n{TOLD}", FREE)]}),
    "a namespace": (
        {"tools": [{"type": "namespace", "name": "mcp", "description": "d", "tools": [LOOK, SEE]},
                   {"type": "namespace", "name": "functions", "tools": [{**SEE, "name": "wait"}]}]},
        {"tools": [function("mcp__look", "Looks", SCHEMA), function("mcp__see"), function("wait")]},
        {"tools": [tool("mcp__look", "Looks", SCHEMA), tool("mcp__see"), tool("wait")]}),
    "a name in other letters": ({"tools": [{**SEE, "name": "a.b"}]}, {"tools": [function("a_b")]},
                                {"tools": [tool("a_b")]}),
    "what providers run": (
        {"tools": [{"type": kind} for kind in (
            "web_search", "web_search_preview", "web_search_2025_08_26", "image_generation", "tool_search",
            "programmatic_tool_calling")], "tool_choice": "auto", "parallel_tool_calls": False}, {}, {}),
    "a search that the caller runs": ({"tools": [LOOK, {"type": "tool_search", "execution": "client"}]},
                                      {"tools": [LOOKS]}, {"tools": [LOOKED]}),
    "tools among the items": (
        asks({"type": "additional_tools", "role": "developer", "tools": [LOOK]}, HI,
             {"type": "tool_search_output", "call_id": "s1", "tools": [{"type": "namespace", "name": "n",
                                                                        "tools": [SEE]}]}),
        {"tools": [LOOKS, function("n__see")]}, {"tools": [LOOKED, tool("n__see")]}),
    "a later word on a tool": (
        asks({"type": "additional_tools", "tools": [{**SEE, "description": "new"}]}, HI, tools=[SEE, LOOK]),
        {"tools": [function("see", "new"), LOOKS]}, {"tools": [tool("see", "new"), LOOKED]}),
    "auto": ({"tools": [LOOK], "tool_choice": "auto"}, {"tools": [LOOKS], "tool_choice": "auto"},
             {"tools": [LOOKED], "tool_choice": {"type": "auto"}}),
    "none": ({"tools": [LOOK], "tool_choice": "none"}, {"tools": [LOOKS], "tool_choice": "none"},
             {"tools": [LOOKED], "tool_choice": {"type": "none"}}),
    "required": ({"tools": [LOOK], "tool_choice": "required"}, {"tools": [LOOKS], "tool_choice": "required"},
                 {"tools": [LOOKED], "tool_choice": {"type": "any"}}),
    "this one": ({"tools": [LOOK], "tool_choice": {"type": "function", "name": "look"}},
                 {"tools": [LOOKS], "tool_choice": {"type": "function", "function": {"name": "look"}}},
                 {"tools": [LOOKED], "tool_choice": {"type": "tool", "name": "look"}}),
    "this one of free text": (
        {"tools": [{"type": "custom", "name": "p"}], "tool_choice": {"type": "custom", "name": "p"}},
        {"tools": [function("p", TOLD, FREE)], "tool_choice": {"type": "function", "function": {"name": "p"}}},
        {"tools": [tool("p", TOLD, FREE)], "tool_choice": {"type": "tool", "name": "p"}}),
    "this one of a namespace": (
        {"tools": [{"type": "namespace", "name": "n", "tools": [SEE]}],
         "tool_choice": {"type": "function", "name": "see", "namespace": "n"}},
        {"tools": [function("n__see")], "tool_choice": {"type": "function", "function": {"name": "n__see"}}},
        {"tools": [tool("n__see")], "tool_choice": {"type": "tool", "name": "n__see"}}),
    "these alone": (
        {"tools": [LOOK, SEE], "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [
            {"type": "function", "name": "see"}]}},
        {"tools": [function("see")], "tool_choice": "auto"},
        {"tools": [tool("see")], "tool_choice": {"type": "auto"}}),
    "one of these": (
        {"tools": [LOOK, SEE], "tool_choice": {"type": "allowed_tools", "mode": "required", "tools": [
            {"type": "function", "name": "look"}, {"type": "web_search"}]}},
        {"tools": [LOOKS], "tool_choice": "required"}, {"tools": [LOOKED], "tool_choice": {"type": "any"}}),
    "one call at a time": (
        {"tools": [LOOK], "parallel_tool_calls": False}, {"tools": [LOOKS], "parallel_tool_calls": False},
        {"tools": [LOOKED], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}),
    "one call, demanded": (
        {"tools": [LOOK], "parallel_tool_calls": False, "tool_choice": "required"},
        {"tools": [LOOKS], "parallel_tool_calls": False, "tool_choice": "required"},
        {"tools": [LOOKED], "tool_choice": {"type": "any", "disable_parallel_tool_use": True}}),
    "as many as it likes": ({"tools": [LOOK], "parallel_tool_calls": True}, {"tools": [LOOKS]}, {"tools": [LOOKED]}),
    "no tools to choose from": ({"tool_choice": "auto", "parallel_tool_calls": False, "tools": []}, {}, {}),
    "a demand for thinking and for a call": (
        {"tools": [LOOK], "tool_choice": "required", "reasoning": {"effort": "low"}},
        {"tools": [LOOKS], "tool_choice": "required", "reasoning_effort": "low"},
        {"tools": [LOOKED], "tool_choice": {"type": "any"}, "output_config": {"effort": "low"}}),
    **{f"{kind} is refused": ({"tools": [LOOK, {"type": kind, "name": "x"}]}, "tools.1.type", "tools.1.type")
       for kind in ("file_search", "mcp", "code_interpreter", "computer_use_preview", "computer", "shell",
                    "local_shell", "apply_patch", "hologram")},
    **{f"a choice of {str(choice)[:60]} is refused": ({"tools": [LOOK], "tool_choice": choice}, "tool_choice",
                                                      "tool_choice")
       for choice in ("always", {"type": "function", "name": "see"}, {"type": "web_search"}, {"type": "mcp"},
                      {"type": "shell"}, {"type": "apply_patch"},
                      {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "see"}]})},
    "a demand for no tool": ({"tool_choice": "required"}, "tool_choice", "tool_choice"),
}  # fmt: skip
ROUND = (call("c1", '{"a":"x"}'), call("c2"))
CALLED = calls(("c1", "look", '{"a":"x"}'), ("c2", "look", "{}"))
USED = blocks("assistant", use("c1", {"a": "x"}), use("c2"))
ITEMS: dict[str, Row] = {
    "what leads is one system": (
        asks(says("developer", "b"), says("system", [{"type": "input_text", "text": "c"}]), HI, instructions="a"),
        turns(says("system", "a\n\nb\n\nc"), HI), {"system": [text("a"), text("b"), text("c")]}),
    "a word of the system in the midst": (
        asks(HI, says("developer", "now"), HI),
        turns(HI, says("system", "now"), HI),
        turns(blocks("user", text("Hi"), text("<system>\nnow\n</system>"), text("Hi")))),
    "turns": (
        asks(HI, model("Hello"), model([{"type": "output_text", "text": "you", "annotations": []}], phase="commentary"),
             HI),
        turns(HI, says("assistant", "Hello\n\nyou"), HI),
        turns(HI, blocks("assistant", text("Hello"), text("you")), HI)),
    "a refusal": (
        asks(HI, model([{"type": "refusal", "refusal": "No."}]), HI),
        turns(HI, says("assistant", "No."), HI), turns(HI, says("assistant", "No."), HI)),
    "what it has not been told of": (
        asks({**HI, "id": "msg_1", "status": "completed", "internal_chat_message_metadata_passthrough": {}}), {}, {}),
    "several parts": (
        shows({"type": "input_text", "text": "a"}, {"type": "text", "text": ""}, {"type": "output_text", "text": "b"}),
        turns(says("user", "a\n\nb")), turns(blocks("user", text("a"), text("b")))),
    "a round of calls": (
        asks(HI, *ROUND, output("c1", "one"), output("c2", "two")),
        turns(HI, CALLED, result("c1", "one"), result("c2", "two")),
        turns(HI, USED, blocks("user", used("c1", "one"), used("c2", "two")))),
    "one at a time, outputs between": (
        asks(HI, ROUND[0], output("c1", "one"), ROUND[1], output("c2", "two")),
        turns(HI, calls(("c1", "look", '{"a":"x"}')), result("c1", "one"), calls(("c2", "look", "{}")),
              result("c2", "two")),
        turns(HI, blocks("assistant", use("c1", {"a": "x"})), blocks("user", used("c1", "one")),
              blocks("assistant", use("c2")), blocks("user", used("c2", "two")))),
    "outputs in reverse, with a question before them": (
        asks(HI, *ROUND, HI, output("c2", "two"), output("c1", "one")),
        turns(HI, CALLED, result("c1", "one"), result("c2", "two"), HI),
        turns(HI, USED, blocks("user", used("c1", "one"), used("c2", "two"), text("Hi")))),
    "words before and behind a call": (
        asks(HI, model("I look."), ROUND[0], model("So."), output("c1")),
        turns(HI, calls(("c1", "look", '{"a":"x"}'), said="I look.\n\nSo."), result("c1")),
        turns(HI, blocks("assistant", text("I look."), use("c1", {"a": "x"}), text("So.")),
              blocks("user", used("c1")))),
    "arguments that are nothing, or no object": (
        asks(call("c1", ""), call("c2", "{oops"), output("c1"), output("c2")),
        turns(calls(("c1", "look", "{}"), ("c2", "look", '{"_raw":"{oops"}')), result("c1"), result("c2")),
        turns(blocks("assistant", use("c1"), use("c2", {"_raw": "{oops"})), blocks("user", used("c1"), used("c2")))),
    "a call of free text": (
        asks({"type": "custom_tool_call", "call_id": "c1", "name": "patch", "input": "***\n"},
             {"type": "custom_tool_call_output", "call_id": "c1", "output": "done"}),
        turns(calls(("c1", "patch", '{"input":"***\\n"}')), result("c1", "done")),
        turns(blocks("assistant", use("c1", {"input": "***\n"}, "patch")), blocks("user", used("c1", "done")),
              tools=[tool("patch", schema=FREE)], tool_choice={"type": "none"})),
    "a call of a namespace": (
        asks(call("c1", "{}", "see", namespace="n"), output("c1")),
        turns(calls(("c1", "n__see", "{}")), result("c1")),
        turns(blocks("assistant", use("c1", name="n__see")), blocks("user", used("c1")))),
    "ids in other letters": (
        asks(call("a.1"), call("a:1"), output("a.1", "one"), output("a:1", "two")),
        turns(calls(("a.1", "look", "{}"), ("a:1", "look", "{}")), result("a.1", "one"), result("a:1", "two")),
        turns(blocks("assistant", use("a_1"), use("a_1_2")), blocks("user", used("a_1", "one"), used("a_1_2", "two")))),
    "an output of nothing": (
        asks(call("c1"), output("c1", "")),
        turns(calls(("c1", "look", "{}")), result("c1", "")),
        turns(blocks("assistant", use("c1")), blocks("user", {"type": "tool_result", "tool_use_id": "c1"}))),
    "an output in parts": (
        asks(call("c1"), call("c2"), output("c1", [{"type": "input_text", "text": "see"},
                                                   {"type": "input_image", "image_url": PNG}]), output("c2")),
        turns(calls(("c1", "look", "{}"), ("c2", "look", "{}")), result("c1", "see"), result("c2"),
              blocks("user", text("What tool call c1 returned:"), picture(PNG))),
        turns(blocks("assistant", use("c1"), use("c2")), blocks("user", used("c1", [text("see"), PICTURED]),
                                                                used("c2")))),
    "an output that nobody called for": (
        asks(HI, {"type": "function_call_output", "name": "memory", "output": "x"}),
        turns(HI, says("user", "Output of tool memory:\n\nx")),
        turns(blocks("user", text("Hi"), text("Output of tool memory:"), text("x")))),
    "a change on the way": (
        asks(HI, {"type": "configuration_update", "reasoning": {"effort": "low"}, "text": {
            "format": {"type": "json_object"}}},
             {"type": "configuration_update", "reasoning": {"effort": "high"}, "text": {"format": {"type": "text"}}},
             reasoning={"effort": "medium"}),
        {"reasoning_effort": "high"}, {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}),
    "what providers did": (
        asks(HI, *({"type": kind, "id": "x"} for kind in (
            "web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call", "computer_call",
            "computer_call_output", "mcp_call", "mcp_list_tools", "mcp_approval_request", "mcp_approval_response",
            "program", "program_output", "tool_search_call", "tool_search_output")), model("So."), HI),
        turns(HI, says("assistant", "So."), HI), turns(HI, says("assistant", "So."), HI)),
    **{f"{kind} is refused": (asks(HI, {"type": kind, "id": "x"}), "input.1.type", "input.1.type") for kind in (
        "local_shell_call", "local_shell_call_output", "shell_call", "shell_call_output", "apply_patch_call",
        "apply_patch_call_output", "compaction", "compaction_trigger", "hologram")},
    "an assistant's picture": (
        asks(HI, {"role": "assistant", "content": [{"type": "input_image", "image_url": "https://x.test/a.png"}]}, HI),
        "input.1.content", "input.1.content"),
    "a reference": (asks(HI, {"type": "item_reference", "id": "m"}), "input.1.id", "input.1.id"),
    "a reference that does not say so": (asks({"id": "m"}), "input.0.id", "input.0.id"),
    "no item": (asks("Hi"), "input.0", "input.0"),
    "another role": (asks(says("tool", "x")), "input.0.role", "input.0.role"),
    "a call that nobody answers": (asks(HI, call("c1")), "input", "input"),
    "an answer to no call": (asks(HI, output("c1")), "input", "input"),
}  # fmt: skip
PDF = "data:application/pdf;base64,JVBERg=="
PARTS: dict[str, Row] = {
    "a picture": (shows({"type": "input_image", "image_url": PNG, "detail": "auto"}),
                  turns(blocks("user", picture(PNG))), turns(blocks("user", PICTURED))),
    "a picture to look at closely": (
        shows({"type": "input_image", "image_url": PNG, "detail": "original"}),
        turns(blocks("user", picture(PNG, detail="high"))), turns(blocks("user", PICTURED))),
    "a picture elsewhere": (
        shows({"type": "input_image", "image_url": "https://x.test/a.png", "detail": "low"}),
        turns(blocks("user", picture("https://x.test/a.png", detail="low"))),
        turns(blocks("user", {"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}}))),
    "a picture that Anthropic's do not take": (
        shows({"type": "input_image", "image_url": "data:image/tiff;base64,iVBO"}),
        turns(blocks("user", picture("data:image/tiff;base64,iVBO"))), "input.0.content.0.image_url"),
    "a PDF": (
        shows({"type": "input_file", "file_data": PDF, "filename": "a.pdf"}),
        turns(blocks("user", {"type": "file", "file": {"filename": "a.pdf", "file_data": PDF}})),
        turns(blocks("user", {"type": "document", "title": "a.pdf", "source": data("application/pdf", "JVBERg==")}))),
    "a file of text": (
        shows({"type": "input_file", "file_data": "data:text/plain;base64,R3LDtsOfZQ==", "filename": "a.txt"}),
        turns(blocks("user", {"type": "file", "file": {
            "filename": "a.txt", "file_data": "data:text/plain;base64,R3LDtsOfZQ=="}})),
        turns(blocks("user", {"type": "document", "title": "a.txt", "source": data("text/plain", "Größe", "text")}))),
    "a file that Anthropic's do not take": (
        shows({"type": "input_file", "file_data": "data:application/zip;base64,UEsDBA==", "filename": "a.zip"}),
        turns(blocks("user", {"type": "file", "file": {
            "filename": "a.zip", "file_data": "data:application/zip;base64,UEsDBA=="}})),
        "input.0.content.0.file_data"),
    "a file elsewhere": (
        shows({"type": "input_file", "file_url": "https://x.test/a.pdf"}), "input.0.content.0.file_url",
        turns(blocks("user", {"type": "document", "source": {"type": "url", "url": "https://x.test/a.pdf"}}))),
    "sound": (
        shows({"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}}),
        turns(blocks("user", {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}})),
        "input.0.content.0"),
    "a kept picture": (shows({"type": "input_image", "file_id": "f"}), "input.0.content.0.file_id",
                       "input.0.content.0.file_id"),
    "no picture": (shows({"type": "input_image"}), "input.0.content.0.image_url", "input.0.content.0.image_url"),
    "a kept file": (shows({"type": "input_file", "file_id": "f"}), "input.0.content.0.file_id",
                    "input.0.content.0.file_id"),
    "a part of no kind": (shows({"type": "hologram"}), "input.0.content.0.type", "input.0.content.0.type"),
}  # fmt: skip
HIGH = {"reasoning": {"effort": "high"}}
THINKS = {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}
SIGNED = {"type": "thinking", "thinking": "hm", "signature": "S"}
REASONED: dict[str, Row] = {
    "what a chat model thought": (
        asks(HI, thought(Thinking("hm")), model("So."), HI),
        turns(HI, says("assistant", "So.", reasoning_content="hm"), HI), turns(HI, says("assistant", "So."), HI)),
    "what it thought before a call": (
        asks(HI, thought(Thinking("hm")), ROUND[1], output("c2"), **HIGH),
        turns(HI, calls(("c2", "look", "{}"), reasoning_content="hm"), result("c2"), reasoning_effort="high"),
        turns(HI, blocks("assistant", use("c2")), blocks("user", used("c2")), output_config={"effort": "high"})),
    "what Claude thought": (
        asks(HI, thought(Thinking("hm", "S"), Thinking(sealed="X")), ROUND[1], output("c2"), **HIGH),
        turns(HI, calls(("c2", "look", "{}"), reasoning_content="hm"), result("c2"), reasoning_effort="high"),
        turns(HI, blocks("assistant", SIGNED, {"type": "redacted_thinking", "data": "X"}, use("c2")),
              blocks("user", used("c2")), **THINKS)),
    "what Claude thought and nobody may read": (
        asks(HI, thought(Thinking(sealed="X")), model("So."), HI),
        turns(HI, says("assistant", "So."), HI),
        turns(HI, blocks("assistant", {"type": "redacted_thinking", "data": "X"}, text("So.")), HI)),
    "thinking leads its turn": (
        asks(HI, model("So."), thought(Thinking("hm", "S")), ROUND[1], output("c2"), **HIGH),
        turns(HI, calls(("c2", "look", "{}"), said="So.", reasoning_content="hm"), result("c2"),
              reasoning_effort="high"),
        turns(HI, blocks("assistant", SIGNED, text("So."), use("c2")), blocks("user", used("c2")), **THINKS)),
    **{f"an envelope {how} is left out": (
        asks(HI, {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}],
                  "encrypted_content": sealed}, model("So."), HI),
        turns(HI, says("assistant", "So."), HI), turns(HI, says("assistant", "So."), HI))
       for how, sealed in {"of an organisation": "gAAAAB", "that is broken": "ft1.!!", "that is none": None}.items()},
    "calls without a thought and a new question": (
        asks(HI, ROUND[1], output("c2"), model("So."), HI, **HIGH),
        turns(HI, calls(("c2", "look", "{}")), result("c2"), says("assistant", "So."), HI, reasoning_effort="high"),
        turns(HI, blocks("assistant", use("c2")), blocks("user", used("c2")), says("assistant", "So."), HI, **THINKS)),
}  # fmt: skip
ROWS = {f"{of}: {name}": row for of, rows in (
    ("fields", FIELDS), ("tools", TOOLS), ("items", ITEMS), ("parts", PARTS), ("reasoning", REASONED),
) for name, row in rows.items()}  # fmt: skip


def check(upstream: str, asked: dict[str, Any], sent: Sent, least: dict[str, Any]) -> None:
    if isinstance(sent, str):
        with pytest.raises(InvalidRequest) as refused:
            crossing.request(RESPONSES, upstream, asked)
        assert (refused.value.param, refused.value.status) == (sent, 400)
    else:
        assert crossing.request(RESPONSES, upstream, asked) == {**least, **sent}


@pytest.mark.parametrize("name", ROWS)
def test_responses_go_up_as_a_chat(name: str) -> None:
    asked, sent, _ = ROWS[name]
    check(CHAT, asked, sent, {"model": "up", "messages": [HI]})


@pytest.mark.parametrize("name", ROWS)
def test_responses_go_up_as_messages(name: str) -> None:
    asked, _, sent = ROWS[name]
    sent = sent if isinstance(sent, str) else crossing.with_called(sent)
    check(MESSAGES, asked, sent, {"model": "up", "messages": [HI], "max_tokens": 8192})


def test_long_names_of_tools_go_up_short() -> None:
    for upstream in (CHAT, MESSAGES):
        (told,) = crossing.request(RESPONSES, upstream, {"tools": [{**SEE, "name": LONG}]})["tools"]
        name = told["function"]["name"] if upstream == CHAT else told["name"]
        assert len(name) == 64 and name.startswith("n" * 55 + "_")


def test_a_grammar_is_said_in_words() -> None:
    asked = {"tools": [{"type": "custom", "name": "patch", "description": "Patches.", "format": GRAMMAR}]}
    (told,) = crossing.request(RESPONSES, MESSAGES, asked)["tools"]
    assert told["description"].startswith("Patches.") and "start: WORD" in told["description"]
    assert "lark" in told["description"] and TOLD in told["description"]


def test_a_conversation_is_summed_up_without_tools() -> None:
    """Codex's compaction: all that was called stands in it, no tool is offered, and how to choose is said all the same.
    Anthropic's API refuses calls without their tools."""
    asked = {**asks(HI, *ROUND, output("c1"), output("c2"), HI), "tools": [], "tool_choice": "auto",
             "parallel_tool_calls": False}  # fmt: skip
    sent = crossing.request(RESPONSES, MESSAGES, asked)
    assert (sent["tools"], sent["tool_choice"]) == ([tool("look")], {"type": "none"})
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & crossing.request(RESPONSES, CHAT, asked).keys()
    alone = {"type": "allowed_tools", "mode": "auto", "tools": []}
    sent = crossing.request(RESPONSES, MESSAGES, {**asked, "tools": [LOOK], "tool_choice": alone})
    assert (sent["tools"], sent["tool_choice"]) == ([LOOKED], {"type": "none"})
