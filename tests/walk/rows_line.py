"""[timeouts], [retry], [auto], [alias], [fallback], [provider]: which ways a call goes, and how patiently."""

import math

import trio

from tests.walk.gateway import Gateway, Script, messages, responses
from tests.walk.table import walk

NEVER = math.inf
ONCE = {"retry.attempts": "1"}

# [timeouts], and a channel's own


async def _times_out(gateway: Gateway, *, stream: bool) -> None:
    """Nothing has come before the limit strikes."""
    answer = await gateway.chat(await gateway.account(), stream=stream)
    assert answer.status_code == 504 and "timed out" in answer.text


async def _plain(gateway: Gateway) -> None:
    await _times_out(gateway, stream=False)


async def _streamed(gateway: Gateway) -> None:
    await _times_out(gateway, stream=True)


async def _cut(gateway: Gateway) -> None:
    """The stream has begun and is cut by the limit."""
    answer = await gateway.chat(await gateway.account(), stream=True)
    assert answer.status_code == 200 and b'"error"' in answer.content and b"[DONE]" not in answer.content


for _section in ("timeouts", "channel.timeouts"):
    walk(f"{_section}.head", "0.2", ONCE, scripts={"m": Script(head_delay_s=NEVER)})(_streamed)
    walk(f"{_section}.answer", "0.2", ONCE, scripts={"m": Script(head_delay_s=NEVER)})(_plain)
    walk(f"{_section}.first_token", "0.2", ONCE, scripts={"m": Script(first_delay_s=NEVER)})(_streamed)
    walk(f"{_section}.idle", "0.2", ONCE, scripts={"m": Script(hang_after=1)})(_cut)
    walk(f"{_section}.total", "0.3", ONCE, scripts={"m": Script(repeat=10**6, piece_delay_s=0.02)})(_cut)


for _section in ("timeouts", "channel.timeouts"):

    @walk(f"{_section}.connect", "0.2", {**ONCE, "channel.base_url": '"https://127.0.0.1:SILENT/v1"'})
    async def _(gateway: Gateway) -> None:
        """It is accepted, and the handshake of TLS never answered."""
        answer = await gateway.chat(await gateway.account())
        assert answer.status_code in {503, 504}


# [retry]


@walk("retry.attempts", "1", {"retry.backoff": "0"}, scripts={"m": Script(status=500)})
async def _(gateway: Gateway) -> None:
    before = len(gateway.fake.requests)
    assert (await gateway.chat(await gateway.account())).status_code == 502
    assert len(gateway.fake.requests) - before == 1


@walk("retry.backoff", "0", scripts={"m": Script(status=500)})
@walk("retry.backoff_cap", "0", scripts={"m": Script(status=500)})
async def _(gateway: Gateway) -> None:
    """Three tries by default, with 0.25 s and 0.5 s between them at least."""
    before = len(gateway.fake.requests)
    assert (await gateway.chat(await gateway.account())).status_code == 502
    first, _, last = gateway.fake.requests[before:]
    assert last.at - first.at < 0.75


@walk("retry.max_retry_after", "0", scripts={"m": Script(status=429, retry_after=1)})
async def _(gateway: Gateway) -> None:
    before = len(gateway.fake.requests)
    assert (await gateway.chat(await gateway.account())).status_code == 503
    assert len(gateway.fake.requests) - before == 1


# [breaker]

DOWN = {"m": Script(status=500)}


async def _fails(gateway: Gateway, key: str, *statuses: int, rest_s: float = 0.0) -> None:
    """Calls with these statuses, one after the other, each after a rest."""
    for status in statuses:
        await trio.sleep(rest_s)
        assert (await gateway.chat(key)).status_code == status


@walk("breaker.failures", "1", ONCE, scripts=DOWN)
async def _(gateway: Gateway) -> None:
    await _fails(gateway, await gateway.account(), 502, 503)


@walk("breaker.window", "0.05", {**ONCE, "breaker.failures": "2"}, scripts=DOWN)
async def _(gateway: Gateway) -> None:
    await _fails(gateway, await gateway.account(), 502, 502, 502, 502, rest_s=0.1)


@walk("breaker.cooldown", "0.1", {**ONCE, "breaker.failures": "1"}, scripts=DOWN)
async def _(gateway: Gateway) -> None:
    key = await gateway.account()
    await _fails(gateway, key, 502)
    await _fails(gateway, key, 502, rest_s=0.15)


@walk("breaker.cooldown_cap", "0.1", {**ONCE, "breaker.failures": "1", "breaker.cooldown": "0.1"}, scripts=DOWN)
async def _(gateway: Gateway) -> None:
    await _fails(gateway, await gateway.account(), 502, 502, 502, 502, 502, rest_s=0.15)


# Names


@walk("auto.first_token_target", "0.1", {"auto.simple": '["m", "n"]'}, scripts={"m": Script(first_delay_s=0.3)})
async def _(gateway: Gateway) -> None:
    key = await gateway.account()
    asked = [await gateway.chat(key, "auto", stream=True) for _ in range(2)]
    assert [answer.headers["x-findtoken-model"] for answer in asked] == ["m", "n"]


@walk("auto.simple", '["n"]')
async def _(gateway: Gateway) -> None:
    assert (await gateway.chat(await gateway.account(), "auto")).headers["x-findtoken-model"] == "n"


@walk("auto.medium", '["n"]')
async def _(gateway: Gateway) -> None:
    said = await gateway.chat(await gateway.account(), "auto", messages=[{"role": "user", "content": "word " * 2000}])
    assert said.headers["x-findtoken-model"] == "n"


@walk("auto.complex", '["n"]')
async def _(gateway: Gateway) -> None:
    hard = [{"role": "user", "content": "Prove that every group of prime order is cyclic, and refute the converse."}]
    assert (await gateway.chat(await gateway.account(), "auto", messages=hard)).headers["x-findtoken-model"] == "n"


@walk("alias.other", '"m"')
async def _(gateway: Gateway) -> None:
    assert (await gateway.chat(await gateway.account(), "other")).headers["x-findtoken-model"] == "m"


@walk("fallback.m", '["n"]', scripts={"m": Script(status=500)})
async def _(gateway: Gateway) -> None:
    assert (await gateway.chat(await gateway.account())).headers["x-findtoken-model"] == "n"


OLLAMA = """
[[channel]]
name = "box"
provider = "ollama"
keys = ["none"]
[channel.models.b]
input = 1
output = 1
"""


@walk("provider.ollama.base_url", '"FAKE/override"', ONCE, tail=OLLAMA)
async def _(gateway: Gateway) -> None:
    """A provider on this machine: without the setting its own address must not be one outside."""
    assert (await gateway.chat(await gateway.account(), "b")).status_code == 200
    assert gateway.asked.path == "/override/chat/completions"


@walk("provider.ollama.anthropic_base_url", '"FAKE/a"', ONCE, tail=OLLAMA)
async def _(gateway: Gateway) -> None:
    assert (await messages(gateway, "b")).status_code == 200
    assert gateway.asked.path == "/a/messages"


@walk("provider.ollama.responses_base_url", '"FAKE/r"', ONCE, tail=OLLAMA)
async def _(gateway: Gateway) -> None:
    assert (await responses(gateway, "b")).status_code == 200
    assert gateway.asked.path == "/r/responses"


@walk("provider.ollama.models", "{ big = { input = 3, output = 3, context = 9 } }", tail=OLLAMA)
async def _(gateway: Gateway) -> None:
    rows = (await gateway.get("/v1/pricing", await gateway.account())).json()["data"]
    assert [row["context"] for row in rows if row["id"] == "big"] == [9]
