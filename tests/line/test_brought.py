"""Calls that bring a provider key of their own: where they go, what they cost and count, what is said of them, and that
nothing of the key is kept. On Trio's mock clock."""

import json
from typing import Any

import pytest
import trio
import trio.testing

from ftgate import dialects
from ftgate.core.health import Circuit
from ftgate.core.pricing import Price
from ftgate.core.retrying import Retry
from ftgate.core.routing import Model
from ftgate.dialects.brought import in_header
from ftgate.errors import Fault, UpstreamFailed
from ftgate.line.call import Call
from ftgate.ports import Taker, Terms
from tests.fakes.ports import RecordingClient, ScriptedUpstream, Stage, addresses, channel, model
from tests.holding import held_by
from tests.line.transcript import PLAIN, STREAM, answer, ask, chat, delta, status

Clock = trio.testing.MockClock
KEY = 'canary-"own"\\key/4417'
"""No pattern of redaction knows this shape."""
FREE = Price(0, 0, 0, 0, 0)
BROUGHT = {"provider": "acme", "api_key": KEY}


def taker(name: str = "acme", **changes: Any) -> Taker:
    models = {
        "m": model("m", price=FREE),
        "m-upstream": model("m", price=FREE),
        "other": model("other", price=FREE),
        "e": model("e", price=FREE, kind="embeddings"),
    }
    fields = {"addresses": addresses(f"https://{name}.example/v1", "openai_chat", "openai_embeddings"), **changes}
    way = channel(f"byok:{name}", provider=name, credentials=(), models=models, **fields)
    return Taker(way, Model("", "", FREE, cap_field="max_completion_tokens"))


def stage(*scripts: Any, **settings: Any) -> Stage:
    settings.setdefault("terms", Terms(byok_tokens_per_month=1000))
    takers = settings.pop("takers", {"acme": taker()})
    return Stage(ScriptedUpstream(*scripts), takers=takers, **settings)


def headers(here: Stage, at: int = -1) -> dict[bytes, bytes]:
    return dict(here.upstream.requests[at].headers)


async def relay(here: Stage, body: bytes, dialect: str = "openai_chat", brought: str = "") -> RecordingClient:
    client = RecordingClient()
    call = Call(
        id=f"req_{next(here.numbers)}", dialect=dialects.ALL[dialect], secret=b"sk-ft_test", body=body,
        brought=in_header(brought.encode()) if brought else None,
    )  # fmt: skip
    await here.gate.relay(call, client)
    here.check()
    return client


def said(client: RecordingClient) -> Any:
    return json.loads(client.body)["error"]


@pytest.mark.parametrize("in_header", [False, True])
async def test_it_goes_to_its_provider_with_its_key_and_costs_nothing(autojump_clock: Clock, in_header: bool) -> None:
    here = stage([PLAIN, answer()], credits=0)
    body = ask() if in_header else ask(provider_key=BROUGHT)
    client = await relay(here, body, brought=f"acme:{KEY}" if in_header else "")
    assert client.status == 200 and client.body == answer()
    (request,) = here.upstream.requests
    assert request.url == "https://acme.example/v1/chat/completions" and request.brought
    assert headers(here)[b"authorization"] == b"Bearer " + KEY.encode()
    sent = json.loads(request.body)
    assert sent == {"model": "m-upstream", "messages": [{"role": "user", "content": "Hello"}]}
    told = client.headers
    assert (told["x-findtoken-mode"], told["x-findtoken-cost"]) == ("byok", "0")
    assert (told["x-findtoken-model"], told["x-findtoken-provider"]) == ("m", "acme")
    assert "x-findtoken-balance" not in told
    (row,) = here.log.rows
    assert (row.mode, row.cost, row.provider, row.prompt_tokens, row.completion_tokens) == ("byok", 0, "acme", 10, 2)
    assert [entry.note for entry in here.log.entries if entry.kind == "hold"] == ["byok"]
    assert here.books.used_in(1, "1970-01") == 12


async def test_a_stream_says_its_mode_and_that_it_costs_nothing(autojump_clock: Clock) -> None:
    here = stage(chat("Hi", " there"))
    client = await relay(here, ask(stream=True, provider_key=BROUGHT))
    assert client.headers["x-findtoken-mode"] == "byok"
    assert b": x-findtoken-cost=0\n" in client.body and b"balance" not in client.body
    assert here.books.used_in(1, "1970-01") == 12


