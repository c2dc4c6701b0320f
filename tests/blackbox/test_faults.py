"""The table of upstream faults: what each becomes for every caller's protocol, plain and streamed, with another channel
to go to and alone; who answered, within which time, and what it cost.

`scripts/ways` runs it through every door and transport.
"""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any, NamedTuple

import httpx
import pytest

from tests.blackbox.harness import HELLO, Account, House, channel
from tests.blackbox.test_errors import closed_port

QUICK = {"connect": 1.0, "head": 0.5, "answer": 0.5, "first_token": 0.5, "idle": 0.5}
BOUND_S = 6.0
"""Within which a fault is over, failover and backoff with it: three tries of half a second, and a busy machine."""
JSON = "application/json"


def said(message: str, **more: object) -> dict[str, Any]:
    return {"error_body": {"error": {"message": message, **more}}}


def body(text: str, kind: str = JSON) -> dict[str, Any]:
    return {"raw_body": text, "content_type": kind}


# Each fails before content: with another channel it is answered there; alone it has the status named.
OVER: dict[str, tuple[int, dict[str, Any]]] = {
    "401": (502, {"status": 401}),
    "402": (502, {"status": 402}),
    "403": (502, {"status": 403}),
    "408": (502, {"status": 408}),
    "429": (503, {"status": 429}),
    "429-seconds": (503, {"status": 429, "retry_after": 30}),
    "429-date": (503, {"status": 429, "retry_after": "Fri, 31 Dec 2100 23:59:59 GMT"}),
    "429-nonsense": (503, {"status": 429, "retry_after": "soon"}),
    "429-quota": (502, {"status": 429, **said("You exceeded your current quota", code="insufficient_quota")}),
    "500": (502, {"status": 500}),
    "500-html": (502, {"status": 500, **body("<html>oops</html>", "text/html")}),
    "500-empty": (502, {"status": 500, **body("")}),
    "500-text-error": (502, {"status": 500, "error_body": {"error": "busy"}}),
    "500-list": (502, {"status": 500, "error_body": ["busy"]}),
    "501": (502, {"status": 501}),
    "502": (502, {"status": 502}),
    "503": (503, {"status": 503}),
    "504": (502, {"status": 504}),
    "508": (502, {"status": 508}),
    "520": (502, {"status": 520}),
    "524": (502, {"status": 524}),
    "529": (503, {"status": 529}),
    "204": (502, {"status": 204}),
    "302": (502, {"status": 302, "location": "http://169.254.169.254/"}),
    "400-key": (502, {"status": 400, **said("Incorrect API key provided", code="invalid_api_key")}),
    "400-credit": (502, {"status": 400, **said("Insufficient Balance")}),
    "403-arrears": (502, {"status": 403, **said("账户已欠费")}),
    "200-error": (502, body('{"error": {"message": "overloaded", "type": "x"}}')),
    "200-error-code": (503, body('{"error": {"message": "slow down", "code": 429}}')),
    "200-html": (502, body("<html>Bad gateway</html>", "text/html")),
    "200-empty": (502, body("")),
    "200-null": (502, body("null")),
    "200-list": (502, body("[]")),
    "200-no-choices": (502, body('{"id": "x", "choices": []}')),
    "200-garbage": (502, body("\x00\xff{{{")),
    "200-half": (502, body('{"id": "x", "choices": [{"index": 0, "message": {"role": "assi')),
    "200-gzip": (502, {"gzip": True}),
    "not-http": (502, {"raw_response": "SSH-2.0-OpenSSH_9.9\r\n\r\n"}),
    "half-a-head": (503, {"raw_response": "HTTP/1.1 200 OK\r\nContent-Type: appl"}),
    "no-head-end": (502, {"raw_response": "HTTP/1.1 200 OK\r\n" + "X-Fill: y\r\n" * 30_000}),
    "dropped": (503, {"drop": "close"}),
    "reset": (503, {"drop": "rst"}),
    "silent": (504, {"head_delay_s": 30}),
    "silent-body": (504, {"first_delay_s": 30}),
    "cut-at-once": (503, {"cut_after": 0}),
}
# Each is the caller's own to mend, and goes to nobody else.
CALLER: dict[str, tuple[int, dict[str, Any]]] = {
    "400": (400, {"status": 400, **said("no such field", type="invalid_request_error", param="x")}),
    "400-policy": (400, {"status": 400, **said("flagged", code="content_policy_violation")}),
    "404": (404, {"status": 404, **said("not here")}),
    "409": (409, {"status": 409, **said("conflict")}),
    "413": (413, {"status": 413, **said("too much")}),
    "422": (422, {"status": 422, **said("no such tool")}),
}
# Each is too long for the model; the other channel's context is no longer.
LONG: dict[str, tuple[int, dict[str, Any]]] = {
    "long": (400, {"status": 400, **said("maximum context length is 8 tokens", code="context_length_exceeded")}),
    "long-500": (400, {"status": 500, **said("exceed_context_size_error")}),
    "long-413": (400, {"status": 413, **said("prompt is too long: 9 tokens")}),
}
# Each streams some content first: then it is told in the stream, and nobody else is asked.
LATE: dict[str, dict[str, Any]] = {
    "late-cut": {"cut_after": 1},
    "late-reset": {"cut_after": 1, "cut": "rst"},
    "late-length": {"cut_after": 1, "framing": "length"},
    "late-close": {"cut_after": 1, "framing": "close"},
    "late-hang": {"hang_after": 1},
    "late-error": {"error_event": {"error": {"message": "overloaded"}}, "error_after": 1},
    "late-unfinished": {"finish_reason": None},
    "late-unfinished-no-done": {"finish_reason": None, "done": False},
    "late-reasoning": {"reasoning": ["hm"], "cut_after": 1},
    "late-garbage": body(
        'data: {"choices":[{"index":0,"delta":{"content":"Hel"},"finish_reason":null}]}\n\ndata: {not json\n\n',
        "text/event-stream",
    ),
}
# Each is odd and answers all the same.
FINE: dict[str, dict[str, Any]] = {
    "no-done": {"done": False},
    "close-framed": {"framing": "close"},
    "bytewise": {"write_size": 1},
    "crlf": {"crlf": True},
    "comments": {"comment": "still there"},
    "no-usage": {"usage_place": "none"},
    "usage-text": {"usage": "12"},
    "usage-negative": {"usage": {"prompt_tokens": -1, "completion_tokens": -5}},
    "usage-absurd": {"usage": {"prompt_tokens": 10**17, "completion_tokens": 10**17}},
}
STREAMED_OVER: dict[str, tuple[int, dict[str, Any]]] = {
    "event-error": (502, {"error_event": {"error": {"message": "overloaded"}}, "error_after": 0}),
    "event-only-done": (502, {"content": [], "finish_reason": None}),
    "event-silence": (504, {"content": [], "hang_after": 0}),
    "event-comments": (504, {"first_delay_s": 30, "comment": "thinking"}),
}
SCRIPTS = {name: script for name, (_, script) in {**OVER, **CALLER, **LONG, **STREAMED_OVER}.items()} | LATE | FINE
REFUSED = "refused"
"""The fault that is no script: nobody listens there."""
WITH, ALONE = "-with", "-alone"
PROTOCOLS = ("chat", "messages", "responses")

