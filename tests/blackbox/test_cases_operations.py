"""Money, keys, config and operations: inputs from public bug reports on the running program, by their kinds.

(l) the file under us can go. (m) every signal and every closed stream has an answer. (n) our own key is never a
provider's. (o) a restriction that says nothing is refused, what can have no effect is told, an alias counts as its
model. (p) no client's text reaches the operator's terminal as anything but text. (q) a command fails in one line, waits
for a lock that will be free, keeps the owner of what it replaces. (r) space comes back without a restart.
"""

import json
import os
import pty
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from tests.blackbox.harness import HELLO_COST, House, channel, command_here, environment, error, took, with_server

CONFIG = (
    channel("lab", ["plain", "m", "words"])
    + '[alias]\n"gpt-x" = "m"\n[limits.model."gpt-x"]\nrequests_per_minute = 2\n'
)
DEMOTED = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]
"""Runs a command as a root that the files of others bind, as they bind everybody else."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("operations"), CONFIG) as house:
        yield house


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[House]:
    """A config and a data directory that no command has made yet."""
    with House(tmp_path / "alone", CONFIG, serving=False, upstream=False) as alone:
        yield alone


def command(*arguments: str, cwd: Path, env: dict[str, str] | None = None) -> tuple[int, str, str]:
    """A command in this directory, which gets nothing from its stdin: exit code, stdout, stderr."""
    done = command_here([*arguments], "", cwd, {**environment(), **(env or {})})
    return done.code, done.out, done.err


def process(
    *arguments: str, cwd: Path, env: dict[str, str] | None = None, before: list[str] | None = None
) -> tuple[int, str, str]:
    """The same in a process of its own, for one that may come to serve, or that `before` starts."""
    done = subprocess.run(
        [*(before or []), sys.executable, "-m", "ftgate", *arguments],
        cwd=cwd, env={**environment(), **(env or {})}, capture_output=True, stdin=subprocess.DEVNULL, text=True,
        timeout=30,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def on_a_terminal(house: House, *arguments: str) -> tuple[int, str]:
    """A command whose stdout is a terminal: its exit code, and what the terminal got."""
    master, slave = pty.openpty()
    places = ["--config", str(house.file), "--data", str(house.data)]
    with subprocess.Popen(
        [sys.executable, "-m", "ftgate", *arguments, *places],
        stdin=subprocess.DEVNULL, stdout=slave, stderr=slave, env={**environment(), "COLUMNS": "250"},
    ) as child:  # fmt: skip
        os.close(slave)
        got = b""
        try:
            while data := os.read(master, 65_536):
                got += data
        except OSError:  # how a terminal ends on Linux
            pass
        finally:
            os.close(master)
    return child.returncode, got.decode()


# (n) our own key


@pytest.mark.parametrize("text", ["sk-ft_" + "a" * 43, '"sk-ft_' + "a" * 43 + '"'])
def test_our_own_key_in_a_provider_s_variable_makes_no_channel(tmp_path: Path, text: str) -> None:
    code, out, err = command("check", "--json", cwd=tmp_path, env={"OPENAI_API_KEY": text})
    found = json.loads(out)
    assert (code, [row["name"] for row in found["channels"]], err) == (0, ["demo"], "")
    assert "OPENAI_API_KEY holds a key of this gateway" in found["warnings"][0]


@pytest.mark.parametrize("provider", ["deepseek", "openai"])
def test_our_own_key_in_a_channel_is_refused(tmp_path: Path, provider: str) -> None:
    row = f'[[channel]]\nname = "x"\nprovider = "{provider}"\nkeys = ["env:LAB_KEY"]\n'
    (tmp_path / "ftgate.toml").write_text(row)
    env = {"LAB_KEY": "sk-ft_" + "a" * 43}
    for arguments, code in ((["check"], 1), (["serve", "--data", "data", "--port", "0"], 78)):
        done = command(*arguments, cwd=tmp_path, env=env)
        assert done[0] == code and "ftgate.toml:4: " in done[2] and "a key of this gateway" in done[2]
        assert "sk-ft_a" not in done[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("host", "listen"), [("127.0.0.1", "127.0.0.1"), ("localhost", "127.0.0.1"), ("127.0.0.1", "0.0.0.0")]
)
def test_a_channel_to_ourselves_is_refused_at_the_start(tmp_path: Path, host: str, listen: str) -> None:
    port = free_port()
    config = channel("back", ["m"], base_url=f"http://{host}:{port}/v1")
    with House(tmp_path / "self", config, serving=False, upstream=False) as house:
        server = house.spawn("--port", str(port), "--host", listen)
        assert server.wait() == 78
        assert '[[channel]] "back": its base_url is this gateway itself.' in server.err.read_text()
        other = house.spawn("--port", "0", name="other")  # elsewhere it is another gateway's address
        other.wait_ready()
        assert other.terminate() == 0
        house.file.write_text(with_server(house.file.read_text(), {"port": port, "host": listen}))
        assert "is where this gateway listens: it would call itself" in house.cli("check")[1]


class Forwarder:
    """A way to a port that its own address does not show: a front proxy, a forwarded port, another name."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.to: tuple[str, int] | None = None
        self.wires = [self.listener]
        self.threads: list[threading.Thread] = []
        self._begin(self._work)

    def _begin(self, work: Callable[..., None], *wires: socket.socket) -> None:
        self.threads.append(threading.Thread(target=work, args=wires, daemon=True))
        self.threads[-1].start()

    def _work(self) -> None:
        with suppress(OSError):
            while True:
                wire, _ = self.listener.accept()
                self.wires.append(wire)
                assert self.to is not None
                there = socket.create_connection(self.to)
                self.wires.append(there)
                self._begin(self._pass, wire, there)
                self._begin(self._pass, there, wire)

    @staticmethod
    def _pass(left: socket.socket, right: socket.socket) -> None:
        with suppress(OSError):
            while data := left.recv(65_536):
                right.sendall(data)
            right.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.threads[0].join(10)  # no more come
        for wire in self.wires:
            with suppress(OSError):  # of one that is through already
                wire.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join(10)
        for wire in self.wires:
            wire.close()


