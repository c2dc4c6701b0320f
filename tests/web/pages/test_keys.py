"""The pages of API keys: what they show, what their forms make of what was typed, and what they refuse."""

import html
import re
from collections.abc import Mapping
from typing import Any

import pytest

from ftgate.core.moments import parse_time
from ftgate.core.money import PICO_PER_USD
from ftgate.errors import Forbidden, InvalidRequest, NotFound
from ftgate.ports.site import Rows
from ftgate.web.pages import keys as pages
from tests.web.fakes import Asking
from tests.web.pages.given import given_to
from tests.web.pages.visiting import SCRIPT, USER, Visitor, gone_to, is_safe, text, wrong_fields

KEY: dict[str, object] = {
    "id": "7", "keyPrefix": "sk-ft_abcdef", "name": "laptop", "status": "active", "planId": 1, "quota": "500",
    "usedQuota": "125.5", "quotaReset": "month", "resetAt": "2026-12-01T00:00:00.000Z", "models": ["m", "n", "o"],
    "allowedIps": ["10.0.0.0/8"], "expiresAt": None, "createdAt": "2026-11-01T10:00:00.000Z",
    "lastUsedAt": "2026-11-02T11:00:00.000Z",
}  # fmt: skip
SECRET = "sk-ft_the-whole-text-of-it"


class Keys:
    """ports.site.KeyRing of the keys `there`, all of the account 3. `asked` is what came; `refused` may be set."""

    def __init__(self, *there: Mapping[str, object]) -> None:
        self.there = list(there)
        self.asked: list[tuple[Any, ...]] = []
        self.refused: Exception | None = None

    async def page(self, account: int | None, *, status: str | None, **_: Any) -> Rows:
        found = [key for key in self.there if account == 3 and status in (None, key["status"])]
        return found, len(found), None

    def shown(self, id: int, account: int | None) -> Mapping[str, object]:
        found = [key for key in self.there if account == 3 and key["id"] == str(id)]
        if not found:
            raise NotFound(f"no API key with the id {str(id)!r}")
        return found[0]

    def _note(self, *what: Any) -> None:
        if self.refused is not None:
            raise self.refused
        self.asked.append(what)

    async def make(self, account: int, fields: Mapping[str, object], by: Any) -> tuple[Mapping[str, object], str]:
        self._note("make", account, dict(fields), by.via)
        return {**KEY, "id": "8", "name": fields["name"], "models": list(fields["models"])}, SECRET  # type: ignore[call-overload]

    async def change(self, id: int, account: int | None, fields: Mapping[str, object], by: Any) -> Mapping[str, object]:
        self.shown(id, account)
        self._note("change", id, account, dict(fields))
        return KEY

    async def delete(self, id: int, account: int | None, by: Any) -> None:
        self._note("delete", id, account)


