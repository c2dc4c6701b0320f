"""What holds for every page: who may see it, that our own page sent a form, what is said to browsers, and what is
escaped."""

import re
from typing import Any

import pytest

from ftgate.web.pages.desk import ours
from tests.web.fakes import Asking
from tests.web.pages.visiting import wrong_fields

HTML = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


async def test_the_root_is_a_page_for_browsers_and_json_for_programs() -> None:
    asking = Asking()
    assert (await asking.ask("/", secret=None)).json()["name"] == "ftgate"
    assert (await asking.ask("/", secret=None, accept="*/*")).json()["name"] == "ftgate"
    answer = await asking.ask("/", secret=None, **HTML)
    assert (answer.status, answer.headers["location"]) == (303, "/login")


async def test_who_signs_in_comes_back_to_the_page_that_was_asked_for() -> None:
    asking = Asking()
    answer = await asking.form("/logout", csrf_token="")
    assert (answer.status, answer.headers["location"]) == (303, "/login")
    answer = await asking.form("/login", username="ann", password="rightly", next="/keys?status=active")
    assert (answer.status, answer.headers["location"]) == (303, "/keys?status=active")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("ftgate_session=c1;")
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert asking.entrance.asked == [("open", "ann", "rightly", "127.0.0.1", None)]


@pytest.mark.parametrize(
    ("path", "goes"),
    [
        (None, "/"), ("", "/"), ("/keys", "/keys"), ("/logs?model=a%26b", "/logs?model=a%26b"), ("//evil.example", "/"),
        ("/\\evil.example", "/"), ("https://evil.example", "/"), ("javascript:alert(1)", "/"), ("/a\nb", "/"),
        ("/\t/evil.example", "/"), ("evil", "/"),
    ],
)  # fmt: skip
def test_an_address_leads_nowhere_else(path: str | None, goes: str) -> None:
    assert ours(path) == goes


async def test_a_wrong_password_keeps_the_name_and_not_the_password() -> None:
    asking = Asking()
    answer = await asking.form("/login", username='ann"><script>x()</script>', password="hunter22")
    page = answer.body.decode()
    assert answer.status == 401
    assert "Wrong name or password" in page
    assert 'value="ann&#34;&gt;&lt;script&gt;x()&lt;/script&gt;"' in page
    assert "hunter22" not in page
    assert "<script>x" not in page
    assert "set-cookie" not in answer.headers


async def test_a_field_that_is_wrong_is_shown_with_what_is_wrong_beside_it() -> None:
    asking = Asking()
    answer = await asking.form("/register", username="taken", password="rightly", email="a@b")
    page = answer.body.decode()
    assert answer.status == 409
    field = page[page.index('id="f-username"') : page.index('id="f-password"')]
    assert 'aria-invalid="true"' in field
    assert 'aria-describedby="e-username h-username"' in field
    assert '<p class="error" id="e-username">The username &#39;taken&#39; is taken</p>' in field
    assert 'value="a@b"' in page
    assert [asked[0] for asked in asking.entrance.asked] == ["register"]


async def test_all_that_is_wrong_is_told_before_anything_is_asked() -> None:
    asking = Asking()
    answer = await asking.form("/register", username="a b", password="short", email="nobody", invite_code="c" * 65)
    assert answer.status == 400 and asking.entrance.asked == []
    assert wrong_fields(answer) == ["username", "password", "email", "invite_code"]
    assert 'value="a b"' in answer.body.decode() and 'value="nobody"' in answer.body.decode()


async def test_who_registers_is_signed_in() -> None:
    asking = Asking()
    answer = await asking.form("/register", username="newone", password="rightly", invite_code="A1B2")
    assert (answer.status, answer.headers["location"]) == (303, "/")
    assert asking.entrance.asked == [
        ("register", "newone", "rightly", "", "A1B2", "session"),
        ("open", "newone", "rightly", "127.0.0.1", None),
    ]


async def test_registering_may_be_closed() -> None:
    asking = Asking()
    asking.entrance.closed = True
    answer = await asking.ask("/register", secret=None, **HTML)
    assert (answer.status, b"nobody may sign up here" in answer.body) == (403, True)
    assert (await asking.form("/register", username="newone", password="rightly")).status == 403
    assert asking.entrance.asked == []


WRONG: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"csrf_token": ""}, {}),
    ({"csrf_token": "another"}, {}),
    ({}, {"origin": "https://evil.example"}),
    ({}, {"origin": "null"}),
    ({}, {"sec_fetch_site": "cross-site"}),
    ({}, {"sec_fetch_site": "same-site"}),
    ({}, {"content_type": "text/plain"}),
    ({}, {"content_type": "application/json"}),
    ({}, {"x_csrf_token": "another"}),
]


