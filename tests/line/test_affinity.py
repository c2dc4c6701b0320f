"""A conversation goes where it was answered last, and health, limits and money come first."""

from typing import Any

import msgspec
import trio
import trio.testing

from ftgate.core.pricing import Price
from ftgate.core.routing import Channel
from tests.fakes.ports import RecordingClient, model
from tests.line.test_standing import Moody, busy, down, house, keyed
from tests.line.transcript import ask, status

Clock = trio.testing.MockClock


def spread(kind: str) -> tuple[Channel, ...]:
    return keyed("a", "k1", "k2", affinity=kind), keyed("b", "k3", "k4", affinity=kind)


def turns(n: int, opening: str = "Hello", **fields: object) -> bytes:
    said = [{"role": "user", "content": opening}]
    for turn in range(n):
        said += [{"role": "assistant", "content": f"a{turn}"}, {"role": "user", "content": f"u{turn}"}]
    return ask(messages=said, **fields)


async def test_without_it_calls_take_turns(autojump_clock: Clock) -> None:
    stage, upstream = house(*spread("off"))
    for n in range(8):
        await stage.relay(turns(n, user="u"))
    assert len(set(upstream.took())) == 4 and not stage.gate.planner.affinity.places


async def test_by_key(autojump_clock: Clock) -> None:
    stage, upstream = house(*spread("key"))
    for user in ("ann", "bob"):
        for n in range(6):
            await stage.relay(turns(n, opening=str(n), user=user))
    asked = upstream.took()
    assert len(set(asked[:6])) == len(set(asked[6:])) == 1 and asked[0] != asked[6]
    for n in range(8):
        await stage.relay(turns(n))  # nobody says who it is
    assert len(set(upstream.took())) == 4


async def test_by_prefix(autojump_clock: Clock) -> None:
    stage, upstream = house(*spread("prefix"))
    seen = []
    for opening in ("one", "two", "three", "four"):
        for n in range(3):
            await stage.relay(turns(n, opening))
        asked = upstream.took()
        assert len(set(asked)) == 1
        seen.append(asked[0])
    assert len(set(seen)) > 1


async def test_another_caller_is_another_conversation(autojump_clock: Clock) -> None:
    stage, upstream = house(*spread("key"))
    await stage.relay(turns(0, user="u"))
    stage.gate.keys.key = msgspec.structs.replace(stage.gate.keys.key, id=2)  # type: ignore[attr-defined]
    stage.books.open_key(2, limit=None)
    await stage.gate.relay(stage.call(turns(0, user="u")), RecordingClient())
    first, second = upstream.took()
    assert first != second


async def test_it_yields(autojump_clock: Clock) -> None:
    """To a channel that rests and a key at its limit; and it stays where it went then."""
    stage, upstream = house(*spread("key"))
    await stage.relay(turns(0, user="u"))
    (home,) = upstream.took()
    upstream.says[home.partition("/")[2]] = lambda: busy("60")
    await stage.relay(turns(1, user="u"))
    met, other = upstream.took()
    assert met == home != other
    for n in range(3):
        await stage.relay(turns(n, user="u"))
    assert upstream.took() == [other] * 3
    upstream.says[other.partition("/")[0]] = down
    for n in range(4):
        assert (await stage.relay(turns(n, user="u"))).status == 200
    assert upstream.took()[-1].partition("/")[0] != other.partition("/")[0]


async def test_it_lasts_five_minutes_and_not_longer(autojump_clock: Clock) -> None:
    stage, upstream = house(*spread("key"))
    for _ in range(3):
        await stage.relay(turns(0, user="u"))
        await trio.sleep(299)
    assert len(set(upstream.took())) == 1
    await trio.sleep(2)
    for _ in range(2):
        await stage.relay(turns(0, user="u"))
        await trio.sleep(301)
    assert len(set(upstream.took())) == 2


async def test_only_answers_are_remembered(autojump_clock: Clock) -> None:
    stage, upstream = house(*spread("key"))
    upstream.says.update(a=lambda: [*status(400, "no")], b=lambda: [*status(400, "no")])
    for n in range(4):
        await stage.relay(turns(n, user="u"))
    assert len(set(upstream.took())) == 4
    assert isinstance(upstream, Moody) and not stage.gate.planner.affinity.places


async def test_neither_cheapest_nor_fastest_goes_elsewhere_for_it(autojump_clock: Clock) -> None:
    """Among channels that cost the same it holds; where the first one costs less it waits for nothing."""
    dear, cheap = (model(price=Price(rate, rate, rate, rate, rate)) for rate in (100, 10))
    ways = [
        keyed(name, f"k-{name}", models={"m": one}, affinity="key")
        for name, one in (("a", dear), ("b", cheap), ("c", cheap))
    ]
    stage, upstream = house(*ways)
    for name in "bc":
        upstream.says[name] = down
    await stage.relay(turns(0, user="u", routing="cheapest"))
    assert upstream.took()[-1] == "a/k-a"
    upstream.says.clear()
    for n in range(6):
        await stage.relay(turns(n, user="u", routing="cheapest"))
    asked = upstream.took()
    assert len(set(asked)) == 1 and asked[0] in ("b/k-b", "c/k-c")
    for n in range(4):
        await stage.relay(turns(n, user="u"))
    assert set(upstream.took()) == {asked[0]}


async def test_a_reload_forgets_the_keys_that_are_gone(autojump_clock: Clock) -> None:
    stage, _ = house(*spread("key"))
    for n in range(8):
        await stage.relay(turns(0, user=f"u{n}"))
    places = stage.gate.planner.affinity.places
    assert {place.credential.reveal() for place in places.values()} == {"k1", "k2", "k3", "k4"}
    live: Any = stage.gate.live
    routes = msgspec.structs.replace(live.gate.routes, channels=(keyed("a", "k1", affinity="key"),))
    live.gate = msgspec.structs.replace(live.gate, routes=routes)
    stage.gate.adopt()
    assert {(place.channel, place.credential.reveal()) for place in places.values()} == {("a", "k1")}
