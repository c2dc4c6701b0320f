"""Rows as OpenTelemetry is told of them: whole spans and sums, and what must never be in them."""

import json
from typing import Any

import pytest

from ftgate.core.otlp import (
    FIRST_TOKEN,
    MOST_PLACES,
    SECONDS,
    TOKENS,
    Figures,
    Histogram,
    metrics_request,
    span_id,
    spans,
    trace_id,
    traces_request,
)
from ftgate.core.tries import Try, tries_text
from ftgate.ports import Row
from tests.fakes.collector import plain

AT_US = 1_790_000_000_000_000
ID = "req_0123456789abcdef0123456789ab"
USER_WORDS = "my secret prompt sk-caller-key someone@example.org"


def row(**fields: Any) -> Row:
    """A call that was answered in its only attempt."""
    said: dict[str, Any] = {
        "request_id": ID, "created_at_us": AT_US, "account": 7, "key": 11, "model": "fast", "served_model": "m-1",
        "provider": "moonshot", "channel": "lab", "status": "ok", "http_status": 200, "error_code": "",
        "mode": "standard", "prompt_tokens": 100, "cached_tokens": 40, "cache_write_tokens": 5,
        "completion_tokens": 30, "reasoning_tokens": 10, "cost": 1_234_500_000, "lost": 0, "estimated": False,
        "latency_ms": 1500, "first_token_ms": 250, "attempts": 1, "stream": True, "hold": 3,
        "client_dialect": "openai_chat", "cache_write_1h_tokens": 2, "upstream_id": "up-1",
    }  # fmt: skip
    return Row(**{**said, **fields})


FAILED_OVER = row(
    attempts=2,
    tries=tries_text([Try("first", "m-0", "overloaded", 503, 400, USER_WORDS), Try("lab", "m-1", "ok", 200, 900)]),
)


def of(name: str, kind: str, value: object) -> dict[str, object]:
    return {"key": name, "value": {kind: value}}


def test_a_call_whole() -> None:
    """As the collector reads it: ids in hex, 64-bit numbers as texts, enums as numbers."""
    found = json.loads(json.dumps(traces_request((("service.name", "ftgate"),), "1.0", [FAILED_OVER])))
    trace, whole = trace_id(ID), span_id(ID, 0)
    assert found == {"resourceSpans": [{
        "resource": {"attributes": [of("service.name", "stringValue", "ftgate")]},
        "scopeSpans": [{"scope": {"name": "ftgate", "version": "1.0"}, "spans": [
            {
                "traceId": trace, "spanId": whole, "name": "chat fast", "kind": 2,
                "startTimeUnixNano": "1790000000000000000", "endTimeUnixNano": "1790000001500000000",
                "attributes": [
                    of("gen_ai.operation.name", "stringValue", "chat"),
                    of("gen_ai.provider.name", "stringValue", "moonshot_ai"),
                    of("gen_ai.request.model", "stringValue", "fast"),
                    of("gen_ai.request.stream", "boolValue", True),
                    of("gen_ai.response.model", "stringValue", "m-1"),
                    of("gen_ai.response.time_to_first_chunk", "doubleValue", 0.25),
                    of("gen_ai.usage.input_tokens", "intValue", "100"),
                    of("gen_ai.usage.output_tokens", "intValue", "30"),
                    of("gen_ai.usage.cache_read.input_tokens", "intValue", "40"),
                    of("gen_ai.usage.cache_creation.input_tokens", "intValue", "7"),
                    of("gen_ai.usage.reasoning.output_tokens", "intValue", "10"),
                    of("http.response.status_code", "intValue", "200"),
                    of("ftgate.request_id", "stringValue", ID),
                    of("ftgate.account", "intValue", "7"),
                    of("ftgate.channel", "stringValue", "lab"),
                    of("ftgate.status", "stringValue", "ok"),
                    of("ftgate.attempts", "intValue", "2"),
                    of("ftgate.cost_usd", "stringValue", "0.0012345"),
                ],
            },
            {
                "traceId": trace, "spanId": span_id(ID, 1), "parentSpanId": whole, "name": "chat m-0", "kind": 3,
                "startTimeUnixNano": "1790000000000000000", "endTimeUnixNano": "1790000000400000000",
                "attributes": [
                    of("gen_ai.operation.name", "stringValue", "chat"),
                    of("gen_ai.request.model", "stringValue", "m-0"),
                    of("error.type", "stringValue", "overloaded"),
                    of("http.response.status_code", "intValue", "503"),
                    of("ftgate.channel", "stringValue", "first"),
                ],
                "status": {"code": 2},
            },
            {
                "traceId": trace, "spanId": span_id(ID, 2), "parentSpanId": whole, "name": "chat m-1", "kind": 3,
                "startTimeUnixNano": "1790000000600000000", "endTimeUnixNano": "1790000001500000000",
                "attributes": [
                    of("gen_ai.operation.name", "stringValue", "chat"),
                    of("gen_ai.request.model", "stringValue", "m-1"),
                    of("http.response.status_code", "intValue", "200"),
                    of("ftgate.channel", "stringValue", "lab"),
                ],
            },
        ]}],
    }]}  # fmt: skip


