"""One real call of a few tokens to one channel with each of its keys, charged to nobody: does it answer, how fast?

It walks the same line as any call, over a ledger that holds nothing; what it teaches of the channel is not remembered.
"""

import msgspec
import trio

from ftgate import dialects
from ftgate.core.limits import Limits, Rates, Refused, Ticket
from ftgate.core.redact import redact
from ftgate.core.retrying import Retry
from ftgate.core.routing import Channel, Model, Routes
from ftgate.core.secret import Secret
from ftgate.errors import InvalidRequest
from ftgate.line.call import Call
from ftgate.line.gate import Gate
from ftgate.line.standing import hint
from ftgate.ports import (
    Answer,
    Begun,
    Clock,
    DoorSettings,
    GateSettings,
    Headers,
    Held,
    HoldRequest,
    Key,
    Row,
    Sending,
    Settled,
    SiteSettings,
    Terms,
    Upstream,
    UpstreamRequest,
)  # fmt: skip

MOST_TOKENS = 16
"""Of the answer: some providers refuse less."""
TRIAL_S = 60.0


class Trial(msgspec.Struct, frozen=True):
    """How it went. `status` is what a caller would have seen; `error` is the channel's own word, without a secret."""

    ok: bool
    model: str
    status: int
    latency_ms: int
    first_token_ms: int | None
    error: str | None

    def shown(self) -> dict[str, object]:
        return msgspec.structs.asdict(self)


async def trial(upstream: Upstream, settings: GateSettings, channel: Channel, model: str | None, clock: Clock) -> Trial:
    """Ask this channel, whatever is known of it, by each of its keys in turn until one fails. `model` by default is its
    cheapest. The times are those of the first key. Raises InvalidRequest for a model that is not its own."""
    chosen = _chosen(channel, model)
    first: Trial | None = None
    for key in channel.credentials:
        said = await _by(key, upstream, settings, channel, chosen, clock)
        if not said.ok:
            which = f"its key {hint(key)}: " if len(channel.credentials) > 1 else ""
            return msgspec.structs.replace(said, error=f"{which}{said.error}")
        first = first or said
    assert first is not None  # a channel without a key has an empty one
    return first


async def _by(
    key: Secret, upstream: Upstream, settings: GateSettings, channel: Channel, chosen: Model, clock: Clock
) -> Trial:
    alone = msgspec.structs.replace(channel, weight=1, enabled=True, models={chosen.name: chosen}, credentials=(key,))
    routes = Routes(channels=(alone,))
    once = msgspec.structs.replace(
        settings, routes=routes, retry=Retry(attempts=1), plans={"default": Terms()}, keepalive_s=0
    )
    gate = unbilled(once, clock, upstream)
    kind = "openai_embeddings" if chosen.kind == "embeddings" else "openai_chat"
    asked = {"model": chosen.name, "input": "Hello"} if chosen.kind == "embeddings" else {
        "model": chosen.name, "messages": [{"role": "user", "content": "Say OK."}], "max_tokens": MOST_TOKENS,
        "stream": True,
    }  # fmt: skip
    call = Call(id="req_trial", dialect=dialects.ALL[kind], secret=None, body=msgspec.json.encode(asked), key=OPERATOR)
    client = _Told(clock)
    began = clock.now()
    with trio.move_on_after(TRIAL_S):
        await gate.relay(call, client)
    took = int((clock.now() - began) * 1000)
    failed = gate.standing.health.last_error(channel.name)
    ok = client.status == 200 and failed is None
    error = None if ok else failed.text if failed else redact(client.body.decode(errors="replace"))[:500] or "no answer"
    first = None if client.first_at is None else int((client.first_at - began) * 1000)
    return Trial(ok, chosen.name, client.status, took, first, error)


def unbilled(settings: GateSettings, clock: Clock, upstream: Upstream | None = None) -> Gate:
    """A gate of its own, over a ledger that holds nothing, and limits that count nobody; without an upstream it can
    only say where calls would go."""
    return Gate(
        live=_Just(settings),
        keys=_Nobody(), ledger=_Unbilled(), upstream=upstream or _Nowhere(),
        limits=Limits(lambda scope, name: Rates()), clock=clock,
    )  # fmt: skip


def _chosen(channel: Channel, model: str | None) -> Model:
    if model is None:
        of_kind = [m for m in channel.models.values() if m.kind == "chat"] or list(channel.models.values())
        if not of_kind:
            raise InvalidRequest(f"the channel {channel.name} has no models", code="invalid_value", param="model")
        return min(of_kind, key=lambda m: (m.price.input + m.price.output, m.name))
    if model not in channel.models:
        raise InvalidRequest(
            f"{model!r} is no model of the channel {channel.name}", code="invalid_value", param="model"
        )  # fmt: skip
    return channel.models[model]


OPERATOR = Key(
    id=0, account=0, name="trial", prefix="", active=True, account_active=True, metered=True, plan="default"
)  # fmt: skip


class _Just:
    """ports.Live of one moment."""

    def __init__(self, gate: GateSettings) -> None:
        self.gate = gate
        self.doors = DoorSettings(max_body_bytes=1_000_000, cors=False)
        self.site = SiteSettings()


class _Nowhere:
    """ports.Upstream that reaches nobody."""

    def begin(self, request: UpstreamRequest, sending: Sending, now: float) -> Begun | None:
        raise AssertionError("nobody is called")

    async def open(self, request: UpstreamRequest, sending: Sending | None = None) -> Answer:
        raise AssertionError("nobody is called")


class _Nobody:
    """ports.Keys: the call brings its own."""

    async def find(self, secret: bytes) -> Key | None:
        return None


class _Unbilled:
    """ports.Ledger that sets nothing aside and remembers nothing."""

    immediate = True

    def busy(self) -> str | None:
        return None

    async def hold(self, request: HoldRequest) -> Held | None:
        kept = tuple(at for at, _ in enumerate(request.offers))
        return Held("trial", 0, bounded=False, kept=kept, ticket=None) if kept else None

    async def enter(self, ref: str, ticket: Ticket) -> Refused | None:
        return None

    async def available(self, account: int, key: int) -> int | None:
        return None

    async def settle(self, hold: object, charge: int | None, row: Row) -> Settled:
        return Settled(0, 0, None, None)

    async def note(self, row: Row) -> None:
        pass

    def is_durable(self, ticket: object) -> bool:
        return True

    async def durable_within(self, ticket: object, seconds: float) -> bool:
        return True


class _Told:
    """ports.Client that keeps its answer and the time of its first piece."""

    immediate = False

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.status = 0
        self.body = b""
        self.first_at: float | None = None

    async def answer(self, status: int, headers: Headers, body: bytes) -> None:
        self.status, self.body = status, body

    async def start(self, status: int, headers: Headers) -> None:
        self.status = status

    def send_now(self, data: bytes) -> bool:
        raise AssertionError("it is not immediate")

    async def send(self, data: bytes) -> None:
        self.first_at = self.clock.now() if self.first_at is None else self.first_at
        self.body += data

    async def end(self, data: bytes = b"") -> None:
        self.body += data
