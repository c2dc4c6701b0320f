"""An ended call in OpenTelemetry's words: spans and histograms as OTLP writes them in JSON. Pure: times are given.

The names are those of the semantic conventions for generative AI (opentelemetry.io/docs/specs/semconv/gen-ai), the form
is OTLP's JSON (opentelemetry.io/docs/specs/otlp): ids in hex, 64-bit numbers as texts, enums as numbers.

Nothing of what was asked or answered is here, no key, no name of a user, and no words of an upstream's error. A call
that came to no channel names no model: what a caller wrote there can be anything.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any, Protocol

from ftgate.core.money import format_usd
from ftgate.core.tries import Try, tries_of

SCOPE = "ftgate"
SERVER, CLIENT = 2, 3
"""Kinds of a span."""
FAILED = {"code": 2}
"""The status of a span whose end was an error of this side."""
CUMULATIVE = 2
OPERATIONS = {"openai_completions": "text_completion", "openai_embeddings": "embeddings"}
"""By the protocol that the caller spoke; the others are for chats."""
PROVIDERS = {
    "gemini": "gcp.gemini", "moonshot": "moonshot_ai", "moonshot-intl": "moonshot_ai",
    "openai-compatible": "openai", "anthropic-compatible": "anthropic",
}  # fmt: skip
"""Providers that the conventions call otherwise than the catalogue."""
TOKENS = tuple(4**power for power in range(14))
SECONDS = tuple(2**power / 100 for power in range(14))
FIRST_TOKEN = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""The upper ends of buckets, as the conventions want them."""
METRICS: Mapping[str, tuple[str, str, Sequence[float]]] = {
    "gen_ai.client.token.usage": ("{token}", "Number of input and output tokens used.", TOKENS),
    "gen_ai.client.operation.duration": ("s", "GenAI operation duration.", SECONDS),
    "gen_ai.server.time_to_first_token": ("s", "Time to generate first token for successful responses.", FIRST_TOKEN),
}
"""Unit, description and buckets of each."""
MOST_PLACES = 100
"""Sets of attributes of one metric, so that all are written within milliseconds; what comes to another one counts as
OVERFLOW: callers with provider keys of their own name models as they like."""
OVERFLOW = (("otel.metric.overflow", True),)
_CODE = re.compile(r"[a-z]+(_[a-z]+){0,7}")

Value = str | bool | int | float
Place = tuple[tuple[str, Value], ...]
Json = dict[str, Any]


class Ended(Protocol):
    """What is told of a call's row (ports.ledger.Row)."""

    request_id: str
    created_at_us: int
    account: int
    model: str
    served_model: str
    provider: str
    channel: str
    status: str
    http_status: int
    error_code: str
    prompt_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    cache_write_1h_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    cost: int
    latency_ms: int
    first_token_ms: int | None
    attempts: int
    stream: bool
    client_dialect: str
    tries: str


def attributes(values: Iterable[tuple[str, Value | None]]) -> list[Json]:
    """Those that have a value."""
    return [{"key": name, "value": _value(value)} for name, value in values if value is not None]


def _value(value: Value) -> Json:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    return {"doubleValue": value} if isinstance(value, float) else {"stringValue": value}


def trace_id(request_id: str) -> str:
    """The trace of a call: the same each time it is asked for."""
    return sha256(request_id.encode()).hexdigest()[:32]


def span_id(request_id: str, number: int) -> str:
    """The span of a call (0), or of its attempt of this number, from 1 on."""
    return sha256(f"{request_id}/{number}".encode()).hexdigest()[:16]


def _operation(row: Ended) -> str:
    return OPERATIONS.get(row.client_dialect, "chat")


def _model(row: Ended) -> str | None:
    return row.model if row.provider and row.model else None


def _error(row: Ended) -> str | None:
    """What kind of error it ended with. An upstream may say a code of its own: only a plain word is told on."""
    if row.status == "ok":
        return None
    return row.error_code if _CODE.fullmatch(row.error_code) else row.status


def _called(row: Ended) -> Place:
    """What every span and figure of a call says of it."""
    said = [("gen_ai.operation.name", _operation(row))]
    if row.provider:
        said.append(("gen_ai.provider.name", PROVIDERS.get(row.provider, row.provider)))
    if model := _model(row):
        said.append(("gen_ai.request.model", model))
    return tuple(said)


def _used(row: Ended) -> Iterable[tuple[str, Value | None]]:
    """Its tokens, where any were counted; parts of them where there are any."""
    if row.prompt_tokens or row.completion_tokens:
        yield "gen_ai.usage.input_tokens", row.prompt_tokens
        yield "gen_ai.usage.output_tokens", row.completion_tokens
        yield "gen_ai.usage.cache_read.input_tokens", row.cached_tokens or None
        yield "gen_ai.usage.cache_creation.input_tokens", row.cache_write_tokens + row.cache_write_1h_tokens or None
        yield "gen_ai.usage.reasoning.output_tokens", row.reasoning_tokens or None


