"""Calls with provider keys of their callers' own, from outside. `scripts/canary` makes many more of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.blackbox.bringing import (
    KEYS,
    LOOK,
    MARK,
    abort,
    asked,
    bring,
    cores_allowed,
    held,
    leave,
    leaves_cores,
    left_behind,
    opened,
)  # fmt: skip
from tests.blackbox.harness import House, error

BROUGHT = {"provider": "openai", "api_key": KEYS[0]}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with cores_allowed(), opened(tmp_path / "house") as house:
        house.canaries.append(MARK)
        house.start(LOOK)
        yield house


def test_the_calls_are_of_every_kind() -> None:
    kinds = {
        (path, body["model"].rstrip("-0123456789"), body.get("stream")) for path, body, _, _ in map(asked, range(1000))
    }
    assert len(kinds) > 110
    assert len({(path, bool(headers)) for path, _, headers, _ in map(asked, range(60))}) == 10


def test_no_trace_of_a_key_is_left_anywhere(house: House) -> None:
    account = house.account()
    answered = bring(house, account, 60)
    assert answered[200] > 10 and answered[401] > 5 and len(answered) > 4, answered
    leave(house, account)
    assert held(house) == "nothing"
    assert MARK not in str(house.cli("logs", "--json", "--limit", "100")) + str(house.rows(account))
    assert [*left_behind(house)] == []
    # and the search finds what is there
    (house.base / "tmp" / "found").write_text(KEYS[0])
    assert [*left_behind(house)] == ["found"]
    (house.base / "tmp" / "found").unlink()


def test_an_explanation_keeps_nothing_of_a_key_either(house: House) -> None:
    account = house.account()
    for key in KEYS:
        for headers, body in (
            ({}, {"provider_key": {"provider": "openai", "api_key": key}}),
            ({"X-FindToken-Provider-Key": f"openai:{key}"}, {}),
            ({"X-FindToken-Provider-Key": f"openai:{key}"}, {"routing": "unheard-of"}),
            ({"X-FindToken-Provider-Key": f"nobody:{key}"}, {}),
            ({}, {"provider_key": {"provider": "openai", "api_key": f"{key} "}}),
        ):
            said = {"model": "good", "messages": [{"role": "user", "content": "Hi"}], **body}
            answer = house.http.post("/v1/route/explain", json=said, headers={**account.headers, **headers})
            assert answer.status_code in (200, 400) and MARK not in answer.text
    assert held(house) == "nothing" and [*left_behind(house)] == []


def test_a_key_that_is_checked_leaves_nothing_either(house: House) -> None:
    asked = 0
    for key in KEYS:
        account = house.account()
        for provider in ("openai", "deepseek", "nobody"):  # taken, not known, no provider
            body = {"provider": provider, "api_key": key, "name": "mine"}
            answer = house.http.post("/v1/user/byok/register", json=body, headers=account.headers)
            asked += answer.status_code == 200
            assert answer.status_code in (200, 400, 502) and MARK not in answer.text + str(answer.headers)
        assert MARK not in house.http.get("/v1/user/byok", headers=account.headers).text
    assert asked >= 4
    assert held(house) == "nothing" and [*left_behind(house)] == []


def test_a_process_that_aborts_leaves_no_core_file_and_the_month_outlives_it(house: House, tmp_path: Path) -> None:
    if not leaves_cores(tmp_path / "control"):
        pytest.skip("no process leaves a core file here")
    account = house.account()
    for _ in range(3):
        assert house.chat(account, "good", provider_key=BROUGHT).status_code == 200
    used = house.get("/v1/user/balance", account)["byok_usage_month"]
    assert used == 3 * 7
    assert abort(house, account) == []
    house.start()
    assert house.get("/v1/user/balance", account)["byok_usage_month"] == used
    assert {(row["mode"], row["cost"]) for row in house.rows(account)} == {("byok", "0")}
    assert [row["status"] for row in house.rows(account)].count("crashed") == len(KEYS)


def test_the_upstream_s_refusal_of_a_key_is_the_caller_s(house: House) -> None:
    account = house.account()
    answer = house.chat(account, "says-401-0", provider_key=BROUGHT)
    message = error(answer, 401, "invalid_provider_key", "provider_key")
    assert message.startswith("openai refused the provider key: Incorrect API key provided")
    counted = house.http.post(
        "/v1/messages/count_tokens", headers=account.headers,
        json={"model": "good", "messages": [{"role": "user", "content": "Hi"}], "provider_key": BROUGHT},
    )  # fmt: skip
    assert counted.status_code == 200 and counted.json()["input_tokens"] > 0
