"""What a collector is sent, and what it can do to us: nothing."""

import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from trio.testing import MockClock

from ftgate import app
from ftgate.config.settings import Telemetry
from ftgate.house import telemetry
from ftgate.house.house import SystemClock
from ftgate.house.telemetry import BATCH, FLUSH_S, Sender, rejected_spans, retry_after_s
from tests.house.test_house import SETTINGS, opened
from tests.store.faulty import row

TERMS = Telemetry("http://collector.invalid:4318/base", {"Authorization": "Bearer secret-of-the-collector"})


class Body(httpx.AsyncByteStream):
    """As it comes over a wire, without an end where it is `endless`."""

    def __init__(self, body: bytes, *, endless: bool = False) -> None:
        self.body = body
        self.endless = endless

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.body
        while self.endless:
            await trio.sleep(0.5)
            yield self.body


def answer(status: int, body: bytes = b"{}", **heads: str) -> httpx.Response:
    return httpx.Response(status, headers={name.replace("_", "-"): value for name, value in heads.items()},
                          stream=Body(body))  # fmt: skip


class Collector(httpx.AsyncBaseTransport):
    """Answers as `says` says, in turn, then 200; notes when what came. Exceptions are raised, None hangs."""

    def __init__(self, *says: int | httpx.Response | Exception | None) -> None:
        self.says = list(says)
        self.seen: list[tuple[float, str, Any, httpx.Headers]] = []
        self.always: int | httpx.Response | Exception | None = 200

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(await request.aread())
        self.seen.append((trio.current_time(), request.url.path, body, request.headers))
        say = self.says.pop(0) if self.says else self.always
        if say is None:
            await trio.sleep_forever()
        if isinstance(say, Exception):
            raise say
        return say if isinstance(say, httpx.Response) else answer(say or 0)

    def calls(self) -> list[str]:
        """The ids of the calls whose spans came, as often as they did."""
        return [
            next(one["value"]["stringValue"] for one in span["attributes"] if one["key"] == "ftgate.request_id")
            for _, path, body, _ in self.seen
            if path.endswith("/traces")
            for span in body["resourceSpans"][0]["scopeSpans"][0]["spans"]
        ]

    def times(self, path: str) -> list[float]:
        began = self.seen[0][0]
        return [round(at - began, 3) for at, where, _, _ in self.seen if where.endswith(path)]


def sender(collector: Collector) -> Sender:
    return Sender(TERMS, SystemClock(), collector)


async def nothing() -> None:
    """All is written."""


async def ran(collector: Collector, calls: int, seconds: float) -> Sender:
    """A sender that was given these calls, after so long."""
    one = sender(collector)
    with trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.run)
            one.take([row(f"r{number}") for number in range(calls)])
    return one


async def test_spans_come_soon_and_sums_once_a_minute(autojump_clock: MockClock) -> None:
    collector = Collector()
    await ran(collector, 3, 125)
    assert collector.calls() == ["r0", "r1", "r2"]
    assert len(collector.times("/base/v1/traces")) == 1
    assert len(collector.times("/base/v1/metrics")) == 2
    heads = collector.seen[0][3]
    assert heads["authorization"] == "Bearer secret-of-the-collector" and heads["content-type"] == "application/json"


async def test_many_go_in_pieces(autojump_clock: MockClock) -> None:
    collector = Collector()
    await ran(collector, 2 * BATCH + 1, 10)
    assert len(collector.times("/traces")) == 3
    assert collector.calls() == [f"r{number}" for number in range(2 * BATCH + 1)]


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_it_is_tried_again_when_the_collector_says(status: int, autojump_clock: MockClock) -> None:
    collector = Collector(answer(status, Retry_After="7"), status)
    one = await ran(collector, 1, 30)
    assert collector.times("/traces") == [0, 7, 9]
    assert collector.calls() == ["r0"] * 3 and one.dropped == 0


