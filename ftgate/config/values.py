"""Readers of single values: what stands in the file -> what the program uses.

Each takes the value and its Note and raises ValueError with words that end a sentence begun by the setting's name:
"port" + " is text, not a whole number. Write it like 8400." Nothing here quotes a value that may be a secret.
"""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Union, get_args, get_origin
from urllib.parse import urlsplit

from ftgate import dialects
from ftgate.config.note import Note
from ftgate.core.money import parse_price, parse_usd
from ftgate.core.pricing import Hours, Multiplier, Tier
from ftgate.core.secret import Secret
from ftgate.providers import catalogue

_KINDS = {str: "text", int: "whole", float: "seconds", bool: "flag", Path: "path", Secret: "secret"}
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----[\sA-Za-z0-9+/=]+-----END CERTIFICATE-----")
LARGEST_STORE = 16_000_000
"""Bytes of a file of certificates that are read: a system's whole store has under one million."""
_QUOTES = "\"'`"
_FRAMING = {"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "expect"}


class Veiled(dict[str, str]):
    """Header or query values, which may hold a key: printing them shows the names only."""

    def __repr__(self) -> str:
        return "{" + ", ".join(f"{name!r}: ***" for name in self) + "}"

    __str__ = __repr__


class VeiledText(str):
    """An address that may hold a password: its repr shows three stars."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "***"


def kind_of(annotation: Any, note: Note) -> str:
    """Which reader a declared field has."""
    if note.kind:
        return note.kind
    if get_origin(annotation) is Union or type(annotation).__name__ == "UnionType":
        annotation = next(part for part in get_args(annotation) if part is not type(None))
    if get_origin(annotation) is tuple:
        return "texts"
    return _KINDS[annotation]


def name_of(value: object) -> str:
    """A TOML type in words."""
    words: dict[type, str] = {
        bool: "true or false",
        int: "a whole number",
        Decimal: "a decimal number",
        str: "text",
        list: "a list",
        dict: "a table",
    }
    return words.get(type(value), "a date or time")


def is_key_like(text: str) -> bool:
    """Whether a text looks like a key, or like the place of one where a key was pasted: it is not quoted back, wherever
    it stands."""
    return text.startswith(("sk-", "env:sk-", "file:sk-"))


def shown(text: str) -> str:
    """A value that is quoted back; a long one may be a key in the wrong place."""
    return f'"{text}"' if len(text) <= 40 and not is_key_like(text) and text.isprintable() else "this value"


def unquoted(text: str) -> str:
    """Text from outside without blanks around it, nor the pair of quotes that `docker --env-file` and many scripts
    leave there."""
    text = text.strip()
    if len(text) >= 2 and text[0] == text[-1] and text[0] in _QUOTES:
        text = text[1:-1].strip()
    return text


def _of(value: object, wanted: type, what: str, like: str) -> Any:
    if type(value) is not wanted:
        raise ValueError(f" is {name_of(value)}, not {what}. Write it like {like}.")
    return value


def text(value: object, note: Note) -> str:
    found: str = _of(value, str, "text", '"this"')
    if note.choices and found not in note.choices:
        known = ", ".join(f'"{word}"' for word in note.choices)
        raise ValueError(f" = {shown(found)} is no choice. Write {'one of ' if len(note.choices) > 1 else ''}{known}.")
    if not found.strip() or not found.isprintable():
        raise ValueError(" is empty or holds a control character. Write plain text, or leave the line out.")
    return found


def words(value: object, note: Note) -> str:
    return str(_of(value, str, "text", '"this"'))


def _within(value: int | Decimal, note: Note, what: str) -> None:
    low = value > note.low if note.above else value >= note.low
    if not low or value > note.high:
        least = f"more than {note.low}" if note.above else f"{note.low} or more"
        bounds = (
            f"{what} from {note.low} to {note.high}"
            if note.high < 10**6 and not note.above
            else f"{what}, {least}, at most {note.high}"
        )
        raise ValueError(
            f" = {shown(f'{value:.20}' if isinstance(value, Decimal) else str(value)[:25])[1:-1]} is out of range. "
            f"Write {bounds}."
        )


def whole(value: object, note: Note) -> int:
    found: int = _of(value, int, "a whole number", "10")
    _within(found, note, "a whole number")
    return found


def seconds(value: object, note: Note) -> float:
    if type(value) is int:
        value = Decimal(value)
    found: Decimal = _of(value, Decimal, "a number of seconds", "30 or 0.5")
    if not found.is_finite():
        raise ValueError(" is not a finite number. Write seconds like 30 or 0.5.")
    _within(found, note, "seconds")
    return float(found)


def flag(value: object, note: Note) -> bool:
    return bool(_of(value, bool, "true or false", "true"))


def path(value: object, note: Note) -> Path:
    found = text(value, note)
    return expanded(found)


def expanded(text: str) -> Path:
    """The path; a home directory in place of a `~` that it begins with. Raises ValueError where there is none."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        whose = text.partition("/")[0]
        means = "Set HOME, or write" if whose == "~" else "Write"
        raise ValueError(
            f" begins with {whose}, and there is no such home directory. {means} the whole path."
        ) from None


def readable(value: object, note: Note) -> Path:
    found = path(value, note)
    try:
        with found.open("rb"):
            return found
    except OSError as problem:
        raise ValueError(f": the file cannot be read ({problem.strerror}). Check the path and its rights.") from None


def texts(value: object, note: Note) -> tuple[str, ...]:
    found = _of(value, list, "a list of texts", '["one", "two"]')
    if any(type(item) is not str or not item.strip() or not item.isprintable() for item in found):
        raise ValueError(' holds something else than plain text. Write it like ["one", "two"].')
    return tuple(found)


def secret(value: object, note: Note) -> Secret:
    found = _of(value, str, "text", '"env:NAME" or "file:/path"').strip()
    if not found:
        raise ValueError(' is empty. Write "env:NAME" or "file:/path".')
    if not (found.isascii() and found.isprintable()) or " " in found:
        raise ValueError(" holds a space, a line break or a letter no key has. Copy it once more.")
    if found[0] in _QUOTES or found[-1] in _QUOTES:
        raise ValueError(" begins or ends with a quote, which no key does. Take the quotes off.")
    if found[0] in "$<%":
        raise ValueError(' is a place to fill in, not a key. Write "env:NAME", or the key itself.')
    return Secret(found)


def url(value: object, note: Note) -> str:
    found = text(value, note)
    if any(char.isspace() for char in found):
        raise ValueError(" holds a space. Take it out.")
    try:
        parts = urlsplit(found)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError(" is no address. Write it like https://api.example.com/v1.") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise ValueError(" is no http or https address. Write it like https://api.example.com/v1.")
    if parts.username or parts.password:
        raise ValueError(" holds a user or a password. Leave them out: a key belongs in `keys`.")
    if parts.query or parts.fragment or found.endswith(("?", "#")):
        raise ValueError(" holds ? or #. Write the bare prefix; parameters belong in `query`.")
    for route in dialects.ADDRESSES.values():
        if parts.path.rstrip("/").endswith(route):
            raise ValueError(f" ends in {route}, which is appended anyway. Leave it off.")
    return found.rstrip("/")


def proxy(value: object, note: Note) -> str:
    found = text(value, note)
    try:
        parts = urlsplit(found)
        good = parts.scheme in {"http", "https", "socks5", "socks5h"} and parts.hostname and (parts.port or True)
    except ValueError:
        good = False
    if not good or any(char.isspace() for char in found):
        raise ValueError(" is no proxy address. Write it like socks5://127.0.0.1:1080.")
    return VeiledText(found)


def authorities(value: object, note: Note) -> str:
    """The certificates in a file, as they are: what is written around them is left out. A file that changes is then
    another setting."""
    path = readable(value, note)
    with path.open("rb") as file:
        found = "\n".join(_CERTIFICATE.findall(file.read(LARGEST_STORE).decode("ascii", "replace")))
    import ssl  # 20 ms, and rarely needed

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=found)
    except (ssl.SSLError, ValueError):  # ValueError: there is none
        raise ValueError(" holds no certificate that can be read (PEM). Give the authority's own file.") from None
    return found


