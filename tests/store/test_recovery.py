"""Holds that a crash left open: which of them end, for how much, and the rows of their calls."""

import sqlite3
from pathlib import Path

import pytest

from ftgate.core.books import Books, Entry
from ftgate.core.logged import Wanted
from ftgate.core.money import format_usd
from ftgate.store.batch import Batch, write_batch
from ftgate.store.database import connect
from ftgate.store.listing import page
from ftgate.store.recovery import expire_orphans
from ftgate.store.requests import stats
from ftgate.store.verify import verify_ledger
from tests.store.faulty import row


@pytest.mark.parametrize("charge_estimate", [False, True])
def test_a_refund_under_an_open_hold_and_a_crash(tmp_path: Path, charge_estimate: bool) -> None:
    """The hold's estimate is more than what the refund left: the start must end the hold, below zero if it must be."""
    path = tmp_path / "ftgate.sqlite3"
    connection = connect(path, durability="process")
    before = Books(boot=4)
    before.open_account(1)
    before.open_key(1, limit=None)
    batch = Batch()
    for said in (
        before.grant(1, 100, ref="g", at_us=0),
        before.hold(1, 1, 90, ref="r", estimate=80, at_us=0),
        before.refund(1, 60, ref="x", at_us=0),
    ):
        entry = said if isinstance(said, Entry) else said[1]  # type: ignore[index]
        batch.remember((entry,), before.accounts[1])
    write_batch(connection, batch)
    after = Books(next_id=before.next_id, boot=5)
    after.open_account(1, posted=40)
    after.open_key(1, limit=None)
    batch = Batch()
    assert expire_orphans(connection, after, batch, at_us=0, charge_estimate=charge_estimate)[0] == 1
    write_batch(connection, batch)
    connection.close()
    assert after.accounts[1].posted == (-40 if charge_estimate else 40)
    assert verify_ledger(path)["ok"]


def opened(boot: int, next_id: int = 1) -> Books:
    books = Books(next_id=next_id, boot=boot)
    books.open_account(1, posted=100 if next_id > 1 else 0)
    books.open_account(2, metered=True)
    for key in (1, 2):
        books.open_key(key, limit=None)
    return books


@pytest.fixture
def killed(tmp_path: Path) -> tuple[sqlite3.Connection, list[Entry]]:
    """Boot 4 took a hold and was killed, boot 5 took two, of a prepaid and a metered account, and was killed too."""
    connection = connect(tmp_path / "ftgate.sqlite3", durability="process")
    books, batch, holds = opened(4), Batch(), []
    granted = books.grant(1, 100, ref="g", at_us=0)
    batch.remember((granted,), books.accounts[1])  # type: ignore[arg-type]
    for boot, account, amount in ((4, 1, 20), (5, 1, 30), (5, 2, 40)):
        books.boot = boot
        said = books.hold(account, account, amount, ref=f"req_{amount}", estimate=amount - 5, at_us=amount)
        holds.append(said[1])  # type: ignore[index]
        batch.remember((holds[-1],), books.accounts[account])
    write_batch(connection, batch)
    return connection, holds


@pytest.mark.parametrize("known", [False, True])
def test_holds_of_ended_boots_expire_and_no_other(killed: tuple[sqlite3.Connection, list[Entry]], known: bool) -> None:
    """As a boot that had taken a hold of its own already would find it."""
    connection, holds = killed
    books, batch = opened(5, next_id=5), Batch()
    found = expire_orphans(
        connection, books, batch, at_us=7, charge_estimate=False, open_holds=holds if known else None
    )
    assert found == (1, 15)
    assert [(entry.kind, entry.hold, entry.boot) for entry in batch.entries] == [("expire", 2, 5)]
    assert [row.request_id for row in batch.rows] == ["req_20"]


@pytest.mark.parametrize(("charge", "costs"), [(False, [0, 0, 0]), (True, [15, 25, 35])])
def test_a_call_that_a_kill_ended_has_a_row(
    killed: tuple[sqlite3.Connection, list[Entry]], charge: bool, costs: list[int]
) -> None:
    connection, _ = killed
    books, batch = opened(6, next_id=5), Batch()
    expire_orphans(connection, books, batch, at_us=7, charge_estimate=charge)
    write_batch(connection, batch)
    rows = connection.execute(
        "SELECT request_id, created_at_us, account, key, hold, cost, lost, estimated, status, http_status, model,"
        " multiplier FROM requests ORDER BY id"
    ).fetchall()
    asked = zip((20, 30, 40), (1, 1, 2), (2, 3, 4), costs, strict=True)
    assert rows == [
        (f"req_{at}", at, account, account, hold, cost, 0, int(charge), "crashed", 0, "", "")
        for at, account, hold, cost in asked
    ]
    path = Path(connection.execute("PRAGMA database_list").fetchone()[2])
    assert verify_ledger(path)["not_recomputable"] == {"older": 0, "crashed": 3}
    chosen = Wanted(status="crashed", account=1)
    assert [row.request_id for row in page(path, chosen, skipped=0, size=9, after=None).rows] == ["req_30", "req_20"]
    sums = stats(path)
    assert (sums["requests"], sums["failed"]) == (3, 3) and sums["cost"] == format_usd(sum(costs))


def test_a_row_that_is_there_already_keeps_no_start_from_its_work(
    killed: tuple[sqlite3.Connection, list[Entry]],
) -> None:
    connection, _ = killed
    books, batch = opened(6, next_id=5), Batch()
    noted = Batch()
    noted.rows.append(row("req_30", status="refused"))
    write_batch(connection, noted)
    expire_orphans(connection, books, batch, at_us=7, charge_estimate=False)
    write_batch(connection, batch)
    path = Path(connection.execute("PRAGMA database_list").fetchone()[2])
    assert "the expire of hold 3 has no row of request req_30" in str(verify_ledger(path)["disagreement"])


def test_what_a_start_charges_counts_in_the_span_in_which_it_starts(
    killed: tuple[sqlite3.Connection, list[Entry]],
) -> None:
    connection, _ = killed
    books, batch, day_us = opened(6, next_id=5), Batch(), 86_400 * 10**6
    quota = books.quotas[1]
    quota.limit, quota.used = 100, 70
    quota.begin("day", 0)
    assert quota.left == 100
    expire_orphans(connection, books, batch, at_us=day_us + 7, charge_estimate=True)
    assert quota.left == 100 - 15 - 25  # the estimates of the two holds
    assert [values for _, values in batch.statements] == [(day_us, 70, 1)]
    write_batch(connection, batch)
    connection.close()
