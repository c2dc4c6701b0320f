"""Two real gateways on a PostgreSQL with a standby that has all that was committed: scripts/standby.

The first server dies while calls go on, the standby is promoted; the gateways' URL names both. Then what callers were
told is held against the books (chaos.py), and it is said for how long calls were refused at each gateway. A stream that
had begun must go on to its end. With --behind the standby lacks what was committed in the last so many seconds: what
callers were told of that may be lost, but whole, and no hold stays open.
"""

import argparse
import os
import shutil
import socket
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from ftgate.store.database import read_only
from tests import postgres
from tests.blackbox.harness import HELLO, Account
from tests.gateways.chaos import Round
from tests.postgres import Own, stop, use

BEFORE_S, AWAY_S, AFTER_S = 3.0, 1.5, 5.0
LATEST_S = 8.0
"""How soon after the promotion calls must be taken again."""


class Failover(Round):
    """Calls go on all the time; `pair` are the two servers."""

    def __init__(self, base: Path, seed: int, pair: "Pair", behind_s: float) -> None:
        super().__init__(base, seed, 0)
        self.pair = pair
        self.behind_s = behind_s
        self.before: set[str] = set()
        """Calls whose callers were told before a turn came in again."""
        self.lost = 0
        self.refused_s: dict[str, float] = {}
        self.streamed = ""

    def troubles(self, accounts: list[Account]) -> None:
        time.sleep(BEFORE_S)
        stream = threading.Thread(target=self._stream, args=(self.house.account("1"),), daemon=True)
        stream.start()
        self.house.wait_for(lambda: "tick" in self.streamed, "the stream did not begin")
        if self.behind_s:
            self.pair.part()
            time.sleep(self.behind_s)
        self.pair.kill()
        died = time.monotonic()
        time.sleep(AWAY_S)
        self.pair.promote()
        for name in self.gateways:
            self.refused_s[name] = self._until_taken(name, accounts[0]) - died
        self.before = self.told.whole.keys() | self.told.late.keys()
        time.sleep(AFTER_S)
        stream.join(20)
        assert "[DONE]" in self.streamed, f"a stream that had begun did not end whole: ...{self.streamed[-300:]}"

    def _check(self, accounts: list[Account]) -> None:
        if self.behind_s:
            with closing(read_only(self.house.postgres)) as connection:  # type: ignore[arg-type]
                there = {id for (id,) in connection.execute("SELECT request_id FROM requests").fetchall()}
            for id in self.before - there:
                self.lost += self.told.whole.pop(id, None) is not None
        super()._check(accounts)

    def _until_taken(self, name: str, account: Account) -> float:
        until = time.monotonic() + LATEST_S
        while time.monotonic() < until:
            answer = httpx.post(
                f"{self.urls[name]}/v1/chat/completions", json={"model": "plain", "messages": HELLO},
                headers=account.headers, timeout=20, trust_env=False,
            )  # fmt: skip
            if answer.status_code != 503:
                return time.monotonic()
            time.sleep(0.05)
        raise AssertionError(f"{name} takes no calls {LATEST_S:g} s after the standby was promoted")

    def _stream(self, account: Account) -> None:
        asked = {"model": "long", "messages": HELLO, "stream": True}
        with httpx.Client(trust_env=False, timeout=20) as client:
            url = f"{self.urls['a']}/v1/chat/completions"
            with client.stream("POST", url, json=asked, headers=account.headers) as answer:
                for piece in answer.iter_text():
                    self.streamed += piece


class Pair:
    """A server, and a standby that each commit waits for, or none."""

    def __init__(self, folder: Path, *, waited_for: bool) -> None:
        self.first = Own(use(folder).url, Path((folder / "postgres.place").read_text()))
        self.folder = folder
        self.place = folder / "standby"
        self.place.mkdir()
        self.place.chmod(0o755)
        if owner := postgres.owner():
            shutil.chown(self.place, owner)
        with closing(socket.create_server(("127.0.0.1", 0))) as free:
            self.port = free.getsockname()[1]
        port = self.first.url.rpartition(":")[2]
        postgres.run(self.place, "pg_basebackup", "-R", "-h", "127.0.0.1", "-p", port, "-U", "ftgate", "-c", "fast")
        postgres.start(self.place, self.port)
        if waited_for:
            self.first.told("ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
        (folder / "postgres.url").write_text(f"{self.first.url},127.0.0.1:{self.port}")
        use(folder)

    def part(self) -> None:
        """The standby gets nothing more."""
        with (self.place / "data" / "postgresql.auto.conf").open("a") as settings:
            settings.write("primary_conninfo = ''\n")
        postgres.run(self.place, "pg_ctl", "reload")

    def kill(self) -> None:
        postgres.run(self.first.place, "pg_ctl", "stop", "-w", "-m", "immediate")

    def promote(self) -> None:
        postgres.run(self.place, "pg_ctl", "promote", "-w")


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/standby", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--behind", type=float, default=0.0, metavar="SECONDS", help="what the standby lacks")
    given = parser.parse_args()
    bad = 0
    for number in range(given.rounds):
        with TemporaryDirectory(prefix="ftgate-standby-") as place:
            os.chmod(place, 0o755)
            try:
                one = Failover(
                    Path(place) / "house", number, Pair(Path(place), waited_for=not given.behind), given.behind
                )
                one.run()
            except AssertionError as wrong:
                bad += 1
                print(f"round {number}: WRONG: {str(wrong)[:1500]}", flush=True)
            else:
                refused = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in sorted(one.refused_s.items()))
                said = " ".join(f"{k}={v}" for k, v in sorted(one.told.statuses.items()))
                print(
                    f"round {number}: ok, {one.entries} entries, {len(one.told.whole)} answers told whole,"
                    f" {len(one.told.late)} late, {one.lost} lost; refused from the death of the first server on"
                    f" (promoted {AWAY_S:g} s after it): {refused}; {said}", flush=True,
                )  # fmt: skip
            finally:
                if (Path(place) / "standby" / "data" / "postmaster.pid").exists():
                    postgres.run(Path(place) / "standby", "pg_ctl", "stop", "-w", "-m", "immediate")
                stop(Path(place))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
