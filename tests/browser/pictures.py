"""Pictures of every page, to look at: `scripts/pictures [--to DIR] [--role ROLE] [PATH ...]`.

A gateway with demo data is started, everything that links lead to is visited as each role, and each page is written as
PNGs, wide and narrow, light and dark, named ROLE-path-WIDTH-light.png. So are its states: the first dialogs open, and
each form that needs a field as it is when it was sent empty. The role `newcomer` has done nothing yet, so all its lists
are empty. PATHs restrict the pictures to pages whose path begins so. What the watch saw go wrong is told at the end.

`scripts/pictures --readme` makes those of the README anew, in .pictures: small WebPs.
"""

import argparse
import base64
import re
import sys
import tempfile
from collections.abc import Collection
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from playwright.sync_api import Browser, Page, TimeoutError, ViewportSize, sync_playwright

from tests.browser import chromium
from tests.browser.crawl import NARROW, WIDE, crawl, place
from tests.browser.dashboard import NEWCOMER, OPERATOR, ROLES, USER, Dashboard, dashboard
from tests.browser.opened import opened, shape
from tests.browser.watch import Watch

LOOKS = [(size, scheme) for size in (WIDE, NARROW) for scheme in ("light", "dark")]
EVERYBODY = {**ROLES, "newcomer": NEWCOMER}
PICTURES = Path(__file__).parents[2] / ".pictures"
README = (
    ("overview", USER, "/", False),
    ("call", USER, "/logs?status=ok&model=seed-large", False),
    ("channels", OPERATOR, "/admin/channels", True),
)
"""Name, whose, where, and whether in dark colours."""
README_SIZE = ViewportSize(width=1200, height=820)
FORMS = """() => [...document.forms].map((form, at) => ({at, form})).filter(({form}) =>
  form.method === "post" && form.querySelector("[required]") && form.checkVisibility()).map(({at}) => at)"""
"""Those that are refused when nothing is in them: any other would do something."""
SEND_EMPTY = """(at) => {
  const form = document.forms[at];
  form.noValidate = true;
  for (const one of form.querySelectorAll("input:not([type=hidden]), textarea")) one.value = "";
  setTimeout(() => form.requestSubmit(), 0);  // once this is answered
}"""


@dataclass
class Album:
    """What one role sees."""

    place: Path
    role: str
    paths: Collection[str]
    seen: set[str] = field(default_factory=set)
    forms: list[tuple[str, int]] = field(default_factory=list)
    count: int = 0

    def look(self, page: Page) -> list[str]:
        """Write the pictures of a page, once for each place; nothing is found wrong."""
        url = urlsplit(page.url)
        asked = [name for name, value in parse_qsl(url.query) if value]
        name = "-".join([place(url.path), *asked])
        if name in self.seen or not (not self.paths or any(url.path.startswith(path) for path in self.paths)):
            return []
        self.seen.add(name)
        self.take(page, name)
        for at in range(min(page.locator("dialog").count(), 2)):  # a list has one for each row
            dialog = page.locator("dialog").nth(at)
            dialog.evaluate("(one) => one.showModal()")
            self.take(page, f"{name}-dialog{at}", whole=False)
            dialog.evaluate("(one) => one.close()")
        self.forms += [(page.url, at) for at in page.evaluate(FORMS)]
        return []

    def take(self, page: Page, name: str, *, whole: bool = True) -> None:
        words = re.sub(r"[^A-Za-z0-9.-]+", "-", name).strip("-") or "start"
        for size, scheme in LOOKS:
            shape(page, size, dark=scheme == "dark")
            if whole:  # the window as long as the page: what stands at its bottom stands below all else
                long = max(page.evaluate("document.documentElement.scrollHeight"), size["height"])
                page.set_viewport_size({"width": size["width"], "height": long})
            file = self.place / f"{self.role}-{words}-{size['width']}-{scheme}.png"
            page.screenshot(path=file)
            self.count += 1

    def send_empty(self, page: Page) -> None:
        """Each form that was seen, sent with nothing in its fields."""
        for url, at in self.forms:
            page.goto(url)
            try:
                with page.expect_navigation(timeout=2000):
                    page.evaluate(SEND_EMPTY, at)
            except TimeoutError:  # a script has sent it, and the page stays
                pass
            self.take(page, f"{place(urlsplit(url).path)}-error{at}")


def album(browser: Browser, site: Dashboard, to: Path, role: str, paths: Collection[str], wrong: list[str]) -> int:
    """The pictures of one role; how many. What went wrong is added to `wrong`."""
    watch, name = Watch(site.url), EVERYBODY[role]
    found = Album(to, role, paths)
    session = site.signed_in(name) if name else None
    running = site.running(USER) if role == "operator" else nullcontext()  # so that a call is in flight
    with running, opened(browser, watch, session) as context:
        page = context.new_page()
        crawled = crawl(page, watch, look=found.look)
        if paths:  # pages that nothing leads to yet
            for path in paths:
                crawled.faults += crawl(page, watch, path, look=found.look).faults
        watch.may(400, 401, 403, 404, 409, 422, 429)
        found.send_empty(page)
        wrong += [f"{role}: {fault}" for fault in dict.fromkeys([*crawled.faults, *watch.wrong])]
    return found.count


def for_readme(browser: Browser, site: Dashboard, to: Path) -> None:
    """The pages that say most of it, as WebPs of some tens of kilobytes."""
    for name, who, path, dark in README:
        with opened(browser, Watch(site.url), site.signed_in(who), dark=dark) as context:
            page = context.new_page()
            page.set_viewport_size(README_SIZE)
            page.goto(path)
            if name == "call":  # the newest in that list
                page.locator("tbody a[href^='/logs/']").first.click()
                page.wait_for_url("**/logs/*")
            shot = context.new_cdp_session(page).send("Page.captureScreenshot", {"format": "webp", "quality": 70})
            (to / f"{name}.webp").write_bytes(base64.b64decode(shot["data"]))


def main() -> int:
    parser = argparse.ArgumentParser(description="Pictures of the dashboard's pages.")
    parser.add_argument("--to", type=Path, help="where they are written; by default a new temporary directory")
    parser.add_argument("--role", choices=EVERYBODY, help="whose pages; by default everybody's")
    parser.add_argument("--readme", action="store_true", help="those of the README alone, into .pictures")
    parser.add_argument("paths", nargs="*", metavar="PATH", help="only pages whose path begins so")
    asked = parser.parse_args()
    path = chromium.found()
    if path is None:
        print(chromium.MISSING, file=sys.stderr)
        return 1
    to = (PICTURES if asked.readme else asked.to) or Path(tempfile.mkdtemp(prefix="ftgate-pictures-"))
    to.mkdir(parents=True, exist_ok=True)
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as base, dashboard(Path(base), requests=3000) as site:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=path, args=[*chromium.ARGUMENTS])
            if asked.readme:
                for_readme(browser, site, to)
            for role in [] if asked.readme else [asked.role] if asked.role else EVERYBODY:
                print(f"{album(browser, site, to, role, asked.paths, wrong)} pictures of {role} in {to}", flush=True)
            browser.close()
    print("\n".join(wrong), file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
