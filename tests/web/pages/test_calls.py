"""The pages of ended calls: what the list asks for and shows, what one call's page says of its money and its end."""

import html
from typing import Any

import msgspec
import pytest

from ftgate.core.logged import OPERATOR as OPERATOR_FIELDS
from ftgate.core.logged import ROW, Listed, Logged, Moved, Recorded, Totals, Wanted, shown
from ftgate.core.money import PICO_PER_USD
from ftgate.core.pricing import Multiplier, Price
from ftgate.core.receipt import earlier_text, multiplier_text, price_text
from ftgate.core.tries import Try, tries_text
from ftgate.core.usage import Usage
from ftgate.web.pages.reasons import CODES, reason
from tests.core.test_logged import ONE
from tests.web.fakes import Asking
from tests.web.pages.given import given_to
from tests.web.pages.test_keys import KEY, Keys
from tests.web.pages.test_users import People
from tests.web.pages.visiting import OPERATOR, SCRIPT, USER, Visitor, gone_to, is_safe, text

AT = 1_800_000_000_000_000
CALL = msgspec.structs.replace(
    ONE, request_id="req_1", account=3, created_at_us=AT, model="auto", served_model="big", status="ok",
    http_status=200, error_code="", prompt_tokens=1200, cached_tokens=200, completion_tokens=50, cost=1_200_000_000,
    latency_ms=2500, first_token_ms=700, attempts=1, key=7, key_name="laptop", channel="lab-1", estimated=0,
    stream=1, lost=0,
)  # fmt: skip
PRICE = Price(1_000_000, 2_000_000, 500_000, 0, 0)


def house(*rows: Logged, totals: Totals | None = None, total: int | None = None) -> tuple[Asking, Visitor, Visitor]:
    """A site with these calls; a user, and an operator."""
    asking = Asking()
    asking.journal.listed = Listed(list(rows), len(rows) if total is None else total, None, totals)
    given_to(asking, keys=Keys(KEY), users=(people := People()), credits=people)
    return asking, Visitor(asking, USER), Visitor(asking, OPERATOR)


def recorded(**fields: Any) -> Recorded:
    row = {name: fields.pop(name) for name in (*fields,) if name in Logged.__struct_fields__}
    said: dict[str, Any] = {
        "price": price_text(PRICE), "tries": "", "multiplier": "1/1", "route": "/v1/chat/completions", "hold": 5,
        "moved": (Moved("hold", PICO_PER_USD, AT + 3000), Moved("post", 1_200_000_000, AT + 2_501_000)),
        "client_dialect": "openai_chat",
    }  # fmt: skip
    return Recorded(msgspec.structs.replace(CALL, **row), **{**said, **fields})


# The list


async def test_the_list_says_of_each_call_what_it_was_and_came_to() -> None:
    failed = msgspec.structs.replace(
        CALL, request_id="req_2", model="x", served_model="", status="refused", http_status=402, attempts=0, cost=0,
        error_code="insufficient_credits",
    )  # fmt: skip
    guessed = msgspec.structs.replace(CALL, request_id="req_3", estimated=1, attempts=3)
    asking, bob, _ = house(CALL, failed, guessed, totals=Totals(3600, 600, 150, 2_600_000_000))
    page = await bob.get("/logs")
    words, body = text(page), page.body.decode()
    assert "3 calls, $0.0026 in all" in words
    assert "laptop auto → big 1 200 200 50 $0.00 12 700 ms 2.5 s ok" in words
    assert "refused " + CODES["insufficient_credits"][0] in words
    assert "≈ $0.00 12" in words and "3 attempts" in words
    assert "3 calls 3 600 600 150 $0.00 26" in words
    assert 'href="/logs/req_2"' in body and "lab-1" not in body
    assert asking.journal.asked == [(Wanted(account=3), {"skipped": 0, "size": 25, "after": None, "summed": True})]


async def test_where_all_cannot_be_summed_the_rows_shown_are() -> None:
    _, bob, _ = house(CALL, CALL, total=90_000)
    words = text(await bob.get("/logs?key=7"))
    assert "90 000 calls. " in words and "Of the 2 rows shown of 90 000 2 400 400 100 $0.00 24" in words


