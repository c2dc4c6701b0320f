"""The one file itself: the same bytes from the same parts.

Shiv writes it. Its own entry stays out: that unpacks the modules of every platform, compiles them for the Python that
comes first, and cannot tell an unpacked tree that is in use from an old one; what lies in `entry` does instead.
"""

import hashlib
import io
import os
import time
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from shiv.builder import write_file_prefix, write_to_zipapp

from scripts.packing.parts import Files
from scripts.packing.targets import Target

ENTRY = Path(__file__).with_name("entry")
INTERPRETER = "/usr/bin/env python3"
EPOCH_S = 1767225600
"""When every file in it was made, where SOURCE_DATE_EPOCH says nothing else: 2026-01-01."""


def _moment() -> tuple[int, int, int, int, int, int]:
    return time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH", EPOCH_S)))[:6]


def zipped(files: Files, *, runs: bool = False) -> bytes:
    """A zip of these files in the order of their names. `runs`: a Python is named before it, so that a shell can start
    it."""
    written = io.BytesIO()
    if runs:
        write_file_prefix(written, INTERPRETER)
    with zipfile.ZipFile(written, "a" if runs else "w") as archive:
        for name in sorted(files):
            kind = zipfile.ZIP_STORED if name.endswith(".zip") else zipfile.ZIP_DEFLATED
            write_to_zipapp(archive, name, files[name], _moment(), kind)
    return written.getvalue()


def build_id(parts: Mapping[str, Files]) -> str:
    """Names what is inside: 16 hex digits."""
    whole = hashlib.sha256()
    for part in sorted(parts):
        for name in sorted(parts[part]):
            whole.update(f"{part}\0{name}\0{hashlib.sha256(parts[part][name]).hexdigest()}\n".encode())
    return whole.hexdigest()[:16]


def needed(common: Files, natives: Mapping[str, Files]) -> int:
    """Megabytes that one target takes on a disk, with its compiled modules and in blocks of 4 KB, roughly."""
    largest = max(natives.values(), key=lambda files: sum(map(len, files.values())))
    each = [(len(data) + 4095) // 4096 * 4096 for data in (*common.values(), *largest.values())]
    return sum(each) * 2 // 1_000_000 + 1


def made(version: str, targets: Iterable[Target], common: Files, natives: Mapping[str, Files]) -> bytes:
    """The one file."""
    targets = list(targets)
    pythons = sorted({tuple(map(int, target.python.split("."))) for target in targets})
    entry = {path.name: path.read_bytes() for path in sorted(ENTRY.glob("*.py"))}
    about = {
        "VERSION": version,
        "ID": build_id({"entry": entry, "common": common, **natives}),
        "MEGABYTES": needed(common, natives),
        "PYTHONS": tuple(pythons),
        "TARGETS": tuple(sorted(target.name for target in targets)),
    }
    lines = [
        "# What this file holds, as its builder wrote it.",
        *(f"{name} = {said!r}" for name, said in about.items()),
    ]
    entry["_build.py"] = ("\n".join(lines) + "\n").encode()
    inner = {f"native/{name}.zip": zipped(files) for name, files in natives.items()}
    return zipped({**entry, "common.zip": zipped(common), **inner}, runs=True)
