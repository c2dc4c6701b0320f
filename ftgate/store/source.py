"""Where a ledger's tables are: in a file of this machine, or on a PostgreSQL that several gateways share."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

SCHEMES = ("postgresql", "postgres")
_HOST = r"(?:[\w.%-]*|\[[0-9A-Fa-f:.%]+\])(?::[0-9]*)?"
_URL = re.compile(rf"postgres(?:ql)?://(?:[^@/?#]*@)?({_HOST}(?:,{_HOST})*(?:/[^@/?#]*)?)(?:\?.*)?")


class Postgres:
    """A PostgreSQL database by its URL, postgresql://user:password@host:port/name. The URL holds a password: whatever
    is shown of this, is shown without that."""

    __slots__ = ("url",)

    def __init__(self, url: str) -> None:
        self.url = url

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Postgres) and other.url == self.url

    def __hash__(self) -> int:
        return hash(self.url)

    def __str__(self) -> str:
        return f"postgresql://{self._place()}"

    @property
    def readable(self) -> bool:
        """Whether it is plain what of the URL is the user's part: a password with / or @ as they are is not."""
        return bool(self._place())

    def _place(self) -> str:
        """Hosts and name; "" where a part of a password might be among them."""
        found = _URL.fullmatch(self.url)
        return found[1] if found is not None else ""

    def __repr__(self) -> str:
        return f"<Postgres {self}>"


Source = Path | Postgres


class Cursor(Protocol):
    """What a statement found, row by row, or how many rows it changed."""

    @property
    def description(self) -> Any: ...

    @property
    def rowcount(self) -> int: ...

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...

    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """What is read by: sqlite3's connection, or PostgreSQL's (store/postgres/connection.py). SQL is SQLite's in words
    that both know; errors are sqlite3.Error either way."""

    @property
    def in_transaction(self) -> bool: ...

    def execute(self, sql: str, parameters: Any = ..., /) -> Cursor: ...

    def close(self) -> object: ...
