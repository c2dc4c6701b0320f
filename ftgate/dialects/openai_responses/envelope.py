"""Thinking that goes along with a conversation, since nothing of it is kept here: what stands in the
`encrypted_content` of a reasoning item.

Ours, for what other dialects think: `ft1.` and base64url of a JSON list of {"type": "text", "text"} and {"type":
"block", "block"}, a block being Anthropic's thinking or redacted_thinking as it came. There is no secret in it, and
nothing trusts it: what cannot be opened is left out, as if the caller had not sent it.

Theirs, where an upstream of this dialect thinks for a caller of another: its own encrypted_content with `rs1.` before
it, as the seal of a thought, so that it is known again and goes back to no upstream of another kind.
"""

import base64
from collections.abc import Iterable, Iterator

import msgspec

from ftgate.dialects.fields import dumps, text_of
from ftgate.dialects.neutral import RESPONSES_SEAL, Thinking

MARK = "ft1."
_entries = msgspec.json.Decoder(list[dict[str, object]])


def enclosed(thoughts: Iterable[Thinking]) -> str:
    """Thoughts as the encrypted_content of an item."""
    written = dumps([_entry(thought) for thought in thoughts])
    return MARK + base64.urlsafe_b64encode(written).decode().rstrip("=")


def _entry(thought: Thinking) -> dict[str, object]:
    if thought.sealed:
        return {"type": "block", "block": {"type": "redacted_thinking", "data": thought.sealed}}
    if thought.signature:
        block = {"type": "thinking", "thinking": thought.text, "signature": thought.signature}
        return {"type": "block", "block": block}
    return {"type": "text", "text": thought.text}


def is_ours(content: str) -> bool:
    return content.startswith(MARK)


def opened(content: str) -> tuple[Thinking, ...]:
    """The thoughts in an envelope of ours; none where it is another's, or broken."""
    if not is_ours(content):
        return ()
    packed = content.removeprefix(MARK).encode(errors="replace")
    try:
        data = base64.b64decode(packed + b"=" * (-len(packed) % 4), altchars=b"-_", validate=True)
        return tuple(_thoughts(_entries.decode(data)))
    except (ValueError, RecursionError):  # base64's and msgspec's errors are ValueErrors
        return ()


def _thoughts(entries: Iterable[dict[str, object]]) -> Iterator[Thinking]:
    for entry in entries:
        block = entry.get("block")
        if entry.get("type") == "text":
            yield Thinking(text=text_of(entry.get("text")))
        elif isinstance(block, dict) and block.get("type") == "redacted_thinking":
            yield Thinking(sealed=text_of(block.get("data")))
        elif isinstance(block, dict):
            yield Thinking(text=text_of(block.get("thinking")), signature=text_of(block.get("signature")))


def seal_of(content: str) -> str:
    """An upstream's own encrypted_content as the seal of a thought."""
    return RESPONSES_SEAL + content


def content_of(seal: str) -> str | None:
    """The encrypted_content that a seal stands for; None for a seal of another kind of upstream."""
    return seal.removeprefix(RESPONSES_SEAL) if seal.startswith(RESPONSES_SEAL) else None
