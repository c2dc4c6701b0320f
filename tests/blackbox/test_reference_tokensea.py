"""The examples of TokenSea's API reference, with only host and key changed. Where its page shows no path, it is the one
in CONTRACT.md."""

import base64
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import anthropic
import openai
import pytest

from tests.blackbox.harness import HELLO, Account, House, chunks, error, events
from tests.blackbox.reference import SAID, Service, completes, like, opened, serves, streams

CHAT = """curl https://api.tokensea.dev/v1/chat/completions \\
-H "Authorization: Bearer tsk-..." \\
-H "Content-Type: application/json" \\
-d '{
"model": "claude-sonnet-4-20250514",
"max_tokens": 1024,
"messages": [
{"role": "user", "content": "Hello!"}
]
}'
"""
RESPONSE = """{
"id": "chatcmpl-abc123",
"object": "chat.completion",
"model": "claude-sonnet-4-20250514",
"choices": [{
"index": 0,
"message": {
"role": "assistant",
"content": "Hello! How can I help you today?"
},
"finish_reason": "stop"
}],
"usage": {
"prompt_tokens": 12,
"completion_tokens": 8,
"total_tokens": 20
}
}"""
MESSAGES = """curl https://api.tokensea.dev/v1/messages \\
-H "x-api-key: tsk-..." \\
-H "Content-Type: application/json" \\
-H "anthropic-version: 2023-06-01" \\
-d '{
"model": "claude-sonnet-4-20250514",
"max_tokens": 1024,
"messages": [
{"role": "user", "content": "Hello!"}
]
}'
"""
LIST = """{
"object": "list",
"data": [
{ "id": "claude-sonnet-4-20250514", "object": "model", "owned_by": "tokensea" },
{ "id": "claude-opus-4-20250514", "object": "model", "owned_by": "tokensea" },
{ "id": "gpt-4.1", "object": "model", "owned_by": "tokensea" }
]
}"""
CREATED = """{
"apiKey": { "id": "...", "keyPrefix": "tsk-a1b2", "name": "My Key", "status": "active" },
"key": "tsk-a1b2c3d4e5f6..."
}"""
SELF = """{
"id": "1",
"username": "developer",
"email": "dev@example.com",
"role": "user",
"status": "active",
"quota": "100000",
"usedQuota": "2345",
"requestCount": "42",
"inviteCode": "A1B2C3D4"
}"""
STATS = """{
"totalRequests": 156,
"dailyBreakdown": [
{ "date": "2026-05-10", "requestCount": 28, "promptTokens": 12000, "completionTokens": 8000, "cost": "560" }
],
"modelBreakdown": [
{ "model": "claude-sonnet-4-20250514", "requestCount": 100, "promptTokens": 50000, "completionTokens": 30000,
"cost": "4200" }
]
}"""
CLAUDE = "claude-sonnet-4-6"
"""Who serves claude-sonnet-4-20250514 by now."""
PASSWORD = "secret"  # the shortest there may be
OPENAI_TOOL: Any = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
TOOL: Any = {"name": "weather", "input_schema": {"type": "object"}}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with opened(tmp_path_factory.mktemp("tokensea")) as service:
        yield service


@pytest.fixture(scope="module")
def house(service: Service) -> House:
    return service.house


@pytest.fixture
def account(house: House) -> Account:
    return house.account("100")


@pytest.fixture(scope="module")
def developer(service: Service) -> Account:
    """Who has signed up as on the page, with the token."""
    body = {"username": "developer", "password": PASSWORD, "email": "dev@example.com"}
    return Account("developer", service.said("POST", "/v1/auth/register", None, body)["token"])


def made(service: Service, developer: Account, **fields: Any) -> dict[str, Any]:
    """A new key of the developer's."""
    found: dict[str, Any] = service.said("POST", "/v1/tokens", developer, {"name": "My Key", **fields})
    service.house.canaries.append(found["key"])
    return found


# Chat Completions