@pytest.mark.parametrize("stream", [False, True])
def test_a_channel_that_leads_back_ends_at_its_first_turn(tmp_path: Path, stream: bool) -> None:
    """Over an address that is not seen to be ours, with one of our own keys."""
    back = Forwarder()
    try:
        config = channel("back", ["m"], base_url=back.url + "/v1")
        with House(tmp_path / "round", config, serving=False, upstream=False) as house:
            account = house.account("100")
            house.file.write_text(house.file.read_text().replace(house.canaries[0], account.key))
            house.start()
            back.to = house.address
            with took(at_most_s=5):
                error(house.chat(account, "m", stream=stream), 502, "provider_error")
            assert house.row(account)["status"] != "ok" and len(house.rows(account)) == 1  # none was nested in it
            assert house.balance(account) == 100
            house.logged("has come through this gateway before")
    finally:
        back.close()


def test_a_round_over_two_gateways_ends_too(tmp_path: Path) -> None:
    ways = [Forwarder(), Forwarder()]
    try:
        places = [
            House(tmp_path / name, channel(other, ["m"], base_url=way.url + "/v1"), serving=False, upstream=False)
            for name, other, way in (("a", "b", ways[1]), ("b", "a", ways[0]))
        ]
        with places[0] as one:
            with places[1] as two:
                houses = (one, two)
                accounts = [house.account("1") for house in houses]
                for house, other, way in zip(houses, reversed(accounts), ways, strict=True):
                    house.file.write_text(house.file.read_text().replace(house.canaries[0], other.key))
                    house.start()
                    way.to = house.address
                with took(at_most_s=5):
                    error(one.chat(accounts[0], "m"), 502, "provider_error")
                for house, account in zip(houses, accounts, strict=True):
                    assert house.balance(account) == 1
    finally:
        for way in ways:
            way.close()


def test_a_gateway_behind_another_works(tmp_path: Path) -> None:
    """Rounds are refused, not rows: a gateway may stand behind another, with a key of that one."""
    with House(tmp_path / "team", channel("lab", ["plain"])) as team:
        config = channel("team", ["plain"], base_url=f"{team.url}/v1")
        with House(tmp_path / "home", config, serving=False, upstream=False) as home:
            theirs, ours = team.account("1"), home.account("1")
            home.file.write_text(home.file.read_text().replace(home.canaries[0], theirs.key))
            home.start()
            assert home.chat(ours).status_code == 200
            (seen,) = team.fake.requests("plain")
            assert len(dict(seen["headers"])["x-ftgate-hops"].split(",")) == 2


