"""The configuration: TOML -> one frozen `Settings`, or every fault at once, each with its line and how to mend it.

note          what is said of a setting beside its name, type and default
settings      every setting once: name, type, default, help, reason
channel_settings  those of channels, their models and providers
lines         which line a key stands in
values        single values, checked
load          the walk along the declarations, gathering faults
channels      [[channel]] rows with the catalogue behind them
brought       where calls go that bring a provider key of their own
idle          what can have no effect, told
build         sections, plans, routes, and what must hold between them
changes       what is different between two of them
stamps        the files they were read from, as they were then
environment   channels when nobody wrote a config
shipped       the catalogue's files
listed        its providers, as the manual and the example show them
write         the commented example
"""

from ftgate.config.brought import brought
from ftgate.config.build import (
    channel_row,
    database_url,
    default_path,
    describe,
    effective_provider,
    from_environment,
    load,
    named_data_dir,
    named_database,
)
from ftgate.config.changes import changed, lost_channels, needing_restart
from ftgate.config.channel_settings import ProviderOverride
from ftgate.config.inspect import inspected
from ftgate.config.listed import provider_table
from ftgate.config.settings import Plan, Server, Settings
from ftgate.config.shipped import provider, provider_names
from ftgate.config.values import unquoted
from ftgate.config.write import write_example

__all__ = [
    "Plan", "ProviderOverride", "Server", "Settings", "brought", "changed", "channel_row", "database_url",
    "default_path", "describe", "effective_provider", "from_environment", "inspected", "load", "lost_channels",
    "named_data_dir", "named_database", "needing_restart", "provider", "provider_names", "provider_table",
    "unquoted", "write_example",
]  # fmt: skip
