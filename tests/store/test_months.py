"""The tokens of BYOK calls by month: they reach the database with the row that says so, outlive a kill, and are held
against the rows."""

from pathlib import Path
from typing import Any

import pytest

from ftgate.accounts import Accounts
from ftgate.core.books import Books
from ftgate.core.moments import parse_time
from ftgate.core.pricing import ONE, Price, Quote
from ftgate.house.house import DATABASE, House
from ftgate.ports import Exhausted, Held, HoldRequest
from ftgate.store.ledger import MemoryLedger
from ftgate.store.verify import verify_ledger
from tests.core.offers import offers
from tests.house.test_house import opened
from tests.store.faulty import read, row
from tests.store.houses import crashing, tamper

MAY, JUNE = parse_time("2026-05-31T23:59:59Z"), parse_time("2026-06-01")
FREE = Quote(price=Price(0, 0, 0, 0, 0), prompt_tokens=9, answers=1, cap=None, model_limit=9, likely_tokens=9)


async def take(house: House[Accounts], ref: str, month: str = "2026-05", limit: int = 1000) -> Any:
    ledger = MemoryLedger(house.books, house.writer, house.clock)
    return await ledger.hold(
        HoldRequest(
            account=1, key=1, offers=offers(FREE), multiplier=ONE, tries=1, ref=ref, month=month, month_limit=limit
        )
    )


async def call(house: House[Accounts], ref: str, at_us: int, tokens: int, mode: str = "byok") -> None:
    held = await take(house, ref)
    assert isinstance(held, Held) and held.amount == 0
    said = row(ref, created_at_us=at_us, mode=mode, prompt_tokens=tokens - 1, completion_tokens=1)
    settled = await MemoryLedger(house.books, house.writer, house.clock).settle(held.id, 0, said)
    assert (settled.charged, settled.balance) == (0, None if mode == "byok" else 10**12)
    await house.writer.durable(settled.ticket)


async def lived(place: Path) -> Path:
    """Two calls in May and one in June, which ends before the last one of May; then a kill with a call open."""
    async with opened(place) as house:
        await house.accounts.users.create(username="ann", credits="1")
        await house.accounts.keys.create(username="ann")
        await call(house, "req_1", MAY, 100)
        await call(house, "req_2", MAY, 20, mode="standard")
        await call(house, "req_3", JUNE, 7)
        await call(house, "req_4", MAY, 30)
        assert (house.books.used_in(1, "2026-06"), house.books.used_in(1, "2026-05")) == (7, 0)
    async with crashing(place) as house:
        assert house.books.used_in(1, "2026-06") == 7
        await call(house, "req_5", JUNE, 10)
        held = await take(house, "req_6")
        await house.writer.durable(held.ticket)
    return place / DATABASE


async def test_they_outlive_restarts_and_kills(tmp_path: Path) -> None:
    path = await lived(tmp_path / "data")
    assert read(path, "SELECT * FROM byok_months ORDER BY month") == [(1, "2026-05", 130), (1, "2026-06", 17)]
    async with opened(tmp_path / "data", orphans=1) as house:
        assert await house.accounts.directory.byok_tokens(1, "2026-06") == 17
        assert await house.accounts.directory.byok_tokens(1, "2026-07") == 0
        assert await house.accounts.directory.byok_tokens(2, "2026-06") == 0
    assert read(path, "SELECT mode, status, cost FROM requests ORDER BY id DESC LIMIT 1") == [("byok", "crashed", 0)]


async def test_past_the_limit_there_is_no_hold(tmp_path: Path) -> None:
    path = await lived(tmp_path / "data")
    async with opened(tmp_path / "data", orphans=1) as house:
        assert isinstance(await take(house, "a", "2026-06", 18), Held)
        assert await take(house, "b", "2026-06", 17) == Exhausted(17, 17)
        assert await take(house, "c", "2026-07", 0) == Exhausted(0, 0)
        assert isinstance(await take(house, "d", "2026-07", 1), Held)
        for hold in list(house.books.open):
            await MemoryLedger(house.books, house.writer, house.clock).settle(
                hold, None, row(house.books.open[hold].ref, mode="byok", prompt_tokens=0, completion_tokens=0)
            )
    assert verify_ledger(path)["ok"]


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("UPDATE byok_months SET tokens = 129 WHERE month = '2026-05'", "129|2026-05|130"),
        ("UPDATE byok_months SET tokens = 18 WHERE month = '2026-06'", "18|2026-06|17"),
        ("DELETE FROM byok_months WHERE month = '2026-06'", "0|2026-06|17"),
        ("INSERT INTO byok_months VALUES (2, '2026-04', 1)", "1|2026-04|0"),
        ("UPDATE requests SET mode = 'standard' WHERE request_id = 'req_5'", "17|2026-06|7"),
    ],
)  # fmt: skip
async def test_what_is_remembered_is_held_against_the_rows(tmp_path: Path, sql: str, said: str) -> None:
    path = await lived(tmp_path / "data")
    assert verify_ledger(path)["ok"]
    tamper(path, sql)
    tokens, month, found = said.split("|")
    words = f"{tokens} tokens of BYOK calls are remembered of {month}; its requests say {found}"
    assert words in str(verify_ledger(path)["disagreement"])


def test_only_the_last_month_is_remembered_in_memory() -> None:
    books = Books()
    for month, tokens, used in (("2026-05", 5, 5), ("2026-05", 6, 11), ("2026-06", 1, 1), ("2026-05", 9, 1)):
        books.count_month(1, month, tokens)
        assert books.used_in(1, max(month, "2026-06" if tokens in (1, 9) else month)) == used
    assert books.months == {1: ("2026-06", 1)}
