"""Totals over a set of labelled prompts: nothing here tells how a single one was graded."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from ftgate.core import complexity
from ftgate.core.complexity import GRADES, Asked
from ftgate.dialects import gist, openai_chat

SETS = ("seen", "held_out")
PRICES: Mapping[str, tuple[float, float]] = {"simple": (0.2, 1.25), "medium": (0.75, 4.5), "complex": (2.5, 15.0)}
"""Assumed USD a million tokens in and out of the model that a grade is sent to: gpt-5.4-nano, gpt-5.4-mini and gpt-5.4
at the catalogue's prices. "Always premium" sends all to the last."""
OUTPUT = 1000
"""Tokens assumed of every answer, easy or hard."""
OUTPUTS = {"simple": 150, "medium": 800, "complex": 2500}
"""And where an answer is as long as its label makes likely, which the gate cannot know before: less is saved then,
since what is complex costs the most wherever it goes."""


class Judged(msgspec.Struct, frozen=True):
    """`table` counts by label and grade; `saved` is the part of the premium model's cost that was not spent, with
    answers of one length, `saved_by_length` with those of OUTPUTS."""

    name: str
    number: int
    right: float
    table: Counter[tuple[str, str]]
    saved: float
    saved_by_length: float

    @property
    def lines(self) -> Iterator[str]:
        yield f"{self.name}: {self.right:.1%} of {self.number} right"
        for label in GRADES:
            row = ", ".join(f"{self.table[label, grade]} {grade}" for grade in GRADES)
            yield f"  {label} is graded: {row}"
        yield f"  {self.saved:.1%} cheaper than premium ({self.saved_by_length:.1%} where hard answers are long)"


def read(row: Mapping[str, object]) -> Asked:
    """A row of a set as the gate reads it, from a chat request on."""
    body: dict[str, object] = {"model": "auto", "messages": row["messages"]}
    if tools := row.get("tools"):
        assert isinstance(tools, list)
        body["tools"] = [{"type": "function", "function": tool} for tool in tools]
    asked = gist.asked(openai_chat.read_request(json.dumps(body).encode()))
    return msgspec.structs.replace(asked, images=row.get("images", 0))


def judge(name: str) -> Judged:
    rows = [json.loads(line) for line in (Path(__file__).parent / f"{name}.jsonl").read_text().splitlines()]
    table: Counter[tuple[str, str]] = Counter()
    spent = premium = spent_by_length = premium_by_length = 0.0
    for row in rows:
        label, asked = row["label"], read(row)
        grade = complexity.grade(asked).name
        table[label, grade] += 1
        spent += _cost(grade, asked, OUTPUT)
        premium += _cost("complex", asked, OUTPUT)
        spent_by_length += _cost(grade, asked, OUTPUTS[label])
        premium_by_length += _cost("complex", asked, OUTPUTS[label])
    right = sum(table[grade, grade] for grade in GRADES) / len(rows)
    return Judged(name, len(rows), right, table, 1 - spent / premium, 1 - spent_by_length / premium_by_length)


def _cost(grade: str, asked: Asked, output: int) -> float:
    price = PRICES[grade]
    return asked.tokens * price[0] + output * price[1]
