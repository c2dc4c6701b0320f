"""Who may call and who pays: users, their keys, their credits.

In memory for the hot path (directory), in the database for ever. `Accounts` is the whole room: what calls look up, what
the site asks for, and the commands of the command line and the control socket.
"""

from collections.abc import Callable

from ftgate.accounts.acting import Deeds
from ftgate.accounts.byok import ProviderKeys
from ftgate.accounts.credits import Credits
from ftgate.accounts.directory import Directory, Found, read
from ftgate.accounts.entrance import Entrance
from ftgate.accounts.following import Following
from ftgate.accounts.forgetting import Forgetting
from ftgate.accounts.keys import ApiKeys
from ftgate.accounts.managed import ManagedAccounts
from ftgate.accounts.passwords import Hasher
from ftgate.accounts.payment_rows import PaymentRows
from ftgate.accounts.people import OwnAccounts
from ftgate.accounts.plans import Plans
from ftgate.accounts.sessions import SignedIn
from ftgate.accounts.setup import FirstRun
from ftgate.accounts.switches import Switches
from ftgate.accounts.throttles import Throttles
from ftgate.accounts.users import Users
from ftgate.core.books import Books
from ftgate.ports import Clock, SiteSettings
from ftgate.store.changes import Changes
from ftgate.store.source import Connection


class Accounts:
    """All users, keys and credits of one ledger. `metered_plan(plan)` says whether a plan bills without credits;
    `secret` is the server's own; `site` are the site's settings in force."""

    def __init__(
        self, books: Books, writer: Changes, clock: Clock, metered_plan: Callable[[str], bool], secret: bytes,
        site: Callable[[], SiteSettings],
    ) -> None:  # fmt: skip
        self.books = books
        self.directory = Directory(books, metered_plan, lambda: site().plans)
        self.credits = Credits(self.directory, writer, clock)
        self.sessions = SignedIn(self.directory, writer, clock, secret)
        self.throttles = Throttles(clock)
        self.deeds = Deeds(writer, clock)
        self.switches = Switches(writer, clock)
        self.provider_keys = ProviderKeys(self.throttles, writer, clock, secret)
        self.payment_rows = PaymentRows()
        self.plans = Plans(self.directory, writer)
        hasher = Hasher()
        self.users = Users(self.directory, self.credits, self.sessions, self.plans, hasher, writer, clock)
        self.keys = ApiKeys(self.directory, self.users, self.plans, self.throttles, writer, clock)
        self.managed = ManagedAccounts(self.directory, self.users, site)
        self.people = OwnAccounts(self.directory, self.users, self.plans)
        self.forgetting = Forgetting(
            self.directory, self.sessions, self.provider_keys, self.payment_rows, writer, clock
        )  # fmt: skip
        self.setup = FirstRun(self.directory, self.users, clock, site)
        self.following = Following(
            self.directory, self.credits, self.sessions, self.payment_rows, self.plans, self.switches,
            self.provider_keys,
        )  # fmt: skip
        self.entrance = Entrance(self.directory, self.users, self.sessions, self.throttles, hasher, writer, clock, site)

    def read(self, connection: Connection) -> Found:
        """What load() takes the longest for, and which may be done in any thread."""
        return read(connection)

    def load(self, connection: Connection, found: Found | None = None) -> None:
        """Read users, keys, balances and refs into memory and into the books, also once more (books.forget first);
        `found` is what read() has found there."""
        self.directory.load(connection, found)
        self.credits.load(connection)
        self.sessions.load(connection)
        self.payment_rows.load(connection)
        self.plans.load(connection)
        self.switches.load(connection)
        self.provider_keys.load(connection)

    def adopt(self) -> None:
        """Other settings are in force."""
        self.keys.let_go()
        self.directory.adopt()
        self.plans.adopt()
