"""What `serve` finds out of a port that is taken."""

import os
from pathlib import Path

import pytest

from ftgate.cli.serve import _hidden


def process(place: Path, pid: int, command: str, *, uid: int = 1000, seen: bool = False) -> Path:
    found = place / str(pid)
    found.mkdir()
    (found / "cmdline").write_bytes(command.replace(" ", "\0").encode() + b"\0")
    (found / "status").write_text(f"Name:\tpython3\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\nGid:\t7\n")
    if seen:
        (found / "fd").mkdir()
    return found


SERVES = "python3 -m ftgate serve --port 8400"


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ([(7, SERVES, {})], 7),
        ([(7, "python3 /opt/ftgate.pyz demo", {}), (8, "nginx", {}), (9, "python3 -m ftgate logs", {})], 7),
        ([(7, SERVES, {"uid": 0})], None),  # the socket is somebody else's
        ([(7, SERVES, {"seen": True})], None),  # it would have been found by its sockets
        ([(7, SERVES, {}), (8, SERVES, {})], None),  # which of them, nobody knows
        ([], None),
    ],
)
def test_a_server_that_hides_its_files_is_guessed(
    tmp_path: Path, rows: list[tuple[int, str, dict[str, int]]], found: int | None
) -> None:
    processes = [process(tmp_path, pid, command, **more) for pid, command, more in rows]  # type: ignore[arg-type]
    own = process(tmp_path, os.getpid(), SERVES)
    said = _hidden([*processes, own, tmp_path / "99"], {"1000"})
    assert said == (None if found is None else (found, "ftgate, most likely"))
