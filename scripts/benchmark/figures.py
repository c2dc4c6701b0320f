"""Pure arithmetic of the benchmark: percentiles, medians with their spread, what wrk said."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass


def percentile(sorted_values: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` of all values do not exceed; 0.0 of none. `sorted_values` ascend."""
    if not sorted_values:
        return 0.0
    rank = -(-len(sorted_values) * percent // 100)  # rounded up
    return float(sorted_values[min(max(int(rank), 1), len(sorted_values)) - 1])


@dataclass(frozen=True)
class Spread:
    """Rounds of one figure: the median, and the least and greatest beside it."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Raises ValueError for no values."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    middle = len(ordered) // 2
    median = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    return Spread(round(median, 4), round(ordered[0], 4), round(ordered[-1], 4))


@dataclass(frozen=True)
class Load:
    """One run of plain calls. `answers` are 200s; `errors` all else: other statuses, broken connections, time-outs."""

    answers: int
    errors: int
    seconds: float
    p50_us: float
    p99_us: float

    @property
    def per_second(self) -> float:
        return self.answers / self.seconds if self.seconds else 0.0


WRK_LINE = "bench "
"""What post.lua writes before its line of JSON."""


def parse_wrk(output: str) -> Load:
    """The line that post.lua wrote at the end of wrk's output. Raises ValueError when it is not there."""
    lines = [line for line in output.splitlines() if line.startswith(WRK_LINE)]
    if not lines:
        raise ValueError(f"wrk ended without its summary: {output.strip()[-500:]}")
    said = json.loads(lines[-1].removeprefix(WRK_LINE))
    broken = sum(said[kind] for kind in ("connect", "read", "write", "timeout"))
    return Load(
        answers=said["requests"] - said["status"],
        errors=said["status"] + broken,
        seconds=said["duration_us"] / 1e6,
        p50_us=float(said["p50_us"]),
        p99_us=float(said["p99_us"]),
    )


@dataclass(frozen=True)
class Cell:
    """All rounds of one subject under one load of plain calls."""

    per_second: Spread
    p50_us: Spread
    p99_us: Spread
    cpu_s_per_1000: Spread | None
    answers: int
    errors: int
    rounds: int


def cell(loads: Sequence[Load], cpu_s_per_1000: Sequence[float]) -> Cell:
    """Sum up the rounds. Latencies of rounds without an answer say nothing and are left out."""
    answered = [load for load in loads if load.answers] or list(loads)
    return Cell(
        spread([load.per_second for load in loads]),
        spread([load.p50_us for load in answered]),
        spread([load.p99_us for load in answered]),
        spread(cpu_s_per_1000) if cpu_s_per_1000 else None,
        sum(load.answers for load in loads),
        sum(load.errors for load in loads),
        len(loads),
    )


def added_us(own: Sequence[Load], direct: Sequence[Load]) -> Spread | None:
    """Added latency: the median of a subject minus that of the bare upstream, round by round. None where no round has
    both."""
    pairs = [
        (mine.p50_us - bare.p50_us) for mine, bare in zip(own, direct, strict=False) if mine.answers and bare.answers
    ]
    return spread(pairs) if pairs else None


def ratio(mine: float, other: float) -> float | None:
    """How many times as much, with three digits; None where the other is nothing."""
    return float(f"{mine / other:.3g}") if other else None


def plain_dict(value: object) -> object:
    """Dataclasses as dicts, at any depth, for JSON."""
    if isinstance(value, Mapping):
        return {str(name): plain_dict(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_dict(inner) for inner in value]
    return asdict(value) if hasattr(value, "__dataclass_fields__") else value  # type: ignore[call-overload]
