"""A usage object of OpenAI's shape, and what compatible providers make of it, in neutral form.

Read by convention. OpenAI counts cached tokens inside prompt_tokens and thinking inside completion_tokens; Anthropic's
names count them outside; and some pass on a mixture under OpenAI's names, which only total_tokens betrays. So:

- Thinking is what reasoning_tokens says. It stands outside completion_tokens where the total says so.
- What the total has over its parts is first explained by cache reads and writes that stand outside the prompt, then by
  thinking that stands outside the output. A rest that nothing explains is output only where neither a cache nor
  thinking is spoken of (Gemini's layer leaves its thoughts out of completion_tokens): it could be cached tokens.
- An object without a number says nothing at all. One of zeros says zero.

Sources: the API references of OpenAI, Anthropic, DashScope (explicit cache), DeepSeek and Moonshot; PROVIDERS.md.
"""

from collections.abc import Mapping
from itertools import compress
from typing import Literal

import msgspec

from ftgate.core.money import format_usd
from ftgate.core.usage import Usage, count
from ftgate.dialects.talk import Meter

_OUTSIDE = (
    (True, False, False), (False, True, False), (True, True, False),
    (False, False, True), (True, False, True), (False, True, True), (True, True, True),
)  # fmt: skip
"""Which of cache reads, cache writes and thinking may stand outside, the likeliest explanation first."""
_HOUR = "ephemeral_1h_input_tokens"


_None = Literal[0] | None


class _PromptDetails(msgspec.Struct, gc=False):
    cached_tokens: int = 0
    cache_write_tokens: _None = None
    cache_creation_input_tokens: _None = None


class _OutputDetails(msgspec.Struct, gc=False):
    reasoning_tokens: int = 0


class PlainUsage(msgspec.Struct, gc=False):
    """A usage object as most are, to be decoded in one go; one with a count under another provider's name is none."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _OutputDetails | None = None
    cached_tokens: _None = None
    prompt_cache_hit_tokens: _None = None
    cache_read_input_tokens: _None = None
    cache_creation_input_tokens: _None = None

    def neutral(self) -> Usage | None:
        """In neutral form; None where it must be looked at as read_usage does."""
        prompt, output = self.prompt_tokens, self.completion_tokens
        cached = self.prompt_tokens_details.cached_tokens if self.prompt_tokens_details else 0
        thinking = self.completion_tokens_details.reasoning_tokens if self.completion_tokens_details else 0
        if self.total_tokens != prompt + output or min(output, cached, prompt - cached, thinking) < 0:
            return None
        return Usage(input=prompt - cached, cache_read=cached, output=output, reasoning=min(thinking, output))


def read_usage(said: object) -> tuple[Usage | None, bool]:
    """A usage object in neutral form, and whether it was there but malformed."""
    if not isinstance(said, dict):
        return None, said is not None
    prompt = _first(said, "prompt_tokens", "input_tokens")
    output = _first(said, "completion_tokens", "output_tokens")
    if _is_nothing(said):
        return (Usage() if prompt == output == 0 else None), False
    details = _object(said, "prompt_tokens_details", "input_tokens_details")
    cached = _largest(
        details.get("cached_tokens"),
        said.get("cached_tokens"),
        said.get("prompt_cache_hit_tokens"),
        said.get("cache_read_input_tokens"),
    )
    written = _largest(
        details.get("cache_write_tokens"),
        details.get("cache_creation_input_tokens"),
        said.get("cache_creation_input_tokens"),
    )
    thinking = count(_object(said, "completion_tokens_details", "output_tokens_details").get("reasoning_tokens"))
    if prompt is None or output is None or cached is None or written is None:
        return None, True
    total = count(said.get("total_tokens"))
    reads_outside, writes_outside, more = _outside(prompt, output, total, cached, written, thinking)
    if _is_anthropic(said) or (total is None and cached > prompt and said.get("cache_read_input_tokens") == cached):
        reads_outside = writes_outside = True
    inside = prompt - (0 if reads_outside else cached)
    if inside < 0:
        return None, True
    if not writes_outside:
        written = min(written, inside)  # OpenAI's write counts may overlap the cached ones (PROVIDERS.md)
        inside -= written
    of_an_hour = count((_object(said, "cache_creation") or _object(details, "cache_creation")).get(_HOUR)) or 0
    return Usage(
        input=inside,
        cache_read=cached,
        cache_write=written - min(of_an_hour, written),
        cache_write_1h=min(of_an_hour, written),
        output=output + more,
        reasoning=min(thinking or 0, output + more),
    ), False


def _outside(
    prompt: int, output: int, total: int | None, cached: int, written: int, thinking: int | None
) -> tuple[bool, bool, int]:
    """What total_tokens says: whether cache reads, and cache writes, stand outside the prompt; and how many tokens of
    output stand outside completion_tokens."""
    gap = 0 if total is None else total - prompt - output
    if gap <= 0:
        return False, False, 0
    parts = cached, written, thinking or 0
    for ways in _OUTSIDE:
        if all(compress(parts, ways)) and sum(compress(parts, ways)) == gap:
            return ways[0], ways[1], parts[2] if ways[2] else 0
    return False, False, 0 if cached or written or thinking is not None else gap


def _is_anthropic(said: Mapping[str, object]) -> bool:
    """Whether prompt and caches are told by Anthropic's names alone."""
    named = said.get("cache_read_input_tokens") is not None or said.get("cache_creation_input_tokens") is not None
    return named and said.get("prompt_tokens") is None


def _first(said: Mapping[str, object], *names: str) -> int | None:
    """The count under the first of these names that is there; None where it is no count, or none is there."""
    return next((count(said[name]) for name in names if said.get(name) is not None), None)


def _object(said: Mapping[str, object], *names: str) -> Mapping[str, object]:
    """The first of these fields that is an object with something in it."""
    values = (said.get(name) for name in names)
    return next((value for value in values if isinstance(value, dict) and value), {})


def _is_nothing(value: object, depth: int = 3) -> bool:
    """Whether a usage says nothing but zeros and nulls."""
    if isinstance(value, dict) and depth:
        return all(_is_nothing(inner, depth - 1) for inner in value.values())
    return value is None or value == 0


def _largest(*values: object) -> int | None:
    """The largest of the counts that are there, since one name may say 0 where another tells; 0 when none is there,
    None when one is there and is no count."""
    counts = [count(value) for value in values if value is not None]
    return None if None in counts else max((number for number in counts if number is not None), default=0)


def note_usage(said: object, meter: Meter) -> bool:
    """Give a usage to the meter, wherever it stood. Whether what the meter knows now is this usage alone."""
    usage, malformed = read_usage(said)
    if malformed:
        meter.misreport()
    return usage is not None and meter.report(usage)


def usage_object(usage: Usage, cost: int | None = None) -> dict[str, object]:
    """A usage object as OpenAI writes it, with the `cost` in units where it is known. What was written into a cache is
    told where there is any (OpenRouter's name for it, and Responses')."""
    written = usage.cache_write + usage.cache_write_1h
    return with_cost(
        {
            "prompt_tokens": usage.prompt,
            "completion_tokens": usage.output,
            "total_tokens": usage.prompt + usage.output,
            "prompt_tokens_details": {"cached_tokens": usage.cache_read}
            | ({"cache_write_tokens": written} if written else {}),
            "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
        },
        cost,
    )


def with_cost(usage: dict[str, object], cost: int | None) -> dict[str, object]:
    """A usage object with its cost, in units; as it is where that is not known."""
    return usage if cost is None else {**usage, "cost": msgspec.Raw(format_usd(cost).encode())}
