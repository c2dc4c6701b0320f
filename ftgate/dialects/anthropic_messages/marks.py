"""Thoughts that a client gets in this dialect, and that no upstream of it has sealed: they carry a mark of ours where
the seal would stand, since clients demand one, and give back what they got.

    "ft1."                 a thought without a seal (another dialect's, or a server's that seals none)
    "ft1." + what is sealed    one that an upstream of another dialect sealed; it says itself of which

On the way up to an upstream of this dialect such blocks are left out: it would refuse the seal.
"""

from collections.abc import Mapping

import msgspec

from ftgate.dialects.fields import Fields, anything
from ftgate.dialects.neutral import CHAT_SEAL, RESPONSES_SEAL

MARK = "ft1."
_FOREIGN = (RESPONSES_SEAL, CHAT_SEAL)
_SHOWN = b'"ft1.'


def marked(seal: str) -> str:
    """A seal as a client gets it: under our mark where an upstream of another dialect made it."""
    return MARK + seal if seal.startswith(_FOREIGN) else seal


def is_foreign(seal: str) -> bool:
    """Whether no upstream of this dialect made this seal."""
    return seal.startswith((*_FOREIGN, MARK))


def without_ours(messages: msgspec.Raw) -> tuple[object, bool]:
    """The messages without the thoughts that we have marked, as they came where there is none; and whether the last of
    the assistant's lost one: an upstream that is to think would look for it there."""
    if _SHOWN not in bytes(messages):
        return messages, False
    try:
        listed = msgspec.json.decode(messages, type=list[Fields])
        left = [(_without(message), message) for message in listed]
    except (msgspec.DecodeError, RecursionError):
        return messages, False
    last = next((kept is not message for kept, message in reversed(left) if _is_said(message)), False)
    return [kept for kept, _ in left if kept is not None], last


def _is_said(message: Fields) -> bool:
    return bytes(message.get("role", b"")).strip() == b'"assistant"'


def _without(message: Fields) -> Mapping[str, object] | None:
    """The message itself where it holds none; None where it held nothing else."""
    content = message.get("content", msgspec.Raw())
    if _SHOWN not in bytes(content) or bytes(content).lstrip()[:1] != b"[":
        return message
    blocks = msgspec.json.decode(content, type=list[Fields])
    kept = [block for block in blocks if not _is_ours(block)]
    if len(kept) == len(blocks):
        return message
    return {**message, "content": kept} if kept else None


def _is_ours(block: Fields) -> bool:
    kind = anything.decode(block.get("type", b"null"))
    name = {"thinking": "signature", "redacted_thinking": "data"}.get(kind if isinstance(kind, str) else "", "")
    seal = anything.decode(block.get(name, b"null")) if name else None
    return isinstance(seal, str) and seal.startswith(MARK)
