"""The log on standard error. Whoever writes a line never waits for who reads it.

A pipe that nobody reads, or a terminal that is held, takes 64 KB and then makes every writer wait: for a server with
one thread that is the end. So lines go into a queue of bounded size, and a thread of its own writes them; what finds no
room is counted, and the count stands in the log where the lines are missing. A line holds no secret, and nothing in it
that came from a caller is more than text on a terminal.
"""

import json
import logging
import os
import re
import threading
from collections import deque
from collections.abc import Callable, Mapping
from types import TracebackType

from ftgate.core.moments import iso
from ftgate.core.redact import plain, scrub

QUEUED_BYTES = 1_000_000
"""Lines that wait to be written; past it they are dropped."""
END_S = 1.0
"""How long the end of the process waits for a reader of the last lines."""
_REQUEST = re.compile(r"\breq_[0-9a-f]{28}\b")
FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_Raised = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class Redacting(logging.Formatter):
    """Log lines without secrets, in which a caller's text is nothing but text: a message is one line."""

    def format(self, record: logging.LogRecord) -> str:
        return scrub(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:
        return plain(super().formatMessage(record))

    def formatException(self, ei: _Raised) -> str:
        return plain(super().formatException(ei), keep="\n")

    def formatStack(self, stack_info: str) -> str:
        return plain(super().formatStack(stack_info), keep="\n")


class Structured(Redacting):
    """The same as JSON, an object a line: time (UTC), level, logger, message, and where they are known request_id and
    error, a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        return self.line(record, scrub(plain(record.getMessage())))

    def line(self, record: logging.LogRecord, said: str) -> str:
        """A line with these words, as they are."""
        at_us = int(record.created * 1e6)
        line = {"time": iso(at_us), "level": record.levelname, "logger": record.name, "message": said}
        if (found := _REQUEST.search(said)) is not None:
            line["request_id"] = found[0]
        if record.exc_info:
            line["error"] = scrub(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)


FORMATS = {"text": Redacting, "json": Structured}


def opening(format: str, words: str, level: int = logging.INFO, *, shown: str = "") -> str:
    """A line of a start's own, as a log of this format has it; people read it bare. An address in it that may be
    `shown` stays."""
    if format != "json":
        return words
    record = logging.LogRecord("ftgate.start", level, __file__, 0, words, (), None)
    parts = plain(words.strip()).split(shown) if shown else [plain(words.strip())]
    return Structured().line(record, shown.join(map(scrub, parts)))


def in_journal(descriptor: int, environ: Mapping[str, str]) -> bool:
    """Whether what is written there goes to systemd's journal (systemd.exec(5), JOURNAL_STREAM), which keeps it and
    shows it to others."""
    try:
        found = os.fstat(descriptor)
    except OSError:
        return False
    return environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


class QueuedLog(logging.Handler):
    """Hands lines to a thread that writes them to a file descriptor; `write` is os.write but in tests."""

    def __init__(self, descriptor: int, write: Callable[[int, bytes], int] = os.write) -> None:
        super().__init__()
        self.write_as("text")
        self.descriptor = descriptor
        self.write = write
        self.waiting: deque[bytes] = deque()
        self.size = 0  # bytes of these
        self.dropped = 0  # since the last line that found room
        self.lost = 0  # in all
        self.ended = False
        # Reentrant: a line may be logged while another is handed over (by a destructor, say).
        self.turn = threading.Condition(threading.RLock())
        self.thread = threading.Thread(target=self._work, name="ftgate-log", daemon=True)
        self.thread.start()

    def __repr__(self) -> str:
        return f"<QueuedLog to {self.descriptor}: {len(self.waiting)} lines wait, {self.lost} were dropped>"

    def write_as(self, format: str) -> None:
        """Lines from now on are one of FORMATS."""
        self.setFormatter(FORMATS[format](FORMAT))

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
        except Exception as error:  # a line that cannot be put into words must not end what it tells of
            text = f"{record.levelname} {record.name}: a line that cannot be written: {type(error).__name__}"
        line = text.encode(errors="backslashreplace") + b"\n"
        with self.turn:
            if self.size + len(line) > QUEUED_BYTES:
                self.dropped += 1
                self.lost += 1
                return
            if self.dropped:
                line = self._missing() + line
            self.waiting.append(line)
            self.size += len(line)
            self.turn.notify()

    def _missing(self) -> bytes:
        many, self.dropped = self.dropped, 0
        words = f"{many} lines were dropped here, because nobody read the log"
        record = logging.LogRecord("ftgate.log", logging.WARNING, __file__, 0, words, (), None)
        return self.format(record).encode() + b"\n"

    def _work(self) -> None:
        while True:
            with self.turn:
                while not self.waiting:
                    if self.ended:
                        return
                    self.turn.wait()
                line = self.waiting[0]
            try:
                while line:
                    line = line[self.write(self.descriptor, line) :]
            except OSError:  # closed: nobody will ever read it
                with self.turn:
                    self.lost += 1
            with self.turn:
                self.size -= len(self.waiting.popleft())
                if not self.waiting and self.dropped:
                    self.waiting.append(self._missing())
                    self.size += len(self.waiting[0])

    def close(self) -> None:
        """Write what waits, for END_S at most."""
        with self.turn:
            self.ended = True
            self.turn.notify()
        self.thread.join(END_S)
        super().close()


def to_stderr() -> QueuedLog:
    """Everything from warnings on goes to standard error, through the queue."""
    handler = QueuedLog(2)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    return handler
