"""How a call's money must end: nothing, what was read until it was cut or left, or the whole answer.

Decided from the upstream's script, how much of it the gate has read, when the client left, and the channel's policy.
What the house says of it (the row) is held against that.
"""

from enum import Enum

from ftgate.ports import Row
from tests.days.needs import Needs
from tests.days.seen import Seen

TOTAL_S = 60.0
DURABLE_S = 2.0


class Ending(Enum):
    nothing = "nothing"  # no token is charged
    left = "left"  # its client left before any head: the prompt, and what was read, and what a usage said until then
    cut = "cut"  # broke off after content: the same
    whole = "whole"  # the usage that the upstream said, to the token


def possible(seen: Seen, row: Row, now: float) -> set[Ending]:
    """The endings that a call with attempts may have; more than one only where a limit of time strikes in the same
    moment."""
    told = seen.told[-1]
    stream_begun = seen.client_head  # a whole answer has no head before its money is settled
    if row.status == "ok":
        return {Ending.whole}
    late = now >= seen.at + TOTAL_S
    begun = {Ending.cut} if stream_begun else {Ending.nothing}
    if seen.left_at is None:
        return begun
    pays = told.sent and (told.pieces_read > 0 or told.candidate.channel.charge_left_before_content)
    cut_off = {Ending.left} if pays and not stream_begun else begun
    if seen.drained and told.whole:
        waited = now - told.read_at > DURABLE_S - 1e-6  # for the commit of its hold, in vain
        return {Ending.whole} if not late and (stream_begun or not waited) else {Ending.whole, *cut_off}
    timed_out = seen.drained and told.over == "cancelled" and not late
    return begun if told.failed or timed_out else cut_off


def wrong_with(seen: Seen, row: Row, needs: Needs, now: float) -> list[str]:
    """What is wrong with a row that is settled now."""
    wrong: list[str] = []
    if seen.cancelled_as and row.status != seen.cancelled_as:
        wrong.append(f"ended as {seen.cancelled_as}, and remembered as {row.status}")
    if not seen.told:
        return wrong + (["paid for nothing"] if _tokens(row) != (0, 0, 0, 0) or row.cost else [])
    if seen.drained and seen.left_at == now and not seen.told[-1].whole:
        wrong.append("an upstream that was to be drained was given up at once")
    found = [_against(ending, seen, row, needs) for ending in possible(seen, row, now)]
    return wrong + ([] if any(not words for words in found) else found[0])


def _tokens(row: Row) -> tuple[int, int, int, int]:
    return row.prompt_tokens, row.cached_tokens, row.cache_write_tokens, row.completion_tokens


def _against(ending: Ending, seen: Seen, row: Row, needs: Needs) -> list[str]:
    told = seen.told[-1]
    if ending is Ending.nothing:
        return (
            [f"{row.status}: {_tokens(row)} tokens, {row.cost} units, and nothing is due"]
            if any(_tokens(row)) or row.cost
            else []
        )
    if ending is Ending.whole:
        if not told.whole:
            return ["a failed answer was sold"]
        if told.usage is not None and told.shows:
            right = _tokens(row) == told.usage and not row.estimated
            return [] if right else [f"{_tokens(row)} tokens (estimated: {row.estimated}), exactly {told.usage}"]
    wrong = [] if row.estimated else [f"{ending.value}: no estimate, and {told.said} was no usage to believe"]
    said = told.usage_read if ending in {Ending.cut, Ending.left} else None
    prompt = said[:3] if said else (needs.likely_at_first(seen, told.name), 0, 0)
    if _tokens(row)[:3] != prompt:
        wrong.append(f"{ending.value}: a prompt of {_tokens(row)[:3]}, not {prompt}")
    low, high = within_twice(told.pieces_read)
    if said:
        low, high = max(low, said[3]), max(high, said[3])
    if not low <= row.completion_tokens <= high:
        wrong.append(
            f"{ending.value}: {row.completion_tokens} tokens for {told.pieces_read} pieces, not {low} to {high}"
        )
    return wrong


def within_twice(pieces: int) -> tuple[int, int]:
    """Tokens that may be charged where `pieces` words of a token and an eighth came and nobody said how many tokens
    they were: half to twice as many, and two more or less for tiny texts."""
    return max(pieces // 2 - 2, 1 if pieces else 0), pieces * 9 // 4 + 2
