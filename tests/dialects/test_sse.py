"""One table of (name, bytes, data events), each read whole, byte by byte, cut at every point and at random ones."""

import time
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftgate.dialects import sse
from ftgate.dialects.talk import MAX_ANSWER_BYTES
from tests.dialects.cutting import cut_at, cuts

TABLE: list[tuple[str, bytes, list[tuple[bytes | None, bytes]], bytes]] = [
    # name, input, (event name, data) of the events that have data, what is left
    ("nothing", b"", [], b""),
    ("one", b"data: x\n\n", [(None, b"x")], b""),
    ("two", b"data: x\n\ndata: y\n\n", [(None, b"x"), (None, b"y")], b""),
    ("no space", b"data:x\n\n", [(None, b"x")], b""),
    ("two spaces", b"data:  x\n\n", [(None, b" x")], b""),
    ("crlf", b"data: x\r\n\r\ndata: y\r\n\r\n", [(None, b"x"), (None, b"y")], b""),
    ("cr", b"data: x\r\rdata: y\r\r", [(None, b"x"), (None, b"y")], b""),
    (
        "mixed",
        b"data: a\n\r\ndata: b\r\n\ndata: c\r\n\rdata: d\n\rdata: e\r\r\n",
        [(None, c) for c in (b"a", b"b", b"c", b"d", b"e")],
        b"",
    ),
    ("name", b"event: ping\ndata: x\n\n", [(b"ping", b"x")], b""),
    ("name, crlf", b"event: ping\r\ndata: x\r\n\r\n", [(b"ping", b"x")], b""),
    ("name after", b"data: x\rid: 7\revent: ping\r\r", [(b"ping", b"x")], b""),
    ("several lines", b"data: a\ndata: b\ndata:\ndata: c\n\n", [(None, b"a\nb\n\nc")], b""),
    ("several lines, crlf", b"data: a\r\ndata: b\r\ndata\r\ndata: c\r\n\r\n", [(None, b"a\nb\n\nc")], b""),
    ("several lines, cr", b"data: a\rdata: b\r\r", [(None, b"a\nb")], b""),
    ("comments", b": hello\n\ndata: x\n\n:\n\n: a: b\n\n", [(None, b"x")], b""),
    ("a comment in an event", b": keep\ndata: x\n: alive\n\n", [(None, b"x")], b""),
    ("blank lines before", b"\n\n\ndata: x\n\n\n\n", [(None, b"x")], b""),
    ("blank lines before, crlf", b"\r\n\r\n\r\ndata: x\r\n\r\n", [(None, b"x")], b""),
    ("blank line first", b"\ndata: x\n\n", [(None, b"x")], b""),
    ("byte order mark", b"\xef\xbb\xbfdata: x\n\ndata: y\n\n", [(None, b"x"), (None, b"y")], b""),
    ("a mark elsewhere is a part of the name", b"data: x\n\n\xef\xbb\xbfdata: y\n\n", [(None, b"x")], b""),
    ("other fields", b"id: 1\nretry: 5\nfoo\ndatum: z\ndata: x\n\n", [(None, b"x")], b""),
    ("only other fields", b"id: 1\nretry: 5\n\n", [], b""),
    ("empty data", b"data\n\ndata:\n\ndata: \n\n", [(None, b"")] * 3, b""),
    (
        "separators in a string",
        'data: {"a":"\u2028\u2029\u0085\x0b\x0c\x1c\x1d\x1e"}\n\n'.encode(),
        [(None, '{"a":"\u2028\u2029\u0085\x0b\x0c\x1c\x1d\x1e"}'.encode())],
        b"",
    ),
    ("nul", b"data: a\x00b\n\n", [(None, b"a\x00b")], b""),
    ("utf-8", 'data: {"好":"é😀"}\n\n'.encode(), [(None, '{"好":"é😀"}'.encode())], b""),
    ("not utf-8", b"data: \xff\xfe\n\n", [(None, b"\xff\xfe")], b""),
    ("colons", b"data: a:b: c\n\n", [(None, b"a:b: c")], b""),
    ("no end", b"data: x\n\ndata: y\n", [(None, b"x")], b"data: y\n"),
    ("no end, half a line", b"data: x\n\ndat", [(None, b"x")], b"dat"),
    ("no end, crlf", b"data: x\r\n\r\ndata: y\r\n", [(None, b"x")], b"data: y\r\n"),
    ("no end, cr", b"data: y\r", [], b"data: y\r"),
    ("escaped ends", b'data: {"a":"\\n\\n\\r\\r"}\n\n', [(None, b'{"a":"\\n\\n\\r\\r"}')], b""),
]


