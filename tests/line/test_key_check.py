"""How a provider is asked whether a key is good, on Trio's mock clock."""

from typing import Any

import pytest
import trio.testing

from ftgate.core.retrying import Retry
from ftgate.core.routing import Routes
from ftgate.core.verdicts import Verdict
from ftgate.errors import Fault, GateError, UpstreamFailed
from ftgate.line.key_check import CHECK_S, Asking
from ftgate.ports import GateSettings, Taker
from tests.fakes.ports import ScriptedUpstream, Still, addresses, channel, model

Clock = trio.testing.MockClock
OWN = {"ours": Verdict.credential}
KEY = "sk-a-callers-own-key"
GEMINI = b"""[{"error": {"code": 400, "message": "API key not valid. Please pass a valid API key.",
  "status": "INVALID_ARGUMENT"}}]"""
MINIMAX = b'{"base_resp": {"status_code": 1004, "status_msg": "login fail"}}'


def desk(script: list[Any], **check: str) -> tuple[Asking, ScriptedUpstream]:
    way = channel(
        "lab", model("m"), addresses=addresses("http://lab.invalid/v1", "openai_chat"), credentials=(), errors=OWN
    )
    takers = {"lab": Taker(way, model(""), **check)}
    upstream = ScriptedUpstream(script)
    return Asking(Still(GateSettings(Routes(()), Retry(), 1, {}, takers=takers)), upstream), upstream


async def test_the_page_that_the_catalogue_names(autojump_clock: Clock) -> None:
    asking, upstream = desk([(200, [])], check_url="http://lab.invalid/balance")
    assert asking.named(" LAB ", KEY) == "lab"
    await asking.check(" LAB ", KEY)
    (asked,) = upstream.requests
    assert (asked.method, asked.url, asked.body, asked.brought) == (b"GET", "http://lab.invalid/balance", b"", True)
    assert dict(asked.headers)[b"authorization"] == b"Bearer " + KEY.encode() and upstream.open_answers == 0


async def test_or_one_token_of_a_model(autojump_clock: Clock) -> None:
    asking, upstream = desk([(200, [])], check_model="m")
    await asking.check("lab", KEY)
    (asked,) = upstream.requests
    assert asked.method == b"POST" and b'"max_tokens":1' in asked.body and b'"m-upstream"' in asked.body


@pytest.mark.parametrize(
    ("script", "status", "code", "took_s"),
    [
        ([(401, [])], 401, "invalid_provider_key", 0),
        ([(403, [])], 401, "invalid_provider_key", 0),
        ([(400, []), GEMINI], 401, "invalid_provider_key", 0),
        ([(200, []), MINIMAX], 401, "invalid_provider_key", 0),
        ([(400, []), b'{"error": {"code": "ours", "message": "no"}}'], 401, "invalid_provider_key", 0),
        (
            [(200, []), b'{"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}'],
            502,
            "provider_error",
            0,
        ),
        ([(400, []), b'{"error": {"message": "max_tokens is too small"}}'], 502, "provider_error", 0),
        ([(400, []), b'{"error": {"message": "Your credit balance is too low"}}'], 502, "provider_error", 0),
        ([(429, []), b'{"error": {"message": "invalid api key"}}'], 502, "provider_error", 0),
        ([(400, []), UpstreamFailed(Fault.reset, "cut", sent=True)], 502, "provider_error", 0),
        ([(400, []), ("wait", 1000)], 502, "provider_error", 5),
        ([(302, [(b"location", b"http://elsewhere.invalid")])], 502, "provider_error", 0),
        ([(503, [])], 502, "provider_error", 0),
        ([UpstreamFailed(Fault.dns, "nobody", sent=False)], 502, "provider_error", 0),
        ([UpstreamFailed(Fault.connect, "late", sent=False, timed_out=True)], 504, "provider_timeout", 0),
        ([("wait", 1000)], 504, "provider_timeout", CHECK_S),
    ],
)
async def test_what_else_comes(script: list[Any], status: int, code: str, took_s: float, autojump_clock: Clock) -> None:
    asking, upstream = desk(script, check_url="http://lab.invalid/models")
    began = trio.current_time()
    with pytest.raises(GateError) as raised:
        await asking.check("lab", KEY)
    assert (raised.value.status, raised.value.code) == (status, code)
    assert trio.current_time() - began == pytest.approx(took_s) and KEY not in raised.value.message
    assert len(upstream.requests) == 1 and upstream.open_answers == 0  # no redirect is followed


@pytest.mark.parametrize(
    ("provider", "key", "param"),
    [("nobody", KEY, "provider"), ("lab", "short", "api_key"), ("lab", "sk-ft_" + "x" * 30, "api_key")],
)
async def test_what_is_not_asked_at_all(provider: str, key: str, param: str) -> None:
    asking, upstream = desk([])
    with pytest.raises(GateError) as raised:
        await asking.check(provider, key)
    assert (raised.value.status, raised.value.param) == (400, param) and upstream.requests == []
