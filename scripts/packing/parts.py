"""Which files of which packages serve, and how those of several wheels come together."""

import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

NATIVE = ("httptools", "markupsafe", "msgspec")
"""Packages with compiled modules, of which each target has a wheel of its own."""
SPARED = ("markupsafe",)
"""Those of them that do the same in Python where a target has no wheel."""
LEFT_OUT = {
    "pip": "sqlite-utils' command installs plugins with it",
    "click-default-group": "sqlite-utils' command alone",
    "tabulate": "sqlite-utils' command alone",
    "requests": "one of the HTTP clients that stripe takes; ours is httpx",
    "urllib3": "under requests",
    "charset-normalizer": "under requests",
    "pygments": "rich's source listings and Markdown, and httpx's command, which httpx loads where it can",
}
"""Packages of the lock file that nothing of ours loads, and what would."""
UNUSED = {"stripe/params/": "names of types, for type checkers alone"}
"""Parts of packages that nothing loads when ftgate runs."""

_SOURCES = {".pyi", ".pyx", ".pxd", ".pxi", ".c", ".h", ".cc", ".cpp", ".typed", ".exe", ".pyc"}
_TESTS = {"tests", "_tests"}
_LICENCE = re.compile(r"(?i)(licen[cs]e|copying|notice|authors|copyright)")
_LIBRARY = re.compile(r"\.(so(\.\d+)*|dylib)$")

Files = dict[str, bytes]


class Differ(ValueError):
    """Two wheels of one version have a common file with different contents."""


def serves(name: str) -> bool:
    """Whether a file of a wheel is needed when ftgate runs, or is a licence. Raises ValueError at what the one file
    has no place for."""
    path = PurePosixPath(name)
    top = path.parts[0]
    if top.endswith(".dist-info"):  # versions are asked for by some packages; licences must go along
        return name == f"{top}/METADATA" or path.parts[1] == "licenses" or bool(_LICENCE.match(path.name))
    if top.endswith(".data"):
        if path.parts[1] in {"purelib", "platlib"}:
            raise ValueError(f"{name}: the one file knows no modules in {path.parts[1]}")
        return False
    if path.suffix in _SOURCES or not _TESTS.isdisjoint(path.parts[:-1]):
        return False
    return not name.startswith(tuple(UNUSED))


def native(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(_LIBRARY.search(path.name)) or path.parts[0].endswith(".libs") or ".dylibs" in path.parts


def contents(wheel: Path) -> Iterator[tuple[str, bytes]]:
    """The files of a wheel that serve."""
    with zipfile.ZipFile(wheel) as opened:
        for entry in opened.infolist():
            if not entry.is_dir() and serves(entry.filename):
                yield entry.filename, opened.read(entry)


def add(files: Files, name: str, data: bytes, wheel: str) -> None:
    """Raises Differ where another wheel has said otherwise."""
    if files.setdefault(name, data) != data:
        raise Differ(f"{name} of {wheel} differs from that of another wheel")


def merge(pure: Iterable[Path], compiled: Mapping[str, Iterable[Path]]) -> tuple[Files, dict[str, Files]]:
    """The common files of all wheels, and the native ones of each target. Raises Differ, ValueError."""
    common: Files = {}
    natives: dict[str, Files] = {target: {} for target in compiled}
    for wheel in pure:
        for name, data in contents(wheel):
            if native(name):
                raise ValueError(f"{wheel.name} has {name}: its package is not named as compiled")
            add(common, name, data, wheel.name)
    for target, wheels in compiled.items():
        for wheel in wheels:
            for name, data in contents(wheel):
                add(natives[target] if native(name) else common, name, data, wheel.name)
    return common, natives


def misnamed(natives: Files, suffix: str) -> list[str]:
    """Extension modules that the target's Python would not take, or would share with another."""
    return [name for name in natives if name.endswith(".so") and ".libs/" not in name and not name.endswith(suffix)]
