"""The watch and the looks find what they are for: each is shown a page that does it."""

import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import Open
from tests.browser.looks import dialog_faults, faults_of, keyboard_faults
from tests.browser.standin import WRONG, served
from tests.browser.watch import Watch
from tests.patience import SOON_S


@pytest.fixture(scope="module")
def standin() -> Iterator[str]:
    with served() as url:
        yield url


@pytest.fixture
def origin(standin: str) -> str:
    return standin


@pytest.fixture
def page(open_page: Open) -> Page:
    return open_page(None)


SAID = {
    "/host": "a request to another host: GET http://other.example/x.png",
    "/inline": "script-src",
    "/styled": "style-src",
    "/console": "said",
    "/throws": "nobody caught, on http://127.0.0.1",
    "/rejects": "rejected",
    "/alerts": "alert on",
    "/lost": "answered 404: GET",
    "/broken": "answered 500: GET",
}


def test_a_good_page_is_good(page: Page, watch: Watch) -> None:
    page.goto("/")
    assert [*faults_of(page), *keyboard_faults(page), *dialog_faults(page)] == []
    watch.check()
    assert f"GET {page.url}" in watch.asked


@pytest.mark.parametrize("path", WRONG)
def test_each_wrong_is_seen(page: Page, watch: Watch, path: str) -> None:
    page.goto(path)
    until = time.monotonic() + SOON_S
    while not watch.wrong and time.monotonic() < until:
        page.wait_for_timeout(5)
    with pytest.raises(AssertionError, match=SAID[path]):
        watch.check()


def test_what_is_expected_is_no_wrong(page: Page, watch: Watch) -> None:
    watch.may(404, 500, hosts=("http://other.example",))
    for path in ("/lost", "/broken", "/host"):
        page.goto(path)
    assert watch.wrong == []


LOOKS = {
    "/unlabelled": ["axe: label (critical)"],
    "/headless": ["it has no title", "html has no lang", "it has 0 h1", "it has 0 main", "it has no viewport"],
    "/wide": ["px wider than the window"],
    "/heavy": ["it weighs 12"],
    "/inline": ["it has inline script or style"],
}


@pytest.mark.parametrize("path", LOOKS)
def test_each_fault_is_found(page: Page, watch: Watch, path: str) -> None:
    page.goto(path)
    found = "\n".join(faults_of(page))
    assert [words for words in LOOKS[path] if words not in found] == [], found
    watch.wrong.clear()


def test_the_keyboard_s_faults_are_found(page: Page) -> None:
    page.goto("/hidden")
    assert keyboard_faults(page)[0].startswith("Tab goes astray: ['button late'")
    page.goto("/unseen")
    assert "focus does not show at button Press" in keyboard_faults(page)[-1]


def test_the_dialogs_faults_are_found(page: Page) -> None:
    page.goto("/dialogs")
    found = dialog_faults(page)
    assert [fault.partition(":")[0] for fault in found] == ["dialog stays", "dialog mute"]
    assert "Esc does not close it" in found[0] and "label" in found[1]
