"""Streams in OpenAI's shape, as they pass: what is kept back, what is dropped, what counts as content, how they end."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftgate.core.money import format_usd
from ftgate.core.usage import Usage
from ftgate.dialects import sse
from ftgate.dialects.openai_chat import DONE, StreamReader, stream_of
from ftgate.dialects.states import BEGUN, State
from ftgate.dialects.talk import MAX_ANSWER_BYTES, Meter, NotAnAnswer
from ftgate.dialects.watching import MAX_PENDING_BYTES
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
        self.raw = b"".join([self.reader.feed(data) for data in pieces])

    @property
    def state(self):
        return self.reader.state

    @property
    def words(self):
        return self.reader.complaint and self.reader.complaint.words


def passed(*events, show_usage=False):
    return Passed([b"".join(events)], show_usage)


def test_an_ordinary_stream():
    said = Passed([PING, ROLE, HI, THERE, STOP, USAGE, DONE])
    assert said.raw == ROLE + HI + THERE + STOP
    assert said.state is State.done
    assert said.meter.reported == TEN_FIVE and said.meter.content_seen
    assert said.meter.output() == 3


def test_what_comes_before_content_is_kept_back_and_goes_with_it():
    reader = StreamReader(Meter(), show_usage=False)
    assert reader.feed(PING + ROLE) == b"" and reader.state is State.pending
    assert reader.feed(chunk("{}")) == b"" and reader.state is State.pending
    assert reader.feed(HI) == ROLE + chunk("{}") + HI and reader.state is State.content


def test_nothing_that_is_kept_back_is_dropped():
    """Past its bound it goes to the client, and with it the chance of another attempt."""
    reader = StreamReader(Meter(), show_usage=False)
    one = chunk("{}", prompt_filter_results='"' + "x" * 5000 + '"')
    many = MAX_PENDING_BYTES // len(one)
    assert [reader.feed(one) for _ in range(many)] == [b""] * many
    assert reader.feed(one) == one * (many + 1) and reader.state is State.content
    assert not reader.meter.content_seen


PENDING, CONTENT, FINISHED, DONE_, FAILED, BROKEN = (
    State.pending, State.content, State.finished, State.done, State.failed, State.broken
)  # fmt: skip
ZEROS = '{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}'


def in_one_block(*events):
    """As a server writes them that ends lines where it should end events."""
    return b"\n".join(one.removesuffix(b"\n\n") for one in events) + b"\n\n"


def _over_two_lines(one):
    half = one.index(b'"choices"')
    return one[:half] + b"\ndata: " + one[half:]


USED_OVER_TWO_LINES = _over_two_lines(chunk('{"content":"Hi"}', usage=USED))
SHAPES = [
    # name, events, what is passed on, usage, the state they lead to
    ("no usage", [HI, STOP], HI + STOP, None, FINISHED),
    ("usage alone", [HI, STOP, USAGE], HI + STOP, TEN_FIVE, FINISHED),
    ("usage, choices null", [HI, STOP, chunk(choices="null", usage=USED)], HI + STOP, TEN_FIVE, FINISHED),
    ("usage, no choices", [HI, STOP, chunk(choices="", usage=USED)], HI + STOP, TEN_FIVE, FINISHED),
    (
        "usage null everywhere",
        [chunk('{"content":"Hi"}', usage="null"), STOP],
        chunk('{"content":"Hi"}', usage="null") + STOP,
        None,
        FINISHED,
    ),
    ("usage in the last chunk", [HI, chunk(finish='"stop"', usage=USED)], HI + STOP, TEN_FIVE, FINISHED),
    (
        "usage in each chunk, the last counts",
        [
            chunk('{"content":"Hi"}', usage='{"prompt_tokens":10,"completion_tokens":1}'),
            chunk(finish='"stop"', usage=USED),
        ],
        HI + STOP,
        TEN_FIVE,
        FINISHED,
    ),
    (
        "usage in the choice",
        [
            HI,
            chunk(
                choices='[{"index":0,"delta":{},"finish_reason":"stop","usage":{"prompt_tokens":10,"completion_tokens":5,"cached_tokens":4}}]'
            ),
        ],
        HI + STOP,
        Usage(input=6, cache_read=4, output=5),
        FINISHED,
    ),
    (
        "deepseek's cache",
        [HI, STOP, chunk(choices="[]", usage='{"prompt_tokens":10,"completion_tokens":5,"prompt_cache_hit_tokens":4}')],
        HI + STOP,
        Usage(input=6, cache_read=4, output=5),
        FINISHED,
    ),
    ("usage after the end marker", [HI, STOP, DONE, USAGE], HI + STOP, Usage(input=10, output=5), DONE_),
    ("usage without sense", [HI, STOP, chunk(choices="[]", usage="5")], HI + STOP, None, FINISHED),
    ("no finish", [HI, THERE], HI + THERE, None, CONTENT),
    ("no finish, but a marker", [HI, DONE], HI, None, BROKEN),
    (
        "finish empty until the end",
        [chunk('{"content":"Hi"}', '""'), THERE],
        chunk('{"content":"Hi"}', '""') + THERE,
        None,
        CONTENT,
    ),
    ("only a finish", [STOP], STOP, None, FINISHED),
    ("nothing", [], b"", None, PENDING),
    (
        "no choices at all",
        [chunk(choices="", prompt_filter_results="[]"), HI, STOP],
        chunk(choices="", prompt_filter_results="[]") + HI + STOP,
        None,
        FINISHED,
    ),
    (
        "no JSON, and nothing that looks like it",
        [event("oops"), HI, event("NaN"), event(""), STOP],
        HI + STOP,
        None,
        FINISHED,
    ),
    ("no object", [event("[]"), event('"x"'), event("5"), HI, STOP], HI + STOP, None, FINISHED),
    ("an event that cannot be read", [HI, event('{"choices":['), THERE, STOP], HI, None, BROKEN),
    ("one that cannot be read before content", [ROLE, event('{"choices":['), HI], b"", None, FAILED),
    ("a bare control character", [HI, event('{"a":"\x01"}'), THERE], HI, None, BROKEN),
    (
        "not utf-8: a reader takes it for U+FFFD",
        [b'data: {"choices":[{"delta":{"content":"\xff"}}]}\n\n', STOP],
        b'data: {"choices":[{"delta":{"content":"\xff"}}]}\n\n' + STOP,
        None,
        FINISHED,
    ),
    (
        "NaN, which some write",
        [chunk('{"content":"x"}', logprobs="NaN"), STOP],
        chunk('{"content":"x"}', logprobs="NaN") + STOP,
        None,
        FINISHED,
    ),
    ("several chunks in one block", [in_one_block(HI, THERE, STOP), DONE], HI + THERE + STOP, None, DONE_),
    ("chunks and the marker in one block", [in_one_block(HI, STOP, USAGE, DONE)], HI + STOP, TEN_FIVE, DONE_),
    ("several in one block, and one that is half", [HI, b"data: {\n" + THERE], HI, None, BROKEN),
    ("a chunk without its field name", [HI, THERE.removeprefix(b"data: "), STOP], HI + THERE + STOP, None, FINISHED),
    (
        "comments and fields alone are not passed",
        [PING, HI, b"retry: 3000\n\n", b"id: 7\n\n", b":\n\n", STOP],
        HI + STOP,
        None,
        FINISHED,
    ),
    ("ids beside data are", [b"id: 1\n" + HI, b"id: 2\n" + STOP], b"id: 1\n" + HI + b"id: 2\n" + STOP, None, FINISHED),
    (
        "usage twice, the second empty",
        [HI, STOP, USAGE, chunk(choices="[]", usage="{}")],
        HI + STOP,
        TEN_FIVE,
        FINISHED,
    ),
    (
        "usage twice, the second zero",
        [HI, STOP, USAGE, chunk(choices="[]", usage=ZEROS)],
        HI + STOP,
        TEN_FIVE,
        FINISHED,
    ),
    (
        "usage twice, the second null",
        [HI, STOP, USAGE, chunk(choices="[]", usage="null")],
        HI + STOP + chunk(choices="[]", usage="null"),
        TEN_FIVE,
        FINISHED,
    ),
    ("zero usage first", [chunk('{"content":"Hi"}', usage=ZEROS), STOP, USAGE], HI + STOP, TEN_FIVE, FINISHED),
    (
        "usage by halves",
        [
            chunk('{"content":"Hi"}', usage='{"prompt_tokens":10,"completion_tokens":0}'),
            STOP,
            chunk(choices="[]", usage='{"prompt_tokens":0,"completion_tokens":5}'),
        ],
        HI + STOP,
        TEN_FIVE,
        FINISHED,
    ),
    (
        "usage in a chunk over two lines",
        [USED_OVER_TWO_LINES, STOP],
        chunk('{"content":"Hi"}') + STOP,
        TEN_FIVE,
        FINISHED,
    ),
    (
        "finish null as a text",
        [chunk('{"content":"Hi"}', '"null"')],
        chunk('{"content":"Hi"}', '"null"'),
        None,
        CONTENT,
    ),
    (
        "finish None as a text",
        [chunk('{"content":"Hi"}', '"None"')],
        chunk('{"content":"Hi"}', '"None"'),
        None,
        CONTENT,
    ),
    ("finish error", [HI, chunk(finish='"error"')], HI, None, BROKEN),
    ("finish of a server without room", [HI, chunk(finish='"insufficient_system_resource"')], HI, None, BROKEN),
    ("finish of a network", [HI, chunk(finish='"network_error"', message="{}")], HI, None, BROKEN),
    ("finish that was called off", [ROLE, chunk(finish='"abort"')], b"", None, FAILED),
    ("finish error before content", [ROLE, chunk(finish='"error"')], b"", None, FAILED),
    ("content behind the finish", [HI, STOP, THERE], HI + STOP + THERE, None, FINISHED),
    ("an error behind the finish", [HI, STOP, event('{"error":"late"}')], HI + STOP, None, BROKEN),
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
        DONE_,
    ),
    (
        "json over several lines",
        [b'data: {"choices":\ndata: [{"delta":{"content":"Hi"},\ndata: "finish_reason":"stop"}]}\n\n'],
        b'data: {"choices":\ndata: [{"delta":{"content":"Hi"},\ndata: "finish_reason":"stop"}]}\n\n',
        None,
        FINISHED,
    ),
    (
        "two answers, both end",
        [HI, chunk('{"content":"Yo"}', index=1), STOP, chunk(finish='"stop"', index=1)],
        HI + chunk('{"content":"Yo"}', index=1) + STOP + chunk(finish='"stop"', index=1),
        None,
        FINISHED,
    ),
    (
        "two answers, one ends",
        [HI, chunk('{"content":"Yo"}', index=1), STOP],
        HI + chunk('{"content":"Yo"}', index=1) + STOP,
        None,
        CONTENT,
    ),
    (
        "two answers, one after the other, cut",
        [HI, STOP, chunk('{"content":"Yo"}', index=1)],
        HI + STOP + chunk('{"content":"Yo"}', index=1),
        None,
        CONTENT,
    ),
    ("an empty delta after the end", [HI, STOP, chunk()], HI + STOP + chunk(), None, FINISHED),
    (
        "content as a list",
        [chunk('{"content":[{"type":"text","text":"x"}]}'), STOP],
        chunk('{"content":[{"type":"text","text":"x"}]}') + STOP,
        None,
        FINISHED,
    ),
    (
        "content as a list, with the finish",
        [chunk('{"content":[{"type":"text","text":"x"}]}', '"stop"', usage=USED), chunk()],
        chunk('{"content":[{"type":"text","text":"x"}]}', '"stop"') + chunk(),
        TEN_FIVE,
        FINISHED,
    ),
    (
        "a surrogate pair in halves",
        [chunk(r'{"content":"\ud83d"}'), chunk(r'{"content":"\ude00"}'), STOP],
        chunk(r'{"content":"\ud83d"}') + chunk(r'{"content":"\ude00"}') + STOP,
        None,
        FINISHED,
    ),
]


@pytest.mark.parametrize(("name", "events", "raw", "usage", "state"), SHAPES, ids=[row[0] for row in SHAPES])
def test_shapes_cut_everywhere(name, events, raw, usage, state):
    ways = list(cuts(b"".join(events)))
    assert len(ways) > 2
    for pieces in ways:
        said = Passed(pieces)
        assert said.raw == raw, pieces
        assert said.meter.reported == usage
        assert said.state is state


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
    assert (whole.raw, whole.state, whole.meter.reported) == (cut.raw, cut.state, cut.meter.reported)
    assert whole.meter.output() == cut.meter.output()
    assert b"[DONE]" not in whole.raw and b"prompt_tokens" not in whole.raw


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
        ('{"audio":{"id":"a","transcript":"Hi"}}', True, "Hi"),
        ('{"audio":null}', False, ""),
        ('{"content":"","images":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}', True, ""),
        ('{"images":[]}', False, ""),
        ('{"content":[{"type":"thinking","thinking":[{"type":"text","text":" hm"}]}]}', True, " hm"),
        ('{"content":[]}', False, ""),
        ('{"content":[[],{},""]}', False, ""),
        ('{"annotations":[{"type":"url_citation","url_citation":{"url":"http://x","title":"X"}}]}', True, ""),
        ('{"reasoning_details":[{"type":"reasoning.encrypted","data":"QUJD"}]}', True, ""),
        ('{"reasoning":"x","reasoning_details":[{"type":"reasoning.text","text":"x","signature":"QUJD"}]}', True, "x"),
        ('{"reasoning_content":"x","reasoning":"x"}', True, "x"),
        ('{"role":"assistant","name":"n","index":0,"id":"i","type":"t"}', False, ""),
        ('{"score":1.5,"flagged":true,"nested":{"n":1,"b":[false]}}', False, ""),
        ('{"a_field_of_tomorrow":{"deep":[{"er":"x"}]}}', True, "x"),
        ('{"tool_calls":[{"function":{"name":"f","arguments":{"a":1}}}]}', True, 'f{"a":1}'),
    ],
)
def test_what_is_content(delta, content, text):
    said = passed(chunk(delta))
    assert said.state is (State.content if content else State.pending)
    assert said.meter.content_seen is content
    assert "".join(said.meter._parts) == text


def test_a_finish_begins_the_answer_and_is_no_content():
    said = passed(
        chunk(choices='[{"index":0,"delta":{},"finish_reason":"stop"},{"index":1,"delta":{},"finish_reason":"stop"}]')
    )
    assert said.state is State.finished and said.raw
    assert not said.meter.content_seen and said.meter.output() == 0


PICTURE = '{"type":"image_url","image_url":{"url":"data:image/png;base64,' + "iVBORw0K" * 20_000 + '"}}'


@pytest.mark.parametrize(
    ("delta", "least", "most"),
    [
        ('{"images":[' + PICTURE + "]}", 800, 3200),
        ('{"content":[{"type":"text","text":"See:"},' + PICTURE + "]}", 800, 3200),
        ('{"images":[' + PICTURE + "," + PICTURE + "]}", 1600, 6400),
        ('{"audio":{"data":"' + "AAAA" * 16_000 + '"}}', 10, 40),  # a second of PCM
        ('{"content":[{"type":"thinking","thinking":[{"type":"text","text":" greeting"}],"signature":"'
         + "QUJD" * 1000 + '"}]}', 1, 4),
    ],
)  # fmt: skip
def test_media_is_measured_as_media(delta, least, most):
    assert least <= passed(chunk(delta)).meter.output() <= most


def test_parts_are_measured_like_text():
    text, parts = Meter(), Meter()
    for word in ["a", " greeting", " for", " you"] * 10:
        StreamReader(text, show_usage=False).feed(chunk(json.dumps({"content": word})))
        part = [{"type": "thinking", "thinking": [{"type": "text", "text": word}]}]
        StreamReader(parts, show_usage=False).feed(chunk(json.dumps({"content": part})))
    assert text.output() == parts.output()


def test_usage_taken_out_of_a_mixed_chunk_leaves_every_other_byte():
    rest = '"big":12345678901234567890123, "f":1.50e+3,"choices":[ {"delta": {"content":"h\\u00e9\\/"}} ]}'
    odd = '{"id": "c1" ,"usage":' + USED + "," + rest
    for show_usage in (False, True):
        assert passed(event(odd), show_usage=show_usage).raw == event(
            '{"id":"c1","big":12345678901234567890123,"f":1.50e+3,"choices":[ {"delta": {"content":"h\\u00e9\\/"}} ]}'
        )


@pytest.mark.parametrize("place", ["chunk", "choice"])
def test_halves_of_a_pair_keep_their_bytes_when_usage_is_taken_out(place):
    """Joined by the client, they are the emoji."""
    halves = []
    for half in (r"\ud83d", r"\ude00"):
        if place == "chunk":
            one = chunk('{"content":"' + half + '"}', usage=USED)
        else:
            one = chunk(choices='[{"index":0,"delta":{"content":"' + half + '"},"usage":' + USED + "}]")
        said = passed(one)
        assert b"usage" not in said.raw and said.meter.reported == TEN_FIVE
        halves.append(json.loads(said.raw.removeprefix(b"data: "))["choices"][0]["delta"]["content"])
    assert "".join(halves).encode("utf-16", "surrogatepass").decode("utf-16") == "\U0001f600"


def test_usage_beside_what_only_some_readers_take():
    said = passed(chunk('{"content":"x"}', logprobs="NaN", usage=USED))
    assert b"usage" not in said.raw and b"NaN" in said.raw and said.meter.reported == TEN_FIVE


def test_a_comment_beside_data_is_kept():
    assert passed(b": ping\n" + HI).raw == b": ping\n" + HI


def test_what_was_no_json_is_counted():
    assert passed(event("oops"), HI, event(""), event("ping")).meter.unread == 2


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
        (b"event: error\ndata: boom\n\n", "boom"),
        (event('{"object":"error","message":"boom","type":"BadRequestError","code":400}'), "boom BadRequestError 400"),
        (event('[{"error":{"code":400,"message":"boom","status":"INVALID_ARGUMENT"}}]'), "boom 400"),
        (event('{"code":"InvalidParameter","message":"boom","request_id":"r"}'), "boom InvalidParameter"),
        (event('{"base_resp":{"status_code":1027,"status_msg":"boom"}}'), "boom 1027"),
        (chunk(choices='[{"index":0,"delta":{},"finish_reason":"error","error":{"code":502,"message":"boom"}}]'),
         "boom 502"),
        (b'{"error":{"message":"boom"}}\n\n', "boom"),  # written bare into the stream
    ],
)  # fmt: skip
def test_errors_inside_the_stream(data, words):
    said = passed(HI, data, THERE)
    assert (said.state, said.words, said.raw) == (State.broken, words, HI)
    said = passed(ROLE, data, HI)
    assert (said.state, said.words, said.raw) == (State.failed, words, b"")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (event('{"error":{"message":"m","code":400}}'), 400),
        (event('{"error":{"message":"m","code":"429"}}'), 429),
        (event('{"error":{"message":"m","status":503,"code":"x"}}'), 503),
        (event('{"error":{"message":"m","type":"invalid_request_error","code":null}}'), 400),
        (event('{"error":{"message":"m","type":"overloaded_error"}}'), 529),
        (event('{"error":{"message":"m","status":"RESOURCE_EXHAUSTED"}}'), 429),
        (event('{"object":"error","message":"m","type":"BadRequestError","code":400}'), 400),
        (event('{"base_resp":{"status_code":1002,"status_msg":"m"}}'), 429),
        (event('{"error":{"message":"m","code":1113}}'), None),
        (event('{"error":"m"}'), None),
    ],
)
def test_an_error_counts_as_the_status_that_it_names(data, status):
    assert passed(data).reader.complaint.status == status


def test_an_empty_finish_is_none():
    """Some send "" with every chunk: a call may still go elsewhere after a role alone."""
    assert passed(chunk('{"role":"assistant"}', '""')).state is State.pending


@pytest.mark.parametrize("error", ["null", "{}", '""', "[]", '{"message":"","code":null}', '{"type":"none"}', "false"])
def test_an_error_without_message_and_code_is_none(error):
    said = passed(chunk('{"content":"x"}', error=error), STOP)
    assert said.state is State.finished and said.reader.complaint is None


def test_nothing_is_read_past_the_marker():
    said = passed(HI, STOP, DONE, THERE, event('{"error":"late"}'))
    assert said.raw == HI + STOP and said.state is State.done
    assert said.meter.output() == 1


@pytest.mark.parametrize("begun", [False, True])
def test_an_endless_event(begun):
    reader = StreamReader(Meter(), show_usage=False)
    assert bool(reader.feed(HI if begun else ROLE)) is begun
    piece = b"data: " + b"x" * (MAX_ANSWER_BYTES // 8)
    for _ in range(9):
        assert reader.feed(piece) == b""
    assert reader.state is (State.broken if begun else State.failed)
    assert "bytes" in reader.complaint.message


def test_a_large_picture_is_no_endless_event():
    """Whole answers may be as large, and an upstream may send the same one either way."""
    url = "data:image/png;base64," + "A" * (MAX_ANSWER_BYTES // 2)
    large = chunk(json.dumps({"images": [{"type": "image_url", "image_url": {"url": url}}]}))
    assert passed(large).raw == large


def test_usage_is_measured_only_where_it_is_needed():
    """A bad number after a good one: neither is believed, the meter stands in."""
    said = passed(
        HI, chunk(finish='"stop"', usage=USED), chunk(choices="[]", usage='{"prompt_tokens":-1,"completion_tokens":5}')
    )
    assert (said.meter.reported, said.meter.malformed) == (None, True)
    said = passed(HI, chunk(usage="5"), STOP, USAGE)
    assert (said.meter.reported, said.meter.malformed) == (TEN_FIVE, False)
    said = passed(HI, chunk(usage="5"), STOP, chunk(choices="[]", usage=ZEROS))
    assert (said.meter.reported, said.meter.malformed) == (None, True)


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
    reader = passed(event(where % ("[" * depth + "]" * depth)), show_usage=True).reader
    assert reader.tail(TEN_FIVE, exact=False, cost=1, note="n").endswith(b"\n\n")


# The tail

COST = 1_234_000_000


def tail(*events, show_usage=True, usage=TEN_FIVE, exact=True, balance=None):
    note = "x-findtoken-cost=0.001234" + ("" if balance is None else f" balance={format_usd(balance)}")
    return passed(*events, show_usage=show_usage).reader.tail(usage, exact=exact, cost=COST, note=note)


COMMENT = b": x-findtoken-cost=0.001234\n"
"""In the end marker's own block: a client that takes a block of comments for an event finds none."""


