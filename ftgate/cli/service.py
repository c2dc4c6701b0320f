"""`ftgate service`: have the system keep the server running, by systemd or launchd."""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import click

from ftgate import config
from ftgate.cli.output import line, told
from ftgate.cli.remote import load, places
from ftgate.config.values import expanded
from ftgate.errors import ConfigFaults
from ftgate.house import secrets_look
from ftgate.house import service as texts
from ftgate.house.called import arguments, is_archive

Kind = Literal["system", "user", "launchd"]
COMMAND_S = 90
"""Seconds that the system has for one of its commands; a stop waits for open streams."""
HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")
"""What ProtectHome and PrivateTmp hide from the machine's service."""


class Place(NamedTuple):
    """Where the service's file stands, which is not written again where it is somebody's, and what the system is told
    before it goes and after it has come."""

    file: Path
    starts: tuple[tuple[str, ...], ...]
    ends: tuple[tuple[str, ...], ...]
    forget: tuple[tuple[str, ...], ...] = ()


@click.group()
def service() -> None:
    """Have systemd or launchd keep the server running, from now on and after each start of the machine."""


def _kinds(function: Callable[..., Any]) -> Callable[..., Any]:
    system = click.option("--system", "kind", flag_value="system", help="For the machine (systemd). [default for root]")
    user = click.option("--user", "kind", flag_value="user", help="For this user alone (systemd).")
    launchd = click.option("--launchd", "kind", flag_value="launchd", help="For this user (macOS).")
    return system(user(launchd(places(function))))


@service.command("print")
@_kinds
def print_service(kind: Kind | None, config_path: Path | None, data: Path | None) -> None:
    """Print what `install` would write, and write nothing."""
    kind = kind or _own_kind() or "system"
    wanted = _service(kind, config_path, data)
    _tell_unread(kind, wanted)
    click.echo(_text(kind, wanted), nl=False)


@service.command("install")
@click.option("--start/--no-start", default=True, help="Start it now. [default: yes]")
@_kinds
def install(start: bool, kind: Kind | None, config_path: Path | None, data: Path | None) -> None:
    """Write the service's file, a config and a file for its environment where there are none, and start it."""
    kind = _possible(kind)
    wanted = _service(kind, config_path, data)
    place = _place(kind)
    _unhidden(kind, wanted)
    _tell_unread(kind, wanted)
    _is_ours(place.file)
    try:
        _write_once(wanted.config, config.write_example(), 0o644 if kind == "system" else 0o600)
        _write_once(wanted.environment, texts.ENVIRONMENT, 0o600)
        if kind != "system":  # systemd makes the machine's
            wanted.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        place.file.parent.mkdir(parents=True, exist_ok=True)
        half = place.file.with_name(f"{place.file.name}.new")
        half.write_text(_text(kind, wanted), "utf-8")
        half.chmod(0o644)
        half.replace(place.file)
    except OSError as problem:
        raise click.ClickException(told(problem)) from None
    line(f"{place.file} written; config {wanted.config}, environment {wanted.environment}, data {wanted.data}")
    if not start:
        line(f"start it: {' && '.join(' '.join(words) for words in place.starts)}")
        return
    for words in place.starts:
        _run(words)
    line(f"started. Commands reach it with --data {wanted.data}")
    if kind == "user":
        line("It ends when you log out, unless: loginctl enable-linger")


@service.command("uninstall")
@_kinds
def uninstall(kind: Kind | None, config_path: Path | None, data: Path | None) -> None:
    """End the service and take its file away. Config, environment and data stay."""
    kind = _possible(kind)
    place = _place(kind)
    if not place.file.exists():
        raise click.ClickException(f"{place.file} is not there: nothing is installed")
    _is_ours(place.file)
    for words in place.ends:
        _run(words)
    try:
        place.file.unlink()
    except OSError as problem:
        raise click.ClickException(told(problem)) from None
    for words in place.forget:
        _run(words)
    line(f"{place.file} is gone. Config, environment and data are where they were")


def _own_kind() -> Kind | None:
    """What this machine has; None where it has neither."""
    if sys.platform == "darwin":
        return "launchd"
    if not Path("/run/systemd/system").is_dir():
        return None
    return "system" if os.geteuid() == 0 else "user"


def _possible(kind: Kind | None) -> Kind:
    own = _own_kind()
    if own is None or (own == "launchd") != ((kind or own) == "launchd"):
        raise click.ClickException(
            f"this machine has no {'launchd' if kind == 'launchd' else 'systemd'}. `ftgate service print` shows what "
            "would be written, for another way to keep a program running; in a container, let its runtime restart it"
        )
    if kind == "system" and os.geteuid() != 0:
        raise click.ClickException("the machine's service is root's to install: run it with sudo, or use --user")
    return kind or own


def _place(kind: Kind) -> Place:
    if kind == "launchd":
        file = _home() / "Library" / "LaunchAgents" / f"{texts.LABEL}.plist"
        domain = f"gui/{os.getuid()}"
        return Place(file, (("launchctl", "bootstrap", domain, str(file)),),
                     (("launchctl", "bootout", f"{domain}/{texts.LABEL}"),))  # fmt: skip
    systemctl = ("systemctl",) if kind == "system" else ("systemctl", "--user")
    folder = Path("/etc/systemd/system") if kind == "system" else _xdg("XDG_CONFIG_HOME", ".config") / "systemd/user"
    reload = (*systemctl, "daemon-reload")
    # A service that runs already takes the new file.
    starts = (reload, (*systemctl, "enable", texts.UNIT), (*systemctl, "restart", texts.UNIT))
    return Place(folder / texts.UNIT, starts, ((*systemctl, "disable", "--now", texts.UNIT),), (reload,))


