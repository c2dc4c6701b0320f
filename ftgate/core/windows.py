"""The spans after which a quota begins anew: days, weeks from Monday, months, in UTC. Pure."""

from datetime import timedelta

from ftgate.core.moments import EPOCH, next_month_us

RESETS = ("none", "day", "week", "month")
DAY_US = 86_400 * 1_000_000
_MONDAY_US = 4 * DAY_US  # 1970-01-05


def begun_us(reset: str, at_us: int) -> int:
    """When the span in which an instant lies began; 0 where nothing begins anew. Microseconds since 1970."""
    if reset == "day":
        return at_us - at_us % DAY_US
    if reset == "week":
        return at_us - (at_us - _MONDAY_US) % (7 * DAY_US)
    if reset == "month":
        day = (EPOCH + timedelta(microseconds=at_us)).day
        return at_us - at_us % DAY_US - (day - 1) * DAY_US
    return 0


def ends_us(reset: str, at_us: int) -> int | None:
    """When that span ends and the next begins; None where nothing begins anew."""
    if reset == "none":
        return None
    if reset == "month":
        return next_month_us(at_us)
    return begun_us(reset, at_us) + (DAY_US if reset == "day" else 7 * DAY_US)
