"""Every row of CONTRACT.md's error table that can be met, and what an upstream's failure costs: nothing, before
content."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.blackbox.harness import HELLO, House, channel, error, took

SECRET = "sk-live-abcdefghijklmnop"


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


QUICK = {"head": 0.3, "answer": 0.3, "first_token": 0.3, "idle": 0.3}
FAILING: dict[str, dict[str, Any]] = {
    "plain": {},
    "long": {
        "status": 400,
        "error_body": {"error": {"message": "This model's maximum context length is 8 "
        "tokens.", "type": "invalid_request_error",
                                 "param": "messages", "code": "context_length_exceeded"}},
    },
    "policy": {
        "status": 400,
        "error_body": {"error": {"message": f"flagged, ask {SECRET} at "
        "http://10.1.2.3/x", "type": "invalid_request_error",
                                 "param": "messages", "code": "content_policy_violation"}},
    },
    "unprocessable": {"status": 422, "error_body": {"message": "bad tool", "type": "invalid_request_error"}},
    "500": {"status": 500},
    "flaky": {"fail_first": [2, 500]},
    "reset-once": {"fail_first": [1, 0]},
    "429": {"status": 429, "retry_after": 30},
    "429-once": {"fail_first": [1, 429], "retry_after": 1},
    "401": {"status": 401, "error_body": {"error": {"message": "Incorrect API key provided: "
    f"{SECRET}", "code": "invalid_api_key"}}},
    "403": {"status": 403},
    "402": {"status": 402, "error_body": {"error": {"message": "Insufficient "
    "Balance", "code": "invalid_request_error"}}},
    "error-in-200": {"raw_body": '{"error": {"message": "overloaded", "type": "x"}}'},
    "html": {"raw_body": "<html><body>Bad gateway</body></html>", "content_type": "text/html"},
    "empty": {"raw_body": ""},
    "no-choices": {"raw_body": '{"id": "x", "object": "chat.completion", "choices": []}'},
    "garbage": {"raw_body": "\x00\xff{{{"},
    "not-http": {"raw_response": "SSH-2.0-OpenSSH_9.9\r\n\r\n"},
    "cut": {"cut_after": 1},
    "gzip": {"gzip": True},
    "redirect": {"status": 302, "location": "http://169.254.169.254/latest/"},
    "no-content": {"status": 204},
    "silent": {"head_delay_s": 30},
    "silent-body": {"first_delay_s": 30},
    "dropped": {"drop": "close"},
    "reset": {"drop": "rst"},
}  # fmt: skip
STREAMED_FAILING: dict[str, dict[str, Any]] = {
    "error-event": {"error_event": {"error": {"message": "overloaded", "type": "server_error"}}, "error_after": 0},
    "no-token": {"first_delay_s": 30},
    "only-done": {"content": [], "finish_reason": None},
    "silence-after-role": {"content": [], "hang_after": 0},
}

CONFIG = f"""
[server]
max_body_mb = 1
[limits]
requests_per_second = 0
[retry]
attempts = 3
backoff = 0.01
backoff_cap = 0.02
{channel("lab", [*FAILING, *STREAMED_FAILING], timeouts=QUICK)}
{channel("dead", ["unreachable"], base_url=f"http://127.0.0.1:{closed_port()}/v1", timeouts={"connect": 0.5})}
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("errors"), CONFIG, {**FAILING, **STREAMED_FAILING}) as house:
        house.canaries.append(SECRET)
        yield house


# ---- the caller's fault ----


def post(house: House, body: bytes, **headers: str) -> Any:
    account = house.account()
    answer = house.http.post("/v1/chat/completions", content=body, headers={**account.headers, **headers})
    assert house.balance(account) == 1
    return answer


DEEP = b"[" * 100_000 + b"]" * 100_000
BAD_JSON = {
    "empty": b"",
    "cut": b'{"model": "plain", "messages": [',
    "trailing": b'{"model": "plain", "messages": []} x',
    "array": b"[]",
    "text": b'"plain"',
    "single quotes": b"{'model': 'plain'}",
    "utf-8": b'{"model": "plain", "messages": [{"role": "user", "content": "\xff\xfe"}]}',
    "utf-8 in an unknown field": b'{"model": "plain", "messages": [{"role": "user", "content": "x"}], "x": "\xff"}',
    "nested": b'{"model": "plain", "messages": ' + DEEP + b"}",
    "nested in an unknown field": (
        b'{"model": "plain", "messages": [{"role":"user","content":"x"}], "x": ' + DEEP + b"}"
    ),
    "NaN": b'{"model": "plain", "messages": [{"role": "user", "content": "x"}], "temperature": NaN}',
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_JSON)
def test_invalid_json(house: House, name: str) -> None:
    error(post(house, BAD_JSON[name]), 400, "invalid_json")


