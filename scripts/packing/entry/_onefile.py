"""Where the one file unpacks itself to, and how ftgate starts from there.

What is unpacked is a folder `ftgate-ID-TARGET`, whose name says all that is in it; ID stands for the contents. It comes
into being whole: it is made under another name, its files reach the disk, then it is renamed. Whoever makes or removes
one holds a lock (flock) on the folder above. Whoever runs from one holds a shared lock on it until the process ends,
and who removes it needs that lock alone. Where a file system knows no locks, two may unpack at once, the later one
takes what the first made, and nothing is removed.

Modules are compiled as they are unpacked, so that a start need not do it again where Python may write none
(PYTHONDONTWRITEBYTECODE, another user's folder); they are taken as they are, however a copy has changed files' times.
"""

import fcntl
import os
import sys
from collections.abc import Mapping

import _build

NAMED, CACHE, TEMPORARY = "named", "cache", "temporary"
_HELD: list[int] = []
"""The descriptor of the folder this process runs from: open, and so locked, until it ends."""


class Unplaced(Exception):
    """Nowhere to unpack to; the text says where was tried and why it failed."""


def roots(environ: Mapping[str, str], user: int) -> list[tuple[str, str]]:
    """Where it may unpack to, in this order: (folder, NAMED, CACHE or TEMPORARY). A folder that was named, by SHIV_ROOT
    or systemd's CacheDirectory, is the only one; the others must be closed to others."""
    named = environ.get("SHIV_ROOT") or environ.get("CACHE_DIRECTORY", "").partition(":")[0]
    if named:
        return [(os.path.abspath(os.path.expanduser(named)), NAMED)]
    cache, home = environ.get("XDG_CACHE_HOME", ""), environ.get("HOME") or os.path.expanduser("~")
    found = []
    if os.path.isabs(cache):
        found.append((os.path.join(cache, "ftgate"), CACHE))
    elif os.path.isabs(home):
        found.append((os.path.join(home, ".cache", "ftgate"), CACHE))
    temporary = [place for place in (environ.get("TMPDIR", ""), "/tmp", "/var/tmp") if os.path.isabs(place)]
    return found + [(os.path.join(place, f"ftgate-{user}"), TEMPORARY) for place in temporary]


def check(root: str, user: int) -> None:
    """Raises PermissionError where others could change what is run."""
    found = os.lstat(root)
    if os.path.islink(root) or found.st_uid != user or found.st_mode & 0o022:
        raise PermissionError(1, "it belongs to another user, or others may write there")


def place(target: str, archive: str, environ: Mapping[str, str]) -> str:
    """The folder of modules to run from; where it is missing it is unpacked. Raises Unplaced."""
    user, failed = os.geteuid(), []
    for root, kind in roots(environ, user):
        folder = os.path.join(root, f"ftgate-{_build.ID}-{target}")
        try:
            if os.path.isdir(folder):  # it may lie on a disk that cannot be written
                if kind != NAMED:
                    check(root, user)
                if hold(folder, counted=kind == TEMPORARY):
                    return os.path.join(folder, "site-packages")
            _make(root, closed=kind != NAMED)
            if kind != NAMED:
                check(root, user)
            if os.statvfs(root).f_flag & getattr(os, "ST_NOEXEC", 0):
                raise PermissionError(1, "it is mounted noexec")
            import _unpack

            _unpack.unpack(folder, archive, target)
            if hold(folder, counted=False):
                return os.path.join(folder, "site-packages")
            failed.append(f"{root} (what was unpacked has vanished)")
        except OSError as problem:
            failed.append(f"{root} ({problem.strerror or problem})")
    raise Unplaced("; ".join(failed))


def _make(root: str, *, closed: bool) -> None:
    """Raises OSError; PermissionError, too, where root would leave a folder in the home of a user, who then could not
    write there."""
    above = os.path.dirname(root)
    while not os.path.exists(above):
        above = os.path.dirname(above)
    if closed and os.geteuid() == 0 != os.stat(above).st_uid:
        raise PermissionError(1, "it is another user's")
    os.makedirs(os.path.dirname(root), exist_ok=True)
    try:
        os.mkdir(root, 0o700 if closed else 0o755)
    except FileExistsError:
        if not os.path.isdir(root):
            raise


def hold(folder: str, *, counted: bool) -> bool:
    """Whether the folder is there and whole; then it stays until this process ends. `counted` looks for each file: what
    lies in a temporary folder may have been tidied away in part."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    except OSError:
        pass  # no locks on this file system
    try:
        whole = os.path.samestat(os.fstat(descriptor), os.stat(folder)) and not (counted and _damaged(folder))
    except FileNotFoundError:
        whole = False
    if whole:
        _HELD.append(descriptor)
    else:
        os.close(descriptor)
    return whole


def _damaged(folder: str) -> bool:
    import _unpack

    lacking: bool = _unpack.damaged(folder)
    return lacking


def start(target: str) -> None:
    """Run ftgate from what is unpacked."""
    archive: str = __loader__.archive  # type: ignore[name-defined]
    try:
        site = place(target, archive, os.environ)
    except Unplaced as nowhere:
        sys.exit(
            f"ftgate: it could not be unpacked, for which it needs some {_build.MEGABYTES} MB, into {nowhere}: set "
            "SHIV_ROOT to a folder with room for it, where this user may write, and which is not mounted noexec"
        )
    except KeyboardInterrupt:
        sys.exit(130)
    sys.path[:] = [site, *(path for path in sys.path if path != archive)]
    sys.pycache_prefix = None  # the compiled modules lie beside the others
    try:
        from ftgate.cli.group import main

        main()
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in sys.stdlib_module_names:
            raise
        sys.stderr.write(
            f"ftgate: this Python ({sys.executable}) lacks {missing.name}, a module of its own: install the whole "
            "of it (Debian, Ubuntu: python3 in place of python3-minimal)\n"
        )
        sys.exit(78)
