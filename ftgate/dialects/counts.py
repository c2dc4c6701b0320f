"""A request's tokens, counted in place of an answer: what a dialect has for that, beside its routes.

Source: the public API references of Anthropic (Count tokens in a Message) and OpenAI (Get input token counts).
"""

from collections.abc import Callable, Mapping

import msgspec

from ftgate.dialects.fields import fields_of, loads
from ftgate.dialects.talk import Ask


class Counting(msgspec.Struct, frozen=True):
    """`path` stands behind a route of the dialect, and behind an upstream's address; `read` reads what is to be counted
    (talk.Dialect's read_request, with less demanded); `drop` are the fields of a request that no count takes; `also` is
    what an answer says beside the number."""

    path: str
    read: Callable[[bytes], Ask]
    drop: tuple[str, ...] = ()
    also: Mapping[str, str] = {}

    def asked(self, body: bytes) -> bytes:
        """A rendered request as it goes up to be counted."""
        return msgspec.json.encode({name: raw for name, raw in fields_of.decode(body).items() if name not in self.drop})

    def answer(self, tokens: int) -> bytes:
        return msgspec.json.encode({**self.also, "input_tokens": tokens})


def counted(body: bytes) -> int | None:
    """The number in an upstream's answer; None where it says none."""
    try:
        said = loads(body)
    except ValueError:
        return None
    tokens = said.get("input_tokens") if isinstance(said, dict) else None
    return tokens if isinstance(tokens, int) and not isinstance(tokens, bool) and tokens >= 0 else None
