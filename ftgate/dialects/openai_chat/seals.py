"""What an upstream of chat has sealed of its thinking, over the turns of a caller of another dialect.

Google's models sign the first of a round's calls, beside it in `extra_content` ({"google": {"thought_signature": …}},
or {"vertex": …}), and refuse the next request when it does not come back there; a text is signed too, and need not be.
OpenRouter has what any maker's model seals in the message's `reasoning_details`, which come in pieces told apart by an
index, before what was thought of. Messages and Responses have no place for either, so a seal goes before the call or
the text, as a thought that nobody else can read:

    "cs1." + its maker + "." + base64url of JSON {"call": the call's id, "extra": its field}
                                             or {"call": "", "extra": the message's field}
                                             or {"details": some of the message's}

It goes back to its maker alone: other providers refuse a field that they do not know. Whose an upstream is, is known
when a request goes up (Aim.maker), so render_talk puts the seal itself where the field belongs, and `given_back`
replaces it.

Source: Google's pages on thought signatures, and on compatibility with OpenAI; OpenRouter's on reasoning tokens.
"""

import base64
from collections.abc import Iterable, Mapping

import msgspec

from ftgate.dialects.fields import ABSENT, Fields, dumps, text_of
from ftgate.dialects.neutral import CHAT_SEAL, Thinking

FIELD = "extra_content"
DETAILS = "reasoning_details"
_SIGNATURE = "thought_signature"
_TEXTS = ("text", "summary", "data")
"""Fields of a detail that come in pieces."""
_SEALED = ("data", "signature")
_SHOWN = b'"' + CHAT_SEAL.encode()


class _Kept(msgspec.Struct, gc=False):
    call: str = ""
    extra: msgspec.Raw = ABSENT
    details: list[msgspec.Raw] = []


_kept = msgspec.json.Decoder(_Kept)


def seal_of(holder: Mapping[str, object], call: str) -> str:
    """The seal beside a call or a message, without its maker (Told.kept adds it); "" where there is none."""
    spaces = holder.get(FIELD)
    extra = {
        space: {_SIGNATURE: signature}
        for space, its in (spaces.items() if isinstance(spaces, dict) else ())
        if isinstance(its, dict) and (signature := text_of(its.get(_SIGNATURE)))
    }
    return _packed({"call": call, "extra": extra}) if extra else ""


def _packed(kept: Mapping[str, object]) -> str:
    return CHAT_SEAL + base64.urlsafe_b64encode(dumps(kept)).decode().rstrip("=")


class Details:
    """The details of an answer while their pieces come, until they are told. `sealed`: something in them is."""

    def __init__(self) -> None:
        self._known: dict[object, dict[str, list[str | int]]] = {}
        self.sealed = False

    def take(self, said: object) -> None:
        for at, piece in enumerate(said if isinstance(said, list) else ()):
            if not isinstance(piece, dict):
                continue
            flat = {name: its for name, its in piece.items() if isinstance(its, (str, int))}
            known = self._known.setdefault(flat.get("index", at), {})
            for name, its in flat.items():
                known.setdefault(name, []).append(its)
            self.sealed |= any(flat.get(name) for name in _SEALED)

    def seal(self) -> str:
        """Those that have not been told; "" while nothing in them is sealed."""
        if not self.sealed:
            return ""
        details = [{name: _joined(name, pieces) for name, pieces in its.items()} for its in self._known.values()]
        packed = _packed({"details": details})
        self._known, self.sealed = {}, False
        return packed


def _joined(name: str, pieces: list[str | int]) -> str | int:
    return "".join(map(str, pieces)) if name in _TEXTS else pieces[-1]


def seals_in(thoughts: Iterable[Thinking]) -> tuple[dict[str, str], list[str]]:
    """The seals among these thoughts: by the id of their call ("" for that of the message), and those of details."""
    fields, details = {}, []
    for thought in thoughts:
        if (opened := _opened(thought.sealed)) is not None:
            if opened[1].details:
                details.append(thought.sealed)
            elif bytes(opened[1].extra):
                fields[opened[1].call] = thought.sealed
    return fields, details


def given_back(messages: msgspec.Raw, maker: str) -> object:
    """Messages with what this maker has sealed where it stood, and without the seals of others."""
    if _SHOWN not in bytes(messages):
        return messages
    return [_given_back(message, maker) for message in msgspec.json.decode(messages, type=list[Fields])]


def _given_back(message: Fields, maker: str) -> Mapping[str, object]:
    given: dict[str, object] = {**message}
    if FIELD in message:
        _replace(given, maker)
    if DETAILS in message:
        seals = [_opened(seal) for seal in msgspec.json.decode(message[DETAILS], type=list[str])]
        details = [detail for opened in seals if opened and opened[0] == maker for detail in opened[1].details]
        given[DETAILS] = details
        if not details:
            del given[DETAILS]
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
