"""A database as an earlier version wrote it, with thousands of requests of every ending, migrated by this one: for
scripts/old_database.

The earlier version is taken from this repository's history and serves its own demo provider; it is killed with streams
open. Everything it shows of its data is noted, by its own commands. Then this version verifies the file before it has
touched it, migrates it by a start, verifies again, and must show the same, but for what the kill left open.
"""

import argparse
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx

from tests.blackbox.harness import REPO, Process, environment

BEFORE = "d4f3ae6"
"""The last commit of schema 0001."""
CONFIG = """
[server]
port = 0
[limits]
requests_per_second = 0
[plan.default]
mode = "prepaid"
price_multiplier = 1.15
[[channel]]
name = "demo"
provider = "demo"
"""
CALLERS = 48
OPEN_STREAMS = 12
NEW_COLUMNS = {
    "entries": {"boot": 0},
    "requests": {
        "route": "", "client_dialect": "", "channel_dialect": "", "multiplier": "", "cache_write_1h_tokens": 0,
        "earlier": "", "remark": "",
    },
}  # fmt: skip
TABLES = ("users", "keys", "entries", "balances", "spent", "requests", "ratios", "checkpoints")


class Program:
    """A version of the program over one data directory."""

    def __init__(self, tree: Path, base: Path) -> None:
        self.env = {**environment(), "PYTHONPATH": str(tree)}
        self.base = base
        self.places = ["--config", str(base / "ftgate.toml"), "--data", str(base / "data")]

    def run(self, *words: str) -> str:
        command = [sys.executable, "-m", "ftgate", *words, *self.places]
        done = subprocess.run(command, env=self.env, cwd=self.base, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    def read(self, *words: str) -> Any:
        return json.loads(self.run(*words, "--json"))

    @contextmanager
    def serving(self) -> Iterator[tuple[Process, str]]:
        command = [sys.executable, "-m", "ftgate", "serve", *self.places]
        server = Process(command, self.base / "serve.out", self.base / "serve.err", env=self.env, cwd=self.base)
        try:
            yield server, server.wait_ready()
        finally:
            server.kill()

    def shown(self) -> dict[str, Any]:
        """All that it shows without changing anything."""
        export = [json.loads(line) for line in self.run("ledger", "export", "--format", "json").splitlines()]
        rows = self.read("logs", "--limit", "10000")
        assert {row.pop("remark", "") for row in rows["data"]} == {""}  # a column that is new
        assert self.read("ledger", "entries", "--limit", "100000") == export[::-1]
        return {"entries": export, "logs": rows, "stats": self.read("stats")}


def history(commit: str, place: Path) -> Path:
    """The tree of an earlier commit."""
    packed = subprocess.run(["git", "archive", commit], cwd=REPO, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=BytesIO(packed)) as archive:
        archive.extractall(place, filter="data")
    return place


def dump(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table, by its columns."""
    found: dict[str, list[dict[str, Any]]] = {}
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        for table in TABLES:
            found[table] = [dict(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2")]
    return found


def call(client: httpx.Client, key: str, rng: random.Random) -> str:
    """One call of one of the kinds that there are; how it was answered."""
    stream = rng.random() < 0.25
    body: dict[str, Any] = {
        "model": rng.choice(["demo-chat", "demo-chat", "demo-chat", "demo-reasoner", "auto"]),
        "messages": [{"role": "user", "content": "word " * rng.randint(1, 60)}],
        "max_tokens": rng.choice([1, 2, 3, 200]) if not stream else rng.randint(1, 4),
    }
    headers = {"Authorization": f"Bearer {key}"}
    kind = rng.random()
    if kind < 0.02:
        body["model"] = "no-such-model"
    elif kind < 0.04:
        body["messages"][0]["content"] = rng.choice(["[error]", "[limit]"])
    elif kind < 0.05:
        body["messages"][0]["content"], stream = "[cut] " + "word " * 9, True
    elif kind < 0.06:
        del body["messages"]
    elif kind < 0.08:
        body["tools"] = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
        body["messages"][0]["content"] = "[tool]"
    if kind > 0.97:
        stream = True
        body["max_tokens"] = 30
    body["stream"] = stream
    with client.stream("POST", "/v1/chat/completions", json=body, headers=headers) as answer:
        if kind > 0.97 and answer.status_code == 200:
            next(answer.iter_raw(), b"")
            return "left"  # in the middle of its stream
        answer.read()
        return str(answer.status_code)


def fill(program: Program, wanted: int, seed: int) -> Counter[str]:
    """Serve `wanted` requests, then end the server by SIGKILL with streams open. How they were answered."""
    users = {f"user{n}": credits for n, credits in enumerate(("1000", "50", "0.002", "5"))}
    keys = []
    for name, credits in users.items():
        program.read("users", "create", name, "--credits", credits)
        keys.append(program.read("keys", "create", "--user", name)["key"])
    keys.append(program.read("keys", "create", "--user", "user3", "--quota", "0.001")["key"])
    program.run("credit", "grant", "user1", "1.000000000001", "--note", "a grant", "--json")
    program.run("credit", "correct", "user1", "-0.5", "--note", "a correction", "--json")
    with program.serving() as (server, url):
        local = threading.local()

        def work(number: int) -> str:
            if not hasattr(local, "client"):
                local.client = httpx.Client(base_url=url, trust_env=False, timeout=60)
            rng = random.Random(f"{seed} {number}")
            return call(local.client, rng.choices(keys, (6, 3, 1, 2, 1))[0], rng)

        with ThreadPoolExecutor(CALLERS) as pool:
            answers = Counter(pool.map(work, range(wanted)))
        begun = [threading.Event() for _ in range(OPEN_STREAMS)]

        def stream(event: threading.Event) -> None:
            body = {"model": "demo-chat", "stream": True, "messages": [{"role": "user", "content": "[long] [slow]"}]}
            with (
                httpx.Client(base_url=url, trust_env=False, timeout=60) as client,
                client.stream(
                    "POST", "/v1/chat/completions", json=body, headers={"Authorization": f"Bearer {keys[0]}"}
                ) as answer,
            ):
                try:
                    for _ in answer.iter_raw():
                        event.set()
                except httpx.TransportError:  # the kill
                    pass

        streams = [threading.Thread(target=stream, args=(event,)) for event in begun]
        for thread in streams:
            thread.start()
        assert begun and all(event.wait(30) for event in begun), "the streams did not begin"
        server.kill()
        for thread in streams:
            thread.join(30)
    return answers


def compare(before: dict[str, Any], after: dict[str, Any], old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What is not as it was, but for the ends of what the kill left open."""
    wrong: list[str] = []

    def expect(right: bool, words: str) -> None:
        if not right:
            wrong.append(words)

    known = len(before["entries"])
    expect(after["entries"][:known] == before["entries"], "entries are shown differently")
    ends = after["entries"][known:]
    left = {entry["id"] for entry in before["entries"] if entry["kind"] == "hold"}
    left -= {entry["hold"] for entry in before["entries"]}
    expect({end["hold"] for end in ends} == left, "other holds have ended")
    expect({(end["kind"], end["amount"]) for end in ends} == {("expire", "0")}, "they did not expire for nothing")
    rows = after["logs"]["data"]
    crashed, others = rows[: len(ends)], rows[len(ends) :]
    shown = min(len(others), len(before["logs"]["data"]))
    expect(others[:shown] == before["logs"]["data"][:shown], "rows of the log are shown differently")
    expect({row["status"] for row in crashed} == {"crashed"}, "a call that the kill ended has no row")
    expect({Decimal(row["cost"]) for row in crashed} == {Decimal(0)}, "such a row has a cost")
    expect(after["logs"]["total"] == before["logs"]["total"] + len(ends), "the log has another length")
    models = {model["model"]: model for model in after["stats"]["models"]}
    for model in before["stats"]["models"]:
        more = len(ends) if model["model"] == "(none)" else 0
        expect(models[model["model"]] == {**model, "requests": model["requests"] + more}, f"{model['model']} differs")
    for table, rows_before in old.items():
        if table in {"checkpoints", "balances"}:
            continue
        as_now = [{**row, **NEW_COLUMNS.get(table, {})} for row in rows_before]
        expect(new[table][: len(as_now)] == as_now, f"rows of the table {table} have changed")
    posted = [{**row, "held": 0} for row in old["balances"]]
    expect(new["balances"] == posted, "a balance has changed by more than the holds")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/old_database")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--commit", default=BEFORE)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        (base / "ftgate.toml").write_text(CONFIG)
        database = base / "data" / "ftgate.sqlite3"
        earlier, present = Program(history(chosen.commit, base / "tree"), base), Program(REPO, base)
        began = time.perf_counter()
        answers = fill(earlier, chosen.requests, chosen.seed)
        print(
            f"{chosen.commit} served {sum(answers.values())} requests in {time.perf_counter() - began:.0f} s:", end=" "
        )
        print(", ".join(f"{number} x {answer}" for answer, number in sorted(answers.items())))
        print(f"and was killed with {OPEN_STREAMS} streams open: {earlier.run('ledger', 'verify').strip()}")
        before, old = earlier.shown(), dump(database)
        shutil.copy(database, base / "kept")
        said = present.read("ledger", "verify")
        print(f"this version, before it has touched the file: {said}")
        assert before == present.shown(), "an unmigrated database is shown differently"
        assert dump(database) == old and os.path.getsize(database) == os.path.getsize(base / "kept")
        began = time.perf_counter()
        users = present.read("users", "list")  # opens it, and migrates it
        print(f"opened, migrated and recovered in {time.perf_counter() - began:.2f} s")
        said = present.read("ledger", "verify")
        print(f"verified: {said}")
        print(present.run("ledger", "verify").strip())
        wrong = compare(before, present.shown(), old, dump(database))
        assert said["ok"] and said["open_holds"] == 0
        assert said["not_recomputable"] == {"older": len(old["requests"]), "crashed": OPEN_STREAMS}, said
        with present.serving() as (server, url):
            created = present.read("keys", "create", "--user", users[0]["username"])
            with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
                assert call(client, created["key"], random.Random(3)) == "200"
            server.terminate()
        last = present.read("ledger", "verify")
        assert last["ok"] and last["recomputed"] == 1, last
        print(f"a call on it: {last['recomputed']} row recomputed")
        print(
            "\n".join(wrong)
            if wrong
            else f"all {len(old['requests'])} rows and {len(old['entries'])} entries as before"
        )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
