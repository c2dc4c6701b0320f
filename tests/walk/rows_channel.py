"""[[channel]] and its models."""

import trio

from ftgate.transports.sturdy import SturdyUpstream
from tests.walk.gateway import Gateway, Script, messages, responses, until
from tests.walk.table import walk

ONCE = {"retry.attempts": "1"}
SECOND = """
[[channel]]
name = "second"
provider = "openai-compatible"
base_url = "FAKE/second"
keys = ["sk-second"]
[channel.models.m]
input = 1
output = 2
context = 100000
"""


async def _firsts(gateway: Gateway, calls: int) -> list[str]:
    """At which address each of so many calls arrives."""
    before, key = len(gateway.fake.requests), await gateway.account()
    for _ in range(calls):
        assert (await gateway.chat(key)).status_code == 200
    return [seen.path.split("/")[1] for seen in gateway.fake.requests[before:]]


# [[channel]]


@walk("channel.name", '"another"')
async def _(gateway: Gateway) -> None:
    key = await gateway.account()
    await gateway.chat(key)
    assert await gateway.row("channel", key) == ("another",)


@walk("channel.provider", '"ollama"')
async def _(gateway: Gateway) -> None:
    assert (await gateway.chat(await gateway.account())).headers["x-findtoken-provider"] == "ollama"


@walk("channel.keys", '["env:FROM_ENV"]')
async def _(gateway: Gateway) -> None:
    await gateway.chat(await gateway.account())
    assert gateway.asked.header("authorization") == "Bearer sk-from-env"


@walk("channel.base_url", '"FAKE/there"')
async def _(gateway: Gateway) -> None:
    await gateway.chat(await gateway.account())
    assert gateway.asked.path == "/there/chat/completions"


@walk("channel.anthropic_base_url", '"FAKE/a"', ONCE)
async def _(gateway: Gateway) -> None:
    assert (await messages(gateway, "m")).status_code == 200
    assert gateway.asked.path == "/a/messages"


@walk("channel.responses_base_url", '"FAKE/r"', ONCE)
async def _(gateway: Gateway) -> None:
    assert (await responses(gateway, "m")).status_code == 200
    assert gateway.asked.path == "/r/responses"


@walk("channel.priority", "5", tail=SECOND)
async def _(gateway: Gateway) -> None:
    assert await _firsts(gateway, 4) == ["second"] * 4


@walk("channel.weight", "3", tail=SECOND)
async def _(gateway: Gateway) -> None:
    assert sorted(await _firsts(gateway, 4)) == ["second", "v1", "v1", "v1"]


@walk("channel.on_client_gone", '"drain"', scripts={"m": Script(content=("x",), repeat=10, piece_delay_s=0.03)})
async def _(gateway: Gateway) -> None:
    key = await gateway.account()
    async with gateway.stream(key) as wire:
        await wire.until(b"x")
    assert await gateway.row("status, estimated, completion_tokens", key) == ("client_gone", 0, 10)


@walk("channel.monthly_cap", "0.000001")
async def _(gateway: Gateway) -> None:
    """Less than one call costs; it holds over a restart."""
    key = await gateway.account()
    await gateway.chat(key)
    assert (await gateway.chat(key)).status_code == 503
    await gateway.stop()
    await gateway.start()
    gateway.http.base_url = gateway.url
    assert (await gateway.chat(key)).status_code == 503


TWO_KEYS = {"channel.keys": '["sk-one-1", "sk-two-2"]'}


@walk("channel.affinity", '"key"', TWO_KEYS)
async def _(gateway: Gateway) -> None:
    key = await gateway.account()
    for _ in range(4):
        assert (await gateway.chat(key, user="ann")).status_code == 200
    assert len({request.header("authorization") for request in gateway.fake.requests}) == 1


DRAINED = {"channel.on_client_gone": '"drain"'}
TICKS = {"m": Script(content=("tick ",), repeat=60, piece_delay_s=0.03)}


async def _drained(gateway: Gateway) -> int:
    """The output of a call whose client leaves at its first word."""
    key = await gateway.account()
    async with gateway.stream(key) as wire:
        await wire.until(b"tick")
    status, tokens = await gateway.row("status, completion_tokens", key)
    assert status == "client_gone"
    return int(tokens)


