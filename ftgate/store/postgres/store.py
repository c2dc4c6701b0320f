"""turns.Store over a wire: a turn in two trips.

The first locks the head and then looks, in a statement that begins when the lock is there and so sees all that was
committed before: whether our boot has been ended (whoever ends boots has the head), what the others have changed, what
time it is. The second writes, leaves the turn's mark, and commits. Few statements, since each costs both sides.
"""

import logging
from collections.abc import Sequence
from typing import Any

from ftgate.store.postgres.opening import APPLICATION, SESSION
from ftgate.store.postgres.turns import MOST_ORPHANS, Begun, Behind, Fenced, Stamp
from ftgate.store.postgres.wire import Away, Rejected, Step, Wire

log = logging.getLogger("ftgate.store")

ONLY_READS = "25006"
"""The SQLSTATE of a server that takes no changes."""
TRIP_S = 6.0
"""Longer than the server's own limit of a statement."""
PATIENT_S = 10.0
"""How long a statement may take that has more time: less than a lane's last tries."""
_PATIENT = Step(f"SET LOCAL statement_timeout = {round(PATIENT_S * 1000)}")
_BEGIN = Step("BEGIN ISOLATION LEVEL READ COMMITTED")
_HEAD = Step("SELECT seq FROM head WHERE id = 1 FOR UPDATE")
_CLOCK, _ALIVE, _BEFORE, _NOTE, _TOUCHED = range(5)
_LOOK = (
    f"SELECT {_CLOCK}, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, 0::bigint, '', ''"  # noqa: S608 - ours
    f" UNION ALL SELECT {_ALIVE}, 0, 0, '', '' FROM boots WHERE id = $2 AND gateway = $3 AND ended = 0"
    f" UNION ALL SELECT {_BEFORE}, at_us, boot, '', '' FROM changes WHERE seq = $1"
    f" UNION ALL SELECT {_NOTE}, seq, boot, note, at_us::text FROM changes WHERE seq > $1"
    f" UNION ALL SELECT DISTINCT {_TOUCHED}, 0::bigint, 0::bigint, what, id FROM touched WHERE seq > $1"
)
_TURN = (
    "WITH counted AS (UPDATE head SET seq = $1 WHERE id = 1),"
    " marked AS (UPDATE boots SET mark = $2, seen_at = clock_timestamp() WHERE id = $3)"
    " INSERT INTO changes (seq, boot, at_us, note) VALUES ($1, $3, (extract(epoch FROM now()) * 1000000)::bigint, $4)"
    " RETURNING at_us"
)
"""Last of all: that there was a turn, whose it was, and what the others must know of it."""
_SEEN = "UPDATE boots SET seen_at = clock_timestamp() WHERE id = $1"
_MARKED = (
    "SELECT mark, coalesce((SELECT at_us FROM changes WHERE boot = $1 ORDER BY seq DESC LIMIT 1), 0) FROM boots"
    " WHERE id = $1"
)
_DEAD = (
    "UPDATE boots SET ended = 1 WHERE ended = 0 AND id <> $1 AND seen_at < clock_timestamp() - make_interval(secs =>"
    " $2::float8) AND pg_postmaster_start_time() < clock_timestamp() - make_interval(secs => $2::float8)"
    " AND clock_timestamp() < to_timestamp($3::float8 / 1000000)"
)
_STUCK = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1 AND datname ="
    " current_database() AND usename = current_user AND pid <> pg_backend_pid() AND state = 'active'"
    " AND wait_event = 'ClientRead' AND state_change < clock_timestamp() - interval '1 second'"
)
"""A session that was sent half a trip: no time limit of the server's ends it."""
_ORPHANS = (
    "SELECT h.id, h.boot, h.account, h.key, h.amount, h.quota_held, h.metered, h.ref, h.unlimited, h.estimate, h.at_us,"
    " h.note, EXISTS (SELECT 1 FROM requests r WHERE r.request_id = h.ref)::int FROM holds h JOIN boots b"
    " ON b.id = h.boot WHERE b.ended = 1 ORDER BY h.id LIMIT $1"
)
_FENCED = (
    "another gateway has declared this one dead, and ended its holds, or a fail-over has lost that it was started:"
    " start it again"
)
_COMMIT, _ROLLBACK = Step("COMMIT"), Step("ROLLBACK")


