"""A connection to PostgreSQL that is used as one to SQLite: the few methods of sqlite3.Connection that ftgate calls,
with SQL of ours (store/postgres/dialect.py says it in PostgreSQL's words) and rows of ints, floats, texts and bytes.

Reads are short, and connecting takes some milliseconds: connections that only read are kept, a few for each source.
"""

import selectors
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from ftgate.errors import DatabaseBusy
from ftgate.store.postgres.dialect import Values, bound
from ftgate.store.source import Postgres

if TYPE_CHECKING:
    import psycopg
    from psycopg.abc import PQGen
    from psycopg.adapt import AdaptersMap

CONNECT_TIMEOUT_S = 2
"""How long connecting may take."""
READ_TIMEOUT_S = 10.0
"""How long one statement may take that only reads."""
SILENT_S = 2.0
"""After so long without a word it is asked, on another connection, whether the server still answers anybody: its own
limits end what takes long there, and nothing would end the waiting for one that stands still."""
BUSY = frozenset(
    {"57P03", "57P01", "57P02", "53300", "08000", "08001", "08003", "08004", "08006", "57014", "25P03", "57P05"}
)
"""SQLSTATEs of a server that is not there, or not yet, or has no time: the same may be answered in a moment."""
IN_NEED = frozenset({"08", "53", "57", "58"})
"""Classes of them: also what it has no memory, disk or connection for, and what fails it."""
SESSION = {
    "timezone": "UTC", "standard_conforming_strings": "on", "client_min_messages": "error", "bytea_output": "hex",
    "jit": "off", "random_page_cost": "1.1",
}  # fmt: skip
KEPT = 4
"""Connections that are kept for reads of one source while nobody reads: as many as pages are read at a time at most
times."""


class PostgresError(sqlite3.OperationalError):
    """What PostgreSQL, or the way to it, said. Whoever expects an error of SQLite gets it as one; `sqlstate` is
    PostgreSQL's code, if it gave one. Neither the URL nor a value is in its text."""

    def __init__(self, text: str, sqlstate: str | None = None) -> None:
        super().__init__(text)
        self.sqlstate = sqlstate


class SettingRefused(PostgresError):
    """The server does not take one of our settings: that does not mend itself."""


class Silent(PostgresError, DatabaseBusy):
    """The server cannot be reached, or gives no answer in time: whoever asked over HTTP may come again."""

    def __init__(self, text: str, sqlstate: str | None = None) -> None:
        DatabaseBusy.__init__(self, "the database gives no answer in time: try again in a moment")
        self.args = (text,)
        self.sqlstate = sqlstate


def connect(source: Postgres, *, readonly: bool, timeout_s: float = READ_TIMEOUT_S) -> "Connection":
    """A connection; with `readonly` one that may have been used before. `timeout_s` is for each statement. What is
    begun with BEGIN and only reads, sees one moment. The caller closes it. Raises PostgresError."""
    if readonly and timeout_s == READ_TIMEOUT_S:
        kept = _taken(source)
        return Connection(source, kept or _connected(source, readonly, timeout_s), pooled=True, used=kept is not None)
    return Connection(source, _connected(source, readonly, timeout_s), pooled=False, used=False)


