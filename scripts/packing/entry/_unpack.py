"""Unpacks the one file: what _onefile needs at a first start alone."""

import fcntl
import io
import os
import py_compile
import re
import shutil
import sys
import zipfile
from collections.abc import Sequence

import _build

COUNT = "files"
"""Lies in the folder beside the modules and holds their number."""
LATER = ("stripe/", "httpx/", "anyio/")
"""Compiled when they are loaded, which payments alone do, and of few of their many modules."""
MOST = 8
"""Processes that compile at once, at the most."""
_OURS = re.compile(r"ftgate-([0-9a-f]{16})-cpython-[\w-]+(\.[0-9a-f]{8}\.(new|old))?")


def damaged(folder: str) -> bool:
    """Whether files are missing."""
    try:
        with open(os.path.join(folder, COUNT)) as counted:
            number = int(counted.read())
    except (OSError, ValueError):
        return True
    there = os.walk(os.path.join(folder, "site-packages"))
    return number != sum(len(files) for above, _, files in there if not above.endswith("__pycache__"))


def unpack(folder: str, archive: str, target: str) -> None:
    """Make the folder, unless somebody else does while we wait. Raises OSError."""
    root = os.path.dirname(folder)
    name = f"{folder}.{os.urandom(4).hex()}"
    above = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(above, fcntl.LOCK_EX)
            clear(root)
        except OSError:
            pass  # no locks on this file system: nothing is removed
        if os.path.isdir(folder):
            if not damaged(folder):
                return
            os.rename(folder, f"{name}.old")
        if sys.stderr is not None and sys.stderr.isatty():
            sys.stderr.write(f"ftgate {_build.VERSION} unpacks itself to {root}, once\n")
        _fill(f"{name}.new", folder, archive, target)
        os.sync()  # a folder whose files a power cut has emptied must not bear the name
        try:
            os.rename(f"{name}.new", folder)
        except OSError:
            if not os.path.isdir(folder):
                raise
    finally:
        shutil.rmtree(f"{name}.new", ignore_errors=True)
        shutil.rmtree(f"{name}.old", ignore_errors=True)
        os.close(above)


def _fill(new: str, folder: str, archive: str, target: str) -> None:
    os.mkdir(new, 0o755)
    names = spill(os.path.join(new, "site-packages"), archive, target)
    places = (os.path.join(new, "site-packages"), os.path.join(folder, "site-packages"))
    compile_all(*places, [name for name in names if name.endswith(".py") and not name.startswith(LATER)])
    with open(os.path.join(new, COUNT), "w") as counted:
        counted.write(f"{len(names)}\n")


def clear(root: str) -> None:
    """Remove what other builds unpacked, unless a process runs from it, and what is left of an unpacking that was
    killed; nothing else. The root is locked. Raises OSError where it cannot be read."""
    for name in os.listdir(root):
        found, path = _OURS.fullmatch(name), os.path.join(root, name)
        if found is None or (found[1] == _build.ID and not found[2]):
            continue
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not found[2]:  # whoever comes for it now finds none
                os.rename(path, path := f"{path}.{os.urandom(4).hex()}.old")
            shutil.rmtree(path, ignore_errors=True)
        except OSError:
            pass  # in use, or not ours to remove
        finally:
            os.close(descriptor)


def spill(site: str, archive: str, target: str) -> list[str]:
    """Write the modules of this target into a folder; gives their names."""
    names, made = [], set()
    with zipfile.ZipFile(archive) as whole:
        for part in ("common.zip", f"native/{target}.zip"):
            with zipfile.ZipFile(io.BytesIO(whole.read(part))) as inner:
                for name in inner.namelist():
                    path = os.path.join(site, name)
                    if (above := os.path.dirname(path)) not in made:
                        os.makedirs(above, exist_ok=True)
                        made.add(above)
                    with open(path, "wb") as written:
                        written.write(inner.read(name))
                    names.append(name)
    return names


def compile_all(site: str, later: str, names: Sequence[str]) -> None:
    """Compile these modules, by one process for each processor. `later` is where they will lie."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    number = min(processors, MOST)
    first, *others = [names[start::number] for start in range(number)]
    children: dict[int, Sequence[str]] = {}
    try:
        for share in others:
            child = os.fork()  # nothing runs beside us yet
            if child == 0:
                status = 1
                try:
                    _compile(site, later, share)
                    status = 0
                finally:
                    os._exit(status)
            children[child] = share
        _compile(site, later, first)
    finally:
        failed = [share for child, share in children.items() if os.waitpid(child, 0)[1]]
    for share in failed:
        _compile(site, later, share)  # raises what stopped the other


def _compile(site: str, later: str, names: Sequence[str]) -> None:
    taken = py_compile.PycInvalidationMode.UNCHECKED_HASH
    for name in names:
        try:
            py_compile.compile(f"{site}/{name}", dfile=f"{later}/{name}", doraise=True, invalidation_mode=taken)
        except py_compile.PyCompileError:
            pass  # written for another Python: nothing loads it here
