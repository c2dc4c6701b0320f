"""ports.Ledger over a lane: the same decisions as beside a file (store.ledger), each made in a turn.

A hold answers when it is committed. A settle is taken at once and written in the next turn, and answers within two
seconds, decided or not. What is cancelled leaves no hold behind.
"""

import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import trio

from ftgate.core.books import Books, Entry, Hold
from ftgate.core.limits import Refused, Ticket
from ftgate.core.limits_shared import SharedLimits
from ftgate.core.pricing import ONE
from ftgate.core.receipt import multiplier_text
from ftgate.errors import DatabaseBusy, DatabaseFailed
from ftgate.ports import Exhausted, Held, HoldRequest, Poor, Row, Settled
from ftgate.store.batch import Batch
from ftgate.store.database import DatabaseFault
from ftgate.store.ledger import MemoryLedger
from ftgate.store.postgres.clock import TurnClock
from ftgate.store.postgres.job import Job
from ftgate.store.postgres.lane import Lane
from ftgate.store.recovery import crashed_row

log = logging.getLogger("ftgate.store")

SETTLE_S = 2.0
MOST_REMEMBERED = 20_000
"""Of the holds that were ended last, so that they are ended again where a fail-over has lost that: what a very busy
gateway ends in five seconds, some 30 MB."""
_WAS_LOST = "its hold was lost by the database"
_TOLD = "SELECT 1", ()
"""A change of nothing, so that the turn is written, and with it what it tells the others."""


