"""Every change that ftgate writes by a statement of its own, written into PostgreSQL: accounts over a database of that
kind, and what accounts do beside; which places of the sources those were is held against the sources."""

import ast
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

import ftgate
from ftgate.accounts import Accounts, payment_rows
from ftgate.accounts.acting import CLI
from ftgate.core.books import Books
from ftgate.ports import PlanOffer, SiteSettings
from ftgate.ports.managing import Moves
from ftgate.store import checkpoint, person, spending
from ftgate.store.batch import Batch
from ftgate.store.checkpoint import resume
from ftgate.store.database import last_entry, last_months_in, plans_in, read_only
from ftgate.store.entries import all_entries, has_user, latest_entries
from ftgate.store.postgres.connection import close_idle, connect
from ftgate.store.records import StoredRecords
from ftgate.store.source import Postgres
from ftgate.store.switches import switched_off
from ftgate.store.verify import verify_ledger
from tests.accounts.test_forgetting import PAID
from tests.accounts.test_pending import ANN, changes
from tests.fakes.ports import TrioClock
from tests.postgres import Server
from tests.store.either import put, read

SOURCES = Path(ftgate.__file__).parent


class Noted(list[Any]):
    """Statements, and which function each came from."""

    places: ClassVar[set[tuple[str, str]]] = set()

    def _note(self) -> None:
        code = sys._getframe(2).f_code
        self.places.add((Path(code.co_filename).name, code.co_name))

    def append(self, one: Any) -> None:
        self._note()
        super().append(one)

    def __iadd__(self, more: Iterable[Any]) -> "Noted":  # type: ignore[override, misc]
        self._note()
        super().extend(more)
        return self


class Lane:
    """A writer that writes as soon as somebody waits."""

    alone = True

    trouble = None

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.filling = self._batch()

    def _batch(self) -> Batch:
        batch = Batch()
        batch.statements = Noted()
        return batch

    def busy(self) -> None:
        return None

    def changed(self, *, soon: bool = True) -> Batch:
        return self.filling

    async def turn(self) -> None:
        """Nobody else decides here."""

    def later(self, decide: Callable[[], None]) -> None:
        decide()

    async def durable_within(self, batch: Batch, seconds: float) -> bool:
        await self.durable(batch)
        return True

    async def durable(self, batch: Batch) -> None:
        if batch is self.filling:
            self.filling = self._batch()
            put(self.connection, batch)
            batch.done = True

    async def compact(self, most: int | None) -> None:
        return None


@asynccontextmanager
async def accounts_of(source: Postgres, offers: dict[str, PlanOffer]) -> AsyncIterator[tuple[Accounts, Lane]]:
    with closing(connect(source, readonly=False)) as connection:
        lane = Lane(connection)
        site = SiteSettings(registration="open", plans=offers)
        accounts = Accounts(
            Books(next_id=last_entry(connection) + 1), lane, TrioClock(), lambda plan: False, b"secret of the tests",  # type: ignore[arg-type]
            lambda: site,
        )  # fmt: skip
        accounts.load(connection)
        accounts.adopt()
        yield accounts, lane
        await lane.durable(lane.filling)


def appended(folder: str) -> set[tuple[str, str]]:
    """The functions of a room that put statements into a batch."""
    found = set()
    for file in (SOURCES / folder).glob("*.py"):
        for function in ast.walk(ast.parse(file.read_text())):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                words = ast.unparse(function)
                if "batch.statements" in words or ".changed().statements" in words:
                    found.add((file.name, function.name))
    return found


async def everything(accounts: Accounts, lane: Lane) -> None:
    """What accounts write, once or more."""
    await accounts.managed.make("ann", {"password": "secret"}, ANN)
    await accounts.managed.make("boss", {"role": "admin"}, CLI)
    await accounts.keys.make(1, {"name": "k", "plan": "other"}, ANN)
    asked = changes(accounts)
    for what in [what for what in asked if what not in {"logout", "correction", "make", "password"}]:
        await asked[what]()
    await asked["password"]()
    await accounts.credits.corrected(1, -5, note="for ann", ref="other", by=ANN)
    entrance, sessions = accounts.entrance, accounts.sessions
    login = {"username": "ann", "password": "other-secret", "address": "10.0.0.1"}
    value, session = (await entrance.open_session(**login, replacing=None))[:2]
    token = sessions.token(accounts.directory.users[1])[0]
    await entrance.logout(1, token=token, session=None, all=False)
    sessions.sessions[session.id].written_at_us = -(10**15)
    assert sessions.by_cookie(value) is not None
    sessions.close_cookie(value, lane.changed())
    await entrance.open_session(**login, replacing=None)
    second = (await accounts.keys.make(1, {"name": "l", "quota": 7, "quota_reset": "daily"}, ANN))[0]
    await accounts.keys.change(int(str(second["id"])), 1, {"quota_reset": "monthly"}, ANN)
    for quota in accounts.directory.books.quotas.values():
        quota.seen_us = 17
    accounts.keys.remember_use()
    await accounts.provider_keys.delete(next(iter(accounts.provider_keys.keys)), 1, ANN)
    await asked["byok"]()
    await accounts.switches.turn("a", False, ANN)
    await accounts.switches.turn("b", False, ANN)
    accounts.switches.keep(["b"])
    lane.changed().statements.append(payment_rows.statement(PAID))
    accounts.payment_rows.keep(PAID)
    accounts.plans.follow(next(iter(accounts.directory.keys.values())), lane.changed(), 5, ANN)
    await lane.durable(lane.filling)


