"""A command's change on a database that takes no commits, or fails."""

import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Literal, cast
from unittest.mock import Mock

import pytest
import trio
from trio.testing import MockClock

from ftgate.accounts import Accounts
from ftgate.core.books import Books
from ftgate.errors import DatabaseBusy
from ftgate.ports import SiteSettings
from ftgate.ports.site import Doer
from ftgate.store.database import DatabaseFault, connect
from ftgate.store.writer import Writer
from tests.accounts.opened import SITE, opened
from tests.fakes.ports import TrioClock
from tests.fakes.stopped import Stopping
from tests.store.faulty import FaultyConnection, read, sqlite_error


async def test_what_is_not_written_in_time_is_told_and_repeated_safely(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftgate.accounts.pending.ANSWER_S", 0.1)
    monkeypatch.setattr("ftgate.store.writer.LAZY_S", 0.02)
    monkeypatch.setattr("ftgate.store.writer.RETRY_S", (0.01,))
    async with opened(path) as accounts:
        await accounts.users.create(username="ann")
        accounts.credits.writer.connection.execute("PRAGMA busy_timeout = 0")
        with closing(sqlite3.connect(path, isolation_level=None)) as other, trio.fail_after(10):
            other.execute("BEGIN IMMEDIATE")
            for _ in range(2):  # the repeat waits too, and is told the same
                with pytest.raises(DatabaseBusy) as told:
                    await accounts.credits.grant(username="ann", amount="5", ref="r")
                said = str(told.value)
                assert said.startswith("the grant of $5 to ann, ref r, is decided and not yet written, because")
                for words in (
                    "takes no commits now (database is locked)",
                    "`ftgate ledger entries --user ann`",
                    "--ref r it is done once",
                ):
                    assert words in said
            with pytest.raises(
                DatabaseBusy, match=r"the correction of \$-1 to ann, ref correct_[0-9a-f]{24}, is decided and not yet"
            ):
                await accounts.credits.correct(username="ann", amount="-1", note="n")
            with pytest.raises(
                DatabaseBusy,
                match=r"key 1 \(sk-ft_.{6}...\) of ann, which nobody has seen, .* keys delete 1` removes it",
            ):
                await accounts.keys.create(username="ann")
            with pytest.raises(DatabaseBusy, match=r"the user bob is decided .* `ftgate users list`"):
                await accounts.users.create(username="bob", credits="1")
            for _ in range(2):  # the repeat changes nothing, and has to wait all the same
                with pytest.raises(DatabaseBusy, match="that user bob is disabled is decided"):
                    await accounts.users.set_status(username="bob", status="disabled")
                with pytest.raises(DatabaseBusy, match="that key 1 is disabled is decided"):
                    await accounts.keys.set_status(key_id="1", status="disabled")
            assert read(path, "SELECT count(*) FROM entries") == [(0,)]
            other.execute("ROLLBACK")
            monkeypatch.setattr("ftgate.accounts.pending.ANSWER_S", 10)
            again = await accounts.credits.grant(username="ann", amount="5", ref="r")
        assert (again["already_done"], again["balance"], again["entry"]) == (True, "4.00", 1)
        assert (await accounts.keys.set_status(key_id="1", status="deleted"))["status"] == "deleted"
    assert read(path, "SELECT kind, amount FROM entries WHERE account = 1 ORDER BY id") == [
        ("grant", 5 * 10**12),
        ("correct", 10**12),
    ]
    assert read(path, "SELECT status FROM users UNION ALL SELECT status FROM keys") == [
        ("active",),
        ("disabled",),
        ("deleted",),
    ]


def changes(accounts: Accounts) -> dict[str, Callable[[], Awaitable[object]]]:
    """What may be asked over HTTP that is written down."""
    keys, users, credits, entrance = accounts.keys, accounts.managed, accounts.credits, accounts.entrance
    login = {"username": "ann", "password": "secret", "address": "10.0.0.1"}
    return {
        "make": lambda: users.make("bob", {}, ANN),
        "change": lambda: users.change(1, {"role": "admin"}, ANN),
        "password": lambda: users.set_password(1, "other-secret", ANN),
        "end": lambda: users.logout(1, ANN),
        "code": lambda: accounts.people.new_code(1, ANN),
        "self": lambda: accounts.people.change_self(1, {"name": "Ann"}, ANN),
        "new key": lambda: keys.make(1, {"name": "k"}, ANN),
        "key": lambda: keys.change(1, 1, {"quota": 5}, ANN),
        "no key": lambda: keys.delete(1, 1, ANN),
        "grant": lambda: credits.granted(1, 5, note="", ref="r", by=ANN),
        "correction": lambda: credits.corrected(1, -5, note="n", ref="r", by=ANN),
        "sign-up": lambda: entrance.register(
            username="bob", password="secret", email="", name="", invite_code=None, by=ANN
        ),
        "login": lambda: entrance.login(**login),
        "session": lambda: entrance.open_session(**login, replacing=None),
        "logout": lambda: entrance.logout(1, token=None, session=None, all=True),
        "byok": lambda: accounts.provider_keys.register(
            1, provider="p", key="k" * 20, name=None, check=Checked(), by=ANN
        ),
    }  # fmt: skip


class Checked:
    """A provider that takes every key."""

    def named(self, provider: str, key: str) -> str:
        return provider

    async def check(self, provider: str, key: str) -> None:
        pass


ANN = Doer(1, "ann", "api")


@pytest.mark.parametrize("what", changes(cast(Accounts, Mock())))
async def test_nothing_is_decided_where_nothing_is_written(path: Path, what: str) -> None:
    """Over HTTP: told at once, and in words for whoever has no command line. It can come again."""
    async with opened(path) as accounts:
        await accounts.managed.make("ann", {"password": "secret"}, ANN)
        await accounts.keys.make(1, {"name": "k"}, ANN)
        before = state(accounts)
        accounts.credits.writer.trouble = "database or disk is full"
        with trio.fail_after(5), pytest.raises(DatabaseBusy) as told:
            await changes(accounts)[what]()
        assert told.value.message == "the database takes no changes now, and nothing was changed: try again"
        assert told.value.retry_after_s == 2 and state(accounts) == before
        accounts.credits.writer.trouble = None
        await changes(accounts)[what]()
        assert what == "logout" or state(accounts) != before


SLOW = {"password", "sign-up", "login", "session"}
"""A password is hashed beside the loop: the mock clock would not wait for that."""


@pytest.mark.parametrize("at", ["begin", "commit"])
@pytest.mark.parametrize("what", sorted(changes(cast(Accounts, Mock())).keys() - SLOW))
async def test_where_gateways_share_a_ledger_nobody_waits_for_long(
    path: Path, what: str, at: Literal["begin", "commit"], autojump_clock: MockClock
) -> None:
    accounts, database = shared(path)
    await accounts.managed.make("ann", {}, ANN)
    await accounts.keys.make(1, {"name": "k"}, ANN)
    before, began = state(accounts), trio.current_time()
    database.at = at
    with pytest.raises(DatabaseBusy) as told:
        await changes(accounts)[what]()
    assert trio.current_time() - began <= 2
    said = {
        "begin": "the database takes no changes now, and nothing was changed: try again",
        "commit": "the database stopped answering while what was asked for was written: it may have been made or not."
        " Try again in a moment, and look whether it is there before you repeat it",
    }
    assert (told.value.message, told.value.retry_after_s) == (said[at], 2)
    database.at = None
    await trio.sleep(10)
    assert what == "logout" or (state(accounts) == before) == (at == "begin")


async def test_the_command_line_is_told_how_to_look(path: Path, autojump_clock: MockClock) -> None:
    accounts, database = shared(path)
    await accounts.users.create(username="ann")
    database.at = "commit"
    began = trio.current_time()
    with pytest.raises(
        DatabaseBusy, match=r"^whether the grant of \$5 to ann, ref r, was written is not known, because the database "
        r"does not answer \(no commit has come back\): it may be there or not\. Look .* --ref r it is done once$",
    ):  # fmt: skip
        await accounts.credits.grant(username="ann", amount="5", ref="r")
    database.at = None
    assert (await accounts.credits.grant(username="ann", amount="5", ref="r"))["already_done"]
    database.at = "begin"
    with pytest.raises(DatabaseBusy, match=r"nothing was changed: try again$"):
        await accounts.keys.create(username="ann")
    assert trio.current_time() - began <= 4 and not accounts.directory.keys


def shared(path: Path) -> tuple[Accounts, Stopping]:
    """Accounts over a ledger that other gateways have too."""
    database = Stopping()
    accounts = Accounts(Books(), database.lane(), TrioClock(), lambda plan: False, b"secret", lambda: SITE)
    with closing(connect(path, durability="process")) as connection:
        accounts.load(connection)
    return accounts, database


def state(accounts: Accounts) -> str:
    directory = accounts.directory
    users = [(user, user.password.reveal()) for user in directory.users.values()]
    sessions = accounts.sessions.sessions, accounts.provider_keys.keys, directory.logins
    books = directory.books.accounts, directory.books.moved
    return repr((users, directory.keys, directory.by_hash.keys(), books, sessions))


async def test_who_asks_over_http_reads_no_words_of_the_command_line(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("ftgate.accounts.pending.ANSWER_S", 0.1)
    async with opened(path) as accounts:
        await accounts.users.create(username="ann")
        accounts.credits.writer.connection.execute("PRAGMA busy_timeout = 0")
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(DatabaseBusy, match="what was asked for is decided and not yet written") as told:
                await accounts.keys.make(1, {"name": "k"}, ANN)
            other.execute("ROLLBACK")
        assert "ftgate" not in told.value.message and "locked" not in told.value.message
        assert told.value.retry_after_s == 2
        assert "which nobody has seen, is decided and not yet written: database is locked" in caplog.text


async def test_a_database_that_fails_under_a_grant(path: Path) -> None:
    async with opened(path) as accounts:
        await accounts.users.create(username="ann")
    connection = FaultyConnection(connect(path, durability="process"))
    writer = Writer(connection)  # type: ignore[arg-type]
    accounts = Accounts(Books(), writer, TrioClock(), lambda plan: False, b"secret", SiteSettings)
    accounts.load(connection)  # type: ignore[arg-type]
    writer.start()
    connection.fail(1, sqlite_error(sqlite3.SQLITE_CORRUPT, sqlite3.DatabaseError))
    with pytest.raises(
        DatabaseFault, match=r"failed: .* Whether the grant of \$5 to ann, ref r, was written is not known.*--ref r "
    ):
        await accounts.credits.grant(username="ann", amount="5", ref="r")
    connection.go_on.set()
    await writer.close()
