"""From start to end of the process: clean stops, refused second starts, faulty configs, and no limit that nobody
set."""

import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from tests.blackbox.harness import HELLO_PROMPT, House, channel, chunks, environment, error, text, took

SCRIPTS = {
    "short": {"content": ["tick "], "repeat": 10, "piece_delay_s": 0.05},
    "endless": {"content": ["tick "], "repeat": 100_000, "piece_delay_s": 0.02},
    "hose": {"content": ["tick " * 4000], "repeat": 100_000},
    "no-head": {"head_delay_s": 60},
    "patient": {"content": ["tick "], "repeat": 4, "piece_delay_s": 1.3, "first_delay_s": 1.3},
    "patient-plain": {"head_delay_s": 2.0},
    "paused": {"content": ["tick "], "repeat": 2, "piece_delay_s": 6.0},
}


def config(grace: str = "0.5") -> str:
    return f"[server]\nshutdown_grace = {grace}\n[limits]\nrequests_per_second = 0\n" + channel(
        "lab", ["plain", *SCRIPTS]
    )


@pytest.fixture
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("life"), config(), SCRIPTS) as house:
        yield house


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One server for the tests that must leave it as it was."""
    with House(tmp_path_factory.mktemp("steady"), config(), SCRIPTS, from_nothing=True) as house:
        yield house


# ---- the end ----


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_server_ends_at_once(house: House, number: signal.Signals) -> None:
    """Also with connections that are kept alive, used ones and ones that have said nothing."""
    assert house.chat(house.account()).status_code == 200  # house.http keeps its connection
    with socket.create_connection(house.address):
        with took(at_most_s=2.0):
            house.process.signal(number)
            assert house.process.wait() == 0
    assert not (house.data / "control.sock").exists()


def test_a_short_stream_may_finish(tmp_path: Path) -> None:
    with House(tmp_path, config("10"), SCRIPTS) as house:
        account = house.account()
        with house.raw(account, "short", stream=True) as wire:
            wire.until(b"tick")
            house.process.signal(signal.SIGTERM)
            time.sleep(0.2)
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(house.address).close()
            assert wire.rest().count(b"tick") == 10 and b"data: [DONE]\n\n" in wire.received
        with took(at_most_s=2.0):
            assert house.process.wait() == 0
        (row,) = house.cli("logs", "--json")["data"]
        assert (row["status"], row["estimated"], row["cost"]) == ("ok", False, "0.000024")


def test_an_endless_stream_gets_an_error_and_is_settled(house: House) -> None:
    account = house.account()
    with house.raw(account, "endless", stream=True) as wire, house.raw(account, "no-head", stream=True) as waiting:
        wire.until(b"tick")
        house.wait_for(lambda: house.fake.requests("no-head"), "the upstream was not called")
        house.process.signal(signal.SIGTERM)
        with took(at_least_s=0.3, at_most_s=4.0):
            body = wire.rest()
        assert b"[DONE]" not in body
        assert b'"code":"shutting_down"' in body and body.rstrip().endswith(b"0")  # the error event, then a proper end
        assert b" 503 " in waiting.rest().partition(b"\r\n")[0] and b"shutting_down" in waiting.received
    assert house.process.wait() == 0
    rows = {row["model"]: row for row in house.cli("logs", "--json")["data"]}
    assert rows["endless"]["status"] == rows["no-head"]["status"] == "shutdown"
    assert rows["endless"]["estimated"] is True and rows["endless"]["completion_tokens"] > 0
    spent = sum(Decimal(row["cost"]) for row in rows.values())
    assert Decimal(house.user(account)["balance"]) == 1 - spent
    (seen,) = house.fake.requests("endless")
    assert seen["connection"]["closed_by_peer_at"]


def test_a_second_signal_ends_the_waiting(tmp_path: Path) -> None:
    with House(tmp_path, config("60"), SCRIPTS) as house:
        with house.raw(house.account(), "endless", stream=True) as wire:
            wire.until(b"tick")
            house.process.signal(signal.SIGTERM)
            time.sleep(0.3)
            assert house.process.alive
            house.process.signal(signal.SIGTERM)
            assert b"shutting_down" in wire.rest()
        assert house.process.wait(5) == 0


@pytest.mark.parametrize("model", ["endless", "hose"])
def test_a_client_that_does_not_read_cannot_hold_the_end_up(house: House, model: str) -> None:
    """Also where a write to it has begun and does not end."""
    with house.raw(house.account(), model, stream=True) as wire:
        wire.until(b"tick")
        time.sleep(0.5)
        house.process.signal(signal.SIGTERM)
        with took(at_most_s=6.0):
            assert house.process.wait() == 0


# ---- the start ----


def test_what_a_start_says(tmp_path: Path) -> None:
    house = House(tmp_path, config(), SCRIPTS)
    with house:
        out, err = house.process.out.read_text(), house.err.read_text()
        assert out == f"ready {house.url}\n"
        assert str(house.data.resolve()) in err and "lab" in err
        assert stat.S_IMODE(house.data.stat().st_mode) == 0o700
        made = list(house.data.iterdir())
        assert made and all(stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 for path in made)
        (key,) = re.findall(r"sk-ft_[\w-]{43}(?=   \()", err)
        answer = house.http.post(
            "/v1/chat/completions",
            json={"model": "auto", "messages": [{"role": "user", "content": "Hello"}]},
            headers={"Authorization": f"Bearer {key}"},
        )
        assert answer.status_code == 200 and "x-findtoken-balance" not in answer.headers
        assert house.process.terminate() == 0
        house.start()
        assert house.err.read_text().count("shown only now") == 1  # once in the data directory's life


def test_a_second_server_on_the_same_data_is_refused(steady: House) -> None:
    account = steady.account()
    with steady.raw(account, "short", stream=True) as wire:
        wire.until(b"tick")
        second = steady.spawn(name="second")
        assert second.wait() == 1
        said = second.err.read_text()
        assert f"pid {steady.process.pid}" in said and str(steady.data) in said and "--data" in said
        assert second.out.read_text() == "" and said.count("\n") <= 2 and "Traceback" not in said
        wire.until(b"[DONE]")
    assert steady.row(account)["status"] == "ok"
    assert steady.account().key  # its control socket still answers


def test_a_port_that_is_taken(steady: House) -> None:
    port = steady.address[1]
    second = steady.spawn("--port", str(port), data=steady.base / "other", name="second")
    assert second.wait() == 1
    said = second.err.read_text()
    assert f"127.0.0.1:{port} is taken by pid {steady.process.pid} (ftgate)" in said and f"--port {port + 1}" in said
    assert "Traceback" not in said
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        second = steady.spawn("--port", str(stranger.getsockname()[1]), data=steady.base / "other", name="second")
        assert second.wait() == 1
    assert steady.chat(steady.account()).status_code == 200


FAULTY = """[server]
prot = 1
max_body_mb = "many"

