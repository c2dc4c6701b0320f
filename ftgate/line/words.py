"""What is said of a call: its row, its headers, its error, and what of an upstream's words may be shown."""

import contextlib
import re
from functools import lru_cache
from itertools import repeat
from urllib.parse import urlsplit

import msgspec
import trio

from ftgate.core import limits, receipt
from ftgate.core.moments import next_month_us, parse_http_date
from ftgate.core.money import format_usd, format_usd_cents
from ftgate.core.redact import redact, without
from ftgate.core.retrying import Outcome
from ftgate.core.routing import Candidate
from ftgate.core.tries import Try, tries_text
from ftgate.core.usage import NONE_USED
from ftgate.core.verdicts import Verdict
from ftgate.errors import (
    GateError,
    InternalError,
    InvalidRequest,
    NoHealthyProvider,
    NotAuthenticated,
    PaymentRequired,
    ProviderError,
    ProvidersOverloaded,
    ProviderTimeout,
    RateLimited,
    Refused,
    ShuttingDown,
    Stopped,
)
from ftgate.line.call import Ended, Exchange, Tried
from ftgate.line.charge import prompt_of
from ftgate.ports import BYOK, Exhausted, Headers, Poor, Row

DAY_S = 86_400.0
UPSTREAM_IDS = frozenset([b"x-request-id", b"request-id", b"x-ds-trace-id", b"x-siliconcloud-trace-id", b"x-tt-logid"])
"""Headers in which providers tell their own id of a call, which their support asks for: OpenAI and most others,
Anthropic, DeepSeek, SiliconFlow, Volcengine."""
_ID = re.compile(rb"[A-Za-z0-9_.:/+=-]{1,128}")
MAX_DETAILS = 4000
"""Characters of what an upstream says beside the words of an error."""
MAX_ERROR = 200
"""Characters of an upstream's error that a row keeps for each attempt."""
OVERLOADED = (503, 529)
"""Statuses by which a provider says that it has too much to do."""
_SAYING_WHEN = frozenset({b"retry-after", b"retry-after-ms", b"date"})
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


def conceal(text: str, candidate: Candidate) -> str:
    """An upstream's words without its credential, its configured headers and its address, whatever shape these have;
    what has the shape of a key is taken out by redact() later."""
    channel = candidate.channel
    url = urlsplit(candidate.address.url)
    proxy = urlsplit(channel.reach.proxy or "")
    secrets = [*channel.headers.values(), *channel.query.values(), url.netloc, url.hostname or ""]
    secrets += [proxy.netloc, proxy.hostname or ""]
    return without(text[: 4 * MAX_DETAILS], secrets, [candidate.credential.reveal()])  # no more of it is shown


def concealed(outcome: Outcome, candidate: Candidate) -> Outcome:
    """What an upstream has said, each word of it without what conceal() takes out."""
    return msgspec.structs.replace(
        outcome,
        detail=conceal(outcome.detail, candidate),
        kind=outcome.kind and conceal(outcome.kind, candidate),
        code=outcome.code and conceal(outcome.code, candidate),
        param=outcome.param and conceal(outcome.param, candidate),
        details=conceal(outcome.details, candidate),
    )


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
        return Stopped("the operator ended this call")
    return ProviderTimeout(f"the call took longer than {x.call.total_s:g}s in all")


def upstream_id(tried: Tried) -> str:
    """The upstream's own id of an attempt; "" where it told none that can be one, and never what holds its key."""
    for name, value in tried.head:
        if name in UPSTREAM_IDS:
            secret = tried.candidate.credential.reveal()
            said = value.decode("latin1") if _ID.fullmatch(value) else ""
            return "" if secret and secret in said else said
    return ""


