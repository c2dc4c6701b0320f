"""The way a Quart-Trio app meets its HTTP server: one shield around the last send of an answer.

quart-trio runs a request in a nursery and cancels that nursery as soon as `receive()` says http.disconnect. Hypercorn
says so while the *last* send of the answer is still under way, so without a shield the server is interrupted in the
middle of ending the answer: it neither restarts the idle timer of a keep-alive connection nor closes one that was to be
closed, and an HTTP/1.0 stream never ends. Our own door does not depend on this (it lets nobody interrupt a write); the
shield keeps the app right on any other Hypercorn too. The door's write limit bounds the time in which nothing can be
cancelled.

A route that makes a call itself must not be cancelled when its client leaves: the call has to be told so, and ends by
itself. And an answer that is pushed by the gate goes out while the route runs. `of_request()` gives such a route its
connection for both.
"""

import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import trio
from quart import request
from quart.asgi import ASGIHTTPConnection
from quart_trio.asgi import TrioASGIHTTPConnection

Send = Callable[[Any], Awaitable[None]]


def shield_last_send(send: Send) -> Send:
    """An ASGI `send` whose message that ends the answer cannot be cancelled; all others can, as before."""

    async def send_shielding_the_last(message: Any) -> None:
        last = message["type"] == "http.response.body" and not message.get("more_body", False)
        with trio.CancelScope(shield=last):
            await send(message)

    return send_shielding_the_last


IN_SCOPE = "ftgate.connection"


class ShieldedConnection(TrioASGIHTTPConnection):
    """quart-trio's HTTP connection with a shielded last send: set `app.asgi_http_class = ShieldedConnection`."""

    def __init__(self, app: Any, scope: Any) -> None:
        known: Any = {**scope, IN_SCOPE: weakref.ref(self)}  # a circle would wait for the collector
        super().__init__(app, known)
        self.gone: Callable[[], None] | None = None
        """What is called when the client leaves, in place of ending the route, while the route runs. It may come at any
        moment from when it is set."""
        self.pushed = False
        """The route has sent its answer itself, by `send`."""

    async def __call__(self, receive: Any, send: Any) -> None:
        self.send = shield_last_send(send)
        await super().__call__(receive, self.send)

    async def handle_messages(self, nursery: trio.Nursery, request: Any, receive: Any) -> None:  # type: ignore[override]
        await ASGIHTTPConnection.handle_messages(self, request, receive)
        if self.gone is not None:
            self.gone()
        else:
            nursery.cancel_scope.cancel()

    async def _send_response(self, send: Any, response: Any) -> None:
        if not self.pushed:
            await super()._send_response(send, response)


def of_request() -> ShieldedConnection:
    """The connection of the request that is answered now."""
    scope: Any = request.scope
    found = scope[IN_SCOPE]()
    assert isinstance(found, ShieldedConnection)
    return found
