"""How long an OpenAI chat prompt is: text, tool definitions and whatever else goes before the model, as an estimate in
tokens; images, audios and files, which text does not measure, as numbers.

Base64 is never taken for text, at any depth: not in a part, not in what a tool gave back, not in the pictures of an
answer that is said again. Nearly all prompts hold none; those are measured as the JSON they came in.
"""

import re
from collections.abc import Mapping

import msgspec

from ftgate.core import estimate
from ftgate.dialects.content import field_kind, kind_of, leaves
from ftgate.dialects.fields import Fields, anything
from ftgate.errors import InvalidRequest


class _Plain(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A message as most are."""

    role: str
    content: str


_plain = msgspec.json.Decoder(list[_Plain])
_messages = msgspec.json.Decoder(list[Fields])
_NO_PROMPT = frozenset(
    ("messages", "model", "models", "routing", "provider_key", "stream_options", "logit_bias", "metadata", "user",
    "stop", "service_tier",
     "reasoning_effort", "verbosity", "safety_identifier", "prompt_cache_key", "modalities", "audio",
     "stream", "max_tokens", "max_completion_tokens", "n", "temperature", "top_p")
)  # fmt: skip
"""Fields that no provider puts before the model as tokens. Every other one that is passed on is measured as prompt."""
_NO_MEDIA = {"image": 0, "audio": 0, "file": 0, "part": 0}
_MEDIA_TYPE = re.compile(rb'"type"\s*:\s*"[^"]{0,40}(?:image|audio|video|file|document)')
_LONG_RUN = 512
"""Characters without a blank between two quotes that may be base64."""
_TEXT = frozenset(("text", "content", "arguments", "input", "output", "reasoning", "reasoning_content", "refusal"))
"""Fields that a model reads as they are, should they begin like a picture or not."""


def measure(fields: Fields) -> tuple[estimate.Count, int, int, int]:
    """Tokens of text and definitions; images, audios, files. A part's base64 is never measured as text."""
    media = _NO_MEDIA
    try:
        texts = [message.content for message in _plain.decode(fields["messages"])]
        length = len(texts)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        media = dict(_NO_MEDIA)
        texts, length = _read_messages(fields, media)
    if not length:
        raise InvalidRequest("`messages` must hold at least one message", param="messages")
    for name in set(fields) - _NO_PROMPT:  # the other way round it would look for each of these
        if bytes(fields[name])[:1] in (b"[", b"{", b'"'):
            media = media if media is not _NO_MEDIA else dict(_NO_MEDIA)
            _field(name, fields[name], texts, media)
    counted = estimate.text("".join(texts))
    template = estimate.tokens(estimate.MESSAGE_TOKENS * length + estimate.PRIMING_TOKENS + media["part"])
    return counted + template, media["image"], media["audio"], media["file"]


def _read_messages(fields: Fields, media: dict[str, int]) -> tuple[list[str], int]:
    """The texts and the number of messages that are more than a role and a text; counts other media. Raises
    InvalidRequest."""
    try:
        messages = _messages.decode(fields["messages"])
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidRequest(f"`messages` must be a list of message objects: {error}", param="messages") from None
    except UnicodeDecodeError:
        raise InvalidRequest(
            "`messages` holds bytes that are not UTF-8", code="invalid_json", param="messages"
        ) from None
    texts: list[str] = []
    for index, message in enumerate(messages):
        for name, raw in message.items():
            if name == "content":
                _content(raw, texts, media, f"messages.{index}.content")
            elif name != "role":
                _field(name, raw, texts, media)
    return texts, len(messages)


def _text_of(raw: msgspec.Raw) -> str:
    """A raw value as text to measure: a string's contents, anything else as its JSON."""
    data = bytes(raw).strip()
    if data.startswith(b'"'):
        return str(anything.decode(data))
    return "" if data == b"null" else data.decode()


def _content(raw: msgspec.Raw, texts: list[str], media: dict[str, int], path: str) -> None:
    data = bytes(raw).lstrip()
    if not data.startswith(b"["):
        if not data.startswith((b'"', b"null")):
            raise InvalidRequest(f"`{path}` must be a string or a list of parts", param=path)
        texts.append(_text_of(raw))
        return
    try:
        parts = msgspec.json.decode(raw, type=list[Fields | str])
    except (msgspec.DecodeError, RecursionError):
        raise InvalidRequest(f"`{path}` must be a string or a list of parts", param=path) from None
    media["part"] += max(len(parts) - 1, 0)  # each costs something, whatever is in it
    for part in parts:
        if isinstance(part, str):
            texts.append(part)
            continue
        kind = kind_of(_text_of(part["type"])) if "type" in part else None
        if kind in media:
            _media_part(anything.decode(msgspec.json.encode(part)), kind, texts, media)
        else:
            for name, value in part.items():
                if name != "type":
                    _field(name, value, texts, media, parts=True)


def _may_hold_media(raw: bytes) -> bool:
    """Whether JSON shows a part that says it is media, or a long run of base64."""
    if b";base64," in raw or _MEDIA_TYPE.search(raw):
        return True
    return len(raw) > _LONG_RUN and any(len(run) > _LONG_RUN and b" " not in run for run in raw.split(b'"'))


def _field(name: str, raw: msgspec.Raw, texts: list[str], media: dict[str, int], *, parts: bool = False) -> None:
    """A field of a message, of a part, or of the request. `parts`: what stands in it may be parts again."""
    if not _may_hold_media(bytes(raw)):
        texts.append(_text_of(raw))
        return
    try:
        value = anything.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        raise InvalidRequest(f"`{name}` is nested too deeply", code="invalid_json", param=name) from None
    if isinstance(value, str) or not parts:
        _without_media(name, value, texts, media)
        return
    left = [value]
    while left:
        value = left.pop()
        if isinstance(value, list):
            left.extend(reversed(value))
        elif not isinstance(value, dict):
            texts.append(value if isinstance(value, str) else msgspec.json.encode(value).decode())
        elif (kind := kind_of(str(value.get("type")))) in media:
            _media_part(value, kind, texts, media)
        else:
            _without_media(name, {key: its for key, its in value.items() if not isinstance(its, list)}, texts, media)
            left.extend(its for its in reversed(value.values()) if isinstance(its, list))


def _without_media(name: str, value: object, texts: list[str], media: dict[str, int]) -> None:
    """A value's text (a string's own, of anything else its JSON) without the media in it, which is counted."""
    said = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    at = 0
    for leaf in leaves(value, field_kind(name), name):
        if leaf.kind is None or leaf.name in _TEXT:
            continue
        if leaf.kind in media:
            media[leaf.kind] += 1
        if (found := said.find(leaf.text, at)) >= 0:  # they come in the order in which they stand
            texts.append(said[at:found])
            at = found + len(leaf.text)
    texts.append(said[at:])


def _media_part(part: Mapping[str, object], kind: str, texts: list[str], media: dict[str, int]) -> None:
    """A part that says it is media: one of its kind, whatever its bytes or where they lie. A document may be text."""
    found = list(leaves(part))
    said = [leaf.text for leaf in found if leaf.kind is None and not leaf.label]
    texts += said
    if kind != "file" or not said or any(leaf.kind for leaf in found):
        media[kind] += 1
