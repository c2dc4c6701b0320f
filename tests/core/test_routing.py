"""Which candidates, in which order; and what follows each outcome: one row per line of the retry table."""

from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftgate.core import routing
from ftgate.core.pricing import Price
from ftgate.core.routing import (
    Address,
    Candidate,
    Channel,
    Model,
    Names,
    Outcome,
    Retry,
    Routes,
    Speech,
    Step,
    Verdict,
)
from ftgate.core.secret import Secret


def model(name="m", price=1, context=None, **more):
    return Model(
        name=name, upstream=f"up-{name}", price=Price(price, price, price, price, price), context=context, **more
    )


CHAT = Address("chat", "http://h/chat", "bearer", ("max_tokens", "max_completion_tokens"))
EMBED = Address("embed", "http://h/embed", "bearer")
SPEECH = Speech("chat", ("chat",))


def channel(name, *models, keys=("k",), priority=0, weight=1, addresses=(CHAT,)):
    return Channel(
        name=name, provider="p", addresses={a.dialect: a for a in addresses}, credentials=tuple(map(Secret, keys)),
        models={m.name: m for m in models or (model(),)}, priority=priority, weight=weight,
    )  # fmt: skip


def shown(ways):
    return " ".join(f"{way.channel.name}/{way.credential.reveal()}/{way.model.name}" for way in ways)


def ways_of(routes, names, speech=SPEECH, turn=0):
    return routing.plan(routing.spots(routes, list(names), speech, turn))


def planned(routes, *names, turn=0):
    return shown(ways_of(routes, names, turn=turn))


# plan


def test_priority_then_weight_then_credentials():
    routes = Routes(
        (
            channel("late", priority=2),
            channel("a", keys=("1", "2")),
            channel("first", priority=-1),
            channel("b", weight=2),
        )
    )
    assert planned(routes, "m", turn=0) == "first/k/m a/1/m a/2/m b/k/m late/k/m"
    assert planned(routes, "m", turn=1) == "first/k/m b/k/m a/2/m a/1/m late/k/m"
    assert planned(routes, "m", turn=2) == "first/k/m b/k/m a/2/m a/1/m late/k/m"
    assert planned(routes, "m", turn=3) == "first/k/m a/2/m a/1/m b/k/m late/k/m"


@given(st.lists(st.integers(0, 5), min_size=1, max_size=5), st.integers(0, 1000))
def test_each_channel_gets_its_weight(weights, start):
    routes = Routes(tuple(channel(str(n), weight=weight) for n, weight in enumerate(weights)))
    total = sum(weights)
    firsts = Counter(
        ways[0].channel.name
        for turn in range(start, start + total)
        if (ways := tuple(ways_of(routes, ["m"], turn=turn)))
    )
    assert [firsts[str(n)] for n in range(len(weights))] == weights
    for turn in range(start, start + total):
        assert sorted(way.channel.name for way in ways_of(routes, ["m"], turn=turn)) == [
            str(n) for n, weight in enumerate(weights) if weight
        ]


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=4))
def test_each_credential_gets_its_turn(channels):
    """(weight, credentials) of each channel: its credentials are first equally often, however the turns fall."""
    routes = Routes(tuple(channel(str(n), weight=w, keys=tuple("abcd"[:k])) for n, (w, k) in enumerate(channels)))
    rounds = 12 * sum(w for w, _ in channels)
    firsts = Counter(
        (way.channel.name, way.credential.reveal())
        for way in (next(ways_of(routes, ["m"], turn=turn)) for turn in range(rounds))
    )
    for n, (weight, keys) in enumerate(channels):
        assert [firsts[str(n), key] for key in "abcd"[:keys]] == [12 * weight // keys] * keys


def test_weight_nothing_and_no_credentials():
    assert planned(Routes((channel("a", weight=0),)), "m") == ""
    assert planned(Routes((channel("a", keys=()), channel("b"))), "m") == "b/k/m"
    assert planned(Routes(()), "m") == ""


def test_names_keep_their_order():
    routes = Routes(
        (channel("dear", model("m", 9), model("n", 5)), channel("cheap", model("m", 1)), channel("even", model("o", 5)))
    )
    assert planned(routes, "m", "n", "o") == "dear/k/m cheap/k/m dear/k/n even/k/o"


# names

SERVED = Routes(
    (channel("a", model("small", 1), model("mid", 5), model("big", 9)), channel("b", model("mid", 2), model("own", 3))),
    aliases={
        "old": "small", "older": "old", "oldest": "older", "x": "y", "y": "x", "self": "self", "big": "small",
        "dead": "nowhere",
        "1": "2", "2": "3", "3": "4", "4": "small",
    },
    fallback={"mid": ("big", "old"), "older": ("own",), "own": ("own", "dead"), "ghost": ("small",)},
    auto={"simple": ("old",), "medium": ("mid",), "complex": ("big",)},
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "served"),
    [
        ("small", "small"), ("old", "small"), ("oldest", "small"), ("1", "small"), ("big", "big"), ("nothing",
        "nothing"),
        ("dead", "nowhere"), ("self", "self"),
    ],
)  # fmt: skip
def test_aliases(name, served):
    assert SERVED.resolve(name) == served


