"""The audit and the ledger's entries in pages, and the ledger as a whole, held against lists that Python cuts."""

import csv
import io
import json
import random
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trio

from ftgate.core.books import Entry
from ftgate.errors import Conflict
from ftgate.ports.managing import Acts, Moves, Verification
from ftgate.store import records
from ftgate.store.batch import Batch
from ftgate.store.database import connect, read_only
from ftgate.store.records import StoredRecords
from ftgate.store.source import Source
from tests.accounts.opened import opened
from tests.store import either

MOVERS = ("hold", "grant", "topup", "refund", "correct")


def _history(many: int) -> list[Entry]:
    """A wild one, which holds to what the tables demand: of a kind one ref, of a hold one end."""
    rand, open_holds, found = random.Random(5), list[Entry](), list[Entry]()
    for id in range(1, many + 1):
        kind = rand.choice(("hold", "hold", "post", "post", "void", "grant", "correct", "loss"))
        if kind in MOVERS or not open_holds:
            kind = kind if kind in MOVERS else "hold"
            ref = f"r{id // 2}" if (kind, f"r{id // 2}") not in {(e.kind, e.ref) for e in found[-1:]} else f"x{id}"
            found.append(Entry(id, kind, rand.randint(1, 3), 7, "a", "b", id, 0, ref, 0, id, '=n, "x"'))
            open_holds += found[-1:] * (kind == "hold")
        else:
            held = open_holds[0] if kind == "loss" else open_holds.pop(rand.randrange(len(open_holds)))
            found.append(Entry(id, kind, held.account, 7, "credits", "revenue", id, held.id, held.ref, 0, id))
    return found


ENTRIES = _history(700)
ACTS = [
    (n, n % 3 or None, ("root", "Ann", "")[n % 3 - 1], ("a.b", "c.d")[n % 2], f"user:{n % 5}") for n in range(1, 301)
]  # fmt: skip


@pytest.fixture(scope="module")
def written(shared: Source) -> Source:
    with either.opened(shared) as connection:
        batch = Batch()
        batch.entries.extend(ENTRIES)
        for id, actor, name, action, target in ACTS:
            batch.statements.append((
                "INSERT INTO audit VALUES (?, ?, ?, ?, 'api', '10.0.0.1', ?, ?, '', ?, 'req_1')",
                (id, id, actor, name, action, target, '{"status":"active"}'),
            ))  # fmt: skip
        either.put(connection, batch)
    return shared


async def walked(page: Callable[..., Any], wanted: object, size: int) -> tuple[list[str], set[int]]:
    """The ids of all rows, by cursors; and the totals that were told."""
    ids: list[str] = []
    totals, after = set(), None
    while True:
        rows, total, after = await page(wanted, after=after, skipped=0, size=size)
        ids += [row["id"] for row in rows]
        totals.add(total)
        if after is None:
            return ids, totals
        assert len(rows) == size and rows[-1]["id"] == str(after)


MOVES = [
    Moves(), Moves(account=2), Moves(account=9), Moves(kind="hold"), Moves(kind="loss"), Moves(kind="topup"),
    Moves(account=1, kind="void"), Moves(account=3, kind="post"), Moves(ref="r20"), Moves(ref="r20", kind="hold"),
    Moves(ref="no"), Moves(ref="r30", account=1), Moves(ref="' OR 1=1 --"), Moves(kind="%"), Moves(ref="r%"),
    Moves(ref="_", kind="' OR '1'='1"),
]  # fmt: skip


@pytest.mark.parametrize("wanted", MOVES, ids=repr)
async def test_entries(written: Source, wanted: Moves) -> None:
    expected = [
        str(e.id) for e in reversed(ENTRIES)
        if wanted.account in {None, e.account} and wanted.kind in {None, e.kind} and wanted.ref in {None, e.ref}
    ]  # fmt: skip
    stored = StoredRecords(written)
    assert await walked(stored.entries, wanted, 7) == (expected, {len(expected)})
    for skipped in (0, 3, len(expected) - 1, len(expected), 5000):
        rows, total, last = await stored.entries(wanted, after=None, skipped=max(skipped, 0), size=4)
        assert [row["id"] for row in rows] == expected[max(skipped, 0) :][:4] and total == len(expected)
        assert last == (int(rows[-1]["id"]) if max(skipped, 0) + 4 < len(expected) else None)


