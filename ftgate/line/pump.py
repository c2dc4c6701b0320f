"""Passing a stream on where nothing has to be decided: each piece goes from the upstream's socket to the client's in
one plain call, out of the loop's own look at its sockets.

A stream of tokens is thousands of small pieces, and waking a task for each costs more than all that is done with it. So
once an answer has begun, the task sleeps, and is woken only when there is something to decide: the end, an error, a
client's socket that is full, a time limit. What a piece goes through is the same as in the task's own loop: it is
metered before it is sent.
"""

from collections.abc import Callable
from math import inf

import trio

from ftgate.dialects.states import OVER
from ftgate.dialects.talk import Reader
from ftgate.line.call import Exchange

TIMER_STEP_S = 0.1
"""By how much a limit between two pieces may strike too early: to set a deadline costs more than to pass a piece on."""


class Pump:
    """Passes pieces on (the `take` of ports.Answer.pump). `timer` is the scope that ends the wait after `idle_s`
    without a piece, or when the call is out of time."""

    __slots__ = ("_until", "full", "idle_s", "kept", "passing", "reader", "timer", "x")

    def __init__(
        self, x: Exchange, reader: Reader, passing: Callable[[str], None], timer: trio.CancelScope, *, idle_s: float
    ) -> None:
        self.x = x
        self.reader = reader
        self.passing = passing
        self.timer = timer
        self.idle_s = idle_s
        self.full = False  # the client has yet to take some of what was sent
        self.kept = b""  # what could not be sent, because something else was being said to the client
        self._until = -inf

    def begin(self) -> None:
        """Nothing waits for the client, and the next piece may take `idle_s`."""
        self.full, self.kept = False, b""
        self._until = -inf
        self._heard()

    def _heard(self) -> None:
        now = trio.current_time()
        if self._until - now < self.idle_s - TIMER_STEP_S:
            self._until = now + self.idle_s
            self.timer.deadline = min(self._until, self.x.call.ends_at)

    def take(self, data: bytes) -> bool:
        """Pass a piece on. False when something is to be decided, or to be waited for."""
        x, passed = self.x, self.reader.feed(data)
        if passed and x.keeping is not None:
            self.kept = passed
            return False
        if passed:
            self.full = not x.client.send_now(passed)
            self.passing("content")
            x.heard_at = inf if self.full else trio.current_time()
            if self.full:
                return False
        self._heard()
        return self.reader.state not in OVER and not x.call.left
