"""Requests in OpenAI's shape: what is refused and how, what goes up unchanged, how much text is counted."""

import base64
import json
import time

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftgate import dialects
from ftgate.core import estimate
from ftgate.dialects.fields import _HEEDED
from ftgate.dialects.openai_chat import read_request, render
from ftgate.dialects.talk import Aim
from ftgate.errors import InvalidRequest

HI = b'[{"role":"user","content":"hi"}]'


def body(**raw: str | bytes) -> bytes:
    """A valid request with these raw JSON values in place; None leaves a field out."""
    fields = {"model": b'"m"', "messages": HI} | raw
    return (
        b"{"
        + b",".join(
            b'"%s":%s' % (k.encode(), v if isinstance(v, bytes) else v.encode()) for k, v in fields.items() if v
        )
        + b"}"
    )


DEEP = b"[" * 100_000 + b"]" * 100_000
DIGITS = b"1" * 5000

BAD = [
    # name, body, code, param
    ("empty", b"", "invalid_json", None),
    ("blank", b"  ", "invalid_json", None),
    ("not json", b"hello", "invalid_json", None),
    ("cut", body()[:-1], "invalid_json", None),
    ("more after it", body() + b"{}", "invalid_json", None),
    ("a list", b"[]", "invalid_json", None),
    ("a string", b'"x"', "invalid_json", None),
    ("null", b"null", "invalid_json", None),
    ("nan", body(temperature="NaN"), "invalid_json", None),
    ("infinity", body(temperature="-Infinity"), "invalid_json", None),
    ("single quotes", b"{'model':'m'}", "invalid_json", None),
    ("a comma too many", b'{"model":"m",}', "invalid_json", None),
    ("deep in an unknown field", body(x=DEEP), "invalid_json", None),
    ("deep in messages", body(messages=DEEP), "invalid_json", None),
    ("deep in content", body(messages=b'[{"content":' + DEEP + b"}]"), "invalid_json", None),
    ("deep in tools", body(tools=DEEP), "invalid_json", None),
    ("deep and never closed", b'{"a":' * 100_000, "invalid_json", None),
    ("not utf-8 in an unknown field", body(x=b'"\xff"'), "invalid_json", None),
    ("not utf-8 in a message", body(messages=b'[{"role":"user","content":"\xc3("}]'), "invalid_json", None),
    ("not utf-8 in a name", b'{"\xff":1}', "invalid_json", None),
    ("utf-16", body().decode().encode("utf-16"), "invalid_json", None),
    ("utf-8 surrogate", body(x=b'"\xed\xa0\x80"'), "invalid_json", None),
    ("lone surrogate", body(x=rb'"\ud800"'), "invalid_json", None),
    ("lone surrogate in content", body(messages=rb'[{"content":"\udc00"}]'), "invalid_json", None),
    ("bad escape", body(x=rb'"\q"'), "invalid_json", None),
    ("control character", body(x=b'"\x01"'), "invalid_json", None),
    ("nul", body(x=b'"\x00"'), "invalid_json", None),
    ("no model", body(model=""), "missing_field", "model"),
    ("model empty", body(model='""'), "missing_field", "model"),
    ("model null", body(model="null"), "missing_field", "model"),
    ("model a number", body(model="5"), "invalid_value", "model"),
    ("model a list", body(model='["m"]'), "invalid_value", "model"),
    ("models empty", body(model="", models="[]"), "missing_field", "model"),
    ("models a string", body(models='"m"'), "invalid_value", "models"),
    ("models of numbers", body(models="[1]"), "invalid_value", "models"),
    ("too many models", body(models="[" + ",".join(f'"m{n}"' for n in range(32)) + "]"), "invalid_value", "models"),
    ("best_of a word", body(best_of='"2"'), "invalid_value", "best_of"),
    ("routing unknown", body(routing='"best"'), "invalid_value", "routing"),
    ("routing a number", body(routing="5"), "invalid_value", "routing"),
    ("no messages", body(messages=""), "missing_field", "messages"),
    ("messages null", body(messages="null"), "invalid_value", "messages"),
    ("messages a string", body(messages='"hi"'), "invalid_value", "messages"),
    ("messages an object", body(messages="{}"), "invalid_value", "messages"),
    ("messages empty", body(messages="[]"), "invalid_value", "messages"),
    ("messages of strings", body(messages='["hi"]'), "invalid_value", "messages"),
    ("messages of null", body(messages="[null]"), "invalid_value", "messages"),
    ("content a number", body(messages='[{"content":5}]'), "invalid_value", "messages.0.content"),
    ("content true", body(messages='[{"content":"x"},{"content":true}]'), "invalid_value", "messages.1.content"),
    ("content an object", body(messages='[{"content":{}}]'), "invalid_value", "messages.0.content"),
    ("content of numbers", body(messages='[{"content":[5]}]'), "invalid_value", "messages.0.content"),
    ("content of lists", body(messages='[{"content":[[]]}]'), "invalid_value", "messages.0.content"),
    ("n nothing", body(n="0"), "invalid_value", "n"),
    ("n a million", body(n="1000000"), "invalid_value", "n"),
    ("n 129", body(n="129"), "invalid_value", "n"),
    ("n true", body(n="true"), "invalid_value", "n"),
    ("stream yes", body(stream='"yes"'), "invalid_value", "stream"),
    ("stream 1", body(stream="1"), "invalid_value", "stream"),
    ("stream_options 5", body(stream_options="5"), "invalid_value", "stream_options"),
    ("stream_options a list", body(stream_options="[]"), "invalid_value", "stream_options"),
    ("include_usage 1", body(stream_options='{"include_usage":1}'), "invalid_value", "stream_options.include_usage"),
]
for field in ("max_tokens", "max_completion_tokens"):
    for value in ("true", "false", "-1", "0", "1000000000000", '"5"', "1.5", "1.0", "1e2", "[]", "{}", DIGITS):
        BAD.append((f"{field} {value[:10]!r}", body(**{field: value}), "invalid_value", field))


