"""Houses of two gateways on one PostgreSQL, in one process: what one changes, the other decides by."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from ftgate.accounts import Accounts
from ftgate.app import open_house
from ftgate.core.limits import Limits, Rates, Ticket, take_requests
from ftgate.core.pricing import ONE, Price, Quote
from ftgate.house.shared import SharedHouse
from ftgate.ports import Held, HoldRequest
from ftgate.store.source import Postgres
from ftgate.store.verify import verify_ledger
from tests.config.reading import CHANNEL, ENVIRON, load
from tests.core.offers import offers
from tests.postgres import Server
from tests.store.faulty import row

House = SharedHouse[Accounts]
QUOTE = Quote(price=Price(1, 2, 1, 1, 1), prompt_tokens=10, answers=1, cap=100, model_limit=4000, likely_tokens=10)


@pytest.fixture
def source(postgres: Server) -> Iterator[Postgres]:
    with postgres.database() as source:
        yield source


@asynccontextmanager
async def opened(source: Postgres, place: Path, more: str = "") -> AsyncIterator[House]:
    text = f'{CHANNEL}[database]\nurl = "env:DATABASE"\n{more}'
    house: Any = open_house(load(text, {**ENVIRON, "DATABASE": source.url}), place, serving=True)
    try:
        assert await house.begin() == 0
        yield house
    finally:
        await house.close()


@asynccontextmanager
async def two(source: Postgres, folder: Path) -> AsyncIterator[tuple[House, House]]:
    async with opened(source, folder / "a") as a, opened(source, folder / "b") as b:
        yield a, b
    assert verify_ledger(source)["ok"]


async def ann(house: House) -> int:
    """An account with a key, both of the number 1."""
    await house.accounts.users.create(username="ann", credits="1")
    await house.accounts.keys.create(username="ann")
    return 1


class Line:
    """What takes holds of a house: at most so many of a key in a minute."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.limits = Limits(lambda scope, name: Rates(requests_per_minute=9, concurrent=9))
        self.ledger = house.ledger(self.limits)

    async def hold(self, ref: str) -> tuple[Held, Ticket]:
        ticket = Ticket()
        assert not take_requests(self.limits.scopes(("key", 1)), self.house.clock.now(), ticket)
        held = await self.ledger.hold(HoldRequest(1, 1, offers(QUOTE), ONE, 1, ref, ticket=ticket))
        assert isinstance(held, Held)
        return held, ticket

    async def settle(self, ref: str, taken: tuple[Held, Ticket]) -> None:
        await self.ledger.settle(taken[0].id, 5, row(ref, cost=5))
        taken[1].release(self.house.clock.now(), 12)

    def counted(self) -> tuple[int, int]:
        """Calls in flight elsewhere, and those that came within a minute, here and elsewhere."""
        meters = self.limits.meters("key", 1)
        return meters.elsewhere, meters.minute.used


async def test_limits_know_what_the_others_let_in(source: Postgres, tmp_path: Path) -> None:
    """What was told before a start, and what memory was read anew past: once."""
    async with opened(source, tmp_path / "a") as a:
        await ann(a)
        one = Line(a)
        await one.settle("r1", await one.hold("r1"))
        taken = {"r2": await one.hold("r2")}
        async with opened(source, tmp_path / "b") as b:
            taken["r3"] = await one.hold("r3")
            assert await b.refresh()
            other = Line(b)
            assert other.counted() == (2, 3)
            taken["r4"] = await one.hold("r4")
            b.lane.seen = await b.memory.reload()
            assert other.counted() == (3, 4)
            b.lane.seen = await b.memory.reload()
            assert other.counted() == (3, 4)
            for ref, held in taken.items():
                await one.settle(ref, held)
            assert await b.refresh() and other.counted() == (0, 4)
