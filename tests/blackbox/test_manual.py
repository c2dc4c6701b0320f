"""The manual's examples of calls, as a reader pastes them, against a server with the demo provider."""

import re
import subprocess
from collections.abc import Iterator

import httpx
import pytest

from ftgate.manual import topic
from tests.blackbox.test_first_start import started

CURL = "curl() { command curl -sS -o /dev/null -w '%{http_code}\\n' \"$@\"; }\n"
"""In the place of curl: it says the status alone."""
SIGNED_IN = ("developer", "a long password")
"""Who makes an account in the walk from TokenSea."""


def fences(name: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", topic(name).text, re.S | re.M)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What the reader has exported: G, KEY and TOKEN."""
    place = tmp_path_factory.mktemp("manual")
    (place / "ftgate.toml").write_text('[server]\nport = 0\nregistration = "open"\n')
    with started(place) as (url, process):
        (key,) = re.findall(r"^  key +(sk-ft_\S+)", process.err.read_text(), re.M)
        name, password = SIGNED_IN
        answer = httpx.post(
            f"{url}/v1/auth/register", json={"username": f"{name}2", "password": password}, trust_env=False
        )
        yield {"G": url, "KEY": key, "TOKEN": answer.json()["token"]}


@pytest.mark.parametrize(
    ("name", "statuses"),
    [("start", {"200": 2}), ("routing", {"200": 1}), ("payments", {"501": 1}), ("switching", {"200": 16, "501": 1})],
)
def test_every_call_is_answered_as_it_says(name: str, statuses: dict[str, int], server: dict[str, str]) -> None:
    blocks = [block for block in fences(name, "sh") if "$G" in block]
    calls = "".join(
        re.sub(r"^(export [GK]|ftgate).*\n", "", block, flags=re.M) for block in blocks if "OPENAI" not in block
    )
    done = subprocess.run(
        ["bash", "-ec", CURL + calls], capture_output=True, text=True, timeout=60,
        env={"PATH": "/usr/bin:/bin", "NO_PROXY": "*", **server},
    )  # fmt: skip
    said = done.stdout.split()
    assert done.stderr == "" and {status: said.count(status) for status in said} == statuses


def test_the_python_of_the_walks_prints_an_answer(
    server: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    programs = fences("switching", "python")
    for program in programs:
        exec(program, names := {})
        names["client"].close()  # which the end of a program does for who pastes it
    assert len(programs) == 2
    assert capsys.readouterr().out.count("Hello from ftgate's demo provider") == len(programs)