# (o) restrictions and settings that say nothing


@pytest.mark.parametrize("models", [",", " , ", "", " "])
def test_an_empty_list_of_models_is_refused(house: House, models: str) -> None:
    before = len(house.cli("keys", "list", "--json"))
    out, err = house.cli("keys", "create", "--models", models, "--json", code=1)
    assert out == "" and err.startswith("Error: the list of models is empty")
    assert len(house.cli("keys", "list", "--json")) == before


@pytest.mark.parametrize("setting", ["--data", "--config", "--host"])
def test_an_option_that_says_nothing_is_refused(tmp_path: Path, setting: str) -> None:
    """A script's variable was empty: the database does not go to wherever it was started."""
    code, out, err = command("serve", setting, "", cwd=tmp_path)
    assert code == 2 and out == "" and "it is empty" in err.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_limits_of_an_alias_hold(house: House) -> None:
    account = house.account("1")
    codes = [house.chat(account, name).status_code for name in ("gpt-x", "m", "gpt-x", "m")]
    assert codes == [200, 200, 429, 429]
    assert house.chat(account, "plain").status_code == 200


def test_a_key_for_an_alias_is_one_for_its_model(house: House) -> None:
    account = house.account("1", models="gpt-x")
    assert house.chat(account, "plain").status_code == 403
    assert [row["id"] for row in house.get("/v1/models", account)["data"]] == ["m"]
    assert house.get("/v1/models/gpt-x", account)["id"] == "gpt-x" and house.get("/v1/models/m", account)["id"] == "m"
    for name in ("m", "gpt-x"):  # its model's minute is over, or not: it is not forbidden
        assert house.chat(account, name).status_code in {200, 429}


@pytest.mark.parametrize("quote", ['"', "'"])
def test_quotes_around_a_key_of_the_environment_do_not_go_up(tmp_path: Path, quote: str) -> None:
    """As docker --env-file leaves them: around a key, and around where the data is."""
    config = CONFIG.replace("[alias]", "[alias]\n")
    with House(tmp_path / "quoted", config, serving=False) as house:
        house.file.write_text(house.file.read_text().replace(f'["{house.canaries[0]}"]', '["env:LAB_KEY"]'))
        house.env = {"LAB_KEY": f"{quote}{house.canaries[0]}{quote}"}
        house.start()
        assert house.chat(house.account("1")).status_code == 200
        (seen,) = house.fake.requests("plain")
        assert dict(seen["headers"])["authorization"] == f"Bearer {house.canaries[0]}"
        env = {"FTGATE_DATA": f"{quote}{house.data}{quote}", "FTGATE_CONFIG": f"{quote}{house.file}{quote}"}
        code, out, _ = command("users", "list", "--json", cwd=tmp_path, env={**env, **house.env})
        assert code == 0 and [user["username"] for user in json.loads(out)] == ["owner", "u1"]
        assert command("check", cwd=tmp_path, env={**env, "LAB_KEY": f"{quote}x"})[0] == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[channel.models.gpt-4.1-mini]\ninput = 1\noutput = 2\n", 'needs quotes: write "gpt-4.1-mini"'),
        ('[alias]\ngpt-4.1 = "m"\n', 'needs quotes: write "gpt-4.1"'),
        ("[limits.model.gpt-3.5]\nconcurrent = 1\n", 'needs quotes: write "gpt-3.5"'),
    ],
)
def test_a_name_without_its_quotes_is_told(tmp_path: Path, text: str, words: str) -> None:
    config = channel("lab", ["m"]).replace("FAKE", "http://127.0.0.1:9") + text
    (tmp_path / "ftgate.toml").write_text(config)
    line = config[: config.index(text)].count("\n") + (2 if "[alias]" in text else 1)
    code, out, err = command("check", cwd=tmp_path)
    assert (code, out) == (1, "")
    assert err.splitlines()[0].startswith(f"ftgate.toml:{line}: ") and words in err.splitlines()[0]
    assert err.splitlines()[1:] == ["1 fault. Mend it and check again."]


