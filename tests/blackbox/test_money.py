"""Money as it is seen from outside: exact to the last unit, never free by mistake, never below zero."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ftgate.store.database import read_only
from tests.blackbox.harness import HELLO_COST, HELLO_PROMPT, Account, House, channel, error

DETAILS = {"prompt_tokens_details": {"cached_tokens": 600}}
USAGE = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
SCRIPTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "fine": {"usage": {"prompt_tokens": 7, "completion_tokens": 11}},
    "large": {"usage": {"prompt_tokens": 123_456, "completion_tokens": 7_891}},
    "cached-openai": {"usage": {**USAGE, **DETAILS}},
    "cached-deepseek": {"usage": {**USAGE, "prompt_cache_hit_tokens": 600, "prompt_cache_miss_tokens": 400}},
    "cached-moonshot": {"usage": {**USAGE, "cached_tokens": 600}},
    "cached-unpriced": {"usage": {**USAGE, **DETAILS}},
    "choice-usage": {"usage": USAGE, "usage_place": "choice_usage"},
    "final-choice": {"usage": USAGE, "usage_place": "final_choice"},
    "every-chunk": {"usage_place": "every_chunk"},
    "unasked": {"usage": USAGE, "usage_unasked": True},
    "per-request": {},
    "tiered": {"usage": {"prompt_tokens": 101, "completion_tokens": 10}},
    "tiered-below": {"usage": {"prompt_tokens": 100, "completion_tokens": 10}},
    "slow": {"head_delay_s": 1.5, "usage": {"prompt_tokens": 10, "completion_tokens": 1000}},
    "little": {"head_delay_s": 2.0, "usage": {"prompt_tokens": 10, "completion_tokens": 10}},
    "over": {"usage": {"prompt_tokens": 4, "completion_tokens": 5000}},
}
ODD: dict[str, Any] = {
    "missing": {"usage_place": "none"},
    "null": {"usage": None},
    "negative": {"usage": {"prompt_tokens": -5, "completion_tokens": -7, "total_tokens": -12}},
    "negative-output": {"usage": {"prompt_tokens": 5, "completion_tokens": -1_000_000}},
    "string": {"usage": {"prompt_tokens": "4", "completion_tokens": "3"}},
    "not-an-object": {"usage": "12"},
    "float": {"usage": {"prompt_tokens": 4.0, "completion_tokens": 3.5}},
    "bool": {"usage": {"prompt_tokens": True, "completion_tokens": True}},
    "huge": {"usage": {"prompt_tokens": 10**18, "completion_tokens": 10**18}},
    "huge-float": {"usage": {"prompt_tokens": 1e18, "completion_tokens": 1e18}},
    "zero": {"usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}},
    "zero-output": {"usage": {"prompt_tokens": 4, "completion_tokens": 0}},
    "cached-past-prompt": {
        "usage": {"prompt_tokens": 4, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 400}}
    },
}
FINE = {"input": Decimal("0.000001"), "output": Decimal("0.000003"), "cached": Decimal("0.000001")}
PRICES: dict[str, dict[str, object]] = {
    "fine": FINE,
    "cached-unpriced": {"cached": None},
    "per-request": {"per_request": Decimal("0.005")},
    "tiered": {"tiers": [{"above": 100, "input": 10, "output": 20}]},
    "tiered-below": {"tiers": [{"above": 100, "input": 10, "output": 20}]},
    "slow": {"output": 1000},
    "little": {"output": 1000},
}
CONFIG = f"""
[limits]
requests_per_second = 0
[database]
durability = "process"
[plan.default]
price_multiplier = 1.0
{channel("lab", {name: PRICES.get(name, {}) for name in [*SCRIPTS, *ODD]})}
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("money"), CONFIG, {**SCRIPTS, **ODD}) as house:
        yield house


def cost(house: House, account: Account, model: str, **fields: Any) -> Decimal:
    """Make one call; its cost, which header or comment, log, balance and key must agree on."""
    before = house.balance(account)
    answer = house.chat(account, model, **fields)
    assert answer.status_code == 200, answer.text
    row = house.row(account, answer.headers["x-request-id"])
    charged = Decimal(row["cost"])
    after = house.balance(account)
    assert before - after == charged > 0
    if fields.get("stream"):
        assert f": x-findtoken-cost={row['cost']} balance={after:f}\ndata: [DONE]\n\n".encode() in answer.content
    else:
        assert (answer.headers["x-findtoken-cost"], Decimal(answer.headers["x-findtoken-balance"])) == (
            row["cost"],
            after,
        )
    return charged


STREAMED = pytest.mark.parametrize("stream", [False, True])


