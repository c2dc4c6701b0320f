"""Content parts of Responses items in neutral words."""

import re

from ftgate.dialects.fields import Fields, typed
from ftgate.dialects.neutral import Audio, Document, Image, Refusal, Text
from ftgate.errors import InvalidRequest

Part = Text | Refusal | Image | Document | Audio
_DATA = re.compile(r"data:([^;,\s]{1,100})(?:;[^;,\s]{1,100})*;base64,([A-Za-z0-9+/=_-]+)")
_DETAILS = {"low": "low", "high": "high", "original": "high"}
_PDF = "application/pdf"


def parts_of(item: Fields, name: str, path: str) -> tuple[Part, ...]:
    """What stands under this name of the item at this path: a text, or a list of parts. Raises InvalidRequest."""
    place = f"{path}.{name}"
    raw = bytes(item.get(name, b"null")).lstrip()
    words = "a text or a list of parts"
    if raw.startswith(b"["):
        listed = typed(item, name, list[Fields], words, path=place) or []
        return tuple(_part(part, f"{place}.{index}") for index, part in enumerate(listed))
    text = typed(item, name, str, words, path=place)
    return () if text is None else (Text(text),)


def _part(part: Fields, path: str) -> Part:
    kind = typed(part, "type", str, "a part's type", path=f"{path}.type")
    match kind:
        case "input_text" | "output_text" | "text":
            return Text(_text(part, "text", path))
        case "refusal":
            return Refusal(_text(part, "refusal", path))
        case "input_image":
            return _image(part, path)
        case "input_file":
            return _file(part, path)
        case "input_audio":
            return _audio(part, path)
    raise InvalidRequest(f"`{path}.type`: there are no parts of type {kind!r} here", param=f"{path}.type")


def _text(part: Fields, name: str, path: str) -> str:
    return typed(part, name, str, "a text", path=f"{path}.{name}") or ""


def _no_files(part: Fields, path: str) -> None:
    if _text(part, "file_id", path):
        words = "no files are kept here; send its bytes as base64"
        raise InvalidRequest(f"`{path}.file_id`: {words}", param=f"{path}.file_id")


def _image(part: Fields, path: str) -> Image:
    _no_files(part, path)
    place = f"{path}.image_url"
    address = _text(part, "image_url", path)
    detail = _DETAILS.get(_text(part, "detail", path), "")
    if address.startswith(("http://", "https://")):
        return Image(url=address, detail=detail, path=place)
    if (data := _DATA.fullmatch(address)) is not None:
        return Image(data=data[2], media=data[1], detail=detail, path=place)
    words = "must be an address (https) or a picture as a base64 `data:` URL"
    raise InvalidRequest(f"`{place}` {words}", param=place)


def _file(part: Fields, path: str) -> Document:
    _no_files(part, path)
    name, address = _text(part, "filename", path), _text(part, "file_url", path)
    if address:
        return Document(url=address, name=name, path=f"{path}.file_url")
    place = f"{path}.file_data"
    data = _text(part, "file_data", path)
    if (found := _DATA.fullmatch(data)) is not None:
        return Document(data=found[2], media=found[1], name=name, path=place)
    if not data or data.startswith("data:"):
        raise InvalidRequest(f"`{place}` must be a file's bytes as a base64 `data:` URL", param=place)
    return Document(data=data, media=_PDF, name=name, path=place)


def _audio(part: Fields, path: str) -> Audio:
    given = typed(part, "input_audio", Fields, "an object", path=f"{path}.input_audio")
    place = f"{path}.input_audio" if given is not None else path
    sound = part if given is None else given
    return Audio(_text(sound, "data", place), _text(sound, "format", place), path)