def test_tail_without_usage():
    assert tail(HI, STOP, USAGE, show_usage=False) == COMMENT + DONE
    assert (
        tail(HI, STOP, show_usage=False, balance=9_500_000_000_000)
        == b": x-findtoken-cost=0.001234 balance=9.5\n" + DONE
    )


OTHER = '{"prompt_tokens":99,"completion_tokens":99}'
SHOWN = USAGE.replace(b'"x": [1, 2]}', b'"x":[1, 2],"cost":0.001234}')


@pytest.mark.parametrize(
    "events",
    [
        [HI, STOP, USAGE],
        [HI, chunk(finish='"stop"', usage=USED)],
        [HI, chunk(choices='[{"index":0,"delta":{},"finish_reason":"stop","usage":' + USED + "}]")],
        [HI, chunk(choices="[]", usage=OTHER), chunk(finish='"stop"', usage=USED)],
        [chunk('{"content":"Hi"}', usage=OTHER), chunk(finish='"stop"', usage=USED)],
        [HI, STOP, USAGE, chunk(choices="[]", usage="{}")],
        [HI, STOP, USAGE, chunk(choices="[]", usage=ZEROS)],
        [HI, STOP, DONE, USAGE],
        [HI, chunk(choices="[]", usage="5"), chunk(finish='"stop"', usage=USED)],
    ],
)  # fmt: skip
def test_usage_is_shown_once_as_the_upstream_told_it(events):
    """Wherever it stood, and with its cost."""
    assert b"prompt_tokens" not in passed(*events, show_usage=True).raw
    assert tail(*events) == SHOWN + COMMENT + DONE