def test_chat_completions(service: Service, account: Account) -> None:
    """Claude's own protocol lies behind it: an answer is written anew, with a time beside what the page shows."""
    usage = {"input_tokens": 12, "output_tokens": 8}
    service.house.fake.script(**{CLAUDE: {"content": ["Hello! How can I ", "help you today?"], "usage": usage}})
    answer = service.curl(CHAT, account)
    assert answer.status_code == 200, answer.text
    said, shown = answer.json(), json.loads(RESPONSE)
    like(said, shown)
    assert said["id"] and said["object"] == "chat.completion" and answer.headers["x-findtoken-model"] == CLAUDE
    (choice,) = said["choices"]
    assert (choice["index"], choice["finish_reason"]) == (0, "stop")
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["content"] == shown["choices"][0]["message"]["content"]
    assert {name: said["usage"][name] for name in shown["usage"]} == shown["usage"]


def test_chat_completions_over_openai_s_protocol(service: Service, account: Account) -> None:
    service.says("gpt-4.1", "Hello! How can I help you today?", 12, 8)
    renamed = CHAT.replace("claude-sonnet-4-20250514", "gpt-4.1")
    completes(service.curl(renamed, account), RESPONSE.replace("claude-sonnet-4-20250514", "gpt-4.1"), "gpt-4.1")


@pytest.mark.parametrize("model", ["claude-sonnet-4-20250514", "gpt-4.1"])
def test_chat_completions_stream(service: Service, account: Account, model: str) -> None:
    service.house.fake.script(**{CLAUDE: {}, "gpt-4.1": {}})
    streams(
        service.curl(CHAT.replace("claude-sonnet-4-20250514", model).replace("1024,", '1024, "stream": true,'), account)
    )


@pytest.mark.parametrize("model", ["claude-sonnet-4-20250514", "gpt-4.1"])
def test_chat_completions_with_tools_in_turns(service: Service, account: Account, model: str) -> None:
    call = {
        "content": [],
        "tool_calls": [{"id": "call_1", "name": "weather", "arguments": "{}"}],
        "finish_reason": "tool_calls",
    }
    service.house.fake.script(**{CLAUDE: call, "gpt-4.1": call})
    with openai.OpenAI(api_key=account.key, base_url=f"{service.house.url}/v1", max_retries=0) as client:
        asked: Any = [{"role": "user", "content": "How is the weather?"}]
        for choice in ("auto", "none", {"type": "function", "function": {"name": "weather"}}):
            said = client.chat.completions.create(
                model=model,
                max_tokens=1024,
                messages=asked,
                tools=[OPENAI_TOOL],
                tool_choice=choice,
                temperature=1,
                top_p=1,
            )
        (wanted,) = said.choices[0].message.tool_calls or []
        assert said.choices[0].finish_reason == "tool_calls" and wanted.type == "function"
        assert (wanted.function.name, json.loads(wanted.function.arguments)) == ("weather", {})
        service.house.fake.script(**{CLAUDE: {}, "gpt-4.1": {}})
        asked += [
            said.choices[0].message.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": wanted.id, "content": "Sunny"},
        ]
        said = client.chat.completions.create(model=model, max_tokens=1024, messages=asked, tools=[OPENAI_TOOL])
    assert said.choices[0].message.content == SAID


# Messages (Anthropic)


def test_messages(service: Service, account: Account) -> None:
    service.house.fake.script(**{CLAUDE: {}})
    answer = service.curl(MESSAGES, account)
    assert answer.status_code == 200, answer.text
    said = answer.json()
    shown = {"id": "msg", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
             "content": [{"type": "text", "text": SAID}], "usage": {"input_tokens": 1, "output_tokens": 3}}  # fmt: skip
    like(said, shown)
    assert said["content"] == shown["content"] and said["stop_reason"] == "end_turn"


def test_messages_stream(service: Service, account: Account) -> None:
    service.house.fake.script(**{CLAUDE: {}})
    answer = service.curl(MESSAGES.replace("1024,", '1024, "stream": true,'), account)
    assert answer.headers["content-type"].startswith("text/event-stream")
    names = [line for event in events(answer.content) for line in event.split(b"\n") if line.startswith(b"event: ")]
    assert names[0] == b"event: message_start" and names[-1] == b"event: message_stop"
    deltas = [event["delta"]["text"] for event in chunks(answer.content) if event["type"] == "content_block_delta"]
    assert "".join(deltas) == SAID


