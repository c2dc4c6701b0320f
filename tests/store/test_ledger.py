"""What MemoryLedger adds to the books: sizing, who is too poor for what, rows that say what was charged, tickets.

Every test's entries are read by the auditor, which shares no arithmetic with the books.
"""

from typing import Any

import pytest
import trio

from ftgate.core.audit import Audit
from ftgate.core.books import Books, Entry
from ftgate.core.pricing import ONE, Multiplier, Price, Quote
from ftgate.errors import DatabaseFailed
from ftgate.ports import Held, HoldRequest, Poor
from ftgate.store.batch import Batch
from ftgate.store.database import DatabaseFault
from ftgate.store.ledger import AlreadyEnded, IdReused, MemoryLedger
from tests.core.offers import offers
from tests.fakes.ports import InlineLog, TrioClock
from tests.store.faulty import row

PRICE = Price(1, 2, 1, 1, 1)


class Ledger(MemoryLedger):
    """One account and one key over an inline log."""

    def __init__(self, credits: int = 0, *, metered: bool = False, quota: int | None = None) -> None:
        self.inline = InlineLog()
        super().__init__(Books(), self.inline, TrioClock())
        self.books.open_account(1, metered=metered)
        self.books.open_key(1, limit=quota)
        if credits:
            granted = self.books.grant(1, credits, ref="grant_1", at_us=0)
            assert isinstance(granted, Entry)
            self.inline.changed().remember((granted,), self.books.accounts[1])

    async def take(
        self, prompt: int = 100, cap: int | None = None, *, limit: int = 4000, factor: Multiplier = ONE
    ) -> Held | Poor | None:
        quote = Quote(price=PRICE, prompt_tokens=prompt, answers=1, cap=cap, model_limit=limit, likely_tokens=prompt)
        ref = f"req_{self.books.next_id}"
        return await self.hold(HoldRequest(account=1, key=1, offers=offers(quote), multiplier=factor, tries=1, ref=ref))

    async def held(self, *values: Any, **fields: Any) -> Held:
        held = await self.take(*values, **fields)
        assert isinstance(held, Held)
        return held

    def check(self) -> tuple[int, int, int]:
        """(posted, held, used), after the auditor has agreed, and the last balance of every batch too."""
        audit = Audit()
        for entry in self.inline.entries:
            audit.note(entry)
        balances = {key: value[1:] for batch in self.inline.batches for key, value in batch.balances.items()}
        spent = {key: value[1] for batch in self.inline.batches for key, value in batch.spent.items()}
        audit.finish(balances or {1: (0, 0, 0)}, spent)
        balance = self.books.accounts[1]
        assert balances.get(1, (0, 0, 0)) == (balance.posted, balance.held, balance.used)
        assert spent.get(1, 0) == self.books.quotas[1].used
        return balance.posted, balance.held, balance.used


async def test_hold_settle_and_the_row() -> None:
    ledger = Ledger(100_000)
    held = await ledger.held(100, 1000)
    assert (held.amount, held.kept, held.bounded) == (2100, (0,), True)
    assert ledger.check() == (100_000, 2100, 0)
    settled = await ledger.settle(held.id, 700, row("r1", held.id, cost=700))
    assert (settled.charged, settled.lost, settled.balance) == (700, 0, 99_300)
    assert ledger.check() == (99_300, 0, 0)
    assert [(r.cost, r.lost) for r in ledger.inline.rows] == [(700, 0)]
    assert ledger.inline.batches[-1].entries[-1].kind == "post" and ledger.inline.batches[-1].rows  # one transaction


async def test_void() -> None:
    ledger = Ledger(100_000)
    held = await ledger.held(100, 1000)
    settled = await ledger.settle(held.id, None, row("r1", held.id, cost=0, status="error"))
    assert (settled.charged, settled.lost, settled.balance) == (0, 0, 100_000)
    assert ledger.check() == (100_000, 0, 0)
    assert ledger.inline.entries[-1].kind == "void"


@pytest.mark.parametrize(
    ("credits", "charge", "charged", "lost"),
    [(10_000, 2500, 2500, 0), (2100, 2500, 2100, 400), (2300, 2500, 2300, 200), (2500, 2500, 2500, 0)],
)
async def test_used_past_the_hold(credits: int, charge: int, charged: int, lost: int) -> None:
    ledger = Ledger(credits)
    held = await ledger.held(100, 1000)
    settled = await ledger.settle(held.id, charge, row("r1", held.id, cost=charge))
    assert (settled.charged, settled.lost, settled.balance) == (charged, lost, credits - charged)
    assert ledger.check() == (credits - charged, 0, 0)
    assert [(r.cost, r.lost) for r in ledger.inline.rows] == [(charged, lost)]