@pytest.mark.parametrize(
    ("field", "body"), [("model", {"messages": HELLO}), ("messages", {"model": "plain"}), ("model", {})]
)
def test_missing_field(house: House, field: str, body: dict[str, Any]) -> None:
    assert field in error(post(house, json.dumps(body).encode()), 400, "missing_field", field)


WRONG = [
    ("messages", "Hello"), ("messages", []), ("messages", [1]), ("messages.0.content", [{"role": "user",
    "content": 5}]),
    ("max_tokens", 0), ("max_tokens", -1), ("max_tokens", True), ("max_tokens", "5"), ("max_tokens", 10**12),
    ("max_tokens", 1.5),
    ("max_completion_tokens", 0), ("n", 0), ("n", 10**6), ("stream", "yes"), ("stream", 1), ("model", 5), ("model",
    ["plain"]),
    ("models", "plain"), ("stream_options", 5), ("stream_options.include_usage", {"include_usage": "yes"}), ("routing",
    "random"),
    ("routing", 3),
]  # fmt: skip


@pytest.mark.parametrize(("param", "value"), WRONG, ids=lambda value: str(value)[:40])
def test_invalid_value(house: House, param: str, value: Any) -> None:
    body = {"model": "plain", "messages": HELLO, param.partition(".")[0]: value}
    error(post(house, json.dumps(body).encode()), 400, "invalid_value", param)


def test_a_huge_number_is_no_crash(house: House) -> None:
    body = b'{"model": "plain", "messages": [{"role": "user", "content": "x"}], "max_tokens": ' + b"9" * 5000 + b"}"
    assert post(house, body).status_code == 400


def test_lone_surrogates_and_duplicate_keys_are_survived(house: House) -> None:
    account = house.account()
    for body in (
        b'{"model": "plain", "messages": [{"role": "user", "content": "\\ud800"}]}',
        b'{"model": "nonesuch", "model": "plain", "messages": [{"role": "user", "content": "x"}]}',
        '{"model": "plain", "messages": [{"role": "user", "content": "\u2028 \u0085 \\u0000"}]}'.encode(),
    ):
        answer = house.http.post("/v1/chat/completions", content=body, headers=account.headers)
        assert answer.status_code in (200, 400), answer.text


@pytest.mark.parametrize(
    "name", ["nonesuch", "<script>alert(1)</script>", "plain' OR '1'='1", "pl\r\nain", "plain ", "a" * 5000, "\u202e"]
)
def test_model_not_found(house: House, name: str) -> None:
    error(house.chat(house.account(), name), 400, "model_not_found", "model")


def test_context_length_exceeded_comes_from_upstream(house: House) -> None:
    account = house.account()
    assert "maximum context length" in error(house.chat(account, "long"), 400, "context_length_exceeded", "messages")
    assert house.row(account)["cost"] == "0" and house.balance(account) == 1


def test_an_upstream_s_refusal_is_passed_on_redacted(house: House) -> None:
    answer = house.chat(house.account(), "policy")
    message = error(answer, 400, "content_policy_violation", "messages")
    assert message.startswith("flagged") and SECRET not in answer.text and "10.1.2.3" not in answer.text
    answer = house.chat(house.account(), "unprocessable", stream=True)
    assert answer.status_code == 422 and answer.json()["error"]["message"] == "bad tool"
    assert len(house.fake.requests("unprocessable")) == 1  # never tried again


# ---- keys, credits, limits ----


@pytest.mark.parametrize("stream", [False, True])
def test_401(house: House, stream: bool) -> None:
    error(house.chat(None, stream=stream), 401, "invalid_api_key")
    for key in ("sk-ft_" + "A" * 43, "sk-ft_", "' OR 1=1 --", "A" * 8000):
        error(house.chat(None, stream=stream, headers={"Authorization": f"Bearer {key}"}), 401, "invalid_api_key")
    error(house.chat(None, stream=stream, headers={"Authorization": "Basic dXNlcjpwYXNz"}), 401, "invalid_api_key")


