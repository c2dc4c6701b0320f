"""`ftgate check` and `ftgate init`."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from ftgate import config
from ftgate.cli.config import check, init
from tests.config.reading import CHANNEL


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.chdir(tmp_path)
    for name in (
        "FTGATE_CONFIG",
        *(env for provider in config.provider_names() for env in config.provider(provider).env),
    ):
        monkeypatch.delenv(name, raising=False)
    return CliRunner()


def test_check_of_a_good_config(run: CliRunner) -> None:
    Path("ftgate.toml").write_text(CHANNEL)
    found = run.invoke(check, env={"LAB_KEY": "sk-1"})
    assert found.exit_code == 0
    assert found.stdout.splitlines()[0] == "ftgate.toml: no faults"
    assert found.stdout.splitlines()[-1] == "1 channel, 1 model"
    assert found.stderr == ""


def test_check_without_a_config(run: CliRunner) -> None:
    found = run.invoke(check)
    assert found.exit_code == 0
    assert "no config file, using the environment" in found.stdout
    assert "demo" in found.stdout


def test_check_names_every_fault(run: CliRunner) -> None:
    Path("x.toml").write_text("[server]\nprot = 1\n" + CHANNEL)
    found = run.invoke(check, ["--config", "x.toml"])
    assert found.exit_code == 1
    assert found.stdout == ""
    assert found.stderr.splitlines() == [
        "x.toml:2: [server] prot is no setting. Did you mean port?",
        'x.toml:8: [[channel]] "lab": keys = "env:LAB_KEY" but LAB_KEY is not set. Export it, or write "file:/path".',
        "2 faults. Mend them and check again.",
    ]


def test_check_as_json(run: CliRunner) -> None:
    Path("ftgate.toml").write_text("[server]\nprot = 1\n")
    found = run.invoke(check, ["--json"])
    assert found.exit_code == 1
    assert json.loads(found.stdout)["faults"] == ["ftgate.toml:2: [server] prot is no setting. Did you mean port?"]
    Path("ftgate.toml").write_text("[server]\nport = 1\n")
    found = run.invoke(check, ["--json"])
    assert found.exit_code == 0
    assert json.loads(found.stdout)["channels"][0]["name"] == "demo"
    assert len(json.loads(found.stdout)["warnings"]) == 1


def test_check_of_a_file_that_is_not_there(run: CliRunner) -> None:
    found = run.invoke(check, ["--config", "none.toml"])
    assert found.exit_code == 1
    assert found.stderr.splitlines()[-1] == "1 fault. Mend it and check again."


def test_init(run: CliRunner) -> None:
    found = run.invoke(init)
    assert found.exit_code == 0
    path = Path("ftgate.toml")
    assert path.read_text("utf-8") == config.write_example()
    assert path.stat().st_mode & 0o777 == 0o600
    assert run.invoke(check).exit_code == 0


def test_init_does_not_overwrite_without_force(run: CliRunner) -> None:
    path = Path("mine.toml")
    path.write_text("precious")
    path.chmod(0o644)
    found = run.invoke(init, ["--path", "mine.toml"])
    assert found.exit_code == 1
    assert "--force" in found.stderr
    assert path.read_text() == "precious"
    found = run.invoke(init, ["--path", "mine.toml", "--force"])
    assert found.exit_code == 0
    assert path.read_text("utf-8") == config.write_example()
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(Path().iterdir()) == [path]


def test_init_where_nothing_can_be_written(run: CliRunner) -> None:
    found = run.invoke(init, ["--path", "no/such/folder/x.toml"])
    assert found.exit_code == 1
    assert "cannot be written" in found.stderr
