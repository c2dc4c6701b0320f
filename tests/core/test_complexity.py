"""How hard a call is, by what is seen in it (tests/routing judges the whole)."""

import time

import msgspec
import pytest

from ftgate.core import complexity
from ftgate.core.complexity import Asked, grade
from ftgate.core.complexity_chinese import CHINESE, pairs_in

PROOF = "Prove that every bounded monotone sequence of real numbers converges, and give a counterexample without it."


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        (Asked("What is the capital of Peru?"), "simple"),
        (Asked("你好"), "simple"),
        (Asked("把这句话翻译成英文:我明天不来了"), "simple"),
        (Asked('Translate: "The consensus protocol is linearizable and lock-free under contention."'), "simple"),
        (Asked("Write a friendly email to my team about the new office, mention parking and lunch."), "medium"),
        (Asked("写一个介绍茶叶的网页,要有图片和价格"), "medium"),
        (Asked(PROOF), "complex"),
        (Asked("证明素数有无穷多个,并推广到形如4k+3的素数"), "complex"),
        (Asked("Our service deadlocks under load, sometimes. Find the root cause."), "complex"),
        (Asked(""), "simple"),
    ],
)  # fmt: skip
def test_grades(asked: Asked, name: str) -> None:
    assert grade(asked).name == name


def test_it_says_why() -> None:
    found = grade(Asked(PROOF))
    assert found.score == sum(reason.points for reason in found.reasons) >= complexity.COMPLEX_FROM
    assert found.words.startswith(f"complex ({found.score}): reasoning +16, ")
    assert [abs(reason.points) for reason in found.reasons] == sorted(
        (abs(reason.points) for reason in found.reasons), reverse=True
    )


def test_a_few_words_are_read_with_what_was_said_before() -> None:
    assert grade(Asked("go on", before=PROOF, turns=2)).name == "complex"
    assert grade(Asked("thanks", before="hi", turns=2)).name == "simple"


@pytest.mark.parametrize("text", ["thanks!", "谢谢", "translate that into French", "in one sentence", "lol ok bye"])
def test_a_few_words_that_ask_for_a_small_thing_are_read_alone(text: str) -> None:
    assert grade(Asked(text, before=PROOF, turns=2)).name == "simple"


def test_what_was_said_before_makes_a_larger_thing_harder() -> None:
    asked = Asked("and now with sequences that are not monotone, please")
    after = msgspec.structs.replace(asked, before=PROOF, turns=2)
    assert grade(after).score >= grade(asked).score + complexity.FEATURES["proof"].points
    assert grade(Asked("which book covers this?", before=PROOF, turns=2)).name == "medium"


@pytest.mark.parametrize(
    "text",
    [
        "Can a die be fair if it has seven faces, provably?",
        "In one sentence: prove that the deadlock cannot happen",
        "偶尔丢数据",
        "Randomly it stops.",
        "My tax treaty?",
        "一句话说清楚就行:" + "我们的系统在昨天夜里换了机器以后变得很慢,用户一直在抱怨,看了所有的图也没有头绪," * 2,
    ],
)
def test_nothing_with_a_sign_of_hardness_is_simple(text: str) -> None:
    assert grade(Asked(text)).name != "simple"


def test_a_sign_of_hardness_is_told() -> None:
    found = grade(Asked("Randomly it stops."))
    assert found.score == complexity.MEDIUM_FROM == sum(reason.points for reason in found.reasons)
    assert "a sign that it is not simple" in found.words


def test_the_basics_of_a_hard_thing_are_less_than_the_thing() -> None:
    asked = "Explain what a deadlock and a mutex are"
    assert grade(Asked(f"{asked}, with a simple example")).score < grade(Asked(asked)).score


@pytest.mark.parametrize("text", ["", "a", "\ud800中文\ud83d", "😀", "证", "证明", "x证明", "x证明y证明"])
def test_pairs_of_signs(text: str) -> None:
    pairs = {text[at : at + 2] for at in range(len(text) - 1)}
    known = [word for found in pairs_in(text) for _, word in CHINESE[found]]
    assert all(isinstance(word, str) or word.pattern for word in known)
    assert ("证明" in pairs) == any("证明" in (word if isinstance(word, str) else word.pattern) for word in known)


def test_what_counts_beside_the_words() -> None:
    def score(**more: object) -> int:
        return grade(Asked("Describe it, please", **more)).score  # type: ignore[arg-type]

    plain = score()
    assert score(tools=1) == plain + 1 and score(images=3) == plain + 2 and score(turns=4) == plain + 1
    assert score(tokens=4001) == plain + 3 and score(tokens=70_000) == plain + 9
    assert score(system="You are an autonomous engineer") == plain + 6
    assert score(system="Answer with exactly one word") < plain


def test_hard_words_that_were_pasted_do_not_make_a_small_wish_hard() -> None:
    pasted = "Deadlock and livelock in lock-free consensus: atomic operations, memory ordering, linearizability."
    assert grade(Asked(f"Summarize in one sentence:\n\n{pasted}")).name == "simple"
    assert grade(Asked(f"What goes wrong here and why, and what breaks?\n\n{pasted}")).name == "complex"


@pytest.mark.parametrize(
    "text", ["word " * 200_000, "中文" * 200_000, '"' * 400_000, "(" * 400_000, "\n\n" * 200_000, "1." * 9000]
)
def test_a_huge_text_is_not_read_whole(text: str) -> None:
    began = time.perf_counter()
    for _ in range(10):
        grade(Asked(text))
    assert time.perf_counter() - began < 0.5


def test_the_end_of_a_long_text_is_read() -> None:
    article = "The town lies by the river and is known for its cheese. " * 400
    assert (
        grade(Asked(f"{article}\n\n{PROOF}")).score >= grade(Asked(article)).score + complexity.FEATURES["proof"].points
    )
