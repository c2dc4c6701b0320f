"""The first start as a person meets it: no config, whatever keys are there, a port that is taken, a stdout that is
full."""

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.blackbox.harness import Process, Raw, environment

MARKERS = ("[tool]", "[long]", "[error]", "[slow]", "[limit]", "[cut]")


@contextmanager
def started(place: Path, *arguments: str, **variables: str) -> Iterator[tuple[str, Process]]:
    """`ftgate ARGUMENTS` in an empty directory: its URL and its process. It must end by itself, without a traceback."""
    env = {**environment(), "FTGATE_PROGRAM": "ftgate", **variables}
    process = Process(["-m", "ftgate", *arguments], place / "out", place / "err", env=env, cwd=place)
    try:
        yield process.wait_ready(), process
        assert process.terminate() == 0
        assert "Traceback" not in process.err.read_text()
    finally:
        process.kill()


def failing(place: Path, *arguments: str, code: int = 1, **streams: object) -> str:
    """What a start that must fail says on stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "ftgate", *arguments], cwd=place, env=environment(), stdin=subprocess.DEVNULL,
        timeout=20,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams},
    )  # type: ignore[call-overload]  # fmt: skip
    said = (done.stderr or b"").decode()
    assert done.returncode == code, (done.returncode, said)
    assert "Traceback" not in said and "Exception" not in said, said
    return said


def paste(said: str, url: str) -> httpx.Response:
    """Do what the printed curl does."""
    (key,) = re.findall(r'curl -i \S+/v1/chat/completions -H "Authorization: Bearer (\S+)"', said)
    (body,) = re.findall(r"-d '(\{.*\})'", said)
    return httpx.post(
        f"{url}/v1/chat/completions", content=body, headers={"Authorization": "Bearer "
        f"{key}", "Content-Type": "application/json"},
        trust_env=False, timeout=10,
    )  # fmt: skip


@pytest.mark.parametrize(
    "arguments", [("--port", "0"), ("--port=0", "--data", "here"), ("serve", "--port", "0"), ("demo", "--port", "0")]
)
def test_the_printed_curl_shows_an_answer_and_its_price(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Options without a command are those of serve."""
    with started(tmp_path, *arguments) as (url, process):
        process.err.read_text()
        answer = paste(_whole(process), url)
        assert answer.status_code == 200 and float(answer.headers["x-findtoken-cost"]) > 0
        said = process.err.read_text()
        assert "X-FindToken-Cost" in said.partition("-d '")[2].partition("OpenAI clients")[0]
        assert all(marker in said for marker in MARKERS)
        assert ("here" in arguments) == (tmp_path / "here").exists()


def _whole(process: Process) -> str:
    """The first start's text; its last line follows `ready` by a moment."""
    import time

    until = time.monotonic() + 5
    while "Keep it:" not in (said := process.err.read_text()):
        assert time.monotonic() < until, said
        time.sleep(0.01)
    return said


def test_a_log_gets_no_key_and_no_link(tmp_path: Path) -> None:
    """A collector of logs keeps what it is given: the start's lines name the commands that make them."""
    (tmp_path / "ftgate.toml").write_text('[server]\nlog_format = "json"\n')
    with started(tmp_path, "--port", "0", JOURNAL_STREAM="") as (url, process):
        said = process.err.read_text()
        assert httpx.get(f"{url}/healthz", trust_env=False).status_code == 200
    rows = [json.loads(line) for line in said.splitlines()]
    assert {row["level"] for row in rows} <= {"INFO", "WARNING"} and rows[0]["logger"] == "ftgate.start"
    assert "sk-ft_" not in said and "token=" not in said
    assert "users create NAME --admin" in said and "ftgate keys create" in said


def test_systemds_journal_gets_no_key_and_no_link(tmp_path: Path) -> None:
    (tmp_path / "err").touch()
    found = (tmp_path / "err").stat()
    with started(tmp_path, "--port", "0", JOURNAL_STREAM=f"{found.st_dev}:{found.st_ino}") as (_, process):
        said = process.err.read_text()
    assert "sk-ft_" not in said and "token=" not in said
    assert "users create NAME --admin" in said and "ftgate keys create" in said


