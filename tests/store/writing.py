"""A writer at work over a connection that can be made to fail."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from ftgate.store.database import connect
from ftgate.store.verify import verify_ledger
from ftgate.store.writer import Writer
from tests.store.faulty import FaultyConnection, read

USER = (
    "INSERT INTO users (id, username, role, status, plan, created_at_us) VALUES (?, ?, 'user', 'active', 'default', 0)"
)


@asynccontextmanager
async def writing(path: Path, durability: str = "process") -> AsyncIterator[tuple[Writer, Any]]:
    """A writer at work over a connection that can be made to fail."""
    faulty = FaultyConnection(connect(path, durability=durability))
    writer = Writer(faulty)  # type: ignore[arg-type]
    writer.start()
    try:
        yield writer, faulty
    finally:
        faulty.go_on.set()
        await writer.close()
    if writer.failed is None:
        assert not writer.handed and not writer._waiting and not writer.filling.size()


async def until(true: Callable[[], object], limit_s: float = 5.0) -> None:
    with trio.fail_after(limit_s):
        while not true():
            await trio.sleep(0.001)


def in_file(path: Path) -> tuple[int, int]:
    """(entries, requests) in the database, which must verify."""
    found = verify_ledger(path)
    assert found["ok"], found
    return read(path, "SELECT count(*) FROM entries")[0][0], read(path, "SELECT count(*) FROM requests")[0][0]
