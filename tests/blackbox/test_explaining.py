"""`POST /v1/route/explain` and `ftgate route --explain`, from outside: the shape, and that the next call does what they
said."""

import json
import random
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.blackbox.harness import HELLO, Account, House, channel, error, exact

BROUGHT = "plumkey-of-the-caller-1"
DEAR, CHEAP, FAIR = {"input": 20, "output": 40}, {"input": 0.1, "output": 0.2}, {"input": 1, "output": 1}
CONFIG = f"""
[limits]
requests_per_second = 0
[retry]
backoff = 0.01
[provider.openai]
base_url = "FAKE/openai/v1"
[alias]
"other" = "cheap"
[fallback]
"dear" = ["fair", "nobodys"]
[auto]
simple = ["dear", "cheap"]
complex = ["dear"]
{channel("one", {"cheap": CHEAP, "dear": DEAR, "down": {}})}
{channel("two", {"cheap": {**CHEAP, "context": 300, "max_output": 200}, "fair": FAIR}, weight=3)}
{channel("three", {"dear": DEAR, "vectors": {"kind": "embeddings"}}, priority=2)}
{channel("off", {"cheap": CHEAP}, weight=0)}
{channel("spent", {"fair": FAIR}, monthly_cap=Decimal("0"), priority=-1)}
"""
SCRIPTS: dict[str, dict[str, Any]] = {"down": {"status": 503}}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("explaining"), CONFIG, SCRIPTS) as house:
        house.canaries.append(BROUGHT)
        yield house


def explain(house: House, account: Account, headers: dict[str, str] | None = None, **fields: Any) -> httpx.Response:
    return house.http.post("/v1/route/explain", json=fields, headers={**account.headers, **(headers or {})})


def test_its_shape_and_that_it_takes_nothing(house: House) -> None:
    account = house.account(credits="0.5")
    before = len(house.fake.state()["requests"])
    answer = explain(house, account, model="auto", messages=HELLO)
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/json"
    said = exact(answer)
    assert said.keys() == {"data", "left_out", "complexity", "complexity_why"} and said["complexity"] == "simple"
    told = [(one["model"], one["channel"]) for one in said["data"]]
    assert told[2:] == [("dear", "one"), ("dear", "three"), ("fair", "two")]
    assert sorted(told[:2]) == [("cheap", "one"), ("cheap", "two")]  # whose turn it is comes first
    for one in said["data"]:
        assert one.keys() == {"model", "channel", "provider", "score", "expected_cost", "why"}
        assert one["provider"] == "openai-compatible" and 0 <= one["score"] <= 1 and one["why"]
        assert 0 < one["expected_cost"] < Decimal("0.1")
    assert {(out["model"], out["channel"]): out["reason"] for out in said["left_out"]} == {
        ("cheap", "off"): "its channel has weight 0",
        ("fair", "spent"): "its channel is at its monthly_cap",
        ("nobodys", None): "no channel serves it",
    }
    assert len(house.fake.state()["requests"]) == before and house.rows(account) == []
    assert house.balance(account) == Decimal("0.5") and house.verified()["open_holds"] == 0


def test_a_balance_that_does_not_reach(house: House) -> None:
    poor, none = house.account(credits="0.005"), house.account(credits="0")
    said = explain(house, poor, model="auto", messages=HELLO).json()
    assert {one["model"] for one in said["data"]} == {"cheap", "fair"}
    reasons = {(out["model"], out["channel"]): out["reason"] for out in said["left_out"]}
    assert reasons["dear", "one"].endswith("at the least, and $0.005 is left")
    said = explain(house, poor, model="dear", messages=HELLO).json()  # a fallback does not stand in for it
    assert said["data"] == [] and house.chat(poor, "dear").status_code == 402
    said = explain(house, none, model="cheap", messages=HELLO).json()
    assert said["data"] == [] and house.chat(none, "cheap").status_code == 402


@pytest.mark.parametrize("form", ["body", "header"])
def test_with_a_provider_key(house: House, form: str) -> None:
    account = house.account(credits="0")
    brought: Any = {"provider_key": {"provider": "openai", "api_key": BROUGHT}} if form == "body" else {}
    headers = {"X-FindToken-Provider-Key": f"openai:{BROUGHT}"} if form == "header" else {}
    answer = explain(house, account, headers, model="gpt-of-mine", messages=HELLO, **brought)
    assert answer.status_code == 200 and BROUGHT not in answer.text
    (one,) = answer.json()["data"]
    assert (one["model"], one["provider"], one["expected_cost"]) == ("gpt-of-mine", "openai", 0)
    done = house.chat(account, "gpt-of-mine", headers=headers, **brought)
    assert (done.headers["x-findtoken-mode"], done.headers["x-findtoken-provider"]) == ("byok", "openai")


def test_what_is_refused(house: House) -> None:
    account = house.account()
    error(explain(house, account, model="unheard-of", messages=HELLO), 400, "model_not_found", "model")
    error(explain(house, account, model="cheap"), 400, "missing_field", "messages")
    error(explain(house, account, model="cheap", messages=HELLO, routing="x"), 400, "invalid_value", "routing")
    assert explain(house, account, model="cheap", messages=HELLO, models=["cheap"] * 1000).status_code == 200
    error(
        explain(house, account, model="cheap", messages=HELLO, models=[f"m{n}" for n in range(1000)]), 400,
        "invalid_value", "models",
    )  # fmt: skip
    error(house.http.post("/v1/route/explain", json={}), 401, "invalid_api_key")
    assert house.http.get("/v1/route/explain", headers=account.headers).status_code == 405


def test_the_next_call_does_what_was_said(house: House) -> None:
    """Whatever was asked before, whoever rests by now, and whosever turn it is; the command says the same."""
    dice, account, rests = random.Random(7), house.account(credits="0.05"), 0
    names = ["cheap", "dear", "fair", "other", "auto", "down"]
    for at in range(60):
        fields: dict[str, Any] = {"model": dice.choice(names), "messages": HELLO}
        if dice.random() < 0.5:
            fields["models"] = dice.choices(names, k=dice.randint(0, 3))
        if dice.random() < 0.7:
            fields["routing"] = dice.choice(["auto", "cheapest", "fastest", "fallback"])
        if dice.random() < 0.3:
            fields["messages"] = [{"role": "user", "content": "words and words " * 100}]
        said = explain(house, account, **fields).json()
        before = len(house.fake.state()["requests"])
        done = house.http.post("/v1/chat/completions", json=fields, headers=account.headers)
        asked = [seen["json"]["model"] for seen in house.fake.state()["requests"][before:]]
        about = fields, said, done.headers, done.text
        rests += any("rests" in out["reason"] for out in said["left_out"])
        if not said["data"]:
            assert not asked and done.status_code in (402, 503), about
            continue
        assert asked[0] == said["data"][0]["model"], about
        if asked[0] != "down":
            assert done.status_code == 200 and done.headers["x-findtoken-model"] == asked[0], about
        if at % 20 == 0:
            told = house.cli("route", "--explain", json.dumps(fields), "--json")
            assert told["complexity"] == said["complexity"]
    assert rests