def test_settings_without_effect_are_told(tmp_path: Path) -> None:
    """A fallback to itself by its other name, and a limit for a name that nobody serves."""
    text = '[alias]\nx = "m"\n[fallback]\nm = ["x"]\n[limits.model."x*"]\nconcurrent = 1\n'
    (tmp_path / "ftgate.toml").write_text(channel("lab", ["m"]).replace("FAKE", "http://127.0.0.1:9") + text)
    code, out, _ = command("check", "--json", cwd=tmp_path)
    warned = [line.partition(" ")[2] for line in json.loads(out)["warnings"]]
    assert code == 0
    assert warned == [
        "[fallback] m names only the model itself: it has no effect.",
        '[limits.model] names "x*", which no channel serves.',
    ]


# (p) the operator's terminal

ODD = ["[/x]", "[bold red]", ":smile:", "a\x1b[2J\x1b]0;title\x07", "x\u202ey", "\x9b31m", "tab\tand\nline"]


def test_no_caller_writes_on_the_operator_s_terminal(house: House) -> None:
    account = house.account("1")
    for name in ODD:
        error(house.chat(account, name), 400, "model_not_found", "model")
    shown = ["[/x]", "[bold red]", ":smile:", r"a\x1b[2J\x1b]0;title\x07", r"x\u202ey", r"\x9b31m", r"tab\tand\nline"]
    code, got = on_a_terminal(house, "logs")
    assert code == 0 and all(name in got for name in shown), got
    heading = got.splitlines()[0]  # the only thing with a colour is ours
    assert not [char for char in got.removeprefix(heading) if not (char.isprintable() or char in "\r\n")], got
    out, _ = house.cli("logs")
    assert all(name in out for name in shown)
    assert all(line.count("\t") == 9 for line in out.splitlines())  # a caller's tab is no column
    code, got = on_a_terminal(house, "logs", "--json")
    assert code == 0 and "\x1b" not in got and "\x9b" not in got and "\u202e" not in got
    assert set(ODD) <= {row["model"] for row in json.loads(got)["data"]}


def test_a_key_s_name_is_no_markup(house: House) -> None:
    house.cli("keys", "create", "--name", "[/b] :key:", "--models", "[red],m*")
    code, got = on_a_terminal(house, "keys", "list")
    assert code == 0 and "[/b] :key:" in got and "[red], m*" in got


# (q) commands: one line, patience, owners


@pytest.fixture
def forbidden(tmp_path: Path) -> Iterator[Path]:
    """A directory that this user may not enter."""
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("root may enter everything")
    place = tmp_path / "forbidden"
    place.mkdir()
    if os.geteuid() == 0:
        os.chown(place, 65534, 65534)
    place.chmod(0o700 if os.geteuid() == 0 else 0)
    yield place
    place.chmod(0o700)


def refused(*arguments: str, cwd: Path, place: Path | None = None) -> tuple[int, str, str]:
    """A command of a user whom the files of others bind, started in `place`, perhaps one that he may not enter."""
    demoted = DEMOTED if os.geteuid() == 0 else []
    inside = ["sh", "-c", 'cd "$0" && exec "$@"', str(place)] if place else []
    if os.geteuid() != 0 and place:
        place.chmod(0o700)
        inside = ["sh", "-c", 'cd "$0" && chmod 0 . && exec "$@"', str(place)]
    return process(*arguments, cwd=cwd, before=[*inside, *demoted])


