"""What stands in a message: by shape, at any depth."""

import json

import pytest

from ftgate.dialects.content import leaves, look, without_embedded
from ftgate.dialects.talk import Meter

BASE64 = "iVBORw0KGgo" * 200
DATA_URL = "data:image/png;base64," + BASE64


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("x", [("x", None)]),
        ("", []),
        (5, []),
        (None, []),
        ([["a"], {"b": ["c"]}], [("a", None), ("c", None)]),
        (DATA_URL, [(DATA_URL, "image")]),
        ("data:audio/wav;base64,AAAA", [("data:audio/wav;base64,AAAA", "audio")]),
        ("data:application/pdf;base64,AAAA", [("data:application/pdf;base64,AAAA", "file")]),
        ("data: not a picture", [("data: not a picture", None)]),
        ({"type": "image", "source": {"media_type": "image/png", "data": BASE64}}, [(BASE64, "image")]),
        ({"inline_data": {"mime_type": "audio/mp3", "data": BASE64}}, [(BASE64, "audio")]),
        ({"type": "input_audio", "input_audio": {"data": BASE64, "format": "wav"}}, [(BASE64, "audio")]),
        ({"type": "file", "file": {"filename": "a.pdf", "file_data": BASE64}}, [(BASE64, "file")]),
        ({"type": "image_generation_call", "result": BASE64}, [(BASE64, "image")]),
        ({"type": "document", "source": {"media_type": "text/plain", "data": "words"}}, [("words", None)]),
        ({"type": "thinking", "thinking": "hm", "signature": BASE64}, [("hm", None), (BASE64, "sealed")]),
        ({"type": "redacted_thinking", "data": BASE64}, [(BASE64, "sealed")]),
        ({"type": "image_url", "image_url": {"url": "https://x/y.png"}}, [("https://x/y.png", "image")]),
        (
            {"type": "tool_result", "content": [{"type": "image", "source": {"data": BASE64}}, {"text": "t"}]},
            [(BASE64, "image"), ("t", None)],
        ),
        ({"name": "f", "arguments": {"a": 1}}, [("f", None), ('{"a":1}', None)]),
    ],
)  # fmt: skip
def test_leaves(value, found):
    assert [(leaf.text, leaf.kind) for leaf in leaves(value) if not leaf.label] == found


def test_depth_ends_nothing():
    value = "x"
    for _ in range(100_000):
        value = [value]
    assert [leaf.text for leaf in leaves(value)] == ["x"]


@pytest.mark.parametrize(
    ("message", "anything", "text", "media"),
    [
        ({"role": "assistant"}, False, "", False),
        ({"content": "a", "refusal": "b"}, True, "ab", False),
        ({"content": [{"type": "text", "text": "ha"}, {"type": "text", "text": "ha"}]}, True, "haha", False),
        ({"content": "ha", "reasoning": "ha"}, True, "ha", False),
        ({"images": [{"b64_json": BASE64}]}, True, "", True),
        ({"audio": {"id": "a", "data": "AAAA", "transcript": "hi"}}, True, "hi", True),
        ({"citations": ["https://x"]}, True, "", False),
        ({"content": None, "n": 1, "ok": True, "f": 1.5}, False, "", False),
    ],
)
def test_look(message, anything, text, media):
    seen = look(json.loads(json.dumps(message)))
    assert (seen.anything, seen.text, seen.media_tokens > 0) == (anything, text, media)


@pytest.mark.parametrize(
    ("text", "left", "pictures"),
    [
        (f"See ![it]({DATA_URL}) there", "See ![it]() there", 1),
        (f"{DATA_URL} and {DATA_URL}", " and ", 2),
        ("no picture: data:image/png;base64, is how one begins", None, 0),
        ("plain", None, 0),
    ],
)
def test_pictures_in_the_midst_of_a_text(text, left, pictures):
    assert without_embedded(text) == (text if left is None else left, pictures * 1600)
    meter, without = Meter(), Meter()
    meter.note(text)
    without.note(text if left is None else left)
    assert meter.output() == without.output() + pictures * 1600
