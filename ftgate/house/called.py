"""How this program was called, for lines that people paste."""

import os
import shlex
import sys
from pathlib import Path


def is_archive(program: Path) -> bool:
    """Whether this is the one file, whatever it is named: a link to it may have any name."""
    from zipfile import is_zipfile  # most starts do not wait for it

    return program.suffix == ".pyz" or (program.is_file() and is_zipfile(program))


def program() -> str:
    """What starts it anew."""
    if named := os.environ.get("FTGATE_PROGRAM"):
        return named
    called = Path(sys.argv[0])
    if is_archive(called):
        return f"python3 {shlex.quote(sys.argv[0])}"
    return "python3 -m ftgate" if called.name == "__main__.py" else "ftgate"


def arguments() -> tuple[str, ...]:
    """What another program, which has neither our directory nor our PATH, starts it by."""
    called = Path(sys.argv[0]).absolute()
    if is_archive(called):
        return sys.executable, str(called)
    if called.name == "ftgate" and os.access(called, os.X_OK):
        return (str(called),)
    return sys.executable, "-m", "ftgate"


def command(words: str, data_dir: Path) -> str:
    """A command of this program that goes to this data directory wherever it is run."""
    return f"{program()} {words} --data {shlex.quote(str(data_dir.absolute()))}"
