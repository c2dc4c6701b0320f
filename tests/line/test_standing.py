"""Who rests is passed over: what the line does with what attempts have taught. On Trio's mock clock."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from ftgate.core.health import Breaker
from ftgate.core.pricing import Multiplier
from ftgate.core.retrying import Retry
from ftgate.core.routing import Candidate, Channel
from ftgate.core.secret import Secret
from ftgate.errors import Fault, UpstreamFailed
from ftgate.line.call import Exchange, Tried
from ftgate.ports import Terms, UpstreamRequest
from tests.fakes.ports import RecordingClient, ScriptedUpstream, Stage, channel, model
from tests.line.transcript import DONE, PLAIN, STREAM, answer, ask, delta, leave, status

Clock = trio.testing.MockClock
Steps = Callable[[], list[Any]]
BREAKER = Breaker(failures=3, window=60.0, cooldown=5.0, cooldown_cap=30.0)


def good() -> list[Any]:
    return [PLAIN, answer()]


def down() -> list[Any]:
    return [UpstreamFailed(Fault.connect, "refused", sent=False)]


def busy(retry_after: str | None = None) -> list[Any]:
    return [*status(429, **({"retry_after": retry_after} if retry_after else {}))]


class Moody(ScriptedUpstream):
    """Says for each credential, or else each channel, what it says now; good at first. `asked` are those."""

    def __init__(self) -> None:
        super().__init__()
        self.says: dict[str, Steps] = {}
        self.asked: list[str] = []

    def script(self, request: UpstreamRequest) -> list[Any]:
        key = dict(request.headers)[b"authorization"].decode().removeprefix("Bearer ")
        self.asked.append(f"{request.channel}/{key}")
        return self.says.get(key, self.says.get(request.channel, good))()

    def took(self) -> list[str]:
        asked, self.asked = self.asked, []
        return asked


def house(*channels: Channel, **settings: Any) -> tuple[Stage, Moody]:
    upstream = Moody()
    settings = {"retry": Retry(attempts=3, backoff=0.5, max_retry_after=10.0), **settings}
    stage = Stage(upstream, *(channels or two()), **settings)
    stage.gate.live.gate = msgspec.structs.replace(stage.gate.settings, breaker=BREAKER)
    return stage, upstream


def keyed(name: str, *keys: str, **changes: Any) -> Channel:
    return channel(name, credentials=tuple(map(Secret, keys)), **changes)


def two() -> tuple[Channel, Channel]:
    return keyed("a", "k1", priority=0), keyed("b", "k2", priority=1)


async def test_a_channel_that_fails_is_passed_over_until_a_probe_finds_it_well(autojump_clock: Clock) -> None:
    stage, upstream = house()
    upstream.says["a"] = down
    for _ in range(3):
        client = await stage.relay(ask())
        assert (client.status, client.headers["x-findtoken-attempts"]) == (200, "2")
    assert upstream.took() == ["a/k1", "b/k2"] * 3
    for _ in range(5):
        client = await stage.relay(ask())
        assert (client.status, client.headers["x-findtoken-attempts"]) == (200, "1")
    assert upstream.took() == ["b/k2"] * 5
    await trio.sleep(5.0)
    await stage.relay(ask())
    await stage.relay(ask())
    assert upstream.took() == ["a/k1", "b/k2", "b/k2"]  # the probe failed: twice as long
    upstream.says.clear()
    await trio.sleep(9.9)
    await stage.relay(ask())
    await trio.sleep(0.1)
    await stage.relay(ask())
    await stage.relay(ask())
    assert upstream.took() == ["b/k2", "a/k1", "a/k1"]
    assert stage.gate.standing.health.fine


async def test_nobody_else_comes_with_the_probe(autojump_clock: Clock) -> None:
    stage, upstream = house()
    upstream.says["a"] = down
    for _ in range(3):
        await stage.relay(ask())
    await trio.sleep(5.0)
    upstream.says["a"] = lambda: [("wait", 1.0), PLAIN, answer()]
    upstream.took()
    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(stage.gate.relay, stage.call(ask()), RecordingClient())
    assert sorted(upstream.took()) == ["a/k1", "b/k2", "b/k2", "b/k2"]
    await stage.relay(ask())
    assert upstream.took() == ["a/k1"]


async def test_a_probe_whose_client_leaves_is_no_probe(autojump_clock: Clock) -> None:
    stage, upstream = house()
    upstream.says["a"] = down
    for _ in range(3):
        await stage.relay(ask())
    await trio.sleep(5.0)
    upstream.says["a"] = lambda: [("wait", 60.0), PLAIN, answer()]
    upstream.took()
    await leave(stage, 1.0, stream=False)
    upstream.says.clear()
    await stage.relay(ask())
    assert upstream.took() == ["a/k1", "a/k1"]


async def test_all_of_them_down(autojump_clock: Clock) -> None:
    """No call goes up, and the answer says when asking helps; the row is written."""
    stage, upstream = house()
    upstream.says.update(a=down, b=down)
    for _ in range(3):
        assert (await stage.relay(ask())).status == 503  # out of reach
    assert len(upstream.took()) == 6
    await trio.sleep(2.0)
    client = await stage.relay(ask())
    assert (client.status, client.headers["retry-after"], upstream.took()) == (503, "3", [])
    error = json.loads(client.body)["error"]
    assert error["code"] == "no_healthy_provider" and "rests after failures" in error["message"]
    assert (stage.log.rows[-1].status, stage.log.rows[-1].attempts) == ("refused", 0)


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_call_that_fails_alone_again_and_again_is_one_failure(autojump_clock: Clock, streamed: bool) -> None:
    stage, upstream = house(keyed("a", "k1"))
    upstream.says["a"] = lambda: [*status(500)]
    for tries in (3, 3, 1):  # the third is one too many: nobody asks on
        assert (await stage.relay(ask(stream=streamed))).status == 502
        assert upstream.took() == ["a/k1"] * tries
    assert (await stage.relay(ask(stream=streamed))).status == 503 and not upstream.took()


async def test_streams_that_break_off_count_and_a_probe_that_begins_is_enough(autojump_clock: Clock) -> None:
    stage, upstream = house()

    def broken() -> list[Any]:
        return [STREAM, delta("Hi"), UpstreamFailed(Fault.incomplete, "cut", sent=True)]

    upstream.says["a"] = broken
    for _ in range(4):
        await stage.relay(ask(stream=True))
    assert upstream.took() == ["a/k1", "a/k1", "a/k1", "b/k2"]
    await trio.sleep(5.0)
    upstream.says["a"] = lambda: [STREAM, delta("Hi"), ("wait", 9.0), delta(finish="stop"), DONE]
    assert stage.gate.standing.health.circuits
    client = RecordingClient()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.gate.relay, stage.call(ask(stream=True)), client)
        await trio.sleep(1.0)
        assert not stage.gate.standing.health.circuits  # it is known long before the end


async def test_errors_of_the_request_say_that_it_works(autojump_clock: Clock) -> None:
    stage, upstream = house(keyed("a", "k1"))
    for _ in range(4):
        upstream.says["a"] = down
        await stage.relay(ask())
        upstream.says["a"] = lambda: [*status(400, "no such field")]
        assert (await stage.relay(ask())).status == 400


# Credentials


async def test_a_limited_key_gives_way_to_the_next_and_comes_back(autojump_clock: Clock) -> None:
    stage, upstream = house(keyed("a", "k1", "k2", priority=0), keyed("b", "k3", priority=1))
    upstream.says.update(k1=lambda: busy("4"))
    assert (await stage.relay(ask())).status == 200
    assert upstream.took() == ["a/k1", "a/k2"]
    for _ in range(3):
        assert (await stage.relay(ask())).status == 200
    assert upstream.took() == ["a/k2"] * 3
    upstream.says.update(k2=lambda: busy("9"))
    await stage.relay(ask())
    assert upstream.took() == ["a/k2", "b/k3"]
    upstream.says.clear()
    await trio.sleep(4.0)
    for _ in range(2):
        await stage.relay(ask())
    assert upstream.took() == ["a/k1"] * 2
    await trio.sleep(5.0)
    for _ in range(2):
        await stage.relay(ask())
    assert sorted(upstream.took()) == ["a/k1", "a/k2"]


async def test_the_only_key_is_waited_for_where_its_limit_ends_soon(autojump_clock: Clock) -> None:
    stage, upstream = house(keyed("a", "k1"))
    said = iter([busy("6")])
    upstream.says["a"] = lambda: next(said, good())
    began = trio.current_time()
    assert (await stage.relay(ask())).status == 200  # the one that met it
    assert trio.current_time() - began == 6.0
    said = iter([busy("30")])
    client = await stage.relay(ask())
    assert (client.status, client.headers["retry-after"]) == (503, "30")
    upstream.took()
    await trio.sleep(12.0)
    client = await stage.relay(ask())
    assert (client.status, client.headers["retry-after"], upstream.took()) == (503, "18", [])
    assert "is rate limited" in json.loads(client.body)["error"]["message"]
    await trio.sleep(10.0)
    began = trio.current_time()
    assert (await stage.relay(ask())).status == 200  # 8 s are left, and 10 may be waited for
    assert trio.current_time() - began == 8.0


async def test_nobody_waits_for_a_limit_that_does_not_say_when_it_ends(autojump_clock: Clock) -> None:
    """Alone it is asked, and each caller gets its word; beside another channel it is passed over."""
    stage, upstream = house(keyed("a", "k1"))
    upstream.says["a"] = busy
    for _ in range(5):
        assert (await stage.relay(ask())).status == 503
    assert trio.current_time() == 0 and len(upstream.took()) == 5
    stage, upstream = house()
    upstream.says["a"] = busy
    for _ in range(3):
        assert (await stage.relay(ask())).status == 200
    assert upstream.took() == ["a/k1", "b/k2", "b/k2", "b/k2"]


@pytest.mark.parametrize("code", [401, 403])
async def test_a_refused_key_is_left_alone_until_the_settings_change(autojump_clock: Clock, code: int) -> None:
    stage, upstream = house(keyed("a", "k1", "k2"), keyed("b", "k3", priority=1))
    upstream.says.update(k1=lambda: [*status(code)])
    for _ in range(4):
        assert (await stage.relay(ask())).status == 200
    assert upstream.took() == ["a/k1", "a/k2", "a/k2", "a/k2", "a/k2"]
    await trio.sleep(100_000.0)
    await stage.relay(ask())
    assert upstream.took() == ["a/k2"]
    stage.gate.adopt()
    upstream.says.clear()
    for _ in range(2):
        await stage.relay(ask())
    assert sorted(upstream.took()) == ["a/k1", "a/k2"]


REPEATED = rb'{"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stop": "insufficient\u005fquota"}'
FLAGGED = "Your chosen model requires moderation and your input was flagged"


@pytest.mark.parametrize(
    ("code", "words", "body"), [(403, FLAGGED, None), (400, "Invalid value: 'insufficient_quota'", REPEATED)]
)
async def test_what_a_caller_asks_takes_no_key_away(
    code: int, words: str, body: bytes | None, autojump_clock: Clock
) -> None:
    stage, upstream = house()
    upstream.says["a"] = lambda: [*status(code, words)]
    client = await stage.relay(body or ask())
    assert client.status == 400 and upstream.took() == ["a/k1"] and words[:9] in client.body.decode()
    upstream.says.clear()
    await stage.relay(ask())
    assert upstream.took() == ["a/k1"] and stage.gate.standing.health.fine


async def test_a_refused_key_that_is_all_there_is_is_asked(autojump_clock: Clock) -> None:
    """Each caller gets the provider's own word, and the first good answer makes it good."""
    stage, upstream = house(keyed("a", "k1"))
    upstream.says["a"] = lambda: [*status(401)]
    for _ in range(4):
        assert (await stage.relay(ask())).status == 502
    assert len(upstream.took()) == 4
    upstream.says.clear()
    assert (await stage.relay(ask())).status == 200 and stage.gate.standing.health.fine


