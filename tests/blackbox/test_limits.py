"""Rate limits as a caller meets them: exact, per key, with the contract's message and headers."""

import http.client
import re
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.blackbox.harness import Account, House, channel, error

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


def burst(house: House, *calls: tuple[Account, str], **fields: object) -> list[httpx.Response]:
    """Answers to calls that all come at once: each on a connection that is open already, so that they are admitted
    within a moment however slow this machine is."""
    wires = [house.connect() for _ in calls]
    for wire, (account, model) in zip(wires, calls, strict=True):
        wire.send(house.request(account, model, **fields))
    answers = []
    for wire in wires:
        with wire, http.client.HTTPResponse(wire.socket) as answer:
            answer.begin()
            answers.append(httpx.Response(answer.status, headers=answer.getheaders(), content=answer.read()))
    return answers


def codes(answers: list[httpx.Response]) -> list[int]:
    return sorted(answer.status_code for answer in answers)


def test_the_sixth_in_a_second_is_refused(house: House) -> None:
    account = house.account()
    answers = burst(house, *[(account, "plain")] * 6)
    (refused,) = (answer for answer in answers if answer.status_code != 200)
    remaining = sorted(answer.headers["x-ratelimit-remaining-requests"] for answer in answers if answer is not refused)
    assert remaining == ["0", "1", "2", "3", "4"]
    assert {answer.headers["x-ratelimit-limit-requests"] for answer in answers} == {"5"}
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
    answers = burst(house, *[(account, "plain")] * 6, (other, "plain"))
    assert codes(answers[:6]) == [200] * 5 + [429] and answers[6].status_code == 200


def test_parallel_calls_are_counted_exactly(house: House) -> None:
    accounts = [house.account() for _ in range(3)]
    answers = burst(house, *[(account, "plain") for _ in range(10) for account in accounts])
    assert [codes(answers[number::3]) for number in range(3)] == [[200] * 5 + [429] * 5] * 3


def test_only_calls_count(house: House) -> None:
    account = house.account()
    for _ in range(20):
        house.get("/v1/models", account)
    assert [house.chat(account, stream=True).status_code for _ in range(5)] == [200] * 5


def test_calls_in_flight_of_one_model(house: House) -> None:
    accounts = [house.account() for _ in range(4)]
    assert codes(burst(house, *[(account, "busy") for account in accounts])) == [200, 200, 429, 429]
    assert house.chat(accounts[0], "busy").status_code == 200  # the places are free again


def test_calls_in_flight_of_one_account(house: House) -> None:
    account = house.account()
    keys = [account, house.another_key(account.name), house.another_key(account.name)]
    answers = burst(house, *[(key, "slow") for key in keys * 4], max_tokens=5)
    assert codes(answers) == [200] * 8 + [429] * 4


def test_tokens_that_were_not_used_are_given_back(house: House) -> None:
    account = house.account()
    # Each borrows its prompt's bound and 200: two do not fit at once, but what the first did not use is free again.
    assert [house.chat(account, "tokens", max_tokens=200).status_code for _ in range(3)] == [200] * 3
    error(house.chat(account, "tokens", max_tokens=249), 429, "rate_limit_exceeded")
