"""Which channels are switched off, as the database has it: for commands beside no server."""

import sqlite3

from ftgate.store.database import DatabaseFault, read_only
from ftgate.store.schema import show_newest
from ftgate.store.source import Source


def switched_off(source: Source) -> set[str]:
    """Their names. Raises DatabaseFault."""
    try:
        connection = read_only(source)
        try:
            show_newest(connection)
            return {name for (name,) in connection.execute("SELECT channel FROM switches WHERE enabled = 0")}
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise DatabaseFault(f"{source} cannot be read: {error}") from error
