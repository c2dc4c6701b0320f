"""What is different between two configs, in the names that a person knows from the file."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from ftgate.config.load import dotted
from ftgate.config.settings import Settings

SECTIONS = (
    "server", "database", "backup", "billing", "stripe", "telemetry", "limits", "timeouts", "retry", "breaker",
)  # fmt: skip
"""Those that are one struct each."""
AT_A_START = frozenset(
    [
        ("server", "host"), ("server", "port"), ("server", "data_dir"), ("server", "fast_door"),
        ("server", "log_format"),
        ("server", "direct_transport"), ("database", "url"), ("database", "durability"), ("database", "expired_hold"),
        ("telemetry", "otlp_endpoint"), ("telemetry", "headers"), ("telemetry", "service_name"),
    ]
)  # fmt: skip
"""Settings that only a start obeys. Beside them: whether there is TLS at all."""
Name = tuple[str, ...]


def changed(old: Settings, new: Settings) -> list[str]:
    """The settings, channels, plans and names that are not the same, without those that only a start obeys."""
    return [dotted(name) for name in _differing(old, new) if name not in AT_A_START and not _on_or_off(name, old, new)]


def needing_restart(started: Settings, new: Settings) -> list[str]:
    """What of the new settings a process that started with others does not obey."""
    return [dotted(name) for name in _differing(started, new) if name in AT_A_START or _on_or_off(name, started, new)]


def lost_channels(old: Settings, new: Settings) -> str | None:
    """Why channels that are there must not go: nobody has taken them out. A file that a full disk or a slow writer left
    empty would otherwise put the demo in their place, and a local Ollama that starts anew would be gone. None where
    there is no such reason."""
    if not new.found:
        return None
    if not old.found:
        return (
            f"{new.origin or 'the config'}:1: there is no [[channel]] any more, so it was perhaps cut off. Channels "
            "are taken from the environment at a start only: write one, or start again."
        )
    gone = sorted(old.found.keys() - new.found.keys() - {"demo"})
    if not gone:
        return None
    return f"{', '.join(gone)} is not found now and stays as it was. Start again to go on without it."


def _on_or_off(name: Name, old: Settings, new: Settings) -> bool:
    return name in {("server", "tls_cert"), ("server", "tls_key")} and bool(old.certificate) != bool(new.certificate)


def _differing(old: Settings, new: Settings) -> Iterator[Name]:
    """In the order of the file."""
    for section in SECTIONS:
        yield from _fields((section,), getattr(old, section), getattr(new, section))
        if section == "server" and old.certificate != new.certificate and old.server.tls_cert == new.server.tls_cert:
            yield "server", "tls_cert"  # another certificate at the same place
    yield from _fields(("limits", "account"), old.limits_account, new.limits_account)
    yield from _rows(("limits", "model"), old.limits_model, new.limits_model)
    yield from _rows(("plan",), old.plans, new.plans)
    yield from _rows(("channel",), _channels(old), _channels(new))
    if [c.name for c in old.routes.channels] != [c.name for c in new.routes.channels]:
        yield ("channel",)
    yield from _rows(("provider",), old.providers, new.providers)
    yield from _rows(("alias",), old.routes.aliases, new.routes.aliases)
    yield from _rows(("fallback",), old.routes.fallback, new.routes.fallback)
    if old.routes.first_token_target != new.routes.first_token_target:
        yield "auto", "first_token_target"
    yield from _rows(("auto",), old.routes.auto, new.routes.auto)


def _channels(settings: Settings) -> Mapping[str, Any]:
    return {channel.name: channel for channel in settings.routes.channels}


def _fields(where: Name, old: msgspec.Struct, new: msgspec.Struct) -> Iterator[Name]:
    for field in msgspec.structs.fields(type(old)):
        if getattr(old, field.name) != getattr(new, field.name):
            yield *where, field.name


def _rows(where: Name, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Name]:
    for name in dict.fromkeys([*old, *new]):
        if old.get(name) != new.get(name):
            yield *where, name
