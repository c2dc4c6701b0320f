"""`POST /v1/route/explain`."""

import json

from tests.web.fakes import KEY, Asking

BODY = b'{"model": "auto", "messages": []}'


async def test_it_needs_a_key_and_a_post() -> None:
    asking = Asking()
    assert (await asking.ask("/v1/route/explain", method="POST", secret=None, body=BODY)).status == 401
    assert (await asking.ask("/v1/route/explain")).status == 405
    assert asking.line.explained == []


async def test_its_shape() -> None:
    asking = Asking()
    said = await asking.ask("/v1/route/explain", method="POST", body=BODY)
    assert said.status == 200 and json.loads(said.body) == {
        "data": [
            {
                "model": "m", "channel": "one", "provider": "p", "score": 1.0, "expected_cost": 0.000001234,
                "why": "it is the only one",
            }
        ],
        "left_out": [{"model": "n", "channel": None, "reason": "no channel serves it"}],
        "complexity": "simple",
        "complexity_why": "simple (1)",
    }  # fmt: skip
    assert b'"expected_cost":0.000001234' in said.body  # exact, without an exponent
    assert asking.line.explained == [(KEY, BODY, None)]


async def test_which_route_it_is_for() -> None:
    asking = Asking()
    await asking.ask("/v1/route/explain", method="POST", body=BODY, anthropic_version="2023-06-01")
    await asking.ask("/route/explain/?route=/v1/responses", method="POST", body=BODY)
    assert [route for _, _, route in asking.line.explained] == ["/v1/messages", "/v1/responses"]


async def test_a_provider_key_in_the_header_is_the_call_s() -> None:
    asking = Asking()
    await asking.ask("/v1/route/explain", method="POST", body=BODY)
    assert asking.line.brought is None
    key = {"x_findtoken_provider_key": "openai:sk-1234567890"}
    await asking.ask("/v1/route/explain", method="POST", body=BODY, **key)
    assert asking.line.brought == b"openai:sk-1234567890"
    refused = await asking.ask("/v1/route/explain", method="POST", body=BODY, x_findtoken_provider_key="openai")
    assert refused.status == 400 and b"X-FindToken-Provider-Key" in refused.body
