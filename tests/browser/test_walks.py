"""Whole ways through the dashboard, with scripts and without: what a user does, and what an operator does. Whatever a
page says is held against what the gateway itself says."""

from decimal import Decimal

import pytest
from playwright.sync_api import Page, expect

from tests.blackbox.harness import HELLO_COST
from tests.browser.conftest import Open
from tests.browser.dashboard import BROKEN, FLASH, OPERATOR, SLOW, THINKER, USER, Dashboard
from tests.browser.hands import money, pay, sure
from tests.browser.looks import faults_of
from tests.browser.watch import Watch

WAYS = pytest.mark.parametrize("javascript", [True, False], ids=["js", "no js"])


def good(page: Page, javascript: bool) -> None:
    """The page is whole in this state too, which no link leads to. To look takes scripts."""
    assert not javascript or faults_of(page) == []


def registered(page: Page, watch: Watch, name: str, javascript: bool) -> None:
    """Somebody signs up; a field that is wrong is told beside it, and what was typed stays."""
    watch.may(400)
    page.goto("/login")
    page.get_by_role("link", name="Register").click()
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password").fill("short")
    page.get_by_role("button", name="Register").click()
    expect(page.get_by_label("Password")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("User name")).to_have_value(name)
    good(page, javascript)
    page.get_by_label("Password").fill(f"{name}-pass")
    page.get_by_role("button", name="Register").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")


@WAYS
def test_a_user_s_keys(open_page: Open, site: Dashboard, watch: Watch, javascript: bool) -> None:
    """From the sign-up to a key, what it may and may not, another limit, off and on, and gone."""
    page, name = open_page(None), f"walker{'one' if javascript else 'two'}"
    registered(page, watch, name, javascript)
    page.goto("/keys")
    page.get_by_role("link", name="Make your first key").click()
    page.get_by_label("Name", exact=True).fill("robot")
    page.get_by_label("Spending limit").fill("1.50")
    page.get_by_label("The limit begins anew").select_option("month")
    page.get_by_label(FLASH, exact=True).check()
    page.get_by_role("button", name="Make the key").click()
    secret = page.locator(".once code").inner_text()
    site.house.canaries.append(secret)
    good(page, javascript)
    assert site.call(name, FLASH, key=secret).status_code == 200
    assert site.call(name, THINKER, key=secret).status_code in (400, 403)
    page.goto("/keys")
    row = page.get_by_role("row", name="robot")
    expect(row).to_contain_text("$1.50 a month")
    assert money(row.locator("[data-label=Spent]").inner_text()) == HELLO_COST
    assert secret not in page.content()
    row.get_by_role("link", name="robot").click()
    page.get_by_role("link", name="Change").click()
    page.get_by_label("Spending limit").fill("a lot")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_label("Spending limit")).to_have_value("a lot")
    expect(page.get_by_label("Spending limit")).to_have_attribute("aria-invalid", "true")
    good(page, javascript)
    page.get_by_label("Spending limit").fill("0.000015")
    page.get_by_role("button", name="Save").click()
    assert site.call(name, FLASH, key=secret).status_code in (402, 429)
    page.get_by_role("button", name="Disable").click()
    assert site.call(name, FLASH, key=secret).status_code == 401
    page.get_by_role("button", name="Enable").click()
    assert site.call(name, FLASH, key=secret).status_code in (402, 429)
    asked = sure(page, "Delete…", javascript=javascript)
    asked.get_by_label("Write robot to go on").fill("robots")
    asked.get_by_role("button", name="Delete the key").click()
    expect(page.get_by_text("Write robot to delete this key.")).to_be_visible()
    good(page, javascript)
    page.get_by_label("Write robot to go on").fill("robot")
    page.get_by_role("button", name="Delete the key").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Keys")
    expect(page.get_by_role("row", name="robot")).to_have_count(0)
    assert site.call(name, FLASH, key=secret).status_code == 401


