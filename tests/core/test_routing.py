"""Which candidates, in which order."""

from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftgate.core import routing
from ftgate.core.routing import Address, Candidate, Names, Routes, Speech
from ftgate.core.secret import Secret
from tests.core.channels import CHAT, EMBED, channel, model

SPEECH = Speech("chat", ("chat",))


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
