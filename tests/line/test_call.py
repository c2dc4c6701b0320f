"""A call's handle: what a door, a limit or the operator does to a call that runs."""

import math

import trio
import trio.testing

from ftgate.core.routing import Candidate
from ftgate.core.secret import Secret
from ftgate.dialects import openai_chat
from ftgate.line.call import Call, Tried
from tests.fakes.ports import addresses, channel, model


def call() -> Call:
    return Call(id="req_1", dialect=openai_chat, secret=b"sk-ft_secret", body=b"a secret prompt")


def test_a_call_says_how_it_stands_and_nothing_of_its_caller() -> None:
    one = call()
    assert repr(one) == "<Call req_1 openai_chat: running>"
    one.client_gone()
    assert repr(one) == "<Call req_1 openai_chat: ended by client_gone, left, cancelled>"
    other = call()
    other.cancel("shutdown")
    assert repr(other) == "<Call req_1 openai_chat: ended by shutdown, cancelled>"
    assert "secret" not in f"{one!r} {one} {other!r}"


def test_the_first_end_is_the_one_that_counts() -> None:
    one = call()
    one.cancel("operator")
    one.client_gone()
    one.cancel("shutdown")
    assert (one.ended_by, one.left, one.cancelled) == ("operator", True, True)


async def test_a_call_that_drains_is_read_on_for_a_while(autojump_clock: trio.testing.MockClock) -> None:
    one = call()
    there = channel(drain=True, drain_s=7.0)
    one.draining = Tried(Candidate(there, addresses("http://x", "openai_chat")["openai_chat"], Secret("k"), model()))
    one.draining.sending.sent = True
    with trio.CancelScope() as one.scope:
        one.client_gone()
        assert repr(one) == "<Call req_1 openai_chat: ended by client_gone, left, draining>"
        assert not one.scope.cancel_called and one.ends_at == trio.current_time() + 7.0 == one.scope.deadline
        one.client_gone("write_timeout")  # says nothing new
        assert one.ended_by == "client_gone"
        await trio.sleep(math.inf)
    assert one.scope.cancelled_caught and trio.current_time() == one.ends_at
