"""The page of models: what this account pays, exactly, and only for what it may use."""

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest

from ftgate.core.pricing import ONE, Hours, Multiplier, Price, Tier
from ftgate.core.routing import Model
from ftgate.ports import Terms
from tests.fakes.ports import channel
from tests.web.fakes import Answer, Asking, OneLine

EVIL = "<script>x()</script>"
MILLION = 10**6


def price(input: int, output: int, cached: int | None = None, **more: Any) -> Price:
    """In micro-dollars for a million tokens."""
    return Price(input, output, input if cached is None else cached, input, input, **more)


DEAR = price(10 * MILLION, 20 * MILLION, MILLION, tiers=(Tier(1000, 11 * MILLION, 22 * MILLION, 1, 1, 1),))
MODELS = {
    "dear": Model(
        "dear", "dear", DEAR, context=200_000, max_output=8192, best_for="Hard work", tags=("coding",),
        priced_from="a page (2026-11-29)",
    ),
    "cheap": Model("cheap", "cheap", price(MILLION, 3), context=10, tags=("fast", EVIL)),
    "vectors": Model("vectors", "vectors", price(500_000, 0), kind="embeddings"),
    f"odd/{EVIL}": Model(
        f"odd/{EVIL}", "odd", price(4 * MILLION, 4 * MILLION),
        hours=(Hours(((0, 1440),), (0, 1, 2, 3, 4, 5, 6), price(2 * MILLION, 2 * MILLION)),),
    ),
}  # fmt: skip


def asking(factor: Multiplier = ONE, models: tuple[str, ...] = ()) -> Asking:
    served = channel("lab", models=MODELS)
    line = OneLine(
        terms=Terms(multiplier=factor, models=models), channels=(served,),
        aliases={"old-dear": "dear", "older": "old-dear", "nowhere": "gone"},
    )  # fmt: skip
    return Asking(line)


async def get(path: str, site: Asking | None = None, role: str = "user") -> Answer:
    site = site or asking()
    return await site.ask(path, secret=None, accept="text/html", **site.signed_in(role))


async def names(query: str, site: Asking | None = None) -> list[str]:
    """The models of the list, as CSV, which says the same."""
    answer = await get(f"/prices?format=csv{query}", site)
    assert answer.status == 200
    return [line.partition(",")[0] for line in answer.body.decode().splitlines()[1:]]


async def test_the_list_says_what_each_is_for_and_what_it_costs() -> None:
    page = (await get("/prices")).body.decode()
    assert "4 models" in page
    assert "Hard work" in page
    assert ">$10.00<" in page
    assert ">$0.000003<" in page
    assert "<script>x" not in page
    assert "factor" not in page
    assert 'href="/prices/odd%2F%3Cscript%3Ex%28%29%3C%2Fscript%3E"' in page or "odd/%3Cscript%3E" in page


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("&q=", {"dear", "cheap", "vectors", f"odd/{EVIL}"}), ("&q=CODING", {"dear"}), ("&q=hard+coding", {"dear"}),
        ("&q=hard+fast", set()), ("&q=older", {"dear"}), ("&q=embed", {"vectors"}),
        ("&q=%3Cscript", {"cheap", f"odd/{EVIL}"}),
    ],
)  # fmt: skip
async def test_searching(query: str, found: set[str]) -> None:
    assert set(await names(query)) == found


@pytest.mark.parametrize(
    ("sort", "first", "last"),
    [
        ("name", "cheap", "vectors"), ("input", "vectors", "dear"), ("output", "vectors", "dear"),
        ("cached", "vectors", f"odd/{EVIL}"), ("context", "dear", "vectors"), ("cost&in=1&out=0", "vectors", "dear"),
    ],
)  # fmt: skip
async def test_sorting(sort: str, first: str, last: str) -> None:
    found = await names(f"&sort={sort}")
    assert (found[0], found[-1]) == (first, last)


async def cost(query: str, model: str, site: Asking) -> Decimal:
    rows = (await get(f"/prices?format=json&{query}", site)).json()["data"]
    return Decimal(next(row["cost"] for row in rows if row["id"] == model))


