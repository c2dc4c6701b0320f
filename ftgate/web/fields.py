"""The fields of a request to the site: one JSON object, each field read as what it has to be, in either spelling.

Whatever is wrong is InvalidRequest with the field's name in `param`: `missing_field` where it is not there,
`invalid_value` where it is of another type or out of its range. `null` means "not given". What is not asked for is
ignored. Amounts are read from their text, so that no digit is lost in a float.

Who fills in a form wants to be told of all its faults at once: fields that are given a list for them put there what
they would raise, and the field counts as not given. Whoever gave the list goes no further where one is in it.
"""

import re
from collections.abc import Callable, Collection
from decimal import Decimal
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import msgspec
from quart import request

from ftgate.core import addresses
from ftgate.core.moments import iso, parse_time
from ftgate.core.money import PLAIN, parse_usd
from ftgate.errors import BodyTooLarge, GateError, InvalidRequest

MOST_BYTES = 65_536
"""The largest body of a request to the site."""
MOST_NESTED = 64
MOST_CENTS = 100_000_000
"""The largest amount in cents: a million dollars."""
UNITS_PER_CENT = 10**10
_JSON_NUMBER = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{1,20})?(?:[eE][+-]?[0-9]{1,3})?")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)', re.S)
"""One that never ends goes to the body's end, and is looked through once: nothing is tried again (`*+`)."""
_NO_BRACKETS = bytes(set(range(256)) - set(b"[{]}"))
_HUMP = re.compile(r"_([a-z])")
T = TypeVar("T")
P = ParamSpec("P")
Reading = Callable[Concatenate["Fields", str, P], T | None]


async def read(most: int = MOST_BYTES) -> "Fields":
    """The request's body. Raises BodyTooLarge, InvalidRequest."""
    return Fields.of(await received(most))


async def received(most: int = MOST_BYTES) -> bytes:
    """The body's bytes, `most` at the most. Raises BodyTooLarge."""
    body = bytearray()
    async for piece in request.body:
        body += piece
        if len(body) > most:
            raise BodyTooLarge(f"the request body is larger than {most} bytes")
    return bytes(body)


def _told(read: Reading[P, T]) -> Reading[P, T]:
    """A reading of one field whose fault is kept where that is wished."""

    @wraps(read)
    def reading(self: "Fields", name: str, /, *args: P.args, **named: P.kwargs) -> T | None:
        try:
            return read(self, name, *args, **named)
        except InvalidRequest as error:
            self.fault(error)
            return None

    return reading


