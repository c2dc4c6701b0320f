"""The first run as a browser sees it: the link, the form, the way to a first call."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tests.web.fakes import Asking
from tests.web.pages.visiting import OPERATOR, SCRIPT, USER, Visitor, gone_to, text, wrong_fields

FORM = {"token": "right", "username": "ada", "password": "rightly", "again": "rightly", "metered": "on"}


@pytest.fixture
def asking() -> Asking:
    asking = Asking()
    asking.setup.token = "right"
    return asking


async def test_the_link_shows_the_form_and_the_form_makes_the_operator(asking: Asking) -> None:
    nobody = Visitor(asking, None)
    page = await nobody.get("/setup?token=right")
    assert page.status == 200 and b'name="token" value="right"' in page.body
    assert page.headers["cache-control"] == "no-store"
    made = await nobody.send("/setup", **FORM)
    assert gone_to(made) == "/admin/start?said=operator_made"
    assert "ftgate_session=c1" in made.headers["set-cookie"] and "HttpOnly" in made.headers["set-cookie"]
    assert asking.setup.made == [("ada", "rightly", True, "session")]


async def test_credits_may_be_needed(asking: Asking) -> None:
    await Visitor(asking, None).send("/setup", **{name: said for name, said in FORM.items() if name != "metered"})
    assert asking.setup.made == [("ada", "rightly", False, "session")]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"again": "other"}, "the two passwords are not the same"),
        ({"password": ""}, "This is missing"),
        ({"username": ""}, "This is missing"),
        ({"username": "taken"}, "exists already"),
    ],
)
async def test_what_is_wrong_stands_beside_its_field_and_the_link_holds(
    asking: Asking, changed: dict[str, str], words: str
) -> None:
    again = await Visitor(asking, None).send("/setup", **(FORM | changed))
    assert again.status in (400, 409) and words in text(again) and b'aria-invalid="true"' in again.body
    assert b'value="right"' in again.body  # the token, and no password
    assert (
        again.body.count(b'value="right"') == 1 and f'value="{changed.get("username", "ada")}"' in again.body.decode()
    )
    assert asking.setup.made == [] and asking.throttle.counted == []


async def test_all_that_is_wrong_is_told_at_once(asking: Asking) -> None:
    page = await Visitor(asking, None).send("/setup", **(FORM | {"username": "a b", "password": "x", "again": "y"}))
    assert page.status == 400 and wrong_fields(page) == ["username", "password", "again"] and asking.setup.made == []


async def test_a_typed_name_is_only_text(asking: Asking) -> None:
    page = await Visitor(asking, None).send("/setup", **(FORM | {"username": SCRIPT, "again": ""}))
    assert SCRIPT.encode() not in page.body and b"&lt;script&gt;" in page.body


@pytest.mark.parametrize("way", ["get", "post"])
async def test_a_wrong_token_is_counted_and_told_what_to_do(asking: Asking, way: str) -> None:
    nobody = Visitor(asking, None)

    async def come() -> Any:
        return await (
            nobody.get("/setup?token=x") if way == "get" else nobody.send("/setup", **(FORM | {"token": "x"}))
        )

    refused = await come()
    assert refused.status == 404 and "this link holds no more" in text(refused)
    assert asking.throttle.counted == [("login", "127.0.0.1")]
    asking.throttle.wait_s = 7.0
    many = await come()
    assert (many.status, many.headers["retry-after"]) == (429, "7")
    assert asking.setup.made == []


async def test_without_a_token_it_says_where_the_link_is(asking: Asking) -> None:
    page = await Visitor(asking, None).get("/setup")
    assert (
        page.status == 404 and "the command that stands beside it there" in text(page) and asking.throttle.counted == []
    )


async def test_there_is_no_such_page_once_there_is_an_operator(asking: Asking) -> None:
    asking.setup.token = None
    nobody = Visitor(asking, None)
    assert (await nobody.get("/setup?token=right")).status == 404
    assert (await nobody.send("/setup", **FORM)).status == 404
    assert (asking.setup.made, asking.throttle.counted) == ([], [])


async def test_another_site_cannot_send_the_form(asking: Asking) -> None:
    nobody = Visitor(asking, None)
    nobody.cookie = {"origin": "http://evil.example"}
    assert (await nobody.send("/setup", **FORM)).status == 403 and asking.setup.made == []


async def test_signing_in_says_that_nobody_runs_it_yet(asking: Asking) -> None:
    assert "Nobody runs this gateway yet" in text(await Visitor(asking, None).get("/login"))
    asking.setup.token = None
    assert "Nobody runs" not in text(await Visitor(asking, None).get("/login"))


async def test_the_first_steps_say_what_is_done(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    async def asked(accounts: Sequence[int]) -> Mapping[int, int]:
        return {account: int(account == 5) for account in accounts}  # another one's

    asking.channels.more = {"provider": "demo"}
    page = await Visitor(asking, OPERATOR).get("/admin/start")
    assert page.status == 200 and "1 of 4 done." in text(page)  # a key is there
    monkeypatch.setattr(asking.journal, "requests_of", asked)
    assert "2 of 4 done." in text(await Visitor(asking, OPERATOR).get("/admin/start"))
    assert (await Visitor(asking, USER).get("/admin/start")).status == 403
    assert gone_to(await Visitor(asking, None).get("/admin/start")) == "/login?next=%2Fadmin%2Fstart"