@pytest.mark.parametrize("status", [400, 401, 404, 413, 500, 501, 302])
async def test_other_refusals_are_final(
    status: int, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    collector = Collector(status)
    one = await ran(collector, 2, 30)
    assert collector.times("/traces") == [0]
    assert one.dropped == 2
    assert f"did not take the spans of 2 calls, which are dropped: status {status}" in caplog.text


async def test_a_collector_that_is_not_there_costs_spans_only(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said once, and once more when it is back."""
    monkeypatch.setattr(telemetry, "MOST_WAITING", 200)
    collector = Collector()
    collector.always = httpx.ConnectError("refused: secret-of-the-collector")
    one = sender(collector)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.run)
        one.take([row(f"r{number}") for number in range(200 + BATCH + 10)])
        await trio.sleep(200)
        assert len(one.waiting) <= 200 and not one.ended
        assert one.dropped >= BATCH + 10
        assert [record.levelno for record in caplog.records] == [logging.WARNING]
        collector.always = 200
        await trio.sleep(70)
        nursery.cancel_scope.cancel()
    assert not one.waiting
    assert len({*collector.calls()}) == 200  # all that waited, and those that were tried before
    assert "takes telemetry again" in caplog.text
    assert "secret" not in caplog.text
    counted = collector.seen[-1][2]["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][1]["histogram"]["dataPoints"]
    assert counted[0]["count"] == str(200 + BATCH + 10)  # no sum lacks what was dropped


async def test_one_that_hangs_is_left(autojump_clock: MockClock) -> None:
    collector = Collector(None)
    one = await ran(collector, 1, 30)
    assert collector.times("/traces") == [0, 11]
    assert one.dropped == 0


async def test_one_that_never_ends_its_answer_is_left(autojump_clock: MockClock) -> None:
    collector = Collector(httpx.Response(200, stream=Body(b" " * 100_000, endless=True)))
    one = await ran(collector, 1, 30)
    assert collector.times("/traces") == [0, 11] and one.dropped == 0


async def test_what_it_rejects_is_said(autojump_clock: MockClock, caplog: pytest.LogCaptureFixture) -> None:
    await ran(Collector(answer(200, b'{"partialSuccess": {"rejectedSpans": "2"}}')), 2, 5)
    assert "rejected 2 spans" in caplog.text


@pytest.mark.parametrize(
    "said", [b"", b"{}", b"[]", b"7", b'{"partialSuccess": {}}', b'{"partialSuccess": null}', b"{"]
)
def test_an_answer_that_rejects_nothing(said: bytes) -> None:
    assert rejected_spans(said) == 0


async def test_an_end_sends_what_is_left(autojump_clock: MockClock) -> None:
    """Also calls that are written only now."""
    collector = Collector()
    one = await ran(collector, 1, 0.5)
    assert collector.seen == []

    async def written() -> None:
        one.take([row("last")])

    await one.finish(written)
    assert collector.calls() == ["r0", "last"]
    assert len(collector.times("/metrics")) == 1


async def test_an_end_waits_for_no_collector(autojump_clock: MockClock, caplog: pytest.LogCaptureFixture) -> None:
    collector = Collector()
    collector.always = None
    one = await ran(collector, 5, 3)  # it hangs in the midst of the first ones
    began = trio.current_time()
    await one.finish(nothing)
    assert trio.current_time() - began == pytest.approx(FLUSH_S)
    assert one.dropped == 5
    assert "the server ended" in caplog.text


async def test_an_end_waits_for_no_database(autojump_clock: MockClock) -> None:
    one = await ran(Collector(), 0, 1)
    began = trio.current_time()
    await one.finish(trio.sleep_forever)
    assert trio.current_time() - began == pytest.approx(FLUSH_S)


async def test_a_bug_ends_telemetry_and_nothing_else(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def bug(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(telemetry.otlp, "traces_request", bug)
    one = sender(Collector())
    one.take([row("r")])
    with trio.fail_after(5):
        await one.run()
    one.take([row("s")])
    assert one.ended == [] and not one.waiting
    assert "telemetry ends" in caplog.text
    await one.finish(nothing)


async def test_without_an_endpoint_nothing_is_made(tmp_path: Path) -> None:
    async with opened(tmp_path / "data", SETTINGS) as house:
        await app._telemetry(house)
        assert house.writer.onlooker is None


async def test_rows_are_told_once_they_are_written(tmp_path: Path) -> None:
    async with opened(tmp_path / "data", SETTINGS) as house:
        one = sender(Collector())
        house.writer.onlooker = one.take
        batch = house.writer.changed()
        batch.rows.append(row("r"))
        assert one.ended == []
        await house.writer.durable(batch)
        assert [ended.request_id for ended in one.ended] == ["r"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", None), ("soon", None), ("0", 0), ("1.5", 1.5), ("120", 120), ("-3", None), ("1e999", None), ("nan", None),
        ("Thu, 01 Jan 1970 00:16:50 GMT", 10), ("Thu, 01 Jan 1970 00:00:01 GMT", 0), ("Thu, 99 Jan 1970", None),
        ("9" * 400, None), ("Thu, 01 Jan 99999 00:00:00 GMT", None), ("１", 1.0),
    ],
)  # fmt: skip
def test_how_long_a_collector_wants_to_be_left_alone(text: str, seconds: float | None) -> None:
    assert retry_after_s(text, 1000.0) == seconds
