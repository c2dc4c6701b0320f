"""A disk that fails to sync, for real: the kernel answers EIO to every sync of the writer's thread from some commit on.
SQLite has written the whole commit into its log by then, so the next start would take it for done, while everybody was
told that it was not.
"""

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from ftgate.store.database import connect
from ftgate.store.verify import verify_ledger

CHILD = '''
import ctypes, errno, os, struct, sys
import trio
from tests.store.faulty import Calls
from ftgate.store.database import DatabaseFault, connect
from ftgate.store.writer import Writer

SYNCS = {"x86_64": (74, 75), "aarch64": (82, 83)}  # fsync, fdatasync


def refuse_to_sync():
    """Every sync of this thread fails from now on (a seccomp filter)."""
    numbers = SYNCS[os.uname().machine]
    code = [(0x20, 0, 0, 0), *((0x15, len(numbers) - place, 0, number) for place, number in enumerate(numbers))]
    code += [(0x06, 0, 0, 0x7FFF0000), (0x06, 0, 0, 0x00050000 | errno.EIO)]
    steps = b"".join(struct.pack("HBBI", *step) for step in code)
    filters = ctypes.create_string_buffer(steps)
    program = struct.pack("HxxxxxxP", len(code), ctypes.addressof(filters))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.create_string_buffer(program), 0, 0):
        print("no filter", ctypes.get_errno())
        os._exit(0)


async def main(path):
    armed = False

    def passing(place):
        if armed and place == "commit_written":
            refuse_to_sync()

    writer = Writer(connect(path, durability="power"), passing)
    writer.start()
    calls = Calls()
    batch = writer.changed()
    calls.grant(batch)
    await writer.durable(batch)
    armed = True
    batch = writer.changed()
    calls.call(batch)
    try:
        await writer.durable(batch)
        print("durable")
    except DatabaseFault:
        print("failed")
    sys.stdout.flush()
    if sys.argv[2] == "close":
        await writer.close()
    else:
        os._exit(0)


trio.run(main, __import__("pathlib").Path(sys.argv[1]))
'''


@pytest.mark.skipif(sys.platform != "linux", reason="the filter is Linux's")
@pytest.mark.parametrize("end", ["close", "vanish"])
def test_what_was_called_failed_does_not_come_back(tmp_path: Path, end: str) -> None:
    path = tmp_path / "ftgate.sqlite3"
    root = Path(__file__).resolve().parents[2]
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(path), end], cwd=root, capture_output=True, text=True, timeout=60, check=False
    )
    if child.stdout.startswith("no filter"):
        pytest.skip("this machine lets no process filter its own calls")
    assert child.stdout == "failed\n", child.stderr
    with closing(connect(path, durability="power")) as connection:  # the next start
        assert connection.execute("SELECT kind FROM entries ORDER BY id").fetchall() == [("grant",)]
        assert connection.execute("SELECT count(*) FROM requests").fetchone() == (0,)
    assert verify_ledger(path)["ok"]
