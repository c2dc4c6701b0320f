"""How long a test waits for what must come: one name for it, on a machine that has other work too.

A wait is for a condition, never for a time after which it should have come true. Its limit only makes a test that hangs
fail, so it is generous; nothing is measured by it.
"""

from collections.abc import Callable

import trio

SOON_S = 4.0
"""For what happens at once. Shorter than the limits after which the program would do it anyway (the shortest by default
are 5 s): a connection that is only closed when it has been idle for too long is not closed soon."""
AT_ONCE_S = 1.0
"""For what waits for nothing at all: any wait would be longer. It measures nothing, the benchmark does."""


async def until(condition: Callable[[], object], within_s: float = SOON_S) -> None:
    """Return when the condition is true."""
    with trio.fail_after(within_s):
        while not condition():
            await trio.sleep(0.002)
