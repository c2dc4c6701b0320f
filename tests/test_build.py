"""The one file: scripts/build makes it, and it is the same program with its data files inside."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.slow
def test_the_one_file(tmp_path: Path) -> None:
    subprocess.run([ROOT / "scripts" / "build"], check=True, capture_output=True, timeout=300)
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH" and "_API_KEY" not in name}
    env |= {"SHIV_ROOT": str(tmp_path / "shiv")}

    def run(*arguments: str) -> str:
        command = [sys.executable, str(ROOT / "dist" / "ftgate.pyz"), *arguments]
        return subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=60, cwd=tmp_path, env=env
        ).stdout

    assert run("version").startswith("ftgate 0.")
    assert {row["id"] for row in json.loads(run("models", "list", "--json"))} >= {
        "demo-chat"
    }  # the catalogue's files are inside
    assert (
        json.loads(run("users", "create", "ada", "--credits", "0.5", "--data", str(tmp_path / "data"), "--json"))[
            "balance"
        ]
        == "0.50"
    )
