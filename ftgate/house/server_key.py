"""The server's own secret: 32 random bytes in a file of the data directory, made at the first start. Login tokens are
signed with it, and fingerprints of callers' keys made; each use takes a key of its own from it."""

import os
import secrets
from pathlib import Path

from ftgate.store.owner import keep_owner

NAME = "server.key"
SIZE = 32


def server_key(data_dir: Path) -> bytes:
    """Read it, or make it: then no login token of before holds any more. Raises OSError, also for a file that is not
    one of ours."""
    path = data_dir / NAME
    if not path.exists():
        _make(path)
    key = path.read_bytes()
    if why := _bent(path, key):
        raise OSError(why)
    return key


def fault(data_dir: Path) -> str | None:
    """Why a start could not use the file that is there; None where it could, or would make one."""
    path = data_dir / NAME
    try:
        return _bent(path, path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as problem:
        return f"{path} cannot be read: {problem.strerror}"


def _bent(path: Path, key: bytes) -> str | None:
    if len(key) == SIZE:
        return None
    words = "put it back from a copy, or remove it, which signs everybody out"
    return f"{path} holds {len(key)} bytes in place of {SIZE}: {words}"


def keep_key(data_dir: Path, key: bytes) -> None:
    """Put a key in the place of the one that is there, if any. Raises OSError."""
    path = data_dir / NAME
    if not path.exists() or path.read_bytes() != key:
        _make(path, key)


def _make(path: Path, key: bytes | None = None) -> None:
    """Whole or not at all, and for this user's eyes alone."""
    half = path.with_suffix(".new")
    half.unlink(missing_ok=True)
    with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secrets.token_bytes(SIZE) if key is None else key)
        file.flush()
        os.fsync(file.fileno())
    keep_owner(half, path.parent)
    half.replace(path)
