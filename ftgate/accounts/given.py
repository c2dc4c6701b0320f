"""What a command was given, read: amounts, moments, refs, texts. Each raises InvalidRequest with one line that says
what is wrong, before anything is changed."""

import re
import secrets

from ftgate.core.accounts import REF, REF_WORDS
from ftgate.core.moments import iso, parse_time
from ftgate.core.money import PLAIN, parse_usd
from ftgate.errors import InvalidRequest

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def new_ref(kind: str) -> str:
    """A ref of our own, never given before."""
    return f"{kind}_{secrets.token_hex(12)}"


def ref_or_new(text: str | None, kind: str) -> str:
    """The ref as it was given, or a new one."""
    if text is not None and not REF.fullmatch(text):
        raise InvalidRequest(f"a ref is {REF_WORDS}")
    return text or new_ref(kind)


def usd(text: str) -> int:
    """An amount in USD, as units; it may be negative."""
    try:
        units = parse_usd(text)
    except ValueError as error:
        raise InvalidRequest(str(error)) from None
    if not PLAIN.fullmatch(str(text).strip()):
        raise InvalidRequest(f"write {text} in plain digits, like 5 or 0.25")
    return units


def amount(text: str) -> int:
    """An amount in USD of 0 or more, as units."""
    units = usd(text)
    if units < 0:
        raise InvalidRequest(f"{text} is negative; an amount is 0 or more")
    return units


def text(what: str, said: str) -> str:
    """A text that the database takes: a byte of the command line that is not UTF-8 comes as half a surrogate pair."""
    try:
        said.encode()
    except UnicodeEncodeError:
        raise InvalidRequest(f"the {what} is not UTF-8") from None
    return said


def line(what: str, said: str, *, most: int) -> str:
    """A text that is shown in one line, in tables and on terminals, without space at its ends."""
    if found := _CONTROL.search(text(what, said)):
        raise InvalidRequest(
            f"the {what} holds a control character (U+{ord(found[0]):04X}); write plain text in one line"
        )
    said = said.strip()
    if len(said) > most:
        raise InvalidRequest(f"the {what} is {len(said)} characters long; it may have {most}")
    return said


def moment(text: str) -> int:
    """An instant that can be shown again: the calendar ends in the year 9999. Microseconds since 1970."""
    try:
        at_us = parse_time(text)
        iso(at_us)
    except (ValueError, OverflowError) as error:
        raise InvalidRequest(str(error)) from None
    return at_us
