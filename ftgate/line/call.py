"""One call while it runs: what is known of it, and the pure decisions about its end (what it is charged, how it is
recorded, what is said when every candidate has failed). gate.py walks the line; this file answers its questions and
awaits nothing.
"""

import math
import re
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import urlsplit

import msgspec
import trio

from ftgate.core import estimate, limits, pricing
from ftgate.core.redact import redact
from ftgate.core.routing import Candidate, Model, Outcome, Verdict
from ftgate.core.usage import UNKNOWN_BOUND, Measured, Usage, judge
from ftgate.dialects.talk import NOTHING, Dialect, Meter, Reader
from ftgate.errors import (
    GateError,
    InternalError,
    NoHealthyProvider,
    ProviderError,
    ProviderTimeout,
    RateLimited,
    Refused,
    ShuttingDown,
)
from ftgate.ports import Begun, Client, GateSettings, Headers, Held, Key, Row, Sending, Settled

_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")

DRAIN_S = 60.0
"""Seconds an upstream is read on after its client has left, for its usage."""


class Call:
    """A request as a door hands it over, and the handle by which the door ends it early.

    `id` is ours and unique; `secret` the key shown, None if none; `key` its key where the door has just looked at it;
    `dialect` what the caller speaks.
    """

    def __init__(self, *, id: str, dialect: Dialect, secret: bytes | None, body: bytes, key: Key | None = None) -> None:
        self.id = id
        self.dialect = dialect
        self.secret = secret
        self.key = key
        self.body = body
        self.scope: trio.CancelScope | None = (
            None  # around what takes long now: an attempt, or the pause before the next
        )
        self.begun: Begun | None = None  # or what is waited for without a scope
        self.ends_at = math.inf  # when it is out of time (trio.current_time)
        self.ended_by: str | None = None
        self.left = False
        self.cancelled = False
        self.draining: Tried | None = (
            None  # the attempt in progress, where it is to be read to its usage even without a client
        )

    def client_gone(self, why: str = "client_gone") -> None:
        """The client has left (or its write deadline passed). Stops the upstream at once, or drains it, as its channel
        says."""
        if self.left:
            return
        self.left = True
        if self.draining is not None and self.draining.sending.sent:
            self.ended_by = why
            self.ends_at = min(self.ends_at, trio.current_time() + DRAIN_S)
            if self.scope is not None:
                self.scope.deadline = min(self.scope.deadline, self.ends_at)
            elif self.begun is not None:
                self.begun.lower(self.ends_at)
        else:
            self.cancel(why)

    def cancel(self, why: str) -> None:
        """End the call now, recorded as `why`: client_gone, write_timeout, shutdown, operator. What does not take long
        is finished."""
        self.ended_by = self.ended_by or why
        self.cancelled = True
        if self.scope is not None:
            self.scope.cancel()
        elif self.begun is not None:
            self.begun.wake()


class Ended(Exception):
    """The call was ended from outside, or its time is up: exchange.cut_error says how."""


class Tried:
    """One attempt: where it went, what its meter says, how far it came."""

    def __init__(self, candidate: Candidate) -> None:
        self.candidate = candidate
        self.meter = Meter()
        self.sending = Sending()
        self.failed = False
        self.complete = False
        self.awaited = ""  # what has not come, in words, when the time for it is up
        self.pending: list[bytes] = []  # pieces read and not sent on yet


class Exchange:
    """All that is known of a call while it runs. What stands on the class has not been learned yet."""

    key: Key | None = None
    ask = NOTHING
    plan: tuple[Candidate, ...] = ()
    multiplier = pricing.ONE
    held: Held | None = None
    settled: Settled | None = None
    scopes: Sequence[
        tuple[limits.Scope, limits.Meters]
    ] = ()  # its key's and its account's meters, where they have limits
    ticket = limits.NO_TICKET  # of its key and its account
    model_ticket = limits.NO_TICKET  # of the model it is at
    entered = ""  # the name of that model
    room: limits.Room | None = None
    body = b""
    reader: Reader | None = None
    measured: Measured | None = None
    head_sent = False
    first_content_at: float | None = None

    def __init__(
        self,
        call: Call,
        client: Client,
        settings: GateSettings,
        ratios: estimate.Ratios,
        started: float,
        created_at_us: int,
    ) -> None:
        self.call = call
        self.ratios = ratios
        self.client = client
        self.settings = settings
        self.started = started
        self.created_at_us = created_at_us
        self.counts: dict[str, estimate.Count] = {}  # of its prompt, for each model
        self.tried: list[Tried] = []
        self.outcomes: list[Outcome] = []

    def leave_model(self, now: float) -> None:
        """The model is free again, for what counts the calls at it."""
        if self.model_ticket is not limits.NO_TICKET:
            self.model_ticket.release(now, self._used_tokens())

    def leave(self, now: float) -> None:
        """The call is over, for all that counts calls."""
        self.leave_model(now)
        if self.ticket is not limits.NO_TICKET:
            self.ticket.release(now, self._used_tokens())

    def _used_tokens(self) -> int:
        """Prompt and output of what is charged."""
        return self.measured.usage.prompt + self.measured.usage.output if self.measured else 0