@pytest.mark.parametrize("after", [-(10**30), -1, 0, 1, 10**30])
async def test_places_that_no_row_has(written: Source, after: int) -> None:
    rows, total, last = await StoredRecords(written).entries(Moves(), after=after, skipped=0, size=2)
    assert [row["id"] for row in rows] == (["700", "699"] if after > 1 else []) and total == 700
    assert (last is None) == (after <= 1)


async def test_how_an_entry_is_shown(written: Source) -> None:
    held = next(e for e in ENTRIES if e.kind == "post" and e.hold)
    rows, _, _ = await StoredRecords(written).entries(Moves(ref=held.ref, kind="post"), after=None, skipped=0, size=1)
    assert rows[0] == {
        "id": str(held.id), "at": rows[0]["at"], "kind": "post", "user": str(held.account), "debit": "credits",
        "credit": "revenue", "amount": f"0.{held.id:012d}".rstrip("0"), "hold": str(held.hold), "ref": held.ref,
        "note": "", "key": "7",
    }  # fmt: skip


ASKED = [
    Acts(), Acts(actor=1), Acts(actor=9), Acts(actor_name="ROOT"), Acts(actor_name=""), Acts(action="a.b"),
    Acts(target="user:3"), Acts(actor=2, action="c.d", target="user:4"),
]  # fmt: skip


@pytest.mark.parametrize("wanted", ASKED, ids=repr)
async def test_acts(written: Source, wanted: Acts) -> None:
    expected = [
        str(id) for id, actor, name, action, target in reversed(ACTS)
        if wanted.actor in {None, actor} and wanted.action in {None, action} and wanted.target in {None, target}
        and (wanted.actor_name is None or wanted.actor_name.lower() == name.lower())
    ]  # fmt: skip
    assert await walked(StoredRecords(written).acts, wanted, 9) == (expected, {len(expected)})


async def test_how_an_act_is_shown(written: Source) -> None:
    rows, _, _ = await StoredRecords(written).acts(Acts(actor=1), after=5, skipped=0, size=1)
    assert rows == [
        {"id": "4", "at": "1970-01-01T00:00:00.000Z", "actor": "1", "actor_name": "root", "via": "api",
         "address": "10.0.0.1", "action": "a.b", "target": "user:4", "before": None, "after": {"status": "active"},
         "request_id": "req_1"},
    ]  # fmt: skip


async def test_what_arrives_in_between_is_neither_shown_twice_nor_skipped(path: Path) -> None:
    async with opened(path) as accounts:
        stored = StoredRecords(path)
        await accounts.users.create(username="ann", credits="1")
        for n in range(4):
            await accounts.credits.grant(username="ann", amount="1", ref=f"r{n}")
        first, total, last = await stored.entries(Moves(account=1), after=None, skipped=0, size=2)
        assert ([row["ref"] for row in first], total) == (["r3", "r2"], 5)
        await accounts.credits.grant(username="ann", amount="1", ref="late")
        second, total, last = await stored.entries(Moves(account=1), after=last, skipped=0, size=2)
        assert ([row["ref"] for row in second], total) == (["r1", "r0"], 6)  # counted on from where it stood
        rows, total, _ = await stored.entries(Moves(kind="grant"), after=None, skipped=0, size=1)
        assert (rows[0]["ref"], total) == ("late", 6)


@pytest.mark.parametrize(
    ("kept", "chosen"),
    [(records._ENTRIES, records._moves(wanted)) for wanted in MOVES[1:]]
    + [(records._AUDIT, records._acts(wanted)) for wanted in ASKED[1:]],
)
def test_no_page_reads_the_whole_table(written: Source, kept: Any, chosen: Any) -> None:
    if not isinstance(written, Path):
        return  # its plans go by what stands in the tables
    where, values = chosen
    sql = f"SELECT id FROM {kept.table} WHERE{where} AND id < ? ORDER BY id DESC LIMIT 9"
    with closing(read_only(written)) as connection:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", (*values, 10**9))]
    assert plan and not [step for step in plan if step.startswith("SCAN") and kept.table in step], plan
    common = where in {" kind = ?"} and values[0] in records.COMMON
    assert any("INDEX" in step and ("PRIMARY" not in step or "ref = ?" in where) for step in plan) or common, plan
    assert not [step for step in plan if "TEMP B-TREE" in step and "ref = ?" not in where], plan