@pytest.mark.parametrize(
    ("body", "header", "param"),
    [
        (ask(provider_key="acme:key"), "", "provider_key"),
        (ask(provider_key=[]), "", "provider_key"),
        (ask(provider_key={}), "", "provider_key.provider"),
        (ask(provider_key={"provider": "acme"}), "", "provider_key.api_key"),
        (ask(provider_key={"provider": "acme", "api_key": ""}), "", "provider_key.api_key"),
        (ask(provider_key={"provider": "acme", "api_key": 5}), "", "provider_key.api_key"),
        (ask(provider_key={**BROUGHT, "base_url": "https://x.invalid"}), "", "provider_key"),
        (ask(provider_key={**BROUGHT, "provider": "nobody"}), "", "provider_key.provider"),
        (ask(provider_key={**BROUGHT, "api_key": "short77"}), "", "provider_key.api_key"),
        (ask(provider_key={**BROUGHT, "api_key": "x" * 513}), "", "provider_key.api_key"),
        (ask(provider_key={**BROUGHT, "api_key": "with\r\nx-more: 1"}), "", "provider_key.api_key"),
        (ask(provider_key={**BROUGHT, "api_key": "with a blank"}), "", "provider_key.api_key"),
        (ask(provider_key={**BROUGHT, "api_key": "schl\u00fcssel"}), "", "provider_key.api_key"),
        (ask(provider_key={**BROUGHT, "api_key": "sk-ft_" + "a" * 43}), "", "provider_key.api_key"),
        (ask(provider_key=BROUGHT), "acme:another-key", "provider_key"),
        (ask(), f"nobody:{KEY}", "X-FindToken-Provider-Key"),
        (ask(provider_key=BROUGHT, model="e"), "", "model"),
        (ask(provider_key=BROUGHT, model="auto"), "", "model"),
        (ask(provider_key=BROUGHT, model="a b"), "", "model"),
        (ask(provider_key=BROUGHT, model="\u00e9"), "", "model"),
        (ask(provider_key=BROUGHT, model="x" * 201), "", "model"),
        (ask(provider_key=BROUGHT, models=["m", ""]), "", "model"),
    ],
)
async def test_what_is_wrong_with_it_is_said_before_any_hold(
    autojump_clock: Clock, body: bytes, header: str, param: str
) -> None:
    here = stage()
    client = await relay(here, body, brought=header)
    assert (client.status, said(client)["param"]) == (400, param)
    assert not here.upstream.requests and not [entry for entry in here.log.entries if entry.kind == "hold"]
    (row,) = here.log.rows
    assert (row.mode, row.status) == ("byok", "refused")
    for part in ("canary", "short77", "x-more", "another-key"):
        assert part.encode() not in client.body


async def test_the_same_key_may_stand_in_both_places_and_null_is_none(autojump_clock: Clock) -> None:
    here = stage([PLAIN, answer()], [PLAIN, answer()])
    both = await relay(here, ask(provider_key={**BROUGHT, "provider": " Acme "}), brought=f"acme:{KEY}")
    none = await relay(here, ask(provider_key=None))
    assert (both.headers["x-findtoken-mode"], none.headers["x-findtoken-mode"]) == ("byok", "standard")
    assert headers(here)[b"authorization"] == b"Bearer sk-upstream"


@pytest.mark.parametrize(
    ("name", "goes_up"),
    [("m", "m-upstream"), ("m-upstream", "m-upstream"), ("ep-2025/new:model@1", "ep-2025/new:model@1")],
)
async def test_a_model_is_named_as_ours_or_as_the_provider_s(autojump_clock: Clock, name: str, goes_up: str) -> None:
    here = stage([PLAIN, answer()], model_rates=None)
    client = await relay(here, ask(model=name, provider_key=BROUGHT, max_tokens=7))
    assert client.status == 200
    sent = json.loads(here.upstream.requests[0].body)
    assert sent["model"] == goes_up
    assert sent.get("max_completion_tokens" if name.startswith("ep-") else "max_tokens") == 7
    assert not here.gate.planner.planned and not here.gate.planner.turns and not here.gate.ratios.known


