"""Ended calls to an OpenTelemetry collector: spans as they come, sums once a minute (core.otlp has the words).

Nothing here is on a call's way. The writer hands over the rows of what it has committed, one append; a task of its own
counts and sends them. What a collector does not take in time is dropped and counted: a dead one costs nothing else. It
is tried again only where OTLP says so (429, 502, 503, 504, or no connection); sums need no second try, since the next
ones hold them.
"""

import logging
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC
from email.utils import parsedate_to_datetime
from math import isfinite
from urllib.parse import urlsplit

import httpx
import msgspec
import trio

from ftgate import __version__
from ftgate.config.settings import Telemetry
from ftgate.core import otlp
from ftgate.ports import Clock, Row

log = logging.getLogger("ftgate.telemetry")

MOST_WAITING = 5000
"""Calls whose spans may wait: a minute of a busy home's, in a few megabytes."""
BATCH = 32
"""Calls in one request: so many are written in about a millisecond, for which no call goes on."""
COUNT_S = 1.0
"""How often what has ended is counted."""
METRICS_S = 60.0
TIMEOUT_S = 10.0
"""For one request, as OTLP's exporters have it by default."""
WAITS_S = (1.0, 2.0, 4.0, 8.0)
"""Between tries of one batch, where the collector does not say how long."""
LONGEST_WAIT_S = 60.0
FLUSH_S = 2.0
"""How long an end of the process waits for the last ones."""
CLOSE_S = 0.5
MOST_ANSWER = 65_536
"""Bytes of an answer that are kept."""
AGAIN = frozenset((429, 502, 503, 504))


class Refused(Exception):
    """The collector did not take it: why, in words. `again`: it may be tried again, after `wait_s` where it said."""

    def __init__(self, words: str, *, again: bool, wait_s: float | None = None) -> None:
        super().__init__(words)
        self.again = again
        self.wait_s = wait_s


