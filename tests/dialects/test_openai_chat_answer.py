"""Whole answers, usage and errors of upstreams, in every shape they are known to take (and in none)."""

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftgate.core.usage import Usage
from ftgate.dialects.fields import loads
from ftgate.dialects.openai_chat import error, error_event, read_answer, read_error, read_usage, usage_object
from ftgate.dialects.openai_chat.usage import PlainUsage
from ftgate.dialects.talk import Complaint, Meter, NotAnAnswer
from ftgate.errors import InvalidRequest, RateLimited

USAGES = [
    # what an upstream says, what it means (None: nothing usable), malformed
    ("null", None, False),
    ('{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}', Usage(input=10, output=5), False),
    (
        '{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":4}}',
        Usage(input=6, cache_read=4, output=5),
        False,
    ),
    (
        '{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":null,"completion_tokens_details":null}',
        Usage(input=10, output=5),
        False,
    ),
    (
        '{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":null}}',
        Usage(input=10, output=5),
        False,
    ),
    # DeepSeek, Moonshot, Anthropic's names
    (
        '{"prompt_tokens":10,"completion_tokens":5,"prompt_cache_hit_tokens":4,"prompt_cache_miss_tokens":6}',
        Usage(input=6, cache_read=4, output=5),
        False,
    ),
    ('{"prompt_tokens":10,"completion_tokens":5,"cached_tokens":10}', Usage(input=0, cache_read=10, output=5), False),
    (
        '{"prompt_tokens":10,"completion_tokens":5,"cache_read_input_tokens":3,"cache_creation_input_tokens":2}',
        Usage(input=5, cache_read=3, cache_write=2, output=5),
        False,
    ),
    (
        '{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":1},"cached_tokens":9}',
        Usage(input=1, cache_read=9, output=5),  # one name may say 0 where another tells
        False,
    ),
    # thinking that stands outside completion_tokens is told by the total alone
    (
        '{"prompt_tokens":10,"completion_tokens":5,"total_tokens":2015,"completion_tokens_details":{"reasoning_tokens":2000}}',
        Usage(input=10, output=2005, reasoning=2000),
        False,
    ),
    ('{"prompt_tokens":10,"completion_tokens":5,"total_tokens":40}', Usage(input=10, output=30), False),
    ('{"prompt_tokens":10,"completion_tokens":5,"total_tokens":3}', Usage(input=10, output=5), False),
    # writes may overlap with what was cached
    (
        '{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":8,"cache_write_tokens":7}}',
        Usage(input=0, cache_read=8, cache_write=2, output=5),
        False,
    ),
    # reasoning is inside the output
    (
        '{"prompt_tokens":10,"completion_tokens":5,"completion_tokens_details":{"reasoning_tokens":3}}',
        Usage(input=10, output=5, reasoning=3),
        False,
    ),
    (
        '{"prompt_tokens":10,"completion_tokens":5,"completion_tokens_details":{"reasoning_tokens":9}}',
        Usage(input=10, output=5, reasoning=5),
        False,
    ),
    (
        '{"prompt_tokens":10,"completion_tokens":5,"completion_tokens_details":{"reasoning_tokens":-9}}',
        Usage(input=10, output=5),
        False,
    ),
    ('{"prompt_tokens":0,"completion_tokens":0}', Usage(), False),
    # by whichever name a cache is told of, what the total has over its parts is not output where it explains that
    (
        '{"prompt_tokens":400,"completion_tokens":20,"total_tokens":10420,"prompt_tokens_details":{"cached_tokens":10000}}',
        Usage(input=400, cache_read=10000, output=20),
        False,
    ),
    (
        '{"prompt_tokens":12000,"completion_tokens":20,"total_tokens":22020,"cached_tokens":10000}',
        Usage(input=12000, cache_read=10000, output=20),
        False,
    ),
    (
        '{"prompt_tokens":12000,"completion_tokens":19,"total_tokens":22555,"cache_read_input_tokens":10536}',
        Usage(input=12000, cache_read=10536, output=19),
        False,
    ),
    (
        '{"prompt_tokens":12,"completion_tokens":5,"total_tokens":117,"cache_creation_input_tokens":100}',
        Usage(input=12, cache_write=100, output=5),
        False,
    ),
    (
        '{"prompt_tokens":12,"completion_tokens":5,"total_tokens":317,"cache_read_input_tokens":200,"cache_creation_input_tokens":100}',
        Usage(input=12, cache_read=200, cache_write=100, output=5),
        False,
    ),
    (
        '{"prompt_tokens":12,"completion_tokens":5,"total_tokens":247,"cache_read_input_tokens":200,"completion_tokens_details":{"reasoning_tokens":30}}',
        Usage(input=12, cache_read=200, output=35, reasoning=30),
        False,
    ),
    # a rest that could be cached tokens is none, and neither is one that contradicts what is said of thinking
    (
        '{"prompt_tokens":1000,"completion_tokens":5,"total_tokens":1800,"prompt_tokens_details":{"cached_tokens":600}}',
        Usage(input=400, cache_read=600, output=5),
        False,
    ),
    (
        '{"prompt_tokens":10,"completion_tokens":5,"total_tokens":40,"completion_tokens_details":{"reasoning_tokens":0}}',
        Usage(input=10, output=5),
        False,
    ),
    # Anthropic's own names stand outside the prompt
    ('{"input_tokens":400,"output_tokens":20}', Usage(input=400, output=20), False),
    (
        '{"input_tokens":400,"output_tokens":20,"cache_read_input_tokens":100,"cache_creation_input_tokens":30,"cache_creation":{"ephemeral_5m_input_tokens":20,"ephemeral_1h_input_tokens":10}}',
        Usage(input=400, cache_read=100, cache_write=20, cache_write_1h=10, output=20),
        False,
    ),
    (
        '{"prompt_tokens":400,"completion_tokens":20,"cache_read_input_tokens":10000}',
        Usage(input=400, cache_read=10000, output=20),
        False,
    ),
    # DashScope: an explicit cache's writes inside the prompt; and the names of its other interface
    (
        '{"prompt_tokens":1516,"completion_tokens":5,"total_tokens":1521,"prompt_tokens_details":{"cache_creation":{"ephemeral_5m_input_tokens":1494},"cache_creation_input_tokens":1494,"cache_type":"ephemeral","cached_tokens":0}}',
        Usage(input=22, cache_write=1494, output=5),
        False,
    ),
    (
        '{"input_tokens":100,"output_tokens":5,"total_tokens":105,"prompt_tokens_details":{"cached_tokens":60}}',
        Usage(input=40, cache_read=60, output=5),
        False,
    ),
    # some fill in both families of names, one of them with zeros
    (
        '{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"input_tokens":0,"output_tokens":0,"input_tokens_details":null}',
        Usage(input=10, output=5),
        False,
    ),
    # nothing said, and zero said
    ("{}", None, False),
    ('{"prompt_tokens":null,"completion_tokens":null}', None, False),
    ('{"prompt_tokens":0}', None, False),
    (
        '{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0,"prompt_tokens_details":{"cached_tokens":0}}',
        Usage(),
        False,
    ),
    # no sense
    ("5", None, True),
    ("[]", None, True),
    ('"x"', None, True),
    ("true", None, True),
    ('{"prompt_tokens":10}', None, True),
    ('{"completion_tokens":10}', None, True),
    ('{"prompt_tokens":-1,"completion_tokens":5}', None, True),
    ('{"prompt_tokens":10,"completion_tokens":-5}', None, True),
    ('{"prompt_tokens":true,"completion_tokens":5}', None, True),
    ('{"prompt_tokens":10.0,"completion_tokens":5}', None, True),
    ('{"prompt_tokens":"10","completion_tokens":5}', None, True),
    ('{"prompt_tokens":10,"completion_tokens":5,"cached_tokens":11}', None, True),
    ('{"prompt_tokens":10,"completion_tokens":5,"cached_tokens":-1}', None, True),
    ('{"prompt_tokens":10,"completion_tokens":5,"cache_creation_input_tokens":-1}', None, True),
    ('{"prompt_tokens":NaN,"completion_tokens":5}', None, True),
    ("[[]]", None, True),
]


