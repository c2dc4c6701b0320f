"""A database that several gateways share, made up: what PostgreSQL promises and no more, and what can go wrong with it.

One lock (the head) with its time limits, transactions that come in whole or not at all, boots with their marks, holds.
A connection may be cut before a commit is done or after it, a gateway may freeze inside its turn. Nothing here decides
about money: the checker (world.py) reads what came in.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import trio

from ftgate.core.books import Entry
from ftgate.store.batch import Batch
from ftgate.store.postgres.turns import MOST_ORPHANS, Begun, Behind, Fenced, Stamp
from ftgate.store.postgres.wire import Away, Rejected

IDLE_S = 0.5
"""How long a gateway may keep the head without a word."""
LOCK_S = 1.0
CUTS = ("begin", "before", "after", "find")
PLACES = {
    "opened": 0.2, "begun": 0.1, "committed": 0.1, "leaving": 0.2, "found in": 0.6, "reading": 0.3, "read": 0.3,
    "started": 0.7,
}  # fmt: skip
"""Where a gateway is when another server takes the place of the first, and how likely that is each time."""


def now_us() -> int:
    """The database's clock."""
    return int(trio.current_time() * 1_000_000)


class Whole(msgspec.Struct):
    """What a turn writes, in place of statements."""

    batch: Batch
    spent: list[tuple[int, int, int]]
    opened: list[int]
    ended: list[int]


class Turn(msgspec.Struct):
    """One that is in: of which boot, by which mark, what it wrote and told, and from when to when it had the head."""

    boot: "Boot"
    mark: int
    whole: Whole
    note: str
    within: tuple[int, int]


def stamp(turn: Turn) -> Stamp:
    return Stamp(turn.boot.id, turn.within[0])


class Boot(msgspec.Struct):
    id: int
    gateway: str
    seen_at: float
    ended: bool = False
    mark: int = 0


class Shared:
    """`plants` are bugs: see test_gateways."""

    def __init__(self, rand: random.Random, plants: frozenset[str] = frozenset()) -> None:
        self.rand = rand
        self.plants = plants
        self._clear()
        self.boots: list[Boot] = []
        self.turns: list[Turn] = []
        self.connections: list[Connected] = []
        self.head = trio.Lock()
        self.holder: Connected | None = None
        self.cuts = 0.0  # how likely each step is to fail
        self.broken: dict[str, int] = dict.fromkeys(CUTS, 0)
        self.passing: Callable[[str], None] = lambda place: None

    def _clear(self) -> None:
        self.entries: list[Entry] = []
        self.rows: list[str] = []
        self.balances: dict[int, tuple[int, int, int]] = {}
        self.spent: dict[int, tuple[int, int]] = {}
        self.holds: dict[int, Entry] = {}
        self.quota_held: dict[int, int] = {}
        self.changes: list[tuple[int, str]] = []
        self.within: list[tuple[int, int]] = []  # of each entry

    def since(self, seen: int, known: Stamp | None) -> list[tuple[int, str]]:
        """Boot and note of the turns after this one, by number if it is there, else by time."""
        if known is None:
            return self.changes
        if seen <= len(self.turns) and stamp(self.turns[seen - 1]) == known:
            return self.changes[seen:]
        found = zip(self.changes, self.turns, strict=True)
        return [change for change, turn in found if stamp(turn).at_us > known.at_us]

    def fail_over(self, lost: int) -> None:
        """Another server takes the place of this one, without the last turns."""
        for connection in self.connections:
            connection.close()
        kept, self.turns = self.turns[: len(self.turns) - lost], []
        self._clear()
        for boot in self.boots:
            boot.mark = 0
        for turn in kept:
            self.write(turn)

    def boot(self, gateway: str) -> Boot:
        """As store.postgres.opening does it."""
        for boot in self.boots:
            boot.ended |= boot.gateway == gateway
        made = Boot(len(self.boots) + 1, gateway, trio.current_time())
        self.boots.append(made)
        return made

    def orphans(self) -> list[tuple[Any, ...]]:
        ended = {boot.id for boot in self.boots if boot.ended}
        if "expire by name" in self.plants:  # of every boot whose gateway has one that ended
            names = {boot.gateway for boot in self.boots if boot.ended}
            ended = {boot.id for boot in self.boots if boot.gateway in names}
        return [
            (
                hold.id, hold.boot, hold.account, hold.key, hold.amount, self.quota_held[hold.id],
                int(hold.debit == "usage"), hold.ref, 0, hold.estimate, hold.at_us, hold.note,
                int(hold.ref in self.rows),
            )
            for hold in self.holds.values() if hold.boot in ended
        ][:MOST_ORPHANS]  # fmt: skip

    def write(self, turn: Turn) -> None:
        """All of it, or nothing."""
        one = turn.whole
        gone = [hold for hold in one.ended if hold not in self.holds]
        if gone and "no count of ended holds" not in self.plants:
            raise Rejected("22012", f"holds {gone} are gone")
        taken = {entry.id: entry for entry in one.batch.entries}
        ids = [entry.id for entry in one.batch.entries]
        if "update without lock" not in self.plants and ids and ids[0] <= (self.entries[-1].id if self.entries else 0):
            raise Rejected("23505", "duplicate id of an entry")
        self.entries += one.batch.entries
        self.within += [turn.within] * len(ids)
        self.rows += [row.request_id for row in one.batch.rows]
        for account, posted, held, used in one.batch.balances.values():
            self.balances[account] = (posted, held, used)
        for key, used, held in one.spent:
            self.spent[key] = (used, held)
        for id, held in zip(one.opened, one.opened, strict=True):
            self.holds[held] = taken[id]
            self.quota_held[held] = taken[id].amount
        for id in one.ended:
            self.holds.pop(id, None)
        self.changes.append((turn.boot.id, turn.note))
        self.turns.append(turn)
        turn.boot.mark = turn.mark


