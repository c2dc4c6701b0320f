"""What a message holds, at any depth: whether a client may want it, which of it is text that a model wrote or reads,
and which is media.

Neutral: providers put the same shapes into answers and prompts of every protocol. Text is measured as text. Media is
counted as media, by its kind, and its base64 is never taken for text, wherever it stands: as a `data:` address, or
under a name that holds bytes. Names, numbers and flags are neither.

Nothing here recurses, so no depth of nesting can end it.
"""

import re
from collections.abc import Iterator, Mapping

import msgspec

from ftgate.core import estimate

NO_CONTENT = frozenset(("role", "name", "index", "id", "type"))
"""Fields of a message or delta that say what it is, not what is said."""
_LABELS = frozenset(
    ("type", "id", "index", "role", "object", "status", "format", "detail", "mime_type", "media_type", "mimeType",
     "call_id", "item_id", "tool_call_id", "annotations", "citations", "file_id", "filename", "cache_control")
)  # fmt: skip
"""Names whose text no model wrote."""
_BYTES = frozenset(
    ("data", "b64_json", "file_data", "image_data", "bytes", "base64", "result", "partial_image_b64", "blob")
)
"""Names that hold base64, unless what stands around them says text."""
_SEALED = frozenset(("signature", "encrypted_content", "thought_signature", "thoughtSignature", "redacted_thinking"))
"""Names of what a provider sealed for itself: bytes that no tokenizer sees."""
_WRITTEN = frozenset(("arguments", "input"))
"""Names of what a model writes as JSON: measured as that where it is no text already."""
_KINDS = (
    ("image", "image"), ("audio", "audio"), ("video", "file"), ("file", "file"), ("document", "file"),
    ("encrypted", "sealed"), ("redacted", "sealed"),
)  # fmt: skip
_NAMED = frozenset(("audio", "image", "images", "video", "videos"))
"""Fields whose name alone says the medium."""


class Leaf(msgspec.Struct, frozen=True, gc=False):
    """A text at the end of a path, in a field of this `name`. `kind` is the medium it is a piece of: image, audio,
    file; "sealed" for what nobody reads; None for text. `label`: a name beside it, not what was said."""

    text: str
    name: str = ""
    kind: str | None = None
    label: bool = False


def kind_of(words: str) -> str | None:
    """The medium that a part's type, or a media type, names."""
    for mark, kind in _KINDS:
        if mark in words:
            return kind
    return None


def field_kind(name: str) -> str | None:
    """The medium of what stands in a field of this name, where the name alone says it."""
    return kind_of(name) if name in _NAMED else None


def leaves(value: object, kind: str | None = None, name: str = "") -> Iterator[Leaf]:
    """Every text that is not empty in a JSON value. `kind` is the medium around it, `name` the field it stands in."""
    left: list[tuple[object, str | None, str]] = [(value, kind, name)]
    while left:
        value, kind, name = left.pop()
        if isinstance(value, str):
            if value:
                yield _leaf(value, kind, name)
        elif value and name in _WRITTEN and isinstance(value, (list, dict)):
            yield Leaf(written(value), name)
        elif isinstance(value, list):
            left.extend((inner, kind, name) for inner in reversed(value))
        elif isinstance(value, dict):
            kind = _kind_around(value, kind)
            left.extend(
                (inner, kind, key if key != "type" and name not in _LABELS else "type")
                for key, inner in reversed(value.items())
            )


def written(value: object) -> str:
    """A JSON value as the text that it was written as, near enough to be measured. Half a surrogate pair may stand in
    it, and any depth."""
    try:
        return msgspec.json.encode(value).decode()
    except (UnicodeEncodeError, RecursionError):
        pass
    texts: list[str] = []
    left = [value]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            left.extend(reversed(value.values()))
            texts.extend(f'{{"{key}":' for key in value)
        elif isinstance(value, list):
            left.extend(reversed(value))
        else:
            texts.append(f'"{value}",')
    return "".join(texts)


def _kind_around(value: Mapping[str, object], kind: str | None) -> str | None:
    """The medium of an object, by what it says of itself; by what stands around it where it says nothing."""
    for name in ("mime_type", "media_type", "mimeType", "type"):
        said = value.get(name)
        if isinstance(said, str):
            if said.startswith("text"):
                return None
            kind = kind_of(said) or kind
    return kind


def _leaf(text: str, kind: str | None, name: str) -> Leaf:
    if name in _SEALED:
        return Leaf(text, name, "sealed")
    if text.startswith("data:") and ";base64," in text[:200]:
        return Leaf(text, name, kind_of(text[:200].partition(";")[0]) or kind or "file")
    if name in _BYTES and kind is not None:
        return Leaf(text, name, kind)
    if name == "url":
        return Leaf(text, name, kind, label=kind is None)
    return Leaf(text, name, label=name in _LABELS)


def media_tokens(kind: str, text: str) -> int:
    """Tokens that a piece of a medium likely stands for in an answer. Sound comes in pieces, so it is counted by its
    length; a picture or file comes whole."""
    if kind == "image":
        return estimate.IMAGE_TOKENS
    if kind == "audio":
        return -(-len(text) // estimate.AUDIO_BASE64_PER_TOKEN)
    return estimate.FILE_TOKENS if kind == "file" else 0


class Seen(msgspec.Struct, gc=False):
    """What a message or delta holds. `anything`: there is something that a client may want. `text` is what the model
    wrote; a text that stands in two fields was written once. `media_tokens` are those of pictures and sound."""

    anything: bool = False
    text: str = ""
    media_tokens: int = 0


def look(message: Mapping[str, object]) -> Seen:
    """Look through a message or a delta (DESIGN, "What counts as content")."""
    seen = Seen()
    texts: list[str] = []
    for name, value in message.items():
        if name in NO_CONTENT or not value or isinstance(value, (int, float)):
            continue
        before = set(texts)
        for leaf in leaves(value, field_kind(name), name):
            seen.anything = True
            if leaf.kind is not None:
                seen.media_tokens += media_tokens(leaf.kind, leaf.text)
            elif not leaf.label and leaf.text not in before:
                texts.append(leaf.text)
    seen.text = "".join(texts)
    return seen


_EMBEDDED = re.compile(r"data:([a-z]{1,20})/[^;,\s]{0,80};base64,[A-Za-z0-9+/=_-]+")


def without_embedded(text: str) -> tuple[str, int]:
    """A text without the pictures that stand in its midst as `data:` addresses, as some models write them in Markdown;
    and the tokens that these likely stand for."""
    found = [(kind_of(match[1]) or "file", match[0]) for match in _EMBEDDED.finditer(text)]
    return _EMBEDDED.sub("", text), sum(media_tokens(kind, whole) for kind, whole in found)