@pytest.mark.parametrize(("raw", "usage", "malformed"), USAGES, ids=[row[0][:60] for row in USAGES])
def test_usage(raw, usage, malformed):
    assert read_usage(loads(raw.encode())) == (usage, malformed)


@pytest.mark.parametrize(("raw", "usage", "malformed"), USAGES, ids=[row[0][:60] for row in USAGES])
def test_what_is_read_in_one_go_is_read_the_same(raw, usage, malformed):
    try:
        plain = msgspec.json.decode(raw, type=PlainUsage).neutral()
    except msgspec.DecodeError:
        return
    assert plain is None or plain == usage


def test_huge_but_whole_counts_are_left_to_the_judge():
    assert read_usage({"prompt_tokens": 10**20, "completion_tokens": 5})[0] == Usage(input=10**20, output=5)


@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 9), st.integers(0, 1000), st.integers(0, 1000))
def test_usage_as_we_write_it_reads_back(input, cached, written, output, reasoning):
    usage = Usage(input=input, cache_read=cached, cache_write=written, output=output, reasoning=min(reasoning, output))
    said = usage_object(usage)
    assert read_usage(said) == (usage, False)
    if not written:
        assert msgspec.convert(said, PlainUsage).neutral() == usage


# Whole answers


def answer(choices='[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}]', **more):
    fields = {"id": '"x"', "choices": choices} | more
    return ("{" + ",".join(f'"{name}":{raw}' for name, raw in fields.items()) + "}").encode()


