"""A stream as a whole answer: for an upstream that was asked for a whole one and streams all the same.

What comes in pieces is put together as clients do it: texts are joined, tool calls by their index, objects by their
names, lists follow each other; of labels the first counts, of all else the last.
"""

from collections.abc import Mapping

import msgspec

from ftgate.dialects import sse
from ftgate.dialects.fields import loads, whole_pairs
from ftgate.dialects.openai_chat.answer import ends
from ftgate.dialects.openai_chat.stream import StreamReader
from ftgate.dialects.states import WHOLE
from ftgate.dialects.talk import Complaint, Meter, NotAnAnswer

_LABELS = frozenset(("id", "type", "role", "name", "format", "signature"))
"""Texts that come once, or again as they were."""


class _Text(list[str]):
    """A text in the pieces it came in: joined once, at the end."""


def assembled(body: bytes, *, kind: str) -> bytes:
    """A whole answer, its `object` of this kind, from a stream. Raises NotAnAnswer for one that is none, or not
    whole."""
    reader = StreamReader(Meter(), show_usage=True)
    passed = reader.feed(body) + reader.end()
    if reader.state not in WHOLE:
        raise NotAnAnswer(reader.complaint or Complaint("a stream that ended before its answer did"))
    answer: dict[str, object] = {}
    choices: dict[int, dict[str, object]] = {}
    try:
        for event in sse.Reader().feed(passed + reader.usage_told()):
            chunk = loads(event.data or b"null")
            if isinstance(chunk, dict):
                answer.update((name, value) for name, value in chunk.items() if name not in answer or name == "usage")
                listed = chunk.get("choices")
                for choice in listed if isinstance(listed, list) else ():
                    if isinstance(choice, dict):
                        index = choice.get("index")
                        _take(choices.setdefault(index if isinstance(index, int) else 0, {}), choice)
        answer |= {"object": kind, "choices": [_plain(choices[index]) for index in sorted(choices)]}
        return msgspec.json.encode(answer)
    except (UnicodeEncodeError, RecursionError):
        raise NotAnAnswer(Complaint("a stream that cannot be put together")) from None


def _take(choice: dict[str, object], said: Mapping[str, object]) -> None:
    """Add what a chunk says of a choice."""
    for name, value in said.items():
        if name == "finish_reason":
            if ends(value) or name not in choice:
                choice[name] = value
        else:
            place = "message" if name == "delta" else name
            choice[place] = _joined(choice.get(place), value, name)


def _joined(known: object, said: object, name: str) -> object:
    """A value with what comes after it."""
    if said is None or (known and name in _LABELS):
        return known
    if isinstance(said, str):
        text = known if isinstance(known, _Text) else _Text()
        text.append(said)
        return text
    if isinstance(said, dict):
        whole = known if isinstance(known, dict) else {}
        for key, value in said.items():
            whole[key] = _joined(whole.get(key), value, key)
        return whole
    if isinstance(said, list):
        listed = known if isinstance(known, list) and not isinstance(known, _Text) else []
        for one in said:
            _listed(listed, one, name)
        return listed
    return said


def _listed(listed: list[object], one: object, name: str) -> None:
    """Add an element to a list: a piece of a tool call to the call that has its index."""
    if name == "tool_calls" and isinstance(one, dict):
        for call in listed:
            if isinstance(call, dict) and call.get("index") == one.get("index"):
                _joined(call, one, name)
                return
    listed.append(_joined(None, one, name))


def _plain(value: object, name: str = "") -> object:
    """A value with its texts joined, as a whole answer has it: tool calls are numbered in streams alone."""
    if isinstance(value, _Text):
        return whole_pairs("".join(value))
    if isinstance(value, list):
        return [_plain(one, name) for one in value]
    if isinstance(value, dict):
        return {key: _plain(its, key) for key, its in value.items() if not (name == "tool_calls" and key == "index")}
    return value