def test_the_printed_link_makes_the_operator_once(tmp_path: Path) -> None:
    form = {"username": "ada", "password": "secret1", "again": "secret1", "metered": "on"}
    with started(tmp_path, "--port", "0") as (url, process):
        said = _whole(process)
        (link,) = re.findall(r"^ {12}(http\S+/setup\?token=\S+)$", said, re.M)
        assert link.startswith(url + "/") and "or run: ftgate users create NAME --admin --password -\n" in said
        with httpx.Client(base_url=url, trust_env=False, headers={"Accept": "text/html"}) as browser:
            assert browser.get("/setup?token=guessed").status_code == browser.get("/setup").status_code == 404
            assert "Make the account" in browser.get(link).text
            made = browser.post("/setup", data=form | {"token": link.partition("=")[2]})
            assert (made.status_code, made.headers["location"]) == (303, "/admin/start?said=operator_made")
            assert "First steps" in browser.get("/admin/start").text
            assert browser.get(link).status_code == 404
            assert browser.post("/setup", data=form | {"token": link.partition("=")[2]}).status_code == 404
    with started(tmp_path, "--port", "0") as (_, process):
        last = process.err.read_text().rpartition("ftgate 0.")[2]
        assert "channel" in last and "setup?token" not in last and "none yet" not in last


def test_the_printed_command_names_a_data_directory_of_its_own(tmp_path: Path) -> None:
    """It is done as it is printed, beside the server; no link is there then, for the next start either."""
    with started(tmp_path, "--port", "0", "--data", "a b") as (_, process):
        said = _whole(process)
        command = shlex.split(re.findall(r"or run: ftgate (.*)", said)[0].replace("NAME", "ada"))
        assert command[-2:] == ["--data", str(tmp_path / "a b")]
        link = re.findall(r"http\S+/setup\?token=\S+", said)[0]
        subprocess.run(
            [sys.executable, "-m", "ftgate", *command], cwd=tmp_path.parent, env=environment(), check=True,
            input=b"secret1", timeout=20,
        )  # fmt: skip
        assert httpx.get(link, trust_env=False, headers={"Accept": "text/html"}).status_code == 404


@pytest.mark.parametrize("variable", ["DEEPSEEK_API_KEY", "ANTHROPIC_API_KEY"])
def test_a_provider_comes_without_the_demo(tmp_path: Path, variable: str) -> None:
    with started(tmp_path, "--port", "0", **{variable: "sk-canary-1"}) as (_, process):
        said = _whole(process)
        assert re.search(f"channel   {variable[:-8].lower()} .*from {variable}", said) and "canary" not in said
        assert "channel   demo" not in said and "[tool]" not in said and " 501" not in said


def test_what_is_printed_for_claude_code_works(tmp_path: Path) -> None:
    with started(tmp_path, "--port", "0") as (url, process):
        said = _whole(process)
        lines = said.partition("Claude Code\n")[2].partition("\n")
        env = dict(re.findall(r"(ANTHROPIC_\w+)=(\S*)", " ".join([lines[0], lines[2].partition("\n")[0]])))
        assert (env["ANTHROPIC_API_KEY"], env["ANTHROPIC_BASE_URL"]) == ("", f"{url}/anthropic")
        headers = {"Authorization": f"Bearer {env['ANTHROPIC_AUTH_TOKEN']}", "anthropic-version": "2023-06-01"}
        with httpx.Client(base_url=env["ANTHROPIC_BASE_URL"], headers=headers, trust_env=False) as client:
            for name in ("ANTHROPIC_MODEL", "ANTHROPIC_DEFAULT_HAIKU_MODEL"):
                body = {"model": env[name], "max_tokens": 20, "messages": [{"role": "user", "content": "Hello"}]}
                answer = client.post("/v1/messages?beta=true", json=body)
                assert answer.status_code == 200 and answer.json()["content"][0]["text"], answer.text