@WAYS
def test_a_user_s_money(open_page: Open, site: Dashboard, watch: Watch, javascript: bool) -> None:
    """Credits of the sign-up, a call in the playground, its cost to the last digit, a payment, the receipt, the ledger,
    and out."""
    page, name = open_page(None), f"payer{'one' if javascript else 'two'}"
    registered(page, watch, name, javascript)
    page.goto("/playground")
    page.get_by_label("Model", exact=True).select_option(FLASH)
    page.get_by_label("Message", exact=True).fill("Hello")
    page.get_by_role("button", name="Send").click()
    answer = page.locator("section.answer")
    expect(answer.locator(".said:visible")).to_have_text("Hello, world")
    expect(answer.get_by_role("link", name="This call")).to_be_visible()
    assert money(answer.locator("dd").first.inner_text()) == HELLO_COST
    good(page, javascript)
    pay(page, site.shop, watch, "25")
    page.get_by_role("link", name="Receipt").click()
    expect(page.locator("article")).to_contain_text("25.00")
    page.goto("/billing")
    figures = page.locator("dl.figures dd")
    left = 5 + 25 - HELLO_COST
    assert [money(figures.nth(at).inner_text()) for at in range(3)] == [left, Decimal(0), left]
    page.get_by_role("link", name="All entries").click()
    said = page.locator("main table").inner_text()
    assert "25.00" in said and "5.00" in said and f"{HELLO_COST:f}" in said
    page.get_by_role("button", name="Sign out").first.click()
    expect(page).to_have_title("Sign in · ftgate")
    page.goto("/billing")
    expect(page).to_have_title("Sign in · ftgate")
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password").fill("not it")
    watch.may(401)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("Wrong username or password")).to_be_visible()
    good(page, javascript)
    page.get_by_label("Password").fill(f"{name}-pass")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Credits")


@WAYS
def test_a_user_s_provider_keys(open_page: Open, site: Dashboard, watch: Watch, javascript: bool) -> None:
    """One is checked at its provider, is nowhere afterwards but for its fingerprint, and is forgotten."""
    page, name, secret = open_page(None), f"bringer{'one' if javascript else 'two'}", f"sk-walk-{javascript}-7f3e91"
    site.house.canaries.append(secret)
    registered(page, watch, name, javascript)
    page.goto("/byok")
    page.get_by_label("Provider").select_option("openai")
    page.get_by_label("Name").fill("mine")
    page.get_by_label("Key", exact=True).fill(secret)
    page.get_by_role("button", name="Check").click()
    row = page.get_by_role("row", name="mine")
    expect(row).to_contain_text("openai")
    assert secret not in page.content()
    good(page, javascript)
    asked = [one for one in site.house.fake.state()["requests"] if one["path"] == "/openai/v1/models"]
    assert dict(asked[-1]["headers"])["authorization"] == f"Bearer {secret}"
    sure(page, "Forget", javascript=javascript).get_by_role("button", name="Forget").click()
    expect(page.get_by_text("No key was checked yet")).to_be_visible()


@WAYS
def test_a_user_s_account(open_page: Open, site: Dashboard, watch: Watch, javascript: bool) -> None:
    """A name, another browser signed out, another password."""
    watch.may(400, 401, 403)
    page, other = open_page(None), open_page(None)
    name = f"keeper{'one' if javascript else 'two'}"
    registered(page, watch, name, javascript)
    signing_in(other, name, f"{name}-pass")
    page.goto("/profile")
    page.get_by_role("textbox", name="Name").fill("Käthe <b>K</b>")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("textbox", name="Name")).to_have_value("Käthe <b>K</b>")
    expect(page.get_by_role("row", name="another")).to_have_count(1)
    page.get_by_role("button", name="Sign out the browser").click()
    other.goto("/profile")
    expect(other).to_have_title("Sign in · ftgate")
    page.get_by_label("Present password").fill("not it")
    page.get_by_label("New password").fill("a better one")
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_role("alert")).to_be_visible()
    good(page, javascript)
    page.get_by_label("Present password").fill(f"{name}-pass")
    page.get_by_label("New password").fill("a better one")
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Account")
    signing_in(other, name, "a better one")
    expect(other).not_to_have_title("Sign in · ftgate")


