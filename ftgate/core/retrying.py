"""What is tried after each attempt's outcome. `next_step` is pure, and its table is closed: what is not listed is not
retried.

    verdict         from                                          next
    caller          other 4xx                                     to the caller, as it is
    context         context length exceeded                       the next with a longer context, else to the caller
    unreadable      400, thinking that another one has sealed     once more without it, else to the caller
    rate_limited    429                                           next candidate; alone: after a short Retry-After
    credential      401, 403; a 400 whose words say so            next candidate
    out_of_credit   by the error's words, whatever the status     next candidate
    overloaded      408, 5xx, 529                                 next candidate; alone: again after a backoff
    unreachable     connect, DNS, TLS, reset, cut before content  next candidate; alone: again after a backoff
    timeout         a time limit before the first content         next candidate at once
    hollow          200 with an error, nothing, or no sense       next candidate
                    508, the call came back to us                 next candidate

Source: DESIGN.md, "Upstreams that fail".
"""

from collections.abc import Callable, Sequence

import msgspec

from ftgate.core.routing import Candidate
from ftgate.core.verdicts import Verdict


class Retry(msgspec.Struct, frozen=True):
    """How often and how patiently a call is tried. Seconds."""

    attempts: int = 3
    max_retry_after: float = 10.0
    backoff: float = 0.5
    backoff_cap: float = 8.0


class Outcome(msgspec.Struct, frozen=True):
    """How an attempt ended without an answer. `detail` is the upstream's own message or ours; it and kind, code, param,
    details (JSON) are to be redacted before anyone sees them."""

    index: int
    verdict: Verdict
    detail: str
    status: int | None = None
    retry_after_s: float | None = None
    kind: str | None = None
    code: str | None = None
    param: str | None = None
    details: str = ""


class Step(msgspec.Struct, frozen=True):
    """Try the candidate at `index` after `delay_s` seconds; `bare`: without what was thought in earlier turns."""

    index: int
    delay_s: float = 0.0
    bare: bool = False


_AGAIN = {Verdict.overloaded, Verdict.unreachable}
_DOWN = {Verdict.overloaded, Verdict.unreachable, Verdict.timeout}
"""What another credential of the same channel would very likely meet too."""


def next_step(
    plan: tuple[Candidate, ...],
    outcomes: Sequence[Outcome],
    retry: Retry,
    jitter: float,
    rests: Callable[[Candidate], float] = lambda way: 0.0,
) -> Step | None:
    """What to try after these outcomes; None when the call has failed. `jitter` in 0..1 spreads the backoff over the
    upper half of its span; `rests` says for how many seconds nobody should ask a candidate (core.health)."""
    if not outcomes:
        return next((Step(index) for index in range(len(plan)) if rests(plan[index]) <= 0), None)
    last = outcomes[-1]
    if last.verdict is Verdict.caller or len(outcomes) >= retry.attempts:
        return None
    if last.verdict is Verdict.unreadable:
        again = any(o.verdict is Verdict.unreadable and o.index == last.index for o in outcomes[:-1])
        return None if again else Step(last.index, bare=True)
    left = _left(plan, outcomes, rests)
    if left is not None:
        return Step(left)
    if len(plan) > 1 or last.verdict is Verdict.context:
        return None
    rest = rests(plan[0])
    if last.verdict is Verdict.rate_limited and last.retry_after_s is not None:
        wait = max(last.retry_after_s, rest)
        return Step(0, wait) if wait <= retry.max_retry_after else None
    if last.verdict in _AGAIN and rest <= 0:
        span = min(retry.backoff * 2 ** (len(outcomes) - 1), retry.backoff_cap)
        return Step(0, span * (0.5 + 0.5 * jitter))
    return None


def _left(plan: tuple[Candidate, ...], outcomes: Sequence[Outcome], rests: Callable[[Candidate], float]) -> int | None:
    """Which of the candidates that were not tried comes next: one that does not rest, with a longer context than those
    for which the prompt was too long; first those at another channel than one that has just failed with this model,
    since another credential changes nothing about that."""
    tried = {outcome.index for outcome in outcomes}
    too_short = max((plan[o.index].model.context or 0 for o in outcomes if o.verdict is Verdict.context), default=-1)
    down = {_place(plan[o.index]) for o in outcomes if o.verdict in _DOWN}
    left = [
        index
        for index in range(len(plan))
        if index not in tried and (plan[index].model.context or 0) > too_short and rests(plan[index]) <= 0
    ]
    return min(left, key=lambda index: (_place(plan[index]) in down, index), default=None)


def _place(way: Candidate) -> tuple[str, str]:
    return way.channel.name, way.model.name