async def test_filters_are_the_address() -> None:
    asking, bob, root = house(CALL)
    page = await bob.get(
        "/logs?from=2026-11-01T10:00&to=2026-11-02&tz=Asia/Kolkata&model=big&key=7&status=failed&mode=byok"
        "&request_id=req_1&user=9&channel=c"
    )
    assert asking.journal.asked[0][0] == Wanted(
        account=3, key=7, model="big", mode="byok", failed=True, request_id="req_1",
        from_us=1_793_507_400_000_000, to_us=1_793_557_800_000_000,
    )  # fmt: skip
    body = html.unescape(page.body.decode())
    assert 'name="from" value="2026-11-01T10:00"' in body and 'name="tz" value="Asia/Kolkata"' in body
    assert '<option value="failed" selected>' in body and '<option value="7" selected>laptop' in body
    assert "/logs?from=2026-11-01T10%3A00&to=2026-11-02&model=big&key=7&status=failed&mode=byok&" in body
    assert "tz=Asia%2FKolkata&format=csv" in body
    assert 'aria-label="Without Model big"' in body
    await root.get("/admin/requests?user=5&channel=lab-1&status=502&tz=UTC")
    assert asking.journal.asked[1][0] == Wanted(account=5, channel="lab-1", http_status=502)
    await root.get("/admin/requests?user=bob")
    assert asking.journal.asked[2][0] == Wanted(account=5)


async def test_what_is_empty_in_an_address_goes() -> None:
    _, bob, _ = house(CALL)
    assert gone_to(await bob.get("/logs?from=&model=a%26b&key=&tz=UTC")) == "/logs?model=a%26b&tz=UTC"


async def test_the_list_as_a_file() -> None:
    asking, bob, root = house(CALL)
    asking.journal.pieces = [b"head\r\n", b"row\r\n"]
    answer = await bob.get("/logs?model=big&format=csv")
    assert answer.body == b"head\r\nrow\r\n" and 'filename="requests.csv"' in answer.headers["content-disposition"]
    assert asking.journal.asked == [(Wanted(account=3, model="big"), {"names": ROW})]
    assert (await bob.get("/logs?format=json")).json()["data"] == [shown(CALL)]
    assert (await root.get("/admin/requests?user=5&format=json")).json()["data"] == [shown(CALL, OPERATOR_FIELDS)]
    assert (await bob.get("/admin/requests?format=csv")).status == 403
    assert (await bob.get("/logs?format=xml")).status == 400


async def test_times_are_of_the_viewer_s_zone() -> None:
    asking, bob, _ = house(CALL)
    cookie = bob.cookie["cookie"]
    for zone, from_us in (("Asia/Kolkata", 1_793_507_400), ("Nowhere/Land", 1_793_527_200), ("../x", 1_793_527_200)):
        bob.cookie = {"cookie": f"{cookie}; tz={zone}"}
        page = await bob.get("/logs?from=2026-11-01T10:00")
        assert page.status == 200 and asking.journal.asked[-1][0].from_us == from_us * 10**6
        assert 'name="from" value="2026-11-01T10:00"' in page.body.decode()


@pytest.mark.parametrize(
    "query", ["from=yesterday", "key=x", "cursor=x", "tz=Nowhere/Land", "page=0", "to=99999-01-01", "page_size=0"]
)
async def test_a_filter_that_cannot_be_used_says_so_and_stays(query: str) -> None:
    asking, bob, _ = house(CALL)
    page = await bob.get(f"/logs?model=kept&{query}")
    assert page.status == 400 and asking.journal.asked == []
    assert 'role="alert"' in page.body.decode() and 'name="model" value="kept"' in page.body.decode()


async def test_an_empty_list_says_what_to_do() -> None:
    _, bob, root = house()
    assert 'href="/keys/new">Make a key' in (await bob.get("/logs")).body.decode()
    assert "Take a filter away" in text(await bob.get("/logs?model=x"))
    assert "No call yet" in text(await root.get("/admin/requests"))


async def test_a_page_behind_another() -> None:
    asking, bob, _ = house(CALL)
    asking.journal.listed = Listed([CALL], 70, (AT, 9), Totals(0, 0, 0, 0))
    body = html.unescape((await bob.get("/logs?model=big")).body.decode())
    following = body.split('rel="next" class="button" href="/logs?')[1].split('"')[0]
    assert following.startswith("model=big&cursor=")
    await bob.get(f"/logs?{following}")
    assert asking.journal.asked[1][1]["after"] == (AT, 9)


# One call


async def test_the_page_of_a_call_works_out_its_cost() -> None:
    asking, bob, _ = house()
    asking.journal.calls["req_1"] = recorded(reasoning_tokens=20)
    words = text(await bob.get("/logs/req_1"))
    assert "Prompt 1 000 × $1.00 $0.00 1" in words
    assert "Prompt, cached 200 × $0.50 $0.00 01" in words
    assert "Answer 50 × $2.00 $0.00 01" in words
    assert "Charged $0.00 12" in words and "factor" not in words
    assert "$1.00; $0.9988 of it came back" in words
    assert "50 20 of thinking" in words and "exact" in words
    for step in (
        "The call came for auto at /v1/chat/completions", "+3 ms Set aside $1.00", "Asked big: answered after 2.5 s",
        "+700 ms First token", "+2.5 s Settled $0.0012 charged",
    ):  # fmt: skip
        assert step in words
    assert 'curl http://x/v1/chat/completions \\ -H "Authorization: Bearer sk-ft_YOUR_KEY"' in words
    assert '"stream":true' in words and "lab-1" not in words


