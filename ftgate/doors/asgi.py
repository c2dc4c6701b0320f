"""The routes of calls as a plain ASGI callable, wrapped around the Quart app.

No generator and no framework between the gate and the socket: the gate pushes to `send`, and `receive` is watched for
the client's leaving. Everything that means no route of theirs goes to the Quart app, with the path of the route that it
means (doors.http.meant).
"""

import trio

from ftgate.doors import http
from ftgate.doors.connections import App, Message, Receive, Send
from ftgate.doors.http import new_request_id
from ftgate.doors.intake import BODY_S, Intake, Room
from ftgate.errors import GateError, MethodNotAllowed
from ftgate.line.call import Call
from ftgate.ports import Headers


class _ClientLeft(Exception):
    """The client went before its request was whole: there is nobody to answer."""


class AsgiClient:
    """ports.Client over an ASGI `send`."""

    immediate = False

    def __init__(self, send: Send, extra: Headers) -> None:
        self._send = send
        self._extra = extra

    async def answer(self, status: int, headers: Headers, body: bytes) -> None:
        whole = [*headers, *self._extra, (b"content-length", b"%d" % len(body))]
        await self._send({"type": "http.response.start", "status": status, "headers": whole})
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def start(self, status: int, headers: Headers) -> None:
        await self._send({"type": "http.response.start", "status": status, "headers": [*headers, *self._extra]})

    def send_now(self, data: bytes) -> bool:
        """Never asked for: it is not immediate."""
        raise AssertionError("an ASGI server sends with a wait")

    async def send(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes = b"") -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": False})


class Relay:
    """The ASGI app that the Hypercorn door serves: relay calls to `intake`, all else to `pages`, the Quart app behind
    it."""

    def __init__(self, intake: Intake, pages: App) -> None:
        self.intake = intake
        self.pages = pages

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        intake = self.intake
        path = intake.route(scope["method"], scope["path"])
        dialect = intake.dialect_of(path)
        if intake.cors and scope["method"] == "OPTIONS" and http.is_open(path):
            await send(
                {
                    "type": "http.response.start",
                    "status": 204,
                    "headers": [h for h in http.PREFLIGHT if h[0] != b"content-length"],
                }
            )
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        if dialect is None:
            await self.pages({**scope, "path": path, "raw_path": path.encode()}, receive, send)
            return
        client = AsgiClient(send, intake.extra_headers)
        request_id = new_request_id()
        room = Room(intake)
        try:
            try:
                if scope["method"] != "POST":
                    raise MethodNotAllowed(f"{path} takes POST", allow="POST, OPTIONS" if intake.cors else "POST")
                headers: Headers = list(scope["headers"])
                secret, _ = await intake.admit(headers, lambda: (scope.get("client") or ("",))[0])
                hops, forwarded, brought = intake.check_head(dialect, headers)
                body = await self._body(receive, room)
            except _ClientLeft:
                return
            except GateError as error:
                await client.answer(*dialect.error(error, request_id))
                return
            call = Call(
                id=request_id, dialect=dialect, secret=secret, body=body, route=path, hops=hops, forwarded=forwarded,
                brought=brought,
            )  # fmt: skip
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_watch, receive, call)
                await intake.way_of(path)(call, client)
                nursery.cancel_scope.cancel()
        finally:
            room.free()

    async def _body(self, receive: Receive, room: Room) -> bytes:
        """The whole request body. Raises BodyTooLarge, BodyTooSlow, Overloaded, _ClientLeft."""
        pieces: list[bytes] = []
        with trio.move_on_after(BODY_S) as patience:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise _ClientLeft
                pieces.append(bytes(message.get("body", b"")))
                room.take(len(pieces[-1]))
                if not message.get("more_body", False):
                    break
        if patience.cancelled_caught:
            raise self.intake.too_slow()
        return b"".join(pieces)


async def _watch(receive: Receive, call: Call) -> None:
    """Tell the call when its client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass
    call.client_gone()
