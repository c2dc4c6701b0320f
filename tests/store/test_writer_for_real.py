"""The writer against real trouble: a database that another process holds, a full disk, a file that may not grow
(RELIABILITY.md F43, F51)."""

import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import trio

from tests.store.faulty import Calls
from tests.store.writing import in_file, until, writing

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.usefixtures("quick")


HOLDER = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.readline()  # from here on its time runs: whoever measures has begun
time.sleep(float(sys.argv[2]))
connection.execute("ROLLBACK")
connection.close()
"""


async def locked_out(path: Path, held_s: float) -> tuple[float, list[str]]:
    """How long a commit took while another process held the database, and what busy() said meanwhile."""
    said: list[str] = []
    async with writing(path) as (writer, _):
        command = [sys.executable, "-c", HOLDER, str(path), str(held_s)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            assert holder.stdin is not None and holder.stdout is not None
            await trio.to_thread.run_sync(holder.stdout.readline)
            calls = Calls()
            batch = writer.changed()
            calls.grant(batch)
            started = time.monotonic()
            holder.stdin.write(b"\n")
            holder.stdin.flush()
            while not batch.done:
                await trio.sleep(0.02)
                if (why := writer.busy()) and why not in said:
                    said.append(why)
                if not batch.done:
                    calls.call(writer.changed())
            took = time.monotonic() - started
            await writer.durable(
                writer.filling if writer.filling.size() else writer.handed[-1] if writer.handed else batch
            )
            assert writer.busy() is None
            await trio.to_thread.run_sync(holder.wait)
    assert in_file(path) == (calls.books.next_id - 1, calls.number)
    return took, said


@pytest.mark.slow
async def test_another_process_holds_the_database(tmp_path: Path) -> None:
    results: dict[float, tuple[float, list[str]]] = {}

    async def one(held_s: float) -> None:
        results[held_s] = await locked_out(tmp_path / f"{held_s}.sqlite3", held_s)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(one, 1.0)
        nursery.start_soon(one, 4.0)
    took, said = results[1.0]
    assert 0.3 < took < 2.5 and said == []  # delayed, no trouble
    took, said = results[4.0]
    assert 3.7 < took < 7 and said == ["database is locked"]


async def test_a_full_disk(path: Path) -> None:
    async with writing(path) as (writer, faulty):
        pages = faulty.connection.execute("PRAGMA page_count").fetchone()[0]
        faulty.connection.execute(f"PRAGMA max_page_count = {pages}")
        calls = Calls()
        calls.grant(writer.changed())
        for _ in range(200):
            calls.call(writer.changed())
        batch = writer.filling
        await until(lambda: writer.busy() == "database or disk is full")
        calls.call(writer.changed())
        assert in_file(path) == (0, 0)
        await trio.sleep(0.02)  # some more tries
        assert not batch.done
        faulty.connection.execute("PRAGMA max_page_count = 1000000")
        await writer.durable(batch)
        await until(lambda: writer.busy() is None)
    assert in_file(path) == (403, 201)


LIMITED = """
import resource, signal, sys, trio
from pathlib import Path
from tests.store.faulty import Calls
from ftgate.store.database import connect
from ftgate.store.writer import Writer

async def main():
    path = Path(sys.argv[1])
    writer = Writer(connect(path, durability="process"))
    writer.start()
    calls = Calls()
    calls.grant(writer.changed())
    await writer.durable(writer.filling)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    wal = path.with_name(path.name + "-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (wal + 8192, resource.RLIM_INFINITY))
    for _ in range(200):
        calls.call(writer.changed())
    batch = writer.filling
    with trio.fail_after(5):
        while writer.busy() is None:
            await trio.sleep(0.01)
    said = writer.busy()
    await trio.sleep(0.2)
    assert not batch.done
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    with trio.fail_after(5):
        await writer.durable(batch)
    assert writer.busy() is None
    await writer.close()
    print(said)

trio.run(main)
"""


@pytest.mark.slow
def test_a_file_that_may_not_grow(path: Path) -> None:
    assert hasattr(resource, "RLIMIT_FSIZE") and signal.SIGXFSZ
    command = [sys.executable, "-c", textwrap.dedent(LIMITED), str(path)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=30, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in {"disk I/O error", "database or disk is full"}
    assert in_file(path) == (401, 200)
