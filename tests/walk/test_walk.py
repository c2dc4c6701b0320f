"""Every setting from the file to what it changes in a running gateway.

A setting that is read, checked, documented and then obeyed by nothing looks like one that works. So each has a row: a
config with it in which a check passes, and the same without it in which the check fails.
"""

import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
import trio
from click.testing import CliRunner

from ftgate import app, config
from ftgate.cli.group import cli
from ftgate.config import needing_restart, settings
from ftgate.config.build import SECTIONS as SECTIONS_OF_A_FILE
from ftgate.config.changes import AT_A_START
from ftgate.config.channel_settings import ChannelSettings, ModelSettings, ProviderOverride
from ftgate.config.load import fields
from ftgate.core.health import Breaker
from ftgate.core.limits import Rates
from ftgate.core.retrying import Retry
from ftgate.core.routing import Timeouts
from ftgate.errors import ConfigFaults
from tests.config.reading import CHANNEL, faults
from tests.walk import rows_channel, rows_house, rows_line, rows_payments
from tests.walk.gateway import running, written
from tests.walk.table import WALKS, Walk

ROWS = (rows_house, rows_line, rows_channel, rows_payments)
"""Where the rows stand; importing them has filled WALKS."""
IMPATIENT_S = 0.6
"""How long a check waits where what it waits for is not to come."""
REFUSED = {
    "database.hold_lifetime": ("1800", "is not under [database] hold_lifetime = 1800"),
    "database.url": (
        '"mysql://127.0.0.1/x"',
        "is no PostgreSQL",
    ),  # else: tests/blackbox/test_gateways.py
    "stripe.currency": ('"eur"', "is no choice"),
}
"""Settings whose effect is that a config is refused: how, and in which words."""
PROCESS = ("server.host", "server.port", "server.data_dir", "server.public_url", "server.log_format")
"""Settings that a process obeys (test_what_serve_goes_by)."""
PAIRS = {"stripe.secret_key": "stripe.webhook_secret", "stripe.webhook_secret": "stripe.secret_key"}
"""What is refused without another."""
SECTIONS = {
    "server": (settings.Server,),
    "database": (settings.Database,),
    "backup": (settings.Backup,),
    "billing": (settings.Billing,),
    "stripe": (settings.Stripe,),
    "telemetry": (settings.Telemetry,),
    "limits": (Rates,),
    "limits.account": (Rates,),
    "limits.model.m": (Rates,),
    "timeouts": (Timeouts,),
    "retry": (Retry,),
    "breaker": (Breaker,),
    "plan.default": (settings.PlanSettings, Rates),
    "provider.ollama": (ProviderOverride,),
    "channel": (ChannelSettings,),
    "channel.timeouts": (Timeouts,),
    "channel.models.m": (ModelSettings,),
    "auto": (settings.Auto,),
}
NAMED = {"alias", "fallback"}
"""Sections that are a table of names."""
TABLES = {"channel.timeouts", "channel.models"}
"""What is no setting by itself."""


def named(walk: Walk) -> str:
    return walk.setting


@pytest.mark.parametrize("walk", WALKS, ids=named)
async def test_a_setting_has_its_effect(walk: Walk, tmp_path: Path, silent: int) -> None:
    text = written(walk.given, {walk.setting: walk.value}, tail=walk.tail).replace("SILENT", str(silent))
    async with running(tmp_path, text, walk.scripts, tls=walk.tls) as gateway:
        await walk.check(gateway)


@pytest.mark.parametrize("walk", WALKS, ids=named)
async def test_without_it_there_is_none(walk: Walk, tmp_path: Path, silent: int) -> None:
    text = written(walk.given, tail=walk.tail).replace("SILENT", str(silent))
    fails = pytest.RaisesExc((AssertionError, ConfigFaults, KeyError, trio.TooSlowError, httpx.HTTPError))
    with pytest.RaisesGroup(fails, allow_unwrapped=True, flatten_subgroups=True):
        async with running(tmp_path, text, walk.scripts, tls=walk.tls, patience_s=IMPATIENT_S) as gateway:
            await walk.check(gateway)


@pytest.mark.parametrize(
    "walk", [walk for walk in WALKS if "tls" not in walk.setting and walk.setting not in PAIRS], ids=named
)
async def test_a_reload_brings_it_into_a_gateway_that_has_served(walk: Walk, tmp_path: Path, silent: int) -> None:
    """All rooms that keep something have something kept: connections, plans, made headers, counted limits."""
    before = written(walk.given, tail=walk.tail).replace("SILENT", str(silent))
    after = written(walk.given, {walk.setting: walk.value}, tail=walk.tail).replace("SILENT", str(silent))
    section, _, name = walk.setting.rpartition(".")
    async with running(tmp_path, before, walk.scripts, tls=walk.tls) as gateway:
        with trio.move_on_after(0.3):
            await gateway.chat(await gateway.account())
        await gateway.reload(after)
        if (section, name) in AT_A_START:
            assert needing_restart(gateway.settings, gateway.read()) == [walk.setting]
        else:
            await gateway.forget()
            await walk.check(gateway)


@pytest.fixture
def silent() -> Iterator[int]:
    """A port where connections are taken and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize("setting", REFUSED)
def test_a_setting_that_refuses_others(setting: str) -> None:
    value, words = REFUSED[setting]
    section, _, name = setting.rpartition(".")
    assert faults(CHANNEL) == []
    assert words in "".join(faults(f"{CHANNEL}\n[{section}]\n{name} = {value}\n"))


@pytest.mark.parametrize("setting", [None, *PROCESS])
def test_what_serve_goes_by(setting: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them are in the config but the one named."""
    given = {
        "server.host": '"127.0.0.2"',
        "server.port": "8411",
        "server.data_dir": '"there"',
        "server.public_url": '"https://llm.example.org"',
        "server.log_format": '"json"',
    }
    given.pop(setting, None)
    file = tmp_path / "ftgate.toml"
    file.write_text(written(given).replace("FAKE", "http://127.0.0.1:1"))
    served: list[tuple[str, int, Path]] = []

    async def serves(_: config.Settings, data_dir: Path, *, host: str, port: int, **__: object) -> int:
        served.append((host, port, data_dir))
        return 0

    monkeypatch.setattr(app, "serve", serves)
    formats: list[str] = []
    monkeypatch.setattr("ftgate.house.log.to_stderr", lambda: SimpleNamespace(write_as=formats.append))
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli, ["serve", "--config", str(file)])
    assert done.exit_code == 0, done.output
    ((host, port, data_dir),) = served
    there = data_dir.name == "there"
    seen = {"server.host": host == "127.0.0.2", "server.port": port == 8411, "server.data_dir": there}
    seen["server.log_format"] = formats == ["json"]
    assert [name for name, with_it in seen.items() if not with_it] == [name for name in seen if name == setting]
    assert ("keys cross the network in clear" in done.stderr) is (setting == "server.public_url")


def test_every_setting_is_walked() -> None:
    everything = {
        f"{section}.{name}" for section, structs in SECTIONS.items() for struct in structs for name in fields(struct)
    } - TABLES
    walked = {walk.setting for walk in WALKS}
    there = [*walked, *REFUSED, *PROCESS]
    of_names = {setting for setting in there if setting.split(".")[0] in NAMED}
    assert len(there) == len(set(there)), "a setting that is walked has an effect"
    assert set(there) - of_names == everything
    assert {setting.split(".")[0] for setting in there} == set(SECTIONS_OF_A_FILE)
