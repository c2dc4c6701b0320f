"""Token counts without a tokenizer: text measured by script, each script with its own tokens per character.

Two uses. The *meter* wants the likely number (it stands in for a usage that an upstream left out or lied about; to be
within a factor of two). The *hold* wants a number that is seldom passed. So each class has two rates, in thousandths of
a token per character, and `text` sums both. The likely rates fit byte-level BPE vocabularies of 100,000 to 200,000
pieces (the current OpenAI, DeepSeek, Qwen and GLM families).

All integers.
"""

import re

import msgspec

MESSAGE_TOKENS = 4
"""What the chat template adds around each message: role, separators."""
PRIMING_TOKENS = 3
"""What the template adds once, to open the answer."""
IMAGE_TOKENS = 1600
"""Upper bound for one image where the model names none (a 1568 x 1568 picture at 28 x 28 pixels a token, rounded
up)."""
AUDIO_TOKENS = 20_000
FILE_TOKENS = 100_000
"""Upper bounds for an audio or file part, which no field of the request bounds by itself."""
AUDIO_BASE64_PER_TOKEN = 2_000
"""Characters of base64 that make a token of sound in an answer: 16-bit PCM at 24 kHz takes 64,000 a second, compressed
sound 10,000 to 20,000, and a second is about 20 tokens."""


class _Class(msgspec.Struct, frozen=True):
    """Characters of one kind with their rates in thousandths of a token. ASCII kinds list their bytes, others have a
    pattern."""

    likely_milli: int
    bound_milli: int
    letters: bytes = b""
    pattern: re.Pattern[str] | None = None


# Latin words average 4-5 characters a token with their space; digits come in groups of up to three; punctuation is
# often a token of its own; CJK about 0.6-0.8 a character in current vocabularies; everything rarer falls to bytes.
# Capitals are counted apart: in words they cost little more than small letters, in base64 and random keys nearly a
# token each.
_SMALL = _Class(225, 400, b"abcdefghijklmnopqrstuvwxyz ")
_CAPITALS = _Class(500, 1000, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_DIGITS = _Class(420, 1000, b"0123456789")
_SIGNS = _Class(500, 1000, bytes([*range(33, 48), *range(58, 65), *range(91, 97), *range(123, 127)]) + b"\t\n\r")
_OTHERS = (
    _Class(
        720, 1500, pattern=re.compile("[\u3000-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uff00-\uffef]+")
    ),  # CJK
    _Class(
        480, 1500, pattern=re.compile("[\u00a0-\u024f\u0370-\u058f\u0400-\u052f]+")
    ),  # Latin beyond ASCII, Greek, Cyrillic
    _Class(
        600, 2000, pattern=re.compile("[\u0590-\u07bf\u0900-\u0eff]+")
    ),  # Hebrew, Arabic, Syriac; India; Thai and Lao
)
_REST = _Class(1300, 4000)  # control characters, and what no pattern has
SLICE = 65_536
"""Characters looked through at a time: between two slices of a long text, which a thread reads, the loop can go on."""


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


def text(value: str) -> Count:
    """Tokens of a text. Linear in its length; empty text is zero. ASCII is counted by deleting each kind of byte in
    turn, what is left by patterns: both in C, some nanoseconds a character, so that a prompt of many megabytes does not
    stop the loop."""
    if not value:
        return ZERO
    if len(value) > SLICE:
        counts = [text(value[start : start + SLICE]) for start in range(0, len(value), SLICE)]
        return Count(sum(count.likely_milli for count in counts), sum(count.bound_milli for count in counts))
    data = value.encode("utf-8", "surrogatepass")
    no_small = data.translate(None, _SMALL.letters)
    no_letters = no_small.translate(None, _CAPITALS.letters)
    no_words = no_letters.translate(None, _DIGITS.letters)
    left = no_words.translate(None, _SIGNS.letters)
    small, capitals = len(data) - len(no_small), len(no_small) - len(no_letters)
    digits, signs = len(no_letters) - len(no_words), len(no_words) - len(left)
    rest = _of_rest(left) if left else ZERO  # nothing is left of most texts
    return Count(
        small * _SMALL.likely_milli
        + capitals * _CAPITALS.likely_milli
        + digits * _DIGITS.likely_milli
        + signs * _SIGNS.likely_milli
        + rest.likely_milli,
        small * _SMALL.bound_milli
        + capitals * _CAPITALS.bound_milli
        + digits * _DIGITS.bound_milli
        + signs * _SIGNS.bound_milli
        + rest.bound_milli,
    )


def _of_rest(data: bytes) -> Count:
    """Tokens of what is beyond ASCII, and of its control characters, in UTF-8."""
    value = data.decode("utf-8", "surrogatepass")
    likely = bound = 0
    left = len(value)
    for kind in _OTHERS:
        assert kind.pattern is not None
        found = sum(map(len, kind.pattern.findall(value)))
        likely += found * kind.likely_milli
        bound += found * kind.bound_milli
        left -= found
    return Count(likely + left * _REST.likely_milli, bound + left * _REST.bound_milli)


class Ratios:
    """What exact usage has taught about each model: real tokens per estimated token, in thousandths, for its prompts
    and for its outputs. A moving average in integers, so that a tokenizer that differs from the rates above is met
    after a few calls. Kept within half and twice: one that lies, or a prompt that a provider pads, must not turn the
    meter's count into nonsense.
    """

    LEAST_TOKENS = 16  # below this a chat template's few tokens decide, not the text
    FIRST = 64
    WEIGHT = 16  # the latest call counts one part in so many
    LOW, HIGH = 500, 2000

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], int] = {}
        self.changed: set[tuple[str, str]] = set()
        self._asked: dict[str, int] = {}

    def wants(self, model: str) -> bool:
        """Whether the next exact usage of this model is worth learning from: all at first, later one in so many."""
        asked = self._asked[model] = self._asked.get(model, 0) + 1
        return asked <= self.FIRST or asked % self.WEIGHT == 0

    def learn(self, kind: str, model: str, estimated_milli: int, exact: int) -> None:
        """`estimated_milli` is the estimate before any ratio (thousandths of a token), `exact` what the model's
        provider said."""
        if estimated_milli < self.LEAST_TOKENS * 1000 or exact < self.LEAST_TOKENS:
            return
        seen = exact * 1_000_000 // estimated_milli
        seen = self.LOW if seen < self.LOW else self.HIGH if seen > self.HIGH else seen
        place = kind, model
        before = self.known.get(place)
        after = seen if before is None else (before * (self.WEIGHT - 1) + seen) // self.WEIGHT
        if after != before:
            self.known[place] = after
            self.changed.add(place)

    def scale(self, kind: str, model: str, count: Count) -> Count:
        """The estimate as this model has been seen to count. The bound only ever grows: a hold must not shrink on a
        guess."""
        ratio = self.known.get((kind, model), 1000)
        if ratio == 1000:
            return count
        return Count(count.likely_milli * ratio // 1000, count.bound_milli * max(ratio, 1000) // 1000)
