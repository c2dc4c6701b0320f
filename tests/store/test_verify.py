"""The verification agrees with a real history and names what was tampered with."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trio

from ftgate.core.audit import Audit, Disagreement
from ftgate.core.books import Ended
from ftgate.core.pricing import Price
from ftgate.core.receipt import price_text
from ftgate.store import verify
from ftgate.store.batch import Batch
from ftgate.store.database import connect, read_only
from ftgate.store.entries import entries_after
from ftgate.store.recovery import expire_orphans
from ftgate.store.source import Source
from ftgate.store.verify import compare_requests, verify_ledger
from ftgate.store.writer import Writer
from tests.store.either import opened, put, tamper
from tests.store.faulty import Calls, row


def lived(source: Source) -> Source:
    """A history with every kind of entry: 1 grant 1000000, 2 hold, 3 post 30, 4 hold, 5 void, 6 hold 100, 7 post, 8
    overrun 50, 9 metered hold, 10 metered post 70, 11 hold 999820, 12 post, 13 overrun, 14 loss, 15 grant, 16 hold
    (expired by 17), 18 open hold."""
    calls, batch = Calls(), Batch()
    calls.books.open_account(2, metered=True)
    calls.books.open_key(2, limit=None)
    calls.grant(batch)
    calls.call(batch)
    held = calls.hold(batch)
    _remember(calls, batch, calls.books.void(held.id, at_us=0))
    batch.rows.append(row(held.ref, held.id))
    calls.call(batch, 150)
    taken = calls.books.hold(2, 2, 5, ref="metered", estimate=1, at_us=0)
    assert isinstance(taken, tuple)
    batch.remember((taken[1],), calls.books.accounts[2])
    _remember(calls, batch, calls.books.post(taken[0].id, 70, at_us=0))
    batch.rows.append(row("metered", taken[0].id, account=2, key=2, cost=70))
    calls.post(batch, calls.hold(batch, 999_810), 999_900)
    entry = calls.books.grant(1, 5000, ref="g2", at_us=0)
    batch.remember((entry,), calls.balance)  # type: ignore[arg-type]
    orphan = calls.hold(batch)
    _remember(calls, batch, calls.books.expire(orphan.id, 10, at_us=0))
    calls.hold(batch)
    batch.rows.append(row("refused", status="refused", http_status=402))
    with opened(source) as connection:
        put(connection, batch)
    return source


@pytest.fixture
def path(source: Source) -> Source:
    return lived(source)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    lived(tmp_path / "f.sqlite3")
    return tmp_path / "f.sqlite3"


def _remember(calls: Calls, batch: Batch, ended: object) -> None:
    assert isinstance(ended, Ended)
    account, key = ended.entries[0].account, ended.entries[0].key
    batch.remember(ended.entries, calls.books.accounts[account], calls.books.quotas[key])


VERIFIED = {
    "ok": True, "accounts": 2, "entries": 18, "open_holds": 1, "requests": 6, "recomputed": 6,
    "not_recomputable": {"older": 0, "crashed": 0},
}  # fmt: skip


def test_a_real_history_verifies(path: Source) -> None:
    with closing(read_only(path)) as connection:
        kinds = " ".join(kind for (kind,) in connection.execute("SELECT kind FROM entries ORDER BY id"))
    assert (
        kinds == "grant hold post hold void hold post overrun hold post hold post overrun loss grant hold expire hold"
    )
    assert verify_ledger(path) == VERIFIED


def test_an_empty_ledger_verifies(source: Source) -> None:
    assert verify_ledger(source) == {
        "ok": True, "accounts": 0, "entries": 0, "open_holds": 0, "requests": 0, "recomputed": 0,
        "not_recomputable": {"older": 0, "crashed": 0},
    }  # fmt: skip


@pytest.mark.parametrize("page", [1, 2, 3, 7])
def test_the_size_of_a_read_does_not_matter(path: Source, page: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftgate.store.verify.PAGE", page)
    assert verify_ledger(path) == VERIFIED
    tamper(path, "UPDATE requests SET cost = 1 WHERE request_id = 'metered'")
    assert "request metered" in str(verify_ledger(path)["disagreement"])


TAMPERED = {
    "UPDATE entries SET amount = amount - 1 WHERE id = 1": "entry 13: account 1 falls below zero, to -1",
    "UPDATE entries SET amount = 29 WHERE id = 3": "account 1: balance says posted, held, used = (4990, 100, 0)",
    "UPDATE entries SET amount = 101 WHERE id = 3": "entry 3: posts 101, more than hold 2 of 100",
    "UPDATE entries SET amount = -30 WHERE id = 3": "entry 3: negative amount -30",
    "UPDATE entries SET amount = 1 WHERE id = 5": "entry 5: a void of 1",
    "UPDATE entries SET amount = 99 WHERE id = 2": "request",
    "UPDATE entries SET amount = 71 WHERE id = 10": "account 2: balance says posted, held, used = (0, 0, 70); "
    "entries say (0, 0, 71)",
    "UPDATE entries SET amount = 1 WHERE id = 9": "entry 9: a metered hold of 1",
    "UPDATE entries SET amount = 10000000 WHERE id = 8": "entry 8: account 1 falls below zero",
    "UPDATE entries SET amount = 11 WHERE id = 14": "request req_4: its row says a cost, lost = ",
    "UPDATE entries SET account = 2 WHERE id = 3": "entry 3: does not match hold 2 in account, key, ledger or ref",
    "UPDATE entries SET key = 2 WHERE id = 3": "entry 3: does not match hold 2",
    "UPDATE entries SET ref = 'x' WHERE id = 3": "entry 3: does not match hold 2",
    "UPDATE entries SET kind = 'gift' WHERE id = 1": "entry 1: a gift from grants to credits",
    "UPDATE entries SET debit = 'usage' WHERE id = 3": "entry 3: does not match hold 2",
    "UPDATE entries SET credit = 'grants' WHERE id = 3": "entry 3: a post from credits to grants",
    "UPDATE entries SET hold = 4 WHERE id = 8": "entry 8: overrun without the post of hold 4 before it",
    "UPDATE entries SET id = 99 WHERE id = 3": "entry 3 is missing: after entry 2 comes entry 4",
    "UPDATE entries SET id = 20 WHERE id = 18": "entry 18 is missing: after entry 17 comes entry 20",
    "DELETE FROM entries WHERE id = 1": "entry 1 is missing: after entry 0 comes entry 2",
    "DELETE FROM entries WHERE id = 3": "entry 3 is missing: after entry 2 comes entry 4",
    # a loss, which is in no balance
    "DELETE FROM entries WHERE id = 14": "entry 14 is missing: after entry 13 comes entry 15",
    # a hold with its void: in no sum
    "DELETE FROM entries WHERE id IN (4, 5)": "entry 4 is missing: after entry 3 comes entry 6",
    "DELETE FROM entries WHERE id = 18": "account 1: balance says posted, held, used = (4990, 100, 0); entries say "
    "(4990, 0, 0)",
    "INSERT INTO entries SELECT 19, kind, 1, 0, debit, credit, 5, 0, 'x', 0, 0, '', 0 FROM entries WHERE id = "
    "1": "account 1: balance says",
    "UPDATE balances SET posted = posted + 1 WHERE account = 1": "account 1: balance says posted, held, used = "
    "(4991, 100, 0)",
    "UPDATE balances SET posted = -1 WHERE account = 1": "account 1: balance says posted, held, used = (-1, 100, 0)",
    "UPDATE balances SET held = 0": "account 1: balance says posted, held, used = (4990, 0, 0)",
    "UPDATE balances SET held = -100": "account 1: balance says posted, held, used = (4990, -100, 0)",
    "UPDATE balances SET used = 0 WHERE account = 2": "account 2: balance says posted, held, used = (0, 0, 0)",
    "DELETE FROM balances WHERE account = 1": "account 1 has entries and no balance",
    "INSERT INTO balances VALUES (3, 5, 0, 0)": "account 3: balance says posted, held, used = (5, 0, 0); entries say "
    "(0, 0, 0)",
    "UPDATE spent SET used = used - 1 WHERE key = 1": "key 1: spent says",
    "DELETE FROM spent WHERE key = 2": "key 2: spent says 0; entries say 70",
    "INSERT INTO spent VALUES (9, 1)": "key 9: spent says 1; entries say 0",
    "UPDATE requests SET cost = cost + 1 WHERE request_id = 'req_1'": "req_1: its row says a cost, lost = (31, 0), "
    "its entries say (30, 0)",
    "UPDATE requests SET cost = 1 WHERE request_id = 'req_2'": "request req_2: its row says a cost, lost = (1, 0), "
    "its entries say (0, 0)",
    "UPDATE requests SET cost = 100 WHERE request_id = 'req_3'": "req_3: its row says a cost, lost = (100, 0), its "
    "entries say (150, 0)",
    "UPDATE requests SET cost = 0 WHERE request_id = 'metered'": "request metered",
    "UPDATE requests SET lost = 0 WHERE request_id = 'req_4'": "request req_4",
    "UPDATE requests SET hold = 6 WHERE request_id = 'req_1'": "req_1: its row says a cost, lost = (30, 0), its "
    "entries say (150, 0)",
    # a row and its hold
    "DELETE FROM requests WHERE request_id = 'req_1'": "entry 3: the post of hold 2 has no row of request req_1",
    "DELETE FROM requests WHERE request_id = 'req_2'": "entry 5: the void of hold 4 has no row of request req_2",
    "DELETE FROM requests WHERE request_id = 'metered'": "entry 10: the post of hold 9 has no row of request metered",
    "DELETE FROM requests": "entry 3: the post of hold 2 has no row",
    "UPDATE requests SET hold = 0, cost = 0 WHERE request_id = 'req_1'": "request req_1: its row says a cost and a "
    "loss of 0 in all, its tokens, price and multiplier come to 30",
    "UPDATE requests SET hold = 0, cost = 0, price = '' WHERE request_id = 'req_1'": "entry 3: the post of hold 2 has "
    "no row of request req_1",
    "UPDATE requests SET hold = 0 WHERE request_id = 'req_1'": "request req_1: its row has no hold and says a cost, "
    "lost = (30, 0)",
    "UPDATE requests SET hold = 0, cost = 0 WHERE request_id = 'req_4'": "request req_4: its row has no hold and "
    "says a cost, lost = (0, ",
    "UPDATE requests SET cost = 5 WHERE request_id = 'refused'": "request refused: its row has no hold and says a "
    "cost, lost = (5, 0)",
    "UPDATE requests SET lost = 5 WHERE request_id = 'refused'": "request refused: its row has no hold and says a "
    "cost, lost = (0, 5)",
    "UPDATE requests SET account = 2 WHERE request_id = 'req_1'": "req_1: its row says account 2 and key 1, its hold "
    "2 account 1 and key 1",
    "UPDATE requests SET key = 2 WHERE request_id = 'req_1'": "req_1: its row says account 1 and key 2, its hold 2 "
    "account 1 and key 1",
    "UPDATE requests SET request_id = 'req_9' WHERE request_id = 'req_1'": "req_9: its row points at hold 2, which "
    "is of request req_1",
    "UPDATE requests SET hold = 6, cost = 150 WHERE request_id = 'req_1'": "req_1: its row points at hold 6, which "
    "is of request req_3",
    "UPDATE requests SET hold = 2, cost = 30 WHERE request_id = 'refused'": "refused: its row points at hold 2, "
    "which is of request req_1",
    "UPDATE requests SET hold = 3 WHERE request_id = 'req_1'": "request req_1: its row points at hold 3, which is "
    "not there",
    "UPDATE requests SET hold = 99 WHERE request_id = 'req_1'": "request req_1: its row points at hold 99, which is "
    "not there",
    "UPDATE requests SET hold = -2 WHERE request_id = 'req_1'": "request req_1: its row points at hold -2, which is "
    "not there",
    "UPDATE requests SET hold = 18, request_id = 'req_6' WHERE request_id = 'refused'": "req_6: its row points at "
    "hold 18, which has not",
    "UPDATE requests SET hold = 16, cost = 10, request_id = 'req_5' WHERE request_id = 'refused'": "hold 16, which "
    "expired: no call of it",
}
"""What was changed, and the words that name it."""
UNSEEN = {"UPDATE entries SET amount = 99 WHERE id = 2"}
"""A hold that was larger than its post, made smaller by an amount that still covers it: no balance ever stood on it."""


@pytest.mark.parametrize("sql", [sql for sql in TAMPERED if sql not in UNSEEN])
def test_tampering_is_named(path: Source, sql: str) -> None:
    tamper(path, sql)
    found = verify_ledger(path)
    assert found["ok"] is False, found
    assert TAMPERED[sql] in str(found["disagreement"])


def test_tampering_that_changes_no_balance(path: Source) -> None:
    """The limit of the method, written down."""
    for sql in UNSEEN:
        tamper(path, sql)
    assert verify_ledger(path)["ok"]


def test_rows_that_were_pruned(path: Source) -> None:
    """As many rows with a hold as are said to be gone may be missing; who looks for the first that is missing beside
    them begins behind the last that is gone."""
    tamper(path, "DELETE FROM requests WHERE hold IN (2, 4)")
    with closing(read_only(path)) as connection:
        audit = Audit()
        for entry in entries_after(connection, 0, 18, 100):
            audit.note(entry)
        with pytest.raises(Disagreement, match="entry 3: the post of hold 2 has no row"):
            compare_requests(connection, audit)
    for said, words in {
        "held = 1, last_hold = 2": "entry 5: the void of hold 4 has no row",
        "held = 1, last_hold = 4": "requests have a hold, 1 that had one are gone, and",
        "held = 3, last_hold = 4": "requests have a hold, 3 that had one are gone, and",
        "held = 2, last_hold = 4": "",
    }.items():
        tamper(path, f"UPDATE pruned SET {said}")
        with closing(read_only(path)) as connection:
            if words:
                with pytest.raises(Disagreement, match=words):
                    compare_requests(connection, audit)
            else:
                compare_requests(connection, audit)
    tamper(path, "DELETE FROM requests WHERE hold = 6")
    with closing(read_only(path)) as connection:
        with pytest.raises(Disagreement, match="entry 7: the post of hold 6 has no row"):
            compare_requests(connection, audit)


PRICE = Price(3, 15, 1, 4, 6)


@pytest.fixture
def boots(source: Source) -> Source:
    """Two boots. 1 grant, 2 hold, 3 post of req_1, which cost 62 at x3/2 with every class of token; 4 hold of req_2, by
    the first boot, which was killed; 5 its expire by the second, which charged 10; 6 hold, 7 post 30 of req_3."""
    calls, batch = Calls(), Batch()
    calls.books.boot = 1
    calls.grant(batch)
    held = calls.hold(batch)
    _remember(calls, batch, calls.books.post(held.id, 62, at_us=0))
    tokens = {"prompt_tokens": 8, "cached_tokens": 2, "cache_write_tokens": 3, "cache_write_1h_tokens": 1}
    batch.rows.append(
        row(held.ref, held.id, cost=62, **tokens, completion_tokens=1, multiplier="3/2", price=price_text(PRICE))
    )
    calls.hold(batch)
    with opened(source) as connection:
        put(connection, batch)
        calls.books.boot, batch = 2, Batch()
        del calls.books.open[4], calls.books.held["req_2"]
        calls.balance.held = 0
        assert expire_orphans(connection, calls.books, batch, at_us=0, charge_estimate=True) == (1, 0)
        calls.call(batch)
        put(connection, batch)
    return source


def test_what_boots_leave_verifies(boots: Source) -> None:
    assert verify_ledger(boots) == {
        "ok": True, "accounts": 1, "entries": 7, "open_holds": 0, "requests": 3, "recomputed": 2,
        "not_recomputable": {"older": 0, "crashed": 1},
    }  # fmt: skip


ARITHMETIC = {
    "UPDATE requests SET multiplier = '2/1' WHERE id = 1": "request req_1: its row says a cost and a loss of 62 in "
    "all, its tokens, price and multiplier come to 82",
    "UPDATE requests SET cache_write_tokens = 4, cache_write_1h_tokens = 0 WHERE id = 1": "request req_1: its row says "
    "a cost and a loss of 62 in all, its tokens, price and multiplier come to 59",
    "UPDATE requests SET completion_tokens = 0 WHERE id = 1": "request req_1: its row says a cost and a loss of 62",
    "UPDATE requests SET prompt_tokens = 5 WHERE id = 1": "request req_1: its arithmetic cannot be read: a prompt of 5 "
    "tokens cannot be parted into (-1, 2, 3, 1)",
    "UPDATE requests SET price = '' WHERE id = 1": "request req_1: its row says a cost and a loss of 62 in all",
    "UPDATE requests SET price = 'x' WHERE id = 1": "request req_1: its arithmetic cannot be read: the price: ",
    "UPDATE requests SET earlier = '[' WHERE id = 1": "request req_1: its arithmetic cannot be read: the earlier",
    "UPDATE requests SET multiplier = '' WHERE id = 1": "request req_1: its row has lost its multiplier",
    "UPDATE requests SET multiplier = '' WHERE id = 3": "request req_3: its row has lost its multiplier",
    "UPDATE requests SET multiplier = 'x'": "request req_1: its arithmetic cannot be read",  # the first of them
    # a row of a call that a kill ended, and the expire of its hold
    "UPDATE requests SET cost = 0 WHERE id = 2": "request req_2: its row says a cost, lost = (0, 0), its entries say "
    "(10, 0)",
    "UPDATE requests SET status = 'ok' WHERE id = 2": "request req_2: its row points at hold 4, which expired",
    "UPDATE requests SET status = 'crashed' WHERE id = 3": "request req_3: its row says that it crashed, and its hold "
    "6 ended by a post",
    "UPDATE requests SET hold = 0, cost = 0 WHERE id = 2": "request req_2: its row says that it crashed, and has no "
    "hold",
    "DELETE FROM requests WHERE id = 2": "entry 5: the expire of hold 4 has no row of request req_2",
    # who may end a hold
    "UPDATE entries SET boot = 1 WHERE id = 5": "entry 5: boot 1 lets hold 4 expire, which boot 1 has taken",
    "UPDATE entries SET boot = 1 WHERE id = 7": "entry 7: boot 1 ends hold 6 of boot 2 by a post",
    # two at once: the first is named
    "UPDATE requests SET cost = 1, multiplier = '2/1' WHERE id > 1": "request req_2: its row says a cost, lost = (1, ",
    "UPDATE requests SET multiplier = '2/1', cost = CASE id WHEN 3 THEN 31 ELSE cost END": "request req_1: its row "
    "says a cost",
}


@pytest.mark.parametrize("sql", ARITHMETIC)
def test_a_row_that_does_not_hold_its_arithmetic_is_named(boots: Source, sql: str) -> None:
    tamper(boots, sql)
    found = verify_ledger(boots)
    assert not found["ok"] and str(found["disagreement"]).startswith(ARITHMETIC[sql])


async def test_verifying_beside_a_busy_writer(file: Path) -> None:
    writer = Writer(connect(file, durability="process"))
    writer.start()
    calls = Calls(next_id=19)
    calls.number = 100
    calls.books.accounts[1].posted, calls.books.accounts[1].held, calls.books.quotas[1].used = 4990, 100, 0
    with closing(read_only(file)) as connection:
        calls.books.quotas[1].used = connection.execute("SELECT used FROM spent WHERE key = 1").fetchone()[0]
    verified: list[dict[str, Any]] = []

    async def verify() -> None:
        with trio.fail_after(20):  # at least so often, and until the writer has been seen at work
            while len(verified) < 25 or verified[0]["entries"] == verified[-1]["entries"]:
                verified.append(await trio.to_thread.run_sync(verify_ledger, file))
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(verify)
        while True:
            batch = writer.changed()
            held = calls.hold(batch)
            await trio.sleep(0.0003)
            calls.post(writer.changed(), held, 0 if calls.number % 3 else 1)
    await writer.close()
    assert len(verified) >= 25 and all(found["ok"] for found in verified), verified
    assert verified[0]["entries"] < verified[-1]["entries"]
    assert verify_ledger(file)["ok"]


async def test_a_verification_does_not_hold_the_log_open(file: Path) -> None:
    """After its first short read a checkpoint goes through although the verification is still at work."""
    connection = connect(file, durability="process")
    paused = verify._read_all
    folded: list[Any] = []

    def in_between(reader: sqlite3.Connection, *rest: Any) -> None:
        batch = Batch()
        batch.rows.append(row("while it reads"))
        put(connection, batch)
        folded.append(connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone())
        paused(reader, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ftgate.store.verify._read_all", in_between)
        assert verify_ledger(file)["ok"]
    connection.close()
    assert folded == [(0, 0, 0)]
