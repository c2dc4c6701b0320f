"""What an upstream's error means, and what follows each outcome: one row per line of the retry table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftgate.core import retrying, verdicts
from ftgate.core.retrying import Outcome, Retry, Step
from ftgate.core.routing import Candidate
from ftgate.core.secret import Secret
from ftgate.core.verdicts import Verdict
from tests.core.channels import CHAT, channel, model

# verdict


@pytest.mark.parametrize(
    ("status", "words", "said"),
    [
        (400, "", "caller"),
        (404, "no such model", "caller"),
        (409, "", "caller"),
        (422, "bad temperature", "caller"),
        (451, "", "caller"),
        (400, "This model's maximum context length is 8192 tokens", "context"),
        (400, "context_length_exceeded", "context"),
        (400, "prompt is too long: 210000 tokens > 200000 maximum", "context"),
        (413, "too many tokens", "context"),
        (422, "exceeds the context window", "context"),
        (404, "context length", "caller"),
        (429, "slow down", "rate_limited"),
        (429, "too many tokens per minute", "rate_limited"),
        (401, "Incorrect API key", "credential"),
        (403, "", "credential"),
        (400, "This organization has been disabled. invalid_request_error", "credential"),
        (403, "Your chosen model requires moderation and your input was flagged 403", "caller"),
        (403, "blocked content_policy_violation", "caller"),
        (403, "Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO", "caller"),
        (402, "", "out_of_credit"),
        (402, "Insufficient Balance", "out_of_credit"),
        (400, "Your credit balance is too low to access the Anthropic API", "out_of_credit"),
        (400, "Access denied, please make sure your account is in good standing", "out_of_credit"),
        (429, "You exceeded your current quota insufficient_quota", "out_of_credit"),
        (429, "账户余额不足，请充值 1113", "out_of_credit"),
        (401, "Insufficient credits", "out_of_credit"),
        (403, "您的账户已欠费", "out_of_credit"),
        (500, "insufficient balance", "out_of_credit"),  # by the words, whatever the status
        (404, "INSUFFICIENT_BALANCE", "out_of_credit"),
        (
            400,
            "You have reached your specified API usage limits. You will regain access on 2026-12-01",
            "out_of_credit",
        ),
        (429, "Your account is not active, please check your billing details billing_not_active", "out_of_credit"),
        (400, "Billing hard limit has been reached billing_hard_limit_reached", "out_of_credit"),
        (429, "You exceeded your current token quota, please check your account balance", "out_of_credit"),
        (429, "Your account is suspended exceeded_current_quota_error", "out_of_credit"),
        (408, "", "overloaded"),
        (500, "", "overloaded"),
        (502, "<html>", "overloaded"),
        (503, "context length", "overloaded"),
        (508, "", "hollow"),  # it came back to us: asking again would only go round again
        (
            400,
            "the request exceeds the available context size, try increasing it exceed_context_size_error 400",
            "context",
        ),
        (500, "the request exceeds the available context size. exceed_context_size_error 500", "context"),
        (400, "The input (61709 tokens) is longer than the model's context length (40960 tokens).", "context"),
        (400, "Input length (160062 tokens) exceeds the maximum allowed length (59862 tokens).", "context"),
        (400, "Invalid request: Your request exceeded model token limit: 262144 (requested: 269030)", "context"),
        (400, "<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 204800]", "context"),
        (400, "The input token count (2845475) exceeds the maximum number of tokens allowed (1048576).", "context"),
        (400, "Input length 203743 exceeds the maximum length 202752 InvalidParameter", "context"),
        (400, "Total tokens of image and text exceed max message tokens", "context"),
        (400, "input length and `max_tokens` exceed context limit: 198214 + 8192 > 200000", "context"),
        (400, "The decoder prompt (length 10127) is longer than the maximum model length of 8192.", "context"),
        (
            400,
            "The encrypted content could not be verified. invalid_encrypted_content",
            "unreadable",
        ),
        (400, "rs_1 could not be verified. Reason: Encrypted content could not be decrypted or parsed.", "unreadable"),
        (429, "invalid_encrypted_content", "rate_limited"),
        # a cap past what the model writes is no prompt past its context
        (400, "max_tokens is too large: 65536. This model supports at most 32768 completion tokens", "caller"),
        (400, "Range of max_tokens should be [1, 8192]", "caller"),
        (400, "integer above maximum value, expected a value <= 32768, but got 65536", "caller"),
        (529, "overloaded", "overloaded"),
        (599, "", "overloaded"),
        (302, "", "hollow"),
        (204, "", "hollow"),
    ],
)
def test_verdict(status, words, said):
    assert verdicts.verdict(status, words).value == said
    assert verdicts.verdict(status, words, said="Hello").value == said


@pytest.mark.parametrize(
    ("message", "names", "asked", "means"),
    [
        ("Invalid value: 'insufficient_quota'", "invalid_request_error", "insufficient_quota", "caller"),
        ("Invalid value: 'Invalid_API_key'", "invalid_request_error", "invalid_api_KEY", "caller"),
        ("Incorrect API key provided", "invalid_api_key", "why do I see: incorrect api key", "credential"),
        ("Your credit balance is too low", "", "insufficient_quota", "out_of_credit"),
        ("'invalid_api_key': the prompt is too long", "", "invalid_api_key", "context"),
    ],
)
def test_what_only_repeats_the_request_takes_no_key_away(message, names, asked, means):
    assert verdicts.verdict(400, f"{message} {names}", said=asked, names=names).value == means


# next_step


def plan_of(*contexts):
    return tuple(
        Candidate(channel(str(n)), CHAT, Secret("k"), model(context=context)) for n, context in enumerate(contexts)
    )


ONE, THREE = plan_of(None), plan_of(None, None, None)
RETRY = Retry(attempts=3, max_retry_after=10.0, backoff=0.5, backoff_cap=8.0)
AGAIN = Step(0, 0.375)  # 0.5 s, at jitter 0.5: three quarters

TABLE = [
    # verdict, among others at the first place, at the last place, alone
    ("caller", None, None, None),
    ("context", None, None, None),
    ("unreadable", Step(0, bare=True), Step(2, bare=True), Step(0, bare=True)),
    ("rate_limited", Step(1), None, None),
    ("credential", Step(1), None, None),
    ("out_of_credit", Step(1), None, None),
    ("overloaded", Step(1), None, AGAIN),
    ("unreachable", Step(1), None, AGAIN),
    ("timeout", Step(1), None, None),
    ("hollow", Step(1), None, None),
]


@pytest.mark.parametrize(("verdict", "first", "last", "alone"), TABLE)
def test_retry_table(verdict, first, last, alone):
    def after(plan, index):
        before = [Outcome(n, Verdict.hollow, "") for n in range(index)]
        return retrying.next_step(plan, [*before, Outcome(index, Verdict(verdict), "")], Retry(attempts=9), 0.5)

    assert (after(THREE, 0), after(THREE, 2), after(ONE, 0)) == (first, last, alone)


def test_what_cannot_be_read_is_left_out_once_at_each_candidate():
    def after(*ended):
        return retrying.next_step(THREE, [Outcome(at, Verdict(verdict), "") for at, verdict in ended], RETRY, 0.5)

    assert after((0, "unreadable"), (0, "unreadable")) is None
    assert after((0, "unreadable"), (0, "overloaded")) == Step(1)
    assert after((0, "unreadable"), (1, "unreadable")) == Step(1, bare=True)
    assert after((0, "overloaded"), (1, "overloaded"), (2, "unreadable")) is None  # no attempt is left


def test_the_table_is_whole():
    assert {row[0] for row in TABLE} == {verdict.value for verdict in Verdict}
    documented = retrying.__doc__ or ""
    assert all(f"\n    {verdict.value} " in documented for verdict in Verdict)


@pytest.mark.parametrize(
    ("contexts", "index", "step"),
    [
        ((8, 8, 16), 0, Step(2)),
        ((8, 4, 8, None), 0, None),
        ((8, 16, 32), 1, Step(2)),
        ((16, 8), 0, None),
        ((32, 8, 16), 0, None),
        ((None, 8), 0, Step(1)),  # what nobody stated may be short
    ],
)
def test_context_looks_for_a_longer_one(contexts, index, step):
    before = [Outcome(n, Verdict.hollow, "") for n in range(index)]
    assert retrying.next_step(plan_of(*contexts), [*before, Outcome(index, Verdict.context, "")], RETRY, 0.5) == step


def keyed(*places):
    """A plan of channels by their names, each with the next key."""
    return tuple(Candidate(channel(name), CHAT, Secret(f"k{n}"), model()) for n, name in enumerate(places))


@pytest.mark.parametrize(
    ("verdict", "walk"),
    [
        ("overloaded", [0, 2, 3, 1]),  # what is down is down for its other keys too: they come last
        ("unreachable", [0, 2, 3, 1]),
        ("timeout", [0, 2, 3, 1]),
        ("rate_limited", [0, 1, 2, 3]),  # another key is another limit
        ("credential", [0, 1, 2, 3]),
        ("out_of_credit", [0, 1, 2, 3]),
        ("hollow", [0, 1, 2, 3]),
    ],
)
def test_another_channel_before_another_key_of_one_that_is_down(verdict, walk):
    plan, outcomes = keyed("a", "a", "b", "c"), []
    for index in walk:
        step = retrying.next_step(plan, outcomes, Retry(attempts=9), 0.5)
        assert step == Step(index)
        outcomes.append(Outcome(index, Verdict(verdict), ""))
    assert retrying.next_step(plan, outcomes, Retry(attempts=9), 0.5) is None


def test_who_rests_is_not_asked():
    plan = keyed("a", "b", "c")

    def step(*ended, verdict="overloaded", **waits):
        outcomes = [Outcome(index, Verdict(verdict), "", retry_after_s=2.0) for index in ended]
        rests = lambda way: waits.get(way.channel.name, 0.0)  # noqa: E731
        return retrying.next_step(plan, outcomes, RETRY, 1.0, rests)

    assert (step(), step(a=1), step(a=1, b=1, c=1)) == (Step(0), Step(1), None)
    assert (step(0, b=1), step(0, b=1, c=1)) == (Step(2), None)
    plan = plan[:1]
    assert (step(0), step(0, a=1)) == (Step(0, 0.5), None)  # its own failure was one too many: it is left alone
    assert step(0, verdict="rate_limited", a=3.0) == Step(0, 3.0)
    assert step(0, verdict="rate_limited", a=11.0) is None


@pytest.mark.parametrize(
    ("wait", "step"),
    [(None, None), (0.0, Step(0, 0.0)), (3.5, Step(0, 3.5)), (10.0, Step(0, 10.0)), (10.1, None), (float("inf"), None)],
)
def test_alone_and_rate_limited(wait, step):
    said = Outcome(0, Verdict.rate_limited, "", 429, wait)
    assert retrying.next_step(ONE, [said], RETRY, 0.5) == step
    assert retrying.next_step(THREE, [said], RETRY, 0.5) == Step(1)  # another candidate does not wait


@pytest.mark.parametrize("verdict", ["overloaded", "unreachable", "rate_limited", "hollow"])
def test_attempts_are_counted(verdict):
    many = plan_of(*[None] * 9)
    tried = [Outcome(n, Verdict(verdict), "", retry_after_s=0.0) for n in range(3)]
    assert retrying.next_step(many, tried[:2], RETRY, 0.0) == Step(2)
    assert retrying.next_step(many, tried, RETRY, 0.0) is None
    assert retrying.next_step(many, tried[:1], Retry(attempts=1), 0.0) is None


def test_backoff_doubles_to_its_cap():
    patient = Retry(attempts=100, backoff=0.5, backoff_cap=8.0)

    def wait(tries, jitter):
        step = retrying.next_step(ONE, [Outcome(0, Verdict.overloaded, "")] * tries, patient, jitter)
        assert step is not None and step.index == 0
        return step.delay_s

    assert [wait(n, 1.0) for n in range(1, 8)] == [0.5, 1, 2, 4, 8, 8, 8]
    assert [wait(n, 0.0) for n in range(1, 8)] == [0.25, 0.5, 1, 2, 4, 4, 4]
    assert wait(99, 1.0) == 8


@given(st.lists(st.sampled_from(list(Verdict)), min_size=1, max_size=30), st.integers(1, 5), st.floats(0, 1))
def test_every_call_ends(verdicts, candidates, jitter):
    """Whatever the outcomes: at most `attempts` tries, never a candidate that is not there."""
    plan, outcomes, step = plan_of(*[None] * candidates), [], Step(0)
    for verdict in verdicts:
        outcomes.append(Outcome(step.index, verdict, "", retry_after_s=1.0))
        step = retrying.next_step(plan, outcomes, RETRY, jitter)
        if step is None:
            return
        assert 0 <= step.index < candidates and 0 <= step.delay_s <= 10
        assert len(outcomes) < RETRY.attempts
