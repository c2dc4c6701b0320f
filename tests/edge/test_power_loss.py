"""Power loss: the write-ahead log cut at every commit's end, in between, and damaged: what opens is always some prefix of the
commits, whole ones only, and it verifies."""

import random
import shutil
import sqlite3
from pathlib import Path

import pytest

from ftgate.core.books import Books, Ended, Entry
from ftgate.edge import db, journal


def history(path: Path, commits: int) -> list[tuple[int, int]]:
    """Trade for so many commits; (length of the log, last entry) after each. Nothing is folded back meanwhile."""
    connection = db.connect(path, durability="power")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    rng = random.Random(3)
    books = Books()
    for account in (1, 2):
        books.open_account(account)
        books.open_key(account, limit=None)
    log = path.with_name(path.name + "-wal")
    ends: list[tuple[int, int]] = [(0, 0)]
    for number in range(commits):
        batch = db.Batch()
        account = rng.choice((1, 2))
        if number % 5 == 0:
            entry = books.grant(account, rng.randint(1, 10**9), ref=f"g{number}", at_us=0)
            assert isinstance(entry, Entry)
            batch.remember((entry,), books.accounts[account])
        for place in range(rng.randint(1, 6)):
            held = books.hold(account, account, rng.randint(0, 10**6), ref=f"r{number}_{place}", estimate=0, at_us=0)
            if isinstance(held, tuple):
                batch.remember((held[1],), books.accounts[account])
        for hold in list(books.open):
            if rng.random() < 0.6:
                ended = books.post(hold, rng.randint(0, 10**6), at_us=0)
                assert isinstance(ended, Ended)
                owner = ended.entries[0].account
                batch.remember(ended.entries, books.accounts[owner], books.quotas[owner])
        if not batch.size():
            continue
        db.write(connection, batch)
        ends.append((log.stat().st_size, books.next_id - 1))
    # A copy of the files as they lie on the disk now: closing would fold the log back.
    for name in (path, log):
        shutil.copy(name, name.with_name("kept-" + name.name))
    connection.close()
    return ends


def opened(base: Path, path: Path, log: bytes) -> int:
    """Open the database with this log; it must verify. Its last entry."""
    place = base / "cut.sqlite3"
    for ending in ("", "-wal", "-shm"):
        (base / f"cut.sqlite3{ending}").unlink(missing_ok=True)
    shutil.copy(path.with_name("kept-" + path.name), place)
    (base / "cut.sqlite3-wal").write_bytes(log)
    connection = db.connect(place, durability="power")
    last = connection.execute("SELECT coalesce(max(id), 0) FROM entries").fetchone()[0]
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    said = journal.verify(place)
    assert said["ok"], said
    return int(last)


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[int, int]], bytes]:
    path = tmp_path_factory.mktemp("power") / "ftgate.sqlite3"
    ends = history(path, 60)
    log = path.with_name("kept-" + path.name + "-wal").read_bytes()
    assert len(ends) > 50 and ends[-1][0] == len(log)
    return path, ends, log


def test_cut_at_every_commit_and_in_between(traded: tuple[Path, list[tuple[int, int]], bytes], tmp_path: Path) -> None:
    path, ends, log = traded
    rng = random.Random(4)
    for (size, last), (following, _) in zip(ends, [*ends[1:], (len(log) + 1, 0)], strict=True):
        assert opened(tmp_path, path, log[:size]) == last
        for cut in {size + 1, rng.randrange(size, following), following - 1}:
            if size <= cut < following:
                assert opened(tmp_path, path, log[:cut]) == last, f"cut at {cut}, between {size} and {following}"


def test_damage_in_the_log_loses_only_what_came_after(traded: tuple[Path, list[tuple[int, int]], bytes], tmp_path: Path) -> None:
    """A sector that was not written, or not all of it: everything before it stands, whole."""
    path, ends, log = traded
    rng = random.Random(5)
    for _ in range(40):
        at = rng.randrange(64, len(log))
        damaged = log[:at] + bytes([log[at] ^ 0xFF]) + log[at + 1 :]
        before = max(last for size, last in ends if size <= at)
        assert opened(tmp_path, path, damaged) == before


def test_the_test_would_see_half_a_commit(traded: tuple[Path, list[tuple[int, int]], bytes], tmp_path: Path) -> None:
    """Were a batch not one transaction, a cut would show a balance without its entry: tamper so, and verify must object."""
    path, _, log = traded
    opened(tmp_path, path, log)
    connection = sqlite3.connect(tmp_path / "cut.sqlite3")
    connection.execute("UPDATE balances SET posted = posted + 1 WHERE account = 1")
    connection.commit()
    connection.close()
    assert not journal.verify(tmp_path / "cut.sqlite3")["ok"]
