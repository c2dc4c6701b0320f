"""What is open to all, and the metrics."""

from ftgate.web.described.words import METRICS, PERSON, Operation, Schema, anything, json, listed, record, text

SCHEMAS: dict[str, Schema] = {}
_OWN = record({"name": text(), "version": text()})
OPERATIONS = (
    Operation("GET", "/", "What this is", asks=(), answers=json(_OWN)),
    Operation("GET", "/anthropic", "What this is", asks=(), answers=json(_OWN)),
    Operation("GET", "/healthz", "Whether the process lives", asks=(), answers=json(record({"status": text()}))),
    Operation(
        "GET", "/readyz", "Whether calls are served", asks=(), answers=json(record({"status": text()})),
        refused={503: ()},
    ),
    Operation("GET", "/v1/pricing", "What models cost", asks=(), answers=json(record({"data": listed(anything())}))),
    Operation("GET", "/openapi.json", "This document", asks=(), answers=json(record({"openapi": text()}))),
    Operation("GET", "/docs", "The same for people", asks=(), answers={"text/html": text()}),
    Operation(
        "GET", "/metrics", "Prometheus' figures", asks=(METRICS, *PERSON), answers={"text/plain": text()},
    ),
)  # fmt: skip
