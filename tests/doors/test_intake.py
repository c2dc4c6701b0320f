"""What every door does with a call's head before the gate has it: whose key it shows, and what is not looked at."""

from typing import Any

import pytest

from ftgate.doors.intake import Intake
from ftgate.errors import GateError
from ftgate.ports import DoorSettings, Headers, Key
from tests.fakes.ports import Still

KEY = Key(
    id=1, account=1, name="k", prefix="sk-ft_", active=True, account_active=True, metered=False, plan="default"
)  # fmt: skip


class Gate:
    """Notes which secrets it was shown."""

    def __init__(self) -> None:
        self.shown: list[bytes | None] = []

    async def authenticate(self, secret: bytes | None) -> Key:
        self.shown.append(secret)
        return KEY

    async def walk(self, *call: Any) -> None:
        raise AssertionError("nobody came so far")


@pytest.mark.parametrize(
    ("headers", "shown"),
    [
        ([], None),
        ([(b"authorization", b"Bearer sk-ft_a")], b"sk-ft_a"),
        ([(b"x-api-key", b"sk-ft_a"), (b"authorization", b"Bearer sk-ft_a")], b"sk-ft_a"),
    ],
)
async def test_a_key_is_looked_at(headers: Headers, shown: bytes | None) -> None:
    gate = Gate()
    intake = Intake(gate.walk, gate.walk, gate.authenticate, live=Still(doors=DoorSettings(100, cors=False)))
    assert await intake.admit(headers) == (shown, KEY)
    assert gate.shown == [shown]


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ([(b"x-api-key", b"sk-ft_b")], None),
        ([(b"authorization", b"Bearer sk-ft_b")], None),
        ([(b"x-findtoken-provider-key", b"deepseek:sk-own")], "X-FindToken-Provider-Key"),
        ([(b"x-findtoken-provider-key", b"")], "X-FindToken-Provider-Key"),
    ],
)
async def test_what_could_be_billed_to_another_than_the_caller_means_is_refused(
    more: Headers, param: str | None
) -> None:
    gate = Gate()
    intake = Intake(gate.walk, gate.walk, gate.authenticate, live=Still(doors=DoorSettings(100, cors=False)))
    with pytest.raises(GateError) as refused:
        await intake.admit([(b"authorization", b"Bearer sk-ft_a"), *more])
    assert (refused.value.status, refused.value.param, gate.shown) == (400, param, [])
