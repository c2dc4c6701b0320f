"""Responses requests in neutral words: items, parts, tools and their names, and what no other dialect can say."""

import json
from typing import Any

import pytest

from ftgate.dialects import openai_chat, openai_responses
from ftgate.dialects.neutral import (
    Audio,
    Choice,
    Document,
    Effort,
    Format,
    Image,
    Refusal,
    Talk,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
    Turn,
)  # fmt: skip
from ftgate.dialects.openai_responses.envelope import enclosed, opened
from ftgate.errors import InvalidRequest

F = {"type": "function", "name": "f"}


def talk(*items: Any, **fields: Any) -> Talk:
    body = {"model": "m", "input": list(items) or "Hi", **fields}
    return openai_responses.talk_of(openai_responses.read_request(json.dumps(body).encode()))


def call(id: str, name: str = "f", arguments: str = "{}", **more: Any) -> dict[str, Any]:
    return {"type": "function_call", "id": f"fc_{id}", "call_id": id, "name": name, "arguments": arguments,
            "status": "completed", **more}  # fmt: skip


def output(id: str | None, said: Any = "1", kind: str = "function_call_output", **more: Any) -> dict[str, Any]:
    return {"type": kind, "output": said, **({"call_id": id} if id else {}), **more}


def said(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": content, **more}


def shape(turns: tuple[Turn, ...]) -> list[tuple[str, list[Any]]]:
    return [(turn.role, list(turn.parts)) for turn in turns]


def use(id: str, name: str = "f", arguments: str = "{}") -> ToolUse:
    return ToolUse(id, name, arguments)


def results(*ids: str) -> tuple[str, list[str]]:
    return "results", list(ids)


HI = said("user", "Hi")
TURNS: dict[str, tuple[list[Any], list[tuple[str, list[Any]]]]] = {
    "a text": ([], [("user", [Text("Hi")])]),
    "a user": ([HI], [("user", [Text("Hi")])]),
    "no type": ([{"role": "user", "content": "Hi", "id": "msg_1", "status": "completed", "internal_chat": 1}],
                [("user", [Text("Hi")])]),
    "parts": ([said("user", [{"type": "input_text", "text": "a"}, {"type": "text", "text": "b"}])],
              [("user", [Text("a"), Text("b")])]),
    "the assistant": (
        [said("assistant", [{"type": "output_text", "text": "a", "annotations": []},
                            {"type": "refusal", "refusal": "no"}], phase="final_answer"), said("assistant", "b")],
        [("assistant", [Text("a"), Refusal("no"), Text("b")])]),
    "a system in the midst": ([HI, said("developer", "brief")],
                              [("user", [Text("Hi")]), ("system", [Text("brief")])]),
    "a call and its output": (
        [call("a"), output("a")], [("assistant", [use("a")]), results("a")]),
    "calls in a row": (
        [said("assistant", "I look."), call("a"), call("b"), output("b"), output("a")],
        [("assistant", [Text("I look."), use("a"), use("b")]), results("a", "b")]),
    "outputs in between": (
        [call("a"), output("a"), call("b"), output("b")],
        [("assistant", [use("a")]), results("a"), ("assistant", [use("b")]), results("b")]),
    "a message in between": (
        [call("a"), HI, output("a")], [("assistant", [use("a")]), results("a"), ("user", [Text("Hi")])]),
    "an output before its call": ([output("a"), call("a")], [("assistant", [use("a")]), results("a")]),
    "one id for two calls": (
        [call("a"), output("a"), call("a"), output("a")],
        [("assistant", [use("a")]), results("a"), ("assistant", [use("a")]), results("a")]),
    "no arguments": ([call("a", arguments=""), output("a")], [("assistant", [use("a")]), results("a")]),
    "arguments that are none": (
        [call("a", arguments="{broken"), output("a")],
        [("assistant", [use("a", arguments='{"_raw":"{broken"}')]), results("a")]),
    "arguments that are a list": (
        [call("a", arguments="[1]"), output("a")],
        [("assistant", [use("a", arguments='{"_raw":"[1]"}')]), results("a")]),
    "free text": (
        [{"type": "custom_tool_call", "call_id": "a", "name": "p", "input": 'x"y'},
         output("a", kind="custom_tool_call_output")],
        [("assistant", [use("a", "p", '{"input":"x\\"y"}')]), results("a")]),
    "an output of nobody's call": (
        [output(None, "42", name="clock")], [("user", [Text("Output of tool clock:"), Text("42")])]),
    "thinking": (
        [{"type": "reasoning", "summary": [], "encrypted_content": enclosed([Thinking("hm")])}, said("assistant", "a")],
        [("assistant", [Thinking("hm"), Text("a")])]),
    "thinking leads": (
        [said("assistant", "a"), {"type": "reasoning", "encrypted_content": enclosed([Thinking("hm", "s")])}],
        [("assistant", [Thinking("hm", "s"), Text("a")])]),
    "another's thinking": (
        [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "gAAAA"},
         {"type": "reasoning", "summary": [], "content": None}, said("assistant", "a")],
        [("assistant", [Text("a")])]),
    "what providers did": (
        [HI, {"type": "web_search_call", "id": "ws_1", "status": "completed"}, {"type": "mcp_list_tools"},
         {"type": "computer_call_output"}, {"type": "program"}, said("assistant", "a")],
        [("user", [Text("Hi")]), ("assistant", [Text("a")])]),
}  # fmt: skip