class TurnLedger:
    """`admit` looks at a hold's key under the head, and at what else all gateways have in common; it raises what
    refuses the call."""

    immediate = False

    def __init__(self, books: Books, lane: Lane, clock: TurnClock, admit: Callable[[HoldRequest], None]) -> None:
        self.books = books
        self.lane = lane
        self.memory = MemoryLedger(books, lane, clock)
        self.clock = clock
        self.admit = admit
        self.shared: SharedLimits | None = None
        # Hold, charge and row of each that is in: nothing in it that the collector of cycles would have to look at.
        self._ended: deque[tuple[int, int | None, Row]] = deque(maxlen=MOST_REMEMBERED)
        lane.reloaded = self._end_again

    def _end_again(self) -> None:
        """Memory was read anew: what has ended holds that are open all the same was lost by the database."""
        open = self.books.open
        lost = [one for one in self._ended if one[0] in open and open[one[0]].ref == one[2].request_id]
        if not lost:
            return
        log.warning("the database has lost the ends of %d calls: they are written again", len(lost))
        gone = {id(one) for one in lost}
        self._ended = deque((one for one in self._ended if id(one) not in gone), MOST_REMEMBERED)
        for hold, charge, row in lost:
            self._end(hold, charge, row)

    def busy(self) -> str | None:
        why = self.lane.busy()  # callers read it, and the server's own words may name its address
        return "the database does not answer" if why and why == self.lane.trouble else why

    async def hold(self, request: HoldRequest) -> Held | Poor | Exhausted | Refused | None:
        """As ports.Ledger says. Raises what `admit` does, DatabaseFailed."""
        offers = list(request.offers)  # it may have to be decided twice

        def decide() -> Held | Poor | Exhausted | Refused | None:
            self.admit(request)
            if self.shared is not None and (refused := self.shared.confirm(request.ticket, self.clock.moment())):
                return refused
            held = self.memory.decide_hold(msgspec.structs.replace(request, offers=iter(offers)))
            if self.shared is not None and isinstance(held, Held):
                self.shared.held(request.ref, request.ticket, self.clock.wall_us())
            return held

        held: Held | Poor | Exhausted | Refused | None = await self._decided(
            decide, lambda job: self._give_back(job, request.ref)
        )
        return held

    async def _decided(self, decide: Callable[[], Any], undo: Callable[[Job], None] | None = None) -> Any:
        """What a decision came to. Cancelled, it is not made, or `undo` is called as soon as it is in. Raises what
        `decide` does, DatabaseFailed."""
        job = self.lane.do(Job(decide))
        try:
            await job.event.wait()
        except trio.Cancelled:
            job.withdrawn = True
            if undo is not None and job.done:
                undo(job)
            elif job.decided:
                job.settled = undo
            raise
        if job.error is not None:
            raise _told(job.error)
        return job.result

    def _give_back(self, job: Job, ref: str) -> None:
        held = job.result
        if isinstance(held, Held) and job.error is None:
            self.lane.do(Job(lambda: self._void(held, ref), self._was_void))

    def _void(self, held: Held, ref: str) -> tuple[int, None, Row] | None:
        """What is to be remembered of it, where there was something to end."""
        assert isinstance(held.id, int)
        hold = self.books.open.get(held.id)
        if hold is None or hold.ref != ref:  # its number may have been given again
            return None
        if self.shared is not None:
            self.shared.ended(hold.ref, 0)
        row = _withdrawn(hold, self.memory.clock.wall_us())
        self.memory.decide_end(hold.id, None, row)
        return hold.id, None, row

    def _was_void(self, job: Job) -> None:
        if job.result is not None:
            self._ended.append(job.result)

    async def enter(self, ref: str, ticket: Ticket) -> Refused | None:
        """As ports.Ledger says: in a turn of its own. Raises DatabaseBusy, DatabaseFailed."""
        shared = self.shared
        assert shared is not None

        def decide() -> Refused | None:
            refused = shared.confirm(ticket, self.clock.moment())
            if refused is None:
                shared.held(ref, ticket, self.clock.wall_us())
                self.lane.changed().statements.append(_TOLD)
            return refused

        def leave(tokens: int) -> None:
            shared.left(ref, ticket, tokens)
            self.lane.changed().statements.append(_TOLD)

        ticket.left = lambda tokens: self.lane.later(partial(leave, tokens))  # behind `decide`, whatever becomes of it
        try:
            with trio.fail_after(SETTLE_S):
                refused: Refused | None = await self._decided(decide)
        except trio.TooSlowError:
            raise DatabaseBusy("the ledger did not decide in time; nothing was charged", retry_after_s=2) from None
        return refused

    async def available(self, account: int, key: int) -> int | None:
        if account not in self.books.accounts:
            return None
        return self.books.room(account, key)

    def _end(self, hold: Any, charge: int | None, row: Row) -> Job:
        """Have a hold ended in the next turn."""

        def decide() -> Settled:
            if self.shared is not None:
                self.shared.ended(row.request_id, row.prompt_tokens + row.completion_tokens)
            open = self.books.open.get(hold)
            if open is None or open.ref != row.request_id:
                *_, ref = self.books.ended.get(hold, ("",))
                if ref != row.request_id:
                    return self._lost(charge, row)
            return self.memory.decide_end(hold, charge, row)

        return self.lane.do(Job(decide, lambda job: self._ended.append((hold, charge, row))))

    async def settle(self, hold: object, charge: int | None, row: Row) -> Settled:
        """As ports.Ledger says. Raises AlreadyEnded."""
        job = self._end(hold, charge, row)
        with trio.move_on_after(SETTLE_S):
            await job.event.wait()
        if not job.done and job.error is None:
            return Settled(None, 0, None, job)
        if job.error is not None:
            if isinstance(job.error, DatabaseFault):
                return Settled(None, 0, None, job)
            raise job.error
        settled: Settled = job.result
        return Settled(settled.charged, settled.lost, settled.balance, job)

    def _lost(self, charge: int | None, row: Row) -> Settled:
        """The database has lost this hold, in a fail-over that lost the last commits: nothing can be charged."""
        log.critical("call %s: its hold is not in the database any more, and is not charged", row.request_id)
        if _WAS_LOST not in row.remark:  # else it is decided again
            row.remark = "; ".join(filter(None, [row.remark, _WAS_LOST]))
        row.hold, row.cost, row.lost = 0, 0, 0
        self.lane.changed().rows.append(row)
        return Settled(0, 0, None, None)

    async def note(self, row: Row) -> None:
        self.lane.changed().rows.append(row)

    def is_durable(self, ticket: object) -> bool:
        return ticket.done if isinstance(ticket, (Job, Batch)) else True

    async def durable_within(self, ticket: object, seconds: float) -> bool:
        """As ports.Ledger says. Raises DatabaseFailed."""
        if isinstance(ticket, Job):
            if not ticket.event.is_set():  # seldom: settle() has waited for it
                with trio.move_on_after(seconds):
                    await ticket.event.wait()
            if ticket.error is not None:
                raise _told(ticket.error)
            return ticket.done
        assert isinstance(ticket, Batch)
        try:
            return await self.lane.durable_within(ticket, seconds)
        except DatabaseFault as fault:
            raise DatabaseFailed("the ledger has failed, and the gateway is stopping") from fault


def _withdrawn(hold: Hold, at_us: int) -> Row:
    """The row of a call that had its hold too late: its caller was told that the database is busy."""
    row = crashed_row(
        Entry(hold.id, "hold", hold.account, hold.key, "", "", hold.amount, 0, hold.ref, 0, at_us), charged=0
    )  # fmt: skip
    row.status, row.http_status, row.error_code = "refused", 503, DatabaseBusy.code
    row.multiplier = multiplier_text(ONE)
    return row


def _told(error: BaseException) -> BaseException:
    if isinstance(error, DatabaseFault):
        return DatabaseFailed("the ledger has failed, and the gateway is stopping")
    return error