def test_ids_are_those_of_the_request_and_differ() -> None:
    found = {trace_id(ID), *(span_id(ID, number) for number in range(3)), trace_id("req_2"), span_id("req_2", 0)}
    assert len(found) == 6
    assert {len(one) for one in found} == {16, 32}
    assert all(int(one, 16) for one in found)
    assert trace_id(ID) == "c1a78d828693c82ab1b59fecf342c79c"  # after a restart too


def test_words_of_callers_and_upstreams_are_not_told() -> None:
    """Before a channel is come to, the model is whatever a caller wrote."""
    refused = row(
        model=USER_WORDS, served_model="", provider="", channel="", status="refused", http_status=404,
        error_code="model_not_found", prompt_tokens=0, completion_tokens=0, remark=USER_WORDS, upstream_id=USER_WORDS,
    )  # fmt: skip
    rows = [refused, FAILED_OVER]
    figures = Figures(0)
    for one in rows:
        figures.call(one)
    said = json.dumps([traces_request((), "1", rows), metrics_request((), "1", [*figures.metrics(1)])])
    assert not [word for word in USER_WORDS.split() if word in said]
    (span,) = spans(refused)
    assert span["name"] == "chat"
    assert plain(span["attributes"])["error.type"] == "model_not_found"


@pytest.mark.parametrize(
    ("status", "http_status", "error_code", "error", "failed"),
    [
        ("ok", 200, "", None, False),
        ("refused", 429, "rate_limited", "rate_limited", False),
        ("refused", 503, "no_channel", "no_channel", True),
        ("client_gone", 499, "", "client_gone", False),
        ("client_gone", 200, "", "client_gone", False),
        ("error", 400, "bad", "bad", False),
        ("error", 200, "cut", "cut", True),
        ("error", 502, "Bad prompt: my secret", "error", True),
        ("error", 502, "sk-0123", "error", True),
        ("timeout", 504, "", "timeout", True),
        ("crashed", 0, "", "crashed", True),
    ],
)
def test_how_it_ended(status: str, http_status: int, error_code: str, error: str | None, failed: bool) -> None:
    """What callers do wrong is no error of this server."""
    span = spans(row(status=status, http_status=http_status, error_code=error_code))[0]
    assert plain(span["attributes"]).get("error.type") == error
    assert plain(span["attributes"]).get("http.response.status_code") == (http_status or None)
    assert ("status" in span) == failed


@pytest.mark.parametrize(
    ("dialect", "name"),
    [
        ("openai_chat", "chat"), ("openai_responses", "chat"), ("anthropic_messages", "chat"),
        ("openai_completions", "text_completion"), ("openai_embeddings", "embeddings"),
    ],
)  # fmt: skip
def test_operations(dialect: str, name: str) -> None:
    assert spans(row(client_dialect=dialect))[0]["name"] == f"{name} fast"


