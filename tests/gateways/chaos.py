"""Two real gateways on a real PostgreSQL, and what can happen to them: scripts/chaos.

For each seed: callers on a few nearly empty accounts through both gateways; gateways are killed and stopped, backends
ended, the server crashed and stopped. Then everything is let be, and what callers were told is held against the books:

    cost and balance   in the books for ever, at that cost, and it left just that balance
    cost alone         at that cost if it is there

and the ledger verifies: every chain, every balance, every row, no hold open.
"""

import argparse
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from ftgate.store.database import read_only
from ftgate.store.verify import verify_ledger
from tests.blackbox import harness
from tests.blackbox.harness import HELLO, Account, House, Process, channel
from tests.postgres import Server, session_server, stop, use

CONFIG = """
[limits]
requests_per_second = 0
concurrent = 0
""" + channel("lab", ["plain", "short", "slow", "long"])
SCRIPTS = {
    "short": {"content": ["tick "], "repeat": 4, "piece_delay_s": 0.002},
    "slow": {"content": ["tick "], "repeat": 30, "piece_delay_s": 0.01},
    "long": {"content": ["tick "], "repeat": 60, "piece_delay_s": 0.1},
}
USD = 10**12
COMMENT = re.compile(r": x-findtoken-cost=(\S+)(?: balance=(\S+))?\n")
SOONER = """
from ftgate.store.postgres import lane
lane.GRACE_S = 3.0
from ftgate.__main__ import main
main()
"""
"""A gateway that counts others as dead after three seconds."""
harness.START_S = 60.0  # a start may have to wait for a server that recovers
FENCED = "another gateway has declared this one dead"
TROUBLES = ("kill", "kill", "freeze", "freeze", "end backends", "crash", "stop server")


@dataclass
class Told:
    """Of each call by its id: the cost its caller was told, and whether with a balance."""

    whole: dict[str, Decimal] = field(default_factory=dict)
    late: dict[str, Decimal] = field(default_factory=dict)
    statuses: Counter[str] = field(default_factory=Counter)