@pytest.mark.parametrize("model", ["claude-sonnet-4-20250514", "gpt-4.1"])
def test_the_anthropic_sdk(service: Service, account: Account, model: str) -> None:
    """System prompt, many turns, tools, temperature and streaming, whatever protocol lies behind."""
    call = {
        "content": [],
        "tool_calls": [{"id": "toolu_1", "name": "weather", "arguments": "{}"}],
        "finish_reason": "tool_calls",
    }
    turns: Any = [
        {"role": "user", "content": "Hello!"},
        {"role": "assistant", "content": "Hello! How can I help you today?"},
        {"role": "user", "content": "How is the weather?"},
    ]
    given: dict[str, Any] = {
        "model": model,
        "max_tokens": 1024,
        "system": "Be brief.",
        "tools": [TOOL],
        "extra_body": {"temperature": 1},
    }
    with anthropic.Anthropic(api_key=account.key, base_url=service.house.url, max_retries=0) as client:
        service.house.fake.script(**{CLAUDE: call, "gpt-4.1": call})
        said = client.messages.create(messages=turns, **given)
        (wanted,) = said.content
        assert said.stop_reason == "tool_use" and wanted.type == "tool_use" and wanted.name == "weather"
        service.house.fake.script(**{CLAUDE: {}, "gpt-4.1": {}})
        turns += [
            {"role": "assistant", "content": [{"type": "tool_use", "id": wanted.id, "name": "weather", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": wanted.id, "content": "Sunny"}]},
        ]
        with client.messages.stream(messages=turns, **given) as stream:
            assert "".join(stream.text_stream) == SAID


def test_errors_of_messages(service: Service, account: Account) -> None:
    for answer, status, kind in (
        (service.curl(MESSAGES), 401, "authentication_error"),
        (service.curl(MESSAGES.replace('"max_tokens": 1024,', ""), account), 400, "invalid_request_error"),
        (service.curl(MESSAGES.replace("claude-sonnet", "claude-unheard"), account), 404, "not_found_error"),
    ):
        assert (answer.status_code, answer.json()["error"]["type"]) == (status, kind), answer.text
        like(answer.json(), {"type": "error", "error": {"type": kind, "message": "m"}, "request_id": "req_"})


# List Models


def test_list_models(service: Service, account: Account) -> None:
    """Claude's models stand in it by their names of today: a retired one is an alias, which counts as its model in
    every list. What owns a model is its provider."""
    said = service.said("GET", "/v1/models", account)
    like(said, json.loads(LIST))
    assert said["object"] == "list" and {model["object"] for model in said["data"]} == {"model"}
    assert {"gpt-4.1", CLAUDE, "claude-opus-4-6"} <= {model["id"] for model in said["data"]}


@pytest.mark.parametrize("model", ["claude-sonnet-4-20250514", "claude-opus-4-20250514", "gpt-4.1"])
def test_listed_models_answer(service: Service, account: Account, model: str) -> None:
    service.house.fake.script(**{CLAUDE: {}, "gpt-4.1": {}})
    serves(service, account, model)


# Register, Login


def test_register_and_login(service: Service) -> None:
    """The user object and a token, good for 7 days."""
    for n, more in enumerate(({}, {"email": "dev@example.com"})):
        body = {"username": f"newdev{n}", "password": PASSWORD, **more}
        registered = service.said("POST", "/v1/auth/register", None, body)
        for said in (registered, service.said("POST", "/v1/auth/login", None, body)):
            like(said, {"user": json.loads(SELF), "token": "eyJ", "expiresAt": "2026-05-10T12:00:00.000Z"})
            claims = json.loads(base64.urlsafe_b64decode(said["token"].split(".")[1] + "=="))
            assert claims["exp"] - claims["iat"] == 7 * 24 * 3600 and claims["sub"] == said["user"]["id"]
            assert said["user"]["username"] == body["username"] and said["user"]["email"] == more.get("email", "")
            assert service.said("GET", "/v1/user/self", Account("", said["token"]))["id"] == said["user"]["id"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"username": "ab"}, "username"), ({"username": "a" * 33}, "username"), ({"username": "no spaces"}, "username"),
        ({"password": "short"}, "password"),
    ],
)  # fmt: skip
def test_who_may_not_register(service: Service, fields: dict[str, str], param: str) -> None:
    body = {"username": "somebody", "password": PASSWORD, **fields}
    error(service.ask("POST", "/v1/auth/register", None, body), 400, "invalid_value", param)


