"""Batches: joined in their order, and the last balance of an account stays."""

from pathlib import Path

import pytest

from ftgate.store.batch import Batch, already_in, joined, write_batch
from ftgate.store.database import connect
from tests.store.faulty import Calls, read, row
from tests.store.writing import USER, writing

pytestmark = pytest.mark.usefixtures("quick")


def test_batches_are_joined_in_their_order(path: Path) -> None:
    connection, calls, batches = connect(path, durability="process"), Calls(), []
    for n in range(4):
        batches.append(Batch())
        if n == 0:
            calls.grant(batches[-1])
        if n == 1:  # a batch without any ledger entry
            batches[-1].rows.append(row("alone"))
        else:
            calls.call(batches[-1])
        batches[-1].statements.append((USER, (n + 1, f"u{n}")))
        batches[-1].statements.append(("UPDATE users SET username = username || 'x'", ()))
        batches[-1].seal()
    whole = joined(batches)
    write_batch(connection, whole)
    assert already_in(connection, whole) and not any(already_in(connection, batch) for batch in batches)
    assert joined(batches[:1]) is batches[0]
    connection.close()
    apart = path.with_name("apart.sqlite3")
    connection = connect(apart, durability="process")
    for batch in batches:
        write_batch(connection, batch)
    connection.close()
    for table in ("entries", "requests", "balances", "spent", "users"):
        assert read(path, f"SELECT * FROM {table}") == read(apart, f"SELECT * FROM {table}") != []


async def test_a_batch_keeps_the_last_balance(path: Path) -> None:
    async with writing(path) as (writer, _):
        calls = Calls()
        calls.grant(writer.changed(), 500)
        calls.post(writer.changed(), calls.hold(writer.changed(), 100), 90)
        open_hold = calls.hold(writer.changed(), 40)
        await writer.durable(writer.filling)
        assert read(path, "SELECT account, posted, held, used FROM balances") == [(1, 410, 40, 0)]
        assert read(path, "SELECT key, used FROM spent") == [(1, 90)]
        calls.post(writer.changed(), open_hold, 10)
        await writer.durable(writer.filling)
    assert read(path, "SELECT account, posted, held, used FROM balances") == [(1, 400, 0, 0)]
    assert read(path, "SELECT key, used FROM spent") == [(1, 100)]


def test_a_batch_shows_how_far_it_is() -> None:
    batch, calls = Batch(), Calls()
    calls.grant(batch)
    calls.call(batch)
    assert repr(batch) == "<Batch filling: 3 entries, 1 rows, 0 statements, 0 wait with a limit>"
    batch.seal()
    assert repr(batch).startswith("<Batch sealed: ")
    batch.done = True
    assert repr(batch).startswith("<Batch written: ")


def test_what_is_not_sealed_is_not_joined() -> None:
    sealed, open_ = Batch(), Batch()
    sealed.seal()
    with pytest.raises(AssertionError):
        joined([sealed, open_])
