"""Commands that only read, over a data directory in which nothing can be written."""

from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ftgate.cli import backup, ledger
from ftgate.house.house import DATABASE
from ftgate.store.batch import Batch, write_batch
from ftgate.store.database import connect
from tests.store.faulty import Calls
from tests.unwritable import unwritable


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "data"
    place.mkdir()
    calls, batch = Calls(), Batch()
    calls.grant(batch)
    calls.call(batch)
    with closing(connect(place / DATABASE, durability="process")) as connection:
        write_batch(connection, batch)
        shm = place / f"{DATABASE}-shm"
        (copy := tmp_path / "used").mkdir()
        for file in place.iterdir():
            if file != shm:
                (copy / file.name).write_bytes(file.read_bytes())
    return place


def said(data: Path, *command: str) -> Result:
    with unwritable(data):
        found = {"ledger": ledger.ledger, "logs": ledger.logs, "backup": backup.backup}[command[0]]
        return CliRunner().invoke(found, [*command[1:], "--data", str(data)])


def test_they_work(data: Path, tmp_path: Path) -> None:
    verified = said(data, "ledger", "verify")
    assert verified.exit_code == 0 and verified.output.startswith("ok: 3 entries"), verified.output
    assert '"request_id"' in said(data, "logs", "--json").output
    target = tmp_path / "copy.sqlite3"
    assert said(data, "backup", str(target)).output.endswith("3 entries, verified\n") and target.exists()


@pytest.mark.parametrize("command", [("ledger", "verify"), ("logs",), ("backup", "copy.sqlite3")])
def test_what_is_to_be_done_about_a_log_is_said(data: Path, tmp_path: Path, command: tuple[str, ...]) -> None:
    found = said(tmp_path / "used", *command)
    assert found.exit_code == 1 and "Copy the directory to where it can be written" in found.output
    assert "ftgate restore" not in found.output and not (tmp_path / "copy.sqlite3").exists()
