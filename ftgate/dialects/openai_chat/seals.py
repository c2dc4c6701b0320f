"""What an upstream of chat has sealed of its thinking, over the turns of a caller of another dialect.

Google's models sign the first of a round's calls, beside it in `extra_content` ({"google": {"thought_signature": …}},
or {"vertex": …}), and refuse the next request when it does not come back there; a text is signed too, and need not be.
Messages and Responses have no place at a call, so the seal goes before it, as a thought that nobody else can read:

    "cs1." + its maker + "." + base64url of JSON {"call": the call's id, "" for a message, "extra": the field}

It goes back to its maker alone: other providers refuse a field that they do not know. Whose an upstream is, is known
when a request goes up (Aim.maker), so render_talk puts the seal itself where the field belongs, and `given_back`
replaces it.

Source: Google's pages on thought signatures, and on compatibility with OpenAI.
"""

import base64
from collections.abc import Iterable, Mapping

import msgspec

from ftgate.dialects.fields import Fields, dumps, text_of
from ftgate.dialects.neutral import CHAT_SEAL, Thinking

FIELD = "extra_content"
_SIGNATURE = "thought_signature"
_SHOWN = b'"' + CHAT_SEAL.encode()


class _Kept(msgspec.Struct, gc=False):
    call: str
    extra: msgspec.Raw


_kept = msgspec.json.Decoder(_Kept)


def seal_of(holder: Mapping[str, object], call: str) -> str:
    """The seal beside a call or a message, without its maker (Told.kept adds it); "" where there is none."""
    spaces = holder.get(FIELD)
    extra = {
        space: {_SIGNATURE: signature}
        for space, its in (spaces.items() if isinstance(spaces, dict) else ())
        if isinstance(its, dict) and (signature := text_of(its.get(_SIGNATURE)))
    }
    if not extra:
        return ""
    return CHAT_SEAL + base64.urlsafe_b64encode(dumps({"call": call, "extra": extra})).decode().rstrip("=")


def seals_in(thoughts: Iterable[Thinking]) -> dict[str, str]:
    """The seals among these thoughts, by the id of their call ("" for that of the message)."""
    found = {}
    for thought in thoughts:
        if (opened := _opened(thought.sealed)) is not None:
            found[opened[1].call] = thought.sealed
    return found


def given_back(messages: msgspec.Raw, maker: str) -> object:
    """Messages with what this maker has sealed where it stood, and without the seals of others."""
    if _SHOWN not in bytes(messages):
        return messages
    return [_given_back(message, maker) for message in msgspec.json.decode(messages, type=list[Fields])]


def _given_back(message: Fields, maker: str) -> Mapping[str, object]:
    given: dict[str, object] = {**message}
    if FIELD in message:
        _replace(given, maker)
    if _SHOWN in bytes(message.get("tool_calls", b"")):
        calls: list[dict[str, object]] = [
            {**call} for call in msgspec.json.decode(message["tool_calls"], type=list[Fields])
        ]
        for call in calls:
            if FIELD in call:
                _replace(call, maker)
        given["tool_calls"] = calls
    return given


def _replace(holder: dict[str, object], maker: str) -> None:
    """Put what was sealed in the place of its seal, or nothing."""
    seal = holder.pop(FIELD)
    assert isinstance(seal, msgspec.Raw)
    opened = _opened(msgspec.json.decode(seal, type=str))
    if opened is not None and opened[0] == maker:
        holder[FIELD] = opened[1].extra


def _opened(seal: str) -> tuple[str, _Kept] | None:
    """Who made this seal, and what it holds; None where it is of another kind, or broken: then it is left out."""
    if not seal.startswith(CHAT_SEAL):
        return None
    maker, _, packed = seal.removeprefix(CHAT_SEAL).partition(".")
    data = packed.encode(errors="replace")
    try:
        kept = _kept.decode(base64.b64decode(data + b"=" * (-len(data) % 4), altchars=b"-_", validate=True))
    except (ValueError, RecursionError):  # base64's and msgspec's errors are ValueErrors
        return None
    return maker, kept
