"""The routes of the API that make no calls, asked by themselves."""

import json
import time
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from ftgate.core.moments import iso, month, next_month_us
from ftgate.core.money import PICO_PER_USD
from ftgate.core.pricing import Price
from ftgate.ports import Terms
from tests.fakes.ports import channel
from tests.fakes.ports import model as fake_model
from tests.web.fakes import KEY, Asking, OneLine


def named(name: str, **fields: Any) -> Any:
    return msgspec.structs.replace(channel(), name=name, **fields)


def ids(answer: Any) -> list[str]:
    return [row["id"] for row in answer.json()["data"]]


async def test_routes_that_need_a_key() -> None:
    asking = Asking()
    for path in ("/v1/models", "/v1/models/m", "/v1/user/balance", "/v1/billing/balance", "/v1/user/logs"):
        for secret in (None, b"sk-ft_wrong"):
            assert (await asking.ask(path, secret=secret)).status == 401
    assert (await asking.ask("/v1/models", x_api_key="sk-ft_other")).status == 400  # two keys that differ
    for path in ("/v1/pricing", "/healthz", "/readyz", "/", "/anthropic"):
        assert (await asking.ask(path, secret=None)).status == 200


async def test_the_models_of_a_key() -> None:
    (model,) = channel().models.values()
    first = named("first", provider="p1", priority=0, models={"a": model, "b": model})
    second = named("second", provider="p2", priority=-1, models={"b": model, "c": model})
    resting = named("resting", provider="p3", weight=0, priority=-9, models={"d": model})
    line = OneLine(channels=(first, second, resting), aliases={"old": "a"})
    asking = Asking(line)
    rows = (await asking.ask("/v1/models")).json()["data"]
    assert [(row["id"], row["owned_by"]) for row in rows] == [("b", "p2"), ("c", "p2"), ("a", "p1")]
    old = (await asking.ask("/v1/models/old")).json()
    assert (old["id"], old["owned_by"]) == ("old", "p1")  # by the name it was asked for
    line.key = msgspec.structs.replace(KEY, models=("c", "d"))
    assert ids(await asking.ask("/v1/models")) == ["c"]
    missing = await asking.ask("/v1/models/a")
    assert (missing.status, missing.json()["error"]["code"]) == (404, "model_not_found")
    assert ids(await asking.ask("/v1/pricing", secret=None)) == ["b", "c", "a"]  # of everybody's models
    asking = Asking(OneLine(channels=(first, second), terms=Terms(models=("a",))))
    assert ids(await asking.ask("/v1/models")) == ["a"]


async def test_the_prices_of_a_model() -> None:
    """USD a million tokens, exact; each class has its own."""
    price = Price(280_000, 420_000, 28_000, 300_000, 500_000)
    model = fake_model("m", price=price, context=131_072, max_output=8192, best_for="tests", tags=("cheap", "new"))
    asking = Asking(OneLine(channels=(named("first", provider="p1", models={"m": model}),)))
    answer = await asking.ask("/v1/pricing", secret=None)
    (row,) = json.loads(answer.body, parse_float=Decimal)["data"]
    assert row == {
        "id": "m", "provider": "p1", "input": Decimal("0.28"), "output": Decimal("0.42"), "cached": Decimal("0.028"),
        "context": 131_072, "max_output": 8192, "best_for": "tests", "tags": ["cheap", "new"],
    }  # fmt: skip


async def test_a_key_s_own_plan_says_how_much_byok_it_has() -> None:
    """Of one that is gone nothing is left, and nothing is served by it."""
    line = OneLine(key=msgspec.structs.replace(KEY, plan="gold"), terms=Terms(byok_tokens_per_month=12))
    gold = {**line.settings.plans, "gold": Terms(byok_tokens_per_month=7)}
    line.settings = msgspec.structs.replace(line.settings, plans=gold)
    assert (await Asking(line).ask("/v1/user/balance")).json()["byok_limit_month"] == 7
    line.key = msgspec.structs.replace(KEY, plan="gone")
    assert (await Asking(line).ask("/v1/user/balance")).json()["byok_limit_month"] == 0
    for path in ("/v1/models", "/v1/models/m", "/anthropic/v1/models"):
        answer = await Asking(line).ask(path)
        assert answer.status == 403 and b"is not configured here any more" in answer.body


async def test_balances() -> None:
    asking = Asking(posted=9 * PICO_PER_USD + 459_123_456_789)
    said = json.loads((await asking.ask("/user/balance")).body, parse_float=Decimal)
    assert (said["credits"], said["credits_cents"]) == (Decimal("9.459123456789"), 945)
    assert (said["byok_usage_month"], said["byok_limit_month"]) == (0, 5)
    billing = await asking.ask("/v1/billing/balance")
    assert billing.body == b'{"balance":9.459123456789}'


async def test_what_byok_calls_have_used_this_month() -> None:
    asking = Asking(posted=0)
    now_us = time.time_ns() // 1000
    asking.accounts.tokens = {(1, month(now_us)): 50_000, (1, "2001-01"): 3, (2, month(now_us)): 4}
    said = (await asking.ask("/v1/user/balance")).json()
    assert (said["byok_usage_month"], said["byok_limit_month"]) == (50_000, 5)
    assert said["reset_date"] == iso(next_month_us(now_us)).replace(".000Z", "Z")


KEPT = [
    ("GET", "/v1/responses/resp_1"), ("DELETE", "/v1/responses/resp_1"), ("GET", "/v1/responses/resp_1/input_items"),
    ("POST", "/v1/responses/resp_1/cancel"), ("GET", "/responses/resp_1/?include[]=x"),
    ("GET", "//v1//v1/responses/resp_1"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), KEPT)
async def test_no_response_is_kept(method: str, path: str) -> None:
    answer = await Asking().ask(path, method=method)
    said = answer.json()["error"]
    assert (answer.status, said["type"], said["code"]) == (404, "invalid_request_error", "not_found")
    assert said["message"] == "The response 'resp_1' is not here: this gateway keeps no responses"
    assert (await Asking().ask(path, method=method, secret=None)).status == 401


async def test_nothing_is_compacted() -> None:
    answer = await Asking().ask("/v1/responses/compact", method="POST", body=b"{}")
    assert (answer.status, answer.json()["error"]["code"]) == (404, "not_found")
    assert (await Asking().ask("/v1/responses/compact", method="POST", secret=None)).status == 401
    wrong = await Asking().ask("/v1/responses/resp_1", method="PUT")
    assert (wrong.status, wrong.headers["allow"]) == (405, "DELETE, GET, HEAD")


async def test_readiness() -> None:
    asking = Asking()
    assert (await asking.ask("/readyz")).json() == {"status": "ready"}
    asking.line.trouble = "disk full"
    answer = await asking.ask("/readyz")
    assert (answer.status, answer.json()) == (503, {"status": "not ready", "reason": "disk full"})
    assert (await asking.ask("/healthz")).status == 200
    assert (await asking.ask("/", method="HEAD")).status == 200
