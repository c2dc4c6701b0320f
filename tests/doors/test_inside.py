"""The door of our own pages: which key their calls go by, what is refused, and that room for bodies is given back."""

import json
from typing import Any

import msgspec
import pytest

from ftgate.doors.inside import InsideDoor
from ftgate.doors.intake import Intake
from ftgate.errors import Forbidden
from ftgate.line.call import Call
from ftgate.ports import Client, DoorSettings, Key
from ftgate.ports.site import Doer
from tests.fakes.ports import Still

KEY = Key(7, 1, "playground", "playground", active=True, account_active=True, metered=False, plan="default")
ANN = Doer(1, "ann", "session", "10.0.0.1", "req_page")


class House:
    """The gate behind the door, and the account's key; what came, and how many bytes were held while it was there."""

    def __init__(self, key: Key = KEY, *, breaks: bool = False) -> None:
        self.key, self.breaks = key, breaks
        self.came: list[tuple[Call, int]] = []
        self.intake = Intake(self.walk, self.walk, self.nobody, live=Still(doors=DoorSettings(100, cors=False)))
        self.door = InsideDoor(self.intake, self)

    async def nobody(self, secret: bytes | None) -> Key:
        raise AssertionError("no secret is ever shown")

    async def playground(self, account: int, by: Doer) -> Key:
        assert (account, by) == (1, ANN)
        return self.key

    async def walk(self, call: Call, client: Client) -> None:
        self.came.append((call, self.intake.held_bytes))
        if self.breaks:
            raise RuntimeError
        if json.loads(call.body).get("stream"):
            await client.start(200, [(b"x-own", b"1")])
            await client.send(b"one ")
            await client.end(b"two")
        else:
            await client.answer(201, [(b"x-own", b"1")], b"whole")


async def test_a_call_goes_by_the_account_s_own_key_and_shows_no_secret() -> None:
    house = House()
    call = await house.door.begin(1, b"{}", id="req_1", by=ANN)
    assert house.came == []
    assert await call.whole() == (201, [(b"x-own", b"1")], b"whole")
    ((came, held),) = house.came
    assert (came.id, came.secret, came.key, came.route) == ("req_1", None, KEY, "/v1/chat/completions")
    assert (held, house.intake.held_bytes) == (2, 0)


async def test_a_stream_is_pushed_with_what_every_page_says_of_itself() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    house = House()
    await (await house.door.begin(1, b'{"stream": true}', id="req_1", by=ANN)).to(send)
    head, *body = sent
    assert head["status"] == 200
    assert {(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")} < set(head["headers"])
    assert b"".join(message["body"] for message in body) == b"one two"
    assert [message["more_body"] for message in body] == [True, False]
    assert (await (await house.door.begin(1, b'{"stream": true}', id="req_1", by=ANN)).whole())[2] == b"one two"


async def test_a_body_that_is_too_large_never_comes_to_the_gate() -> None:
    house = House()
    status, _, body = await (await house.door.begin(1, b"x" * 101, id="req_1", by=ANN)).whole()
    assert (status, house.came, house.intake.held_bytes) == (413, [], 0)
    assert b"server.max_body_mb" in body


async def test_who_left_before_the_call_is_known_to_have_left() -> None:
    house = House()
    call = await house.door.begin(1, b"{}", id="req_1", by=ANN)
    call.client_gone()
    await call.whole()
    assert house.came[0][0].left


async def test_the_room_is_given_back_however_it_ends() -> None:
    house = House(breaks=True)
    with pytest.raises(RuntimeError):
        await (await house.door.begin(1, b"{}", id="req_1", by=ANN)).whole()
    assert house.intake.held_bytes == 0


async def test_a_key_for_other_addresses_is_refused() -> None:
    elsewhere = msgspec.structs.replace(KEY, allowed_ips=("10.9.0.0/16",))
    with pytest.raises(Forbidden, match="may not be used from"):
        await House(elsewhere).door.begin(1, b"{}", id="req_1", by=ANN)
    here = msgspec.structs.replace(KEY, allowed_ips=("10.0.0.0/8",))
    assert await (await House(here).door.begin(1, b"{}", id="req_1", by=ANN)).whole()