def prompt_count(x: Exchange, model: Model) -> estimate.Count:
    """Tokens of the prompt at this model: text by estimate, media by the model's per-item bound. Counted once a
    call."""
    known = x.counts.get(model.name)
    if known is not None:
        return known
    ask = x.ask
    media = ask.images * (model.image_tokens or estimate.IMAGE_TOKENS)
    media += ask.audios * estimate.AUDIO_TOKENS + ask.files * estimate.FILE_TOKENS
    text = x.ratios.scale("prompt", model.name, ask.prompt)
    counted = x.counts[model.name] = text + estimate.tokens(media) if media else text
    return counted


def likely_tokens(x: Exchange, model: Model) -> int:
    """Tokens to borrow of a token limit until the call ends: its likely prompt, and its cap or what an uncapped answer
    likely takes."""
    prompt = prompt_count(x, model)
    return prompt.likely + x.ask.answers * (x.ask.cap or min(model.output_limit(prompt.bound), pricing.SMALLEST_CAP))


def quote(x: Exchange, model: Model) -> pricing.Quote:
    """What the call can cost at most at this model."""
    prompt = prompt_count(x, model)
    limit = model.output_limit(prompt.bound)
    return pricing.Quote(
        price=model.price, prompt_tokens=prompt.bound, answers=x.ask.answers, cap=x.ask.cap, model_limit=limit,
        uncapped=0 if model.thinking_in_cap else limit, binds=model.cap_field is not None,
    )  # fmt: skip


def without_model(plan: tuple[Candidate, ...], index: int) -> tuple[Candidate, ...]:
    """The plan without the candidate at `index` and those after it of the same model; what stands before keeps its
    place."""
    name = plan[index].model.name
    return plan[:index] + tuple(way for way in plan[index:] if way.model.name != name)


def charge(x: Exchange) -> tuple[int | None, list[str]]:
    """Units to post for all attempts, and what to tell the operator. None voids the hold: nothing was delivered,
    nothing is to be paid. Leaves the measured usage in x.measured."""
    charges: list[int] = []
    remarks: list[str] = []
    for tried in x.tried:
        measured = _measure(x, tried)
        if measured is None:
            continue
        x.measured = measured
        charges.append(pricing.charge(tried.candidate.model.price, measured.usage))
        if measured.rejected:
            remarks.append(f"usage from {tried.candidate.channel.name} refused: {measured.rejected}")
    return (pricing.total(charges, x.multiplier) if charges else None), remarks


def _measure(x: Exchange, tried: Tried) -> Measured | None:
    """What one attempt is charged for; None is nothing. The rules of gate.py's head, in order."""
    model, meter = tried.candidate.model, tried.meter
    if tried.failed:
        return None
    prompt_bound, output_bound = _bounds(x, model)
    if tried.complete and meter.reported is not None:
        believed = judge(
            meter.reported,
            Usage(),
            prompt_bound=prompt_bound,
            output_bound=output_bound,
            content_seen=meter.content_seen,
        )
        if believed.exact:  # nearly always, and then nothing need be counted
            return believed
    delivered = meter.output(x.ratios.scale("output", model.name, meter.counted()))
    # What was delivered is counted even past the cap that the upstream should have kept: books.py posts, overruns and
    # records the loss. Only what no model writes is cut off.
    counted = Usage(
        input=min(max(prompt_count(x, model).likely, 1), prompt_bound),
        output=min(delivered, x.ask.answers * _longest(model)),
    )
    left = (
        x.call.left
        and tried.sending.sent
        and (meter.content_seen or tried.candidate.channel.charge_left_before_content)
    )
    if not (tried.complete or x.head_sent or left):
        return None  # ended before content by a limit, a shutdown or an error: the caller did not choose to leave
    reported = meter.reported
    if reported is not None and not tried.complete:
        # Cut. What a usage said before stands for the prompt; the output is at least what was read.
        reported = msgspec.structs.replace(reported, output=max(reported.output, min(counted.output, output_bound)))
    measured = judge(
        reported,
        counted,
        prompt_bound=prompt_bound,
        output_bound=output_bound,
        content_seen=meter.content_seen,
        malformed=meter.malformed,
    )
    if tried.complete:
        return measured
    usage = msgspec.structs.replace(measured.usage, output=max(measured.usage.output, counted.output))
    return Measured(usage, exact=False, rejected=measured.rejected)