def spans(row: Ended) -> list[Json]:
    """The span of a call; behind it one for each attempt, where its row tells of them."""
    first_s = None if row.first_token_ms is None or not row.stream else row.first_token_ms / 1000
    whole = _span(row, 0, SERVER, " ".join(filter(None, (_operation(row), _model(row)))), (
        row.created_at_us, row.created_at_us + row.latency_ms * 1000
    ), [
        *_called(row),
        ("gen_ai.request.stream", row.stream),
        ("gen_ai.response.model", row.served_model or None),
        ("gen_ai.response.time_to_first_chunk", first_s),
        *_used(row),
        ("error.type", _error(row)),
        ("http.response.status_code", row.http_status or None),
        ("ftgate.request_id", row.request_id),
        ("ftgate.account", row.account),
        ("ftgate.channel", row.channel or None),
        ("ftgate.status", row.status),
        ("ftgate.attempts", row.attempts),
        ("ftgate.cost_usd", format_usd(row.cost)),
    ])  # fmt: skip
    if row.status not in ("ok", "client_gone", "write_timeout") and not 400 <= row.http_status < 500:
        whole["status"] = FAILED
    return [whole, *_attempts(row)]


def _span(
    row: Ended, number: int, kind: int, name: str, times_us: tuple[int, int], said: Iterable[tuple[str, Value | None]]
) -> Json:
    began_us, ended_us = times_us
    return {
        "traceId": trace_id(row.request_id), "spanId": span_id(row.request_id, number),
        **({"parentSpanId": span_id(row.request_id, 0)} if number else {}),
        "name": name, "kind": kind,
        "startTimeUnixNano": str(began_us * 1000), "endTimeUnixNano": str(ended_us * 1000),
        "attributes": attributes(said),
    }  # fmt: skip


def _attempts(row: Ended) -> Iterable[Json]:
    """A row tells how long each attempt took and not when it began: the last one ends with the call, those before it
    stand one behind the other from its beginning on."""
    tried = tries_of(row.tries)
    ends_us = row.created_at_us + row.latency_ms * 1000
    at_us = row.created_at_us
    for number, one in enumerate(tried, 1):
        began_us = max(at_us, ends_us - one.ms * 1000) if number == len(tried) else at_us
        at_us = min(began_us + one.ms * 1000, ends_us)
        yield _attempt(row, number, one, (began_us, at_us))


def _attempt(row: Ended, number: int, one: Try, times_us: tuple[int, int]) -> Json:
    operation, good = _operation(row), one.outcome == "ok"
    span = _span(row, number, CLIENT, f"{operation} {one.model}", times_us, [
        ("gen_ai.operation.name", operation),
        ("gen_ai.request.model", one.model),
        ("error.type", None if good else one.outcome),
        ("http.response.status_code", one.status),
        ("ftgate.channel", one.channel),
    ])  # fmt: skip
    return span if good else {**span, "status": FAILED}


class Histogram:
    """Values in buckets, up to their upper ends inclusive; the last bucket has none."""

    __slots__ = ("bounds", "buckets", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.buckets = [0] * (len(bounds) + 1)
        self.sum: float = 0

    def add(self, value: float) -> None:
        self.buckets[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def point(self, place: Place, began_ns: int, now_ns: int) -> Json:
        return {
            "attributes": attributes(place), "startTimeUnixNano": str(began_ns), "timeUnixNano": str(now_ns),
            "count": str(sum(self.buckets)), "sum": self.sum,
            "bucketCounts": list(map(str, self.buckets)), "explicitBounds": list(self.bounds),
        }  # fmt: skip


class Figures:
    """METRICS of all calls since `began_ns` (nanoseconds since 1970)."""

    def __init__(self, began_ns: int) -> None:
        self.began_ns = began_ns
        self.found: dict[str, dict[Place, Histogram]] = {name: {} for name in METRICS}

    def _add(self, name: str, place: Place, value: float) -> None:
        places = self.found[name]
        if place not in places and len(places) >= MOST_PLACES:
            place = OVERFLOW
        if (histogram := places.get(place)) is None:
            histogram = places[place] = Histogram(METRICS[name][2])
        histogram.add(value)

    def call(self, row: Ended) -> None:
        """Count an ended call."""
        place = _called(row)
        if row.served_model:
            place = (*place, ("gen_ai.response.model", row.served_model))
        if row.provider and (row.prompt_tokens or row.completion_tokens):
            for kind, tokens in (("input", row.prompt_tokens), ("output", row.completion_tokens)):
                self._add("gen_ai.client.token.usage", (*place, ("gen_ai.token.type", kind)), tokens)
        if row.provider and row.status == "ok" and row.first_token_ms is not None:
            self._add("gen_ai.server.time_to_first_token", place, row.first_token_ms / 1000)
        error = _error(row)
        ended = (*place, ("error.type", error)) if error else place
        self._add("gen_ai.client.operation.duration", ended, row.latency_ms / 1000)

    def metrics(self, now_ns: int) -> Iterator[Json]:
        """Those that anything was counted for, one by one: more may be counted between two of them."""
        for name, (unit, told, _) in METRICS.items():
            if found := self.found[name]:
                points = [one.point(place, self.began_ns, now_ns) for place, one in found.items()]
                histogram = {"aggregationTemporality": CUMULATIVE, "dataPoints": points}
                yield {"name": name, "unit": unit, "description": told, "histogram": histogram}


def traces_request(resource: Place, version: str, rows: Iterable[Ended]) -> Json:
    """What POST /v1/traces takes: the spans of these calls."""
    found = [span for row in rows for span in spans(row)]
    scoped = {"scope": {"name": SCOPE, "version": version}, "spans": found}
    return {"resourceSpans": [{"resource": {"attributes": attributes(resource)}, "scopeSpans": [scoped]}]}


def metrics_request(resource: Place, version: str, metrics: Sequence[Json]) -> Json:
    """What POST /v1/metrics takes."""
    scoped = {"scope": {"name": SCOPE, "version": version}, "metrics": metrics}
    return {"resourceMetrics": [{"resource": {"attributes": attributes(resource)}, "scopeMetrics": [scoped]}]}
