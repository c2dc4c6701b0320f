"""`python -m scripts.auditing`, which scripts/audit calls with a Python that has pip-audit."""

import argparse
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from scripts.auditing import advisories, locked
from scripts.packing import lock

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 300


def _run(*command: str) -> str:
    """What a command of pip's wrote on standard error; its end is told by what it left behind."""
    done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, timeout=LIMIT_S)
    return (done.stderr.strip().splitlines() or [""])[-1]


def wheels(file: Path, folder: Path) -> int:
    """Whether all of a lock file come as wheels of its hashes: 0, 1, or 3 where no registry could be asked."""
    report = folder / "report.json"
    last = _run(
        "pip", "install", "--quiet", "--disable-pip-version-check", "--dry-run", "--ignore-installed", "--no-deps",
        "--only-binary", ":all:", "--require-hashes", "--report", str(report), "-r", str(file),
    )  # fmt: skip
    pins = lock.read(file.read_text())
    if not report.exists():
        print(f"{file.name}: {len(pins)} packages with hashes; their wheels could not be looked for: {last[:200]}")
        return 3
    told = locked.faults(pins, report.read_text())
    print(f"{file.name}: {len(pins)} packages, {'all with hashes and wheels' if not told else 'of which'}")
    for fault in told:
        print(f"  {fault}")
    return 1 if told else 0


def known(file: Path, folder: Path) -> int:
    """What is known against a lock file's packages: 0, 1, or 3 where neither service could be asked."""
    for service in ("pypi", "osv"):
        answer = folder / f"{service}.json"
        last = _run(
            "pip_audit", "-r", str(file), "--require-hashes", "--disable-pip", "--progress-spinner", "off",
            "-s", service, "-f", "json", "-o", str(answer),
        )  # fmt: skip
        if not answer.exists():
            print(f"{file.name}: the service {service} could not be asked: {last[:120]}")
            continue
        said = advisories.read(answer.read_text())
        for one in said.known:
            print(f"  {one}")
        if said.code != 3:
            print(f"{file.name}: {said.asked} packages asked about ({service}), {len(said.known)} advisories")
            return said.code
        print(f"{file.name}: {service} answered nothing of {len(said.unanswered)} of {said.asked} packages")
    return 3


def main() -> int:
    asked = argparse.ArgumentParser(description="Look at what is locked: hashes, wheels, and what is known against it.")
    asked.add_argument("names", nargs="*", default=["run"], help="lock files: run (as ever), test, schema")
    codes = []
    with TemporaryDirectory() as folder:
        for name in asked.parse_args().names:
            file = ROOT / "scripts/lock" / f"{name}.txt"
            codes += [wheels(file, Path(folder)), known(file, Path(folder))]
            for left in Path(folder).iterdir():
                left.unlink()
    if 3 in codes:
        print("NOT AUDITED: what could not be asked about above is not known to be good")
    return 1 if 1 in codes else max(codes)


if __name__ == "__main__":
    sys.exit(main())
