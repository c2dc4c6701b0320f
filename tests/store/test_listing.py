"""Pages of the request log, against rows that are sorted and chosen one by one."""

import random
from pathlib import Path
from typing import Any

import pytest

from ftgate.core.logged import Listed, Wanted
from ftgate.core.periods import QUARTER_US
from ftgate.ports import Row
from ftgate.store import listing
from ftgate.store.database import read_only
from ftgate.store.listing import BEGINNING, older_first, page, recorded
from ftgate.store.source import Source
from tests.store.either import opened, write
from tests.store.faulty import row

BEGINS = 2000 * QUARTER_US


def made(many: int, seed: int = 1) -> list[Row]:
    """Calls of two accounts in the order in which they ended, which is not that of their times; some came in the same
    microsecond."""
    rng = random.Random(seed)
    times = [
        BEGINS + rng.randrange(40) * QUARTER_US // 4 + rng.choice([0, 0, 1, rng.randrange(99)]) for _ in range(many)
    ]
    return [
        row(
            f"r{n}", created_at_us=times[n], account=rng.choice([1, 1, 2]), key=rng.choice([7, 8]),
            model=rng.choice(["auto", "m1", "m'2"]),
            served_model=rng.choice(["m1", "m'2", ""]), channel=rng.choice("ab"), mode=rng.choice(["standard", "byok"]),
            status=rng.choice(["ok", "ok", "error"]), http_status=rng.choice([200, 502]),
        )
        for n in range(many)
    ]  # fmt: skip


ROWS = made(400)


@pytest.fixture(scope="module")
def logged(shared: Source) -> Source:
    write(shared, ROWS)
    return shared


def chosen(rows: list[Row], **wanted: Any) -> list[str]:
    """The ids of the rows that are asked for, newest first, one by one: by when they came where a span of time is asked
    for, else by when they ended."""
    by_time = {"from_us", "to_us"} & wanted.keys()
    spans = {"from_us": wanted.pop("from_us", 0), "to_us": wanted.pop("to_us", 2**63)}
    model = wanted.pop("model", None)
    found = [
        (one.created_at_us if by_time else 0, n, one.request_id)
        for n, one in enumerate(rows)
        if spans["from_us"] <= one.created_at_us < spans["to_us"]
        and (model is None or model in (one.model, one.served_model))
        and all(getattr(one, name) == value for name, value in wanted.items())
    ]
    return [id for _, _, id in sorted(found, reverse=True)]


def ids(found: Listed) -> list[str]:
    return [one.request_id for one in found.rows]


