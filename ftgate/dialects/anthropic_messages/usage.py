"""A usage object of Anthropic's shape in neutral form, and the other way round.

Anthropic counts cached tokens outside input_tokens, and thinking inside output_tokens. A stream tells its usage twice:
the prompt when it begins, everything once more at its end, where some servers leave the prompt out or say zero. What a
long answer's own compaction took stands in `iterations` alone, whose sum is what is billed.

Source: Anthropic's API reference (Usage, Streaming messages, Compaction); PROVIDERS.md.
"""

from collections.abc import Mapping

from ftgate.core.usage import Usage, count
from ftgate.dialects.talk import Meter

_COUNTS = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens")


class Told:
    """What an answer has told of its usage so far."""

    __slots__ = ("_counts", "_hour", "_thinking")

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._hour = 0
        self._thinking = 0

    def __repr__(self) -> str:
        return f"<Told {self._counts}>"

    def take(self, said: object, meter: Meter) -> None:
        """Take one usage object and give the meter what is known now (where the prompt is zero at the end, it knows
        better)."""
        if said is None:
            return
        if not isinstance(said, dict):
            meter.misreport()
            return
        given = {name: count(said[name]) for name in _COUNTS if said.get(name) is not None}
        if None in given.values():
            meter.misreport()
            return
        counts = {name: number for name, number in given.items() if number is not None}
        self._counts |= counts
        for name, number in _iterated(said.get("iterations")).items():
            self._counts[name] = max(self._counts.get(name, 0), number)
        if isinstance(split := said.get("cache_creation"), dict):
            self._hour = count(split.get("ephemeral_1h_input_tokens")) or self._hour
            if "cache_creation_input_tokens" not in self._counts:
                self._counts["cache_creation_input_tokens"] = self._hour + (
                    count(split.get("ephemeral_5m_input_tokens")) or 0
                )
        if isinstance(parts := said.get("output_tokens_details"), dict):
            self._thinking = count(parts.get("thinking_tokens")) or self._thinking
        if self._counts:
            meter.report(self._usage())

    def _usage(self) -> Usage:
        counts = self._counts
        written, output = counts.get("cache_creation_input_tokens", 0), counts.get("output_tokens", 0)
        hour = min(self._hour, written)
        return Usage(
            input=counts.get("input_tokens", 0),
            cache_read=counts.get("cache_read_input_tokens", 0),
            cache_write=written - hour,
            cache_write_1h=hour,
            output=output,
            reasoning=min(self._thinking, output),
        )


def _iterated(iterations: object) -> Mapping[str, int]:
    """The sums of what each run of the model took, where an answer was made in several."""
    if not isinstance(iterations, list) or not all(isinstance(one, dict) for one in iterations):
        return {}
    return {name: sum(count(one.get(name)) or 0 for one in iterations) for name in _COUNTS} if iterations else {}


def usage_object(usage: Usage) -> dict[str, object]:
    """A usage object as Anthropic writes it."""
    said: dict[str, object] = {
        "input_tokens": usage.input,
        "cache_creation_input_tokens": usage.cache_write + usage.cache_write_1h,
        "cache_read_input_tokens": usage.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write,
            "ephemeral_1h_input_tokens": usage.cache_write_1h,
        },
        "output_tokens": usage.output,
        "service_tier": "standard",
    }
    if usage.reasoning:
        said["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    return said
