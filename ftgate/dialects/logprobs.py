"""How likely the tokens of an answer were, as both of OpenAI's dialects tell it: a list of {token, logprob, bytes,
top_logprobs}, the last a list of the same without itself. Upstreams leave some of it out, and clients need all of it.

Source: the models of OpenAI's SDKs (ChatCompletionTokenLogprob, ResponseOutputText's Logprob).
"""

import math

from ftgate.dialects.fields import text_of

MOST = 20
"""Other tokens that may be asked for in the place of each."""
_UNLIKELY = -9999.0
"""What OpenAI says of a token that was not to be expected at all; minus infinity is no JSON."""
Tokens = tuple[dict[str, object], ...]


def tokens_of(said: object) -> Tokens:
    """The tokens of a list as it came; none of what is no list."""
    listed = said if isinstance(said, list) else ()
    return tuple({**_one(token), "top_logprobs": _top(token)} for token in listed if isinstance(token, dict))


def _top(token: dict[str, object]) -> list[dict[str, object]]:
    top = token.get("top_logprobs")
    return [_one(other) for other in (top if isinstance(top, list) else ()) if isinstance(other, dict)]


def _one(said: dict[str, object]) -> dict[str, object]:
    text, number, given = text_of(said.get("token")), said.get("logprob"), said.get("bytes")
    likely = float(number) if isinstance(number, (int, float)) else _UNLIKELY
    return {
        "token": text,
        "logprob": likely if math.isfinite(likely) else _UNLIKELY,
        "bytes": given if isinstance(given, list) else list(text.encode("utf-8", "surrogatepass")),
    }