def row(x: Exchange, status: str, error: GateError | None, *, cost: int, now: float, remark: str = "") -> Row:
    """The call as it is remembered. `cost` in units, `now` monotonic seconds, `remark` for the operator."""
    assert x.key is not None
    key, ask, tried, measured, charged = x.key, x.ask, x.tried, x.measured, x.charged
    usage = NONE_USED if measured is None else measured.usage
    served = provider = channel = spoken = tries = ""
    if tried:
        last = tried[-1]
        way = last.candidate
        provider, channel, spoken = way.channel.provider, way.channel.name, way.address.dialect
        if last.complete or cost or x.answering:  # a model that gave nothing has not served it
            served = way.model.name
        if len(tried) > 1 or x.outcomes or not served:
            tries = _tries(x, status, now)
    if x.head_sent or status == "ok":
        http_status = 200
    elif x.call.left:
        http_status = 499
    else:  # as it goes out: a dialect may have another one than ours for it
        http_status = x.call.dialect.status_of(error) if error else 500
    return Row(
        request_id=x.call.id,
        created_at_us=x.created_at_us,
        account=key.account,
        key=key.id,
        model=(ask.names[0] if ask.names else "")[:200].replace("\0", "\ufffd"),  # a text in SQLite ends at a NUL
        served_model=served,
        provider=provider,
        channel=channel,
        status=status,
        http_status=http_status,
        error_code=error.code[:100].replace("\0", "\ufffd") if error else "",
        mode=x.mode,
        prompt_tokens=usage.prompt,
        cached_tokens=usage.cache_read,
        cache_write_tokens=usage.cache_write,
        completion_tokens=usage.output,
        reasoning_tokens=usage.reasoning,
        cost=cost,
        lost=0,
        estimated=measured is not None and not measured.exact,
        latency_ms=int((now - x.started) * 1000),
        first_token_ms=int((x.first_content_at - x.started) * 1000) if x.first_content_at is not None else None,
        attempts=len(tried),
        stream=ask.stream,
        hold=0,  # the ledger's own word, which it fills in
        price="" if measured is None else receipt.price_text(charged[-1][0]),
        route=x.call.route,
        client_dialect=x.call.dialect.NAME,
        channel_dialect=spoken,
        multiplier=receipt.multiplier_text(x.multiplier),
        cache_write_1h_tokens=usage.cache_write_1h,
        earlier=receipt.earlier_text(charged[:-1]) if len(charged) > 1 and measured is not None else "",
        remark=remark and remark[:500].replace("\0", "\ufffd"),
        tries=tries,
        upstream_id=upstream_id(tried[-1]) if tried else "",
    )


def _tries(x: Exchange, status: str, now: float) -> str:
    """What became of each attempt, in the words that may be kept."""
    failures = iter(x.outcomes)
    said = []
    for tried in x.tried:
        outcome = next(failures, None) if tried.failed else None
        took = (tried.ended or now) - (tried.began or x.started)
        word, upstream, error = ("ok" if tried.complete else status), 200 if tried.complete else None, ""
        if outcome is not None:
            error = redact(outcome.detail, limit=MAX_ERROR).replace("\0", "\ufffd")
            word, upstream = outcome.verdict.value, outcome.status
        said.append(
            Try(
                tried.candidate.channel.name,
                tried.candidate.model.name,
                word,
                upstream,
                max(int(took * 1000), 0),
                error,
                upstream_id(tried),
            )
        )
    return tries_text(said)


