"""Holds that a crash left open, under money that moved meanwhile."""

from pathlib import Path

import pytest

from ftgate.core.books import Books, Entry
from ftgate.store.batch import Batch, write_batch
from ftgate.store.database import connect
from ftgate.store.recovery import expire_orphans
from ftgate.store.verify import verify_ledger


@pytest.mark.parametrize("charge_estimate", [False, True])
def test_a_refund_under_an_open_hold_and_a_crash(tmp_path: Path, charge_estimate: bool) -> None:
    """The hold's estimate is more than what the refund left: the start must end the hold, below zero if it must be."""
    path = tmp_path / "ftgate.sqlite3"
    connection = connect(path, durability="process")
    before = Books()
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
    after = Books(next_id=before.next_id)
    after.open_account(1, posted=40)
    after.open_key(1, limit=None)
    batch = Batch()
    assert expire_orphans(connection, after, batch, at_us=0, charge_estimate=charge_estimate)[0] == 1
    write_batch(connection, batch)
    connection.close()
    assert after.accounts[1].posted == (-40 if charge_estimate else 40)
    assert verify_ledger(path)["ok"]