def learn(x: Exchange) -> None:
    """Teach the estimator from an exact usage: the prompt where it was only text, the output where nothing of it was
    hidden."""
    if x.measured is None or not x.measured.exact:
        return
    usage, tried, ask = x.measured.usage, x.tried[-1], x.ask
    if not (ask.images or ask.audios or ask.files):
        x.ratios.learn("prompt", tried.candidate.model.name, ask.prompt.likely_milli, usage.prompt)
    if not usage.reasoning and x.ratios.wants("output", tried.candidate.model.name):
        x.ratios.learn("output", tried.candidate.model.name, tried.meter.counted().likely_milli, usage.output)


def _bounds(x: Exchange, model: Model) -> tuple[int, int]:
    """Tokens of prompt and of output (all answers) past which a count is absurd."""
    most = _longest(model)
    cap = x.ask.cap or (x.held.cap if x.held and x.held.inject else None)
    if cap is None or model.cap_field is None:
        cap = most
    elif not model.thinking_in_cap:
        cap += most
    return model.context or UNKNOWN_BOUND, x.ask.answers * cap


def _longest(model: Model) -> int:
    """Tokens that one answer of this model cannot pass."""
    return max(model.max_output or 0, model.context or 0) or UNKNOWN_BOUND


def conceal(text: str, candidate: Candidate) -> str:
    """An upstream's words without its credential, its configured headers and its address, whatever shape these have;
    what has the shape of a key is taken out by redact() later."""
    channel = candidate.channel
    url = urlsplit(channel.url)
    proxy = urlsplit(channel.proxy or "")
    secrets = [
        candidate.credential.reveal(),
        *channel.headers.values(),
        *channel.query.values(),
        url.netloc,
        url.hostname or "",
    ]
    secrets += [proxy.netloc, proxy.hostname or ""]
    for secret in sorted({secret for secret in secrets if len(secret) >= 4}, key=len, reverse=True):
        text = text.replace(secret, "[redacted]")
    return text


def status_of(x: Exchange, error: BaseException | None) -> tuple[str, GateError | None]:
    """How the call is recorded, and the error it is answered with if any."""
    if x.call.ended_by is not None:
        return x.call.ended_by, None if x.call.left else cut_error(x)
    if error is None:
        return "ok", None
    if isinstance(error, GateError):
        return ("timeout" if isinstance(error, ProviderTimeout) else "error"), error
    if isinstance(error, Ended):
        return "timeout", cut_error(x)
    if isinstance(error, trio.Cancelled):  # with everything around it
        return "shutdown", ShuttingDown("the gateway was stopped")
    return "error", InternalError("internal error")


def cut_error(x: Exchange) -> GateError:
    """The error for a call that was cancelled while its client is still there."""
    if x.call.ended_by == "shutdown":
        return ShuttingDown("the gateway is shutting down", retry_after_s=5)
    if x.call.ended_by == "operator":
        return ShuttingDown("the operator ended this call")
    return ProviderTimeout(f"the call took longer than {x.settings.total_s:g}s in all")


@lru_cache(maxsize=1024)
def _price_text(price: pricing.Price) -> str:
    return msgspec.json.encode(price).decode()


