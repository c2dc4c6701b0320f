"""Golden requests of callers of chat and of messages to an upstream that speaks OpenAI's Responses: what must go up.

Sources: OpenAI's API reference (Responses), Anthropic's API reference (Messages).
"""

from typing import Any

import pytest

from ftgate.errors import InvalidRequest
from tests.dialects import crossing

CHAT, MESSAGES, RESPONSES = "openai_chat", "anthropic_messages", "openai_responses"
HI = {"role": "user", "content": "Hi"}
ASKED = {"type": "message", "role": "user", "content": "Hi"}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
LOOK = {"type": "function", "function": {"name": "look", "description": "Looks", "parameters": SCHEMA}}
LOOKS = {"name": "look", "description": "Looks", "input_schema": SCHEMA}
LOOKED = {"type": "function", "name": "look", "description": "Looks", "parameters": SCHEMA, "strict": False}
PNG = "data:image/png;base64,iVBO"
PICTURE = {"type": "input_image", "image_url": PNG, "detail": "auto"}
ELSEWHERE = {"type": "input_image", "image_url": "https://x.test/a.png", "detail": "auto"}
PDF = {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="}
ENCRYPTED = ["reasoning.encrypted_content"]


def user(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


def shown(*parts: Any) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": list(parts)}


def said(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": [
        {"type": "output_text", "text": text, "annotations": []}]}  # fmt: skip


def called(id: str, given: str = "{}") -> dict[str, Any]:
    return {"type": "function_call", "call_id": id, "name": "look", "arguments": given}


def brought(id: str, output: Any) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": id, "output": output}


def thought(sealed: str, text: str = "") -> dict[str, Any]:
    summary = [{"type": "summary_text", "text": text}] if text else []
    return {"type": "reasoning", "summary": summary, "encrypted_content": sealed}


def calls(*ids: str, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, **more, "tool_calls": [
        {"id": id, "type": "function", "function": {"name": "look", "arguments": "{}"}} for id in ids]}  # fmt: skip


def result(id: str, content: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id, "content": content}


def use(id: str) -> dict[str, Any]:
    return {"type": "tool_use", "id": id, "name": "look", "input": {}}


def used(id: str, *content: Any, **more: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": id, **({"content": content[0]} if content else {}), **more}


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **more}


def model(*blocks: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


OF_CHAT: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a text": ({}, {}),
    "a cap": ({"max_completion_tokens": 50}, {"max_output_tokens": 50}),
    "a cap of old": ({"max_tokens": 50}, {"max_output_tokens": 50}),
    "a stream": ({"stream": True, "stream_options": {"include_usage": True}}, {"stream": True}),
    "the system": ({"messages": [{"role": "system", "content": "a"}, {"role": "developer", "content": "b"}, HI]},
                   {"instructions": "a\n\nb"}),
    "the system alone": ({"messages": [{"role": "system", "content": "Say hi."}]},
                         {"input": [{"type": "message", "role": "user", "content": "Say hi."}]}),
    "the system in the midst": (
        {"messages": [HI, {"role": "system", "content": "be brief"}]},
        {"input": [ASKED, {"type": "message", "role": "system", "content": "be brief"}]}),
    "turns": ({"messages": [HI, {"role": "assistant", "content": "Hello"}, HI]},
              {"input": [ASKED, said("Hello"), ASKED]}),
    "a refusal": (
        {"messages": [HI, {"role": "assistant", "content": None, "refusal": "No."}, HI]},
        {"input": [ASKED, {"type": "message", "role": "assistant", "content": [
            {"type": "refusal", "refusal": "No."}]}, ASKED]}),
    "a picture": (
        {"messages": [user(text("What?"), {"type": "image_url", "image_url": {"url": PNG}})]},
        {"input": [shown({"type": "input_text", "text": "What?"}, PICTURE)]}),
    "a picture elsewhere": (
        {"messages": [user({"type": "image_url", "image_url": {"url": "https://x.test/a.png", "detail": "low"}})]},
        {"input": [shown({**ELSEWHERE, "detail": "low"})]}),
    "a PDF": (
        {"messages": [user({"type": "file", "file": {"filename": "a.pdf", "file_data": PDF["file_data"]}})]},
        {"input": [shown(PDF)]}),
    "sound": (
        {"messages": [user({"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}})]},
        {"input": [shown({"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}})]}),
    "tools": ({"tools": [LOOK]}, {"tools": [LOOKED]}),
    "a strict tool": ({"tools": [{**LOOK, "function": {**LOOK["function"], "strict": True}}]},
                      {"tools": [{**LOOKED, "strict": True}]}),
    "a tool without parameters": (
        {"tools": [{"type": "function", "function": {"name": "see"}}]},
        {"tools": [{"type": "function", "name": "see", "parameters": {"type": "object", "properties": {}},
                    "strict": False}]}),
    "auto": ({"tools": [LOOK], "tool_choice": "auto"}, {"tools": [LOOKED], "tool_choice": "auto"}),
    "none": ({"tools": [LOOK], "tool_choice": "none"}, {"tools": [LOOKED], "tool_choice": "none"}),
    "required": ({"tools": [LOOK], "tool_choice": "required"}, {"tools": [LOOKED], "tool_choice": "required"}),
    "one": ({"tools": [LOOK], "tool_choice": {"type": "function", "function": {"name": "look"}}},
            {"tools": [LOOKED], "tool_choice": {"type": "function", "name": "look"}}),
    "auto without tools": ({"tool_choice": "auto"}, {}),
    "one call at a time": ({"tools": [LOOK], "parallel_tool_calls": False},
                           {"tools": [LOOKED], "parallel_tool_calls": False}),
    "a round of calls": (
        {"messages": [HI, calls("c1", "c2", content="I look."), result("c2", "two"), result("c1", "one"), HI]},
        {"input": [ASKED, said("I look."), called("c1"), called("c2"), brought("c2", "two"), brought("c1", "one"),
                   ASKED]}),
    "a result of nothing": ({"messages": [HI, calls("c1"), result("c1", "")]},
                            {"input": [ASKED, called("c1"), brought("c1", "")]}),
    "a picture that a tool took": (
        {"messages": [HI, calls("c1"), result("c1", [text("see"), {"type": "image_url", "image_url": {"url": PNG}}])]},
        {"input": [ASKED, called("c1"), brought("c1", [{"type": "input_text", "text": "see"}, PICTURE])]}),
    "thinking that it has sealed itself": (
        {"messages": [HI, calls("c1", reasoning_details=[
            {"type": "reasoning.text", "text": "hm", "signature": "rs1.gA"},
            {"type": "reasoning.encrypted", "data": "rs1.gB"}]), result("c1", "1")], "reasoning_effort": "high"},
        {"input": [ASKED, thought("gA", "hm"), thought("gB"), called("c1"), brought("c1", "1")],
         "reasoning": {"effort": "high"}, "include": ENCRYPTED}),
    "thinking that nobody sealed": (
        {"messages": [HI, {"role": "assistant", "content": "So.", "reasoning_content": "hm"}, HI]},
        {"input": [ASKED, said("So."), ASKED]}),
    "effort": ({"reasoning_effort": "low"}, {"reasoning": {"effort": "low"}, "include": ENCRYPTED}),
    "no effort": ({"reasoning_effort": "none"}, {"reasoning": {"effort": "none"}}),
    "any JSON": ({"response_format": {"type": "json_object"}}, {"text": {"format": {"type": "json_object"}}}),
    "a shape": (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "out", "strict": True, "schema": SCHEMA}}},
        {"text": {"format": {"type": "json_schema", "name": "out", "strict": True, "schema": SCHEMA}}}),
    "what they are kept by": ({"prompt_cache_key": "k", "safety_identifier": "s"},
                              {"prompt_cache_key": "k", "safety_identifier": "s"}),
    "few words": ({"verbosity": "low"}, {"text": {"verbosity": "low"}}),
    "sampling": ({"temperature": 0.2, "top_p": 0.5}, {"temperature": 0.2, "top_p": 0.5}),
    "who asks": ({"user": "u1"}, {"user": "u1"}),
    "what has no words there": (
        {"seed": 1, "frequency_penalty": 1, "presence_penalty": 1, "top_k": 5, "store": True, "metadata": {"a": "b"},
         "service_tier": "flex"}, {}),
}  # fmt: skip
OF_MESSAGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a text": ({}, {}),
    "a stream": ({"stream": True}, {"stream": True}),
    "the system": ({"system": "Be brief."}, {"instructions": "Be brief."}),
    "the system in blocks": (
        {"system": [text("x-anthropic-billing-header: cc_version=1"), text("a", cache_control={"type": "ephemeral"}),
                    text("b")]},
        {"instructions": "a\n\nb"}),
    "the system in the midst": (
        {"messages": [HI, {"role": "system", "content": "be brief"}]},
        {"input": [ASKED, {"type": "message", "role": "system", "content": "be brief"}]}),
    "turns": ({"messages": [HI, model(text("Hello")), HI]}, {"input": [ASKED, said("Hello"), ASKED]}),
    "blocks of text": (
        {"messages": [user(text("a"), text("b", cache_control={"type": "ephemeral"}))]},
        {"input": [shown({"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"})]}),
    "a picture": (
        {"messages": [user({"type": "image", "source": {"type": "base64", "media_type": "image/png",
                                                        "data": "iVBO"}})]}, {"input": [shown(PICTURE)]}),
    "a picture elsewhere": (
        {"messages": [user({"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}})]},
        {"input": [shown(ELSEWHERE)]}),
    "a PDF": (
        {"messages": [user({"type": "document", "title": "a.pdf", "source": {
            "type": "base64", "media_type": "application/pdf", "data": "JVBERg=="}})]}, {"input": [shown(PDF)]}),
    "a PDF elsewhere": (
        {"messages": [user({"type": "document", "source": {"type": "url", "url": "https://x.test/a.pdf"}})]},
        {"input": [shown({"type": "input_file", "file_url": "https://x.test/a.pdf"})]}),
    "a document of text with its title": (
        {"messages": [user({"type": "document", "title": "a.txt", "context": "Theirs.", "citations": {"enabled": True},
                            "source": {"type": "text", "media_type": "text/plain", "data": "All"}})]},
        {"input": [shown({"type": "input_text", "text": "a.txt\n\nTheirs.\n\nAll"})]}),
    "a document of text": (
        {"messages": [user({"type": "document", "source": {"type": "text", "media_type": "text/plain",
                                                           "data": "All"}})]},
        {"input": [shown({"type": "input_text", "text": "All"})]}),
    "tools": ({"tools": [{**LOOKS, "cache_control": {"type": "ephemeral"}}]}, {"tools": [LOOKED]}),
    "auto": ({"tools": [LOOKS], "tool_choice": {"type": "auto"}}, {"tools": [LOOKED], "tool_choice": "auto"}),
    "any": ({"tools": [LOOKS], "tool_choice": {"type": "any"}}, {"tools": [LOOKED], "tool_choice": "required"}),
    "none": ({"tools": [LOOKS], "tool_choice": {"type": "none"}}, {"tools": [LOOKED], "tool_choice": "none"}),
    "one": ({"tools": [LOOKS], "tool_choice": {"type": "tool", "name": "look"}},
            {"tools": [LOOKED], "tool_choice": {"type": "function", "name": "look"}}),
    "one call at a time": (
        {"tools": [LOOKS], "tool_choice": {"type": "any", "disable_parallel_tool_use": True}},
        {"tools": [LOOKED], "tool_choice": "required", "parallel_tool_calls": False}),
    "auto without tools": ({"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}, {}),
    "sampling as it is by itself": ({"temperature": 1, "top_p": 1.0}, {}),
    "a round of calls": (
        {"messages": [HI, model(text("I look."), use("c1"), use("c2")),
                      user(used("c2", "two"), used("c1", [text("one")]), text("And?"))]},
        {"input": [ASKED, said("I look."), called("c1"), called("c2"), brought("c1", "one"), brought("c2", "two"),
                   {"type": "message", "role": "user", "content": "And?"}]}),
    "a result that failed": (
        {"messages": [HI, model(use("c1")), user(used("c1", "gone", is_error=True))]},
        {"input": [ASKED, called("c1"), brought("c1", "Error: gone")]}),
    "a picture that a tool took": (
        {"messages": [HI, model(use("c1")), user(used("c1", [text("see"), {"type": "image", "source": {
            "type": "base64", "media_type": "image/png", "data": "iVBO"}}]))]},
        {"input": [ASKED, called("c1"), brought("c1", [{"type": "input_text", "text": "see"}, PICTURE])]}),
    "thinking that it has sealed itself": (
        {"messages": [HI, model({"type": "thinking", "thinking": "hm", "signature": "ft1.rs1.gA"},
                                {"type": "redacted_thinking", "data": "ft1.rs1.gB"}, text("So.")), HI]},
        {"input": [ASKED, thought("gA", "hm"), thought("gB"), said("So."), ASKED]}),
    "thinking of others": (
        {"messages": [HI, model({"type": "thinking", "thinking": "hm", "signature": "S"},
                                {"type": "thinking", "thinking": "hm", "signature": "ft1."},
                                {"type": "redacted_thinking", "data": "X"}, text("So.")), HI]},
        {"input": [ASKED, said("So."), ASKED]}),
    "what the provider did by itself": (
        {"messages": [HI, model({"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}},
                                {"type": "web_search_tool_result", "tool_use_id": "s1", "content": []}, text("So.")),
                      HI]},
        {"input": [ASKED, said("So."), ASKED]}),
    "a budget": ({"thinking": {"type": "enabled", "budget_tokens": 4096}, "max_tokens": 9000},
                 {"reasoning": {"effort": "low"}, "include": ENCRYPTED, "max_output_tokens": 9000}),
    "a budget that is to be seen": (
        {"thinking": {"type": "enabled", "budget_tokens": 30_000, "display": "summarized"}, "max_tokens": 64_000},
        {"reasoning": {"effort": "high", "summary": "auto"}, "include": ENCRYPTED, "max_output_tokens": 64_000}),
    "thinking as it likes": ({"thinking": {"type": "adaptive"}}, {"include": ENCRYPTED}),
    "no thinking": ({"thinking": {"type": "disabled"}}, {}),
    "effort": ({"output_config": {"effort": "high"}}, {"reasoning": {"effort": "high"}, "include": ENCRYPTED}),
    "a shape": (
        {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
        {"text": {"format": {"type": "json_schema", "name": "answer", "strict": True, "schema": SCHEMA}}}),
    "sampling": ({"temperature": 0.2, "top_p": 0.5, "top_k": 5}, {"temperature": 0.2, "top_p": 0.5}),
    "who asks": ({"metadata": {"user_id": "u1"}}, {"user": "u1"}),
    "who asks in more letters than OpenAI takes": ({"metadata": {"user_id": 65 * "u"}}, {}),
    "what has no words there": ({"service_tier": "auto", "context_management": {"edits": []}, "betas": ["x"]}, {}),
}  # fmt: skip


@pytest.mark.parametrize("name", OF_CHAT)
def test_chat_goes_up_as_responses(name: str) -> None:
    asked, sent = OF_CHAT[name]
    assert crossing.request(CHAT, RESPONSES, asked) == {"model": "up", "store": False, "input": [ASKED], **sent}


@pytest.mark.parametrize("name", OF_MESSAGES)
def test_messages_go_up_as_responses(name: str) -> None:
    asked, sent = OF_MESSAGES[name]
    least = {"model": "up", "store": False, "input": [ASKED], "max_output_tokens": 99}
    assert crossing.request(MESSAGES, RESPONSES, asked) == {**least, **sent}


UNSAID: dict[str, tuple[str, dict[str, Any], str]] = {
    "stops of chat": (CHAT, {"stop": "END"}, "stop"),
    "several answers": (CHAT, {"n": 2}, "n"),
    "weights of tokens": (CHAT, {"logit_bias": {"5": 1}}, "logit_bias"),
    "a call of no tool": (CHAT, {"tool_choice": "required"}, "tool_choice"),
    "stops of messages": (MESSAGES, {"stop_sequences": ["END"]}, "stop"),
    "a file kept at the provider": (
        MESSAGES, {"messages": [user({"type": "document", "source": {"type": "file", "file_id": "f"}})]},
        "messages.0.content.0.source"),
    "a tool that only Claude knows": (MESSAGES, {"tools": [{"type": "bash_20250124", "name": "bash"}]}, "tools.0.type"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNSAID)
def test_what_responses_cannot_say_is_refused(name: str) -> None:
    caller, asked, param = UNSAID[name]
    with pytest.raises(InvalidRequest) as refused:
        crossing.request(caller, RESPONSES, asked)
    assert refused.value.param == param