async def test_the_row_of_a_void_costs_nothing_whatever_it_said() -> None:
    ledger = Ledger(10_000)
    held = await ledger.held(100, 1000)
    await ledger.settle(held.id, None, row("r1", held.id, cost=99))
    assert ledger.inline.rows[-1].cost == 0


async def test_a_hold_ends_once() -> None:
    ledger = Ledger(10_000)
    held = await ledger.held(100, 1000)
    await ledger.settle(held.id, 5, row("r1", held.id, cost=5))
    before = len(ledger.inline.batches)
    for charge in (5, 6, None):
        with pytest.raises(AlreadyEnded, match=f"hold {held.id}: "):
            await ledger.settle(held.id, charge, row("r2", held.id))
    with pytest.raises(AlreadyEnded, match="hold_unknown"):
        await ledger.settle(999, 5, row("r3", 999))
    assert len(ledger.inline.batches) == before
    assert ledger.check() == (9_995, 0, 0)


# Sizing


@pytest.mark.parametrize(
    ("credits", "cap", "amount", "tokens"),
    [
        (100_000, None, 8100, 4000),  # affordable in full
        (16_200, None, 8100, 4000),  # in full is exactly half
        (16_198, None, 8098, 3999),  # half of what is available decides
        (8000, None, 4000, 1950),
        (4296, None, 2148, 1024),
        (4000, None, 2148, 1024),  # half does not buy the least, the whole does
        (2148, None, 2148, 1024),
        (2147, None, None, 2148),  # 402, and what it takes
        (8100, 4000, 8100, 4000),  # the caller's cap is held whole
        (8099, 4000, None, 8100),
        (100, 1, None, 102),
    ],
)
async def test_how_large_a_hold_is(credits: int, cap: int | None, amount: int | None, tokens: int) -> None:
    ledger = Ledger(credits)
    held = await ledger.take(100, cap)
    if amount is None:
        assert held == Poor(quota=False, available=credits, required=tokens)
        assert ledger.check() == (credits, 0, 0)
        return
    assert isinstance(held, Held)
    quote = Quote(price=PRICE, prompt_tokens=100, answers=1, cap=cap, model_limit=4000)
    assert (held.amount, quote.cap_within(held.amount)) == (amount, tokens)
    assert ledger.check() == (credits, amount, 0)


async def test_a_second_hold_is_sized_from_what_the_first_left() -> None:
    ledger = Ledger(16_000)
    first, second = await ledger.held(), await ledger.held()
    assert (first.amount, second.amount) == (8000, 4000)
    await ledger.settle(first.id, 10, row("r1", first.id, cost=10))
    assert (await ledger.held()).amount == 5994  # half of 15990 - 4000, down to a whole token


async def test_holds_drain_a_balance_to_the_last_unit_and_not_past_it() -> None:
    ledger = Ledger(100)
    taken = [await ledger.take(7, 0) for _ in range(500)]
    held = [one for one in taken if isinstance(one, Held)]
    assert len(held) == 14 and ledger.books.accounts[1].available == 2
    assert taken[14:] == [Poor(quota=False, available=2, required=7)] * 486
    for one in held:
        await ledger.settle(one.id, 7, row(f"r{one.id}", one.id, cost=7))
    assert ledger.check() == (2, 0, 0)


async def test_the_multiplier_is_in_the_hold_rounded_up() -> None:
    ledger = Ledger(100_000)
    assert (await ledger.held(100, 1000, factor=Multiplier(1, 1000))).amount == 3


# Who is too poor for what


@pytest.mark.parametrize(
    ("credits", "quota", "poor"),
    [
        (10_000, 2000, Poor(quota=True, available=2000, required=2100)),
        (2000, 10_000, Poor(quota=False, available=2000, required=2100)),
        (1000, 2000, Poor(quota=True, available=2000, required=2100)),  # both: the quota is said first
        (0, 0, Poor(quota=True, available=0, required=2100)),
        (0, None, Poor(quota=False, available=0, required=2100)),
    ],
)
async def test_the_quota_is_said_before_the_credits(credits: int, quota: int | None, poor: Poor) -> None:
    ledger = Ledger(credits, quota=quota)
    assert await ledger.take(100, 1000) == poor
    assert ledger.check() == (credits, 0, 0)


