"""Upgrades from every schema there has been, with a large database: for scripts/upgrade.

The first version with a schema fills a database by serving its demo provider, and is killed with streams open. For each
later schema a copy is brought there by the version that had it, which serves some calls more. Then this version is
asked what it would do, does it, and must show all that was there; the older version must refuse the result. At last a
start on the oldest database is killed at moments spread over its migration: the next one must come to its end with
nothing lost and one backup.
"""

import argparse
import hashlib
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx

from ftgate.store.backup import FOLDER
from ftgate.store.schema import NEWEST, schema_of
from ftgate.store.upgrade import copy_before
from tests.blackbox import harness
from tests.blackbox.harness import REPO, Process
from tests.store.old_database import BEFORE, CONFIG, Program, call, fill, history

SCHEMAS = {
    1: BEFORE, 2: "783f01f", 3: "e56531e", 4: "fd1d610", 5: "317bc24", 6: "8da818a", 7: "e984e08", 8: "5ed8181",
    9: "e53611f", 10: "2bb2d12",
}  # fmt: skip
"""A commit of each."""
START_S = 180.0
"""For a start that migrates a hundred thousand requests on a busy machine."""
MORE = 100
"""Calls that the version of each schema serves itself."""
ENTRIES = "id, kind, account, key, debit, credit, amount, hold, ref, estimate, at_us, note"
REQUESTS = (
    "id, request_id, created_at_us, account, key, model, served_model, status, cost, lost, latency_ms, hold, price"
)
"""Columns that every schema has."""


class Known:
    """What a database holds: how many rows, and a digest of them."""

    def __init__(self, path: Path, upto: "Known | None" = None) -> None:
        with closing(sqlite3.connect(path)) as connection:
            self.schema = schema_of(connection)
            self.rows: dict[str, tuple[int, str]] = {}
            for table, columns in (("entries", ENTRIES), ("requests", REQUESTS)):
                last = (
                    upto.rows[table][0] if upto else connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
                )
                digest = hashlib.sha256()
                for row in connection.execute(f"SELECT {columns} FROM {table} ORDER BY id LIMIT ?", (last,)):
                    digest.update(repr(row).encode())
                self.rows[table] = last, digest.hexdigest()


def place(base: Path, tree: Path) -> Program:
    base.mkdir(parents=True, exist_ok=True)
    (base / "ftgate.toml").write_text(CONFIG)
    return Program(tree, base)


def copied(data: Path, base: Path, tree: Path = REPO) -> Program:
    """A program over a copy of a data directory."""
    shutil.rmtree(base, ignore_errors=True)
    program = place(base, tree)
    shutil.copytree(data, base / "data", ignore=shutil.ignore_patterns("lock", "*.sock"))
    return program


def database(program: Program) -> Path:
    return program.base / "data" / "ftgate.sqlite3"


def copies(program: Program) -> list[str]:
    folder = program.base / "data" / "backups"
    return sorted(found.name for found in folder.iterdir()) if folder.exists() else []


def served(program: Program, many: int) -> Counter[str]:
    """Calls of every kind, one after the other."""
    key = program.read("keys", "create", "--user", "user0")["key"]
    with program.serving() as (server, url):
        with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
            answers = Counter(call(client, key, random.Random(number)) for number in range(many))
        server.terminate()
    return answers


def upgraded(schema: int, first: Path, base: Path) -> str:
    """Bring a copy to a schema by its own version, then to this one's; what was seen."""
    older = copied(first, base, history(SCHEMAS[schema], base.with_name(f"tree-{schema}")))
    if schema > 1:
        served(older, MORE)
    path = database(older)
    before = Known(path)
    assert before.schema == schema, before.schema
    present = Program(REPO, base)
    foretold = present.run("upgrade-check")
    assert f"from schema {schema} to {NEWEST}" in foretold and Known(path).rows == before.rows, foretold
    began = time.perf_counter()
    present.read("users", "list")
    took = time.perf_counter() - began
    after = Known(path, before)
    assert after.schema == NEWEST and after.rows == before.rows, "something is not as it was"
    (copy,) = copies(present)
    assert Known(path.parent / "backups" / copy).rows == before.rows
    verified = present.read("ledger", "verify")
    assert verified["ok"] and verified["open_holds"] == 0, verified
    with present.serving() as (server, _):
        server.terminate()
    words = refusal(older)
    size = path.stat().st_size / 1e6
    return (
        f"schema {schema:>2} -> {NEWEST}: {before.rows['requests'][0]} requests, {size:.0f} MB, {took:.1f} s; {words}"
    )


