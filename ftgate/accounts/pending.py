"""Waiting until a change is written, for a time, and refusing one before it is decided where none is written now.

Names and rules are checked before anything is queued for the writer, so what is queued cannot fail. Beside a file
whoever asked waits ANSWER_S for the commit at most: a change that is not written by then is told as that, decided and
not yet written. Where gateways share a ledger nobody waits so long, since another gateway, or the same one in a moment,
may do it: two seconds in all. What has had no turn by then is withdrawn; what was decided and is not known to be in may
still be undone, and is told as that.
"""

import logging

import trio

from ftgate.errors import DatabaseBusy
from ftgate.ports.site import Doer
from ftgate.store.batch import Batch
from ftgate.store.changes import Changes
from ftgate.store.database import DatabaseFault

log = logging.getLogger("ftgate.accounts")

ANSWER_S = 20.0
"""How long a command is given to be written down before it is answered without that; the command line waits longer."""
TURN_S, COMMIT_S = 1.0, 0.9
"""The same where a ledger is shared: for the turn, and for its commit."""


def takes_changes(writer: Changes, by: Doer | None = None) -> None:
    """Raises DatabaseBusy where the database takes no commits now, before anything is decided. Who asks over HTTP (`by`
    says else) can come again; the command line waits."""
    if not _by_command(by) and (why := writer.busy()):
        log.warning("a change was refused, because the database takes none now: %s", why)
        raise DatabaseBusy("the database takes no changes now, and nothing was changed: try again")


async def turn(writer: Changes, by: Doer | None = None) -> None:
    """As takes_changes(), and then wait for the moment in which to decide: what follows, up to the next await, is
    decided on what is committed. Raises DatabaseBusy where that moment does not come in time."""
    takes_changes(writer, by)
    with trio.move_on_after(ANSWER_S if writer.alone else TURN_S):
        try:
            await writer.turn()
        except DatabaseFault as fault:
            raise DatabaseBusy(f"nothing was changed: {fault}") from fault
        return
    raise DatabaseBusy("the database takes no changes now, and nothing was changed: try again")


def commit_s(writer: Changes) -> float:
    """How long a change that was decided is waited for."""
    return ANSWER_S if writer.alone else COMMIT_S


def _by_command(by: Doer | None) -> bool:
    return by is not None and by.via == "cli"


async def written(writer: Changes, batch: Batch, what: str, look: str, by: Doer | None = None) -> None:
    """Wait until a change is committed. Raises DatabaseBusy when that takes too long, to the command line with what
    was decided and how to `look`, to whoever asks over HTTP without the words of a command; DatabaseFault when the
    database has failed, which leaves open whether it is in. Where nothing is to be written there is nothing to wait
    for: no commit would ever come."""
    if not batch.size():
        return
    try:
        if await writer.durable_within(batch, commit_s(writer)):
            return
        if batch.undone:
            raise DatabaseBusy(f"{what} was not written, since the database failed just then: nothing was changed")
    except DatabaseFault as fault:
        raise DatabaseFault(f"{fault}. Whether {what} was written is not known: start again, then {look}") from fault
    why = writer.busy() or "no commit has come back"
    if not writer.alone:
        log.warning("whether %s was written is not known yet: %s", what, why)
        raise DatabaseBusy(_UNKNOWN if not _by_command(by) else (
            f"whether {what} was written is not known, because the database does not answer ({why}): it may be there"
            f" or not. Look before you repeat it, once the database answers: {look}"
        ))  # fmt: skip
    if not _by_command(by):
        log.warning("%s is decided and not yet written: %s", what, why)
        raise DatabaseBusy(
            "what was asked for is decided and not yet written, because the database takes no commits now; it is "
            "written as soon as it does. Look whether it is there before you repeat it"
        )
    raise DatabaseBusy(
        f"{what} is decided and not yet written, because the database takes no commits now ({why}); it is "
        "written as soon as it does,"
        f" unless the process ends before. Look before you repeat it: {look}"
    )


_UNKNOWN = (
    "the database stopped answering while what was asked for was written: it may have been made or not. Try again in a"
    " moment, and look whether it is there before you repeat it"
)
