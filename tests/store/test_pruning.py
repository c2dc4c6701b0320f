"""Rows that are too old go, and nothing else does: sums, months, statistics and the ledger say what they said."""

import random
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ftgate.core.logged import Wanted
from ftgate.core.periods import QUARTER_US, window
from ftgate.ports import BYOK, Row
from ftgate.store import pruning, requests, usage
from ftgate.store import verify as verification
from ftgate.store.batch import Batch
from ftgate.store.listing import older_first, page, recorded
from ftgate.store.rollups import SUMS
from ftgate.store.source import Source
from ftgate.store.verify import verify_ledger
from tests.store.either import opened, put, read
from tests.store.faulty import Calls, row
from tests.store.test_listing import chosen, ids

BEGINS = 1_500_000 * QUARTER_US
MANY = 240
LAST = 2**62
UTC = ZoneInfo("UTC")


@pytest.fixture
def path(source: Source) -> Source:
    return source


def made(path: Source, seed: int = 4) -> list[Row]:
    """Calls that ended in another order than they came: with holds, posted and void, without, and by BYOK. The last
    hold is open."""
    rng, calls, batch = random.Random(seed), Calls(), Batch()
    calls.grant(batch)
    for n in range(MANY):
        came = BEGINS + n * QUARTER_US // 8 - rng.choice([0, 0, 5 * QUARTER_US])
        fields: dict[str, Any] = {
            "created_at_us": came,
            "served_model": rng.choice(["m1", "m2"]),
            "channel": "ab"[n % 2],
        }
        if n % 3:
            hold = calls.hold(batch)
            cost = rng.choice([0, 30, 70])
            ended = calls.books.post(hold.id, cost, at_us=0) if cost else calls.books.void(hold.id, at_us=0)
            batch.remember(ended.entries, calls.balance, calls.books.quotas[1])  # type: ignore[union-attr]
            batch.rows.append(row(hold.ref, hold.id, cost=cost, **fields))
        else:
            byok = n % 2
            batch.rows.append(
                row(f"n{n}", mode=BYOK if byok else "standard", status="ok" if byok else "refused", **fields)
            )
            if byok:
                batch.count_month(1, "2012-10", 12)
    calls.hold(batch)
    rows = list(batch.rows)
    with opened(path) as connection:
        put(connection, batch)
    assert {month for (month,) in read(path, OF_MONTHS)} == {"2012-10"}
    return rows


OF_MONTHS = "SELECT DISTINCT strftime('%Y-%m', created_at_us / 1000000, 'unixepoch') FROM requests WHERE mode = 'byok'"


def prune(path: Source, before_us: int, many: int = pruning.FOUND, *, upto: int = LAST) -> int:
    """Let so many of the rows go; how many went."""
    with opened(path) as connection:
        gone = pruning.old_rows(connection, before_us, upto, many)
        batch = Batch()
        batch.statements += pruning.statements(gone)
        put(connection, batch)
    return len(gone)


