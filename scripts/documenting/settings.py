"""The topic `settings`: every setting as it is declared, with its default and its reason."""

from collections.abc import Iterator
from typing import Any

import msgspec

from ftgate.config import settings as declared
from ftgate.config.channel_settings import ChannelSettings, ModelSettings, ProviderOverride
from ftgate.config.load import fields
from ftgate.config.note import LARGEST, YEAR_S, Note
from ftgate.config.write import toml
from ftgate.core.health import Breaker
from ftgate.core.limits import Rates
from ftgate.core.retrying import Retry
from ftgate.core.routing import Timeouts

HEAD = """\
# Settings

Every setting of the config, with its default and the reason for it.

They stand in `ftgate.toml`, which `ftgate init` writes with all of them explained; [config](config.md) tells how a
config is written and read again. Times are seconds, money is USD, and prices are USD for a million tokens. A setting
is named here by its section and its name: `server.port` is the line `port = 8400` under `[server]`.
"""
SECTIONS: tuple[tuple[str, str, type[msgspec.Struct], str], ...] = (
    ("server", "[server]", declared.Server, "Where it listens, and how it behaves as a whole."),
    ("database", "[database]", declared.Database, "How the ledger is kept."),
    ("backup", "[backup]", declared.Backup, "Copies of the database, made by the server. See [backup](backup.md)."),
    ("billing", "[billing]", declared.Billing, "Who pays. See [billing](billing.md)."),
    ("stripe", "[stripe]", declared.Stripe, "Payments by card. See [payments](payments.md)."),
    ("telemetry", "[telemetry]", declared.Telemetry,
     "What an OpenTelemetry collector is told; heeded at a start. See [metrics](metrics.md)."),
    ("limits", "[limits]", Rates,
     "Limits of each key; 0 is none. The same names in `limits.account` hold for each account with all its keys, and "
     'in `limits.model` (`[limits.model."NAME"]`) for a model over all its callers. See [users](users.md).'),
    ("timeouts", "[timeouts]", Timeouts, "How long a provider may take."),
    ("retry", "[retry]", Retry, "How patiently a call is tried. See [routing](routing.md)."),
    ("breaker", "[breaker]", Breaker, "When a channel that fails is left alone."),
    ("plan", "[plan.NAME]", declared.PlanSettings,
     "What accounts and keys on a plan may do. The names of `[limits]` may stand here too, and hold for each of its "
     "keys. Accounts are on `default` where nothing else is said."),
    ("channel", "[[channel]]", ChannelSettings, "One way to a provider. See [providers](providers.md)."),
    ("channel.models", '[channel.models."NAME"]', ModelSettings,
     'One model of a channel. `[provider.X.models."NAME"]` takes the same, for all channels of a provider.'),
    ("provider", "[provider.NAME]", ProviderOverride, "Other addresses and prices than the catalogue's."),
    ("auto", "[auto]", declared.Auto, 'What `model = "auto"` tries. See [routing](routing.md).'),
)  # fmt: skip
TAIL = """
## [alias]

`alias` gives models other names, one a line: `"gpt-4o-mini" = "deepseek-chat"`.

## [fallback]

`fallback` says what is tried when a model fails, one a line: `"deepseek-chat" = ["glm-4-plus", "qwen-plus"]`.
"""


def settings() -> str:
    """The topic's text."""
    return HEAD + "".join(_section(*one) for one in SECTIONS) + TAIL


def names() -> Iterator[str]:
    """Every setting, as the manual names it."""
    for prefix, _, struct, _ in SECTIONS:
        yield from (f"{prefix}.{name}" for name in fields(struct))
    yield from ("alias", "fallback", "limits.account", "limits.model")


def _section(prefix: str, heading: str, struct: type[msgspec.Struct], about: str) -> str:
    defaults = {one.name: one for one in msgspec.structs.fields(struct)}
    lines = [
        f"- `{prefix}.{name}`{_default(prefix, name, defaults[name], note)}: {note.help}{_bounds(note)} "
        f"Why: {note.reason}\n"
        for name, (_, note) in fields(struct).items()
    ]
    return f"\n## {heading}\n\n{about}\n\n{''.join(lines)}"


def _default(prefix: str, name: str, field: Any, note: Note) -> str:
    default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
    if prefix == "limits":
        default = getattr(declared.LIMITS, name)
    if default is msgspec.NODEFAULT:
        return " (required)"
    if default is None or default == {} or (default == () and note.kind != "origins"):
        return f" (for example `{note.shown}`)" if note.shown else ""
    if note.kind == "multiplier":
        return f" = `{note.shown}`"
    return f" = `{toml(default, note.kind)}`"


def _bounds(note: Note) -> str:
    if note.kind == "usd":
        return ""
    least = f"More than {note.low}" if note.above else f"At least {note.low}" if note.low else ""
    if note.high in (LARGEST, YEAR_S):
        return f" {least}." if least else ""
    return f" {least}, at most {note.high}." if least else f" At most {note.high}."
