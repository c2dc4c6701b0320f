"""`scripts/guessing`: strangers guess passwords and keys, and a good caller calls, and logs in, beside them.

The strangers run in a process of their own, so that what slows the caller is the server. They come from a few
addresses each. A round with them and one without follow each other; the times are those of whole calls of a streamless
chat, as the caller sees them. Then a crowd comes, each of it from an address of its own and with a name of its own at
each guess, and the times are those of logins from where that account has logged in before.
"""

import argparse
import multiprocessing
import os
import statistics
import tempfile
import threading
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


def crowd(url: str, people: int, end: Connection) -> None:
    """So many guess at one time until told to stop; tell how often which status came."""
    os.nice(19)  # its own work is not what is measured
    seen: Counter[int] = Counter()
    over = threading.Event()

    def one(n: int) -> None:
        with httpx.Client(base_url=url, trust_env=False, timeout=120) as http:
            guesses = 0
            while not over.is_set():
                guesses += 1
                body = {"username": f"name{n}x{guesses}", "password": "a guess"}
                head = {"X-Forwarded-For": f"10.{n}.{guesses // 250 % 250}.{guesses % 250}"}
                with suppress(httpx.HTTPError):
                    seen[http.post("/v1/auth/login", json=body, headers=head).status_code] += 1
                over.wait(0.5)  # as patient as one who is told to come again in some seconds is not

    threads = [threading.Thread(target=one, args=(n,)) for n in range(people)]
    for thread in threads:
        thread.start()
    end.recv()
    over.set()
    for thread in threads:
        thread.join()
    end.send(seen)


def logged_in(house: House, logins: int) -> list[float]:
    """Milliseconds of each of these logins, one after the other."""
    took = []
    for _ in range(logins):
        began = time.perf_counter()
        body, head = {"username": "ann", "password": "a password"}, {"X-Forwarded-For": "192.0.2.1"}
        answer = house.http.post("/v1/auth/login", json=body, headers=head, timeout=120)
        took.append((time.perf_counter() - began) * 1000)
        assert answer.status_code == 200, answer.text
    return took


def with_a_crowd(house: House, people: int, logins: int) -> tuple[list[float], Counter[int]]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=crowd, args=(str(house.http.base_url), people, theirs), daemon=True)
    process.start()
    time.sleep(2)
    took = logged_in(house, logins)
    ours.send(None)
    seen: Counter[int] = ours.recv()
    process.join()
    return took, seen


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
    parser.add_argument("--crowd", type=int, default=80, help="guessers at one time, of addresses of their own")
    parser.add_argument("--logins", type=int, default=20, help="of the good caller, in each round")
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
            logged_in(house, 3)
            came = rounds_of_logins(house, asked.rounds, asked.crowd, asked.logins)
    for what, statuses in seen.items():
        print(f"{what}: {', '.join(f'{count} x {status}' for status, count in sorted(statuses.items()))}")
    show("a good call", rows)
    show("a good login", came)


def rounds_of_logins(house: House, rounds: int, people: int, logins: int) -> list[list[float]]:
    """p50 and p99 of logins alone and beside the crowd, of each round."""
    rows, seen = [], Counter[int]()
    for _ in range(rounds):
        alone = logged_in(house, logins)
        beside, counted = with_a_crowd(house, people, logins)
        seen += counted
        rows.append([percentile(took, part) for part in (0.5, 0.99) for took in (alone, beside)])
    print(f"a crowd of {people}: {', '.join(f'{count} x {status}' for status, count in sorted(seen.items()))}")
    return rows


def show(what: str, rows: list[list[float]]) -> None:
    for name, column in (("p50", 0), ("p99", 2)):
        alone, beside = (statistics.median(row[at] for row in rows) for at in (column, column + 1))
        spread = [row[column + 1] / row[column] for row in rows]
        print(
            f"{name} of {what}: {alone:.2f} ms alone, {beside:.2f} ms beside them; ratio"
            f" {statistics.median(spread):.2f} ({min(spread):.2f} to {max(spread):.2f}) in {len(rows)} rounds"
        )


if __name__ == "__main__":
    main()
