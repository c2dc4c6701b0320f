"""Token counts without a tokenizer: text measured by script, each script with its own tokens per character.

Two uses. The *meter* wants the likely number (it stands in for a usage that an upstream left out or lied about; to be within
a factor of two). The *hold* wants a number that is seldom passed. So each class has two rates, in thousandths of a token per
character, and `Text` sums both in one pass. The likely rates fit byte-level BPE vocabularies of 100,000 to 200,000 pieces
(the current OpenAI, DeepSeek, Qwen and GLM families).

All integers. A class is found by character ranges with one compiled pattern per class, which counts in C.
"""

import re

import msgspec

MESSAGE_TOKENS = 4
"""What the chat template adds around each message: role, separators."""
PRIMING_TOKENS = 3
"""What the template adds once, to open the answer."""
IMAGE_TOKENS = 1600
"""Upper bound for one image where the model names none (a 1568 x 1568 picture at 28 x 28 pixels a token, rounded up)."""
AUDIO_TOKENS = 20_000
FILE_TOKENS = 100_000
"""Upper bounds for an audio or file part, which no field of the request bounds by itself."""


class _Class(msgspec.Struct, frozen=True):
    pattern: re.Pattern[str]
    likely_milli: int  # thousandths of a token per character
    bound_milli: int


# Latin words average 4-5 characters a token with their space; digits come in groups of up to three; punctuation is often a
# token of its own; CJK about 0.6-0.8 a character in current vocabularies; everything rarer falls to bytes. Capitals are
# counted apart: in words they cost little more than small letters, in base64 and random keys nearly a token each.
_WORDS = _Class(re.compile(r"[a-z ]+"), 225, 400)
_CAPITALS = _Class(re.compile(r"[A-Z]+"), 500, 1000)
_DIGITS = _Class(re.compile(r"[0-9]+"), 420, 1000)
_MARKS = _Class(re.compile(r"[!-/:-@\[-`{-~\t\n\r]+"), 500, 1000)
_CJK = _Class(re.compile("[\u3000-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uff00-\uffef]+"), 720, 1500)
_EUROPE = _Class(re.compile("[\u00a0-\u024f\u0370-\u058f\u0400-\u052f]+"), 480, 1500)
# Hebrew, Arabic, Syriac; the scripts of India; Thai and Lao.
_EAST = _Class(re.compile("[\u0590-\u07bf\u0900-\u0eff]+"), 600, 2000)
_REST_MILLI = 1300, 4000
_ASCII = _WORDS, _CAPITALS, _DIGITS, _MARKS
_ALL = (*_ASCII, _CJK, _EUROPE, _EAST)


class Count(msgspec.Struct, frozen=True, gc=False):
    """Thousandths of tokens: `likely` for metering, `bound` for holding."""

    likely_milli: int = 0
    bound_milli: int = 0

    def __add__(self, other: "Count") -> "Count":
        return Count(self.likely_milli + other.likely_milli, self.bound_milli + other.bound_milli)

    @property
    def likely(self) -> int:
        """Tokens, rounded up."""
        return -(-self.likely_milli // 1000)

    @property
    def bound(self) -> int:
        """Tokens, rounded up."""
        return -(-self.bound_milli // 1000)


ZERO = Count()


def tokens(number: int) -> Count:
    """A known number of tokens as a Count."""
    return Count(number * 1000, number * 1000)


def _length(pattern: re.Pattern[str], text: str) -> int:
    return sum(map(len, pattern.findall(text)))


def text(value: str) -> Count:
    """Tokens of a text. Linear in its length, counted in C; empty text is zero."""
    if not value:
        return ZERO
    left = len(value)
    likely = bound = 0
    for kind in _ASCII if value.isascii() else _ALL:
        found = _length(kind.pattern, value)
        likely += found * kind.likely_milli
        bound += found * kind.bound_milli
        left -= found
        if not left:
            break
    return Count(likely + left * _REST_MILLI[0], bound + left * _REST_MILLI[1])


class Ratios:
    """What exact usage has taught about each model: real tokens per estimated token, in thousandths, for its prompts and for its
    outputs. A moving average in integers, so that a tokenizer that differs from the rates above is met after a few calls. Kept
    within half and twice: one that lies, or a prompt that a provider pads, must not turn the meter's count into nonsense.
    """

    LEAST_TOKENS = 16  # below this a chat template's few tokens decide, not the text
    WEIGHT = 16  # the latest call counts one part in so many
    LOW, HIGH = 500, 2000

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], int] = {}
        self.changed: set[tuple[str, str]] = set()

    def learn(self, kind: str, model: str, estimated_milli: int, exact: int) -> None:
        """`estimated_milli` is the estimate before any ratio (thousandths of a token), `exact` what the model's provider said."""
        if estimated_milli < self.LEAST_TOKENS * 1000 or exact < self.LEAST_TOKENS:
            return
        seen = min(max(exact * 1_000_000 // estimated_milli, self.LOW), self.HIGH)
        before = self.known.get((kind, model))
        self.known[kind, model] = seen if before is None else (before * (self.WEIGHT - 1) + seen) // self.WEIGHT
        self.changed.add((kind, model))

    def scale(self, kind: str, model: str, count: Count) -> Count:
        """The estimate as this model has been seen to count. The bound only ever grows: a hold must not shrink on a guess."""
        ratio = self.known.get((kind, model), 1000)
        if ratio == 1000:
            return count
        return Count(count.likely_milli * ratio // 1000, count.bound_milli * max(ratio, 1000) // 1000)