@pytest.mark.parametrize(("name", "data", "code", "param"), BAD, ids=[row[0] for row in BAD])
def test_refused(name, data, code, param):
    with pytest.raises(InvalidRequest) as said:
        read_request(data)
    assert (said.value.status, said.value.code, said.value.param) == (400, code, param)
    assert len(said.value.message) < 300


GOOD = [
    # what is read of a valid one
    (
        {},
        {
            "names": ("m",),
            "stream": False,
            "cap": None,
            "answers": 1,
            "routing": "auto",
            "wants_usage": False,
            "has_tools": False,
        },
    ),
    ({"max_tokens": "5"}, {"cap": 5}),
    ({"max_completion_tokens": "7"}, {"cap": 7}),
    ({"max_tokens": "5", "max_completion_tokens": "7"}, {"cap": 5}),
    ({"max_tokens": "7", "max_completion_tokens": "5"}, {"cap": 5}),
    ({"max_tokens": "null"}, {"cap": None}),
    ({"max_tokens": "10000000"}, {"cap": 10_000_000}),
    ({"n": "128"}, {"answers": 128}),
    ({"n": "null"}, {"answers": 1}),
    ({"stream": "true"}, {"stream": True}),
    ({"stream": "null", "stream_options": "null"}, {"stream": False}),
    ({"stream_options": '{"include_usage":true}'}, {"wants_usage": True}),
    ({"stream_options": '{"include_usage":null}'}, {"wants_usage": False}),
    ({"routing": '"cheapest"'}, {"routing": "cheapest"}),
    ({"models": '["a","b","m"]'}, {"names": ("m", "a", "b")}),
    ({"model": "", "models": '["a","b","a"]'}, {"names": ("a", "b")}),
    ({"tools": '[{"type":"function"}]'}, {"has_tools": True}),
    ({"functions": "[{}]"}, {"has_tools": True}),
    ({"n": "2", "best_of": "3"}, {"answers": 3}),
    ({"n": "4", "best_of": "3"}, {"answers": 4}),
    ({"seed": DIGITS}, {"names": ("m",)}),  # not ours to judge
    ({"messages": '[{"role":"assistant","content":null,"tool_calls":[]}]'}, {"images": 0}),
    ({"messages": '[{"content":["plain"]}]'}, {"images": 0}),
    (
        {
            "messages": '[{"content":[{"type":"image_url"},{"type":"input_image"},{"type":"input_audio"},'
            '{"type":"file"},{"type":"video_url"}]}]'
        },
        {"images": 2, "audios": 1, "files": 2},
    ),
]


