"""A person forgotten beside no server: which copies are named, and who a restore brings back."""

import json
import os
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ftgate.cli.group import cli


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory, and a config that names another directory for backups."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "disk").mkdir()
    (tmp_path / "ftgate.toml").write_text(
        '[server]\ndata_dir = "data"\n[backup]\nto = "disk"\n'
        '[[channel]]\nname = "lab"\nprovider = "openai-compatible"\nbase_url = "http://127.0.0.1:1/v1"\n'
        'keys = ["none"]\n[channel.models]\nm = { input = 0, output = 0 }\n'
    )
    (tmp_path / "ftgate.toml").chmod(0o600)
    return tmp_path / "data"


def ftgate(*arguments: str, code: int = 0) -> Result:
    found = CliRunner().invoke(cli, arguments)
    assert found.exit_code == code, found.output
    return found


def said(*arguments: str) -> Any:
    return json.loads(ftgate(*arguments, "--json").stdout)


def test_a_restore_names_who_is_back(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = map(str, count())
    monkeypatch.setattr("ftgate.cli.backup.stamp", lambda at_us: next(numbers))  # all in one second
    for name in ("carl", "dora"):
        ftgate("users", "create", name)
    ftgate("backup", "early")
    ftgate("forget-user", "carl", "--yes")
    ftgate("backup", "late")
    found = ftgate("restore", "early").output.splitlines()
    assert "the old database is" in found[0] and len(found) == 2, found
    assert found[1].startswith("carl was forgotten since") and "`ftgate forget-user carl`" in found[1]
    assert said("restore", "late")["known_again"] == []
    assert said("restore", "early")["known_again"] == ["carl"]
    os.remove(data / "ftgate.sqlite3")
    assert "there was no database before" in ftgate("restore", "early").output
    (data / "ftgate.sqlite3").write_bytes(b"broken")
    assert "who was forgotten since" in ftgate("restore", "early").output
    assert not list(tmp_path.glob("*-wal"))


def test_copies_elsewhere_are_named(data: Path, tmp_path: Path) -> None:
    """Where [backup] sends them, and where the last one by hand went; only a server's own go by themselves."""
    ftgate("users", "create", "carl")
    for place in (
        "hand/ftgate-1.sqlite3",
        "hand/last",
        "disk/ftgate-auto-20260101-000000.sqlite3",
        "disk/mine.sqlite3",
    ):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_bytes(b"")
    (tmp_path / "hand" / "last").unlink()
    ftgate("backup", "hand/last")
    told = ftgate("forget-user", "carl", "--yes").output.splitlines()
    named = {Path(line.split()[0]).name: line for line in told if "still holds it" in line}
    assert sorted(named) == ["ftgate-1.sqlite3", "ftgate-auto-20260101-000000.sqlite3", "last", "mine.sqlite3"]
    assert [name for name, line in named.items() if "in time" in line] == ["ftgate-auto-20260101-000000.sqlite3"]
    ftgate("users", "create", "dora")
    copies = said("forget-user", "dora", "--yes")["copies"]
    assert str(tmp_path / "disk" / "mine.sqlite3") in copies and str(data / "ftgate.sqlite3") not in copies
    assert "backups" not in said("forget-user", "--compact")


@pytest.mark.parametrize(
    "command",
    [
        "backup bk/", "ledger verify", "export-user ann --to out", "forget-user ann --yes", "forget-user --compact",
        "logs", "stats", "audit", "users list", "users disable ann", "keys list", "payments list",
    ],
)  # fmt: skip
def test_a_slip_makes_no_data_directory(command: str, data: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    told = ftgate(*command.split(), "--data", "nope", code=1).output
    assert told.startswith(f"Error: there is no ftgate data in {tmp_path / 'nope'}; ") and told.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("command", ["users create ann", "keys create", "credit grant ann 1"])
def test_what_makes_something_makes_its_place(command: str, data: Path, tmp_path: Path) -> None:
    CliRunner().invoke(cli, [*command.split(), "--data", "new"])
    assert (tmp_path / "new" / "ftgate.sqlite3").exists() and not data.exists()
