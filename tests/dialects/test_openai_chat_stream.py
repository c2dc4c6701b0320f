"""Streams in OpenAI's shape, as they pass: what is kept back, what is dropped, what counts as content, how they end."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftgate.core.usage import Usage
from ftgate.dialects import sse
from ftgate.dialects.openai_chat import DONE, StreamReader, cost_comment, stream_of
from ftgate.dialects.talk import Meter, NotAnAnswer
from tests.dialects.cutting import cut_at, cuts


def event(raw: str) -> bytes:
    return f"data: {raw}\n\n".encode()


def chunk(delta="{}", finish="null", index=0, **more) -> bytes:
    fields = {"id": '"c1"', "object": '"chat.completion.chunk"', "created": "7", "model": '"up"'}
    fields |= {"choices": f'[{{"index":{index},"delta":{delta},"finish_reason":{finish}}}]'} | more
    return event("{" + ",".join(f'"{name}":{raw}' for name, raw in fields.items() if raw) + "}")


ROLE = chunk('{"role":"assistant","content":""}')
HI, THERE = chunk('{"content":"Hi"}'), chunk('{"content":" there"}')
STOP = chunk(finish='"stop"')
USED = '{"prompt_tokens":10,"completion_tokens":5,"x": [1, 2]}'
USAGE = chunk(choices="[]", usage=USED)
PING = b": keep-alive\n\n"
TEN_FIVE = Usage(input=10, output=5)


class Passed:
    """A stream read in pieces."""

    def __init__(self, pieces, show_usage=False):
        self.meter = Meter()
        self.reader = StreamReader(self.meter, show_usage=show_usage)
        self.pieces = [piece for data in pieces for piece in self.reader.feed(data)]
        self.raw = b"".join(piece.raw for piece in self.pieces)
        self.content = [piece.content for piece in self.pieces]


def passed(*events, show_usage=False):
    return Passed([b"".join(events)], show_usage)


def test_an_ordinary_stream():
    said = passed(PING, ROLE, HI, THERE, STOP, USAGE, DONE)
    assert said.raw == PING + ROLE + HI + THERE + STOP
    assert said.content == [False, False, True, True, True]
    assert said.reader.finished and said.reader.done
    assert said.meter.reported == TEN_FIVE and said.meter.content_seen
    assert said.meter.output() == 3


SHAPES = [
    # name, events, what is passed on, usage, finished
    ("no usage", [HI, STOP], HI + STOP, None, True),
    ("usage alone", [HI, STOP, USAGE], HI + STOP, TEN_FIVE, True),
    ("usage, choices null", [HI, STOP, chunk(choices="null", usage=USED)], HI + STOP, TEN_FIVE, True),
    ("usage, no choices", [HI, STOP, chunk(choices="", usage=USED)], HI + STOP, TEN_FIVE, True),
    (
        "usage null everywhere",
        [chunk('{"content":"Hi"}', usage="null"), STOP],
        chunk('{"content":"Hi"}', usage="null") + STOP,
        None,
        True,
    ),
    ("usage in the last chunk", [HI, chunk(finish='"stop"', usage=USED)], HI + STOP, TEN_FIVE, True),
    (
        "usage in each chunk, the last counts",
        [
            chunk('{"content":"Hi"}', usage='{"prompt_tokens":10,"completion_tokens":1}'),
            chunk(finish='"stop"', usage=USED),
        ],
        HI + STOP,
        TEN_FIVE,
        True,
    ),
    (
        "usage in the choice",
        [
            HI,
            chunk(
                choices='[{"index":0,"delta":{},"finish_reason":"stop","usage":{"prompt_tokens":10,"completion_tokens":5,"cached_tokens":4}}]'
            ),
        ],
        HI
        + chunk(
            choices='[{"index":0,"delta":{},"finish_reason":"stop","usage":{"prompt_tokens":10,"completion_tokens":5,"cached_tokens":4}}]'
        ),
        Usage(input=6, cache_read=4, output=5),
        True,
    ),
    (
        "deepseek's cache",
        [HI, STOP, chunk(choices="[]", usage='{"prompt_tokens":10,"completion_tokens":5,"prompt_cache_hit_tokens":4}')],
        HI + STOP,
        Usage(input=6, cache_read=4, output=5),
        True,
    ),
    ("usage after the end marker", [HI, STOP, DONE, USAGE], HI + STOP, Usage(input=10, output=5), True),
    ("usage without sense", [HI, STOP, chunk(choices="[]", usage="5")], HI + STOP, None, True),
    ("no finish", [HI, THERE], HI + THERE, None, False),
    ("no finish, but a marker", [HI, DONE], HI, None, False),
    (
        "finish empty until the end",
        [chunk('{"content":"Hi"}', '""'), THERE],
        chunk('{"content":"Hi"}', '""') + THERE,
        None,
        False,
    ),
    ("only a finish", [STOP], STOP, None, True),
    ("nothing", [], b"", None, False),
    (
        "no choices at all",
        [chunk(choices="", prompt_filter_results="[]"), HI, STOP],
        chunk(choices="", prompt_filter_results="[]") + HI + STOP,
        None,
        True,
    ),
    (
        "broken frames",
        [event('{"choices":['), HI, event("oops"), event("NaN"), event(""), STOP, event('{"a":"\x01"}')],
        HI + STOP,
        None,
        True,
    ),
    ("no object", [event("[]"), event('"x"'), event("5"), HI, STOP], HI + STOP, None, True),
    ("not utf-8", [b'data: {"choices":[{"delta":{"content":"\xff"}}]}\n\n', HI, STOP], HI + STOP, None, True),
    (
        "crlf",
        [
            HI.replace(b"\n", b"\r\n"),
            STOP.replace(b"\n", b"\r\n"),
            USAGE.replace(b"\n", b"\r\n"),
            DONE.replace(b"\n", b"\r\n"),
        ],
        (HI + STOP).replace(b"\n", b"\r\n"),
        TEN_FIVE,
        True,
    ),
    (
        "json over several lines",
        [b'data: {"choices":\ndata: [{"delta":{"content":"Hi"},\ndata: "finish_reason":"stop"}]}\n\n'],
        b'data: {"choices":\ndata: [{"delta":{"content":"Hi"},\ndata: "finish_reason":"stop"}]}\n\n',
        None,
        True,
    ),
    (
        "two answers, both end",
        [HI, chunk('{"content":"Yo"}', index=1), STOP, chunk(finish='"stop"', index=1)],
        HI + chunk('{"content":"Yo"}', index=1) + STOP + chunk(finish='"stop"', index=1),
        None,
        True,
    ),
    (
        "two answers, one ends",
        [HI, chunk('{"content":"Yo"}', index=1), STOP],
        HI + chunk('{"content":"Yo"}', index=1) + STOP,
        None,
        False,
    ),
    (
        "two answers, one after the other, cut",
        [HI, STOP, chunk('{"content":"Yo"}', index=1)],
        HI + STOP + chunk('{"content":"Yo"}', index=1),
        None,
        False,
    ),
    ("an empty delta after the end", [HI, STOP, chunk()], HI + STOP + chunk(), None, True),
    (
        "content as a list",
        [chunk('{"content":[{"type":"text","text":"x"}]}'), STOP],
        chunk('{"content":[{"type":"text","text":"x"}]}') + STOP,
        None,
        True,
    ),
    (
        "content as a list, with the finish",
        [chunk('{"content":[{"type":"text","text":"x"}]}', '"stop"', usage=USED), chunk()],
        chunk('{"content":[{"type":"text","text":"x"}]}', '"stop"') + chunk(),
        TEN_FIVE,
        True,
    ),
    (
        "a surrogate pair in halves",
        [chunk(r'{"content":"\ud83d"}'), chunk(r'{"content":"\ude00"}'), STOP],
        chunk(r'{"content":"\ud83d"}') + chunk(r'{"content":"\ude00"}') + STOP,
        None,
        True,
    ),
]


def lines(raw: bytes) -> list[bytes]:
    """Where a CRLF is cut in two, its LF goes with the next event, and with that one it may be dropped: a blank line
    more or less is all that it makes."""
    return [line for line in raw.replace(b"\r", b"\n").split(b"\n") if line]


@pytest.mark.parametrize(("name", "events", "raw", "usage", "finished"), SHAPES, ids=[row[0] for row in SHAPES])
def test_shapes_cut_everywhere(name, events, raw, usage, finished):
    data = b"".join(events)
    for pieces in cuts(data):
        said = Passed(pieces)
        assert said.raw == raw or (b"\r" in raw and len(pieces) > 1 and lines(said.raw) == lines(raw)), pieces
        assert said.meter.reported == usage
        assert said.reader.finished is finished


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [PING, ROLE, HI, THERE, STOP, USAGE, DONE, chunk('{"content":"好"}', usage=USED), event("oops")]
        ),
        max_size=8,
    ),
    st.lists(st.integers(0, 5000), max_size=6),
    st.booleans(),
)
def test_cut_at_random(events, points, show_usage):
    data = b"".join(events)
    whole, cut = Passed([data], show_usage), Passed(cut_at(data, points), show_usage)
    assert whole.pieces == cut.pieces
    assert (whole.reader.finished, whole.reader.done, whole.meter.reported) == (
        cut.reader.finished,
        cut.reader.done,
        cut.meter.reported,
    )
    assert whole.meter.output() == cut.meter.output()
    assert b"[DONE]" not in whole.raw
    if not show_usage:
        assert b"prompt_tokens" not in whole.raw


@pytest.mark.parametrize(
    ("delta", "content", "text"),
    [
        ("{}", False, ""),
        ("null", False, ""),
        ('{"role":"assistant"}', False, ""),
        ('{"role":"assistant","content":""}', False, ""),
        ('{"role":"assistant","content":null}', False, ""),
        ('{"content":"x"}', True, "x"),
        ('{"content":" "}', True, " "),
        ('{"reasoning_content":"x"}', True, "x"),
        ('{"reasoning":"x"}', True, "x"),
        ('{"refusal":"x"}', True, "x"),
        ('{"tool_calls":[{"index":0,"id":"t","type":"function","function":{"name":"f","arguments":""}}]}', True, "f"),
        ('{"tool_calls":[{"index":0,"function":{"arguments":"{\\"a\\""}}]}', True, '{"a"'),
        ('{"tool_calls":[]}', False, ""),
        ('{"function_call":{"name":"f","arguments":"{}"}}', True, "f{}"),
        ('{"audio":{"data":"AAAA"}}', True, ""),
        ('{"audio":null}', False, ""),
    ],
)
def test_what_is_content(delta, content, text):
    said = passed(chunk(delta))
    assert said.content == [content]
    assert said.meter.content_seen is content
    assert "".join(said.meter._parts) == text
    assert not said.reader.finished


def test_a_finish_is_content_to_the_client_and_none_to_the_meter():
    said = passed(
        chunk(choices='[{"index":0,"delta":{},"finish_reason":"stop"},{"index":1,"delta":{},"finish_reason":"stop"}]')
    )
    assert said.content == [True]
    assert not said.meter.content_seen and said.meter.output() == 0


def test_usage_taken_out_of_a_mixed_chunk_leaves_every_other_byte():
    rest = '"big":12345678901234567890123, "f":1.50e+3,"choices":[ {"delta": {"content":"h\\u00e9\\/"}} ]}'
    odd = '{"id": "c1" ,"usage":' + USED + "," + rest
    said = passed(event(odd))
    assert said.raw == event(
        '{"id":"c1","big":12345678901234567890123,"f":1.50e+3,"choices":[ {"delta": {"content":"h\\u00e9\\/"}} ]}'
    )
    assert passed(event(odd), show_usage=True).raw == event(odd)


def test_a_comment_beside_data_is_kept():
    assert passed(b": ping\n" + HI).raw == b": ping\n" + HI


def test_broken_frames_are_counted():
    assert passed(event("oops"), HI, event("{")).reader.broken_frames == 2


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (event('{"error":{"message":"boom","type":"server_error","code":"c"}}'), "boom server_error c"),
        (event('{"error":"boom"}'), "boom"),
        (event('{"error":{"message":"boom"},"choices":[{"delta":{"content":""},"finish_reason":"error"}]}'), "boom"),
        (event('{"error":{"message":"boom"},"choices":[{"index":"a"}]}'), "boom"),
        (event('{"type":"error","error":{"message":"boom"}}'), "boom"),
        (b'event: error\ndata: {"message":"boom"}\n\n', "boom"),
        (b'event: error\r\ndata: {"message":"boom"}\r\n\r\n', "boom"),
    ],
)
def test_errors_inside_the_stream(data, words):
    said = passed(HI, data)
    assert [piece.complaint and piece.complaint.words for piece in said.pieces] == [None, words]
    assert said.pieces[1].raw == b"" and not said.pieces[1].content
    assert not said.reader.finished


def test_an_empty_finish_is_none():
    """Some send "" with every chunk: a call may still go elsewhere after a role alone."""
    assert passed(chunk('{"role":"assistant"}', '""')).content == [False]


def test_error_null_is_none():
    assert passed(chunk('{"content":"x"}', error="null")).pieces[0].complaint is None


def test_nothing_is_read_past_the_marker():
    said = passed(HI, STOP, DONE, THERE, event('{"error":"late"}'))
    assert said.raw == HI + STOP
    assert said.meter.output() == 1


def test_an_endless_event():
    reader = StreamReader(Meter(), show_usage=False)
    with pytest.raises(sse.EventTooLong):
        for _ in range(100):
            reader.feed(b"data: " + b"x" * 65_536)


def test_usage_is_measured_only_where_it_is_needed():
    """A bad number after a good one: neither is believed, the meter stands in."""
    said = passed(
        HI, chunk(finish='"stop"', usage=USED), chunk(choices="[]", usage='{"prompt_tokens":-1,"completion_tokens":5}')
    )
    assert (said.meter.reported, said.meter.malformed) == (None, True)
    said = passed(HI, chunk(usage="5"), STOP, USAGE)
    assert (said.meter.reported, said.meter.malformed) == (TEN_FIVE, False)


@pytest.mark.parametrize("depth", [*range(100, 3000, 100), 100_000])
@pytest.mark.parametrize(
    "where",
    [
        '{"choices":[%s]}',
        '{"choices":[{"index":"0","delta":%s}]}',
        '{"usage":%s}',
        '{"choices":"","x":%s}',
        '{"error":%s}',
    ],
)
def test_any_depth(depth, where):
    passed(event(where % ("[" * depth + "]" * depth)), show_usage=True).reader.tail(
        TEN_FIVE, exact=False, cost=1, balance=None
    )


# The tail

COST = 1_234_000_000


def tail(*events, show_usage=True, usage=TEN_FIVE, exact=True, balance=None):
    return passed(*events, show_usage=show_usage).reader.tail(usage, exact=exact, cost=COST, balance=balance)


COMMENT = b": x-findtoken-cost=0.001234\n\n"


def test_tail_without_usage():
    assert tail(HI, STOP, USAGE, show_usage=False) == COMMENT + DONE
    assert (
        tail(HI, STOP, show_usage=False, balance=9_500_000_000_000)
        == b": x-findtoken-cost=0.001234 balance=9.5\n\n" + DONE
    )


def test_tail_shows_the_upstreams_own_usage_with_the_cost():
    assert tail(HI, STOP, USAGE) == USAGE.replace(b'"x": [1, 2]}', b'"x":[1, 2],"cost":0.001234}') + COMMENT + DONE


OURS = (
    b'data: {"id":"c1","object":"chat.completion.chunk","created":7,"model":"up","choices":[],'
    b'"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":0},"cost":0.001234}}\n\n'
)


@pytest.mark.parametrize(
    ("events", "exact"),
    [
        ([HI, STOP], False),  # the upstream said nothing
        ([HI, STOP, USAGE], False),  # it said something that was not believed
        ([HI, chunk(finish='"stop"', usage=USED)], True),  # it said it in a chunk with content
        (
            [
                HI,
                chunk(choices="[]", usage='{"prompt_tokens":99,"completion_tokens":99}'),
                chunk(finish='"stop"', usage=USED),
            ],
            True,
        ),
        ([HI, chunk(choices="[]", usage="5"), chunk(finish='"stop"', usage=USED)], True),
    ],
)
def test_tail_shows_what_is_charged(events, exact):
    assert tail(*events, exact=exact) == OURS + COMMENT + DONE


def test_tail_of_a_stream_that_had_no_head():
    shown = tail(event('{"choices":[{"delta":{"content":"x"},"finish_reason":"stop"}]}'), exact=False)
    first = json.loads(shown.split(b"\n\n")[0][6:])
    assert first["id"] == "" and first["choices"] == [] and first["usage"]["cost"] == 0.001234


def test_tail_is_whole_events():
    for balance in (None, 0, 1):
        shown = sse.Reader().feed(tail(HI, STOP, USAGE, balance=balance))
        assert [found.data is None for found in shown] == [False, True, False]
        assert shown[-1].data == b"[DONE]"


@pytest.mark.parametrize(
    ("cost", "balance", "line"),
    [
        (0, None, b": x-findtoken-cost=0\n\n"),
        (1, 0, b": x-findtoken-cost=0.000000000001 balance=0\n\n"),
        (10**12, 10**13, b": x-findtoken-cost=1 balance=10\n\n"),
    ],
)
def test_cost_comment(cost, balance, line):
    assert cost_comment(cost, balance) == line


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.binary(max_size=30)
        | st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=2)
                | st.dictionaries(
                    st.sampled_from(
                        [
                            "id",
                            "choices",
                            "message",
                            "delta",
                            "content",
                            "usage",
                            "error",
                            "index",
                            "finish_reason",
                            "tool_calls",
                            "function",
                        ]
                    ),
                    inner,
                    max_size=4,
                )
            ),
        ).map(lambda value: event(json.dumps(value))),
        max_size=4,
    ),
    st.booleans(),
)
def test_any_stream_is_read_and_closed(parts, show_usage):
    said = Passed(parts, show_usage)
    shown = said.reader.tail(TEN_FIVE, exact=said.meter.reported is not None, cost=1, balance=2)
    assert shown.endswith(DONE)


def test_a_last_event_without_its_blank_line_is_whole():
    meter = Meter()
    reader = StreamReader(meter, show_usage=False)
    assert [p.raw for p in reader.feed(HI + STOP[:-1])] == [HI]
    assert not reader.finished
    assert [p.content for p in reader.end()] == [True]
    assert reader.finished and reader.end() == []


def test_a_whole_answer_as_a_stream():
    whole = {
        "id": "c1", "object": "chat.completion", "created": 7, "model": "up",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1},
    }  # fmt: skip
    meter = Meter()
    reader = StreamReader(meter, show_usage=False)
    pieces = reader.feed(stream_of(json.dumps(whole).encode()))
    assert reader.finished and reader.done and meter.reported == Usage(input=3, output=1)
    chunk = json.loads(pieces[0].raw.removeprefix(b"data: "))
    assert chunk["object"] == "chat.completion.chunk" and "usage" not in chunk
    assert (
        chunk["choices"][0]["delta"] == {"role": "assistant", "content": "Hi"}
        and chunk["choices"][0]["finish_reason"] == "stop"
    )
    for body in (b"{}", b"<html>", b'{"error":{"message":"x"}}'):
        with pytest.raises(NotAnAnswer):
            stream_of(body)