@pytest.mark.parametrize(("raw", "read"), GOOD)
def test_read(raw, read):
    ask = read_request(body(**raw))
    assert {name: getattr(ask, name) for name in read} == read


def test_the_last_of_two_equal_names_is_read_and_sent():
    """What is counted and priced is what goes up: an upstream never sees the other one."""
    ask = read_request(b'{"model":"m","max_tokens":1,"messages":[{"content":"hi"}],"max_tokens":900,"model":"n"}')
    assert (ask.names, ask.cap) == (("n",), 900)
    assert sent(ask) == b'{"model":"up","max_tokens":900,"messages":[{"content":"hi"}]}'


# What goes up


def sent(ask, *, model="up", cap=None, cap_field="max_tokens", ask_usage=False, drop=()):
    return render(ask, Aim(model, cap, cap_field, ask_usage, drop))


STRANGE = (
    '{"zeta": 1.50e+10 ,"messages":[ {"role":"user", "content":"h\\u00e9 \\/ 😀"} '
    '],"model":"m","big":12345678901234567890,'
    '"neg":-0.0,"nest":{"b":[1, 2 ],"a":null},"routing":"auto","models":["x"],"temperature":0.70}'
).encode()


def test_unknown_fields_keep_their_bytes_and_places():
    assert (
        sent(read_request(STRANGE))
        == (
            '{"zeta":1.50e+10,"messages":[ {"role":"user", "content":"h\\u00e9 \\/ 😀"} '
            '],"model":"up","big":12345678901234567890,'
            '"neg":-0.0,"nest":{"b":[1, 2 ],"a":null},"temperature":0.70}'
        ).encode()
    )


@pytest.mark.parametrize(
    ("raw", "how", "up"),
    [
        ({}, {}, b'{"model":"up","messages":%s}' % HI),
        ({}, {"cap": 9}, b'{"model":"up","messages":%s,"max_tokens":9}' % HI),
        (
            {},
            {"cap": 9, "cap_field": "max_completion_tokens"},
            b'{"model":"up","messages":%s,"max_completion_tokens":9}' % HI,
        ),
        ({}, {"cap": 9, "cap_field": None}, b'{"model":"up","messages":%s}' % HI),
        (
            {"max_tokens": "5"},
            {"cap_field": "max_completion_tokens"},
            b'{"model":"up","messages":%s,"max_completion_tokens":5}' % HI,
        ),
        ({"max_tokens": "null"}, {"cap": 9}, b'{"model":"up","messages":%s,"max_tokens":9}' % HI),
        ({"max_tokens": "900"}, {"cap": 9}, b'{"model":"up","messages":%s,"max_tokens":9}' % HI),
        # usage is asked for in streams, the client's other options are kept
        ({}, {"ask_usage": True}, b'{"model":"up","messages":%s}' % HI),
        ({"stream": "true"}, {}, b'{"model":"up","messages":%s,"stream":true}' % HI),
        (
            {"stream": "true"},
            {"ask_usage": True},
            b'{"model":"up","messages":%s,"stream":true,"stream_options":{"include_usage":true}}' % HI,
        ),
        (
            {"stream_options": '{"x": [1, 2],"include_usage":false}', "stream": "true"},
            {"ask_usage": True},
            b'{"model":"up","messages":%s,"stream_options":{"x":[1, 2],"include_usage":true},"stream":true}' % HI,
        ),
        (
            {"stream_options": "null", "stream": "true"},
            {"ask_usage": True},
            b'{"model":"up","messages":%s,"stream_options":{"include_usage":true},"stream":true}' % HI,
        ),
        (
            {"stream_options": '{"a":1}', "stream": "true"},
            {},
            b'{"model":"up","messages":%s,"stream_options":{"a":1},"stream":true}' % HI,
        ),
        # left out
        ({"seed": "1", "user": '"u"'}, {"drop": ("seed", "absent")}, b'{"model":"up","messages":%s,"user":"u"}' % HI),
        ({"routing": '"auto"', "models": '["x"]'}, {}, b'{"model":"up","messages":%s}' % HI),
        # the operator can keep any field from an upstream, also the one that we add
        (
            {"stream": "true"},
            {"ask_usage": True, "drop": ("stream_options",)},
            b'{"model":"up","messages":%s,"stream":true}' % HI,
        ),
        (
            {"stream": "true", "stream_options": '{"include_usage":true,"x":1}'},
            {"ask_usage": True, "drop": ("stream_options", "seed")},
            b'{"model":"up","messages":%s,"stream":true}' % HI,
        ),
    ],
)
def test_render(raw, how, up):
    assert sent(read_request(body(**raw)), **how) == up


