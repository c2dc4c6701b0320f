"""The way a Quart-Trio app meets its HTTP server: one shield around the last send of an answer.

quart-trio runs a request in a nursery and cancels that nursery as soon as `receive()` says http.disconnect. Hypercorn
says so while the *last* send of the answer is still under way, so without a shield the server is interrupted in the
middle of ending the answer: it neither restarts the idle timer of a keep-alive connection nor closes one that was to be
closed, and an HTTP/1.0 stream never ends. Our own door does not depend on this (it lets nobody interrupt a write); the
shield keeps the app right on any other Hypercorn too. The door's write limit bounds the time in which nothing can be
cancelled.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import trio
from quart_trio.asgi import TrioASGIHTTPConnection

Send = Callable[[Any], Awaitable[None]]


def shield_last_send(send: Send) -> Send:
    """An ASGI `send` whose message that ends the answer cannot be cancelled; all others can, as before."""

    async def send_shielding_the_last(message: Any) -> None:
        last = message["type"] == "http.response.body" and not message.get("more_body", False)
        with trio.CancelScope(shield=last):
            await send(message)

    return send_shielding_the_last


class ShieldedConnection(TrioASGIHTTPConnection):
    """quart-trio's HTTP connection with a shielded last send: set `app.asgi_http_class = ShieldedConnection`."""

    async def __call__(self, receive: Any, send: Any) -> None:
        await super().__call__(receive, shield_last_send(send))
