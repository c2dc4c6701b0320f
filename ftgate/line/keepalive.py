"""A client that waits for a streamed answer hears something, so that nothing on the way takes its call for dead.

To whose client nothing has gone for `keepalive` seconds since its hold was taken, its head goes and one line of the
dialect's (a comment, a ping), and again each time that long. The rules:

- One keeper looks at all streamed calls, a few times in that span; a call has no task or timer for it of its own. Only
  what is due is said in a task of its own, so quick calls pay for two operations on a set, and no more.
- A line goes only between events, which is when the call itself is not sending: while it does, and while a line of ours
  is on its way, `heard_at` is infinite, so neither can begin beside the other. Whoever is second waits (`quiet`).
- It is no content: the attempt can still fail over, whoever answers is not known yet and stands in the closing comment,
  and an error is told in the stream from then on. What is refused before the hold keeps its status.
"""

import logging
from collections.abc import Callable
from math import inf

import trio

from ftgate.line.call import Exchange
from ftgate.line.words import stream_headers

log = logging.getLogger("ftgate.line.keepalive")

LOOKS = 20
"""Looks in one span of keepalive: a client hears the line later than due by a part of the span in so many, at most."""
OFF_S = 1.0
"""Seconds after which it is looked again whether the setting is still 0."""


class Keeper:
    """Keeps the clients of all streamed calls company."""

    def __init__(self) -> None:
        self.waiting: set[Exchange] = set()

    def __repr__(self) -> str:
        return f"<Keeper of {len(self.waiting)} calls>"

    def begin(self, x: Exchange) -> None:
        """The call's hold is taken: from now on its client is waiting for something that is paid."""
        if x.settings.keepalive_s:
            x.heard_at = trio.current_time()
            self.waiting.add(x)

    def end(self, x: Exchange) -> None:
        """What comes now is the call's own end."""
        self.waiting.discard(x)

    async def run(self, span_s: Callable[[], float]) -> None:
        """Look after calls for ever. `span_s` is the setting as it is now, for how often to look; a call goes by the
        one that it began with."""
        async with trio.open_nursery() as nursery:
            while True:
                await trio.sleep(span_s() / LOOKS or OFF_S)
                now = trio.current_time()
                for x in [x for x in self.waiting if now - x.heard_at >= x.settings.keepalive_s and not x.call.left]:
                    x.heard_at, x.keeping = inf, trio.Event()
                    nursery.start_soon(self._speak, x, x.keeping)

    async def _speak(self, x: Exchange, done: trio.Event) -> None:
        try:
            if not x.head_sent:
                x.head_sent = x.head_early = True
                await x.client.start(200, stream_headers(x))
            await x.client.send(x.call.dialect.KEEPALIVE)
        except Exception:  # a client that cannot be reached is its door's concern, and ends no other call
            log.exception("call %s could not be kept alive", x.call.id)
        finally:
            x.heard_at, x.keeping = trio.current_time(), None
            done.set()


async def quiet(x: Exchange) -> None:
    """Wait until nothing is being said to the call's client. Until the next await it stays so."""
    while x.keeping is not None:
        await x.keeping.wait()