@pytest.mark.parametrize(
    ("model", "into", "out", "usd"),
    [
        ("dear", 1000, 10, "0.0102"), ("dear", 1001, 10, "0.011231"), ("cheap", 7, 1, "0.000007000003"),
        ("vectors", 2, 5, "0.000001"), (f"odd/{EVIL}", 1, 1, "0.000004"), ("dear", 0, 0, "0"),
    ],
)  # fmt: skip
async def test_what_a_call_costs_is_exact(model: str, into: int, out: int, usd: str) -> None:
    assert await cost(f"in={into}&out={out}", model, asking()) == Decimal(usd)
    factor = asking(Multiplier(3, 2))
    charged = (Decimal(usd) * Decimal("1.5")).quantize(Decimal("1e-12"), ROUND_HALF_UP)
    assert await cost(f"in={into}&out={out}", model, factor) == charged


async def test_the_plan_s_factor_is_in_every_price_and_is_told() -> None:
    page = (await get("/prices", asking(Multiplier(3, 2)))).body.decode()
    assert "factor × 1.5" in page
    assert ">$15.00<" in page
    assert ">≈ $0.00000433" not in page
    thirds = (await get("/prices", asking(Multiplier(1, 3)))).body.decode()
    assert "factor × 1/3" in thirds
    assert "≈ 3.33" in thirds


async def test_only_what_the_plan_allows_is_there() -> None:
    site = asking(models=("dear",))
    assert await names("", site) == ["dear"]
    assert (await get("/prices/cheap", site)).status == 404
    assert (await get("/prices/dear", site)).status == 200


async def test_a_model_s_page() -> None:
    page = (await get("/prices/dear")).body.decode()
    assert "prompts up to 1\u202f000 tokens" in page
    assert "prompts above 1\u202f000 tokens" in page
    assert "a page (2026-11-29)" in page
    assert "old-dear, older" in page
    assert "/admin/channels/lab" not in page
    assert "/admin/channels/lab" in (await get("/prices/dear", role="admin")).body.decode()
    odd = (await get(f"/prices/odd/{EVIL}")).body.decode()
    assert "00:00–24:00 UTC, every day" in odd
    assert "As the config of this server says" in odd
    assert "<script>x" not in odd
    assert (await get("/prices/older")).status == 200
    assert (await get("/prices/nowhere")).status == 404


@pytest.mark.parametrize("query", ["in=-1", "in=1.5", "in=x", "out=99999999999999", "sort=odd", "format=pdf"])
async def test_odd_questions(query: str) -> None:
    assert (await get(f"/prices?{query}")).status == 400


async def test_a_long_list_comes_a_hundred_at_a_time() -> None:
    many = {f"m{at:03}": Model(f"m{at:03}", "m", price(MILLION, MILLION)) for at in range(250)}
    site = Asking(OneLine(terms=Terms(), channels=(channel("lab", models=many),)))
    first, last, past = [
        (await get(path, site)).body.decode() for path in ("/prices", "/prices?page=3", "/prices?page=9")
    ]
    assert [first.count(f">m{at:03}<") for at in (0, 99, 100)] == [1, 1, 0]
    assert "1 to 100 of 250" in first and 'href="/prices?page=2"' in first and "Before" not in first
    assert [last.count(f">m{at:03}<") for at in (199, 200, 249)] == [0, 1, 1]
    assert "201 to 250 of 250" in last and 'href="/prices?page=2"' in last and ">Next<" not in last
    assert past.count(">m249<") == 1
    assert (await get("/prices?page=0", site)).status == 400
    assert len(await names("", site)) == 250
    found = (await get("/prices?q=m24", site)).body.decode()
    assert found.count('class="row"') == 10 and "of 250 models" in found and "Pages of this list" not in found


async def test_the_playground_offers_no_more_than_a_page_can_bear() -> None:
    many = {f"m{at:03}": Model(f"m{at:03}", "m", price(MILLION, MILLION)) for at in range(1000)}
    page = (
        await get("/playground", Asking(OneLine(terms=Terms(), channels=(channel("lab", models=many),))))
    ).body.decode()
    assert page.count('<option value="m') == 200 and 'list="models"' in page and len(page) < 40_000
