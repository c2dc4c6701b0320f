"""A conversation whose turns are answered by channels of different kinds: what one kind has sealed goes back to that
kind, under its own seal, and to no other, which would refuse it. The caller keeps what he got and sends it again.
"""

from typing import Any

import pytest

from tests.dialects import crossing

CHAT, MESSAGES, RESPONSES = "openai_chat", "anthropic_messages", "openai_responses"
HI = {"role": "user", "content": "Hi"}
USED = {"prompt_tokens": 1, "completion_tokens": 1}
ANSWERS: dict[str, dict[str, Any]] = {
    CHAT: {"id": "a", "model": "m", "usage": USED, "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "So.",
                                                          "reasoning_content": "hm"}}]},
    MESSAGES: {"id": "a", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
               "usage": {"input_tokens": 1, "output_tokens": 1}, "content": [
                   {"type": "thinking", "thinking": "hm", "signature": "S"},
                   {"type": "redacted_thinking", "data": "X"}, {"type": "text", "text": "So."}]},
    RESPONSES: {"id": "a", "object": "response", "model": "m", "status": "completed", "output": [
        {"type": "reasoning", "id": "rs_1", "encrypted_content": "gAAA",
         "summary": [{"type": "summary_text", "text": "hm"}]},
        {"type": "reasoning", "id": "rs_2", "encrypted_content": "gBBB", "summary": []},
        {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [
            {"type": "output_text", "text": "So.", "annotations": []}]}],
        "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}},
}  # fmt: skip
"""One answer of each kind of upstream: it has thought, and some of that only it can read."""


def kept(caller: str, upstream: str) -> dict[str, Any]:
    """What a caller sends of a conversation, once he has been answered: the answer as he got it, and a new question."""
    got = ANSWERS[upstream] if caller == upstream else crossing.answer(caller, upstream, ANSWERS[upstream])
    match caller:
        case "openai_chat":
            return {"messages": [HI, got["choices"][0]["message"], HI]}
        case "anthropic_messages":
            return {"messages": [HI, {"role": "assistant", "content": got["content"]}, HI]}
    return {"input": [HI, *got["output"], HI]}


def thoughts(upstream: str, sent: dict[str, Any]) -> list[Any]:
    """What an upstream is shown of earlier thinking, as it names it."""
    match upstream:
        case "openai_chat":
            return [one["reasoning_content"] for one in sent["messages"] if "reasoning_content" in one]
        case "anthropic_messages":
            blocks = [block for one in sent["messages"] if isinstance(one["content"], list) for block in one["content"]]
            return [block.get("signature") or block.get("data") for block in blocks if "thinking" in block["type"]]
    return [item["encrypted_content"] for item in sent["input"] if item.get("type") == "reasoning"]


OWN = {CHAT: ["hm"], MESSAGES: ["S", "X"], RESPONSES: ["gAAA", "gBBB"]}
"""How each kind is shown what it has thought itself."""


@pytest.mark.parametrize("caller", OWN)
@pytest.mark.parametrize("before", OWN)
@pytest.mark.parametrize("now", OWN)
def test_a_seal_goes_to_its_own_kind_alone(caller: str, before: str, now: str) -> None:
    if caller == before == now == CHAT:
        return  # all of it passes untouched
    sent = crossing.request(caller, now, kept(caller, before))
    shown = thoughts(now, sent)
    if now == before:
        assert shown == OWN[now]
    elif now == CHAT:
        assert shown in ([], ["hm"])  # its text, which needs no seal
    else:
        assert shown == []
    assert "So." in str(sent)
