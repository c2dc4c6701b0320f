"""Waiting until a command's change is written, for a time.

Names and rules are checked before anything is queued for the writer, so what is queued cannot fail. Whoever asked waits
ANSWER_S for the commit at most: a change that is not written by then is told as that, decided and not yet written.
"""

from ftgate.errors import DatabaseBusy
from ftgate.store.batch import Batch
from ftgate.store.database import DatabaseFault
from ftgate.store.writer import Writer

ANSWER_S = 20.0
"""How long a command is given to be written down before it is answered without that; the command line waits longer."""


async def written(writer: Writer, batch: Batch, what: str, look: str) -> None:
    """Wait until a change is committed. Raises DatabaseBusy with what was decided, and how to `look`, when that
    takes too long; DatabaseFault when the database has failed, which leaves open whether it is in. Where nothing is
    to be written there is nothing to wait for: no commit would ever come."""
    if not batch.size():
        return
    try:
        if await writer.durable_within(batch, ANSWER_S):
            return
    except DatabaseFault as fault:
        raise DatabaseFault(f"{fault}. Whether {what} was written is not known: start again, then {look}") from fault
    why = writer.busy() or "no commit has come back"
    raise DatabaseBusy(
        f"{what} is decided and not yet written, because the database takes no commits now ({why}); it is "
        "written as soon as it does,"
        f" unless the process ends before. Look before you repeat it: {look}"
    )


async def write_down(writer: Writer, what: str, look: str, sql: str, values: tuple[object, ...]) -> None:
    """Write one change down; `what` it is and how to `look` for it, in words."""
    batch = writer.changed()
    batch.statements.append((sql, values))
    await written(writer, batch, what, look)