class Connection:
    """What execute() is given takes effect at once, or at the COMMIT of what a BEGIN began."""

    def __init__(self, source: Postgres, raw: "psycopg.Connection[Any]", *, pooled: bool, used: bool) -> None:
        self.source = source
        self._raw: psycopg.Connection[Any] | None = raw
        self._pooled = pooled
        self._stale = used  # it may have been cut off since it was used last, and nothing was read on it yet

    def __repr__(self) -> str:
        state = "closed" if self._raw is None else "in a transaction" if self.in_transaction else "idle"
        return f"<Connection to {self.source}: {state}>"

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def execute(self, sql: str, values: Values = (), /) -> "Cursor":
        """Raises PostgresError."""
        return self._told(bound(sql, values).encode())

    def script(self, sql: str) -> None:
        """Statements in PostgreSQL's own words, in one transaction. Raises PostgresError."""
        self._told(sql.encode())

    def _told(self, text: bytes) -> "Cursor":
        import psycopg

        if self._raw is None:
            raise PostgresError("the connection is closed")
        stale, self._stale = self._stale, False
        try:
            return Cursor(self._raw.execute(text))
        except psycopg.Error as error:
            if not (stale and self._raw.broken):
                raise _said(error) from None
        close_idle(self.source)
        self._raw = _connected(self.source, True, READ_TIMEOUT_S)
        try:
            return Cursor(self._raw.execute(text))
        except psycopg.Error as error:
            raise _said(error) from None

    def tries(self, settings: Mapping[str, str]) -> None:
        """Whether the server would take them; none stays set. Not within a transaction. Raises PostgresError."""
        import psycopg

        self.execute("BEGIN")
        assert self._raw is not None
        try:
            _set(self._raw, settings)
            self._raw.rollback()
        except SettingRefused:
            self._raw.rollback()
            raise
        except psycopg.Error as error:
            raise _said(error) from None

    def put(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """What a COPY FROM STDIN takes, row by row. Raises PostgresError, and what `rows` raises."""
        import psycopg

        assert self._raw is not None
        try:
            with self._raw.cursor() as cursor, cursor.copy(sql.encode()) as copy:
                for row in rows:
                    copy.write_row(row)
        except psycopg.Error as error:
            raise _said(error) from None

    def get(self, sql: str) -> Iterator[tuple[Any, ...]]:
        """The rows of a query, by a COPY: as they come, and however many. Nothing else may be asked before the end.
        Raises PostgresError."""
        import psycopg

        assert self._raw is not None
        try:
            with self._raw.cursor() as cursor:
                found = cursor.execute(f"{sql} LIMIT 0".encode()).description or ()
                with cursor.copy(f"COPY ({sql}) TO STDOUT".encode()) as copy:
                    copy.set_types([column.type_code for column in found])
                    yield from copy.rows()
        except psycopg.Error as error:
            raise _said(error) from None

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction stands open, be it one that has failed."""
        if self._raw is None:
            return False
        return self._raw.info.transaction_status.name in ("ACTIVE", "INTRANS", "INERROR")

    def close(self) -> None:
        """What was not committed is undone."""
        raw, self._raw = self._raw, None
        if raw is None:
            return
        if self._pooled and _kept(self.source, raw):
            return
        raw.close()


class Cursor:
    """The rows that a statement found, or how many it changed."""

    def __init__(self, raw: "psycopg.Cursor[Any]") -> None:
        self._raw = raw
        self.rowcount = raw.rowcount

    @property
    def description(self) -> list[tuple[str]]:
        """The columns' names, each in a tuple."""
        return [(column.name,) for column in self._raw.description or ()]

    def fetchone(self) -> Any:
        """The next row; None at the end."""
        return self._raw.fetchone() if self._raw.description else None

    def fetchall(self) -> list[Any]:
        return self._raw.fetchall() if self._raw.description else []

    def __iter__(self) -> Iterator[Any]:
        return iter(self.fetchall())


def _connected(source: Postgres, readonly: bool, timeout_s: float) -> "psycopg.Connection[Any]":
    import psycopg

    settings = {**SESSION, "statement_timeout": str(round(timeout_s * 1000))}
    if readonly:  # a transaction that only reads sees one moment, as SQLite's does
        settings |= {"default_transaction_read_only": "on", "default_transaction_isolation": "repeatable read"}
    try:
        raw = connected(
            _reaching(source.url), settings, cursor_factory=psycopg.ClientCursor, context=_adapters(),
            connect_timeout=CONNECT_TIMEOUT_S, application_name="ftgate", client_encoding="utf8",
        )  # fmt: skip
        raw.bound(source, timeout_s + SILENT_S)
    except psycopg.ProgrammingError:  # its text shows the URL
        raise PostgresError(f"the URL of {source} cannot be read") from None
    except psycopg.Error as error:
        raise _said(error) from None
    return raw  # type: ignore[no-any-return]


def connected(conninfo: str, settings: Mapping[str, str], **how: Any) -> Any:
    """psycopg's connection, without transactions of its own and with these settings: by a statement, since an `options`
    of the URL would be put aside, and poolers do not take it. Where it fails none is left open. Raises psycopg.Error,
    SettingRefused."""
    raw = _impatient().connect(conninfo, autocommit=True, **how)
    try:
        _set(raw, settings)
    except BaseException:
        raw.close()
        raise
    return raw


def _set(raw: "psycopg.Connection[Any]", settings: Mapping[str, str]) -> None:
    """Raises psycopg.Error, SettingRefused."""
    import psycopg

    try:
        raw.execute(set_sql(settings).encode())
    except psycopg.Error as error:
        if raw.closed or error.sqlstate is None or error.sqlstate[:2] in IN_NEED:
            raise
        words = " ".join((error.diag.message_primary or str(error)).split())
        named = [name for name in settings if name in words.lower()]
        which = max(named, key=len, default=f"one of {', '.join(settings)}")
        raise SettingRefused(
            f"PostgreSQL {(raw.info.parameter_status('server_version') or 'unknown').split()[0]} refuses the setting"
            f" {which} ({words}). ftgate needs one that takes it: PostgreSQL's own server, 14 or newer; where it is a"
            " right that is missing, GRANT SET ON PARAMETER to ftgate's user",
            error.sqlstate,
        ) from None


def set_sql(settings: Mapping[str, str]) -> str:
    """The statements that set them."""
    return "; ".join(f"SET {name} = '{value}'" for name, value in settings.items())


@cache
def _reaching(url: str) -> str:
    """Of several servers the one that takes changes, where the URL does not say which: what a standby shows may be
    old."""
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    wanted = conninfo_to_dict(url).get("target_session_attrs") or "read-write"
    return make_conninfo(url, target_session_attrs=wanted)


@cache
def _impatient() -> Any:
    """psycopg's connection, made such that it waits for no server that stands still."""
    import psycopg

    class Impatient(psycopg.Connection[Any]):
        source: Postgres | None = None
        most_s = CONNECT_TIMEOUT_S + SILENT_S

        def bound(self, source: Postgres, most_s: float) -> None:
            """One statement takes `most_s` at the most."""
            self.source, self.most_s = source, most_s

        def wait(self, gen: "PQGen[Any]", *limits: Any, **more: Any) -> Any:
            """As psycopg's, which waits for ever. Raises OperationalError, and is closed then."""
            try:
                wanted = next(gen)
                while True:
                    silent_s = 0.0
                    with selectors.DefaultSelector() as selector:
                        selector.register(self.fileno(), wanted)
                        while not (ready := selector.select(SILENT_S)):
                            silent_s += SILENT_S
                            if silent_s >= self.most_s or not _answers(self.source):
                                self.close()
                                raise psycopg.OperationalError("it does not answer")
                    wanted = gen.send(ready[0][1])
            except StopIteration as done:
                return done.value

    return Impatient


def _answers(source: Postgres | None) -> bool:
    """Whether the server still speaks to anybody, be it to say no."""
    import psycopg

    if source is None:
        return True
    try:
        psycopg.connect(source.url, connect_timeout=CONNECT_TIMEOUT_S).close()
    except psycopg.errors.ConnectionTimeout:
        return False
    except psycopg.Error:
        pass
    return True


@cache
def _adapters() -> "AdaptersMap":
    """What makes of PostgreSQL's values what SQLite has: sums are whole numbers, flags 0 and 1."""
    from psycopg import adapters
    from psycopg.adapt import AdaptersMap, Buffer, Loader

    class Number(Loader):
        def load(self, data: Buffer) -> int | float:
            text = bytes(data)
            return int(text) if text.lstrip(b"-").isdigit() else float(text)

    class Flag(Loader):
        def load(self, data: Buffer) -> int:
            return int(bytes(data) == b"t")

    found = AdaptersMap(adapters)
    found.register_loader("numeric", Number)
    found.register_loader("bool", Flag)
    return found


def _said(error: "psycopg.Error") -> PostgresError:
    """Without what PostgreSQL adds of the statement and its values."""
    from psycopg import OperationalError

    words = error.diag.message_primary or str(error)
    gone = error.sqlstate in BUSY if error.sqlstate else isinstance(error, OperationalError)
    return (Silent if gone else PostgresError)(f"PostgreSQL: {' '.join(words.split())}", error.sqlstate)


_idle: dict[Postgres, list["psycopg.Connection[Any]"]] = {}
_lock = threading.Lock()


def _taken(source: Postgres) -> "psycopg.Connection[Any] | None":
    with _lock:
        known = _idle.get(source)
        return known.pop() if known else None


def _kept(source: Postgres, raw: "psycopg.Connection[Any]") -> bool:
    """Put it back, if it is as good as new and there is room."""
    import psycopg

    if raw.closed:
        return False
    if raw.info.transaction_status.name != "IDLE":
        with suppress(psycopg.Error):
            raw.rollback()
        if raw.closed or raw.info.transaction_status.name != "IDLE":
            return False
    with _lock:
        known = _idle.setdefault(source, [])
        if len(known) >= KEPT:
            return False
        known.append(raw)
        return True


def close_idle(source: Postgres) -> None:
    """Close the connections that are kept for reads: where one was found cut off, the others most likely are too."""
    with _lock:
        known = _idle.pop(source, [])
    for raw in known:
        raw.close()
