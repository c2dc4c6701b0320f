"""What stands in the query of a request to the site."""

from quart import request

from ftgate.core.moments import parse_time
from ftgate.errors import InvalidRequest


def text(name: str) -> str | None:
    """A query argument; None where it is not there or empty."""
    return request.args.get(name) or None


def whole(name: str, default: int, most: int) -> int:
    """A query argument that is a whole number from 1; past `most` it is `most`."""
    said = text(name)
    if said is None:
        return default
    if not said.isdecimal() or not said.isascii() or int(said[:12]) < 1:
        raise InvalidRequest(f"`{name}` must be a whole number from 1", param=name)
    return min(int(said[:12]), most)


def moment(name: str) -> int | None:
    """A query argument that is a time, in microseconds since 1970. A plus that came as a space is one again."""
    said = text(name)
    try:
        return None if said is None else parse_time(said.replace(" ", "+"))
    except ValueError as error:
        raise InvalidRequest(str(error), param=name) from None
