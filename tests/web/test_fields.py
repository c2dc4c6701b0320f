"""The fields of a request: what is taken, what is refused, and in which words."""

from contextlib import nullcontext
from typing import Any

import pytest

from ftgate.core.money import PICO_PER_USD
from ftgate.errors import InvalidRequest
from ftgate.web.fields import MOST_BYTES, Fields
from tests.swift import swift

CENT = PICO_PER_USD // 100


def of(text: str | bytes) -> Fields:
    return Fields.of(text if isinstance(text, bytes) else text.encode())


READ: list[tuple[str, str, tuple[Any, ...], dict[str, Any], Any]] = [
    ('{"name": " a b "}', "line", ("name",), {"most": 5}, "a b"),
    ('{"password": " a b "}', "text", ("password",), {"most": 5}, " a b "),
    ("{}", "line", ("name",), {"most": 5}, None),
    ('{"name": null}', "line", ("name",), {"most": 5}, None),
    ('{"inviteCode": "x"}', "line", ("invite_code",), {"most": 5}, "x"),
    ('{"invite_code": "x"}', "line", ("invite_code",), {"most": 5}, "x"),
    ('{"invite_code": "x", "inviteCode": "x"}', "line", ("invite_code",), {"most": 5}, "x"),
    ('{"email": ""}', "line", ("email",), {"least": 0, "most": 5}, ""),
    ('{"name": "😀😀"}', "line", ("name",), {"most": 2}, "😀😀"),  # code points
    ('{"models": ["a", " a", "b"]}', "lines", ("models",), {"items": 3, "most": 5}, ("a", "b")),
    ('{"allowedIps": ["1.2.3.4", "::/8"]}', "networks", ("allowed_ips",), {"items": 3}, ("1.2.3.4/32", "::/8")),
    ('{"allowedIps": ["::ffff:127.0.0.1"]}', "networks", ("allowed_ips",), {"items": 3}, ("127.0.0.1/32",)),
    ('{"status": "active"}', "choice", ("status", ("active",)), {}, "active"),
    ('{"all": true}', "flag", ("all",), {}, True),
    ("{}", "flag", ("all",), {}, False),
    ('{"planId": 7}', "id", ("plan_id",), {}, 7),
    ('{"planId": "7"}', "id", ("plan_id",), {}, 7),
    ('{"expiresAt": "2026-05-10"}', "moment", ("expires_at",), {}, 1_778_371_200_000_000),
    ('{"quota": "560"}', "cents", ("quota",), {}, 560 * CENT),
    ('{"quota": 560}', "cents", ("quota",), {}, 560 * CENT),
    ('{"quota": 5e-05}', "cents", ("quota",), {}, 500_000),  # as json.dumps writes 0.00005
    ('{"quota": 1.5E+3}', "cents", ("quota",), {}, 1500 * CENT),
    ('{"quota": 1e-10}', "cents", ("quota",), {}, 1),
    ('{"amount": -1e-05}', "usd", ("amount",), {}, -PICO_PER_USD // 100_000),
    ('{"quota": 0.0315}', "cents", ("quota",), {}, 315_000_000),
    ('{"quota": "0.0000000001"}', "cents", ("quota",), {}, 1),
    ('{"quota": "1.50000000000000"}', "cents", ("quota",), {}, 15 * CENT // 10),
    ('{"quota": 100000000}', "cents", ("quota",), {}, 10**6 * PICO_PER_USD),
    ('{"amount": 0.1}', "usd", ("amount",), {}, PICO_PER_USD // 10),
    ('{"amount": "-0.1"}', "usd", ("amount",), {}, -PICO_PER_USD // 10),
    ('{"amount": "9.5000"}', "usd", ("amount",), {"places": 2}, 95 * PICO_PER_USD // 10),
]  # fmt: skip


@pytest.mark.parametrize(("body", "how", "places", "named", "value"), READ)
def test_what_is_read(body, how, places, named, value):
    assert getattr(of(body), how)(*places, **named) == value


WRONG: list[tuple[str, str, tuple[Any, ...], dict[str, Any], str]] = [
    ('{"name": 1}', "line", ("name",), {"most": 5}, "name"),
    ('{"name": "  "}', "line", ("name",), {"most": 5}, "name"),
    ('{"name": "abcdef"}', "line", ("name",), {"most": 5}, "name"),
    ('{"name": "a\\nb"}', "line", ("name",), {"most": 5}, "name"),
    ('{"name": "a\\u2028b"}', "line", ("name",), {"most": 5}, "name"),
    ('{"name": "a\\u202eb"}', "line", ("name",), {"most": 5}, "name"),
    ('{"name": "a\\u2066b"}', "line", ("name",), {"most": 5}, "name"),
    ('{"invite_code": "x", "inviteCode": "y"}', "line", ("invite_code",), {"most": 5}, "inviteCode"),
    ('{"models": "a"}', "lines", ("models",), {"items": 3, "most": 5}, "models"),
    ('{"models": ["a", 1]}', "lines", ("models",), {"items": 3, "most": 5}, "models"),
    ('{"models": ["a", "b"]}', "lines", ("models",), {"items": 1, "most": 5}, "models"),
    ('{"allowedIps": ["1.2.3.400"]}', "networks", ("allowed_ips",), {"items": 3}, "allowedIps"),
    ('{"status": "on"}', "choice", ("status", ("active",)), {}, "status"),
    ('{"all": 1}', "flag", ("all",), {}, "all"),
    ('{"planId": true}', "id", ("plan_id",), {}, "planId"),
    ('{"planId": 0}', "id", ("plan_id",), {}, "planId"),
    ('{"planId": 1.0}', "id", ("plan_id",), {}, "planId"),
    ('{"planId": "1e3"}', "id", ("plan_id",), {}, "planId"),
    ('{"expiresAt": 1778371200}', "moment", ("expires_at",), {}, "expiresAt"),
    ('{"expiresAt": "soon"}', "moment", ("expires_at",), {}, "expiresAt"),
    ('{"quota": true}', "cents", ("quota",), {}, "quota"),
    ('{"quota": -1}', "cents", ("quota",), {}, "quota"),
    ('{"quota": "-0"}', "cents", ("quota",), {}, "quota"),
    ('{"quota": "1e3"}', "cents", ("quota",), {}, "quota"),
    ('{"quota": "5e-05"}', "cents", ("quota",), {}, "quota"),
    ('{"quota": 1e-11}', "cents", ("quota",), {}, "quota"),
    ('{"quota": 1e9}', "cents", ("quota",), {}, "quota"),
    ('{"quota": 1e99}', "cents", ("quota",), {}, "quota"),
    ('{"quota": 1e-999}', "cents", ("quota",), {}, "quota"),
    ('{"quota": -5e-05}', "cents", ("quota",), {}, "quota"),
    ('{"amount": 1e-3}', "usd", ("amount",), {"places": 2}, "amount"),
    ('{"quota": "1_000"}', "cents", ("quota",), {}, "quota"),
    ('{"quota": "٣"}', "cents", ("quota",), {}, "quota"),
    ('{"quota": "0.00000000001"}', "cents", ("quota",), {}, "quota"),
    ('{"quota": 100000000.01}', "cents", ("quota",), {}, "quota"),
    ('{"amount": 0.001}', "usd", ("amount",), {"places": 2}, "amount"),
    ('{"amount": "1000000.01"}', "usd", ("amount",), {}, "amount"),
    ('{"amount": []}', "usd", ("amount",), {}, "amount"),
]


@pytest.mark.parametrize(("body", "how", "places", "named", "param"), WRONG)
def test_what_is_refused(body, how, places, named, param):
    with pytest.raises(InvalidRequest) as refused:
        getattr(of(body), how)(*places, **named)
    assert (refused.value.code, refused.value.param) == ("invalid_value", param)
    assert param in refused.value.message


@pytest.mark.parametrize(
    "body",
    ["[]", "1", '"x"', "{", "{}{}", '{"a": NaN}', b'{"a": "\xff"}', '{"a": ' + "[" * 65 + "]" * 65 + "}", "null"],
)  # fmt: skip
def test_what_is_no_object(body):
    with pytest.raises(InvalidRequest) as refused:
        of(body)
    assert refused.value.code == "invalid_json"


def test_brackets_in_texts_nest_nothing():
    assert of('{"name": "' + "[" * 100 + '\\"[[["}').text("name", most=200) == "[" * 100 + '"[[['


@pytest.mark.parametrize("head", [b"", b'"', b'{"a": "', b'{"a": ['])
@pytest.mark.parametrize("said", [b'"', b'\\"', b"\\", b'\\\\"', b"[", b"[],", b"1,", b"1", b'{"a":1},', b'"a",', b" "])
def test_the_largest_body_is_looked_through_at_once_whatever_it_is(head, said):
    body = head + said * ((MOST_BYTES - len(head)) // len(said))
    with swift(0.2), pytest.raises(InvalidRequest) if body.strip() else nullcontext():
        of(body)  # some milliseconds; half a minute where each quote is tried to the end


def test_a_text_that_never_ends_hides_no_brackets_before_it():
    with pytest.raises(InvalidRequest) as refused:
        of('{"a": ' + "[" * 65 + '"\\')
    assert "nested" in refused.value.message


def test_what_is_missing_is_told_apart_from_what_is_wrong():
    fields = of("{}")
    with pytest.raises(InvalidRequest) as refused:
        fields.needed("amount", fields.usd("amount"))
    assert (refused.value.code, refused.value.param) == ("missing_field", "amount")
    assert of(b"").usd("amount") is None  # no body is an empty one
