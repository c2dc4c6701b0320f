"""The playground in a browser: an answer that comes piece by piece, two beside each other, a stop that is one, and text
that stays text."""

import re

from playwright.sync_api import Page, Route, expect

from tests.browser.dashboard import BROKEN, FLASH, SLOW, THINKER, USER, Dashboard
from tests.browser.watch import Watch

EVIL = "<img src=x onerror=alert(1)> it's {model}"


def test_two_answers_beside_each_other_with_what_they_cost(page: Page, site: Dashboard) -> None:
    page.goto("/playground")
    page.select_option("#f-model", FLASH)
    page.select_option("#f-beside", THINKER)
    page.fill("#f-message", EVIL)
    page.click("#send")
    first, second = page.locator(".answer").nth(0), page.locator(".answer").nth(1)
    expect(first.locator(".words")).to_have_text("Hello, world")
    expect(second.locator(".words")).to_have_text("An answer.")
    expect(second.locator(".thought")).to_have_text("Let me think.")
    for answer in (first, second):
        expect(answer.locator("[data-is=cost]")).to_have_text(re.compile(r"\$0\.0000\d+"))
        expect(answer.locator("[data-is=first]")).to_have_text(re.compile(r"\d+(\.\d)? m?s"))
        expect(answer.get_by_role("link", name="This call")).to_be_visible()
    expect(page.locator("#send")).to_be_enabled()
    id = str(first.get_by_role("link", name="This call").get_attribute("href")).removeprefix("/logs/")
    (row,) = site.api(USER, "GET", f"/v1/user/logs?request_id={id}")["data"]
    assert first.locator("[data-is=cost]").inner_text() == f"${row['cost']}"
    assert (row["key_name"], row["served_model"], row["stream"]) == ("playground", FLASH, True)


def test_stop_stops_the_upstream(page: Page, site: Dashboard) -> None:
    page.goto("/playground")
    page.select_option("#f-model", SLOW)
    page.click("#send")
    expect(page.locator(".words")).to_contain_text("word word")
    expect(page.locator("#send")).to_be_disabled()
    page.click("#stop")
    expect(page.locator(".told")).to_contain_text("Stopped")
    expect(page.get_by_role("link", name="This call")).to_be_visible()
    id = str(page.get_by_role("link", name="This call").get_attribute("href")).removeprefix("/logs/")
    (row,) = site.api(USER, "GET", f"/v1/user/logs?request_id={id}")["data"]
    assert row["status"] == "client_gone"
    last = site.house.fake.requests(SLOW)[-1]
    assert last["connection"]["closed_by_peer_at"]
    assert last["pieces_sent"] < 600
    expect(page.locator("[data-is=out]")).to_contain_text("(estimated)")
    expect(page.locator("#send")).to_be_enabled()


def test_an_error_is_told_and_the_form_goes_on(page: Page, watch: Watch) -> None:
    watch.may(502, 503, 404)
    page.goto("/playground")
    page.select_option("#f-model", BROKEN)
    page.click("#send")
    expect(page.locator(".told")).to_contain_text(re.compile("answer|overloaded|provider"))
    expect(page.locator("#send")).to_be_enabled()


def test_the_same_call_elsewhere_follows_the_form(page: Page) -> None:
    page.goto("/playground")
    page.select_option("#f-model", FLASH)
    page.fill("#f-message", EVIL)
    page.fill("#f-max_tokens", "7")
    ways = page.locator(".way code")
    expect(ways.nth(0)).to_contain_text('"max_tokens":7,"stream":true')
    expect(ways.nth(0)).to_contain_text("it'\\''s {model}")
    expect(ways.nth(1)).to_contain_text("    max_tokens=7,\n    stream=True,")
    page.uncheck("#f-stream")
    expect(ways.nth(1)).not_to_contain_text("stream=True")
    page.fill("#f-max_tokens", "")
    expect(ways.nth(2)).not_to_contain_text("max_tokens")
    expect(ways.nth(3)).to_contain_text(f"ANTHROPIC_MODEL={FLASH} claude -p '<img")


def test_a_connection_that_breaks_is_told_and_the_form_goes_on(page: Page) -> None:
    page.goto("/playground")
    page.route("**/playground/call", lambda route: route.abort())
    page.click("#send")
    expect(page.locator(".told")).to_have_text("The connection broke.")
    expect(page.locator("#send")).to_be_enabled()
    page.unroute("**/playground/call")
    asked: list[str] = []

    def break_once(route: Route) -> None:
        asked.append(route.request.url)
        route.abort() if len(asked) == 1 else route.continue_()

    page.route("**/v1/user/logs*", break_once)
    page.select_option("#f-model", FLASH)
    page.click("#send")
    expect(page.locator("[data-is=cost]")).to_have_text(re.compile(r"\$0\.0000\d+"))
    expect(page.locator("#send")).to_be_enabled()
    assert len(asked) >= 2
