"""What each channel has cost in this month, at its own prices: for `monthly_cap`. Pure: times are given.

A month is one of UTC's. A call belongs to the month in which it came. What a plan's multiplier makes of a cost, and
calls with a caller's own key, do not count: it is about what we may spend at a provider.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

from ftgate.core.routing import Channel

SECOND_US = 1_000_000


def month_of(at_us: int) -> tuple[int, int]:
    """When the month of this instant begins, and the next one, in microseconds since 1970."""
    at = datetime.fromtimestamp(at_us // SECOND_US, UTC)
    begins = datetime(at.year, at.month, 1, tzinfo=UTC)
    ends = datetime(at.year + at.month // 12, at.month % 12 + 1, 1, tzinfo=UTC)
    return int(begins.timestamp()) * SECOND_US, int(ends.timestamp()) * SECOND_US


MONTHS_KEPT = 3
"""Months that are remembered: a clock that is set wrong for a while, or back over the end of a month, loses nothing."""


class Spending:
    """Of this process, and before it as far as it was told (`known`)."""

    def __init__(self) -> None:
        self.months: dict[int, dict[str, int]] = {}  # by when they begin
        self.units: dict[str, int] = {}  # of the month between these two
        self.begins_us = self.ends_us = 0

    def __repr__(self) -> str:
        return f"<Spending of {len(self.units)} channels>"

    def _turn(self, now_us: int) -> None:
        if not self.begins_us <= now_us < self.ends_us:
            self.begins_us, self.ends_us = month_of(now_us)
            self.units = self._month(self.begins_us)

    def _month(self, begins_us: int) -> dict[str, int]:
        """What is known of a month. One too many is forgotten, the farthest from this one."""
        units = self.months.setdefault(begins_us, {})
        if len(self.months) > MONTHS_KEPT:
            del self.months[max(self.months, key=lambda other: abs(other - begins_us))]
        return units

    def add(self, channel: str, units: int, at_us: int) -> None:
        """A call that came at `at_us` was charged so much for an attempt at this channel."""
        current = self.begins_us <= at_us < self.ends_us
        month = self.units if current else self._month(month_of(at_us)[0])
        month[channel] = month.get(channel, 0) + units

    def known(self, units: Mapping[str, int], now_us: int) -> None:
        """What the calls of this month have cost by now, these of this process among them."""
        self._turn(now_us)
        self.units = self.months[self.begins_us] = dict(units)

    def heard(self, units: Mapping[str, int], now_us: int) -> None:
        """What the calls of this month have cost by now, those of other gateways among them, of this one perhaps not
        yet the last."""
        self._turn(now_us)
        for channel, spent in units.items():
            self.units[channel] = max(spent, self.units.get(channel, 0))

    def of(self, channel: str, now_us: int) -> int:
        """Units of this month."""
        self._turn(now_us)
        return self.units.get(channel, 0)

    def capped(self, channel: Channel, now_us: int) -> bool:
        """Whether nothing more may be spent there in this month."""
        cap = channel.monthly_cap
        return cap is not None and self.of(channel.name, now_us) >= cap

    def left_s(self, now_us: int) -> float:
        """Seconds to the next month."""
        self._turn(now_us)
        return (self.ends_us - now_us) / SECOND_US
