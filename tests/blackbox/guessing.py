"""`scripts/guessing`: strangers guess passwords and keys, and a good caller calls beside them.

The strangers run in a process of their own, so that what slows the caller is the server. They come from a few
addresses each. A round with them and one without follow each other; the times are those of whole calls of a streamless
chat, as the caller sees them.
"""

import argparse
import multiprocessing
import statistics
import tempfile
import time
from collections import Counter
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

import httpx

from tests.blackbox.harness import HELLO, House, channel

CONFIG = '\n[server]\ntrusted_proxies = ["127.0.0.1"]\n[limits]\nrequests_per_second = 0\n'
ADDRESSES = 2


def guess(url: str, what: str, a_second: float, end: Connection) -> None:
    """Guess until told to stop, so often in a second; tell how often which status came."""
    seen: Counter[int] = Counter()
    with httpx.Client(base_url=url, trust_env=False, timeout=30) as http:
        n = 0
        while not end.poll(1 / a_second):
            n += 1
            head = {"X-Forwarded-For": f"10.{n % ADDRESSES}.0.1"}
            with suppress(httpx.HTTPError):
                if what == "passwords":
                    body = {"username": "ann", "password": f"wrong{n}"}
                    answer = http.post("/v1/auth/login", json=body, headers=head)
                else:
                    call = {"model": "plain", "messages": HELLO}
                    head["Authorization"] = f"Bearer sk-ft_wrong{n}"
                    answer = http.post("/v1/chat/completions", json=call, headers=head)
                seen[answer.status_code] += 1
    end.send(seen)


def called(house: House, key: str, calls: int) -> list[float]:
    """Milliseconds of each of these calls, one after the other."""
    took = []
    body = {"model": "plain", "messages": HELLO}
    for _ in range(calls):
        began = time.perf_counter()
        answer = house.http.post("/v1/chat/completions", json=body, headers={"Authorization": f"Bearer {key}"})
        took.append((time.perf_counter() - began) * 1000)
        assert answer.status_code == 200, answer.text
    return took


def with_strangers(house: House, key: str, calls: int, a_second: float) -> tuple[list[float], dict[str, Counter[int]]]:
    strangers = []
    for what in ("passwords", "keys"):
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.Process(
            target=guess, args=(str(house.http.base_url), what, a_second, theirs), daemon=True
        )
        process.start()
        strangers.append((what, ours, process))
    time.sleep(0.5)
    took = called(house, key, calls)
    seen = {}
    for what, ours, process in strangers:
        ours.send(None)
        seen[what] = ours.recv()
        process.join()
    return took, seen


def percentile(took: list[float], part: float) -> float:
    return sorted(took)[min(int(len(took) * part), len(took) - 1)]


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/guessing")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=1000, help="of the good caller, in each round")
    parser.add_argument("--rate", type=float, default=100, help="guesses a second, of passwords and of keys each")
    asked = parser.parse_args()
    multiprocessing.set_start_method("spawn")
    seen: dict[str, Counter[int]] = {"passwords": Counter(), "keys": Counter()}
    rows = []
    with tempfile.TemporaryDirectory() as place:
        with House(Path(place), channel("lab", ["plain"]) + CONFIG, {"plain": {"content": ["Hi"]}}) as house:
            house.cli("users", "create", "ann", "--password", "-", stdin="a password\n")
            key = house.account(credits="1000").key
            called(house, key, 200)
            for _ in range(asked.rounds):
                alone = called(house, key, asked.calls)
                beside, counted = with_strangers(house, key, asked.calls, asked.rate)
                for what, statuses in counted.items():
                    seen[what] += statuses
                rows.append([percentile(took, part) for part in (0.5, 0.99) for took in (alone, beside)])
    for what, statuses in seen.items():
        print(f"{what}: {', '.join(f'{count} x {status}' for status, count in sorted(statuses.items()))}")
    for name, column in (("p50", 0), ("p99", 2)):
        alone, beside = (statistics.median(row[at] for row in rows) for at in (column, column + 1))
        spread = [row[column + 1] / row[column] for row in rows]
        print(
            f"{name} of a good call: {alone:.2f} ms alone, {beside:.2f} ms beside them; ratio"
            f" {statistics.median(spread):.2f} ({min(spread):.2f} to {max(spread):.2f}) in {len(rows)} rounds"
        )


if __name__ == "__main__":
    main()