[[channel]]
name = "x"
provider = "openai-compatible"
keys = ["env:NO_SUCH_VARIABLE"]
[channel.models."unpriced"]
context = 5

[[channel]]
name = "x"
provider = "deepsek"
"""


def test_a_faulty_config_names_all_faults(steady: House) -> None:
    file = steady.base / "faulty.toml"
    file.write_text(FAULTY)
    process = steady.spawn(config=file, data=steady.base / "never", name="faulty")
    assert process.wait() == 78
    said = process.err.read_text()
    for line, word in (
        (2, "port"),
        (3, "max_body_mb"),
        (8, "NO_SUCH_VARIABLE"),
        (9, "unpriced"),
        (13, ""),
        (14, "deepseek"),
    ):
        assert re.search(rf"faulty\.toml:{line}: .*{word}", said), f"{line} {word}: {said}"
    assert process.out.read_text() == "" and not (steady.base / "never").exists() and "Traceback" not in said
    done = subprocess.run([sys.executable, "-m", "ftgate", "check", "--config", str(file)], capture_output=True,
    text=True,
                          env=environment(), cwd=steady.base, timeout=20)  # fmt: skip
    assert done.returncode == 1
    faults = [line for line in done.stderr.splitlines() if "faulty.toml:" in line]
    assert len(faults) >= 6 and all(fault in said for fault in faults)


@pytest.mark.parametrize("content", ["this is = = no TOML", "", "[server]\nport = 70000\n"])
def test_other_configs(steady: House, content: str) -> None:
    file = steady.base / "other.toml"
    file.write_text(content)
    data = steady.base / f"other-{len(content)}"
    code = subprocess.run([sys.executable, "-m", "ftgate", "check", "--config", str(file)], capture_output=True,
    env=environment(),
                          cwd=steady.base, timeout=20).returncode  # fmt: skip
    process = steady.spawn(config=file, data=data, name="other")
    if code == 0:
        process.wait_ready()
        assert process.terminate() == 0
    else:
        assert (code, process.wait()) == (1, 78)


@pytest.mark.parametrize("damage", ["not a database", "a directory", "a file in place of the directory"])
def test_data_that_cannot_be_used_is_left_alone(steady: House, damage: str) -> None:
    data = steady.base / damage.replace(" ", "-")
    if damage == "a file in place of the directory":
        data.write_text("hello")
    else:
        data.mkdir(mode=0o700)
        file = data / "ftgate.sqlite3"
        file.mkdir() if damage == "a directory" else file.write_bytes(b"hello" * 1000)
    process = steady.spawn(data=data, name="damaged")
    assert process.wait() in (1, 2)
    assert "Traceback" not in process.err.read_text() and process.out.read_text() == ""
    if damage == "not a database":
        assert (data / "ftgate.sqlite3").read_bytes() == b"hello" * 1000


# ---- nothing cuts a stream but what the config says ----

SHORTENED = """
import quart
from hypercorn.config import Config
from ftgate.doors import asgi, fast, hypercorn