def row(x: Exchange, status: str, error: GateError | None, *, cost: int, now: float) -> Row:
    """The call as it is remembered. `cost` in units, `now` monotonic seconds."""
    assert x.key is not None
    usage = x.measured.usage if x.measured else Usage()
    last = x.tried[-1].candidate if x.tried else None
    http_status = 200 if x.head_sent or status == "ok" else 499 if x.call.left else error.status if error else 500
    return Row(
        request_id=x.call.id,
        created_at_us=x.created_at_us,
        account=x.key.account,
        key=x.key.id,
        model=(x.ask.names[0] if x.ask.names else "")[:200].replace("\0", "\ufffd"),  # a text in SQLite ends at a NUL
        served_model=last.model.name if last else "",
        provider=last.channel.provider if last else "",
        channel=last.channel.name if last else "",
        status=status,
        http_status=http_status,
        error_code=(error.code if error else "")[:100].replace("\0", "\ufffd"),
        mode="standard",
        prompt_tokens=usage.prompt,
        cached_tokens=usage.cache_read,
        cache_write_tokens=usage.cache_write + usage.cache_write_1h,
        completion_tokens=usage.output,
        reasoning_tokens=usage.reasoning,
        cost=cost,
        lost=0,
        estimated=bool(x.measured and not x.measured.exact),
        latency_ms=int((now - x.started) * 1000),
        first_token_ms=int((x.first_content_at - x.started) * 1000) if x.first_content_at is not None else None,
        attempts=len(x.tried),
        stream=x.ask.stream,
        hold=x.held.id if x.held else 0,
        price=_price_text(last.model.price) if last and x.measured else "",
    )


def joint_error(x: Exchange) -> GateError:
    """What the caller is told when no candidate answered: every attempt's failure, without an address or a
    credential."""
    last = x.outcomes[-1]
    if last.verdict in {Verdict.caller, Verdict.context}:
        status = last.status if last.status is not None and 400 <= last.status < 500 else 400
        code = last.code or ("context_length_exceeded" if last.verdict is Verdict.context else None)
        message = redact(last.detail) or f"the provider refused the request with status {status}"
        kind = redact(last.kind or "") or "invalid_request_error"
        return Refused(
            message, status=status, kind=kind, code=redact(code or "") or None, param=redact(last.param or "") or None
        )
    report = "; ".join(f"{x.plan[o.index].channel.provider} {_said(o)}" for o in x.outcomes)
    verdicts = {o.verdict for o in x.outcomes}
    if verdicts == {Verdict.rate_limited}:
        waits = [o.retry_after_s for o in x.outcomes if o.retry_after_s is not None]
        return NoHealthyProvider(f"every provider is rate limited: {report}", retry_after_s=min(waits, default=1.0))
    if verdicts == {Verdict.timeout}:
        return ProviderTimeout(f"every provider timed out: {report}")
    if any(o.status is not None or o.verdict is Verdict.hollow for o in x.outcomes):
        return ProviderError(f"no provider answered: {report}")
    return NoHealthyProvider(f"every provider was out of reach or broke off: {report}", retry_after_s=5.0)


def _said(outcome: Outcome) -> str:
    match outcome.verdict:
        case Verdict.overloaded:
            return f"answered {outcome.status}"
        case Verdict.rate_limited:
            return "is rate limited"
        case Verdict.credential | Verdict.out_of_credit:
            return "is not available to this gateway"
        case Verdict.unreachable:
            return "could not be reached"
        case Verdict.timeout:
            return f"timed out ({outcome.detail})"
        case _:
            return "gave no answer"


def too_many(refused: limits.Refused) -> RateLimited:
    tenths = max(int(-(-refused.retry_after_s * 10 // 1)), 1)
    return RateLimited(f"Rate limit exceeded. Try again in {tenths / 10:g}s", retry_after_s=refused.retry_after_s)


def room_headers(room: limits.Room | None) -> Headers:
    if room is None or not room.limit:
        return []
    return [
        (b"x-ratelimit-limit-requests", b"%d" % room.limit),
        (b"x-ratelimit-remaining-requests", b"%d" % room.remaining),
        (b"x-ratelimit-reset-requests", f"{room.reset_s:.3f}".rstrip("0").rstrip(".").encode() + b"s"),
    ]


def answer_headers(x: Exchange) -> Headers:
    """Who answered, in which mode, in how many attempts."""
    candidate = x.tried[-1].candidate
    return [
        (b"x-request-id", x.call.id.encode()),
        (b"x-findtoken-mode", b"standard"),
        (b"x-findtoken-model", candidate.model.name.encode(errors="replace")),
        (b"x-findtoken-provider", candidate.channel.provider.encode()),
        (b"x-findtoken-attempts", b"%d" % len(x.tried)),
        *room_headers(x.room),
    ]


def retry_after_s(headers: Headers) -> float | None:
    """Retry-After in seconds, where it is a number; a date is not believed, since it compares two clocks."""
    for name, value in headers:
        if name == b"retry-after":
            text = value.decode("latin1").strip()
            return min(float(text), 86_400.0) if _SECONDS.fullmatch(text) else None
    return None