OURS = (
    b'data: {"id":"c1","object":"chat.completion.chunk","created":7,"model":"up","choices":[],'
    b'"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":0},"cost":0.001234}}\n\n'
)


@pytest.mark.parametrize(
    ("events", "exact"),
    [
        ([HI, STOP], False),  # the upstream said nothing
        ([HI, STOP, USAGE], False),  # it said something that was not believed
        ([HI, chunk(finish='"stop"', usage=USED)], False),
        # told by halves: what is charged is in neither of them
        ([chunk('{"content":"Hi"}', usage='{"prompt_tokens":10,"completion_tokens":0}'), STOP,
          chunk(choices="[]", usage='{"prompt_tokens":0,"completion_tokens":5}')], True),
    ],
)  # fmt: skip
def test_tail_shows_what_is_charged(events, exact):
    assert tail(*events, exact=exact) == OURS + COMMENT + DONE


def test_tail_of_a_stream_that_had_no_head():
    shown = tail(event('{"choices":[{"delta":{"content":"x"},"finish_reason":"stop"}]}'), exact=False)
    first = json.loads(shown.split(b"\n\n")[0][6:])
    assert first["id"] == "" and first["choices"] == [] and first["usage"]["cost"] == 0.001234


def test_tail_is_whole_events():
    for balance in (None, 0, 1):
        shown = sse.Reader().feed(tail(HI, STOP, USAGE, balance=balance))
        assert [found.data is None for found in shown] == [False, False]
        assert shown[-1].data == b"[DONE]"


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
    assert (said.state in BEGUN) or not said.raw
    shown = said.reader.tail(TEN_FIVE, exact=said.meter.reported is not None, cost=1, note="n")
    assert shown.endswith(b": n\n" + DONE)


