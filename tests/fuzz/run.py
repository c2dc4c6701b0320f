"""Try the targets for some minutes: `scripts/fuzz [--minutes N] [--guided] [--seed N] [NAME ...]`. Ends by itself; the
exit code is 1 where something was found. What is found is made as short as it stays found, to be put into found.py."""

import argparse
import re
import secrets
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from tests.fuzz.bending import examples
from tests.fuzz.found import FOUND
from tests.fuzz.targets import TARGETS, Target

MOST_FAULTS = 5
"""Of one target: after so many it is left."""
MOST_S = 1.0
"""Of this thread's work on one example: what needs more holds a server up."""


class Try(msgspec.Struct):
    """What came of one target: how many examples in how many seconds, and of each kind of fault an example."""

    name: str
    examples: int
    seconds: float
    faults: dict[str, bytes]


def fault_of(target: Target, example: bytes) -> str:
    """What kind of fault an example shows: its exception and where, or that it takes long; "" for none."""
    began = time.thread_time()
    try:
        target(example)
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} at {last.filename.rpartition('/')[2]}:{last.lineno}"
    return "takes long" if time.thread_time() - began > MOST_S else ""


def shortened(target: Target, example: bytes, kind: str) -> bytes:
    """As few bytes of it as show the same."""
    size = max(len(example) // 2, 1)
    until = time.monotonic() + 5
    while size and time.monotonic() < until:
        at = 0
        while at < len(example):
            less = example[:at] + example[at + size :]
            if fault_of(target, less) == kind:
                example = less
            else:
                at += size
        size //= 2
    return example


def attempt(name: str, target: Target, seeds: Sequence[bytes], *, seconds: float, seed: int) -> Try:
    """Examples of one target for so many seconds."""
    done, began = Try(name, 0, 0.0, {}), time.monotonic()
    for example in examples(f"{seed} {name}", seeds):
        kind = fault_of(target, example)
        done.examples += 1
        if kind and kind not in done.faults:
            done.faults[kind] = shortened(target, example, kind)
        done.seconds = time.monotonic() - began
        if done.seconds >= seconds or len(done.faults) >= MOST_FAULTS:
            return done
    return done


def guided(name: str, target: Target, *, seconds: float) -> Try:
    """The same in another process, where atheris sees what of ftgate each example reaches. It ends at its first fault.
    Raises RuntimeError where it did not try any."""
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.fuzz.guided", name, str(max(round(seconds), 1)), folder]
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 300, errors="replace")
        many = re.search(r"stat::number_of_executed_units: *([0-9]+)", done.stderr)
        faults = {}
        for path in sorted(Path(folder).glob("fault-*")):
            kind = fault_of(target, path.read_bytes())
            faults[kind or path.name[:40]] = shortened(target, path.read_bytes(), kind) if kind else path.read_bytes()
    if many is None and not faults:
        raise RuntimeError(f"{name}: {done.stderr.strip()[-300:]}")
    return Try(name, int(many[1]) if many else 0, seconds, faults)


def report(tries: Sequence[Try]) -> str:
    """A line for each target, and its faults below."""
    lines = []
    for done in tries:
        many = len(done.faults)
        told = f"{many} fault{'' if many == 1 else 's'}" if many else "ok"
        lines.append(f"{done.name:28} {done.examples:>9,} examples {done.seconds:6.1f} s  {told}")
        lines += [f"    {kind}: {example!r}" for kind, example in done.faults.items()]
    return "\n".join(lines)


def main() -> int:
    asked = argparse.ArgumentParser(description="Try the parsers that read the network with many bent examples.")
    asked.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(TARGETS)}; without, all")
    asked.add_argument("--minutes", type=float, default=5.0, help="of all together (5)")
    asked.add_argument("--guided", action="store_true", help="by atheris, towards what was not reached yet")
    asked.add_argument("--seed", type=int, help="of the examples; without, another each time, which is printed")
    given = asked.parse_args()
    unknown = [name for name in given.names if name not in TARGETS]
    if unknown:
        asked.error(f"no such target: {', '.join(unknown)}")
    names = given.names or list(TARGETS)
    seed = secrets.randbelow(10**9) if given.seed is None else given.seed
    print(f"seed {seed}, {given.minutes:g} minutes for {len(names)} targets", flush=True)
    tries = []
    for name in names:
        target, seeds = TARGETS[name]
        seconds = given.minutes * 60 / len(names)
        if given.guided:
            tries.append(guided(name, target, seconds=seconds))
        else:
            tries.append(attempt(name, target, (*seeds, *FOUND.get(name, ())), seconds=seconds, seed=seed))
        print(report(tries[-1:]), flush=True)
    found = sum(len(done.faults) for done in tries)
    print(f"{sum(done.examples for done in tries):,} examples, {found} faults", flush=True)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
