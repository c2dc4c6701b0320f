"""A prompt or input in the four shapes that OpenAI's older routes take: a text, a list of texts, a list of tokens, a
list of such lists.
"""

import msgspec

from ftgate.core import estimate
from ftgate.dialects.fields import anything
from ftgate.errors import InvalidRequest

MOST_INPUTS = 2048
"""Inputs in one request: OpenAI's own limit."""
_texts = msgspec.json.Decoder(list[str])
_tokens = msgspec.json.Decoder(list[int])
_lists = msgspec.json.Decoder(list[list[int]])


class Inputs(msgspec.Struct, frozen=True, gc=False):
    """What a request holds: how many inputs, their tokens together, and those of the longest (None where there is one
    alone), since a model reads each by itself."""

    number: int
    tokens: estimate.Count
    longest: estimate.Count | None = None


def measure(raw: msgspec.Raw, name: str) -> Inputs:
    """A field of this name, texts by the estimate and lists of tokens by their length. Raises InvalidRequest."""
    data = bytes(raw).lstrip()
    try:
        if data.startswith(b'"'):
            return Inputs(1, _text(str(anything.decode(data))))
        if data[:1] == b"[" and data[1:].lstrip()[:1] not in (b"", b"]"):
            return _measure_list(data, name)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        pass
    words = f"`{name}` must be a text, a list of texts, a list of tokens or a list of such lists"
    raise InvalidRequest(words, param=name)


def _text(text: str) -> estimate.Count:
    return estimate.text(text) + estimate.tokens(1)


def _measure_list(data: bytes, name: str) -> Inputs:
    """As measure, for a list that is not empty. Raises msgspec's errors for one of another shape."""
    first = data[1:].lstrip()[:1]
    if first not in (b'"', b"["):
        return Inputs(1, estimate.tokens(len(_tokens.decode(data))))
    if first == b'"':
        texts = _texts.decode(data)
        counted, number = estimate.text("".join(texts)) + estimate.tokens(len(texts)), len(texts)
        longest = _text(max(texts, key=len)) if number > 1 else None
    else:
        sizes = list(map(len, _lists.decode(data)))
        counted, number = estimate.tokens(sum(sizes)), len(sizes)
        longest = estimate.tokens(max(sizes)) if number > 1 else None
    if number > MOST_INPUTS:
        raise InvalidRequest(f"`{name}` may hold {MOST_INPUTS} inputs at most", param=name)
    return Inputs(number, counted, longest)