def message(raw, finish='"stop"'):
    return f'[{{"index":0,"message":{raw},"finish_reason":{finish}}}]'


USED = '{"prompt_tokens":10,"completion_tokens":5}'


@pytest.mark.parametrize(
    ("body", "content", "output"),
    [
        (answer(), True, 2),
        (answer(usage=USED), True, 2),
        (answer(error="null"), True, 2),
        (answer(error="{}"), True, 2),
        (answer(error='""'), True, 2),
        (answer(error='{"message":"","code":null,"type":"x"}'), True, 2),
        (
            answer(
                message('{"content":"","images":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AA"}}]}')
            ),
            True,
            1600,
        ),
        (answer(message('{"content":"x"}'), logprobs="NaN"), True, 1),
        (answer(message('{"content":""}')), False, 0),
        (answer(message("null")), False, 0),
        (answer(message('{"content":"hi"}', "null")), True, 1),
        (answer(message('{"content":null,"reasoning_content":"thinking hard"}')), True, 3),
        (answer(message('{"reasoning":"thinking hard"}')), True, 3),
        (answer(message('{"refusal":"I will not"}')), True, 3),
        (answer(message('{"tool_calls":[{"function":{"name":"f","arguments":"{}"}}]}')), True, 2),
        (answer(message('{"tool_calls":[{"function":{"name":"f","arguments":{"a":1}}}]}')), True, 4),
        (answer(message('{"tool_calls":[{"id":"only"}]}')), True, 1),
        (answer(message('{"function_call":{"name":"f"}}')), True, 1),
        (answer(message('{"audio":{"id":"a"}}')), True, 1),
        (
            answer(
                '[{"message":{"content":"aaaa"},"finish_reason":"stop"},{"message":{"content":"bbbb"},"finish_reason":"stop"}]'
            ),
            True,
            2,
        ),
        (answer(message(r'{"content":"half \ud83d of a pair"}')), True, 4),  # JSON, though no text: clients take it
    ],
)
def test_answers(body, content, output):
    meter = Meter()
    read_answer(body, meter)
    assert meter.content_seen is content
    assert output <= meter.output() <= output + 2


@pytest.mark.parametrize(
    ("body", "usage", "malformed"),
    [
        (answer(), None, False),
        (answer(usage="null"), None, False),
        (answer(usage=USED), Usage(input=10, output=5), False),
        (answer(usage="5"), None, True),
        (answer(message('{"content":"x"}').replace("}]", f',"usage":{USED}}}]')), Usage(input=10, output=5), False),
        (answer(message('{"content":[{"type":"text","text":"x"}]}'), usage=USED), Usage(input=10, output=5), False),
    ],
)
def test_usage_of_an_answer(body, usage, malformed):
    meter = Meter()
    read_answer(body, meter)
    assert (meter.reported, meter.malformed) == (usage, malformed)