CONFIG = (
    "[limits]\nrequests_per_second = 0\n[retry]\nbackoff = 0.01\nbackoff_cap = 0.02\n[breaker]\nfailures = 10000\n"
    + channel("first", {n + WITH: {"upstream": n} for n in SCRIPTS}, priority=0, timeouts=QUICK)
    + channel("down", {REFUSED + WITH: {}, REFUSED + ALONE: {}}, base_url=f"http://127.0.0.1:{closed_port()}/v1")
    + channel("alone", {n + ALONE: {"upstream": n} for n in SCRIPTS}, timeouts=QUICK)
    + channel("second", {n + WITH: {"upstream": "good", "output": 4} for n in [*SCRIPTS, REFUSED]}, priority=1)
)


class Got(NamedTuple):
    """What came of one call."""

    answer: httpx.Response
    seconds: float
    row: dict[str, Any]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("faults"), CONFIG, {**SCRIPTS, "good": {}}) as house:
        yield house


@pytest.fixture(scope="module")
def account(house: House) -> Account:
    return house.account("1000")


def call(house: House, account: Account, protocol: str, model: str, stream: bool) -> Got:
    asked: dict[str, Any] = {"model": model, "stream": stream}
    if protocol == "responses":
        asked |= {"input": "Hello", "max_output_tokens": 100}
    else:
        asked |= {"messages": HELLO, "max_tokens": 100}
    path = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}[protocol]
    began = time.monotonic()
    answer = house.http.post(path, json=asked, headers=account.headers)
    seconds = time.monotonic() - began
    return Got(answer, seconds, house.row(account, answer.headers["x-request-id"]))


