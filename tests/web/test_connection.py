"""The end of an answer goes out whole, also when its request is cancelled meanwhile."""

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from ftgate.web.connection import shield_last_send

START = {"type": "http.response.start", "status": 200, "headers": []}
BODY = "http.response.body"


@pytest.mark.parametrize(
    ("message", "goes_out"),
    [
        (START, False),
        ({"type": BODY, "body": b"x", "more_body": True}, False),
        ({"type": BODY, "body": b"x", "more_body": False}, True),
        ({"type": BODY, "body": b"x"}, True),
    ],
)
async def test_only_the_last_message_is_shielded(message: Any, goes_out: bool, autojump_clock: MockClock) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        await trio.sleep(1)
        sent.append(message)

    with trio.move_on_after(0.5):
        await shield_last_send(send)(message)
    assert sent == ([message] if goes_out else [])
