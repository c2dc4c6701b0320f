"""The account's page: its names, password, browsers and plan. Nothing of another account's is ever asked for."""

from collections.abc import Mapping
from typing import Any

import pytest

from ftgate.errors import NotAuthenticated, NotFound
from ftgate.ports.site import Browser, Person, Session
from tests.web.fakes import Answer, Asking
from tests.web.pages.given import given_to

EVIL = "<script>x()</script>"
MARK = "0123456789abcdef"


class Self:
    """ports.site.People and Entrance, and the list of browsers, of account 1."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.name = f"Ann {EVIL}"
        self.cookies: dict[str, Session] = {}

    def self_of(self, account: int) -> dict[str, object]:
        assert account == 1
        return {
            "username": "ann", "role": "user", "name": self.name, "email": "a@b", "plan": "default", "mode": "prepaid",
            "inviteCode": "CODE1234", "createdAt": "2026-11-01T10:00:00.000Z",
        }  # fmt: skip

    def plans(self) -> list[dict[str, object]]:
        limits = {"requests_per_second": 7, "price_multiplier": "1.5"}
        return [{"name": "default", "models": ["m*", EVIL], "selectable": True, **limits}]

    async def change_self(self, account: int, fields: Mapping[str, str], by: Any) -> None:
        self.asked.append(("change", account, dict(fields), by.via))

    async def new_code(self, account: int, by: Any) -> str:
        self.asked.append(("code", account))
        return "CODE5678"

    async def change_password(self, account: int, *, current: str, new: str, by: Any, browser: bool) -> Any:
        if current != "right-password":
            raise NotAuthenticated("Wrong current password", code="invalid_credentials")
        self.asked.append(("password", account, new, browser))
        return "c2", Session(b"s2", Person(1, "ann", "user", "default"), "proof")

    async def end_browser(self, account: int, mark: str) -> None:
        if mark != MARK:
            raise NotFound("No such browser is signed in any more")
        self.asked.append(("end", account, mark))

    async def end_others(self, account: int, session: Session) -> None:
        self.asked.append(("others", account, session.id))

    def by_cookie(self, value: str) -> Session | None:
        return self.cookies.get(value)

    def browsers(self, account: int, present: Session | None) -> list[Browser]:
        assert (account, present is not None and present.id) == (1, b"s1")
        return [Browser("f" * 16, 10**15, 10**15, True), Browser(MARK, 10**15, 10**15, False)]


def asking() -> tuple[Asking, Self]:
    site, found = Asking(), Self()
    given_to(site, people=found, entrance=found, sessions=found)
    return site, found


async def sent(site: Asking, path: str, **texts: str) -> Answer:
    return await site.form(path, headers=site.signed_in(), **texts)


async def test_it_shows_the_account_its_browsers_and_its_plan() -> None:
    site, _ = asking()
    answer = await site.ask("/profile", secret=None, accept="text/html", **site.signed_in())
    page = answer.body.decode()
    assert answer.status == 200
    assert 'value="Ann &lt;script&gt;x()&lt;/script&gt;"' in page
    assert "<script>x" not in page
    assert "CODE1234" in page
    assert page.count("this one") == 1
    assert f'action="/profile/browsers/{MARK}/end"' in page
    assert "ffffffffffffffff/end" not in page  # this one is signed out by its own button
    assert "× 1.5" in page
    assert "7 requests a second" in page
    assert "5 tokens a month" in page


async def test_names_are_changed_and_may_be_taken_away() -> None:
    site, found = asking()
    answer = await sent(site, "/profile", name=" New ", email="")
    assert (answer.status, answer.headers["location"]) == (303, "/profile?said=profile_changed")
    assert found.asked == [("change", 1, {"name": "New", "email": ""}, "session")]


async def test_a_wrong_address_stands_beside_its_field() -> None:
    site, found = asking()
    answer = await sent(site, "/profile", name="New", email=f"nobody{EVIL}")
    page = answer.body.decode()
    assert (answer.status, found.asked) == (400, [])
    assert 'id="e-email"' in page
    assert 'value="New"' in page
    assert "<script>x" not in page


async def test_a_password_is_changed_and_this_browser_stays_signed_in() -> None:
    site, found = asking()
    answer = await sent(site, "/profile/password", current_password="right-password", new_password=" another one ")
    assert (answer.status, answer.headers["location"]) == (303, "/profile?said=password_changed")
    assert answer.headers["set-cookie"].startswith("ftgate_session=c2;")
    assert "HttpOnly" in answer.headers["set-cookie"]
    assert found.asked == [("password", 1, " another one ", True)]


@pytest.mark.parametrize(("current", "status"), [("wrong-password", 401), ("", 400)])
async def test_a_wrong_password_changes_nothing_and_is_not_shown(current: str, status: int) -> None:
    site, found = asking()
    answer = await sent(site, "/profile/password", current_password=current, new_password="another-one")
    assert (answer.status, found.asked) == (status, [])
    assert b"another-one" not in answer.body
    assert b"wrong-password" not in answer.body
    assert "set-cookie" not in answer.headers


async def test_browsers_are_ended_one_by_one_and_all_others() -> None:
    site, found = asking()
    assert (await sent(site, f"/profile/browsers/{MARK}/end")).headers["location"] == "/profile?said=session_ended"
    assert (await sent(site, "/profile/browsers/other/end")).status == 404
    assert (await sent(site, "/profile/browsers/end-others")).headers["location"] == "/profile?said=others_ended"
    assert found.asked == [("end", 1, MARK), ("others", 1, b"s1")]


async def test_another_invite_code() -> None:
    site, found = asking()
    assert (await sent(site, "/profile/invite")).headers["location"] == "/profile?said=invite_made"
    assert found.asked == [("code", 1)]
