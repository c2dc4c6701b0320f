"""[server], [database], [billing], [limits], [plan]: what the house and its doors go by."""

import json
import math
import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import AsyncExitStack, closing
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import trio

from ftgate.core.retention import DAY_US
from ftgate.doors.fast import FastDoor
from ftgate.house.copies import HOUR_US, ours
from ftgate.house.house import DATABASE, SystemClock
from ftgate.transports.direct import DirectUpstream
from tests.fakes.collector import plain
from tests.walk.gateway import Gateway, Script, until
from tests.walk.table import walk

ENDLESS = {"m": Script(content=("tick ",), repeat=10_000, piece_delay_s=0.02)}


# [server]; host, port, data_dir and public_url are in test_walk.py, where a process is started


@walk("server.fast_door", "false")
async def _(gateway: Gateway) -> None:
    assert (await gateway.chat(await gateway.account())).status_code == 200
    assert FastDoor not in gateway.doors and gateway.doors


@walk("server.direct_transport", "false")
async def _(gateway: Gateway) -> None:
    assert (await gateway.chat(await gateway.account())).status_code == 200
    assert DirectUpstream not in gateway.ways and gateway.ways


@walk("server.tls_cert", '"PLACE/cert.pem"', {"server.tls_key": '"PLACE/key.pem"'})
async def _(gateway: Gateway) -> None:
    assert gateway.url.startswith("https://")
    assert (await gateway.chat(await gateway.account())).status_code == 200


@walk("server.tls_key", '"PLACE/key.pem"', {"server.tls_cert": '"PLACE/cert.pem"'})
async def _(gateway: Gateway) -> None:
    assert gateway.url.startswith("https://")


@walk("server.max_body_mb", "1")
async def _(gateway: Gateway) -> None:
    said = await gateway.chat(await gateway.account(), messages=[{"role": "user", "content": "x" * 1_500_000}])
    assert said.status_code == 413


@walk("server.connections_per_address", "2")
async def _(gateway: Gateway) -> None:
    where = urlsplit(gateway.url)
    async with AsyncExitStack() as stack:
        for _ in range(3):
            wire = await trio.open_tcp_stream(where.hostname or "", where.port or 0)
            await stack.enter_async_context(wire)
        with trio.fail_after(gateway.patience_s):
            assert await wire.receive_some() == b""


@walk("server.cors", "false")
async def _(gateway: Gateway) -> None:
    answer = await gateway.get("/v1/models", await gateway.account(), Origin="https://elsewhere.example")
    assert "access-control-allow-origin" not in answer.headers


@walk("server.shutdown_grace", "0", scripts=ENDLESS)
async def _(gateway: Gateway) -> None:
    async with gateway.stream(await gateway.account()) as wire:
        await wire.until(b"tick")
        gateway.tell_to_stop()
        await wire.until(b"shutting_down", gateway.patience_s)


@walk("server.shutdown_notice", "3600")
async def _(gateway: Gateway) -> None:
    key = await gateway.account()
    gateway.tell_to_stop()
    with trio.fail_after(gateway.patience_s):
        while (await gateway.http.get("/readyz")).status_code != 503:
            await trio.sleep(0.01)
    assert (await gateway.chat(key)).status_code == 200


@walk("server.keepalive", "0.05", scripts={"m": Script(first_delay_s=0.5)})
async def _(gateway: Gateway) -> None:
    async with gateway.stream(await gateway.account()) as wire:
        await wire.until(b": keepalive\n", gateway.patience_s)


@walk("server.retention_days", "2")
async def _(gateway: Gateway) -> None:
    key, clock = await gateway.account(), gateway.house.clock
    for _ in range(2):  # the newest row stays
        assert (await gateway.chat(key)).status_code == 200
    before = [id for (id,) in await gateway.rows("id", key)]
    clock.wall_us = lambda: SystemClock().wall_us() + 3 * DAY_US  # type: ignore[method-assign]
    gateway.house.live.adopt(gateway.house.live.settings)  # it need not be waited for a minute
    with trio.fail_after(gateway.patience_s):
        while [id for (id,) in await gateway.rows("id", key)] != before[-1:]:
            await trio.sleep(0.02)