@pytest.mark.parametrize(("texts", "headers"), WRONG)
async def test_only_our_own_page_may_send_a_form(texts: dict[str, Any], headers: dict[str, str]) -> None:
    asking = Asking()
    answer = await asking.form("/logout", headers={**asking.signed_in(), **headers}, **texts)
    assert (answer.status, asking.entrance.asked) == (403, [])
    assert b"CSRF check failed" in answer.body


async def test_a_form_whose_session_has_ended_says_so_and_leads_back_to_its_page() -> None:
    asking = Asking()
    for path, where in (("/keys/new", "/login?said=ended&next=%2Fkeys%2Fnew"), ("/keys/1/delete", "/login?said=ended")):
        answer = await asking.form(path, name="typed")
        assert (answer.status, answer.headers["location"]) == (303, where)
    page = (await asking.ask("/login?said=ended&next=%2Fkeys%2Fnew", secret=None, **HTML)).body.decode()
    assert "nothing was done" in page and 'name="next" value="/keys/new"' in page


async def test_a_form_of_another_session_is_told_in_words() -> None:
    asking = Asking()
    page = (await asking.form("/keys/new", headers=asking.signed_in(), csrf_token="old")).body.decode()
    assert "<h1>Nothing was done</h1>" in page
    assert "opened before you signed in anew" in page


@pytest.mark.parametrize("headers", [{"origin": "https://evil.example"}, {"sec_fetch_site": "cross-site"}])
@pytest.mark.parametrize("path", ["/login", "/register"])
async def test_another_site_signs_nobody_in(path: str, headers: dict[str, str]) -> None:
    asking = Asking()
    answer = await asking.form(path, headers=headers, username="ann", password="rightly")
    assert (answer.status, asking.entrance.asked) == (403, [])


async def test_our_own_form_is_taken() -> None:
    asking = Asking()
    headers = {**asking.signed_in(), "origin": "http://127.0.0.1:8400", "sec_fetch_site": "same-origin"}
    answer = await asking.form("/logout", headers=headers)
    assert (answer.status, answer.headers["location"]) == (303, "/login?said=signed_out")
    assert asking.entrance.asked == [("logout", 1, b"s1", False)]
    assert "ftgate_session=;" in answer.headers["set-cookie"]


async def test_a_page_s_forms_bring_the_session_s_proof() -> None:
    asking = Asking()
    page = (await asking.ask("/nowhere", secret=None, **HTML, **asking.signed_in())).body.decode()
    assert set(re.findall('name="csrf_token" value="([^"]*)"', page)) == {"proof"}


async def test_a_key_opens_no_page() -> None:
    answer = await Asking().ask("/", **HTML)
    assert (answer.status, answer.headers["location"]) == (303, "/login")


async def test_what_browsers_are_told_of_a_page() -> None:
    answer = await Asking().ask("/login", secret=None, **HTML)
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["form-action"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "same-origin"


async def test_what_a_page_loads_is_kept_under_its_digest() -> None:
    asking = Asking()
    page = (await asking.ask("/login", secret=None, **HTML)).body.decode()
    loaded = re.findall(r'(?:src|href)="(/static/[^"]+)"', page)
    assert sorted(path.rpartition(".")[2] for path in loaded) == ["css", "js", "svg"]
    for path in loaded:
        answer = await asking.ask(path, secret=None)
        assert (answer.status, answer.headers["cache-control"]) == (200, "public, max-age=31536000, immutable")
        assert answer.headers["x-content-type-options"] == "nosniff"
    old = re.sub(r"/static/\w+/", "/static/0123456789ab/", loaded[0])
    assert (await asking.ask(old, secret=None)).status == 404
    assert (await asking.ask("/static/..%2f..%2fsite.py/x", secret=None)).status == 404


@pytest.mark.parametrize(("path", "status"), [("/nowhere", 404), ("/login/more", 404), ("/%3Cscript%3E", 404)])
async def test_who_goes_astray_is_told_so_on_a_page(path: str, status: int) -> None:
    asking = Asking()
    answer = await asking.ask(path, secret=None, **HTML)
    assert (answer.status, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert b"<script>" not in answer.body
    assert (await asking.ask(path, secret=None)).headers["content-type"] == "application/json"


async def test_what_was_done_is_said_in_our_own_words_alone() -> None:
    asking = Asking()
    assert b"You are signed out." in (await asking.ask("/login?said=signed_out", secret=None, **HTML)).body
    assert b"Pay%20Mallory" not in (await asking.ask("/login?said=Pay%20Mallory", secret=None, **HTML)).body
    assert b"Mallory" not in (await asking.ask("/login?said=Pay%20Mallory", secret=None, **HTML)).body


async def test_a_form_may_not_be_large() -> None:
    assert (await Asking().form("/login", username="x" * 70_000)).status == 413
    assert (await Asking().form("/login", **{f"f{at}": "1" for at in range(600)})).status == 400
