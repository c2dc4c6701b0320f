"""Which channels are switched off, as the database has it: for commands beside no server."""

import sqlite3
from pathlib import Path

from ftgate.store.database import DatabaseFault, read_only
from ftgate.store.schema import show_newest


def switched_off(path: Path) -> set[str]:
    """Their names. Raises DatabaseFault."""
    try:
        connection = read_only(path)
        try:
            show_newest(connection)
            return {name for (name,) in connection.execute("SELECT channel FROM switches WHERE NOT enabled")}
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise DatabaseFault(f"{path} cannot be read: {error}") from error
