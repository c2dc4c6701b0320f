"""A name that stands twice in a request: readers of JSON take the first or the last, so what is held, capped, priced
and refused here is all that goes up."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from ftgate import dialects
from ftgate.dialects.talk import Aim
from ftgate.errors import InvalidRequest

SAID = '[{"role":"user","content":"Hi"}]'
LEAST = {
    "openai_chat": f'"model":"m","messages":{SAID}',
    "anthropic_messages": f'"model":"m","max_tokens":100,"messages":{SAID}',
    "openai_responses": f'"model":"m","input":{SAID}',
}
CAP = {"openai_chat": "max_tokens", "anthropic_messages": "max_tokens", "openai_responses": "max_output_tokens"}


def twice(data: bytes) -> Iterator[str]:
    """Names that stand twice in an object, at any depth."""

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in found]
        doubled.extend(name for name in set(names) if names.count(name) > 1)
        return dict(found)

    doubled: list[str] = []
    json.loads(data, object_pairs_hook=pairs)
    yield from doubled


def up(name: str, more: str) -> tuple[Any, bytes]:
    dialect = dialects.ALL[name]
    ask = dialect.read_request(f"{{{LEAST[name]},{more}}}".encode())
    return ask, dialect.render(ask, Aim("up", ask.cap, CAP[name], usage=True))


@pytest.mark.parametrize("name", LEAST)
def test_the_last_of_a_field_counts_and_goes_up_alone(name: str) -> None:
    ask, sent = up(
        name, f'"{CAP[name]}":7,"{CAP[name]}":9,"model":"n","stream":true,"stream":false,"unknown":1,"unknown":2'
    )
    assert (ask.cap, ask.names, ask.stream) == (9, ("n",), False)
    assert not list(twice(sent)) and json.loads(sent)[CAP[name]] == 9


TOOL = {
    "openai_chat": '"function":{"name":"a"}',
    "anthropic_messages": '"name":"a","input_schema":{}',
    "openai_responses": '"name":"a","parameters":{}',
}
OWN = {"openai_chat": "function", "anthropic_messages": "custom", "openai_responses": "function"}
DEAR = {
    "openai_chat": "web_search",
    "anthropic_messages": "web_search_20250305",
    "openai_responses": "code_interpreter",
}


@pytest.mark.parametrize("name", LEAST)
def test_a_tool_of_two_types_is_what_was_read(name: str) -> None:
    _, sent = up(name, f'"tools":[{{"type":"{DEAR[name]}","type":"{OWN[name]}",{TOOL[name]},"x":1.50}}]')
    assert not list(twice(sent)) and DEAR[name].encode() not in sent and b'"x":1.50' in sent
    with pytest.raises(InvalidRequest) as refused:
        up(name, f'"tools":[{{"type":"{OWN[name]}","type":"{DEAR[name]}",{TOOL[name]}}}]')
    assert refused.value.param == "tools.0.type"


@pytest.mark.parametrize(("name", "more"), [
    ("openai_chat", '"stream":true,"stream_options":{"include_usage":false,"include_usage":true}'),
    ("anthropic_messages", '"context_management":{"edits":[{"type":"compact_20260112","type":"clear_tool_uses_1"}]}'),
    ("anthropic_messages",
     '"context_management":{"edits":[{"type":"compact_20260112"}],"edits":[{"type":"clear_tool_uses_1"}]}'),
    ("openai_responses", '"prompt_cache_options":{"prewarm":true,"prewarm":false}'),
    ("openai_responses",
     '"tools":[{"type":"shell","environment":{"type":"container_auto","type":"local"}}]'),
    ("openai_responses",
     '"tools":[{"type":"namespace","name":"n","tools":[{"type":"code_interpreter","type":"function","name":"a"}]}]'),
    ("openai_responses", '"input":[{"type":"item_reference","id":"x","type":"message","role":"user","content":"Hi"}]'),
    ("openai_responses",
     '"input":[{"role":"user","content":"Hi"},{"type":"additional_tools",'
     '"tools":[{"type":"code_interpreter","type":"function","name":"a"}]}]'),
])  # fmt: skip
def test_what_decides_stands_once(name: str, more: str) -> None:
    _, sent = up(name, more)
    assert not list(twice(sent)) and not re.search(rb"compact|container|interpreter|item_ref|prewarm\":true", sent)
