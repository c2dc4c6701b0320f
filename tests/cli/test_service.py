"""`ftgate service` on machines that are made up: what it writes, what it runs, and what it leaves alone."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from zipfile import ZipFile

import pytest
from click.testing import CliRunner, Result

from ftgate.cli import service
from ftgate.cli.group import cli
from ftgate.house.service import MARK

Said = Callable[..., Result]


class Machine:
    """One with a home, a working directory, and a system that is told things."""

    def __init__(self, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home, self.here = base / "home", base / "here"
        for place in (self.home, self.here):
            place.mkdir()
        self.told: list[str] = []
        self.fails: str | None = None
        self.patch = monkeypatch
        monkeypatch.setenv("HOME", str(self.home))
        for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "FTGATE_CONFIG", "FTGATE_DATA"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.chdir(self.here)
        monkeypatch.setattr(subprocess, "run", self.run)
        monkeypatch.setattr(service.sys, "argv", ["/opt/ftgate.pyz"])
        monkeypatch.setattr(service.sys, "executable", "/usr/bin/python3")
        self.has("user")

    def has(self, kind: str | None, uid: int = 1000) -> None:
        self.patch.setattr(service, "_own_kind", lambda: kind)
        self.patch.setattr(service.os, "geteuid", lambda: uid)

    def run(self, words: tuple[str, ...], **_: object) -> SimpleNamespace:
        self.told.append(" ".join(words))
        failed = self.fails is not None and self.fails in words
        return SimpleNamespace(returncode=int(failed), stderr="it would not" if failed else "", stdout="")

    def does(self, *words: str, code: int = 0) -> str:
        done = CliRunner().invoke(cli, ["service", *words])
        assert done.exit_code == code, done.output
        return done.output


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


@pytest.mark.parametrize("kind", ["user", "launchd"])
def test_a_user_without_a_home_is_told(machine: Machine, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    def unknown(uid: int) -> None:
        raise KeyError(uid)

    machine.has(kind)
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", unknown)
    assert "no home directory" in machine.does("install", code=1) and machine.told == []


@pytest.mark.parametrize(("mode", "gid", "said"), [
    (0o600, 0, ""), (0o640, 0, ""), (0o644, 0, "no group"), (0o640, 1234, "SupplementaryGroups=certs\n"),
])  # fmt: skip
def test_files_that_the_machine_s_service_cannot_read_are_named(
    machine: Machine, tmp_path: Path, mode: int, gid: int, said: str
) -> None:
    """Its user owns nothing: a group whose file it is lets it in."""
    key, place = tmp_path / "key.pem", tmp_path / "c.toml"
    key.touch()
    place.write_text(f'[server]\ntls_key = "{key}"\n[[channel]]\nkeys = ["file:{key}"]\n')
    stat = Path.stat

    def seen(path: Path, **more: bool) -> SimpleNamespace:
        found = stat(path, **more)
        own = (mode, gid) if path == key else (0o755, 0)
        fields = {name: getattr(found, name) for name in dir(found) if name.startswith("st_")}
        return SimpleNamespace(**fields | {"st_mode": found.st_mode & ~0o777 | own[0], "st_gid": own[1]})

    machine.patch.setattr(Path, "stat", seen)
    machine.patch.setattr("grp.getgrgid", lambda gid: SimpleNamespace(gr_name={1234: "certs"}[gid]))
    found = machine.does("print", "--system", "--config", str(place))
    warned = f"warning: {key} cannot be read by the service" in found
    assert warned is (said == "") and ("SupplementaryGroups=" in found) is (said.endswith("\n"))
    if said.endswith("\n"):
        assert said in found
    assert "cannot be read" not in machine.does("print", "--user", "--config", str(place))


def test_the_one_file_under_another_name_has_a_cache(machine: Machine) -> None:
    link = machine.here / "lnk"
    with ZipFile(link, "w") as archive:
        archive.writestr("__main__.py", "")
    machine.patch.setattr(service.sys, "argv", [str(link)])
    said = machine.does("print")
    assert f"ExecStart=/usr/bin/python3 {link} serve" in said and "SHIV_ROOT=" in said


def test_a_users_service_comes_and_goes(machine: Machine) -> None:
    """A second install brings the file up to date; config and environment are written once."""
    unit = machine.home / ".config/systemd/user/ftgate.service"
    config, env = machine.home / ".config/ftgate/ftgate.toml", machine.home / ".config/ftgate/env"
    said = machine.does("install")
    assert str(unit) in said and "loginctl enable-linger" in said
    assert unit.read_text() == machine.does("print")
    assert f"--config {config} --data {machine.home}/.local/share/ftgate" in unit.read_text()
    assert (machine.home / ".local/share/ftgate").stat().st_mode & 0o777 == 0o700
    assert [path.stat().st_mode & 0o777 for path in (config, env)] == [0o600, 0o600]
    assert machine.told == [
        f"systemctl --user {words}" for words in ("daemon-reload", "enable ftgate.service", "restart ftgate.service")
    ]
    env.write_text("KEY=mine\n")
    machine.does("install", "--no-start")
    assert env.read_text() == "KEY=mine\n" and len(machine.told) == 3
    machine.does("uninstall")
    assert not unit.exists() and config.exists() and env.exists()
    assert machine.told[3:] == [
        "systemctl --user disable --now ftgate.service", "systemctl --user daemon-reload",
    ]  # fmt: skip
    assert "is not there: nothing is installed" in machine.does("uninstall", code=1)


def test_a_file_of_somebody_else_stays(machine: Machine) -> None:
    unit = machine.home / ".config/systemd/user/ftgate.service"
    unit.parent.mkdir(parents=True)
    unit.write_text("[Service]\nExecStart=/usr/local/bin/mine\n")
    for command in ("install", "uninstall"):
        assert "was not written by this command: it stays as it is" in machine.does(command, code=1)
    assert "mine" in unit.read_text() and machine.told == []
    assert list(machine.home.rglob("*.toml")) == []


def test_what_is_here_is_taken(machine: Machine) -> None:
    """A directory in which ftgate was started by hand goes on as the service."""
    (machine.here / "ftgate.toml").write_text("[server]\nshutdown_grace = 4\nshutdown_notice = 3\n")
    (machine.here / "ftgate-data").mkdir()
    text = machine.does("print")
    assert f"--config {machine.here}/ftgate.toml --data {machine.here}/ftgate-data" in text
    assert "TimeoutStopSec=17" in text
    given = machine.does("print", "--config", "other.toml", "--data", "elsewhere")
    assert f"--config {machine.here}/other.toml --data {machine.here}/elsewhere" in given


@pytest.mark.parametrize(
    ("argv", "command"),
    [
        ("/opt/ftgate.pyz", "/usr/bin/python3 /opt/ftgate.pyz serve"),
        ("/somewhere/ftgate/__main__.py", "/usr/bin/python3 -m ftgate serve"),
        ("BIN/ftgate", "BIN/ftgate serve"),
    ],
)
def test_the_program(machine: Machine, argv: str, command: str) -> None:
    binary = machine.home / "ftgate"
    binary.write_text("#!/bin/sh\n")
    binary.chmod(0o755)
    machine.patch.setattr(service.sys, "argv", [argv.replace("BIN", str(machine.home))])
    assert f"ExecStart={command.replace('BIN', str(machine.home))}" in machine.does("print")
    assert ("SHIV_ROOT" in machine.does("print")) is argv.endswith(".pyz")


def test_the_machines_service_sees_no_home_and_has_its_own_user(machine: Machine, tmp_path: Path) -> None:
    machine.has("system", uid=0)
    text = machine.does("print")
    assert "DynamicUser=yes" in text and "--config /etc/ftgate/ftgate.toml --data /var/lib/ftgate" in text
    assert "not in /srv/data: move it there" in machine.does("install", "--data", "/srv/data", code=1)
    machine.patch.setattr(service.sys, "argv", ["/root/ftgate.pyz"])
    assert "/root/ftgate.pyz lies in /root" in machine.does("install", code=1)
    machine.patch.setattr(service.sys, "argv", ["/opt/ftgate.pyz"])
    closed = tmp_path / "ftgate.toml"
    closed.write_text("")
    closed.chmod(0o600)
    machine.patch.setattr(service, "HIDDEN", ("/home",))
    said = machine.does("install", "--config", str(closed), code=1)
    assert "cannot be read by the service" in said and "chmod 644 the config" in said
    machine.has("user")
    assert "run it with sudo, or use --user" in machine.does("install", "--system", code=1)
    assert machine.told == []


def test_elsewhere_it_refuses_politely(machine: Machine) -> None:
    machine.has(None)
    for words in (["install"], ["uninstall"], ["install", "--user"]):
        assert "this machine has no systemd. `ftgate service print` shows" in machine.does(*words, code=1)
    assert "no launchd" in machine.does("install", "--launchd", code=1)
    assert MARK in machine.does("print") and machine.told == []


def test_on_a_mac(machine: Machine) -> None:
    machine.has("launchd")
    job = machine.home / "Library/LaunchAgents/org.ftgate.serve.plist"
    machine.does("install")
    assert job.read_text() == machine.does("print") and machine.told[0].endswith(f" {job}")
    machine.does("uninstall")
    assert not job.exists() and machine.told[1].startswith("launchctl bootout gui/")
    assert "no systemd" in machine.does("install", "--user", code=1)


def test_what_the_system_refuses_is_told(machine: Machine) -> None:
    machine.fails = "restart"
    said = machine.does("install", code=1)
    assert "`systemctl --user restart ftgate.service` failed: it would not" in said
    machine.fails = "disable"
    assert "failed: it would not" in machine.does("uninstall", code=1)
    assert (machine.home / ".config/systemd/user/ftgate.service").exists()  # it may still run
