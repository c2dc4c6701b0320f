"""Gets the wheels that the lock file names: pip chooses and checks them, one folder for each target."""

import hashlib
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from scripts.packing.lock import Pin, normal
from scripts.packing.targets import Target

ANY = "any"
"""The folder of the wheels that serve every target."""


class Missing(Exception):
    """pip found no wheel for a pin, or one whose hash the lock file does not have."""


def kept(folder: Path, pin: Pin) -> Path | None:
    """The wheel of a pin that lies in a folder, if its hash is right."""
    for path in sorted(folder.glob("*.whl")):
        name, version = path.name.split("-")[:2]
        if (normal(name), version) == (pin.name, pin.version):
            if hashlib.sha256(path.read_bytes()).hexdigest() in pin.hashes:
                return path
            path.unlink()
    return None


def fetch(folder: Path, pins: Iterable[Pin], target: Target | None) -> list[Path]:
    """A wheel for each pin, downloaded unless it lies there already. Raises Missing."""
    pins = list(pins)
    folder.mkdir(parents=True, exist_ok=True)
    if wanted := [pin for pin in pins if kept(folder, pin) is None]:
        asked = folder / "asked.txt"
        asked.write_text("".join(f"{pin.line()}\n" for pin in wanted))
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "download", "--no-deps"]
        command += ["--only-binary=:all:", "--require-hashes", "--dest", str(folder), "--requirement", str(asked)]
        if target is not None:
            command += ["--python-version", target.python, "--implementation", "cp", "--abi", target.abi]
            command += [word for tag in target.tags for word in ("--platform", tag)]
        ran = subprocess.run(command, capture_output=True, text=True)
        asked.unlink()
        if ran.returncode:
            said = ran.stderr.strip().splitlines()
            raise Missing(f"{folder.name}: {said[-1] if said else 'pip said nothing'}")
    found = [kept(folder, pin) for pin in pins]
    if None in found:
        raise Missing(f"{folder.name}: pip brought no wheel for {pins[found.index(None)].name}")
    return [path for path in found if path is not None]


def of_target(
    store: Path, pins: Iterable[Pin], target: Target, spared: Iterable[str], say: Callable[[str], object]
) -> list[Path]:
    """The compiled wheels of a target; a package that is spared may have none. Raises Missing."""
    pins, spared = list(pins), set(spared)
    folder = store / target.name
    try:
        return fetch(folder, pins, target)
    except Missing:
        found = fetch(folder, [pin for pin in pins if pin.name not in spared], target)
    for pin in pins:
        if pin.name in spared:
            try:
                found += fetch(folder, [pin], target)
            except Missing:
                say(f"{target.name}: no wheel of {pin.name}, which does without")
    return found
