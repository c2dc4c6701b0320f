"""The configuration: TOML -> one frozen `Settings`, or every fault at once, each with its line and how to mend it.

note          what is said of a setting beside its name, type and default
settings      every setting once: name, type, default, help, reason
channel_settings  those of channels, their models and providers
lines         which line a key stands in
values        single values, checked
load          the walk along the declarations, gathering faults
channels      [[channel]] rows with the catalogue behind them
idle          what can have no effect, told
build         sections, plans, routes, and what must hold between them
environment   channels when nobody wrote a config
shipped       the catalogue's files
write         the commented example
"""

from ftgate.config.build import default_path, describe, effective_provider, from_environment, load
from ftgate.config.channel_settings import ProviderOverride
from ftgate.config.settings import Breaker, Plan, Settings
from ftgate.config.shipped import provider, provider_names
from ftgate.config.values import unquoted
from ftgate.config.write import write_example

__all__ = [
    "Breaker", "Plan", "ProviderOverride", "Settings", "default_path", "describe", "effective_provider",
    "from_environment", "load",
    "provider", "provider_names", "unquoted", "write_example",
]  # fmt: skip
