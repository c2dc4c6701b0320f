"""`python -m tests.routing [seen|held_out]`: how the labelled prompts are graded, in totals."""

import sys

from tests.routing.judged import SETS, judge

for name in sys.argv[1:] or SETS:
    for line in judge(name).lines:
        print(line)
