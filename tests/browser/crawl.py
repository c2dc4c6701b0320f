"""Goes everywhere that links and GET forms lead to, as somebody, and says what is wrong there.

    crawled = crawl(page, watch, "/")
    crawled.faults            # sentences, each with the address it is about
    crawled.paths             # where it came

A place is known by its route and by the names in its query: of each place two addresses are enough, since a list of a
thousand calls has a thousand links to one page. Each is looked at in a wide window in light colours and in a narrow one
in dark colours; the keyboard goes through it once.
"""

import os
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from playwright.sync_api import Error, Page, ViewportSize

from tests.browser.looks import STRUCTURE, axe_faults, dialog_faults, faults_of, keyboard_faults
from tests.browser.opened import shape
from tests.browser.routes import rule_of
from tests.browser.watch import Watch

ID = re.compile(r"^([0-9]+|(req|cs|pay)_.*)$")
"""Parts of a path that name one thing of many, where no page of ours is."""
MOST_OF_PLACE, MOST_OF_PATH = 2, 6
"""Addresses that are visited with the same names in their query, and with the same path in all."""
LINKS = """() => {
  const links = [...document.querySelectorAll("a[href]")].map((one) => one.href);
  const forms = [...document.querySelectorAll("form")].filter((one) => one.method === "get").map((one) => {
    const url = new URL(one.action);
    url.search = new URLSearchParams(new FormData(one)).toString();
    return url.href;
  });
  return [...links, ...forms];
}"""
WIDE, NARROW = ViewportSize(width=1440, height=900), ViewportSize(width=390, height=844)


def place(path: str) -> str:
    """A path without what names one thing of many, as its route has it: /logs/{id}."""
    rule = rule_of(path)
    if rule is not None:
        return re.sub("<[^>]*>", "{id}", rule)
    return "/".join("{id}" if ID.match(part) else part for part in path.split("/"))


class Visits:
    """Which addresses are still visited, and which were."""

    def __init__(self) -> None:
        self._counts: Counter[object] = Counter()

    def wants(self, address: str) -> bool:
        """Whether it is one of the few of its place; then it counts as visited."""
        url = urlsplit(address)
        path = place(url.path)
        key = path, frozenset(name for name, value in parse_qsl(url.query) if value)
        if self._counts[key] >= MOST_OF_PLACE or self._counts[path] >= MOST_OF_PATH:
            return False
        self._counts.update((key, path))
        return True


@dataclass
class Crawled:
    """What was seen."""

    faults: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)


def wanted(path: str) -> bool:
    """FTGATE_TEST_PAGES, words with spaces, restricts the looks to paths that begin so: for whoever builds one page."""
    words = os.environ.get("FTGATE_TEST_PAGES", "").split()
    return not words or any(path.startswith(word) for word in words)


def crawl(page: Page, watch: Watch, start: str = "/", *, look: Callable[[Page], list[str]] | None = None) -> Crawled:
    """Visit all that can be reached from `start` on the same host. `look` says what is wrong with a page; by default a
    Looker does."""
    look = look or Looker()
    crawled = Crawled()
    queue, queued = [watch.origin + start], {watch.origin + start}
    visits = Visits()
    while queue:
        address = queue.pop(0)
        if not visits.wants(address):
            continue
        crawled.paths.append(urlsplit(address).path)
        faults, links = _visit(page, address, look)
        crawled.faults += [f"{address.removeprefix(watch.origin)}: {fault}" for fault in [*faults, *watch.wrong]]
        watch.wrong.clear()
        new = [link for link in links if link.startswith(f"{watch.origin}/") and link not in queued]
        queued.update(new)
        queue += dict.fromkeys(new)
    return crawled


def _visit(page: Page, address: str, look: Callable[[Page], list[str]]) -> tuple[list[str], list[str]]:
    """Open an address: what is wrong there, and where it leads."""
    try:
        answer = page.goto(address)
    except Error as problem:
        if "Download is starting" not in problem.message and "ERR_ABORTED" not in problem.message:
            raise
        status = page.context.request.get(address).status
        return ([] if status == 200 else [f"the download is answered {status}"]), []
    if answer is None or not answer.headers.get("content-type", "").startswith("text/html"):
        return [], []
    faults = look(page) if wanted(urlsplit(address).path) else []
    return faults, [link.partition("#")[0] for link in page.evaluate(LINKS)]


@dataclass
class Looker:
    """Looks at each place in full once, later only at how it is built. `seen` are the places that were looked at."""

    seen: set[str] = field(default_factory=set)

    def __call__(self, page: Page) -> list[str]:
        path = place(urlsplit(page.url).path)
        if path in self.seen:
            return list(page.evaluate(STRUCTURE))
        self.seen.add(path)
        # What stands around the main part is the same on every page, wide or narrow.
        frame = path in ("/", "/login") or not page.locator("main[tabindex]").count()
        faults = [*faults_of(page), *keyboard_faults(page, "body" if frame else "main"), *dialog_faults(page)]
        shape(page, NARROW, dark=True)
        narrow = [*page.evaluate(STRUCTURE), *axe_faults(page, *([] if frame else ["color-contrast"]))]
        shape(page, WIDE, dark=False)
        return faults + [f"narrow and dark: {fault}" for fault in narrow if fault not in faults]