def every(
    house: House, account: Account, name: str, streams: tuple[bool, ...] = (False, True)
) -> list[tuple[str, Got]]:
    """All protocols, plain and streamed, at once."""
    asked = [(protocol, stream) for protocol in PROTOCOLS for stream in streams]
    with ThreadPoolExecutor(len(asked)) as pool:
        got = pool.map(lambda one: call(house, account, one[0], name, one[1]), asked)
        return [(f"{protocol}{' streamed' * stream}", one) for (protocol, stream), one in zip(asked, got, strict=True)]


def answered(words: str, got: Got, *, attempts: int, output: str) -> None:
    """A whole answer, at the price of who gave it."""
    assert (got.answer.status_code, got.row["status"], got.row["attempts"]) == (200, "ok", attempts), (words, got)
    assert got.seconds < BOUND_S, words
    text = got.answer.text
    assert "Hello" in text and ("world" in text or "\\u" in text), (words, text)
    if not got.row["estimated"]:
        due = (got.row["prompt_tokens"] * 1 + got.row["completion_tokens"] * Decimal(output)) / 10**6
        assert Decimal(str(got.row["cost"])) == due, (words, got.row)


def refused(words: str, got: Got, status: int, attempts: int | None = None) -> None:
    """An error in the caller's own shape, which costs nothing."""
    wanted = {529, status} if words.startswith("messages") and status == 503 else {status}
    assert got.answer.status_code in wanted, (words, got.answer.status_code, got.answer.text)
    assert got.seconds < BOUND_S, (words, got.seconds)
    assert Decimal(str(got.row["cost"])) == 0 and got.row["http_status"] in {status, 529}, (words, got.row)
    said = json.loads(got.answer.content)
    assert ("request_id" in said) == words.startswith("messages") and said["error"]["message"], (words, said)
    assert "127.0.0.1" not in got.answer.text and "169.254" not in got.answer.text, words
    if attempts is not None:
        assert got.row["attempts"] == attempts, (words, got.row)


@pytest.mark.parametrize("name", [*OVER, REFUSED])
def test_what_fails_before_content_is_answered_by_another(house: House, account: Account, name: str) -> None:
    for words, got in every(house, account, name + WITH):
        # Where a key has rested since its first call, the other channel is asked at once.
        answered(words, got, attempts=got.row["attempts"], output="4")
        assert got.row["attempts"] in (1, 2) and got.answer.headers["x-findtoken-provider"], words


@pytest.mark.parametrize(("name", "status"), [*((n, status) for n, (status, _) in OVER.items()), (REFUSED, 503)])
def test_what_fails_before_content_alone(house: House, account: Account, name: str, status: int) -> None:
    for words, got in every(house, account, name + ALONE):
        refused(words, got, status)


@pytest.mark.parametrize(("name", "status"), [(n, status) for n, (status, _) in STREAMED_OVER.items()])
def test_what_streams_nothing(house: House, account: Account, name: str, status: int) -> None:
    for words, got in every(house, account, name + WITH, (True,)):
        answered(words, got, attempts=2, output="4")
    for words, got in every(house, account, name + ALONE, (True,)):
        refused(words, got, status)


@pytest.mark.parametrize(("name", "status"), [(n, s) for n, (s, _) in {**CALLER, **LONG}.items()])
@pytest.mark.parametrize("way", [WITH, ALONE])
def test_what_the_caller_can_mend(house: House, account: Account, name: str, way: str, status: int) -> None:
    for words, got in every(house, account, name + way):
        refused(words, got, status, attempts=1)


@pytest.mark.parametrize("name", LATE)
@pytest.mark.parametrize("way", [WITH, ALONE])
def test_what_breaks_after_content(house: House, account: Account, name: str, way: str) -> None:
    """Told in the stream, in the caller's own words; nobody else is asked, and what was delivered is paid for."""
    for words, got in every(house, account, name + way, (True,)):
        assert (got.answer.status_code, got.row["attempts"]) == (200, 1) and got.row["status"] != "ok", (words, got.row)
        assert got.seconds < BOUND_S and Decimal(str(got.row["cost"])) > 0 and got.row["estimated"], (words, got.row)
        ends = {"chat": '"error"', "messages": "event: error", "responses": "response.failed"}[words.split()[0]]
        assert ends in got.answer.text and "[DONE]" not in got.answer.text, (words, got.answer.text)


@pytest.mark.parametrize("name", FINE)
def test_what_is_odd_and_whole(house: House, account: Account, name: str) -> None:
    for words, got in every(house, account, name + WITH):
        answered(words, got, attempts=1, output="2")


def test_the_table_is_long_enough() -> None:
    assert len(SCRIPTS) + 1 >= 60
