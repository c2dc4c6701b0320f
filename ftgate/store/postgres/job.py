"""A decision that the lane has made in a turn, and makes again where that turn did not come in."""

from collections.abc import Callable
from typing import Any

import trio


class Job:
    """`decide` is called without an await, and again where a turn did not come in. `event` is set once it is in, or can
    never be; then `result` holds, or `error`. One that is `withdrawn` before it is decided is not decided."""

    __slots__ = ("decide", "decided", "done", "error", "event", "result", "settled", "withdrawn")

    def __init__(self, decide: Callable[[], Any], settled: Callable[["Job"], None] | None = None) -> None:
        self.decide = decide
        self.settled = settled  # called when it is done
        self.event = trio.Event()
        self.result: Any = None
        self.error: BaseException | None = None
        self.decided = self.done = self.withdrawn = False

    def make(self) -> None:
        """Decide. What it came to in a turn that did not come in holds no more."""
        self.result = self.error = None
        if self.withdrawn:
            return
        try:
            self.result = self.decide()
        except Exception as error:  # its asker's, not the turn's
            self.error = error
        self.decided = True

    def end(self) -> None:
        """It is in."""
        self.done = True
        self.event.set()
        if self.settled is not None:
            self.settled(self)

    def fail(self, error: BaseException) -> None:
        """It is not in, and never will be."""
        self.error = error
        self.event.set()
