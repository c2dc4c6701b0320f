"""The relay routes as a plain ASGI callable, wrapped around the Quart app.

No generator and no framework between the gate and the socket: the gate pushes to `send`, and `receive` is watched for the
client's leaving. Everything that is no relay route goes to the Quart app, with its path as routes are written.
"""

import secrets
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

import trio

from ftgate.dialects import http
from ftgate.dialects.talk import Dialect
from ftgate.errors import BodyTooLarge, BodyTooSlow, GateError, MethodNotAllowed, Overloaded, UnsupportedBody
from ftgate.exchange import Call
from ftgate.ports import Client, Headers

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

HELD_BYTES = 256 * 1024 * 1024
"""Bytes of request bodies in memory at once, over all callers: past it a call is refused for a moment, not everybody served
from swap."""
BODY_S = 60.0
"""Seconds in which a request's body must have come whole. No hold is taken before that."""


def new_request_id() -> str:
    """Ours, and unique for ever: 96 random bits."""
    return "req_" + secrets.token_hex(12)


class _ClientLeft(Exception):
    """The client went before its request was whole: there is nobody to answer."""


class AsgiClient:
    """ports.Client over an ASGI `send`."""

    def __init__(self, send: Send, extra: Headers) -> None:
        self._send = send
        self._extra = extra

    async def answer(self, status: int, headers: Headers, body: bytes) -> None:
        whole = [*headers, *self._extra, (b"content-length", b"%d" % len(body))]
        await self._send({"type": "http.response.start", "status": status, "headers": whole})
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def start(self, status: int, headers: Headers) -> None:
        await self._send({"type": "http.response.start", "status": status, "headers": [*headers, *self._extra]})

    async def send(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})


class Relay:
    """The ASGI app that a door serves. `walk` is the gate's relay(call, client), `authenticate` its look at a key, `pages` the
    Quart app behind it."""

    def __init__(
        self,
        walk: Callable[[Call, Client], Awaitable[None]],
        authenticate: Callable[[bytes | None], Awaitable[object]],
        pages: App,
        dialects: Mapping[str, Dialect],
        *,
        max_body_bytes: int,
        cors: bool,
    ) -> None:
        self.walk = walk
        self.authenticate = authenticate
        self.held_bytes = 0
        self.pages = pages
        self.dialects = dialects
        self.max_body_bytes = max_body_bytes
        self.cors = cors

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        path = http.canonical(scope["path"])
        dialect = self.dialects.get(http.RELAY_ROUTES.get(path, ""))
        if self.cors and scope["method"] == "OPTIONS" and http.is_open(path):
            await send({"type": "http.response.start", "status": 204, "headers": [h for h in http.PREFLIGHT if h[0] != b"content-length"]})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        if dialect is None:
            await self.pages({**scope, "path": path, "raw_path": path.encode()}, receive, send)
            return
        client = AsgiClient(send, http.CORS if self.cors else [])
        request_id = new_request_id()
        try:
            if scope["method"] != "POST":
                raise MethodNotAllowed(f"{path} takes POST", allow="POST, OPTIONS" if self.cors else "POST")
            headers: Headers = list(scope["headers"])
            secret = http.presented_key(headers)
            http.refuse_own_key(headers)
            await self.authenticate(secret)  # before a byte of the body is asked for: a stranger must not fill the memory
        except GateError as error:
            await self._refuse(client, dialect, request_id, error)
            return
        room = _Room(self)
        try:
            try:
                body = await self._body(headers, receive, room)
            except _ClientLeft:
                return
            except GateError as error:
                await self._refuse(client, dialect, request_id, error)
                return
            call = Call(id=request_id, dialect=dialect, secret=secret, body=body)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_watch, receive, call)
                await self.walk(call, client)
                nursery.cancel_scope.cancel()
        finally:
            room.free()

    async def _refuse(self, client: AsgiClient, dialect: Dialect, request_id: str, error: GateError) -> None:
        headers = [(b"content-type", b"application/json"), (b"x-request-id", request_id.encode()), *http.error_headers(error)]
        await client.answer(error.status, headers, dialect.error_body(error, request_id))

    async def _body(self, headers: Headers, receive: Receive, room: "_Room") -> bytes:
        """The whole request body. Raises BodyTooLarge, BodyTooSlow, UnsupportedBody, Overloaded, _ClientLeft."""
        limit = self.max_body_bytes
        for name, value in headers:
            if name == b"content-encoding" and value.strip().lower() not in {b"", b"identity"}:
                raise UnsupportedBody("send the body uncompressed: Content-Encoding is not supported here")
            if name == b"content-length" and value.isdigit() and int(value) > limit:
                raise _too_large(limit)
        pieces: list[bytes] = []
        size = 0
        with trio.move_on_after(BODY_S) as patience:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise _ClientLeft
                pieces.append(bytes(message.get("body", b"")))
                size += len(pieces[-1])
                if size > limit:
                    raise _too_large(limit)
                room.take(len(pieces[-1]))
                if not message.get("more_body", False):
                    break
        if patience.cancelled_caught:
            raise BodyTooSlow(f"the body did not come whole within {BODY_S:g}s")
        return b"".join(pieces)


class _Room:
    """What one call's body takes of the room that all share; given back when the call has ended, however it ends."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.taken = 0

    def take(self, size: int) -> None:
        if self.relay.held_bytes + size > max(HELD_BYTES, self.relay.max_body_bytes):  # one body that is allowed always fits
            raise Overloaded("too many large requests are being read now", retry_after_s=1)
        self.relay.held_bytes += size
        self.taken += size

    def free(self) -> None:
        self.relay.held_bytes -= self.taken
        self.taken = 0


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body is larger than {limit // 1_000_000} MB, the limit of this gateway (server.max_body_mb)")


async def _watch(receive: Receive, call: Call) -> None:
    """Tell the call when its client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass
    call.client_gone()
