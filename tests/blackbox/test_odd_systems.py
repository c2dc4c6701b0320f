"""What a home server meets: no locale, no zone, no home, a wide umask, few files, a clock that jumps, a terminal that
stops it, disks that take nothing. One server for most of it; none of them may keep it from doing its work."""

import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.blackbox.harness import COMMAND_S, House, channel, environment

ODD = """
import os, resource, socket, time

os.environ.pop("HOME", None)
os.umask(0)
os.close(0)
resource.setrlimit(resource.RLIMIT_NOFILE, (48, 48))
socket.gethostname = lambda: "a b.\\udcff"
shifted = "CLOCK"
for name, unit in (("time", 1), ("time_ns", 10**9)):
    def told(real=getattr(time, name), unit=unit):
        with open(shifted) as file:
            return real() + int(file.read()) * unit
    setattr(time, name, told)

import pwd
def nobody(uid):
    raise KeyError(uid)
pwd.getpwuid = nobody

from ftgate.cli.group import main
main()
"""
"""ftgate where nothing is as it should be. The file CLOCK holds the seconds by which the clock is wrong."""
NOTHING = {
    "LC_ALL": "C", "LANG": "xx_YY.nothing", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii",
    "TZ": "Nowhere/Nothing", "TERM": "no-such-terminal", "NO_COLOR": "1",
}  # fmt: skip
WORDS = {"content": ["wörd "] * 40, "piece_delay_s": 0.01}
HOUR_S = 3600


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    base = tmp_path_factory.mktemp("odd")
    clock = base / "clock"
    clock.write_text("0")
    config = channel("lab", ["plain", "words"]) + "[limits]\nrequests_per_minute = 1000\n"
    with House(base, config, {"words": WORDS}, serving=False, env=NOTHING) as house:
        house.start(script=ODD.replace("CLOCK", str(clock)))
        yield house


def test_it_serves_and_its_files_are_closed_to_others(house: House) -> None:
    account = house.account("1")
    answer = house.chat(account, messages=[{"role": "user", "content": "Grüße, 日本語 😀"}])
    assert answer.status_code == 200
    assert house.fake.requests("plain")[-1]["json"]["messages"][0]["content"] == "Grüße, 日本語 😀"
    assert house.http.get("/login").status_code == 200 and house.http.get("/docs/billing").status_code == 200
    assert stat.S_IMODE(house.data.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in house.data.iterdir()}
    assert set(modes.values()) == {0o600}, modes


def test_a_command_prints_where_there_is_no_locale(house: House) -> None:
    """It writes UTF-8, as files and JSON do, and does not fail at a name."""
    house.cli("keys", "create", "--user", house.account("1").name, "--name", "schlüssel")
    command = [sys.executable, "-m", "ftgate", "keys", "list", "--data", str(house.data)]
    env = {**environment(), **NOTHING}
    said = subprocess.run(command, env=env, cwd=house.base, capture_output=True, timeout=COMMAND_S)
    assert said.returncode == 0 and said.stderr == b"" and "\tschlüssel\t".encode() in said.stdout, said


def set_clock(clock: Path, hours: int) -> None:
    """At once, as the server may read it at any time."""
    clock.with_suffix(".new").write_text(str(hours * HOUR_S))
    clock.with_suffix(".new").replace(clock)


@pytest.mark.parametrize("jumps_h", [(5, -5), (-24 * 40, 24 * 400)])
def test_a_clock_that_jumps_stops_nothing(house: House, jumps_h: tuple[int, ...]) -> None:
    clock = house.base / "clock"
    account = house.account("1")
    try:
        for hours in (*jumps_h, 0):
            with house.raw(account, "words", stream=True) as wire:
                wire.until("wörd ".encode(), 5)
                set_clock(clock, hours)
                assert wire.until(b"[DONE]").count("wörd ".encode()) == 40
            assert house.chat(account).status_code == 200
            assert house.http.get("/readyz").status_code == 200
            house.cli("credit", "grant", account.name, "0.5")
    finally:
        set_clock(clock, 0)
    house.wait_for(lambda: len(house.rows(account)) == 6, "some calls are not in the log")
    assert {row["status"] for row in house.rows(account)} == {"ok"}
    house.settle_down()


def test_a_terminal_that_stops_it_and_lets_it_go_on(house: House) -> None:
    """Ctrl-Z and fg, in the midst of a stream."""
    account = house.account("1")
    with house.raw(account, "words", stream=True) as wire:
        wire.until("wörd ".encode(), 5)
        house.process.signal(signal.SIGTSTP)
        house.process.signal(signal.SIGSTOP)  # the other is dropped where no shell looks after the group
        state = Path(f"/proc/{house.process.pid}/stat")
        if state.exists():
            house.wait_for(lambda: state.read_text().rpartition(")")[2].split()[0] == "T", "it was not stopped")
        house.process.signal(signal.SIGCONT)
        assert wire.until(b"[DONE]").count("wörd ".encode()) == 40
    assert house.row(account)["status"] == "ok"


@pytest.mark.parametrize(
    ("disk", "words"),
    [("ro", "Read-only file system"), ("size=64k", "full")],
)
def test_a_disk_that_takes_nothing_is_one_line(tmp_path: Path, disk: str, words: str) -> None:
    apart = ["unshare", "--mount"]
    if not shutil.which("unshare") or subprocess.run([*apart, "true"], capture_output=True).returncode:
        pytest.skip("only root may mount")
    data = tmp_path / "data"
    data.mkdir()
    mounts = f'mount -t tmpfs -o mode=700,{disk} none "$0" && exec "$@"'
    command = [sys.executable, "-m", "ftgate", "users", "create", "ann", "--data", str(data)]
    said = subprocess.run(
        [*apart, "sh", "-c", mounts, str(data), *command],
        env=environment(), cwd=tmp_path, capture_output=True, text=True, timeout=COMMAND_S,
    )  # fmt: skip
    assert (said.returncode, said.stdout) == (1, "") and words in said.stderr
    assert said.stderr.startswith(f"Error: {data}") and said.stderr.count("\n") == 1, said.stderr
    assert os.listdir(data) == []
