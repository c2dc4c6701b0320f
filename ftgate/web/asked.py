"""What stands in the query of a request to the site."""

import re
from collections.abc import Collection
from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from quart import request

from ftgate.core.moments import parse_time
from ftgate.errors import InvalidRequest, NotFound

_ZONE = re.compile(r"(?!posix/|right/|localtime$|posixrules$|Factory$)[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*")
"""How IANA names a zone: nothing that leads anywhere else on the disk, and not what only looks like a name there."""
_LOST_PLUS = re.compile(r"(?<=[0-9]) (?=[0-9]{2}(:?[0-9]{2})?$)")
"""A plus before an offset that was not escaped, and came as a space."""


def choice(name: str, choices: Collection[str]) -> str | None:
    """A query argument that is one of a few words, of which an empty one is none. Raises InvalidRequest."""
    said = request.args.get(name)
    if said is not None and said not in choices:
        raise InvalidRequest(f"`{name}` must be one of {', '.join(choices)}", param=name)
    return said


def text(name: str) -> str | None:
    """A query argument; None where it is not there or empty."""
    return request.args.get(name) or None


def moment(name: str, zone: tzinfo = UTC) -> int | None:
    """A query argument that is a time, in microseconds since 1970; one without an offset is of `zone`. Raises
    InvalidRequest."""
    said = text(name)
    if said is not None and ("T" in said.upper() or said.count(" ") > 1):
        said = _LOST_PLUS.sub("+", said)
    try:
        return None if said is None else parse_time(said, zone)
    except (ValueError, OverflowError) as error:
        raise InvalidRequest(str(error), param=name) from None


def zone(name: str = "tz") -> tzinfo:
    """A query argument that names a time zone as IANA does, UTC by default. Raises InvalidRequest."""
    found = zone_named((text(name) or "UTC").replace(" ", "+"))
    if found is None:
        raise InvalidRequest(
            f"`{name}` is not the name of a time zone: write one of IANA's, like Asia/Kolkata or UTC", param=name
        )
    return found


def zone_named(said: str) -> tzinfo | None:
    """The zone that IANA gives this name; None where there is none."""
    try:
        return ZoneInfo(said) if len(said) <= 64 and _ZONE.fullmatch(said) else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def whole_id(name: str) -> int | None:
    """A query argument that is an id. Raises InvalidRequest."""
    said = text(name)
    if said is None:
        return None
    if not (said.isdecimal() and said.isascii() and len(said) <= 18):
        raise InvalidRequest(f"`{name}` is an id: a whole number", param=name)
    return int(said)


def path_id(id: str, what: str) -> int:
    """An id in a path, of a user say. Raises NotFound, as for one that is not there."""
    if not (id.isascii() and id.isdecimal() and len(id) <= 18 and (id == "0" or id[0] != "0")):
        raise NotFound(f"no {what} with the id {id[:200]!r}")
    return int(id)


def chosen(name: str, of: tuple[str, ...]) -> str:
    """A query argument that is one of these, the first by default. Raises InvalidRequest."""
    said = request.args.get(name, of[0])
    if said not in of:
        raise InvalidRequest(f"`{name}` is one of {', '.join(of)}", param=name)
    return said
