"""`python -m scripts.packing.trial`, which scripts/onefile calls: builds the one file twice and runs it under every
Python there is. Prints a line for each thing seen; ends with 1 where one was not as it must be."""

import argparse
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from scripts.packing import foreign, looked

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("ftgate", "scripts", "pyproject.toml", "LICENSE")
MINUTES = 30
"""For one Python, which may be emulated."""

HELP = "Debian's newest Python for this machine, too; arm64 needs qemu-user and some minutes"


def build(place: Path) -> Path:
    """The whole file, from a copy of the sources in a folder of its own."""
    for name in SOURCES:
        source = ROOT / name
        shutil.copytree(source, place / name) if source.is_dir() else shutil.copy(source, place / name)
    command = [sys.executable, "-m", "scripts.packing", "--wheels", str(ROOT / "build" / "wheels")]
    subprocess.run(command, check=True, cwd=place, env={**os.environ, "PYTHONPATH": str(place)}, capture_output=True)
    return place / "dist" / "ftgate.pyz"


def pythons() -> list[Path]:
    """Each Python of this machine that is not in a virtual environment, once."""
    names = [f"python{version}" for version in ("2.7", *(f"3.{minor}" for minor in range(6, 20)))]
    places = [Path(place) for place in os.environ.get("PATH", "").split(os.pathsep)]
    places += sorted((Path.home() / ".pyenv" / "versions").glob("*/bin"))
    found = {(place / name).resolve() for place in places for name in names if (place / name).is_file()}
    return sorted(path for path in found if path.name.startswith("python") and "shims" not in path.parts)


def version(python: Path) -> tuple[int, ...]:
    code = "import sys; sys.stdout.write('%d %d' % sys.version_info[:2])"
    said = subprocess.run([str(python), "-c", code], capture_output=True, text=True)
    return tuple(map(int, said.stdout.split()))


def alone(command: list[str]) -> list[str]:
    """The command where it sees no network, if we may: as root, on Linux."""
    may = shutil.which("unshare") and subprocess.run(["unshare", "--net", "true"], capture_output=True).returncode == 0
    return ["unshare", "--net", *command] if may else command


def serves(file: Path, python: list[str]) -> str:
    """What the smoke test says of this Python; empty where it failed, after its own words."""
    command = alone([sys.executable, "-m", "scripts.packing.smoke", str(file), *python])
    ran = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=MINUTES * 60,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    if ran.returncode:
        print(ran.stderr, file=sys.stderr)
        return ""
    said = json.loads(ran.stdout)
    figures = f"ready after {said['first_s']} s, then {said['second_s']} s"
    return f"{said['version']}: {figures} (processor: {said['first_cpu_s']} s, {said['second_cpu_s']} s)"


def refused(file: Path, python: Path) -> str:
    """The one sentence by which a Python that cannot run it is told so; empty where it was anything else."""
    ran = subprocess.run([str(python), str(file), "version"], capture_output=True, text=True)
    right = ran.returncode == 78 and ran.stdout == "" and ran.stderr.count("\n") == 1
    return ran.stderr.strip() if right else ""


def own(file: Path, place: Path, told: list[Path]) -> bool:
    """The Pythons of this machine: each serves from a clean virtual environment, or says why not."""
    right = True
    for number, python in enumerate(told):
        if (3, 11) <= version(python) <= (3, 14):
            clean = place / f"venv-{number}"
            subprocess.run([str(python), "-m", "venv", "--without-pip", str(clean)], check=True)
            said = serves(file, [str(clean / "bin" / "python")])
        else:
            said = refused(file, python)
        print(f"{python}: {said or 'FAILED'}", flush=True)
        right = right and bool(said)
    return right


def others(file: Path, machines: list[str]) -> bool:
    """Pythons of Debian's. One that cannot be had is told and fails nothing."""
    right = True
    for machine in machines:
        try:
            command = foreign.python(ROOT / "build" / "pythons" / machine, machine)
        except foreign.Unavailable as why:
            print(f"Debian's {foreign.PACKAGES[-1]} for {machine} was not tried: {why}", flush=True)
            continue
        said = serves(file, command)
        print(f"Debian's {foreign.PACKAGES[-1]} for {machine}: {said or 'FAILED'}", flush=True)
        right = right and bool(said)
    return right


def main() -> None:
    asked = argparse.ArgumentParser(prog="scripts/onefile", description="Build the one file twice, and try it.")
    asked.add_argument("--python", type=Path, action="append", help="this one alone; more than once for several")
    asked.add_argument("--foreign", action="append", choices=sorted(foreign.MACHINES), default=[], help=HELP)
    given = asked.parse_args()
    with tempfile.TemporaryDirectory() as made:
        places = [Path(made) / name for name in ("first", "a-second-place")]
        for place in places:
            place.mkdir()
        files = [build(place) for place in places]
        digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
        sboms = {file.with_name("ftgate.pyz.cdx.json").read_text() for file in files}
        right = len(set(digests)) == len(sboms) == 1
        print(f"two builds: {'one' if right else 'FAILED: more than one'} hash, {digests[0]}", flush=True)
        wrong = looked.faults(files[0])
        size = files[0].stat().st_size / 1e6
        print("\n".join(wrong) or f"every target has its modules; {size:.1f} MB", flush=True)
        own_machine = "amd64" if platform.machine() == "x86_64" else "arm64"
        native = [machine for machine in given.foreign if machine == own_machine or machine == "arm64"]
        right = own(files[0], Path(made), given.python or pythons()) and right and not wrong
        right = others(files[0], native) and right
    print("1 passed, 0 failed" if right else "0 passed, 1 failed")
    sys.exit(not right)


if __name__ == "__main__":
    main()
