"""What the site is given to serve with, besides the line: one object for each seam."""

import dataclasses
from collections.abc import Awaitable, Callable

from ftgate.ports import Accounts, Journal
from ftgate.ports.managing import Credits, Records, Users
from ftgate.ports.operator import Channels, Config, Metrics, Prices, RunningCalls, System
from ftgate.ports.payments import Payments
from ftgate.ports.site import (
    Entrance,
    FirstRun,
    KeyCheck,
    KeyRing,
    PageCalls,
    People,
    ProviderKeys,
    Sessions,
    Throttle,
)
from ftgate.web.exports import Exports


@dataclasses.dataclass(frozen=True)
class Services:
    """`own` are the addresses at which this server is reached, as URLs; `command` makes a line for a shell of a
    command's words, which goes to this server's data wherever it is run; `refresh` looks what other gateways have
    changed, where a ledger is shared."""

    accounts: Accounts
    journal: Journal
    channels: Channels
    config: Config
    key_check: KeyCheck
    metrics: Metrics
    provider_keys: ProviderKeys
    sessions: Sessions
    throttle: Throttle
    payments: Payments
    entrance: Entrance
    people: People
    keys: KeyRing
    calls: RunningCalls
    users: Users
    credits: Credits
    records: Records
    setup: FirstRun
    prices: Prices
    system: System
    page_calls: PageCalls
    own: tuple[str, ...] = ()
    command: Callable[[str], str] = "ftgate {}".format
    refresh: Callable[[], Awaitable[bool]] | None = None
    exports: Exports = dataclasses.field(default_factory=Exports)
