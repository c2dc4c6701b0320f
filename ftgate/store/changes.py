"""What takes changes and writes them down: store.writer.Writer beside a file, store.postgres.lane.Lane where several
gateways share a ledger."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import trio

from ftgate.core.tally import Times
from ftgate.ports import Row
from ftgate.store.batch import Batch


class Changes(Protocol):
    """Decisions are made in memory, without an await, and put into a batch. Where a ledger is shared, `turn()` comes
    first: it brings memory up to date, and until the next await nobody else decides."""

    failed: BaseException | None
    died: trio.Event
    commits: int
    took: Times
    abandoned: bool
    alone: bool
    """Whether nobody else decides, so that what was decided stays so."""
    onlooker: Callable[[list[Row]], None] | None

    @property
    def trouble(self) -> str | None:
        """Why nothing comes in just now."""
        ...

    @property
    def slowed(self) -> int:
        """How often a statement took too long for a turn."""
        ...

    def start(self) -> None:
        """Begin writing; inside trio.run."""
        ...

    def busy(self) -> str | None:
        """Why nothing can be written now."""
        ...

    def depth(self) -> int:
        """Changes that are not in the database yet."""
        ...

    def changed(self, *, soon: bool = True) -> Batch:
        """The batch to add to."""
        ...

    async def turn(self) -> None:
        """What follows, up to the next await, is decided on what is committed. Raises DatabaseFault."""
        ...

    def later(self, decide: Callable[[], None]) -> None:
        """Have something decided in a turn, which nobody waits for: at once, where there is nothing to wait for."""
        ...

    async def durable(self, batch: Batch) -> None:
        """Wait until it is committed. Raises DatabaseFault when it never will be."""
        ...

    async def durable_within(self, batch: Batch, seconds: float) -> bool:
        """As durable(), for about so long at the most; whether it is."""
        ...

    async def compact(self, most: int | None) -> str | None:
        """Have the database written anew if it has `most` bytes at the most; why it was not."""
        ...

    def fold_log(self) -> None:
        """Have a large write-ahead log folded back."""
        ...

    async def drain(self) -> bool:
        """Write what is left; whether all is in."""
        ...

    def abandon(self) -> None:
        """What is not in yet need not come in."""
        ...

    def lose(self, error: BaseException) -> None:
        """The database is not ours any more."""
        ...

    async def close(self, *, rescue: Path | None = None) -> None:
        """Write what is left, and end."""
        ...

    def stuck(self) -> bool:
        """Whether a commit does not come back."""
        ...
