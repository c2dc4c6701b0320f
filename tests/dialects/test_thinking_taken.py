"""Thinking in the form that a generation of Claude takes, where it is translated; a caller's own words stay."""

from typing import Any

import pytest

from ftgate import config
from ftgate.dialects.talk import Aim
from tests.dialects.crossing import request


def aim(kind: str, cap: int | None = None) -> Aim:
    return Aim("up", cap, "max_tokens", most=64_000, thinks=True, thinking=kind)


EFFORT, BUDGET, NONE = {"reasoning_effort": "high"}, {"reasoning": {"max_tokens": 2000}}, {"reasoning_effort": "none"}
ENABLED, ADAPTIVE = "enabled", {"type": "adaptive"}
TAKEN: list[tuple[str, dict[str, Any], dict[str, Any] | None, dict[str, Any] | None]] = [
    # which form, what a chat caller asks, the thinking and the output_config that go up
    ("", EFFORT, ADAPTIVE, {"effort": "high"}),
    ("", BUDGET, {"type": ENABLED, "budget_tokens": 2000}, None),
    ("adaptive", EFFORT, ADAPTIVE, {"effort": "high"}),
    ("adaptive", BUDGET, ADAPTIVE, {"effort": "low"}),
    ("adaptive", {"reasoning": {"max_tokens": 9000}}, ADAPTIVE, {"effort": "medium"}),
    ("adaptive", {"reasoning": {"max_tokens": 30_000}}, ADAPTIVE, {"effort": "high"}),
    ("adaptive", NONE, None, None),
    ("budget", EFFORT, {"type": ENABLED, "budget_tokens": 16_384}, None),
    ("budget", {"reasoning_effort": "low"}, {"type": ENABLED, "budget_tokens": 2048}, None),
    ("budget", {"reasoning_effort": "xhigh"}, {"type": ENABLED, "budget_tokens": 24_576}, None),
    ("budget", BUDGET, {"type": ENABLED, "budget_tokens": 2000}, None),
    ("budget", NONE, {"type": "disabled"}, None),
    ("budget", {}, None, None),
    ("adaptive", {}, None, None),
]


@pytest.mark.parametrize(("kind", "asked", "thinking", "output"), TAKEN)
def test_translated(
    kind: str, asked: dict[str, Any], thinking: dict[str, Any] | None, output: dict[str, Any] | None
) -> None:
    sent = request("openai_chat", "anthropic_messages", asked, aim(kind))
    assert (sent.get("thinking"), sent.get("output_config")) == (thinking, output)


def test_a_budget_stays_under_the_cap() -> None:
    sent = request("openai_chat", "anthropic_messages", EFFORT | {"max_tokens": 8000}, aim("budget", 8000))
    assert sent["thinking"] == {"type": "enabled", "budget_tokens": 6000} and sent["max_tokens"] == 8000
    assert "thinking" not in request(
        "openai_chat", "anthropic_messages", EFFORT | {"max_tokens": 900}, aim("budget", 900)
    )


def test_an_output_format_stays() -> None:
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    asked = {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}, **EFFORT}
    sent = request("openai_chat", "anthropic_messages", asked, aim("budget"))
    assert set(sent["output_config"]) == {"format"} and sent["thinking"]["type"] == "enabled"


@pytest.mark.parametrize("kind", ["", "budget", "adaptive"])
@pytest.mark.parametrize("said", [ADAPTIVE, {"type": "enabled", "budget_tokens": 1500}, {"type": "disabled"}])
def test_a_caller_of_messages_says_it_himself(kind: str, said: dict[str, Any]) -> None:
    asked = {"thinking": said, "max_tokens": 4000, "output_config": {"effort": "low"}}
    sent = request("anthropic_messages", "anthropic_messages", asked, aim(kind, 4000))
    assert sent["thinking"] == said and sent["output_config"] == {"effort": "low"}


def test_the_catalogue_says_which() -> None:
    models = config.provider("anthropic").models
    assert {name: models[name].thinking for name in ("claude-haiku-4-5", "claude-opus-4-6", "claude-opus-4-7")} == {
        "claude-haiku-4-5": "budget", "claude-opus-4-6": "", "claude-opus-4-7": "adaptive",
    }  # fmt: skip