def test_a_directory_that_may_not_be_entered_is_not_needed(forbidden: Path, tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    code, _, err = refused("users", "create", "ann", "--data", data, cwd=tmp_path, place=forbidden)
    assert (code, err) == (0, "")
    code, out, err = refused("users", "list", "--json", "--data", data, cwd=tmp_path, place=forbidden)
    assert (code, json.loads(out)[0]["username"], err) == (0, "ann", "")
    code, _, err = refused("users", "list", cwd=tmp_path, place=forbidden)  # where the data is stands in the config
    assert code == 1 and err.startswith("Error: ftgate.toml:1: it cannot be looked for here: Permission denied")
    for arguments, ends in ((["check"], 1), (["serve"], 78), (["doctor"], 1)):
        code, out, err = refused(*arguments, cwd=tmp_path, place=forbidden)
        assert code == ends and "it cannot be looked for here: Permission denied" in out + err, (out, err)
        assert "Traceback" not in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["logs"], ["stats"], ["ledger", "verify"], ["ledger", "entries"], ["backup", "copy"], ["users", "list"],
        ["credit", "grant", "ann", "1"], ["restore", "/dev/null"], ["keys", "create"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_another_s_data_is_one_line(forbidden: Path, tmp_path: Path, arguments: list[str]) -> None:
    code, out, err = refused(*arguments, "--data", str(forbidden), cwd=tmp_path)
    assert (code, out) == (1, "") and err.startswith(f"Error: {forbidden}"), (code, out, err)
    assert err.endswith("Permission denied\n") and err.count("\n") == 1, err


def test_the_doctor_names_what_may_not_be_read(forbidden: Path, tmp_path: Path) -> None:
    code, out, _ = refused("doctor", "--data", str(forbidden), "--json", cwd=tmp_path)
    (row,) = [row for row in json.loads(out)["findings"] if row["state"] == "wrong"]
    assert code == 1 and row["subject"] == "data" and "may not be used by this user" in row["words"]


def test_a_directory_that_is_gone_is_one_line(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    code, _, err = process(
        "users", "list", cwd=tmp_path, before=["sh", "-c", 'cd "$0" && rmdir "$0" && exec "$@"', str(gone)]
    )
    assert code == 1 and err == "Error: the directory this was started in is gone; go to one that is there\n"


def test_commands_take_their_turns(alone: House) -> None:
    """Without a server, eight at a time; and beside one that comes and goes."""
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: alone.cli("users", "create", f"u{n}", "--json")["id"], range(10)))
        said = list(pool.map(lambda n: alone.cli("credit", "grant", f"u{n}", "1", "--json")["balance"], range(6)))
        assert len(set(made)) == 10 and set(said) == {"1.00"}
        more = pool.map(lambda n: alone.cli("credit", "grant", "u9", "0.5", "--json")["username"], range(6))
        alone.start()
        assert alone.process.terminate() == 0
        assert list(more) == ["u9"] * 6
    (balance,) = [u["balance"] for u in alone.cli("users", "list", "--json") if u["username"] == "u9"]
    assert balance == "3.00"


def test_a_start_waits_for_a_command(alone: House) -> None:
    """A job that makes users does not keep the server from coming up."""
    with ThreadPoolExecutor(4) as pool:
        made = [pool.submit(alone.cli, "users", "create", f"u{n}", "--json") for n in range(4)]
        alone.start()
        assert [job.result()["username"] for job in made] == ["u0", "u1", "u2", "u3"]


@pytest.mark.parametrize("slash", ["/", "//"])
def test_a_backup_into_a_directory_that_is_not_there(house: House, tmp_path: Path, slash: str) -> None:
    target = tmp_path / "backups" / "daily"
    for _ in range(2):  # twice within a second, perhaps
        house.cli("backup", f"{target}{slash}")
    assert len([path for path in target.iterdir() if path.name.startswith("ftgate-")]) == 2
    house.cli("backup", str(target))
    assert len(list(target.iterdir())) == 3


def test_a_config_is_not_written_in_the_place_of_a_directory(tmp_path: Path) -> None:
    code, _, err = command("init", "--path", "etc/", cwd=tmp_path)
    assert code == 1 and err == "Error: etc/ names a directory. Name the file, like etc/ftgate.toml.\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files for others")
def test_what_root_does_leaves_the_owner_his_files(alone: House, tmp_path: Path) -> None:
    alone.data.mkdir()
    os.chown(alone.data, 65534, 65534)
    alone.cli("users", "create", "ann", "--credits", "2", "--json")
    assert {path.stat().st_uid for path in alone.data.iterdir()} == {65534}
    alone.cli("backup", str(tmp_path / "copy"))
    alone.cli("restore", str(tmp_path / "copy"))
    assert {path.stat().st_uid for path in alone.data.iterdir()} == {65534}
    alone.file.write_text("")
    os.chown(alone.file, 65534, 65534)
    assert command("init", "--force", "--path", str(alone.file), cwd=tmp_path)[0] == 0
    assert alone.file.stat().st_uid == 65534


