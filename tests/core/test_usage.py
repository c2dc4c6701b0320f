"""Which of an upstream's numbers are believed."""

import pytest

from ftgate.core.usage import Measured, Usage, count, judge

METERED = Usage(input=11, output=7)


@pytest.mark.parametrize(
    ("value", "tokens"),
    [
        (0, 0), (5, 5), (10**30, 10**30), (True, None), (False, None), (-1, None), (1.0, None), (0.5, None), ("5",
        None), (None, None),
        ([], None), (float("nan"), None),
    ],
)  # fmt: skip
def test_count(value, tokens):
    assert count(value) == tokens


@pytest.mark.parametrize(
    ("reported", "content_seen", "malformed", "rejected"),
    [
        (None, True, False, None),
        (None, True, True, "malformed"),
        (Usage(input=101, output=1), True, False, "prompt past the model's context"),
        (
            Usage(input=60, cache_read=20, cache_write=11, cache_write_1h=10, output=1),
            True,
            False,
            "prompt past the model's context",
        ),
        (Usage(input=10**30, output=1), True, False, "prompt past the model's context"),
        (Usage(input=1, output=51), True, False, "output past the cap"),
        (Usage(output=5), True, False, "no prompt tokens"),
        (Usage(), True, False, "no prompt tokens"),
        (Usage(input=1), True, False, "no output tokens although content came"),
        # in order: the first that applies is named
        (Usage(input=101, output=51), True, False, "prompt past the model's context"),
        (Usage(output=51), True, False, "output past the cap"),
    ],
)
def test_refused(reported, content_seen, malformed, rejected):
    said = judge(reported, METERED, prompt_bound=100, output_bound=50, content_seen=content_seen, malformed=malformed)
    assert said == Measured(METERED, exact=False, rejected=rejected)


@pytest.mark.parametrize(
    ("reported", "content_seen"),
    [
        (Usage(input=100, output=50), True),
        (Usage(cache_read=100, output=1), True),
        (Usage(input=1), False),  # an empty answer with a finish_reason
        (Usage(), False),  # the same, and the provider says that it bills nothing
        (Usage(input=1, output=50, reasoning=50), False),
    ],
)
def test_believed(reported, content_seen):
    said = judge(reported, METERED, prompt_bound=100, output_bound=50, content_seen=content_seen)
    assert said == Measured(reported, exact=True)