def test_content_of_a_type_of_its_own_is_an_answer():
    meter = Meter()
    read_answer(
        answer(message('{"content":[{"type":"thinking","thinking":"well"},{"type":"text","text":"x"}]}')), meter
    )
    assert meter.content_seen and meter.output() == 2


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b"<html>busy</html>", "not JSON"),
        (b"{", "not JSON"),
        (b'{"choices":[' + b"[" * 100_000, "not JSON"),
        (b"\xff", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"5", "not a JSON object"),
        (b"{}", ""),
        (b'{"choices":[]}', ""),
        (b'{"choices":null,"message":"no credit"}', "no credit"),
        (b'{"choices":5}', ""),
        (b'{"choices":"text"}', ""),
        (b'{"choices":{}}', ""),
        (b'{"choices":[ ],"id":{}}', ""),
        (b'{"error":{"message":"Insufficient Balance","code":"x"}}', "Insufficient Balance"),
        (b'{"error":"Insufficient Balance"}', "Insufficient Balance"),
        (answer(error='{"message":"cut"}'), "cut"),
        (answer('[{"index":"zero"}]', error='{"message":"cut"}'), "cut"),
        (b'{"base_resp":{"status_code":1008,"status_msg":"insufficient balance"}}', "insufficient balance"),
        (answer(message('{"content":""}', "null")), "neither content nor a finish_reason"),
        (answer(message('{"content":null}', '""')), "neither content nor a finish_reason"),
        (answer("[{}]"), "neither content nor a finish_reason"),
        (answer(message('{"content":""}', '"null"')), "neither content nor a finish_reason"),
        (answer(message('{"content":""}', '"error"')), 'finish_reason "error"'),
        (answer(message('{"content":"half of it"}', '"error"')), 'finish_reason "error"'),
        (answer(message('{"content":"half of it"}', '"insufficient_system_resource"')), "insufficient_system"),
        (
            answer('[{"message":{"content":null},"finish_reason":"error","error":{"code":502,"message":"gone"}}]'),
            "gone",
        ),
        (b'[{"error":{"code":400,"message":"too long"}}]', "too long"),
        (b'{"object":"error","message":"too long","type":"BadRequestError","param":null,"code":400}', "too long"),
    ],
)
def test_not_an_answer(body, words):
    with pytest.raises(NotAnAnswer) as said:
        read_answer(body, Meter())
    assert words in said.value.complaint.message


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=80)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(
                st.sampled_from(
                    [
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
                        "base_resp",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
    ).map(lambda value: json.dumps(value).encode())
)
def test_reading_an_answer_raises_nothing_else(body):
    try:
        read_answer(body, Meter())
    except NotAnAnswer as said:
        assert isinstance(said.complaint.words, str)
    assert isinstance(read_error(body).words, str)


# Errors


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error":{"message":"m","type":"t","code":"c","param":"p"}}', Complaint("m", "t", "c", "p")),
        (b'{"error":{"message":"m","type":null,"code":1113,"param":null}}', Complaint("m", None, "1113", None)),
        (b'{"error":{"message":{"deep":[1]}}}', Complaint('{"deep":[1]}')),
        (b'{"error":{"msg":"m"}}', Complaint("m")),
        (b'{"error":{}}', Complaint("")),
        (b'{"error":"m"}', Complaint("m")),
        (b'{"error":null,"message":"m","code":402}', Complaint("m", None, "402", None, 402)),
        (b'{"error":5}', Complaint("")),
        (b'{"message":"m","type":"t"}', Complaint("m", "t")),
        (b'{"detail":"m"}', Complaint("m")),
        (b'{"detail":[{"loc":["body"],"msg":"m"}]}', Complaint('[{"loc":["body"],"msg":"m"}]')),
        (
            b'{"type":"error","error":{"type":"overloaded_error","message":"m"}}',
            Complaint("m", "overloaded_error", status=529),
        ),
        (
            b'[{"error":{"code":400,"message":"API key not valid","status":"INVALID_ARGUMENT"}}]',
            Complaint("API key not valid", None, "400", None, 400),
        ),
        (
            b'{"base_resp":{"status_code":1002,"status_msg":"rate limit"}}',
            Complaint("rate limit", None, "1002", None, 429),
        ),
        (b'{"error":{"message":"m"},"base_resp":{"status_code":0,"status_msg":"success"}}', Complaint("m")),
        (b'"m"', Complaint("m")),
        (b"5", Complaint("an error without words")),
        (b"null", Complaint("an error without words")),
        (b"[]", Complaint("an error without words")),
        (b"{}", Complaint("")),
        (b"upstream connect error", Complaint("upstream connect error")),
        (b"  <!DOCTYPE html><h1>502</h1>", Complaint("an HTML page")),
        (b"", Complaint("")),
        (b"\xff\xfe", Complaint("\ufffd\ufffd")),
        (b"x" * 1000, Complaint("x" * 200)),
    ],
)
def test_read_error(body, said):
    assert read_error(body) == said


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"error":{"message":"m","code":' + b"1" * 5000 + b"}}",
        rb'{"error":{"message":"\ud800"}}',
        b'{"error":NaN}',
    ],
)
def test_read_error_of_poison(body):
    assert len(read_error(body).words) <= 200


