"""In-memory stand-ins for the gate's ports, for transcripts on Trio's mock clock: no thread, no socket, no real time.

`Stage` sets a gate on them. Every one of their methods passes a checkpoint, so that a cancellation can strike wherever
it can in the real thing.
"""

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import msgspec
import trio

from ftgate import dialects
from ftgate.core.audit import Audit
from ftgate.core.books import Books, Ended, Entry
from ftgate.core.health import Health
from ftgate.core.limits import Limits, Rates
from ftgate.core.money import parse_price
from ftgate.core.pricing import Price
from ftgate.core.retrying import Retry
from ftgate.core.routing import Address, Channel, Model, Routes, Timeouts
from ftgate.core.secret import Secret
from ftgate.dialects import openai_chat
from ftgate.errors import UpstreamFailed
from ftgate.line.call import Call
from ftgate.line.gate import Gate
from ftgate.ports import (
    Answer,
    DoorSettings,
    GateSettings,
    Headers,
    Held,
    Key,
    Row,
    Sending,
    SiteSettings,
    Taker,
    Terms,
    UpstreamRequest,
)
from ftgate.store.batch import Batch
from ftgate.store.ledger import MemoryLedger


class InlineLog:
    """store.ledger.Log without a thread. `stuck` makes commits hang, `trouble` is what busy() says."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.trouble: str | None = None
        self.stuck = False

    def busy(self) -> str | None:
        return self.trouble

    def changed(self, *, soon: bool = True) -> Batch:
        batch = Batch()
        batch.done = not self.stuck
        self.batches.append(batch)
        return batch

    async def durable_within(self, batch: Batch, seconds: float) -> bool:
        await trio.lowlevel.checkpoint()
        with trio.move_on_after(seconds):
            while not batch.done:
                await trio.sleep(0.1)
        return batch.done

    def unstick(self) -> None:
        self.stuck = False
        for batch in self.batches:
            batch.done = True

    @property
    def entries(self) -> list[Entry]:
        return [entry for batch in self.batches for entry in batch.entries]

    @property
    def rows(self) -> list[Row]:
        return [row for batch in self.batches for row in batch.rows]


class PausingLedger(MemoryLedger):
    """The real ledger with a checkpoint before and after each decision, as a remote one would have. It keeps what
    ports.Ledger promises: a hold that is cancelled after its decision leaves none behind."""

    immediate = False

    async def hold(self, request: Any) -> Any:
        await trio.lowlevel.checkpoint()
        held = await super().hold(request)
        try:
            await trio.lowlevel.checkpoint()
        except trio.Cancelled:
            if isinstance(held, Held):
                assert isinstance(held.id, int)
                hold = self.books.open[held.id]
                ended = self.books.void(held.id, at_us=self.clock.wall_us())
                assert isinstance(ended, Ended)
                balance, quota = self.books.accounts[hold.account], self.books.quotas[hold.key]
                self.log.changed().remember(ended.entries, balance, quota)
            raise
        return held

    async def settle(self, hold: object, charge: int | None, row: Row) -> Any:
        await trio.lowlevel.checkpoint()
        settled = await super().settle(hold, charge, row)
        await trio.lowlevel.checkpoint()
        return settled

    async def durable_within(self, ticket: object, seconds: float) -> bool:
        await trio.lowlevel.checkpoint()
        return await super().durable_within(ticket, seconds)


class ScriptedAnswer:
    """Plays the rest of a script: bytes come, ("wait", s) passes time, an UpstreamFailed is raised; then the clean
    end."""

    def __init__(self, upstream: "ScriptedUpstream", status: int, headers: Headers, steps: Sequence[Any]) -> None:
        self.upstream = upstream
        self.status = status
        self.headers = headers
        self.whole: bytes | None = None
        self.steps = list(steps)

    async def receive(self) -> bytes:
        await trio.lowlevel.checkpoint()
        while self.steps:
            step = self.steps.pop(0)
            if isinstance(step, bytes):
                return step
            if isinstance(step, BaseException):
                raise step
            await trio.sleep(step[1])
        return b""

    async def pump(self, take: Callable[[bytes], bool]) -> bool:
        if not self.upstream.pumps:
            return False
        await trio.lowlevel.checkpoint()
        while self.steps and not isinstance(self.steps[0], BaseException):
            step = self.steps.pop(0)
            if not isinstance(step, bytes):
                await trio.sleep(step[1])
            elif not take(step):
                break
        return True

    async def aclose(self) -> None:
        self.upstream.open_answers -= 1
        with trio.CancelScope(shield=True):
            await trio.lowlevel.checkpoint()


class ScriptedUpstream:
    """ports.Upstream by script: one list of steps an attempt, taken in order. The first step may be (status, headers),
    an UpstreamFailed, or ("wait", s) before either; ("connect", s) before all lets time pass with nothing sent yet."""

    def __init__(self, *scripts: Sequence[Any]) -> None:
        self.scripts = [list(script) for script in scripts]
        self.pumps = True  # its answers can be passed on without a task
        self.requests: list[UpstreamRequest] = []
        self.open_answers = 0

    def begin(self, request: UpstreamRequest, sending: Sending, now: float) -> None:
        """As ports.Upstream says: each call is opened."""

    def script(self, request: UpstreamRequest) -> list[Any]:
        """The steps of the attempt that this request is."""
        return self.scripts.pop(0)

    async def open(self, request: UpstreamRequest, sending: Sending | None = None) -> Answer:
        self.requests.append(request)
        await trio.lowlevel.checkpoint()
        steps = self.script(request)
        while steps:
            step = steps.pop(0)
            if isinstance(step, UpstreamFailed):
                if sending is not None:
                    sending.sent = step.sent
                raise step
            if step[0] == "connect":
                await trio.sleep(step[1])
                continue
            if sending is not None:
                sending.sent = True
            if step[0] == "wait":
                await trio.sleep(step[1])
                continue
            await trio.lowlevel.checkpoint()
            self.open_answers += 1
            return ScriptedAnswer(self, step[0], step[1], steps)
        raise AssertionError("a script without an answer")


class RecordingClient:
    """ports.Client that keeps what it got. Every third piece that is to go at once does not. Two who speak to it at
    the same time are a failure."""

    immediate = True

    def __init__(self) -> None:
        self.pieces = 0
        self.waiting = b""
        self.busy = False
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.body = b""
        self.ended = False

    async def answer(self, status: int, headers: Headers, body: bytes) -> None:
        await self.start(status, headers)
        await self.send(body)
        await self.end()

    async def start(self, status: int, headers: Headers) -> None:
        assert self.status is None, "two heads for one call"
        self.status = status
        self.headers = {name.decode(): value.decode() for name, value in headers}
        await self._pause()

    async def _pause(self) -> None:
        assert not self.busy, "two speak at the same time"
        self.busy = True
        try:
            await trio.lowlevel.checkpoint()
        finally:
            self.busy = False

    async def send(self, data: bytes) -> None:
        assert not self.ended
        self.body += self.waiting + data
        self.waiting = b""
        await self._pause()

    def send_now(self, data: bytes) -> bool:
        assert not self.waiting and not self.busy and not self.ended
        self.pieces += 1
        if self.pieces % 3:
            self.body += data
        else:
            self.waiting = data
        return not self.waiting

    async def end(self, data: bytes = b"") -> None:
        self.body += self.waiting + data
        self.waiting = b""
        self.ended = True
        await self._pause()


class OneKey:
    """ports.Keys with a single key."""

    def __init__(self, key: Key) -> None:
        self.key = key

    async def find(self, secret: bytes) -> Key | None:
        await trio.lowlevel.checkpoint()
        return self.key if secret == b"sk-ft_test" else None


class Still:
    """ports.Live: settings that change when a test puts others in their place."""

    def __init__(self, gate: GateSettings | None = None, *, doors: DoorSettings | None = None) -> None:
        self.gate = gate or GateSettings(routes=Routes(channels=()), retry=Retry(), total_s=1, plans={})
        self.doors = doors or DoorSettings(max_body_bytes=10**6, cors=False)
        self.site = SiteSettings()


class Forgetful(Health):
    """Nothing that attempts say is remembered: for tests whose calls must not depend on each other."""

    def note(self, *said: Any, **more: Any) -> str:
        return ""


class TrioClock:
    def now(self) -> float:
        return trio.current_time()

    def wall_us(self) -> int:
        return int(trio.current_time() * 1_000_000)


PRICE = Price(*(parse_price(p) for p in ("1", "2", "0.1", "1", "1")))


def model(name: str = "m", **changes: Any) -> Model:
    fields: dict[str, Any] = {
        "name": name,
        "upstream": name + "-upstream",
        "price": PRICE,
        "context": 10_000,
        "max_output": 1000,
    }
    return Model(**{**fields, **changes})


def addresses(prefix: str, *names: str) -> dict[str, Address]:
    """Addresses in these dialects (by default in all that are spoken) behind one prefix."""
    return {
        name: Address(name, prefix + dialects.ADDRESSES[name], "bearer", dialects.cap_fields(name))
        for name in names or dialects.ALL
    }


def channel(name: str = "one", *models: Model, **changes: Any) -> Channel:
    fields: dict[str, Any] = {
        "name": name, "provider": name, "addresses": addresses(f"http://{name}.invalid"),
        "credentials": (Secret("sk-upstream"),), "models": {m.name: m for m in models or (model(),)},
        "timeouts": Timeouts(connect=5, head=60, answer=600, first_token=120, idle=60, total=1800),
    }  # fmt: skip
    return Channel(**{**fields, **changes})


def _with_total(way: Channel, total_s: float) -> Channel:
    """A channel without a total of its own has that of all, as in a config."""
    if way.timeouts.total != Timeouts().total or total_s == way.timeouts.total:
        return way
    return msgspec.structs.replace(way, timeouts=msgspec.structs.replace(way.timeouts, total=total_s))


class Stage:
    """A gate with one account of `credits` units and one key, over fakes."""

    def __init__(
        self, upstream: ScriptedUpstream, *channels: Channel, credits: int = 10**12, metered: bool = False,
        quota: int | None = None,
        key: dict[str, Any] | None = None, rates: Rates | None = None, model_rates: dict[str, Rates] | None = None,
        retry: Retry | None = None, total_s: float = 1800, terms: Terms | None = None,
        keepalive_s: float = 15.0, takers: dict[str, Taker] | None = None, **routes: Any,
    ) -> None:  # fmt: skip
        self.upstream = upstream
        self.log = InlineLog()
        self.books = Books()
        self.books.open_account(1, metered=metered)
        self.books.open_key(1, limit=quota)
        self.credits = credits
        if credits:
            granted = self.books.grant(1, credits, ref="grant_1", at_us=0)
            assert isinstance(granted, Entry)
            self.log.changed().remember((granted,), self.books.accounts[1])
        fields: dict[str, Any] = {
            "id": 1, "account": 1, "name": "k", "prefix": "sk-ft_", "active": True, "account_active": True,
            "metered": metered,
            "plan": "default",
        }  # fmt: skip
        clock = TrioClock()
        ways = tuple(_with_total(way, total_s) for way in channels or (channel(),))
        self.gate = Gate(
            live=Still(
                GateSettings(
                    routes=Routes(channels=ways, **routes), retry=retry or Retry(), total_s=total_s,
                    plans={"default": terms or Terms()}, keepalive_s=keepalive_s, takers=takers or {},
                    limited=frozenset(model_rates or ()),
                )
            ),
            keys=OneKey(Key(**{**fields, **(key or {})})),
            ledger=PausingLedger(self.books, self.log, clock),
            upstream=upstream,
            limits=Limits(
                lambda scope, name: {"key": rates or Rates(), "account": Rates(), "model": (model_rates or {}).get(name,
                Rates())}[scope]
            ),
            clock=clock,
        )  # fmt: skip
        self.client = RecordingClient()
        self.numbers = count()

    def call(self, body: bytes, *, secret: bytes | None = b"sk-ft_test") -> Call:
        return Call(id=f"req_{next(self.numbers)}", dialect=openai_chat, secret=secret, body=body)

    async def relay(self, body: bytes) -> RecordingClient:
        client = RecordingClient()
        await self.gate.relay(self.call(body), client)
        self.check()
        return client

    def check(self) -> None:
        """What holds after every call: no open hold, entries that add up, every ended hold with exactly one row."""
        assert not self.books.open
        assert not self.gate.calls and not self.gate.keeper.waiting
        assert self.upstream.open_answers == 0
        audit = Audit()
        for entry in self.log.entries:
            audit.note(entry)
        balance = self.books.accounts[1]
        audit.finish({1: (balance.posted, balance.held, balance.used)}, {1: self.books.quotas[1].used})
        holds = [entry.id for entry in self.log.entries if entry.kind == "hold"]
        assert sorted(row.hold for row in self.log.rows if row.hold) == holds
        assert balance.held == 0 and self.books.quotas[1].held == 0
        assert sum(row.cost for row in self.log.rows) == balance.used + (self.credits - balance.posted)
        for meters in self.gate.limits._meters.values():
            assert meters.in_flight == 0
