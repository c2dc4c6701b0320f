"""A page that looks again by itself says so when it cannot: what it shows may be over."""

from playwright.sync_api import expect

from tests.browser.conftest import Open
from tests.browser.dashboard import OPERATOR


def test_what_cannot_be_read_anew_says_since_when(open_page: Open) -> None:
    page = open_page(OPERATOR)
    page.clock.install()
    page.goto("/admin/calls")
    expect(page.locator("[data-scripted]")).to_have_text("; looked at again every 3 seconds")
    page.route("**/admin/calls", lambda route: route.abort())
    with page.expect_event("requestfailed"):
        page.clock.run_for(3100)
    expect(page.locator(".stale")).to_have_count(0)
    with page.expect_event("requestfailed"):
        page.clock.run_for(3000)
    expect(page.locator(".stale")).to_contain_text("Not read anew since")
    page.unroute("**/admin/calls")
    page.clock.run_for(3000)
    expect(page.locator(".stale")).to_have_count(0)


def test_what_is_true_only_with_scripts_is_said_only_there(open_page: Open) -> None:
    page = open_page(OPERATOR, javascript=False)
    page.goto("/admin/calls")
    expect(page.locator("[data-scripted]")).to_be_hidden()
