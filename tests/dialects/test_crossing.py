"""The runner of the golden tables itself, with the one direction that is as old as it: completions over chat."""

import json

import pytest

from ftgate.dialects.states import State
from ftgate.dialects.talk import NotAnAnswer
from ftgate.errors import InvalidRequest
from tests.dialects import crossing
from tests.dialects.cutting import cuts

WAY = "openai_completions", "openai_chat"
SAID = {
    "id": "up", "model": "big", "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "ab"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}  # fmt: skip
STREAM = b"".join(
    b'data: {"id":"up","model":"big","choices":[{"index":0,"delta":%s,"finish_reason":%s}]}\n\n' % one
    for one in ((b'{"role":"assistant"}', b"null"), (b'{"content":"ab"}', b"null"), (b"{}", b'"stop"'))
)
DONE = b"data: [DONE]\n\n"


def test_a_request_goes_up() -> None:
    assert crossing.request(*WAY, {"prompt": "Go on", "max_tokens": 5, "stream": True}) == {
        "model": "up", "messages": [{"role": "user", "content": "Go on"}], "max_tokens": 5, "stream": True,
        "stream_options": {"include_usage": True},
    }  # fmt: skip
    with pytest.raises(InvalidRequest):
        crossing.request(*WAY, {"n": 2})


def test_an_answer_comes_back() -> None:
    got = crossing.answer(*WAY, SAID)
    assert (got["choices"][0]["text"], got["usage"]["prompt_tokens"]) == ("ab", 3)
    with pytest.raises(NotAnAnswer):
        crossing.answer(*WAY, {"choices": []})


def test_a_stream_comes_back_however_it_is_cut() -> None:
    whole = crossing.stream(*WAY, [STREAM + DONE])
    assert whole.endswith(f": {crossing.NOTE}\n".encode() + DONE) and b'"finish_reason":"stop"' in whole
    assert all(crossing.stream(*WAY, pieces) == whole for pieces in cuts(STREAM + DONE))


def test_a_stream_that_breaks_is_told_as_one() -> None:
    for at in range(len(STREAM) - 1):
        passed, state = crossing.watched(*WAY, [STREAM[:at]], cut=True)
        assert state in (State.pending, State.content) and DONE not in passed
        assert "error" in json.loads(passed.rpartition(b"data: ")[2])
