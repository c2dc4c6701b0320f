"""Whether the files of an open database are still those that stand under their names.

A file that was removed or replaced goes on to take what is written, and with the last process that has it open all of
it is gone. So a house looks, often and by inode, and serves no more when its files are not there.
"""

from pathlib import Path


def identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of what stands there; None where nothing does. Raises OSError."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino


class OwnFiles:
    """A database's file, its write-ahead log and its shared memory: while a connection is open, none of them ever
    changes its inode."""

    def __init__(self, database: Path) -> None:
        self.known: dict[Path, tuple[int, int] | None] = dict.fromkeys(
            (database, database.with_name(f"{database.name}-wal"), database.with_name(f"{database.name}-shm"))
        )

    def __repr__(self) -> str:
        return f"<OwnFiles {', '.join(path.name for path, known in self.known.items() if known)}>"

    def moved(self) -> str | None:
        """What is wrong, in words. A file counts from when it is seen first: call it once when the database is open.
        None where the system does not say."""
        for path, known in self.known.items():
            try:
                found = identity(path)
            except OSError:
                return None
            if known is None:
                self.known[path] = found
            elif found is None:
                return f"{path} is gone"
            elif found != known:
                return f"another file stands in the place of {path}"
        return None
