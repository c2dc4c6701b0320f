"""A request with a key of its caller's own: the connection is kept, and nothing of the key."""

from collections.abc import AsyncIterator

import msgspec
import pytest
import trio
import trio.testing

from ftgate.errors import UpstreamFailed
from tests.fakes.upstream import FakeUpstream, Script
from tests.holding import held_by
from tests.transports.transports import DIRECT, Make, call, making, request

KEY = "canary-brought-key-5512"


@pytest.fixture(params=[*DIRECT, "httpx"])
async def make(request: pytest.FixtureRequest) -> AsyncIterator[Make]:
    async with making(request.param) as make:
        yield make


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    scripts = {"m": Script(), "no": Script(status=401), "cut": Script(drop="rst"), "half": Script(cut_after=1)}
    async with FakeUpstream(scripts).serving() as upstream:
        yield upstream


async def test_the_connection_is_kept_and_nothing_of_the_key(make: Make, upstream: FakeUpstream) -> None:
    transport = make()
    for model in ("m", "m", "no", "cut", "half", "m"):
        for brought in (True, False):
            key = KEY if brought else "ours"
            said = request(upstream.url, model, headers=((b"authorization", b"Bearer " + key.encode()),), stream=True)
            try:
                await call(transport, msgspec.structs.replace(said, brought=brought))
            except UpstreamFailed:
                assert model in ("cut", "half")
    del said
    await trio.testing.wait_all_tasks_blocked()
    texts = held_by(transport)
    assert transport.counts()["c"].idle == 1 and "127.0.0.1" in texts  # it looks into the connection
    assert not [text for text in texts if KEY in text]
    # One that was cut on a kept connection has gone up twice.
    keys = [dict(seen.headers)["authorization"] for seen in upstream.requests if seen.json["model"] != "cut"]
    assert keys == [f"Bearer {KEY}", "Bearer ours"] * 5
