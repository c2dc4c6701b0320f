"""The one file: scripts/build makes it, and it is the same program with its data files inside."""

import json
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def _read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as answer:
        text: str = answer.read().decode()
        return text


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
    command = [
        sys.executable,
        str(ROOT / "dist" / "ftgate.pyz"),
        "demo",
        "--port",
        "0",
        "--data",
        str(tmp_path / "new"),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=tmp_path, env=env) as serving:
        try:
            assert serving.stdout is not None
            url = serving.stdout.readline().decode().split()[1]
            page = _read(f"{url}/login")
            assert "<h1>Sign in</h1>" in page  # the pages are inside
            loaded = re.findall(r'="(/static/[^"]+)"', page)
            assert len(loaded) == 3
            for path in loaded:
                assert len(_read(url + path)) > 100
        finally:
            serving.terminate()
    assert (
        json.loads(run("users", "create", "ada", "--credits", "0.5", "--data", str(tmp_path / "data"), "--json"))[
            "balance"
        ]
        == "0.50"
    )