@walk("channel.drain_seconds", "0.3", DRAINED, scripts=TICKS)
async def _(gateway: Gateway) -> None:
    assert 2 < await _drained(gateway) < 40


@walk("channel.drain_usd", "0.00001", DRAINED, scripts=TICKS)
async def _(gateway: Gateway) -> None:
    """Five tokens of two dollars a million."""
    assert 2 < await _drained(gateway) < 40


@walk("channel.charge_left_before_content", "false", scripts={"m": Script(first_delay_s=60)})
async def _(gateway: Gateway) -> None:
    key = await gateway.account()
    before = len(gateway.fake.requests)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: gateway.chat(key, stream=True))
        await until(lambda: len(gateway.fake.requests) > before and gateway.asked.head_sent_at)
        nursery.cancel_scope.cancel()
    assert await gateway.row("status, cost", key) == ("client_gone", 0)


@walk("channel.headers", '{ "x-project" = "atlas" }')
async def _(gateway: Gateway) -> None:
    await gateway.chat(await gateway.account())
    assert gateway.asked.header("x-project") == "atlas"


@walk("channel.query", '{ "version" = "7" }')
async def _(gateway: Gateway) -> None:
    await gateway.chat(await gateway.account())
    assert gateway.asked.path == "/v1/chat/completions?version=7"


@walk("channel.ca_file", '"PLACE/ca.pem"', ONCE, tls=True)
async def _(gateway: Gateway) -> None:
    assert (await gateway.chat(await gateway.account())).status_code == 200


@walk("channel.drop_params", '["temperature"]')
async def _(gateway: Gateway) -> None:
    await gateway.chat(await gateway.account(), temperature=0.5, top_p=0.5)
    assert "temperature" not in gateway.asked.json and gateway.asked.json["top_p"] == 0.5


@walk("channel.models_only", "true", {"channel.provider": '"deepseek"'})
async def _(gateway: Gateway) -> None:
    listed = (await gateway.get("/v1/models", await gateway.account())).json()["data"]
    assert sorted(model["id"] for model in listed) == ["m", "n"]


@walk("channel.proxy", '"FAKE"', {**ONCE, "channel.base_url": '"http://127.0.0.1:1/v1"'})
async def _(gateway: Gateway) -> None:
    assert (await gateway.chat(await gateway.account())).status_code == 200
    assert gateway.asked.path == "http://127.0.0.1:1/v1/chat/completions" and SturdyUpstream in gateway.ways


@walk("channel.http2", "true", {**ONCE, "channel.ca_file": '"PLACE/ca.pem"'}, tls=True)
async def _(gateway: Gateway) -> None:
    """The fake does not speak it: what is seen is that it was offered."""
    await gateway.chat(await gateway.account())
    assert SturdyUpstream in gateway.ways


# [channel.models.NAME]


def _usage(**fields: object) -> dict[str, Script]:
    said = {"prompt_tokens": 1000, "completion_tokens": 0, "total_tokens": 1000, **fields}
    return {"m": Script(usage=said)}


async def _costs(gateway: Gateway, units: int) -> None:
    """A call costs so many millionths of a dollar."""
    answer = await gateway.chat(await gateway.account())
    assert answer.headers["x-findtoken-cost"] == f"{units / 10**6:.6f}".rstrip("0")


@walk("channel.models.m.upstream", '"m-2"')
async def _(gateway: Gateway) -> None:
    answer = await gateway.chat(await gateway.account())
    assert gateway.asked.json["model"] == "m-2" and answer.headers["x-findtoken-model"] == "m"


@walk("channel.models.m.input", "5", scripts=_usage(completion_tokens=1, total_tokens=1001))
async def _(gateway: Gateway) -> None:
    await _costs(gateway, 5002)


@walk("channel.models.m.output", "5", scripts=_usage(completion_tokens=1000, total_tokens=2000))
async def _(gateway: Gateway) -> None:
    await _costs(gateway, 6000)


_ONE = {"completion_tokens": 1, "total_tokens": 1001}


@walk("channel.models.m.cached", "0.1", scripts=_usage(**_ONE, prompt_tokens_details={"cached_tokens": 900}))
async def _(gateway: Gateway) -> None:
    await _costs(gateway, 100 + 90 + 2)


