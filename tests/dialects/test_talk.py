"""What counts of the usages that an upstream tells one after the other."""

import pytest

from ftgate.core.usage import Usage
from ftgate.dialects.talk import Meter

NOTHING = Usage()
FIRST = Usage(input=10, cache_read=3, output=5, reasoning=2)
PROMPT = Usage(input=20, cache_read=4)
OUTPUT = Usage(output=9, reasoning=1)
LATER = Usage(input=30, output=6)
BAD = None
"""A usage of which no sense can be made."""


@pytest.mark.parametrize(
    ("told", "counts", "alone"),
    [
        ([FIRST], FIRST, True),
        ([FIRST, LATER], LATER, True),  # the last one counts
        ([NOTHING], NOTHING, True),  # nothing was billed, says the upstream
        ([FIRST, NOTHING], FIRST, False),
        # a half that says zero replaces none that was told
        ([PROMPT, OUTPUT], Usage(input=20, cache_read=4, output=9, reasoning=1), False),
        ([OUTPUT, PROMPT], Usage(input=20, cache_read=4, output=9, reasoning=1), False),
        ([FIRST, OUTPUT], Usage(input=10, cache_read=3, output=9, reasoning=1), False),
        ([FIRST, PROMPT], Usage(input=20, cache_read=4, output=5, reasoning=2), False),
        # and nothing is left of what came before one that makes no sense
        ([BAD], None, False),
        ([FIRST, BAD], None, False),
        ([BAD, NOTHING], None, False),
        ([BAD, FIRST], FIRST, True),
    ],
)
def test_which_usage_counts(told: list[Usage | None], counts: Usage | None, alone: bool) -> None:
    meter, is_alone = Meter(), False
    for usage in told:
        if usage is None:
            meter.misreport()
            is_alone = False
        else:
            is_alone = meter.report(usage)
    assert (meter.reported, meter.malformed, is_alone) == (counts, counts is None, alone)
