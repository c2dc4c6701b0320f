"""Runs the benchmark: starts everything, measures in turn, writes result.json, result.md and result.svg, and ends what
it started."""

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from scripts.benchmark import gateway, peers, picture, plain, report, sections, subjects, wire
from scripts.benchmark.figures import plain_dict
from scripts.benchmark.plan import SIDE, Plan, parse
from scripts.benchmark.processes import Children, Trouble
from scripts.benchmark.sections import Bench
from scripts.benchmark.subjects import Place, Subject, Upstreams

VARIANTS = {variant.name: variant for variant in (gateway.FAST, gateway.PLAIN, gateway.LIMITED, gateway.PROCESS)}


def starters(place: Place, up: Upstreams, plan: Plan) -> dict[str, Callable[[], Subject]]:
    """How each wanted subject is started, in the order of the tables."""
    known: dict[str, Callable[[], Subject]] = {
        "direct": partial(subjects.direct, up),
        "nginx": partial(subjects.nginx_proxy, place, up),
        "naive": partial(subjects.naive, place, up),
        **{name: partial(gateway.start, place, up, variant) for name, variant in VARIANTS.items()},
    }
    wanted = {name: known[name] for name in plan.subjects}
    return wanted | {name: partial(peers.KNOWN[name], place, up, plan.cache) for name in plan.peers}


def start_all(bench: Bench, place: Place) -> None:
    """Start and probe every subject. One that cannot be started is named, not skipped in silence."""
    for name, start in starters(place, bench.up, bench.plan).items():
        if name == "nginx" and not subjects.have_nginx():
            bench.drop(name, Trouble("nginx is not installed (Debian, Ubuntu: apt-get install nginx)"))
            continue
        bench.say(f"starting {name}" + (", installing it the first time" if name in bench.plan.peers else ""))
        try:
            subject = start()
            sections.probe(subject, bench.up)
        except (Trouble, OSError, subprocess.SubprocessError) as error:
            bench.drop(name, error)
            continue
        bench.subjects[name] = bench.started[name] = subject


def memory_starters(place: Place, bench: Bench) -> dict[str, Callable[[str], Subject]]:
    """Subjects whose memory is looked at, each started anew in a directory of its own."""

    def anew(name: str, directory: str) -> Subject:
        apart = Place(place.sub(directory), place.children)
        return starters(apart, bench.up, bench.plan)[name]()

    names = [name for name in (*bench.plan.subjects, *bench.plan.peers) if name not in ("direct", "nginx", *SIDE)]
    return {name: partial(anew, name) for name in names}


def measure(bench: Bench, place: Place) -> None:
    """All parts of the plan."""
    wanted = set(bench.plan.sections)
    if wanted - {"memory"}:
        start_all(bench, place)
        sections.idle(bench)
    if wanted & {"plain", "latency"}:
        sections.plain_calls(bench)
    if "streams" in wanted:
        sections.event_streams(bench)
    for subject in bench.started.values():
        _stop(place, subject)
    bench.check_books("the stop", *bench.started.values())
    if "memory" in wanted:
        sections.memory(bench, memory_starters(place, bench), partial(_stop, place))


def _stop(place: Place, subject: Subject) -> None:
    if subject.child is not None:
        place.children.stop(subject.child)


def about() -> dict[str, Any]:
    """The machine and the versions."""
    from ftgate import __version__

    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        "",
    )
    versions = {"ftgate": __version__, "litellm": peers.LITELLM, "portkey": peers.PORTKEY}
    if (program := subjects.nginx_program()) is not None:
        versions["nginx"] = (
            subprocess.run([program, "-v"], capture_output=True, text=True).stderr.strip().rpartition("/")[2]
        )
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    machine = f"{model or platform.machine()}, {platform.system()} {platform.release()}"
    return {
        "when": when,
        "machine": machine,
        "cores": sections.cores(),
        "python": platform.python_version(),
        "versions": versions,
    }


def write(plan: Plan, result: dict[str, Any]) -> None:
    plan.out.mkdir(parents=True, exist_ok=True)
    (plan.out / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    (plan.out / "result.md").write_text(report.markdown(result))
    (plan.out / "result.svg").write_text(picture.svg(result))


def run(plan: Plan, say: Callable[[str], None]) -> bool:
    """Measure, write and print. Whether all books were in order."""
    sections.open_files()
    directory = plan.out / f"work-{os.getpid()}"
    directory.mkdir(parents=True)
    (directory / "body.json").write_bytes(wire.plain_body())
    plan.cache.mkdir(parents=True, exist_ok=True)
    if not plain.have_wrk():
        say(
            "wrk is not installed (Debian, Ubuntu: apt-get install wrk): our own loop makes the load, and limits the "
            "fastest subjects"
        )
    if not subjects.have_nginx():
        say("nginx is not installed: our own loop is the upstream, and limits the fastest subjects")
    kept = False
    try:
        with Children() as children:
            place = Place(directory, children)
            bench = Bench(plan, subjects.start_upstreams(place), directory / "body.json", say)
            measure(bench, place)
            words = {name: VARIANTS[name].words for name in plan.subjects if name in VARIANTS}
            words |= {"direct": "the upstream itself, nothing between", "nginx": "nginx proxy_pass, one process"}
            words |= {"naive": "Quart-Trio on Hypercorn with httpx, a passthrough that bills nothing"}
            words |= {"litellm": f"LiteLLM proxy {peers.LITELLM}", "portkey": f"Portkey gateway {peers.PORTKEY}"}
            settings = {
                "sections": plan.sections,
                "seconds": plan.seconds,
                "rounds": plan.rounds,
                "stream_seconds": plan.stream_seconds,
                "stream_rounds": plan.stream_rounds,
                "load": "wrk" if plain.have_wrk() else "our own closed loop",
                "upstream": bench.up.words,
            }
            names = [name for name in (*plan.subjects, *plan.peers) if name not in bench.missing]
            result: Any = plain_dict(
                {
                    "about": about(),
                    "settings": settings,
                    "subjects": {name: words[name] for name in names},
                    "missing": bench.missing,
                    **bench.found,
                    "books": bench.books,
                }
            )
        result["ratios"] = report.ratios(result)
        write(plan, result)
        print(report.markdown(result))
        say(f"written: result.json, result.md and result.svg in {plan.out}")
        return all(not checked.fault for checked in bench.books)
    except Trouble:
        kept = True
        say(f"the logs are kept in {directory}")
        raise
    finally:
        if not kept:
            shutil.rmtree(directory, ignore_errors=True)


def main() -> int:
    """0 when all books were in order, 1 when not, 2 when something is missing, 130 when it was stopped."""
    if not hasattr(os, "sched_getaffinity") or not Path("/proc/self/stat").exists():
        print("the benchmark reads /proc and polls with epoll: it needs Linux", file=sys.stderr)
        return 2
    plan = parse(sys.argv[1:])
    started = time.monotonic()

    def say(words: str) -> None:
        print(f"{time.monotonic() - started:6.1f} s  {words}", file=sys.stderr, flush=True)

    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        return 0 if run(plan, say) else 1
    except KeyboardInterrupt:
        say("stopped; nothing is left running")
        return 130
    except Trouble as error:
        say(str(error))
        return 2


if __name__ == "__main__":
    sys.exit(main())
