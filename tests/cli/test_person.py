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