@pytest.mark.parametrize("name", TURNS)
def test_items_are_turns(name: str) -> None:
    items, turns = TURNS[name]
    told = [
        results(*[part.id for part in parts]) if isinstance(parts[0], ToolResult) else (role, parts)
        for role, parts in shape(talk(*items).turns)
    ]
    assert told == turns


def test_what_leads_is_the_system() -> None:
    read = talk({"type": "additional_tools", "role": "developer", "tools": [F]}, said("developer", "b"),
                said("system", [{"type": "input_text", "text": "c"}]), HI, instructions="a")  # fmt: skip
    assert read.system == (Text("a"), Text("b"), Text("c"))
    assert openai_chat.render_talk(read)["messages"][0] == {"role": "system", "content": "a\n\nb\n\nc"}  # type: ignore[index]


PARTS: dict[str, tuple[dict[str, Any], Any]] = {
    "a picture": ({"type": "input_image", "image_url": "data:image/png;base64,iVBO", "detail": "auto"},
                  Image(data="iVBO", media="image/png", path="input.0.content.0.image_url")),
    "a picture elsewhere": ({"type": "input_image", "image_url": "https://x.test/a.png", "detail": "original"},
                            Image(url="https://x.test/a.png", detail="high", path="input.0.content.0.image_url")),
    "a file": ({"type": "input_file", "file_data": "data:application/pdf;base64,JVBE", "filename": "a.pdf"},
               Document(data="JVBE", media="application/pdf", name="a.pdf", path="input.0.content.0.file_data")),
    "a file's bytes": ({"type": "input_file", "file_data": "JVBE"},
                       Document(data="JVBE", media="application/pdf", path="input.0.content.0.file_data")),
    "a file elsewhere": ({"type": "input_file", "file_url": "https://x.test/a.pdf"},
                         Document(url="https://x.test/a.pdf", path="input.0.content.0.file_url")),
    "sound": ({"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
              Audio("UklG", "wav", "input.0.content.0")),
}  # fmt: skip


@pytest.mark.parametrize("name", PARTS)
def test_parts(name: str) -> None:
    part, read = PARTS[name]
    assert talk(said("user", [part])).turns[0].parts == (read,)


def test_an_output_may_hold_pictures() -> None:
    parts = [{"type": "input_text", "text": "see"}, {"type": "input_image", "image_url": "https://x.test/a.png"}]
    result = talk(call("a"), output("a", parts)).turns[1].parts[0]
    assert isinstance(result, ToolResult)
    assert result.parts == (Text("see"), Image(url="https://x.test/a.png", path="input.1.output.1.image_url"))


def image(**fields: Any) -> dict[str, Any]:
    return {"input": [said("user", [{"type": "input_image", **fields}])]}


CANNOT: dict[str, tuple[dict[str, Any], str]] = {
    "a kept picture": (image(file_id="file_1"), "input.0.content.0.file_id"),
    "no picture": (image(), "input.0.content.0.image_url"),
    "a picture that is none": (image(image_url="data:image/png,raw"), "input.0.content.0.image_url"),
    "a picture at hand": (image(image_url="file:///etc/passwd"), "input.0.content.0.image_url"),
    "a kept file": ({"input": [said("user", [{"type": "input_file", "file_id": "f"}])]}, "input.0.content.0.file_id"),
    "no file": ({"input": [said("user", [{"type": "input_file"}])]}, "input.0.content.0.file_data"),
    "another part": ({"input": [said("user", [{"type": "hologram"}])]}, "input.0.content.0.type"),
    "another item": ({"input": [{"type": "hologram"}]}, "input.0.type"),
    "another role": ({"input": [said("tool", "a")]}, "input.0.role"),
    "a call of OpenAI's": ({"input": [{"type": "local_shell_call"}]}, "input.0.type"),
    "a tool of OpenAI's": ({"tools": [F, {"type": "apply_patch"}]}, "tools.1.type"),
    "a tool without a name": ({"tools": [{"type": "function"}]}, "tools.0.name"),
    "a call without a name": ({"input": [{"type": "function_call", "call_id": "a"}]}, "input.0.name"),
    "a call without an output": ({"input": [call("a")]}, "input"),
    "an output without a call": ({"input": [output("a")]}, "input"),
    "a system's picture": ({"input": [said("system", [{"type": "input_image", "image_url": "https://x.test/a"}])]},
                           "input.0.content"),
    "a format": ({"text": {"format": {"type": "grammar"}}}, "text.format.type"),
    "no schema": ({"text": {"format": {"type": "json_schema", "name": "a"}}}, "text.format.schema"),
    "a choice": ({"tools": [F], "tool_choice": "always"}, "tool_choice"),
    "a choice of another": ({"tools": [F], "tool_choice": {"type": "function", "name": "g"}}, "tool_choice"),
    "a hosted choice": ({"tools": [F], "tool_choice": {"type": "web_search"}}, "tool_choice"),
    "nothing to choose from": ({"tools": [{"type": "web_search"}], "tool_choice": "required"}, "tool_choice"),
    "none allowed": ({"tools": [F], "tool_choice": {"type": "allowed_tools", "mode": "required", "tools": []}},
                     "tool_choice"),
}  # fmt: skip


@pytest.mark.parametrize("name", CANNOT)
def test_what_no_other_dialect_can_say(name: str) -> None:
    fields, param = CANNOT[name]
    with pytest.raises(InvalidRequest) as refused:
        talk(**fields)
    assert (refused.value.param, refused.value.status) == (param, 400)


def test_pairs_are_missed_in_openais_words() -> None:
    with pytest.raises(InvalidRequest, match=r"^No tool output found for function call a\.$"):
        talk(call("a"))
    with pytest.raises(InvalidRequest, match=r"^No tool call found for function call output with call_id a\.$"):
        talk(output("a"))


FIELDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "nothing": ({}, {}),
    "sampling": ({"temperature": 1, "top_p": 0.5, "user": "u", "metadata": {"a": "b"}, "service_tier": "flex"},
                 {"temperature": 1.0, "top_p": 0.5, "user": "u"}),
    "effort": ({"reasoning": {"effort": "xhigh", "summary": "auto", "context": "all_turns"}},
               {"effort": Effort("xhigh")}),
    "an effort that nobody knows": ({"reasoning": {"effort": "heroic"}}, {}),
    "an effort on the way": (
        {"reasoning": {"effort": "low"},
         "input": [{"type": "configuration_update", "reasoning": {"effort": "high"}}, HI]},
        {"effort": Effort("high")}),
    "plain text": ({"text": {"format": {"type": "text"}}}, {}),
    "what not everybody takes": (
        {"text": {"verbosity": "low"}, "prompt_cache_key": "k", "safety_identifier": "s"},
        {"verbosity": "low", "cache_key": "k", "safety": "s"}),
    "any JSON": ({"text": {"format": {"type": "json_object"}}}, {"format": Format()}),
    "plain text on the way": (
        {"text": {"format": {"type": "json_object"}},
         "input": [{"type": "configuration_update", "text": {"format": {"type": "text"}}}, HI]}, {}),
    "a choice without tools": ({"tool_choice": "auto", "parallel_tool_calls": False}, {}),
    "one by one": ({"tools": [F], "parallel_tool_calls": False}, {"parallel": False}),
    "side by side": ({"tools": [F], "parallel_tool_calls": True, "tool_choice": "none"}, {"choice": Choice("none")}),
    "one at least": ({"tools": [F], "tool_choice": "required"}, {"choice": Choice("any")}),
    "this one": ({"tools": [F], "tool_choice": {"type": "function", "name": "f"}}, {"choice": Choice("tool", "f")}),
    "one of a namespace": (
        {"tools": [{"type": "namespace", "name": "n", "tools": [F]}], "tool_choice": {"type": "function", "name": "f"}},
        {"choice": Choice("tool", "n__f")}),
}  # fmt: skip