def joint_error(x: Exchange) -> GateError:
    """What the caller is told when no candidate answered: every attempt's failure, without an address or a
    credential."""
    last = x.outcomes[-1]
    if last.verdict is Verdict.context:  # in one set of words, whoever said it: clients shorten the prompt on it
        message = redact(last.detail) or "the prompt is longer than the model's context"
        return Refused(
            message, status=400, kind="invalid_request_error", code="context_length_exceeded",
            param=redact(last.param or "") or None,
        )  # fmt: skip
    if last.verdict in (Verdict.caller, Verdict.unreadable):
        # An upstream's 401 and 403 are never shown as ours: clients would ask for another key.
        status = last.status if last.status is not None and 400 <= last.status < 500 else 400
        status = 400 if status in (401, 403) else status
        code = last.code
        message = redact(last.detail) or f"the provider refused the request with status {status}"
        kind = redact(last.kind or "") or "invalid_request_error"
        return Refused(
            message, status=status, kind=kind, code=redact(code or "") or None, param=redact(last.param or "") or None,
            details=_details(last.details),
        )  # fmt: skip
    if x.mode is BYOK and last.verdict in (Verdict.credential, Verdict.out_of_credit):
        return _key_refused(x, last)
    error = _nobody(x)
    error.overloaded = _all_overloaded(x)
    return error


def _key_refused(x: Exchange, last: Outcome) -> GateError:
    """What a caller is told of its own provider key, in the provider's words."""
    provider = x.plan[last.index].way.channel.provider
    said = redact(last.detail)
    if last.verdict is Verdict.credential:
        return NotAuthenticated(
            f"{provider} refused the provider key: {said}" if said else f"{provider} refused the provider key",
            code="invalid_provider_key",
            param="provider_key",
        )
    return ProviderError(f"the account of the provider key has no credit left at {provider}{said and f': {said}'}")


def _all_overloaded(x: Exchange) -> bool:
    """Whether every provider that was tried said that it has too much to do."""
    return all(
        o.verdict is Verdict.rate_limited or (o.verdict is Verdict.overloaded and o.status in OVERLOADED)
        for o in x.outcomes
    )


def _details(said: str) -> bytes | None:
    """What an upstream says beside its words, redacted; nothing where that leaves no JSON, which would spoil the whole
    answer."""
    redacted = redact(said, limit=MAX_DETAILS).encode()
    try:
        msgspec.json.decode(redacted)
    except msgspec.DecodeError:
        return None
    return redacted


def _nobody(x: Exchange) -> GateError:
    """What the caller is told where no provider answered and none of them blames the request."""
    report = "; ".join(f"{x.plan[o.index].way.channel.provider} {_said(o)}" for o in x.outcomes)
    verdicts = {o.verdict for o in x.outcomes}
    waits = [o.retry_after_s for o in x.outcomes if o.retry_after_s is not None]
    if verdicts == {Verdict.rate_limited}:
        return NoHealthyProvider(f"every provider is rate limited: {report}", retry_after_s=min(waits, default=1.0))
    if _all_overloaded(x):
        return ProvidersOverloaded(f"every provider is overloaded: {report}", retry_after_s=min(waits, default=5.0))
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


def unfit(x: Exchange) -> GateError:
    """Why no candidate could be offered to the ledger, where none rests: its model is at its limit, or the prompt fits
    none, or none speaks a dialect in which it can be asked."""
    if x.waits:
        return too_many(min(x.waits, key=lambda wait: wait.retry_after_s))
    if x.unfit is not None and not x.too_long_for:
        return x.unfit
    longest = max(x.too_long_for, key=lambda model: model.context or 0)
    likely = prompt_of(x, longest).longest.likely
    return InvalidRequest(
        f"the prompt has about {likely} tokens, more than {longest.name} with its context of {longest.context} tokens"
        " has room for; shorten it, or choose a model with a longer context",
        code="context_length_exceeded",
        param=x.ask.prompt_field,
    )


def no_hold(why: Poor | Exhausted | limits.Refused, now_us: int) -> GateError:
    """Why the ledger gave no hold."""
    if isinstance(why, limits.Refused):
        return too_many(why)
    if isinstance(why, Poor):
        return _poor(why)
    return RateLimited(
        f"The calls with provider keys of this account have used {why.used} tokens this month (UTC), and its plan"
        f" gives {why.limit}",
        code="byok_limit_exceeded",
        retry_after_s=max((next_month_us(now_us) - now_us) / 1_000_000, 1.0),
    )