def test_cycles_end():
    assert SERVED.resolve("x") in {"x", "y"}
    assert routing.names_for(SERVED, ("x",), "simple", "chat") in (Names(("x",)), Names(("y",)))


@pytest.mark.parametrize(
    ("asked", "grade", "names", "fallback"),
    [
        (("small",), "simple", "small", ""),
        (("old", "small"), "simple", "small", ""),
        (("mid",), "simple", "mid", "big small"),
        (("own", "mid"), "simple", "own mid", "nowhere big small"),  # what was asked comes first
        (("older",), "simple", "small", "own"),  # a fallback of the alias
        (("ghost",), "simple", "ghost", "small"),
        (("auto",), "simple", "small mid big", ""),
        (("auto",), "medium", "mid small big", ""),
        (("auto",), "complex", "big mid small", ""),
        (("own", "auto"), "complex", "own big mid small", "nowhere"),
        ((), "simple", "", ""),
    ],
)
def test_names(asked, grade, names, fallback):
    found = routing.names_for(SERVED, asked, grade, "chat")
    assert (" ".join(found.asked), " ".join(found.fallback)) == (names, fallback)


def test_what_follows_from_the_channels_is_indexed_once():
    dear, cheap = channel("a", model("m", 9), model("n", 2)), channel("b", model("m", 1))
    routes = Routes((dear, cheap))
    assert routes.serving("m") == (dear, cheap) and routes.serving("n") == (dear,) and routes.serving("x") == ()
    assert routes.by_price == {"chat": ("m", "n")}


def test_candidates_are_made_as_they_are_asked_for():
    """The first few of a catalogue of hundreds cost nothing of the rest."""
    made = []

    class Counted(dict):  # type: ignore[type-arg]
        def __getitem__(self, name):
            made.append(name)
            return super().__getitem__(name)

    models = Counted((f"m{n}", model(f"m{n}", n)) for n in range(480))
    routes = Routes((msgspec.structs.replace(channel("a"), models=models),))
    ways = ways_of(routes, routing.names_for(routes, ("auto",), "simple", "chat").asked)
    assert [next(ways).model.name for _ in range(4)] == ["m0", "m1", "m2", "m3"] and len(made) < 10


def test_auto_without_its_section_is_every_model_the_cheapest_first():
    routes = Routes((channel("a", model("small", 2), model("mid", 1)), channel("b", model("mid", 5), model("own", 3))))
    assert routing.names_for(routes, ("auto",), "simple", "chat") == Names(("mid", "small", "own"))
    assert routing.names_for(Routes(()), ("auto",), "simple", "chat") == Names(())


def test_a_model_may_be_called_auto():
    routes = Routes((channel("a", model("auto"), model("m", 0)),), auto={"simple": ("m",)})
    assert routing.names_for(routes, ("auto",), "simple", "chat") == Names(("auto",))