@STREAMED
@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("plain", "0.00001"),
        ("fine", "0.00000000004"),  # 7 x 0.000001 + 11 x 0.000003 millionths
        ("large", "0.139238"),
        ("cached-openai", "0.00066"),  # 400 full, 600 at a tenth, 100 output
        ("cached-deepseek", "0.00066"),
        ("cached-moonshot", "0.00066"),
        ("cached-unpriced", "0.0012"),  # no cached price: the input price
        ("choice-usage", "0.0012"),
        ("final-choice", "0.0012"),
        ("every-chunk", "0.00001"),
        ("unasked", "0.0012"),
        ("per-request", "0.00501"),
        ("tiered", "0.00121"),
        ("tiered-below", "0.00012"),
    ],
)
def test_exact_prices(house: House, model: str, expected: str, stream: bool) -> None:
    account = house.account("2")
    assert cost(house, account, model, stream=stream) == Decimal(expected)
    assert house.row(account)["estimated"] is False


def test_the_balance_follows_every_call(house: House) -> None:
    account = house.account("0.0123456789")
    for number in range(1, 11):
        cost(house, account, "plain", stream=bool(number % 2))
        assert house.balance(account) == Decimal("0.0123456789") - number * HELLO_COST


def test_cached_tokens_are_in_the_log(house: House) -> None:
    account = house.account()
    cost(house, account, "cached-openai")
    row = house.row(account)
    assert (row["prompt_tokens"], row["cached_tokens"], row["completion_tokens"]) == (1000, 600, 100)


@STREAMED
@pytest.mark.parametrize("model", ODD)
def test_usage_that_cannot_be_believed_is_estimated(house: House, model: str, stream: bool) -> None:
    account = house.account()
    charged = cost(house, account, model, stream=stream)
    row = house.row(account)
    assert row["estimated"] is True
    # "Hello" and "Hello, world": the meter's count is to be within a factor of two of 4-9 and 3 tokens.
    assert 4 <= row["prompt_tokens"] <= 18 and 2 <= row["completion_tokens"] <= 6
    assert charged == row["prompt_tokens"] * Decimal("0.000001") + row["completion_tokens"] * Decimal("0.000002")


def test_more_output_than_was_allowed_is_not_believed(house: House) -> None:
    account = house.account()
    cost(house, account, "over", max_tokens=100)
    row = house.row(account)
    assert row["estimated"] is True and row["completion_tokens"] <= 6
    assert cost(house, account, "over", max_tokens=5000) == Decimal("0.010004")


def test_the_cap_that_binds(house: House) -> None:
    """A call without max_tokens gets the cap that half the balance affords; metered calls get none."""
    assert house.chat(house.account("0.01")).status_code == 200
    sent = house.fake.requests("plain")[-1]["json"]
    assert 2000 < sent["max_tokens"] < 2500
    assert house.chat(house.account("0", metered=True)).status_code == 200
    assert "max_tokens" not in house.fake.requests("plain")[-1]["json"]
    assert house.chat(house.account("0.01"), max_completion_tokens=77).status_code == 200
    sent = house.fake.requests("plain")[-1]["json"]
    assert sent["max_tokens"] == 77 and "max_completion_tokens" not in sent  # the one field that this model obeys


def test_metered_accounts_are_never_blocked(house: House) -> None:
    account = house.account("0", metered=True)
    answers = [house.chat(account, max_tokens=8000) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert answers and all("x-findtoken-balance" not in answer.headers for answer in answers)
    user = house.user(account)
    assert (user["mode"], user["balance"], Decimal(user["used"])) == ("metered", "0.00", 3 * HELLO_COST)


def test_a_cent_more_is_granted_and_used(house: House) -> None:
    account = house.account("0")
    error(house.chat(account), 402, "insufficient_credits")
    assert house.cli("credit", "grant", account.name, "0.01", "--json")["balance"] == "0.01"
    assert house.chat(account).headers["x-findtoken-balance"] == "0.00999"


def test_a_hold_fits_to_the_last_unit(house: House) -> None:
    """What the 402 says is required is enough, and one unit less is not."""
    account = house.account("0")
    message = error(house.chat(account, max_tokens=333), 402, "insufficient_credits")
    required = Decimal(message.rpartition("$")[2])
    house.cli("credit", "grant", account.name, f"{required - Decimal('0.000000000001'):f}", "--json")
    error(house.chat(account, max_tokens=333), 402, "insufficient_credits")
    house.cli("credit", "grant", account.name, "0.000000000001", "--json")
    assert house.chat(account, max_tokens=333).headers["x-findtoken-balance"] == f"{required - HELLO_COST:f}"


def test_what_is_held_is_not_available(house: House) -> None:
    account = house.account("1.5")
    with house.raw(account, "slow", max_tokens=1000) as wire:
        house.wait_for(lambda: Decimal(house.user(account)["held"]) >= 1, "nothing is held")
        assert house.balance(account) == Decimal("1.5")  # the wire's balance is what is posted
        message = error(house.chat(account, "slow", max_tokens=1000), 402, "insufficient_credits")
        assert message.startswith("Insufficient credits. Balance: $0.49")
        wire.until(b'"completion_tokens":1000')
    assert house.balance(account) == Decimal("1.5") - Decimal("1.00001")


def test_an_image_is_not_held_by_its_bytes(house: House) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 1_000_000}}
    answer = house.chat(house.account("0.01"), messages=[{"role": "user", "content": [image]}], max_tokens=100)
    assert answer.status_code == 200, answer.text