def _poor(poor: Poor) -> PaymentRequired:
    required = format_usd_cents(poor.required)
    if poor.quota:
        return PaymentRequired(
            f"The quota of this API key is used up. Left: ${format_usd_cents(poor.available)}, Required: ${required}",
            code="key_quota_exceeded",
        )
    return PaymentRequired(f"Insufficient credits. Balance: ${format_usd_cents(poor.available)}, Required: ${required}")


def room_headers(room: limits.Room | None) -> Headers:
    if room is None or not room.limit:
        return []
    return [
        (b"x-ratelimit-limit-requests", b"%d" % room.limit),
        (b"x-ratelimit-remaining-requests", b"%d" % room.remaining),
        (b"x-ratelimit-reset-requests", f"{room.reset_s:.3f}".rstrip("0").rstrip(".").encode() + b"s"),
    ]


def id_headers(x: Exchange) -> Headers:
    """The call's id, under each name that clients of its dialect look for."""
    return [*zip(x.call.dialect.ID_HEADERS, repeat(x.call.id.encode()))]


def answer_headers(x: Exchange) -> Headers:
    """Who answered, in which mode, in how many attempts."""
    candidate = x.tried[-1].candidate
    who = _who_answered(x.mode, candidate.model.name, candidate.channel.provider, len(x.tried))
    return [*id_headers(x), *who, *room_headers(x.room)]


@lru_cache(maxsize=1024)
def _who_answered(mode: str, model: str, provider: str, attempts: int) -> Headers:
    """The same for nearly all calls: made once."""
    return [
        (b"x-findtoken-mode", mode.encode()),
        (b"x-findtoken-model", model.encode(errors="replace")),
        (b"x-findtoken-provider", provider.encode()),
        (b"x-findtoken-attempts", b"%d" % attempts),
    ]


def stream_headers(x: Exchange) -> Headers:
    """The head of a stream. One that goes before anybody has answered cannot say who did; its closing comment does."""
    said = [*id_headers(x), (b"x-findtoken-mode", x.mode.encode()), *room_headers(x.room)]
    return (said if x.head_early else answer_headers(x)) + [
        (b"content-type", b"text/event-stream; charset=utf-8"),
        (b"cache-control", b"no-cache"),
        (b"x-accel-buffering", b"no"),
    ]


def closing_comment(x: Exchange, balance: int | None) -> str:
    """What a stream is told of its money at its end, in a comment that parsers skip, and of who answered where its head
    could not say that yet; nothing where the charge is not known."""
    assert x.settled is not None
    if x.settled.charged is None:
        return ""
    known = f" balance={format_usd(balance)}" if balance is not None else ""
    candidate = x.tried[-1].candidate
    who = f" model={candidate.model.name} provider={candidate.channel.provider} attempts={len(x.tried)}"
    return f"x-findtoken-cost={format_usd(x.settled.charged)}{known}{who if x.head_early else ''}"


def retry_after_s(headers: Headers, now_us: int) -> float | None:
    """Retry-After in seconds from now; retry-after-ms, which OpenAI's clients know, where it is given. A date is held
    against the answer's own Date, so that only one clock is asked, and against ours where it has none; one that is not
    within a day of that is believed to be wrong."""
    found = {name: value.decode("latin1").strip() for name, value in headers if name in _SAYING_WHEN}
    text = found.get(b"retry-after", "")
    if _SECONDS.fullmatch(finer := found.get(b"retry-after-ms", "")):
        return min(float(finer) / 1000, DAY_S)
    if _SECONDS.fullmatch(text):
        return min(float(text), DAY_S)
    try:
        until_us = parse_http_date(text)
    except ValueError:
        return None
    with contextlib.suppress(ValueError):
        now_us = parse_http_date(found.get(b"date", ""))
    wait_s = (until_us - now_us) / 1_000_000
    return max(wait_s, 0.0) if abs(wait_s) <= DAY_S else None
