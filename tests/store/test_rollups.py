"""What is kept in sums is written with the rows, says what they say, and is held against them."""

import random
from contextlib import closing
from pathlib import Path

import pytest

from ftgate.core.logged import Wanted
from ftgate.ports import Row
from ftgate.store.batch import Batch, joined
from ftgate.store.database import connect
from ftgate.store.listing import BEGINNING, older_first, page
from ftgate.store.pruning import statements
from ftgate.store.rollups import BUCKETS, GROUPED, KIND, grouped, kind_id
from ftgate.store.source import Source
from ftgate.store.verify import verify_ledger
from tests.store.either import opened, put, read, write
from tests.store.faulty import row
from tests.store.test_listing import made


def standard(many: int, seed: int) -> list[Row]:
    """Calls whose tokens count in no month."""
    rows = made(many, seed)
    for one in rows:
        one.mode = "standard" if one.mode == "standard" else "other"
    return rows


@pytest.fixture
def logged(source: Source) -> Source:
    write(source, standard(200, seed=9))
    return source


def test_a_batch_is_added_up_by_kind_and_quarter() -> None:
    rows = [
        row("a", created_at_us=899_999_999, cost=10**9 + 1, cached_tokens=1),
        row("b", created_at_us=0, cost=2),
        row("c", created_at_us=900_000_000, cost=3),
        row("d", created_at_us=0, status="error"),
    ]
    first, second, third = [dict(zip(GROUPED, group, strict=True)) for group in grouped(rows)]
    assert rows[0].kind == rows[1].kind == rows[2].kind == first["kind"] != rows[3].kind == third["kind"]
    assert (first["quarter"], second["quarter"], third["status"]) == (0, 1, "error")
    sums = ("requests", "prompt_tokens", "cached_tokens", "completion_tokens", "cost_upper", "cost_lower")
    assert [first[name] for name in sums] == [2, 20, 1, 4, 1, 3]


def test_every_part_of_a_kind_makes_another_one() -> None:
    one = {name: 1 if name in {"account", "key", "http_status"} else "x" for name in KIND}
    ids = {kind_id(*({**one, name: 2 if one[name] == 1 else "y"}).values()) for name in KIND}
    assert len(ids) == len(KIND) and kind_id(*one.values()) not in ids and all(0 <= id < 2**63 for id in ids)
    assert kind_id(*one.values()) == kind_id.__wrapped__(*one.values())  # whoever asks, today and tomorrow
    assert kind_id.__wrapped__(1, 2, "a", "b", "c", "d", "e", 3) == 3901653929861210402


def test_models_of_any_text_make_no_kinds_without_end(source: Source) -> None:
    """Who asks for models that are not there, or brings a key and names models as he likes, has a bounded number of
    kinds; and each model is found, and counted, by its own name."""
    refused = [row(f"r{n}", model=f"m{n}", served_model="", status="refused", http_status=404) for n in range(500)]
    served = [row(f"s{n}", model=f"m{n}", served_model=f"m{n}", mode="other") for n in range(3)]
    brought = [row(f"b{n}", model=f"x{n}", served_model=f"x{n}", mode="byok", prompt_tokens=0, completion_tokens=0)
               for n in range(500)]  # fmt: skip
    write(source, [*refused, *served, *brought], group=100)
    assert verify_ledger(source)["ok"]
    assert read(source, "SELECT count(*) FROM kinds")[0][0] <= 2 * BUCKETS + 3
    assert read(source, "SELECT count(DISTINCT model) FROM usage_quarters") == [(504,)]
    for wanted, ids in (
        (Wanted(model="m7"), ["r7"]), (Wanted(model="m2"), ["s2", "r2"]), (Wanted(model="x499"), ["b499"]),
        (Wanted(model="m7", from_us=0), ["r7"]), (Wanted(model="m2", to_us=2_000_000), ["s2", "r2"]),
        (Wanted(model="x1", from_us=0, to_us=5), []), (Wanted(model="m2", status="refused"), ["r2"]),
        (Wanted(model="m7", request_id="r7"), ["r7"]), (Wanted(model="m7", request_id="r8"), []),
        (Wanted(model="nobody asked"), []), (Wanted(model="\x015"), []),
    ):  # fmt: skip
        found = page(source, wanted, skipped=0, size=9, after=None)
        assert ([one.request_id for one in found.rows], found.total) == (ids, len(ids)), wanted
        rows, _ = older_first(source, wanted, behind=BEGINNING, newest=10**6, size=9)
        assert [one.request_id for one in rows] == ids[::-1]
    assert page(source, Wanted(), skipped=0, size=1, after=None).total == 1003