async def test_everything_that_accounts_write(postgres: Server) -> None:
    offers = {"default": PlanOffer(), "other": PlanOffer(selectable=True)}
    Noted.places.clear()
    with postgres.database() as source:
        async with accounts_of(source, offers) as (accounts, lane):
            await everything(accounts, lane)
            before = [accounts.directory.users[1].username, {*accounts.directory.keys}, accounts.payment_rows.by_id]
        assert verify_ledger(source)["ok"]
        async with accounts_of(source, offers) as (again, lane):
            assert [again.directory.users[1].username, {*again.directory.keys}, again.payment_rows.by_id] == before
            for month, tokens in (("2026-05", 12), ("2026-06", 7), ("2026-06", 1)):
                lane.changed().count_month(1, month, tokens)
            await lane.durable(lane.filling)
            await told_of(source)
            await forgotten(source, again)
        assert appended("accounts") - Noted.places == ELSEWHERE


ELSEWHERE = {("applying.py", "_keep"), ("applying.py", "begin"), ("entrance.py", "_proven")}
"""Their statements are those of payment_rows.statement, and of a password that another function sets."""


async def told_of(source: Postgres) -> None:
    """What is read of all that."""
    assert switched_off(source) == {"b"} and has_user(source, "ANN") and not has_user(source, "nobody")
    with closing(read_only(source)) as connection:
        assert last_months_in(connection) == {1: ("2026-06", 8)}
        assert plans_in(connection)["default"][0] == 3
    entries = latest_entries(source, username="Ann", limit=9)
    assert [entry["kind"] for entry in entries] == ["correct", "grant"] and entries[0]["user"] == "ann"
    assert [*all_entries(source, username="ann")] == entries[::-1] == [*all_entries(source, username=None)]
    assert person.account_of(source, "ANN") == 1 and person.forgotten(source) == {}
    lines = [msgspec.json.decode(line) for line in person.all_of(source, 1)]
    assert {line["what"] for line in lines} >= {"account", "key", "session", "login", "payment", "audit", "entry"}
    assert {line["own"] for line in lines if line["what"] == "audit"} <= {0, 1}
    rows, total, _ = await StoredRecords(source).entries(Moves(), after=None, skipped=0, size=9)
    assert ([row["kind"] for row in rows], total) == (["correct", "grant"], 2)


async def forgotten(source: Postgres, accounts: Accounts) -> None:
    """Nothing names the person any more, and what is never changed is closed again."""
    created = accounts.directory.users[1].created_at_us
    await accounts.forgetting.forget(username="ann", despite=True)
    assert person.forgotten(source) == {1: created}
    tables = ("users", "keys", "sessions", "logins", "byok_keys", "payments", "audit", "entries")
    left = {table: str(read(source, f"SELECT * FROM {table}")) for table in tables}
    assert not [table for table, rows in left.items() if "'ann'" in rows or "10.0.0.1" in rows], left
    assert ("(forgotten 1)",) in read(source, "SELECT actor_name FROM audit WHERE actor = 1")
    assert read(source, 'SELECT count(*) FROM audit WHERE before LIKE \'%"username":"ann"%\'') == [(0,)]
    with closing(connect(source, readonly=False)) as connection:
        for table in ("entries", "audit"):
            with pytest.raises(Exception, match="never updated"):
                connection.execute(f"UPDATE {table} SET at_us = 1")


HOUSE = [
    one.value
    for file in [*(SOURCES / "house").glob("*.py"), *(SOURCES / "store").glob("*.py")]
    for one in ast.walk(ast.parse(file.read_text()))
    if isinstance(one, ast.Constant) and isinstance(one.value, str)
    and one.value.startswith(("INSERT INTO", "UPDATE ", "DELETE FROM")) and one.value.count("?")
]  # fmt: skip


def test_whole_statements_of_other_rooms(postgres: Server) -> None:
    assert len(HOUSE) >= 5
    with postgres.database() as source, closing(connect(source, readonly=False)) as connection:
        for sql in HOUSE:
            if not [word for word in ("last_batch", "_sqlite_", "{") if word in sql]:
                connection.execute(f"EXPLAIN {sql}", ("7",) * sql.count("?"))


async def test_what_others_have_changed_is_found_by_an_index(postgres: Server) -> None:
    ids = {"sessions": "00ff", "ended_tokens": "it's", "switches": "a", "payments": "pay_1"}
    with postgres.database() as source:
        async with accounts_of(source, {}) as (accounts, _):
            following = accounts.following
        with closing(connect(source, readonly=True)) as connection:
            connection.execute("SET enable_seqscan = off")  # tables are empty here
            for table in following._tables:
                sql = following.wanted(table, [ids.get(table, "1"), ids.get(table, "2")])
                plan = " ".join(line for (line,) in connection.execute(f"EXPLAIN {sql}"))
                assert "Index Cond" in plan and "Seq Scan" not in plan, plan
        close_idle(source)  # none is given back so


def test_checkpoints_and_notes_of_spending(postgres: Server) -> None:
    with postgres.database() as source, closing(connect(source, readonly=False)) as connection:
        for at in range(4):
            for sql, values in checkpoint.statements(resume(connection), at):
                connection.execute(sql, values)
        assert connection.execute("SELECT id, at_us FROM checkpoints ORDER BY id").fetchall() == [(3, 2), (4, 3)]
        assert checkpoint.without(connection, resume(connection), lambda connection, audit: None) == []
        for spent in (spending.Spent(5, 0, {"a": 10**30}), spending.Spent(5, 0, {"a": 2 * 10**30, "b\\": 1})):
            connection.execute(*spending.statement(spent))
        assert spending.resume(connection, 5).units == {"a": 2 * 10**30, "b\\": 1}
        connection.execute("UPDATE checkpoints SET state = 'x'")
        connection.execute(*checkpoint.DISCARD)
        assert connection.execute("SELECT count(*) FROM checkpoints").fetchone() == (0,)
