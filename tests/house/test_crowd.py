"""How many connections one place may have open."""

from types import SimpleNamespace
from typing import Any

import pytest

from ftgate.house.crowd import Crowd
from ftgate.ports.settings import DoorSettings


class Live:
    def __init__(self, most: int, trusted: tuple[str, ...] = ()) -> None:
        self.doors = DoorSettings(1, False, most)
        self.site: Any = SimpleNamespace(trusted_proxies=trusted)


def stream(address: str) -> Any:
    return SimpleNamespace(socket=SimpleNamespace(getpeername=lambda: (address, 1)))


def test_one_too_many_is_not_admitted_until_another_has_ended(caplog: pytest.LogCaptureFixture) -> None:
    crowd = Crowd(Live(2))
    first, second = crowd.admit(stream("192.0.2.1")), crowd.admit(stream("192.0.2.1"))
    assert first is not None and second is not None
    assert crowd.admit(stream("192.0.2.1")) is None and crowd.admit(stream("192.0.2.1")) is None
    assert [record.getMessage() for record in caplog.records] == [
        "more than 2 connections from 192.0.2.1, its newest are closed"
    ]
    assert crowd.admit(stream("192.0.2.2")) is not None  # others are
    first()
    assert crowd.admit(stream("192.0.2.1")) is not None and crowd.admit(stream("192.0.2.1")) is None


def test_nothing_is_kept_of_those_that_have_gone() -> None:
    crowd = Crowd(Live(1))
    for number in range(300):
        ended = crowd.admit(stream(f"192.0.2.{number}"))
        assert ended is not None
        ended()
    assert repr(crowd) == "<Crowd of 0 connections from 0 places>" and not crowd.open


@pytest.mark.parametrize(
    ("addresses", "trusted", "most", "admitted"),
    [
        (("2001:db8::1", "2001:db8::2"), (), 1, [True, False]),  # one network of 64 bits
        (("2001:db8::1", "2001:db8:0:1::1"), (), 1, [True, True]),
        (("10.0.0.7", "10.0.0.7"), ("10.0.0.0/8",), 1, [True, True]),
        (("::ffff:10.0.0.7", "::ffff:10.0.0.7"), ("10.0.0.0/8",), 1, [True, True]),
        (("::ffff:192.0.2.1", "::ffff:192.0.2.1", "::ffff:192.0.2.2"), (), 1, [True, False, True]),
        (("192.0.2.1",) * 3, (), 0, [True, True, True]),
    ],
)
def test_who_is_one_place(
    addresses: tuple[str, ...], trusted: tuple[str, ...], most: int, admitted: list[bool]
) -> None:
    crowd = Crowd(Live(most, trusted))
    assert [crowd.admit(stream(address)) is not None for address in addresses] == admitted


def test_another_limit_holds_at_once_and_a_peer_that_is_gone_counts_nowhere() -> None:
    live = Live(1)
    crowd = Crowd(live)
    crowd.admit(stream("192.0.2.1"))
    live.doors = DoorSettings(1, False, 2)
    assert crowd.admit(stream("192.0.2.1")) is not None

    def gone() -> None:
        raise OSError("not connected")

    nobody: Any = SimpleNamespace(socket=SimpleNamespace(getpeername=gone))
    ended = crowd.admit(nobody)
    assert ended is not None
    ended()
    assert crowd.open.total() == 2