@pytest.mark.parametrize("name", FIELDS)
def test_fields(name: str) -> None:
    fields, words = FIELDS[name]
    read, plain = talk(**fields), Talk(())
    for field in (
        "choice", "parallel", "temperature", "top_p", "effort", "format", "verbosity", "user", "safety", "cache_key",
        "stop",
    ):  # fmt: skip
        assert getattr(read, field) == words.get(field, getattr(plain, field)), field


def test_a_shape() -> None:
    read = talk(text={"format": {"type": "json_schema", "name": "out", "schema": {"a": 1}, "strict": True}}).format
    assert read is not None and bytes(read.schema or b"") == b'{"a": 1}' and (read.name, read.strict) == ("out", True)


# ---- tools ----


def names(*tools: Any) -> list[tuple[str, str, str, bool]]:
    return [(tool.name, tool.own, tool.space, tool.free) for tool in talk(tools=list(tools)).tools]


def space(name: str, *tools: Any) -> dict[str, Any]:
    return {"type": "namespace", "name": name, "description": "d", "tools": list(tools)}


def test_tools_have_flat_names() -> None:
    custom = {"type": "custom", "name": "p"}
    assert names(F, custom, space("n", F, custom), space("functions", {"type": "function", "name": "g"})) == [
        ("f", "", "", False), ("p", "", "", True), ("n__f", "f", "n", False), ("n__p", "p", "n", True),
        ("g", "", "functions", False),
    ]  # fmt: skip
    assert names({"type": "function", "name": "a.b"})[0][:2] == ("a_b", "a.b")
    assert names({"type": "web_search"}, {"type": "tool_search", "execution": "client"}) == []


