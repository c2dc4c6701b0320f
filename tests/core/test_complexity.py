"""How hard a call is, by what is seen in it (tests/routing judges the whole)."""

import time

import pytest

from ftgate.core import complexity
from ftgate.core.complexity import Asked, grade

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
    assert found.words.startswith(f"complex ({found.score}): reasoning +10, ")
    assert [abs(reason.points) for reason in found.reasons] == sorted(
        (abs(reason.points) for reason in found.reasons), reverse=True
    )


def test_a_few_words_are_read_with_what_was_said_before() -> None:
    assert grade(Asked("go on", before=PROOF, turns=2)).name == "complex"
    assert grade(Asked("thanks", before="hi", turns=2)).name == "simple"


def test_what_counts_beside_the_words() -> None:
    def score(**more: object) -> int:
        return grade(Asked("Describe it, please", **more)).score  # type: ignore[arg-type]

    plain = score()
    assert score(tools=1) == plain + 1 and score(images=3) == plain + 2 and score(turns=4) == plain + 1
    assert score(tokens=4001) == plain + 2 and score(tokens=70_000) == plain + 6
    assert score(system="You are an autonomous engineer") == plain + 5
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
