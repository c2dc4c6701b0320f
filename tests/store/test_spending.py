"""What channels have cost, read from the rows and from the note of how far they were read."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ftgate.accounts import Accounts
from ftgate.core.pricing import ONE, Price, Quote
from ftgate.core.receipt import price_text
from ftgate.core.spending import month_of
from ftgate.house.house import DATABASE, House
from ftgate.ports import Held, HoldRequest, Row
from ftgate.store import spending
from ftgate.store.batch import Batch
from ftgate.store.database import last_request
from ftgate.store.ledger import MemoryLedger
from ftgate.store.source import Source
from ftgate.store.spending import Spent
from tests.core.offers import offers
from tests.house.test_house import opened
from tests.store import either
from tests.store.faulty import read, row
from tests.store.houses import crashing


@contextmanager
def written(source: Source, rows: list[Row]) -> Iterator[Any]:
    batch = Batch()
    batch.rows += rows
    with either.opened(source) as connection:
        either.put(connection, batch)
        yield connection


def whole(spent: Spent, connection: Any, page: int = spending.PAGE) -> dict[str, int]:
    while spending.read_on(connection, spent, last_request(connection), page):
        pass
    return spent.units


def test_what_channels_have_cost(source: Source) -> None:
    """At their own prices: a factor is taken out again, also one of nothing; other months and callers' own keys do not
    count. Compared with a sum over all rows."""
    rng = random.Random(5)
    begins = 1_000_000_000
    expected: dict[str, int] = {}
    rows = []
    for n in range(400):
        units, factor = rng.randrange(10**12), rng.choice([(1, 1), (1, 1), (3, 2), (0, 1), (1, 3)])
        charged = (2 * units * factor[0] + factor[1]) // (2 * factor[1])
        lost = rng.choice([0, charged // 3])
        channel, mode = rng.choice("ab"), rng.choice(["standard", "standard", "byok"])
        created = begins + (n - 200) * 1000 + rng.randrange(50_000)
        rows.append(
            row(
                f"r{n}", cost=charged - lost, lost=lost, channel=channel, mode=mode, created_at_us=created,
                multiplier=f"{factor[0]}/{factor[1]}", price=price_text(Price(0, 0, 0, 0, 0, per_request=units)),
            )
        )  # fmt: skip
        if created >= begins and mode == "standard":
            expected[channel] = expected.get(channel, 0) + units
    with written(source, rows) as connection:
        for page in (1, 7, 1000):
            assert whole(spending.resume(connection, begins), connection, page) == expected
        assert whole(spending.resume(connection, 10**18), connection) == {}
        # A note in the middle: what came before it is not read again.
        half = spending.resume(connection, begins)
        spending.read_on(connection, half, 300, 1000)
        connection.execute(*spending.statement(half))
        noted = spending.resume(connection, begins)
        assert (noted.last_id, noted.units) == (300, half.units) and noted.units != expected
        assert whole(noted, connection) == expected
        assert spending.resume(connection, begins + 1).units == {}  # of another month


@pytest.mark.parametrize("said", ["", "{", "[]", '{"a": "x"}', '{"a": 5}', "\\xff"])
def test_a_note_that_cannot_be_read_is_passed_over(said: str, source: Source) -> None:
    with written(source, [row("r1", created_at_us=7, channel="a", cost=5)]) as connection:
        connection.execute("INSERT INTO spending VALUES (1, 0, 1, ?)", (said,))
        assert whole(spending.resume(connection, 0), connection) == {"a": 5}
        connection.execute("UPDATE spending SET units = '{}', last_id = 9")  # rows that are not there
        assert whole(spending.resume(connection, 0), connection) == {"a": 5}


def test_sums_past_sixty_four_bits(source: Source) -> None:
    rows = [row(f"r{n}", created_at_us=7, channel="a", cost=5 * 10**17 + 1) for n in range(40)]
    with written(source, rows) as connection:
        spent = spending.resume(connection, 0)
        assert whole(spent, connection) == {"a": 40 * (5 * 10**17 + 1)}
        connection.execute(*spending.statement(spent))
        assert spending.resume(connection, 0).units == spent.units


async def call(house: House[Accounts], ref: str, cost: int, at_us: int) -> None:
    """A call that is charged so much."""
    price = Price(0, 0, 0, 0, 0, per_request=cost)
    quoted = Quote(price=price, prompt_tokens=1, answers=1, cap=1, model_limit=1, likely_tokens=1)
    ledger = MemoryLedger(house.books, house.writer, house.clock)
    held = await ledger.hold(HoldRequest(account=1, key=1, offers=offers(quoted), multiplier=ONE, tries=1, ref=ref))
    assert isinstance(held, Held)
    said = row(
        ref, created_at_us=at_us, channel="a", price=price_text(price), multiplier="1/1", prompt_tokens=1,
        completion_tokens=1,
    )  # fmt: skip
    settled = await ledger.settle(held.id, cost, said)
    assert settled.charged == cost
    await house.writer.durable(settled.ticket)


async def test_a_close_notes_it_and_a_start_goes_on_from_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "data"
    async with opened(place) as house:
        await house.accounts.users.create(username="ann", credits="1")
        await house.accounts.keys.create(username="ann")
        now = house.clock.wall_us()
        await call(house, "r0", 100, month_of(now)[0] - 1)
        await call(house, "r1", 7, now)
        assert await house.spent_this_month() == {"a": 7}
        await call(house, "r2", 5, now)
    noted = read(place / DATABASE, "SELECT last_id, units FROM spending")
    assert noted == [(3, '{"a":"12"}')]
    async with crashing(place) as house:
        assert await house.spent_this_month() == {"a": 12}
        await call(house, "r3", 1, now)
        await house.note_spending()  # few have come
        assert house.spent is not None and house.spent.last_id == 3
        await house.note_spending(every=0)
        assert house.spent.last_id == 4
        await call(house, "r4", 2, now)
    async with opened(place) as house:
        assert await house.spent_this_month() == {"a": 15}
        # In the next month it begins anew.
        assert house.spent is not None
        monkeypatch.setattr(house.clock, "wall_us", lambda: month_of(now)[1] + 5)
        await house.note_spending(every=0)
        assert (house.spent.begins_us, house.spent.units) == (month_of(now)[1], {})


async def test_who_never_asked_notes_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path / "data") as house:
        await house.accounts.users.create(username="ann", credits="1")
        await house.accounts.keys.create(username="ann")
        await call(house, "r1", 7, house.clock.wall_us())
    assert read(tmp_path / "data" / DATABASE, "SELECT * FROM spending") == []
