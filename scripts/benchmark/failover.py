"""What a failover adds to a call: the same call to a channel that answers, to one behind a channel that refuses (its
port is closed, or it says 500, or 429), and to one behind a channel whose circuit is open. In turn, by one client."""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from tests.blackbox.harness import Account, House, channel
from tests.blackbox.test_errors import closed_port

FAULTS = {"refused": None, "500": {"status": 500}, "429": {"status": 429}}
CONFIG = """
[limits]
requests_per_second = 0
[breaker]
failures = {failures}
cooldown = 300
"""


def config(failures: int) -> str:
    """Each fault on a channel of its own, in front of one that answers."""
    text = CONFIG.format(failures=failures) + channel("good", {"plain": {"upstream": "good"}})
    for name in FAULTS:
        base = f"http://127.0.0.1:{closed_port()}/v1" if name == "refused" else "FAKE/v1"
        text += channel(f"bad-{name}", {name: {"upstream": name}}, priority=0, base_url=base)
        text += channel(f"behind-{name}", {name: {"upstream": "good"}}, priority=1)
    return text


def measured(house: House, account: Account, calls: int) -> dict[str, float]:
    """The median milliseconds of a call to each model, asked in turn."""
    took: dict[str, list[float]] = {name: [] for name in ("plain", *FAULTS)}
    for _ in range(calls):
        for name, times in took.items():
            began = time.perf_counter()
            assert house.chat(account, name).status_code == 200
            times.append((time.perf_counter() - began) * 1000)
    return {name: statistics.median(times[5:]) for name, times in took.items()}


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/failover", description=__doc__)
    parser.add_argument("--calls", type=int, default=300)
    calls = parser.parse_args().calls
    print("| first channel | tried each time, ms | added | circuit open, ms | added |")
    print("|---|---:|---:|---:|---:|")
    found = []
    for failures in (10**9, 1):
        with tempfile.TemporaryDirectory() as base:
            scripts = {"good": {}, **{name: script for name, script in FAULTS.items() if script}}
            with House(Path(base), config(failures), scripts) as house:
                found.append(measured(house, house.account("1000"), calls))
    tried, opened = found
    for name in ("plain", *FAULTS):
        added = [f"{times[name] - times['plain']:+.2f}" for times in found]
        print(f"| {name} | {tried[name]:.2f} | {added[0]} | {opened[name]:.2f} | {added[1]} |")


if __name__ == "__main__":
    main()
