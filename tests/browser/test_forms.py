"""Every form of every page takes what its own page sends, and nothing else: without the page's token, with another
one, or from another site it is refused, and nothing has changed."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.browser.dashboard import OPERATOR, USER, Dashboard
from tests.browser.visitor import CSRF, Form, Seen, Visitor

LIVING = {"sessions", "last_batch", "_sqlite_migrations", "ended_tokens"}
"""Tables that change by being looked at."""


def books(site: Dashboard) -> dict[str, list[tuple[object, ...]]]:
    """All that the gateway keeps."""
    with closing(sqlite3.connect(f"file:{site.house.data / 'ftgate.sqlite3'}?mode=ro", uri=True)) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: database.execute(f"SELECT * FROM {name}").fetchall() for name in set(tables) - LIVING}


@pytest.fixture(scope="module", params=[USER, OPERATOR])
def visitor(request: pytest.FixtureRequest, site: Dashboard) -> Iterator[Visitor]:
    with Visitor(site.url, site.signed_in(request.param)) as visitor:
        yield visitor


@pytest.fixture(scope="module")
def pages(visitor: Visitor) -> list[Seen]:
    """Everywhere that the visitor can go."""
    return list(visitor.everywhere().values())


@pytest.fixture(scope="module")
def forms(pages: list[Seen]) -> list[Form]:
    """One of each kind."""
    found = {form.place: form for seen in pages for form in seen.forms if form.method == "post"}
    return list(found.values())


HERE = {"Origin": ""}  # the gateway's own, which is known when it runs
REFUSED: dict[str, tuple[str | None, dict[str, str]]] = {
    "no token": ("", HERE),
    "no token at all": (None, HERE),
    "another token": ("0" * 44, HERE),
    "another site": ("right", {"Origin": "http://evil.example"}),
    "no site": ("right", {"Origin": "null"}),
    "another site, as the browser says": ("right", {"Sec-Fetch-Site": "cross-site"}),
    "a sibling, as the browser says": ("right", {"Sec-Fetch-Site": "same-site"}),
    "another kind of form": ("right", {"Content-Type": "text/plain"}),
}


@pytest.mark.parametrize("how", REFUSED)
def test_a_form_that_is_not_ours_does_nothing(site: Dashboard, visitor: Visitor, forms: list[Form], how: str) -> None:
    token, headers = REFUSED[how]
    headers = {name: value or site.url for name, value in headers.items()}
    before = books(site)
    assert len(forms) > 0  # to sign out, at least
    for form in forms:
        fields = {name: value for name, value in form.fields.items() if name != CSRF}
        if token is not None:
            fields[CSRF] = form.fields[CSRF] if token == "right" else token
        answer = visitor.post(form.action, fields, headers)
        assert answer.status == 403, (form.place, how, answer.status, answer.location)
    assert books(site) == before
    assert visitor.get("/").status == 200  # and is signed in still


def test_every_form_that_posts_carries_the_token(visitor: Visitor, forms: list[Form]) -> None:
    assert visitor.session is not None
    assert {form.fields.get(CSRF) for form in forms} == {visitor.session.csrf}


def test_no_form_tells_the_token_in_an_address(visitor: Visitor, pages: list[Seen]) -> None:
    got = [form for page in pages for form in page.forms if form.method == "get"]
    assert [form.place for form in got if CSRF in form.fields] == []
    assert [page.address for page in pages if visitor.session and visitor.session.csrf in page.address] == []


def test_a_page_does_nothing_by_being_looked_at(site: Dashboard, visitor: Visitor) -> None:
    before = books(site)
    assert len(visitor.everywhere()) >= 2
    assert books(site) == before


def test_pages_may_not_be_framed_or_kept(visitor: Visitor, pages: list[Seen]) -> None:
    """Every page says so, refusals too."""
    good = [page for page in pages if page.is_page and page.status == 200]
    for page in [visitor.get("/nothing/here"), *good]:
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy, page.address
        assert not re.search(r"unsafe|\*|https?:", policy), page.address
        said = tuple(page.headers[name] for name in ("x-frame-options", "cache-control", "x-content-type-options"))
        assert said == ("DENY", "no-store", "nosniff"), page.address
    assert len(good) >= 1