# [telemetry]


TOLD = {"telemetry.otlp_endpoint": '"COLLECTOR"'}


async def told(gateway: Gateway) -> tuple[dict[str, str], dict[str, str]]:
    """The head of what a collector got of a call, and what it says of the server."""
    assert (await gateway.chat(await gateway.account())).status_code == 200
    await gateway.stop()
    assert [span["name"] for span in gateway.collector.spans()] == ["chat m"]
    _, heads, body = next(one for one in gateway.collector.seen if one[0] == "/v1/traces")
    return heads, plain(json.loads(body)["resourceSpans"][0]["resource"]["attributes"])


@walk("telemetry.otlp_endpoint", '"COLLECTOR"')
async def _(gateway: Gateway) -> None:
    await told(gateway)


@walk("telemetry.headers", '{ Authorization = "Bearer t" }', TOLD)
async def _(gateway: Gateway) -> None:
    heads, _ = await told(gateway)
    assert heads.get("Authorization") == "Bearer t"


@walk("telemetry.service_name", '"the-shed"', TOLD)
async def _(gateway: Gateway) -> None:
    _, server = await told(gateway)
    assert server["service.name"] == "the-shed"


# [backup]


async def copied(gateway: Gateway, hours: int) -> list[Path]:
    """The copies that are there once one was made so many hours from now."""
    folder = gateway.house.backups()
    before = set(ours(folder)) if folder.exists() else set()
    gateway.house.clock.wall_us = lambda: SystemClock().wall_us() + hours * HOUR_US  # type: ignore[method-assign]
    gateway.house.live.adopt(gateway.house.live.settings)  # it need not be waited for a minute
    with trio.fail_after(gateway.patience_s):
        while not folder.exists() or not set(ours(folder)) - before:
            await trio.sleep(0.02)
    return ours(folder)


@walk("backup.every_hours", "2")
async def _(gateway: Gateway) -> None:
    assert len(await copied(gateway, 3)) == 1


@walk("backup.keep", "1")
async def _(gateway: Gateway) -> None:
    before = await copied(gateway, 25)
    await copied(gateway, 50)
    with trio.fail_after(gateway.patience_s):
        while set(before) & set(ours(gateway.house.backups())):  # it goes when the new one is there
            await trio.sleep(0.02)


@walk("backup.to", '"PLACE"')
async def _(gateway: Gateway) -> None:
    (copy,) = await copied(gateway, 25)
    assert copy.parent == gateway.place


# [database]; hold_lifetime is in test_walk.py: its effect is a refusal at load


@walk("database.durability", '"process"')
async def _(gateway: Gateway) -> None:
    assert gateway.house.connection.execute("PRAGMA synchronous").fetchone() == (1,)  # NORMAL


@walk("database.expired_hold", '"charge_estimate"', scripts=ENDLESS)
async def _(gateway: Gateway) -> None:
    copy = gateway.place / f"copy-{gateway.accounts}"
    async with gateway.stream(await gateway.account()) as wire:
        await wire.until(b"tick")  # so its hold is durable
        shutil.copytree(gateway.data, copy, ignore=shutil.ignore_patterns("*.sqlite3*", "*lock*", "*.sock"))
        with (
            closing(sqlite3.connect(gateway.data / DATABASE)) as whole,
            closing(sqlite3.connect(copy / DATABASE)) as file,
        ):
            whole.backup(file)
    await gateway.stop()
    gateway.data = copy
    await gateway.start()
    with closing(sqlite3.connect(copy / DATABASE)) as file:
        ((charged,),) = file.execute("SELECT amount FROM entries WHERE kind = 'expire'").fetchall()
    assert charged > 0


# [billing] and [plan]


@walk("server.registration", '"open"')
async def _(gateway: Gateway) -> None:
    assert (await gateway.sign_up("anna")).status_code == 200


@walk("server.password_min", "12", {"server.registration": '"open"'})
async def _(gateway: Gateway) -> None:
    assert (await gateway.sign_up("anna", "eleven byte")).status_code == 400


