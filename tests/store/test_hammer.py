"""A moment of the ledger at full speed (scripts/ledger hammers for longer)."""

from pathlib import Path

from ftgate.core.books import Books
from ftgate.store.database import connect
from tests.store.hammer import hammer


async def test_many_tasks_on_one_account_and_on_many(tmp_path: Path) -> None:
    path = tmp_path / "ftgate.sqlite3"
    connection = connect(path, durability="process")
    books = Books()
    for account in range(1, 65):
        books.open_account(account)
        books.open_key(account, limit=None)
    run = await hammer(path, books, connection, seconds=1.5, tasks=64)
    assert run.settled > 500 and run.refused > 10