def refusal(older: Program) -> str:
    """What an older version says of the database by now."""
    command = [sys.executable, "-m", "ftgate", "users", "list", *older.places]
    done = subprocess.run(command, env=older.env, cwd=older.base, capture_output=True, text=True, timeout=300)
    assert done.returncode, "an older version takes a newer database"
    assert "newer ftgate" in done.stderr, done.stderr
    return "the older one refuses it"


def killed(first: Path, base: Path, before: Known, after_s: float) -> str:
    """Kill a start so long after its beginning, and start again; in which state the kill left it."""
    program = copied(first, base)
    command = [sys.executable, "-m", "ftgate", "serve", *program.places]
    server = Process(command, base / "kill.out", base / "kill.err", env=program.env, cwd=base)
    time.sleep(after_s)
    server.kill()
    left, found = copies(program), Known(database(program), before)
    assert found.rows == before.rows, "something was lost"
    with program.serving() as (again, _):
        again.terminate()
    now, whole = copies(program), Known(database(program), before)
    assert whole.schema == NEWEST and whole.rows == before.rows, "something was lost"
    assert len(now) == 1 and not now[0].endswith(".part"), now
    assert not (done := [name for name in left if name.endswith(".sqlite3")]) or done == now, (left, now)
    verified = program.read("ledger", "verify")
    assert verified["ok"] and verified["open_holds"] == 0, verified
    half = "half a backup" if any(".part" in name for name in left) else "a backup" if left else "no backup"
    return f"schema {found.schema}, {half}"


def moments(first: Path, base: Path, before: Known, kills: int) -> list[str]:
    """Kills spread over a start, of which the length is measured first."""
    program = copied(first, base)
    began = time.perf_counter()
    with program.serving() as (server, _):
        whole_s = time.perf_counter() - began
        server.terminate()
    print(f"a start that migrates takes {whole_s:.1f} s to `ready`; killed at {kills} moments of it:", flush=True)
    said: list[str] = []
    for number in range(1, kills + 1):
        after_s = whole_s * number / (kills + 1)
        said.append(killed(first, base, before, after_s))
        print(f"  after {after_s:5.2f} s: {said[-1]}; started again, nothing lost, one backup", flush=True)
    return said


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/upgrade")
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument(
        "--copied", action="store_true", help="Kill starts that find their copy made: in the change itself."
    )
    parser.add_argument("--schemas", type=int, nargs="*", default=list(SCHEMAS))
    parser.add_argument("--keep", type=Path, help="A directory to keep the filled database in, and to take it from.")
    chosen = parser.parse_args()
    harness.START_S = START_S
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        first = _first(chosen, base)
        before = Known(first / "ftgate.sqlite3")
        print(f"filled: {before.rows['requests'][0]} requests, {before.rows['entries'][0]} entries", flush=True)
        for schema in chosen.schemas:
            print(upgraded(schema, first, base / "upgraded"), flush=True)
        if chosen.copied:
            prepared = copied(first, base / "prepared")
            assert copy_before(database(prepared), database(prepared).parent / FOLDER) is not None
            first = database(prepared).parent
        states: Any = Counter(moments(first, base / "killed", before, chosen.kills)) if chosen.kills else {}
        print("left behind:", ", ".join(f"{number} x {state}" for state, number in sorted(states.items())))
    return 0


def _first(chosen: argparse.Namespace, base: Path) -> Path:
    """The data directory that the oldest version has filled."""
    kept: Path | None = chosen.keep
    if kept is not None and (kept / "data").exists():
        return kept / "data"
    program = place(kept or base / "first", history(BEFORE, base / "tree"))
    began = time.perf_counter()
    answers = fill(program, chosen.requests, seed=1)
    print(f"{BEFORE} served {sum(answers.values())} requests in {time.perf_counter() - began:.0f} s", flush=True)
    return program.base / "data"


if __name__ == "__main__":
    sys.exit(main())
