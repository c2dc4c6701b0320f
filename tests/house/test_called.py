"""Lines that people paste lead to the same data from wherever they are run."""

import shlex
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from ftgate.house import checkup
from ftgate.house.called import arguments, command, program


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


def test_the_one_file_is_known_by_what_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Under the name of a link, and of the console script; a script of that name is none."""
    monkeypatch.delenv("FTGATE_PROGRAM", raising=False)
    file = tmp_path / "ftgate.pyz"
    file.write_bytes(b"#!/usr/bin/env python3\n")
    with ZipFile(file, "a") as archive:
        archive.writestr("__main__.py", "")
    for name in ("lnk", "ftgate"):
        link = tmp_path / name
        link.symlink_to(file)
        monkeypatch.setattr(sys, "argv", [str(link)])
        assert program() == f"python3 {link}" and arguments() == (sys.executable, str(link))
        assert checkup.extracted(link, Path("/cache/ftgate-1-x/site-packages/ftgate/__init__.py")) is not None
    link.unlink()
    link.write_text("#!/usr/bin/python3\n")
    link.chmod(0o755)
    assert program() == "ftgate" and arguments() == (str(link),)


def test_a_command_names_the_data_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    words = shlex.split(command("credit grant ann 10", Path("my data")))
    assert words[-5:] == ["grant", "ann", "10", "--data", str(tmp_path / "my data")]