# (l) the file under us can go


def died(house: House, within_s: float = 10.0) -> str:
    """The server has ended by itself, with 1; what it said."""
    assert house.process.wait(within_s) == 1
    return house.err.read_text()


@pytest.mark.parametrize("gone", ["*", "ftgate.sqlite3", "ftgate.sqlite3-wal"])
def test_a_database_that_is_removed_is_noticed_and_nothing_is_lost(tmp_path: Path, gone: str) -> None:
    with House(tmp_path / "gone", CONFIG) as house:
        account = house.account("1")
        assert house.chat(account).status_code == 200
        balance = house.balance(account)
        for path in house.data.glob(gone):
            path.unlink()
        codes = []
        while house.process.alive and len(codes) < 100:
            try:
                codes.append(house.chat(account).status_code)
            except httpx.TransportError:
                break
            time.sleep(0.1)
        said = died(house)
        charged = codes.count(200)
        assert charged < 30 and "somebody removed or replaced it while it was in use" in said
        (rescued,) = house.data.glob("rescued-*.sqlite3")
        assert str(rescued) in said
        if gone != "ftgate.sqlite3-wal":
            assert "is missing, but rescued-" in house.cli("users", "list", code=1)[1]
        assert house.cli("restore", str(rescued), "--json")["entries"] >= 3
        (user,) = [user for user in house.cli("users", "list", "--json") if user["username"] == account.name]
        assert Decimal(user["balance"]) == balance - charged * HELLO_COST  # each answer is in it
        house.start()
        assert house.chat(account).status_code == 200


def test_a_database_that_is_replaced_is_noticed_at_the_stop(tmp_path: Path) -> None:
    """Somebody copies a backup over it, within the second in which nobody looks."""
    with House(tmp_path / "replaced", CONFIG) as house:
        account = house.account("1")
        house.cli("backup", str(tmp_path / "copy"))
        assert house.chat(account).status_code == 200
        (tmp_path / "copy").replace(house.data / "ftgate.sqlite3")
        assert house.process.terminate() == 1
        assert "another file stands in the place of" in house.err.read_text()
        (rescued,) = house.data.glob("rescued-*.sqlite3")
        assert house.cli("restore", str(rescued), "--json")["ok"] is True
        assert house.verified()["entries"] > 2


def test_a_lock_that_is_removed_lets_no_second_server_in(tmp_path: Path) -> None:
    with House(tmp_path / "lock", CONFIG) as house:
        account = house.account("1")
        (house.data / "lock").unlink()
        second = house.spawn(name="second")
        assert second.wait() == 1
        assert "is in use by" in second.err.read_text()
        assert house.chat(account).status_code == 200
        assert house.cli("credit", "grant", account.name, "1", "--json")["balance"] == "1.99999"
        assert house.process.alive
        third = house.spawn(name="third")
        assert third.wait() == 1 and f"is in use by pid {house.process.pid} (ftgate)" in third.err.read_text()


# (m) signals and closed streams

WORDS = {"content": ["word "] * 60, "piece_delay_s": 0.01}


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGPIPE])
def test_a_signal_that_means_no_end_ends_nothing(house: House, number: signal.Signals) -> None:
    house.fake.script(words=WORDS)
    account = house.account("1")
    with house.raw(account, "words", stream=True) as wire:
        wire.until(b"word ", 20)
        house.process.signal(number)
        assert wire.until(b"[DONE]").count(b"word ") == 60
    row = house.row(account)
    assert (row["status"], row["completion_tokens"]) == ("ok", 60)
    house.logged("" if number is signal.SIGPIPE else number.name)
    assert house.process.alive


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_ends_it_charges_what_was_delivered(tmp_path: Path, number: signal.Signals) -> None:
    config = channel("lab", ["words"]) + "[server]\nshutdown_grace = 0.2\n"
    with House(tmp_path / "signal", config, {"words": {**WORDS, "content": ["word "] * 400}}) as house:
        account = house.account("1")
        with house.raw(account, "words", stream=True) as wire:
            wire.until(b"word ", 20)
            house.process.signal(number)
            wire.rest()
        assert house.process.wait() == 0
        (row,) = house.cli("logs", "--json")["data"]
        assert row["status"] != "ok" and row["completion_tokens"] >= 20
        (user,) = [user for user in house.cli("users", "list", "--json") if user["username"] == account.name]
        assert Decimal(user["balance"]) == 1 - Decimal(row["cost"]) < 1


