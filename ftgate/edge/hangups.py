"""Who has hung up: one epoll over many sockets, edge-triggered for hang-ups alone, so that watching a client costs nothing while
it stays and nothing is read for it. Linux only; elsewhere the Hypercorn door, which reads, serves everything.
"""

import select
import socket
from collections.abc import Callable

import trio

SUPPORTED = hasattr(select, "epoll")


class HangUps:
    """Tells each watched socket's owner once, when its peer has closed or half-closed the connection."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._told: dict[int, Callable[[], None]] = {}

    def watch(self, sock: socket.socket, tell: Callable[[], None]) -> None:
        """Call `tell` when the peer of `sock` hangs up; soon, if it has already."""
        self._told[sock.fileno()] = tell
        self._epoll.register(sock, select.EPOLLRDHUP | select.EPOLLET)

    def forget(self, sock: socket.socket) -> None:
        """Before the socket is closed or given away."""
        if self._told.pop(sock.fileno(), None) is not None:
            self._epoll.unregister(sock)

    async def run(self) -> None:
        """Tell, until cancelled."""
        while True:
            await trio.lowlevel.wait_readable(self._epoll.fileno())
            for number, _ in self._epoll.poll(0, 256):
                if tell := self._told.get(number):
                    tell()

    def close(self) -> None:
        self._epoll.close()
