"""Browser tests: the real pages in the real Chromium. Plain `def` tests, since Playwright's sync API has a loop of its
own.

    def test_a_key_can_be_made(page: Page, site: Dashboard) -> None:      # page: u1 has signed in
        page.goto("/keys")
        page.get_by_label("Name").fill("laptop")
        page.get_by_role("button", name="Create").click()
        expect(page.get_by_text("sk-ft_")).to_be_visible()

    def test_an_operator_sees_channels(open_page: Open) -> None:
        page = open_page("olive", width=390, dark=True)                   # None: nobody has signed in
    @pytest.mark.parametrize("javascript", [True, False], ids=["js", "no js"])
    def test_both_ways(page: Page, javascript: bool) -> None: ...         # `page` obeys it

    def test_what_is_not_there(page: Page, watch: Watch) -> None:
        watch.may(404)                                                    # else any 4xx fails the test
        assert page.goto("/keys/999999").status == 404

- `site` is the running gateway with its people and their history: dashboard.py says who they are and how to do things
  beside the browser. All tests of a process share it, and one Chromium; each test has contexts of its own. What a test
  needs exact (a balance, a count) it makes with an account of its own.
- Every page is watched (watch.py): another host asked, a CSP violation, an error in the console, an unexpected error
  answer make the test fail at its end, whatever it asserts.
- `page.goto("/…")` takes paths. Waits give up after PATIENCE_S; `expect(...)` of playwright.sync_api waits.
- `faults_of(page)` of looks.py is what holds for every page: title, one h1, landmarks, axe, weight. test_crawl.py asks
  it of all pages that links lead to, so a new page needs no line there.
- Where Chromium is missing, these tests are skipped with what to do. A failed test leaves a picture and
  the HTML of each of its pages in its tmp_path, whose name is told.
- `scripts/pictures DIR [PATH ...]` makes pictures of pages, or of those whose path holds a word.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Error, Page, expect, sync_playwright

from tests.browser import chromium
from tests.browser.dashboard import USER, Dashboard, dashboard
from tests.browser.opened import PATIENCE_S, opened
from tests.browser.watch import Watch

Open = Callable[..., Page]
"""open_page: (name or None, *, javascript=None, width=1440, dark=False, **context) -> Page."""
reported = pytest.StashKey[bool]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.nodeid.startswith("tests/browser/"):
            item.add_marker(pytest.mark.slow)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call":
        item.stash[reported] = report.failed
    return report


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests of a process."""
    path = chromium.found()
    if path is None:
        pytest.skip(chromium.MISSING)
    expect.set_options(timeout=PATIENCE_S * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*chromium.ARGUMENTS])
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def site(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    """The running gateway, which is not started where there is no browser to look at it."""
    with dashboard(tmp_path_factory.mktemp("dashboard"), hostile=True) as site:
        yield site


@pytest.fixture
def javascript() -> bool:
    """Whether pages may run scripts; a test's parameter of this name says otherwise."""
    return True


@pytest.fixture
def watch(origin: str) -> Iterator[Watch]:
    watch = Watch(origin)
    yield watch
    watch.check()


@pytest.fixture
def origin(site: Dashboard) -> str:
    """Where `page.goto` goes, and the only host that may be asked."""
    return site.url


@pytest.fixture
def open_page(
    request: pytest.FixtureRequest, browser: Browser, watch: Watch, javascript: bool, tmp_path: Path
) -> Iterator[Open]:
    """Opens blank pages, each as somebody, in a context of its own."""
    pages: list[Page] = []
    with ExitStack() as stack:

        def open_page(name: str | None, *, javascript: bool = javascript, **more: Any) -> Page:
            session = None if name is None else request.getfixturevalue("site").session(name)
            context = stack.enter_context(opened(browser, watch, session, javascript=javascript, **more))
            pages.append(context.new_page())
            return pages[-1]

        yield open_page
        if request.node.stash.get(reported, False):
            for number, page in enumerate(pages):
                _leave_traces(page, tmp_path / f"page{number}")


def _leave_traces(page: Page, place: Path) -> None:
    try:
        page.screenshot(path=place.with_suffix(".png"), full_page=True)
        place.with_suffix(".html").write_text(page.content())
        print(f"{page.url} is shown by {place}.png and .html")
    except Error as problem:
        print(f"{page.url} cannot be shown: {problem}")


@pytest.fixture
def page(open_page: Open) -> Page:
    """A blank page of u1's, who has signed in."""
    return open_page(USER)