_WRITTEN = {"cache_creation_input_tokens": 900}


@walk("channel.models.m.cache_write", "3", scripts=_usage(**_ONE, prompt_tokens_details=_WRITTEN))
async def _(gateway: Gateway) -> None:
    await _costs(gateway, 100 + 2700 + 2)


_HOUR = {**_WRITTEN, "cache_creation": {"ephemeral_1h_input_tokens": 900}}


@walk("channel.models.m.cache_write_1h", "4", scripts=_usage(**_ONE, prompt_tokens_details=_HOUR))
async def _(gateway: Gateway) -> None:
    await _costs(gateway, 100 + 3600 + 2)


@walk("channel.models.m.per_request", "0.5", scripts=_usage(**_ONE))
async def _(gateway: Gateway) -> None:
    await _costs(gateway, 500_000 + 1002)


@walk("channel.models.m.tiers", "[{ above = 500, input = 7, output = 9 }]", scripts=_usage(**_ONE))
async def _(gateway: Gateway) -> None:
    await _costs(gateway, 7009)


_ALL_DAY = '[{ utc = ["00:00-24:00"], input = 7, output = 9 }]'


@walk("channel.models.m.hours", _ALL_DAY, scripts=_usage(**_ONE))
async def _(gateway: Gateway) -> None:
    await _costs(gateway, 7009)


_ARK = {"channel.provider": '"volcengine"', "channel.models.m.input": "8", "channel.models.m.output": "8"}


@walk("channel.models.m.like", '"doubao-seed-2-1-pro-260628"', _ARK)
async def _(gateway: Gateway) -> None:
    """Under its own name, and in the catalogue's field for a cap."""
    await gateway.chat(await gateway.account())
    assert gateway.asked.json["model"] == "m"
    assert (await _priced(gateway))["best_for"] == "Hard reasoning, coding"


@walk("channel.models.m.context", "2000", {"channel.models.m.max_output": "500"})
async def _(gateway: Gateway) -> None:
    said = await gateway.chat(await gateway.account(), messages=[{"role": "user", "content": "word " * 4000}])
    assert (said.status_code, said.json()["error"]["code"]) == (400, "context_length_exceeded")


@walk("channel.models.m.max_output", "77")
async def _(gateway: Gateway) -> None:
    await gateway.chat(await gateway.account())
    assert gateway.asked.json["max_tokens"] == 77


@walk("channel.models.m.kind", '"embeddings"')
async def _(gateway: Gateway) -> None:
    said = await gateway.chat(await gateway.account())
    assert said.status_code == 400 and "embeddings" in said.text


@walk("channel.models.m.cap_field", '"max_completion_tokens"')
async def _(gateway: Gateway) -> None:
    await gateway.chat(await gateway.account(), max_tokens=9)
    assert gateway.asked.json["max_completion_tokens"] == 9 and "max_tokens" not in gateway.asked.json


@walk("channel.models.m.thinking_in_cap", "false", scripts=_usage(completion_tokens=500, total_tokens=1500))
async def _(gateway: Gateway) -> None:
    """An output past the cap is believed: it may be thinking."""
    key = await gateway.account()
    await gateway.chat(key, max_tokens=10)
    assert await gateway.row("completion_tokens, estimated", key) == (500, 0)


@walk("channel.models.m.image_tokens", "99990")
async def _(gateway: Gateway) -> None:
    """One image fills the context."""
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    said = await gateway.chat(await gateway.account(), messages=[{"role": "user", "content": [image]}])
    assert (said.status_code, said.json()["error"]["code"]) == (400, "context_length_exceeded")


@walk("channel.models.m.tags", '["quick"]')
async def _(gateway: Gateway) -> None:
    assert (await _priced(gateway))["tags"] == ["quick"]


@walk("channel.models.m.best_for", '"short answers"')
async def _(gateway: Gateway) -> None:
    assert (await _priced(gateway))["best_for"] == "short answers"


async def _priced(gateway: Gateway) -> dict[str, object]:
    rows = (await gateway.get("/v1/pricing", await gateway.account())).json()["data"]
    return next(row for row in rows if row["id"] == "m")
