"""The parts of a run: plain calls, event streams, memory. Each visits all its cells in every round, so that subjects
alternate."""

import os
import resource
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.benchmark import plain, streams, wire
from scripts.benchmark.books import Checked
from scripts.benchmark.figures import Load, Spread, added_us, cell, spread
from scripts.benchmark.plan import CALLS, IDLE_STREAMS, MAIN, SIDE, Plan
from scripts.benchmark.processes import Trouble, cpu_s, rest, rss_bytes
from scripts.benchmark.subjects import Subject, Upstreams

Say = Callable[[str], None]
REST_S = 5.0
"""What a subject has to work off the calls that were cut."""


@dataclass
class Bench:
    """What all parts share, and what they have found. `subjects` are under load; of `started`, some may have failed
    since."""

    plan: Plan
    up: Upstreams
    body: Path
    say: Say
    subjects: dict[str, Subject] = field(default_factory=dict)
    started: dict[str, Subject] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    found: dict[str, Any] = field(default_factory=dict)
    books: list[Checked] = field(default_factory=list)

    def drop(self, name: str, why: Exception) -> None:
        """A subject that failed is named and left out from here on."""
        self.missing[name] = str(why)
        self.subjects.pop(name, None)
        self.say(f"{name} is left out: {why}")

    def check_books(self, after: str, *only: Subject) -> None:
        for subject in only or [*self.subjects.values()]:
            if subject.books is None:
                continue
            checked = subject.books.check(after)
            self.books.append(checked)
            verified = "the ledger verifies" if checked.verified else "THE LEDGER DOES NOT VERIFY"
            words = (
                f"{checked.answers:,} answers, {checked.settled:,} settled, {checked.cut + checked.voided} cut "
                "at the end of a load"
            )
            self.say(
                f"books of {subject.name} after {after}: {words}, {verified}"
                + (f": {checked.fault}" if checked.fault else "")
            )


def probe(subject: Subject, up: Upstreams) -> None:
    """One call of each kind, looked at in full. Raises Trouble when it is not the upstream's answer."""
    load = plain.closed_loop(subject.plain, _body_of(subject), 1, count=1, seconds=30, must_hold=b'"completion_tokens"')
    if load.answers != 1:
        raise Trouble("a plain call was not answered with the upstream's completion")
    run = streams.measure(subject.stream_port, subject.stream_request(20), up.paced_port, count=1, rate=20, seconds=0.2)
    if subject.books:
        subject.books.note(load.answers + run.ended, 1 - run.ended)
    if run.ended != 1:
        raise Trouble("a streamed call did not bring the upstream's events and its [DONE]")


def _body_of(subject: Subject) -> bytes:
    return subject.plain.request(wire.plain_body())


# ---- plain calls ----


def one_load(bench: Bench, subject: Subject, connections: int) -> tuple[Load, float]:
    """One cell in one round, and the CPU seconds its process took. An answer that the upstream never gave counts as an
    error."""
    pid = (subject.child or bench.up.static).pid
    cpu, served = cpu_s(pid), bench.up.served()
    load = plain.run(subject.plain, bench.body, connections, bench.plan.seconds_at(connections))
    spent = cpu_s(pid) - cpu
    rest(pid, REST_S)
    unserved = max(load.answers - (bench.up.served() - served), 0)
    if subject.books:
        subject.books.note(load.answers, connections)
    return Load(load.answers - unserved, load.errors + unserved, load.seconds, load.p50_us, load.p99_us), spent


def plain_calls(bench: Bench) -> None:
    """Warm up, then all rounds. Fills "plain" and "added_us"."""
    plan, say = bench.plan, bench.say
    loads: dict[tuple[str, int], list[Load]] = defaultdict(list)
    cpu: dict[tuple[str, int], list[float]] = defaultdict(list)
    cells = plan.cells()
    for name in list(bench.subjects):
        say(f"warming up {name}")
        try:
            one_load(bench, bench.subjects[name], max(plan.connections) if plan.connections == (1,) else MAIN)
        except Trouble as error:
            bench.drop(name, error)
    for turn in range(plan.rounds):
        for number, (connections, name) in enumerate(cells, 1):
            if (subject := bench.subjects.get(name)) is None:
                continue
            try:
                load, spent = one_load(bench, subject, connections)
            except Trouble as error:
                bench.drop(name, error)
                continue
            loads[name, connections].append(load)
            if load.answers:
                cpu[name, connections].append(spent / load.answers * 1000)
            many = f"{connections} connection{'s' * (connections > 1)}"
            said = f"{load.per_second:,.0f} requests/s, p50 {load.p50_us / 1000:.2f} ms" + (
                f", {load.errors} errors" if load.errors else ""
            )
            say(f"plain round {turn + 1}/{plan.rounds}, {number}/{len(cells)}: {name}, {many}: {said}")
    bench.found["plain"] = {
        name: {str(many): cell(loads[name, many], cpu[name, many]) for many in plan.connections if loads[name, many]}
        for name in bench.subjects
    }
    bench.found["added_us"] = {
        name: added
        for name in bench.subjects
        if name != "direct" and (added := added_us(loads[name, 1], loads["direct", 1]))
    }
    bench.check_books("plain calls")


# ---- streams ----


@dataclass(frozen=True)
class StreamCell:
    """All rounds of one subject under one number of streams. Counts are sums over the rounds."""

    p50_ms: Spread
    p99_ms: Spread
    max_ms: float
    wanted: int
    opened: int
    ended: int
    events: int
    lost: int
    stalled: int


