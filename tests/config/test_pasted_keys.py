"""A key that was pasted into the wrong place is in no fault and no warning: those are printed, logged and sent on."""

from collections.abc import Iterator

import pytest

from ftgate.config import settings
from ftgate.config.channel_settings import ChannelSettings, ModelSettings, ProviderOverride
from ftgate.config.load import fields
from ftgate.core.health import Breaker
from ftgate.core.limits import Rates
from ftgate.core.retrying import Retry
from ftgate.core.routing import Timeouts
from ftgate.errors import ConfigFaults
from tests.config.reading import CHANNEL, load

KEY = "sk-4f9c2a7be01d"
SECTIONS = {
    "server": settings.Server, "database": settings.Database, "backup": settings.Backup,
    "billing": settings.Billing, "stripe": settings.Stripe, "telemetry": settings.Telemetry, "limits": Rates,
    "limits.account": Rates,
    "limits.model.m": Rates, "timeouts": Timeouts, "retry": Retry, "breaker": Breaker,
    "plan.default": settings.PlanSettings, "provider.deepseek": ProviderOverride, "auto": settings.Auto,
}  # fmt: skip
VALUES = [
    text.replace("KEY", KEY)
    for text in (
        '"KEY"', '["KEY"]', '["KEY", "KEY"]', '"env:KEY"', '["env:KEY"]', '"file:KEY"', '["file:KEY"]',
        '{ "KEY" = 1 }', '{ "KEY" = "KEY" }', '{ "KEY" = { "KEY" = "KEY" } }',
    )
]  # fmt: skip
NAMES = [
    text.replace("KEY", KEY)
    for text in (
        "[KEY]\nx = 1", "KEY = 1", "[plan.KEY]\nx = 1", '[plan.KEY]\nprice_multiplier = "x"', "[plan.KEY.KEY]\nx = 1",
        '[provider.KEY]\nbase_url = "http://127.0.0.1"', "[limits.model.KEY]\nx = 1",
        "[limits.model.KEY]\nconcurrent = 1", '[alias]\nKEY = 1', '[alias]\nKEY = "KEY"', '[alias]\na = "KEY"',
        '[alias]\nKEY = "b"\nb = "KEY"', "[fallback]\nKEY = 1", '[fallback]\nKEY = ["a"]', '[fallback]\na = ["KEY"]',
        '[channel.models."KEY"]\ninput = 1', '[channel.models."KEY"]\ninput = 1\noutput = 2\nx = 1',
        '[channel.models."KEY"]\ninput = 1\noutput = 2\ncontext = 1\nmax_output = 2', "[channel.models.KEY.x]\nx = 1",
    )
]  # fmt: skip


def told(text: str) -> list[str]:
    """The faults of a text; its warnings where it has none."""
    try:
        return load(text).warnings
    except ConfigFaults as faulty:
        return faulty.faults


def of_channel(name: str, value: str) -> str:
    """A channel in which this setting has this value and no other."""
    lines = [line for line in CHANNEL.split("\n") if not line.startswith(f"{name} =")]
    at = lines.index('[channel.models."m"]')
    return "\n".join([*lines[:at], f'"{name}" = {value}', *(lines[at:] if name != "models" else [])])


def texts(where: str) -> Iterator[str]:
    if where == "names":
        yield from (CHANNEL + text for text in NAMES)
    elif where == "channel":
        yield from (of_channel(name, value) for name in [*fields(ChannelSettings), KEY] for value in VALUES)
    elif where == "channel.models.m":
        yield from (f'{CHANNEL}"{name}" = {value}' for name in [*fields(ModelSettings), KEY] for value in VALUES)
    else:
        names = [*fields(SECTIONS[where]), KEY]
        yield from (f'{CHANNEL}[{where}]\n"{name}" = {value}' for name in names for value in VALUES)


@pytest.mark.parametrize("where", [*SECTIONS, "channel", "channel.models.m", "names"])
def test_no_fault_quotes_a_key_back(where: str) -> None:
    found = {text: told(text) for text in texts(where)}
    assert [said for said in found.items() if KEY in str(said[1])] == []
    assert sum(map(len, found.values())) > len(found) / 2  # nearly each of them is wrong


def test_a_circle_of_aliases_is_named_whole() -> None:
    assert "round in a circle: a -> this value -> a." in str(told(f'[alias]\na = "{KEY}"\n{KEY} = "a"'))