@pytest.mark.parametrize(
    ("provider", "name"),
    [
        ("openai", "openai"), ("anthropic", "anthropic"), ("gemini", "gcp.gemini"), ("deepseek", "deepseek"),
        ("moonshot-intl", "moonshot_ai"), ("zhipu", "zhipu"), ("openai-compatible", "openai"),
    ],
)  # fmt: skip
def test_providers(provider: str, name: str) -> None:
    assert plain(spans(row(provider=provider))[0]["attributes"])["gen_ai.provider.name"] == name


def test_attempts_stay_within_their_call() -> None:
    """However long they say they took, and in their order."""
    tried = [Try("a", "m", "timeout", None, 900), Try("b", "m", "timeout", None, 900), Try("c", "m", "ok", 200, 900)]
    whole, *found = spans(row(attempts=3, latency_ms=1000, tries=tries_text(tried)))
    times = [int(span[f"{end}TimeUnixNano"]) for span in found for end in ("start", "end")]
    assert times == sorted(times) and len(times) == 6
    assert times[0] == int(whole["startTimeUnixNano"]) and times[-1] == int(whole["endTimeUnixNano"])


def test_sums_whole() -> None:
    figures = Figures(5)
    figures.call(row())
    figures.call(row(latency_ms=20, first_token_ms=None, prompt_tokens=1, completion_tokens=0))
    figures.call(row(status="error", http_status=502, error_code="bad", served_model="", latency_ms=90_000,
                     prompt_tokens=0, completion_tokens=0))  # fmt: skip
    found = {metric["name"]: metric for metric in figures.metrics(99)}
    called = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "moonshot_ai", "gen_ai.request.model": "fast"}
    served = {**called, "gen_ai.response.model": "m-1"}
    assert [(metric["name"], metric["unit"]) for metric in found.values()] == [
        ("gen_ai.client.token.usage", "{token}"),
        ("gen_ai.client.operation.duration", "s"),
        ("gen_ai.server.time_to_first_token", "s"),
    ]
    assert {metric["histogram"]["aggregationTemporality"] for metric in found.values()} == {2}
    points = {
        name: [(plain(p["attributes"]), p["count"], p["sum"]) for p in metric["histogram"]["dataPoints"]]
        for name, metric in found.items()
    }
    assert points == {
        "gen_ai.client.token.usage": [
            ({**served, "gen_ai.token.type": "input"}, "2", 101),
            ({**served, "gen_ai.token.type": "output"}, "2", 30),
        ],
        "gen_ai.client.operation.duration": [
            (served, "2", 1.52),
            ({**called, "error.type": "bad"}, "1", 90.0),
        ],
        "gen_ai.server.time_to_first_token": [(served, "1", 0.25)],
    }
    first, failed = found["gen_ai.client.operation.duration"]["histogram"]["dataPoints"]
    assert (first["startTimeUnixNano"], first["timeUnixNano"]) == ("5", "99")
    assert first["bucketCounts"] == ["0", "1", *["0"] * 6, "1", *["0"] * 6]  # 0.02 is an upper end, and inclusive
    assert failed["bucketCounts"] == [*["0"] * 14, "1"]
    assert first["explicitBounds"] == list(SECONDS)


def test_buckets_are_those_of_the_conventions() -> None:
    assert TOKENS[:5] == (1, 4, 16, 64, 256) and TOKENS[-1] == 67_108_864
    assert SECONDS == (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
    assert len(FIRST_TOKEN) == 16
    assert len(Histogram(TOKENS).buckets) == 15


def test_names_of_callers_own_make_no_end_of_sums() -> None:
    figures = Figures(0)
    for number in range(MOST_PLACES + 3):
        figures.call(row(model=f"own-{number}", prompt_tokens=0, completion_tokens=0, first_token_ms=None))
    (metric,) = figures.metrics(1)
    points = metric["histogram"]["dataPoints"]
    assert len(points) == MOST_PLACES + 1
    assert plain(points[-1]["attributes"]) == {"otel.metric.overflow": True} and points[-1]["count"] == "3"
