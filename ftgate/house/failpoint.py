"""Named places at which a test can end the process, to show that no money is lost there.

FTGATE_FAILPOINT="held=kill:3" kills the process (SIGKILL, as a power cut would) when the place `held` is passed for the
third time. Read once at the start; unset, which it always is outside tests, every place is a call of a function that
does nothing.
"""

import os
import signal
import threading
from collections.abc import Callable, Mapping

from ftgate.ports import nowhere

VARIABLE = "FTGATE_FAILPOINT"
PAYMENTS = (
    "ordered",  # a payment's row is written, Stripe is not asked for its session
    "session_made",  # Stripe has made it, its id is not written
    "event_verified",  # an event has come, nothing is known of it
    "told",  # Stripe has said how a payment stands, nothing is decided
    "payment_entered",  # what follows is decided and queued
    "payment_written",  # it is durable, nobody has been answered
)
MOVES = (
    "copied",  # a ledger is in a PostgreSQL and verified, and not committed
    "marked",  # the file that it comes from is marked, and that not committed
    "returned",  # a PostgreSQL has given its ledger to a file, which is still marked
)
TURNS = (
    "turn_decided",  # a gateway has decided under the lock that all share, and nothing of it is written
    "turn_written",  # it is in the PostgreSQL, and nobody has been told
)
PLACES = (
    "admitted",  # the key is known, nothing is held
    "held",  # the hold is decided and queued, the upstream not called
    "head",  # the upstream's response head has come
    "first_content",  # the first content is here, nothing has gone to the client
    "content",  # content has gone to the client
    "finished",  # the upstream is done, the settle not decided
    "settled",  # the settle is decided and queued
    "answering",  # the settle is durable, the client does not know
    "answered",  # the client has it all
    "commit_begun",  # a batch is half in the database
    "commit_written",  # all of a batch is in, the commit not asked for
    "committed",  # the commit has returned, nobody has been told
    "recovering",  # a start has found open holds and not ended them yet
    *PAYMENTS,
    *MOVES,
    *TURNS,
)


def read(environ: Mapping[str, str]) -> Callable[[str], None]:
    """The function to call with each place's name. Raises ValueError for words that are no failpoint."""
    said = environ.get(VARIABLE)
    if not said:
        return nowhere
    place, _, action = said.partition("=")
    verb, _, number = action.partition(":")
    if place not in PLACES or verb != "kill" or not (number or "1").isdecimal():
        raise ValueError(f"{VARIABLE} is PLACE=kill:N with a place of {', '.join(PLACES)}")
    left = int(number or "1")
    lock = threading.Lock()  # commits happen in the writer's thread

    def pass_by(name: str) -> None:
        nonlocal left
        if name == place:
            with lock:
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

    return pass_by
