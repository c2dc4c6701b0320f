"""JSON taken apart and written again, with halves of surrogate pairs in it."""

import msgspec
import pytest

from ftgate.dialects.fields import rewrite
from tests.swift import swift

RAW = msgspec.json.Decoder(dict[str, msgspec.Raw])


def without_b(data: bytes) -> bytes:
    fields = RAW.decode(data)
    fields.pop("b", None)
    return msgspec.json.encode(fields)


@pytest.mark.parametrize("text", [rb"\ud83d", rb"\ud83d\ud83d and \uDE00", rb"\ue000\ud83d\ue000-\ue000--"])
def test_halves_stay_as_they_were(text):
    assert rewrite(b'{"a":"' + text + b'","b":1}', without_b) == b'{"a":"' + text + b'"}'


def test_a_half_in_what_is_taken_out_is_told():
    with pytest.raises(msgspec.DecodeError):
        rewrite(rb'{"a":1,"b":"\ud83d"}', without_b)


def test_it_takes_no_longer_for_a_text_made_to_look_like_its_marks():
    data = rb'{"a":"\ud83d\ue000' + b"-" * 400_000 + b'"}'
    with swift(0.2):  # a millisecond; seconds where one mark after the other is tried
        assert rewrite(data, without_b) == data