async def test_several_charged_attempts_a_factor_and_a_loss() -> None:
    asking, bob, root = house()
    tried = [Try("lab-1", "small", "timeout", 504, 900, "secret words"), Try("lab-2", "big", "ok", 200, 1500)]
    asking.journal.calls["req_1"] = recorded(
        earlier=earlier_text([(PRICE, Usage(100))]), multiplier=multiplier_text(Multiplier(3, 2)), attempts=2,
        tries=tries_text(tried), cost=1_850_000_000, lost=100_000_000, remark="its usage was refused",
        moved=(Moved("hold", 10**9, AT), Moved("post", 10**9, AT), Moved("overrun", 10**9, AT),
               Moved("loss", 10**8, AT)),
    )  # fmt: skip
    words = text(await bob.get("/logs/req_1"))
    assert "Charged attempt 1 Prompt 100 × $1.00 $0.00 01 The answer Prompt 1 000" in words
    assert "Sum $0.00 13 Times the plan's factor × 3 / 2" in words
    assert "It comes to $0.00 195 Past what was set aside, paid by nobody − $0.00 01 Charged $0.00 185" in words
    assert "Attempt 1 of 2: small did not answer in time (504) after 900 ms" in words
    assert "And past it $0.001 charged past what was set aside" in words
    for hidden in ("secret words", "lab-1", "lab-2", "usage was refused"):
        assert hidden not in words
    told = text(await root.get("/admin/requests/req_1"))
    assert "Attempt 1 of 2: small at lab-1 did not answer in time (504) after 900 ms secret words" in told
    assert "Noted: its usage was refused" in told and "laptop of user3" in told


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"status": "refused", "error_code": "key_quota_exceeded", "price": "", "attempts": 0, "cost": 0, "moved": ()},
         "The key's own spending limit was reached. Raise it"),
        ({"status": "client_gone", "http_status": 499}, "The caller left before the answer was whole."),
        ({"status": "error", "error_code": "odd", "http_status": 400},
         "The provider refused the request (400) and said “odd”."),
        ({"status": "error", "error_code": "odd", "http_status": 502}, "It failed with “odd”."),
        ({"status": "error", "error_code": "provider_error", "http_status": 400, "first_token_ms": None},
         "The provider refused the request (400). Change it: asked again, it is refused again."),
        ({"status": "operator"}, "The call ended stopped, HTTP 200"),
        ({"moved": ()}, "Paid by nobody: calls of the account are counted"),
        ({"status": "error", "error_code": "provider_error", "first_token_ms": None}, "Every provider that was tried"),
        ({"status": "error", "error_code": "provider_error", "http_status": 200, "first_token_ms": 9},
         "The provider's answer broke off. Try again. What came until then is paid."),
        ({"status": "error", "first_token_ms": 9, "tries": tries_text([Try("lab-1", "big", "error", 200, 148)])},
         "Asked big: broke off its answer after 148 ms"),
        ({"status": "error", "first_token_ms": None, "tries": tries_text([Try("lab-1", "big", "error", 200, 148)])},
         "Asked big: failed after 148 ms"),
        ({"status": "crashed", "http_status": 0}, "The gateway was killed while the call ran."),
        ({"status": "error", "price": "", "cost": 0}, "Nothing was charged: no answer came. $1.00 had been set aside"),
        ({"mode": "byok", "price": "", "cost": 0}, "Your own provider key paid; this gateway charged nothing."),
        ({"price": "nonsense"}, "How that came about was not written down."),
    ],
)  # fmt: skip
async def test_why_a_call_failed_and_what_it_came_to(fields: dict[str, Any], words: str) -> None:
    asking, bob, _ = house()
    asking.journal.calls["req_1"] = recorded(**fields)
    assert words in text(await bob.get("/logs/req_1"))


class Purse:
    """ports.Accounts and ports.site.People of an account that pays in this mode."""

    def __init__(self, mode: str = "prepaid", held: int = 0) -> None:
        self.mode, self.holds = mode, held

    async def posted(self, account: int) -> int:
        return 2 * PICO_PER_USD

    async def held(self, account: int) -> int:
        return self.holds

    async def byok_tokens(self, account: int, month: str) -> int:
        return 1500

    def self_of(self, account: int) -> dict[str, object]:
        return {"mode": self.mode}


