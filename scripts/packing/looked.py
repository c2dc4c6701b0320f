"""What lies in a one file, read from the file itself: whether each target has all its modules, for its processor."""

import io
import struct
import zipfile
from pathlib import Path

from scripts.packing import parts
from scripts.packing.targets import TARGETS, Target

_ELF = {62: "x86_64", 183: "aarch64"}
_MACH = {0x01000007: "x86_64", 0x0100000C: "arm64"}


def processors(module: bytes) -> set[str]:
    """What a compiled module runs on. Empty for what is neither ELF nor Mach-O of 64 bits."""
    if module[:6] == b"\x7fELF\x02\x01":
        return {_ELF.get(struct.unpack_from("<H", module, 18)[0], "other")}
    if module[:4] == b"\xcf\xfa\xed\xfe":
        return {_MACH.get(struct.unpack_from("<I", module, 4)[0], "other")}
    if module[:4] == b"\xca\xfe\xba\xbe":
        number = struct.unpack_from(">I", module, 4)[0]
        return {_MACH.get(struct.unpack_from(">I", module, 8 + 20 * each)[0], "other") for each in range(number)}
    return set()


def faults(file: Path) -> list[str]:
    """Each thing that is missing or wrong, in a line; none for a file that is right."""
    found: list[str] = []
    with zipfile.ZipFile(file) as whole:
        names = {name for name in whole.namelist() if name.startswith("native/")}
        found += [f"{name} is missing" for name in {f"native/{target.name}.zip" for target in TARGETS} - names]
        common = zipfile.ZipFile(io.BytesIO(whole.read("common.zip"))).namelist()
        of_all: dict[str, set[str]] = {}
        for target in TARGETS:
            if f"native/{target.name}.zip" in names:
                with zipfile.ZipFile(io.BytesIO(whole.read(f"native/{target.name}.zip"))) as inner:
                    modules, wrong = _of(target, inner)
                found += wrong
                of_all[target.name] = modules
    most = set[str]().union(*of_all.values())
    found += [f"{name} lacks {one}" for name, those in of_all.items() for one in sorted(most - those)]
    found += [f"no target has {name}" for name in parts.NATIVE if not any(one.startswith(f"{name}/") for one in most)]
    found += [f"{name} does not serve" for name in common if not parts.serves(name)]
    licensed = {name.partition("/")[0] for name in common if ".dist-info/" in name and not name.endswith("/METADATA")}
    told = {name.partition("/")[0] for name in common if name.endswith(".dist-info/METADATA")}
    return found + [f"{name} has no licence's text" for name in sorted(told - licensed)]


def _of(target: Target, inner: zipfile.ZipFile) -> tuple[set[str], list[str]]:
    """The modules of a target by name without suffix, and what is wrong with them."""
    modules, wrong = set(), []
    for name in inner.namelist():
        if not name.endswith(target.suffix):
            wrong.append(f"{target.name}: {name} does not end with {target.suffix}")
        elif target.processor not in processors(inner.read(name)):
            wrong.append(f"{target.name}: {name} is for another processor")
        else:
            modules.add(name.removesuffix(target.suffix))
    return modules, wrong