@walk("server.metrics_token", '"a-token-of-the-scraper"')
async def _(gateway: Gateway) -> None:
    answer = await gateway.http.get("/metrics", headers={"Authorization": "Bearer a-token-of-the-scraper"})
    assert answer.status_code == 200 and "ftgate_build_info" in answer.text


@walk("billing.signup_credits", "5", {"server.registration": '"open"'})
async def _(gateway: Gateway) -> None:
    said = await gateway.sign_up("anna")
    assert said.json()["user"]["quota"] == "500"


@walk("server.trusted_proxies", '["127.0.0.1"]', {"server.registration": '"open"'})
async def _(gateway: Gateway) -> None:
    """Wrong logins from several addresses are not those of one."""
    said = [
        await gateway.http.post(
            "/v1/auth/login", json={"username": "nobody", "password": "x"}, headers={"X-Forwarded-For": f"10.0.0.{n}"}
        )
        for n in range(7)
    ]
    assert [answer.status_code for answer in said] == [401] * 7


@walk("plan.default.selectable", "true")
async def _(gateway: Gateway) -> None:
    said = await gateway.get("/v1/plans", await gateway.account())
    assert said.json()["data"][0]["selectable"] is True


@walk("billing.mode", '"metered"')
@walk("plan.default.mode", '"metered"')
async def _(gateway: Gateway) -> None:
    answer = await gateway.chat(await gateway.account("0"))
    assert answer.status_code == 200 and "x-findtoken-balance" not in answer.headers


@walk("plan.default.price_multiplier", "2")
async def _(gateway: Gateway) -> None:
    answer = await gateway.chat(await gateway.account())
    assert answer.headers["x-findtoken-cost"] == "0.00002"


@walk("plan.default.models", '["n"]')
async def _(gateway: Gateway) -> None:
    key = await gateway.account()
    assert ((await gateway.chat(key)).status_code, (await gateway.chat(key, "n")).status_code) == (403, 200)


@walk("plan.default.byok_tokens_per_month", "777")
async def _(gateway: Gateway) -> None:
    assert (await gateway.get("/v1/user/balance", await gateway.account())).json()["byok_limit_month"] == 777


# [limits], for each key, each account and each model

_PROBES: dict[str, tuple[tuple[str, str, int], ...]] = {
    "key": (("own", "n", 429), ("account", "n", 200)),
    "account": (("account", "n", 429), ("own", "n", 429), ("stranger", "n", 200)),
    "model": (("stranger", "m", 429), ("own", "n", 200)),
}
"""After a first call for model m with one's own key: who calls for which model, and whether the limit holds for it
too. Another key may be of the same account or a stranger's."""
_SCOPES = (("limits", "key"), ("plan.default", "key"), ("limits.account", "account"), ("limits.model.m", "model"))


def _limit(name: str, value: str, *, in_flight: bool = False, **fields: object) -> None:
    """The rows of one limit in each of its scopes."""
    scripts = {"m": Script(head_delay_s=math.inf)} if in_flight else {}
    for section, scope in _SCOPES:
        walk(f"{section}.{name}", value, scripts=scripts)(partial(_limited, scope, in_flight, fields))


async def _limited(scope: str, in_flight: bool, fields: Mapping[str, object], gateway: Gateway) -> None:
    gateway.house.clock.now = lambda: 1000.0  # type: ignore[method-assign]  # no window moves on, however slow we are
    own = await gateway.account()
    keys = {"own": own, "account": await gateway.another_key(f"u{gateway.accounts}")}
    keys["stranger"] = await gateway.account()
    async with trio.open_nursery() as nursery:
        if in_flight:
            before = len(gateway.fake.requests)
            nursery.start_soon(gateway.chat, own)
            await until(lambda: len(gateway.fake.requests) > before)
        else:
            assert (await gateway.chat(own, **fields)).status_code == 200
        said = []
        for who, model, _ in _PROBES[scope]:
            said.append((who, model, (await gateway.chat(keys[who], model, **fields)).status_code))
        nursery.cancel_scope.cancel()
    assert tuple(said) == _PROBES[scope]


_limit("requests_per_second", "1")
_limit("requests_per_minute", "1")
_limit("tokens_per_minute", "30", max_tokens=20)
_limit("concurrent", "1", in_flight=True)