def remembered(path: Source) -> list[object]:
    """All that pruning must not change."""
    used = usage.used(path, 1, window("30d", BEGINS + MANY * QUARTER_US // 8 + 5_000, UTC))
    tables = ("byok_months", "usage_quarters", "entries", "balances", "spent", "audit", "payments", "checkpoints")
    return [
        *(read(path, f"SELECT * FROM {table}") for table in tables), used, usage.requests_of(path, [1, 2]),
        requests.stats(path), read(path, "SELECT id, requests FROM kinds ORDER BY id"),
    ]  # fmt: skip


def test_what_is_too_old_goes_and_what_is_remembered_stays(path: Source) -> None:
    rows = made(path)
    before, verified = remembered(path), verify_ledger(path)
    assert "pruned" not in verified
    left = {one.request_id: one for one in rows}
    for share in (0, 1, 3, 7, 8):
        cut = BEGINS + MANY * QUARTER_US // 8 * share // 8
        due = [id for id, one in left.items() if one.created_at_us < cut and one is not rows[-1]]
        while due:
            gone = prune(path, cut, 17)
            assert gone == min(17, len(due))
            there = {id for (id,) in read(path, "SELECT request_id FROM requests")}
            for id in [id for id in due if id not in there]:
                due.remove(id)
                del left[id]
            assert there == left.keys()
            said = verify_ledger(path)
            assert said == verified | {"requests": len(left), "recomputed": len(left), "pruned": MANY - len(left)}
        assert prune(path, cut) == 0
        assert remembered(path) == before
    assert 0 < len(left) < MANY // 6


def test_pages_and_places_in_them_stay_right_while_rows_go(path: Source) -> None:
    """Whatever a reader has seen, what comes next is what is left behind it, in the same order."""
    rows = made(path)
    for wanted in (
        {},
        {"account": 1},
        {"served": "m1"},
        {"from_us": BEGINS},
        {"from_us": BEGINS + 9, "to_us": BEGINS * 2},
    ):
        asked: dict[str, Any] = {"model": "m1"} if "served" in wanted else dict(wanted)
        after, seen, went = None, [], 0
        while True:
            there = {id for (id,) in read(path, "SELECT request_id FROM requests")}
            expected = chosen([one for one in rows if one.request_id in there], **asked)
            found = page(path, Wanted(**asked), skipped=0, size=9, after=after)
            assert found.total == len(expected)
            assert ids(found) == [id for id in expected if id not in seen][:9]
            skipped = len(expected) // 2
            assert ids(page(path, Wanted(**asked), skipped=skipped, size=9, after=None)) == expected[skipped:][:9]
            seen += ids(found)
            if found.following is None:
                break
            after = found.following
            went += prune(path, BEGINS + 6 * QUARTER_US, 5)
        assert len(seen) == len(set(seen)) and len(seen) > 9
    assert went == 0 < len(rows) - len(there)


def test_an_export_goes_on_while_rows_go(path: Source) -> None:
    rows = made(path)
    seen: list[str] = []
    behind, newest = (-1, -1), len(rows)
    while True:
        listed, behind = older_first(path, Wanted(account=1), behind=behind, newest=newest, size=20)
        if not listed:
            break
        seen += [one.request_id for one in listed]
        prune(path, BEGINS + 9 * QUARTER_US, 60)
    assert seen == [one.request_id for one in rows if one.request_id in set(seen)] and len(seen) < MANY
    assert recorded(path, rows[0].request_id) is None
    assert recorded(path, rows[-1].request_id) is not None


def test_the_newest_row_stays(path: Source) -> None:
    """Its id would be given again, and whoever has read as far as that would miss the call that gets it."""
    rows = made(path)
    assert prune(path, LAST) == MANY - 1
    assert read(path, "SELECT id, request_id FROM requests") == [(MANY, rows[-1].request_id)]
    with opened(path) as connection:
        batch = Batch()
        batch.rows.append(row("later"))
        put(connection, batch)
    assert prune(path, LAST) == 1
    assert read(path, "SELECT id, request_id FROM requests") == [(MANY + 1, "later")]


def test_the_row_of_an_open_hold_stays(path: Source) -> None:
    """No call leaves one; should it be there, it is found by `ledger verify` and not swept away."""
    rows = made(path)
    with opened(path) as connection:
        batch = Batch()
        batch.rows += [row("open", read(path, "SELECT max(id) FROM entries WHERE kind = 'hold'")[0][0]), row("last")]
        put(connection, batch)
    assert prune(path, LAST) == len(rows)
    assert [id for (id,) in read(path, "SELECT request_id FROM requests ORDER BY id")] == ["open", "last"]


def test_rows_past_a_mark_stay(path: Source) -> None:
    made(path)
    assert prune(path, LAST, upto=100) == 100
    assert read(path, "SELECT min(id) FROM requests") == [(101,)]


def test_what_goes_twice_counts_once(path: Source) -> None:
    """A commit that reported an error and was in all the same is not told from one that was not, at a start."""
    made(path)
    for _ in range(2):
        batch = Batch()
        batch.statements += pruning.statements([1, 2, 3, 4, 5])
        with opened(path) as connection:
            put(connection, batch)
        assert verify_ledger(path)["pruned"] == 5


def test_half_of_it_is_none(path: Source) -> None:
    """Each statement fails once: then nothing has changed, and the next try does all."""
    made(path)
    before = verify_ledger(path)
    for broken in range(5):
        batch = Batch()
        batch.statements += pruning.statements(list(range(1, 40)))
        batch.statements.insert(broken + 1, ("INSERT INTO nowhere VALUES (1)", ()))
        with opened(path) as connection, pytest.raises(Exception, match="nowhere"):
            put(connection, batch)
        assert verify_ledger(path) == before


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("DELETE FROM requests WHERE id = 200", "has no row of request"),
        ("DELETE FROM requests WHERE hold = (SELECT min(hold) FROM requests WHERE hold > 0)", "requests have a hold, "),
        ("UPDATE pruned SET held = held + 1", "requests have a hold, "),
        ("UPDATE pruned_months SET tokens = tokens - 1", "tokens of BYOK calls are remembered of 2012-10"),
        ("UPDATE byok_months SET tokens = tokens + 1", "tokens of BYOK calls are remembered of 2012-10"),
        ("DELETE FROM byok_months", "0 tokens of BYOK calls are remembered of 2012-10"),
        ("UPDATE kinds SET pruned = pruned + 1 WHERE pruned > 0", "requests are remembered of"),
        ("UPDATE kinds SET requests = requests - 1 WHERE pruned > 0", "requests are remembered of"),
        *((f"UPDATE pruned_quarters SET {name} = {name} + 1", "in the quarter hour from") for name in SUMS),
        *((f"UPDATE usage_quarters SET {name} = {name} + 1", "in the quarter hour from") for name in SUMS),
        ("DELETE FROM pruned_quarters", "in the quarter hour from"),
        ("DELETE FROM usage_quarters", "in the quarter hour from"),
    ],
)
def test_what_does_not_agree_is_named_with_rows_gone_too(path: Source, sql: str, said: str) -> None:
    made(path)
    prune(path, BEGINS + 12 * QUARTER_US)
    assert 50 < verify_ledger(path)["pruned"] < 150  # type: ignore[operator]
    with opened(path) as connection:
        assert connection.execute(sql).rowcount > 0
    assert said in str(verify_ledger(path).get("disagreement"))


