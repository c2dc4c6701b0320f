"""The texts by which a system keeps ftgate running: a systemd unit, for the machine or for one user, and a launchd job.

They are made of words alone and written nowhere here (cli/service.py does that). Each has MARK in its first lines, by
which a file is known as one of ours.
"""

import plistlib
import re
from pathlib import Path
from typing import NamedTuple

MARK = "Written by `ftgate service install`"
UNIT = "ftgate.service"
LABEL = "org.ftgate.serve"
SPARE_S = 10
"""Seconds beside the grace for open streams in which a server has closed its books."""
FAULTY_CONFIG = 78
"""How a start ends that another start would end like: systemd is not to try again."""
_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./-]+")

ENVIRONMENT = """\
# What ftgate finds in its environment: provider keys, and secrets that the config takes from there (env:NAME).
#DEEPSEEK_API_KEY=sk-...
#OPENAI_API_KEY=sk-...
"""


class Service(NamedTuple):
    """What is to run. `program` is the command up to `serve`; `cache` where a .pyz unpacks itself, None for other
    programs; `low_port` whether it listens below 1024; `grace_s` how long open streams may go on at an end;
    `copies` where its backups go, if not into the data directory; `groups` whose files it has to read."""

    program: tuple[str, ...]
    config: Path
    data: Path
    environment: Path
    cache: Path | None = None
    low_port: bool = False
    grace_s: int = 30
    copies: Path | None = None
    groups: tuple[str, ...] = ()

    @property
    def command(self) -> tuple[str, ...]:
        return (*self.program, "serve", "--config", str(self.config), "--data", str(self.data))


def system_unit(service: Service) -> str:
    """A unit for the machine, with a user that exists only while it runs. The data directory is one of systemd's state
    directories (/var/lib/NAME)."""
    name = service.data.name
    cache = ["CacheDirectory=ftgate", f"Environment={_word(f'SHIV_ROOT={service.cache}')}"] if service.cache else []
    bind = ["AmbientCapabilities=CAP_NET_BIND_SERVICE"] if service.low_port else []
    return _unit(
        service,
        [
            "DynamicUser=yes",
            *([f"SupplementaryGroups={' '.join(map(_word, service.groups))}"] if service.groups else []),
            f"StateDirectory={_word(name)}",
            "StateDirectoryMode=0700",
            *cache,
        ],
        [
            f"CapabilityBoundingSet={'CAP_NET_BIND_SERVICE' if service.low_port else ''}",
            *bind,
            "NoNewPrivileges=yes",
            "ProtectSystem=strict",
            *([f"ReadWritePaths=-{_word(str(service.copies))}"] if service.copies else []),
            "ProtectHome=yes",
            "PrivateTmp=yes",
            "PrivateDevices=yes",
            "ProtectClock=yes",
            "ProtectHostname=yes",
            "ProtectKernelTunables=yes",
            "ProtectKernelModules=yes",
            "ProtectKernelLogs=yes",
            "ProtectControlGroups=yes",
            "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX",
            "RestrictNamespaces=yes",
            "RestrictRealtime=yes",
            "LockPersonality=yes",
            "SystemCallArchitectures=native",
            "SystemCallFilter=@system-service",
            "SystemCallErrorNumber=EPERM",
        ],
        "multi-user.target",
    )


def user_unit(service: Service) -> str:
    """A unit for one user, with that user's rights and files."""
    cache = [f"Environment={_word(f'SHIV_ROOT={service.cache}')}"] if service.cache else []
    return _unit(service, cache, ["NoNewPrivileges=yes", "LockPersonality=yes"], "default.target")


def _unit(service: Service, place: list[str], walls: list[str], wanted_by: str) -> str:
    lines = [
        f"# {MARK}: `ftgate service uninstall` takes it away. Changes of your own go into a drop-in:",
        f"# systemctl edit {UNIT}",
        "[Unit]",
        "Description=ftgate, one endpoint over several LLM providers",
        "After=network-online.target",
        "Wants=network-online.target",
        "",
        "[Service]",
        "Type=exec",
        *place,
        f"EnvironmentFile=-{_escaped(str(service.environment))}",
        f"ExecStart={' '.join(map(_word, service.command))}",
        "ExecReload=/bin/kill -HUP $MAINPID",
        "Restart=on-failure",
        "RestartSec=2",
        f"RestartPreventExitStatus={FAULTY_CONFIG}",
        f"TimeoutStopSec={service.grace_s + SPARE_S}",
        "LimitNOFILE=65536",
        "LimitCORE=0",
        "UMask=0077",
        *walls,
        "",
        "[Install]",
        f"WantedBy={wanted_by}",
    ]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    """As systemd takes it for itself: no specifier."""
    return text.replace("%", "%%")


def _word(text: str) -> str:
    """One word of a command line, as systemd parts it."""
    text = _escaped(text)
    if _PLAIN.fullmatch(text):
        return text
    for sign in ("\\", '"', "$"):
        text = text.replace(sign, "$$" if sign == "$" else f"\\{sign}")
    return f'"{text}"'


def launchd_job(service: Service, logs: Path) -> str:
    """A job of one user's. launchd reads no file of an environment, so a shell does."""
    with_environment = 'set -a; if [ -r "$0" ]; then . "$0"; fi; exec "$@"'
    cache = {"SHIV_ROOT": str(service.cache)} if service.cache else {}
    job = {
        "Label": LABEL,
        "ProgramArguments": ["/bin/sh", "-c", with_environment, str(service.environment), *service.command],
        "EnvironmentVariables": cache,
        "WorkingDirectory": str(service.data.parent),
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": 10,
        "ExitTimeOut": service.grace_s + SPARE_S,
        "ProcessType": "Interactive",
        "SoftResourceLimits": {"NumberOfFiles": 65_536},
        "HardResourceLimits": {"NumberOfFiles": 65_536},
        "Umask": 0o077,
        "StandardOutPath": "/dev/null",
        "StandardErrorPath": str(logs / "ftgate.log"),
    }
    text = plistlib.dumps({name: value for name, value in job.items() if value != {}}, sort_keys=False).decode()
    head, _, rest = text.partition("?>\n")
    return f"{head}?>\n<!-- {MARK}: `ftgate service uninstall` takes it away. -->\n{rest}"
