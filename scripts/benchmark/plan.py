"""What a run measures: the options of scripts/bench, and the plan they make."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.benchmark import peers

ROOT = Path(__file__).resolve().parents[2]
CONNECTIONS = (1, 32, 256)
MAIN = 32
"""The connections at which side questions are asked: the variants, CPU, memory."""
SECTIONS = ("plain", "latency", "streams", "memory")
REFERENCES = ("direct", "nginx", "naive")
VARIANTS = ("ftgate", "ftgate-plain", "ftgate-limits", "ftgate-process")
SIDE = ("ftgate-limits", "ftgate-process")
"""Variants that only answer a side question: plain calls at MAIN connections."""
QUICK_CELLS = ((100, 10), (200, 50), (1000, 10))
FULL_CELLS = ((20, 10), (100, 10), (400, 10), (1000, 10), (200, 50))
IDLE_STREAMS = 2000
CALLS = (20_000, 200_000)


@dataclass(frozen=True)
class Plan:
    """Seconds are of one cell in one round."""

    sections: tuple[str, ...]
    subjects: tuple[str, ...]
    peers: tuple[str, ...]
    seconds: int
    rounds: int
    stream_seconds: int
    stream_rounds: int
    stream_cells: tuple[tuple[int, int], ...]
    opening_s: float
    ending_s: float
    out: Path
    cache: Path

    def seconds_at(self, connections: int) -> int:
        """A cell of many connections takes longer: until all of them are open, it is not yet what it is to measure."""
        return self.seconds * (1 if connections <= MAIN else 2)

    @property
    def connections(self) -> tuple[int, ...]:
        return CONNECTIONS if "plain" in self.sections else (1,) if "latency" in self.sections else ()

    def cells(self) -> list[tuple[int, str]]:
        """(connections, subject) of one round of plain calls, in their order."""
        names = [*self.subjects, *self.peers]
        return [(many, name) for many in self.connections for name in names if many == MAIN or name not in SIDE]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measure ftgate beside nginx, a naive passthrough and other gateways, all on 127.0.0.1. Under 3 "
        "minutes without peers.",
    )
    parser.add_argument("--only", choices=SECTIONS, help="one part; latency is plain calls on one connection")
    parser.add_argument(
        "--memory", action="store_true", help="memory too: 2,000 idle streams, 20,000 and 200,000 calls (minutes more)"
    )
    parser.add_argument(
        "--full",
        action="store_true",
        help="longer cells, more rounds, every part (about half an hour, more with peers)",
    )
    parser.add_argument("--seconds", type=int, help="of one cell in one round [1, --full: 5]")
    parser.add_argument("--rounds", type=int, help="visits of every cell [3, --full: 5; streams 1, --full: 3]")
    parser.add_argument("--peers", default="none", help="other gateways: none, all, or names of litellm,portkey [none]")
    parser.add_argument(
        "--subjects", help=f"only these of {','.join([*REFERENCES, *VARIANTS])}; direct is always measured"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "build/bench", help="where the results go [build/bench]")
    parser.add_argument("--cache", type=Path, help="where peers are installed [OUT/peers]")
    return parser


def parse(arguments: Sequence[str]) -> Plan:
    """Raises SystemExit with words, as argparse does."""
    parser = _parser()
    given = parser.parse_args(arguments)
    sections: tuple[str, ...] = (given.only,) if given.only else ("plain", "latency", "streams")
    if given.memory or (given.full and not given.only):
        sections = tuple(dict.fromkeys([*sections, "memory"]))
    known = [*REFERENCES, *VARIANTS]
    chosen = given.subjects.split(",") if given.subjects else known
    if unknown := [name for name in chosen if name not in known]:
        parser.error(f"no subject {unknown[0]!r}; there are {', '.join(known)}")
    try:
        peer_names = peers.wanted(given.peers)
    except ValueError as error:
        parser.error(str(error))
    for name, most in (("seconds", 600), ("rounds", 100)):
        value = getattr(given, name)
        if value is not None and not 1 <= value <= most:
            parser.error(f"--{name} must be from 1 to {most}")
    full = given.full
    seconds, rounds = given.seconds or (5 if full else 1), given.rounds or (5 if full else 3)
    out = given.out.resolve()
    return Plan(
        sections=sections,
        subjects=tuple(name for name in known if name in chosen or name == "direct"),
        peers=tuple(peer_names),
        seconds=seconds,
        rounds=rounds,
        stream_seconds=given.seconds or (5 if full else 2),
        stream_rounds=given.rounds or (3 if full else 1),
        stream_cells=FULL_CELLS if full else QUICK_CELLS,
        opening_s=30.0 if full else 8.0,
        ending_s=15.0 if full else 5.0,
        out=out,
        cache=(given.cache or out / "peers").resolve(),
    )
