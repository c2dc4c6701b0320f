"""Two commits of ftgate beside each other, in alternating pairs: the CPU of a plain call, and the delay of a stream's
events. What the machine does meanwhile strikes both; the ratio of a pair is what counts, and the spread of the ratios
is told.

Each pair has two new processes: where a process happens to lie in memory makes it some percent quicker or slower for
all its life, and ten measurements of one process would say ten times the same. Within a pair both are measured in turns
of a second or so, since the machine's moods last longer than that.

    scripts/compare d4f3ae6              the working tree against that commit
    scripts/compare d4f3ae6 main --pairs 10 --streams 400 --rate 50
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.benchmark import gateway, plain, streams, wire
from scripts.benchmark.processes import Children, Trouble, cpu_s, rest
from scripts.benchmark.subjects import ROOT, Place, Subject, Upstreams, start_upstreams

CONNECTIONS = 32


@dataclass(frozen=True)
class Figures:
    """One measurement of one commit. Microseconds of CPU of the whole process a call and an event; milliseconds."""

    call_us: float
    event_us: float
    delay_ms: float


def tree_of(commit: str, directory: Path) -> Path:
    """The files of a commit; the working tree where it is empty. Raises Trouble."""
    if not commit:
        return ROOT
    place = directory / f"tree-{commit.replace('/', '-')}"
    place.mkdir()
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True)
    if archive.returncode:
        raise Trouble(f"{commit} is no commit here: {archive.stderr.decode().strip()}")
    subprocess.run(["tar", "-x", "-C", str(place)], input=archive.stdout, check=True)
    return place


def measured(
    subjects: Sequence[Subject], up: Upstreams, body: Path, given: argparse.Namespace, pair: int
) -> list[Figures]:
    """One pair: plain calls in turns, then streams. Both are warmed up first, and who begins alternates."""
    for subject in subjects:
        plain.run(subject.plain, body, CONNECTIONS, 1)
    spent, answers = [0.0, 0.0], [0, 0]
    for turn in range(given.turns):
        for which in _order(pair + turn):
            subject = subjects[which]
            pid = _pid(subject)
            rest(pid, 5)
            before = cpu_s(pid)
            answers[which] += plain.run(subject.plain, body, CONNECTIONS, given.seconds).answers
            spent[which] += cpu_s(pid) - before
    paced = {which: _streams(subjects[which], up, given) for which in _order(pair) if given.streams}
    return [
        Figures(spent[which] / max(answers[which], 1) * 1e6, *paced.get(which, (0.0, 0.0)))
        for which in range(len(subjects))
    ]


def _order(number: int) -> tuple[int, int]:
    return (0, 1) if number % 2 else (1, 0)


def _streams(subject: Subject, up: Upstreams, given: argparse.Namespace) -> tuple[float, float]:
    """Microseconds of CPU an event, and the median delay in milliseconds."""
    rest(_pid(subject), 5)
    before = cpu_s(_pid(subject))
    seconds = given.seconds * given.turns
    run = streams.measure(
        subject.stream_port, subject.stream_request(given.rate), up.paced_port,
        count=given.streams, rate=given.rate, seconds=seconds,
    )  # fmt: skip
    events = given.streams * given.rate * seconds
    return (cpu_s(_pid(subject)) - before) / events * 1e6, run.p50_ms


def _pid(subject: Subject) -> int:
    assert subject.child is not None
    return subject.child.pid


def told(name: str, old: Sequence[float], new: Sequence[float], unit: str) -> str:
    """One line: both medians, and the ratios of the pairs with their spread."""
    ratios = sorted(n / o for o, n in zip(old, new, strict=True) if o)
    if not ratios:
        return f"{name}: not measured"
    spread = f"{ratios[0]:.2f} to {ratios[-1]:.2f}"
    return (
        f"{name}: old {statistics.median(old):.1f} {unit}, new {statistics.median(new):.1f} {unit}; "
        f"ratio new/old, median of {len(ratios)} pairs {statistics.median(ratios):.3f} ({spread})"
    )


def compare(given: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="ftgate-compare-") as base, Children() as children:
        place = Place(Path(base), children)
        trees = [tree_of(given.old, place.directory), tree_of(given.new, place.directory)]
        up = start_upstreams(place)
        body = place.directory / "body.json"
        body.write_bytes(wire.plain_body())
        found: tuple[list[Figures], list[Figures]] = ([], [])
        for pair in range(given.pairs):
            subjects = [
                gateway.start(place, up, gateway.FAST, name=f"{name}-{pair}", root=tree)
                for name, tree in zip(("old", "new"), trees, strict=True)
            ]
            for side, figures in zip(found, measured(subjects, up, body, given, pair), strict=True):
                side.append(figures)
            for subject in subjects:
                assert subject.child is not None
                children.stop(subject.child)
            print(f"pair {pair + 1}: old {found[0][-1]}, new {found[1][-1]}", flush=True)
    for name, unit in (("call_us", "us"), ("event_us", "us"), ("delay_ms", "ms")):
        old, new = ([getattr(one, name) for one in side] for side in found)
        print(told(name, old, new, unit))


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/compare", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("old", help="a commit")
    parser.add_argument("new", nargs="?", default="", help="another; by default the working tree")
    parser.add_argument("--pairs", type=int, default=10, help="how often both are measured [10]")
    parser.add_argument(
        "--turns", type=int, choices=range(1, 101), metavar="N", default=4, help="of each in a pair [4]"
    )
    parser.add_argument("--seconds", type=int, default=1, help="of each turn [1]")
    parser.add_argument("--streams", type=int, default=0, help="streams at once; 0 measures plain calls alone [0]")
    parser.add_argument("--rate", type=int, default=50, help="events a second of each stream [50]")
    try:
        compare(parser.parse_args())
    except Trouble as trouble:
        print(trouble, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