def test_wrong_logins(service: Service, developer: Account) -> None:
    wrong = {"username": developer.name, "password": "not the one"}
    error(service.ask("POST", "/v1/auth/login", None, wrong), 401, "invalid_credentials")
    error(service.ask("POST", "/v1/auth/login", None, {"username": "developer"}), 400, "missing_field", "password")


# Tokens


def test_create_token(service: Service, developer: Account) -> None:
    found = made(service, developer)
    like(found, json.loads(CREATED))
    assert (found["apiKey"]["name"], found["apiKey"]["status"]) == ("My Key", "active")
    assert found["key"].startswith(found["apiKey"]["keyPrefix"])
    assert service.house.chat(Account("", found["key"]), "gpt-4.1").status_code == 200
    shown = service.ask("GET", f"/v1/tokens/{found['apiKey']['id']}", developer)
    assert shown.json()["id"] == found["apiKey"]["id"] and found["key"] not in shown.text  # only returned once
    error(service.ask("POST", "/v1/tokens", developer, {}), 400, "missing_field", "name")


@pytest.mark.parametrize("spelling", ["page", "snake"])
def test_create_token_with_every_parameter(service: Service, developer: Account, spelling: str) -> None:
    plans = {plan["name"]: plan["id"] for plan in service.said("GET", "/v1/plans", developer)["data"]}
    names = {"page": ("planId", "expiresAt"), "snake": ("plan_id", "expires_at")}[spelling]
    fields = {names[0]: plans["gold"], names[1]: "2099-01-01T00:00:00Z", "quota": 500, "models": ["gpt-4.1"]}
    found = made(service, developer, **fields)
    token = found["apiKey"]
    assert (token["planId"], token["quota"], token["models"]) == (plans["gold"], "500", ["gpt-4.1"])
    assert token["expiresAt"] == "2099-01-01T00:00:00.000Z"
    key = Account("", found["key"])
    assert service.house.chat(key, "gpt-4.1").status_code == 200
    error(service.house.chat(key, "qwen-max"), 403, "model_not_allowed", "model")
    listed = [model["id"] for model in service.said("GET", "/v1/models", key)["data"]]
    assert listed == ["gpt-4.1"]
    expired = made(service, developer, **{names[1]: "2020-01-01"})
    error(service.house.chat(Account("", expired["key"]), "gpt-4.1"), 401, "key_expired")


@pytest.mark.parametrize("size", ["page_size", "pageSize"])
def test_list_tokens(service: Service, size: str) -> None:
    body = {"username": f"lister{len(size)}", "password": PASSWORD}
    lister = Account("", service.said("POST", "/v1/auth/register", None, body)["token"])
    ids = [made(service, lister, name=f"key {n}")["apiKey"]["id"] for n in range(3)][::-1]
    first = service.said("GET", f"/v1/tokens?page=1&{size}=2", lister)
    token = json.loads(CREATED)["apiKey"]
    like(first, {"data": [token], "page": 1, "page_size": 2, "total": 3})
    assert [token["id"] for token in first["data"]] == ids[:2] and first["total"] == 3
    assert [token["id"] for token in service.said("GET", f"/v1/tokens?page=2&{size}=2", lister)["data"]] == ids[2:]
    error(service.ask("GET", "/v1/tokens"), 401, "invalid_api_key")


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_update_token(service: Service, developer: Account, method: str) -> None:
    found = made(service, developer)
    path, key = f"/v1/tokens/{found['apiKey']['id']}", Account("", found["key"])
    said = service.said(method, path, developer, {"name": "Renamed", "status": "disabled"})
    assert (said["name"], said["status"], said["quota"]) == ("Renamed", "disabled", None)
    error(service.house.chat(key, "gpt-4.1"), 401, "key_disabled")
    said = service.said(method, path, developer, {"status": "active", "quota": 0})
    assert (said["name"], said["status"], said["quota"]) == ("Renamed", "active", "0")
    error(service.house.chat(key, "gpt-4.1"), 402, "key_quota_exceeded")


def test_delete_token(service: Service, developer: Account) -> None:
    found = made(service, developer)
    path = f"/v1/tokens/{found['apiKey']['id']}"
    assert service.said("DELETE", path, developer) == {"id": found["apiKey"]["id"], "deleted": True}
    error(service.house.chat(Account("", found["key"]), "gpt-4.1"), 401, "invalid_api_key")
    for method in ("GET", "DELETE"):
        error(service.ask(method, path, developer), 404, "not_found")


