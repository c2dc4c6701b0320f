"""What the site is given to serve with, besides the line: one object for each seam."""

import dataclasses

from ftgate.ports import Accounts, Journal, Sessions, Throttle
from ftgate.ports.payments import Payments


@dataclasses.dataclass(frozen=True)
class Services:
    """`own` are the addresses at which this server is reached, as URLs."""

    accounts: Accounts
    journal: Journal
    sessions: Sessions
    throttle: Throttle
    payments: Payments
    own: tuple[str, ...] = ()