def test_what_is_printed_for_codex_works(tmp_path: Path) -> None:
    with started(tmp_path, "--port", "0") as (url, process):
        words = shlex.split(_whole(process).partition("Codex\n")[2].partition("Keep it:")[0].replace("\\\n", " "))
        assert words[1:4] == ["codex", "-m", "demo-chat"] and words[4:6] == ["-c", "model_provider=ftgate"]
        provider = tomllib.loads(words[7])["model_providers"]["ftgate"]
        assert provider["base_url"] == f"{url}/v1"
        assert words[0].partition("=")[0] == provider["env_key"] and provider["wire_api"] == "responses"
        answer = httpx.post(
            provider["base_url"] + "/responses", json={"model": words[3], "input": "Hello"}, trust_env=False,
            headers={"Authorization": f"Bearer {words[0].partition('=')[2]}"},
        )  # fmt: skip
        assert answer.status_code == 200 and answer.json()["status"] == "completed", answer.text


def test_options_of_the_group_stay_its_own(tmp_path: Path) -> None:
    for option, words in (
        ("--version", "ftgate 0"),
        ("-h", "Usage: ftgate [OPTIONS] [COMMAND]"),
        ("--help", "Usage: ftgate [OPTIONS] [COMMAND]"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "ftgate", option],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=20,
        )
        assert done.returncode == 0 and done.stdout.startswith(words)
    assert "--prot" in failing(tmp_path, "--prot", "1", code=2)
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_is_taken_leaves_nothing_behind(tmp_path: Path) -> None:
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        port = stranger.getsockname()[1]
        assert f"127.0.0.1:{port} is taken by pid {os.getpid()}" in failing(tmp_path, "--port", str(port))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("no-such-host.invalid", "cannot be resolved"),
        ("a" * 70 + ".example", "cannot be resolved"),
        ("192.0.2.1", "no address of this machine"),
    ],
)
def test_a_host_that_is_none_is_not_the_port_s_fault(tmp_path: Path, host: str, words: str) -> None:
    said = failing(tmp_path, "--host", host, "--port", "8400").splitlines()[-1]
    assert host in said and words in said and "--host" in said and "--port" not in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux only")
def test_a_stdout_that_is_full(tmp_path: Path) -> None:
    with open("/dev/full", "wb") as full:
        lines = failing(tmp_path, "--port", "0", stdout=full).splitlines()
        assert lines[-1].startswith("Error: ") and "No space left" in lines[-1]
        failing(tmp_path, "--port", "0", stderr=full)
        failing(tmp_path, "--host", "0.0.0.0", "--port", "0", stderr=full)  # with a warning before anything else
    assert failing(tmp_path, "ledger", "verify", code=0) == ""  # and it ended in good order


@pytest.mark.parametrize("both", [False, True])
def test_a_reader_that_leaves_after_ready(tmp_path: Path, both: bool) -> None:
    """`ftgate | head -1`: it goes on serving, whatever it has to say afterwards, and ends in good order."""
    with (tmp_path / "err").open("wb") as err:
        child = subprocess.Popen(
            [sys.executable, "-m", "ftgate", "--port", "0"], cwd=tmp_path, env=environment(), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT if both else err,
        )  # fmt: skip
    try:
        assert child.stdout is not None
        seen = b""
        while b"ready " not in seen or not seen.endswith(b"\n"):
            piece = os.read(child.stdout.fileno(), 1)
            assert piece, seen
            seen += piece
        child.stdout.close()
        url = seen.partition(b"ready ")[2].decode().strip()
        host, _, port = url.removeprefix("http://").rpartition(":")
        with Raw((host, int(port))) as wire:  # what the door complains of goes to stderr too
            wire.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert b" 200 " in wire.rest()
        child.terminate()
        assert child.wait(10) == 0
    finally:
        child.kill()
        child.wait()


def test_a_stdout_that_is_closed(tmp_path: Path) -> None:
    """`ftgate >&-`: nobody wants to read the line, so nobody gets it."""
    with (tmp_path / "err").open("wb") as err:
        child = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {sys.executable} -m ftgate --port 0 >&-"], cwd=tmp_path, env=environment(),
            stdin=subprocess.DEVNULL,
            stderr=err,
        )  # fmt: skip
    process = Process.__new__(Process)
    process.err = tmp_path / "err"
    try:
        assert "X-FindToken-Cost" in _whole(process)
        child.terminate()
        assert child.wait(10) == 0
        assert "Traceback" not in process.err.read_text()
    finally:
        child.kill()
        child.wait()