def test_a_key_of_strange_bytes(house: House) -> None:
    answer = house.http.get("/v1/models", headers=[(b"Authorization", b"Bearer \xff\xfe")])
    error(answer, 401, "invalid_api_key")


def test_expired_and_disabled_keys(house: House) -> None:
    error(house.chat(house.account(expires="2020-01-01")), 401, "key_expired")
    assert house.chat(house.account(expires="2099-12-31T23:59:59Z")).status_code == 200
    account = house.account()
    key = next(key for key in house.cli("keys", "list", "--json") if key["user"] == account.name)["id"]
    house.cli("keys", "disable", key, "--json")
    error(house.chat(account), 401, "key_disabled")
    house.cli("keys", "enable", key, "--json")
    assert house.chat(account).status_code == 200
    house.cli("users", "disable", account.name, "--json")
    error(house.chat(account), 401, "key_disabled")
    house.cli("users", "enable", account.name, "--json")
    house.cli("keys", "delete", key, "--json")
    error(house.chat(account), 401, "invalid_api_key")


def test_two_different_keys(house: House) -> None:
    first, second = house.account(), house.account()
    answer = house.chat(first, headers={"x-api-key": second.key})
    error(answer, 400, "invalid_value")
    error(house.http.get("/v1/models", headers={**first.headers, "x-api-key": second.key}), 400, "invalid_value")


def test_402_says_what_is_there_and_what_is_needed(house: House) -> None:
    # Prompt: (5 characters, 4 for the message, 3 once) at their bound; output 1000 x 0.000002.
    message = error(house.chat(house.account("0"), max_tokens=1000), 402, "insufficient_credits")
    assert message.startswith("Insufficient credits. Balance: $0.00, Required: $0.002"), message
    message = error(house.chat(house.account("0.001"), max_tokens=1000, stream=True), 402, "insufficient_credits")
    assert message.startswith("Insufficient credits. Balance: $0.001, Required: $0.002"), message
    account = house.account("0")
    answer = house.chat(account)
    error(answer, 402, "insufficient_credits")
    assert house.row(account, answer.headers["x-request-id"])["cost"] == "0"


def test_402_at_a_key_s_quota(house: House) -> None:
    account = house.account("5", quota="0.002")
    error(house.chat(account, max_tokens=1000), 402, "key_quota_exceeded")
    assert house.chat(account, max_tokens=900).status_code == 200
    other = house.another_key(account.name)
    assert house.chat(other, max_tokens=1000).status_code == 200


def test_403(house: House) -> None:
    account = house.account(models="plain")
    assert house.chat(account).status_code == 200
    error(house.chat(account, "long"), 403, "model_not_allowed", "model")
    error(house.chat(account, "plain", models=["long"]), 403, "model_not_allowed", "model")


def test_413(house: House) -> None:
    account = house.account()
    body = json.dumps({"model": "plain", "messages": [{"role": "user", "content": "x" * 1_000_000}]}).encode()
    error(house.http.post("/v1/chat/completions", content=body, headers=account.headers), 413, "body_too_large")
    pieces = (body[start : start + 65_536] for start in range(0, len(body), 65_536))  # chunked, no length said
    error(house.http.post("/v1/chat/completions", content=pieces, headers=account.headers), 413, "body_too_large")
    assert house.balance(account) == 1


def test_415(house: House) -> None:
    error(post(house, b"\x1f\x8b\x08", **{"Content-Encoding": "gzip"}), 415, "unsupported_encoding")


# ---- the upstream's fault: before content it costs nothing ----


def failed(house: House, model: str, status: int, code: str, *, stream: bool) -> tuple[Any, str]:
    """Call a failing model: its error, free of charge, with the upstream's connection gone or idle."""
    account = house.account()
    answer = house.chat(account, model, stream=stream)
    message = error(answer, status, code)
    row = house.row(account, answer.headers["x-request-id"])
    assert (row["cost"], row["status"] == "ok") == ("0", False)
    assert house.balance(account) == 1 and "x-findtoken-cost" not in answer.headers
    return answer, message


