"""`python -m scripts.packing`, which scripts/build calls: makes the one file, its hash and what it is made of."""

import argparse
import hashlib
import re
import sys
import tomllib
from pathlib import Path

from scripts.packing import archive, lock, own, parts, sbom, targets, wheels

ROOT = Path(__file__).resolve().parents[2]


def say(line: str) -> None:
    print(line, file=sys.stderr)


def build(out: Path, store: Path, chosen: list[targets.Target]) -> None:
    """Write the one file for these targets, its .sha256 and its .cdx.json. Raises Missing, Differ, ValueError."""
    pins = [pin for pin in lock.read((ROOT / "scripts/lock/run.txt").read_text()) if pin.name not in parts.LEFT_OUT]
    pure = wheels.fetch(store / wheels.ANY, [pin for pin in pins if pin.name not in parts.NATIVE], None)
    compiled = {}
    for target in chosen:
        wanted = [pin for pin in pins if pin.name in parts.NATIVE]
        compiled[target.name] = wheels.of_target(store, wanted, target, parts.SPARED, say)
    common, natives = parts.merge(pure, compiled)
    for target in chosen:
        if wrong := parts.misnamed(natives[target.name], target.suffix):
            raise ValueError(f"{target.name}: {wrong[0]} does not end with {target.suffix}")
    for name, data in own.files(ROOT).items():
        parts.add(common, name, data, "ftgate")
    if shadows := {name.partition("/")[0].removesuffix(".py") for name in common} & sys.stdlib_module_names:
        raise ValueError(f"{min(shadows)} would hide a module of Python's own")
    version = own.version(ROOT)
    made = archive.made(version, chosen, common, natives)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needs = [lock.normal(re.split(r"[^A-Za-z0-9._-]", one, maxsplit=1)[0]) for one in project["dependencies"]]
    used = [*pure, *(wheel for found in compiled.values() for wheel in found)]
    out.parent.mkdir(parents=True, exist_ok=True)
    written = out.with_name(out.name + ".new")
    written.write_bytes(made)
    written.chmod(0o755)
    written.replace(out)
    out.with_name(out.name + ".sha256").write_text(f"{hashlib.sha256(made).hexdigest()}  {out.name}\n")
    out.with_name(out.name + ".cdx.json").write_text(sbom.document(version, made, pins, common, used, needs))


def main() -> None:
    asked = argparse.ArgumentParser(prog="scripts/build", description="Make ftgate's one file.")
    asked.add_argument("--here", action="store_true", help="only for this platform and Python: quicker")
    asked.add_argument("--output", type=Path, default=ROOT / "dist" / "ftgate.pyz", help="[default: dist/ftgate.pyz]")
    asked.add_argument("--wheels", type=Path, default=ROOT / "build" / "wheels", help="where downloads are kept")
    given = asked.parse_args()
    try:
        build(given.output, given.wheels, [targets.here()] if given.here else list(targets.TARGETS))
    except (wheels.Missing, ValueError, LookupError) as fault:
        sys.exit(f"scripts/build: {fault}")
    say(str(given.output))


if __name__ == "__main__":
    main()