async def test_who_is_out_of_credit_is_asked_again_after_a_while(autojump_clock: Clock) -> None:
    stage, upstream = house()
    upstream.says["a"] = lambda: [*status(402, "Insufficient balance")]
    for _ in range(2):
        await stage.relay(ask())
    assert upstream.took() == ["a/k1", "b/k2", "b/k2"]
    await trio.sleep(30.0)
    upstream.says.clear()
    await stage.relay(ask())
    assert upstream.took() == ["a/k1"]


async def test_all_keys_limited_under_load(autojump_clock: Clock) -> None:
    """A hundred calls a second while every key of a channel is limited for a second: the other channel serves all."""
    stage, upstream = house(keyed("a", "k1", "k2", "k3"), keyed("b", "k4", priority=1))
    statuses: list[int | None] = []

    async def one() -> None:
        client = RecordingClient()
        await stage.gate.relay(stage.call(ask()), client)
        statuses.append(client.status)

    limited = iter(range(3))  # each key once

    def limit() -> list[Any]:
        return busy("1") if next(limited, None) is not None else good()

    async with trio.open_nursery() as nursery:
        for n in range(300):
            if n == 100:
                upstream.says["a"] = limit
            nursery.start_soon(one)
            await trio.sleep(0.01)
    assert statuses == [200] * 300
    asked = upstream.took()
    assert len(asked) == 303 and 90 <= asked.count("b/k4") <= 110