def test_render_adds_a_model_where_only_models_was_given():
    assert json.loads(sent(read_request(body(model="", models='["a"]'))))["model"] == "up"


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(st.text(max_size=6).filter(lambda name: name.casefold() not in _HEEDED), json_values, max_size=5),
    st.booleans(),
)
def test_every_other_field_goes_up_as_it_came(extra, indented):
    fields = {**extra, "model": "m", "messages": [{"role": "user", "content": "x"}]}
    data = json.dumps(fields, ensure_ascii=False, indent=2 if indented else None).encode(errors="surrogatepass")
    try:
        ask = read_request(data)
    except InvalidRequest:
        assert any(0xD800 <= ord(c) < 0xE000 for c in data.decode(errors="surrogatepass"))
        return
    up = sent(ask)
    assert list(json.loads(up)) == list(fields)
    raws = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    for name, raw in msgspec.json.decode(up, type=dict[str, msgspec.Raw]).items():
        if name != "model":
            assert bytes(raw) == bytes(raws[name])


# How much is counted


def prompt(**raw):
    return read_request(body(**raw)).prompt


def test_text_and_template():
    text = "What is 好?"
    assert prompt(messages=json.dumps([{"role": "user", "content": text}])) == estimate.text(text) + estimate.tokens(
        4 + 3
    )
    two = [{"role": "system", "content": text}, {"role": "user", "content": [{"type": "text", "text": text}, text]}]
    assert prompt(messages=json.dumps(two)) == estimate.text(text * 3) + estimate.tokens(
        8 + 3 + 1
    )  # a second part costs a token
    assert prompt(messages=json.dumps(two, indent=4)) == prompt(messages=json.dumps(two))  # space between is not text
    escaped = json.dumps([{"content": "好" * 50}])
    assert prompt(messages=escaped) == prompt(messages=json.dumps([{"content": "好" * 50}], ensure_ascii=False))


def test_an_image_is_an_image_and_not_text():
    picture = base64.b64encode(b"\x89PNG" + bytes(range(256)) * 15_000).decode()
    assert len(picture) > 5_000_000
    part = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + picture}}
    ask = read_request(
        body(messages=json.dumps([{"role": "user", "content": [{"type": "text", "text": "see"}, part, part]}]))
    )
    assert ask.images == 2
    assert ask.prompt == estimate.text("see") + estimate.tokens(7 + 2)


