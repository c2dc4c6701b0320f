"""The operator's pages of accounts and of everybody's keys: what they show, and what their forms do."""

from collections.abc import Mapping
from typing import Any

import pytest

from ftgate.core.money import PICO_PER_USD
from ftgate.errors import Conflict, GateError, InvalidRequest, NotFound
from ftgate.ports.site import Rows
from tests.web.fakes import Asking
from tests.web.pages.given import given_to
from tests.web.pages.test_keys import KEY
from tests.web.pages.visiting import OPERATOR, SCRIPT, USER, Visitor, gone_to, is_safe, text, wrong_fields

BOB: dict[str, object] = {
    "id": "5", "username": "bob", "name": SCRIPT, "email": "b@example.org", "role": "user", "status": "active",
    "plan": "default", "mode": "prepaid", "balance": "9.50", "held": "0.25", "used": "1.001", "keys": 2,
    "invite_code": "A1B2C3D4", "invited_by": None, "created_at": "2026-05-10T12:00:00.000Z", "last_login_at": None,
    "last_used_at": "2026-05-11T12:00:00.000Z",
}  # fmt: skip
ENTRY = {
    "id": "7", "at": "2026-05-10T12:00:00.000Z", "kind": "grant", "user": "5", "debit": "grants", "credit": "credits",
    "amount": "3.5", "hold": None, "ref": "gift:1", "note": SCRIPT, "key": None,
}  # fmt: skip
PATHS = ("/admin/users", "/admin/users/new", "/admin/users/5", "/admin/keys")


class People:
    """ports.managing.Users, Credits and Records and ports.site.KeyRing and People, of one account; what was asked, and
    an error that is said to each change."""

    def __init__(self) -> None:
        self.user = dict(BOB)
        self.asked: list[tuple[Any, ...]] = []
        self.refused: GateError | None = None
        self.found: list[Mapping[str, object]] = [self.user]

    def note(self, *what: Any) -> None:
        if self.refused is not None:
            raise self.refused
        self.asked.append(what)

    async def page(self, account: int | None = None, **wanted: Any) -> Rows:
        self.asked.append(("page", wanted["q"], wanted["status"]))
        return self.found, len(self.found), None

    def shown(self, id: int) -> Mapping[str, object]:
        if id != 5:
            raise NotFound(f"no user {id}")
        return self.user

    def own_mode(self, id: int) -> str:
        return str(self.shown(id).get("own", ""))

    def mode_of(self, plan: str) -> str:
        return "metered" if plan == "pro" else "prepaid"

    def account(self, username: str) -> int:
        if username != "bob":
            raise NotFound(f"no user named {username!r}")
        return 5

    async def make(self, username: str, fields: Mapping[str, object], by: Any) -> Mapping[str, object]:
        self.note("make", username, dict(fields), by.id)
        return self.user

    async def change(self, id: int, fields: Mapping[str, object], by: Any) -> Mapping[str, object]:
        self.note("change", id, dict(fields), by.id)
        return self.user

    async def set_password(self, id: int, password: str | None, by: Any) -> str | None:
        self.note("password", id, password, by.id)
        return "made-for-you" if password is None else None

    async def logout(self, id: int, by: Any) -> int:
        self.shown(id)
        self.note("logout", id, by.id)
        return 2

    async def granted(self, account: int, units: int, *, note: str, ref: str | None, by: Any) -> dict[str, object]:
        self.note("granted", account, units, note, ref)
        return {"already_done": ref == "again"}

    corrected = granted

    async def entries(self, wanted: Any, **_: Any) -> Rows:
        return [ENTRY], 41, 7

    def plans(self) -> list[dict[str, object]]:
        return [{"id": 1, "name": "default"}, {"id": 2, "name": "pro"}]

    def self_of(self, account: int) -> dict[str, object]:
        return {"inviteCode": "CODE1234"}


