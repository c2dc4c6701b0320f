"""Pythons of another processor or version than this machine's own, from Debian's packages, unpacked and not installed:
where apt is, and for another processor qemu-user."""

import os
import shutil
import subprocess
from pathlib import Path

PACKAGES = ("python3.14",)
SUITE = "sid"
"""Debian's stable has one Python alone."""
MACHINES = {"amd64": ("x86_64-linux-gnu", "ld-linux-x86-64.so.2", "x86_64"), "arm64": ("", "", "aarch64")}
"""Debian's name for each: the folder of its libraries, their loader, and what qemu-user calls it."""


class Unavailable(Exception):
    """Why such a Python cannot be had here."""


def _run(*command: str, env: dict[str, str] | None = None) -> str:
    ran = subprocess.run(command, capture_output=True, text=True, env=env)
    if ran.returncode:
        raise Unavailable(f"{command[0]}: {(ran.stderr.strip() or ran.stdout.strip()).splitlines()[-1:]}")
    return ran.stdout


def _mirror() -> str:
    """Where this machine gets Debian's main packages from."""
    if shutil.which("apt-get") is None:
        raise Unavailable("there is no apt-get here")
    listed = _run("apt-get", "indextargets", "--format", "$(ORIGIN) $(LABEL) $(COMPONENT) $(REPO_URI)")
    found = [line.split()[3] for line in listed.splitlines() if line.split()[:3] == ["Debian", "Debian", "main"]]
    if not found:
        raise Unavailable("this machine's packages are not Debian's, or apt-get update has not run")
    return found[0]


def _settings(place: Path, machine: str) -> dict[str, str]:
    """An environment in which apt knows this suite and machine alone, and nothing that is installed."""
    for folder in ("lists/partial", "cache/archives/partial"):
        (place / folder).mkdir(parents=True, exist_ok=True)
    (place / "status").touch()
    key = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
    (place / "sources.list").write_text(f"deb {key} {_mirror()} {SUITE} main\n")
    said = {
        "Dir::Etc::sourcelist": f"{place}/sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State::lists": f"{place}/lists",
        "Dir::State::status": f"{place}/status",
        "Dir::Cache": f"{place}/cache",
        "APT::Architecture": machine,
        "APT::Architectures": machine,
        "APT::Install-Recommends": "false",
        "Debug::NoLocking": "true",
    }
    (place / "apt.conf").write_text("".join(f'{name} "{value}";\n' for name, value in said.items()))
    return {**os.environ, "APT_CONFIG": f"{place}/apt.conf"}


def _emulator(name: str) -> str:
    command = f"qemu-{name}"
    if shutil.which(command) is None and os.geteuid() == 0:
        _run("apt-get", "install", "-y", "-qq", "--no-install-recommends", "qemu-user")
    if shutil.which(command) is None:
        raise Unavailable(f"{command} is not installed (Debian, Ubuntu: qemu-user)")
    return command


def python(place: Path, machine: str) -> list[str]:
    """The command of a Python for this machine of Debian's. Raises Unavailable."""
    root = place / "root"
    libraries, loader, emulated = MACHINES[machine]
    emulator = [] if libraries else [_emulator(emulated)]
    if not (root / "usr/bin" / PACKAGES[-1]).exists():
        env = _settings(place, machine)
        _run("apt-get", "update", "-qq", env=env)
        _run("apt-get", "install", "-y", "-qq", "--download-only", *PACKAGES, env=env)
        for package in sorted((place / "cache/archives").glob("*.deb")):
            _run("dpkg", "-x", str(package), str(root))
        for folder in ("bin", "lib", "lib64"):
            if (root / "usr" / folder).exists() and not (root / folder).exists():
                (root / folder).symlink_to(f"usr/{folder}")
    program = str(root / "usr/bin" / PACKAGES[-1])
    started = [*emulator, "-L", str(root)]
    if not emulator:
        started = [str(root / "usr/lib64" / loader), "--library-path", str(root / "usr/lib" / libraries)]
    return ["env", f"PYTHONHOME={root / 'usr'}", *started, program]