async def test_it_is_said_in_a_dialect_that_its_provider_speaks(autojump_clock: Clock) -> None:
    here = stage([PLAIN, answer()], [PLAIN, answer()])
    messages = {"model": "anthropic/m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
    client = await relay(here, json.dumps({**messages, "provider_key": BROUGHT}).encode(), "anthropic_messages")
    assert client.status == 200 and json.loads(client.body)["type"] == "message"
    client = await relay(
        here, json.dumps({"model": "m", "input": "Hi", "provider_key": BROUGHT}).encode(), "openai_responses"
    )
    assert client.status == 200 and json.loads(client.body)["object"] == "response"
    assert all(b"provider_key" not in request.body for request in here.upstream.requests)
    assert here.upstream.requests[0].url == "https://acme.example/v1/chat/completions"
    only_messages = {"acme": taker(addresses=addresses("https://acme.example", "anthropic_messages"))}
    client = await relay(
        stage(takers=only_messages), json.dumps({"model": "e", "input": "Hi", "provider_key": BROUGHT}).encode(),
        "openai_embeddings",
    )  # fmt: skip
    assert (client.status, said(client)["param"]) == (400, "provider_key.provider")


@pytest.mark.parametrize(("models", "status"), [(("m",), 200), (("m-*",), 200), (("other",), 403)])
async def test_a_key_that_may_use_few_models_may_use_no_others_with_a_provider_key(
    autojump_clock: Clock, models: tuple[str, ...], status: int
) -> None:
    here = stage([PLAIN, answer()], key={"models": models})
    assert (await relay(here, ask(model="m-upstream", provider_key=BROUGHT))).status == status


ECHO = {"message": f"bad key {KEY}", "type": f"t {KEY}", "code": f"c-{KEY}", "param": KEY, "details": {KEY: [KEY]}}


@pytest.mark.parametrize("code", [401, 403])
async def test_a_key_that_is_refused_is_told_in_the_provider_s_words_without_it(
    autojump_clock: Clock, code: int
) -> None:
    here = stage([(code, []), json.dumps({"error": ECHO}).encode()], [PLAIN, answer()])
    client = await relay(here, ask(provider_key=BROUGHT))
    assert (client.status, said(client)["code"]) == (401, "invalid_provider_key")
    assert said(client)["type"] == "authentication_error"
    assert said(client)["message"] == "acme refused the provider key: bad key [redacted]"
    assert len(here.upstream.requests) == 1
    assert here.gate.standing.health.fine and not here.gate.standing.health.errors
    (row,) = here.log.rows
    assert (row.cost, row.error_code, row.mode) == (0, "invalid_provider_key", "byok")


@pytest.mark.parametrize("code", [400, 402, 404, 422, 429, 500, 503])
async def test_an_upstream_that_says_the_key_is_not_echoed(autojump_clock: Clock, code: int) -> None:
    words = json.dumps({"error": ECHO}).encode()
    here = stage(*([(code, []), words] for _ in range(3)), retry=Retry(attempts=3, backoff=0.01))
    client = await relay(here, ask(provider_key=BROUGHT))
    assert client.status != 200
    (row,) = here.log.rows
    for text in (client.body.decode(), str(client.headers), str(row)):
        assert KEY not in text and json.dumps(KEY)[1:-1] not in text and "canary" not in text, text
    for inside in ([STREAM, delta("Hi"), b"data: " + words + b"\n\n"], [STREAM, b"data: " + words + b"\n\n"]):
        here = stage(*([*inside] for _ in range(3)))
        client = await relay(here, ask(stream=True, provider_key=BROUGHT))
        assert b"canary" not in client.body and client.body


async def test_what_an_upstream_says_beside_its_words_does_not_echo_it(autojump_clock: Clock) -> None:
    here = stage(
        [(400, []), json.dumps({"type": "error", "error": ECHO}).encode()],
        takers={"acme": taker(addresses=addresses("https://acme.example/v1", "anthropic_messages"))},
    )
    messages = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
    client = await relay(here, json.dumps({**messages, "provider_key": BROUGHT}).encode(), "anthropic_messages")
    assert client.status == 400 and said(client)["details"] and b"canary" not in client.body


async def test_it_is_tried_again_where_it_failed_and_nowhere_else(autojump_clock: Clock) -> None:
    down = UpstreamFailed(Fault.connect, "refused", sent=False)
    here = stage([*status(500)], [down], [PLAIN, answer()], fallback={"m": ("other",)})
    client = await relay(here, ask(provider_key=BROUGHT))
    assert (client.status, client.headers["x-findtoken-attempts"]) == (200, "3")
    assert {request.url for request in here.upstream.requests} == {"https://acme.example/v1/chat/completions"}
    here = stage([*status(500)], [*status(500)], [*status(500)])
    client = await relay(here, ask(provider_key=BROUGHT))
    assert (client.status, said(client)["code"]) == (502, "provider_error")


async def test_it_teaches_nothing_about_channels_and_is_held_up_by_nothing_that_others_taught(
    autojump_clock: Clock,
) -> None:
    good = [PLAIN, answer()]
    here = stage(*([*status(500)] for _ in range(9)), good, good)
    for _ in range(3):
        await relay(here, ask(provider_key=BROUGHT))
    assert here.gate.standing.health.fine
    assert (await relay(here, ask())).status == 200
    # Circuits are known by a channel's name, which somebody may have given to a channel of the config too.
    here.gate.standing.health.circuits["byok:acme", "m"] = circuit = Circuit()
    circuit.opened, circuit.until = 1, 1e9
    assert (await relay(here, ask(provider_key=BROUGHT))).status == 200
    assert circuit.opened == 1


async def test_the_month_s_tokens_end_and_come_back_with_the_next(autojump_clock: Clock) -> None:
    here = stage(
        *([PLAIN, answer(prompt=300, completion=200)] for _ in range(4)), terms=Terms(byok_tokens_per_month=1000)
    )
    assert [(await relay(here, ask(provider_key=BROUGHT))).status for _ in range(2)] == [200, 200]
    refused = await relay(here, ask(provider_key=BROUGHT))
    assert (refused.status, said(refused)["code"]) == (429, "byok_limit_exceeded")
    assert said(refused)["message"].startswith("The calls with provider keys of this account have used 1000 tokens")
    wait = int(refused.headers["retry-after"])
    assert wait == 31 * 86_400 - int(trio.current_time())
    row = here.log.rows[-1]
    assert (row.mode, row.status, row.hold, row.error_code) == ("byok", "refused", 0, "byok_limit_exceeded")
    assert (await relay(here, ask())).status == 200  # what is paid for goes on
    await trio.sleep(wait + 1)
    assert (await relay(here, ask(provider_key=BROUGHT))).status == 200
    assert (here.books.used_in(1, "1970-01"), here.books.used_in(1, "1970-02")) == (0, 500)


async def test_its_counts_teach_nothing_about_models(autojump_clock: Clock) -> None:
    """Its caller names models as he likes: what is known of models would grow without an end, in the database too."""
    said = [{"role": "user", "content": "one two three four " * 30}]
    here = stage([PLAIN, answer("word " * 90, 400, 300)], [PLAIN, answer("word " * 90, 400, 300)])
    assert (await relay(here, ask(model="nobody-s", messages=said, provider_key=BROUGHT))).status == 200
    assert not here.gate.ratios.known and not here.gate.ratios.changed and not here.gate.standing.pace.places
    assert (await relay(here, ask(messages=said))).status == 200
    assert {name for _, name in here.gate.ratios.known} == {"m"}


async def test_who_leaves_is_counted_what_was_read_and_pays_nothing(autojump_clock: Clock) -> None:
    drained = {"acme": taker(drain=False)}
    here = stage([STREAM, delta("One two three four"), ("wait", 50), *chat("x")[1:]], takers=drained)
    call = here.call(ask(stream=True, provider_key=BROUGHT))
    client = RecordingClient()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(here.gate.relay, call, client)
        await trio.sleep(1)
        call.client_gone()
    here.check()
    (row,) = here.log.rows
    assert (row.status, row.mode, row.cost, row.estimated) == ("client_gone", "byok", 0, True)
    assert here.books.used_in(1, "1970-01") == row.prompt_tokens + row.completion_tokens > 0


async def test_nothing_that_the_gate_holds_holds_the_key_afterwards(autojump_clock: Clock) -> None:
    echo = json.dumps({"error": ECHO}).encode()
    here = stage(
        [PLAIN, answer()], chat("Hi"), [(401, []), echo], *([(500, []), echo] for _ in range(3)),
        [STREAM, delta("Hi"), UpstreamFailed(Fault.incomplete, "cut", sent=True)],
    )  # fmt: skip
    for stream in (False, True, False, False, True):
        await relay(here, ask(stream=stream, provider_key=BROUGHT))
    here.upstream.requests.clear()
    texts = held_by(here.gate, here.books, here.log)
    assert "req_0" in texts  # it looks into rows
    assert not [text for text in texts for mark in (KEY, json.dumps(KEY)[1:-1]) if mark in text]
