"""What people do on pages again and again: buttons that ask whether one is sure, paying, reading an amount."""

import re
from decimal import Decimal

from playwright.sync_api import Locator, Page, expect

from tests.blackbox.paying import Shop
from tests.browser.dashboard import CHECKOUT
from tests.browser.watch import Watch


def money(text: str) -> Decimal:
    """The first amount in a text."""
    found = re.search(r"(-|−)?\$([0-9,]+\.?[0-9]*)", text.replace("\n", ""))
    assert found is not None, text
    return Decimal(found[2].replace(",", "")) * (-1 if found[1] else 1)


def sure(page: Page, opener: str, *, javascript: bool) -> Locator:
    """Press a button that asks whether one is sure: the form that asks. It is a dialog with scripts, and stands open
    behind the button without."""
    if javascript:
        page.get_by_role("button", name=opener, exact=True).click()
        dialog = page.locator("dialog[open]")
        expect(dialog).to_be_visible()
        return dialog
    details = page.locator("details.sure", has=page.locator("summary", has_text=re.compile(f"^{re.escape(opener)}$")))
    details.locator("summary").click()
    return details.locator("form.ask")


def pay(page: Page, shop: Shop, watch: Watch, amount: str) -> None:
    """Pay an amount: to Stripe's page, which is a stand-in, and back from there when Stripe has told."""
    watch.may(hosts=(CHECKOUT,))
    page.route(f"{CHECKOUT}/**", lambda route: route.fulfill(body="<title>Stripe</title>", content_type="text/html"))
    page.goto("/billing")
    page.get_by_role("button", name=f"Pay ${amount}", exact=True).click()
    expect(page).to_have_title("Stripe")
    session = page.url.rpartition("/")[2]
    back = shop.stripe.sessions[session]["success_url"].replace("{CHECKOUT_SESSION_ID}", session)
    shop.told(shop.stripe.pay(session))
    page.goto(back)
    expect(page.get_by_text(f"${amount}.00 were credited")).to_be_visible()