@pytest.mark.parametrize(
    ("patterns", "names", "lets"),
    [
        ((), ("m",), True),
        (("m",), ("m",), True),
        (("m",), ("m2",), False),
        (("m",), ("alias", "m"), True),
        (("M",), ("m",), False),
        (("gpt-*",), ("gpt-4o",), True),
        (("gpt-*",), ("gpt-",), True),
        (("gpt-*",), ("gpt",), False),
        (("*",), ("anything",), True),
        (("a*b",), ("aXb",), False),  # a star stands for a rest, at the end only
        (("", "n"), ("m",), False),
        (("x", "n"), ("n",), True),
    ],
)
def test_allowed(patterns, names, lets):
    assert routing.allowed(patterns, *names) is lets


PREFIXED = Routes(
    (channel("a", model("m"), model("anthropic/own"), model("own"), model("anthropic/only")),), aliases={"old": "m"}
)


@pytest.mark.parametrize(("name", "bare"), [
    ("m", "m"), ("anthropic/m", "m"), ("anthropic/old", "old"), ("anthropic/own", "anthropic/own"),
    ("anthropic/only", "anthropic/only"), ("anthropic/anthropic/only", "anthropic/only"),
    ("anthropic/nonesuch", "anthropic/nonesuch"), ("anthropic/", "anthropic/"), ("anthropic/*", "anthropic/*"),
    ("Anthropic/m", "Anthropic/m"), ("only", "only"), ("nonesuch", "nonesuch"),
])  # fmt: skip
def test_anthropic_s_prefix_before_a_name(name, bare):
    assert PREFIXED.bare(name) == bare


@pytest.mark.parametrize(("patterns", "lets"), [
    (("anthropic/m",), "m old"), (("anthropic/old",), "m old"), (("anthropic/own",), "anthropic/own"),
    (("own",), "own"), (("anthropic/*",), "anthropic/own anthropic/only"), (("anthropic/nonesuch",), ""),
    ((), "m old own anthropic/own anthropic/only"),
])  # fmt: skip
def test_a_restriction_may_name_a_model_with_it(patterns, lets):
    names = ("m", "old", "own", "anthropic/own", "anthropic/only")
    assert " ".join(name for name in names if PREFIXED.permits(patterns, name)) == lets


@pytest.mark.parametrize(
    ("patterns", "name", "lets"),
    [
        ((), "m", True),
        (("x",), "m", True),  # a key for the alias is one for its model
        (("x",), "x", True),
        (("x",), "y", True),  # and for its other names
        (("x*",), "m", True),
        (("m",), "y", True),
        (("x",), "n", False),
        (("y",), "n", False),
        (("unknown",), "unknown", True),  # an unknown name is told as that, not as forbidden
        (("x",), "unknown", False),
    ],
)
def test_an_alias_counts_as_its_model(patterns, name, lets):
    routes = Routes((channel("a", model("m"), model("n")),), aliases={"x": "m", "y": "x"})
    assert routes.permits(patterns, name) is lets


@pytest.mark.parametrize(
    ("stated", "context", "prompt", "limit"),
    [
        (None, None, 10, 4096),
        (100, None, 10**6, 100),
        (None, 1000, 10, 990),
        (100, 1000, 10, 100),
        (100, 1000, 950, 100),  # never past what the model was stated to write
        (300, 1000, 950, 256),
        (4000, 1000, 10**6, 256),
        (8000, 10_000, 5000, 5000),
    ],
)
def test_output_limit(stated, context, prompt, limit):
    assert model(context=context, max_output=stated).output_limit(prompt) == limit


# kinds and dialects


def test_a_call_goes_to_models_of_its_kind_in_a_dialect_that_both_speak():
    both = channel("both", model("m"), model("e", kind="embeddings"), addresses=(CHAT, EMBED))
    chat = channel("chat", model("m", 2), model("e", kind="embeddings"))
    routes = Routes((both, chat), auto={"simple": ("m",)})
    embed = Speech("embeddings", ("embed",))

    def addresses(names, speech):
        return [(w.channel.name, w.address) for w in ways_of(routes, names, speech)]

    assert addresses(["m", "e"], SPEECH) == [("both", CHAT), ("chat", CHAT)]
    assert addresses(["m", "e"], embed) == [("both", EMBED)]
    assert addresses(["m"], Speech("chat", ("messages", "chat"))) == [("both", CHAT), ("chat", CHAT)]
    assert addresses(["m"], Speech("chat", ("messages",))) == []
    assert routing.names_for(routes, ("auto",), "simple", "chat").asked == ("m",)
    assert routing.names_for(routes, ("auto",), "", "embeddings").asked == ("e",)


