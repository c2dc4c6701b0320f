"""What an account's calls come to, against sums over its rows one by one."""

import random
from zoneinfo import ZoneInfo

import pytest

from ftgate.core.logged import Sums, Used, Wanted
from ftgate.core.moments import parse_time
from ftgate.core.periods import DAYS, Span, window
from ftgate.ports import Row
from ftgate.store.batch import Batch
from ftgate.store.listing import page
from ftgate.store.source import Source
from ftgate.store.usage import requests_of, used
from tests.store.either import opened, put, write
from tests.store.faulty import row

NOW = parse_time("2026-11-03T12:34:56.789Z")
DAY_US = 86_400_000_000


def made(many: int) -> list[Row]:
    """Calls of the last 31 days, and some that came after now, as a clock that was put back leaves them."""
    rng = random.Random(7)
    return [
        row(
            f"r{n}", created_at_us=NOW + rng.choice([0, 1, 999]) if n % 50 == 0 else NOW - rng.randrange(31 * DAY_US),
            account=rng.choice([1, 2]), served_model=rng.choice(["m", "n", "o", ""]), cost=rng.randrange(10**15),
            prompt_tokens=rng.randrange(1000), completion_tokens=rng.randrange(1000), key=rng.choice([1, 2]),
            status=rng.choice(["ok", "refused"]),
        )
        for n in range(many)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def logged(shared: Source) -> tuple[Source, list[Row]]:
    rows = made(3000)
    write(shared, rows, group=100)
    return shared, rows


def summed(rows: list[Row]) -> Sums:
    return Sums(
        len(rows), sum(one.prompt_tokens for one in rows), sum(one.completion_tokens for one in rows),
        sum(one.cost for one in rows),
    )  # fmt: skip


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns"])
@pytest.mark.parametrize("period", DAYS)
def test_against_sums_over_rows(logged: tuple[Source, list[Row]], period: str, zone: str) -> None:
    path, rows = logged
    asked = window(period, NOW, ZoneInfo(zone))

    def within(span: Span, account: int) -> list[Row]:
        return [one for one in rows if one.account == account and span.from_us <= one.created_at_us < span.to_us]

    for account in (1, 2, 3):
        own = within(Span("", asked.from_us, asked.to_us), account)
        models = {model: summed([one for one in own if one.served_model == model]) for model in ("m", "n", "o", "")}
        found = used(path, account, asked)
        assert found == Used(
            summed(own),
            [summed(within(day, account)) for day in asked.days],
            [summed(within(hour, account)) for hour in asked.hours],
            {model: sums for model, sums in models.items() if sums.requests},
        )
        total = page(
            path, Wanted(account=account, from_us=asked.from_us, to_us=asked.to_us), skipped=0, size=1, after=None
        )
        assert total.total == found.whole.requests


def test_retention_takes_rows_away_and_never_totals(source: Source) -> None:
    rows = made(300)
    write(source, rows)
    asked = window("30d", NOW, ZoneInfo("UTC"))
    before, many = used(source, 1, asked), requests_of(source, [1, 3])
    assert many == {1: sum(one.account == 1 for one in rows), 3: 0}
    with opened(source) as connection:
        connection.execute("DELETE FROM requests WHERE created_at_us < ?", (NOW - 2 * DAY_US,))
    assert (used(source, 1, asked), requests_of(source, [1, 3])) == (before, many)


def test_sums_past_sixty_four_bits(source: Source) -> None:
    """Ten million dollars and a pico in one quarter of an hour, of two models."""
    batch = Batch()
    batch.rows += [
        row(f"r{n}", created_at_us=NOW - 1, served_model="dear" if n % 2 else "dearer", cost=10**18 + (n == 2))
        for n in range(20)
    ]
    with opened(source) as connection:
        put(connection, batch)
    found = used(source, 1, window("24h", NOW + 1000, ZoneInfo("UTC")))
    assert found.whole.cost == 20 * 10**18 + 1
    assert {model: sums.cost for model, sums in found.models.items()} == {"dear": 10**19, "dearer": 10**19 + 1}