async def test_what_one_model_does_says_nothing_of_another(autojump_clock: Clock) -> None:
    ways = [channel("a", model("m"), model("n"), credentials=(Secret("k1"),))]
    stage, upstream = house(*ways)
    upstream.says["a"] = down
    for _ in range(3):
        await stage.relay(ask())
    assert (await stage.relay(ask())).status == 503
    upstream.says.clear()
    upstream.took()
    assert (await stage.relay(ask(model="n"))).status == 200 and upstream.took() == ["a/k1"]


async def test_a_reload_keeps_what_is_known_of_channels_that_stay(autojump_clock: Clock) -> None:
    stage, upstream = house()
    upstream.says["a"] = down
    for _ in range(3):
        await stage.relay(ask())
    upstream.took()
    stage.gate.adopt()
    await stage.relay(ask())
    assert upstream.took() == ["b/k2"]
    routes = stage.gate.settings.routes
    moved = msgspec.structs.replace(
        routes.channels[0], reach=msgspec.structs.replace(routes.channels[0].reach, http2=True)
    )
    stage.gate.live.gate = msgspec.structs.replace(
        stage.gate.settings, routes=msgspec.structs.replace(routes, channels=(moved, routes.channels[1]))
    )
    stage.gate.adopt()
    await stage.relay(ask())
    assert upstream.took() == ["a/k1", "b/k2"]