def test_long_names_and_names_that_clash_are_told_apart() -> None:
    long = [{"type": "function", "name": "x" * 70 + end} for end in "ab"]
    first, second = (name for name, *_ in names(*long))
    assert len(first) == len(second) == 64 and first != second and first[:55] == "x" * 55 and first[55] == "_"
    clash = [name for name, *_ in names(space("a", {"type": "function", "name": "b__c"}),
                                        space("a__b", {"type": "function", "name": "c"}))]  # fmt: skip
    assert clash[0] == "a__b__c" and clash[1].startswith("a__b__c_") and len(set(clash)) == 2
    assert [name for name, *_ in names(*long)] == [first, second]  # the same each time


def test_a_later_definition_replaces_the_earlier() -> None:
    again = {**F, "description": "again"}
    read = talk({"type": "additional_tools", "tools": [again]}, HI, tools=[F])
    assert [(tool.name, tool.description) for tool in read.tools] == [("f", "again")]


def test_what_is_said_of_a_tool() -> None:
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: WORD"}
    f, g, p = talk(tools=[
        {**F, "parameters": None, "strict": None, "defer_loading": True},
        {"type": "function", "name": "g", "description": "G", "parameters": {"type": "object"}, "strict": False},
        {"type": "custom", "name": "p", "description": "Patches.", "format": grammar},
    ]).tools  # fmt: skip
    assert json.loads(bytes(f.schema)) == {"type": "object", "properties": {}} and f.strict is None
    assert (bytes(g.schema), g.description, g.strict) == (b'{"type": "object"}', "G", False)
    assert json.loads(bytes(p.schema))["required"] == ["input"]
    assert p.description.startswith("Patches.") and "start: WORD" in p.description and "`input`" in p.description


