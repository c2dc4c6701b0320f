"""A database of several gateways that stops answering where a test says so, and goes on when it says so; and an account
book over it that is kept in no database at all."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import trio

from ftgate.store.batch import Batch
from ftgate.store.postgres.clock import TurnClock
from ftgate.store.postgres.lane import Lane
from ftgate.store.postgres.turns import Begun, Stamp, Turned
from ftgate.store.postgres.wire import Away

TRIP_S = 6.0
"""After so long a lane gives up its connection."""


class Stopping:
    """turns.Store and turns.Memory for one gateway that is alone. It stands still at `at`: before anything is decided
    ("begin"), or when what was decided is on its way ("commit"), which is in then all the same."""

    def __init__(self) -> None:
        self.at: Literal["begin", "commit"] | None = None
        self.seq = 0
        self.mark = 0
        self.batches: list[Batch] = []

    def lane(self) -> Lane:
        """One that runs on it."""
        lane = Lane(self, self, TurnClock(trio.current_time), seen=0)
        lane.start()
        return lane

    async def _trip(self, place: str) -> None:
        await trio.lowlevel.checkpoint()
        with trio.move_on_after(TRIP_S):
            while self.at == place:
                await trio.sleep(0.01)
            return
        raise Away(f"no answer for {TRIP_S:g} s")

    async def open(self) -> None:
        await self._trip("begin")

    async def begin(
        self, seen: int, *, orphans: bool = False, grace_s: float | None = None, latest_us: int = 0
    ) -> Begun:
        await self._trip("begin")
        return Begun(self.seq, int(trio.current_time() * 1_000_000), (), ())

    async def rows(self, steps: Sequence[Any]) -> list[list[tuple[Any, ...]]]:
        return []

    async def commit(self, steps: Sequence[Any], *, seq: int, mark: int, note: str, patient: bool = False) -> None:
        self.mark, self.seq = mark, seq
        self.batches += steps
        await self._trip("commit")

    async def leave(self, *, alive: bool) -> None:
        await self._trip("commit")

    async def throw_out(self) -> None:
        raise AssertionError("nobody else has the head")

    async def went_in(self, mark: int) -> Stamp | None:
        await self._trip("begin")
        return Stamp(1, self.mark) if self.mark == mark else None

    def close(self) -> None:
        pass

    # The memory

    def wanted(self, touched: Sequence[tuple[str, str]]) -> Sequence[Any]:
        return ()

    def renew(self, *changed: object) -> None:
        pass

    def steps(self, batch: Batch) -> Iterator[Any]:
        yield batch

    def note(self, batch: Batch) -> str:
        return ""

    def expire(self, *orphans: object) -> None:
        raise AssertionError("there is one boot")

    async def reload(self, seen: int, known: Stamp | None) -> Turned:
        raise AssertionError("all that was decided went in")
