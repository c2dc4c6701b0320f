"""What a conversation is known by, in every dialect, and that its later turns are known by the same."""

import json
from typing import Any

import pytest

from ftgate.dialects import ALL, conversation

USER, MORE = {"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}
SYSTEM = {"role": "system", "content": "Be brief"}
NAMED = [
    ("openai_chat", {"messages": [USER], "prompt_cache_key": "k", "user": "u"}, b'"k"'),
    ("openai_chat", {"messages": [USER], "user": "u"}, b'"u"'),
    ("openai_chat", {"messages": [USER], "user": None}, b""),
    ("openai_chat", {"messages": [USER], "user": ""}, b""),
    ("openai_chat", {"messages": [USER], "metadata": {"a": "b"}}, b""),
    ("openai_chat", {"messages": [USER]}, b""),
    ("anthropic_messages", {"messages": [USER], "max_tokens": 9, "metadata": {"user_id": "s1"}}, b"s1"),
    ("anthropic_messages", {"messages": [USER], "max_tokens": 9, "metadata": {"user_id": None}}, b""),
    ("openai_responses", {"input": "Hello", "prompt_cache_key": "k"}, b'"k"'),
    ("openai_responses", {"input": "Hello", "safety_identifier": "s"}, b'"s"'),
]


def fields(dialect: str, body: dict[str, Any]) -> Any:
    return ALL[dialect].read_request(json.dumps({"model": "m", **body}).encode()).fields


@pytest.mark.parametrize(("dialect", "body", "name"), NAMED)
def test_names(dialect: str, body: dict[str, Any], name: bytes) -> None:
    assert conversation.name_of(fields(dialect, body)) == name


TURNS = [
    # a dialect, the first request, a later one, one of another conversation
    ("openai_chat", {"messages": [SYSTEM, USER]}, {"messages": [SYSTEM, USER, MORE, USER]}, {"messages": [USER]}),
    ("openai_chat", {"messages": [USER]}, {"messages": [USER, MORE, USER], "temperature": 1}, {"messages": [MORE]}),
    (
        "anthropic_messages", {"max_tokens": 1, "system": "Be brief", "messages": [USER]},
        {"max_tokens": 2, "system": "Be brief", "messages": [USER, MORE, USER]},
        {"max_tokens": 1, "system": "Be long", "messages": [USER]},
    ),
    (
        "openai_responses", {"instructions": "Be brief", "input": [USER]},
        {"instructions": "Be brief", "input": [USER, MORE, USER]}, {"input": [USER]},
    ),
    ("openai_responses", {"input": "Hello"}, {"input": "Hello", "stream": True}, {"input": "Hallo"}),
    ("openai_completions", {"prompt": "Hello"}, {"prompt": "Hello", "n": 1}, {"prompt": ["Hello", "there"]}),
]  # fmt: skip


@pytest.mark.parametrize(("dialect", "first", "later", "other"), TURNS)
def test_beginnings(dialect: str, first: dict[str, Any], later: dict[str, Any], other: dict[str, Any]) -> None:
    begun, on, else_ = (conversation.beginning_of(fields(dialect, body)) for body in (first, later, other))
    assert begun == on != else_ and begun