def test_joined_batches_add_up_too(source: Source) -> None:
    rng, batches = random.Random(4), []
    rows = standard(100, seed=4)
    while rows:
        batch = Batch()
        batch.rows += [rows.pop() for _ in range(min(len(rows), rng.randrange(1, 9)))]
        batch.seal()
        batches.append(batch)
    with opened(source) as connection:
        put(connection, joined(batches[:9]))
        put(connection, joined(batches[9:]))
    assert verify_ledger(source)["ok"]
    assert read(source, "SELECT sum(requests) FROM kinds") == read(source, "SELECT count(*) FROM requests") == [(100,)]


def test_a_migrated_database_holds_what_one_that_grew_holds(path: Path) -> None:
    """The migration's SQL and the batches' sums are two ways to the same."""
    from ftgate.store.rollups import MIGRATION, know_kinds
    from ftgate.store.schema import _statements

    rows = made(300, seed=6)
    for one in rows:
        one.cost = random.Random(one.request_id).randrange(10**12)
    write(path, rows)
    kinds, quarters = "SELECT * FROM kinds ORDER BY id", "SELECT * FROM usage_quarters"
    grown, own = (read(path, kinds), read(path, quarters)), read(path, "SELECT kind FROM requests ORDER BY id")
    with closing(connect(path, durability="process")) as connection:
        know_kinds(connection)
        for undo in (
            "DROP TABLE kinds", "DROP TABLE usage_quarters", "DROP INDEX requests_by_kind",
            "DROP INDEX requests_by_time", "UPDATE requests SET kind = 0",
            "CREATE INDEX requests_by_account ON requests(account, id)", *_statements(MIGRATION),
        ):  # fmt: skip
            connection.execute(undo)
    migrated = read(path, kinds), read(path, quarters)

    def whole(found: tuple[list[tuple[int, ...]], list[tuple[int, ...]]]) -> object:
        return found[0], [(*rest, upper * 10**9 + lower) for *rest, upper, lower in found[1]]

    assert whole(migrated) == whole(grown) and read(path, "SELECT kind FROM requests ORDER BY id") == own


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        (
            "UPDATE kinds SET requests = requests + 1 WHERE id = (SELECT min(id) FROM kinds)",
            "requests are remembered of",
        ),
        ("UPDATE kinds SET model = 'x' WHERE id = (SELECT min(id) FROM kinds)", "its row is of another kind"),
        ("DELETE FROM kinds WHERE id = (SELECT min(id) FROM kinds)", "its row is of another kind"),
        ("DELETE FROM kinds", "its row is of another kind"),
        ("UPDATE requests SET kind = 0 WHERE id = 3", "request r2: its row is of another kind"),
        ("UPDATE requests SET key = 99 WHERE id = 3", "request r2: its row is of another kind"),
        ("DELETE FROM requests WHERE id = 3", "requests are remembered of"),
        ("UPDATE requests SET created_at_us = created_at_us + 900000000 WHERE id = 3", "in the quarter hour from"),
        ("UPDATE requests SET cached_tokens = 1 WHERE id = 3", "in the quarter hour from"),
        ("UPDATE usage_quarters SET cost_lower = cost_lower + 1", "in the quarter hour from"),
        ("UPDATE usage_quarters SET requests = requests + 1 WHERE model = ''", "the sums of no model"),
        ("DELETE FROM usage_quarters WHERE account = 2", "account 2: the sums of"),
        ("INSERT INTO usage_quarters VALUES (3, 1, 'm', 1, 0, 0, 0, 0, 0)", "account 3: the sums of m"),
    ],
)
def test_what_does_not_agree_is_named(logged: Source, sql: str, said: str) -> None:
    assert verify_ledger(logged)["ok"]
    with opened(logged) as connection:
        assert connection.execute(sql).rowcount > 0
    assert said in str(verify_ledger(logged).get("disagreement"))


def test_rows_that_are_gone_leave_their_sums(logged: Source) -> None:
    with opened(logged) as connection:
        for sql, values in statements([3]):
            connection.execute(sql, values)
    assert verify_ledger(logged)["ok"]
    with opened(logged) as connection:
        connection.execute("UPDATE usage_quarters SET completion_tokens = 0")
    assert "in the quarter hour" in str(verify_ledger(logged)["disagreement"])
