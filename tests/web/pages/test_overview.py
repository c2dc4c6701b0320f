"""The start page: its figures, its chart, what it says to who is new, and what operators see beside it."""

from typing import Any

import msgspec
import pytest

from ftgate.core.logged import Glance, Sums
from ftgate.core.money import PICO_PER_USD
from ftgate.web.pages.bars import HEIGHT, above, chart
from ftgate.web.pages.overview import runway
from tests.web.fakes import Asking
from tests.web.pages.given import given_to
from tests.web.pages.test_calls import CALL
from tests.web.pages.test_keys import KEY, Keys
from tests.web.pages.visiting import OPERATOR, SCRIPT, USER, Visitor, text


class People:
    """ports.site.People, as far as an account sees itself."""

    def __init__(self, *, metered: bool = False) -> None:
        self.metered = metered

    def self_of(self, account: int) -> dict[str, object]:
        return {"quota": None if self.metered else "100", "usedQuota": "50"}


def house(*, calls: int = 9, posted: int = 10 * PICO_PER_USD, metered: bool = False) -> tuple[Asking, Visitor]:
    asking = Asking()
    given_to(asking, keys=Keys(KEY), people=People(metered=metered))
    for account in (USER.id, OPERATOR.id):
        asking.accounts.units[account] = posted
        asking.journal.made[account] = calls
    return asking, Visitor(asking, USER)


def glanced(**fields: Any) -> Glance:
    """A dollar on the last day, two on the tenth before it."""
    days: list[dict[str, Sums]] = [{} for _ in range(30)]
    days[-1] = {"big": Sums(6, 1000, 500, PICO_PER_USD), "": Sums(2)}
    days[-11] = {"big": Sums(1, 10, 5, PICO_PER_USD), "small": Sums(1, 10, 5, PICO_PER_USD)}
    counted = {(7, "laptop", "ok"): 5, (7, "laptop", "refused"): 2, (8, "", "client_gone"): 1}
    failed = [msgspec.structs.replace(CALL, status="refused", error_code="key_quota_exceeded", http_status=402)]
    return Glance(**{  # type: ignore[arg-type]
        "days": days, "hours": [], "counted": counted, "failed": failed, "first_token_ms": [*range(100, 200)], **fields,
    })  # fmt: skip


async def test_what_is_left_and_what_was_spent() -> None:
    asking, bob = house()
    asking.accounts.holds[USER.id] = 3 * PICO_PER_USD
    asking.journal.glanced = glanced()
    words = text(await bob.get("/"))
    assert "Balance $10.00 $3.00 held Runway 49 days Spent today $1.00 7 days $1.00 30 days $3.00" in words
    assert "75 % of 8 calls in the last 7 days were answered. Credits last about 49 days." in words
    assert "Calls 8 Answered 75 % 2 failed First token, p50 149 ms First token, p95 194 ms" in words
    assert "big 6 1.5 k $1.00 none answered 2 0 $0.00" in words
    assert "laptop 7 2 8 1 0" in words, "a key without a name is called by its number"
    assert "The key's own spending limit was reached. key_quota_exceeded, 402" in words


async def test_nobody_is_sent_to_pay_where_nothing_can_be_paid() -> None:
    asking, bob = house()
    asking.journal.glanced = glanced()
    assert '<a class="button primary" href="/billing">Credits</a>' in (await bob.get("/")).body.decode()
    asking.payments.limits = (PICO_PER_USD, 100 * PICO_PER_USD)
    assert '<a class="button primary" href="/billing">Top up</a>' in (await bob.get("/")).body.decode()


async def test_the_month_shows_what_the_week_does_not() -> None:
    asking, bob = house()
    asking.journal.glanced = glanced()
    assert "small" not in text(await bob.get("/"))
    words = text(await bob.get("/?period=30d"))
    assert "Cost by day and model: $3.00 in all" in words and "small" in words


async def test_a_day_is_shown_by_hours() -> None:
    asking, bob = house()
    asking.journal.sums = {"big": Sums(1, 1, 1, 5 * PICO_PER_USD)}
    page = await bob.get("/?period=24h&tz=Asia/Kolkata")
    assert "Cost by hour and model: $5.00 in all" in text(page)
    assert page.body.count(b'class="touch"') == 24
    (_, month), (_, shown) = asking.journal.windows
    assert len(month.days) == 30 and len(shown.hours) == 24 and shown.hours[0].name.endswith("+05:30")


