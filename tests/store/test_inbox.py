"""The inbox: whatever a batch holds, just that is in the tables."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import astuple

from ftgate.core.books import Entry
from ftgate.ports import Row
from ftgate.store.batch import Batch, write_batch
from ftgate.store.inbox import ENTRIES, SIZES, SMALLEST, open_inbox
from tests.days.log import empty_database
from tests.store.faulty import row


def holds(connection: sqlite3.Connection, table: str, names: tuple[str, ...]) -> list[tuple[object, ...]]:
    return connection.execute(f"SELECT {', '.join(names)} FROM {table} ORDER BY rowid").fetchall()


@pytest.mark.parametrize("sizes", [SMALLEST, SIZES])
@pytest.mark.parametrize(
    ("entries", "rows"),
    [(0, 0), (1, 0), (0, 1), (2, 1), (3, 1), (4, 2), (9, 2), (1, 5), (32, 16), (33, 16), (32, 17), (2, 40), (100, 3)],
)
def test_just_what_a_batch_holds_is_written(entries: int, rows: int, sizes: tuple[int, ...]) -> None:
    """Empty places are passed over, and a batch that is longer than the largest inbox is written whole."""
    batch = Batch()
    for at in range(1, entries + 1):
        batch.entries.append(
            Entry(at, "loss", 1, 2, "loss:overrun", "revenue", at * 7, 0, f"ref{at}", at, at * 3, "ü'\n" * at, 4)
        )
    batch.rows += [row(f"req{at}", at, first_token_ms=at if at % 2 else None, stream=at % 3 == 0) for at in range(rows)]
    batch.balances[1], batch.spent[2] = (1, 10**18, 5, 6), (2, 7)
    with closing(empty_database()) as connection:
        open_inbox(connection, sizes)
        write_batch(connection, batch, sizes)
        names = Entry.__struct_fields__
        assert holds(connection, "entries", names) == [astuple(entry) for entry in batch.entries]
        names = Row.__struct_fields__
        assert holds(connection, "requests", names) == [astuple(row) for row in batch.rows]
        assert connection.execute("SELECT account, posted, held, used FROM balances").fetchall() == [(1, 10**18, 5, 6)]
        assert connection.execute("SELECT key, used FROM spent").fetchall() == [(2, 7)]
        assert connection.execute("SELECT total(requests) FROM kinds").fetchone() == (rows,)
        assert connection.execute("SELECT mark FROM last_batch").fetchone() == (batch.mark,)


def test_half_of_a_long_batch_is_nothing() -> None:
    """A row at its end that the tables refuse takes all before it back."""
    batch = Batch()
    batch.rows += [row(f"req{at}") for at in range(SIZES[-1] * 3)] + [row("req0")]
    with closing(empty_database()) as connection:
        open_inbox(connection, SIZES)
        with pytest.raises(sqlite3.IntegrityError):
            write_batch(connection, batch, SIZES)
        assert connection.execute("SELECT count(*) FROM requests").fetchone() == (0,)
        assert not connection.in_transaction


def test_a_long_batch_needs_no_temporary_file(tmp_path: Path) -> None:
    """It may find no place for one, and that in the middle of a commit. Here no file at all can be opened any more."""
    script = (
        "import sys, resource\n"
        "from pathlib import Path\n"
        "from tests.store.faulty import row\n"
        "from ftgate.store.batch import Batch, write_batch\n"
        "from ftgate.store.database import connect\n"
        "from ftgate.store.inbox import SIZES, open_inbox\n"
        "connection = connect(Path(sys.argv[1]), durability='process')\n"
        "open_inbox(connection, SIZES)\n"
        "batch = Batch()\n"
        "batch.rows += [row(f'req{at * 7919 % 4001}', model=f'm{at % 100}', remark='x' * 500) for at in range(4000)]\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n"
        "taken = []\n"
        "try:\n"
        "    while True:\n"
        "        taken.append(open('/dev/null'))\n"
        "except OSError:\n"
        "    write_batch(connection, batch, SIZES)\n"
        "print(connection.execute('SELECT count(*) FROM requests').fetchone())\n"
    )
    told = subprocess.run([sys.executable, "-c", script, tmp_path / "x.sqlite3"], capture_output=True, text=True)
    assert told.stdout == "(4000,)\n", told.stderr


def test_each_entry_and_row_has_its_place() -> None:
    """A call is a hold, its end and its row."""
    assert ENTRIES == 2
    for size in SIZES:
        places = size * (ENTRIES * len(Entry.__struct_fields__) + len(Row.__struct_fields__))
        assert places + 4 <= 2000, "SQLite takes no more columns"
