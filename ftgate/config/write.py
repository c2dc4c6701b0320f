"""The commented example, made from the declarations: `ftgate init` writes it, and config.example.toml is it.

The marks: a line that begins with "#" and a letter, a bracket or a quote is a setting at its default (or a usable
example): take the "#" away and it holds. A line that begins with "# " is prose.
"""

import json
from collections.abc import Iterable
from pathlib import Path

import msgspec

from ftgate.config import settings
from ftgate.config.channel_settings import ChannelSettings, ModelSettings, ProviderOverride
from ftgate.config.listed import provider_comment
from ftgate.config.load import fields
from ftgate.config.note import Note
from ftgate.core.health import Breaker
from ftgate.core.money import format_usd
from ftgate.core.retrying import Retry
from ftgate.core.routing import Timeouts

WIDTH = 120

HEAD = """\
# ftgate's configuration. Everything here is optional but what a [[channel]] needs.
# Lines like "#port = 8400" are settings at their default: take the # away to change one. Lines with "# " explain.
# A value "env:NAME" is read from the environment, "file:PATH" from a file, so that no secret need stand here; a pair of
# quotes around what is found there is taken off. A name with a dot needs quotes: [channel.models."gpt-4.1"].
# Prices are USD per 1M tokens, kept as exact decimals. Times are seconds. Relative paths start at the working
# directory. Without any channel ftgate makes them from the provider keys it finds in the environment (below), or serves
# the built-in demo.
# `ftgate check` names every fault of this file, with its line and how to mend it.
"""

CHANNELS = """
# -- channels: one [[channel]] for each way to a provider ------------------------------------------------------------

# A provider of the catalogue: its address, dialect, models and prices are known; a key is all it needs.
PROVIDERS#[[channel]]
#name = "deepseek-main"
#provider = "deepseek"
#keys = ["env:DEEPSEEK_API_KEY"]

# Any other server: its whole prefix, and its models with their prices (0 where it is free).
#[[channel]]
#name = "lab"
#provider = "openai-compatible"
#base_url = "http://127.0.0.1:9000/v1"
#keys = ["none"]
#timeouts = { first_token = 20 }
#[channel.models."my-model"]
#upstream = "my-model-2026"
#input = 0.28
#output = 0.42
#cached = 0.028
#context = 131072
#max_output = 8192
#tags = ["cheap", "coding"]

# All settings of a channel:
"""

MODELS = """
# All settings of a model in [channel.models."NAME"]; over a model of the catalogue, only those that are given count:
"""

OWN_PRICES = """\
#[provider.deepseek.models."deepseek-flash"]
#input = 0.3
#output = 1.2
"""

ROUTES = """
# -- names: what callers may ask for ----------------------------------------------------------------------------------

# Another name for a served model. A name written here beats a shipped one.
[alias]
#"gpt-4o-mini" = "deepseek-chat"

# What is tried when a model fails, on every call, whatever its routing.
[fallback]
#"deepseek-chat" = ["glm-4-plus", "qwen-plus"]

# What model = "auto" tries, by the call's complexity. Without this section: every model, the cheapest first.
[auto]
"""

TELEMETRY = (
    "OpenTelemetry, heeded at a start. While nothing is set here, the environment's OTEL_EXPORTER_OTLP_ENDPOINT,\n"
    "# OTEL_EXPORTER_OTLP_HEADERS and OTEL_SERVICE_NAME are."
)


def write_example() -> str:
    """The text of a config with every setting at its default, commented out, with its help and its reason."""
    plain = [
        _section("server", settings.Server()),
        _section("database", settings.Database()),
        _section("backup", settings.Backup(), "Copies of the database, made by the running server."),
        _section("billing", settings.Billing()),
        _section("stripe", settings.Stripe(), "Card payments. Off while both secrets are unset."),
        _section("telemetry", settings.Telemetry(), TELEMETRY),
        _section("limits", settings.LIMITS, "Rate limits for each key; 0 is none. Plans may have their own."),
        "\n# The same names for each account, and for a model over all its callers:\n#[limits.account]\n#concurrent "
        "= 0\n"
        '#[limits.model."deepseek-chat"]\n#requests_per_minute = 0\n',
        _section("timeouts", Timeouts(), "Time limits, in seconds. No order among them is required."),
        _section("retry", Retry(), "How patiently a call is tried."),
        _section("breaker", Breaker(), "When a channel is left alone for a while."),
        _section(
            "plan.default", settings.PlanSettings(), 'Accounts are on the plan "default"; add others as [plan.NAME].'
        ),
        "# Its own rate limits for each key, with the names of [limits]; what is not given is as "
        "there.\n#requests_per_second = 100\n",
    ]
    auto = [
        _setting(name, ("", note), getattr(settings.Auto(), name)) for name, (_, note) in fields(settings.Auto).items()
    ]
    channels = CHANNELS.replace("PROVIDERS", provider_comment(WIDTH))
    return "".join([HEAD, *plain, channels, *_all_of(ChannelSettings), MODELS,
                    *_all_of(ModelSettings), _providers(), ROUTES, *auto])  # fmt: skip


def _section(name: str, base: msgspec.Struct, about: str = "") -> str:
    head = f"\n# {about}\n[{name}]\n" if about else f"\n[{name}]\n"
    return head + "".join(_setting(key, field, getattr(base, key)) for key, field in fields(type(base)).items())


def _prose(help: str, reason: str) -> str:
    whole = f"# {help} Why: {reason}\n"
    return whole if len(whole) <= WIDTH else f"# {help}\n# Why: {reason}\n"


def _setting(name: str, field: tuple[object, Note], default: object) -> str:
    note = field[1]
    words = _prose(note.help, note.reason)
    if note.kind == "readable":
        return f"{words}# For example: {name} = {note.shown}\n"
    return f"{words}#{name} = {note.shown or toml(default, note.kind)}\n"


def _all_of(struct: type[msgspec.Struct]) -> Iterable[str]:
    width = max(len(name) for name in fields(struct))
    for name, (_, note) in fields(struct).items():
        yield f"#   {name:<{width}}  {note.help}\n"


def _providers() -> str:
    about = "# -- other addresses and prices of a catalogue provider, for channels and BYOK calls alike "
    plain, models = {}, ""
    for name, field in fields(ProviderOverride).items():
        if field[1].kind == "section":
            models = _prose(field[1].help, field[1].reason) + OWN_PRICES
        else:
            plain[name] = field
    rows = "".join(_setting(name, field, None) for name, field in plain.items())
    return f"\n{about:-<118}\n\n#[provider.deepseek]\n{rows}{models}"


def toml(value: object, kind: str) -> str:
    """A default as TOML writes it."""
    if kind == "usd" and isinstance(value, int):
        return format_usd(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return "[" + ", ".join(toml(item, "") for item in value) + "]"
    return json.dumps(
        f"./{value}" if isinstance(value, Path) and not value.is_absolute() else value, ensure_ascii=False
    )