def test_words():
    assert Complaint("m", "t", "c", "p").words == "m t c"
    assert Complaint().words == ""


def test_our_errors():
    assert error(InvalidRequest("no", param="n"), "r") == (
        400,
        [(b"content-type", b"application/json"), (b"x-request-id", b"r")],
        b'{"error":{"message":"no","type":"invalid_request_error","code":"invalid_value","param":"n"}}',
    )
    assert error(RateLimited("slow", retry_after_s=1.5), "r")[1][2:] == [(b"retry-after", b"2")]
    event = error_event(RateLimited("a\nb\u2028"), "r")
    assert event.startswith(b"data: {") and event.endswith(b"}\n\n") and event.count(b"\n") == 2
    assert json.loads(event[6:])["error"]["message"] == "a\nb\u2028"


# The meter


@pytest.mark.parametrize("more", [{}, {"logprobs": None}, {"odd": 1}])
@pytest.mark.parametrize("delta", [None, {}, {"role": "assistant"}])
def test_a_message_is_read_behind_an_empty_delta(more, delta):
    """Servers that have one type for chunks and answers write both fields."""
    choice = {"delta": delta, "message": {"content": "Hello there", **more}, "finish_reason": "stop", **more}
    meter = Meter()
    read_answer(json.dumps({"choices": [choice]}).encode(), meter)
    assert meter.content_seen and meter.output() >= 2


DEEP = b'{"a":' * 300 + b'"deep"' + b"}" * 300


@pytest.mark.parametrize(
    "said",
    [
        rb'"text": ["one two three", "\ud83d"]',
        rb'"message": {"tool_calls": [{"function": {"name": "f", "arguments": {"city": "one two \ud83d"}}}]}',
        b'"message": {"tool_calls": [{"function": {"name": "f", "arguments": ' + DEEP + b"}}]}",
    ],
)
def test_half_a_pair_or_any_depth_in_a_value_is_measured(said):
    meter = Meter()
    read_answer(b'{"choices": [{"finish_reason": "stop", ' + said + b"}]}", meter)
    assert meter.content_seen and meter.output() >= 3


@pytest.mark.parametrize("odd", [{}, {"annotations": []}])
def test_thinking_under_two_names_is_counted_once_and_two_thoughts_twice(odd):
    def counted(**message):
        meter = Meter()
        choice = {"message": {**message, **odd}, "finish_reason": "stop"}
        read_answer(json.dumps({"choices": [choice]}).encode(), meter)
        return meter.output()

    text, other = "one two three four five six", "seven eight nine ten eleven twelve"
    once = counted(reasoning=text)
    assert once == counted(reasoning=text, reasoning_content=text)
    assert counted(reasoning=other, reasoning_content=text) >= 2 * once - 2


def test_the_meter_folds_without_changing_its_count():
    small, large = Meter(), Meter()
    for _ in range(500):
        small.note("word 好 " * 100)
    large.note("word 好 " * 50_000)
    assert small.output() == large.output() > 0
    assert sum(map(len, small._parts)) == 0


def test_the_meter_counts_one_at_least_once_content_came():
    meter = Meter()
    assert meter.output() == 0
    meter.content_seen = True
    assert meter.output() == 1
