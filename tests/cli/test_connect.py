"""`ftgate connect`: what it prints can be pasted, what it writes can be put back."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ftgate.cli.connect import connect
from ftgate.cli.serve import _try_it
from ftgate.core.connect import TOOLS
from ftgate.manual import topic

Run = Callable[..., Result]
URL = ("--url", "http://10.0.0.7:8400")


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """As a user whose home is tmp_path, who has no server running."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("FTGATE_API_KEY", raising=False)
    monkeypatch.chdir(tmp_path)

    def run(*words: str, said: str | None = None) -> Result:
        return CliRunner().invoke(connect, [*words, "--data", str(tmp_path / "data")], input=said)

    return run


def test_it_lists_the_programs(ran: Run) -> None:
    said = ran()
    assert said.exit_code == 0
    for id, tool in TOOLS.items():
        assert f"  {id}" in said.stdout and tool.name in said.stdout
    assert "Codex CLI (--write)" in said.stdout and "Cursor\n" in said.stdout
    assert [row["tool"] for row in json.loads(ran("--json").stdout)] == list(TOOLS)


@pytest.mark.parametrize("id", TOOLS)
def test_each_program_s_text_alone_goes_to_standard_output(ran: Run, id: str) -> None:
    said = ran(id, *URL, "--key", "-", "--model", "m-1", said="sk-ft_1\n")
    assert said.exit_code == 0
    pieces = TOOLS[id].pieces(URL[1], "sk-ft_1", "m-1")
    assert said.stdout == "".join(f"{piece.shown}\n" for piece in pieces)
    assert "sk-ft_YOUR_KEY" not in said.output
    rows = json.loads(ran(id, *URL, "--json").stdout)["pieces"]
    assert [row["where"] for row in rows] == [piece.where for piece in pieces]