@pytest.mark.parametrize("seed", range(6))
def test_rows_may_go_while_the_ledger_is_verified(path: Source, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Before each read of a page some more go; and what is wrong beside them is found all the same."""
    made(path, seed)
    prune(path, LAST, 10)
    rng = random.Random(seed)

    def meanwhile(what: Callable[..., Any]) -> Callable[..., Any]:
        def then(*values: Any) -> Any:
            with opened(path) as connection:
                old = pruning.old_rows(connection, LAST, 220)
                batch = Batch()
                batch.statements += pruning.statements(rng.sample(old, min(len(old), 5)))
                put(connection, batch)
            return what(*values)

        return then

    for place, name in (
        (verification, "_next"),
        (verification, "_work_out"),
        (pruning, "held_in"),
        (pruning, "months_in"),
    ):
        monkeypatch.setattr(place, name, meanwhile(getattr(place, name)))
    monkeypatch.setattr(verification, "PAGE", 30)
    monkeypatch.setattr("ftgate.store.rollups._PAGE", 30)
    said = verify_ledger(path)
    assert said["ok"] and said["pruned"] == 10
    assert 20 < read(path, "SELECT sum(pruned) FROM kinds")[0][0] < MANY - 20
    with opened(path) as connection:
        connection.execute("DELETE FROM requests WHERE id = 230")
    assert "request" in str(verify_ledger(path)["disagreement"])


def test_a_kind_whose_rows_are_all_gone_is_passed_over(path: Source) -> None:
    """And its calls still count."""
    made(path)
    prune(path, LAST)
    assert verify_ledger(path)["ok"]
    assert read(path, "SELECT sum(requests), sum(pruned) FROM kinds") == [(MANY, MANY - 1)]
    assert page(path, Wanted(), skipped=0, size=9, after=None).total == 1