class Fields:
    """The fields of one object, as they were written. What is wrong with them is raised, or put into `faults`."""

    def __init__(self, raw: dict[str, msgspec.Raw], faults: list[GateError] | None = None) -> None:
        self.raw = raw
        self.faults = faults

    @classmethod
    def of(cls, body: bytes) -> "Fields":
        """Raises InvalidRequest with the code invalid_json."""
        if not body.strip():
            return cls({})
        try:
            body.decode()
            _shallow(body)
            msgspec.json.decode(body)  # every value, also those that nobody asks for
            return cls(msgspec.json.decode(body, type=dict[str, msgspec.Raw]))
        except (UnicodeDecodeError, msgspec.DecodeError, RecursionError, ValueError) as error:
            words = str(error) if isinstance(error, msgspec.DecodeError | ValueError) else type(error).__name__
            raise InvalidRequest(f"the body must be one JSON object: {words[:200]}", code="invalid_json") from None

    def _raw(self, name: str) -> tuple[str, bytes] | None:
        """A field's name as it was sent, and its JSON; None where it was not given. `name` is in snake_case."""
        camel = _HUMP.sub(lambda hump: hump[1].upper(), name)
        found = [(spelt, bytes(self.raw[spelt])) for spelt in dict.fromkeys((name, camel)) if spelt in self.raw]
        if len(found) == 2 and msgspec.json.decode(found[0][1]) != msgspec.json.decode(found[1][1]):
            raise wrong(camel, f"`{name}` and `{camel}` are one field and were sent with two values")
        return found[0] if found else None

    def fault(self, error: InvalidRequest) -> None:
        """Something is wrong with one of them: raise it, or keep it where that is wished."""
        if self.faults is None:
            raise error
        self.faults.append(error)

    def is_there(self, name: str) -> bool:
        """Whether the field was sent, be it as null."""
        return self._raw(name) is not None

    def is_null(self, name: str) -> bool:
        """Whether it was sent as null."""
        found = self._raw(name)
        return found is not None and found[1].strip() == b"null"

    def _value(self, name: str, kind: Any, words: str) -> tuple[str, Any]:
        found = self._raw(name)
        if found is None:
            return name, None
        spelt, raw = found
        try:
            return spelt, msgspec.json.decode(raw, type=kind | None)
        except msgspec.ValidationError:
            raise wrong(spelt, f"`{spelt}` must be {words}") from None

    @_told
    def text(self, name: str, *, least: int = 0, most: int) -> str | None:
        """A text, just as it was sent."""
        found: tuple[str, str | None] = self._value(name, str, "a text")
        spelt, said = found
        if said is not None and not least <= len(said) <= most:
            raise wrong(spelt, f"`{spelt}` must be {least} to {most} characters long")
        if said is not None and any("\ud800" <= sign <= "\udfff" for sign in said):
            raise wrong(spelt, f"`{spelt}` holds half of a surrogate pair")
        return said

    @_told
    def line(self, name: str, *, least: int = 1, most: int) -> str | None:
        """A text in one line, without space at its ends."""
        spelt, said = self._value(name, str, "a text")
        return None if said is None else line(spelt, said, least=least, most=most)

    @_told
    def lines(self, name: str, *, items: int, most: int) -> tuple[str, ...] | None:
        """A list of such texts, each once."""
        spelt, said = self._value(name, list[str], "a list of texts")
        if said is None:
            return None
        if len(said) > items:
            raise wrong(spelt, f"`{spelt}` takes {items} at the most")
        return tuple(dict.fromkeys(line(spelt, one, least=1, most=most) for one in said))

    @_told
    def networks(self, name: str, *, items: int) -> tuple[str, ...] | None:
        """A list of addresses and networks."""
        said = self.lines(name, items=items, most=50)
        try:
            return None if said is None else tuple(map(str, addresses.networks(said)))
        except ValueError as error:
            raise wrong(self._spelt(name), f"`{self._spelt(name)}`: {error}") from None

    @_told
    def choice(self, name: str, choices: Collection[str]) -> str | None:
        """One of a few words."""
        found: tuple[str, str | None] = self._value(name, str, f"one of {', '.join(choices)}")
        spelt, said = found
        if said is not None and said not in choices:
            raise wrong(spelt, f"`{spelt}` must be one of {', '.join(choices)}")
        return said

    def flag(self, name: str) -> bool:
        """true or false; false where it is not given."""
        return bool(self._value(name, bool, "true or false")[1])

    @_told
    def id(self, name: str) -> int | None:
        """An id: a whole number, or a text of one."""
        spelt, said = self._value(name, int | str, "an id")
        if said is None:
            return None
        if isinstance(said, bool) or not re.fullmatch(r"[0-9]{1,18}", str(said)) or int(said) < 1:
            raise wrong(spelt, f"`{spelt}` must be an id, a whole number from 1")
        return int(said)

    @_told
    def moment(self, name: str) -> int | None:
        """A time, in microseconds since 1970."""
        spelt, said = self._value(name, str, "an ISO 8601 time")
        try:
            at_us = None if said is None else parse_time(said)
            if at_us is not None:
                iso(at_us)  # one that can be shown again
        except (ValueError, OverflowError) as error:
            raise wrong(spelt, f"`{spelt}`: {error}") from None
        return at_us

    @_told
    def cents(self, name: str) -> int | None:
        """An amount in US cents, as units: 0 to MOST_CENTS with at most ten decimals."""
        found = self._number(name)
        if found is None:
            return None
        spelt, said = found
        whole, _, part = said.partition(".")
        if said.startswith("-") or int(whole) > MOST_CENTS or (int(whole) == MOST_CENTS and part.strip("0")):
            raise wrong(spelt, f"`{spelt}` must be 0 to {MOST_CENTS} cents")
        if len(part.rstrip("0")) > 10:
            raise wrong(spelt, f"`{spelt}` may have 10 decimals at the most")
        return int(whole) * UNITS_PER_CENT + int(part.rstrip("0").ljust(10, "0"))

    @_told
    def usd(self, name: str, *, places: int = 12) -> int | None:
        """An amount in USD, as units; it may be negative, and has `places` decimals at the most."""
        found = self._number(name)
        if found is None:
            return None
        spelt, said = found
        if len(said.partition(".")[2].rstrip("0")) > places:
            raise wrong(spelt, f"`{spelt}` may have {places} decimals at the most")
        try:
            return parse_usd(said)
        except ValueError as error:
            raise wrong(spelt, f"`{spelt}`: {error}") from None

    def _number(self, name: str) -> tuple[str, str] | None:
        """A field's spelling and its number in plain digits; a text of one counts as well. Only a JSON number may have
        an exponent: programs write small ones so by themselves."""
        found = self._raw(name)
        if found is None or found[1].strip() == b"null":
            return None
        spelt, raw = found
        text = raw.strip().decode()
        if text.startswith('"'):
            text = msgspec.json.decode(raw, type=str).strip()
        elif _JSON_NUMBER.fullmatch(text):
            text = format(Decimal(text), "f")
        if not PLAIN.fullmatch(text):
            raise wrong(spelt, f"`{spelt}` must be a decimal amount in plain digits, like 5 or 0.25")
        return spelt, text

    def _spelt(self, name: str) -> str:
        found = self._raw(name)
        return found[0] if found else name

    def needed(self, name: str, value: T | None) -> T:
        """A value that must be given; where it is not, InvalidRequest with the code missing_field."""
        if value is None:
            spelt = self._spelt(name)
            self.fault(InvalidRequest(f"`{spelt}` is missing", code="missing_field", param=spelt))
        return cast(T, value)


def wrong(param: str, words: str) -> InvalidRequest:
    return InvalidRequest(words, code="invalid_value", param=param)


def line(name: str, said: str, *, least: int = 1, most: int) -> str:
    """A text in one line, without space at its ends. Raises InvalidRequest."""
    if _CONTROL.search(said):
        raise wrong(name, f"`{name}` holds a control character; write plain text in one line")
    said = said.strip()
    if not least <= len(said) <= most:
        raise wrong(name, f"`{name}` must be {least} to {most} characters long")
    return said


def _shallow(body: bytes) -> None:
    """Raises ValueError for one that is nested too deep, before anything walks down it."""
    depth = 0
    for sign in _STRINGS.sub(b"", body).translate(None, _NO_BRACKETS):
        if sign in b"[{":
            depth += 1
            if depth > MOST_NESTED:
                raise ValueError(f"it is nested deeper than {MOST_NESTED}")
        else:
            depth -= 1
