"""What a lane stands on: the database of its turns, and the memory that is decided on. A test puts others in their
place (tests/gateways)."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from ftgate.store.batch import Batch
from ftgate.store.postgres.wire import Step

MOST_ORPHANS = 300
"""Of one turn."""


class Fenced(Exception):
    """Another gateway has ended our boot: its holds are ended, and we may write nothing more."""


class Behind(Exception):
    """What the others have changed is not all there to be read any more, or what was seen is not there: memory must be
    read anew."""


class Stamp(NamedTuple):
    """What tells a turn from every other: whose it was, and when it began, by the database's clock."""

    boot: int
    at_us: int


Turned = tuple[int, Stamp | None]
"""A turn's number, and its stamp; None before the first of all."""


class Begun(msgspec.Struct, frozen=True):
    """A turn that has the head. `seq` is the last turn that changed something, `at_us` the database's clock, read when
    the lock was there; `notes` what the others changed since we looked last, in their order; `touched` the rows of
    accounts among it, as table and id; `orphans` open holds of ended boots, where they were asked for. `before` tells
    the turn that was seen last from every other, `latest` the turn `seq`: None where it is not there any more."""

    seq: int
    at_us: int
    notes: Sequence[str]
    touched: Sequence[tuple[str, str]]
    orphans: Sequence[tuple[Any, ...]] = ()
    before: Stamp | None = None
    latest: Stamp | None = None


class Store(Protocol):
    """The database of one lane."""

    async def open(self) -> None:
        """Connect, if that is needed. Raises Away, SettingRefused."""
        ...

    async def begin(
        self, seen: int, *, orphans: bool = False, grace_s: float | None = None, latest_us: int = 0
    ) -> Begun:
        """Begin a turn: lock the head, look. `orphans`: also for holds of ended boots; with
        `grace_s` boots that were not seen for so long have ended, unless the database's clock is past `latest_us`: then
        it was set forward. Raises Fenced, Behind, Away, Rejected."""
        ...

    async def rows(self, steps: Sequence[Step]) -> list[list[tuple[Any, ...]]]:
        """Read within the turn."""
        ...

    async def commit(self, steps: Sequence[Step], *, seq: int, mark: int, note: str, patient: bool = False) -> Stamp:
        """Write and end the turn `seq`, with its mark and what the others must know of it: what tells it from every
        other. With `patient` each step has more time. Raises Away
        where it may be in, Rejected, with the place among the steps, where it is not."""
        ...

    async def leave(self, *, alive: bool) -> None:
        """End the turn without a change; `alive`: but that we live. Raises Away."""
        ...

    async def went_in(self, mark: int) -> Stamp | None:
        """The turn of this mark, which is our last, if it is in. Raises Away, Fenced."""
        ...

    async def throw_out(self) -> None:
        """End the session of a gateway that has the head and stands still, where that may be done. Raises Away,
        SettingRefused."""
        ...

    def close(self) -> None: ...


class Memory(Protocol):
    """What is decided on."""

    def wanted(self, touched: Sequence[tuple[str, str]]) -> Sequence[Step]:
        """What reads these rows anew."""
        ...

    def renew(
        self, touched: Sequence[tuple[str, str]], rows: Sequence[Sequence[tuple[Any, ...]]], notes: Sequence[str]
    ) -> None:
        """Take in what other gateways have changed."""
        ...

    def steps(self, batch: Batch) -> Iterator[Step]:
        """All that writes a batch: first its statements, each as one."""
        ...

    def note(self, batch: Batch) -> str:
        """What the others must know of it. Asked once for each turn."""
        ...

    def expire(self, orphans: Sequence[tuple[Any, ...]], batch: Batch, at_us: int) -> None:
        """End holds of boots that have ended."""
        ...

    async def reload(self, seen: int, known: Stamp | None) -> Turned:
        """Read everything anew; the turn at which that was. What was told up to the turn `seen`, which was `known`, has
        been heard. Raises Away."""
        ...
