"""Provider keys that callers have checked: asked at the provider, kept as a fingerprint, and nowhere to be found."""

import sqlite3
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.blackbox.harness import Account, House, channel, error

KEY, OTHER = "sk-canary-register-7f3e91", "sk-canary-register-0b2d44"
CONFIG = (
    channel("lab", ["plain"])
    + '[provider.openai]\nbase_url = "FAKE/openai/v1"\n'  # GET models
    + '[provider.deepseek]\nbase_url = "FAKE/deepseek/v1"\n'  # GET ../user/balance, which the fake does not have
    + '[provider.zhipu]\nbase_url = "FAKE/zhipu/v1"\n'  # one token of its cheapest model
    + '[provider.moonshot]\nbase_url = "http://127.0.0.1:1/v1"\n'  # nobody there
)
MODEL = "glm-4.7-flash"


@pytest.fixture(scope="module", params=["", "httpx"])
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    place = tmp_path_factory.mktemp("provider_keys")
    with House(place, CONFIG, {"plain": {}, MODEL: {}}, canaries=[KEY, OTHER], way=request.param) as house:
        yield house


def register(house: House, account: Account, provider: str = "openai", key: str = KEY, **more: Any) -> httpx.Response:
    body = {"provider": provider, "api_key": key, **more}
    answer = house.http.post("/v1/user/byok/register", json=body, headers=account.headers)
    assert key not in answer.text + str(answer.headers)
    return answer


def kept(house: House, account: Account) -> list[dict[str, Any]]:
    return list(house.get("/v1/user/byok", account)["data"])


def test_a_good_key_is_kept_as_a_fingerprint(house: House) -> None:
    account, other = house.account(), house.account()
    made = register(house, account, name=" mine ").json()
    assert (made["provider"], made["name"], made["valid"]) == ("openai", "mine", True)
    assert len(made["fingerprint"]) == 16 and int(made["fingerprint"], 16) >= 0
    asked = house.fake.state()["requests"][-1]
    assert (asked["method"], asked["path"]) == ("GET", "/openai/v1/models")
    assert dict(asked["headers"])["authorization"] == f"Bearer {KEY}"
    again = register(house, account).json()  # the same one: the name stays
    assert {**again, "checked_at": ""} == {**made, "checked_at": ""} and again["checked_at"] >= made["checked_at"]
    theirs = register(house, other).json()
    assert theirs["fingerprint"] != made["fingerprint"] and theirs["id"] != made["id"]
    second = register(house, account, key=OTHER).json()
    assert [row["id"] for row in kept(house, account)] == [made["id"], second["id"]]
    assert kept(house, other) == [theirs]
    gone = house.http.delete(f"/v1/user/byok/{made['id']}", headers=other.headers)
    error(gone, 404, "not_found")
    done = house.http.delete(f"/v1/user/byok/{made['id']}", headers=account.headers)
    assert done.json() == {"id": made["id"], "deleted": True} and kept(house, account) == [second]
    for id in (made["id"], "0", "x", "01", "9" * 30):
        error(house.http.delete(f"/v1/user/byok/{id}", headers=account.headers), 404, "not_found")
    assert house.process.terminate() == 0
    house.start()
    assert kept(house, account) == [second]
    assert register(house, account, key=OTHER).json()["id"] == second["id"]  # the fingerprint outlives the process
    with sqlite3.connect(f"file:{house.data}/ftgate.sqlite3?mode=ro", uri=True) as there:
        rows = there.execute("SELECT action, target FROM audit WHERE action LIKE 'byok.%' ORDER BY id").fetchall()
    assert [action for action, _ in rows[-6:]] == ["byok.register"] * 4 + ["byok.delete", "byok.register"]
    assert [target for _, target in rows[-2:]] == [f"byok:{made['id']}", f"byok:{second['id']}"]


def test_a_model_is_asked_where_nothing_else_tells(house: House) -> None:
    account = house.account()
    house.fake.script(**{MODEL: {"content": ["OK"]}})
    assert register(house, account, "zhipu").json()["provider"] == "zhipu"
    seen = house.fake.requests(MODEL)[-1]
    assert seen["json"]["max_tokens"] == 1 and dict(seen["headers"])["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("script", "status", "code"),
    [
        ({"status": 401, "error_body": {"error": {"message": f"bad key {KEY}"}}}, 401, "invalid_provider_key"),
        ({"status": 403}, 401, "invalid_provider_key"),
        ({"status": 500}, 502, "provider_error"),
        ({"status": 429}, 502, "provider_error"),
        ({"status": 302, "location": f"http://127.0.0.1:1/?key={KEY}"}, 502, "provider_error"),
        ({"drop": "rst"}, 502, "provider_error"),
    ],
)
def test_what_is_not_known_to_be_good_is_not_kept(house: House, script: dict[str, Any], status: int, code: str) -> None:
    account = house.account()
    house.fake.script(**{MODEL: script})
    answer = register(house, account, "zhipu")
    said = answer.json()["error"]
    assert (answer.status_code, said["code"]) == (status, code) and kept(house, account) == []


def test_what_cannot_be_asked(house: House) -> None:
    account = house.account()
    asked = len(house.fake.state()["requests"])
    for fields, code, param in (
        ({"provider": "nobody"}, "invalid_value", "provider"),
        ({"provider": "openai-compatible"}, "invalid_value", "provider"),
        ({"provider": "demo"}, "invalid_value", "provider"),
        ({"provider": ""}, "invalid_value", "provider"),
        ({"provider": None}, "missing_field", "provider"),
        ({"api_key": "short"}, "invalid_value", "api_key"),
        ({"api_key": "k" * 513}, "invalid_value", "api_key"),
        ({"api_key": "sk-with space"}, "invalid_value", "api_key"),
        ({"name": "n" * 101}, "invalid_value", "name"),
    ):
        fresh = house.account()
        body = {"provider": "openai", "api_key": KEY, **fields}
        answer = house.http.post("/v1/user/byok/register", json=body, headers=fresh.headers)
        error(answer, 400, code, param)
    assert len(house.fake.state()["requests"]) == asked  # nobody was asked
    assert register(house, account, "deepseek").status_code == 502  # no such page there
    assert register(house, account, "moonshot").status_code == 502
    assert house.http.post("/v1/user/byok/register", json={}).status_code == 401


def test_only_so_many_a_minute(house: House) -> None:
    account, other = house.account(), house.account()
    wrong = [
        register(house, account, provider, key)
        for provider, key in (("nobody", KEY), ("zhipu", "sk-ft_one_of_ours")) * 6
    ]
    assert [answer.status_code for answer in wrong] == [400] * 12  # nothing was asked for these
    said = [register(house, account).status_code for _ in range(11)]
    assert said == [200] * 10 + [429]
    assert int(register(house, account).headers["retry-after"]) >= 1
    assert register(house, other).status_code == 200