@pytest.mark.parametrize(
    ("of_model", "of_dialect", "field"),
    [
        ("max_tokens", ("max_tokens", "max_completion_tokens"), "max_tokens"),
        ("max_completion_tokens", ("max_tokens", "max_completion_tokens"), "max_completion_tokens"),
        ("max_completion_tokens", ("max_tokens",), "max_tokens"),  # its chat field is unknown there
        ("max_tokens", ("max_output_tokens",), "max_output_tokens"),
        ("max_tokens", (), None),
        (None, ("max_tokens",), None),  # a server that knows none
    ],
)
def test_the_cap_has_one_field(of_model, of_dialect, field):
    way = Candidate(
        channel("a"), Address("d", "http://h", "bearer", of_dialect), Secret("k"), model(cap_field=of_model)
    )
    assert way.cap_field == field


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
    assert routing.verdict(status, words).value == said


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
        return routing.next_step(plan, [*before, Outcome(index, Verdict(verdict), "")], Retry(attempts=9), 0.5)

    assert (after(THREE, 0), after(THREE, 2), after(ONE, 0)) == (first, last, alone)


def test_what_cannot_be_read_is_left_out_once_at_each_candidate():
    def after(*ended):
        return routing.next_step(THREE, [Outcome(at, Verdict(verdict), "") for at, verdict in ended], RETRY, 0.5)

    assert after((0, "unreadable"), (0, "unreadable")) is None
    assert after((0, "unreadable"), (0, "overloaded")) == Step(1)
    assert after((0, "unreadable"), (1, "unreadable")) == Step(1, bare=True)
    assert after((0, "overloaded"), (1, "overloaded"), (2, "unreadable")) is None  # no attempt is left


def test_the_table_is_whole():
    assert {row[0] for row in TABLE} == {verdict.value for verdict in Verdict}
    documented = routing.__doc__ or ""
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
    assert routing.next_step(plan_of(*contexts), [*before, Outcome(index, Verdict.context, "")], RETRY, 0.5) == step


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
        step = routing.next_step(plan, outcomes, Retry(attempts=9), 0.5)
        assert step == Step(index)
        outcomes.append(Outcome(index, Verdict(verdict), ""))
    assert routing.next_step(plan, outcomes, Retry(attempts=9), 0.5) is None


def test_who_rests_is_not_asked():
    plan = keyed("a", "b", "c")

    def step(*ended, verdict="overloaded", **waits):
        outcomes = [Outcome(index, Verdict(verdict), "", retry_after_s=2.0) for index in ended]
        rests = lambda way: waits.get(way.channel.name, 0.0)  # noqa: E731
        return routing.next_step(plan, outcomes, RETRY, 1.0, rests)

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
    assert routing.next_step(ONE, [said], RETRY, 0.5) == step
    assert routing.next_step(THREE, [said], RETRY, 0.5) == Step(1)  # another candidate does not wait


@pytest.mark.parametrize("verdict", ["overloaded", "unreachable", "rate_limited", "hollow"])
def test_attempts_are_counted(verdict):
    many = plan_of(*[None] * 9)
    tried = [Outcome(n, Verdict(verdict), "", retry_after_s=0.0) for n in range(3)]
    assert routing.next_step(many, tried[:2], RETRY, 0.0) == Step(2)
    assert routing.next_step(many, tried, RETRY, 0.0) is None
    assert routing.next_step(many, tried[:1], Retry(attempts=1), 0.0) is None


def test_backoff_doubles_to_its_cap():
    patient = Retry(attempts=100, backoff=0.5, backoff_cap=8.0)

    def wait(tries, jitter):
        step = routing.next_step(ONE, [Outcome(0, Verdict.overloaded, "")] * tries, patient, jitter)
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
        step = routing.next_step(plan, outcomes, RETRY, jitter)
        if step is None:
            return
        assert 0 <= step.index < candidates and 0 <= step.delay_s <= 10
        assert len(outcomes) < RETRY.attempts
