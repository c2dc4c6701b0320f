"""Seals of thoughts over turns: whoever carried them, they go back to the kind of upstream that made them, and to no
other."""

import json
from typing import Any

import msgspec
import pytest

from ftgate import dialects
from ftgate.core.usage import Usage
from ftgate.dialects.neutral import Began, Event, Finished, Said, Sealed, Signed, Thought
from ftgate.dialects.openai_chat import seals as chat_seals
from ftgate.dialects.openai_responses.envelope import seal_of
from ftgate.dialects.talk import Aim
from tests.dialects import crossing

SEAL = "c2VhbGVk"
MADE: dict[str, list[Event]] = {
    "anthropic_messages": [Thought("hm"), Signed(SEAL)],
    "openai_responses": [Thought("hm"), Signed(seal_of(SEAL))],
    "anthropic_messages, unread": [Sealed(SEAL)],
    "openai_responses, unread": [Sealed(seal_of(SEAL))],
    "openai_chat": [Sealed(chat_seals.seal_of({"extra_content": {"google": {"thought_signature": SEAL}}}, ""))],
}
"""What an upstream of a kind thinks, in neutral words."""
ONE = Usage(input=1, output=1)
HELLO = [{"role": "user", "content": "Hi"}]


def again(caller: str, answer: Any) -> dict[str, Any]:
    """The next request of a client of this dialect that says again what it was answered."""
    if caller == "anthropic_messages":
        return {"messages": [*HELLO, {"role": "assistant", "content": answer["content"]}, *HELLO]}
    if caller == "openai_responses":
        return {"input": [*HELLO, *answer["output"], *HELLO]}
    return {"messages": [*HELLO, answer["choices"][0]["message"], *HELLO]}


def asked(caller: str, upstream: str, body: dict[str, Any]) -> str:
    """What goes up, as text: untouched where both speak one dialect."""
    if caller != upstream:
        return json.dumps(crossing.request(caller, upstream, body))
    dialect = dialects.ALL[caller]
    least = {"anthropic_messages": {"max_tokens": 99}}.get(caller, {})
    ask = dialect.read_request(msgspec.json.encode({"model": "m", **least, **body}))
    return dialect.render(ask, Aim("up", 99, dialect.CAP_FIELDS[0])).decode()


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("caller", ["anthropic_messages", "openai_responses", "openai_chat"])
@pytest.mark.parametrize("made", MADE)
def test_a_seal_goes_back_to_its_maker_alone(made: str, caller: str, *, whole: bool) -> None:
    said: list[Event] = [Began("up"), *MADE[made], Said("a"), Finished("end")]
    writer = crossing.writer(caller)
    if whole:
        answer = writer.whole(said, ONE, exact=True, cost=None)
    else:
        stream = writer.write(said) + writer.tail(ONE, exact=True, cost=None, note="")
        answer = dialects.ALL[caller].whole_of(stream)
    body = again(caller, json.loads(answer))
    for upstream in ("anthropic_messages", "openai_responses", "openai_chat"):
        if caller == upstream and made.startswith(upstream):  # it never was translated: nothing stands between the two
            continue
        up = asked(caller, upstream, body)
        kept = made.startswith(upstream)
        assert (SEAL in up) == (kept or caller == upstream == "openai_chat"), (upstream, up)
        assert not any(mark in up for mark in ("rs1.", "cs1.")) or upstream == caller == "openai_chat"
