"""An OpenAI usage object, and what compatible providers make of it, in neutral form."""

import msgspec

from ftgate.core.usage import Usage, count
from ftgate.dialects.fields import anything


class _PromptDetails(msgspec.Struct, gc=False):
    cached_tokens: int = 0
    cache_write_tokens: int = 0


class _OutputDetails(msgspec.Struct, gc=False):
    reasoning_tokens: int = 0


class _PlainUsage(msgspec.Struct, gc=False):
    """A usage object as most are."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _OutputDetails | None = None
    cached_tokens: int = 0
    prompt_cache_hit_tokens: int = 0
    cache_read_input_tokens: int = 0
    cache_creation_input_tokens: int = 0

    def none_other(self) -> bool:
        """No count under another provider's name."""
        written = self.prompt_tokens_details.cache_write_tokens if self.prompt_tokens_details else 0
        return not (
            self.prompt_cache_hit_tokens or self.cache_read_input_tokens or self.cache_creation_input_tokens or written
        )


_plain_usage = msgspec.json.Decoder(_PlainUsage)


def read_usage(raw: msgspec.Raw | bytes) -> tuple[Usage | None, bool]:
    """A usage object in neutral form, and whether it was there but malformed. OpenAI's prompt_tokens include cached
    ones."""
    try:
        plain = _plain_usage.decode(raw)
        cached = max(
            plain.prompt_tokens_details.cached_tokens if plain.prompt_tokens_details else 0, plain.cached_tokens
        )
        prompt, output, inner = plain.prompt_tokens, plain.completion_tokens, plain.completion_tokens_details
        if (
            min(prompt, output, cached, prompt - cached) >= 0
            and plain.total_tokens == prompt + output
            and plain.none_other()
        ):
            reasoning = inner.reasoning_tokens if inner else 0
            if reasoning >= 0:
                return Usage(
                    input=prompt - cached, cache_read=cached, output=output, reasoning=min(reasoning, output)
                ), False
    except (msgspec.DecodeError, RecursionError):
        pass  # anything but the ordinary: see what it is
    return _read_odd_usage(raw)


def _read_odd_usage(raw: msgspec.Raw | bytes) -> tuple[Usage | None, bool]:
    try:
        said = anything.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return None, True
    if said is None:
        return None, False
    if not isinstance(said, dict):
        return None, True
    prompt, output = count(said.get("prompt_tokens")), count(said.get("completion_tokens"))
    details = said.get("prompt_tokens_details")
    details = details if isinstance(details, dict) else {}
    cached = _largest(
        details.get("cached_tokens"),
        said.get("cached_tokens"),
        said.get("prompt_cache_hit_tokens"),
        said.get("cache_read_input_tokens"),
    )
    written = _largest(details.get("cache_write_tokens"), said.get("cache_creation_input_tokens"))
    inner = said.get("completion_tokens_details")
    reasoning = _largest(inner.get("reasoning_tokens") if isinstance(inner, dict) else None)
    if prompt is None or output is None or cached is None or written is None or cached > prompt:
        return None, True
    total = count(said.get("total_tokens"))
    if (
        total is not None and total > prompt + output
    ):  # thinking that stands outside completion_tokens is output too (PROVIDERS.md)
        output = total - prompt
    written = min(written, prompt - cached)  # OpenAI's write counts may overlap the cached ones (PROVIDERS.md)
    return Usage(
        input=prompt - cached - written,
        cache_read=cached,
        cache_write=written,
        output=output,
        reasoning=min(reasoning or 0, output),
    ), False


def _largest(*values: object) -> int | None:
    """The largest of the counts that are there, since one name may say 0 where another tells; 0 when none is there,
    None when one is there and is no count."""
    counts = [count(value) for value in values if value is not None]
    return None if None in counts else max((number for number in counts if number is not None), default=0)


def usage_object(usage: Usage) -> dict[str, object]:
    """A usage object as OpenAI writes it."""
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.output,
        "total_tokens": usage.prompt + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }
