"""Each provider's own answers and errors, read as its channel reads them: what was used, what was said, what went
wrong; and all of it through the gate, in each dialect of a caller."""

import json
from typing import Any

import msgspec
import pytest

from ftgate import config, dialects
from ftgate.core import routing, verdicts
from ftgate.core.verdicts import Verdict
from ftgate.dialects.states import State
from ftgate.dialects.talk import Meter, NotAnAnswer
from ftgate.line.call import Call
from tests.fakes.ports import RecordingClient, ScriptedUpstream, Stage, channel, model
from tests.line.test_keepalive import Clock
from tests.line.test_provider_habits import CALLERS
from tests.providers.shapes import SHAPES, TEXT, THOUGHT, Shape

PARTS = ("openai-compatible", "anthropic-compatible", "demo")
"""Providers that answer as whoever stands there."""
ROWS = [(name, shape) for name, shape in SHAPES.items()]
IDS = list(SHAPES)


def shipped(name: str, **changes: Any) -> routing.Channel:
    """A channel as an environment makes it, with one model m."""
    its = config.provider(name)
    environ = {its.env[0]: "sk-1"} if its.env else {}
    made = config.from_environment(environ, None if its.env else ["m"]).routes.channels[0]
    assert made.provider == name
    return channel(
        "one", model(context=None), provider=name, addresses=made.addresses, errors=made.errors, takes=made.takes,
        stream_usage=made.stream_usage, drop_params=made.drop_params, headers=made.headers, **changes,
    )  # fmt: skip


def test_every_provider_has_a_shape() -> None:
    """Its own, or that of the region it is like."""
    regions = {"moonshot-intl", "zai", "minimax-intl", "dashscope-intl", "stepfun-intl", "siliconflow-intl"}
    assert {*SHAPES, *PARTS, *regions} == set(config.provider_names())
    for name, shape in ROWS:
        assert config.provider(name).dialect == shape.dialect
        assert shape.errors, name


@pytest.mark.parametrize(("name", "shape"), ROWS, ids=IDS)
def test_a_whole_answer(name: str, shape: Shape) -> None:
    meter = Meter()
    dialects.ALL[shape.dialect].read_answer(json.dumps(shape.whole).encode(), meter)
    assert meter.content_seen and not meter.malformed
    assert meter.reported and plain(meter.reported) == plain(shape.used)


def plain(usage: Any) -> tuple[int, ...]:
    """What is charged for."""
    return usage.input, usage.cache_read, usage.cache_write, usage.cache_write_1h, usage.output


@pytest.mark.parametrize("size", [1, 7, 10**6])
@pytest.mark.parametrize(("name", "shape"), ROWS, ids=IDS)
def test_a_stream(name: str, shape: Shape, size: int) -> None:
    meter = Meter()
    reader = dialects.ALL[shape.dialect].StreamReader(meter, show_usage=False)
    passed = b""
    for at in range(0, len(shape.stream), size):
        passed += reader.feed(shape.stream[at : at + size])
    passed += reader.end()
    assert reader.state is State.done and reader.complaint is None
    assert meter.reported and plain(meter.reported) == plain(shape.used)
    assert TEXT[:5].encode() in passed and (THOUGHT.encode() in passed) is shape.thinks
    if shape.dialect == "openai_chat":
        assert b'"usage":{' not in passed.replace(b" ", b"")  # nobody asked for it


@pytest.mark.parametrize(
    ("name", "status", "body", "meaning"),
    [(name, *error) for name, shape in ROWS for error in shape.errors],
    ids=[f"{name}-{n}" for name, shape in ROWS for n in range(len(shape.errors))],
)  # fmt: skip
def test_an_error(name: str, status: int, body: Any, meaning: Verdict) -> None:
    dialect, data = dialects.ALL[SHAPES[name].dialect], json.dumps(body, ensure_ascii=False).encode()
    if status == 200:
        with pytest.raises(NotAnAnswer) as hollow:
            dialect.read_answer(data, Meter())
        complaint, status = hollow.value.complaint, hollow.value.complaint.status or 400
    else:
        complaint = dialect.read_error(data)
    found = verdicts.meant(shipped(name).errors, complaint.code, complaint.kind)
    found = found or verdicts.verdict(status, complaint.words)
    assert found is meaning, complaint


async def relayed(name: str, caller: str, *, stream: bool) -> tuple[RecordingClient, Any]:
    dialect, body = CALLERS[caller]
    shape = SHAPES[name]
    head = (200, [(b"content-type", b"text/event-stream" if stream else b"application/json")])
    said = shape.stream if stream else json.dumps(shape.whole).encode()
    way = shipped(name)
    spoken = way.addresses[shape.dialect]
    stage = Stage(ScriptedUpstream([head, said]), routing_only(way, spoken))
    asked = json.dumps({"model": "m", **body, "stream": stream, "max_tokens": 99}).encode()
    client = RecordingClient()
    await stage.gate.relay(Call(id="req_7", dialect=dialect, secret=b"sk-ft_test", body=asked), client)
    stage.check()
    (row,) = stage.log.rows
    return client, row


def routing_only(way: routing.Channel, address: routing.Address) -> routing.Channel:
    """The channel with this address alone: what it says there is what the shape holds."""
    return msgspec.structs.replace(way, addresses={address.dialect: address})


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("name", SHAPES)
async def test_through_the_gate(name: str, caller: str, stream: bool, autojump_clock: Clock) -> None:
    """Any caller hears the text, and the thinking where his dialect shows it; what was used is charged."""
    client, row = await relayed(name, caller, stream=stream)
    used = SHAPES[name].used
    assert client.status == 200 and (row.status, row.estimated) == ("ok", False), client.body
    assert (row.prompt_tokens, row.cached_tokens, row.completion_tokens) == (used.prompt, used.cache_read, used.output)
    heard = client.body.decode()
    assert TEXT[:5] in heard and TEXT[-5:] in heard
    if SHAPES[name].thinks:
        assert THOUGHT in heard, heard
