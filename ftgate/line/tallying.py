"""A call as metrics count it (core.tally), once its row is made."""

from ftgate.core.tally import NONE, Tally
from ftgate.line.call import Exchange
from ftgate.ports import Row


def count(tally: Tally, x: Exchange, row: Row, *, cost: int, lost: int) -> None:
    """Count an ended call and its attempts. `cost` and `lost` in units, as they came out."""
    model = NONE
    if x.tried:
        way = x.tried[-1].candidate
        model = row.served_model if row.served_model in way.channel.models else NONE
    place = (model, row.provider or NONE, row.channel or NONE, row.status, row.mode, row.stream)
    first, alone = row.first_token_ms, len(x.tried) == 1 and not x.outcomes
    tally.call(
        place, row.latency_ms / 1000, None if first is None else first / 1000,
        row.prompt_tokens, row.cached_tokens, row.completion_tokens, cost, alone,
    )  # fmt: skip
    failures = iter(x.outcomes)
    for tried in () if alone else x.tried:
        outcome = next(failures, None) if tried.failed else None
        word = outcome.verdict.value if outcome is not None else "ok" if tried.complete else row.status
        tally.attempt(tried.candidate.channel.name, word)
    if lost:
        tally.loss("overrun", lost)
