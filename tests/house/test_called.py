"""Lines that people paste lead to the same data from wherever they are run."""

import shlex
import sys
from pathlib import Path

import pytest

from ftgate.house.called import command, program


@pytest.mark.parametrize(
    ("called", "named", "said"),
    [
        ("/opt/ftgate.pyz", None, "python3 /opt/ftgate.pyz"),
        ("/my files/ftgate.pyz", None, "python3 '/my files/ftgate.pyz'"),
        ("/lib/ftgate/__main__.py", None, "python3 -m ftgate"),
        ("/usr/bin/ftgate", None, "ftgate"),
        ("/usr/bin/ftgate", "scripts/run", "scripts/run"),
    ],
)
def test_the_program_is_named_as_it_was_called(
    monkeypatch: pytest.MonkeyPatch, called: str, named: str | None, said: str
) -> None:
    monkeypatch.setattr(sys, "argv", [called])
    monkeypatch.delenv("FTGATE_PROGRAM", raising=False)
    if named:
        monkeypatch.setenv("FTGATE_PROGRAM", named)
    assert program() == said


def test_a_command_names_the_data_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    words = shlex.split(command("credit grant ann 10", Path("my data")))
    assert words[-5:] == ["grant", "ann", "10", "--data", str(tmp_path / "my data")]