class Round:
    def __init__(self, base: Path, seed: int, seconds: float) -> None:
        self.rand = random.Random(seed)
        self.seconds = seconds
        self.told = Told()
        self.over = threading.Event()
        self.met: Counter[str] = Counter()
        self.house = House(base, CONFIG, SCRIPTS, way="postgres", serving=False)
        self.base = base
        self.gateways: dict[str, Process] = {}
        self.urls: dict[str, str] = {}

    def start(self, name: str) -> None:
        process = self.house.spawn(data=self.base / name, name=f"{name}-{time.monotonic_ns()}", script=SOONER)
        self.gateways[name] = process
        self.urls[name] = process.wait_ready()

    def run(self) -> None:
        house = self.house
        try:
            for name in ("a", "b"):
                self.start(name)
            house.data = self.base / "a"
            house.http.base_url = self.urls["a"]
            accounts = [house.account("0.02") for _ in range(5)]
            threads = [
                threading.Thread(target=self._calls, args=(name, accounts, number), daemon=True)
                for name in self.gateways for number in range(6)
            ]  # fmt: skip
            for thread in threads:
                thread.start()
            self.troubles(accounts)
            self.over.set()
            for thread in threads:
                thread.join(30)
            time.sleep(1)
            for name in self.gateways:
                self._alive(name)
            self._settled()
            for process in self.gateways.values():
                code, said = process.terminate(30), process.err.read_text()
                if FENCED in said:  # it was away too long, which a machine without time for it comes to as well
                    self.met["declared dead"] += 1
                else:
                    assert code == 0, (said[-2000:],)
            self._check(accounts)
        finally:
            for process in self.gateways.values():
                with suppress(OSError):
                    os.kill(process.child.pid, signal.SIGCONT)
                process.kill()
            house._let_go()

    def troubles(self, accounts: list[Account]) -> None:
        """What happens while calls go on."""
        until = time.monotonic() + self.seconds
        while time.monotonic() < until:
            time.sleep(self.rand.uniform(0.3, 1.5))
            self._trouble(self.rand.choice(TROUBLES))

    def _alive(self, name: str) -> None:
        if not self.gateways[name].alive:
            self.met["came back"] += 1
            self.start(name)

    def _calls(self, name: str, accounts: list[Account], number: int) -> None:
        rand = random.Random(number)
        with httpx.Client(trust_env=False, timeout=20) as client:
            while not self.over.is_set():
                account, model = rand.choice(accounts), rand.choice(["plain", "short", "slow"])
                stream = rand.random() < 0.5
                body = {"model": model, "messages": HELLO, "stream": stream, "max_tokens": rand.choice([5, 50])}
                try:
                    answer = client.post(
                        f"{self.urls[name]}/v1/chat/completions", json=body, headers=account.headers,
                        timeout=rand.choice([0.05, 20, 20, 20]),
                    )  # fmt: skip
                except (httpx.HTTPError, OSError) as error:
                    self.told.statuses[type(error).__name__] += 1
                    time.sleep(0.05)
                    continue
                self.told.statuses[str(answer.status_code)] += 1
                if answer.status_code != 200:
                    if answer.status_code >= 500:
                        time.sleep(0.05)
                    continue
                id = answer.headers["x-request-id"]
                if stream:
                    found = COMMENT.search(answer.text)
                    if found is None:
                        continue
                    cost, balance = found[1], found[2]
                else:
                    cost, balance = answer.headers.get("x-findtoken-cost"), answer.headers.get("x-findtoken-balance")
                if cost is not None:
                    (self.told.late if balance is None else self.told.whole)[id] = Decimal(cost)

    def _trouble(self, what: str) -> None:
        self.met[what] += 1
        name = self.rand.choice(sorted(self.gateways))
        process = self.gateways[name]
        if what == "kill":
            process.kill()
            time.sleep(self.rand.uniform(0, 1))
            self.start(name)
        elif what == "freeze":
            os.kill(process.child.pid, signal.SIGSTOP)
            time.sleep(self.rand.choice([0.2, 0.8, 2.0, 4.5]))
            os.kill(process.child.pid, signal.SIGCONT)
            time.sleep(0.5)
            self._alive(name)
        elif what == "end backends":
            with suppress(sqlite3.Error, OSError):
                self._server().told(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname ="
                    f" '{self._name()}'"
                )
        elif what == "crash":
            if pids := self._backends():
                os.kill(self.rand.choice(pids), signal.SIGKILL)
                time.sleep(1)
        elif what == "stop server":
            pids = self._backends()
            for pid in pids:
                with suppress(OSError):
                    os.kill(pid, signal.SIGSTOP)
            time.sleep(self.rand.uniform(0.2, 2.5))
            for pid in pids:
                with suppress(OSError):
                    os.kill(pid, signal.SIGCONT)
        for other in self.gateways:
            self._alive(other)

    def _server(self) -> Server:
        return session_server()

    def _name(self) -> str:
        assert self.house.postgres is not None
        return self.house.postgres.url.rpartition("/")[2]

    def _backends(self) -> list[int]:
        """Of the gateways."""
        for _ in range(50):
            with suppress(sqlite3.Error, OSError), closing(read_only(self._server().at("postgres"))) as connection:
                rows = connection.execute(
                    "SELECT pid FROM pg_stat_activity WHERE datname = ?", (self._name(),)
                ).fetchall()
                return [pid for (pid,) in rows]
            time.sleep(0.1)
        return []

    def _settled(self) -> None:
        until = time.monotonic() + 40
        while True:
            with suppress(sqlite3.Error, OSError), closing(read_only(self.house.postgres)) as connection:  # type: ignore[arg-type]
                if connection.execute("SELECT count(*) FROM holds").fetchone()[0] == 0:
                    return
            assert time.monotonic() < until, "holds stay open"
            time.sleep(0.2)

    def _check(self, accounts: list[Account]) -> None:
        source = self.house.postgres
        assert source is not None
        found: Any = verify_ledger(source)
        assert found["open_holds"] == 0, found
        with closing(read_only(source)) as connection:
            costs = dict(connection.execute("SELECT request_id, cost FROM requests").fetchall())
            ends = connection.execute(
                "SELECT count(*), count(DISTINCT hold) FROM entries WHERE kind IN ('post', 'void', 'expire')"
            ).fetchone()
            self.entries = connection.execute("SELECT count(*) FROM entries").fetchone()[0]
            self.expired = connection.execute("SELECT count(*) FROM entries WHERE kind = 'expire'").fetchone()[0]
            below = connection.execute("SELECT count(*) FROM balances WHERE posted < 0").fetchone()[0]
        assert ends[0] == ends[1], ends
        assert below == 0
        for id, cost in self.told.whole.items():
            assert id in costs, f"{id} was told {cost}, and is not in the books"
            assert costs[id] == cost * USD, (id, cost, costs[id])
        for id, cost in self.told.late.items():
            if costs.get(id):
                assert costs[id] == cost * USD, (id, cost, costs[id])


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/chaos", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=12)
    given = parser.parse_args()
    bad = 0
    all_met: Counter[str] = Counter()
    with TemporaryDirectory(prefix="ftgate-chaos-") as place:
        os.chmod(place, 0o755)
        use(Path(place))
        try:
            for seed in range(given.first, given.first + given.seeds):
                one = Round(Path(place) / f"s{seed}", seed, given.seconds)
                try:
                    one.run()
                except AssertionError as wrong:
                    bad += 1
                    print(f"seed {seed}: WRONG: {str(wrong)[:1500]}", flush=True)
                else:
                    all_met += one.met
                    said = " ".join(f"{k}={v}" for k, v in sorted(one.told.statuses.items()))
                    print(
                        f"seed {seed}: ok, {one.entries} entries, {one.expired} expired, {len(one.told.whole)} answers"
                        f" told whole, {len(one.told.late)} late; {said}; {dict(one.met)}", flush=True,
                    )  # fmt: skip
        finally:
            stop(Path(place))
    print(f"{given.seeds} seeds, {bad} wrong; {dict(all_met)}")
    return 1 if bad else 0


_ = subprocess
if __name__ == "__main__":
    sys.exit(main())