HOLLOW = [
    "error-in-200", "html", "empty", "no-choices", "garbage", "redirect", "no-content",
]  # fmt: skip


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", HOLLOW)
def test_a_200_that_is_no_answer_is_502(house: House, model: str, stream: bool) -> None:
    failed(house, model, 502, "provider_error", stream=stream)


@pytest.mark.parametrize(
    ("model", "stream"), [("not-http", False), ("not-http", True), ("gzip", False), ("gzip", True), ("cut", False)]
)
def test_an_answer_that_cannot_be_read_is_502_or_503(house: House, model: str, stream: bool) -> None:
    account = house.account()
    answer = house.chat(account, model, stream=stream)
    assert answer.status_code in (502, 503), answer.text
    error(answer, answer.status_code, {502: "provider_error", 503: "no_healthy_provider"}[answer.status_code])
    assert house.balance(account) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_500_is_tried_again_and_then_502(house: House, stream: bool) -> None:
    before = len(house.fake.requests("500"))
    failed(house, "500", 502, "provider_error", stream=stream)
    assert len(house.fake.requests("500")) - before == 3


def test_what_recovers_is_one_answer_and_one_charge(house: House) -> None:
    for model, tries in (("flaky", 3), ("reset-once", 2)):
        account = house.account()
        answer = house.chat(account, model)
        assert answer.status_code == 200, answer.text
        row = house.row(account, answer.headers["x-request-id"])
        # A kept connection that breaks before any byte is replaced unseen; then the fake saw more than the log says.
        assert (
            int(answer.headers["x-findtoken-attempts"]) == row["attempts"] <= tries == len(house.fake.requests(model))
        )
        assert (row["cost"], row["status"]) == ("0.00001", "ok")


@pytest.mark.parametrize("stream", [False, True])
def test_all_at_429_is_503_with_retry_after(house: House, stream: bool) -> None:
    answer, message = failed(house, "429", 503, "no_healthy_provider", stream=stream)
    assert answer.headers["retry-after"] == "30" and "rate limited" in message


def test_a_short_retry_after_is_waited_for(house: House) -> None:
    with took(at_least_s=1.0, at_most_s=5.0):
        assert house.chat(house.account(), "429-once").status_code == 200


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["401", "403", "402"])
def test_our_trouble_with_the_provider_is_never_the_caller_s(house: House, model: str, stream: bool) -> None:
    account = house.account()
    answer = house.chat(account, model, stream=stream)
    assert answer.status_code in (502, 503), answer.text
    message = error(answer, answer.status_code, {502: "provider_error", 503: "no_healthy_provider"}[answer.status_code])
    assert "key" not in message.lower() and "balance" not in message.lower() and SECRET not in answer.text
    assert house.balance(account) == 1


@pytest.mark.parametrize(("model", "stream"), [("silent", False), ("silent", True), ("silent-body", False), ("no-token",
                         True),
                                               ("silence-after-role", True)])  # fmt: skip
def test_timeouts_are_504(house: House, model: str, stream: bool) -> None:
    before = len(house.fake.requests(model))
    with took(at_least_s=0.3, at_most_s=3.0):
        failed(house, model, 504, "provider_timeout", stream=stream)
    assert len(house.fake.requests(model)) > before
    house.wait_for(
        lambda: all(seen["connection"]["closed_by_peer_at"] for seen in house.fake.requests(model)),
        "an upstream's socket stayed open",
    )


@pytest.mark.parametrize("stream", [False, True])
def test_nobody_there_is_503(house: House, stream: bool) -> None:
    answer, _ = failed(house, "unreachable", 503, "no_healthy_provider", stream=stream)
    assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize("model", ["dropped", "reset"])
def test_a_connection_that_breaks_before_the_head_is_503(house: House, model: str) -> None:
    failed(house, model, 503, "no_healthy_provider", stream=False)


@pytest.mark.parametrize("model", ["error-event", "only-done"])
def test_a_stream_without_content_is_502(house: House, model: str) -> None:
    failed(house, model, 502, "provider_error", stream=True)


def test_no_failure_kept_a_connection_or_a_secret(house: House) -> None:
    """After everything above: a normal call still works, and the log file of the server is clean."""
    assert house.chat(house.account()).status_code == 200
    house.check_secrets()
    assert "http://127.0.0.1" not in Path(house.err).read_text().replace(house.url, "")
