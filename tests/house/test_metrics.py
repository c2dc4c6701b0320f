"""What a scraper reads, against a parser of the same library."""

import sqlite3
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from ftgate.core.books import Books
from ftgate.core.tally import Tally
from ftgate.house.metrics import Metrics
from ftgate.store.writer import Writer
from tests.fakes.used import Used


def read(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def desk() -> tuple[Metrics, Tally, Books]:
    tally, books = Tally(), Books()
    metrics = Metrics(
        tally, books, Writer(sqlite3.connect(":memory:")), calls=lambda: 3, 
        circuits=lambda: [("lab", "m", "open"), ("lab", "n", "closed")],
        throttled={"login": 2}, payments=lambda: ({"paid": 4}, {("refund.created", "applied"): 5}),
        copies=lambda: ({"made": 6, "failed": 1}, 1_790_000_000.5),
    )  # fmt: skip
    return metrics, tally, books


def test_every_name_and_label() -> None:
    metrics, tally, books = desk()
    books.open_account(1)
    books.open_key(1, limit=None)
    books.grant(1, 10**12, ref="g", at_us=0)
    books.hold(1, 1, 25 * 10**10, ref="h", estimate=0, at_us=0)
    tally.call(("m", "p", "lab", "ok", "standard", True), Used(10, 4, 3, 300, 70), 2_000_000)
    tally.call(("m", "p", "lab", "error", "standard", True), Used(latency_ms=700_000), 0)
    tally.attempt("lab", "ok")
    tally.loss("overrun", 10**12)
    found = read(metrics.text())

    def value(name: str, **labels: str) -> Any:
        return found[f"ftgate_{name}", tuple(sorted(labels.items()))]

    whole = {"model": "m", "provider": "p", "channel": "lab", "mode": "standard", "stream": "true"}
    assert value("requests_total", status="ok", **whole) == value("requests_total", status="error", **whole) == 1
    who = {"model": "m", "provider": "p"}
    kinds = {kind: value("tokens_total", kind=kind, **who) for kind in ("prompt", "cached", "completion")}
    assert kinds == {"prompt": 10, "cached": 4, "completion": 3}
    assert value("cost_usd_total", **who) == 2e-6
    assert value("request_seconds_bucket", le="0.25", stream="true", **who) == 0
    assert value("request_seconds_bucket", le="0.5", stream="true", **who) == 1
    assert value("request_seconds_bucket", le="+Inf", stream="true", **who) == 2
    assert value("request_seconds_count", stream="true", **who) == 2
    assert value("request_seconds_sum", stream="true", **who) == 700.3
    assert value("first_token_seconds_count", **who) == 1
    assert value("attempts_total", channel="lab", outcome="ok") == 1
    assert value("circuit_state", channel="lab", model="m") == 2
    assert value("circuit_state", channel="lab", model="n") == 0
    assert value("calls_in_flight") == 3 and value("open_holds") == 1 and value("held_usd") == 0.25
    assert value("loss_usd_total", reason="overrun") == 1
    assert [value("backups_total", outcome=outcome) for outcome in ("made", "failed")] == [6, 1]
    assert value("backup_last_success_seconds") == 1_790_000_000.5
    assert value("writer_queue_depth") == value("slow_statements_total") == value("commit_seconds_count") == 0
    assert value("payments_total", status="paid") == 4
    assert value("stripe_events_total", type="refund.created", outcome="applied") == 5
    throttled = {what: value("throttled_total", what=what) for what in ("login", "register", "key", "checkout", "byok")}
    assert throttled == {"login": 2, "register": 0, "key": 0, "checkout": 0, "byok": 0}
    assert sum(value for (name, _), value in found.items() if name == "ftgate_build_info") == 1
    assert any(name == "process_resident_memory_bytes" for name, _ in found)


def test_a_house_where_nothing_has_come_can_be_read() -> None:
    metrics, _, _ = desk()
    assert read(metrics.text())["ftgate_loss_usd_total", (("reason", "overrun"),)] == 0