def test_what_was_typed_outlives_the_session(open_page: Open, site: Dashboard, watch: Watch) -> None:
    """Signed out in another tab, a page says so and keeps its form; signed in again there, it can be sent."""
    page = open_page(None)
    registered(page, watch, "walkerfive", True)
    watch.may(401, 403)
    page.goto("/keys/new")
    page.get_by_label("Name", exact=True).fill("typed long before")
    playing, other = page.context.new_page(), page.context.new_page()
    playing.goto("/playground")
    playing.select_option("#f-model", FLASH)
    other.goto("/profile")
    other.locator("nav.places").get_by_role("button", name="Sign out").click()
    expect(other).to_have_title("Sign in · ftgate")
    page.evaluate("dispatchEvent(new Event('focus'))")  # as who comes back to a tab; here all of them have it
    expect(page.get_by_role("alert")).to_contain_text("You are signed out")
    expect(page.get_by_label("Name", exact=True)).to_have_value("typed long before")
    signing_in(other, "walkerfive", "walkerfive-pass")
    expect(other.get_by_role("heading", level=1)).to_have_text("Overview")
    page.evaluate("dispatchEvent(new Event('focus'))")
    expect(page.get_by_role("alert")).to_have_count(0)
    page.get_by_role("button", name="Make the key").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Your new key")
    site.house.canaries.append(page.locator(".once code").inner_text())
    playing.click("#send")
    expect(playing.locator(".answer .words")).to_have_text("Hello, world")


@WAYS
def test_a_user_finds_why_a_call_failed(page: Page, site: Dashboard) -> None:
    """By the filters, whose address finds it again; what the calls shown come to stands below them."""
    id = site.call(USER, BROKEN).headers["x-request-id"]
    site.house.wait_for(lambda: site.api(USER, "GET", f"/v1/user/logs?request_id={id}")["data"], "it is not in the log")
    page.goto("/logs")
    page.get_by_label("Model").fill(BROKEN)
    page.get_by_role("button", name="Show").click()
    assert f"model={BROKEN}" in page.url
    rows = page.locator("main tbody tr")
    expect(rows.first).to_contain_text(BROKEN)
    page.get_by_label("Request id").fill(id)
    page.get_by_role("button", name="Show").click()
    expect(rows).to_have_count(1)
    assert money(page.locator("tfoot").inner_text()) == 0
    rows.get_by_role("link").click()
    expect(page.locator(".told.bad")).to_be_visible()
    assert id in page.content()


def signing_in(page: Page, name: str, password: str) -> None:
    page.goto("/login")
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


@WAYS
def test_a_model_is_found_its_price_reckoned_and_tried(page: Page) -> None:
    page.goto("/prices")
    page.get_by_label("Search").fill("kimi")
    page.get_by_label("Tokens in").fill("1000000")
    page.get_by_label("Tokens out").fill("200000")
    page.get_by_role("button", name="Show").click()
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name=THINKER))
    assert money(row.locator("td").last.inner_text()) == Decimal("1.4")  # at 1 and 2 dollars a million
    row.get_by_role("link", name=THINKER).click()
    page.get_by_role("link", name="Try it").click()
    expect(page.get_by_label("Model", exact=True)).to_have_value(THINKER)


# ---- the operator ----


