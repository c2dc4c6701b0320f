"""config.example.toml is what the declarations say, and it works."""

import re
import tomllib
from pathlib import Path

import msgspec
import pytest

from ftgate import config
from ftgate.config import settings
from ftgate.config.channel_settings import ChannelSettings, ModelSettings
from ftgate.config.load import fields
from ftgate.core.health import Breaker
from ftgate.core.limits import Rates
from ftgate.core.retrying import Retry
from ftgate.core.routing import Timeouts
from ftgate.core.secret import Secret
from tests.config.reading import faults, load

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"
ENVIRON = {
    "DEEPSEEK_API_KEY": "sk-1", "STRIPE_SECRET_KEY": "sk_test", "STRIPE_WEBHOOK_SECRET": "whsec",
    "FTGATE_METRICS_TOKEN": "token", "OTLP_AUTHORIZATION": "Bearer t",
    "FTGATE_DATABASE_URL": "postgresql://ftgate:p@db/ftgate",
}  # fmt: skip


def uncommented() -> str:
    """The example with every mark taken away: "#" with a name, a bracket or a quote right behind it."""
    return re.sub(r'^#(?=[a-z"\[])', "", config.write_example(), flags=re.MULTILINE)


def test_the_file_in_the_repository_is_the_generated_one() -> None:
    """Mend it with: ftgate init --force --path config.example.toml"""
    assert EXAMPLE.read_text("utf-8") == config.write_example()


def test_as_it_stands_it_is_no_config_at_all() -> None:
    written, none = load(config.write_example(), {}), config.from_environment({}, None)
    same = {"origin": None, "warnings": [], "files": {}, "lines": {}}
    assert msgspec.structs.replace(written, **same) == msgspec.structs.replace(none, **same)


def test_uncommented_it_loads_and_keeps_the_defaults() -> None:
    assert faults(uncommented(), ENVIRON) == []
    found, none = load(uncommented(), ENVIRON), config.from_environment(ENVIRON, None)
    assert [channel.name for channel in found.routes.channels] == ["deepseek-main", "lab"]
    assert found.backup == msgspec.structs.replace(none.backup, to=Path("/mnt/other-disk/ftgate"))
    assert found.telemetry == settings.Telemetry("http://127.0.0.1:4318", {"Authorization": "Bearer t"})
    url = Secret(ENVIRON["FTGATE_DATABASE_URL"])
    assert found.database == msgspec.structs.replace(none.database, url=url)
    for section in ("billing", "stripe", "limits", "limits_account", "timeouts", "retry", "breaker"):
        assert getattr(found, section) == getattr(none, section), section
    assert found.server == msgspec.structs.replace(
        none.server, public_url="https://llm.example.org", metrics_token=Secret("token")
    )
    assert found.routes.channels[1].models["my-model"].price.cached == 28_000


SECTIONS = {
    "server": settings.Server, "database": settings.Database, "backup": settings.Backup,
    "billing": settings.Billing, "stripe": settings.Stripe, "telemetry": settings.Telemetry, "limits": Rates,
    "timeouts": Timeouts, "retry": Retry, "breaker": Breaker, "auto": settings.Auto,
}  # fmt: skip


@pytest.mark.parametrize("section", SECTIONS)
def test_every_setting_is_there(section: str) -> None:
    written = tomllib.loads(uncommented())[section]
    shown = {name for name, (_, note) in fields(SECTIONS[section]).items() if note.kind != "readable"}
    assert shown == set(written) - {"account", "model"}


def test_every_setting_of_channels_and_models_is_explained() -> None:
    text = config.write_example()
    for struct in (ChannelSettings, ModelSettings):
        known = fields(struct)
        shown = [
            name
            for name, (_, note) in known.items()
            if re.search(rf"^#   {name} +{re.escape(note.help)}$", text, flags=re.MULTILINE)
        ]
        assert shown == list(known)


def test_its_lines_fit_a_screen() -> None:
    assert [line for line in config.write_example().splitlines() if len(line) > 130] == []
