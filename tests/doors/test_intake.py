"""What every door does with a call's head before the gate has it: whose key it shows, and what is not looked at."""

from typing import Any

import pytest

from ftgate.dialects import openai_chat
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
    assert await intake.admit(headers, str) == (shown, KEY)
    assert gate.shown == [shown]


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ([(b"x-api-key", b"sk-ft_b")], None),
        ([(b"authorization", b"Bearer sk-ft_b")], None),
    ],
)
async def test_what_could_be_billed_to_another_than_the_caller_means_is_refused(
    more: Headers, param: str | None
) -> None:
    gate = Gate()
    intake = Intake(gate.walk, gate.walk, gate.authenticate, live=Still(doors=DoorSettings(100, cors=False)))
    with pytest.raises(GateError) as refused:
        await intake.admit([(b"authorization", b"Bearer sk-ft_a"), *more], str)
    assert (refused.value.status, refused.value.param, gate.shown) == (400, param, [])


OWN = b"x-findtoken-provider-key"


@pytest.mark.parametrize(
    ("values", "brought"),
    [
        ([], None),
        ([b"deepseek:sk-own-key"], ("deepseek", "sk-own-key")),
        ([b" DeepSeek:sk-own:key\t"], ("deepseek", "sk-own:key")),
        ([b"deepseek:sk-own-key", b"deepseek:sk-own-key"], ("deepseek", "sk-own-key")),
    ],
)
def test_a_provider_key_in_a_header(values: list[bytes], brought: tuple[str, str] | None) -> None:
    gate = Gate()
    intake = Intake(gate.walk, gate.walk, gate.authenticate, live=Still(doors=DoorSettings(100, cors=False)))
    _, forwarded, found = intake.check_head(openai_chat, [(b"accept", b"*/*"), *((OWN, value) for value in values)])
    assert not forwarded and (found and (found.provider, found.secret.reveal())) == brought
    assert "own" not in repr(found)


@pytest.mark.parametrize(
    "values",
    [
        [b""], [b"sk-own-key-alone"], [b":sk-own-key"], [b"deepseek:"], [b"deepseek:short"],
        [b"deepseek:" + b"x" * 513], [b"deepseek:sk-\xfcber-key"], [b"deepseek:sk-own key"],
        [b"deepseek:sk-own\x00key"],
        [b"deepseek:sk-ft_" + b"a" * 43],
        [b"deepseek:sk-own-key", b"deepseek:sk-own-other"], [b"deepseek:sk-own-key", b"openai:sk-own-key"],
        [b"deepseek:sk-own-key", b""],
    ],
)  # fmt: skip
def test_a_header_that_brings_no_provider_key_is_refused(values: list[bytes]) -> None:
    """Unheeded, the call would be billed to its credits."""
    gate = Gate()
    intake = Intake(gate.walk, gate.walk, gate.authenticate, live=Still(doors=DoorSettings(100, cors=False)))
    with pytest.raises(GateError) as refused:
        intake.check_head(openai_chat, [(OWN, value) for value in values])
    assert (refused.value.status, refused.value.param) == (400, "X-FindToken-Provider-Key")
    assert "own" not in refused.value.message.replace("the provider's own", "")