class Connected:
    """turns.Store over the shared database: one connection of one gateway, made anew after it was cut."""

    def __init__(self, shared: Shared, boot: Boot) -> None:
        self.shared = shared
        self.boot = boot
        shared.connections.append(self)
        self.cut = False  # by the server: known at the next step
        self.inside = False
        self.idle: trio.CancelScope | None = None
        self.asked = 0.0  # when it began to ask for the head
        self.since_us = 0  # when the head was had
        self.frozen_s = 0.0  # the gateway stops for so long inside its next turn

    async def open(self) -> None:
        await trio.sleep(0)
        self.cut = False
        self.shared.passing("opened")

    def _leave(self) -> None:
        if self.inside:
            self.inside = False
            self.shared.holder = None
            if "update without lock" not in self.shared.plants:
                self.shared.head.release_by(self)  # type: ignore[attr-defined]

    def close(self) -> None:
        self._leave()
        self.cut = True

    async def _step(self, place: str) -> None:
        """A trip: it takes time, and may fail."""
        await trio.sleep(self.shared.rand.uniform(0.0002, 0.004))
        if self.cut:
            raise Away("the connection was closed")
        likely = 10 if place == "find" else 1
        if self.shared.rand.random() < self.shared.cuts * likely:
            self.shared.broken[place] += 1
            self.close()
            raise Away(f"cut at {place}")

    async def begin(
        self, seen: int, *, orphans: bool = False, grace_s: float | None = None, latest_us: int = 0
    ) -> Begun:
        shared = self.shared
        self.asked = trio.current_time()
        try:
            await self._step("begin")
            asked_us = now_us()
            if "update without lock" not in shared.plants:
                with trio.move_on_after(LOCK_S):
                    await shared.head.take(self)  # type: ignore[attr-defined]
                if shared.head.owner is not self:  # type: ignore[attr-defined]
                    raise Rejected("55P03", "canceling statement due to lock timeout")
            self.inside, shared.holder = True, self
        except BaseException:
            self._leave()
            raise
        if self.boot.ended and "no fence" not in shared.plants:
            self._leave()
            raise Fenced("declared dead")
        self.since_us = now_us()
        now = trio.current_time()
        if grace_s is not None and self.since_us < latest_us:
            for boot in shared.boots:
                boot.ended |= boot is not self.boot and now - boot.seen_at > grace_s
        notes = [note for boot, note in shared.changes[seen:] if boot != self.boot.id]
        at_us = asked_us if "clock before lock" in shared.plants else self.since_us
        turns = [None, *map(stamp, shared.turns)]
        before = turns[seen] if seen < len(turns) else None
        begun = Begun(
            len(shared.changes), at_us, notes, [], shared.orphans() if orphans else [], before, turns[-1]
        )  # fmt: skip
        if seen > len(shared.changes):
            raise Behind
        if self.frozen_s:
            await self._freeze()
        shared.passing("begun")
        return begun

    async def _freeze(self) -> None:
        """The process stands still; the server throws it out, and it goes on without knowing."""
        frozen, self.frozen_s = self.frozen_s, 0.0
        with trio.CancelScope(shield=True):
            await trio.sleep(min(frozen, IDLE_S))
            if frozen > IDLE_S:
                self.close()
                await trio.sleep(frozen - IDLE_S)

    async def rows(self, steps: Sequence[Any]) -> list[list[tuple[Any, ...]]]:
        raise AssertionError("nothing of accounts changes here")

    async def commit(self, steps: Sequence[Any], *, seq: int, mark: int, note: str, patient: bool = False) -> Stamp:
        (whole,) = steps
        turn = Turn(self.boot, mark, whole, note, (self.since_us, now_us()))
        try:
            await self._step("before")
            self.shared.write(turn)
            self.boot.seen_at = trio.current_time()
        finally:
            self._leave()
        await self._step("after")
        self.shared.passing("committed")
        return stamp(turn)

    async def leave(self, *, alive: bool) -> None:
        self.shared.passing("leaving")
        if self.inside and alive:
            self.boot.seen_at = trio.current_time()
        self._leave()
        await trio.sleep(0)

    async def throw_out(self) -> None:
        """Nobody stands still but in a trip's middle, which is none here."""

    async def went_in(self, mark: int) -> Stamp | None:
        await self._step("find")
        own = [stamp(turn) for turn in self.shared.turns if turn.boot is self.boot]
        if not own or self.boot.mark != mark:
            return None
        self.shared.passing("found in")
        return own[-1]


class Head:
    """A lock that whoever holds it may lose."""

    def __init__(self) -> None:
        self.owner: Connected | None = None
        self._free = trio.Event()
        self._since = 0.0  # when the owner had it

    async def take(self, who: Connected) -> None:
        while (owner := self.owner) is not None:
            with trio.move_on_at(self._since + IDLE_S):
                await self._free.wait()
            if self.owner is owner and trio.current_time() >= self._since + IDLE_S:
                owner.close()  # the server throws out whoever keeps it without a word
        self.owner, self._since = who, trio.current_time()

    def release_by(self, who: Connected) -> None:
        if self.owner is who:
            self.owner = None
            free, self._free = self._free, trio.Event()
            free.set()
