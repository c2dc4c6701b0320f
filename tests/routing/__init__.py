"""Prompts with labels, by which core.complexity is judged: what model = "auto" takes for simple, medium and complex.

Somebody who had seen no feature of it, and before there were any, wrote 240 prompts in English, in Chinese and in both,
and labelled each by what a good answer takes: simple is a look-up, small talk or a small change to a text, which the
smallest models do well; medium is everyday writing, explaining and programming; complex is what only the best models
do well: proofs, hard debugging, design under many conditions, an expert's judgement. Some were written to mislead: hard
words in a simple wish, hard problems in few plain words. They were then parted at random.

    seen.jsonl      120 that the features and their points were made by
    held_out.jsonl  120 that nobody who works at the features looks at: only their totals are told

While the features were made the totals of the second were looked at four times: 79.2, 78.3, 79.2 and 81.7 % right, with
2, 1, 1 and 1 complex prompt taken for simple. The last stands in README; a fresh set would likely say a little less.
"""
