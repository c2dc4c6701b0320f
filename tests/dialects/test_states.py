"""The table of a stream's states, held against the rules that stand above it."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftgate.dialects.states import BEGUN, OVER, TABLE, WHOLE, Sign, State


def test_every_state_answers_every_sign():
    assert set(TABLE) == set(State)
    assert all(set(row) == set(Sign) for row in TABLE.values())


def after(signs):
    states = [State.pending]
    for sign in signs:
        states.append(TABLE[states[-1]][sign])
    return states


@given(st.lists(st.sampled_from(Sign), max_size=12))
def test_what_holds_of_every_stream(signs):
    states = after(signs)
    for before, now in pairwise(states):
        assert before not in BEGUN or now in BEGUN, "what has gone to a client cannot be taken back"
        assert before not in OVER or now is before, "an end is an end"
        assert now is not State.failed or before not in BEGUN
        assert now not in WHOLE or before in WHOLE or before is State.finished, "a whole answer has said why it ended"
    begins = {Sign.content, Sign.full, Sign.finish}
    first = next((n for n, sign in enumerate(signs) if sign in begins | {Sign.mark, Sign.wrong, Sign.close}), None)
    if first is not None and signs[first] not in begins:
        assert states[-1] is State.failed


@pytest.mark.parametrize(
    ("signs", "state"),
    [
        ("quiet quiet", "pending"),
        ("quiet full quiet", "content"),
        ("content finish quiet mark", "done"),
        ("content finish close", "ended"),
        ("finish mark", "done"),
        ("content close", "broken"),
        ("content mark", "broken"),
        ("content finish more close", "broken"),
        ("content finish more finish close", "ended"),
        ("quiet wrong", "failed"),
        ("content wrong finish mark", "broken"),
        ("content finish wrong", "broken"),
        ("content finish mark wrong close", "done"),
        ("close", "failed"),
        ("mark", "failed"),
    ],
)
def test_courses(signs, state):
    assert after([Sign(sign) for sign in signs.split()])[-1] is State(state)