async def test_where_nothing_costs_anything_calls_are_drawn() -> None:
    asking, bob = house(metered=True)
    asking.journal.sums = {"free": Sums(4, 1, 1, 0)}
    words = text(await bob.get("/"))
    assert "Calls by day and model: 4 in all" in words
    assert "Balance" not in words and "Runway" not in words and "Top up" not in words


@pytest.mark.parametrize("query", ["period=1d", "tz=Nowhere/Land"])
async def test_what_cannot_be_shown(query: str) -> None:
    _, bob = house()
    assert (await bob.get(f"/?{query}")).status == 400


@pytest.mark.parametrize(
    ("posted", "words"),
    [(0, "There are no credits left"), (-5, "There are no credits left"), (1, "The credits last less than a day"),
     (PICO_PER_USD // 3, "The credits last about 2 days")],
)  # fmt: skip
async def test_few_credits_are_said(posted: int, words: str) -> None:
    asking, bob = house(posted=posted)
    asking.journal.glanced = glanced()
    assert words in text(await bob.get("/"))
    metered, who = house(posted=posted, metered=True)
    metered.journal.glanced = glanced()
    assert words not in text(await who.get("/"))


async def test_who_is_new_is_told_what_to_do() -> None:
    asking, bob = house(calls=0)
    words = text(await bob.get("/"))
    assert "One step to your first call" in words and asking.journal.windows == []
    given_to(asking, keys=Keys())
    page = await bob.get("/")
    assert 'class="button primary" href="/keys/new">Make a key' in page.body.decode()
    for path in ("/connect", "/playground"):
        assert f'href="{path}"' in page.body.decode()


@pytest.mark.parametrize("calls", [0, 9])
async def test_operators_see_the_channels_and_what_is_to_do(calls: int) -> None:
    asking, bob = house(calls=calls)
    asking.channels.more = {"provider": "demo", "state": "degraded"}
    words = text(await Visitor(asking, OPERATOR).get("/"))
    assert f"First steps {1 if calls else 0} of 4 done" in words and "lab in part" in words
    assert "First steps" not in text(await bob.get("/")) and "lab" not in text(await bob.get("/"))


async def test_what_stands_in_it_is_text() -> None:
    asking, bob = house()
    days: list[dict[str, Sums]] = [{} for _ in range(29)] + [{SCRIPT: Sums(1, 1, 1, 1)}]
    bad = msgspec.structs.replace(
        CALL, status="error", error_code=SCRIPT, model=SCRIPT, key_name=SCRIPT, http_status=400
    )
    asking.journal.glanced = glanced(days=days, failed=[bad], counted={(7, SCRIPT, "ok"): 1})
    body = (await bob.get("/")).body.decode()
    assert SCRIPT not in body and body.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 6
    asking.channels.more = {"provider": "demo", "state": "ok", "name": SCRIPT}
    assert SCRIPT not in (await Visitor(asking, OPERATOR).get("/")).body.decode()


def test_runway_is_what_the_week_would_cost_again() -> None:
    assert runway(70, 7) == 70 and runway(69, 70) == 6 and runway(-1, 7) == 0
    assert runway(5, 0) is None


def test_bars_stand_on_each_other_and_reach_as_high_as_their_sum() -> None:
    found = chart(
        ["a", "b"], [("one", "/1", [10, 30, 0]), ("two", "/2", [0, 0, 100]), ("none", "/3", [0, 0, 0])], money=False
    )
    assert found.ticks == [100, 50, 0] and found.total == 140 and found.others
    first, second, third = found.bars
    assert [(block.hue, block.y, block.height) for block in first.blocks] == [("hue-1", 900, 100), ("hue-2", 600, 300)]
    assert [(block.hue, block.y, block.height) for block in second.blocks] == [("hue-rest", 0, HEIGHT)]
    assert third.blocks == [] and first.x < second.x < third.x < found.width


@pytest.mark.parametrize(
    ("amount", "round"),
    [(0, 1), (1, 1), (2, 2), (3, 4), (5, 6), (9, 10), (10, 10), (11, 20), (21, 30), (99, 100), (501, 600)],
)
def test_the_height_of_a_chart_is_a_round_number(amount: int, round: int) -> None:
    assert above(amount) == round