def _service(kind: Kind, config_path: Path | None, data: Path | None) -> texts.Service:
    """What is to run, of what was given and of what this directory has."""
    program = arguments()
    pyz = is_archive(Path(program[-1]))
    if kind == "system":
        folder, place, cache = Path("/etc/ftgate"), Path("/var/lib/ftgate"), Path("/var/cache/ftgate")
        file = config_path or folder / "ftgate.toml"
        if data is not None and data.absolute().parent != Path("/var/lib"):
            raise click.ClickException(
                f"the machine's service keeps its data in a directory of /var/lib, like {place}, not in {data}: "
                "move it there, or use --user"
            )
        place = data.absolute() if data is not None else place
    else:
        folder, cache = _xdg("XDG_CONFIG_HOME", ".config") / "ftgate", _xdg("XDG_CACHE_HOME", ".cache") / "ftgate"
        file = config_path or _here() or folder / "ftgate.toml"
        place = data or _data_here(config_path) or _xdg("XDG_DATA_HOME", ".local/share") / "ftgate"
    found = _settings(file.absolute())
    groups = secrets_look.reach(secrets_look.named(file.absolute())).groups if kind == "system" else ()
    return texts.Service(
        program, file.absolute(), place.absolute(), folder / "env", cache if pyz else None,
        low_port=0 < found.server.port < 1024, grace_s=int(found.server.shutdown_grace + found.server.shutdown_notice),
        copies=found.backup.to, groups=groups,
    )  # fmt: skip


def _here() -> Path | None:
    """The config of this directory or of FTGATE_CONFIG."""
    try:
        return config.default_path()
    except ConfigFaults:
        return None


def _data_here(config_path: Path | None) -> Path | None:
    """The data directory that a start here would take, if it has been started here."""
    try:
        found = load(config_path).server.data_dir.absolute()
    except click.ClickException:
        return None
    return found if found.is_dir() else None


def _settings(file: Path) -> config.Settings:
    """Those of a config; where there is none that can be read, those that a new one will have."""
    try:
        return config.load(file, os.environ)
    except ConfigFaults:
        return config.from_environment({}, None)


def _xdg(name: str, otherwise: str) -> Path:
    given = os.environ.get(name, "")
    return Path(given) if given.startswith("/") else _home() / otherwise


def _home() -> Path:
    try:
        return expanded("~")
    except ValueError:
        raise click.ClickException(
            "this user has no home directory, where the service's files would go: set HOME"
        ) from None


def _text(kind: Kind, wanted: texts.Service) -> str:
    if kind == "launchd":
        return texts.launchd_job(wanted, _home() / "Library" / "Logs")
    return texts.system_unit(wanted) if kind == "system" else texts.user_unit(wanted)


def _unhidden(kind: Kind, wanted: texts.Service) -> None:
    """What the machine's service must reach and read, as its own user. Raises click.ClickException."""
    if kind != "system":
        return
    for path in (*map(Path, wanted.program[:2]), wanted.config):
        hidden = next((top for top in HIDDEN if path.is_relative_to(top) or path.resolve().is_relative_to(top)), None)
        if hidden and path.is_absolute():
            raise click.ClickException(
                f"{path} lies in {hidden}, which the machine's service does not see. Put it elsewhere, a program into "
                "/opt and a config into /etc/ftgate, or use --user"
            )
    if wanted.config.exists() and not wanted.config.stat().st_mode & 0o004:
        raise click.ClickException(
            f"{wanted.config} cannot be read by the service, whose user exists only while it runs. Let keys stand in "
            f'{wanted.environment} (keys = ["env:NAME"]), and chmod 644 the config'
        )


def _tell_unread(kind: Kind, wanted: texts.Service) -> None:
    """Name each file of the config's that the machine's service could not read, and how it could."""
    if kind != "system":
        return
    for file in secrets_look.reach(secrets_look.named(wanted.config)).not_:
        name = shlex.quote(str(file))
        line(
            f"warning: {file} cannot be read by the service, whose user exists only while it runs. A secret can stand "
            f"in {wanted.environment} (env:NAME), or be handed over by systemd (`ftgate help service`). For a file: "
            f"groupadd -f ftgate-files; chgrp ftgate-files {name}; chmod 640 {name}, and this command again",
            err=True,
        )


def _is_ours(file: Path) -> None:
    """Raises click.ClickException where somebody else's file stands there."""
    try:
        if file.exists() and texts.MARK not in file.read_text("utf-8", errors="replace")[:400]:
            raise click.ClickException(f"{file} is there and was not written by this command: it stays as it is")
    except OSError as problem:
        raise click.ClickException(told(problem)) from None


def _write_once(path: Path, text: str, mode: int) -> None:
    """A file that is made where there is none. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode), "w", encoding="utf-8") as file:
            os.chmod(file.fileno(), mode)
            file.write(text)
    except FileExistsError:
        pass


def _run(words: tuple[str, ...]) -> None:
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=COMMAND_S)
    except (OSError, subprocess.TimeoutExpired) as problem:
        why = told(problem) if isinstance(problem, OSError) else "it did not end"
        raise click.ClickException(f"`{' '.join(words)}` failed: {why}") from None
    if done.returncode:
        why = (done.stderr or done.stdout).strip() or f"exit code {done.returncode}"
        raise click.ClickException(f"`{' '.join(words)}` failed: {why}")
