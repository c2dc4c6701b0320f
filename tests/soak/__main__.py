"""`scripts/soak`: everything at once for half an hour, and whether anything grows.

    scripts/soak [--minutes 30] [--people 8] [--to DIR] [--seed N]

A real gateway with the fake upstream and the fake Stripe gets plain calls, streams, all three protocols, clients that
leave, failing upstreams, wrong requests, keys that come and go, payments, reloads, backups and an open dashboard. Every
five seconds its memory, open files, threads, write-ahead log and the median of five plain calls are written down. Exit
1 where anything unexpected was answered, the ledger does not verify, a hold stays open, or memory, files or log have
grown.
"""

import argparse
import csv
import os
import random
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx
import msgspec

from tests.blackbox.harness import HELLO
from tests.browser.dashboard import FLASH, USER, Dashboard, dashboard
from tests.soak.acts import Visitor, act
from tests.soak.curves import drawn

EVERY_S = 5.0
PAUSE_S = 0.15
"""Between two things that one person does, on average."""
GROWS_MB, GROWS_FILES, LOG_MB = 12.0, 8.0, 80.0
"""What may be more in the last third than in the second: memory, open files; and the largest write-ahead log."""


class Sample(msgspec.Struct):
    """The gateway at one moment: seconds since the start, MB, counts, ms."""

    at_s: float
    memory_mb: float
    files: int
    threads: int
    log_mb: float
    database_mb: float
    call_ms: float


def sample(site: Dashboard, http: httpx.Client, began: float) -> Sample:
    process = Path(f"/proc/{site.house.process.pid}")
    told = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines() if ":\t" in line)
    database = site.house.data / "ftgate.sqlite3"
    log = database.with_name(database.name + "-wal")
    took = []
    for _ in range(5):
        start = time.perf_counter()
        headers = {"Authorization": f"Bearer {site.keys[USER]}"}
        http.post("/v1/chat/completions", json={"model": FLASH, "messages": HELLO}, headers=headers)
        took.append((time.perf_counter() - start) * 1000)
    return Sample(
        round(time.monotonic() - began, 1), int(told["VmRSS"].split()[0]) / 1024, len(os.listdir(process / "fd")),
        int(told["Threads"]), (log.stat().st_size if log.exists() else 0) / 1e6, database.stat().st_size / 1e6,
        round(statistics.median(took), 2),
    )  # fmt: skip


def soaked(site: Dashboard, base: Path, minutes: float, people: int, seed: int) -> tuple[list[Sample], list[str]]:
    """The samples of a run, and what was wrong."""
    counts: dict[str, int] = {}
    wrong: list[str] = []
    lock, done, turns = threading.Lock(), threading.Event(), threading.Lock()
    for name in ("u1", "olive"):
        site.session(name)

    def live(number: int) -> None:
        own = random.Random(f"{seed}-{number}")
        with httpx.Client(base_url=site.url, trust_env=False, timeout=60) as http:
            one = Visitor(site, own, http, base, turns)
            while not done.wait(own.expovariate(1 / PAUSE_S)):
                act(one, counts, wrong, lock)

    threads = [threading.Thread(target=live, args=(number,)) for number in range(people)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    samples: list[Sample] = []
    try:
        with httpx.Client(base_url=site.url, trust_env=False, timeout=60) as http:
            while time.monotonic() - began < minutes * 60:
                samples.append(sample(site, http, began))
                if len(samples) % 12 == 0:
                    print(f"{samples[-1]}  {sum(counts.values())} acts, {len(wrong)} wrong", flush=True)
                time.sleep(EVERY_S)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    print(", ".join(f"{many} {name}" for name, many in sorted(counts.items())), flush=True)
    return samples, wrong


def grown(samples: list[Sample]) -> list[str]:
    """What is more at the end than it may be, in sentences."""
    third = len(samples) // 3
    before, after = samples[third : 2 * third], samples[2 * third :]

    def median(of: list[Sample], name: str) -> float:
        return statistics.median(float(getattr(one, name)) for one in of)

    faults = []
    for name, most in (("memory_mb", GROWS_MB), ("files", GROWS_FILES), ("threads", GROWS_FILES)):
        more = median(after, name) - median(before, name)
        print(f"{name}: {median(before, name):.1f} -> {median(after, name):.1f}")
        if more > most:
            faults.append(f"{name} grew by {more:.1f}")
    print(f"call_ms: {median(before, 'call_ms'):.2f} -> {median(after, 'call_ms'):.2f}")
    largest = max(one.log_mb for one in samples)
    print(f"write-ahead log: at most {largest:.1f} MB")
    if largest > LOG_MB:
        faults.append(f"the write-ahead log came to {largest:.1f} MB")
    return faults


def main() -> int:
    parser = argparse.ArgumentParser(description="Everything at once, for long.")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--people", type=int, default=8)
    parser.add_argument("--to", type=Path, help="where samples.csv and curve.svg are written")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    to = asked.to or Path(tempfile.mkdtemp(prefix="ftgate-soak-"))
    to.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as base, dashboard(Path(base), requests=3000) as site:
        site.house.cli("credit", "grant", "u2", "1000")
        samples, wrong = soaked(site, Path(base), asked.minutes, asked.people, asked.seed)
        site.house.settle_down()
        said = site.house.verified()
    with (to / "samples.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(Sample.__struct_fields__)
        rows.writerows(msgspec.structs.astuple(one) for one in samples)
    (to / "curve.svg").write_text(drawn({name: [float(getattr(one, name)) for one in samples] for name in (
        "memory_mb", "files", "threads", "log_mb", "database_mb", "call_ms")}))  # fmt: skip
    faults = [*wrong[:20], *grown(samples)] if len(samples) >= 3 else wrong[:20]
    print(f"{said['entries']} entries verify, {said['open_holds']} holds are open; {len(wrong)} unexpected answers")
    print(f"{to}/samples.csv, {to}/curve.svg")
    for fault in faults:
        print(f"WRONG: {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