def test_everything_else_is_counted():
    nothing = prompt()
    long = "word " * 200
    for raw in (
        {"tools": json.dumps([{"type": "function", "function": {"name": "f", "description": long}}])},
        {"functions": json.dumps([{"name": "f", "description": long}])},
        {"response_format": json.dumps({"type": "json_schema", "json_schema": {"d": long}})},
        {"tool_choice": json.dumps({"x": long})},
        {"prediction": json.dumps({"type": "content", "content": long})},
        {"documents": json.dumps([{"text": long}])},
        {"anything_new": json.dumps(long)},
        {"messages": json.dumps([{"role": "user", "content": "hi", "name": long}])},
        {
            "messages": json.dumps(
                [{"role": "assistant", "content": "hi", "tool_calls": [{"function": {"arguments": long}}]}]
            )
        },
        {"messages": json.dumps([{"role": "assistant", "content": "hi", "reasoning_content": long}])},
        {"messages": json.dumps([{"role": "user", "content": [{"type": "text", "text": long}]}])},
        {"messages": json.dumps([{"role": "user", "content": [{"text": long}]}])},
        {"messages": json.dumps([{"role": "user", "content": [{"type": 5, "anything": {"deep": long}}]}])},
    ):
        assert prompt(**raw).likely > nothing.likely + 200


# Never anything but InvalidRequest


def reads(data: bytes) -> None:
    try:
        ask = read_request(data)
    except InvalidRequest as refused:
        assert refused.message and refused.code in {"invalid_json", "invalid_value", "missing_field"}
    else:
        json.loads(sent(ask, cap=5, ask_usage=True), parse_int=str)
        assert ask.names and ask.answers >= 1 and ask.prompt.bound >= ask.prompt.likely > 0


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=100))
def test_arbitrary_bytes(data):
    reads(data)


@settings(max_examples=300, deadline=None)
@given(
    st.fixed_dictionaries(
        {
            "model": st.text(max_size=3) | json_values,
            "messages": json_values
            | st.lists(
                st.dictionaries(st.sampled_from(["role", "content", "name", "tool_calls"]), json_values, max_size=4),
                max_size=3,
            ),
        },
        optional=dict.fromkeys(
            ("n", "stream", "stream_options", "max_tokens", "models", "routing", "tools", "response_format"),
            json_values,
        ),
    )
)
def test_arbitrary_json(fields):
    reads(json.dumps(fields).encode())


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_mutated_bodies(data):
    raw = bytearray(STRANGE)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        match data.draw(st.sampled_from(["flip", "cut", "insert", "double"])):
            case "flip":
                raw[at] = data.draw(st.integers(0, 255))
            case "cut":
                del raw[at : at + data.draw(st.integers(1, 20))]
            case "insert":
                raw[at:at] = data.draw(
                    st.binary(min_size=1, max_size=4)
                    | st.sampled_from([b"null", b"\\ud800", b"NaN", b"[[", b'"', b"1e999"])
                )
            case "double":
                raw[at:at] = raw[at : at + 30]
        if not raw:
            break
    reads(bytes(raw))


def test_many_empty_parts_are_not_free_and_too_many_objects_are_refused():
    parts = [{"role": "user", "content": [{}] * 5000}]
    assert prompt(messages=json.dumps(parts)).likely >= 5000
    with pytest.raises(InvalidRequest, match="braces"):
        read_request(body(messages=json.dumps([{"role": "user", "content": [{}] * 300_000}])))