class Plans:
    """ports.site.People, as far as its plans go."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def plans(self) -> list[dict[str, object]]:
        named = enumerate(self.names, 1)
        return [{"id": id, "name": name, "selectable": not name.startswith("secret")} for id, name in named]


def house(*there: Mapping[str, object], plans: tuple[str, ...] = ("default",)) -> tuple[Visitor, Keys]:
    ring = Keys(*there)
    asking = Asking()
    given_to(asking, keys=ring, people=Plans(*plans))
    return Visitor(asking, USER), ring


async def test_the_list_shows_each_key_with_its_limit() -> None:
    bob, _ = house(KEY, {**KEY, "id": "9", "name": "", "status": "expired", "quota": None, "models": []})
    page = await bob.get("/keys")
    words = text(page)
    assert page.status == 200 and "2 keys, 1 active" in words
    assert "laptop sk-ft_abcdef… active $1.25 5 $5.00 a month 25 % m, n and 1 more" in words
    assert "sk-ft_abcdef expired" not in words and "expired $1.25 5 no limit all" in words
    assert b'href="/keys/9"><strong>sk-ft_abcdef</strong>' in page.body, "a key without a name is called by its prefix"


async def test_the_list_by_status_and_when_there_is_none() -> None:
    bob, ring = house(KEY)
    assert "No key is disabled" in text(await bob.get("/keys?status=disabled"))
    assert (await bob.get("/keys?status=gone")).status == 400
    ring.there.clear()
    assert b'href="/keys/new">Make your first key' in (await bob.get("/keys")).body


async def test_the_list_as_a_file() -> None:
    bob, _ = house(KEY)
    assert (await bob.get("/keys?format=json")).json()["data"] == [KEY]
    lines = (await bob.get("/keys?format=csv")).body.decode().splitlines()
    assert lines[0].startswith("id,keyPrefix,name,") and lines[1].startswith("7,sk-ft_abcdef,laptop,active")
    columns = dict(zip(lines[0].split(","), lines[1].split(","), strict=False))
    assert (columns["quota_usd"], columns["used_quota_usd"]) == ("5.00", "1.255") and "quota" not in columns
    unlimited, _ = house({**KEY, "quota": None})
    assert ",,1.255," in (await unlimited.get("/keys?format=csv")).body.decode()


async def test_a_key_is_made_and_its_text_shown_once() -> None:
    bob, ring = house(KEY)
    assert (await bob.get("/keys/new")).status == 200
    made = await bob.send(
        "/keys/new", name=" new one ", quota="0.25", quota_reset="week", models=["m"], more_models="gpt-*, n",
        expiry="date", expires_on="2999-12-31", allowed_ips="10.0.0.0/8\r\n192.0.2.7",
    )  # fmt: skip
    assert made.status == 200 and made.headers["cache-control"] == "no-store"
    assert ring.asked == [
        (
            "make", 3,
            {
                "name": "new one", "quota": PICO_PER_USD // 4, "quota_reset": "week", "models": ("m", "gpt-*", "n"),
                "expires_at_us": parse_time("2999-12-31T23:59:59Z"), "allowed_ips": ("10.0.0.0/8", "192.0.2.7/32"),
            },
            "session",
        )
    ]  # fmt: skip
    words = text(made)
    assert "this is the only time it is shown" in words
    for line in ("OPENAI_BASE_URL=http://x/v1", f"OPENAI_API_KEY={SECRET}", "ANTHROPIC_BASE_URL=http://x/anthropic",
                 f"-H 'Authorization: Bearer {SECRET}'", '"model":"m"'):  # fmt: skip
        assert line in words
    for path in ("/keys", "/keys/7", "/keys/7/edit"):
        assert SECRET.encode() not in (await bob.get(path)).body


async def test_a_form_that_is_sent_again_makes_no_second_key() -> None:
    """As by loading its answer anew, or by a second click. One that was wrong was not made, and another form's is."""
    bob, ring = house()
    order = re.search(r'name="order" value="([^"]+)"', (await bob.get("/keys/new")).body.decode())
    assert order is not None
    assert (await bob.send("/keys/new", name="", order=order[1])).status == 400
    assert (await bob.send("/keys/new", name="x", order=order[1])).status == 200
    assert gone_to(await bob.send("/keys/new", name="x", order=order[1])) == "/keys?said=key_made_before"
    assert len(ring.asked) == 1
    for other in ("another", "", ""):
        assert (await bob.send("/keys/new", name="x", order=other)).status == 200
    assert len(ring.asked) == 4


async def test_a_name_is_enough() -> None:
    bob, ring = house()
    made = await bob.send("/keys/new", name="x", quota="", quota_reset="none", expiry="never", expires_on="")
    assert '"model":"auto"' in text(made)
    assert ring.asked[0][2] == {
        "name": "x", "quota": None, "quota_reset": "none", "models": (), "expires_at_us": None, "allowed_ips": ()
    }  # fmt: skip


async def test_expiry_in_days(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages.time, "time_ns", lambda: 5_000_000_000)
    bob, ring = house()
    await bob.send("/keys/new", name="x", expiry="30")
    assert ring.asked[0][2]["expires_at_us"] == 5_000_000 + 30 * pages.DAY_US


@pytest.mark.parametrize(
    ("typed", "field", "words"),
    [
        ({"name": ""}, "name", "missing"),
        ({"quota": "much"}, "quota", "plain digits"),
        ({"quota": "-1"}, "quota", "zero or more"),
        ({"quota": "2000000"}, "quota", "largest single amount"),
        ({"quota_reset": "year"}, "quota_reset", "one of"),
        ({"models": "m" * 300}, "models", "characters long"),
        ({"more_models": "m" * 300}, "models", "characters long"),
        ({"expiry": "sometime"}, "expiry", "Choose one"),
        ({"expiry": "never", "expires_on": "2999-12-31"}, "expiry", "A date is given beside"),
        ({"expiry": "30", "expires_on": "2999-12-31"}, "expiry", "A date is given beside"),
        ({"expiry": "date", "expires_on": ""}, "expires_on", "Which day"),
        ({"expiry": "date", "expires_on": "1999-01-01"}, "expires_on", "over"),
        ({"allowed_ips": "nowhere"}, "allowed_ips", "nowhere"),
    ],
)
async def test_what_is_wrong_stands_beside_its_field(typed: dict[str, str], field: str, words: str) -> None:
    bob, ring = house(KEY)
    for path in ("/keys/new", "/keys/7/edit"):
        page = await bob.send(path, **{"name": "kept", "quota": "1.5", "allowed_ips": "10.1.0.0/16", **typed})
        body = page.body.decode()
        assert page.status == 400 and ring.asked == []
        beside = body.split(f'id="e-{field}">')[1].split("</p>")[0]
        assert words in html.unescape(beside)
        if field != "name":
            assert 'value="kept"' in body
        if field != "allowed_ips":
            assert "10.1.0.0/16</textarea>" in body


