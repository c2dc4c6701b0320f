"""SQL of ours in PostgreSQL's words: each rule by itself, values, and the same answers from both databases."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ftgate.store.database import connect as open_file
from ftgate.store.postgres.connection import connect
from ftgate.store.postgres.dialect import RULES, WHOLE, bound, literal
from tests.postgres import Server
from tests.store.either import tamper

SAID = {
    "a IS NOT b": "a IS DISTINCT FROM b",
    "a IS ?": "a IS NOT DISTINCT FROM 7",
    "a IS :x AND b IS NULL AND c IS NOT NULL": "a IS NOT DISTINCT FROM 7 AND b IS NULL AND c IS NOT NULL",
    "a LIKE 'IS NOT LIKE ?'": "a ILIKE 'IS NOT LIKE ?'",
    "CAST(state AS BLOB)": "convert_to(state, 'UTF8')",
    "IN (SELECT value FROM json_each(?))": "IN (SELECT value FROM listed(7))",
    "json_replace(x, '$.a', json(?1))": "json_replace(x, '$.a', (7))",
    "PRAGMA secure_delete = ON": "SELECT 1",
    "DROP TRIGGER audit_never_updated": "ALTER TABLE audit DISABLE TRIGGER audit_kept",
    "CREATE TRIGGER entries_never_updated BEFORE UPDATE\nON entries BEGIN SELECT RAISE(ABORT, 'x'); END":
    "ALTER TABLE entries ENABLE TRIGGER entries_kept",
}  # fmt: skip


@pytest.mark.parametrize("sql", SAID)
def test_each_rule(sql: str) -> None:
    assert bound(sql, {"x": 7} if ":x" in sql else (7,)) == SAID[sql]
    assert bound(SAID[sql]) == SAID[sql]  # once said it stays so


def test_every_rule_is_tried() -> None:
    for pattern, _ in (*RULES, *WHOLE):
        assert [sql for sql in SAID if pattern.search(sql)], pattern


@pytest.mark.parametrize(
    ("sql", "values", "said"),
    [
        ("?, ?", (1, "a"), "1, 'a'"),
        ("?2, ?1, ?", (1, 2, 3), "2, 1, 3"),
        ("?1, ?, ?1", (1, 2), "1, 2, 1"),
        (":a, :bc, :a", {"a": 1, "bc": 2}, "1, 2, 1"),
        ("'?', ':a', '''?', ?", (1,), "'?', ':a', '''?', 1"),
        ("x::text, ?", (1,), "x::text, 1"),
        ("a - ?", (-1,), "a - (-1)"),
        ("100 % ?", (7,), "100 % 7"),
    ],
)
def test_places(sql: str, values: Any, said: str) -> None:
    assert bound(sql, values) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "NULL"), (True, "1"), (False, "0"), (2**63 - 1, str(2**63 - 1)), ("a'b''", "'a''b'''''"),
        ("\\'; DROP --", "'\\''; DROP --'"), ("a\0b", "'a\ufffdb'"), (b"\x00'", "'\\x0027'::bytea"),
        (memoryview(b"ab"), "'\\x6162'::bytea"), (1.5, "'1.5'::float8"),
    ],
)  # fmt: skip
def test_literals(value: Any, said: str) -> None:
    assert literal(value) == said


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1])
def test_more_than_sixty_four_bits_is_refused_as_by_sqlite(value: int) -> None:
    with pytest.raises(OverflowError), closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("SELECT ?", (value,))
    with pytest.raises(OverflowError):
        bound("SELECT ?", (value,))


SAME: list[tuple[str, Any]] = [
    ("SELECT ?, ?, ?, ?", (1, "a'\\\"%s", None, b"\x00\xff'")),
    ("SELECT sum(value), count(*), max(value), sum(value / 2), sum(value % 2) FROM json_each('[3,4,-7]')", ()),
    ("SELECT coalesce(sum(value), 0) FROM json_each('[]')", ()),
    ("SELECT sum(value) FROM json_each(?)", (f"[{2**62},{2**62 - 1}]",)),
    ("SELECT ? IS ?, ? IS NOT ?, 1 = 2", (None, 1, None, 1)),
    ("SELECT -7 / 2, -7 % 2, 7 / 2", ()),
    ("SELECT instr('abc', 'c'), instr('abc', ''), instr('\x01' || '7', '\x01')", ()),
    ("SELECT max(3, 2), max(2, 3)", ()),
    ("SELECT strftime('%Y-%m', ? / 1000000, 'unixepoch')", (951_782_400_000_000,)),
    ("SELECT 'user:' || ?1, 'token:' || ?1", (17,)),
    ("SELECT 'ByOk:7' LIKE 'byok:%', 'x' LIKE 'byok:%'", ()),
    ("SELECT CASE WHEN ?1 IS NULL THEN 'none' ELSE 'some' END", (None,)),
    ("SELECT json_replace('{\"note\":\"x y\",\"n\":1.5,\"l\":[1,{\"a\":1}]}', '$.note', json(?1), '$.no', json(?2))",
     ('""', "[]")),
    ("SELECT json_replace('{\"allowedIps\":[\"1.2.3.4\"]}', '$.allowedIps', json(?))", ("[]",)),
    ("SELECT json_replace('{}', '$.note', json(?))", ('""',)),
]  # fmt: skip


@pytest.mark.parametrize("sql", [sql for sql, _ in SAME])
def test_both_databases_answer_the_same(sql: str, postgres: Server, known: Any) -> None:
    values = dict(SAME)[sql]
    with closing(sqlite3.connect(":memory:")) as connection:
        expected = connection.execute(sql, values).fetchall()
    found = known.execute(sql, values).fetchall()
    assert found == expected and [[type(one) for one in row] for row in found] == [
        [type(one) for one in row] for row in expected
    ]


@pytest.fixture(scope="module")
def known(postgres: Server) -> Any:
    with postgres.database() as source, closing(connect(source, readonly=True)) as connection:
        yield connection


def columns(path: Path) -> dict[str, list[tuple[str, bool]]]:
    """Of each table the columns in their order, and whether they may be null."""
    with closing(open_file(path, durability="process")) as connection:
        described = 'SELECT name, "notnull", pk FROM pragma_table_info(?)'
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            table: [(name, not (needed or own)) for name, needed, own in connection.execute(described, (table,))]
            for table in tables
            if not table.startswith(("sqlite_", "_sqlite"))
        }


OWN = {"head", "changes", "touched", "holds", "secrets", "meta"}
"""Tables that only PostgreSQL has."""
ALONE = {"last_batch"}
"""And SQLite."""
BESIDE = {"boots": ["gateway", "config", "ended", "mark", "seen_at"], "spent": ["held"]}


def test_the_tables_are_those_of_sqlite(tmp_path: Path, known: Any) -> None:
    """Statements that name no columns mean the same ones; and what is read by name is there."""
    found: dict[str, list[tuple[str, bool]]] = {}
    for table, column, null in known.execute(
        "SELECT table_name, column_name, is_nullable = 'YES' FROM information_schema.columns"
        " WHERE table_schema = 'public' ORDER BY table_name, ordinal_position"
    ):
        found.setdefault(table, []).append((column, bool(null)))
    expected = columns(tmp_path / "f")
    assert found.keys() == (expected.keys() - ALONE) | OWN
    for table in expected.keys() - ALONE:
        added = BESIDE.get(table, [])
        own = [column for column in found[table] if column[0] not in added]
        assert own == expected[table], table
        assert [name for name, _ in found[table][len(own) :]] == added, table


def test_what_is_never_changed_is_not(postgres: Server) -> None:
    with postgres.database() as source:
        with closing(connect(source, readonly=False)) as connection:
            connection.execute("INSERT INTO entries VALUES (1, 'grant', 1, 0, 'a', 'b', 5, 0, 'r', 0, 1, 'x', 0)")
            for sql in ("UPDATE entries SET note = ''", "DELETE FROM entries", "UPDATE audit SET address = ''"):
                with pytest.raises(sqlite3.OperationalError, match="never updated and never deleted"):
                    connection.execute(sql)
        tamper(source, "UPDATE entries SET note = 'y', amount = -1")