@pytest.mark.parametrize("stream", ["nobody reads", "closed"])
def test_a_log_that_nobody_reads_holds_nobody_up(tmp_path: Path, stream: str) -> None:
    """stderr is a pipe that is full, or whose reader is gone; each failed call of an upstream logs a line."""
    scripts = {"bad": {"status": 500}}
    config = (
        channel("lab", ["plain", "bad"])
        + "[retry]\nattempts = 1\n[breaker]\nfailures = 1000\n[limits]\nrequests_per_second = 0\n"
    )
    with House(tmp_path / "log", config, scripts, serving=False) as house:
        out, into = os.pipe()
        written = house.base / "serve.out"
        with written.open("wb") as stdout:
            child = subprocess.Popen(
                [sys.executable, "-c", NOISY, "serve", "--port", "0", "--config", str(house.file), "--data",
                 str(house.data)],
                stdin=subprocess.DEVNULL, stdout=stdout, stderr=into, env=house.environment(), cwd=house.base,
            )  # fmt: skip
        os.close(into)
        try:
            house.wait_for(lambda: written.read_text().endswith("\n"), "not ready", 15)
            house.http.base_url = written.read_text().split()[1]
            if stream == "closed":
                os.close(out)
            account = house.account("1")
            with ThreadPoolExecutor(4) as pool:
                codes = list(pool.map(lambda _: house.chat(account, "bad").status_code, range(200)))
            assert set(codes) == {502}
            assert house.chat(account).status_code == 200
            assert house.http.get("/healthz").status_code == 200
            child.terminate()
            assert child.wait(10) == 0
        finally:
            child.kill()
            child.wait()
            if stream != "closed":
                os.close(out)


NOISY = """
import logging
from ftgate.line import gate
relay = gate.Gate.relay

async def noisy(self, call, client):  # ten kilobytes of log for each call
    logging.getLogger("ftgate.noise").warning("x" * 10_000)
    await relay(self, call, client)

gate.Gate.relay = noisy
from ftgate.cli.group import main
main()
"""


# (r) space


def test_the_log_of_the_database_gives_its_room_back(tmp_path: Path) -> None:
    script = (
        "import ftgate.store.database as database, ftgate.store.writer as writer\n"
        "database.LOG_KEPT_BYTES = writer.LOG_KEPT_BYTES = 500_000\n"
        "from ftgate.cli.group import main\nmain()\n"
    )
    with House(tmp_path / "room", CONFIG + "[limits]\nrequests_per_second = 0\n", serving=False) as house:
        house.start(script=script)
        account = house.account("1")
        log = house.data / "ftgate.sqlite3-wal"
        with closing(sqlite3.connect(house.data / "ftgate.sqlite3")) as reader, ThreadPoolExecutor(4) as pool:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM entries").fetchone()
            while log.stat().st_size < 5_000_000:  # past where commits fold it back by themselves
                assert set(pool.map(lambda _: house.chat(account).status_code, range(50))) == {200}
        for _ in range(5):
            assert house.chat(account).status_code == 200
        assert log.stat().st_size <= 500_000
        assert house.process.alive


# Money, and where it listens


def test_what_is_free_is_answered_whatever_the_balance_is(tmp_path: Path) -> None:
    free = {"input": 0, "output": 0, "cached": 0}
    config = channel("lab", {"free": free, "plain": {}}) + '[alias]\nfree-x = "free"\n'
    with House(tmp_path / "free", config) as house:
        account = house.account("0")
        names = ("free", "free-x")
        assert [house.chat(account, name).status_code for name in names] == [200, 200]
        house.cli("credit", "correct", account.name, "-0.5", "--note", "charged back", "--json")
        assert [house.chat(account, name).status_code for name in names] == [200, 200]
        assert house.chat(account, "free", stream=True, max_tokens=100_000).status_code == 200
        error(house.chat(account), 402, "insufficient_credits")
        limited = house.another_key(account.name, quota="0")
        assert house.chat(limited, "free").status_code == 200
        assert {row["cost"] for row in house.rows(account)} == {"0"} and house.user(account)["balance"] == "-0.50"


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize(
    ("host", "v4", "v6"), [("::", True, True), ("0::", True, True), ("::1", False, True), ("0.0.0.0", True, False)]
)
def test_which_addresses_answer(tmp_path: Path, host: str, v4: bool, v6: bool) -> None:
    with House(tmp_path / "host", CONFIG, serving=False, upstream=False) as house:
        server = house.spawn("--host", host)
        try:
            port = int(server.wait_ready().rpartition(":")[2])
            for address, answers in (("127.0.0.1", v4), ("[::1]", v6)):
                try:
                    answered = httpx.get(f"http://{address}:{port}/healthz", trust_env=False).status_code == 200
                except httpx.ConnectError:
                    answered = False
                assert answered is answers, address
            assert server.terminate() == 0
        finally:
            server.kill()