def test_a_plan_s_multiplier_is_applied_once_and_rounded_half_up(tmp_path: Path) -> None:
    config = '[plan.default]\nprice_multiplier = 1.15\nmode = "prepaid"\n' + channel("lab", {"odd": FINE})
    with House(tmp_path, config, {"odd": {"usage": {"prompt_tokens": 1, "completion_tokens": 3}}}) as house:
        # 10 units x 1.15 = 11.5, which is 12 units.
        assert cost(house, house.account(), "odd") == Decimal("0.000000000012")
        assert cost(house, house.account(), "odd", stream=True) == Decimal("0.000000000012")
        with closing(read_only(house.source)) as connection:
            rows = connection.execute(
                "SELECT route, client_dialect, channel_dialect, multiplier, cost, earlier FROM requests"
            ).fetchall()
            assert rows == [("/v1/chat/completions", "openai_chat", "openai_chat", "23/20", 12, "")] * 2
        assert house.verified()["recomputed"] == 2


# ---- many at once ----


def race(house: House, requests: list[bytes]) -> list[bytes]:
    """Send all requests at the same moment, each on a connection of its own; the answers, read to their end."""
    wires = [house.connect() for _ in requests]
    answers: list[bytes] = [b""] * len(wires)
    start = threading.Barrier(8)

    def work(mine: range) -> None:
        start.wait()
        for index in mine:
            wires[index].send(requests[index])
        for index in mine:
            wires[index].socket.settimeout(20)
            head = wires[index].until(b"\r\n\r\n")
            mark = (
                b'"param"' if status(head) != 200 else b"[DONE]" if b"event-stream" in head else b'"completion_tokens"'
            )
            answers[index] = wires[index].until(mark)
            wires[index].close()

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(work, range(first, len(wires), 8)) for first in range(8)]:
            done.result()
    return answers


def status(answer: bytes) -> int:
    return int(answer[9:12])


@STREAMED
def test_200_calls_on_a_balance_for_ten(house: House, stream: bool) -> None:
    """A call with max_tokens = 1000 holds 1 USD for its output and next to nothing for its prompt. 10.5 afford ten."""
    account = house.account("10.5")
    lowest = [Decimal("10.5")]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            lowest.append(house.balance(account))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        answers = race(house, [house.request(account, "slow", max_tokens=1000, stream=stream)] * 200)
    finally:
        done.set()
        watcher.join()
    codes = [status(answer) for answer in answers]
    assert (codes.count(200), codes.count(402)) == (10, 190)
    house.wait_for(lambda: sum(row["status"] == "ok" for row in house.rows(account)) == 10, "not all are settled")
    each = Decimal("1.00001")
    assert house.balance(account) == Decimal("10.5") - 10 * each and min(lowest) >= 0
    rows = house.rows(account)  # the newest 100; the ten are there, since refused calls are recorded at once
    ok = house.rows(account, status="ok")
    assert len(ok) == 10 and {row["cost"] for row in ok} == {"1.00001"} and len(rows) == 100
    verified = house.cli("ledger", "verify", "--json")
    assert verified["ok"] and verified["open_holds"] == 0
    assert Decimal(house.user(account)["balance"]) + sum(Decimal(row["cost"]) for row in ok) == Decimal("10.5")


def test_a_key_s_quota_is_exact_in_parallel(house: House) -> None:
    """Quota for three held calls of max_tokens = 1000, which last until all have been asked for: never past the
    quota."""
    account = house.account("1000", quota="3.5")
    codes = [status(answer) for answer in race(house, [house.request(account, "little", max_tokens=1000)] * 100)]
    assert (codes.count(200), codes.count(402)) == (3, 97)
    assert house.balance(account) == 1000 - 3 * Decimal("0.01001")
    key = next(key for key in house.cli("keys", "list", "--json") if key["user"] == account.name)
    assert Decimal(key["used"]) == 3 * Decimal("0.01001")


def test_a_quota_is_used_up_to_the_end(house: House) -> None:
    account = house.account("1000", quota="2.2")
    codes = [house.chat(account, "slow", max_tokens=1000).status_code for _ in range(3)]
    assert codes == [200, 200, 402]


def test_grants_are_balance_plus_posted(house: House) -> None:
    """Over everything this file did: each prepaid account's grants are what it has left and what its calls cost."""
    account = house.account("3")
    house.cli("credit", "grant", account.name, "0.000000000001", "--json")
    with ThreadPoolExecutor(16) as pool:
        models = ["plain", "fine", "missing", "cached-openai", "nonesuch"] * 12
        list(pool.map(lambda model: house.chat(account, model, stream=model != "fine"), models))
    house.settle_down()
    spent = sum(Decimal(row["cost"]) for row in house.rows(account))
    assert house.balance(account) + spent == Decimal("3.000000000001")
    assert HELLO_PROMPT == 4