def test_the_callers_cap_goes_where_the_model_obeys_it():
    """A cap that only the caller's own field names would be held and not bind."""

    def sent(cap_field, **asked):
        ask = read_request(body(**asked))
        return json.loads(render(ask, Aim("up", ask.cap or 99, cap_field)))

    caps = {"max_tokens", "max_completion_tokens"}
    for field, asked, expected in (
        ("max_tokens", {"max_completion_tokens": "7"}, {"max_tokens": 7}),
        ("max_tokens", {"max_tokens": "7", "max_completion_tokens": "5"}, {"max_tokens": 5}),
        ("max_completion_tokens", {"max_tokens": "5", "max_completion_tokens": "7"}, {"max_completion_tokens": 5}),
        ("max_completion_tokens", {"max_completion_tokens": "7"}, {"max_completion_tokens": 7}),
        ("max_tokens", {"max_tokens": "7"}, {"max_tokens": 7}),
        ("max_tokens", {"max_tokens": "null"}, {"max_tokens": 99}),
        ("max_tokens", {}, {"max_tokens": 99}),
        ("max_completion_tokens", {"max_tokens": "7"}, {"max_completion_tokens": 7}),
        ("max_completion_tokens", {}, {"max_completion_tokens": 99}),
        (None, {"max_tokens": "7"}, {}),
        (None, {"max_completion_tokens": "7"}, {}),
        (None, {}, {}),
    ):
        assert {name: value for name, value in sent(field, **asked).items() if name in caps} == expected, (field, asked)


BLOB = "iVBORw0KGgoAAAANSUhEUg" * 5000
URL = "data:image/png;base64," + BLOB


@pytest.mark.parametrize(
    ("message", "images", "audios", "files"),
    [
        ({"content": [{"type": "image_url", "image_url": {"url": URL}}]}, 1, 0, 0),
        ({"content": [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]}, 1, 0, 0),
        ({"content": [{"type": "input_audio", "input_audio": {"data": BLOB, "format": "wav"}}]}, 0, 1, 0),
        ({"content": [{"type": "file", "file": {"filename": "a.pdf", "file_data": URL}}]}, 0, 0, 1),
        ({"content": [{"type": "file", "file": {"file_id": "f"}}]}, 0, 0, 1),
        # what a tool gave back, in Anthropic's shape, at some depth
        (
            {
                "role": "tool",
                "content": [
                    {
                        "type": "tool_result",
                        "content": [
                            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": BLOB}},
                            {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
                            {"type": "text", "text": "done"},
                        ],
                    }
                ],
            },
            2,
            0,
            0,
        ),
        # an answer with pictures that is said again
        ({"content": "", "images": [{"type": "image_url", "image_url": {"url": URL}}]}, 1, 0, 0),
        ({"content": "", "audio": {"id": "a", "data": BLOB}}, 0, 1, 0),
        ({"content": "", "reasoning_details": [{"type": "reasoning.encrypted", "data": BLOB}]}, 0, 0, 0),
        ({"content": [{"type": "thinking", "thinking": "hm", "signature": BLOB}]}, 0, 0, 0),
        # Gemini's and DashScope's shapes
        ({"content": [{"type": "media", "inline_data": {"mime_type": "image/png", "data": BLOB}}]}, 1, 0, 0),
        ({"content": [{"image": URL}, {"text": "what is it?"}]}, 1, 0, 0),
        ({"content": [{"type": "video_url", "video_url": {"url": "https://x/y.mp4"}}]}, 0, 0, 1),
    ],
)
def test_base64_is_never_text_at_any_depth(message, images, audios, files):
    ask = read_request(body(messages=json.dumps([{"role": "user", **message}])))
    assert (ask.images, ask.audios, ask.files) == (images, audios, files)
    assert ask.prompt.bound < 500


@pytest.mark.parametrize(
    "message",
    [
        {"content": BLOB},
        {"content": URL},
        {"content": [{"type": "text", "text": URL}]},
        {"content": [{"type": "text", "text": BLOB}]},
        {"role": "tool", "content": [{"type": "tool_result", "content": [{"type": "text", "text": URL}]}]},
        {"role": "tool", "content": json.dumps({"screenshot": URL})},
        {"content": "", "tool_calls": [{"function": {"name": "f", "arguments": json.dumps({"a": URL})}}]},
        {"content": [{"type": "document", "source": {"media_type": "text/plain", "data": "word " * 20_000}}]},
        {"role": "tool", "content": [{"type": "tool_result", "content": [{"type": "image"}, *range(30_000)]}]},
    ],
)  # fmt: skip
def test_what_a_model_reads_as_text_is_measured_as_text(message):
    """The provider counts it so, whatever it looks like."""
    ask = read_request(body(messages=json.dumps([{"role": "user", **message}])))
    assert ask.prompt.likely > 10_000


def test_the_names_of_tools_are_no_media():
    names = ("file_search", "image_generation", "audio")
    tools = [{"type": "function", "function": {"name": name, "x": {"type": name}}} for name in names]
    ask = read_request(body(tools=json.dumps(tools)))
    assert (ask.images, ask.audios, ask.files) == (0, 0, 0)
    assert ask.prompt.likely > read_request(body()).prompt.likely + 20


def test_long_histories_of_tool_calls_are_measured_quickly():
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": json.dumps({"path": "x/y", "n": 5})}}
    turns = [{"role": "assistant", "content": None, "tool_calls": [call]}, {"role": "tool", "content": "done"}] * 1000
    raw = body(messages=json.dumps([{"role": "user", "content": "go"}, *turns]))
    began = time.process_time()
    read_request(raw)
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    "name", ["Model", "MODEL", "max_to\u212aens", "me\u017f\u017fages", "N", "Max_Completion_Tokens"]
)
@pytest.mark.parametrize("dialect", dialects.ALL.values(), ids=list(dialects.ALL))
def test_a_field_in_other_letters_is_not_another_one(dialect, name):
    """Go's JSON reader, which many gateways and servers use, takes it for the same, and the last one wins."""
    asked = {
        "model": "m",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "hi"}],
        "input": "hi",
        "prompt": "hi",
    }
    asked = {key: its for key, its in asked.items() if dialect.NAME != "openai_responses" or key != "prompt"}
    dialect.read_request(json.dumps(asked).encode())
    with pytest.raises(InvalidRequest) as refused:
        dialect.read_request(json.dumps({**asked, name: "x"}).encode())
    assert refused.value.param == name and name in refused.value.message


