"""Texts that somebody else chose are shown as text, wherever they stand. That nothing of them runs is seen by the crawl
too, whose pages hold them all (an alert fails it); here, that they are really there, and what an address can bring."""

import html
from urllib.parse import urlencode

import pytest

from tests.browser.conftest import Open
from tests.browser.dashboard import HOSTILE, OPERATOR, USER, Dashboard
from tests.browser.visitor import Visitor
from tests.browser.watch import Watch

RUNS = ("<script>alert", "<img src=x", "<svg onload", "<iframe srcdoc", "<details open ontoggle")
"""How the payloads look where they would run."""
SHOWN = {
    USER: {"model", "key", "link", "person", "nomodel", "note"},
    OPERATOR: {"model", "person", "theirs", "nomodel", "note"},
}
"""Which of them each one's pages have to show somewhere."""


@pytest.mark.parametrize("name", SHOWN)
def test_what_others_chose_is_text(site: Dashboard, name: str) -> None:
    with Visitor(site.url, site.session(name)) as visitor:
        pages = visitor.everywhere()
    whole = {address: page.text for address, page in pages.items() if page.is_page}
    assert [(address, sign) for address, text in whole.items() for sign in RUNS if sign in text] == []
    assert [address for address, text in whole.items() if "1337" in text and "{{ 7 * 191 }}" not in text] == []
    said = html.unescape("\n".join(whole.values()))
    assert {mark for mark in SHOWN[name] if HOSTILE[mark] not in said} == set()
    links = {link for page in pages.values() for link in page.links}
    assert [link for link in links if link.startswith("javascript:")] == []


@pytest.mark.parametrize("name", [USER, OPERATOR])
def test_what_an_address_brings_is_text(site: Dashboard, open_page: Open, watch: Watch, name: str) -> None:
    """Every filter of every list, filled with each payload, in the browser: an alert, or a request to nowhere, would
    fail this test."""
    with Visitor(site.url, site.session(name)) as visitor:
        lists = {
            form.place: form for page in visitor.everywhere().values() for form in page.forms if form.method == "get"
        }
    watch.may(400, 404)  # where only some words may stand, or a name that there is
    page = open_page(name)
    asked = 0
    for form in lists.values():
        for changed in ([text] for text in form.texts) if form.texts else [list(form.fields)]:
            fields = {**form.fields, **dict.fromkeys(changed, HOSTILE["key" if asked % 2 else "model"])}
            page.goto(f"{form.action.partition('?')[0]}?{urlencode(fields)}")
            asked += 1
    assert asked >= 1
    for path in (
        "/login?next=javascript:alert(1)",
        "/?said=<script>alert(1)</script>",
        "/nothing/<img src=x onerror=alert(1)>",
    ):
        page.goto(path)
