"""What stays of a person in memory and in the file: a number. The black-box tests look at all of it from outside."""

import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
import trio

from ftgate.accounts import forgetting
from ftgate.core.payments import Payment
from ftgate.errors import Conflict
from ftgate.ports.site import Doer
from tests.accounts.opened import opened
from tests.store.faulty import read

NAME = "zaphod"
PAID = Payment(
    number=1, id="pay_1", account=1, amount=5 * 10**12, currency="usd", livemode=True, created_at_us=1, expires_at_us=2,
    success_url="https://shop.example/zaphod", cancel_url="https://shop.example/no", request="order of zaphod",
    status="failed", session="cs_1", url="https://pay.example/zaphod", intent="pi_1", charge="ch_1",
    receipt_url="https://pay.example/receipt",
)  # fmt: skip
TRIGGERS = "SELECT name FROM sqlite_master WHERE type = 'trigger' ORDER BY name"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ftgate.sqlite3"


async def test_payments_keep_what_the_books_go_by(path: Path) -> None:
    async with opened(path) as accounts:
        await accounts.users.create(username=NAME)
        rows = accounts.payment_rows
        rows.keep(PAID)
        accounts.forgetting.writer.changed().statements.append(forgetting.statement(PAID))
        await accounts.forgetting.forget(username=NAME)
        kept = rows.by_id["pay_1"]
        assert (kept.session, kept.intent, kept.charge, kept.amount) == ("cs_1", "pi_1", "ch_1", PAID.amount)
        assert {kept.success_url, kept.cancel_url, kept.request, kept.url, kept.receipt_url} == {""}
        assert rows.by_request == {} and rows.by_session == {"cs_1": "pay_1"}
    assert read(path, "SELECT session, url, request, success_url FROM payments") == [("cs_1", "", "", "")]
    assert NAME.encode() not in path.read_bytes()


async def test_an_open_payment_and_a_balance_are_in_the_way(path: Path) -> None:
    async with opened(path) as accounts:
        await accounts.users.create(username=NAME, credits="2.5")
        row = msgspec.structs.replace(PAID, status="open")
        accounts.payment_rows.keep(row)
        accounts.forgetting.writer.changed().statements.append(forgetting.statement(row))
        with pytest.raises(Conflict, match=r"has a payment that is open and has a balance of \$2\.50.*Nothing was"):
            await accounts.forgetting.forget(username=NAME)
        assert accounts.directory.user(NAME).status == "active"
        assert (await accounts.forgetting.forget(username=NAME, despite=True))["balance"] == "2.50"


async def test_tables_that_never_change_are_closed_again(path: Path) -> None:
    """Notes of others go only where they name the e-mail."""
    async with opened(path) as accounts:
        before = read(path, TRIGGERS)
        zaphod = await accounts.users.make(NAME, by=forgetting.CLI, email="z@example.org")
        await accounts.users.create(username="ann")
        for name, note in (
            (NAME, f"for {NAME}"),
            (NAME, "plain"),
            ("ann", f"not for {NAME}"),
            ("ann", "to Z@Example.org"),
        ):
            await accounts.credits.grant(username=name, amount="1", note=note)
        await accounts.forgetting.forget(username=NAME, despite=True)
        assert zaphod.username == "(forgotten 1)" and read(path, TRIGGERS) == before
    assert [note for (note,) in read(path, "SELECT note FROM entries ORDER BY id")] == [
        "",
        "plain",
        f"not for {NAME}",
        "",
    ]
    with closing(sqlite3.connect(path)) as connection:
        for table in ("entries", "audit"):
            with pytest.raises(sqlite3.IntegrityError, match="never updated"):
                connection.execute(f"UPDATE {table} SET at_us = 1")
            with pytest.raises(sqlite3.IntegrityError, match="never deleted"):
                connection.execute(f"DELETE FROM {table}")


async def test_the_audit_of_others_stays_their_own(path: Path) -> None:
    """What an operator did to another says of that one what it said, though the operator is forgotten."""
    async with opened(path) as accounts:
        await accounts.users.create(username="owner", admin=True)
        boss = await accounts.users.make("boss", by=forgetting.CLI, role="admin", email="boss@example.org")
        by = Doer(boss.id, "boss", "api", "10.9.8.7")
        carl = await accounts.users.make("carl", by=by, email="carl@example.org")
        await accounts.users.change(carl, {"name": "Carl the Great"}, by)
        await accounts.users.change(boss, {"name": "Boss the Small"}, by)
        await accounts.credits.granted(carl.id, 10**12, note="as boss said", ref=None, by=by)
        others = "SELECT action, before, after FROM audit WHERE target = 'user:3' AND action LIKE 'user.%' ORDER BY id"
        before = read(path, others)
        assert len(before) == 2 and "carl@example.org" in before[0][2] and "Carl the Great" in before[1][2]
        await accounts.forgetting.forget(username="boss", despite=True)
    assert read(path, others) == before
    (given,) = read(path, "SELECT json_extract(after, '$.note') FROM audit WHERE action LIKE 'credit.%'")
    assert given == ("",)
    assert set(read(path, "SELECT actor_name, address FROM audit WHERE actor = 2")) == {("(forgotten 2)", "")}
    audit = str(read(path, "SELECT * FROM audit")).lower()
    assert not [word for word in ("boss", "10.9.8.7") if word in audit], audit


async def test_what_was_deleted_long_ago_goes_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file is written anew: a large one is only where no call waits for it."""
    async with opened(path) as accounts:
        await accounts.users.create(username=NAME)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA secure_delete = OFF")
        for number in range(50):
            connection.execute("INSERT INTO logins VALUES (9, ?, 0)", (f"{NAME} at {number}",))
        connection.execute("DELETE FROM logins")
    assert NAME.encode() in path.read_bytes()
    monkeypatch.setattr(forgetting, "QUICK_BYTES", 1000)
    async with opened(path) as accounts:
        said = await accounts.forgetting.forget(username=NAME)
        assert said["compacted"] is False and "running calls would wait for that" in str(said["why"])
        assert f"{NAME} at".encode() in path.read_bytes()
        assert await accounts.forgetting.compact(whole=True) == {"compacted": True, "why": None}
        assert NAME.encode() not in path.read_bytes() and path.with_name(f"{path.name}-wal").stat().st_size == 0


async def test_who_reads_the_database_is_told_of(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(path) as accounts:
        await accounts.users.create(username=NAME)
        with closing(sqlite3.connect(path, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM users").fetchone()
            accounts.forgetting.writer.connection.execute("PRAGMA busy_timeout = 0")
            said = await accounts.forgetting.forget(username=NAME)
            assert "somebody reads it" in str(said["why"])
        with trio.fail_after(10):
            assert (await accounts.forgetting.compact())["compacted"]
