"""The seams between the site and what an operator sees and does of the running gateway. What changes something leaves a
row in the audit; each raises GateError with nothing changed."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from ftgate.core.health import LastError
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


class System(Protocol):
    """The process, and its data on the disk."""

    async def shown(self) -> Mapping[str, object]:
        """How it is now. Nothing secret."""
        ...


class PriceList(msgspec.Struct, frozen=True):
    """A public price list as it was downloaded: `format` names whose. `provider` is one to look at, by default those
    that have a channel; `new`: also models that the catalogue does not have."""

    format: str
    data: bytes
    provider: str | None = None
    new: bool = False


class Prices(Protocol):
    """The prices in force, and those of public lists beside them."""

    def shown(self) -> Sequence[Mapping[str, object]]:
        """Each model of each provider that has a channel, with its price and where that comes from."""
        ...

    async def compare(self, asked: PriceList) -> Mapping[str, object]:
        """What the list says otherwise; nothing changes. Its `id` is for apply(). Raises errors.InvalidRequest."""
        ...

    async def apply(self, id: str, *, force: bool, by: Doer) -> Mapping[str, object]:
        """Write into the config what was shown under this id, and put it in force; with `force` the large changes too.
        Raises errors.NotFound, Conflict (changed, no_config, not_written), ConfigInvalid with nothing changed."""
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

    def errors(self, name: str) -> Sequence[LastError]:
        """What it has last failed with, a few that differ, the newest first."""
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
