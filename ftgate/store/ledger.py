"""The ledger on this machine: the books in memory decide, the writer remembers.

Every method decides without an await: between looking at a balance and taking from it nothing else can run.
"""

from typing import Protocol

import trio

from ftgate.core import pricing
from ftgate.core.books import MAX_SPENT, Balance, Books, Ended, Quota, Refusal
from ftgate.core.limits import Refused, Ticket
from ftgate.core.moments import month
from ftgate.errors import DatabaseFailed
from ftgate.ports import BYOK, Clock, Exhausted, Held, HoldRequest, Poor, Row, Settled
from ftgate.store.batch import Batch
from ftgate.store.database import DatabaseFault


class Log(Protocol):
    """Where decisions are remembered: store.writer.Writer, or a list in tests."""

    def busy(self) -> str | None: ...

    def changed(self, *, soon: bool = True) -> Batch: ...

    async def durable_within(self, batch: Batch, seconds: float) -> bool: ...


class AlreadyEnded(Exception):
    """A hold was to be ended twice. The first end stands; this is a bug in whoever asked."""


class IdReused(Exception):
    """A hold was to be taken twice under one id of ours. The first stands; this is a bug in whoever asked."""


def begin_anew(quota: Quota, now_us: int, batch: Batch) -> int:
    """The span of a key's quota is over: the next begins, also after a restart. When that was, by the calendar."""
    began = quota.begin(quota.reset, now_us)
    sql = "UPDATE keys SET window_us = ?, window_used = ? WHERE id = ?"
    batch.statements.append((sql, (began, quota.before, quota.key)))
    return began


class MemoryLedger:
    """ports.Ledger over core.books."""

    immediate = True

    def __init__(self, books: Books, log: Log, clock: Clock) -> None:
        self.books = books
        self.log = log
        self.clock = clock

    def busy(self) -> str | None:
        return self.log.busy()

    async def hold(self, request: HoldRequest) -> Held | Poor | Exhausted | None:
        """Decide and take. Raises IdReused."""
        return self.decide_hold(request)

    def decide_hold(self, request: HoldRequest) -> Held | Poor | Exhausted | None:
        """As hold(), and at once."""
        balance = self.books.accounts[request.account]
        quota = self._quota(request.key)
        room = self.books.room(request.account, request.key)
        bounded = room is not None
        sized = pricing.hold_for(request.offers, room, request.multiplier, tries=request.tries)
        if sized is None:
            return None
        if request.month and (used := self.books.used_in(request.account, request.month)) >= request.month_limit:
            return Exhausted(used, request.month_limit)
        if not isinstance(sized, pricing.Sized):
            return self._poor(sized.required, balance, quota)
        taken = self.books.hold(
            request.account,
            request.key,
            sized.amount,
            ref=request.ref,
            estimate=sized.estimate,
            at_us=self.clock.wall_us(),
            note=BYOK if request.month else "",
        )
        if not isinstance(taken, tuple):
            if taken is Refusal.id_reused or taken is Refusal.already_done:
                raise IdReused(f"{request.ref}: {taken.value}")
            return self._poor(sized.amount, balance, quota)
        hold, entry = taken
        batch = self.log.changed(soon=request.soon)
        batch.remember((entry,), balance)
        return Held(hold.id, sized.amount, bounded, sized.kept, batch)

    async def enter(self, ref: str, ticket: Ticket) -> Refused | None:
        """Nobody else keeps these limits."""
        return None

    async def available(self, account: int, key: int) -> int | None:
        if account not in self.books.accounts:  # the operator has no account
            return None
        self._quota(key)
        return self.books.room(account, key)

    def _quota(self, key: int, now_us: int | None = None) -> Quota:
        """A key's quota, in the span in which it is now."""
        quota = self.books.quotas[key]
        if quota.until_us is not None:
            now_us = self.clock.wall_us() if now_us is None else now_us
            if now_us >= quota.until_us:
                begin_anew(quota, now_us, self.log.changed())
        return quota

    @staticmethod
    def _poor(required: int, balance: Balance, quota: Quota) -> Poor:
        if quota.used >= MAX_SPENT:
            return Poor(quota=True, available=0, required=required)
        if quota.left is not None and required > quota.left:
            return Poor(quota=True, available=max(quota.left, 0), required=required)
        return Poor(quota=False, available=balance.available, required=required)

    async def settle(self, hold: object, charge: int | None, row: Row) -> Settled:
        """Decide and remember. Raises AlreadyEnded."""
        return self.decide_end(hold, charge, row)

    def decide_end(self, hold: object, charge: int | None, row: Row) -> Settled:
        """As settle(), and at once."""
        assert isinstance(hold, int)
        held = self.books.open.get(hold)
        at_us = self.clock.wall_us()
        if held is not None:
            quota = self._quota(held.key, at_us)  # a call counts in the span in which it ends
        ended = self.books.void(hold, at_us=at_us) if charge is None else self.books.post(hold, charge, at_us=at_us)
        if held is None or not isinstance(ended, Ended):
            raise AlreadyEnded(f"hold {hold}: {ended}")
        balance = self.books.accounts[held.account]
        batch = self.log.changed()
        quota.seen_us = at_us
        batch.remember(ended.entries, balance, quota)
        row.hold, row.cost, row.lost = hold, ended.charged, ended.lost
        batch.rows.append(row)
        byok = row.mode == BYOK
        if byok:
            self._count(batch, row)
        return Settled(ended.charged, ended.lost, None if held.metered or byok else ended.posted, batch)

    def _count(self, batch: Batch, row: Row) -> None:
        """A BYOK call's tokens, in the month in which it came: so its row alone says where they count."""
        if tokens := row.prompt_tokens + row.completion_tokens:
            when = month(row.created_at_us)
            self.books.count_month(row.account, when, tokens)
            batch.count_month(row.account, when, tokens)

    async def note(self, row: Row) -> None:
        self.log.changed().rows.append(row)

    def is_durable(self, ticket: object) -> bool:
        assert isinstance(ticket, Batch)
        return ticket.done

    async def durable_within(self, ticket: object, seconds: float) -> bool:
        assert isinstance(ticket, Batch)
        if ticket.done:
            await trio.lowlevel.checkpoint_if_cancelled()
            return True
        try:
            return await self.log.durable_within(ticket, seconds)
        except DatabaseFault as fault:
            raise DatabaseFailed("the ledger has failed, and the gateway is stopping") from fault