def test_a_last_event_without_its_blank_line_is_whole():
    reader = StreamReader(Meter(), show_usage=False)
    assert reader.feed(HI + STOP[:-1]) == HI and reader.state is State.content
    assert reader.end() == STOP and reader.state is State.ended
    assert reader.end() == b"" and reader.state is State.ended


@pytest.mark.parametrize(
    ("events", "state"),
    [([], FAILED), ([ROLE], FAILED), ([HI], BROKEN), ([HI, STOP], State.ended), ([HI, STOP, DONE], DONE_),
     ([HI, STOP[:40]], BROKEN), ([ROLE, HI[:40]], FAILED)],
)  # fmt: skip
def test_the_clean_end_of_the_body(events, state):
    reader = StreamReader(Meter(), show_usage=False)
    reader.feed(b"".join(events))
    reader.end()
    assert reader.state is state


# Whole answers as streams

WHOLE = {
    "id": "c1", "object": "chat.completion", "created": 7, "model": "up",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1},
}  # fmt: skip


@pytest.mark.parametrize("indent", [None, 2, "\t"])
def test_a_whole_answer_as_a_stream(indent):
    meter = Meter()
    reader = StreamReader(meter, show_usage=False)
    raw = reader.feed(stream_of(json.dumps(WHOLE, indent=indent).encode()))
    assert reader.state is State.done and meter.reported == Usage(input=3, output=1)
    assert raw.startswith(b"data: {") and raw.count(b"\n") == 2, "one event, one data line"
    said = json.loads(raw.removeprefix(b"data: "))
    assert said["object"] == "chat.completion.chunk" and "usage" not in said
    assert said["choices"] == [{"index": 0, "delta": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}]


