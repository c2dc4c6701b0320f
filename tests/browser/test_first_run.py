"""The first run, as whoever installs it lives it: the link that the start printed, an operator, and a first call of
the demo that is seen in the log with what it cost; with scripts and without."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.blackbox.harness import House
from tests.blackbox.paying import Shop, settings
from tests.browser.conftest import Open
from tests.browser.watch import Watch
from tests.fakes.stripe import FakeStripe

CONFIG = '[server]\nport = 0\n[[channel]]\nname = "demo"\nprovider = "demo"\n'


@pytest.fixture
def shop(browser: object, tmp_path: Path) -> Iterator[Shop]:
    """A gateway that has just been installed, with the demo and a Stripe."""
    with FakeStripe() as stripe, House(tmp_path / "new", CONFIG + settings(stripe), upstream=False) as house:
        yield Shop(house, stripe)


@pytest.fixture
def origin(shop: Shop) -> str:
    return shop.house.url


@pytest.fixture
def page(open_page: Open) -> Page:
    return open_page(None)


def link(house: House) -> str:
    """The path of the link that the start printed."""
    said = house.wait_for(lambda: re.search(r"http://[^/\s]+(/setup\?token=\S+)", house.err.read_text()), "no link")
    return str(said[1])


@pytest.mark.parametrize("javascript", [True, False], ids=["js", "no js"])
def test_from_the_link_to_a_first_call(page: Page, shop: Shop, watch: Watch) -> None:
    first = link(shop.house)
    page.goto(first)
    page.get_by_label("User name").fill("olive")
    page.get_by_label("Password", exact=True).fill("olive-pass")
    page.get_by_label("Password once more").fill("another")
    watch.may(400)
    page.get_by_role("button", name="Make the account").click()
    expect(page.get_by_text("the two passwords are not the same")).to_be_visible()
    expect(page.get_by_label("User name")).to_have_value("olive")
    page.get_by_label("Password", exact=True).fill("olive-pass")
    page.get_by_label("Password once more").fill("olive-pass")
    page.get_by_role("button", name="Make the account").click()
    expect(page).to_have_url(re.compile("/admin/start"))
    expect(page.get_by_role("heading", level=1)).to_have_text("First steps")
    watch.may(404)
    answer = page.goto(first)
    assert answer is not None and answer.status == 404
