"""How much is to be thought, told to a model of another dialect: what is somebody's own word, and what some clients
send to every model there is."""

from typing import Any

import pytest

from ftgate import dialects
from ftgate.dialects.talk import Aim
from tests.dialects import crossing

BUDGET = {"thinking": {"type": "enabled", "budget_tokens": 4096}, "max_tokens": 9000}
SMALL = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 9000}
LIKES = {"thinking": {"type": "adaptive"}}
LEVEL = {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}
BOTH = {**BUDGET, "output_config": {"effort": "high"}}
OFF = {"thinking": {"type": "disabled"}}
ASKED = {"reasoning": {"effort": "high", "summary": "auto"}}
NOT = {"reasoning": {"effort": "none"}}
THINKS, THINKS_NOT, UNKNOWN = True, False, None
# caller, what is asked, whether the model thinks; reasoning_effort as a chat is told it; whether Responses is told any
CASES: list[tuple[str, dict[str, Any], bool | None, str | None, bool]] = [
    ("anthropic_messages", BUDGET, THINKS, "low", True),
    ("anthropic_messages", BUDGET, UNKNOWN, None, False),
    ("anthropic_messages", BUDGET, THINKS_NOT, None, False),
    ("anthropic_messages", SMALL, THINKS, "low", True),
    ("anthropic_messages", LIKES, THINKS, None, True),
    ("anthropic_messages", LIKES, UNKNOWN, None, False),
    ("anthropic_messages", LEVEL, THINKS, "high", True),
    ("anthropic_messages", LEVEL, UNKNOWN, "high", True),
    ("anthropic_messages", LEVEL, THINKS_NOT, None, False),
    ("anthropic_messages", BOTH, UNKNOWN, "high", True),
    ("anthropic_messages", OFF, THINKS, None, False),
    ("anthropic_messages", OFF, UNKNOWN, None, False),
    ("openai_responses", ASKED, THINKS, "high", True),
    ("openai_responses", ASKED, UNKNOWN, "high", True),
    ("openai_responses", ASKED, THINKS_NOT, None, True),
    ("openai_responses", NOT, UNKNOWN, "none", True),
    ("openai_responses", NOT, THINKS_NOT, None, True),
    ("openai_chat", {"reasoning_effort": "high"}, THINKS_NOT, "high", False),
    ("openai_chat", {"reasoning_effort": "high"}, UNKNOWN, "high", True),
    ("openai_chat", {"reasoning": {"max_tokens": 2000}}, UNKNOWN, None, False),
]


@pytest.mark.parametrize(("caller", "asked", "thinks", "effort", "told"), CASES)
def test_what_goes_up(
    caller: str, asked: dict[str, Any], thinks: bool | None, effort: str | None, *, told: bool
) -> None:
    """A caller of the upstream's own dialect says what he likes."""
    sent = crossing.request(caller, "openai_chat", asked, Aim("up", 99, "max_tokens", thinks=thinks))
    assert sent.get("reasoning_effort") == effort
    sent = crossing.request(caller, "openai_responses", asked, Aim("up", 99, "max_output_tokens", thinks=thinks))
    assert bool({"reasoning", "include"} & sent.keys()) == told


def test_a_channel_that_drops_it() -> None:
    for name, field in (("openai_chat", "reasoning_effort"), ("openai_responses", "reasoning")):
        aim = Aim("up", 99, dialects.ALL[name].CAP_FIELDS[0], drop=(field,), thinks=True)
        assert field not in crossing.request("anthropic_messages", name, LEVEL, aim)