FILTERS: list[dict[str, Any]] = [
    {},
    {"account": 1},
    {"account": 9},
    {"key": 7},
    {"account": 2, "key": 8},
    {"model": "m1"},
    {"account": 1, "model": "auto"},
    {"account": 1, "model": "m'2", "status": "ok"},
    {"http_status": 502},
    {"mode": "byok", "channel": "a"},
    {"account": 1, "from_us": BEGINS + QUARTER_US},
    {"account": 1, "to_us": BEGINS + 3 * QUARTER_US},
    {"account": 1, "from_us": BEGINS + QUARTER_US + 1, "to_us": BEGINS + 5 * QUARTER_US + 50},
    {"account": 1, "from_us": BEGINS + 1, "to_us": BEGINS + 2},
    {"from_us": BEGINS + QUARTER_US // 4, "to_us": BEGINS + 7 * QUARTER_US + 1},
    {"from_us": BEGINS + 40 * QUARTER_US},
    {"from_us": BEGINS + 5, "to_us": BEGINS + 5},
    {"from_us": BEGINS + 9, "to_us": BEGINS},
    {"model": "m1", "from_us": BEGINS + 2 * QUARTER_US, "to_us": BEGINS + 4 * QUARTER_US},
    {"request_id": "r17"},
    {"request_id": "r17", "account": 3},
    {"request_id": "none"},
    {"model": "m1' OR '1'='1"},
    {"model": "m%"},
    {"model": ""},
    {"status": "ok' --"},
]


@pytest.mark.parametrize("wanted", FILTERS, ids=repr)
def test_pages_by_cursor_and_by_number_show_what_is_chosen(logged: Source, wanted: dict[str, Any]) -> None:
    expected = chosen(ROWS, **wanted)
    for size in (7, 100):
        after, seen, skipped = None, [], 0
        while True:
            found = page(logged, Wanted(**wanted), skipped=0, size=size, after=after)
            assert found.total == len(expected)
            by_number = page(logged, Wanted(**wanted), skipped=skipped, size=size, after=None)
            assert (ids(by_number), by_number.following) == (ids(found), found.following)
            seen += ids(found)
            skipped += size
            if found.following is None:
                break
            after = found.following
        assert seen == expected
        assert page(logged, Wanted(**wanted), skipped=len(expected), size=size, after=None).rows == []


def test_a_far_page_is_counted_to(logged: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_FAR", 3)
    for wanted in ({}, {"account": 1}, {"model": "m1", "from_us": BEGINS + 5 * QUARTER_US}):
        expected = chosen(ROWS, **wanted)
        for skipped in (0, 1, 5, 90, len(expected) - 1):
            found = page(logged, Wanted(**wanted), skipped=skipped, size=4, after=None)  # type: ignore[arg-type]
            assert ids(found) == expected[skipped : skipped + 4]


@pytest.mark.parametrize(
    "wanted", [{}, {"account": 1}, {"account": 1, "status": "ok"}, {"account": 1, "from_us": BEGINS + 9}], ids=repr
)
def test_a_cursor_neither_repeats_nor_skips_while_calls_end(source: Source, wanted: dict[str, Any]) -> None:
    """Between two pages calls end that came long ago, and just now, and between."""
    rng = random.Random(3)
    rows = made(200, seed=2)
    write(source, rows)
    there = chosen(rows, **wanted)
    late = made(300, seed=3)
    after, seen = None, []
    while True:
        found = page(source, Wanted(**wanted), skipped=0, size=9, after=after)
        seen += ids(found)
        if found.following is None:
            break
        after = found.following
        more = [late.pop() for _ in range(rng.randrange(5))]
        for one in more:
            one.request_id = f"late-{one.request_id}"
        write(source, more)
    assert len(seen) == len(set(seen))
    assert [id for id in seen if not id.startswith("late-")] == there


@pytest.mark.parametrize("place", [(2**70, 5), (-(2**70), 5), (BEGINS, 2**70), (BEGINS, -(2**70)), (0, 0)])
def test_any_two_numbers_are_a_place(logged: Source, place: tuple[int, int]) -> None:
    for wanted in ({"account": 1}, {"account": 1, "from_us": 0}):
        found = ids(page(logged, Wanted(**wanted), skipped=0, size=100, after=place))
        expected = chosen(ROWS, **wanted)
        assert not found or expected[expected.index(found[0]) :][:100] == found


@pytest.mark.parametrize("wanted", [*FILTERS[:3], FILTERS[6], *FILTERS[10:16], *FILTERS[19:22]], ids=repr)
def test_an_export_has_every_row_that_was_there_oldest_first(source: Source, wanted: dict[str, Any]) -> None:
    write(source, ROWS)
    newest, behind, seen = listing.newest(source), BEGINNING, []
    write(source, [row("late", created_at_us=BEGINS + 3, account=1, status="ok", model="auto")])
    while True:
        rows, behind = older_first(source, Wanted(**wanted), behind=behind, newest=newest, size=11)
        if not rows:
            break
        seen += [one.request_id for one in rows]
    assert seen == chosen(ROWS, **wanted)[::-1]


def test_a_row_and_what_is_recorded_of_it(source: Source) -> None:
    write(source, [row("r1", key=3, cost=5, channel="c", lost=2, tries="[]", first_token_ms=4)])
    with opened(source) as connection:
        connection.execute(
            "INSERT INTO users (id, username, role, status, plan, created_at_us) VALUES (1,'u','','','',0)"
        )
        connection.execute(
            "INSERT INTO keys (id, account, name, prefix, hash, status, created_at_us) VALUES (3,1,'k','',?,'',0)",
            (b"",),
        )
    said = recorded(source, "r1")
    assert said is not None and (said.tries, said.price[:9]) == ("[]", '{"input":')
    one = said.row
    assert (one.key, one.key_name, one.account, one.channel, one.cost, one.lost) == (3, "k", 1, "c", 5, 2)
    assert page(source, Wanted(), skipped=0, size=1, after=None).rows == [one]
    assert recorded(source, "r2") is None


def test_no_page_reads_what_it_does_not_show(tmp_path: Path) -> None:
    """Steps of SQLite's own machine for a page of ten, anywhere in 20,000 rows, and for how many there are."""
    path = tmp_path / "f.sqlite3"
    write(path, made(20_000, seed=5), group=5000)

    def steps(wanted: Wanted, after: Any) -> int:
        counted = 0

        def count() -> int:
            nonlocal counted
            counted += 1
            return 0

        def watched(path: Path) -> Any:
            connection = read_only(path)
            connection.set_progress_handler(count, 100)
            return connection

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(listing, "read_only", watched)
            page(path, wanted, skipped=0, size=10, after=after)
        return counted * 100

    for wanted in (
        Wanted(), Wanted(account=1), Wanted(account=1, model="m1", status="ok"), Wanted(channel="a"),
        Wanted(account=1, from_us=BEGINS + 1, to_us=BEGINS + 9 * QUARTER_US + 1),
    ):  # fmt: skip
        for after in (None, (BEGINS + 20 * QUARTER_US // 4, 0), (BEGINS + 2, 0)):
            assert steps(wanted, after) < 30_000, (wanted, after)
