"""A call from a caller of one dialect to an upstream of another, as the line makes it but without the line: what goes
up, and what the caller gets. Dialects are named as in dialects.ALL; for golden tables in all directions.
"""

import json
from collections.abc import Iterable
from typing import Any

import msgspec

from ftgate import dialects
from ftgate.core.usage import Usage
from ftgate.dialects.neutral import Talk
from ftgate.dialects.states import WHOLE, State
from ftgate.dialects.talk import Aim, Meter, Told, Writer
from ftgate.errors import ProviderError
from ftgate.line.passing import Translated
from ftgate.line.translation import said_in

NOTE = "ftgate cost=0.00"
COST = 2_000_000
"""Units: $0.000002."""
_ASKED: dict[str, dict[str, Any]] = {
    "openai_chat": {"model": "m", "messages": [{"role": "user", "content": "Hi"}]},
    "openai_completions": {"model": "m", "prompt": "Hi"},
    "anthropic_messages": {"model": "m", "max_tokens": 99, "messages": [{"role": "user", "content": "Hi"}]},
    "openai_responses": {"model": "m", "input": "Hi"},
}
"""The least that a caller of each dialect can ask."""


def talk(caller: str, body: dict[str, Any]) -> Talk:
    """What a request says in neutral words, its fields beside the least that can be asked."""
    own = dialects.ALL[caller]
    return own.talk_of(own.read_request(msgspec.json.encode(_ASKED[caller] | body)))


def request(caller: str, upstream: str, body: dict[str, Any], aim: Aim | None = None) -> Any:
    """What goes up of such a request, as JSON. Raises InvalidRequest."""
    own, other = dialects.ALL[caller], dialects.ALL[upstream]
    ask = own.read_request(msgspec.json.encode(_ASKED[caller] | body))
    said = ask if other is own else said_in(other, ask, own.talk_of(ask))
    return json.loads(
        other.render(said, aim or Aim("up", ask.cap, other.CAP_FIELDS[0], usage=True, most=8192, thinks=True))
    )


def with_called(sent: dict[str, Any]) -> dict[str, Any]:
    """What must go up to Anthropic's with messages that hold calls, where no tool is offered: the tools that were
    called, and that none is to be."""
    blocks = [block for one in sent.get("messages", ()) for block in one["content"] if isinstance(block, dict)]
    names = dict.fromkeys(block["name"] for block in blocks if block["type"] == "tool_use")
    if not names or "tools" in sent:
        return sent
    shape = {"type": "object", "properties": {}}
    tools = [{"name": name, "input_schema": shape} for name in names]
    return {**sent, "tools": tools, "tool_choice": {"type": "none"}}


def writer(caller: str, body: dict[str, Any] | None = None) -> Writer:
    own = dialects.ALL[caller]
    ask = own.read_request(msgspec.json.encode(_ASKED[caller] | (body or {})))
    return own.Writer(Told(ask=ask, talk=own.talk_of(ask), id="req_7", created=5, model="m", prompt=7, now=lambda: 9))


def answer(caller: str, upstream: str, said: dict[str, Any], body: dict[str, Any] | None = None) -> Any:
    """An upstream's whole answer as its caller gets it, as JSON. Raises NotAnAnswer."""
    other, meter = dialects.ALL[upstream], Meter()
    data = msgspec.json.encode(said)
    other.read_answer(data, meter)
    events = tuple(other.events_of(data))
    usage, exact = _measured(meter)
    return json.loads(writer(caller, body).whole(events, usage, exact=exact, cost=COST))


def stream(
    caller: str, upstream: str, pieces: Iterable[bytes], body: dict[str, Any] | None = None, *, cut: bool = False
) -> bytes:
    """An upstream's stream as its caller gets it: closed as whole where it was, else as one that broke. `cut`: the
    connection was lost behind the last piece."""
    return watched(caller, upstream, pieces, body, cut=cut)[0]


def watched(
    caller: str, upstream: str, pieces: Iterable[bytes], body: dict[str, Any] | None = None, *, cut: bool = False
) -> tuple[bytes, State]:
    """The same, and the state in which it ended."""
    other, meter = dialects.ALL[upstream], Meter()
    reader = Translated(other, other.StreamReader(meter, show_usage=True), writer(caller, body))
    passed = [reader.feed(piece) for piece in pieces]
    if not cut:
        passed.append(reader.end())
    if reader.state in WHOLE:
        usage, exact = _measured(meter)
        passed.append(reader.tail(usage, exact=exact, cost=COST, note=NOTE))
    else:
        passed.append(reader.failure(ProviderError("the provider's stream broke off"), "req_7", NOTE))
    return b"".join(passed), reader.state


def _measured(meter: Meter) -> tuple[Usage, bool]:
    if meter.reported is not None:
        return meter.reported, True
    return Usage(input=7, output=meter.output()), False