# Monthly caps


async def test_calls_that_still_go_the_old_way_say_nothing_of_the_new_one(autojump_clock: Clock) -> None:
    """An operator mends the address of a channel that is down: what still waits there must not speak against it."""
    stage, upstream = house(keyed("a", "k1"))
    upstream.says["a"] = lambda: [("wait", 20.0), *down()]
    settings = stage.gate.settings
    there = settings.routes.channels[0]
    with_address = {name: msgspec.structs.replace(at, url="http://mended/v1") for name, at in there.addresses.items()}
    mended = msgspec.structs.replace(there, addresses=with_address)
    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(stage.gate.relay, stage.call(ask()), RecordingClient())
        await trio.sleep(1.0)
        routes = msgspec.structs.replace(settings.routes, channels=(mended,))
        stage.gate.live.gate = msgspec.structs.replace(settings, routes=routes)
        stage.gate.adopt()
        upstream.says.clear()
    assert stage.gate.standing.health.fine and not stage.gate.standing.health.errors
    assert (await stage.relay(ask())).status == 200


async def test_a_channel_that_has_reached_its_cap_is_passed_over(autojump_clock: Clock) -> None:
    """A call costs 10 x 1 and 2 x 2 dollars a million: 14 millionths, whatever the plan makes of it."""
    cost = 14 * 10**6
    ways = keyed("a", "k1", monthly_cap=3 * cost), keyed("b", "k2", priority=1)
    stage, upstream = house(*ways, terms=Terms(multiplier=Multiplier(3, 2)))
    for _ in range(5):
        assert (await stage.relay(ask())).status == 200
    assert upstream.took() == ["a/k1"] * 3 + ["b/k2"] * 2
    assert stage.gate.standing.shown(stage.gate.settings.routes.channels[0])["state"] == "open"
    stage.gate.adopt()
    await stage.relay(ask())
    assert upstream.took() == ["b/k2"]


async def test_nothing_is_left_but_a_channel_at_its_cap(autojump_clock: Clock) -> None:
    stage, upstream = house(keyed("a", "k1", monthly_cap=1))
    assert (await stage.relay(ask())).status == 200
    client = await stage.relay(ask())
    error = json.loads(client.body)["error"]
    assert (client.status, error["code"]) == (503, "no_healthy_provider") and "monthly cap" in error["message"]
    assert len(upstream.took()) == 1


async def test_a_limit_does_not_open_a_channel_at_its_cap(autojump_clock: Clock) -> None:
    stage, upstream = house(keyed("a", "k1", monthly_cap=1))
    upstream.says["a"] = busy
    assert (await stage.relay(ask())).status == 503
    upstream.says.clear()
    assert (await stage.relay(ask())).status == 200
    upstream.says["a"] = busy
    upstream.took()
    assert (await stage.relay(ask())).status == 503 and not upstream.took()


async def test_each_attempt_counts_where_it_was(autojump_clock: Clock) -> None:
    stage, upstream = house()

    def broken() -> list[Any]:
        return [STREAM, delta("Hi"), UpstreamFailed(Fault.incomplete, "cut", sent=True)]

    upstream.says["a"] = broken
    await stage.relay(ask(stream=True))
    (row,) = stage.log.rows
    (spent,) = stage.gate.standing.spending.months.values()
    assert spent == {"a": row.cost} and row.cost > 0


async def test_a_callers_own_key_spends_nothing_of_ours(autojump_clock: Clock) -> None:
    stage, _ = house()
    there = stage.gate.settings.routes.channels[0]
    tried = Tried(Candidate(there, there.addresses["openai_chat"], Secret("own"), model(), brought=True))
    tried.cost = 5
    x = Exchange(stage.call(ask()), RecordingClient(), stage.gate.settings, stage.gate.ratios, 0.0, 0)
    x.tried.append(tried)
    stage.gate.standing.ended(x, "ok", 0.0)
    assert stage.gate.standing.lately == {}
    assert not stage.gate.standing.spending.months
