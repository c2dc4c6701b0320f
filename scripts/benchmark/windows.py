"""What an open dashboard costs: the CPU of a plain call with three windows of it open in a real browser, which look
again by themselves as they do for a person, and with none, in alternating turns of one process.

    scripts/windows --rounds 10 --seconds 3
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.benchmark import gateway, plain, wire
from scripts.benchmark.processes import Children, Trouble, cpu_s, rest
from scripts.benchmark.subjects import Place, Subject, start_upstreams

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

CHROMIUM = "/usr/bin/chromium"
WINDOWS = ("/", "/admin/channels", "/admin/calls")
CONNECTIONS = 32
SETTLED_S = 1.0
"""Seconds from the opening of the windows to the first call: that they open costs more than that they stand open."""


@contextmanager
def browser(port: int, password: str) -> "Iterator[list[Page]]":
    """As many windows as WINDOWS, of somebody who has signed in as the operator."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playing:
        chromium = playing.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = chromium.new_context()
        first = context.new_page()
        first.goto(f"http://127.0.0.1:{port}/login")
        first.fill("[name=username]", "root")
        first.fill("[name=password]", password)
        first.click("button.primary")
        first.wait_for_url(lambda url: "/login" not in url)
        yield [first, *(context.new_page() for _ in WINDOWS[1:])]
        chromium.close()


def turn(subject: Subject, body: Path, seconds: int, pages: "Sequence[Page]", *, opened: bool) -> float:
    """Microseconds of CPU of the whole process a call. Raises Trouble."""
    assert subject.child is not None
    for page, path in zip(pages, WINDOWS, strict=True):
        answer = page.goto(f"http://127.0.0.1:{subject.plain.port}{path}" if opened else "about:blank")
        if opened and (answer is None or answer.status != 200):
            raise Trouble(f"{path} was answered with {answer and answer.status}")
    time.sleep(SETTLED_S)
    pid = subject.child.pid
    rest(pid, 5)
    before = cpu_s(pid)
    answers = plain.run(subject.plain, body, CONNECTIONS, seconds).answers
    return (cpu_s(pid) - before) / max(answers, 1) * 1e6


def windows(given: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="ftgate-windows-") as base, Children() as children:
        place = Place(Path(base), children)
        up = start_upstreams(place)
        body = place.directory / "body.json"
        body.write_bytes(wire.plain_body())
        history = gateway.History(requests=given.requests, users=4, days=30)
        subject = gateway.start(place, up, gateway.FAST, history=history)
        plain.run(subject.plain, body, CONNECTIONS, 1)
        ratios = []
        with browser(subject.plain.port, history.password) as pages:
            for number in range(given.rounds):
                found = {}
                for opened in (True, False) if number % 2 else (False, True):
                    found[opened] = turn(subject, body, given.seconds, pages, opened=opened)
                ratios.append(found[True] / found[False])
                print(f"  without {found[False]:.1f} us, with {found[True]:.1f} us", file=sys.stderr, flush=True)
    ratios.sort()
    print(
        f"CPU of a plain call, three windows open / none: median of {len(ratios)} rounds "
        f"{statistics.median(ratios):.3f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=10_000, help="made-up requests that stand in the log")
    try:
        windows(parser.parse_args())
    except Trouble as trouble:
        raise SystemExit(f"windows: {trouble}") from None


if __name__ == "__main__":
    main()
