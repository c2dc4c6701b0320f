"""The zone by which a page counts days and reads times: the one that its address names, else the viewer's own, which
the script keeps in a cookie, else UTC."""

from datetime import UTC, timedelta, tzinfo

from quart import request

from ftgate.core.moments import EPOCH
from ftgate.web.asked import text, zone, zone_named

COOKIE = "tz"


def place() -> tzinfo:
    """The zone of this request. Raises InvalidRequest for one that the address names and nobody knows."""
    if text("tz") is not None:
        return zone()
    return zone_named(request.cookies.get(COOKIE, "UTC")) or UTC


def name_of(place: tzinfo) -> str:
    """As an address names it."""
    return "UTC" if place is UTC else str(place)


def local(at_us: int | None, place: tzinfo) -> str:
    """A time as a browser's field for a date and time has it; "" for none, and for one that no calendar has."""
    if at_us is None:
        return ""
    try:
        moment = (EPOCH + timedelta(microseconds=at_us)).astimezone(place)
    except OverflowError:
        return ""
    return moment.replace(tzinfo=None).isoformat(timespec="seconds").removesuffix(":00")