def read(pieces: list[bytes]) -> tuple[list[tuple[bytes | None, bytes]], bytes, bytes]:
    reader = sse.Reader()
    events = [event for piece in pieces for event in reader.feed(piece)]
    rest = reader.rest()
    for number, event in enumerate(events):
        assert sse.parse(event.raw, first=not number) == event
    return [(e.name, e.data) for e in events if e.data is not None], b"".join(e.raw for e in events) + rest, rest


@pytest.mark.parametrize(("name", "data", "events", "rest"), TABLE, ids=[row[0] for row in TABLE])
def test_table_cut_everywhere(name, data, events, rest):
    for pieces in cuts(data):
        found, joined, left = read(pieces)
        assert found == events, pieces
        assert joined == data, pieces
        # A CR behind a CR that ends a piece is taken for an end: were it half of a CRLF, its LF stands in what is left.
        assert left.removeprefix(b"\n") == rest


# Mostly line ends, so that every arrangement of them comes up.
soup = st.lists(
    st.sampled_from(
        [
            b"\n",
            b"\r",
            b"\r\n",
            b"\n\n",
            b"data: ",
            b"data",
            b":",
            b" ",
            b"event: e",
            b"x",
            b"\xe2\x80\xa8",
            b"\xef\xbb\xbf",
        ]
    )
)


@settings(max_examples=400, deadline=None)
@given(soup, st.lists(st.integers(0, 1000), max_size=6))
def test_random_streams_cut_at_random(parts, points):
    data = b"".join(parts)
    whole, joined, _ = read([data])
    assert joined == data
    found, joined, _ = read(cut_at(data, points))
    assert joined == data
    assert found == whole


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.lists(st.integers(0, 1000), max_size=4))
def test_no_byte_is_lost(data, points):
    assert read(cut_at(data, points))[1] == data


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.binary(min_size=1, max_size=20).filter(
            lambda b: not set(b) & {10, 13} and not b.startswith(b"\xef\xbb\xbf")
        ),
        max_size=5,
    )
)
def test_written_events_come_back(datas):
    stream = b"".join(sse.event(data) + sse.comment("quiet") for data in datas)
    assert read([stream])[0] == [(None, data) for data in datas]


def test_written_bytes():
    assert sse.event(b"{}") == b"data: {}\n\n"
    assert sse.comment("x=1") == b": x=1\n"


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_a_written_event_has_no_line_end_in_its_data(end):
    """In JSON, line ends stand between values and mean nothing."""
    assert sse.event(b'{"a":' + end + b"  1" + end + b"}") == b'data: {"a":  1}\n\n'


