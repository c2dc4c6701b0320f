"""What an upstream wants of every request."""

from typing import Any

import msgspec
import pytest

from ftgate.core.habits import Bound, Habits, follow

INSIDE = Habits(clamp=(Bound("top_p", 0.01, 0.99), Bound("temperature", 0.0, 1.0)))


def followed(body: bytes, habits: Habits) -> bytes:
    fields: dict[str, Any] = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    follow(fields, habits)
    return msgspec.json.encode(fields)


@pytest.mark.parametrize(("said", "sent"), [
    (b"0.5", b"0.5"),
    (b"0.01", b"0.01"),
    (b"0.99", b"0.99"),
    (b"5e-1", b"5e-1"),  # within: the caller's own bytes
    (b"0", b"0.01"),
    (b"0.0", b"0.01"),
    (b"-3", b"0.01"),
    (b"1", b"0.99"),
    (b"1.0", b"0.99"),
    (b"0.995", b"0.99"),
    (b"1e300", b"0.99"),
    (b"1e999", b"0.99"),
    (b"null", b"null"),
    (b"true", b"true"),  # no number: the upstream's to refuse
    (b'"1"', b'"1"'),
    (b"[1]", b"[1]"),
])  # fmt: skip
def test_a_number_is_brought_within_its_bounds(said: bytes, sent: bytes) -> None:
    assert followed(b'{"top_p":' + said + b',"n":7}', INSIDE) == b'{"top_p":' + sent + b',"n":7}'


def test_a_field_that_is_not_there_stays_away_and_each_has_its_own_bounds() -> None:
    assert followed(b'{"n":7}', INSIDE) == b'{"n":7}'
    assert followed(b'{"temperature":1,"top_p":1}', INSIDE) == b'{"temperature":1,"top_p":0.99}'
    assert followed(b'{"temperature":2}', INSIDE) == b'{"temperature":1.0}'


def test_values_that_were_put_there_by_code_are_bounded_too() -> None:
    fields: dict[str, object] = {"top_p": 1, "temperature": 0.5}
    follow(fields, INSIDE)
    assert fields == {"top_p": 0.99, "temperature": 0.5}


def test_what_the_caller_did_not_say_is_filled_in() -> None:
    fill = Habits(fill={"reasoning_split": True})
    assert followed(b'{"n":7}', fill) == b'{"n":7,"reasoning_split":true}'
    assert followed(b'{"reasoning_split":false}', fill) == b'{"reasoning_split":false}'


def test_quirks_come_last() -> None:
    def quirk(fields: dict[str, object]) -> None:
        fields["seen"] = dict(fields)

    fields: dict[str, object] = {"top_p": 1}
    follow(fields, Habits(clamp=INSIDE.clamp, fill={"a": 1}, quirks=(quirk,)))
    assert fields["seen"] == {"top_p": 0.99, "a": 1}