@pytest.mark.parametrize("indent", [None, 2])
def test_tool_calls_of_a_whole_answer_are_numbered(indent):
    calls = [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}, {"id": "b", "index": 1}]
    choice = {"index": 0, "message": {"role": "assistant", "content": None, "tool_calls": calls},
              "finish_reason": "tool_calls"}  # fmt: skip
    raw = passed(stream_of(json.dumps({**WHOLE, "choices": [choice]}, indent=indent).encode())).raw
    said = json.loads(raw.removeprefix(b"data: "))["choices"][0]["delta"]["tool_calls"]
    assert said == [{"index": 0, **calls[0]}, calls[1]]


def test_half_a_pair_in_a_whole_answer_keeps_its_bytes():
    body = json.dumps(WHOLE).replace('"Hi"', r'"\ud83d"').encode()
    assert rb'"content": "\ud83d"' in passed(stream_of(body)).raw


@pytest.mark.parametrize(
    "body", [b"{}", b"<html>", b'{"error":{"message":"x"}}', b'{"choices":null}', b'{"choices":[1]}', b"[]", b""]
)
def test_what_is_no_answer_is_no_stream(body):
    with pytest.raises(NotAnAnswer):
        stream_of(body)


def test_a_whole_answer_that_says_error_is_none():
    choice = {"index": 0, "message": {"role": "assistant", "content": ""}, "finish_reason": "error"}
    assert passed(stream_of(json.dumps({**WHOLE, "choices": [choice]}).encode())).state is State.failed