async def test_open_holds_count_against_the_quota() -> None:
    ledger = Ledger(100_000, quota=5000)
    first = await ledger.held(100, 1000)
    second = await ledger.held(100, 1000)
    assert await ledger.take(100, 1000) == Poor(quota=True, available=800, required=2100)
    await ledger.settle(first.id, 100, row("r1", first.id, cost=100))
    await ledger.settle(second.id, None, row("r2", second.id))
    assert ledger.books.quotas[1].left == 4900
    assert isinstance(await ledger.take(100, 1000), Held)


async def test_a_quota_is_never_passed_and_never_shows_as_negative() -> None:
    ledger = Ledger(100_000, quota=3000)
    held = await ledger.held(100, 1000)
    await ledger.settle(held.id, 9000, row("r1", held.id, cost=9000))
    assert ledger.books.quotas[1].left == 0  # what the upstream took beyond it is a loss of ours
    assert await ledger.take(100, 1000) == Poor(quota=True, available=0, required=2100)
    assert ledger.check() == (97_000, 0, 0)


# Metered


async def test_metered_calls_block_nothing_and_are_bounded_by_nothing() -> None:
    ledger = Ledger(metered=True)
    for cap in (None, 10):
        held = await ledger.held(100, cap)
        assert (held.amount, held.kept, held.bounded) == (0, (0,), False)
        assert ledger.inline.entries[-1].estimate == 100
        settled = await ledger.settle(held.id, 700, row(f"r{held.id}", held.id, cost=700))
        assert (settled.charged, settled.lost, settled.balance) == (700, 0, None)
    assert ledger.check() == (0, 0, 1400)


@pytest.mark.parametrize(
    ("quota", "cap", "amount", "least"),
    [(2100, 1000, 2100, 2100), (16_200, None, 8100, 2148), (8000, None, 4000, 2148), (2148, None, 2148, 2148)],
)
async def test_a_metered_key_with_a_quota_is_sized_against_it(
    quota: int, cap: int | None, amount: int, least: int
) -> None:
    ledger = Ledger(metered=True, quota=quota)
    held = await ledger.held(100, cap)
    assert (held.amount, held.bounded) == (amount, True)
    assert ledger.check() == (0, 0, 0) and ledger.books.quotas[1].left == quota - amount
    await ledger.settle(held.id, quota - 1, row("r1", held.id, cost=1))
    assert await ledger.take(100, cap) == Poor(quota=True, available=1, required=least)
    assert ledger.check()[2] == quota - 1


async def test_a_free_call_is_taken_below_zero() -> None:
    ledger = Ledger(10)
    corrected = ledger.books.correct(1, -500, ref="c1", at_us=0)
    assert isinstance(corrected, Entry)
    ledger.inline.changed().remember((corrected,), ledger.books.accounts[1])
    free = Quote(price=Price(0, 0, 0, 0, 0), prompt_tokens=100, answers=1, cap=None, model_limit=4000)
    held = await ledger.hold(
        HoldRequest(account=1, key=1, offers=offers(free), multiplier=ONE, tries=1, ref="req_free")
    )
    assert isinstance(held, Held) and held.amount == 0
    settled = await ledger.settle(held.id, 0, row("r1", 0))
    assert (settled.charged, settled.balance) == (0, -490)
    assert await ledger.take(1, 1) == Poor(quota=False, available=-490, required=3)
    assert ledger.check() == (-490, 0, 0)


# The log


async def test_a_note_is_a_row_without_entries() -> None:
    ledger = Ledger()
    await ledger.note(row("r1", status="refused", http_status=400))
    assert [r.request_id for r in ledger.inline.rows] == ["r1"] and ledger.inline.entries == []


async def test_busy_is_the_logs() -> None:
    ledger = Ledger()
    assert ledger.busy() is None
    ledger.inline.trouble = "full"
    assert ledger.busy() == "full"


async def test_tickets(autojump_clock: trio.abc.Clock) -> None:
    ledger = Ledger(10_000)
    ledger.inline.stuck = True
    held = await ledger.held(100, 1000)
    assert not ledger.is_durable(held.ticket) and not await ledger.durable_within(held.ticket, 2)
    assert trio.current_time() == pytest.approx(2)
    ledger.inline.unstick()
    assert ledger.is_durable(held.ticket) and await ledger.durable_within(held.ticket, 0)
    with trio.CancelScope() as scope:
        scope.cancel()
        await ledger.durable_within(held.ticket, 2)
    assert scope.cancelled_caught  # a finished ticket still passes a checkpoint


