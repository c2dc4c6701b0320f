"""One answer on a connection of the fast door, as bytes of HTTP/1.1."""

import http as http_words
from collections.abc import Awaitable, Callable
from typing import Protocol

import trio

from ftgate.doors.heads import Head
from ftgate.ports import Headers

_REASONS = {status.value: status.phrase.encode() for status in http_words.HTTPStatus}


class Door(Protocol):
    """What all answers of a door have in common."""

    stopping: trio.Event
    """Set once every answer is its connection's last."""
    constant_headers: bytes
    """The headers that all of them have, as they go out."""


class Answer:
    """ports.Client: begun once and ended once. A stream's head goes out together with its first piece. `send` takes the
    bytes, and says whether all of them have gone; `send_now`, where the connection can do so, does not wait, and what
    did not go with it goes first with the next `send`."""

    def __init__(
        self, door: Door, send: Callable[[bytes], Awaitable[bool]], send_now: Callable[[bytes], bool] | None, head: Head
    ) -> None:
        self.door = door
        self.immediate = send_now is not None
        self._send_now = send_now
        self.head = head
        self.begun = self.ended = False
        self.unread = False  # some of the request's body was not taken
        self._send = send
        self._waiting = b""

    def __repr__(self) -> str:
        state = "ended" if self.ended else "begun" if self.begun else "not begun"
        return f"<Answer {state}{', request unread' * self.unread}>"

    @property
    def kept(self) -> bool:
        """Whether the connection takes another request after this answer."""
        return self.ended and self.head.keep_alive and not self.unread and not self.door.stopping.is_set()

    def _head_of(self, status: int, headers: Headers, framing: bytes) -> bytes:
        assert not self.begun, "an answer was begun twice"
        self.begun = True
        closing = not self.head.keep_alive or self.unread or self.door.stopping.is_set()
        first = b"HTTP/1.1 %d %s" % (status, _REASONS.get(status, b""))
        own = b"\r\n".join([first, *map(b": ".join, headers), framing])
        return own + self.door.constant_headers + (b"connection: close\r\n\r\n" if closing else b"\r\n")

    async def answer(self, status: int, headers: Headers, body: bytes) -> None:
        head = self._head_of(status, headers, b"content-length: %d\r\n" % len(body))
        self.ended = await self._send(head + body)

    async def start(self, status: int, headers: Headers) -> None:
        self._waiting = self._head_of(status, headers, b"" if self.head.http_1_0 else b"transfer-encoding: chunked\r\n")

    async def send(self, data: bytes) -> None:
        await self._send(self._framed(data) if data else b"")

    def send_now(self, data: bytes) -> bool:
        assert self._send_now is not None
        return self._send_now(self._framed(data)) if data else True

    async def end(self, data: bytes = b"") -> None:
        last = self._framed(data) if data else self._take_waiting()
        self.ended = await self._send(last if self.head.http_1_0 else last + b"0\r\n\r\n")

    def _framed(self, data: bytes) -> bytes:
        head = self._take_waiting()
        return head + data if self.head.http_1_0 else b"%s%x\r\n%s\r\n" % (head, len(data), data)

    def _take_waiting(self) -> bytes:
        assert self.begun and not self.ended, "a piece of an answer that is not under way"
        waiting, self._waiting = self._waiting, b""
        return waiting