# As a whole


async def exported(path: Source, account: int | None, form: str) -> str:
    return b"".join([piece async for piece in StoredRecords(path).export(account, form)]).decode()


@pytest.mark.parametrize("account", [None, 2, 9])
async def test_an_export(written: Source, monkeypatch: pytest.MonkeyPatch, account: int | None) -> None:
    monkeypatch.setattr(records, "PIECE", 64)
    expected = [e for e in ENTRIES if account in {None, e.account}]
    lines = [json.loads(line) for line in (await exported(written, account, "json")).splitlines()]
    assert [line["id"] for line in lines] == [str(e.id) for e in expected]
    text = await exported(written, account, "csv")
    rows = [*csv.DictReader(io.StringIO(text, newline=""))]
    assert text.startswith(",".join(records.ENTRY) + "\r\n") and text.count("\r\n") == len(expected) + 1
    assert len(rows) == len(expected)
    for row, line in zip(rows, lines, strict=True):
        assert row == {name: _cell(line[name]) for name in records.ENTRY}


def _cell(value: str | None) -> str:
    return "" if value is None else f"'{value}" if value.startswith("=") else value


async def test_an_export_ends_where_it_began(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "PIECE", 2)
    async with opened(path) as accounts:
        await accounts.users.create(username="ann", credits="1")
        for _ in range(4):
            await accounts.credits.grant(username="ann", amount="1")
        found = b""
        async for piece in StoredRecords(path).export(None, "json"):
            found += piece
            await accounts.credits.grant(username="ann", amount="1")
        assert [json.loads(line)["id"] for line in found.splitlines()] == ["1", "2", "3", "4", "5"]


async def test_one_verification_at_a_time(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(path) as accounts:
        await accounts.users.create(username="ann", credits="1")
        stored, going, go_on = StoredRecords(path), trio.Event(), trio.Event()
        real = records.verify_ledger

        def slow(path: Path, told: Callable[[int, int], None]) -> Mapping[str, object]:
            trio.from_thread.run_sync(going.set)
            trio.from_thread.run(go_on.wait)
            return real(path, told)

        monkeypatch.setattr(records, "verify_ledger", slow)
        async with trio.open_nursery() as nursery:
            said: list[Mapping[str, object]] = []

            async def verify() -> None:
                said.append(await stored.verify())

            nursery.start_soon(verify)
            await going.wait()
            with pytest.raises(Conflict) as refused:
                await stored.verify()
            assert refused.value.code == "already_running"
            go_on.set()
        assert said[0]["ok"] is True and said[0]["entries"] == 1
        assert (await stored.verify())["ok"] is True  # then another one may


async def test_a_verification_that_nobody_waits_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def ended(stored: StoredRecords) -> Verification:
        with trio.fail_after(10):
            while (found := stored.verification()) is None or found.ended_us is None:
                await trio.lowlevel.checkpoint()
        return found

    async with opened(path) as accounts:
        await accounts.users.create(username="ann", credits="1")
        stored = StoredRecords(path)
        assert stored.verification() is None
        stored.begin_verify()
        with pytest.raises(Conflict):
            stored.begin_verify()
        with pytest.raises(Conflict):
            await stored.verify()
        found = await ended(stored)
        assert found.said is not None and found.said["ok"] is True and (found.done, found.whole) == (1, 1)
        assert await stored.verify() == found.said and stored.verification() is not found

        def broken(path: Path, told: Callable[[int, int], None]) -> Mapping[str, object]:
            raise sqlite3.OperationalError("disk I/O error")

        monkeypatch.setattr(records, "verify_ledger", broken)
        stored.begin_verify()
        found = await ended(stored)
        assert (found.said, found.failed) == (None, "disk I/O error")


def test_the_newest_acts_beside_no_server(written: Source) -> None:
    said: Any = records.latest_acts(written, 3)
    assert [row["id"] for row in said["data"]] == ["300", "299", "298"] and said["total"] == 300


def test_a_database_without_an_audit_has_none(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite3"
    with closing(connect(path, durability="process")) as connection:
        connection.execute("DROP TABLE audit")
        connection.execute("DELETE FROM _sqlite_migrations WHERE name >= '0005'")
    with pytest.raises(sqlite3.Error):
        read_only(path).execute("SELECT 1 FROM audit")
    assert records.latest_acts(path, 3)["data"] == []
