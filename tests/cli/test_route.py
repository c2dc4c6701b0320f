"""`ftgate route`, without a server."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ftgate.cli.route import route

CONFIG = """
[server]
data_dir = "DATA"
[[channel]]
name = "lab"
provider = "openai-compatible"
base_url = "http://127.0.0.1:9/v1"
keys = ["sk-lab"]
[channel.models.small]
input = 0.1
output = 0.2
[channel.models.big]
input = 1
output = 5
[auto]
simple = ["small"]
complex = ["big"]
"""
HARD = "Prove that every group of prime order is cyclic."


@pytest.fixture
def ran(tmp_path: Path):  # type: ignore[no-untyped-def]
    path = tmp_path / "ftgate.toml"
    path.write_text(CONFIG.replace("DATA", str(tmp_path / "data")))

    def run(*words: str, said: str | None = None) -> Result:
        return CliRunner().invoke(route, [*words, "--config", str(path)], input=said)

    return run


def test_a_prompt(ran, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    said = ran("--explain", HARD)
    assert said.exit_code == 0, said.output
    first, *rows = said.output.splitlines()
    assert first.startswith("complex (") and rows[0].split("\t")[:3] == ["big", "lab", "openai-compatible"]
    assert len(said.output.splitlines()) < 24 and max(map(len, said.output.splitlines())) < 120
    assert not (tmp_path / "data").exists()  # nothing is opened, nobody asked


def test_a_body(ran, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    body = json.dumps({"model": "small", "models": ["big"], "routing": "cheapest", "input": "Hello"})
    (tmp_path / "body.json").write_text(body)
    for words, said in ((("-",), body), (("--file", str(tmp_path / "body.json")), None), ((body,), None)):
        found = json.loads(ran("--json", *words, said=said).output)
        assert [row["model"] for row in found["data"]] == ["small", "big"] and found["complexity"] == "simple"
        assert [row["expected_cost"] for row in found["data"]] == ["0.0001009", "0.002509"]  # USD, as everywhere


def test_what_is_wrong(ran) -> None:  # type: ignore[no-untyped-def]
    assert ran().exit_code == 2
    unknown = ran("Hello", "--model", "none")
    assert unknown.exit_code == 1 and "Unknown model 'none'" in unknown.output
