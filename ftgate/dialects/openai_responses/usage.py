"""A usage object as Responses has it. One of an upstream is read as every other of OpenAI's (openai_chat/usage, which
knows both sets of names): cached and written tokens stand inside input_tokens, thinking inside output_tokens."""

from ftgate.core.usage import Usage
from ftgate.dialects.openai_chat.usage import with_cost


def usage_object(usage: Usage, cost: int | None = None) -> dict[str, object]:
    """With the `cost` in units where it is known."""
    return with_cost(
        {
            "input_tokens": usage.prompt,
            "input_tokens_details": {
                "cached_tokens": usage.cache_read,
                "cache_write_tokens": usage.cache_write + usage.cache_write_1h,
            },
            "output_tokens": usage.output,
            "output_tokens_details": {"reasoning_tokens": usage.reasoning},
            "total_tokens": usage.prompt + usage.output,
        },
        cost,
    )