async def test_a_ticket_of_a_dead_database_is_never_durable(
    autojump_clock: trio.abc.Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(10_000)
    ledger.inline.stuck = True

    async def failed(_: Batch, seconds: float) -> bool:
        raise DatabaseFault("the database has failed")

    monkeypatch.setattr(ledger.inline, "durable_within", failed)
    held = await ledger.held(100, 1000)
    with pytest.raises(DatabaseFailed):
        await ledger.durable_within(held.ticket, 2)


@pytest.mark.parametrize("prompt", [100, 7])
async def test_one_id_takes_one_hold(prompt: int) -> None:
    ledger = Ledger(10_000)
    held = await ledger.held(100, 1000)
    quote = Quote(price=PRICE, prompt_tokens=prompt, answers=1, cap=1000, model_limit=4000)
    known = ledger.books.open[held.id].ref
    with pytest.raises(IdReused):
        await ledger.hold(HoldRequest(account=1, key=1, offers=offers(quote), multiplier=ONE, tries=1, ref=known))
    assert ledger.check() == (10_000, held.amount, 0)


DAY_US = 86_400 * 1_000_000


class Dated(TrioClock):
    """At a date of its own."""

    at_us = 20_000 * DAY_US

    def wall_us(self) -> int:
        return self.at_us


async def test_a_quota_begins_anew_with_its_span() -> None:
    clock, ledger = Dated(), Ledger(100_000, quota=500)
    ledger.clock = clock
    quota = ledger.books.quotas[1]
    assert quota.begin("day", clock.at_us) == clock.at_us
    for day in range(3):
        held = await ledger.held(100, 200)  # 100 + 200 * 2
        assert held.amount == 500 and quota.left == 0
        assert await ledger.take(100, 200) == Poor(quota=True, available=0, required=500)
        await ledger.settle(held.id, 500, row(f"r{day}", cost=500))
        assert await ledger.take(1, 1) == Poor(quota=True, available=0, required=3)
        assert (quota.used, quota.before) == (500 * (day + 1), 500 * day)
        clock.at_us += DAY_US - 1
        assert isinstance(await ledger.take(1, 1), Poor)  # the last microsecond of the day
        clock.at_us += 1
    said = [(sql, values) for batch in ledger.inline.batches for sql, values in batch.statements]
    sql = "UPDATE keys SET window_us = ?, window_used = ? WHERE id = ?"
    assert said == [(sql, ((20_000 + day) * DAY_US, 500 * day, 1)) for day in (1, 2)]
    ledger.check()


async def test_a_call_over_the_border_counts_where_it_ends() -> None:
    clock, ledger = Dated(), Ledger(100_000, quota=500)
    ledger.clock = clock
    quota = ledger.books.quotas[1]
    quota.begin("day", clock.at_us)
    held = await ledger.held(100, 100)
    clock.at_us += DAY_US
    second = await ledger.held(100, 50)  # what the first holds is not free yet: 500 - 300
    assert (held.amount, second.amount, quota.left) == (300, 200, 0)
    await ledger.settle(held.id, 300, row("r1", cost=300))
    await ledger.settle(second.id, 200, row("r2", cost=200))
    assert (quota.used, quota.before, quota.left) == (500, 0, 0)
    ledger.check()


DAY_S = 86_400


async def test_a_call_counts_in_the_span_in_which_it_ends(autojump_clock: Any) -> None:
    """Also where no other call has come since: nobody else would have begun the span."""
    ledger = Ledger(100_000, quota=3000)
    quota = ledger.books.quotas[1]
    quota.begin("day", 0)
    first = await ledger.held(100, 1000)
    await ledger.settle(first.id, 2000, row("r1", first.id, cost=2000))
    over = await ledger.held(100, 400)
    assert quota.left == 100
    await trio.sleep(DAY_S - trio.current_time())
    assert await ledger.available(1, 1) == 3000 - over.amount  # asking begins it too
    await ledger.settle(over.id, 700, row("r2", over.id, cost=700))
    assert quota.left == await ledger.available(1, 1) == 3000 - 700
    held = await ledger.held(100, 1000)
    assert quota.left == 3000 - 700 - held.amount
    await trio.sleep(DAY_S)
    await ledger.settle(held.id, 900, row("r3", held.id, cost=900))
    assert quota.left == 3000 - 900
    written = [values for batch in ledger.inline.batches for sql, values in batch.statements]
    assert written == [(DAY_S * 10**6, 2000, 1), (2 * DAY_S * 10**6, 2700, 1)]
