"""Rate limits as a caller meets them: exact, per key, with the contract's message and headers."""

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.blackbox.harness import House, channel, error

CONFIG = """
[limits]
requests_per_second = 5
[limits.account]
concurrent = 8
[limits.model."busy"]
concurrent = 2
[limits.model."tokens"]
tokens_per_minute = 250
""" + channel("lab", ["plain", "busy", "tokens", "slow"])


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    scripts = {"busy": {"head_delay_s": 0.5}, "slow": {"head_delay_s": 0.5}}
    with House(tmp_path_factory.mktemp("limits"), CONFIG, scripts) as house:
        yield house


def test_the_sixth_in_a_second_is_refused(house: House) -> None:
    account = house.account()
    first = time.monotonic()
    answers = [house.chat(account) for _ in range(5)]
    refused = house.chat(account)
    if time.monotonic() - first > 0.9:
        pytest.skip("this machine is too busy for six calls in a second")
    assert [answer.headers["x-ratelimit-remaining-requests"] for answer in answers] == ["4", "3", "2", "1", "0"]
    assert {answer.headers["x-ratelimit-limit-requests"] for answer in [*answers, refused]} == {"5"}
    message = error(refused, 429, "rate_limit_exceeded")
    said = re.fullmatch(r"Rate limit exceeded\. Try again in (\d+(?:\.\d+)?)s", message)
    assert said and 0 < float(said[1]) <= 1 and refused.headers["retry-after"] == "1"
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert float(refused.headers["x-ratelimit-reset-requests"].removesuffix("s")) <= 1
    time.sleep(max(float(said[1]), 0.05))
    assert house.chat(account).status_code == 200


def test_a_limit_is_one_key_s(house: House) -> None:
    account = house.account()
    other = house.another_key(account.name)
    for _ in range(5):
        house.chat(account)
    assert house.chat(other).status_code == 200


def test_parallel_calls_are_counted_exactly(house: House) -> None:
    accounts = [house.account() for _ in range(3)]
    with ThreadPoolExecutor(30) as pool:
        codes = [
            [call.result().status_code for call in calls]
            for calls in [[pool.submit(house.chat, account) for _ in range(10)] for account in accounts]
        ]
    assert [sorted(each) for each in codes] == [[200] * 5 + [429] * 5] * 3


def test_only_calls_count(house: House) -> None:
    account = house.account()
    for _ in range(20):
        house.get("/v1/models", account)
    assert [house.chat(account, stream=True).status_code for _ in range(5)] == [200] * 5


def test_calls_in_flight_of_one_model(house: House) -> None:
    accounts = [house.account() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda account: house.chat(account, "busy"), accounts))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 429, 429]
    assert house.chat(accounts[0], "busy").status_code == 200  # the places are free again


def test_calls_in_flight_of_one_account(house: House) -> None:
    account = house.account()
    keys = [account, house.another_key(account.name), house.another_key(account.name)]
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda key: house.chat(key, "slow", max_tokens=5), keys * 4))
    assert sorted(answer.status_code for answer in answers) == [200] * 8 + [429] * 4


def test_tokens_that_were_not_used_are_given_back(house: House) -> None:
    account = house.account()
    # Each borrows its prompt's bound and 200: two do not fit at once, but what the first did not use is free again.
    assert [house.chat(account, "tokens", max_tokens=200).status_code for _ in range(3)] == [200] * 3
    error(house.chat(account, "tokens", max_tokens=249), 429, "rate_limit_exceeded")