class WireStore:
    """`conninfo` is libpq's; `boot` is one of `gateway`'s."""

    def __init__(self, conninfo: str, boot: int, gateway: str) -> None:
        self.conninfo = conninfo
        self.boot = boot
        self.gateway = gateway
        self.wire: Wire | None = None

    async def open(self) -> None:
        if self.wire is None or self.wire.closed:
            self.wire = await Wire.open(self.conninfo, SESSION)

    async def _trip(self, steps: Sequence[Step], seconds: float = TRIP_S) -> list[list[tuple[Any, ...]]]:
        if self.wire is None or self.wire.closed:
            raise Away("there is no connection")
        try:
            return await self.wire.trip(steps, seconds)
        except Rejected as rejected:
            if rejected.state == ONLY_READS:
                self.wire.close()  # another server takes changes now
            else:
                await self.wire.trip([_ROLLBACK], TRIP_S)
            raise

    async def begin(
        self, seen: int, *, orphans: bool = False, grace_s: float | None = None, latest_us: int = 0
    ) -> Begun:
        steps = [_BEGIN, _HEAD, Step(_LOOK, (seen, self.boot, self.gateway))]
        if grace_s is not None:
            steps.append(Step(_DEAD, (self.boot, str(grace_s), str(latest_us))))
        if orphans:
            steps.append(Step(_ORPHANS, (MOST_ORPHANS,)))
        _, ((seq,),), found, *orphaned = await self._trip(steps)
        at_us, alive, many = 0, False, 0
        before = latest = None
        others: list[str] = []
        touched: list[tuple[str, str]] = []
        for what, number, boot, text, more in sorted(found):
            if what == _CLOCK:
                at_us = number
            elif what == _ALIVE:
                alive = True
            elif what == _BEFORE:
                before = latest = Stamp(boot, number)
            elif what == _NOTE:
                many += 1
                latest = Stamp(boot, int(more))
                if boot != self.boot:
                    others.append(text)
            else:
                touched.append((text, more))
        if not alive:
            raise Fenced(_FENCED)
        if many != seq - seen:
            raise Behind
        return Begun(seq, at_us, others, touched, orphaned[-1] if orphans else (), before, latest)

    async def rows(self, steps: Sequence[Step]) -> list[list[tuple[Any, ...]]]:
        return await self._trip(steps)

    async def commit(self, steps: Sequence[Step], *, seq: int, mark: int, note: str, patient: bool = False) -> Stamp:
        if patient:
            await self._trip([_PATIENT])
        whole = [*steps, Step(_TURN, (seq, mark, self.boot, note)), _COMMIT]
        *_, ((at_us,),), _ = await self._trip(whole, PATIENT_S + 1 if patient else TRIP_S)
        return Stamp(self.boot, at_us)

    async def leave(self, *, alive: bool) -> None:
        await self._trip([Step(_SEEN, (self.boot,)), _COMMIT] if alive else [_ROLLBACK])

    async def went_in(self, mark: int) -> Stamp | None:
        # Whatever our old connection still does, it does with the head: we wait for it.
        _, _, found, _ = await self._trip([_BEGIN, _HEAD, Step(_MARKED, (self.boot,)), _COMMIT])
        return Stamp(self.boot, found[0][1]) if found and found[0][0] == mark else None

    async def throw_out(self) -> None:
        other = await Wire.open(self.conninfo, SESSION)
        try:
            await other.trip([Step(_STUCK, (APPLICATION,))], TRIP_S)
        except Rejected as error:  # a server on which nobody may do that: then its own limits must do
            log.warning("who has the turn and stands still cannot be thrown out: %s", error)
        finally:
            other.close()

    def close(self) -> None:
        if self.wire is not None:
            self.wire.close()