def test_tools_of_the_history_keep_their_names() -> None:
    read = talk(call("a", "go", namespace="n"), output("a"), call("b"), output("b"), tools=[F])
    assert [(tool.name, tool.own, tool.space) for tool in read.known] == [("n__go", "go", "n")]
    assert [part.name for turn in read.turns for part in turn.parts if isinstance(part, ToolUse)] == ["n__go", "f"]


def test_allowed_tools_are_the_only_ones_told() -> None:
    wish = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"},
                                                                  {"type": "web_search"}]}  # fmt: skip
    read = talk(tools=[F, {"type": "function", "name": "g"}, {"type": "web_search"}], tool_choice=wish)
    assert [tool.name for tool in read.tools] == ["f"] and read.choice == Choice("any")
    assert [tool.name for tool in read.known] == ["g"]


# ---- Codex, by what it knows of the model ----

CODEX = {
    "stream": True, "tool_choice": "auto", "parallel_tool_calls": True, "reasoning": {"summary": "auto"},
    "store": False, "include": ["reasoning.encrypted_content"], "prompt_cache_key": "k", "client_metadata": {"a": "b"},
}  # fmt: skip
BEGINNING = [said("developer", [{"type": "input_text", "text": "instructions"}]),
             said("user", [{"type": "input_text", "text": "environment"}]), HI]  # fmt: skip
OWN = [{"type": "function", "name": name} for name in ("exec_command", "write_stdin", "view_image")]
AGENTS = space("multi_agent_v1", {"type": "function", "name": "spawn"})
PATCH = {"type": "custom", "name": "apply_patch", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}}
CODEX_TOOLS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a model it does not know": (
        {"tools": [*OWN, AGENTS, {"type": "web_search"}], "input": BEGINNING},
        ["exec_command", "write_stdin", "view_image", "multi_agent_v1__spawn"]),
    "an older one": (
        {"tools": [*OWN, PATCH, AGENTS, {"type": "tool_search", "execution": "client"}, {"type": "web_search"}],
         "input": BEGINNING, "text": {"verbosity": "low"}},
        ["exec_command", "write_stdin", "view_image", "apply_patch", "multi_agent_v1__spawn"]),
    "a newer one": (
        {"input": [{"type": "additional_tools", "role": "developer", "tools": [
            space("functions", {"type": "custom", "name": "exec"}, {"type": "function", "name": "wait"}),
            space("clock", {"type": "function", "name": "now"})]}, *BEGINNING], "parallel_tool_calls": False},
        ["exec", "wait", "clock__now"]),
}  # fmt: skip


@pytest.mark.parametrize("name", CODEX_TOOLS)
def test_what_codex_asks(name: str) -> None:
    fields, tools = CODEX_TOOLS[name]
    read = talk(**{**CODEX, **fields})
    assert [tool.name for tool in read.tools] == tools
    assert [turn.role for turn in read.turns] == ["user", "user"] and read.system == (Text("instructions"),)
    assert read.cache_key == "k" and read.choice == Choice("auto")


def test_codex_compacts_without_tools() -> None:
    read = talk(**{**CODEX, "input": BEGINNING, "tools": []})
    assert read.choice is None and "tool_choice" not in openai_chat.render_talk(read)


# ---- the envelope ----


@pytest.mark.parametrize("thoughts", [
    (Thinking("hm"),), (Thinking("hm", "sig"),), (Thinking(sealed="data"),), (Thinking("é\u2028", "s"), Thinking("b")),
    (),
])  # fmt: skip
def test_an_envelope_brings_back_what_was_put_in(thoughts: tuple[Thinking, ...]) -> None:
    assert opened(enclosed(thoughts)) == thoughts


@pytest.mark.parametrize("content", ["", "gAAAAAB", "ft1.", "ft1.!!", "ft1.e30", "ft1.WzFd", "ft1.é", "ft1.W3siYSI6"])
def test_what_is_no_envelope_is_left_out(content: str) -> None:
    assert opened(content) == ()


@pytest.mark.parametrize("at", range(60))
def test_a_broken_envelope_is_left_out_or_read(at: int) -> None:
    opened(enclosed([Thinking("hm", "sig")])[:at])  # and raises nothing