for name in ("RESPONSE_TIMEOUT", "BODY_TIMEOUT"):
    assert name in quart.Quart.default_config
    quart.Quart.default_config = {**quart.Quart.default_config, name: 0.4}
for name in ("keep_alive_timeout", "graceful_timeout", "shutdown_timeout", "ssl_handshake_timeout", "startup_timeout"):
    assert isinstance(getattr(Config, name), (int, float)), name
    setattr(Config, name, 0.4)
Config.read_timeout = 1
for door in (hypercorn.HypercornDoor, fast.FastDoor):
    limits = door.__init__.__kwdefaults__
    assert {"keep_alive_s", "write_limit_s"} <= limits.keys()
    limits.update(keep_alive_s=0.4, write_limit_s=0.4)
assert {hypercorn.LINGER_S, fast.LINGER_S, asgi.BODY_S, fast.BODY_S} == {1.0, 60.0}
hypercorn.LINGER_S = fast.LINGER_S = asgi.BODY_S = fast.BODY_S = 0.4

from ftgate.__main__ import main
main()
"""
"""ftgate with every time limit that has a default but is no setting of the call's: Quart's, Hypercorn's and the door's
own."""


def test_the_limit_of_a_whole_call(tmp_path: Path) -> None:
    """The one limit that does end a long stream is the one the config names: with an error event, settled, recorded as
    timeout."""
    with House(tmp_path, config() + "[timeouts]\ntotal = 1.0\n", SCRIPTS) as house:
        account = house.account()
        with took(at_least_s=0.9, at_most_s=2.5):
            answer = house.chat(account, "endless", stream=True)
        assert chunks(answer.content)[-1]["error"]["code"] == "provider_timeout" and b"[DONE]" not in answer.content
        row = house.row(account)
        assert (row["status"], row["estimated"]) == ("timeout", True) and house.balance(account) == 1 - Decimal(
            row["cost"]
        ) < 1
        late = house.chat(account, "no-head", stream=True)
        assert error(late, 504, "provider_timeout")
        assert house.row(account, late.headers["x-request-id"])["cost"] == "0"


def test_no_server_default_cuts_a_stream(house: House) -> None:
    """Every such default is brought down to 0.4 s (some are 60 s: Quart's RESPONSE_TIMEOUT is the one that would end a
    ten-minute stream after its first minute). The stream is silent for 1.3 s before its first token and between any
    two, three times as long as each of them, and lasts 5 s in all; a plain call waits 2 s for its answer. Both come
    whole. So what is proven: none of these defaults, whatever its size, counts while an answer is being made or
    sent."""
    assert house.process.terminate() == 0
    house.start(SHORTENED)
    account = house.account()
    with house.raw(account, "patient-plain") as plain, took(at_least_s=5.0):
        answer = house.chat(account, "patient", stream=True)
        assert b'"Hello, world"' in plain.until(b'"total_tokens"')
    assert text(answer.content) == "tick " * 4 and answer.content.endswith(b"[DONE]\n\n")
    said = chunks(answer.content)
    assert said and all("error" not in chunk for chunk in said)
    # The limits are really that short: an idle connection ends, long before the 5 s that it has by default.
    with socket.create_connection(house.address) as idle, took(at_least_s=0.2, at_most_s=2.0):
        idle.settimeout(3)
        assert idle.recv(1) == b""
    assert (
        house.process.terminate() == 0
    )  # nothing more is asked of it: its keep-alive is too short for a client that reuses


def test_a_pause_longer_than_keep_alive_as_shipped(steady: House) -> None:
    """Nothing shortened: keep-alive is 5 s as shipped, the stream pauses for 6."""
    account = steady.account()
    with took(at_least_s=6.0):
        answer = steady.chat(account, "paused", stream=True)
    assert text(answer.content) == "tick tick " and answer.content.endswith(b"[DONE]\n\n")
    row = steady.row(account)
    assert (row["status"], row["prompt_tokens"], row["completion_tokens"]) == ("ok", HELLO_PROMPT, 2)
