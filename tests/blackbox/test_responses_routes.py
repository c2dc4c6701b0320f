"""What stands around POST /v1/responses: its paths, errors, what is not kept here, and tokens that are counted, through
both doors."""

from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from tests.blackbox.harness import Account, House, channel, error

SCRIPTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "counts": {"raw_body": '{"object": "response.input_tokens", "input_tokens": 4242}'},
    "claude": {"raw_body": '{"input_tokens": 2424}'},
}
CONFIG = f"""
[limits]
requests_per_second = 0
{channel("chats", ["plain"])}
{channel("own", ["counts"], responses_base_url="FAKE/v1")}
{channel("claude", ["claude"], provider="anthropic-compatible")}
"""
COUNT = "/v1/responses/input_tokens"


@pytest.fixture(scope="module", params=["", "hypercorn"])
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("responses-routes"), CONFIG, SCRIPTS, way=request.param) as house:
        yield house


def ask(house: House, account: Account, path: str = "/v1/responses", **fields: Any) -> httpx.Response:
    body = {"model": "plain", "input": "Hello", **fields}
    return house.http.post(house.url + path, json=body, headers=account.headers)


PATHS = ["/v1/responses", "/responses", "/v1/responses/", "//v1//responses", "/v1/v1/responses", "/responses?beta=true"]


@pytest.mark.parametrize("path", PATHS)
def test_however_it_is_written(house: House, path: str) -> None:
    account = house.account()
    assert ask(house, account, path).json()["object"] == "response"
    counted = ask(house, account, path.partition("?")[0].rstrip("/") + "/input_tokens").json()
    assert counted["object"] == "response.input_tokens" and 1 <= counted["input_tokens"] < 20
    assert len(house.rows(account)) == 1


def test_by_an_estimate_or_by_the_upstream(house: House) -> None:
    """Also where it is asked in another dialect than the caller's."""
    account = house.account("0")
    more = {"instructions": "Be brief.", "store": False, "temperature": 1, "max_output_tokens": 50}
    for model, by, tokens in (("counts", "upstream", 4242), ("claude", "upstream", 2424), ("plain", "estimate", None)):
        answer = ask(house, account, COUNT, model=model, **more)
        assert (answer.status_code, answer.headers["x-findtoken-counted-by"]) == (200, by), answer.text
        assert tokens in (None, answer.json()["input_tokens"]) and answer.json().keys() == {"object", "input_tokens"}
    seen = house.fake.requests("counts")[-1]
    assert seen["path"] == COUNT
    assert seen["json"] == {"model": "counts", "input": "Hello", "instructions": "Be brief."}
    seen = house.fake.requests("claude")[-1]
    assert seen["path"] == "/v1/messages/count_tokens"
    assert seen["json"].keys() == {"model", "messages", "system"}
    assert house.rows(account) == []


@pytest.mark.parametrize("path", ["/v1/responses", COUNT])
def test_errors(house: House, path: str) -> None:
    account = house.account()
    error(ask(house, account, path, model="nonesuch"), 400, "model_not_found", "model")
    error(ask(house, account, path, model=None), 400, "missing_field", "model")
    kept = ask(house, account, path, previous_response_id="resp_1")
    error(kept, 400, "previous_response_not_found", "previous_response_id")
    error(house.http.post(path, json={"model": "plain", "input": "x"}), 401, "invalid_api_key")
    for method in ("GET", "DELETE", "PUT"):
        wrong = house.http.request(method, path, headers={**account.headers, "Upgrade": "websocket"})
        assert "POST" in wrong.headers["allow"]
        error(wrong, 405, "method_not_allowed")


def test_nothing_is_kept(house: House) -> None:
    account = house.account()
    for method, path in (
        ("GET", "/v1/responses/resp_1"), ("DELETE", "/responses/resp_1"), ("POST", "/v1/responses/resp_1/cancel"),
        ("GET", "/v1/responses/resp_1/input_items"), ("POST", "/v1/responses/compact"),
    ):  # fmt: skip
        answer = house.http.request(method, path, headers=account.headers)
        assert answer.status_code == 404 and answer.json()["error"]["code"] == "not_found"
        error(house.http.request(method, path), 401, "invalid_api_key")


def test_browsers(house: House) -> None:
    asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    for path in ("/v1/responses", COUNT):
        assert house.http.options(path, headers=asked).headers["access-control-allow-origin"] == "*"


def test_the_sdk(house: House) -> None:
    account = house.account()
    with openai.OpenAI(base_url=f"{house.url}/v1", api_key=account.key, max_retries=0) as client:
        assert client.responses.input_tokens.count(model="counts", input="Hello").input_tokens == 4242
        assert client.responses.input_tokens.count(model="plain", input="Hello").object == "response.input_tokens"
        assert client.responses.create(model="plain", input="Hello").output_text == "Hello, world"
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve("resp_1")
        with pytest.raises(openai.NotFoundError):
            client.responses.compact(model="plain", input="Hello")