# Self, logs, stats


def test_get_self(service: Service, developer: Account) -> None:
    key = Account("", made(service, developer)["key"])
    before = service.said("GET", "/v1/user/self", developer)
    assert service.house.chat(key, "gpt-4.1").status_code == 200
    for asker in (developer, key):  # by the login token and by an API key
        said = service.said("GET", "/v1/user/self", asker)
        like(said, json.loads(SELF))
        assert (said["username"], said["email"], said["role"], said["status"]) == (
            "developer", "dev@example.com", "user", "active",
        )  # fmt: skip
        assert said["quota"] == "100000" and len(said["inviteCode"]) == 8  # in cents, as on the page
        assert int(said["requestCount"]) == int(before["requestCount"]) + 1
        spent = Decimal(said["usedQuota"])
        assert spent > Decimal(before["usedQuota"])
        assert service.said("GET", "/v1/user/balance", asker)["credits"] * 100 == Decimal(said["quota"]) - spent


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_update_self(service: Service, method: str) -> None:
    body = {"username": f"renamer{method}", "password": PASSWORD}
    person = Account("", service.said("POST", "/v1/auth/register", None, body)["token"])
    said = service.said(method, "/v1/user/self", person, {"name": "Dev Eloper"})
    assert (said["name"], said["email"]) == ("Dev Eloper", "")
    said = service.said(method, "/v1/user/self", person, {"email": "dev@example.com"})
    assert (said["name"], said["email"]) == ("Dev Eloper", "dev@example.com")
    said = service.said(method, "/v1/user/self", person, {**said, "role": "admin", "quota": "9"})
    assert (said["role"], said["quota"]) == ("user", "100000")


def test_usage_logs(service: Service, account: Account) -> None:
    """Each entry with model, tokens, cost, latency and status."""
    service.house.fake.script(**{CLAUDE: {}, "gpt-4.1": {}})
    answers = [
        service.curl(CHAT, account),
        service.house.chat(account, "gpt-4.1"),
        service.house.chat(account, "broken"),
    ]
    ids = [answer.headers["x-request-id"] for answer in answers][::-1]
    service.house.row(account, ids[0])
    shown = {"request_id": "req_", "created_at": "t", "model": "m", "provider": "p", "status": "ok", "prompt_tokens": 1,
             "completion_tokens": 1, "cost": "0.00123", "latency_ms": 1}  # fmt: skip
    said = service.said("GET", "/v1/user/logs?page=1&page_size=2", account)
    like(said, {"data": [shown], "page": 1, "page_size": 2, "total": 3})
    assert (said["page"], said["page_size"], said["total"]) == (1, 2, 3)
    assert [row["request_id"] for row in said["data"]] == ids[:2]
    assert [row["status"] for row in said["data"]] == ["error", "ok"]
    (last,) = service.said("GET", "/v1/user/logs?page=2&page_size=2", account)["data"]
    assert last["cost"] == answers[0].headers["x-findtoken-cost"] and last["request_id"] == ids[2]


@pytest.mark.parametrize("period", ["24h", "7d", "30d"])
def test_usage_stats(service: Service, account: Account, period: str) -> None:
    service.house.fake.script(**{CLAUDE: {}, "gpt-4.1": {}})
    answers = [
        service.curl(CHAT, account),
        service.curl(CHAT, account),
        service.house.chat(account, "gpt-4.1", messages=HELLO),
    ]
    said = service.said("GET", f"/v1/user/stats?period={period}", account)
    like(said, json.loads(STATS))
    cents = sum(Decimal(answer.headers["x-findtoken-cost"]) for answer in answers) * 100
    assert said["totalRequests"] == 3
    for part in (said["dailyBreakdown"], said["modelBreakdown"]):
        assert sum(row["requestCount"] for row in part) == 3 and sum(Decimal(row["cost"]) for row in part) == cents
        assert sum(row["completionTokens"] for row in part) == 9
    # A retired name is counted under the model that served it.
    assert [(row["model"], row["requestCount"]) for row in said["modelBreakdown"]] == [(CLAUDE, 2), ("gpt-4.1", 1)]


def test_periods_that_there_are_not(service: Service, developer: Account) -> None:
    error(service.ask("GET", "/v1/user/stats?period=1y", developer), 400, "invalid_value", "period")