@pytest.mark.parametrize("code", ["EOPNOTSUPP", "EPERM", "EACCES", "EROFS"])
def test_a_place_that_takes_no_socket(tmp_path: Path, code: str) -> None:
    """A shared folder of a virtual machine: commands go by a socket in a temporary directory."""
    with House(tmp_path / "share", CONFIG, serving=False, upstream=False) as house:
        house.start(script=NO_SOCKET.format(code=code, place="data"))
        house.cli("users", "create", "ann", "--credits", "2", "--json")
        assert "control.sock" not in {path.name for path in house.data.iterdir()}
        said = json.loads((house.data / "lock").read_text())
        assert Path(said["socket"]).parent.stat().st_mode & 0o777 == 0o700
        assert house.process.terminate() == 0
        assert not Path(said["socket"]).parent.exists()
        nowhere = house.spawn(script=NO_SOCKET.format(code=code, place=""), name="nowhere")
        assert nowhere.wait() == 1
        (line,) = nowhere.err.read_text().splitlines()[-1:]
        assert "no control socket can be made" in line and "Traceback" not in nowhere.err.read_text()
        assert house.cli("ledger", "verify", "--json")["ok"] is True


NO_SOCKET = """
import errno, os, socket

class Refusing(socket.socket):
    def bind(self, address):
        if self.family == socket.AF_UNIX and "{place}" in str(address):
            raise OSError(errno.{code}, os.strerror(errno.{code}))
        super().bind(address)

socket.socket = Refusing
from ftgate.cli.group import main
main()
"""


# Small things


def test_a_port_of_the_system_s_suggests_none_of_them(tmp_path: Path) -> None:
    before = ["setpriv", "--bounding-set=-net_bind_service", "--inh-caps=-all"] if os.geteuid() == 0 else []
    least = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    if least <= 80 or (before and shutil.which("setpriv") is None):
        pytest.skip("anybody may listen on port 80 here")
    code, _, err = process("serve", "--port", "80", cwd=tmp_path, before=before)
    assert code == 1 and "127.0.0.1:80 needs a right that this user lacks" in err and "--port 8400" in err
    assert "--port 81" not in err and ":81" not in err


@pytest.mark.parametrize(("text", "hint"), [("1790120112345", "2026-09-22T23:35:12.345Z"), ("1790120112", "2026-09-2")])
def test_a_number_is_no_time(house: House, text: str, hint: str) -> None:
    out, err = house.cli("keys", "create", "--expires", text, "--json", code=1)
    assert out == "" and "is no ISO 8601 time" in err and hint in err


def test_check_takes_the_data_directory(house: House, tmp_path: Path) -> None:
    assert house.cli("check", "--json")["ok"] is True
    (tmp_path / "file").touch()
    code, _, err = command("check", "--data", "file", cwd=tmp_path)
    assert code == 1 and err.startswith("--data: ") and "is not a directory" in err


def test_without_a_command_the_environment_counts_too(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, _, err = command(cwd=tmp_path, env={"FTGATE_DATA": "file", "FTGATE_CONFIG": "none.toml"})
    assert code == 78 and "none.toml:1: the file cannot be read" in err
    (tmp_path / "ftgate.toml").write_text("[server]\nport = 0\n")
    code, _, err = process(cwd=tmp_path, env={"FTGATE_DATA": "file"})
    assert code == 1 and "file is not a directory" in err