def origins(value: object, note: Note) -> tuple[str, ...]:
    found = tuple(url(item, note) for item in texts(value, note))
    if any(urlsplit(item).path for item in found):
        raise ValueError(" holds a path. Write origins only, like https://app.example.org.")
    return found


def networks(value: object, note: Note) -> tuple[str, ...]:
    from ipaddress import ip_network

    found = texts(value, note)
    for item in found:
        try:
            ip_network(item, strict=False)
        except ValueError:
            raise ValueError(
                f' holds {shown(item)}, which is no address. Write it like ["127.0.0.1", "10.0.0.0/8"].'
            ) from None
    return found


def _number(value: object) -> int | Decimal:
    if type(value) is not int and type(value) is not Decimal:
        raise ValueError(f" is {name_of(value)}, not a number. Write it like 0.28.")
    return (
        min(value, 10**12) if isinstance(value, int) else value
    )  # past every limit anyhow, and short enough to be quoted


def usd(value: object, note: Note) -> int:
    number = _number(value)
    try:
        units = parse_usd(Decimal(number))
    except (ValueError, ArithmeticError) as problem:
        raise ValueError(f": {problem}. Write dollars like 5 or 0.25.") from None
    if units < 0:
        raise ValueError(" is negative. Write zero or more dollars.")
    return units


