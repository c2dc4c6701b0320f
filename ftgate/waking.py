"""What a task is woken with that sleeps until somebody wakes it (trio.lowlevel.wait_task_rescheduled): nothing.

Trio makes an outcome of its own for each wake, which notes that it was taken, so that it cannot be used again. That is
a tenth of what a wake costs, and a plain call takes several. This one is the same for all, for there is nothing in it
that could be taken twice.
"""

from typing import Any


class _Nothing:
    """As an outcome.Value of None, as far as trio asks for it."""

    __slots__ = ()

    def unwrap(self) -> None:
        """What the sleeper gets."""


NOTHING: Any = _Nothing()
"""For trio.lowlevel.reschedule(task, NOTHING)."""
