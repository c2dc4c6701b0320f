"""Which files a config was read from, and whether they are still the same."""

from collections.abc import Iterable, Mapping
from pathlib import Path

Stamp = tuple[int, int, int, int] | None
"""When a file was last written and when its rights were changed (ns), its size, and which file it is; None where there
is none that can be seen. One that could not be read is worth another try when its rights are others."""
Stamps = Mapping[Path, Stamp]


def stamp(path: Path) -> Stamp:
    """Taken before a file is read, so that a change in between shows."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


def look(paths: Iterable[Path]) -> Stamps:
    return {path: stamp(path) for path in paths}