@pytest.mark.parametrize("path", ["/keys/new", "/keys/7/edit"])
async def test_all_that_is_wrong_is_told_at_once(path: str) -> None:
    bob, ring = house(KEY)
    typed = {"name": "kept", "quota": "-1", "more_models": "m" * 300, "expiry": "date", "expires_on": "2030-02-30"}
    page = await bob.send(path, **typed, allowed_ips="nowhere", quota_reset="day")
    assert page.status == 400 and ring.asked == []
    assert wrong_fields(page) == ["quota", "models", "expires_on", "allowed_ips"]
    assert "4 fields need another look" in text(page)
    for kept in ('value="kept"', 'value="-1"', 'value="2030-02-30"', "nowhere</textarea>", 'value="day" selected'):
        assert kept in page.body.decode(), kept


async def test_what_the_keys_refuse_stands_in_the_form() -> None:
    bob, ring = house(KEY)
    ring.refused = InvalidRequest("an account has 1000 keys at the most: delete one first")
    page = await bob.send("/keys/new", name="x")
    assert page.status == 400 and "1000 keys at the most" in text(page)


async def test_plans_are_offered_where_there_are_several() -> None:
    bob, ring = house(KEY, plans=("default", "fast", "secret"))
    page = await bob.get("/keys/new")
    assert b'<option value="2">fast' in page.body and b"secret" not in page.body
    await bob.send("/keys/new", name="x", plan_id="2")
    await bob.send("/keys/7/edit", name="x", plan_id="", expiry="as_it_is")
    assert [asked[-2 if asked[0] == "make" else -1]["plan_id"] for asked in ring.asked] == [2, None]
    ring.refused = Forbidden("the plan 'fast' is not for keys of this account", code="plan_not_allowed", param="planId")
    refused = await bob.send("/keys/new", name="x", plan_id="2")
    assert refused.status == 403 and 'id="e-plan_id">the plan' in refused.body.decode()
    alone, _ = house(KEY)
    assert b"plan_id" not in (await alone.get("/keys/new")).body


async def test_a_key_is_changed_and_what_is_not_said_stays() -> None:
    bob, ring = house(KEY)
    form = (await bob.get("/keys/7/edit")).body.decode()
    assert 'value="laptop"' in form and 'value="5.00"' in form and 'value="n, o"' in form
    assert 'value="m" checked' in form, "of the models that there are a box is ticked"
    changed = await bob.send("/keys/7/edit", name="laptop", quota="", quota_reset="month", expiry="as_it_is")
    assert gone_to(changed) == "/keys/7?said=key_changed"
    assert ring.asked == [
        ("change", 7, 3, {"name": "laptop", "quota": None, "quota_reset": "month", "models": (), "allowed_ips": ()})
    ]


@pytest.mark.parametrize(("act", "status"), [("enable", "active"), ("disable", "disabled")])
async def test_a_key_is_switched(act: str, status: str) -> None:
    bob, ring = house(KEY)
    assert gone_to(await bob.send(f"/keys/7/{act}")) == f"/keys/7?said=key_{act}d"
    assert ring.asked == [("change", 7, 3, {"status": status})]


async def test_a_key_is_deleted_once_its_name_was_typed() -> None:
    bob, ring = house(KEY)
    for typed in ("", "Laptop"):
        page = await bob.send("/keys/7/delete", typed=typed, dialog="delete")
        assert page.status == 400 and "Write laptop to delete this key." in text(page) and ring.asked == []
        assert '<details class="sure" data-dialog="delete" open>' in page.body.decode()
    assert gone_to(await bob.send("/keys/7/delete", typed="laptop")) == "/keys?said=key_deleted"
    assert ring.asked == [("delete", 7, 3)]


@pytest.mark.parametrize("path", ["", "/edit", "/delete", "/enable", "/disable"])
@pytest.mark.parametrize("id", ["8", "07", "x"])
async def test_what_is_not_there_or_not_ones_own(path: str, id: str) -> None:
    bob, ring = house(KEY)
    if path in ("", "/edit"):
        assert (await bob.get(f"/keys/{id}{path}")).status == 404
    if path:
        assert (await bob.send(f"/keys/{id}{path}", name="x", typed="x")).status == 404
    assert ring.asked == []


async def test_nothing_is_done_without_proof_or_somebody() -> None:
    bob, ring = house(KEY)
    nobody = Visitor(bob.asking, None)
    for path in ("/keys/new", "/keys/7/edit", "/keys/7/disable", "/keys/7/delete"):
        assert (await bob.send(path, proof="none", name="x", typed="laptop")).status == 403
        assert gone_to(await nobody.send(path, name="x", typed="laptop")).startswith("/login")
    assert ring.asked == []


@pytest.mark.parametrize("path", ["/keys", "/keys/7", "/keys/7/edit"])
async def test_names_are_text(path: str) -> None:
    key = {**KEY, "name": SCRIPT, "models": [SCRIPT], "allowedIps": [SCRIPT]}
    bob, _ = house(key)
    assert is_safe(await bob.get(path))
    assert is_safe(await bob.send("/keys/new", name=SCRIPT, models=SCRIPT, quota="x"))
    assert is_safe(await bob.send("/keys/new", name=SCRIPT, models=SCRIPT))
