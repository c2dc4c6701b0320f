"""What the calls of a list come to, against sums over rows that are chosen one by one."""

import random
from typing import Any

import msgspec
import pytest

from ftgate.core.logged import NOT_FAILED, Totals, Wanted
from ftgate.core.periods import QUARTER_US
from ftgate.ports import Row
from ftgate.store import pruning, summing
from ftgate.store.listing import page
from ftgate.store.source import Source
from tests.store.either import opened, write
from tests.store.test_listing import BEGINS, FILTERS, made

MORE: list[dict[str, Any]] = [
    {"failed": True},
    {"account": 1, "failed": True, "model": "m1"},
    {"account": 1, "failed": True, "from_us": BEGINS + 3, "to_us": BEGINS + 3 * QUARTER_US + 7},
    {"account": 1, "mode": "byok"},
    {"account": 2, "model": "m1", "mode": "byok", "from_us": BEGINS + QUARTER_US // 2},
    {"account": 2, "model": "m1", "to_us": BEGINS + 5 * QUARTER_US},
    {"account": 2, "status": "ok", "to_us": BEGINS + 5 * QUARTER_US + 1},
    {"account": 1, "key": 7, "model": "auto", "mode": "standard"},
]


def rows() -> list[Row]:
    rng = random.Random(5)
    return [
        msgspec.structs.replace(
            one, prompt_tokens=rng.randrange(1000), cached_tokens=rng.randrange(100),
            completion_tokens=rng.randrange(1000), cost=rng.randrange(10**15),
        )
        for one in made(600, seed=3)
    ]  # fmt: skip


ROWS = rows()


@pytest.fixture(scope="module")
def logged(shared: Source) -> Source:
    write(shared, ROWS)
    return shared


def summed(rows: list[Row], wanted: Wanted) -> tuple[int, Totals]:
    """How many rows are asked for, and what they come to, one by one."""
    found = [
        one
        for one in rows
        if (wanted.from_us is None or wanted.from_us <= one.created_at_us)
        and (wanted.to_us is None or one.created_at_us < wanted.to_us)
        and (wanted.model is None or wanted.model in (one.model, one.served_model))
        and not (wanted.failed and one.status in NOT_FAILED)
        and all(
            getattr(wanted, name) in (None, getattr(one, name))
            for name in ("account", "key", "channel", "mode", "status", "http_status", "request_id")
        )
    ]
    names = ("prompt_tokens", "cached_tokens", "completion_tokens", "cost")
    return len(found), Totals(*(sum(getattr(one, name) for one in found) for name in names))


@pytest.mark.parametrize("few", [0, 20, 150, summing.FEW])
@pytest.mark.parametrize("wanted", FILTERS + MORE, ids=repr)
def test_totals_are_exact_or_none(
    logged: Source, wanted: dict[str, Any], few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(summing, "FEW", few)
    found = page(logged, Wanted(**wanted), skipped=0, size=1, after=None, summed=True)
    many, totals = summed(ROWS, Wanted(**wanted))
    assert found.total == many
    assert found.totals == totals or (found.totals is None and few < len(ROWS))


@pytest.mark.parametrize(
    ("wanted", "reads"),
    [
        ({}, 0),
        ({"account": 1}, 0),
        ({"account": 1, "from_us": BEGINS, "to_us": BEGINS + 4 * QUARTER_US}, 0),
        ({"from_us": BEGINS + 2 * QUARTER_US}, 0),
        ({"account": 2, "status": "ok"}, 100),  # those that failed are read, which are fewer
        ({"account": 1, "status": "error"}, 150),
    ],
    ids=repr,
)
def test_no_more_rows_are_read_than_must_be(
    logged: Source, wanted: dict[str, Any], reads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(summing, "FEW", reads)
    assert page(logged, Wanted(**wanted), skipped=0, size=1, after=None, summed=True).totals is not None
    if reads:
        monkeypatch.setattr(summing, "FEW", reads // 4)
        assert page(logged, Wanted(**wanted), skipped=0, size=1, after=None, summed=True).totals is None


def test_totals_are_of_the_rows_that_are_there(source: Source) -> None:
    """Those that are too old to be kept count no more, in the number as in the sums."""
    write(source, ROWS)
    with opened(source) as connection:
        gone = pruning.old_rows(connection, BEGINS + 4 * QUARTER_US + 50, len(ROWS))
        for sql, values in pruning.statements(gone):
            connection.execute(sql, values)
        left = {id for (id,) in connection.execute("SELECT request_id FROM requests")}
    kept = [one for one in ROWS if one.request_id in left]
    assert 0 < len(kept) < len(ROWS)
    for wanted in FILTERS + MORE:
        found = page(source, Wanted(**wanted), skipped=0, size=1, after=None, summed=True)
        assert (found.total, found.totals) == summed(kept, Wanted(**wanted)), wanted


def test_they_are_not_summed_unasked(logged: Source) -> None:
    assert page(logged, Wanted(), skipped=0, size=1, after=None).totals is None
