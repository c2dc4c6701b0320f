"""The texts by which a system keeps ftgate running, whole."""

import plistlib
import shutil
import subprocess
from pathlib import Path

import pytest

from ftgate.house.service import MARK, Service, launchd_job, system_unit, user_unit

PYZ = Service(
    ("/usr/bin/python3", "/opt/ftgate.pyz"), Path("/etc/ftgate/ftgate.toml"), Path("/var/lib/ftgate"),
    Path("/etc/ftgate/env"), cache=Path("/var/cache/ftgate"),
)  # fmt: skip
ODD = Service(
    ("/opt/a b/ftgate",), Path('/etc/50% "off"/$x\\y.toml'), Path("/var/lib/my data"), Path("/etc/50%/env"),
    low_port=True, grace_s=5, copies=Path("/mnt/other disk"),
)  # fmt: skip
SYSTEM = """\
# Written by `ftgate service install`: `ftgate service uninstall` takes it away. Changes of your own go into a drop-in:
# systemctl edit ftgate.service
[Unit]
Description=ftgate, one endpoint over several LLM providers
After=network-online.target
Wants=network-online.target

[Service]
Type=exec
DynamicUser=yes
StateDirectory=ftgate
StateDirectoryMode=0700
CacheDirectory=ftgate
Environment=SHIV_ROOT=/var/cache/ftgate
EnvironmentFile=-/etc/ftgate/env
ExecStart=/usr/bin/python3 /opt/ftgate.pyz serve --config /etc/ftgate/ftgate.toml --data /var/lib/ftgate
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
RestartSec=2
RestartPreventExitStatus=78
TimeoutStopSec=40
LimitNOFILE=65536
LimitCORE=0
UMask=0077
CapabilityBoundingSet=
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""
USER = """\
# Written by `ftgate service install`: `ftgate service uninstall` takes it away. Changes of your own go into a drop-in:
# systemctl edit ftgate.service
[Unit]
Description=ftgate, one endpoint over several LLM providers
After=network-online.target
Wants=network-online.target

[Service]
Type=exec
Environment=SHIV_ROOT=/var/cache/ftgate
EnvironmentFile=-/etc/ftgate/env
ExecStart=/usr/bin/python3 /opt/ftgate.pyz serve --config /etc/ftgate/ftgate.toml --data /var/lib/ftgate
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
RestartSec=2
RestartPreventExitStatus=78
TimeoutStopSec=40
LimitNOFILE=65536
LimitCORE=0
UMask=0077
NoNewPrivileges=yes
LockPersonality=yes

[Install]
WantedBy=default.target
"""


def test_the_units() -> None:
    assert system_unit(PYZ) == SYSTEM
    assert user_unit(PYZ) == USER


def test_odd_names_low_ports_and_other_disks() -> None:
    lines = system_unit(ODD).splitlines()
    assert (
        r'ExecStart="/opt/a b/ftgate" serve --config "/etc/50%% \"off\"/$$x\\y.toml" --data "/var/lib/my data"' in lines
    )
    for line in (
        'StateDirectory="my data"', "EnvironmentFile=-/etc/50%%/env", "TimeoutStopSec=15",
        "CapabilityBoundingSet=CAP_NET_BIND_SERVICE", "AmbientCapabilities=CAP_NET_BIND_SERVICE",
        'ReadWritePaths=-"/mnt/other disk"',
    ):  # fmt: skip
        assert line in lines, line
    assert not any("SHIV_ROOT" in line or "CacheDirectory" in line for line in lines)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
@pytest.mark.parametrize("service", [PYZ, ODD], ids=["plain", "odd"])
def test_systemd_understands_the_unit(tmp_path: Path, service: Service) -> None:
    """With programs that are there."""
    program = tmp_path / "a b"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / "ftgate.service"
    for text in (system_unit, user_unit):
        unit.write_text(text(service._replace(program=(str(program), *service.program[1:]))))
        done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, ""), done


def test_the_launchd_job(tmp_path: Path) -> None:
    """What the shell in it does with its words is tried too: the environment comes from the file, if it is there."""
    env = tmp_path / "en v"
    service = PYZ._replace(program=("/usr/bin/env", "printenv", "KEY"), environment=env, data=tmp_path / "data")
    text = launchd_job(service, tmp_path / "logs")
    assert MARK in text.splitlines()[1]
    job = plistlib.loads(text.encode())
    assert job["Label"] == "org.ftgate.serve" and job["KeepAlive"] == {"SuccessfulExit": False} and job["RunAtLoad"]
    assert job["EnvironmentVariables"] == {"SHIV_ROOT": "/var/cache/ftgate"} and job["ExitTimeOut"] == 40
    assert job["StandardErrorPath"] == str(tmp_path / "logs" / "ftgate.log") and job["Umask"] == 0o077
    words = job["ProgramArguments"]
    assert words[4:] == [*service.program, "serve", "--config", "/etc/ftgate/ftgate.toml", "--data",
                         str(tmp_path / "data")]  # fmt: skip
    env.write_text("KEY='a b'\n")
    assert subprocess.run(words[:7], capture_output=True, text=True, env={}).stdout == "a b\n"
    env.unlink()
    assert subprocess.run(words[:7], capture_output=True, text=True, env={}).stdout == ""
    assert "SHIV_ROOT" not in launchd_job(service._replace(cache=None), tmp_path)
