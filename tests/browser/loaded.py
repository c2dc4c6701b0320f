"""Pages of a gateway that has answered a million calls: `scripts/loaded [--requests N] [--data DIR] [PLACE ...]`.

Every page that links lead to is asked as the user who has most of the calls, and as an operator: how long it takes to
be answered (the median of five, over one connection), how much of it there is, and when a browser that has come from
another page, with nothing cached, shows its first content (the best of three): to start a process for a new window
takes as long again, whatever it shows. Exit 1 where a page takes longer than 300 ms to be answered, or longer than
200 ms from its first byte until it is shown.

Seeding a million takes some minutes of one core; --data keeps it (or takes one that is there).
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Collection
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, sync_playwright

from tests.blackbox.harness import House, channel
from tests.browser import chromium
from tests.browser.crawl import place
from tests.browser.dashboard import OPERATOR, PEOPLE, USER, Dashboard
from tests.browser.opened import opened
from tests.browser.visitor import Visitor
from tests.browser.watch import Watch
from tests.fakes.stripe import FakeStripe

ANSWERED_MS, SHOWN_MS = 300, 200
BEFORE = "/keys"
"""Where the browser was before."""
PAINT = """() => new Promise((done) => new PerformanceObserver((list) => {
  const [shown] = list.getEntriesByName("first-contentful-paint");
  if (shown) done([shown.startTime, performance.getEntriesByType("navigation")[0].responseStart]);
}).observe({type: "paint", buffered: true}))"""


def answered(visitor: Visitor, address: str) -> tuple[float, int]:
    """The median in ms, and the bytes."""
    took = []
    for _ in range(5):
        began = time.perf_counter()
        seen = visitor.get(address)
        took.append((time.perf_counter() - began) * 1000)
        assert seen.status < 400, (address, seen.status)
    return statistics.median(took), len(seen.text.encode())


def shown(browser: Browser, site: Dashboard, name: str, address: str) -> tuple[float, float]:
    """First content and first byte, in ms after the load began, of a running window that has nothing cached."""
    found: list[tuple[float, float]] = []
    for _ in range(3):
        with opened(browser, Watch(site.url), site.session(name)) as context:
            page = context.new_page()
            page.goto(BEFORE)
            context.new_cdp_session(page).send("Network.setCacheDisabled", {"cacheDisabled": True})
            page.goto(address)
            paint, first_byte = page.evaluate(PAINT)
            found.append((paint, first_byte))
    return min(found, key=lambda times: times[0] - times[1])


def measure(browser: Browser, site: Dashboard, name: str, paths: Collection[str]) -> bool:
    """Whether all pages of this person (at these places, where some are named) were quick enough."""
    good = True
    with Visitor(site.url, site.session(name)) as visitor:
        pages = {address: page for address, page in visitor.everywhere().items() if page.is_page and page.status == 200}
        for address in pages:
            if paths and place(urlsplit(address).path) not in paths:
                continue
            ms, size = answered(visitor, address)
            paint, first_byte = shown(browser, site, name, address)
            slow = ms > ANSWERED_MS or paint - first_byte > SHOWN_MS
            url = urlsplit(address)
            path = place(url.path) + (f"?{url.query[:40]}" if url.query else "")
            print(
                f"{name:6} {path:60} answered {ms:7.1f} ms  {size / 1000:6.1f} kB  first byte {first_byte:6.1f}"
                f"  shown {paint:6.1f} ms{'  SLOW' if slow else ''}",
                flush=True,
            )
            good = good and not slow
    return good


def measured(house: House, requests: int, paths: Collection[str], site: Dashboard, chromium_path: str) -> list[bool]:
    if not (house.data / "ftgate.sqlite3").exists():
        began = time.perf_counter()
        house.cli("bench", "seed", "--requests", str(requests), "--users", "3", "--days", "365", "--json")
        house.cli("users", "create", OPERATOR, "--admin", "--password", "-", stdin=f"{PEOPLE[OPERATOR]}\n")
        print(f"seeded {requests} requests in {time.perf_counter() - began:.0f} s", flush=True)
    house.start()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=[*chromium.ARGUMENTS])
        good = [measure(browser, site, name, paths) for name in (USER, OPERATOR)]
        browser.close()
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description="How fast pages are with a long history.")
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--data", type=Path, help="a directory that is kept, or taken where it is there")
    parser.add_argument("paths", nargs="*", metavar="PLACE", help="only these: / /logs /logs/{id}")
    asked = parser.parse_args()
    path = chromium.found()
    if path is None:
        print(chromium.MISSING, file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as temporary, FakeStripe() as stripe:
        base = asked.data or Path(temporary)
        house = House(base, channel("lab", ["plain"]), serving=False, upstream=False)
        try:  # and no check of the books at the end, which takes minutes of them
            good = measured(house, asked.requests, asked.paths, Dashboard(house, stripe), path)
        finally:
            house.http.close()
            if house.server is not None:
                house.server.kill()
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
