"""The seams between the site and what an operator sees and does of the running gateway. What changes something leaves a
row in the audit; each raises GateError with nothing changed."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from ftgate.ports.site import Doer


class Deeds(Protocol):
    """The audit."""

    async def note(
        self, by: Doer, action: str, target: str,
        before: Mapping[str, object] | None = None, after: Mapping[str, object] | None = None,
    ) -> None:  # fmt: skip
        """Remember what was done where nothing else is written. Raises errors.DatabaseBusy."""
        ...


class RunningCalls(Protocol):
    """The calls in flight."""

    def shown(self) -> Sequence[Mapping[str, object]]:
        """All of them, the oldest first."""
        ...

    async def stop(self, request_id: str, by: Doer) -> None:
        """End one at once: its upstream is closed, its client told, its money settled. Raises errors.NotFound."""
        ...