@WAYS
def test_an_operator_s_channels(open_page: Open, site: Dashboard, javascript: bool) -> None:
    """Which one fails, and why; a test; off and on."""
    for _ in range(4):  # as many as open its circuit
        site.call(USER, BROKEN)
    page = open_page(OPERATOR)
    page.goto("/admin/channels")
    expect(page.locator("p.state")).to_contain_text("flaky")
    page.get_by_role("link", name="flaky").first.click()
    expect(page.locator("main")).to_contain_text("The engine is overloaded")
    page.get_by_label("Model to test with").select_option(BROKEN)
    page.get_by_role("button", name="Test now").click()
    expect(page.get_by_role("status").filter(has_text="did not work")).to_be_visible()
    page.goto("/admin/channels/deepseek")
    page.get_by_role("button", name="Test now").click()
    expect(page.get_by_role("status").filter(has_text="It works")).to_be_visible()
    page.goto("/admin/channels/flaky")
    sure(page, "Switch off", javascript=javascript).get_by_role("button", name="Switch off").click()
    page.get_by_role("button", name="Switch on").click()
    page.get_by_role("button", name="Forget failures").click()
    expect(page.locator("main")).to_contain_text("All closed")
    (flaky,) = [one for one in site.api(OPERATOR, "GET", "/v1/admin/channels")["data"] if one["name"] == "flaky"]
    assert flaky["enabled"] is True and flaky["circuits"] == []


@WAYS
def test_an_operator_s_users(open_page: Open, site: Dashboard, watch: Watch, javascript: bool) -> None:
    """A new account, credits, a mistake put right, another plan, off and on."""
    watch.may(400, 409)
    page, name = open_page(OPERATOR), f"client{'one' if javascript else 'two'}"
    page.goto("/admin/users")
    page.get_by_role("link", name="New account").click()
    page.get_by_label("User name").fill(name)
    page.get_by_role("button", name="Make").click()
    page.goto(f"/admin/users?q={name}")
    page.get_by_role("link", name=name, exact=True).click()
    for what, amount, note in (("grant", "10.25", "welcome"), ("correct", "-0.25", "too much")):
        page.get_by_label("What", exact=True).select_option(what)
        page.get_by_label("Amount").fill(amount)
        page.get_by_label("Note").fill(note)
        page.get_by_role("button", name="Enter it").click()
    assert money(page.locator("dl.figures").inner_text()) == 10
    page.get_by_label("Plan").select_option("gold")
    page.get_by_role("button", name="Save").click()
    sure(page, "Disable", javascript=javascript).get_by_role("button", name="Disable").click()
    page.get_by_role("button", name="Enable").click()
    (user,) = [one for one in site.house.cli("users", "list", "--json") if one["username"] == name]
    assert (user["balance"], user["plan"], user["status"]) == ("10.00", "gold", "active")


@WAYS
def test_an_operator_stops_a_call(open_page: Open, site: Dashboard, javascript: bool) -> None:
    page = open_page(OPERATOR)
    with site.running(USER) as wire:
        page.goto("/admin/calls")
        row = page.get_by_role("row", name=SLOW).first
        expect(row).to_contain_text(USER)
        row.get_by_role("button").click()
        assert b'"error"' in wire.until(b"\r\n0\r\n\r\n")
    page.goto("/admin/calls")
    expect(page.get_by_text("No call is in flight.")).to_be_visible()
    assert site.house.verified()["open_holds"] == 0


@WAYS
def test_an_operator_s_books(open_page: Open, site: Dashboard) -> None:
    """The ledger adds up, a payment's bank takes it back, the config is read again, and who did it stands in the
    audit."""
    page = open_page(OPERATOR)
    page.goto("/admin/ledger")
    page.get_by_role("button", name="Verify").click()
    while page.get_by_text("Verifying since").count():  # the page looks again by itself with scripts alone
        page.goto("/admin/ledger")
    expect(page.get_by_text("The ledger adds up, to the last unit.")).to_be_visible()
    site.shop.told(site.stripe.dispute(site.pay(USER, 12), 1200))
    page.goto(f"/admin/payments?user={USER}")
    expect(page.get_by_role("row", name="disputed").first).to_contain_text("12.00")
    page.goto("/admin/config")
    page.get_by_role("button", name="Check").click()
    expect(page.locator(".told").first).to_be_visible()
    page.goto("/admin/config")
    page.get_by_role("button", name="Read it again").click()
    expect(page.locator(".told").first).to_be_visible()
    page.goto("/admin/audit")
    expect(page.locator("main tbody tr").filter(has_text=OPERATOR).first).to_be_visible()
