"""The database written anew, so that nothing that was deleted stands in it any more: a job of the writer's thread."""

import math
import sqlite3
import threading


class Compaction:
    """One, if the database has `most` bytes at the most; None: whatever it has. `why` says why it was not done, in
    words, and is None where it was."""

    def __init__(self, most: int | None) -> None:
        self.most = most
        self.why: str | None = "the database takes no changes"
        self.done = threading.Event()

    def run(self, connection: sqlite3.Connection) -> None:
        """In the thread whose connection it is. Raises nothing."""
        try:
            self.why = self._compact(connection)
        except sqlite3.Error as error:
            self.why = str(error)
        finally:
            self.done.set()

    def _compact(self, connection: sqlite3.Connection) -> str | None:
        size = math.prod(connection.execute(f"PRAGMA page_{what}").fetchone()[0] for what in ("count", "size"))
        if self.most is not None and size > self.most:
            return f"it has {size // 10**6} MB, and running calls would wait for that"
        connection.execute("VACUUM")
        busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        return "somebody reads it, so its write-ahead log stays as it is" if busy else None
