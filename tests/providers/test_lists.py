"""Three public price lists, read; what is odd in them is told or left out."""

import json
from typing import Any

import pytest

from ftgate.core.money import parse_price, parse_usd
from ftgate.core.pricing import Tier
from ftgate.providers import catalogue, lists

FLASH = {
    "litellm_provider": "deepseek", "mode": "chat", "input_cost_per_token": 3e-07, "output_cost_per_token": 1.2e-06,
    "cache_read_input_token_cost": 6e-09, "cache_creation_input_token_cost": 0.0, "max_input_tokens": 1000000,
    "max_output_tokens": 393216,
    "off_peak_pricing": {
        "input_cost_per_token": 1.5e-07, "output_cost_per_token": 6e-07, "cache_read_input_token_cost": 3e-09,
        "windows": [
            {"hours_utc": ["00:00-01:00", "04:00-06:00", "10:00-00:00"], "weekdays": [1, 2, 3, 4, 5]},
            {"hours_utc": "00:00-00:00", "weekdays": [6, 7]},
        ],
    },
}  # fmt: skip


def litellm(**rows: Any) -> lists.Lists:
    return lists.read("litellm", json.dumps({"sample_spec": {"litellm_provider": "one of"}, **rows}))


def given(**row: Any) -> Any:
    plain = {"litellm_provider": "p", "input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06}
    return litellm(m={**plain, **row})["p"]["m"]


def models_dev(**model: Any) -> Any:
    row = {"id": "m", "cost": {"input": 1, "output": 2.5}, "limit": {"context": 1000, "output": 100}, **model}
    return lists.read("models.dev", json.dumps({"p": {"id": "p", "models": {"m": row}}}))["p"]["m"]


def openrouter(**row: Any) -> Any:
    plain = {"id": "a/b", "pricing": {"prompt": "0.000001", "completion": "0.0000025"}, "context_length": 1000}
    return lists.read("openrouter", json.dumps({"data": [{**plain, **row}]}))["openrouter"]["a/b"]


def test_litellm_is_what_the_catalogue_says_of_deepseek() -> None:
    """Prices, cache, limits and hours; the row under the provider's name wins over the bare one."""
    old = {**FLASH, "input_cost_per_token": 9e-07}
    read = litellm(**{"deepseek/deepseek-flash": FLASH, "deepseek-flash": old})["deepseek"]
    assert set(read) == {"deepseek-flash"}
    its = read["deepseek-flash"].given
    hours = catalogue.hours(
        ("00:00-01:00", "04:00-06:00", "10:00-24:00"), "mon-fri",
        {name: parse_price(price) for name, price in (("input", "0.15"), ("output", "0.6"), ("cached", "0.003"))},
    )  # fmt: skip
    assert its["hours"][0] == hours and its["hours"][1].days == (5, 6) and its["hours"][1].price == hours.price
    assert (its["input"], its["output"], its["cached"]) == tuple(map(parse_price, ("0.3", "1.2", "0.006")))
    assert "cache_write" not in its  # zero: nothing of its own
    assert (its["context"], its["max_output"]) == (1_000_000, 393_216)


def test_the_noise_of_binary_numbers_is_rounded_away() -> None:
    its = given(input_cost_per_token=2.0000000000000002e-07, output_cost_per_token=1.1428571428571428e-06).given
    assert (its["input"], its["output"]) == (parse_price("0.2"), parse_price("1.142857"))


def test_litellm_tiers_in_both_forms() -> None:
    above = given(
        input_cost_per_token_above_200k_tokens=2e-06, output_cost_per_token_above_200k_tokens=4e-06,
        cache_read_input_token_cost_above_200k_tokens=5e-07, input_cost_per_token_above_32k_tokens=1.5e-06,
        input_cost_per_token_above_128k_tokens_priority=9e-06,
    )  # fmt: skip
    assert above.given["tiers"] == (
        Tier(32_000, 1_500_000, 2_000_000, *[1_500_000] * 3),
        Tier(200_000, 2_000_000, 4_000_000, 500_000, *[2_000_000] * 2),
    )
    steps = [{"range": [0, 32000.0], "input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06},
             {"range": [32000.0, 128000.0], "input_cost_per_token": 3e-06, "output_cost_per_token": 4e-06}]  # fmt: skip
    step = litellm(m={"litellm_provider": "p", "tiered_pricing": steps})["p"]["m"].given
    assert (step["input"], step["output"]) == (1_000_000, 2_000_000)
    assert step["tiers"] == (Tier(32_000, 3_000_000, 4_000_000, *[3_000_000] * 3),)


def test_an_embeddings_model() -> None:
    its = given(mode="embedding", output_cost_per_token=0.0, output_vector_size=3)
    assert its.kind == "embeddings" and its.given["kind"] == "embeddings" and its.given["output"] == 0


def test_what_is_neither_is_no_model_here() -> None:
    assert set(litellm(m=FLASH, v={**FLASH, "mode": "video_generation"})["deepseek"]) == {"m"}


def test_models_dev() -> None:
    cost = {"input": 1, "output": 2.5, "cache_read": 0.1, "cache_write": 0, "reasoning": 9}
    its = models_dev(cost=cost).given
    assert its == {"input": 1_000_000, "output": 2_500_000, "cached": 100_000, "context": 1000, "max_output": 100}
    tier = {"tier": {"type": "context", "size": 32_000}, "input": 2, "output": 3, "cache_read": 1}
    assert models_dev(cost={**cost, "tiers": [tier]}).given["tiers"] == (
        Tier(32_000, 2_000_000, 3_000_000, 1_000_000, *[2_000_000] * 2),
    )
    old = models_dev(cost={**cost, "context_over_200k": {"input": 2, "output": 3}})
    assert old.given["tiers"][0].above == 200_000
    assert models_dev(id="text-embedding-x", cost={"input": 1, "output": 0}).kind == "embeddings"


THINKS = [
    (lambda: given(output_cost_per_reasoning_token=4e-06), True),
    (lambda: given(output_cost_per_reasoning_token=2e-06), False),
    (lambda: given(tiered_pricing=[
        {"range": [0, 9], "input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06},
        {"range": [9, 99], "input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06,
         "output_cost_per_reasoning_token": 3e-06}]), True),
    (lambda: models_dev(cost={"input": 1, "output": 2, "reasoning": 4}), True),
    (lambda: models_dev(cost={"input": 1, "output": 2, "reasoning": 2.0}), False),
    (lambda: openrouter(pricing={"prompt": "1e-6", "completion": "2e-6", "internal_reasoning": "4e-6"}), True),
    (lambda: openrouter(pricing={"prompt": "1e-6", "completion": "2e-6", "internal_reasoning": "0"}), False),
]  # fmt: skip


@pytest.mark.parametrize(("listed", "apart"), THINKS)
def test_thinking_with_a_price_of_its_own_is_known(listed: Any, apart: bool) -> None:
    assert listed().apart is apart and not listed().trouble


def test_openrouter() -> None:
    pricing = {"prompt": "0.000001", "completion": "0.0000025", "input_cache_read": "0.0000001", "request": "0.01",
               "input_cache_write": "0.00000125", "input_cache_write_1h": "0.000002", "discount": 0,
               "image": "0.001", "web_search": "0"}  # fmt: skip
    its = openrouter(pricing=pricing, top_provider={"max_completion_tokens": 5000}).given
    assert its == {"input": 1_000_000, "output": 2_500_000, "cached": 100_000, "cache_write": 1_250_000,
                   "cache_write_1h": 2_000_000, "per_request": parse_usd("0.01"),
                   "context": 1000, "max_output": 1000}  # fmt: skip
    assert "max_output" not in openrouter(top_provider=None).given


@pytest.mark.parametrize(("listed", "why"), [
    (lambda: openrouter(pricing={"prompt": "-1", "completion": "-1"}), "its price varies"),
    (lambda: openrouter(pricing={"prompt": "x", "completion": "1"}), "negative or no number"),
    (lambda: openrouter(pricing={"prompt": "0.1", "completion": "NaN"}), "negative or no number"),
    (lambda: openrouter(pricing={"prompt": "0", "completion": "0", "request": "-2"}), "negative or no number"),
    (lambda: openrouter(pricing={"prompt": "0.000001"}), "no price of input or output"),
    (lambda: openrouter(pricing={"prompt": "1e-6", "completion": "1e-6", "discount": 0.5}), "discounted"),
    (lambda: models_dev(cost={"input": True, "output": 1}), "is no number"),
    (lambda: models_dev(cost={"input": -0.5, "output": 1}), "negative or no number"),
    (lambda: models_dev(cost={"input": 1e9, "output": 1}), "more than $100,000"),
    (lambda: models_dev(cost={"input": 1, "output": 1, "tiers": [{"tier": {"type": "time"}}]}), "no bounds"),
    (lambda: models_dev(cost={"input": 1, "output": 1, "tiers": [1]}), "cannot be read"),
    (lambda: models_dev(limit=3), "cannot be read"),
    (lambda: given(input_cost_per_token=None), "no price of input or output"),
    (lambda: given(input_cost_per_token="free"), "negative or no number"),
    (lambda: given(input_cost_per_token=float("nan")), "negative or no number"),
    (lambda: given(input_cost_per_token=float("inf")), "negative or no number"),
    (lambda: given(input_cost_per_token=[1]), "is no number"),
    (lambda: given(tiered_pricing=[{"range": [0, 9]}, {"range": ["x", 9]}]), "no bounds"),
    (lambda: given(tiered_pricing=[{}, 3]), "cannot be read"),
    (lambda: given(off_peak_pricing={**FLASH["off_peak_pricing"], "weekday_timezone": "Asia/Shanghai"}), "time zone"),
    (lambda: given(off_peak_pricing={**FLASH["off_peak_pricing"], "windows": [{}]}), "cannot be read"),
    (lambda: given(off_peak_pricing={**FLASH["off_peak_pricing"], "windows": [{"hours_utc": "9-10"}]}), "no span"),
    (lambda: given(off_peak_pricing=FLASH["off_peak_pricing"], input_cost_per_token_above_9k_tokens=1e-06), "at once"),
])  # fmt: skip
def test_a_row_that_cannot_be_used_says_why(listed: Any, why: str) -> None:
    assert why in listed().trouble and not listed().given


GOOD = {
    "litellm": json.dumps({"m": FLASH}),
    "models.dev": json.dumps({"p": {"models": {"m": {"cost": {"input": 1, "output": 1}}}}}),
    "openrouter": json.dumps({"data": [{"id": "a/b", "pricing": {"prompt": "0", "completion": "0"}}]}),
}  # fmt: skip


@pytest.mark.parametrize("format", lists.FORMATS)
@pytest.mark.parametrize(("text", "why"), [
    ("", "it is no JSON"),
    ("{", "it is no JSON"),
    ("[" * 100_000, "it is no JSON"),
    ("<html>", "it is no JSON"),
    ("[]", "it is no list of"),
    ("3", "it is no list of"),
    ("{}", "it is no list of"),
    ('{"error": {"message": "no"}}', "it is no list of"),
])  # fmt: skip
def test_what_is_no_list(format: str, text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        lists.read(format, text)


@pytest.mark.parametrize("format", lists.FORMATS)
@pytest.mark.parametrize("other", lists.FORMATS)
def test_another_ones_list_is_known(format: str, other: str) -> None:
    if format == other:
        assert lists.read(format, GOOD[other])
    else:
        with pytest.raises(ValueError, match=f"it looks like {other}'s: choose that format \\(--from {other}"):
            lists.read(format, GOOD[other])


@pytest.mark.parametrize("name", ["", " ", "a\ud800b", "a\x7fb", "a\nb", "\x1b[31m", "n" * 201, " a"])
def test_a_name_that_is_none(name: str) -> None:
    """What no config and no terminal could take stops nothing else."""
    row = {"litellm_provider": "p", "input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06}
    found = litellm(**{f"p/{name}": row, "good": row})["p"]
    assert "its name" in found[name].trouble and not found["good"].trouble


def test_a_list_without_any_model() -> None:
    with pytest.raises(ValueError, match="no model of it has a price"):
        lists.read("openrouter", '{"data": []}')


def test_where_json_breaks_is_told() -> None:
    with pytest.raises(ValueError, match=r"it is no JSON \(line 3\)"):
        lists.read("litellm", '{\n"a": 1,\n"b" 2}')
