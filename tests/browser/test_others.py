"""What is somebody else's: no page shows it and no form touches it, whatever an address says."""

from collections.abc import Iterator

import pytest

from tests.browser.dashboard import OTHER, USER, Dashboard
from tests.browser.routes import FOR_ALL, ROUTES, filled
from tests.browser.test_forms import books
from tests.browser.visitor import CSRF, Visitor

GUARDED = [route for route in ROUTES if route[1] not in FOR_ALL]
ADMIN = [route for route in GUARDED if route[1].startswith("/admin")]
OWN = [route for route in GUARDED if "<" in route[1] and route not in ADMIN]
"""Pages of one thing, which is somebody's."""


@pytest.fixture(scope="module")
def user(site: Dashboard) -> Iterator[Visitor]:
    with Visitor(site.url, site.signed_in(USER)) as visitor:
        yield visitor


@pytest.fixture(scope="module")
def stranger(site: Dashboard) -> Iterator[Visitor]:
    with Visitor(site.url) as visitor:
        yield visitor


def ask(visitor: Visitor, method: str, path: str) -> tuple[int, str, str]:
    """Status, where it leads, and the text; a form carries the visitor's own token."""
    fields = {CSRF: visitor.session.csrf if visitor.session else "0" * 44}
    seen = visitor.get(path) if method == "GET" else visitor.post(path, fields, {"Origin": visitor.url})
    return seen.status, seen.location, seen.text


@pytest.mark.parametrize(("method", "rule"), GUARDED)
def test_who_has_not_signed_in_is_led_to_the_door(site: Dashboard, stranger: Visitor, method: str, rule: str) -> None:
    before = books(site)
    status, location, _ = ask(stranger, method, filled(rule, "1"))
    assert status == 303 and location.startswith("/login"), (status, location)
    assert books(site) == before


@pytest.mark.parametrize(("method", "rule"), ADMIN)
def test_what_is_operators_is_no_user_s(site: Dashboard, user: Visitor, method: str, rule: str) -> None:
    before = books(site)
    status, _, text = ask(user, method, filled(rule, "1"))
    assert status == 403 and "operators" in text, (status, text[-2000:])
    assert books(site) == before


@pytest.mark.parametrize(("method", "rule"), OWN)
def test_another_s_things_are_not_there(site: Dashboard, user: Visitor, method: str, rule: str) -> None:
    """Each id of u2's, in every page of one thing; and no more is said than of what there never was."""
    before = books(site)
    nothing = ask(user, method, filled(rule, "999999"))[2]
    for what, id in site.ids.items():
        status, _, text = ask(user, method, filled(rule, id))
        assert status == 404, (what, status)
        assert text.replace(id, "999999").count("\n") == nothing.count("\n") and "twomarker" not in text
    assert books(site) == before


def test_nothing_of_another_s_is_on_any_page(site: Dashboard, user: Visitor) -> None:
    theirs = site.api(OTHER, "GET", "/v1/tokens")["data"]
    marks = [site.ids["call"], site.ids["payment"], "twomarker", *(key["keyPrefix"] for key in theirs)]
    pages = user.everywhere()
    found = [(address, mark) for address, page in pages.items() for mark in marks if mark in page.text]
    assert len(pages) > 1 and len(marks) > 3 and found == []


def test_their_own_pages_show_it(site: Dashboard) -> None:
    """Else the test above would look for what is nowhere."""
    with Visitor(site.url, site.session(OTHER)) as other:
        text = "\n".join(page.text for page in other.everywhere().values())
    assert [mark for mark in (site.ids["call"], "twomarker") if mark not in text] == []
