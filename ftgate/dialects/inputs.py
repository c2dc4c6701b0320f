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


def measure(raw: msgspec.Raw, name: str) -> tuple[estimate.Count, int]:
    """Tokens of a field of this name, texts by the estimate and lists of tokens by their length; and how many inputs it
    holds. Raises InvalidRequest."""
    data = bytes(raw).lstrip()
    try:
        if data.startswith(b'"'):
            return estimate.text(str(anything.decode(data))) + estimate.tokens(1), 1
        if data[:1] == b"[" and data[1:].lstrip()[:1] not in (b"", b"]"):
            return _measure_list(data, name)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        pass
    words = f"`{name}` must be a text, a list of texts, a list of tokens or a list of such lists"
    raise InvalidRequest(words, param=name)


def _measure_list(data: bytes, name: str) -> tuple[estimate.Count, int]:
    """As measure, for a list that is not empty. Raises msgspec's errors for one of another shape."""
    first = data[1:].lstrip()[:1]
    if first not in (b'"', b"["):
        return estimate.tokens(len(_tokens.decode(data))), 1
    if first == b'"':
        texts = _texts.decode(data)
        counted, number = estimate.text("".join(texts)) + estimate.tokens(len(texts)), len(texts)
    else:
        lists = _lists.decode(data)
        counted, number = estimate.tokens(sum(map(len, lists))), len(lists)
    if number > MOST_INPUTS:
        raise InvalidRequest(f"`{name}` may hold {MOST_INPUTS} inputs at most", param=name)
    return counted, number
