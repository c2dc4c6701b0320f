"""Everywhere that links lead to, as everybody: each page is whole, light, reachable by keyboard, and good to those who
do not see it; and every page is led to."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser.crawl import Crawled, Looker, crawl, place
from tests.browser.dashboard import ROLES, Dashboard
from tests.browser.opened import opened
from tests.browser.routes import PAGES, rule_of
from tests.browser.standin import served
from tests.browser.watch import Watch

UNLINKED = {"/setup", "/admin/start", "/favicon.ico", "/static/{id}/{id}"}
"""What no link leads to: the first run, which is led to by what a start prints, and no pages."""


@pytest.fixture(scope="module")
def crawled(browser: Browser, site: Dashboard) -> Callable[[str], Crawled]:
    """What a role's crawl has found; each is done once."""
    done: dict[str, Crawled] = {}
    look = Looker()

    def crawled(role: str) -> Crawled:
        if role not in done:
            watch, name = Watch(site.url), ROLES[role]
            with opened(browser, watch, site.session(name) if name else None) as context:
                done[role] = crawl(context.new_page(), watch, look=look)
        return done[role]

    return crawled


@pytest.mark.parametrize("role", ROLES)
def test_every_page_is_good(crawled: Callable[[str], Crawled], role: str) -> None:
    found = crawled(role)
    assert found.faults == [], "\n".join(found.faults)
    assert len(found.paths) >= 2


def test_every_page_is_led_to(crawled: Callable[[str], Crawled]) -> None:
    reached = {path for role in ROLES for path in crawled(role).paths}
    led_to = {rule for path in reached if (rule := rule_of(path)) is not None}
    assert {re.sub("<[^>]*>", "{id}", rule) for rule in PAGES - led_to} - UNLINKED == set()


# ---- the crawl itself ----


@pytest.fixture
def standin() -> Iterator[str]:
    with served() as url:
        yield url


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/", "/"), ("/logs/12", "/logs/{id}"), ("/admin/users/3", "/admin/users/{id}"), ("/keys", "/keys"),
        ("/keys/12/edit", "/keys/{id}/edit"), ("/keys/new", "/keys/new"), ("/users/7/keys", "/users/{id}/keys"),
        ("/pay/pay_1a/x", "/pay/{id}/x"),
    ],
)  # fmt: skip
def test_ids_make_no_new_place(path: str, said: str) -> None:
    assert place(path) == said


def test_a_crawl_tells_where_it_was_and_what_was_wrong(browser: Browser, standin: str) -> None:
    watch = Watch(standin)
    with opened(browser, watch) as context:
        found = crawl(context.new_page(), watch)
    assert found.paths == ["/", "/broken"]
    assert len(found.faults) == 1 and found.faults[0].startswith("/broken: answered 500")
