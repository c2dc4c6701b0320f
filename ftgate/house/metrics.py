"""What the process counts, in Prometheus' words (ports.operator.Metrics). Nothing is counted here: each scrape reads
what the line, the writer, the throttles and payments keep.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from ftgate import __version__
from ftgate.core.books import Books
from ftgate.core.tally import BOUNDS_S, Tally, Times
from ftgate.store.changes import Changes

UNITS_PER_USD = 10**12
THROTTLED = ("login", "register", "key", "checkout", "byok")
STATES = {"closed": 0, "half-open": 1, "open": 2}
Circuits = Callable[[], Iterable[tuple[str, str, str]]]
Payments = Callable[[], tuple[Mapping[str, int], Mapping[tuple[str, str], int]]]
CopiesCounted = Callable[[], tuple[Mapping[str, int], float | None]]


class Metrics:
    """`calls` says how many are in flight, `circuits` each channel and model with its state, `throttled` how often what
    was refused, `payments` how many came to each status and how many events of each type had which outcome, `copies`
    how many backups were made and failed, and when the last was made (seconds)."""

    def __init__(
        self, tally: Tally, books: Books, writer: Changes, *, calls: Callable[[], int], circuits: Circuits,
        throttled: Mapping[str, int], payments: Payments, copies: CopiesCounted,
    ) -> None:  # fmt: skip
        self.tally = tally
        self.books = books
        self.writer = writer
        self.calls = calls
        self.circuits = circuits
        self.throttled = throttled
        self.payments = payments
        self.copies = copies
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self)
        ProcessCollector(registry=self.registry)

    def text(self) -> bytes:
        return generate_latest(self.registry)

    def collect(self) -> Iterator[Metric]:
        """As prometheus_client asks for it."""
        yield from self._calls()
        yield from self._money()
        yield self._gauge("circuit_state", "0 closed, 1 half-open, 2 open", ("channel", "model"), {
            (channel, model): STATES[state] for channel, model, state in self.circuits()
        })  # fmt: skip
        yield self._gauge("calls_in_flight", "Calls in flight", (), {(): self.calls()})
        yield self._gauge("writer_queue_depth", "Changes not in the database yet", (), {(): self.writer.depth()})
        slow = "Statements that took too long for a turn"
        yield self._counter("slow_statements", slow, (), {(): self.writer.slowed})
        yield self._histogram("commit_seconds", "Commits", (), {(): self.writer.took})
        reached, events = self.payments()
        yield self._counter("payments", "Payments by status", ("status",), {(s,): n for s, n in reached.items()})
        yield self._counter("stripe_events", "Stripe's events", ("type", "outcome"), dict(events))
        backups, last_s = self.copies()
        yield self._counter("backups", "Scheduled backups", ("outcome",), {(o,): n for o, n in backups.items()})
        last: Mapping[Any, float] = {} if last_s is None else {(): last_s}
        yield self._gauge("backup_last_success_seconds", "When the last was made (Unix time)", (), last)
        said = {(what,): self.throttled.get(what, 0) for what in THROTTLED}
        yield self._counter("throttled", "Refusals by throttles", ("what",), said)
        yield self._gauge("build_info", "The version", ("version",), {(__version__,): 1})

    def _calls(self) -> Iterator[Metric]:
        requests: dict[tuple[str, ...], float] = {}
        tokens: dict[tuple[str, ...], float] = {}
        took: dict[tuple[str, ...], Times] = {}
        first: dict[tuple[str, ...], Times] = {}
        for (model, provider, channel, status, mode, stream), line in list(self.tally.lines.items()):
            streamed = "true" if stream else "false"
            requests[model, provider, channel, status, mode, streamed] = line.calls
            for kind in ("prompt", "cached", "completion"):
                place = model, provider, kind
                tokens[place] = tokens.get(place, 0) + getattr(line, kind)
            _join(took, (model, provider, streamed), line.took)
            _join(first, (model, provider), line.first)
        labels = ("model", "provider", "channel", "status", "mode", "stream")
        yield self._counter("requests", "Calls", labels, requests)
        yield self._counter("tokens", "Tokens", ("model", "provider", "kind"), tokens)
        yield self._histogram("request_seconds", "Calls, whole", ("model", "provider", "stream"), took)
        yield self._histogram("first_token_seconds", "To the first token", ("model", "provider"), first)
        attempts: Mapping[Any, float] = self.tally.all_attempts()
        yield self._counter("attempts", "Attempts", ("channel", "outcome"), attempts)

    def _money(self) -> Iterator[Metric]:
        cost: dict[tuple[str, ...], int] = {}
        for (model, provider, *_), line in list(self.tally.lines.items()):
            cost[model, provider] = cost.get((model, provider), 0) + line.cost
        usd = {place: units / UNITS_PER_USD for place, units in cost.items()}
        yield self._counter("cost_usd", "Charged", ("model", "provider"), usd)
        lost = {(reason,): units / UNITS_PER_USD for reason, units in {"overrun": 0, **self.tally.lost}.items()}
        yield self._counter("loss_usd", "Used and not paid", ("reason",), lost)
        held = sum(hold.amount for hold in self.books.open.values())
        yield self._gauge("open_holds", "Holds that are open", (), {(): len(self.books.open)})
        yield self._gauge("held_usd", "What they hold", (), {(): held / UNITS_PER_USD})

    @staticmethod
    def _counter(name: str, told: str, labels: tuple[str, ...], values: Mapping[Any, float]) -> Metric:
        return _filled(CounterMetricFamily(f"ftgate_{name}", told, labels=labels), values)

    @staticmethod
    def _gauge(name: str, told: str, labels: tuple[str, ...], values: Mapping[Any, float]) -> Metric:
        return _filled(GaugeMetricFamily(f"ftgate_{name}", told, labels=labels), values)

    @staticmethod
    def _histogram(name: str, told: str, labels: tuple[str, ...], values: Mapping[Any, Times]) -> Metric:
        family = HistogramMetricFamily(f"ftgate_{name}", told, labels=labels)
        bounds = [*(f"{bound:g}" for bound in BOUNDS_S), "+Inf"]
        for place, times in values.items():
            buckets = list(zip(bounds, map(float, accumulate(times.buckets)), strict=True))
            family.add_metric(place, buckets, times.sum_s)
        return family


def _join(found: dict[tuple[str, ...], Times], place: tuple[str, ...], more: Times) -> None:
    times = found.setdefault(place, Times())
    times.sum_s += more.sum_s
    times.buckets = [one + other for one, other in zip(times.buckets, more.buckets, strict=True)]


def _filled(family: CounterMetricFamily | GaugeMetricFamily, values: Mapping[Any, float]) -> Metric:
    """A family with a value at each place, which its labels name."""
    for place, value in values.items():
        family.add_metric(place, value)
    return family
