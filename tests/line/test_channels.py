"""Channels as an operator sees and switches them, over a line on Trio's mock clock."""

import json
from typing import Any

import msgspec
import pytest
import trio.testing

from ftgate.core.routing import Channel, Routes
from ftgate.core.secret import Secret
from ftgate.errors import NotFound
from ftgate.line.channels import Ways, base_url
from ftgate.ports.site import Doer
from tests.fakes.ports import ScriptedUpstream, Stage, addresses, channel, model
from tests.line.test_running import BY, Noted
from tests.line.transcript import DONE, PLAIN, STREAM, answer, ask, delta, status

Clock = trio.testing.MockClock


class Turned:
    """ports.operator.Switches that puts other settings in force, as app.py does."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    async def turn(self, name: str, enabled: bool, by: Doer) -> None:
        live: Any = self.stage.gate.live
        routes = Routes(
            channels=tuple(
                msgspec.structs.replace(c, enabled=enabled) if c.name == name else c for c in live.gate.routes.channels
            ),
            fallback=live.gate.routes.fallback,
        )
        live.gate = msgspec.structs.replace(live.gate, routes=routes)
        self.stage.gate.adopt()


def desk(*scripts: Any, **more: Any) -> tuple[Stage, Ways]:
    one, two = channel("one", model("m"), model("solo")), channel("two", model("m"), priority=1)
    stage = Stage(ScriptedUpstream(*scripts), one, two, **more)
    return stage, Ways(stage.gate, stage.upstream, Turned(stage), Noted())


async def test_one_that_is_off_takes_no_call(autojump_clock: Clock) -> None:
    stage, ways = desk(*[[PLAIN, answer()]] * 4)
    said: list[str] = []
    for enabled in (None, False, True):
        if enabled is not None:
            shown = await ways.switch("one", enabled, BY)
            assert (shown["enabled"], shown["state"]) == (enabled, "ok" if enabled else "disabled")
        said.append((await stage.relay(ask())).headers["x-findtoken-provider"])
    assert said == ["one", "two", "one"]
    await ways.switch("one", False, BY)
    client = await stage.relay(ask(model="solo"))
    error = json.loads(client.body)["error"]
    assert (client.status, error["code"]) == (503, "no_healthy_provider") and "disabled" in error["message"]
    assert (await stage.relay(ask(model="nobody's"))).status == 400
    found = await stage.gate.explain(stage.gate.keys.key, ask())  # type: ignore[attr-defined]
    assert [(out.channel, out.reason) for out in found.left_out] == [
        ("one", "its channel is disabled by the operator")
    ]  # fmt: skip


async def test_a_fallback_stands_in_for_one_that_is_off(autojump_clock: Clock) -> None:
    stage, ways = desk([PLAIN, answer()], fallback={"solo": ("m",)})
    await ways.switch("one", False, BY)
    assert (await stage.relay(ask(model="solo"))).headers["x-findtoken-provider"] == "two"


async def test_running_calls_go_on(autojump_clock: Clock) -> None:
    stage, ways = desk([STREAM, delta("a"), ("wait", 9), delta("b", finish="stop"), DONE])

    async def off() -> None:
        await trio.sleep(3)
        await ways.switch("one", False, BY)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(off)
        client = await stage.relay(ask(stream=True))
    assert b"[DONE]" in client.body and stage.log.rows[0].status == "ok"


async def test_a_trial_asks_one_that_is_off(autojump_clock: Clock) -> None:
    stage, ways = desk([STREAM, delta("OK", finish="stop"), DONE])
    await ways.switch("one", False, BY)
    said = await ways.test("one", "m", BY)
    assert (said["ok"], said["model"], said["status"], said["error"]) == (True, "m", 200, None)
    assert stage.log.rows == [] and ways.one("one")["requests_1h"] == 0
    deeds: Any = ways.deeds
    assert deeds.rows == [(BY, "channel.test", "one", {"model": "m", "ok": True, "status": 200})]


async def test_how_they_stand(autojump_clock: Clock) -> None:
    slow = [("wait", 2), STREAM, delta("a"), ("wait", 2), delta("b", finish="stop"), DONE]
    stage, ways = desk(slow, status(500), [PLAIN, answer()], status(400), [STREAM, delta("a"), ("wait", 90)])
    await stage.relay(ask(stream=True))
    await stage.relay(ask())  # fails at one, answered by two
    await stage.relay(ask())  # the request's own fault
    assert (await stage.relay(ask(stream=True))).status == 200  # breaks off behind content
    one, two = ways.shown()
    assert {name: one[name] for name in ("requests_1h", "errors_1h")} == {"requests_1h": 4, "errors_1h": 2}
    assert one["p50_ms"] == one["p95_ms"] == pytest.approx(4000, rel=0.05)
    assert one["first_token_p50_ms"] == pytest.approx(2000, rel=0.05)
    assert (two["requests_1h"], two["errors_1h"], two["first_token_p50_ms"]) == (1, 0, None)
    assert one["credentials"] == [{"hint": "…", "model": None, "state": "ok", "until": None, "reason": None}]
    assert set(one) >= {
        "name", "provider", "base_url", "priority", "weight", "enabled", "state", "models", "circuits", "credentials",
        "requests_1h", "errors_1h", "p50_ms", "p95_ms", "first_token_p50_ms", "last_error", "spent_month",
        "monthly_cap",
    }  # fmt: skip


async def test_reset_forgets_and_is_noted(autojump_clock: Clock) -> None:
    stage, ways = desk(status(401), [PLAIN, answer()])
    await stage.relay(ask())
    shown = ways.one("one")
    assert shown["state"] == "open"
    (key,) = shown["credentials"]  # type: ignore[misc]
    assert (key["state"], key["reason"], key["model"]) == ("refused", "credential", "m")
    assert (await ways.reset("one", BY))["state"] == "ok"
    deeds: Any = ways.deeds
    assert deeds.rows[0][:3] == (BY, "channel.reset", "one")
    for attempt in (ways.reset, ways.switch, ways.test):
        with pytest.raises(NotFound):
            await attempt("nobody", *([BY] if attempt == ways.reset else [None, BY]))


@pytest.mark.parametrize(
    ("prefix", "shown"),
    [
        ("https://api.lab.example/v1", "https://api.lab.example/v1"),
        ("http://user:secret@lab.example:8080", "http://lab.example:8080"),
        ("http://[::1]:11434/v1", "http://[::1]:11434/v1"),
    ],
)
def test_addresses_without_their_secrets(prefix: str, shown: str) -> None:
    assert base_url(channel(addresses=addresses(prefix, "openai_chat"))) == shown


def test_a_query_is_not_shown() -> None:
    way = channel(addresses=addresses("https://lab.example/v1", "openai_chat"))
    address = msgspec.structs.replace(way.addresses["openai_chat"], url="https://lab.example/v1/x?key=secret")
    found: Channel = msgspec.structs.replace(way, addresses={"openai_chat": address}, credentials=(Secret("s" * 30),))
    assert "secret" not in base_url(found)
