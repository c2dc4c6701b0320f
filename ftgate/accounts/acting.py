"""Who changes something, and the audit row that says so. It is written in the change's own transaction, and never
holds a password, a hash, a key or a token."""

from collections.abc import Mapping

import msgspec

from ftgate.accounts.pending import written
from ftgate.ports import Clock
from ftgate.ports.site import Doer
from ftgate.store.batch import Batch
from ftgate.store.changes import Changes

CLI = Doer()
_SQL = (
    "INSERT INTO audit (at_us, actor, actor_name, via, address, action, target, before, after, request_id)"
    " VALUES (?,?,?,?,?,?,?,?,?,?)"
)


def audited(
    batch: Batch, at_us: int, by: Doer, action: str, target: str,
    before: Mapping[str, object] | None = None, after: Mapping[str, object] | None = None,
) -> None:  # fmt: skip
    """Put the row beside the change. `action` is like user.update; `before` and `after` are what was and is, of what
    was changed alone."""
    said = (msgspec.json.encode(what).decode() if what is not None else "" for what in (before, after))
    row = (at_us, by.id, by.name, by.via, by.address, action, target, *said, by.request_id)
    batch.statements.append((_SQL, row))


class Deeds:
    """ports.operator.Deeds over the database."""

    def __init__(self, writer: Changes, clock: Clock) -> None:
        self.writer = writer
        self.clock = clock

    async def note(
        self, by: Doer, action: str, target: str,
        before: Mapping[str, object] | None = None, after: Mapping[str, object] | None = None,
    ) -> None:  # fmt: skip
        batch = self.writer.changed()
        audited(batch, self.clock.wall_us(), by, action, target, before, after)
        await written(self.writer, batch, f"the audit of {action} {target}", "`ftgate audit` shows what is there", by)
