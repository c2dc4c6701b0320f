"""The seams between the site and what an operator sees and does of the running gateway. What changes something leaves a
row in the audit; each raises GateError with nothing changed."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from ftgate.ports.site import Doer


class Deeds(Protocol):
    """The audit."""

    async def note(
        self, by: Doer, action: str, target: str,
        before: Mapping[str, object] | None = None, after: Mapping[str, object] | None = None,
    ) -> None:  # fmt: skip
        """Remember what was done where nothing else is written. Raises errors.DatabaseBusy."""
        ...


class Metrics(Protocol):
    """What the process has counted."""

    def text(self) -> bytes:
        """In Prometheus' text format, 0.0.4."""
        ...


class RunningCalls(Protocol):
    """The calls in flight."""

    def shown(self) -> Sequence[Mapping[str, object]]:
        """All of them, the oldest first."""
        ...

    async def stop(self, request_id: str, by: Doer) -> None:
        """End one at once: its upstream is closed, its client told, its money settled. Raises errors.NotFound."""
        ...


class Config(Protocol):
    """The config in force, and as it is written."""

    def shown(self) -> Mapping[str, object]:
        """Every setting with its value and where it comes from; secrets as "set"."""
        ...

    async def check(self) -> Sequence[str]:
        """What is wrong with it as it is written; nothing changes."""
        ...

    async def reload(self, by: Doer) -> Mapping[str, object]:
        """Put in force what is written. Raises errors.ConfigInvalid."""
        ...


class Switches(Protocol):
    """Which channels an operator has switched off."""

    async def turn(self, name: str, enabled: bool, by: Doer) -> None:
        """Switch a channel on or off, from the next call on. Raises errors.DatabaseBusy when that is not written in
        time; it holds then."""
        ...


class HalfHour(msgspec.Struct, frozen=True):
    """What ended at a channel within half an hour from `from_us` on, in microseconds since 1970."""

    from_us: int
    requests: int
    errors: int


class Channels(Protocol):
    """The configured ways to providers. Each raises errors.NotFound for a name that is none."""

    def shown(self) -> Sequence[Mapping[str, object]]:
        """All of them, in the order they are tried. Nothing secret."""
        ...

    def one(self, name: str) -> Mapping[str, object]: ...

    def day(self, name: str) -> Sequence[HalfHour]:
        """Its last 48 half-hours, the oldest first; the last one is that of now."""
        ...

    def since_us(self) -> int:
        """Since when they are counted: the start of this process."""
        ...

    async def test(self, name: str, model: str | None, by: Doer) -> Mapping[str, object]:
        """One real call of a few tokens with each of its keys, charged to nobody. Raises errors.InvalidRequest for a
        model that is not its own."""
        ...

    async def switch(self, name: str, enabled: bool, by: Doer) -> Mapping[str, object]:
        """Let calls go there, or not. Those that run there go on."""
        ...

    async def reset(self, name: str, by: Doer) -> Mapping[str, object]:
        """Forget what is known against it."""
        ...