def stream_cell(runs: list[streams.StreamRun]) -> StreamCell:
    heard = [run for run in runs if run.events] or runs

    def total(name: str) -> int:
        return sum(getattr(run, name) for run in runs)

    return StreamCell(
        spread([run.p50_ms for run in heard]),
        spread([run.p99_ms for run in heard]),
        max(run.max_ms for run in runs),
        *(total(name) for name in ("wanted", "opened", "ended", "events", "lost", "stalled")),
    )


def room_for(count: int) -> bool:
    """Whether a gateway may have two sockets for each of `count` streams."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= 2 * count + 200


def event_streams(bench: Bench) -> None:
    """Fills "streams"."""
    plan = bench.plan
    runs: dict[tuple[str, str], list[streams.StreamRun]] = defaultdict(list)
    for turn in range(plan.stream_rounds):
        for count, rate in plan.stream_cells:
            if not room_for(count):
                bench.missing[f"{count} streams"] = (
                    f"a process may have too few open files; allow {2 * count + 200} with ulimit -n"
                )
                continue
            for name, subject in [*bench.subjects.items()]:
                if name in SIDE:
                    continue
                try:
                    run = one_run(bench, subject, count, rate)
                except (Trouble, OSError) as error:
                    bench.drop(name, error)
                    continue
                runs[name, f"{count}x{rate}"].append(run)
                open_words = f"{run.opened} of {count} streams" if run.opened < count else f"{count} streams"
                words = (
                    f"event delay p50 {run.p50_ms:.2f} ms, p99 {run.p99_ms:.2f} ms, {run.stalled} stalled, "
                    f"{count - run.ended} short"
                )
                bench.say(f"streams round {turn + 1}/{plan.stream_rounds}: {name}, {open_words} x {rate}/s: {words}")
    found: dict[str, dict[str, StreamCell]] = defaultdict(dict)
    for (name, key), done in runs.items():
        found[name][key] = stream_cell(done)
    bench.found["streams"] = dict(found)
    bench.check_books("streams", *(subject for name, subject in bench.subjects.items() if name not in SIDE))


def one_run(bench: Bench, subject: Subject, count: int, rate: int) -> streams.StreamRun:
    plan = bench.plan
    run = streams.measure(
        subject.stream_port, subject.stream_request(rate), bench.up.paced_port,
        count=count, rate=rate, seconds=plan.stream_seconds, opening_s=plan.opening_s, ending_s=plan.ending_s,
    )  # fmt: skip
    if subject.books:
        subject.books.note(run.ended, count - run.ended)
    if subject.child:
        rest(subject.child.pid, 2 * REST_S)
    return run


# ---- memory ----


@dataclass(frozen=True)
class Memory:
    """Resident memory of one process in MB, in the order in which it was read; a call's number beside it."""

    idle_mb: float
    idle_streams: int
    wanted_streams: int
    with_streams_mb: float
    kb_per_stream: float
    after_streams_mb: float
    after_calls_mb: Mapping[str, float]


def memory(bench: Bench, starters: Mapping[str, Callable[[str], Subject]], stop: Callable[[Subject], None]) -> None:
    """Each subject by itself and new. ftgate also takes the long way. Fills "memory"."""
    found: dict[str, Memory] = {}
    for name, start in starters.items():
        if name in bench.missing:
            continue
        try:
            subject = start(f"{name}-memory")
            probe(subject, bench.up)
            found[name] = _memory_of(bench, subject)
            bench.check_books("memory", subject)
            stop(subject)
        except (Trouble, OSError) as error:
            bench.missing[f"memory of {name}"] = str(error)
            bench.say(f"memory of {name}: {error}")
    bench.found["memory"] = found


def _memory_of(bench: Bench, subject: Subject) -> Memory:
    assert subject.child is not None
    pid = subject.child.pid

    def read(what: str) -> float:
        megabytes = round(rss_bytes(pid) / 1e6, 1)
        bench.say(f"memory: {subject.name}, {what}: {megabytes} MB")
        return megabytes

    idle = read("idle")
    count = next((many for many in (IDLE_STREAMS, 1000, 400, 100) if room_for(many)), 20)
    run = streams.Run(subject.stream_port, subject.stream_request(0))
    try:
        streams.open_all(run, count, 60.0)
        time.sleep(1)
        full = read(f"{run.opened:,} of {count:,} idle streams open")
        opened = run.opened
        streams.finish(run, bench.up.paced_port, 30.0)
    finally:
        run.close()
    if subject.books:
        subject.books.note(run.ended, count - run.ended)
    time.sleep(1)
    after_streams = read("after they ended")
    after, made = {}, 0
    for target in CALLS if subject.books else CALLS[:1]:
        load = plain.closed_loop(
            subject.plain, _body_of(subject), MAIN, count=target - made, seconds=600 if subject.books else 60
        )
        if subject.books:
            subject.books.note(load.answers, load.errors)
        made += load.answers
        after[str(made)] = read(f"after {made:,} calls" + (f", {load.errors} errors" if load.errors else ""))
    return Memory(idle, opened, count, full, round((full - idle) * 1000 / max(opened, 1), 1), after_streams, after)


def idle(bench: Bench) -> None:
    """Resident memory right after the start. Fills "idle_mb"."""
    bench.found["idle_mb"] = {
        name: round(rss_bytes(s.child.pid) / 1e6, 1) for name, s in bench.subjects.items() if s.child
    }


def open_files() -> None:
    """Allow as many open files as the machine lets us; children inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 20_000 if hard == resource.RLIM_INFINITY else min(hard, 20_000)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def cores() -> int:
    return len(os.sched_getaffinity(0))
