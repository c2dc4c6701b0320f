"""The relay routes as an ASGI app: a client that leaves is told of, and whatever a call takes is given back."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from ftgate.doors import http
from ftgate.doors.asgi import Relay
from ftgate.doors.intake import Intake
from ftgate.errors import NotAuthenticated
from ftgate.line.call import Call
from ftgate.ports import Client, DoorSettings, Key
from tests.fakes.ports import Still

KEY = Key(
    id=1, account=1, name="k", prefix="sk-ft_", active=True, account_active=True, metered=False, plan="default"
)  # fmt: skip
BODY = {"type": "http.request", "body": b"x" * 60, "more_body": False}
PIECE = {"type": "http.request", "body": b"x" * 60, "more_body": True}
LEFT = {"type": "http.disconnect"}
Walk = Callable[[Call, Client], Awaitable[None]]


class Server:
    """An ASGI server with one connection. `says` is what its client does: messages, and then nothing more."""

    def __init__(self, walk: Walk, says: Iterable[dict[str, Any]], *, cors: bool = False) -> None:
        self.says = list(says)
        self.sent: list[dict[str, Any]] = []
        self.intake = Intake(walk, walk, self.authenticate, live=Still(doors=DoorSettings(100, cors=cors)))
        self.relay = Relay(self.intake, self.pages)

    async def authenticate(self, secret: bytes | None) -> Key:
        if secret is None:
            raise NotAuthenticated("no key")
        return KEY

    async def pages(self, *request: Any) -> None:
        raise AssertionError("this is no page")

    async def receive(self) -> dict[str, Any]:
        await trio.lowlevel.checkpoint()
        if not self.says:
            await trio.sleep_forever()
        return self.says.pop(0)

    async def send(self, message: Any) -> None:
        await trio.lowlevel.checkpoint()
        self.sent.append(message)

    async def serve(self, *headers: tuple[bytes, bytes]) -> None:
        scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": list(headers)}
        await self.relay(scope, self.receive, self.send)


OWN = (b"authorization", b"Bearer sk-ft_a")


async def until_cut(call: Call, client: Client) -> None:
    """As the line waits: in a scope by which the call can be ended."""
    with trio.CancelScope() as call.scope:
        await trio.sleep(100)


async def answered(call: Call, client: Client) -> None:
    await client.answer(200, [], b"{}")


async def broken(call: Call, client: Client) -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize("first", [[], [{"type": "http.request", "body": b"", "more_body": False}]])
async def test_a_client_that_leaves_ends_its_call(first: list[dict[str, Any]], autojump_clock: MockClock) -> None:
    calls: list[Call] = []

    async def walk(call: Call, client: Client) -> None:
        calls.append(call)
        await until_cut(call, client)

    await Server(walk, [BODY, *first, LEFT]).serve(OWN)
    assert [(call.left, call.ended_by) for call in calls] == [(True, "client_gone")] and trio.current_time() == 0
    await Server(walk, [BODY]).serve(OWN)  # and one that stays does not
    assert (calls[1].left, calls[1].ended_by) == (False, None) and trio.current_time() == 100


@pytest.mark.parametrize(
    ("says", "walk", "headers", "status"),
    [
        ([BODY], answered, [OWN], 200),
        ([BODY, LEFT], until_cut, [OWN], None),
        ([PIECE, LEFT], answered, [OWN], None),
        ([PIECE, BODY], answered, [OWN], 413),
        ([PIECE], answered, [OWN], 408),
        ([BODY], broken, [OWN], None),
        ([BODY], answered, [], 401),
        ([BODY], answered, [OWN, (b"content-encoding", b"gzip")], 415),
    ],
)
async def test_the_room_of_a_body_is_given_back(
    says: list[dict[str, Any]], walk: Walk, headers: list[tuple[bytes, bytes]], status: int | None,
    autojump_clock: MockClock,
) -> None:  # fmt: skip
    server = Server(walk, says, cors=True)
    try:
        await server.serve(*headers)
    except* ZeroDivisionError:
        assert walk is broken
    assert server.intake.held_bytes == 0
    assert [message.get("status") for message in server.sent[:1]] == ([] if status is None else [status])
    for head in server.sent[:1]:  # a page of another origin must be able to read a refusal too
        assert set(http.CORS) <= set(head["headers"])