def price(value: object, note: Note) -> int:
    number = _number(value)
    try:
        return parse_price(number)
    except (ValueError, ArithmeticError) as problem:
        raise ValueError(f": {problem}. Write USD per million tokens, like 0.28.") from None


def multiplier(value: object, note: Note) -> Multiplier:
    number = Decimal(_number(value))
    exponent = number.as_tuple().exponent
    if not number.is_finite() or not 0 <= number <= 1000 or not isinstance(exponent, int) or exponent < -12:
        raise ValueError(" is no factor. Write zero or more, at most 1000, with at most 12 decimals, like 1.2.")
    return Multiplier(*number.as_integer_ratio())


_TIER = {"above", "input", "output", *catalogue.CLASSES}


def tiers(value: object, note: Note) -> tuple[Tier, ...]:
    like = "[{ above = 200000, input = 2.5, output = 15 }]"
    rows = []
    for row in _of(value, list, "a list of tables", like):
        if type(row) is not dict or not {"above", "input", "output"} <= set(row) <= _TIER:
            raise ValueError(
                f": each tier has above, input and output, and may have {', '.join(catalogue.CLASSES)}. Write it "
                f"like {like}."
            )
        above = row["above"]
        if type(above) is not int or not 0 <= above <= 10**9:
            raise ValueError(f": above is a number of tokens. Write it like {like}.")
        rows.append(catalogue.tier(above, {name: price(row[name], note) for name in row if name != "above"}))
    marks = [row.above for row in rows]
    if marks != sorted(set(marks)):
        raise ValueError(": tiers must ascend by above, each one once. Put the smallest first.")
    return tuple(rows)


_HOURS = {"utc", "days", "input", "output", *catalogue.CLASSES}


def hours(value: object, note: Note) -> tuple[Hours, ...]:
    like = '[{ utc = ["16:30-00:30"], days = "mon-fri", input = 0.14, output = 0.55 }]'
    rows = []
    for row in _of(value, list, "a list of tables", like):
        if type(row) is not dict or not {"utc", "input", "output"} <= set(row) <= _HOURS:
            raise ValueError(
                f": each row has utc, input and output, and may have days, {', '.join(catalogue.CLASSES)}. Write it "
                f"like {like}."
            )
        spans, days = texts(row["utc"], note), row.get("days", "")
        if type(days) is not str:
            raise ValueError(f": days is text. Write it like {like}.")
        prices = {name: price(row[name], note) for name in row if name not in {"utc", "days"}}
        try:
            rows.append(catalogue.hours(spans, days, prices))
        except ValueError as problem:
            raise ValueError(f": {problem}.") from None
    return tuple(rows)


def pairs(value: object, note: Note) -> Mapping[str, str]:
    found = _of(value, dict, "a table of texts", '{ name = "value" }')
    for item in found.values():
        if type(item) is not str or not item.isprintable():
            dotted = " A name with a dot needs quotes." if type(item) is dict else ""
            raise ValueError(f' holds something else than plain text. Write it like {{ name = "value" }}.{dotted}')
    return Veiled(found)


def headers(value: object, note: Note) -> Mapping[str, str]:
    found = pairs(value, note)
    for name, item in found.items():
        if not _TOKEN.fullmatch(name) or name.lower() in _FRAMING:
            raise ValueError(": one of the names is no header, or one that frames the request. Leave it out.")
        if not item.isascii():
            raise ValueError(": a header's value must be ASCII. Encode it first.")
    return found


READERS: Mapping[str, Callable[[object, Note], Any]] = {
    "text": text, "words": words, "whole": whole, "seconds": seconds, "flag": flag, "path": path, "readable": readable,
    "texts": texts,
    "secret": secret, "url": url, "proxy": proxy, "authorities": authorities, "origins": origins,
    "networks": networks, "usd": usd, "price": price,
    "multiplier": multiplier, "tiers": tiers, "hours": hours, "pairs": pairs, "headers": headers,
}  # fmt: skip
