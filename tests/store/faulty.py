"""A database connection that fails, or waits, at a chosen call, and short words for filling batches."""

import sqlite3
import threading
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from ftgate.core.books import Balance, Books, Ended, Entry, Hold
from ftgate.core.pricing import Price
from ftgate.core.receipt import price_text
from ftgate.ports import Row
from ftgate.store.batch import Batch


def sqlite_error(code: int, kind: type[sqlite3.Error] = sqlite3.OperationalError) -> sqlite3.Error:
    """An error as the sqlite3 module would raise it."""
    error = kind(f"error {code} of the test")
    error.sqlite_errorcode = code
    return error


class FaultyConnection:
    """A connection whose calls are counted. Call `at` (1 is the first after arming) raises `error`: in place of its
    work, or with `after` once its work is done. `and_rollback` lets the next ROLLBACK fail too. Whatever comes after a
    fault waits until `go_on` is set."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.calls: list[str] = []
        self.at = 0
        self.error: BaseException | None = None
        self.after = False
        self.and_rollback = False
        self.struck = False
        self.then_waits = True
        self.go_on = threading.Event()
        self.go_on.set()

    def fail(
        self, at: int, error: BaseException, *, after: bool = False, and_rollback: bool = False, then_waits: bool = True
    ) -> None:
        self.calls.clear()
        self.then_waits = then_waits
        self.at, self.error, self.after, self.and_rollback, self.struck = at, error, after, and_rollback, False

    def _call(self, method: Callable[..., Any], sql: str, *values: Any) -> Any:
        if sql == "ROLLBACK":
            if self.and_rollback and self.struck:
                self.and_rollback = False
                raise sqlite_error(sqlite3.SQLITE_IOERR)
            return method(sql)
        assert self.go_on.wait(10)
        self.calls.append(sql)
        if len(self.calls) != self.at or self.error is None:
            return method(sql, *values)
        if self.after:
            method(sql, *values)
        self.struck = True
        if self.then_waits:
            self.go_on.clear()
        raise self.error

    def execute(self, sql: str, *values: Any) -> Any:
        return self._call(self.connection.execute, sql, *values)

    def executemany(self, sql: str, values: Iterable[Any]) -> Any:
        return self._call(self.connection.executemany, sql, values)

    @property
    def in_transaction(self) -> bool:
        return self.connection.in_transaction

    def close(self) -> None:
        self.connection.close()


def row(id: str, hold: int = 0, **fields: Any) -> Row:
    """A call's row, whose price is what it cost and lost."""
    units = fields.get("cost", 0) + fields.get("lost", 0)
    said: dict[str, Any] = {
        "request_id": id, "created_at_us": 1_000_000, "account": 1, "key": 1, "model": "m", "served_model": "m",
        "provider": "p",
        "channel": "c", "status": "ok", "http_status": 200, "error_code": "", "mode": "standard", "prompt_tokens": 10,
        "cached_tokens": 0,
        "cache_write_tokens": 0, "completion_tokens": 2, "reasoning_tokens": 0, "cost": 0, "lost": 0,
        "estimated": False, "latency_ms": 5,
        "first_token_ms": None, "attempts": 1, "stream": False, "hold": hold,
        "multiplier": "1/1", "price": price_text(Price(0, 0, 0, 0, 0, per_request=units)) if units else "",
    }  # fmt: skip
    return Row(**{**said, **fields})


class Calls:
    """Books with one account and one key, whose calls are put into batches."""

    def __init__(self, next_id: int = 1) -> None:
        self.books = Books(next_id=next_id)
        self.books.open_account(1)
        self.books.open_key(1, limit=None)
        self.number = 0

    @property
    def balance(self) -> Balance:
        return self.books.accounts[1]

    def grant(self, batch: Batch, units: int = 1_000_000) -> None:
        entry = self.books.grant(1, units, ref="g1", at_us=0)
        assert isinstance(entry, Entry)
        batch.remember((entry,), self.balance)

    def hold(self, batch: Batch, units: int = 100) -> Hold:
        self.number += 1
        held = self.books.hold(1, 1, units, ref=f"req_{self.number}", estimate=10, at_us=0)
        assert isinstance(held, tuple)
        batch.remember((held[1],), self.balance, self.books.quotas[1])
        return held[0]

    def post(self, batch: Batch, hold: Hold, units: int = 30) -> Ended:
        ended = self.books.post(hold.id, units, at_us=0)
        assert isinstance(ended, Ended)
        batch.remember(ended.entries, self.balance, self.books.quotas[1])
        batch.rows.append(row(hold.ref, hold.id, cost=ended.charged, lost=ended.lost))
        return ended

    def call(self, batch: Batch, units: int = 30) -> None:
        self.post(batch, self.hold(batch), units)


def read(path: Path, sql: str, *values: Any) -> list[Any]:
    """What a connection of its own reads."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql, values).fetchall()
