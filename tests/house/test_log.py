"""The log: nobody who writes a line waits, what is dropped is counted and said, and a line is text without secrets."""

import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ftgate.house import log
from ftgate.house.log import QUEUED_BYTES, QueuedLog, Redacting


def record(message: str, *arguments: object, error: BaseException | None = None) -> logging.LogRecord:
    trace = (type(error), error, None) if error else None
    return logging.LogRecord("x", logging.WARNING, "", 1, message, arguments, trace)


class Reader:
    """What reads the log: a pipe that takes nothing until somebody `reads`."""

    def __init__(self) -> None:
        self.reads = threading.Event()
        self.got = b""

    def write(self, descriptor: int, data: bytes) -> int:
        self.reads.wait()
        self.got += data[:997]
        return min(len(data), 997)

    def lines(self, number: int) -> list[str]:
        until = time.monotonic() + 10
        while self.got.count(b"\n") < number:
            assert time.monotonic() < until, self.got
            time.sleep(0.005)
        return self.got.decode().splitlines()


@contextmanager
def logging_to(reader: Reader) -> Iterator[QueuedLog]:
    handler = QueuedLog(2, reader.write)
    handler.setFormatter(Redacting("%(message)s"))
    try:
        yield handler
    finally:
        reader.reads.set()
        handler.close()
    assert not handler.thread.is_alive()


def test_lines_come_in_order_and_whole() -> None:
    reader = Reader()
    with logging_to(reader) as handler:
        for number in range(100):
            handler.emit(record("line %d of some length", number))
        reader.reads.set()
        assert reader.lines(100) == [f"line {number} of some length" for number in range(100)]
    assert handler.lost == 0


def test_nobody_waits_and_what_is_dropped_is_said() -> None:
    reader = Reader()
    with logging_to(reader) as handler:
        line = "x" * 9_999
        for _ in range(QUEUED_BYTES // 10_000 + 50):
            handler.emit(record(line))
        assert (handler.dropped, handler.lost) == (50, 50) and handler.size == QUEUED_BYTES
        reader.reads.set()
        lines = reader.lines(QUEUED_BYTES // 10_000 + 1)
        assert lines[:-1] == [line] * 100
        assert lines[-1] == "50 lines were dropped here, because nobody read the log"
        handler.emit(record("again"))
        assert reader.lines(102)[-1] == "again"
    assert handler.size == 0 and handler.lost == 50


def test_the_count_stands_where_the_lines_are_missing() -> None:
    reader = Reader()
    with logging_to(reader) as handler:
        handler.emit(record("x" * (QUEUED_BYTES - 500)))
        for _ in range(3):
            handler.emit(record("y" * 1000))
        handler.emit(record("short"))
        reader.reads.set()
        said = reader.lines(3)[1:]
    assert said == ["3 lines were dropped here, because nobody read the log", "short"]


def test_a_line_that_is_wrong_stops_nobody() -> None:
    reader = Reader()
    reader.reads.set()
    with logging_to(reader) as handler:
        handler.emit(record("%d", "no number"))
        handler.emit(record("\udcff"))
        assert reader.lines(2) == ["WARNING x: a line that cannot be written: TypeError", "\\udcff"]


def test_a_log_that_is_closed_stops_nobody() -> None:
    def closed(descriptor: int, data: bytes) -> int:
        raise BrokenPipeError

    handler = QueuedLog(2, closed)
    for _ in range(3):
        handler.emit(record("x"))
    handler.close()
    assert handler.lost == 3 and handler.size == 0


def test_the_end_does_not_wait_for_a_reader_that_never_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "END_S", 0.05)
    reader = Reader()
    handler = QueuedLog(2, reader.write)
    handler.emit(record("x"))
    handler.close()
    assert handler.thread.is_alive() and reader.got == b""
    reader.reads.set()
    handler.thread.join(10)
    assert not handler.thread.is_alive()


def test_a_pipe_that_nobody_reads() -> None:
    """The kernel's own: it takes 64 KB."""
    out, into = os.pipe()
    handler = QueuedLog(into)
    for _ in range(2000):
        handler.emit(record("z" * 1000))
    assert handler.lost > 0
    threading.Thread(target=lambda: [None for _ in iter(lambda: os.read(out, 65_536), b"")], daemon=True).start()
    handler.close()
    assert not handler.thread.is_alive() and handler.size == 0
    os.close(into)


def test_a_line_is_text_without_secrets() -> None:
    def written(message: str, *arguments: object, error: BaseException | None = None) -> str:
        return Redacting("%(levelname)s %(message)s").format(record(message, *arguments, error=error))

    odd = "a\x1b]0;x\x07\nERROR b"
    assert written("model %s is asked for", odd) == r"WARNING model a\x1b]0;x\x07\nERROR b is asked for"
    assert written("odd", error=ValueError("a\x1b[2J")) == "WARNING odd\nValueError: a\\x1b[2J"
    assert "sk-abcdefghij" not in written("key %s", "sk-abcdefghij")


def test_lines_as_json() -> None:
    """An object a line, with the call's id where one is named; no secret, and a caller's text is text alone."""
    reader = Reader()
    with logging_to(reader) as handler:
        handler.write_as("json")
        id = "req_" + "0123456789abcdef" * 2
        id = id[:32]
        handler.emit(record("call %s: lab said %s", id, 'a "word"\nof sk-ft_' + "x" * 43))
        handler.emit(record("it broke", error=ValueError("bad")))
        reader.reads.set()
        first, second = (json.loads(line) for line in reader.lines(2))
    assert (first["level"], first["logger"], first["request_id"]) == ("WARNING", "x", id)
    assert first["time"].endswith("Z") and "x" * 43 not in first["message"] and 'a "word"' in first["message"]
    assert "request_id" not in second and "ValueError: bad" in second["error"]


def test_a_line_of_a_start_shows_the_address_that_it_may() -> None:
    words = "  sent to http://c.example:4318, not to http://d.example"
    said = json.loads(log.opening("json", words, shown="http://c.example:4318"))
    assert said["message"] == "sent to http://c.example:4318, not to [redacted]"
    assert json.loads(log.opening("json", words))["message"] == "sent to [redacted] not to [redacted]"
    assert log.opening("text", words, shown="http://c.example:4318") == words