@pytest.mark.parametrize(
    ("code", "purse", "key", "words"),
    [
        ("insufficient_credits", Purse(), KEY, "is not kept. Now $2.00 can be spent."),
        ("insufficient_credits", Purse(held=PICO_PER_USD // 2), KEY,
         "Now $1.50 can be spent (a balance of $2.00, of which calls that run hold $0.50)."),
        ("insufficient_credits", Purse("metered"), KEY, "Now the account is metered"),
        ("key_quota_exceeded", Purse(), KEY, "Now $3.745 of the key's $5.00 a month is left."),
        ("key_quota_exceeded", Purse(), {**KEY, "quota": "100"}, "Now $0.00 of the key's $1.00 a month is left."),
        ("key_quota_exceeded", Purse(), {**KEY, "quota": None}, "Now the key has no limit."),
        ("key_quota_exceeded", Purse(), {**KEY, "id": "9"}, "The key is deleted."),
        ("byok_limit_exceeded", Purse(), KEY, "Now 1\u202f500 of the"),
    ],
)  # fmt: skip
async def test_a_refused_call_says_what_is_left_now(code: str, purse: Purse, key: dict[str, Any], words: str) -> None:
    asking, bob, root = house()
    given_to(asking, accounts=purse, people=purse, keys=Keys(key))
    asking.journal.calls["req_1"] = recorded(status="refused", error_code=code, http_status=402, moved=(), price="")
    for page in (await bob.get("/logs/req_1"), await root.get("/admin/requests/req_1")):
        assert " ".join(words.split()) in text(page)
    asking.journal.calls["req_1"] = recorded(status="refused", error_code="invalid_json", http_status=400)
    assert "Now" not in text(await bob.get("/logs/req_1"))


def test_every_end_of_a_call_has_words() -> None:
    assert reason("ok", "", 200) == ("", "")
    for status in ("client_gone", "write_timeout", "shutdown", "operator", "timeout", "error", "refused", "crashed"):
        assert reason(status, "", 0)[0]
        assert reason(status, "", 0)[0].endswith((".", "reached."))


async def test_a_call_of_another_is_not_there() -> None:
    asking, bob, root = house()
    asking.journal.calls["req_1"] = recorded(account=4)
    assert (await bob.get("/logs/req_1")).status == 404
    assert (await bob.get("/logs/req_9")).status == 404
    assert (await root.get("/logs/req_1")).status == 404, "among one's own calls an operator sees only one's own"
    assert (await root.get("/admin/requests/req_1")).status == 200
    assert (await root.get("/admin/requests/req_9")).status == 404


async def test_all_calls_are_the_operator_s() -> None:
    asking, bob, _ = house(CALL)
    asking.journal.calls["req_1"] = recorded()
    for path in ("/admin/requests", "/admin/requests/req_1"):
        assert (await bob.get(path)).status == 403
    assert asking.journal.asked == []


async def test_a_key_that_was_deleted_is_no_link() -> None:
    asking, bob, _ = house()
    asking.journal.calls["req_1"] = recorded()
    assert 'href="/keys/7"' in (await bob.get("/logs/req_1")).body.decode()
    asking.journal.calls["req_1"] = recorded(key=8)
    page = await bob.get("/logs/req_1")
    assert "/keys/8" not in page.body.decode() and "laptop deleted" in text(page)


async def test_what_stands_in_calls_is_text() -> None:
    bad = {"model": SCRIPT, "served_model": SCRIPT, "key_name": SCRIPT, "error_code": SCRIPT, "channel": SCRIPT,
           "provider": SCRIPT, "status": "error", "http_status": 400}  # fmt: skip
    tried = [Try(SCRIPT, SCRIPT, SCRIPT, 500, 1, SCRIPT)]
    asking, bob, root = house(msgspec.structs.replace(CALL, **bad))
    asking.journal.calls["req_1"] = recorded(**bad, tries=tries_text(tried), remark=SCRIPT, route=SCRIPT)
    for visitor, path in (
        (bob, "/logs"),
        (bob, "/logs/req_1"),
        (root, "/admin/requests/req_1"),
        (root, "/admin/requests"),
    ):
        assert is_safe(await visitor.get(path))
    escaped = "%3Cscript%3Ealert(1)%3C/script%3E"
    for name in ("model", "status", "mode", "request_id", "from", "key", "tz", "cursor"):
        page = await bob.get(f"/logs?{name}={escaped}")
        assert SCRIPT not in page.body.decode() and page.status in (200, 400)
