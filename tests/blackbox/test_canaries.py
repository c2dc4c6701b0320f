"""Secrets planted wherever one can come in; afterwards they stand in no answer, no log and no file."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.blackbox.harness import HELLO, PROVIDER_KEY, House, channel

BYOK = "sk-canary-byok-55e01b7d2f94"
WRONG = "sk-ft_canary-wrong-key-0a9b8c7d6e5f4a3b2c1d0e9f8a7b6c"
PASSWORD = "canary-pass-word-77c1"
UPSTREAM = "sk-canary-upstream-said-31aa90"
QUERY = "canary-in-the-query-8842"
HEADER = "canary-channel-header-6d2e"
CANARIES = [BYOK, WRONG, PASSWORD, UPSTREAM, QUERY, HEADER]

STATUSES = 400, 401, 402, 403, 404, 422, 429, 500, 503
SAID = f"Incorrect API key provided: {UPSTREAM}. You sent {PROVIDER_KEY} to https://user:{UPSTREAM}@api.example/v1?key={UPSTREAM}"
WORDS = {"message": SAID, "code": UPSTREAM, "type": UPSTREAM, "param": UPSTREAM}
SCRIPTS: dict[str, dict[str, Any]] = {
    "plain": {},
    **{f"says-{status}": {"status": status, "error_body": {"error": WORDS}} for status in STATUSES},
    "says-text": {"status": 500, "raw_body": SAID, "content_type": "text/plain"},
    "says-200": {"raw_body": f'{{"error": "{SAID}"}}'},
    "says-in-stream": {"error_event": {"error": {"message": SAID}}, "error_after": 0},
    "says-after-content": {"error_event": {"error": {"message": SAID}}, "error_after": 1},
    "header": {"headers": [["x-secret", UPSTREAM], ["set-cookie", f"s={UPSTREAM}"], ["x-findtoken-cost", "0"]]},
    "location": {"status": 302, "location": f"https://api.example/?key={UPSTREAM}"},
    "dropped": {"drop": "rst"},
    "garbled": {"raw_response": f"HTTP/1.1 200 OK\r\nBad {UPSTREAM} Header\r\n\r\n"},
    "slow": {"head_delay_s": 30},
}  # fmt: skip
CONFIG = f"""
[limits]
requests_per_second = 0
[retry]
attempts = 2
backoff = 0.01
[provider.deepseek]
base_url = "FAKE/deepseek/v1"
{channel("lab", [*SCRIPTS], headers={"X-Project": HEADER}, timeouts={"head": 0.3, "answer": 0.3})}
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("canaries"), CONFIG, SCRIPTS) as house:
        house.canaries += CANARIES
        yield house


def clean(house: House, answer: httpx.Response, *own: str) -> None:
    """None of the secrets stands in an answer, its headers included."""
    whole = f"{answer.headers} {answer.text}"
    for canary in [PROVIDER_KEY, *CANARIES, house.fake.url, *own]:
        assert canary not in whole, whole


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", SCRIPTS)
def test_whatever_the_upstream_says(house: House, model: str, stream: bool) -> None:
    account = house.account()
    clean(house, house.chat(account, model, stream=stream), account.key)
    house.check_secrets()


def test_keys_in_every_place_of_a_request(house: House) -> None:
    account = house.account()
    body: dict[str, Any] = {"model": "plain", "messages": HELLO}
    byok = {"provider": "deepseek", "api_key": BYOK}
    for extra, headers in (
        ({"provider_key": byok}, {}),
        ({"provider_key": BYOK}, {}),
        ({"provider_key": byok, "stream": True}, {}),
        ({}, {"X-FindToken-Provider-Key": f"deepseek:{BYOK}"}),
        ({}, {"Authorization": f"Bearer {WRONG}"}),
        ({}, {"Authorization": f"Basic {WRONG}"}),
        ({}, {"x-api-key": WRONG}),
        ({}, {"Cookie": f"session={WRONG}"}),
        ({"max_tokens": WRONG}, {}),
        ({"stream": WRONG}, {}),
        ({"messages": WRONG}, {}),
        ({"routing": WRONG}, {}),
    ):
        answer = house.http.post("/v1/chat/completions", json={**body, **extra}, headers={**account.headers, **headers})
        clean(house, answer, account.key)
    for body_bytes in (
        f'{{"model": "plain", "provider_key": "{BYOK}"'.encode(),
        f"{BYOK}".encode(),
        b"\xff" + BYOK.encode(),
    ):
        clean(house, house.http.post("/v1/chat/completions", content=body_bytes, headers=account.headers))
    house.check_secrets()


