"""What is told of the process and its data."""

from pathlib import Path

from ftgate import config
from ftgate.accounts import Accounts
from ftgate.core.tally import Times
from ftgate.house.house import House
from ftgate.house.system import SystemDesk, _under
from ftgate.store.backup import NOTE, last_backup, make_backup
from ftgate.store.verify import verify_ledger


async def test_it_is_read_from_what_runs(tmp_path: Path) -> None:
    house = House(config.from_environment({}, None), tmp_path / "d", serving=True, accounts=Accounts)
    try:
        await house.begin()
        desk = SystemDesk(house, calls=lambda: 3)
        desk.connections = lambda: 5
        await house.accounts.users.create(username="ann", credits="1")
        said = await desk.shown()
        assert (said["calls"], said["connections"], said["open_holds"], said["held"]) == (3, 5, 0, "0")
        assert said["data_dir"] == str(tmp_path / "d") and said["last_backup"] is None
        for name in ("database_bytes", "log_bytes", "free_bytes", "memory_bytes", "commits", "pid"):
            assert isinstance(said[name], int) and said[name] > 0, name  # type: ignore[operator]
        assert said["waiting"] == 0 and said["trouble"] is None and said["commit_mean_ms"] is not None
        make_backup(house.database, tmp_path / "b.sqlite3", verify_ledger)
        note = (await desk.shown())["last_backup"]
        assert isinstance(note, dict) and note["backup"] == str(tmp_path / "b.sqlite3") and note["bytes"] > 0
    finally:
        await house.close()


def test_a_note_of_a_backup_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    for text in ("", "[]", "{}", '{"at_us": "x", "backup": "", "bytes": 1}'):
        (tmp_path / NOTE).write_text(text)
        assert last_backup(tmp_path / "ftgate.sqlite3") is None


def test_how_long_most_commits_take() -> None:
    took = Times()
    assert _under(took, 95) is None
    for seconds in [0.01] * 94 + [0.2] * 5 + [9999.0]:
        took.add(seconds)
    assert (_under(took, 50), _under(took, 94), _under(took, 95), _under(took, 99), _under(took, 100)) == (
        50, 50, 250, 250, None,
    )  # fmt: skip
