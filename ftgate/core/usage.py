"""Usage in one neutral form, and the rule that decides which numbers of an upstream's are believed.

A dialect's reader tags its own convention before it comes here: OpenAI's and Gemini's prompt counts include cached
tokens, Anthropic's do not. `Usage` never overlaps: input, cache_read and cache_write are disjoint; reasoning is a part
of output.
"""

import msgspec

UNKNOWN_BOUND = 10_000_000
"""Tokens beyond which a count is absurd for a model whose context nobody stated: ten times the longest context sold."""


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Tokens of one attempt. Units: tokens."""

    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    cache_write_1h: int = 0

    @property
    def prompt(self) -> int:
        return self.input + self.cache_read + self.cache_write + self.cache_write_1h


NONE_USED = Usage()


class Measured(msgspec.Struct, frozen=True, gc=False):
    """What one attempt is charged for. `exact` is false when the meter's own count stands in for the upstream's."""

    usage: Usage
    exact: bool
    rejected: str | None = None
    """Why the upstream's numbers were not believed; None when they were, or when there were none."""


def count(value: object) -> int | None:
    """A token count as upstreams should send it: a whole number, zero or more; anything else is None. True is not 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        return None
    return value


def judge(
    reported: Usage | None,
    metered: Usage,
    *,
    prompt_bound: int,
    output_bound: int,
    content_seen: bool,
    malformed: bool = False,
) -> Measured:
    """Believe the upstream's usage, or replace it by the meter's count.

    Refused: absent or malformed numbers, a prompt longer than the model's context, an output longer than was allowed
    (cap x n), zero output although content came, zero prompt. The bounds are tokens. Refusing never makes a call free:
    the meter's count is charged. Zeros throughout are believed where no content came: nothing was delivered, and the
    provider says that it bills nothing.
    """
    if reported is None:
        return Measured(metered, exact=False, rejected="malformed" if malformed else None)
    rejected = None
    prompt = reported.prompt
    if prompt > prompt_bound:
        rejected = "prompt past the model's context"
    elif reported.output > output_bound:
        rejected = "output past the cap"
    elif prompt == 0 and (reported.output or content_seen):
        rejected = "no prompt tokens"
    elif reported.output == 0 and content_seen:
        rejected = "no output tokens although content came"
    if rejected is not None:
        return Measured(metered, exact=False, rejected=rejected)
    return Measured(reported, exact=True)