def test_a_byok_key_never_goes_to_a_channel_of_ours(house: House) -> None:
    account = house.account()
    before = len(house.fake.state()["requests"])
    for fields, headers in (
        ({"provider_key": {"provider": "openai-compatible", "api_key": BYOK}}, {}),
        ({"provider_key": {"provider": "demo", "api_key": BYOK}}, {}),
        ({}, {"X-FindToken-Provider-Key": f"ollama:{BYOK}"}),
        ({}, {"X-FindToken-Provider-Key": ""}),
    ):
        answer = house.chat(account, headers=headers, **fields)
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["param"] in ("provider_key.provider", "X-FindToken-Provider-Key")
    assert house.fake.state()["requests"][before:] == [] and house.balance(account) == 1
    answer = house.chat(account, provider_key={"provider": "deepseek", "api_key": BYOK})
    assert (answer.status_code, answer.headers["x-findtoken-mode"]) == (200, "byok")
    (seen,) = house.fake.state()["requests"][before:]
    assert (
        seen["path"] == "/deepseek/v1/chat/completions" and dict(seen["headers"])["authorization"] == f"Bearer {BYOK}"
    )
    assert "provider_key" not in seen["json"] and house.balance(account) == 1


def test_what_routes_or_bills_is_not_a_caller_s(house: House) -> None:
    """Fields by which other gateways are led elsewhere, or to other prices: they lead nowhere here."""
    account = house.account()
    plain = house.chat(account)
    for name in ("api_base", "base_url", "api_key", "custom_llm_provider", "endpoint", "proxy", "url"):
        before = len(house.fake.state()["requests"])
        answer = house.chat(account, **{name: f"http://127.0.0.1:1/{name}"})
        assert answer.status_code in (200, 400), answer.text
        assert answer.status_code == 400 or len(house.fake.state()["requests"]) == before + 1
    for name in ("input_cost_per_token", "output_cost_per_token", "price", "quota", "user_role", "multiplier", "cost"):
        answer = house.chat(account, **{name: 0})
        assert answer.status_code == 400 or answer.headers["x-findtoken-cost"] == plain.headers["x-findtoken-cost"]
    for name in ("x-portkey-custom-host", "x-api-base", "x-base-url", "host-override", "x-forwarded-host"):
        assert house.chat(account, headers={name: "127.0.0.1:1"}).status_code == 200
    assert dict(house.fake.requests("plain")[-1]["headers"])["authorization"] == f"Bearer {PROVIDER_KEY}"


def test_the_upstream_sees_its_own_key_only(house: House) -> None:
    account = house.account()
    odd = {
        "Connection": "keep-alive, authorization, x-project", "Keep-Alive": "timeout=9", "TE": "trailers",
        "Proxy-Authorization": "Basic eA==", "Proxy-Connection": "close", "Forwarded": "for=10.0.0.1",
        "X-Real-IP": "10.0.0.1", "X-Mine": "1", "Trailer": "x",
    }  # fmt: skip
    house.chat(account, headers={"Cookie": "session=1", "X-Forwarded-For": "10.0.0.1", **odd})
    seen = dict(house.fake.requests("plain")[-1]["headers"])
    assert seen["authorization"] == f"Bearer {PROVIDER_KEY}" and seen["x-project"] == HEADER
    assert account.key not in str(seen)
    passed = {"cookie", "x-forwarded-for", "x-api-key", "x-findtoken-provider-key", *map(str.lower, odd)}
    assert not (passed - {"connection"}) & seen.keys() and "authorization" not in seen.get("connection", "")


def test_an_upstream_s_headers_do_not_pass(house: House) -> None:
    answer = house.chat(house.account(), "header")
    assert "set-cookie" not in answer.headers and "x-secret" not in answer.headers
    assert answer.headers["x-findtoken-cost"] == "0.00001"


def test_addresses_with_keys_in_them(house: House) -> None:
    account = house.account()
    for path in (
        f"/v1/models?key={QUERY}",
        f"/nonesuch?api_key={QUERY}",
        f"/v1/user/logs?from={QUERY}",
        f"/v1/chat/completions?key={QUERY}",
    ):
        house.http.get(path, headers=account.headers)
    house.check_secrets()


def test_passwords(house: House) -> None:
    house.cli("users", "create", "keeper", "--password", "-", "--json", stdin=PASSWORD + "\n")
    house.cli("users", "create", "keeper", "--password", "-", "--json", stdin=PASSWORD + "\n", code=1)
    house.check_secrets()


def test_nothing_of_a_prompt_is_kept(house: House) -> None:
    house.canaries.append("canary-prompt-text")
    account = house.account()
    for model in ("plain", "says-400", "says-500", "nonesuch"):
        house.chat(account, model, messages=[{"role": "user", "content": "canary-prompt-text"}])
    house.http.post("/v1/chat/completions", content=b'{"canary-prompt-text": ', headers=account.headers)
    house.check_secrets()


def test_commands_show_no_secret(house: House) -> None:
    account = house.account()
    house.chat(account, "says-401")
    for arguments in (
        ["logs"],
        ["keys", "list"],
        ["users", "list"],
        ["channels", "list"],
        ["check"],
        ["models", "list"],
    ):
        out, err = (
            house.cli(*arguments)
            if arguments != ["check"]
            else house.cli("check", "--config", str(house.file), places=False)
        )
        for canary in [PROVIDER_KEY, account.key, *CANARIES]:
            assert canary not in out + err