def test_an_event_without_end_is_given_up():
    reader = sse.Reader()
    piece = b"x" * (MAX_ANSWER_BYTES // 8)
    for _ in range(8):
        assert reader.feed(piece) == [] and not reader.too_long
    assert reader.feed(b"x") == [] and reader.too_long
    reader.feed(piece)
    assert len(reader.rest()) == MAX_ANSWER_BYTES + 1, "nothing more is kept"


def test_the_limit_is_for_one_unfinished_event():
    reader = sse.Reader()
    event = b"data: " + b"x" * (MAX_ANSWER_BYTES // 2) + b"\n\n"
    for _ in range(3):
        (found,) = reader.feed(event)
        assert found.raw == event and not reader.too_long


@pytest.mark.parametrize("end", [b"\n\r", b"\r\n\r"])
def test_half_of_a_line_end_is_waited_for(end):
    """Nothing of ours may come between a CR and its LF: it would stand in a block of its own then."""
    reader = sse.Reader()
    assert reader.feed(b"data: x" + end) == []
    (one,) = reader.feed(b"\n")
    assert one.raw == b"data: x" + end + b"\n" and reader.rest() == b""
    assert reader.feed(b"data: x" + end) == []
    assert [one.raw for one in reader.feed(b"data: y\n\n")] == [b"data: x" + end, b"data: y\n\n"]


@pytest.mark.parametrize(
    ("head", "is_stream"),
    [
        (b"data: x", True), (b"data:", True), (b": hi", True), (b":", True), (b"event: x", True), (b"id: 1", True),
        (b"retry: 5", True), (b"\xef\xbb\xbfdata: x", True), (b"\n\r\n data: x", True),
        (b"{", False), (b'{"a"', False), (b" [", False), (b"<html>", False), (b"datum", False), (b"x", False),
        (b"", None), (b"d", None), (b"dat", None), (b"even", None), (b"\n\n", None), (b"\xef\xbb", None),
        (b" " * 5000, False),
    ],
)  # fmt: skip
def test_the_first_bytes_tell_a_stream(head, is_stream):
    assert sse.is_stream(head) is is_stream
    assert sse.is_stream(head, ended=True) is bool(is_stream)


def test_data_that_stands_bare():
    """As servers write an error into a stream that they have begun."""
    bare = sse.parse(b'{"error": "x"}\n\n')
    assert (bare.data, bare.stray) == (b'{"error": "x"}', True)
    assert not sse.parse(b"error: x\ndata: {}\n\n").stray


def test_a_large_event_in_small_pieces_is_not_searched_again_and_again():
    reader = sse.Reader()
    began = time.process_time()
    for _ in range(256):
        assert reader.feed(b"x" * 4096) == []
    assert len(reader.feed(b"\n\n")) == 1
    assert time.process_time() - began < 2.0


def test_rest_empties_the_reader():
    reader = sse.Reader()
    reader.feed(b"data: x")
    assert reader.rest() == b"data: x"
    assert reader.rest() == b""
    assert [event.data for event in reader.feed(b"data: y\n\n")] == [b"y"]


WHOLE_EVENTS = [
    b"data: a\n\n",
    b"data:a\n\n",
    b"event: x\ndata: a\n\n",
    b"event: x\ndata: a\nid: 1\n\n",
    b"event: x\n: c\ndata: a\n\n",
    b"id: data: 1\ndata: a\n\n",
    b": data: a\n\n",
    b"event: x\n\n",
    b"data: a\ndata: b\n\n",
    b"data\n\n",
    b"data: \n\n",
    b"data: a\r\n\r\n",
    b"event: x\r\ndata: a\r\n\r\n",
]


@pytest.mark.parametrize("first", [b"", sse.BOM], ids=["plain", "marked"])
def test_the_data_of_whole_events(first: bytes) -> None:
    for one, other in product(WHOLE_EVENTS, WHOLE_EVENTS):
        events = sse.Reader().feed(first + one + other)
        assert sse.datas(first + one + other) == [event.data for event in events if event.data is not None]


@pytest.mark.parametrize("first", [b"", sse.BOM], ids=["plain", "marked"])
def test_events_that_come_one_a_piece_are_those_that_come_together(first: bytes) -> None:
    for one, other in product(WHOLE_EVENTS, WHOLE_EVENTS):
        reader = sse.Reader()
        assert reader.feed(first + one) + reader.feed(other) == sse.Reader().feed(first + one + other)
        assert not reader.unfinished