class Sender:
    """Over a wire of its own. `terms` has an endpoint; `wire` is for tests."""

    def __init__(self, terms: Telemetry, clock: Clock, wire: httpx.AsyncBaseTransport | None = None) -> None:
        assert terms.otlp_endpoint is not None
        for name in ("httpx", "httpcore"):
            logging.getLogger(name).setLevel(logging.WARNING)  # below it they write a line for each request
        self.clock = clock
        self.endpoint = terms.otlp_endpoint
        self.client = httpx.AsyncClient(
            headers={**terms.headers, "Content-Type": "application/json", "User-Agent": f"ftgate/{__version__}"},
            timeout=TIMEOUT_S, follow_redirects=False, trust_env=False, transport=wire,
        )  # fmt: skip
        self.resource: otlp.Place = (
            ("service.name", terms.service_name), ("service.version", __version__),
            ("service.instance.id", secrets.token_hex(16)),
        )  # fmt: skip
        self.figures = otlp.Figures(clock.wall_us() * 1000)
        self.ended: list[Row] = []
        self.waiting: deque[Row] = deque()
        self.dropped = 0
        self.broken = False
        self._told = False

    def __repr__(self) -> str:
        return f"<Sender to {urlsplit(self.endpoint).netloc}: {len(self.waiting)} wait, {self.dropped} dropped>"

    def take(self, rows: Sequence[Row]) -> None:
        """Calls that have ended, and can no longer be lost."""
        if not self.broken:
            self.ended += rows

    async def run(self) -> None:
        """Until cancelled; a bug here ends this and nothing else."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._keep_sending_spans)
                nursery.start_soon(self._keep_sending_metrics)
                while True:
                    await trio.sleep(COUNT_S)
                    self.count()
        except Exception:  # calls must not end with what is only told of them
            self._break()

    def _break(self) -> None:
        self.broken = True
        self.ended.clear()
        self.waiting.clear()
        log.exception("telemetry ends until the next start; calls go on")

    async def _keep_sending_spans(self) -> None:
        while True:
            await trio.sleep(COUNT_S)
            while self.waiting:
                await self._send_spans(WAITS_S)

    async def _keep_sending_metrics(self) -> None:
        while True:
            await trio.sleep(METRICS_S)
            await self._send_metrics()

    def count(self) -> None:
        """Count what has ended since the last time; its spans wait, where there is room."""
        rows, self.ended = self.ended, []
        for row in rows:
            self.figures.call(row)
        room = max(0, MOST_WAITING - len(self.waiting))
        self.waiting.extend(rows[:room])
        if len(rows) > room:
            self._drop(len(rows) - room, "more calls end than it takes")

    async def finish(self, written: Callable[[], Awaitable[object]]) -> None:
        """Send what is left, once, when the last calls are `written`; for FLUSH_S at the most. Then close the wire."""
        with trio.CancelScope(shield=True, deadline=trio.current_time() + FLUSH_S):
            try:
                await written()
                self.count()
                while self.waiting:
                    await self._send_spans(())
                await self._send_metrics()
            except Exception:  # as above
                self._break()
        if self.waiting:
            self._drop(len(self.waiting), "the server ended")
        with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_S):
            await self.client.aclose()

    async def _send_spans(self, waits_s: Sequence[float]) -> None:
        """The spans of some calls; those that are not taken after so many waits are dropped. Cancelled, they wait."""
        rows = [self.waiting.popleft() for _ in range(min(BATCH, len(self.waiting)))]
        sent = False
        try:
            body = msgspec.json.encode(otlp.traces_request(self.resource, __version__, rows))
            said = await self._post_patiently("/v1/traces", body, waits_s)
            sent = True
            if rejected := rejected_spans(said):
                self._tell(f"rejected {rejected} spans")
        except Refused as refused:
            sent = True
            self._drop(len(rows), str(refused))
        finally:
            if not sent:
                self.waiting.extendleft(reversed(rows))

    async def _send_metrics(self) -> None:
        metrics = []
        for metric in self.figures.metrics(self.clock.wall_us() * 1000):
            metrics.append(metric)
            await trio.lowlevel.checkpoint()  # calls go on in between
        if metrics:
            body = msgspec.json.encode(otlp.metrics_request(self.resource, __version__, metrics))
            try:
                await self._post("/v1/metrics", body)
            except Refused as refused:
                self._tell(f"did not take the sums: {refused}")

    async def _post_patiently(self, path: str, body: bytes, waits_s: Sequence[float]) -> bytes:
        """What it answers. Raises Refused."""
        for wait_s in waits_s:
            try:
                return await self._post(path, body)
            except Refused as refused:
                if not refused.again:
                    raise
                told = wait_s if refused.wait_s is None else refused.wait_s
                await trio.sleep(min(told, LONGEST_WAIT_S))
        return await self._post(path, body)

    async def _post(self, path: str, body: bytes) -> bytes:
        """What it answers, as far as that is kept. Raises Refused."""
        said = b""
        with trio.move_on_after(TIMEOUT_S) as limit:
            try:
                async with self.client.stream("POST", self.endpoint + path, content=body) as answer:
                    async for piece in answer.aiter_raw():
                        said += piece[: MOST_ANSWER - len(said)]
            except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
                raise Refused(type(error).__name__, again=True) from error
        if limit.cancelled_caught:
            raise Refused(f"no answer within {TIMEOUT_S:g} s", again=True)
        if not answer.is_success:
            wait_s = retry_after_s(answer.headers.get("retry-after", ""), self.clock.wall_us() / 1e6)
            raise Refused(f"status {answer.status_code}", again=answer.status_code in AGAIN, wait_s=wait_s)
        if self._told:
            self._told = False
            log.warning("the collector at %s takes telemetry again", self._place())
        return said

    def _drop(self, calls: int, why: str) -> None:
        self.dropped += calls
        self._tell(f"did not take the spans of {calls} calls, which are dropped: {why}")

    def _tell(self, what: str) -> None:
        """Once, until it takes something again."""
        if not self._told:
            self._told = True
            log.warning("the collector at %s %s. Calls go on; this is said once", self._place(), what)

    def _place(self) -> str:
        return urlsplit(self.endpoint).netloc


def rejected_spans(said: bytes) -> int:
    """How many spans an answer says were not taken."""
    try:
        return int(msgspec.json.decode(said)["partialSuccess"]["rejectedSpans"])
    except (ValueError, TypeError, KeyError, msgspec.DecodeError):
        return 0


def retry_after_s(text: str, now_s: float) -> float | None:
    """Seconds that a Retry-After tells to wait, from now (seconds since 1970) on; None where it says nothing usable."""
    with suppress(ValueError, OverflowError):
        seconds = float(text) if text[:1].isdigit() else _date_s(text) - now_s
        return max(0.0, seconds) if isfinite(seconds) else None
    return None


def _date_s(text: str) -> float:
    """A date of HTTP, in seconds since 1970. Raises ValueError."""
    date = parsedate_to_datetime(text)
    return date.replace(tzinfo=date.tzinfo or UTC).timestamp()