def whole(message: object, finish: object = "stop", **fields: object) -> bytes:
    return json.dumps(
        {"id": "c", "choices": [{"index": 0, "message": message, "finish_reason": finish}], **fields}
    ).encode()


def chunks_of(raw: bytes) -> list[dict[str, object]]:
    return [json.loads(event.removeprefix(b"data: ")) for event in raw.split(b"\n\n") if event]


@pytest.mark.parametrize("usage", [None, {}])
def test_a_whole_answer_that_says_no_usage_brings_no_chunk_without_choices(usage):
    """Clients look into the first choice of every chunk."""
    said = passed(stream_of(whole({"content": "Hi"}, usage=usage)))
    assert said.state is State.done and [len(chunk["choices"]) for chunk in chunks_of(said.raw)] == [1]


@pytest.mark.parametrize("delta", [None, {}, {"content": None}])
def test_a_delta_beside_a_message_loses_nothing(delta):
    body = json.loads(whole({"content": "Hello there \U0001f600"}))
    body["choices"][0]["delta"] = delta
    said = passed(stream_of(json.dumps(body).encode()))
    assert said.state is State.done and said.meter.content_seen
    assert chunks_of(said.raw)[0]["choices"][0]["delta"] == {"content": "Hello there \U0001f600"}


@pytest.mark.parametrize("finish", [None, "", "null"])
def test_a_whole_answer_that_does_not_say_why_it_ended_is_one_as_a_stream_too(finish):
    said = passed(stream_of(whole({"content": "Hi"}, finish)))
    assert said.state is State.done and chunks_of(said.raw)[0]["choices"][0]["finish_reason"] == "stop"
    said = passed(stream_of(whole({"tool_calls": [{"id": "a", "type": "function"}]}, finish)))
    assert said.state is State.done and chunks_of(said.raw)[0]["choices"][0]["finish_reason"] == "tool_calls"
    with pytest.raises(NotAnAnswer):
        stream_of(whole({"content": ""}, finish))