def test_names_of_their_own_pass():
    asked = read_request(body(maxTokens="9", topK="1", enableThinking="true", x_Y="1", é="1"))
    assert {"maxTokens", "topK", "enableThinking", "x_Y", "\u00e9"} <= asked.fields.keys()


def test_a_stream_tells_its_usage_whatever_else_is_asked():
    up = render(
        read_request(body(stream="true", stream_options='{"INCLUDE_USAGE":false,"x":1}')), Aim("up", usage=True)
    )
    assert json.loads(up)["stream_options"] == {"x": 1, "include_usage": True}


def test_what_nobody_can_price_does_not_go_up():
    asked = read_request(body(service_tier='"priority"', plugins='[{"id":"web"}]', web_search_options="{}", seed="1"))
    assert json.loads(render(asked, Aim("up"))).keys() == {"model", "messages", "seed"}


TOOLS = [
    ({"type": "function", "function": {"name": "f"}}, None), ({"type": "custom", "custom": {"name": "f"}}, None),
    ({"function": {"name": "f"}}, None), ({"name": "f", "parameters": {}}, None),
    ({"type": "web_search"}, "tools.1.type"),
    ({"type": "builtin_function", "function": {"name": "$web_search"}}, "tools.1.type"),
    ({"googleSearch": {}}, "tools.1.type"), ({"type": 1}, "tools.1.type"),
    ({"type": "function", "function": {"name": "f"}, "Type": "web_search"}, "tools.1.Type"),
]  # fmt: skip


@pytest.mark.parametrize(("tool", "param"), TOOLS)
def test_tools_that_a_provider_runs_are_paid_by_the_call(tool, param):
    raw = body(tools=json.dumps([TOOLS[0][0], tool]))
    if param is None:
        assert json.loads(render(read_request(raw), Aim("up")))["tools"][1] == tool
        return
    with pytest.raises(InvalidRequest) as refused:
        read_request(raw)
    assert refused.value.param == param
