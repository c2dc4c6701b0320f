"""How long an OpenAI chat prompt is: text, tool definitions and whatever else goes before the model, as an estimate in
tokens; images, audios and files, which text does not measure, as numbers. A part's base64 is never taken for text.
"""

import msgspec

from ftgate.core import estimate
from ftgate.dialects.fields import Fields, anything
from ftgate.errors import InvalidRequest


class _Plain(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A message as most are."""

    role: str
    content: str


_plain = msgspec.json.Decoder(list[_Plain])
_messages = msgspec.json.Decoder(list[Fields])
_NO_PROMPT = frozenset(
    ("messages", "model", "models", "routing", "stream_options", "logit_bias", "metadata", "user", "stop",
    "service_tier",
     "reasoning_effort", "verbosity", "safety_identifier", "prompt_cache_key", "modalities", "audio",
     "stream", "max_tokens", "max_completion_tokens", "n", "temperature", "top_p")
)  # fmt: skip
"""Fields that no provider puts before the model as tokens. Every other one that is passed on is measured as prompt."""
_NO_MEDIA = {"image": 0, "audio": 0, "file": 0, "part": 0}


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
    if not fields.keys() <= _NO_PROMPT:
        texts += [
            _text_of(raw)
            for name, raw in fields.items()
            if name not in _NO_PROMPT and bytes(raw)[:1] in (b"[", b"{", b'"')
        ]
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
                texts.append(_text_of(raw))
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
        kind = _text_of(part["type"]) if "type" in part else "text"
        if "image" in kind:
            media["image"] += 1
        elif "audio" in kind:
            media["audio"] += 1
        elif "video" in kind or "file" in kind or "document" in kind:
            media["file"] += 1
        else:
            texts.extend(_text_of(value) for name, value in part.items() if name != "type")
