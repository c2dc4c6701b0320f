"""Who may call and who pays: users, their keys, their credits.

In memory for the hot path (directory), in the database for ever. `Accounts` is the whole room: what calls look up, and
the commands of the command line and the control socket.
"""

import sqlite3
from collections.abc import Callable

from ftgate.accounts.credits import Credits
from ftgate.accounts.directory import Directory
from ftgate.accounts.keys import ApiKeys
from ftgate.accounts.payment_rows import PaymentRows
from ftgate.accounts.sessions import SignedIn
from ftgate.accounts.throttles import Throttles
from ftgate.accounts.users import Users
from ftgate.core.books import Books
from ftgate.ports import Clock
from ftgate.store.writer import Writer


class Accounts:
    """All users, keys and credits of one ledger. `metered_plan(plan)` says whether a plan bills without credits;
    `secret` is the server's own."""

    def __init__(
        self, books: Books, writer: Writer, clock: Clock, metered_plan: Callable[[str], bool], secret: bytes
    ) -> None:
        self.books = books
        self.directory = Directory(books, metered_plan)
        self.credits = Credits(self.directory, writer, clock)
        self.users = Users(self.directory, self.credits, writer, clock)
        self.keys = ApiKeys(self.directory, self.users, writer, clock)
        self.sessions = SignedIn(self.directory, writer, clock, secret)
        self.throttles = Throttles(clock)
        self.payment_rows = PaymentRows()

    def load(self, connection: sqlite3.Connection) -> None:
        """Read users, keys, balances and refs into memory and into the books."""
        self.directory.load(connection)
        self.credits.load(connection)
        self.sessions.load(connection)
        self.payment_rows.load(connection)
