"""What takes long because a request is large is done in a thread beside the loop: there it would hold up every other
call. Small requests never come here.

The work may look at the call it belongs to, and change it: whoever waits for it does nothing else with that call, and
the wait cannot be cut off in its middle. Whether the call has been ended meanwhile is asked behind it.
"""

import sys
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

import trio

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
LARGE_BODY = 262_144
"""Bytes from which a request is large: measuring megabytes, or saying them in other words, takes too long."""
AT_ONCE = 2
"""Threads: more would only take turns."""
TURN_S = 0.001
"""Seconds after which a thread at work lets the loop have its turn, in place of Python's own 5 ms: a plain call asks
for a turn again behind each of its reads and writes, and so would wait 40 ms and more for a neighbour's large one."""


class Beside:
    """Does such work. Built once by the gate."""

    def __init__(self) -> None:
        self.threads = trio.CapacityLimiter(AT_ONCE)
        self.working = 0
        self.usual_turn_s = sys.getswitchinterval()

    async def run(self, work: Callable[[*Ts], T], *given: *Ts) -> T:
        """What `work` returns of what is given to it. Raises what it raises."""
        self.working += 1
        sys.setswitchinterval(TURN_S)
        try:
            return await trio.to_thread.run_sync(work, *given, limiter=self.threads)
        finally:
            self.working -= 1
            if not self.working:
                sys.setswitchinterval(self.usual_turn_s)
