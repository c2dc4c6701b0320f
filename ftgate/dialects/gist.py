"""What a person asks in a request of any dialect, for model = "auto" (core.complexity): the last texts, the system's
words, how many turns, tools and pictures. Read only for such calls.

Of a long conversation the turns are told apart, and only those that are looked at are read. What cannot be read here
says nothing: whoever reads the request whole tells its faults.
"""

from collections.abc import Mapping

import msgspec

from ftgate.core.complexity import Asked
from ftgate.dialects.content import leaves
from ftgate.dialects.fields import ABSENT, anything
from ftgate.dialects.talk import Ask

_PERSON = frozenset(("user", "human", ""))
_SYSTEM = frozenset(("system", "developer"))
_FAULTS = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)


class _Turn(msgspec.Struct, gc=False):
    """A message of chat or Messages, or an item of Responses."""

    role: str = ""
    type: str = ""
    content: msgspec.Raw = ABSENT


_turns = msgspec.json.Decoder(list[_Turn])


def asked(ask: Ask) -> Asked:
    """Raises nothing."""
    fields = ask.fields
    turns = _turns_of(fields)
    said = [turn.content for turn in turns if turn.role in _PERSON and turn.type in ("", "message")]
    said += [fields[name] for name in ("input", "prompt") if bytes(fields.get(name, ABSENT)).lstrip()[:1] == b'"']
    last = before = ""
    for content in reversed(said):  # passing over turns of results, or of pictures alone
        if not last:
            last = _text(content)
        elif before := _text(content):
            break
    system = [fields[name] for name in ("system", "instructions") if name in fields]
    system += [turn.content for turn in turns[:2] if turn.role in _SYSTEM]
    return Asked(
        last=last,
        before=before,
        system="\n".join(filter(None, map(_text, system))),
        turns=len(said),
        tools=int(ask.has_tools),
        images=ask.images,
        tokens=ask.prompt.likely,
    )


def _turns_of(fields: Mapping[str, msgspec.Raw]) -> list[_Turn]:
    for name in ("messages", "input"):
        if bytes(fields.get(name, ABSENT)).lstrip()[:1] == b"[":
            try:
                return _turns.decode(fields[name])
            except _FAULTS:
                return []
    return []


def _text(raw: msgspec.Raw) -> str:
    """The texts of a content, whatever its shape; media is none."""
    if not bytes(raw):
        return ""
    try:
        value = anything.decode(raw)
    except _FAULTS:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list):  # what a tool has given back is not what a person says
        value = [part for part in value if not (isinstance(part, dict) and part.get("type") == "tool_result")]
    return "\n".join(leaf.text for leaf in leaves(value) if leaf.kind is None and not leaf.label)
