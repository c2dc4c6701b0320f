"""Which sockets have something to read, and whose peer has hung up: one epoll over many sockets, each registered once
for as long as it is open, edge-triggered. Waiting so takes no system call and none of the loop's own bookkeeping; a
client that stays costs nothing, and nothing is read to see whether it does. Linux only; elsewhere the Hypercorn door
serves everything, and the loop's own waits are used.

The loop looks here each time it has waited for I/O (an instrument of trio's), so that whoever has something to read has
its turn in the same round; a task that waits for the epoll itself makes the loop wake for it.
"""

import logging
import select
import socket
from collections.abc import Callable
from contextlib import suppress
from math import inf

import trio

from ftgate.waking import NOTHING

log = logging.getLogger("ftgate.readiness")

SUPPORTED = hasattr(select, "epoll")
TICK_S = 0.1
"""How exactly the end of a limited wait is kept."""
_EVENTS = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET if SUPPORTED else 0
_GONE = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR if SUPPORTED else 0


def _nobody() -> None:
    """Is told of a hang-up where nobody wants to know."""


class Watch:
    """One socket. `ready`: something has come since the last wait, or may be left; reading may still find nothing.
    `gone`: the peer has closed or half-closed the connection."""

    __slots__ = ("_failed", "_read", "_task", "gone", "ready", "tell", "until")

    def __init__(self, tell: Callable[[], None]) -> None:
        self.tell = tell
        self.ready = self.gone = False
        self.until = inf  # when to wake whoever waits all the same (trio.current_time), or up to TICK_S later
        self._task: trio.lowlevel.Task | None = None
        self._read: Callable[[], bool] | None = None
        self._failed: BaseException | None = None

    async def wait(self, until: float = inf) -> None:
        """Until the socket may have something to read, or it is `until`, which may be changed while it waits. To be
        called after a read that found nothing, or less than it asked for: what was left behind then is told of by
        nobody (see `leave`). Others get their turn first."""
        if self.ready:
            await trio.lowlevel.checkpoint()
        else:
            self.until = until
            self._task = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._give_up)
            self.until = inf
        self.ready = self.gone

    async def pump(self, read: Callable[[], bool]) -> None:
        """Call `read` each time the socket has something to read, in the loop's own look at its sockets, until it says
        False or the peer hangs up: no task is woken for what is only passed on, which costs more than the passing.
        `read` must not wait, and takes its turn among all others' in one round. What it raises is raised here."""
        if not self.ready:
            self._read, self._task = read, trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._give_up)
            failed, self._failed = self._failed, None
            if failed is not None:
                raise failed

    def _pumped(self) -> bool:
        """Whether what has come is dealt with."""
        assert self._read is not None
        try:
            if self._read() and not self.gone:
                return True
        except BaseException as failed:  # whoever waits is told: nobody else may end by it
            self._failed = failed
        self._read = None
        return False

    def _give_up(self, _: object) -> trio.lowlevel.Abort:
        self._task = self._read = None
        self.until = inf
        return trio.lowlevel.Abort.SUCCEEDED

    def leave(self) -> None:
        """Something may have been left unread: the next wait is short."""
        self.ready = True

    def wake(self) -> None:
        """Something has come, or the socket is gone."""
        if self._read is not None and self._pumped():
            return
        self.ready = True
        task, self._task = self._task, None
        if task is not None:
            trio.lowlevel.reschedule(task, NOTHING)


class Readiness(trio.abc.Instrument):
    """Watches sockets while `run` runs. One for all doors and transports of a loop."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._watched: dict[int, Watch] = {}
        self._left: list[Watch] = []  # whose peers have just hung up
        self._looked = False

    def watch(self, sock: socket.socket, tell: Callable[[], None] = _nobody) -> Watch:
        """Watch `sock`, and call `tell` once when its peer hangs up; soon, if it has already. Raises OSError when that
        cannot be."""
        self._epoll.register(sock, _EVENTS)
        watch = self._watched[sock.fileno()] = Watch(tell)
        return watch

    def forget(self, sock: socket.socket) -> None:
        """Before the socket is closed or given away. Whoever still waits for it is woken."""
        watch = self._watched.pop(sock.fileno(), None)
        if watch is not None:
            self._epoll.unregister(sock)
            watch.gone, watch.tell, watch._read = True, _nobody, None
            watch.wake()

    def after_io_wait(self, timeout: float) -> None:
        """trio's word that it has waited for I/O."""
        self._looked = True
        self._look()

    def _look(self) -> None:
        for number, events in self._epoll.poll(0):
            watch = self._watched.get(number)
            if watch is not None:
                if events & _GONE and not watch.gone:
                    watch.gone = True
                    self._left.append(watch)
                watch.wake()

    async def run(self) -> None:
        """Watch, until cancelled."""
        trio.lowlevel.add_instrument(self)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._keep_time)
                await self._look_on()
        finally:
            with suppress(KeyError):  # trio drops an instrument that has raised
                trio.lowlevel.remove_instrument(self)

    async def _look_on(self) -> None:
        while True:
            await trio.lowlevel.wait_readable(self._epoll.fileno())
            if not self._looked:  # the instrument was dropped
                self._look()
            self._looked = False
            self._tell()

    def _tell(self) -> None:
        left, self._left = self._left, []
        for watch in left:
            try:
                watch.tell()
            except Exception:  # a bug of one connection's must not end the watch over all others
                log.exception("a hang-up could not be told of")

    async def _keep_time(self) -> None:
        """One clock for all who wait: a limit of each one's own would cost more than the wait."""
        while True:
            await trio.sleep(TICK_S)
            self._tell()  # who hung up between the loop's own look and ours: nothing wakes `_look_on` for that
            now = trio.current_time()
            for watch in self._watched.values():
                if watch.until <= now:
                    watch.wake()

    def close(self) -> None:
        self._epoll.close()
