"""One connection to PostgreSQL on Trio: libpq in pipeline mode, by psycopg's documented wrapper of it.

Several statements go out in one flush and their answers come back together: a *trip*. Statements are prepared at their
first use. Only one task may use a connection, and whoever is cancelled in the middle of a trip closes it, since nobody
can know what it is at.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec
import trio

from ftgate.store.postgres.connection import connected
from ftgate.store.postgres.dialect import storable

if TYPE_CHECKING:
    from psycopg.pq.abc import PGconn, PGresult

CONNECT_S = 2.0
TAKE_S = 0.05
"""How long it is waited to send more, before what has come in meanwhile is taken."""
Value = int | str | bytes | None
"""What a parameter may be; flags are 0 and 1."""
_INTS, _BYTEA = frozenset({20, 21, 23}), 17


class Away(Exception):
    """The database cannot be reached, or does not answer in time; whether what was sent last is in, is not known."""


class Rejected(Exception):
    """The database did not do what was sent: nothing of that transaction is in. `state` is the SQLSTATE, `at` the place
    in its trip of the step that was refused, where that is known."""

    def __init__(self, state: str, words: str, at: int = -1) -> None:
        super().__init__(words)
        self.state = state
        self.at = at


class Step(msgspec.Struct, frozen=True, gc=False):
    """One statement of a trip, with `$1` and so on for its values. `prepared`: it will come again."""

    sql: str
    values: Sequence[Value] = ()
    prepared: bool = True


class Wire:
    """An open connection."""

    def __init__(self, connection: "PGconn", owner: object = None) -> None:
        self._connection = connection
        self._owner = owner  # it would close it
        self._names: dict[str, bytes] = {}  # of statements that are prepared
        self._number = 0
        self.closed = False

    @classmethod
    async def open(cls, conninfo: str, settings: Mapping[str, str]) -> "Wire":
        """Connect, by libpq's own way through hosts and names, in a thread. Raises Away,
        SettingRefused."""
        from psycopg import Error

        opening = _Opening()
        try:
            with trio.fail_after(CONNECT_S * _places(conninfo) + 1):
                await trio.to_thread.run_sync(opening.make, conninfo, settings, abandon_on_cancel=True)
        except BaseException as error:
            opening.leave()
            if isinstance(error, (Error, trio.TooSlowError)):
                raise Away(" ".join(str(error).split()) or "no answer while connecting") from None
            raise
        opened = opening.made
        connection = opened.pgconn
        connection.nonblocking = 1
        connection.enter_pipeline_mode()
        return cls(connection, opened)

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._connection.finish()

    async def trip(self, steps: Iterable[Step], seconds: float) -> list[list[tuple[Any, ...]]]:
        """Send all steps at once and take the rows that each gives. After a Rejected the transaction is still to be
        rolled back; after an Away, or cancelled, the connection is closed. Raises Away, Rejected."""
        try:
            with trio.fail_after(seconds):
                return await self._trip(steps)
        except Rejected:
            raise
        except BaseException as error:
            self.close()
            if isinstance(error, trio.TooSlowError):
                raise Away(f"no answer for {seconds:g} s") from None
            if isinstance(error, OSError) or type(error).__module__.startswith("psycopg"):
                raise Away(" ".join(str(error).split())) from None
            raise

    async def _trip(self, steps: Iterable[Step]) -> list[list[tuple[Any, ...]]]:
        connection = self._connection
        asked: list[bool] = []  # of each command sent whether it is a step
        new: list[str] = []
        for step in steps:
            values = _all_sent(step.values)
            if step.prepared:
                name = self._names.get(step.sql)
                if name is None:
                    self._number += 1
                    name = self._names[step.sql] = b"s%d" % self._number
                    new.append(step.sql)
                    connection.send_prepare(name, step.sql.encode())
                    asked.append(False)
                connection.send_query_prepared(name, values)
            else:
                connection.send_query_params(step.sql.encode(), values)
            asked.append(True)
        connection.pipeline_sync()
        await self._flush()
        try:
            return await self._answers(asked)
        except Rejected:
            for sql in new:  # whether they were prepared before it failed, nobody asks: next time under other names
                del self._names[sql]
            raise

    async def _flush(self) -> None:
        connection = self._connection
        while connection.flush():
            with trio.move_on_after(TAKE_S):
                await trio.lowlevel.wait_writable(connection.socket)
            connection.consume_input()  # what comes in must be taken, or the server stops taking

    async def _answers(self, asked: list[bool]) -> list[list[tuple[Any, ...]]]:
        from psycopg.pq import ExecStatus

        connection = self._connection
        found: list[list[tuple[Any, ...]]] = []
        failed: Rejected | None = None
        at = 0
        while True:
            while connection.is_busy():
                await trio.lowlevel.wait_readable(connection.socket)
                connection.consume_input()
            result = connection.get_result()
            if result is None:
                at += 1
                if at > len(asked) + 1:
                    raise ConnectionError("what comes is no answer")
                continue
            status = result.status
            if status == ExecStatus.PIPELINE_SYNC:
                break
            if status == ExecStatus.TUPLES_OK:
                found.append(_rows(result))
            elif status == ExecStatus.COMMAND_OK:
                if asked[at]:
                    found.append([])
            elif status == ExecStatus.FATAL_ERROR and failed is None:
                failed = _rejected(result, sum(asked[:at]))
        if failed is not None:
            if connection.status or failed.state in GONE:
                raise ConnectionError(str(failed))
            raise failed
        return found


class _Opening:
    """A connection that a thread makes, and that is closed at once where nobody waits for it any more: whichever of the
    two comes last sees what the other has done."""

    def __init__(self) -> None:
        self.made: Any = None
        self._left = False

    def make(self, conninfo: str, settings: Mapping[str, str]) -> None:
        # Not PGconn.connect(): that would keep the interpreter's lock, and everybody else, for as long.
        self.made = connected(conninfo, settings)
        if self._left:
            self.made.close()

    def leave(self) -> None:
        self._left = True
        if self.made is not None:
            self.made.close()


@cache
def _places(conninfo: str) -> int:
    """How many servers it names, each of which is given its time."""
    from psycopg.conninfo import conninfo_to_dict

    said = conninfo_to_dict(conninfo)
    return 1 + str(said.get("host") or said.get("hostaddr") or "").count(",")


GONE = frozenset({"57P01", "57P02", "57P03", "25P03", "57P05", "08000", "08003", "08006", ""})
"""SQLSTATEs after which the connection is of no use: the server ended it, or the transaction idled too long."""


def _rejected(result: "PGresult", at: int) -> Rejected:
    from psycopg.pq import DiagnosticField

    state = (result.error_field(DiagnosticField.SQLSTATE) or b"").decode()
    words = (result.error_field(DiagnosticField.MESSAGE_PRIMARY) or b"the connection is lost").decode(errors="replace")
    return Rejected(state, words, at)


def _all_sent(values: Sequence[Value]) -> list[bytes | None]:
    """Parameters in their text form. Nearly all are whole numbers and ordinary texts, of which a batch has thousands:
    these need no call each."""
    try:
        return [
            b"%d" % value if type(value) is int
            else value.encode() if type(value) is str and "\0" not in value
            else _sent(value)
            for value in values
        ]  # fmt: skip
    except UnicodeEncodeError:  # half of a pair that is no character
        return [_sent(value) for value in values]


def _sent(value: Value) -> bytes | None:
    """A parameter in its text form."""
    if value is None:
        return None
    if isinstance(value, str):
        return storable(value).encode(errors="replace")
    if isinstance(value, bytes):
        return b"\\x" + value.hex().encode()
    return b"%d" % value


def _rows(result: "PGresult") -> list[tuple[Any, ...]]:
    columns = range(result.nfields)
    kinds = [result.ftype(column) for column in columns]
    get = result.get_value
    return [
        tuple(_value(get(row, column), kind) for column, kind in zip(columns, kinds, strict=True))
        for row in range(result.ntuples)
    ]


def _value(said: bytes | None, kind: int) -> Value:
    if said is None:
        return None
    if kind in _INTS:
        return int(said)
    if kind == _BYTEA:
        return bytes.fromhex(said[2:].decode())
    return said.decode()