class Ring:
    """ports.site.KeyRing of one key, bob's."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    async def page(self, account: int | None, **_: Any) -> Rows:
        return [{**KEY, "user": "5", "name": SCRIPT}], 1, None

    def shown(self, id: int, account: int | None) -> Mapping[str, object]:
        if id != 7:
            raise NotFound(f"no key {id}")
        return {**KEY, "user": "5"}

    async def change(self, id: int, account: int | None, fields: Mapping[str, object], by: Any) -> None:
        self.asked.append(("change", id, account, dict(fields), by.id))

    async def delete(self, id: int, account: int | None, by: Any) -> None:
        self.asked.append(("delete", id, account, by.id))


@pytest.fixture
def people() -> People:
    return People()


@pytest.fixture
def asking(people: People) -> Asking:
    asking = Asking()
    given_to(asking, users=people, credits=people, records=people, people=people, keys=Ring())
    return asking


@pytest.fixture
def operator(asking: Asking) -> Visitor:
    return Visitor(asking, OPERATOR)


@pytest.mark.parametrize("path", PATHS)
async def test_operators_alone_see_them_and_texts_are_only_text(asking: Asking, path: str) -> None:
    assert (await Visitor(asking, USER).get(path)).status == 403
    page = await Visitor(asking, OPERATOR).get(path)
    assert page.status == 200 and (path == "/admin/users/new" or is_safe(page)) and SCRIPT.encode() not in page.body


FORMS = ["new", "5/change", "5/credits", "5/enable", "5/disable", "5/password", "5/logout"]


@pytest.mark.parametrize("path", [*(f"/admin/users/{form}" for form in FORMS), "/admin/keys/7/delete"])
async def test_operators_alone_send_their_forms(asking: Asking, people: People, path: str) -> None:
    said = {"username": "eve", "amount": "5", "note": "n", "ref": "r"}
    assert (await Visitor(asking, USER).send(path, **said)).status == 403
    assert (await Visitor(asking, OPERATOR).send(path, proof="x", **said)).status == 403
    assert [what for what, *_ in people.asked if what != "page"] == []


async def test_the_list_shows_balances_and_is_searched(operator: Visitor, people: People) -> None:
    said = text(await operator.get("/admin/users?q=b&status=active"))
    assert "$9.50" in said and "1 account found" in said and "/register?invite=CODE1234" not in said
    assert people.asked == [("page", "b", "active")]
    assert gone_to(await operator.get("/admin/users?q=b&status=")) == "/admin/users?q=b"
    assert (await operator.get("/admin/users?status=x")).status == 400
    people.found = []
    assert "No account is like that." in text(await operator.get("/admin/users?q=x"))


async def test_an_account_is_made(operator: Visitor, people: People) -> None:
    form = {"username": "eve", "password": "secret", "credits": "2.5", "plan": "pro", "mode": "", "role": "admin"}
    assert gone_to(await operator.send("/admin/users/new", **form)) == "/admin/users/5?said=user_made"
    given = {"password": "secret", "credits": 5 * PICO_PER_USD // 2, "plan": "pro", "role": "admin"}
    assert people.asked == [("make", "eve", given, 2)]


async def test_a_password_that_is_made_is_shown_this_once(operator: Visitor, people: People) -> None:
    page = await operator.send("/admin/users/new", username="eve", password="")
    assert page.status == 200 and "made-for-you" in text(page) and page.headers["cache-control"] == "no-store"
    assert people.asked == [("make", "eve", {}, 2), ("password", 5, None, 2)]


@pytest.mark.parametrize(
    ("form", "error", "status"),
    [
        ({"username": ""}, None, 400),
        ({"username": "eve", "credits": "-1"}, None, 400),
        ({"username": "eve", "credits": SCRIPT}, None, 400),
        ({"username": "eve", "name": SCRIPT}, Conflict("it is taken", code="username_taken", param="username"), 409),
        ({"username": "eve", "email": "x"}, None, 400),
        ({"username": SCRIPT}, None, 400),
        ({"username": "eve", "password": "12345"}, None, 400),
    ],
)
async def test_what_is_wrong_with_a_new_one(
    operator: Visitor, people: People, form: dict[str, str], error: GateError | None, status: int
) -> None:
    people.refused = error
    page = await operator.send("/admin/users/new", **form)
    assert page.status == status and b'aria-invalid="true"' in page.body and SCRIPT.encode() not in page.body
    assert people.asked == []


async def test_all_that_is_wrong_is_told_at_once(operator: Visitor, people: People) -> None:
    typed = {"username": "a b", "password": "12345", "credits": "much", "email": "nobody", "role": "king"}
    page = await operator.send("/admin/users/new", **typed)
    assert page.status == 400 and people.asked == []
    assert wrong_fields(page) == ["username", "password", "credits", "email", "role"]
    page = await operator.send("/admin/users/5/credits", what="correct", amount="0", note="", ref="a b")
    assert page.status == 400 and people.asked == []
    assert wrong_fields(page) == ["amount", "note", "ref"]


async def test_one_account(operator: Visitor, people: People) -> None:
    said = text(await operator.get("/admin/users/5"))
    assert "$9.50" in said and "$1.00 1" in said and "gift:1" in said and "All 41 entries" in said
    people.user |= {"status": "disabled", "mode": "metered", "invited_by": "5", "role": "admin"}
    said = text(await operator.get("/admin/users/5"))
    assert "disabled operator," in said and "invited by bob" in said and "none needed" in said
    assert (await operator.get("/admin/users/6")).status == (await operator.get("/admin/users/x")).status == 404


USD = PICO_PER_USD


@pytest.mark.parametrize(
    ("form", "asked", "said"),
    [
        ({"what": "grant", "amount": "5", "note": "a gift"}, ("granted", 5, 5 * USD, "a gift", "r1"), "credits_given"),
        ({"what": "correct", "amount": "-0.5", "note": "n"}, ("granted", 5, -USD // 2, "n", "r1"), "credits_corrected"),
        ({"what": "grant", "amount": "5", "ref": "again"}, ("granted", 5, 5 * USD, "", "again"), "credits_before"),
    ],
)
async def test_credits(
    operator: Visitor, people: People, form: dict[str, str], asked: tuple[object, ...], said: str
) -> None:
    assert gone_to(await operator.send("/admin/users/5/credits", **({"ref": "r1"} | form))) == (
        f"/admin/users/5?said={said}"
    )
    assert people.asked == [asked]


@pytest.mark.parametrize(
    "form",
    [{"what": "grant", "amount": "-5"}, {"what": "grant", "amount": ""}, {"what": "correct", "amount": "5"},
     {"what": "correct", "amount": "0", "note": "n"}, {"what": "grant", "amount": SCRIPT},
     {"what": "grant", "amount": "5", "ref": SCRIPT}],
)  # fmt: skip
async def test_credits_that_are_refused_keep_what_was_typed(
    operator: Visitor, people: People, form: dict[str, str]
) -> None:
    page = await operator.send("/admin/users/5/credits", **({"ref": "my:ref"} | form))
    assert page.status == 400 and people.asked == [] and b'aria-invalid="true"' in page.body and is_safe(page)
    assert form.get("ref", "my:ref") in text(page) or b'value="my:ref"' in page.body or "ref" in form
    assert (await operator.send("/admin/users/6/credits", amount="5", ref="r")).status == 404


async def test_an_account_is_changed(operator: Visitor, people: People) -> None:
    form = {"name": "Bob", "email": "", "plan": "pro", "mode": "", "role": "user"}
    assert gone_to(await operator.send("/admin/users/5/change", **form)) == "/admin/users/5?said=user_changed"
    given = {"name": "Bob", "email": "", "plan": "pro", "mode": None, "role": "user"}
    assert people.asked == [("change", 5, given, 2)]
    people.refused = InvalidRequest("there is no such plan", param="plan")
    again = await operator.send("/admin/users/5/change", **form)
    assert again.status == 400 and "there is no such plan" in text(again) and b'value="Bob"' in again.body


@pytest.mark.parametrize(
    ("own", "chosen"), [("", "inherited: prepaid (plan default)"), ("metered", "metered: nothing, calls are counted")]
)
async def test_what_an_account_inherits_is_said(operator: Visitor, people: People, own: str, chosen: str) -> None:
    people.user |= {"own": own, "mode": own or "prepaid", "plan": "default"}
    body = (await operator.get("/admin/users/5")).body.decode()
    choices = body.split('<select id="f-mode"')[1].split("</select>")[0]
    assert f'<option value="{own}" selected>{chosen}</option>' in choices
    assert '<option value="">inherited: prepaid (plan default)</option>' in choices or not own
    new = text(await operator.get("/admin/users/new"))
    assert "Inherited: prepaid (plan default), metered (plan pro)." in new


async def test_an_account_is_switched(operator: Visitor, people: People) -> None:
    assert gone_to(await operator.send("/admin/users/5/disable")) == "/admin/users/5?said=user_disabled"
    assert gone_to(await operator.send("/admin/users/5/enable")) == "/admin/users/5?said=user_enabled"
    assert [fields for _, _, fields, _ in people.asked] == [{"status": "disabled"}, {"status": "active"}]
    people.refused = Conflict("bob is the last active operator", code="last_admin")
    refused = await operator.send("/admin/users/5/disable")
    assert refused.status == 409 and "the last active operator" in text(refused)


async def test_a_password_and_signing_out(operator: Visitor, people: People) -> None:
    sent = await operator.send("/admin/users/5/password", new_password=" spaces stay ")
    assert gone_to(sent) == "/admin/users/5?said=user_password"
    assert "made-for-you" in text(await operator.send("/admin/users/5/password", new_password=""))
    assert gone_to(await operator.send("/admin/users/5/logout")) == "/admin/users/5?said=user_logged_out"
    assert people.asked == [("password", 5, " spaces stay ", 2), ("password", 5, None, 2), ("logout", 5, 2)]
    people.refused = InvalidRequest("a password has 6 to 1024 bytes", param="newPassword")
    short = await operator.send("/admin/users/5/password", new_password="x")
    assert short.status == 400 and "6 to 1024 bytes" in text(short) and b'id="e-new_password"' in short.body


async def test_everybody_s_keys(asking: Asking, operator: Visitor) -> None:
    said = text(await operator.get("/admin/keys?user=5"))
    assert "Keys of bob" in said and "sk-ft_abcdef" in said
    for what in ("enable", "disable", "delete"):
        assert gone_to(await operator.send(f"/admin/keys/7/{what}")).startswith("/admin/keys?said=any_key_")
    assert asking.site.pages.desk.services.keys.asked == [  # type: ignore[attr-defined]
        ("change", 7, None, {"status": "active"}, 2), ("change", 7, None, {"status": "disabled"}, 2),
        ("delete", 7, None, 2),
    ]  # fmt: skip
    assert (await operator.send("/admin/keys/8/delete")).status == 404
