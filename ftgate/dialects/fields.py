"""Reading JSON fields of any dialect: a body as its top-level fields, one field of a simple type, and what of a value
is there at all.

msgspec reads JSON without making objects of what nobody looks at; a field kept as `Raw` passes on with the bytes it
came in.
"""

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec

from ftgate.errors import InvalidRequest

T = TypeVar("T")
MAX_OBJECTS = 250_000
"""Braces and brackets in a body: more are no prompt, and reading them would hold up everybody else."""
Fields = dict[str, msgspec.Raw]
fields_of = msgspec.json.Decoder(Fields)
anything = msgspec.json.Decoder()
ABSENT = msgspec.Raw()
"""msgspec takes no union with Raw: an absent field is empty, a null one is b"null"."""
NULL = b"null"
_HEEDED = frozenset(
    ("model", "models", "routing", "provider_key", "stream", "stream_options", "n", "best_of", "max_tokens",
     "max_completion_tokens", "max_output_tokens", "messages", "input", "prompt", "system", "instructions", "tools",
     "functions", "thinking", "reasoning", "service_tier", "speed", "fallbacks", "inference_geo", "mcp_servers",
     "container", "thread", "store", "background", "generate", "conversation", "previous_response_id", "plugins",
     "moderation", "web_search_options", "search_parameters", "context_management", "prompt_cache_options", "type",
     "include_usage", "edits")
)  # fmt: skip
"""Names of fields by which a request is routed, held, capped and priced, or which do not go up."""
MOST_DIGITS = 4000
_HALF = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")


def loads(data: bytes) -> object:
    """Any JSON value, read as clients read it: half of a surrogate pair passes (an upstream may cut one in two, each
    half in a chunk of its own), and so do NaN and bytes that are no UTF-8, as U+FFFD. Raises ValueError."""
    try:
        return anything.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        pass  # anything but the ordinary: Python's own reader takes more
    try:
        return json.loads(data.decode("utf-8", "replace"), parse_int=_whole)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _whole(digits: str) -> int | float:
    """A whole number; one of thousands of digits, which Python makes no number of, counts nothing."""
    return int(digits) if len(digits) <= MOST_DIGITS else math.inf


def dumps(value: object) -> bytes:
    """A value as JSON, with whatever a client may have to put together: half of a surrogate pair stays one."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def text_of(value: object) -> str:
    """A text; whatever else stands in its place says nothing."""
    return value if isinstance(value, str) else ""


def word(value: object, path: str) -> str:
    """A text that has to be one. Raises InvalidRequest with its path."""
    if not isinstance(value, str):
        raise InvalidRequest(f"`{path}` must be a text", param=path)
    return value


def cache_mark(part: Mapping[str, object]) -> msgspec.Raw | None:
    """The cache_control that stands beside a part, raw."""
    mark = part.get("cache_control")
    return msgspec.Raw(dumps(mark)) if isinstance(mark, dict) else None


def whole_pairs(text: str) -> str:
    """A text whose surrogate pairs came in halves; a half that stands alone is U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def rewrite(data: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """`change(data)`, where that takes JSON apart into Raw values, which keep their bytes, and writes it again in the
    same order. msgspec refuses half of a surrogate pair even where it only passes over it, so halves are put aside for
    the while. Raises msgspec.DecodeError, UnicodeDecodeError for what it cannot take apart."""
    halves = _HALF.findall(data)
    if not halves:
        return change(data)
    mark = rb"\ue000" + hashlib.blake2b(data, digest_size=16).hexdigest().encode()  # no text holds its own
    changed = change(_HALF.sub(lambda _: mark, data))
    if changed.count(mark) != len(halves):
        raise msgspec.DecodeError("halves of surrogate pairs in what was taken out")
    left = iter(halves)
    return re.sub(re.escape(mark), lambda _: next(left), changed)


def there(raw: msgspec.Raw) -> bool:
    """Whether a field was given, and is not null."""
    return bytes(raw) not in {b"", NULL}


def decode_object(body: bytes) -> Fields:
    """A request's body as its top-level fields. Raises InvalidRequest for what is no JSON object."""
    if not body:
        raise InvalidRequest("the body is empty; send a JSON object", code="invalid_json")
    if len(body) > MAX_OBJECTS and body.count(b"{") + body.count(b"[") > MAX_OBJECTS:
        raise InvalidRequest(f"the body holds more than {MAX_OBJECTS} braces and brackets")
    try:
        if not body.isascii():
            # the JSON reader skips over strings that it need not look at; a client's bad bytes must not go up
            body.decode()
        fields = fields_of.decode(body)
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"the body is not UTF-8 (byte {error.start})", code="invalid_json") from None
    except RecursionError:
        raise InvalidRequest("the body is nested too deeply", code="invalid_json") from None
    except msgspec.ValidationError:
        raise InvalidRequest("the body must be a JSON object", code="invalid_json") from None
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"the body is not valid JSON: {error}", code="invalid_json") from None
    refuse_disguised(fields)
    return fields


def refuse_disguised(fields: Mapping[str, object], path: str = "") -> None:
    """Raises InvalidRequest for a field that is one that matters here in other letters: servers written in Go read
    `MODEL` as `model`, and the last one wins, so that what goes up would not be what was priced and capped here."""
    names = "".join(fields)
    if names.isascii() and names.islower():  # nearly always
        return
    for name in fields:
        if not (name.isascii() and name.islower()) and (meant := name.casefold()) != name and meant in _HEEDED:
            raise InvalidRequest(f"`{path}{name[:80]}` must be written `{meant}`", param=path + name[:80])


def typed(
    fields: Mapping[str, msgspec.Raw], name: str, kind: type[T], words: str, *, path: str | None = None
) -> T | None:
    """A field of a simple type; absent and null are None. Raises InvalidRequest, which says `words`."""
    raw = fields.get(name)
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw, type=kind | None)
    except (msgspec.DecodeError, RecursionError):
        raise InvalidRequest(f"`{path or name}` must be {words}", param=path or name) from None


def whole(value: int | None, name: str, *, most: int) -> int | None:
    """A whole number from 1 to `most`, or None. Raises InvalidRequest with the field's name."""
    if value is not None and not 1 <= value <= most:
        raise InvalidRequest(f"`{name}` must be a whole number from 1 to {most}", param=name)
    return value
