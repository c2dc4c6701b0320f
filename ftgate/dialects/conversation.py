"""What a conversation can be known by over its turns, in any dialect: a name that its caller gives it, or how it
began."""

from collections.abc import Mapping

import msgspec

NAMED = ("prompt_cache_key", "user", "safety_identifier")
"""Fields that name a conversation or who leads it, the closest first."""
LEAD = ("system", "instructions", "tools")
"""What stands before a conversation and stays."""
TURNS = ("messages", "input", "prompt")

_list = msgspec.json.Decoder(list[msgspec.Raw])


class _Metadata(msgspec.Struct):
    user_id: str | None = None


class _Turn(msgspec.Struct):
    role: str = ""


_metadata = msgspec.json.Decoder(_Metadata)
_turn = msgspec.json.Decoder(_Turn)


def name_of(fields: Mapping[str, msgspec.Raw]) -> bytes:
    """The name that a caller gave it, as it is written; b"" where there is none."""
    for field in NAMED:
        if (raw := fields.get(field)) is not None and bytes(raw) not in (b"null", b'""'):
            return bytes(raw)
    raw = fields.get("metadata")  # Anthropic's place for it
    try:
        found = _metadata.decode(raw) if raw is not None else None
    except msgspec.DecodeError:
        return b""
    return (found.user_id or "").encode(errors="replace") if found is not None else b""


def beginning_of(fields: Mapping[str, msgspec.Raw]) -> bytes:
    """How it began: all up to and with the first turn of its user, which every later request repeats."""
    said = [bytes(fields[field]) for field in LEAD if field in fields]
    for field in TURNS:
        if field in fields:
            said += _up_to_the_user(bytes(fields[field]))
            break
    return b"\0".join(said)


def _up_to_the_user(raw: bytes) -> list[bytes]:
    if not raw.lstrip().startswith(b"["):
        return [raw]
    found = []
    try:
        for turn in _list.decode(raw):
            found.append(bytes(turn))
            if bytes(turn)[:1] == b"{" and _turn.decode(turn).role == "user":
                break
    except msgspec.DecodeError:  # of an odd form; the beginning as far as it could be read is as good
        pass
    return found
