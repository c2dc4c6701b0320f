"""turns.Store over a wire: a turn in two trips.

The first locks the head, proves that our boot has not been ended (whoever ends it changes the very row that we change,
so the two exclude each other), and reads what the others have changed and the clock, in statements that begin after the
lock was there: each sees all that was committed before it. The second writes and commits.
"""

from collections.abc import Sequence
from typing import Any

from ftgate.store.postgres.turns import MOST_ORPHANS, Begun, Behind, Fenced
from ftgate.store.postgres.wire import Away, Rejected, Step, Wire

TRIP_S = 6.0
"""Longer than the server's own limit of a statement."""
_MARK = "UPDATE boots SET mark = $1, seen_at = clock_timestamp() WHERE id = $2 AND ended = 0 RETURNING 1"
_BEGIN = Step("BEGIN ISOLATION LEVEL READ COMMITTED")
_HEAD = Step("SELECT seq FROM head WHERE id = 1 FOR UPDATE")
_NOTES = "SELECT boot, note FROM changes WHERE seq > $1 ORDER BY seq"
_TOUCHED = "SELECT DISTINCT what, id FROM touched WHERE seq > $1 ORDER BY what, id"
_CLOCK = Step("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
_DEAD = (
    "UPDATE boots SET ended = 1 WHERE ended = 0 AND id <> $1 AND seen_at < clock_timestamp() - make_interval(secs =>"
    " $2::float8) AND pg_postmaster_start_time() < clock_timestamp() - make_interval(secs => $2::float8)"
)
_ORPHANS = (
    "SELECT h.id, h.boot, h.account, h.key, h.amount, h.quota_held, h.metered, h.ref, h.unlimited, h.estimate, h.at_us,"
    " h.note, EXISTS (SELECT 1 FROM requests r WHERE r.request_id = h.ref)::int FROM holds h JOIN boots b"
    " ON b.id = h.boot WHERE b.ended = 1 ORDER BY h.id LIMIT $1"
)
_COMMIT, _ROLLBACK = Step("COMMIT"), Step("ROLLBACK")


class WireStore:
    """`conninfo` is libpq's."""

    def __init__(self, conninfo: str, boot: int) -> None:
        self.conninfo = conninfo
        self.boot = boot
        self.wire: Wire | None = None

    async def open(self) -> None:
        if self.wire is None or self.wire.closed:
            self.wire = await Wire.open(self.conninfo)

    async def _trip(self, steps: Sequence[Step]) -> list[list[tuple[Any, ...]]]:
        if self.wire is None or self.wire.closed:
            raise Away("there is no connection")
        try:
            return await self.wire.trip(steps, TRIP_S)
        except Rejected:
            await self.wire.trip([_ROLLBACK], TRIP_S)
            raise

    async def begin(self, mark: int, seen: int, *, orphans: bool = False, grace_s: float | None = None) -> Begun:
        steps = [
            _BEGIN, _HEAD, Step(_MARK, (mark, self.boot)), Step(_NOTES, (seen,)), Step(_TOUCHED, (seen,)), _CLOCK,
        ]  # fmt: skip
        if grace_s is not None:
            steps.append(Step(_DEAD, (self.boot, str(grace_s))))
        if orphans:
            steps.append(Step(_ORPHANS, (MOST_ORPHANS,)))
        _, ((seq,),), mine, notes, touched, ((at_us,),), *more = await self._trip(steps)
        if not mine:
            raise Fenced("another gateway has declared this one dead, and ended its holds: start it again")
        if len(notes) != seq - seen:
            raise Behind
        others = [note for boot, note in notes if boot != self.boot]
        return Begun(seq, at_us, others, touched, more[-1] if orphans else ())

    async def rows(self, steps: Sequence[Step]) -> list[list[tuple[Any, ...]]]:
        return await self._trip(steps)

    async def commit(self, steps: Sequence[Step]) -> None:
        await self._trip([*steps, _COMMIT])

    async def leave(self, *, alive: bool) -> None:
        await self._trip([_COMMIT if alive else _ROLLBACK])

    async def went_in(self, mark: int) -> bool:
        # FOR UPDATE waits for whatever our old connection still does.
        found = await self._trip([Step("SELECT mark FROM boots WHERE id = $1 FOR UPDATE", (self.boot,))])
        return bool(found[0] and found[0][0][0] == mark)

    def close(self) -> None:
        if self.wire is not None:
            self.wire.close()