@pytest.mark.parametrize(
    ("config", "url"),
    [
        ("", "http://127.0.0.1:8400"), ('host = "0.0.0.0"\nport = 9', "http://127.0.0.1:9"),
        ('public_url = "https://ai.example"', "https://ai.example"), ('host = "::1"', "http://[::1]:8400"),
    ],
)  # fmt: skip
def test_the_address_is_where_a_server_would_be(ran: Run, tmp_path: Path, config: str, url: str) -> None:
    channel = (
        '[[channel]]\nname = "lab"\nprovider = "openai-compatible"\nbase_url = "http://127.0.0.1:1/v1"\nkeys = ["k"]\n'
    )
    (tmp_path / "c.toml").write_text(f"[server]\n{config}\n{channel}[channel.models.m]\ninput = 1\noutput = 1\n")
    said = ran("openai", "--config", str(tmp_path / "c.toml"))
    assert f"OPENAI_BASE_URL={url}/v1\n" in said.stdout or f"OPENAI_BASE_URL='{url}/v1'\n" in said.stdout


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("codx",), "Did you mean codex?"), (("nothing-like-it",), "lists them"), (("--write",), "Which program?"),
        (("codex", "--key", "sk-ft_1"), "others could read the key"), (("codex", "--key", "env:NO_SUCH"), "NO_SUCH"),
        (("codex", "--url", "10.0.0.7:1"), "begins with http"), (("cursor", "--write", "--key", "-"), "has no file"),
        (("codex", "--write"), "A key is needed"), (("codex", "--restore"), "nothing was written"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_says_why(ran: Run, words: tuple[str, ...], why: str) -> None:
    said = ran(*words, said="sk-ft_1\n")
    assert said.exit_code in (1, 2) and why in said.output


def test_a_user_without_a_home_is_told(ran: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs as a number: no HOME, and no line in /etc/passwd."""

    def unknown(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", unknown)
    for words in (("codex", *URL, "--write", "--key", "-"), ("codex", *URL, "--key", "file:~/key")):
        said = ran(*words, said="sk-ft_1\n")
        assert said.exit_code == 1 and "there is no such home directory. Set HOME" in said.output
    assert ran("codex", *URL).exit_code == 0


@pytest.mark.parametrize("before", [None, "", '# mine\nmodel = "x"\n[tools]\na = 1\n'])
def test_a_file_that_was_written_can_be_put_back(ran: Run, tmp_path: Path, before: str | None) -> None:
    place = tmp_path / ".codex" / "config.toml"
    if before is not None:
        place.parent.mkdir()
        place.write_text(before)
    for model in ("m-1", "m-2"):  # written twice, the first copy stays
        said = ran("codex", *URL, "--write", "--key", "-", "--model", model, said="sk-ft_1\n")
        assert said.exit_code == 0, said.output
        assert 'model = "m-2"' in place.read_text() if model == "m-2" else 'model = "m-1"' in place.read_text()
    assert "export FTGATE_API_KEY=sk-ft_1" in said.stdout
    assert os.stat(place).st_mode & 0o777 == 0o600
    written = place.read_text()
    place.write_text(f"{written}# and mine\n")
    assert ran("codex", "--restore").exit_code == 0
    assert (place.read_text() if place.exists() else None) == before
    assert place.with_name("config.toml.after-ftgate").read_text() == f"{written}# and mine\n"
    assert ran("codex", "--restore").exit_code == 1


def test_a_file_that_cannot_be_changed_stays(ran: Run, tmp_path: Path) -> None:
    place = tmp_path / ".config" / "zed" / "settings.json"
    place.parent.mkdir(parents=True)
    place.write_text('{"theme": "x" // dark\n}')
    said = ran("zed", *URL, "--write", "--key", "-", said="sk-ft_1\n")
    assert said.exit_code == 1 and "was not changed: it is no plain JSON" in said.output
    assert '"api_url": "http://10.0.0.7:8400/v1"' in said.output and "sk-ft_1" not in said.output
    assert "Zed\n" in ran().stdout and "--write" not in ran("zed", *URL).output
    assert [path.name for path in place.parent.iterdir()] == ["settings.json"]


def test_a_file_comes_back_byte_for_byte_and_with_its_mode(ran: Run, tmp_path: Path) -> None:
    place = tmp_path / ".codex" / "config.toml"
    place.parent.mkdir()
    own = b"# mine\r\n[tui]\r\ntheme = 'x'\r\n"
    place.write_bytes(own)
    place.chmod(0o640)
    assert ran("codex", *URL, "--write", "--key", "-", said="sk-ft_1\n").exit_code == 0
    written = place.read_bytes()
    assert written.count(b"\n") == written.count(b"\r\n") > 3 and place.stat().st_mode & 0o777 == 0o600
    assert ran("codex", "--restore").exit_code == 0
    assert place.read_bytes() == own and place.stat().st_mode & 0o777 == 0o640


def test_the_first_start_the_manual_and_connect_name_the_same_variables(capsys: pytest.CaptureFixture[str]) -> None:
    _try_it("http://h:1", "K", "M", demo=False)
    said = capsys.readouterr().err
    claude, codex = (topic(name).text for name in ("claude-code", "codex"))
    names = set(re.findall(r"(\w+)=", TOOLS["claude-code"].pieces("http://h:1", "K", "M")[0].text))
    assert names == set(re.findall(r"\b(ANTHROPIC_\w+)=", said))
    assert names <= set(re.findall(r"\b(ANTHROPIC_\w+)=", claude))
    ours = re.compile(r"\bFTGATE_\w*KEY\b")
    shown = "".join(piece.shown for piece in TOOLS["codex"].pieces("http://h:1", "K", "M"))
    assert set(ours.findall(shown)) == set(ours.findall(said)) == set(ours.findall(codex)) == {"FTGATE_API_KEY"}


def test_a_link_stays_a_link(ran: Run, tmp_path: Path) -> None:
    own = tmp_path / "dotfiles.json"
    own.write_text("{}")
    (tmp_path / ".claude").mkdir()
    (tmp_path / ".claude" / "settings.json").symlink_to(own)
    said = ran("claude-code", *URL, "--write", "--key", "-", said="sk-ft_1\n")
    assert said.exit_code == 0 and "Still to do" not in said.output
    assert (tmp_path / ".claude" / "settings.json").is_symlink()
    assert json.loads(own.read_text())["env"]["ANTHROPIC_AUTH_TOKEN"] == "sk-ft_1"
