"""What the estimator learns from exact usage."""

import pytest

from ftgate.core import estimate
from ftgate.core.estimate import Count, Ratios


def learned(*exact: int, estimated: int = 100) -> Ratios:
    ratios = Ratios()
    for tokens in exact:
        ratios.learn("prompt", "m", estimated * 1000, tokens)
    return ratios


@pytest.mark.parametrize(
    ("exact", "scaled"),
    [
        ([130], 130),
        ([50], 50),
        ([10**6], 200),
        ([20], 50),
        ([200] + [100] * 200, 100),
        ([100] * 5 + [1000], 106),
        ([15], 100),
    ],
)
def test_a_model_is_met_within_half_and_twice(exact: list[int], scaled: int) -> None:
    found = learned(*exact).scale("prompt", "m", Count(100_000, 150_000))
    assert found.likely == pytest.approx(scaled, abs=1)


def test_the_bound_never_shrinks() -> None:
    assert learned(50).scale("prompt", "m", Count(100_000, 150_000)).bound == 150
    assert learned(200).scale("prompt", "m", Count(100_000, 150_000)).bound == 300


def test_kinds_and_models_are_apart() -> None:
    ratios = learned(150)
    plain = Count(100_000, 150_000)
    assert ratios.scale("output", "m", plain) == plain == ratios.scale("prompt", "other", plain)


def test_short_texts_teach_nothing() -> None:
    ratios = Ratios()
    ratios.learn("prompt", "m", 3000, 300)
    assert not ratios.known and not ratios.changed


def test_learning_beats_the_rates_on_a_strange_tokenizer() -> None:
    text = estimate.text("The quick brown fox jumps over the lazy dog. " * 20)
    real = text.likely * 17 // 10
    before = abs(text.likely - real)
    ratios = Ratios()
    for _ in range(3):
        ratios.learn("prompt", "m", text.likely_milli, real)
    assert abs(ratios.scale("prompt", "m", text).likely - real) * 20 < before
